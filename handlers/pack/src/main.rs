//! `pack`: builds the handlers into components and pins them in the registry, and the host's page its verifier.
//!
//! In scope: the commands for the handlers and what they write; those for the page are in `page`, the registry file is in
//! `registry`, installing a toolchain in `install`.
//! Out of scope: which toolchain is used, how cargo is run and what a component is (the kit, `host/kit`); running handlers; and the host, which reads the results and trusts only the digests.
//!
//! Exit codes: 0 done, or all the same; 1 what is here is not what its source gives; 2 an error; 3 no toolchain here that
//! could tell.

#![forbid(unsafe_code)]

mod error;
mod files;
mod install;
mod page;
mod registry;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use openexec_kit::toolchain::{self, Toolchain};
use openexec_kit::{Component, Workspace};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::registry::Registry;

/// Builds what is committed as WebAssembly: the handlers, pinned in registry.toml, and the verifier of the host's page.
#[derive(Parser)]
struct Arguments {
    /// The folder of the handlers; cargo run knows it
    #[arg(long, global = true)]
    handlers: Option<PathBuf>,
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the components, write them and their digests
    Build,
    /// Build them again somewhere else and compare; changes and installs nothing
    Check,
    /// Build the verifier of the host's page, write it and the toolchain that built it
    Page {
        /// Build it again somewhere else and compare instead; changes and installs nothing
        #[arg(long)]
        check: bool,
    },
}

const DIFFERENT: u8 = 1;
const FAILED: u8 = 2;
const OTHER_TOOLCHAIN: u8 = 3;

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pack: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let handlers = files::handlers(arguments.handlers)?;
    match arguments.command {
        Task::Build => build(&handlers),
        Task::Check => check(&handlers),
        Task::Page { check: false } => page::build(&handlers),
        Task::Page { check: true } => page::check(&handlers),
    }
}

fn build(handlers: &Path) -> Result<ExitCode, Error> {
    let mut registry = Registry::read(handlers)?;
    let toolchain = install::find_or_install(handlers)?;
    println!("pack: using {toolchain}");
    // A folder of its own, so that two versions of cargo do not rebuild each other's work.
    let target = handlers.join("target").join("components");
    for pin in registry.pins()? {
        let component = component(handlers, &toolchain, &target, &pin.crate_name)?;
        let digest = digest(component.bytes());
        files::write(&handlers.join(&pin.component), component.bytes())?;
        registry.set_digest(&pin.action, &digest)?;
        println!("pack: {digest}  {} ({} bytes)", pin.component, component.bytes().len());
    }
    files::write(&record_path(handlers), toolchain.record().as_bytes())?;
    // Last, so that an interrupted build leaves a registry that the host refuses and not one that is half true.
    registry.write()?;
    Ok(ExitCode::SUCCESS)
}

fn check(handlers: &Path) -> Result<ExitCode, Error> {
    let registry = Registry::read(handlers)?;
    let recorded = files::read_text(&record_path(handlers))?;
    let Some(toolchain) = matching(toolchain::installed(handlers), &recorded) else {
        return Ok(ExitCode::from(OTHER_TOOLCHAIN));
    };
    println!("pack: using {toolchain}");
    let target = files::temporary_folder()?;
    let mut code = ExitCode::SUCCESS;
    for pin in registry.pins()? {
        let component = component(handlers, &toolchain, target.path(), &pin.crate_name)?;
        let built = digest(component.bytes());
        let on_disk = digest(&files::read(&handlers.join(&pin.component))?);
        let same = built == pin.sha256 && built == on_disk;
        println!("pack: {} {}", if same { "same     " } else { "DIFFERENT" }, pin.component);
        if !same {
            println!("  the source gives {built}\n  the file is      {on_disk}\n  the registry has {}", pin.sha256);
            println!("  Run the build command if the source has changed; otherwise find out who changed the file.");
            code = ExitCode::from(DIFFERENT);
        }
    }
    Ok(code)
}

fn component(handlers: &Path, toolchain: &Toolchain, target: &Path, package: &str) -> Result<Component, Error> {
    let workspace = Workspace { folder: handlers, alias: "/handlers", profile: "release", is_locked: true };
    let module = openexec_kit::core_module(&workspace, toolchain, target, package)?;
    Ok(Component::encode(package, &module)?)
}

/// The installed toolchain that made what is here. Other ones give other bytes, which would tell nothing.
fn matching(installed: Vec<Toolchain>, recorded: &str) -> Option<Toolchain> {
    let here: Vec<_> = installed.iter().map(|toolchain| toolchain.record().to_owned()).collect();
    let found = installed.into_iter().find(|toolchain| toolchain.record() == recorded);
    if found.is_none() {
        let here = if here.is_empty() { "none for wasm\n".to_owned() } else { here.join("\nand\n") };
        println!("pack: NOT CHECKED: the toolchain that built what is committed is not here. It is\n\n{recorded}");
        println!("and here is\n\n{here}\nInstall that one and check again, or build, to pin what this one makes.");
    }
    found
}

/// SHA-256 as the registry writes it: 64 lowercase hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn record_path(handlers: &Path) -> PathBuf {
    handlers.join("components").join("TOOLCHAIN")
}

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn a_digest_is_lowercase_hexadecimal() {
        assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}

//! The verifier of the host's page: built beside the page, and compared.
//!
//! In scope: the two commands for it and what they write.
//! Out of scope: compiling (the kit), what the module does (`host/page`), serving it.
//!
//! Invariants
//! - A module that is written imports nothing: a page that runs it gives it no way to reach anything.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use openexec_kit::toolchain::{self, Toolchain};
use openexec_kit::{Workspace, core_module};
use wasmparser::{Parser, Payload};

use crate::error::Error;
use crate::{DIFFERENT, OTHER_TOOLCHAIN, digest, files, install, matching};

const PACKAGE: &str = "openexec-page";

pub(crate) fn build(handlers: &Path) -> Result<ExitCode, Error> {
    let toolchain = install::find_or_install(handlers)?;
    println!("pack: using {toolchain}");
    let module = module(handlers, &toolchain, &handlers.join("target").join("page"))?;
    files::write(&module_path(handlers), &module)?;
    files::write(&record_path(handlers), toolchain.record().as_bytes())?;
    println!("pack: {}  {} ({} bytes)", digest(&module), module_path(handlers).display(), module.len());
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(handlers: &Path) -> Result<ExitCode, Error> {
    let recorded = files::read_text(&record_path(handlers))?;
    let Some(toolchain) = matching(toolchain::installed(handlers), &recorded) else {
        return Ok(ExitCode::from(OTHER_TOOLCHAIN));
    };
    println!("pack: using {toolchain}");
    let target = files::temporary_folder()?;
    let built = digest(&module(handlers, &toolchain, target.path())?);
    let on_disk = digest(&files::read(&module_path(handlers))?);
    if built == on_disk {
        println!("pack: same      {}", module_path(handlers).display());
        return Ok(ExitCode::SUCCESS);
    }
    println!("pack: DIFFERENT {}", module_path(handlers).display());
    println!("  the source gives {built}\n  the file is      {on_disk}");
    println!("  Run the page command if core or the page has changed; otherwise find out who changed the file.");
    Ok(ExitCode::from(DIFFERENT))
}

/// The host's workspace and not one of its own, so that the page verifies with the very versions that the host locks.
fn module(handlers: &Path, toolchain: &Toolchain, target: &Path) -> Result<Vec<u8>, Error> {
    let workspace = Workspace { folder: &project(handlers), alias: "/openexec", profile: "page", is_locked: true };
    let module = core_module(&workspace, toolchain, target, PACKAGE)?;
    let imports = imports(&module)?;
    if !imports.is_empty() {
        return Err(Error::Imports { package: PACKAGE.to_owned(), imports: imports.join(", ") });
    }
    Ok(module)
}

fn imports(module: &[u8]) -> Result<Vec<String>, Error> {
    let not_a_module = |error: wasmparser::BinaryReaderError| Error::NotAModule {
        package: PACKAGE.to_owned(),
        reason: error.to_string(),
    };
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(imports) = payload.map_err(not_a_module)? {
            for import in imports.into_imports() {
                let import = import.map_err(not_a_module)?;
                names.push(format!("{}.{}", import.module, import.name));
            }
        }
    }
    Ok(names)
}

fn project(handlers: &Path) -> PathBuf {
    handlers.parent().unwrap_or(handlers).to_owned()
}

fn module_path(handlers: &Path) -> PathBuf {
    project(handlers).join("host/page/verify.wasm")
}

fn record_path(handlers: &Path) -> PathBuf {
    project(handlers).join("host/page/TOOLCHAIN")
}

#[cfg(test)]
mod tests {
    use super::imports;

    #[test]
    fn imports_are_found_and_other_bytes_are_no_module() {
        let empty: &[u8] = b"\0asm\x01\0\0\0";
        assert!(imports(empty).is_ok_and(|names| names.is_empty()));
        // (module (type (func)) (import "env" "now" (func (type 0))))
        let asks: &[u8] = b"\x01\x04\x01\x60\0\0\x02\x0b\x01\x03env\x03now\0\0";
        assert!(imports(&[empty, asks].concat()).is_ok_and(|names| names == ["env.now"]));
        assert!(imports(b"hello").is_err());
    }
}

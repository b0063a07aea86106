//! Compiling to wasm so that the bytes depend on the source, the lock file and the toolchain, and on nothing else.
//!
//! In scope: the environment and the arguments of cargo.
//! Out of scope: which toolchain (`toolchain`), what a component is (`component`).
//!
//! Invariants
//! - No path of this machine gets into what is built: every folder that a compiler message could name is renamed.
//! - No variable that changes what cargo or rustc do is inherited.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::clean;
use super::toolchain::{Std, TARGET, Toolchain};
use crate::tool::succeed;
use crate::{KitError, files};

/// Cargo separates flags by it, so that a path may have spaces.
const FLAG_SEPARATOR: &str = "\u{1f}";

/// A workspace to compile packages of.
#[derive(Debug)]
pub struct Workspace<'a> {
    /// Where it is.
    pub folder: &'a Path,
    /// What the folder is called in the bytes.
    pub alias: &'static str,
    /// The profile of its manifest that makes small and equal bytes.
    pub profile: &'static str,
    /// Whether the lock file must be there and fit.
    pub is_locked: bool,
}

/// The core module that a package gives.
///
/// # Errors
/// When cargo cannot be run or says no.
pub fn core_module(
    workspace: &Workspace<'_>,
    toolchain: &Toolchain,
    target: &Path,
    package: &str,
) -> Result<Vec<u8>, KitError> {
    let mut cargo = clean(Command::new(toolchain.cargo()));
    cargo.current_dir(workspace.folder);
    cargo.args(["build", "--profile", workspace.profile, "--target", TARGET, "--package", package]);
    cargo.arg("--target-dir").arg(target);
    if workspace.is_locked {
        cargo.arg("--locked");
    }
    cargo.env("RUSTC", toolchain.rustc());
    cargo.env("CARGO_ENCODED_RUSTFLAGS", renamed_folders(workspace, toolchain, target).join(FLAG_SEPARATOR));
    cargo.env("SOURCE_DATE_EPOCH", "0");
    if let Std::FromSource { linker } = toolchain.std() {
        cargo.arg("-Zbuild-std=std,panic_abort");
        cargo.env("RUSTC_BOOTSTRAP", "1"); // build-std is not stable yet
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    succeed(&mut cargo)?;
    let file = format!("{}.wasm", package.replace('-', "_"));
    files::read(&target.join(TARGET).join(workspace.profile).join(file))
}

/// The later ones win, so the folders that may contain others come first.
fn renamed_folders(workspace: &Workspace<'_>, toolchain: &Toolchain, target: &Path) -> Vec<String> {
    let mut folders = Vec::new();
    if let Some(cargo_home) = cargo_home() {
        // Cargo names the folder of each registry after its address, so a mirror would show in the bytes.
        let registries = files::folders_in(&cargo_home.join("registry/src"));
        folders.push((cargo_home, "/cargo".to_owned()));
        folders.extend(registries.map(|folder| (folder, "/crates".to_owned())));
    }
    folders.push((workspace.folder.to_owned(), workspace.alias.to_owned()));
    folders.push((target.to_owned(), "/target".to_owned()));
    folders.push(toolchain.std_source());
    folders.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect()
}

fn cargo_home() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}

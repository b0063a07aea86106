//! The compiler for the handlers: which one, why, and how it is written down.
//!
//! In scope: finding, describing.
//! Out of scope: running it on the handlers (`compile`), installing it (`pack` does).
//!
//! Two can do it. Rustup's, if it has the standard library for wasm; it is the usual one. Or Debian's rustc-web, which
//! brings the source of the standard library instead: it works where rustup has no network and a Debian mirror is
//! there. It borrows the linker of rustup's toolchain, having none for wasm.
//!
//! Invariants
//! - `installed` changes nothing and asks no network.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::clean;
use crate::KitError;
use crate::tool::output;

/// What handlers are compiled for: no operating system, hence no imports.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// What to run, as root, for the Debian toolchain.
pub const APT_INSTALL: &str =
    "apt-get update && apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src";

const STD_SOURCE: &str = "lib/rustlib/src/rust";

/// A toolchain that is there and can build handlers.
#[derive(Debug)]
pub struct Toolchain {
    sysroot: PathBuf,
    std: Std,
    why: &'static str,
    record: String,
    commit: String,
}

/// Where the standard library comes from.
#[derive(Debug)]
pub(crate) enum Std {
    /// It came with rustc.
    Prebuilt,
    /// From its source, each time.
    FromSource {
        /// What links wasm.
        linker: PathBuf,
    },
}

/// All that are there, the usual one first. One that lacks a part cannot build and does not count.
#[must_use]
pub fn installed(handlers: &Path) -> Vec<Toolchain> {
    [rustup(handlers), debian(handlers)].into_iter().flatten().flatten().collect()
}

/// The active rustup toolchain, if it has the target.
///
/// # Errors
/// When it is there and cannot be asked what it is.
pub fn rustup(handlers: &Path) -> Result<Option<Toolchain>, KitError> {
    let sysroot = active_sysroot(handlers)?;
    if !sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir() {
        return Ok(None);
    }
    let why = "the active Rust toolchain, which has the target installed";
    Toolchain::describe(sysroot, Std::Prebuilt, why).map(Some)
}

/// The Debian toolchain, if its three packages are there.
///
/// # Errors
/// When it is there and cannot be asked what it is.
pub fn debian(handlers: &Path) -> Result<Option<Toolchain>, KitError> {
    let sysroot = PathBuf::from("/usr");
    let needed = ["bin/rustc", "bin/cargo", "lib/rustlib/src/rust/library/std"];
    if !needed.iter().all(|path| sysroot.join(path).exists()) {
        return Ok(None);
    }
    let linker = linker(&active_sysroot(handlers)?)?;
    let why = "Debian's, because the active Rust toolchain lacks the target; its standard library is built from source";
    Toolchain::describe(sysroot, Std::FromSource { linker }, why).map(Some)
}

/// Asked in the folder of the handlers, so that rustup follows the toolchain file of the project.
fn active_sysroot(handlers: &Path) -> Result<PathBuf, KitError> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "sysroot"]).current_dir(handlers);
    rustc.env("RUSTUP_AUTO_INSTALL", "0"); // asking is not a reason to download a toolchain
    let sysroot = output(&mut rustc)?;
    Ok(PathBuf::from(sysroot.trim()))
}

/// rust-lld, which is in every rustup toolchain: it links for the host's own triple too.
fn linker(sysroot: &Path) -> Result<PathBuf, KitError> {
    let version = output(clean(Command::new(sysroot.join("bin/rustc"))).arg("-vV"))?;
    let host = field(&version, "host: ").unwrap_or_default();
    let linker = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
    if linker.exists() { Ok(linker) } else { Err(KitError::NoLinker(linker)) }
}

impl Toolchain {
    fn describe(sysroot: PathBuf, std: Std, why: &'static str) -> Result<Self, KitError> {
        let rustc = output(clean(Command::new(sysroot.join("bin/rustc"))).arg("-vV"))?;
        let cargo = output(clean(Command::new(sysroot.join("bin/cargo"))).arg("-V"))?;
        let (linker, std_words) = match &std {
            Std::Prebuilt => (linker(&sysroot)?, "as it comes with rustc"),
            Std::FromSource { linker } => (linker.clone(), "built from source (build-std)"),
        };
        let linker = output(Command::new(linker).args(["-flavor", "wasm", "--version"]))?;
        let commit = field(&rustc, "commit-hash: ").unwrap_or("unknown").to_owned();
        Ok(Self { record: record(&rustc, &cargo, &linker, std_words), sysroot, std, why, commit })
    }

    pub(crate) fn rustc(&self) -> PathBuf {
        self.sysroot.join("bin/rustc")
    }

    pub(crate) fn cargo(&self) -> PathBuf {
        self.sysroot.join("bin/cargo")
    }

    pub(crate) fn std(&self) -> &Std {
        &self.std
    }

    /// The folder of the standard library's source, and the name that a prebuilt one calls it by.
    pub(crate) fn std_source(&self) -> (PathBuf, String) {
        (self.sysroot.join(STD_SOURCE), format!("/rustc/{}", self.commit))
    }

    /// All that decides about the bytes, as text for a file. Two toolchains with one record make the same components.
    #[must_use]
    pub fn record(&self) -> &str {
        &self.record
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.record.lines().next().unwrap_or_default();
        write!(f, "{version} in {}: {}", self.sysroot.display(), self.why)
    }
}

fn record(rustc: &str, cargo: &str, linker: &str, std: &str) -> String {
    let version = rustc.lines().next().unwrap_or_default();
    let host = field(rustc, "host: ").unwrap_or("unknown");
    let llvm = field(rustc, "LLVM version: ").unwrap_or("unknown");
    // What follows in brackets is where the linker was built.
    let linker = linker.split(" (").next().unwrap_or_default().trim();
    format!("{version}\n{}\nhost {host}\nLLVM {llvm}\n{linker}\nstd {std}\n", cargo.trim())
}

/// The rest of the line that begins with `name`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::record;

    #[test]
    fn a_record_has_what_decides_about_the_bytes_and_no_path() {
        let rustc =
            "rustc 1.2.3 (abc 2026-01-01)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.8\n";
        let record = record(rustc, "cargo 1.2.3 (def)\n", "LLD 22.1.2 (/build/llvm 1cb4)\n", "as it comes");
        assert_eq!(
            record,
            "rustc 1.2.3 (abc 2026-01-01)\ncargo 1.2.3 (def)\nhost x86_64-unknown-linux-gnu\nLLVM 22.1.8\nLLD 22.1.2\n\
             std as it comes\n"
        );
    }
}

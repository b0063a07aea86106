//! What can go wrong while packing. Every text says what to do about it.
//!
//! In scope: the list.
//! Out of scope: differences that `check` finds. They are an answer, not an error.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot tell where the handlers are: use cargo run, or name their folder with --handlers")]
    NoHandlers,
    #[error("cannot {verb} {path}: {source}. Check that it exists and that you have the right to")]
    File { verb: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot make a temporary folder: {0}. Free some space, or set TMPDIR to a folder with some")]
    TemporaryFolder(std::io::Error),
    #[error(transparent)]
    Kit(#[from] openexec_kit::KitError),

    #[error("registry.toml is not TOML: {0}Correct it")]
    RegistrySyntax(toml_edit::TomlError),
    #[error("registry.toml: {place} is missing or is not {expected}. Correct it; its head says what it holds")]
    RegistryShape { place: String, expected: &'static str },

    #[error(
        "the Debian toolchain is not installed and you are not root. Run: sudo sh -c '{}'",
        openexec_kit::toolchain::APT_INSTALL
    )]
    NotRoot,

    #[error("{package} is not a WebAssembly module: {reason}. This is a defect of the toolchain that made it")]
    NotAModule { package: String, reason: String },
    #[error("{package} imports {imports}, and it must import nothing. Remove the dependency that asks for it")]
    Imports { package: String, imports: String },
}

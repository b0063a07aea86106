//! What can go wrong while a handler is made. Every text says what to do about it.

use std::path::PathBuf;
use std::process::ExitStatus;

use crate::component::EXPORT;
use crate::languages::rust::toolchain::{APT_INSTALL, TARGET};
use crate::{Language, NameError};

/// Why there is no component. What was there before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// A file or a folder.
    #[error("cannot {verb} {path}: {source}. Check that it exists and that you have the right to")]
    File {
        /// What was tried.
        verb: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Something is there already.
    #[error("{0} exists already: choose another name, or remove it. Nothing was written")]
    Exists(PathBuf),
    /// No project.
    #[error(
        "{0} has no handler.toml, so it is no handler's project: name its folder, or make one with `openexec handler new`"
    )]
    NoProject(PathBuf),
    /// The project's file.
    #[error("{path}: {problem}Correct it; it has version = 1, name and language")]
    Manifest {
        /// Which one.
        path: PathBuf,
        /// What is wrong, with a stop or a line's end.
        problem: String,
    },
    /// The project's name.
    #[error("{path}: {cause}")]
    Name {
        /// Which file says so.
        path: PathBuf,
        /// What is wrong with it.
        cause: NameError,
    },
    /// A tool is missing.
    #[error("{tool} is missing, which a handler in {language} is built with. Install it: {install}")]
    NoTool {
        /// What was looked for.
        tool: &'static str,
        /// For which language.
        language: Language,
        /// What to run.
        install: String,
    },
    /// A tool cannot be started.
    #[error("cannot run {program}: {source}. Install it, or put it on the PATH")]
    Run {
        /// Which one.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A tool says no.
    #[error("`{command}` failed ({status}). {said}Put right what it says, and build again")]
    Failed {
        /// Program and arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it printed on its standard output: nothing, or lines. Its standard error was shown while it ran.
        said: String,
    },
    /// No Rust for wasm.
    #[error("no Rust toolchain for {TARGET}. Run `rustup target add {TARGET}`, or, as root on Debian, `{APT_INSTALL}`")]
    NoRust,
    /// No linker for Debian's Rust.
    #[error(
        "Debian's Rust has no linker for wasm, and the one that rustup brings was not found at {0}. Install the Rust \
         toolchain with rustup, and let its rustc be the first on the PATH"
    )]
    NoLinker(PathBuf),
    /// The bindings cannot be made.
    #[error("the bindings cannot be generated from wit/handler.wit: {0}. Take that file from this openexec unchanged")]
    Bindings(String),
    /// What came out is no component.
    #[error("{name} is not a component: {reason}. Look at its bindings: they must come from wit/handler.wit unchanged")]
    NotAComponent {
        /// Whose.
        name: String,
        /// The encoder's words.
        reason: String,
    },
    /// It wants something of the host.
    #[error(
        "{name} imports {imports}, and a handler must import nothing. Remove the call or the dependency that asks for it"
    )]
    Imports {
        /// Whose.
        name: String,
        /// What it wants.
        imports: String,
    },
    /// It is something else.
    #[error("{name} does not export {EXPORT}. Look at its bindings: they must come from wit/handler.wit unchanged")]
    NoExport {
        /// Whose.
        name: String,
    },
}

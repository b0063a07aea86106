//! Other programs: where they are, what they inherit, what their failure says.
//!
//! In scope: a project's own tools before those of the machine; success, or an error that names the command.
//! Out of scope: which programs, and why (`languages`).

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::{KitError, Language};

/// Where package managers put a project's own programs.
const OWN: [&str; 2] = ["node_modules/.bin", ".venv/bin"];

/// Most of what a program printed that an error repeats.
const SAID_CHARS: usize = 4_000;

/// A program that builds handlers of one language.
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) language: Language,
    /// What to run if it is missing. For the shell, in the project's folder.
    pub(crate) install: &'static str,
}

impl Tool {
    /// The project's own, else the first on the PATH.
    pub(crate) fn find(&self, project: &Path) -> Result<PathBuf, KitError> {
        locate(self.program, project).ok_or_else(|| KitError::NoTool {
            tool: self.program,
            language: self.language,
            install: self.install.to_owned(),
        })
    }
}

/// None if neither the project nor the machine has the program.
pub(crate) fn locate(program: &str, project: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = OWN.iter().map(|folder| project.join(folder));
    own.chain(std::env::split_paths(&path)).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Runs it to its end and takes anything but success for an error. Its standard error is shown, its standard output only
/// if it fails.
///
/// # Errors
/// When it cannot be started, or says no.
pub fn succeed(command: &mut Command) -> Result<(), KitError> {
    output(command).map(drop)
}

/// Runs it to its end and gives what it printed.
///
/// # Errors
/// When it cannot be started, or says no.
pub fn output(command: &mut Command) -> Result<String, KitError> {
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|source| not_run(command, source))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(said) } else { Err(failed(command, output.status, &said)) }
}

fn not_run(command: &Command, source: std::io::Error) -> KitError {
    KitError::Run { program: command.get_program().display().to_string(), source }
}

fn failed(command: &Command, status: ExitStatus, said: &str) -> KitError {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let command = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let said: String = said.trim().chars().take(SAID_CHARS).collect();
    let said = if said.is_empty() { said } else { format!("It said:\n{said}\n") };
    KitError::Failed { command, status, said }
}

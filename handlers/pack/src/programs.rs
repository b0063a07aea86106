//! Running other programs: what they inherit, and what their failure says.
//!
//! In scope: a clean environment, success or an error that names the command.
//! Out of scope: which programs, and why.

use std::process::{Command, ExitStatus, Stdio};

use crate::error::Error;

/// Runs it with our output, and takes anything but success for an error.
pub(crate) fn succeed(command: &mut Command) -> Result<(), Error> {
    let status = command.status().map_err(|source| not_run(command, source))?;
    if status.success() { Ok(()) } else { Err(failed(command, status)) }
}

/// Runs it and gives what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|source| not_run(command, source))?;
    if !output.status.success() {
        return Err(failed(command, output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn not_run(command: &Command, source: std::io::Error) -> Error {
    Error::Run { program: command.get_program().display().to_string(), source }
}

fn failed(command: &Command, status: ExitStatus) -> Error {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let command = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    Error::Failed { command, status }
}

/// `cargo run` and people's shells set variables for another build than this one. What stays says where crates come
/// from and how fast, which the lock file makes harmless.
pub(crate) fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(changes_the_build) {
            command.env_remove(name);
        }
    }
    command
}

fn changes_the_build(name: &str) -> bool {
    const KEPT: &[&str] = &[
        "CARGO_BUILD_JOBS",
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    const REMOVED: &[&str] =
        &["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "DYLD_"];
    let begins = |prefix: &&str| name.starts_with(*prefix);
    REMOVED.iter().any(begins) && !KEPT.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::changes_the_build;

    #[test]
    fn only_variables_that_say_where_crates_come_from_are_inherited() {
        for name in ["CARGO_HOME", "CARGO_HTTP_PROXY", "CARGO_REGISTRIES_X_INDEX", "PATH", "HOME", "CARGO_BUILD_JOBS"] {
            assert!(!changes_the_build(name), "{name}");
        }
        for name in ["CARGO", "CARGO_PROFILE_RELEASE_LTO", "RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_BUILD_RUSTFLAGS"] {
            assert!(changes_the_build(name), "{name}");
        }
    }
}

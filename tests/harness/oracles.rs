//! What tests install to compare with, or to look through: beside the build, and once for every test and every run of it.
//!
//! In scope: where, and that nobody finds half of it.
//! Out of scope: what, and what to do where it cannot be installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with this name. If it is not there, `install` fills one, which gets the name only once it is complete.
/// Whoever comes second waits and finds it.
pub(crate) fn installed(name: &str, install: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let _turn = turn();
    let installed = folder().join(name);
    if !installed.exists() {
        let unfinished = tempfile::tempdir_in(folder()).expect("a temporary folder");
        install(unfinished.path())?;
        fs::rename(unfinished.keep(), &installed).expect("a complete installation gets its name");
    }
    Ok(installed)
}

/// Held while something is installed, by one test of all that run.
#[must_use]
pub(crate) fn turn() -> File {
    let lock = File::create(folder().join("lock")).expect("a lock file");
    lock.lock().expect("the lock, once the other test has installed");
    lock
}

/// Runs a command to its end; `Err` says which failed, and how.
pub(crate) fn succeed(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", command.get_program().display())),
        Err(error) => Err(format!("{}: {error}", command.get_program().display())),
    }
}

fn folder() -> PathBuf {
    let tests = std::env::current_exe().expect("the path of this test");
    let folder = tests.ancestors().nth(3).expect("target/PROFILE/deps/TEST").join("oracles");
    fs::create_dir_all(&folder).expect("a folder beside the build");
    folder
}

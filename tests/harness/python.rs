//! Real CPython, the predecessor's language, as an oracle; alone, with the library that ClawShield signs with, and with in-toto's.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use crate::oracles;

/// What ClawShield/0.1.10 signs with.
const CRYPTOGRAPHY: &str = "cryptography==46.0.5";

/// in-toto's own implementation of DSSE, which uses the same `cryptography`.
const SECURESYSTEMSLIB: &str = "securesystemslib==1.6.0";

/// The folder of `SECURESYSTEMSLIB`, installed once for every test and every run of this build.
static SECURESYSTEMSLIB_FOLDER: LazyLock<PathBuf> =
    LazyLock::new(|| install("securesystemslib", &[SECURESYSTEMSLIB, CRYPTOGRAPHY]));

/// The folder of `CRYPTOGRAPHY`, installed once for every test and every run of this build.
static CRYPTOGRAPHY_FOLDER: LazyLock<PathBuf> = LazyLock::new(|| install("python", &[CRYPTOGRAPHY]));

/// Runs a Python program with this standard input; returns its standard output.
#[must_use]
#[track_caller]
pub fn python(program: &str, input: &str) -> String {
    run(Command::new("python3").args(["-c", program]), input)
}

/// Runs a Python program that may import `cryptography`.
#[must_use]
#[track_caller]
pub fn python_with_cryptography(program: &str, input: &str) -> String {
    run(Command::new("python3").args(["-c", program]).env("PYTHONPATH", &*CRYPTOGRAPHY_FOLDER), input)
}

/// Runs a Python program that may import `securesystemslib`.
#[must_use]
#[track_caller]
pub fn python_with_securesystemslib(program: &str, input: &str) -> String {
    run(Command::new("python3").args(["-c", program]).env("PYTHONPATH", &*SECURESYSTEMSLIB_FOLDER), input)
}

#[track_caller]
fn run(command: &mut Command, input: &str) -> String {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    converse(child.expect("python3 is needed as an oracle: install Python 3"), input)
}

fn install(name: &str, packages: &[&str]) -> PathBuf {
    let version = python("import platform; print(platform.python_version(), end='')", "");
    let installed = oracles::installed(&format!("{name}-{version}"), |folder| {
        let mut pip = Command::new("python3");
        pip.env("PIP_ROOT_USER_ACTION", "ignore"); // the folder is ours, whoever we are
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        pip.arg(folder).args(packages);
        oracles::succeed(&mut pip)
    });
    installed.unwrap_or_else(|why| {
        let packages = packages.join(" ");
        panic!(
            "Python's `{packages}` is needed as an oracle, and pip could not install it ({why}): make \
             `python3 -m pip install --target FOLDER {packages}` work (it needs pip and a package index)"
        )
    })
}

/// Writes and reads at the same time, so that neither side waits for the other.
#[track_caller]
pub(crate) fn converse(mut child: Child, input: &str) -> String {
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the oracle runs");
    let _ = writer.join();
    assert!(output.status.success(), "the oracle's program failed");
    String::from_utf8(output.stdout).expect("UTF-8 from the oracle")
}

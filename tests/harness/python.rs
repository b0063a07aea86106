//! Real CPython, the predecessor's language, as an oracle; alone, and with the library that ClawShield signs with.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// What ClawShield/0.1.10 signs with.
const CRYPTOGRAPHY: &str = "cryptography==46.0.5";

/// The folder of `CRYPTOGRAPHY`, installed once for every test and every run of this build.
static CRYPTOGRAPHY_FOLDER: LazyLock<PathBuf> = LazyLock::new(install_cryptography);

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

#[track_caller]
fn run(command: &mut Command, input: &str) -> String {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    converse(child.expect("python3 is needed as an oracle: install Python 3"), input)
}

/// Installs into a folder beside the build, under a name that it gets only once it is complete. Whoever comes second waits
/// and finds it.
fn install_cryptography() -> PathBuf {
    let version = python("import platform; print(platform.python_version(), end='')", "");
    let tests = std::env::current_exe().expect("the path of this test");
    let oracles = tests.ancestors().nth(3).expect("target/PROFILE/deps/TEST").join("oracles");
    let installed = oracles.join(format!("python-{version}"));
    std::fs::create_dir_all(&oracles).expect("a folder beside the build");
    let lock = File::create(oracles.join("lock")).expect("a lock file");
    lock.lock().expect("the lock, once the other test has installed");
    if !installed.exists() {
        let unfinished = tempfile::tempdir_in(&oracles).expect("a temporary folder");
        let mut pip = Command::new("python3");
        pip.env("PIP_ROOT_USER_ACTION", "ignore"); // the folder is ours, whoever we are
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        let status = pip.arg(unfinished.path()).arg(CRYPTOGRAPHY).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "Python's `cryptography` is needed as an oracle, and pip could not install it: make \
             `python3 -m pip install --target FOLDER {CRYPTOGRAPHY}` work (it needs pip and a package index), or put \
             the package into {}",
            installed.display()
        );
        std::fs::rename(unfinished.keep(), &installed).expect("a complete installation gets its name");
    }
    installed
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

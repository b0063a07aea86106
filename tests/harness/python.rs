//! Real CPython, the predecessor's language, as an oracle.

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs a Python program with this standard input; returns its standard output.
#[must_use]
#[track_caller]
pub fn python(program: &str, input: &str) -> String {
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed as an oracle: install Python 3");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("python3 runs");
    let _ = writer.join();
    assert!(output.status.success(), "the Python program failed");
    String::from_utf8(output.stdout).expect("UTF-8 from Python")
}

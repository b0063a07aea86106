//! Real CPython, the predecessor's language, as an oracle.

use std::io::Write;
use std::process::{Child, Command, Stdio};

/// Runs a Python program with this standard input; returns its standard output.
#[must_use]
#[track_caller]
pub fn python(program: &str, input: &str) -> String {
    let child = Command::new("python3").args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    converse(child.expect("python3 is needed as an oracle: install Python 3"), input)
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

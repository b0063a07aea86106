//! Real V8, the reference of RFC 8785, as an oracle.

use std::process::{Command, Stdio};

use crate::python::converse;

/// Runs a JavaScript program with this standard input; returns its standard output. `None`, and a line that says so,
/// where Node is not installed: a machine that builds this host does not need it.
#[must_use]
#[track_caller]
pub fn node(program: &str, input: &str) -> Option<String> {
    match Command::new("node").args(["-e", program]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
        Ok(child) => Some(converse(child, input)),
        Err(error) => {
            eprintln!("skipped the comparison with Node: {error}");
            None
        }
    }
}

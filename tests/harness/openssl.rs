//! The `openssl` command as an oracle: another implementation of Ed25519 and of key files.

use std::path::Path;
use std::process::Command;

/// Runs `openssl` with these arguments in this folder; returns its standard output.
#[must_use]
#[track_caller]
pub fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output();
    let output = output.expect("the `openssl` command is needed as an oracle: install OpenSSL 3");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

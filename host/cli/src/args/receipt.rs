//! The command line of `openexec receipt`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

use super::KeySource;

#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Print the public key that verifies receipts (PEM), for whoever checks them.
    Key(KeySource),
    /// Make another key for receipts: the private key into FILE, the public key into FILE.pub. Start the host with it
    /// (--receipt-key-file) and keep publishing the old public key: earlier receipts verify with that.
    Keygen(ReceiptKeygenOptions),
}

#[derive(Clone, Debug, Group)]
pub(crate) struct ReceiptKeygenOptions {
    /// Where the private key goes (PKCS#8, PEM). Refused if it exists.
    pub(crate) file: PathBuf,
}

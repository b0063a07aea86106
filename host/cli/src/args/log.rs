//! The command line of `openexec log`.

use clap::Subcommand;

use super::KeySource;

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Print the log's verifier key, for whoever checks its checkpoints: origin, id and public key.
    Key(KeySource),
}

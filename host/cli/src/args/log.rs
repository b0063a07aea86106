//! The command line of `openexec log`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

use super::KeySource;

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Print the log's verifier key, for whoever checks its checkpoints: origin, id and public key.
    Key(KeySource),
    /// Check a proof on its own: that a receipt stands in the log, who signed the log, and who has seen it.
    ///
    /// Exit codes: 0 it does; 1 it does not; 2 it could not be done.
    VerifyProof(VerifyProofOptions),
    /// Check that a log only grew: that the tree of the new checkpoint begins with the tree of the old one.
    ///
    /// Exit codes: 0 it did; 1 it did not, or a checkpoint is not the log's; 2 it could not be done.
    VerifyConsistency(VerifyConsistencyOptions),
}

/// Which witnesses count, and how many it takes.
#[derive(Clone, Debug, Group)]
pub(crate) struct LogTrust {
    /// A key of a witness: name+id+key. Repeat it for several.
    #[arg(long, value_name = "VKEY")]
    pub(crate) witness_key: Vec<String>,
    /// How many of the witnesses must have cosigned.
    #[arg(long, value_name = "K", default_value = "1", requires = "witness_key", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) quorum: u64,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct VerifyProofOptions {
    /// The proof: what GET /receipts/{exec_id}/proof answered.
    pub(crate) proof: PathBuf,
    /// The key of the log: name+id+key.
    #[arg(long, value_name = "VKEY")]
    pub(crate) log_key: String,
    #[command(flatten)]
    pub(crate) witnesses: LogTrust,
    /// The reference of the receipt: SHA-256 of what its signature is of.
    #[arg(long, value_name = "HEX")]
    pub(crate) receipt_ref: String,
}

#[derive(Clone, Debug, Group)]
#[command(group = clap::ArgGroup::new("hashes").required(true))]
pub(crate) struct VerifyConsistencyOptions {
    /// The old checkpoint: what GET /log/checkpoint answered once.
    pub(crate) old: PathBuf,
    /// The new checkpoint.
    pub(crate) new: PathBuf,
    /// The key of the log: name+id+key.
    #[arg(long, value_name = "VKEY")]
    pub(crate) log_key: String,
    /// The folder with the log's tiles, under the paths at which they are served: tile/0/000, …
    #[arg(long, value_name = "DIR", group = "hashes")]
    pub(crate) tiles: Option<PathBuf>,
    /// The consistency proof: hashes in base64, one a line.
    #[arg(long, value_name = "FILE", group = "hashes")]
    pub(crate) proof: Option<PathBuf>,
}

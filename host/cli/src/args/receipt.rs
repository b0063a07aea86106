//! The command line of `openexec receipt`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

use super::log::LogTrust;
use super::{DEFAULT_AUDIENCE, KeySource, LedgerSource};

#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Print the public key that verifies receipts (PEM), for whoever checks them.
    Key(KeySource),
    /// Make another key for receipts: the private key into FILE, the public key into FILE.pub. Start the host with it
    /// (--receipt-key-file) and keep publishing the old public key: earlier receipts verify with that.
    Keygen(ReceiptKeygenOptions),
    /// Print the evidence of an execution, with its plaintext, from the ledger on this machine. Never served over HTTP.
    Export(ExportOptions),
    /// Check the evidence of an execution without asking its host: each aspect apart, with keys that you give.
    ///
    /// Exit codes: 0 verified; 1 something failed; 3 nothing failed, but not everything could be checked; 2 it could not
    /// be done. No key in the evidence is ever trusted.
    Verify(Box<VerifyOptions>),
    /// Put together the evidence that a caller holds: the request it posted, the answer it got, a proof it fetched.
    Assemble(AssembleOptions),
}

#[derive(Clone, Debug, Group)]
pub(crate) struct VerifyOptions {
    /// The evidence, as `openexec receipt export` and `openexec receipt assemble` write it.
    pub(crate) evidence: PathBuf,
    /// A key that the host signs receipts with, or has signed with: its PEM, base64, or file. Repeat it for several.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) receipt_key: Vec<String>,
    /// The key of the log: name+id+key.
    #[arg(long, value_name = "VKEY")]
    pub(crate) log_key: Option<String>,
    #[command(flatten)]
    pub(crate) witnesses: LogTrust,
    /// Approvals v2: the trust file that says whose count.
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// Approvals v1: the file with ClawShield's public key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tenant")]
    pub(crate) clawshield_public_key: Option<PathBuf>,
    /// Approvals v1: the tenant that ClawShield may approve for.
    #[arg(long, requires = "clawshield_public_key")]
    pub(crate) tenant: Option<String>,
    /// Run this component once more, and compare what comes of it with what the receipt says.
    #[arg(long, value_name = "COMPONENT")]
    pub(crate) replay: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct AssembleOptions {
    /// The request: the JSON that was posted to /execute, with its approval.
    #[arg(long, value_name = "FILE")]
    pub(crate) request: PathBuf,
    /// The answer: the JSON that came back, also if the execution did not succeed.
    #[arg(long, value_name = "FILE")]
    pub(crate) answer: PathBuf,
    /// The proof: what GET /receipts/{exec_id}/proof answered.
    #[arg(long, value_name = "FILE")]
    pub(crate) proof: Option<PathBuf>,
    /// The name of the host inside requests [default: the approval's, else openexec].
    #[arg(long, value_name = "NAME")]
    pub(crate) audience: Option<String>,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct ReceiptKeygenOptions {
    /// Where the private key goes (PKCS#8, PEM). Refused if it exists.
    pub(crate) file: PathBuf,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct ExportOptions {
    /// The execution's id.
    pub(crate) exec_id: String,
    #[command(flatten)]
    pub(crate) ledger: LedgerSource,
    /// The host's audience, as it is configured there.
    #[arg(long, env = "OPENEXEC_AUDIENCE", value_name = "NAME", default_value = DEFAULT_AUDIENCE)]
    pub(crate) audience: String,
    /// Witnesses whose cosignatures are wanted: the proof is then of the newest checkpoint that they have cosigned.
    #[arg(long = "witness-key", env = "OPENEXEC_WITNESS_KEYS", value_name = "VKEY", value_delimiter = ',')]
    pub(crate) witness_keys: Vec<String>,
}

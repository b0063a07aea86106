//! The command line of `openexec approval`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};
use openexec_core::limits::{APPROVAL_LIFETIME_S_MAX, JSON_INTEGER_MAX, THRESHOLD_MAX};

use super::DEFAULT_AUDIENCE;

/// Largest number that an approval can carry.
const MAX_INTEGER: u64 = JSON_INTEGER_MAX.unsigned_abs();

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalCommand {
    /// Make an Ed25519 key: the private key into FILE, the public key into FILE.pub, its trust-file entry to stdout.
    Keygen(KeygenOptions),
    /// Sign an approval v2 for one request, after showing what will be signed.
    Mint(Box<MintOptions>),
    /// Add a signature to an approval v2, after showing what will be signed.
    Cosign(CosignOptions),
    /// Show what an approval says. Verifies nothing.
    Inspect(InspectOptions),
    /// Check an approval as the host would, without a host: exit code 0, or 1 with a code and a reason.
    Verify(VerifyOptions),
}

#[derive(Clone, Debug, Group)]
pub(crate) struct KeygenOptions {
    /// Where the private key goes (PKCS#8, PEM). Refused if it exists.
    pub(crate) file: PathBuf,
    /// The key's name in the trust file [default: the principal].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Who will sign with it.
    #[arg(long)]
    pub(crate) principal: String,
    /// Roles besides `approver`, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub(crate) roles: Vec<String>,
    /// For whom it may approve, separated by commas; `*` for all.
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) tenants: Vec<String>,
    /// What it may approve, separated by commas; `*` for all.
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) actions: Vec<String>,
}

/// Who signs, and how they say yes.
#[derive(Clone, Debug, Group)]
pub(crate) struct SignOptions {
    /// The private key (PKCS#8, PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The request: the JSON that will be posted to /execute, without its approval.
    #[arg(long, value_name = "FILE")]
    pub(crate) request: PathBuf,
    /// Print the request with the approval in it, ready to be posted, instead of the approval alone.
    #[arg(long)]
    pub(crate) as_request: bool,
    /// Sign without asking. For scripts that have shown the call to somebody.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct MintOptions {
    #[command(flatten)]
    pub(crate) sign: SignOptions,
    /// On whose behalf the call runs.
    #[arg(long)]
    pub(crate) tenant: String,
    /// Whose request it is. Never counts as an approver.
    #[arg(long, value_name = "PRINCIPAL")]
    pub(crate) requester: String,
    /// Who decided.
    #[arg(long, value_name = "PRINCIPAL")]
    pub(crate) issuer: String,
    /// Which host it is for: the audience of its trust file.
    #[arg(long, default_value = DEFAULT_AUDIENCE)]
    pub(crate) audience: String,
    /// For how long it is good, in seconds.
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=APPROVAL_LIFETIME_S_MAX))]
    pub(crate) lifetime_s: u64,
    /// From when on it is good, as YYYY-MM-DDTHH:MM:SSZ [default: now].
    #[arg(long, value_name = "TIME")]
    pub(crate) not_before: Option<String>,
    /// Approve exactly this code: the SHA-256 of a component (`openexec registry list`).
    #[arg(long, value_name = "HEX")]
    pub(crate) component_digest: Option<String>,
    /// Fuel for the run at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_INTEGER))]
    pub(crate) max_fuel: Option<u64>,
    /// Memory for the run at most.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=MAX_INTEGER))]
    pub(crate) max_memory_bytes: Option<u64>,
    /// Size of the result at most.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=MAX_INTEGER))]
    pub(crate) max_output_bytes: Option<u64>,
    /// Time for the run at most.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=MAX_INTEGER))]
    pub(crate) max_wall_ms: Option<u64>,
    /// The class under which it is approved.
    #[arg(long, requires = "threshold")]
    pub(crate) class: Option<String>,
    /// How many approvers it needs; only more than the host's own threshold matters.
    #[arg(long, value_name = "N", requires = "class", value_parser = clap::value_parser!(u64).range(1..=THRESHOLD_MAX))]
    pub(crate) threshold: Option<u64>,
    /// SHA-256 of the policy that was applied.
    #[arg(long, value_name = "HEX")]
    pub(crate) policy_bundle: Option<String>,
    /// SHA-256 of what the approver was shown.
    #[arg(long, value_name = "HEX")]
    pub(crate) preview: Option<String>,
    /// The id of the decision behind it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) decision_id: Option<String>,
    /// The trace of that decision.
    #[arg(long, value_name = "TEXT", requires = "decision_id")]
    pub(crate) trace_id: Option<String>,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct CosignOptions {
    #[command(flatten)]
    pub(crate) sign: SignOptions,
    /// The approval to add a signature to.
    #[arg(long, value_name = "FILE")]
    pub(crate) approval: PathBuf,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct InspectOptions {
    /// The approval.
    pub(crate) approval: PathBuf,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct VerifyOptions {
    /// Approvals v2: the trust file.
    #[arg(long, value_name = "FILE", required_unless_present = "clawshield_public_key")]
    pub(crate) trust: Option<PathBuf>,
    /// Approvals v1: the file with ClawShield's public key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tenant")]
    pub(crate) clawshield_public_key: Option<PathBuf>,
    /// The tenant that the approval must be for.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// The request: the JSON that is posted to /execute; an approval in it is not looked at.
    #[arg(long, value_name = "FILE")]
    pub(crate) request: PathBuf,
    /// The approval.
    #[arg(long, value_name = "FILE")]
    pub(crate) approval: PathBuf,
    /// SHA-256 of the component that would run. An approval of particular code needs it.
    #[arg(long, value_name = "HEX")]
    pub(crate) component_digest: Option<String>,
    /// The time to check at, as YYYY-MM-DDTHH:MM:SSZ [default: now].
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<String>,
    /// Print JSON also when the approval is accepted.
    #[arg(long)]
    pub(crate) json: bool,
}

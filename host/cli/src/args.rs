//! The command line, as it is written. Every setting is a flag and an environment variable; the flag wins.
//!
//! In scope: names, defaults, help texts.
//! Out of scope: whether the values make sense together (`config`).

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use openexec_core::limits::{APPROVAL_LIFETIME_S_MAX, JSON_INTEGER_MAX, LEGACY_LIFETIME_S_DEFAULT, THRESHOLD_MAX};

use crate::config::DEFAULT_AUDIENCE;

/// Largest number that an approval can carry.
const MAX_INTEGER: u64 = JSON_INTEGER_MAX.unsigned_abs();

/// Runs approved actions, and nothing else.
///
/// `OpenExec` executes a pinned WebAssembly component for a request, at most once per nonce, and records what came of
/// it. It opens no outbound connection and decides no policy.
#[derive(Debug, Parser)]
#[command(name = "openexec", version, max_term_width = 110)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the HTTP interface until SIGTERM or SIGINT.
    Serve(Box<ServeOptions>),
    /// Execute one request against a local ledger, without HTTP and along the same path; prints the answer.
    Execute(ExecuteOptions),
    /// Look at what may run.
    #[command(subcommand)]
    Registry(RegistryCommand),
    /// Look after the ledger; also while a host is running on it.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Stop and release what runs on a ledger; takes effect at once on the host that is running on it.
    #[command(subcommand)]
    Control(ControlCommand),
    /// Make, sign, read and check approvals. For whoever governs; the host signs none.
    #[command(subcommand)]
    Approval(ApprovalCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// Check every pin as a start of the host would: digest, imports, exports, limits.
    Verify(RegistrySource),
    /// List the actions with their components and limits.
    List(ListOptions),
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Count executions by state.
    Stats(StatsOptions),
    /// Erase payloads, results, refusal texts and effects of old executions. Their nonces stay used for ever.
    Purge(PurgeOptions),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ControlCommand {
    /// Stop everything: nothing new runs, and what is running is interrupted. Survives restarts.
    Halt(HaltOptions),
    /// End the halt. Quarantines stay.
    Resume(ControlOptions),
    /// Stop one tenant or one action.
    Quarantine(QuarantineOptions),
    /// End the quarantine of a tenant or an action.
    Release(ReleaseOptions),
    /// List what is stopped, since when and why.
    Status(StatusOptions),
}

#[derive(Clone, Debug, Group)]
pub(crate) struct ControlOptions {
    #[command(flatten)]
    pub(crate) ledger: LedgerSource,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct HaltOptions {
    /// Why, for whoever looks later.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) ledger: LedgerSource,
}

#[derive(Clone, Debug, Group)]
#[group(id = "target", required = true, multiple = false)]
pub(crate) struct QuarantineTarget {
    /// The tenant.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// The action.
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct QuarantineOptions {
    #[command(flatten)]
    pub(crate) target: QuarantineTarget,
    /// Why, for whoever looks later.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) ledger: LedgerSource,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct ReleaseOptions {
    #[command(flatten)]
    pub(crate) target: QuarantineTarget,
    #[command(flatten)]
    pub(crate) ledger: LedgerSource,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    pub(crate) ledger: LedgerSource,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

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

#[derive(Clone, Debug, Group)]
pub(crate) struct RegistrySource {
    /// The registry: a registry.toml, its components beside it [default: the one built into this binary].
    #[arg(long, env = "OPENEXEC_REGISTRY", value_name = "FILE")]
    pub(crate) registry: Option<PathBuf>,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct LedgerSource {
    /// The ledger: sqlite:///relative.db or sqlite:////absolute.db. A database of openexec 0.1.10 is taken over.
    #[arg(long, env = "OPENEXEC_DB_URL", value_name = "URL", default_value = "sqlite:///openexec.db")]
    pub(crate) db_url: String,
}

/// What decides whether a request may run, and on which ledger.
#[derive(Clone, Debug, Group)]
pub(crate) struct HostOptions {
    /// How the host decides what may run. `demo` runs every registered action without an approval; `clawshield` runs
    /// nothing without one.
    #[arg(long, env = "OPENEXEC_MODE", value_enum, default_value = "demo")]
    pub(crate) mode: ModeName,
    /// The only actions that may run, separated by commas [default: every registered action].
    #[arg(long, env = "OPENEXEC_ALLOWED_ACTIONS", value_name = "ACTIONS")]
    pub(crate) allowed_actions: Option<String>,
    /// The name of this host, or of the group of hosts that share a ledger, inside every request's identity [default:
    /// the trust file's, else openexec].
    #[arg(long, env = "OPENEXEC_AUDIENCE", value_name = "NAME")]
    pub(crate) audience: Option<String>,
    #[command(flatten)]
    pub(crate) trust: TrustSource,
    #[command(flatten)]
    pub(crate) registry: RegistrySource,
    #[command(flatten)]
    pub(crate) ledger: LedgerSource,
    #[command(flatten)]
    pub(crate) log: LogOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeName {
    /// Every registered action runs without an approval. For trying out, on loopback.
    Demo,
    /// Nothing runs without an approval: ClawShield's artifact (v1), or one by the keys of a trust file (v2).
    Clawshield,
}

/// Whose approvals count in clawshield mode. As text, because a variable that is set but empty is not set.
#[derive(Clone, Debug, Group)]
pub(crate) struct TrustSource {
    /// Approvals v2: whose signatures count, for which tenants and actions, and how many are needed (TOML).
    #[arg(long, env = "OPENEXEC_TRUST_FILE", value_name = "FILE")]
    pub(crate) trust_file: Option<String>,
    /// Approvals v1: ClawShield's public key in PEM, its lines separated by line ends or by `\n`.
    #[arg(long, env = "CLAWSHIELD_PUBLIC_KEY", value_name = "PEM", allow_hyphen_values = true)]
    pub(crate) clawshield_public_key: Option<String>,
    /// Approvals v1: the file with that key, instead.
    #[arg(long, env = "CLAWSHIELD_PUBLIC_KEY_FILE", value_name = "FILE")]
    pub(crate) clawshield_public_key_file: Option<String>,
    /// Approvals v1: the one tenant that they may be for.
    #[arg(long, env = "CLAWSHIELD_TENANT_ID", value_name = "TENANT")]
    pub(crate) clawshield_tenant_id: Option<String>,
    /// Approvals v1: how long one may be valid, in seconds. Approvals v2 have a bound of their own, by class.
    #[arg(long, env = "OPENEXEC_CLAWSHIELD_MAX_LIFETIME_S", value_name = "S", default_value_t = LEGACY_LIFETIME_S_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=APPROVAL_LIFETIME_S_MAX))]
    pub(crate) clawshield_max_lifetime_s: u64,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct LogOptions {
    /// What is logged to stderr: error, warn, info, debug, or a tracing filter. Payloads, nonces and results never are.
    #[arg(long, env = "OPENEXEC_LOG", value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,
    /// How it is logged [default: text on a terminal, else json].
    #[arg(long, env = "OPENEXEC_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct ServeOptions {
    /// Where to listen. Port 0 takes a free one; the log says which.
    #[arg(long, env = "OPENEXEC_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:5000")]
    pub(crate) listen: SocketAddr,
    /// Let demo mode listen on an address that others can reach. Whoever reaches it can execute every action.
    #[arg(long, env = "OPENEXEC_DANGEROUSLY_EXPOSE_DEMO")]
    pub(crate) dangerously_expose_demo: bool,
    #[command(flatten)]
    pub(crate) host: HostOptions,
    /// Runs at once. Each has a slot in the memory pool and a thread.
    #[arg(long, env = "OPENEXEC_CONCURRENCY", value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) concurrency: u32,
    /// Calls that may wait for a run; more get 503 with Retry-After.
    #[arg(long, env = "OPENEXEC_QUEUE", value_name = "N", default_value = "1024", value_parser = clap::value_parser!(u32).range(0..=65_536))]
    pub(crate) queue: u32,
    /// Open connections; more wait to be accepted.
    #[arg(long, env = "OPENEXEC_MAX_CONNECTIONS", value_name = "N", default_value = "4096", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) max_connections: u32,
    /// How long a call waits for its answer, in ms. Then it gets 409; the execution goes on.
    #[arg(long, env = "OPENEXEC_WAIT_MS", value_name = "MS", default_value = "30000", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) wait_ms: u64,
    /// How long a client may take to send a request's head, and then its body, in ms.
    #[arg(long, env = "OPENEXEC_READ_TIMEOUT_MS", value_name = "MS", default_value = "10000", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) read_timeout_ms: u64,
    /// How long a shutdown waits for calls in flight, in ms.
    #[arg(long, env = "OPENEXEC_SHUTDOWN_GRACE_MS", value_name = "MS", default_value = "30000", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) shutdown_grace_ms: u64,
    /// After how many days payloads, results and effects are erased, or `forever`. Nonces and receipts always stay.
    #[arg(long, env = "OPENEXEC_RETENTION_DAYS", value_name = "DAYS", default_value = "30")]
    pub(crate) retention_days: Retention,
}

/// How long bodies are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    Days(u32),
    Forever,
}

impl std::str::FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "forever" => Ok(Self::Forever),
            Ok(days) if days > 0 => Ok(Self::Days(days)),
            Ok(_) | Err(_) => Err("a number of days from 1, or 'forever'".to_owned()),
        }
    }
}

#[derive(Clone, Debug, Group)]
pub(crate) struct ExecuteOptions {
    /// What to do.
    pub(crate) action: String,
    /// With what: one JSON object.
    #[arg(default_value = "{}")]
    pub(crate) payload: String,
    /// The unique value of this call [default: a random UUID].
    #[arg(long)]
    pub(crate) nonce: Option<String>,
    /// The file with the signed approval, in clawshield mode.
    #[arg(long, value_name = "FILE")]
    pub(crate) approval: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) host: HostOptions,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct ListOptions {
    #[command(flatten)]
    pub(crate) registry: RegistrySource,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct StatsOptions {
    #[command(flatten)]
    pub(crate) ledger: LedgerSource,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct PurgeOptions {
    #[command(flatten)]
    pub(crate) ledger: LedgerSource,
    /// Erase what was reserved more than this many days ago; 0 erases everything that is sealed.
    #[arg(long, value_name = "DAYS")]
    pub(crate) older_than_days: u32,
}

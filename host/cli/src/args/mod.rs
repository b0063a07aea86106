//! The command line, as it is written. Every setting is a flag and an environment variable; the flag wins.
//!
//! In scope: names, defaults, help texts; `approval`, `control`, `handler`, `log`, `receipt` and `witness` for the commands
//! of that name.
//! Out of scope: whether the values make sense together (`config`).

pub(crate) mod approval;
pub(crate) mod control;
pub(crate) mod handler;
pub(crate) mod log;
pub(crate) mod receipt;
pub(crate) mod witness;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use openexec_core::limits::{APPROVAL_LIFETIME_S_MAX, LEGACY_LIFETIME_S_DEFAULT};
use openexec_core::registry::Profile;

pub(crate) use approval::ApprovalCommand;
pub(crate) use control::ControlCommand;
pub(crate) use handler::HandlerCommand;
use handler::LimitOptions;
pub(crate) use log::LogCommand;
pub(crate) use receipt::ReceiptCommand;
pub(crate) use witness::WitnessOptions;

/// The audience of a host that nobody has named.
pub(crate) const DEFAULT_AUDIENCE: &str = "openexec";

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
    Execute(Box<ExecuteOptions>),
    /// Say what may run, and look at it.
    #[command(subcommand)]
    Registry(RegistryCommand),
    /// Check, run and test a component, before it is pinned. Needs no host and no ledger.
    #[command(subcommand)]
    Handler(HandlerCommand),
    /// Look after the ledger; also while a host is running on it.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Stop and release what runs on a ledger; takes effect at once on the host that is running on it.
    #[command(subcommand)]
    Control(ControlCommand),
    /// Make, sign, read and check approvals. For whoever governs; the host signs none.
    #[command(subcommand)]
    Approval(ApprovalCommand),
    /// Look after receipts, and check what they prove. Needs no host.
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Look into the log of receipts from outside.
    #[command(subcommand)]
    Log(LogCommand),
    /// Watch the log of another host: cosign what only grows, and keep the evidence of what does not. On another machine.
    Witness(Box<WitnessOptions>),
    /// One component from stdin to an artifact on stdout. For `registry compile` and for starts alone.
    #[command(hide = true)]
    CompileOne(CompileOneOptions),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// Check every pin as a start of the host would: digest, imports, exports, limits.
    Verify(RegistrySource),
    /// List the actions with their components and limits.
    List(ListOptions),
    /// Bind an action to the exact bytes of a component, after checking it as a start of the host would; keeps what else
    /// stands in the registry, comments too. A host reads it at its next start.
    ///
    /// Exit codes: 0 pinned; 1 the component is not acceptable, and nothing was changed; 2 it could not be done.
    Pin(PinOptions),
    /// Take an action out of the registry, with its comments.
    Unpin(UnpinOptions),
    /// Compile every pinned component ahead of time, each in a process of its own, and write registry.lock.
    Compile(CompileOptions),
    /// Make a key for signing registries: the private key into FILE, the public key into FILE.pub.
    Keygen(RegistryKeygenOptions),
    /// Sign the registry, and its lock if there is one: a DSSE envelope of each, FILE.dsse.json, beside it. A host that has
    /// the public key (--registry-key) starts with nothing else.
    Sign(RegistrySignOptions),
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Count executions by state.
    Stats(StatsOptions),
    /// Check everything again: receipts, what they commit to, the tree, checkpoints; and run every execution once more.
    Audit(AuditOptions),
    /// Erase payloads, results, refusal texts and effects of old executions. Their nonces stay used for ever.
    Purge(PurgeOptions),
}

#[derive(Clone, Debug, Group)]
pub(crate) struct RegistrySource {
    /// The registry: a registry.toml, its components beside it [default: the one built into this binary].
    #[arg(long, env = "OPENEXEC_REGISTRY", value_name = "FILE")]
    pub(crate) registry: Option<PathBuf>,
    /// The lock: compiled code for every component, as `openexec registry compile` writes it [default: registry.lock
    /// beside the registry, if it is there; without one the host compiles].
    #[arg(long, env = "OPENEXEC_REGISTRY_LOCK", value_name = "FILE")]
    pub(crate) registry_lock: Option<PathBuf>,
    /// The public key that must have signed the registry, and the lock if there is one: its PEM, base64, or file. Several,
    /// separated by commas or repeated, of which one suffices [default: whoever may write the files is believed].
    #[arg(
        long = "registry-key",
        env = "OPENEXEC_REGISTRY_KEY",
        value_name = "KEY",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub(crate) registry_keys: Vec<String>,
    #[command(flatten)]
    pub(crate) compiler: CompilerOptions,
}

/// What compiling one component may take. Each is compiled in a process of its own.
#[derive(Clone, Copy, Debug, Group)]
pub(crate) struct CompilerOptions {
    /// Address space that compiling one component may take, in MiB.
    #[arg(long = "compile-memory-mib", env = "OPENEXEC_COMPILE_MEMORY_MIB", value_name = "MIB", default_value_t = Self::DEFAULT.memory_mib, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    pub(crate) memory_mib: u64,
    /// How long compiling one component may take, in seconds.
    #[arg(long = "compile-seconds", env = "OPENEXEC_COMPILE_SECONDS", value_name = "S", default_value_t = Self::DEFAULT.seconds, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
}

impl CompilerOptions {
    /// The largest component that was measured (Python, 21 MB) takes a fifth of both.
    pub(crate) const DEFAULT: Self = Self { memory_mib: 4096, seconds: 120 };
}

impl RegistrySource {
    /// Where the lock is, or would be.
    pub(crate) fn lock_path(&self) -> Option<PathBuf> {
        let beside = || self.registry.as_ref().map(|registry| registry.with_file_name("registry.lock"));
        self.registry_lock.clone().or_else(beside)
    }
}

/// The registry that is edited.
#[derive(Clone, Debug, Group)]
pub(crate) struct RegistryFile {
    /// The registry.
    #[arg(long, env = "OPENEXEC_REGISTRY", value_name = "FILE", default_value = "registry.toml")]
    pub(crate) registry: PathBuf,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct PinOptions {
    /// The name of the action.
    pub(crate) action: String,
    /// The component: a file.
    pub(crate) component: PathBuf,
    #[command(flatten)]
    pub(crate) file: RegistryFile,
    /// The handler's own version, for people [default: what the pin says already, else 1.0.0].
    #[arg(long, value_name = "V")]
    pub(crate) name_version: Option<String>,
    /// What the component may import: nothing ("pure"), or WASI 0.2 with virtual time and predictable randomness ("wasi")
    /// [default: what the pin says already, else pure].
    #[arg(long, value_name = "PROFILE", value_parser = handler::profile)]
    pub(crate) profile: Option<Profile>,
    /// Limits that are not named stay as the pin has them.
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct UnpinOptions {
    /// The name of the action.
    pub(crate) action: String,
    #[command(flatten)]
    pub(crate) file: RegistryFile,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct RegistryKeygenOptions {
    /// Where the private key goes (PKCS#8, PEM). Refused if it exists.
    pub(crate) file: PathBuf,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct RegistrySignOptions {
    /// The private key (PKCS#8, PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) file: RegistryFile,
    /// The lock [default: registry.lock beside the registry, if it is there].
    #[arg(long, env = "OPENEXEC_REGISTRY_LOCK", value_name = "FILE")]
    pub(crate) registry_lock: Option<PathBuf>,
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
    pub(crate) keys: KeyOptions,
    #[command(flatten)]
    pub(crate) receipt_log: ReceiptLogOptions,
    #[command(flatten)]
    pub(crate) log: LogOptions,
}

/// The log over the receipts, and who witnesses it.
#[derive(Clone, Debug, Group)]
pub(crate) struct ReceiptLogOptions {
    #[command(flatten)]
    pub(crate) key: LogKeyOptions,
    /// The witnesses whose cosignatures count, as verifier keys, separated by commas; may be repeated.
    #[arg(long, alias = "witness-key", env = "OPENEXEC_WITNESS_KEYS", value_name = "VKEYS", value_delimiter = ',')]
    pub(crate) witness_keys: Vec<String>,
    /// How many witnesses must have cosigned a checkpoint before proofs prefer it to the newest.
    #[arg(long, env = "OPENEXEC_WITNESS_QUORUM", value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=31))]
    pub(crate) witness_quorum: u32,
    /// A checkpoint that a witness cosigned. The host refuses to start on a ledger that does not have what it covers.
    #[arg(long, env = "OPENEXEC_WITNESSED_CHECKPOINT", value_name = "FILE")]
    pub(crate) witnessed_checkpoint: Option<String>,
}

/// What the log is signed with.
#[derive(Clone, Debug, Group)]
pub(crate) struct LogKeyOptions {
    /// The private key that signs the log's checkpoints (PEM) [default: <ledger>.log-key.pem, made at the first start].
    #[arg(long, env = "OPENEXEC_LOG_KEY_FILE", value_name = "FILE")]
    pub(crate) log_key_file: Option<PathBuf>,
    /// The log's name in the world, such as example.com/openexec/1 [default: openexec.local/ and 16 digits of the key's
    /// id]. It stays for the life of the log.
    #[arg(long, env = "OPENEXEC_LOG_ORIGIN", value_name = "NAME")]
    pub(crate) log_origin: Option<String>,
}

/// Where a host's keys are.
#[derive(Clone, Debug, Group)]
pub(crate) struct KeySource {
    #[command(flatten)]
    pub(crate) ledger: LedgerSource,
    #[command(flatten)]
    pub(crate) keys: KeyOptions,
    #[command(flatten)]
    pub(crate) log: LogKeyOptions,
}

/// What the host signs with.
#[derive(Clone, Debug, Group)]
pub(crate) struct KeyOptions {
    /// The private key that signs receipts (PEM) [default: <ledger>.receipt-key.pem, made at the first start].
    #[arg(long, env = "OPENEXEC_RECEIPT_KEY_FILE", value_name = "FILE")]
    pub(crate) receipt_key_file: Option<PathBuf>,
    /// The public key that receipts must verify with: its PEM, base64, or file. The host refuses to start with another.
    #[arg(long, env = "OPENEXEC_RECEIPT_PUBLIC_KEY", value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) receipt_public_key: Option<String>,
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
    /// Run one in so many executions once more, in the background, and compare; 0 for none. A difference is an alarm.
    #[arg(long, env = "OPENEXEC_AUDIT_ONE_IN", value_name = "N", default_value = "1000")]
    pub(crate) audit_one_in: u64,
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
pub(crate) struct CompileOptions {
    #[command(flatten)]
    pub(crate) registry: RegistrySource,
    /// Compile for every processor of this target triple [default: for this machine and its very processor].
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// Where the artifacts go [default: artifacts/ beside the lock].
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct CompileOneOptions {
    /// What error texts call the component.
    pub(crate) path: String,
    #[arg(long)]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) limits: CompilerOptions,
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
pub(crate) struct AuditOptions {
    #[command(flatten)]
    pub(crate) ledger: LedgerSource,
    /// The keys that receipts may be signed with: PEM, base64, or a file [default: those that the ledger itself names,
    /// which proves nothing against whoever can edit it].
    #[arg(long = "receipt-key", value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) receipt_keys: Vec<String>,
    /// The key of the log, as `openexec log key` prints it.
    #[arg(long, value_name = "VKEY")]
    pub(crate) log_key: Option<String>,
    /// Witnesses whose cosignatures must verify.
    #[arg(long = "witness-key", value_name = "VKEY")]
    pub(crate) witness_keys: Vec<String>,
    #[command(flatten)]
    pub(crate) registry: RegistrySource,
    /// Do not run executions again.
    #[arg(long)]
    pub(crate) skip_reexecution: bool,
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

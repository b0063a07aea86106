//! The command line of `openexec witness`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

use super::LogOptions;

/// The witness itself, unless a subcommand is given.
#[derive(Clone, Debug, Group)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct WitnessOptions {
    #[command(subcommand)]
    pub(crate) command: Option<WitnessCommand>,
    /// Where the log is: the URL of a host. By https, or whoever stands between can replay an old checkpoint.
    #[arg(long, env = "OPENEXEC_WITNESS_LOG_URL", value_name = "URL", required = true)]
    pub(crate) log_url: Option<String>,
    /// The log's verifier key, as its operator publishes it: name+id+key. The name is the log's origin.
    #[arg(long, env = "OPENEXEC_WITNESS_LOG_KEY", value_name = "VKEY", required = true)]
    pub(crate) log_key: Option<String>,
    /// The authority (PEM) that the log's TLS certificate must be by [default: the public ones].
    #[arg(long, env = "OPENEXEC_WITNESS_LOG_CA", value_name = "FILE")]
    pub(crate) log_ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) identity: IdentityOptions,
    #[command(flatten)]
    pub(crate) state: StateOptions,
    /// Where to show the latest cosigned checkpoint (/checkpoint) and /health [default: nowhere]. Not with --once.
    #[arg(long, env = "OPENEXEC_WITNESS_LISTEN", value_name = "HOST:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// How often to look, in seconds.
    #[arg(long, env = "OPENEXEC_WITNESS_INTERVAL_S", value_name = "S", default_value = "10", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) interval_s: u64,
    /// Look once and exit: 0 the log only grew, 1 it was caught, 2 nothing could be found out.
    #[arg(long, env = "OPENEXEC_WITNESS_ONCE")]
    pub(crate) once: bool,
    /// Do not hand cosignatures to the log: others ask this witness for them.
    #[arg(long, env = "OPENEXEC_WITNESS_NO_POST")]
    pub(crate) no_post: bool,
    #[command(flatten)]
    pub(crate) log: LogOptions,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum WitnessCommand {
    /// Print the witness's verifier key, for the log's operator and for whoever verifies. Makes the key if there is none.
    Key(IdentityOptions),
    /// Show what was cosigned last, and every alarm with its evidence; exits with 1 if there is one.
    Status(StateOptions),
}

/// Who the witness is.
#[derive(Clone, Debug, Group)]
pub(crate) struct IdentityOptions {
    /// The private key that cosigns (PEM); made if there is no such file.
    #[arg(long, env = "OPENEXEC_WITNESS_KEY", value_name = "FILE", required = true)]
    pub(crate) key: Option<PathBuf>,
    /// The witness's name, such as witness.example/1. It stands in every cosignature.
    #[arg(long, env = "OPENEXEC_WITNESS_NAME", value_name = "NAME", required = true)]
    pub(crate) name: Option<String>,
}

/// Where the witness remembers.
#[derive(Clone, Debug, Group)]
pub(crate) struct StateOptions {
    /// The file with what was cosigned last. Never restore an older copy: the witness would vouch for two histories.
    #[arg(long, env = "OPENEXEC_WITNESS_STATE", value_name = "FILE", default_value = "witness.db")]
    pub(crate) state: PathBuf,
}

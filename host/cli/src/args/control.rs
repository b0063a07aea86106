//! The command line of `openexec control`.

use clap::{Args as Group, Subcommand};

use super::LedgerSource;

#[derive(Debug, Subcommand)]
pub(crate) enum ControlCommand {
    /// Stop everything: nothing new runs, and what is running is interrupted. Survives restarts.
    Halt(HaltOptions),
    /// End the halt. Quarantines stay.
    Resume(LedgerSource),
    /// Stop one tenant or one action.
    Quarantine(QuarantineOptions),
    /// End the quarantine of a tenant or an action.
    Release(ReleaseOptions),
    /// List what is stopped, since when and why.
    Status(StatusOptions),
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

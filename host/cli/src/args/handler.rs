//! The command line of `openexec handler`, and the limits that it shares with `openexec registry pin`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};
use openexec_core::limits::{DEADLINE_MS_MAX, FUEL_MAX, MEMORY_BYTES_MAX, OUTPUT_BYTES_MAX};
use openexec_core::registry::{Limits, Profile};
#[cfg(feature = "compiler")]
use openexec_kit::Language;

#[derive(Debug, Subcommand)]
pub(crate) enum HandlerCommand {
    /// Write a small handler's project that builds as it is: source, schemas, cases, README.
    #[cfg(feature = "compiler")]
    New(NewOptions),
    /// Build the component of a project: NAME.wasm, which imports nothing. Says what to install if a tool is missing;
    /// installs nothing.
    #[cfg(feature = "compiler")]
    Build(BuildOptions),
    /// Check a component as a start of the host would, and run it twice on made-up payloads: every finding, and what to
    /// do about it.
    ///
    /// Exit codes: 0 acceptable; 1 not acceptable; 2 it could not be checked.
    Check(CheckOptions),
    /// Run a component once in the sandbox, with made-up facts and no ledger. Prints what came of it.
    ///
    /// Exit codes: 0 succeeded; 1 failed or faulted; 2 it could not be run.
    Run(RunOptions),
    /// Run the golden cases of a component, and compare: outcome, effects, fuel.
    ///
    /// Exit codes: 0 every case as expected; 1 some are not; 2 it could not be done.
    Test(TestOptions),
    /// Examine the component on standard input, in a process that `check` and `registry pin` have started.
    #[command(hide = true)]
    Examine(ExamineOptions),
}

#[cfg(feature = "compiler")]
#[derive(Clone, Debug, Group)]
pub(crate) struct NewOptions {
    /// What the handler is called: a to z, 0 to 9 and hyphens, as in order-price. The folder and the component are called
    /// so too.
    pub(crate) name: String,
    /// The language to write it in.
    #[arg(long, value_name = "LANGUAGE", value_parser = Language::ALL.map(Language::as_str))]
    pub(crate) lang: String,
}

#[cfg(feature = "compiler")]
#[derive(Clone, Debug, Group)]
pub(crate) struct BuildOptions {
    /// The folder of the project.
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct CheckOptions {
    /// The component: a file.
    pub(crate) component: PathBuf,
    #[command(flatten)]
    pub(crate) profile: ProfileOption,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct RunOptions {
    /// The component: a file.
    pub(crate) component: PathBuf,
    /// The payload: one JSON object, or @FILE, or - for standard input.
    pub(crate) payload: String,
    #[command(flatten)]
    pub(crate) facts: FactOptions,
    #[command(flatten)]
    pub(crate) profile: ProfileOption,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct TestOptions {
    /// The component: a file [default: the only .wasm file here].
    pub(crate) component: Option<PathBuf>,
    /// The folder of the cases: NAME.json with "payload", "expect" and perhaps "fuel_max".
    #[arg(long, value_name = "FOLDER", default_value = "cases")]
    pub(crate) cases: PathBuf,
    /// Write what came of each case as what is expected of it. Payloads and "fuel_max" stay.
    #[arg(long)]
    pub(crate) update: bool,
    /// Run again whenever the component or a case changes, until interrupted.
    #[arg(long, conflicts_with = "update")]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) facts: FactOptions,
    #[command(flatten)]
    pub(crate) profile: ProfileOption,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
}

#[derive(Clone, Debug, Group)]
pub(crate) struct ExamineOptions {
    /// What the component is called in texts.
    pub(crate) path: String,
    /// Also run it, twice on each of some made-up payloads.
    #[arg(long)]
    pub(crate) run_twice: bool,
    #[command(flatten)]
    pub(crate) profile: ProfileOption,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
}

/// What a request would say besides its payload. Fixed, so that a run has the same id every time.
#[derive(Clone, Debug, Group)]
pub(crate) struct FactOptions {
    /// The action that the handler is told.
    #[arg(long, value_name = "NAME", default_value = "handler.test")]
    pub(crate) action: String,
    /// The tenant that the handler is told; `demo` is the one of hosts in demo mode.
    #[arg(long, value_name = "NAME", default_value = "demo")]
    pub(crate) tenant: String,
    /// The nonce that the handler is told.
    #[arg(long, value_name = "TEXT", default_value = "nonce-of-a-test-run")]
    pub(crate) nonce: String,
    /// When the call was reserved, as the handler is told: milliseconds since 1970.
    #[arg(long, value_name = "MS", default_value_t = 1_767_225_600_000)]
    pub(crate) issued_at: u64,
}

/// What the component may import, as in `[action.NAME]`.
#[derive(Clone, Copy, Debug, Group)]
pub(crate) struct ProfileOption {
    /// What the component may import: nothing ("pure"), or WASI 0.2 with virtual time and predictable randomness ("wasi").
    #[arg(long, value_name = "PROFILE", default_value = "pure", value_parser = profile)]
    pub(crate) profile: Profile,
}

pub(super) fn profile(word: &str) -> Result<Profile, String> {
    Profile::parse(word).ok_or_else(|| "a profile is 'pure' or 'wasi'".to_owned())
}

/// What a run may use, as in `[action.NAME.limits]`.
#[derive(Clone, Copy, Debug, Default, Group)]
pub(crate) struct LimitOptions {
    /// Wasm operators that a run may execute [default: 10000000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=FUEL_MAX))]
    pub(crate) fuel: Option<u64>,
    /// Bytes of linear memory that a run may have [default: 16777216].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MEMORY_BYTES_MAX))]
    pub(crate) memory_bytes: Option<u64>,
    /// Bytes that a result may have [default: 65536].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=OUTPUT_BYTES_MAX))]
    pub(crate) output_bytes: Option<u64>,
    /// Milliseconds that a run may take [default: 1000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=DEADLINE_MS_MAX))]
    pub(crate) deadline_ms: Option<u64>,
}

impl LimitOptions {
    /// `base`, with what was named here.
    pub(crate) fn over(&self, base: Limits) -> Limits {
        Limits {
            fuel: self.fuel.unwrap_or(base.fuel),
            memory_bytes: self.memory_bytes.unwrap_or(base.memory_bytes),
            output_bytes: self.output_bytes.unwrap_or(base.output_bytes),
            deadline_ms: self.deadline_ms.unwrap_or(base.deadline_ms),
        }
    }

    /// These limits, each named.
    pub(crate) fn all(limits: Limits) -> Self {
        Self {
            fuel: Some(limits.fuel),
            memory_bytes: Some(limits.memory_bytes),
            output_bytes: Some(limits.output_bytes),
            deadline_ms: Some(limits.deadline_ms),
        }
    }

    /// What was named, by its key in the registry.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let keys = [
            ("fuel", self.fuel),
            ("memory_bytes", self.memory_bytes),
            ("output_bytes", self.output_bytes),
            ("deadline_ms", self.deadline_ms),
        ];
        keys.into_iter().filter_map(|(key, value)| Some((key, value?)))
    }
}

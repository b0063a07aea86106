//! `openexec ledger`: looking after a ledger, also while a host is running on it.

use std::error::Error;
use std::process::ExitCode;

use openexec_core::time::Timestamp;
use openexec_ledger::Ledger;
use openexec_ledger::sqlite::SqliteLedger;
use openexec_server::clock::{Clock, SystemClock};
use openexec_server::executor;
use serde_json::json;

use crate::args::{LedgerSource, PurgeOptions, StatsOptions};
use crate::config::{self, LedgerPath};
use crate::logging::say;
use crate::serve::before;

/// Opens an existing ledger beside the host that may be running on it.
pub(crate) fn open(source: &LedgerSource) -> Result<SqliteLedger, Box<dyn Error>> {
    Ok(SqliteLedger::open_for_maintenance(&LedgerPath::parse(&source.db_url)?.0)?)
}

/// Counts executions by state.
pub(crate) fn stats(options: &StatsOptions) -> Result<ExitCode, Box<dyn Error>> {
    let stats = open(&options.ledger)?.stats()?;
    let rows = [
        ("reserved", stats.n_reserved),
        ("succeeded", stats.n_succeeded),
        ("failed", stats.n_failed),
        ("faulted", stats.n_faulted),
        ("interrupted", stats.n_interrupted),
        ("erased", stats.n_erased),
    ];
    if options.json {
        let object: serde_json::Map<_, _> = rows.iter().map(|(name, n)| ((*name).to_owned(), json!(n))).collect();
        say(&serde_json::Value::Object(object).to_string());
    } else {
        for (name, n) in rows {
            say(&format!("{name:<12} {n:>12}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Erases old bodies.
pub(crate) fn purge(options: &PurgeOptions) -> Result<ExitCode, Box<dyn Error>> {
    let ledger = open(&options.ledger)?;
    let before = match options.older_than_days {
        0 => Timestamp::MAX, // everything, also what a clock ahead of ours reserved
        days => before(SystemClock.now(), config::days_to_duration(days)),
    };
    let n_erased = executor::erase(&ledger, before)?;
    say(&format!("erased the bodies of {n_erased} executions; their nonces stay used"));
    Ok(ExitCode::SUCCESS)
}

//! `openexec ledger`: looking after a ledger, also while a host is running on it.

use std::error::Error;
use std::process::ExitCode;

use openexec_core::log::note::VerifierKey;
use openexec_core::time::Timestamp;
use openexec_ledger::sqlite::SqliteLedger;
use openexec_ledger::{Ledger, Receipts};
use openexec_sandbox::Settings;
use openexec_server::audit::{self, AuditKeys, Checked};
use openexec_server::clock::{Clock, SystemClock};
use openexec_server::executor;
use serde_json::json;

use crate::args::{AuditOptions, LedgerSource, PurgeOptions, StatsOptions};
use crate::config::{self, LedgerPath};
use crate::logging::say;
use crate::serve::before;
use crate::{components, keys};

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

/// Checks everything again; finding nothing is success.
pub(crate) fn audit(options: &AuditOptions) -> Result<ExitCode, Box<dyn Error>> {
    let ledger = open(&options.ledger)?;
    let vkey = |text: &String| VerifierKey::parse(text).map_err(|error| format!("'{text}': {error}"));
    let given: Vec<_> = options.receipt_keys.iter().map(|text| keys::read_public(text)).collect::<Result<_, _>>()?;
    let are_given = !given.is_empty();
    let receipt_keys = match are_given {
        true => given,
        false => ledger.keys()?.into_iter().map(|key| key.public).collect(),
    };
    let keys = AuditKeys {
        receipt_keys,
        log_key: options.log_key.as_ref().map(vkey).transpose()?,
        witness_keys: options.witness_keys.iter().map(vkey).collect::<Result<_, _>>()?,
    };
    let sandbox = match options.skip_reexecution {
        true => None,
        false => Some(components::load(&options.registry)?.code.start(Settings { n_slots: 1 })?),
    };
    let mut findings = Vec::new();
    let checked = audit::audit(&ledger, sandbox.as_ref(), &keys, &mut |finding| {
        if !options.json {
            say(&finding.to_string());
        }
        findings.push(finding);
    })?;
    let Checked { n_receipts, n_erased, n_repeated, n_tiles, n_checkpoints } = checked;
    if options.json {
        let list: Vec<_> =
            findings.iter().map(|finding| json!({"place": finding.place, "what": finding.what})).collect();
        say(&json!({
            "findings": list, "receipts": n_receipts, "erased": n_erased, "run_again": n_repeated, "tiles": n_tiles,
            "checkpoints": n_checkpoints, "receipt_keys_given": are_given, "log_key_given": keys.log_key.is_some(),
        })
        .to_string());
    } else {
        say(&format!(
            "checked {n_receipts} receipts ({n_erased} erased), ran {n_repeated} executions again, checked {n_tiles} tiles \
             and {n_checkpoints} checkpoints: {}",
            match findings.len() {
                0 => "everything is as it must be".to_owned(),
                n => format!("{n} findings"),
            }
        ));
        if !are_given {
            say("the receipt keys were the ledger's own: give --receipt-key to trust nothing of it");
        }
        if keys.log_key.is_none() {
            say("signatures of checkpoints were not checked: give --log-key");
        }
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

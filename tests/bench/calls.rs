//! One call of each of several components, as a host makes it: a fresh instance, called once, and gone.
//!
//! In scope: the mean time of many calls with one payload, each component alone on one thread.
//! Out of scope: the ledger, HTTP; compiling, which happens before.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use openexec_core::digest::Digest;
use openexec_core::limits::{FUEL_MAX, MEMORY_BYTES_MAX};
use openexec_core::names::Action;
use openexec_core::outcome::Outcome;
use openexec_core::registry::{Limits, Pin, Profile};
use openexec_core::reservation::Reservation;
use openexec_sandbox::{ComponentFile, Sandbox, Settings};
use openexec_tests::facts;

use crate::error::BenchError;
use crate::primitives::{failed, time};

/// Slots of the sandbox, as many as a host that expects load has.
const N_SLOTS: u32 = 64;

const ACTION: &str = "order.confirm";

#[derive(Debug, Args)]
pub(crate) struct CallsArgs {
    /// The components to call.
    #[arg(required = true)]
    components: Vec<PathBuf>,
    /// The payload.
    #[arg(
        long,
        default_value = r#"{"order":"A-1001","currency":"EUR","lines":[{"sku":"tea-250","quantity":2,"unit_minor":1250},{"sku":"mug-1","quantity":1,"unit_minor":900}]}"#
    )]
    payload: String,
    /// Seconds for each component.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

/// Times them in turn; the table.
pub(crate) fn measure(arguments: &CallsArgs) -> Result<String, BenchError> {
    let mut table = format!("{:<42} {:>11} {:>11} {:>11}\n", "instantiate + call", "µs each", "fuel", "to the first");
    let mut first = None;
    for path in &arguments.components {
        let (each, fuel) = call(path, &arguments.payload, Duration::from_secs(arguments.seconds))?;
        let micros = each.as_secs_f64() * 1e6;
        let ratio = micros / *first.get_or_insert(micros);
        table.push_str(&format!("{:<42} {micros:>11.1} {fuel:>11} {ratio:>11.2}\n", path.display()));
    }
    Ok(table)
}

fn call(path: &Path, payload: &str, each: Duration) -> Result<(Duration, u64), BenchError> {
    let bytes = std::fs::read(path).map_err(|error| failed(&format!("{}: {error}", path.display())))?;
    let digest = Digest::of(&bytes);
    let limits = Limits { fuel: FUEL_MAX, memory_bytes: MEMORY_BYTES_MAX, deadline_ms: 10_000, ..Limits::default() };
    let pin = Pin {
        component: path.display().to_string(),
        digest,
        version: "1".to_owned(),
        profile: Profile::Pure,
        limits,
        description: None,
    };
    let action = Action::parse(ACTION).map_err(|error| failed(&error))?;
    let file = ComponentFile { action, pin, path: path.display().to_string(), bytes };
    let sandbox = Sandbox::start(vec![file], Settings { n_slots: N_SLOTS }).map_err(|error| failed(&error))?;
    let body = format!(r#"{{"action":"{ACTION}","payload":{payload},"nonce":"call-1"}}"#);
    let reservation = Reservation::made_durable(facts::reserved("demo", body.as_bytes(), digest, limits, 0));
    let run = || sandbox.run(&reservation, Arc::new(|| false)).map_err(|error| failed(&error));
    let expected = run()?;
    if !matches!(expected.outcome, Outcome::Succeeded { .. }) {
        return Err(failed(&format!("{}: {:?}", path.display(), expected.outcome)));
    }
    let mean = time(each, |_| {
        let again = run()?;
        let is_same = again.outcome == expected.outcome && again.resources.fuel == expected.resources.fuel;
        if is_same { Ok(()) } else { Err(failed(&format!("{}: another outcome or fuel", path.display()))) }
    })?;
    Ok((mean, expected.resources.fuel))
}

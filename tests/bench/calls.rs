//! One call of each of several components, as a host makes it: a fresh instance, called once, and gone.
//!
//! In scope: the median and the mean of many calls with one payload, each component alone on one thread. The median is what
//! a call costs; on a machine that is shared, the mean says more about the neighbours.
//! Out of scope: the ledger, HTTP; compiling, which happens before.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use openexec_core::digest::Digest;
use openexec_core::limits::{FUEL_MAX, MEMORY_BYTES_MAX};
use openexec_core::names::Action;
use openexec_core::outcome::Outcome;
use openexec_core::registry::{Limits, Pin, Profile};
use openexec_core::reservation::Reservation;
use openexec_sandbox::{ComponentFile, Sandbox, Settings};
use openexec_tests::facts;

use crate::error::BenchError;
use crate::primitives::failed;

/// Slots of the sandbox, as many as a host that expects load has.
const N_SLOTS: u32 = 64;

const ACTION: &str = "order.confirm";

/// The longest call that is told from longer ones: the deadline.
const CALL_NANOS_MAX: u64 = 10_000_000_000;

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

/// What the calls of one component took, in nanoseconds, and the fuel of each.
struct Calls {
    times: Histogram<u64>,
    fuel: u64,
}

/// Times them in turn; the table.
pub(crate) fn measure(arguments: &CallsArgs) -> Result<String, BenchError> {
    let head = ("instantiate + call", "p50 µs", "mean µs", "fuel", "p50 to the first");
    let mut table = format!("{:<42} {:>9} {:>9} {:>11} {:>17}\n", head.0, head.1, head.2, head.3, head.4);
    let mut first = None;
    for path in &arguments.components {
        let Calls { times, fuel } = call(path, &arguments.payload, Duration::from_secs(arguments.seconds))?;
        let median = Duration::from_nanos(times.value_at_quantile(0.5)).as_secs_f64() * 1e6;
        let mean = times.mean() / 1e3;
        let ratio = median / *first.get_or_insert(median);
        table.push_str(&format!("{:<42} {median:>9.1} {mean:>9.1} {fuel:>11} {ratio:>17.2}\n", path.display()));
    }
    Ok(table)
}

fn call(path: &Path, payload: &str, duration: Duration) -> Result<Calls, BenchError> {
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
    let mut times = Histogram::new_with_bounds(1, CALL_NANOS_MAX, 3).map_err(|error| failed(&error))?;
    let begun = Instant::now();
    while begun.elapsed() < duration {
        let called = Instant::now();
        let again = run()?;
        times.saturating_record(u64::try_from(called.elapsed().as_nanos()).unwrap_or(u64::MAX));
        if again != expected {
            return Err(failed(&format!("{}: another outcome or other resources", path.display())));
        }
    }
    Ok(Calls { times, fuel: expected.resources.fuel })
}

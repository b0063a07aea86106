//! The primitives of one execution, each timed alone in this process: their sum is the limit that a host can approach.
//!
//! In scope: parse and identify, reserve and seal (alone, and as a share of a group commit), instantiate and call (beside the
//! same logic without a sandbox), verify an approval.
//! Out of scope: HTTP, threads that wait, everything else a host does; that is what `serve` measures.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use openexec_core::approval::{Approval, Call};
use openexec_core::digest::Digest;
use openexec_core::json;
use openexec_core::keys::PublicKey;
use openexec_core::names::Action;
use openexec_core::outcome::Outcome;
use openexec_core::registry::{Limits, Pin, Profile};
use openexec_core::request::Submission;
use openexec_core::reservation::{Reservation, Reserved};
use openexec_core::time::Timestamp;
use openexec_core::trust::{Trust, TrustFile};
use openexec_ledger::sqlite::SqliteLedger;
use openexec_ledger::{Claim, Ledger, Receipts};
use openexec_sandbox::{ComponentFile, Sandbox, Settings};
use openexec_tests::facts::{self, receipt_key, seal};

use crate::approvals::Approver;
use crate::error::BenchError;

/// Slots of the sandbox, one a caller.
const N_SLOTS: u32 = 64;

/// Callers that share group commits, as many as the widest load of a session.
const N_CALLERS: usize = 64;

/// What one execution consists of, as mean time.
#[derive(Debug)]
pub(crate) struct Primitives {
    rows: Vec<(&'static str, Duration)>,
}

/// Times every primitive for about `each`.
pub(crate) fn measure(component: &Path, each: Duration) -> Result<Primitives, BenchError> {
    let bytes = std::fs::read(component).map_err(|error| failed(&format!("{}: {error}", component.display())))?;
    let digest = Digest::of(&bytes);
    let action = Action::parse("echo").map_err(|error| failed(&error))?;
    let pin = Pin {
        component: component.display().to_string(),
        digest,
        version: "1".to_owned(),
        profile: Profile::Pure,
        limits: Limits::default(),
        description: None,
    };
    let file = ComponentFile { action, pin, path: component.display().to_string(), bytes };
    let sandbox = Sandbox::start(vec![file], Settings { n_slots: N_SLOTS }).map_err(|error| failed(&error))?;
    let facts = |i: u64| reserved(i, digest);

    let parse = time(each, |i| {
        drop(facts(i));
        Ok(())
    })?;
    let call = {
        let reservation = Reservation::made_durable(facts(0));
        time(each, |_| sandbox.run(&reservation, Arc::new(|| false)).map(drop).map_err(|error| failed(&error)))?
    };
    let native = native(each, &sandbox, &Reservation::made_durable(facts(0)))?;
    let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
    let ledger = SqliteLedger::open(&folder.path().join("bench.db")).map_err(|error| failed(&error))?;
    ledger.adopt_key(receipt_key().public().clone(), NOW).wait().map_err(|error| failed(&error))?;
    let execute = |i: u64| -> Result<(), BenchError> {
        match ledger.reserve(facts(i)).wait().map_err(|error| failed(&error))? {
            Claim::Fresh(reservation) => {
                let run = sandbox.run(&reservation, Arc::new(|| false)).map_err(|error| failed(&error))?;
                ledger
                    .seal(&reservation, &seal(&reservation, run, NOW))
                    .wait()
                    .map(drop)
                    .map_err(|error| failed(&error))
            }
            other => Err(failed(&format!("{other:?}"))),
        }
    };
    let alone = time(each, execute)?;
    let next = AtomicU64::new(1 << 32);
    let together = together(each, || execute(next.fetch_add(1, Ordering::Relaxed)))?;
    let Approved { verify, signature } = approved(each)?;
    let commits_alone = alone.saturating_sub(parse + call);
    let commits_shared = together.saturating_sub(parse + call);
    Ok(Primitives {
        rows: vec![
            ("parse, canonicalise, digest, identify", parse),
            ("instantiate + call echo, fresh store", call),
            ("reserve + seal, two commits alone", commits_alone),
            ("reserve + seal, share of group commits", commits_shared),
            ("verify an approval v2: all of it", verify),
            ("verify an approval v2: its signature alone", signature),
            ("the logic of echo, called natively", native),
        ],
    })
}

/// How often the native call is made between two looks at the clock, which cost as much as it does.
const N_NATIVE: u32 = 1_000;

/// Times what `handlers/echo` does with a payload, compiled into this program, after making sure that it does the same.
fn native(each: Duration, sandbox: &Sandbox, reservation: &Reservation) -> Result<Duration, BenchError> {
    let payload: &str = &reservation.facts().payload;
    let echo = |payload: &str| ["{\"echo\":", payload, "}"].concat();
    let run = sandbox.run(reservation, Arc::new(|| false)).map_err(|error| failed(&error))?;
    match run.outcome {
        Outcome::Succeeded { result, .. } if result.as_str() == echo(payload) => {}
        other => return Err(failed(&format!("the component does something else than echo: {other:?}"))),
    }
    let many = time(each, |_| {
        (0..N_NATIVE).for_each(|_| drop(black_box(echo(black_box(payload)))));
        Ok(())
    })?;
    Ok(many / N_NATIVE)
}

/// What an approval v2 costs.
struct Approved {
    verify: Duration,
    signature: Duration,
}

/// Times reading and verifying an approval v2 (JSON, envelope, signature, body, bindings), and its signature alone.
fn approved(each: Duration) -> Result<Approved, BenchError> {
    let approver = Approver::new()?;
    let file = TrustFile::parse(&approver.trust_file()).map_err(|error| failed(&error))?;
    let audience = file.audience().clone();
    let key: PublicKey = file.keys().next().ok_or_else(|| failed(&"no key"))?.public.clone();
    let trust = Trust::of(None, Some(file)).ok_or_else(|| failed(&"no trust"))?;
    let nonce = "primitive-0000000000";
    let body = format!(r#"{{"action":"echo","payload":{{"msg":"hello"}},"nonce":"{nonce}"}}"#);
    let request = Submission::parse(body.as_bytes()).map_err(|error| failed(&error))?.request;
    let envelope = approver.approve(&request, nonce, 1, NOW)?;
    let text = json::jcs(&envelope.to_value());
    let verify = time(each, |_| {
        let call = Call { request: &request, audience: &audience, tenant: None, component: None };
        let value = json::read(text.as_bytes()).map_err(|error| failed(&error))?;
        let approval = Approval::parse(value).map_err(|error| failed(&error))?;
        approval.verify(&trust, call, NOW).map(drop).map_err(|not| failed(&not.refusal))
    })?;
    let message = envelope.pre_authentication_encoding();
    let signature = envelope.signatures().first().ok_or_else(|| failed(&"no signature"))?.signature;
    let signature = time(each, |_| key.verify(&message, &signature).map_err(|error| failed(&error)))?;
    Ok(Approved { verify, signature })
}

pub(crate) fn failed(what: &dyn std::fmt::Display) -> BenchError {
    BenchError::Primitive(what.to_string())
}

const NOW: Timestamp = Timestamp::EPOCH;

/// What the host makes of a body, up to what it hands to the ledger.
fn reserved(i: u64, component: Digest) -> Reserved {
    let body = format!(r#"{{"action":"echo","payload":{{"msg":"hello"}},"nonce":"primitive-{i}"}}"#);
    facts::reserved("demo", body.as_bytes(), component, Limits::default(), NOW.unix_ms())
}

pub(crate) fn time(
    each: Duration,
    mut step: impl FnMut(u64) -> Result<(), BenchError>,
) -> Result<Duration, BenchError> {
    let (started, mut n) = (Instant::now(), 0_u32);
    while started.elapsed() < each {
        step(u64::from(n))?;
        n += 1;
    }
    Ok(started.elapsed() / n.max(1))
}

/// Mean wall time per execution when many callers run at once.
fn together(each: Duration, step: impl Fn() -> Result<(), BenchError> + Sync) -> Result<Duration, BenchError> {
    let (started, n) = (Instant::now(), AtomicU64::new(0));
    thread::scope(|scope| {
        let work = || {
            while started.elapsed() < each {
                step()?;
                n.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let callers: Vec<_> = (0..N_CALLERS).map(|_| scope.spawn(work)).collect();
        callers.into_iter().try_for_each(|caller| match caller.join() {
            Ok(done) => done,
            Err(_) => Err(BenchError::Primitive("a thread died".to_owned())),
        })
    })?;
    let n = u32::try_from(n.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
    Ok(started.elapsed() / n.max(1))
}

impl Primitives {
    pub(crate) fn to_text(&self) -> String {
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
        let mut text = String::from("primitive                                          µs each\n");
        for (name, duration) in &self.rows {
            text.push_str(&format!("{name:<46} {:>11.2}\n", micros(*duration)));
        }
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let limit = |which: &[usize]| {
            let sum: f64 = which.iter().filter_map(|at| self.rows.get(*at)).map(|(_, each)| micros(*each)).sum();
            1e6 / sum
        };
        text.push_str(&format!(
            "limit of one connection, without HTTP: {:.0} executions/s (parse + call + two commits alone), \
             {:.0} with an approval\n\
             limit of {N_CALLERS} connections on {cores} cores, without HTTP: {:.0} executions/s (the three shared)\n",
            limit(&[0, 1, 2]),
            limit(&[0, 1, 2, 4]),
            limit(&[0, 1, 3]),
        ));
        text
    }
}

//! The closed loop: every connection sends a request, waits for the answer, sends the next.
//!
//! In scope: warming up, measuring for a while, counting answers and their latencies.
//! Out of scope: an open arrival rate. When the host stalls, this client stalls with it, so the latencies are
//! those of a caller that waits, not of callers that keep arriving.
//!
//! Invariants
//! - An answer counts if it arrives while the window is open; CPU time is read at the edges of the same window.
//! - Latencies are those of executions (status 200). Refusals are often faster and would flatter them.
//! - No connection has more than one request in flight.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hyper::StatusCode;
use tokio::task::{JoinSet, LocalSet};

use crate::bodies::Bodies;
use crate::connection::{Answer, Connection, Target};
use crate::error::BenchError;
use crate::process::Process;

/// How long answers in flight are awaited after the window has closed.
const LAST_ANSWER_SECONDS_MAX: u64 = 30;
/// Finest latency told apart.
const LATENCY_NANOS_MIN: u64 = 1_000;
/// Latencies above this are recorded as this.
const LATENCY_NANOS_MAX: u64 = 120_000_000_000;
/// Digits kept of each latency: an error of at most one in a thousand.
const LATENCY_DIGITS: u8 = 3;
/// Kept of the first answer of each kind of failure, to say what went wrong.
const SAMPLE_CHARS_MAX: usize = 240;

/// How to load a host once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    pub(crate) warmup: Duration,
    pub(crate) window: Duration,
}

/// What one run of a plan saw.
#[derive(Debug)]
pub(crate) struct Measurement {
    pub(crate) elapsed: Duration,
    pub(crate) executions: u64,
    pub(crate) latencies: Histogram<u64>,
    pub(crate) failures: BTreeMap<Failure, FailureCount>,
    /// Executions answered from an earlier one.
    pub(crate) replayed: u64,
    /// Connections that the host closed between two requests.
    pub(crate) reopened: u64,
    /// Requests without an answer long after the window.
    pub(crate) unanswered: usize,
    pub(crate) supply: Supply,
    pub(crate) client_cpu: Duration,
    pub(crate) server_cpu: Option<Duration>,
    pub(crate) server_peak_bytes: Option<u64>,
}

/// Whether the bodies lasted until the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supply {
    Lasted,
    RanOut,
}

/// A way for a request not to end in an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The host answered with another status than 200.
    Status(u16),
    /// The connection broke before the answer was complete.
    Broken,
}

/// How often a failure was seen, and the first of its kind.
#[derive(Debug)]
pub(crate) struct FailureCount {
    pub(crate) count: u64,
    pub(crate) sample: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Warmup,
    Open,
    Closed,
}

/// What the connections of one run write down together.
#[derive(Debug)]
struct Scoreboard {
    phase: Cell<Phase>,
    latencies: RefCell<Histogram<u64>>,
    failures: RefCell<BTreeMap<Failure, FailureCount>>,
    replayed: Cell<u64>,
    reopened: Cell<u64>,
}

type Loops = JoinSet<Result<(), BenchError>>;

/// Loads `target` once and says what happened. `server` is the process behind it, where that is known.
pub(crate) async fn measure(
    target: &Rc<Target>,
    bodies: &Rc<Bodies>,
    server: Option<Process>,
    plan: Plan,
) -> Result<Measurement, BenchError> {
    LocalSet::new().run_until(measure_local(target, bodies, server, plan)).await
}

async fn measure_local(
    target: &Rc<Target>,
    bodies: &Rc<Bodies>,
    server: Option<Process>,
    plan: Plan,
) -> Result<Measurement, BenchError> {
    let score = Rc::new(Scoreboard::blank());
    let mut loops = Loops::new();
    for _ in 0..plan.connections {
        loops.spawn_local(post_until_closed(target.clone(), bodies.clone(), score.clone()));
    }
    ended_within(&mut loops, plan.warmup).await?;

    let opened = Edge::now(server)?;
    score.phase.set(Phase::Open);
    let supply = ended_within(&mut loops, plan.window).await?;
    score.phase.set(Phase::Closed);
    let closed = Edge::now(server)?;

    ended_within(&mut loops, Duration::from_secs(LAST_ANSWER_SECONDS_MAX)).await?;
    let latencies = score.latencies.borrow().clone();
    Ok(Measurement {
        elapsed: closed.at - opened.at,
        executions: latencies.len(),
        latencies,
        failures: score.failures.take(),
        replayed: score.replayed.get(),
        reopened: score.reopened.get(),
        unanswered: loops.len(),
        supply,
        client_cpu: closed.client_cpu.saturating_sub(opened.client_cpu),
        server_cpu: closed.server_cpu.zip(opened.server_cpu).map(|(end, start)| end.saturating_sub(start)),
        server_peak_bytes: server.map(Process::peak_memory_bytes).transpose()?,
    })
}

/// Clocks read at one edge of the window.
#[derive(Debug)]
struct Edge {
    at: Instant,
    client_cpu: Duration,
    server_cpu: Option<Duration>,
}

impl Edge {
    fn now(server: Option<Process>) -> Result<Self, BenchError> {
        Ok(Self {
            client_cpu: Process::Own.cpu_time()?,
            server_cpu: server.map(Process::cpu_time).transpose()?,
            at: Instant::now(),
        })
    }
}

/// Lets the loops run for `limit`, or until all of them have ended because there are no more bodies.
async fn ended_within(loops: &mut Loops, limit: Duration) -> Result<Supply, BenchError> {
    let deadline = tokio::time::Instant::now() + limit;
    while let Ok(next) = tokio::time::timeout_at(deadline, loops.join_next()).await {
        match next {
            None => return Ok(Supply::RanOut),
            Some(Ok(ended)) => ended?,
            Some(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
    Ok(Supply::Lasted)
}

async fn post_until_closed(target: Rc<Target>, bodies: Rc<Bodies>, score: Rc<Scoreboard>) -> Result<(), BenchError> {
    let mut connection = Connection::open(&target).await?;
    while score.phase.get() != Phase::Closed {
        let Some(body) = bodies.next()? else { break };
        let sent = Instant::now();
        if connection.idle().await.is_err() {
            connection = Connection::open(&target).await?;
            score.count(&score.reopened);
        }
        match connection.post_execute(body).await {
            Ok(answer) => score.record(&answer, sent.elapsed()),
            Err(error) => {
                score.record_failure(Failure::Broken, &error.to_string());
                connection = Connection::open(&target).await?;
            }
        }
    }
    Ok(())
}

impl Scoreboard {
    #[expect(clippy::expect_used, reason = "the bounds are constants, and in range")]
    fn blank() -> Self {
        let latencies =
            Histogram::new_with_bounds(LATENCY_NANOS_MIN, LATENCY_NANOS_MAX, LATENCY_DIGITS).expect("bounds in range");
        Self {
            phase: Cell::new(Phase::Warmup),
            latencies: RefCell::new(latencies),
            failures: RefCell::default(),
            replayed: Cell::new(0),
            reopened: Cell::new(0),
        }
    }

    fn record(&self, answer: &Answer, latency: Duration) {
        if answer.status != StatusCode::OK {
            let text = String::from_utf8_lossy(&answer.body);
            return self.record_failure(Failure::Status(answer.status.as_u16()), &text);
        }
        if self.phase.get() == Phase::Open {
            let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
            self.latencies.borrow_mut().saturating_record(nanos);
        }
        if answer.replayed {
            self.count(&self.replayed);
        }
    }

    fn record_failure(&self, failure: Failure, text: &str) {
        if self.phase.get() == Phase::Open {
            let sample = || text.chars().take(SAMPLE_CHARS_MAX).collect();
            let mut failures = self.failures.borrow_mut();
            let entry = failures.entry(failure).or_insert_with(|| FailureCount { count: 0, sample: sample() });
            entry.count += 1;
        }
    }

    fn count(&self, counter: &Cell<u64>) {
        if self.phase.get() == Phase::Open {
            counter.set(counter.get() + 1);
        }
    }
}

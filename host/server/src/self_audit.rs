//! The host checks itself: now and then it runs an execution that is over once more, and compares.
//!
//! In scope: taking a sample off the request path, comparing, remembering a difference.
//! Out of scope: auditing a whole ledger (`audit`).
//!
//! A difference means that this machine, its engine or a component does not do what receipts say it does: faulty memory, a
//! defect of the compiler, an edited component. It is an alarm that does not go away by itself (`/ready`, `/metrics`, the
//! log); nothing that was sealed is changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{io, thread};

use openexec_core::outcome::{Fault, Outcome, Run};
use openexec_core::reservation::{Rerun, Reserved};
use openexec_sandbox::Sandbox;

/// Samples that wait. More are let go: checking must not hold up what is checked.
const QUEUE_MAX: usize = 16;

/// One execution that is over.
#[derive(Debug)]
pub struct Sample {
    /// What it depended on.
    pub facts: Reserved,
    /// What came of it, as it was sealed.
    pub run: Run,
}

/// Takes samples and compares them, on a thread of its own. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SelfAudit {
    queue: Option<SyncSender<Sample>>,
    /// One in so many executions is a sample; 0 for none.
    one_in: u64,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    offered: AtomicU64,
    equal: AtomicU64,
    different: AtomicU64,
    skipped: AtomicU64,
}

/// What came of the samples so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Ran again with the same outcome, fuel and memory.
    pub n_equal: u64,
    /// Did not.
    pub n_different: u64,
    /// Were not run again: too much to do, or the outcome depends on the machine.
    pub n_skipped: u64,
}

impl SelfAudit {
    /// No samples at all.
    #[must_use]
    pub fn off() -> Self {
        Self { queue: None, one_in: 0, counts: Arc::default() }
    }

    /// One sample in `one_in` executions; `sandbox` needs a slot for it.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn start(one_in: u64, sandbox: Arc<Sandbox>) -> io::Result<Self> {
        if one_in == 0 {
            return Ok(Self::off());
        }
        let (queue, samples) = sync_channel(QUEUE_MAX);
        let counts = Arc::<Counts>::default();
        let shared = counts.clone();
        thread::Builder::new().name("self-audit".to_owned()).spawn(move || compare_all(&samples, &sandbox, &shared))?;
        Ok(Self { queue: Some(queue), one_in, counts })
    }

    /// Takes this execution as a sample if it is its turn. Never waits.
    pub fn offer(&self, facts: &Reserved, outcome: &Outcome, run: impl FnOnce() -> Run) {
        let Some(queue) = &self.queue else { return };
        if !self.counts.offered.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in) {
            return;
        }
        let is_comparable = match outcome {
            Outcome::Succeeded { .. } | Outcome::Failed(_) => true,
            Outcome::Faulted(fault) => *fault != Fault::Deadline, // that depends on the machine
            Outcome::Interrupted => false,
        };
        let sample = is_comparable.then(|| Sample { facts: facts.clone(), run: run() });
        if sample.is_none_or(|sample| queue.try_send(sample).is_err()) {
            self.counts.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What came of the samples so far.
    #[must_use]
    pub fn audited(&self) -> Audited {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counts { equal, different, skipped, .. } = &*self.counts;
        Audited { n_equal: count(equal), n_different: count(different), n_skipped: count(skipped) }
    }
}

fn compare_all(samples: &Receiver<Sample>, sandbox: &Sandbox, counts: &Counts) {
    for Sample { facts, run } in samples {
        let exec_id = facts.exec_id;
        let counter = match sandbox.rerun(&Rerun::of(facts)) {
            Ok(again) if again == run => &counts.equal,
            // The run was stopped from outside, by the clock: it says nothing about the first one.
            Ok(Run { outcome: Outcome::Faulted(Fault::Deadline) | Outcome::Interrupted, .. }) | Err(_) => {
                &counts.skipped
            }
            Ok(again) => {
                let (sealed, now) = (run.outcome.status().as_str(), again.outcome.status().as_str());
                tracing::error!(
                    %exec_id, sealed, now, fuel_sealed = run.resources.fuel, fuel_now = again.resources.fuel,
                    "self-audit: an execution that was run again came out differently; do not trust this host"
                );
                &counts.different
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

//! Virtual time: it starts at the reservation, advances by a step at every reading, and jumps instead of waiting.
//!
//! In scope: reading, deadlines, waiting for whatever comes first.
//! Out of scope: the wall-clock deadline of a run, which is real (`ticker`).
//!
//! A clock that stood still would not do: a runtime that sleeps, reads the clock and sleeps again would do so for ever,
//! in the host, where fuel does not count.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::Pollable;

use super::NotGiven;

/// Time between two readings, in nanoseconds: a guest that asks until time has passed comes to an end.
pub(super) const STEP_NS: u64 = 1_000;

/// What the monotonic clock says first. Not zero, which Go takes for a clock that is broken.
const MONOTONIC_ORIGIN_NS: u64 = 1_000_000_000;

/// No deadline.
const NEVER: u64 = u64::MAX;

/// The time of one run.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    begun: Duration,
    shared: Arc<Shared>,
}

/// What deadlines, which live in the table of resources, share with the clock.
#[derive(Debug)]
struct Shared {
    passed_ns: AtomicU64,
    /// The earliest deadline that somebody waits for.
    awaited_ns: AtomicU64,
}

impl Clock {
    pub(super) fn starting_at(unix_ms: u64) -> Self {
        let shared = Shared { passed_ns: AtomicU64::new(0), awaited_ns: AtomicU64::new(NEVER) };
        Self { begun: Duration::from_millis(unix_ms), shared: Arc::new(shared) }
    }

    /// Since 1970.
    pub(super) fn wall(&self) -> Duration {
        self.begun.saturating_add(Duration::from_nanos(self.read()))
    }

    pub(super) fn monotonic_ns(&self) -> u64 {
        MONOTONIC_ORIGIN_NS.saturating_add(self.read())
    }

    /// When the monotonic clock says so.
    pub(super) fn deadline_at(&self, monotonic_ns: u64) -> Deadline {
        self.read();
        Deadline { at_ns: monotonic_ns.saturating_sub(MONOTONIC_ORIGIN_NS), clock: self.clone() }
    }

    pub(super) fn deadline_in(&self, duration_ns: u64) -> Deadline {
        Deadline { at_ns: self.read().saturating_add(duration_ns), clock: self.clone() }
    }

    /// What has passed; and the next reading says more.
    fn read(&self) -> u64 {
        let passed_ns = self.passed_ns();
        self.shared.passed_ns.store(passed_ns.saturating_add(STEP_NS), Ordering::Relaxed);
        passed_ns
    }

    fn passed_ns(&self) -> u64 {
        self.shared.passed_ns.load(Ordering::Relaxed)
    }

    /// Brings a future to its end, without a wait: if nothing is ready, time jumps to the earliest deadline in it.
    pub(super) fn wait<T>(&self, future: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
        self.read();
        self.shared.awaited_ns.store(NEVER, Ordering::Relaxed);
        let mut future = pin!(future);
        let mut nobody = Context::from_waker(Waker::noop());
        if let Poll::Ready(done) = future.as_mut().poll(&mut nobody) {
            return done;
        }
        let awaited_ns = self.shared.awaited_ns.load(Ordering::Relaxed);
        self.shared.passed_ns.fetch_max(awaited_ns, Ordering::Relaxed);
        match future.as_mut().poll(&mut nobody) {
            Poll::Ready(done) => done,
            Poll::Pending => Err(NotGiven("waiting for something other than time").into()),
        }
    }
}

/// A point in virtual time. Ready once it is reached.
pub(super) struct Deadline {
    at_ns: u64,
    clock: Clock,
}

#[async_trait]
impl Pollable for Deadline {
    async fn ready(&mut self) {
        poll_fn(|_| {
            if self.at_ns <= self.clock.passed_ns() {
                return Poll::Ready(());
            }
            self.clock.shared.awaited_ns.fetch_min(self.at_ns, Ordering::Relaxed);
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_for(clock: &Clock, deadlines: &mut [Deadline]) -> Vec<usize> {
        let mut futures: Vec<_> = deadlines.iter_mut().map(Deadline::ready).collect();
        let all = poll_fn(|context| {
            let ready = futures.iter_mut().enumerate().filter_map(|(index, future)| {
                matches!(future.as_mut().poll(context), Poll::Ready(())).then_some(index)
            });
            let ready: Vec<_> = ready.collect();
            if ready.is_empty() { Poll::Pending } else { Poll::Ready(Ok(ready)) }
        });
        clock.wait(all).unwrap()
    }

    #[test]
    fn time_starts_where_it_is_told_and_every_reading_moves_both_clocks() {
        let clock = Clock::starting_at(1_700_000_000_123);
        assert_eq!(clock.wall(), Duration::from_millis(1_700_000_000_123));
        assert_eq!(clock.monotonic_ns(), MONOTONIC_ORIGIN_NS + STEP_NS);
        assert_eq!(clock.wall(), Duration::from_millis(1_700_000_000_123) + Duration::from_nanos(2 * STEP_NS));
    }

    #[test]
    fn waiting_jumps_to_the_earliest_deadline_and_to_no_later_one() {
        let clock = Clock::starting_at(0);
        let hour_ns = 3_600_000_000_000;
        let mut deadlines = [clock.deadline_in(2 * hour_ns), clock.deadline_in(hour_ns)];
        assert_eq!(wait_for(&clock, &mut deadlines), [1]);
        assert_eq!(clock.wall(), Duration::from_nanos(hour_ns + STEP_NS), "as far as the earlier one");
        assert_eq!(wait_for(&clock, &mut deadlines[..1]), [0]);
        let mut past = [clock.deadline_at(0)];
        let before = clock.monotonic_ns();
        assert_eq!(wait_for(&clock, &mut past), [0]);
        assert!(clock.monotonic_ns() - before <= 4 * STEP_NS, "what is over is not waited for");
    }

    #[test]
    fn the_end_of_time_is_reached_and_not_passed() {
        let clock = Clock::starting_at(u64::MAX);
        assert_eq!(wait_for(&clock, &mut [clock.deadline_in(u64::MAX)]), [0]);
        assert_eq!(clock.monotonic_ns(), u64::MAX);
        assert!(clock.wall() > Duration::from_millis(u64::MAX));
    }

    #[test]
    fn what_no_time_brings_is_not_waited_for() {
        assert!(Clock::starting_at(0).wait(std::future::pending::<wasmtime::Result<()>>()).is_err());
    }
}

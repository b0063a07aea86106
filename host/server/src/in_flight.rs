//! Identical calls share one run.
//!
//! In scope: who is running now; waiting for an answer; bounding how much runs and waits; finishing before shutdown.
//! Out of scope: what running means (`executor`), what an answer looks like (`http::reply`).
//!
//! Invariants
//! - At most one call per execution id is inside `Executor::perform` at a time.
//! - A call that was started finishes, whether or not anybody still waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openexec_core::request::ExecId;
use tokio::sync::{Semaphore, watch};

/// The calls that are running or queued, and the answers that are awaited. `A` is the answer.
#[derive(Debug)]
pub struct InFlight<A> {
    running: Mutex<HashMap<ExecId, watch::Receiver<Option<A>>>>,
    /// One permit a call.
    permits: Arc<Semaphore>,
    n_permits: u32,
}

/// An answer, and whether this call was the one that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared<A> {
    /// The answer.
    pub answer: A,
    /// Another, identical call made it.
    pub joined: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// As many calls as allowed are running or queued.
    #[error("too many calls at once")]
    Full,
    /// The call is still running after the wait.
    #[error("still running")]
    StillRunning,
    /// The call died without an answer (a panic, which is a defect of the host).
    #[error("the call died")]
    Died,
}

impl<A: Clone + Send + Sync + 'static> InFlight<A> {
    /// Room for `n_calls_max` calls, running and queued.
    #[must_use]
    pub fn new(n_calls_max: u32) -> Self {
        Self {
            running: Mutex::new(HashMap::new()),
            permits: Arc::new(Semaphore::new(n_calls_max as usize)),
            n_permits: n_calls_max,
        }
    }

    /// Joins the call with this id if it is in flight, else starts `perform` as a task of its own; waits for the answer.
    ///
    /// # Errors
    /// `NoAnswer`. After `StillRunning` the call goes on.
    pub async fn share(
        self: &Arc<Self>,
        exec_id: ExecId,
        wait: Duration,
        perform: impl Future<Output = A> + Send + 'static,
    ) -> Result<Shared<A>, NoAnswer> {
        let (mut answers, joined) = self.join_or_start(exec_id, perform)?;
        let answer = match tokio::time::timeout(wait, answers.wait_for(Option::is_some)).await {
            Ok(Ok(answer)) => answer.clone().ok_or(NoAnswer::Died)?,
            Ok(Err(_)) => return Err(NoAnswer::Died),
            Err(_) => return Err(NoAnswer::StillRunning),
        };
        Ok(Shared { answer, joined })
    }

    fn join_or_start(
        self: &Arc<Self>,
        exec_id: ExecId,
        perform: impl Future<Output = A> + Send + 'static,
    ) -> Result<(watch::Receiver<Option<A>>, bool), NoAnswer> {
        let mut running = self.running();
        if let Some(answers) = running.get(&exec_id) {
            return Ok((answers.clone(), true));
        }
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| NoAnswer::Full)?;
        let (answer, answers) = watch::channel(None);
        running.insert(exec_id, answers.clone());
        let leave = Leave { in_flight: self.clone(), exec_id };
        // A task of its own: it ends when the call ends, not when the client leaves.
        tokio::spawn(async move {
            let _permit = permit;
            let done = perform.await;
            drop(leave); // before the answer: whoever sees it and asks again must find the ledger's, not this call
            answer.send_replace(Some(done));
        });
        Ok((answers, false))
    }

    /// Waits for the calls in flight. Later ones are refused as if the house were full: permits are handed out in order,
    /// and this takes all of them.
    pub async fn finish(&self) {
        if let Ok(permits) = self.permits.acquire_many(self.n_permits).await {
            permits.forget();
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<ExecId, watch::Receiver<Option<A>>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the call off the list when it ends, also by a panic.
struct Leave<A: Clone + Send + Sync + 'static> {
    in_flight: Arc<InFlight<A>>,
    exec_id: ExecId,
}

impl<A: Clone + Send + Sync + 'static> Drop for Leave<A> {
    fn drop(&mut self) {
        self.in_flight.running().remove(&self.exec_id);
    }
}

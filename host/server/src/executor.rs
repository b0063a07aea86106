//! The path of a request. Read this file first.
//!
//! In scope: admit → reserve → run → seal, in that order and in no other; recovery, which walks the same path.
//! Out of scope: HTTP, identical calls (`in_flight`).
//!
//! Invariants
//! - No handler runs without a durable reservation: `Sandbox::run` takes one, and only a ledger makes one.
//! - An answer is given only after its seal is durable.
//! - Refusals leave no trace: the nonce stays free.

use std::sync::Arc;
use std::time::Duration;

use openexec_core::admission::{Admission, Admitted, Refused};
use openexec_core::outcome::{Outcome, Run};
use openexec_core::receipt::opening::Blinding;
use openexec_core::receipt::{EngineFacts, ReceiptKey, Sealer, Signed};
use openexec_core::refusal::Refusal;
use openexec_core::request::Submission;
use openexec_core::reservation::{Reservation, Sealed, Tombstone};
use openexec_core::time::Timestamp;
use openexec_ledger::{Claim, Ledger, LedgerError, SealAnswer};
use openexec_sandbox::{Sandbox, SandboxError};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::controls::KnownControls;
use crate::self_audit::SelfAudit;

/// Executes requests. Everything it depends on is handed in and sealed.
#[derive(Debug)]
pub struct Executor {
    /// Decides.
    pub admission: Admission,
    /// Remembers.
    pub ledger: Arc<dyn Ledger>,
    /// Runs.
    pub sandbox: Arc<Sandbox>,
    /// Says when.
    pub clock: Arc<dyn Clock>,
    /// Signs.
    pub sealer: Sealer,
    /// Checks samples of what was done.
    pub self_audit: SelfAudit,
    /// What the operator has stopped.
    pub controls: KnownControls,
    /// One permit a slot of the sandbox.
    slots: Semaphore,
    /// One permit a core.
    cores: Semaphore,
}

/// How long a run waits for a core before it starts anyway. More threads than cores only take turns, which costs short
/// runs a tenth of the throughput; but a short run must not wait for long ones to end.
const CORE_PATIENCE: Duration = Duration::from_millis(2);

/// What a request got.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// The sealed execution.
    pub sealed: Sealed,
    /// Whether it was sealed before this call.
    pub replayed: bool,
}

/// Why there is no execution to answer with.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The request may not run. Nothing was recorded.
    #[error("{}", .0.refusal)]
    Refused(SignedRefusal),
    /// It ran once, and its body was erased since.
    #[error("the result of this execution was erased")]
    Erased(Tombstone),
    /// The ledger's answer is unknown.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The system gives no randomness, so that nothing can be sealed. The reservation stays.
    #[error("the system gives no randomness: {0}")]
    NoRandomness(String),
    /// The host could not run it. The reservation stays.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

/// A refusal, with what the host signs about it if an authentic approval came with the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRefusal {
    /// Why.
    pub refusal: Refusal,
    /// The refusal receipt.
    pub signed: Option<Arc<Signed>>,
}

impl Executor {
    /// An executor of these parts. From now on the ledger knows the receipt key.
    ///
    /// # Errors
    /// `LedgerError` when the key could not be made known, or the operator's controls could not be read.
    pub fn new(
        admission: Admission,
        ledger: Arc<dyn Ledger>,
        sandbox: impl Into<Arc<Sandbox>>,
        clock: Arc<dyn Clock>,
        key: ReceiptKey,
    ) -> Result<Self, LedgerError> {
        let sandbox = sandbox.into();
        let is_new = ledger.adopt_key(key.public().clone(), clock.now()).wait()?;
        tracing::info!(key_id = %key.public().id(), is_new, "receipts are signed");
        let engine = EngineFacts { version: Sandbox::engine_version().into(), digest: Sandbox::engine_digest() };
        let sealer = Sealer { key, registry: admission.registry.digest(), engine };
        // One slot is the self-audit's.
        let slots = Semaphore::new(sandbox.n_slots().saturating_sub(1).max(1) as usize);
        let cores = Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        let controls = KnownControls::read(&*ledger)?;
        let self_audit = SelfAudit::off();
        Ok(Self { admission, ledger, sandbox, clock, sealer, self_audit, controls, slots, cores })
    }

    /// Decides whether what was submitted may run. Asks no ledger.
    ///
    /// # Errors
    /// The refusal.
    pub fn admit(&self, submission: Submission) -> Result<Admitted, SignedRefusal> {
        let admitted = self.admission.admit(submission, &self.controls.now(), self.clock.now());
        admitted.map_err(|refused| self.sign(refused))
    }

    fn sign(&self, Refused { refusal, receipt }: Refused) -> SignedRefusal {
        SignedRefusal { refusal, signed: receipt.map(|receipt| Arc::new(self.sealer.refuse(&receipt))) }
    }

    /// Performs an admitted request: at most once, whatever happens.
    ///
    /// The caller performs one request with the same execution id at a time (`in_flight` sees to it). That is what makes
    /// `Claim::Unsealed` safe to run: the run that once held it is over, and its seal could not be written. The caller
    /// also sees to it that the future is polled to its end, whatever becomes of the client.
    ///
    /// # Errors
    /// `ExecuteError` when there is nothing to answer with.
    pub async fn perform(&self, admitted: Admitted) -> Result<Execution, ExecuteError> {
        let now = self.clock.now();
        let refuse = |refusal| ExecuteError::Refused(self.sign(admitted.refused(refusal, now)));
        let may_begin = admitted.require_timely(now).and_then(|()| admitted.require_fitting(&*self.sandbox));
        let claim = match may_begin {
            Ok(()) => self.ledger.reserve(admitted.reserve_at(now)).await?,
            // An approval whose time is over, or a payload that the action no longer takes, still gets the answer that was
            // sealed, and nothing else.
            Err(refusal) => self.ledger.recall(admitted.reserve_at(now)).await?.ok_or_else(|| refuse(refusal))?,
        };
        match claim {
            Claim::Fresh(reservation) | Claim::Unsealed(reservation) => {
                Ok(Execution { sealed: self.complete(reservation).await?, replayed: false })
            }
            Claim::Sealed(sealed) => Ok(Execution { sealed, replayed: true }), // the first answer again, no second run
            Claim::Erased(tombstone) => Err(ExecuteError::Erased(tombstone)),
            Claim::Taken => Err(refuse(Refusal::NonceReuse)),
            Claim::Consumed => Err(refuse(Refusal::ApprovalConsumed)),
            Claim::Stopped(stop) => Err(refuse(Refusal::from(stop))),
        }
    }

    /// From the reservation to the seal.
    async fn complete(&self, reservation: Reservation) -> Result<Sealed, ExecuteError> {
        // The reservation is durable. A crash from here to the seal leaves it, and `recover` runs it again: handlers are
        // pure, so the second run is the first one over again, and nobody has seen an answer yet.
        let (reservation, run) = self.run(reservation).await?;
        in_step().await;
        let blinding = random_blinding()?;
        let profile = self.sandbox.profile(&reservation.facts().action);
        let mut sealed = self.sealer.seal(&reservation, run, profile, self.clock.now(), blinding);
        if self.ledger.seal(&reservation, &sealed).await? == SealAnswer::Stopped {
            // The operator's stop came before the seal: whatever the run was about to say, nothing comes of it.
            let stopped = Run { outcome: Outcome::Interrupted, resources: sealed.resources };
            sealed = self.sealer.seal(&reservation, stopped, profile, self.clock.now(), blinding);
            self.ledger.seal(&reservation, &sealed).await?;
        }
        self.self_audit.offer(reservation.facts(), &sealed.outcome, || Run {
            outcome: sealed.outcome.clone(),
            resources: sealed.resources,
        });
        // The seal is durable. A crash from here on loses only the answer; a retry reads the same one.
        Ok(sealed)
    }

    /// Runs as soon as a slot is free: here if that is brief, else on a blocking thread.
    async fn run(&self, reservation: Reservation) -> Result<(Reservation, Run), SandboxError> {
        let _slot = self.slots.acquire().await.map_err(SandboxError::host)?;
        // Brief runs stay on this thread: another one would have to be woken, which costs as much as the run.
        let is_stopped = self.controls.stop_of(reservation.facts());
        if let Some(run) = self.sandbox.run_if_brief(&reservation, is_stopped.clone())? {
            return Ok((reservation, run));
        }
        let _core = tokio::time::timeout(CORE_PATIENCE, self.cores.acquire()).await;
        let sandbox = self.sandbox.clone();
        let run = move || sandbox.run(&reservation, is_stopped).map(|run| (reservation, run));
        tokio::task::spawn_blocking(run).await.map_err(SandboxError::host)?
    }

    /// Completes every reservation that outlived its process. Called once, before the listener opens.
    ///
    /// # Errors
    /// The first one that could not be completed; the host must not start then.
    pub async fn recover(&self) -> Result<u64, ExecuteError> {
        let mut n_recovered = 0;
        for reservation in self.ledger.unsealed()? {
            let exec_id = reservation.facts().exec_id;
            let sealed = self.complete(reservation).await?;
            tracing::info!(%exec_id, status = sealed.outcome.status().as_str(), "recovered a reservation");
            n_recovered += 1;
        }
        Ok(n_recovered)
    }
}

/// Lets the other calls come as far as this one. The same work for several calls in a row finds its code and its tables in
/// the processor's caches; in turns with other work it took a fifteenth more of the whole.
pub(crate) async fn in_step() {
    tokio::task::yield_now().await;
}

/// The secret that opens one receipt.
fn random_blinding() -> Result<Blinding, ExecuteError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| ExecuteError::NoRandomness(error.to_string()))?;
    Ok(Blinding::from_bytes(bytes))
}

/// Executions erased in one transaction: few enough that other writes do not wait noticeably.
const ERASED_AT_ONCE: u32 = 500;

/// Erases the bodies of executions reserved before `before`, in steps that let other writes through; returns how many.
/// Blocks.
///
/// # Errors
/// `LedgerError` from the first step that failed; earlier steps stay done.
pub fn erase(ledger: &dyn Ledger, before: Timestamp) -> Result<u64, LedgerError> {
    let mut n_erased = 0;
    loop {
        let n = ledger.erase(before, ERASED_AT_ONCE).wait()?;
        n_erased += n;
        if n < u64::from(ERASED_AT_ONCE) {
            return ledger.scrub().map(|()| n_erased);
        }
    }
}

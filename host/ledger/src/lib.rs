//! The ledger: remembers which nonces are claimed and what became of them.
//!
//! In scope: the port with its contract, and one adapter a file: `memory` for tests, `sqlite` for one host.
//! Out of scope: deciding what may run (`openexec-core`), running it (`openexec-sandbox`).
//!
//! The state machine: `(none) → reserved → succeeded | failed | faulted | interrupted`. Nothing leaves a final state.

pub mod examined;
pub mod log;
pub mod memory;
mod pending;
pub mod receipts;
pub mod sqlite;

use std::fmt;

use openexec_core::control::{Control, Stop, Target};
use openexec_core::digest::Digest;
use openexec_core::names::Note;
use openexec_core::request::ExecId;
use openexec_core::reservation::{Reservation, Reserved, Sealed, Tombstone};
use openexec_core::time::Timestamp;

pub use log::Log;
pub use pending::Pending;
pub use receipts::Receipts;

/// Remembers which nonces are claimed and what became of them.
///
/// What every adapter promises, and `tests/suite/ledger_contract.rs` holds every adapter to:
/// - `reserve` is linearizable per `(tenant, nonce)`, across threads, processes and restarts: of any number of callers
///   exactly one ever gets `Claim::Fresh`.
/// - A write begins when the method is called, whether or not anybody awaits it, and is durable when its `Pending`
///   completes with `Ok`. Nothing that was answered is lost by a crash.
/// - Adapters wait out transient faults for a bounded time. After that, `Err` means *unknown*: the write may or may not
///   have happened, so the caller fails closed and runs nothing. Calling again with the same facts is always safe.
/// - An approval is used by the commit that reserves its nonce, and by no other. A v2 names that nonce, so the nonce is its use
///   (callers hand over none that is for another). A v1 does not: of any number of nonces that come with one, exactly one
///   ever gets `Claim::Fresh`.
/// - From the moment a `stop` is durable to its release, nothing it concerns is reserved or recalled, and nothing it concerns
///   is sealed as anything but interrupted; in whatever process the stop was written.
/// - Erasing bodies never frees a nonce, never makes an approval usable again, and never changes a receipt.
pub trait Ledger: Receipts + Log + Send + Sync + fmt::Debug {
    /// Claims `(tenant, nonce)` for this request, or says who holds it.
    ///
    /// # Errors
    /// `LedgerError` when the answer is unknown.
    fn reserve(&self, reserved: Reserved) -> Pending<Claim>;

    /// What `reserve` would answer, except that where it would claim the nonce the answer is `None`.
    /// Claims nothing.
    ///
    /// # Errors
    /// `LedgerError` when the answer is unknown.
    fn recall(&self, reserved: Reserved) -> Pending<Option<Claim>>;

    /// Keeps what became of a reservation: outcome, result, effects and receipt in one commit.
    ///
    /// # Errors
    /// `LedgerError` when it may not have been kept: the reservation stays, and its run may be repeated.
    fn seal(&self, reservation: &Reservation, sealed: &Sealed) -> Pending<SealAnswer>;

    /// All reservations without a seal, oldest first. While a host runs, some of them are running.
    ///
    /// # Errors
    /// `LedgerError` when they could not be read.
    fn unsealed(&self) -> Result<Vec<Reservation>, LedgerError>;

    /// The legacy receipt of a sealed execution.
    ///
    /// # Errors
    /// `LedgerError` when it could not be read.
    fn receipt(&self, exec_id: ExecId) -> Result<Option<Digest>, LedgerError>;

    /// Erases payloads, results, refusal texts and effects of up to `n_max` sealed executions that were reserved before
    /// `before`, oldest first; returns how many. The tombstones stay for ever.
    ///
    /// # Errors
    /// `LedgerError` when they may not have been erased.
    fn erase(&self, before: Timestamp, n_max: u32) -> Pending<u64>;

    /// Makes what was erased unrecoverable from the adapter's own files. Called after the last step of an erasure.
    ///
    /// # Errors
    /// `LedgerError` when that is not certain.
    fn scrub(&self) -> Result<(), LedgerError>;

    /// How many executions there are in each state.
    ///
    /// # Errors
    /// `LedgerError` when they could not be counted.
    fn stats(&self) -> Result<Stats, LedgerError>;

    /// Stops a target from now on, until it is released; returns whether it was not stopped already.
    ///
    /// # Errors
    /// `LedgerError` when it may not be stopped.
    fn stop(&self, target: Target, since: Timestamp, reason: Option<Note>) -> Pending<bool>;

    /// Releases a target; returns whether it was stopped.
    ///
    /// # Errors
    /// `LedgerError` when it may still be stopped.
    fn release(&self, target: Target) -> Pending<bool>;

    /// Everything that is stopped.
    ///
    /// # Errors
    /// `LedgerError` when it could not be read.
    fn controls(&self) -> Result<Vec<Control>, LedgerError>;

    /// Makes an empty durable write, as `reserve` would.
    ///
    /// # Errors
    /// `LedgerError` when `reserve` would fail now.
    fn probe(&self) -> Pending<()>;
}

/// Who holds a nonce.
#[derive(Debug, PartialEq)]
pub enum Claim {
    /// The caller, since just now.
    Fresh(Reservation),
    /// The same request, reserved earlier and not sealed. Either it is running, or its seal could not be written; the
    /// caller knows which, because it knows what it is running.
    Unsealed(Reservation),
    /// The same request, finished: answer this again.
    Sealed(Sealed),
    /// The same request, finished, and its body was erased since.
    Erased(Tombstone),
    /// Another request.
    Taken,
    /// Nobody, but the approval was used for another nonce.
    Consumed,
    /// Whoever it is, the operator has stopped such calls.
    Stopped(Stop),
}

/// Whether an outcome was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealAnswer {
    /// It is durable.
    Kept,
    /// It was not kept, because the operator has stopped such calls: seal the reservation as interrupted.
    Stopped,
}

/// How many executions there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Claimed, not sealed.
    pub n_reserved: u64,
    /// Sealed as succeeded.
    pub n_succeeded: u64,
    /// Sealed as failed.
    pub n_failed: u64,
    /// Sealed as faulted.
    pub n_faulted: u64,
    /// Sealed as interrupted.
    pub n_interrupted: u64,
    /// Sealed executions whose body was erased.
    pub n_erased: u64,
}

/// The ledger's answer is unknown. The text is for the operator's log, never for a caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// It could not be reached, was locked for too long, or could not write.
    #[error("the ledger is unavailable: {0}")]
    Unavailable(String),
    /// It holds something that this host never wrote.
    #[error("the ledger holds an impossible row: {0}")]
    Broken(String),
}

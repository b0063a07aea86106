//! What a ledger keeps of one execution: the reservation before the run, the seal after it.
//!
//! In scope: the facts, and the type that proves they are durable.
//! Out of scope: keeping them (`openexec-ledger`).
//!
//! Invariants
//! - A `Reservation` exists only after its row is durable: ledgers make them, nobody else (a test greps for it).
//! - The sandbox runs a `Reservation`, so nothing that a handler did is kept without one; a `Rerun` is run to be compared.
//! - A reservation holds everything a run depends on, so a run that is repeated after a crash is the same run.

use std::sync::Arc;

use crate::approval::ApprovalUse;
use crate::digest::Digest;
use crate::names::{Action, Nonce, Tenant};
use crate::outcome::{Fault, Outcome, Resources, Status};
use crate::receipt::Signed;
use crate::receipt::opening::{Blinding, Openings};
use crate::registry::Limits;
use crate::request::ExecId;
use crate::time::Timestamp;

/// Everything one run depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The execution's id.
    pub exec_id: ExecId,
    /// Identity of the request.
    pub fingerprint: Digest,
    /// On whose behalf.
    pub tenant: Tenant,
    /// What to do.
    pub action: Action,
    /// The caller's unique value.
    pub nonce: Nonce,
    /// JCS text of the payload.
    pub payload: Arc<str>,
    /// SHA-256 of the component that was pinned when the request was admitted.
    pub component: Digest,
    /// The limits that held then.
    pub limits: Limits,
    /// The approval that permits it; `None` in demo mode.
    pub approval: Option<ApprovalUse>,
    /// When the nonce was claimed.
    pub reserved_at: Timestamp,
}

/// Facts that are durable. No public way to get one but `made_durable` and `found_durable`.
#[derive(Debug, PartialEq, Eq)]
pub struct Reservation {
    facts: Reserved,
    is_repeated: bool,
}

impl Reservation {
    /// For ledgers only, after the commit that holds `reserved` is durable. Review greps for this name.
    #[must_use]
    pub fn made_durable(reserved: Reserved) -> Self {
        Self { facts: reserved, is_repeated: false }
    }

    /// For ledgers only: a reservation that was durable already, and whose earlier run ended without a seal.
    #[must_use]
    pub fn found_durable(reserved: Reserved) -> Self {
        Self { facts: reserved, is_repeated: true }
    }

    /// The facts.
    #[must_use]
    pub fn facts(&self) -> &Reserved {
        &self.facts
    }

    /// Whether an earlier run of it ended without a seal.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.is_repeated
    }
}

/// Facts of an execution that is over. Its run is repeated to be compared, and what comes of it is kept nowhere.
///
/// Anybody may make one: it is no permission to act, and nothing that a handler answers to it leaves the comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerun(Reserved);

impl Rerun {
    /// Of an execution that ended.
    #[must_use]
    pub fn of(ended: Reserved) -> Self {
        Self(ended)
    }

    /// The facts.
    #[must_use]
    pub fn facts(&self) -> &Reserved {
        &self.0
    }
}

/// A finished execution, as it is kept and answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    /// Its id.
    pub exec_id: ExecId,
    /// What was done.
    pub action: Action,
    /// What came of it.
    pub outcome: Outcome,
    /// What it used.
    pub resources: Resources,
    /// The legacy receipt.
    pub receipt: Digest,
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// The signed receipt. `None` for what was sealed before there were any.
    pub seal: Option<Seal>,
}

/// A signed receipt with the secret that opens its commitments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The receipt.
    pub signed: Arc<Signed>,
    /// Its reference, so that it is computed once.
    pub reference: Digest,
    /// The secret. Erased with payload and result.
    pub blinding: Blinding,
}

impl Seal {
    /// What opens the receipt of this outcome.
    #[must_use]
    pub fn openings(&self, outcome: &Outcome) -> Openings {
        Openings::of(&self.blinding, outcome)
    }
}

/// What remains of a finished execution whose payload, result and effects were erased: enough to refuse a second run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Its id.
    pub exec_id: ExecId,
    /// What was done.
    pub action: Action,
    /// How it ended.
    pub status: Status,
    /// Why it was stopped, if it was.
    pub fault: Option<Fault>,
    /// The legacy receipt.
    pub receipt: Digest,
    /// The signed receipt. `None` for what was sealed before there were any.
    pub signed: Option<Arc<Signed>>,
}

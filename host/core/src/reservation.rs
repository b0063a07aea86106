//! What a ledger keeps of one execution: the reservation before the run, the seal after it.
//!
//! In scope: the facts, and the type that proves they are durable.
//! Out of scope: keeping them (`openexec-ledger`).
//!
//! Invariants
//! - A `Reservation` exists only after its row is durable: ledgers make them, nobody else (a test greps for it).
//! - The sandbox runs a `Reservation` and nothing else, so no handler runs without one.
//! - A reservation holds everything a run depends on, so a run that is repeated after a crash is the same run.

use std::sync::Arc;

use crate::approval::ApprovalUse;
use crate::digest::Digest;
use crate::json::{self, Value};
use crate::names::{Action, Nonce, Tenant};
use crate::outcome::{Fault, Outcome, Resources, Run, Status};
use crate::receipt;
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

/// Facts that are durable. No public way to get one but `made_durable`.
#[derive(Debug, PartialEq, Eq)]
pub struct Reservation(Reserved);

impl Reservation {
    /// For ledgers only, after the commit that holds `reserved` is durable. Review greps for this name.
    #[must_use]
    pub fn made_durable(reserved: Reserved) -> Self {
        Self(reserved)
    }

    /// The facts.
    #[must_use]
    pub fn facts(&self) -> &Reserved {
        &self.0
    }

    /// Ends the reservation with what came of the run.
    #[must_use]
    pub fn seal(self, run: Run, sealed_at: Timestamp) -> Sealed {
        let result = match &run.outcome {
            // Text that this host wrote always reads back; were it edited in the ledger, the receipt would not match.
            Outcome::Succeeded { result, .. } => json::read(result.as_str().as_bytes()).unwrap_or(Value::Null),
            Outcome::Failed(_) | Outcome::Faulted(_) | Outcome::Interrupted => Value::Null,
        };
        Sealed {
            exec_id: self.0.exec_id,
            action: self.0.action,
            receipt: receipt::legacy(self.0.exec_id, &result),
            outcome: run.outcome,
            resources: run.resources,
            sealed_at,
        }
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
}

impl Sealed {
    /// The same execution, interrupted: whatever came of its run is dropped.
    #[must_use]
    pub fn interrupted(self) -> Self {
        Self { receipt: receipt::legacy(self.exec_id, &Value::Null), outcome: Outcome::Interrupted, ..self }
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
}

//! One execution as it is kept, read back into what was written.
//!
//! In scope: a row of `execution` with its body, and what each of its columns means.
//! Out of scope: which rows are read and when (`rows`, `audit`), receipts (`receipts`).

use std::sync::Arc;

use openexec_core::approval::{ApprovalFacts, ApprovalUse, Format};
use openexec_core::digest::Digest;
use openexec_core::names::{Action, Nonce, Tenant};
use openexec_core::outcome::{Effect, Failure, FailureKind, Fault, JsonText, Outcome, Resources, Status};
use openexec_core::receipt::opening::Blinding;
use openexec_core::registry::Limits;
use openexec_core::request::ExecId;
use openexec_core::reservation::{Reserved, Seal, Sealed, Tombstone};
use openexec_core::time::Timestamp;
use rusqlite::{Connection, Row};

use super::receipts;
use crate::{Claim, LedgerError};

pub(super) const SELECT: &str =
    "SELECT execution.id, exec_id, tenant, nonce, fingerprint, action, component, fuel_max, memory_bytes_max,
    output_bytes_max, deadline_ms_max, approval_format, approval_ref, reserved_at, state, fault, fuel, memory_bytes,
    receipt, sealed_at, execution.leaf, payload, approval, approval_facts, result, failure_kind, failure_text, blinding
    FROM execution LEFT JOIN body ON body.execution = execution.id LEFT JOIN answer ON answer.execution = execution.id";

/// One execution with its body, as the database spells it.
#[derive(Clone)]
pub(super) struct KeptRow {
    id: i64,
    exec_id: [u8; 16],
    tenant: String,
    nonce: String,
    fingerprint: [u8; 32],
    action: String,
    component: [u8; 32],
    limits: [i64; 4],
    approval_format: Option<String>,
    pub(super) approval_ref: Option<[u8; 32]>,
    reserved_at: i64,
    state: String,
    pub(super) fault: Option<String>,
    fuel: Option<i64>,
    memory_bytes: Option<i64>,
    pub(super) receipt: Option<[u8; 32]>,
    pub(super) sealed_at: Option<i64>,
    pub(super) leaf: Option<i64>,
    pub(super) payload: Option<String>,
    approval: Option<String>,
    approval_facts: Option<String>,
    result: Option<String>,
    failure_kind: Option<String>,
    failure_text: Option<String>,
    pub(super) blinding: Option<[u8; 32]>,
}

impl KeptRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            exec_id: row.get("exec_id")?,
            tenant: row.get("tenant")?,
            nonce: row.get("nonce")?,
            fingerprint: row.get("fingerprint")?,
            action: row.get("action")?,
            component: row.get("component")?,
            limits: [
                row.get("fuel_max")?,
                row.get("memory_bytes_max")?,
                row.get("output_bytes_max")?,
                row.get("deadline_ms_max")?,
            ],
            approval_format: row.get("approval_format")?,
            approval_ref: row.get("approval_ref")?,
            reserved_at: row.get("reserved_at")?,
            state: row.get("state")?,
            fault: row.get("fault")?,
            fuel: row.get("fuel")?,
            memory_bytes: row.get("memory_bytes")?,
            receipt: row.get("receipt")?,
            sealed_at: row.get("sealed_at")?,
            leaf: row.get("leaf")?,
            payload: row.get("payload")?,
            approval: row.get("approval")?,
            approval_facts: row.get("approval_facts")?,
            result: row.get("result")?,
            failure_kind: row.get("failure_kind")?,
            failure_text: row.get("failure_text")?,
            blinding: row.get("blinding")?,
        })
    }

    pub(super) fn status(&self) -> Result<Option<Status>, LedgerError> {
        parse_state(&self.state)
    }

    pub(super) fn reserved(self) -> Result<Reserved, LedgerError> {
        let id = self.id;
        let [fuel, memory_bytes, output_bytes, deadline_ms] = self.limits;
        let approval = match (self.approval_format, self.approval_ref, self.approval) {
            (None, None, None) => None,
            (Some(format), Some(reference), Some(text)) => Some(ApprovalUse {
                facts: match self.approval_facts {
                    Some(facts) => ApprovalFacts::parse(&facts).map_err(|_| broken(id, "approval_facts"))?.into(),
                    None => {
                        let format = Format::parse(&format).ok_or_else(|| broken(id, "approval_format"))?;
                        facts_of_old(format, reference).into()
                    }
                },
                text: text.into(),
            }),
            _ => return Err(broken(id, "approval")),
        };
        Ok(Reserved {
            exec_id: ExecId::from_bytes(self.exec_id),
            fingerprint: Digest::from_bytes(self.fingerprint),
            tenant: Tenant::parse(&self.tenant).map_err(|_| broken(id, "tenant"))?,
            action: Action::parse(&self.action).map_err(|_| broken(id, "action"))?,
            nonce: Nonce::parse(&self.nonce).map_err(|_| broken(id, "nonce"))?,
            payload: self.payload.ok_or_else(|| broken(id, "payload"))?.into(),
            component: Digest::from_bytes(self.component),
            limits: Limits {
                fuel: natural(fuel)?,
                memory_bytes: natural(memory_bytes)?,
                output_bytes: natural(output_bytes)?,
                deadline_ms: natural(deadline_ms)?,
            },
            approval,
            reserved_at: Timestamp::from_unix_ms(natural(self.reserved_at)?),
        })
    }

    /// As `reserved`; an execution whose body was erased has no payload and no approval.
    pub(super) fn facts(self) -> Result<Reserved, LedgerError> {
        match self.payload {
            Some(_) => self.reserved(),
            None => {
                let payload = Some(String::new());
                Self { payload, approval_format: None, approval_ref: None, approval: None, ..self }.reserved()
            }
        }
    }

    /// What it used.
    pub(super) fn resources(&self) -> Result<Resources, LedgerError> {
        Ok(Resources {
            fuel: natural(self.fuel.unwrap_or_default())?,
            memory_bytes: natural(self.memory_bytes.unwrap_or_default())?,
        })
    }

    /// What came of an execution that ended so, and whose body is there.
    pub(super) fn outcome(&self, connection: &Connection, status: Status) -> Result<Outcome, LedgerError> {
        let id = self.id;
        let fault = match self.fault.as_deref() {
            Some(word) => Some(Fault::parse(word).ok_or_else(|| broken(id, "fault"))?),
            None => None,
        };
        Ok(match status {
            Status::Succeeded => Outcome::Succeeded {
                result: JsonText::kept(self.result.clone().ok_or_else(|| broken(id, "result"))?),
                effects: effects(connection, id)?,
            },
            Status::Failed => Outcome::Failed(Failure {
                kind: self
                    .failure_kind
                    .as_deref()
                    .and_then(FailureKind::parse)
                    .ok_or_else(|| broken(id, "failure_kind"))?,
                text: self.failure_text.clone().ok_or_else(|| broken(id, "failure_text"))?,
            }),
            Status::Faulted => Outcome::Faulted(fault.ok_or_else(|| broken(id, "fault"))?),
            Status::Interrupted => Outcome::Interrupted,
        })
    }

    /// The finished execution, or its tombstone. `action` is the caller's, which the fingerprint has shown to be equal.
    pub(super) fn claim(self, connection: &Connection, status: Status, action: Action) -> Result<Claim, LedgerError> {
        let id = self.id;
        let exec_id = ExecId::from_bytes(self.exec_id);
        let receipt = Digest::from_bytes(self.receipt.ok_or_else(|| broken(id, "receipt"))?);
        let fault = match self.fault.as_deref() {
            Some(word) => Some(Fault::parse(word).ok_or_else(|| broken(id, "fault"))?),
            None => None,
        };
        let signed = self.leaf.map(|leaf| receipts::at(connection, leaf).map(Arc::new)).transpose()?;
        if self.payload.is_none() {
            return Ok(Claim::Erased(Tombstone { exec_id, action, status, fault, receipt, signed }));
        }
        let seal = match (signed, self.blinding) {
            (None, _) => None,
            (Some(signed), Some(blinding)) => {
                Some(Seal { reference: signed.reference(), signed, blinding: Blinding::from_bytes(blinding) })
            }
            (Some(_), None) => return Err(broken(id, "blinding")),
        };
        let (outcome, resources) = (self.outcome(connection, status)?, self.resources()?);
        Ok(Claim::Sealed(Sealed {
            exec_id,
            action,
            outcome,
            resources,
            receipt,
            sealed_at: Timestamp::from_unix_ms(natural(self.sealed_at.unwrap_or_default())?),
            seal,
        }))
    }
}

/// What is known of an approval that was used before its signers were kept.
fn facts_of_old(format: Format, reference: [u8; 32]) -> ApprovalFacts {
    let reference = Digest::from_bytes(reference);
    let (signers, trust) = (Vec::new(), None);
    ApprovalFacts { format, reference, signers, trust, policy_bundle: None, preview: None, decision: None }
}

fn effects(connection: &Connection, id: i64) -> Result<Vec<Effect>, LedgerError> {
    let mut statement =
        connection.prepare_cached("SELECT kind, body FROM outbox WHERE execution = ?1 ORDER BY position")?;
    let rows = statement.query_map([id], |row| Ok(Effect { kind: row.get(0)?, body: JsonText::kept(row.get(1)?) }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn parse_state(word: &str) -> Result<Option<Status>, LedgerError> {
    match Status::parse(word) {
        Some(status) => Ok(Some(status)),
        None if word == "reserved" => Ok(None),
        None => Err(LedgerError::Broken("a state that does not exist".to_owned())),
    }
}

fn broken(id: i64, column: &str) -> LedgerError {
    LedgerError::Broken(format!("execution {id}, {column}"))
}

/// Every number that is kept has a bound far below 2^63 (`core::limits`, `Timestamp`).
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn natural(number: i64) -> Result<u64, LedgerError> {
    u64::try_from(number).map_err(|_| LedgerError::Broken("a negative count".to_owned()))
}

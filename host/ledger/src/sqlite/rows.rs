//! Reading and writing rows. Every function runs inside a transaction that `group_commit` commits, or only reads.
//!
//! In scope: the SQL of the state machine.
//! Out of scope: transactions, errors of the file.

use std::sync::Arc;

use openexec_core::approval::{ApprovalFacts, ApprovalUse, Format};
use openexec_core::digest::Digest;
use openexec_core::names::{Action, Nonce, Tenant};
use openexec_core::outcome::{Effect, Failure, FailureKind, Fault, JsonText, Outcome, Resources, Status};
use openexec_core::receipt::opening::Blinding;
use openexec_core::registry::Limits;
use openexec_core::request::ExecId;
use openexec_core::reservation::{Reservation, Reserved, Seal, Sealed, Tombstone};
use openexec_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{controls, import, receipts};
use crate::{Claim, LedgerError, SealAnswer, Stats};

/// Claims the nonce and uses the approval with one conditional insert: the unique indexes decide every race. The use of an
/// approval v2 is the nonce that it names; that of a v1 has an index of its own.
pub(super) fn reserve(connection: &Connection, reserved: Reserved) -> Result<Claim, LedgerError> {
    if let Some(claim) = stopped_or_imported(connection, &reserved)? {
        return Ok(claim);
    }
    let n_inserted = connection
        .prepare_cached(
            "INSERT INTO execution (exec_id, tenant, nonce, fingerprint, action, component, fuel_max, memory_bytes_max,
                 output_bytes_max, deadline_ms_max, approval_format, approval_ref, reserved_at)
             VALUES (:exec_id, :tenant, :nonce, :fingerprint, :action, :component, :fuel_max, :memory_bytes_max,
                 :output_bytes_max, :deadline_ms_max, :approval_format, :approval_ref, :reserved_at)
             ON CONFLICT DO NOTHING",
        )?
        .execute(named_params! {
            ":exec_id": reserved.exec_id.as_bytes(),
            ":tenant": reserved.tenant.as_str(),
            ":nonce": reserved.nonce.as_str(),
            ":fingerprint": reserved.fingerprint.as_bytes(),
            ":action": reserved.action.as_str(),
            ":component": reserved.component.as_bytes(),
            ":fuel_max": integer(reserved.limits.fuel),
            ":memory_bytes_max": integer(reserved.limits.memory_bytes),
            ":output_bytes_max": integer(reserved.limits.output_bytes),
            ":deadline_ms_max": integer(reserved.limits.deadline_ms),
            ":approval_format": reserved.approval.as_ref().map(|approval| approval.facts.format.as_str()),
            ":approval_ref": reserved.approval.as_ref().map(|approval| approval.facts.reference.as_bytes()),
            ":reserved_at": integer(reserved.reserved_at.unix_ms()),
        })?;
    if n_inserted == 1 {
        let approval = reserved.approval.as_ref();
        connection
            .prepare_cached("INSERT INTO body (execution, payload, approval, approval_facts) VALUES (?1, ?2, ?3, ?4)")?
            .execute((
                connection.last_insert_rowid(),
                &*reserved.payload,
                approval.map(|approval| &*approval.text),
                approval.map(|approval| approval.facts.spell()),
            ))?;
        return Ok(Claim::Fresh(Reservation::made_durable(reserved)));
    }
    let exec_id = reserved.exec_id;
    held(connection, reserved)?.ok_or_else(|| LedgerError::Broken(format!("{exec_id} exists under another nonce")))
}

/// What `reserve` finds if it can claim nothing; `None` where it would claim the nonce.
pub(super) fn recall(connection: &Connection, reserved: Reserved) -> Result<Option<Claim>, LedgerError> {
    match stopped_or_imported(connection, &reserved)? {
        Some(claim) => Ok(Some(claim)),
        None => held(connection, reserved),
    }
}

/// The operator's stop goes before everything else; then the predecessor's nonces, which every tenant shares.
fn stopped_or_imported(connection: &Connection, reserved: &Reserved) -> Result<Option<Claim>, LedgerError> {
    match controls::stop_of(connection, reserved.tenant.as_str(), reserved.action.as_str())? {
        Some(stop) => Ok(Some(Claim::Stopped(stop))),
        None => import::claim(connection, reserved),
    }
}

/// Who holds the nonce, or else what the approval was used for.
fn held(connection: &Connection, reserved: Reserved) -> Result<Option<Claim>, LedgerError> {
    let held = connection
        .prepare_cached("SELECT id, fingerprint FROM execution WHERE tenant = ?1 AND nonce = ?2")?
        .query_row((reserved.tenant.as_str(), reserved.nonce.as_str()), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?))
        })
        .optional()?;
    match held {
        Some((id, fingerprint)) if fingerprint == *reserved.fingerprint.as_bytes() => {
            held_by_same(connection, id, reserved).map(Some)
        }
        Some(_) => Ok(Some(Claim::Taken)),
        None => match &reserved.approval {
            Some(approval) if is_used(connection, approval)? => Ok(Some(Claim::Consumed)),
            Some(_) | None => Ok(None),
        },
    }
}

/// Whether an approval v1 was used for another nonce. A v2 names its nonce, so there is no other.
fn is_used(connection: &Connection, approval: &ApprovalUse) -> Result<bool, LedgerError> {
    match approval.facts.format {
        Format::V1 => {}
        Format::V2 => return Ok(false),
    }
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM execution WHERE approval_ref = ?1 AND approval_format = 'v1'")?;
    Ok(statement.exists([approval.facts.reference.as_bytes()])?)
}

/// What the same request finds: its own earlier execution.
pub(super) fn held_by_same(connection: &Connection, id: i64, reserved: Reserved) -> Result<Claim, LedgerError> {
    let row = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?.query_row([id], KeptRow::read)?;
    match row.status()? {
        None => Ok(Claim::Unsealed(Reservation::found_durable(row.reserved()?))),
        Some(status) => row.claim(connection, status, reserved.action),
    }
}

/// Keeps the outcome of a reservation, unless the operator has stopped such calls meanwhile.
pub(super) fn seal(connection: &Connection, sealed: &Sealed) -> Result<SealAnswer, LedgerError> {
    if sealed.outcome != Outcome::Interrupted && controls::stops(connection, sealed.exec_id)? {
        return Ok(SealAnswer::Stopped);
    }
    let key = sealed.seal.as_ref().map(|seal| receipts::key(connection, &seal.signed)).transpose()?;
    let row: Option<(i64, i64)> = connection
        .prepare_cached(
            "UPDATE execution SET state = :state, fault = :fault, fuel = :fuel, memory_bytes = :memory_bytes,
                 receipt = :receipt, sealed_at = :sealed_at,
                 leaf = iif(:is_signed, (SELECT coalesce(max(leaf) + 1, 0) FROM receipt), NULL)
             WHERE exec_id = :exec_id AND state = 'reserved' RETURNING id, coalesce(leaf, -1)",
        )?
        .query_row(
            named_params! {
                ":state": sealed.outcome.status().as_str(),
                ":fault": sealed.outcome.fault().map(Fault::as_str),
                ":fuel": integer(sealed.resources.fuel),
                ":memory_bytes": integer(sealed.resources.memory_bytes),
                ":receipt": sealed.receipt.as_bytes(),
                ":sealed_at": integer(sealed.sealed_at.unix_ms()),
                ":is_signed": key.is_some(),
                ":exec_id": sealed.exec_id.as_bytes(),
            },
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let (id, leaf) =
        row.ok_or_else(|| LedgerError::Broken(format!("{} has no reservation to seal", sealed.exec_id)))?;
    if let (Some(key), Some(seal)) = (key, &sealed.seal) {
        receipts::append(connection, leaf, key, seal)?;
    }
    let (result, failure, effects) = match &sealed.outcome {
        Outcome::Succeeded { result, effects } => (Some(result.as_str()), None, effects.as_slice()),
        Outcome::Failed(failure) => (None, Some(failure), [].as_slice()),
        Outcome::Faulted(_) | Outcome::Interrupted => (None, None, [].as_slice()),
    };
    connection
        .prepare_cached(
            "UPDATE body SET result = ?2, failure_kind = ?3, failure_text = ?4, blinding = ?5 WHERE execution = ?1",
        )?
        .execute((
            id,
            result,
            failure.map(|failure| failure.kind.as_str()),
            failure.map(|failure| &failure.text),
            sealed.seal.as_ref().map(|seal| seal.blinding.as_bytes()),
        ))?;
    for (position, effect) in (0_i64..).zip(effects) {
        connection
            .prepare_cached("INSERT INTO outbox (execution, position, kind, body) VALUES (?1, ?2, ?3, ?4)")?
            .execute((id, position, &effect.kind, effect.body.as_str()))?;
    }
    Ok(SealAnswer::Kept)
}

/// Reservations without a seal.
pub(super) fn unsealed(connection: &Connection) -> Result<Vec<Reservation>, LedgerError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE state = 'reserved' ORDER BY id"))?;
    let rows = statement.query_map([], KeptRow::read)?;
    rows.map(|row| Ok(Reservation::found_durable(row?.reserved()?))).collect()
}

/// The receipt of a sealed execution.
pub(super) fn receipt(connection: &Connection, exec_id: ExecId) -> Result<Option<Digest>, LedgerError> {
    let receipt: Option<Option<[u8; 32]>> = connection
        .prepare_cached("SELECT receipt FROM execution WHERE exec_id = ?1")?
        .query_row([exec_id.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(receipt.flatten().map(Digest::from_bytes))
}

/// Young bodies in a row after which `erase` stops looking. More than one, because a clock that was set back leaves rows
/// that look young among old ones.
const YOUNG_IN_A_ROW_MAX: u32 = 1_000;

/// Erases bodies from the old end. Rows are numbered in order of reservation, so the walk need not see the young ones.
pub(super) fn erase(connection: &Connection, before: Timestamp, n_max: u32) -> Result<u64, LedgerError> {
    let mut oldest = connection.prepare_cached(
        "SELECT body.execution, execution.reserved_at, execution.state = 'reserved'
         FROM body JOIN execution ON execution.id = body.execution ORDER BY body.execution",
    )?;
    let mut ids = Vec::new();
    let mut n_young_in_a_row = 0;
    let mut rows = oldest.query([])?;
    while let Some(row) = rows.next()? {
        let (id, reserved_at, is_unsealed): (i64, i64, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if ids.len() as u64 == u64::from(n_max) || n_young_in_a_row == YOUNG_IN_A_ROW_MAX {
            break;
        }
        if natural(reserved_at)? >= before.unix_ms() {
            n_young_in_a_row += 1;
            continue;
        }
        n_young_in_a_row = 0;
        if !is_unsealed {
            ids.push(id);
        }
    }
    drop(rows);
    for id in &ids {
        connection.prepare_cached("DELETE FROM outbox WHERE execution = ?1")?.execute([id])?;
        connection.prepare_cached("DELETE FROM body WHERE execution = ?1")?.execute([id])?;
    }
    import::erase(connection, before, n_max)?;
    Ok(ids.len() as u64)
}

/// Counts executions by state.
pub(super) fn stats(connection: &Connection) -> Result<Stats, LedgerError> {
    let mut stats = Stats::default();
    let mut statement = connection.prepare("SELECT state, count(*) FROM execution GROUP BY state")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (state, n): (String, i64) = (row.get(0)?, row.get(1)?);
        stats.count(parse_state(&state)?, natural(n)?);
    }
    let n_bodies: i64 = connection.query_row("SELECT count(*) FROM body", [], |row| row.get(0))?;
    let n_all = stats.n_reserved + stats.n_succeeded + stats.n_failed + stats.n_faulted + stats.n_interrupted;
    stats.n_erased = n_all.saturating_sub(natural(n_bodies)?);
    Ok(stats)
}

/// Writes a page and leaves no trace, so that a full disk or a read-only file shows.
pub(super) fn probe(connection: &Connection) -> rusqlite::Result<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    connection.pragma_update(None, "user_version", version)
}

pub(super) const SELECT: &str =
    "SELECT execution.id, exec_id, tenant, nonce, fingerprint, action, component, fuel_max, memory_bytes_max,
    output_bytes_max, deadline_ms_max, approval_format, approval_ref, reserved_at, state, fault, fuel, memory_bytes,
    receipt, sealed_at, execution.leaf, payload, approval, approval_facts, result, failure_kind, failure_text, blinding
    FROM execution LEFT JOIN body ON body.execution = execution.id";

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

    fn reserved(self) -> Result<Reserved, LedgerError> {
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
    fn claim(self, connection: &Connection, status: Status, action: Action) -> Result<Claim, LedgerError> {
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

fn parse_state(word: &str) -> Result<Option<Status>, LedgerError> {
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

//! Reading and writing rows. Every function runs inside a transaction that `group_commit` commits, or only reads.
//!
//! In scope: the SQL of the state machine.
//! Out of scope: transactions, errors of the file, what a row means (`kept`).

use openexec_core::approval::{ApprovalUse, Format};
use openexec_core::digest::Digest;
use openexec_core::names::{Action, Nonce, Tenant};
use openexec_core::outcome::{Fault, Outcome};
use openexec_core::reservation::{Reservation, Reserved, Sealed};
use openexec_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::batch::Batch;
use super::kept::{KeptRow, SELECT, integer, natural, parse_state};
use super::{controls, import, receipts};
use crate::{Claim, LedgerError, SealAnswer, Stats};

/// Claims the nonce and uses the approval with one conditional insert: the unique indexes decide every race. The use of an
/// approval v2 is the nonce that it names; that of a v1 has an index of its own.
pub(super) fn reserve(batch: &Batch<'_>, reserved: Reserved) -> Result<Claim, LedgerError> {
    if let Some(claim) = stopped_or_imported(batch, &reserved)? {
        return Ok(claim);
    }
    let n_inserted = batch
        .prepare_cached(
            "INSERT INTO execution (exec_id, tenant, nonce, fingerprint, action, component, fuel_max, memory_bytes_max,
                 output_bytes_max, deadline_ms_max, approval_format, approval_ref, reserved_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT DO NOTHING",
        )?
        .execute((
            reserved.exec_id.as_bytes(),
            reserved.tenant.as_str(),
            reserved.nonce.as_str(),
            reserved.fingerprint.as_bytes(),
            reserved.action.as_str(),
            reserved.component.as_bytes(),
            integer(reserved.limits.fuel),
            integer(reserved.limits.memory_bytes),
            integer(reserved.limits.output_bytes),
            integer(reserved.limits.deadline_ms),
            reserved.approval.as_ref().map(|approval| approval.facts.format.as_str()),
            reserved.approval.as_ref().map(|approval| approval.facts.reference.as_bytes()),
            integer(reserved.reserved_at.unix_ms()),
        ))?;
    if n_inserted == 1 {
        let row = batch.last_insert_rowid();
        let approval = reserved.approval.as_ref();
        batch
            .prepare_cached("INSERT INTO body (execution, payload, approval, approval_facts) VALUES (?1, ?2, ?3, ?4)")?
            .execute((
                row,
                &*reserved.payload,
                approval.map(|approval| &*approval.text),
                approval.map(|approval| approval.facts.spell()),
            ))?;
        batch.young.add(reserved.exec_id, row);
        return Ok(Claim::Fresh(Reservation::made_durable(reserved)));
    }
    let exec_id = reserved.exec_id;
    held(batch, reserved)?.ok_or_else(|| LedgerError::Broken(format!("{exec_id} exists under another nonce")))
}

/// What `reserve` finds if it can claim nothing; `None` where it would claim the nonce.
pub(super) fn recall(batch: &Batch<'_>, reserved: Reserved) -> Result<Option<Claim>, LedgerError> {
    match stopped_or_imported(batch, &reserved)? {
        Some(claim) => Ok(Some(claim)),
        None => held(batch, reserved),
    }
}

/// The operator's stop goes before everything else; then the predecessor's nonces, which every tenant shares.
fn stopped_or_imported(batch: &Batch<'_>, reserved: &Reserved) -> Result<Option<Claim>, LedgerError> {
    match controls::stop_of(batch, reserved.tenant.as_str(), reserved.action.as_str())? {
        Some(stop) => Ok(Some(Claim::Stopped(stop))),
        None => import::claim(batch, reserved),
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

/// What a reservation is found by when it is sealed.
pub(super) struct Place {
    tenant: Tenant,
    nonce: Nonce,
    action: Action,
}

impl Place {
    pub(super) fn of(reserved: &Reserved) -> Self {
        let Reserved { tenant, nonce, action, .. } = reserved;
        Self { tenant: tenant.clone(), nonce: nonce.clone(), action: action.clone() }
    }
}

/// Keeps the outcome of a reservation, unless the operator has stopped such calls meanwhile.
pub(super) fn seal(batch: &Batch<'_>, place: &Place, sealed: &Sealed) -> Result<SealAnswer, LedgerError> {
    if sealed.outcome != Outcome::Interrupted
        && controls::stop_of(batch, place.tenant.as_str(), place.action.as_str())?.is_some()
    {
        return Ok(SealAnswer::Stopped);
    }
    let key = sealed.seal.as_ref().map(|seal| batch.key(seal.signed.key_id)).transpose()?;
    // Asked first and not by `RETURNING`, for which SQLite builds a temporary table each time.
    let id: i64 = batch
        .prepare_cached(
            "SELECT id FROM execution WHERE tenant = ?1 AND nonce = ?2 AND exec_id = ?3 AND state = 'reserved'",
        )?
        .query_row((place.tenant.as_str(), place.nonce.as_str(), sealed.exec_id.as_bytes()), |row| row.get(0))
        .optional()?
        .ok_or_else(|| LedgerError::Broken(format!("{} has no reservation to seal", sealed.exec_id)))?;
    let leaf = key.map(|_| batch.next_leaf()).transpose()?;
    batch
        .prepare_cached(
            "UPDATE execution SET state = ?1, fault = ?2, fuel = ?3, memory_bytes = ?4, receipt = ?5, sealed_at = ?6,
                 leaf = ?7
             WHERE id = ?8",
        )?
        .execute((
            sealed.outcome.status().as_str(),
            sealed.outcome.fault().map(Fault::as_str),
            integer(sealed.resources.fuel),
            integer(sealed.resources.memory_bytes),
            sealed.receipt.as_bytes(),
            integer(sealed.sealed_at.unix_ms()),
            leaf,
            id,
        ))?;
    if let (Some(leaf), Some(key), Some(seal)) = (leaf, key, &sealed.seal) {
        receipts::append(batch, leaf, key, seal)?;
    }
    let (result, failure, effects) = match &sealed.outcome {
        Outcome::Succeeded { result, effects } => (Some(result.as_str()), None, effects.as_slice()),
        Outcome::Failed(failure) => (None, Some(failure), [].as_slice()),
        Outcome::Faulted(_) | Outcome::Interrupted => (None, None, [].as_slice()),
    };
    batch
        .prepare_cached(
            "INSERT INTO answer (execution, result, failure_kind, failure_text, blinding) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((
            id,
            result,
            failure.map(|failure| failure.kind.as_str()),
            failure.map(|failure| &failure.text),
            sealed.seal.as_ref().map(|seal| seal.blinding.as_bytes()),
        ))?;
    for (position, effect) in (0_i64..).zip(effects) {
        batch
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

/// The receipt of the execution in this row, once it is sealed.
pub(super) fn receipt(connection: &Connection, row: i64) -> Result<Option<Digest>, LedgerError> {
    let receipt: Option<[u8; 32]> =
        connection.prepare_cached("SELECT receipt FROM execution WHERE id = ?1")?.query_row([row], |row| row.get(0))?;
    Ok(receipt.map(Digest::from_bytes))
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
        connection.prepare_cached("DELETE FROM answer WHERE execution = ?1")?.execute([id])?;
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

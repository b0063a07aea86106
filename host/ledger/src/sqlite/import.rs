//! Executions of openexec 0.1.10, so that an upgrade reopens no replay.
//!
//! In scope: recognising the predecessor's database, copying its executions, answering for them.
//! Out of scope: everything this version writes.
//!
//! 0.1.10 kept one table, `execution_log (id, action, payload, result, nonce, approved, timestamp)`, and one nonce
//! namespace for all tenants. An imported execution therefore has the empty tenant, which no request can have, and its
//! `fingerprint` is `SHA-256(action ‖ 0 ‖ JCS(payload))`, without tenant and audience. An imported nonce belongs to its
//! action and payload for every tenant; any other use of it is refused.
//!
//! Imported bodies age from the import on: taking a ledger over must not be what destroys it. The old table stays, so
//! that going back is possible, until `erase` removes its rows together with those bodies. Whatever 0.1.10 added
//! meanwhile is imported at the next start.

use openexec_core::digest::Digest;
use openexec_core::json::{self, Value};
use openexec_core::outcome::JsonText;
use openexec_core::receipt;
use openexec_core::request::ExecId;
use openexec_core::reservation::Reserved;
use openexec_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::batch::Batch;
use super::rows;
use crate::{Claim, LedgerError};

/// Whether the database is the predecessor's.
pub(super) fn is_predecessor(connection: &Connection) -> rusqlite::Result<bool> {
    let n_columns: i64 = connection.query_row(
        "SELECT count(*) FROM pragma_table_info('execution_log')
         WHERE name IN ('id', 'action', 'payload', 'result', 'nonce', 'approved', 'timestamp')",
        [],
        |row| row.get(0),
    )?;
    Ok(n_columns == 7)
}

/// Copies every execution whose nonce is not known yet; returns how many.
///
/// A row that cannot be answered again (its JSON is outside today's rules, or its id is not a UUID) still claims its
/// nonce: it is imported without a body, under a fingerprint that no request has.
pub(super) fn import(connection: &Connection) -> rusqlite::Result<u64> {
    // The columns of type JSON have numeric affinity: a result that was a bare number is a number there, not text.
    let mut old = connection.prepare(
        "SELECT id, action, CAST(payload AS TEXT), CAST(result AS TEXT), nonce, approved,
             max(coalesce(unixepoch(timestamp), 0), 0) * 1000
         FROM execution_log WHERE nonce IS NOT NULL AND nonce NOT IN (SELECT nonce FROM execution)
         ORDER BY timestamp, rowid",
    )?;
    let mut insert = connection.prepare(
        "INSERT INTO execution (exec_id, tenant, nonce, fingerprint, action, component, fuel_max, memory_bytes_max,
             output_bytes_max, deadline_ms_max, reserved_at, state, fuel, memory_bytes, receipt, sealed_at)
         VALUES (?1, '', ?2, ?3, ?4, zeroblob(32), 0, 0, 0, 0, unixepoch() * 1000, 'succeeded', 0, 0, ?6, ?5)",
    )?;
    let mut insert_body = connection.prepare("INSERT INTO body (execution, payload) VALUES (?1, ?2)")?;
    let mut insert_answer = connection.prepare("INSERT INTO answer (execution, result) VALUES (?1, ?2)")?;
    let mut n_imported = 0;
    let mut rows = old.query([])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let action: String = row.get(1)?;
        let nonce: String = row.get(4)?;
        let sealed_at: i64 = row.get(6)?;
        let answer = match row.get::<_, Option<bool>>(5)? {
            Some(true) => answer(&id, row.get(2)?, row.get(3)?),
            Some(false) | None => None,
        };
        match answer {
            Some(Answer { exec_id, payload, result, receipt }) => {
                let fingerprint = fingerprint(&action, &payload);
                insert.execute((
                    exec_id.as_bytes(),
                    &nonce,
                    fingerprint.as_bytes(),
                    &action,
                    sealed_at,
                    receipt.as_bytes(),
                ))?;
                let execution = connection.last_insert_rowid();
                insert_body.execute((execution, &payload))?;
                insert_answer.execute((execution, result.as_str()))?;
            }
            None => {
                let unmatched = Digest::of_pieces(&[b"imported without an answer\0", id.as_bytes(), nonce.as_bytes()]);
                let exec_id = unmatched.as_bytes().get(..16);
                insert.execute((
                    exec_id,
                    &nonce,
                    unmatched.as_bytes(),
                    &action,
                    sealed_at,
                    Digest::of(b"").as_bytes(),
                ))?;
            }
        }
        n_imported += 1;
    }
    Ok(n_imported)
}

struct Answer {
    exec_id: ExecId,
    payload: String,
    result: JsonText,
    receipt: Digest,
}

fn answer(id: &str, payload: Option<String>, result: Option<String>) -> Option<Answer> {
    let exec_id = ExecId::parse(id).ok()?;
    let payload = match payload.as_deref() {
        None | Some("null") => json::read(b"{}").ok()?,
        Some(text) => json::read(text.as_bytes()).ok()?,
    };
    let result = json::read(result?.as_bytes()).ok()?;
    let (Value::Object(_), Value::Object(_)) = (&payload, &result) else { return None };
    Some(Answer {
        exec_id,
        payload: json::jcs(&payload),
        receipt: receipt::legacy(exec_id, &result),
        result: JsonText::of(&result),
    })
}

fn fingerprint(action: &str, payload: &str) -> Digest {
    Digest::of_pieces(&[action.as_bytes(), b"\0", payload.as_bytes()])
}

/// Whether nothing was ever imported.
pub(super) fn is_empty(connection: &Connection) -> Result<bool, LedgerError> {
    Ok(!connection.prepare_cached("SELECT 1 FROM execution WHERE tenant = '' LIMIT 1")?.exists([])?)
}

/// What a request finds whose nonce was used with the predecessor; `None` if it was not.
pub(super) fn claim(batch: &Batch<'_>, reserved: &Reserved) -> Result<Option<Claim>, LedgerError> {
    if batch.nothing_is_imported()? {
        return Ok(None);
    }
    let held = batch
        .prepare_cached("SELECT id, fingerprint FROM execution WHERE tenant = '' AND nonce = ?1")?
        .query_row([reserved.nonce.as_str()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?)))
        .optional()?;
    let Some((id, held_by)) = held else { return Ok(None) };
    if held_by != *fingerprint(reserved.action.as_str(), &reserved.payload).as_bytes() {
        return Ok(Some(Claim::Taken));
    }
    rows::held_by_same(batch, id, reserved.clone()).map(Some)
}

/// Removes up to `n_max` rows of the predecessor's table that were imported before `before` and have no body any more, or
/// never had one. Their nonces stay claimed.
pub(super) fn erase(connection: &Connection, before: Timestamp, n_max: u32) -> Result<(), LedgerError> {
    if is_predecessor(connection)? {
        connection.execute(
            "DELETE FROM execution_log WHERE rowid IN (
                 SELECT old.rowid FROM execution_log AS old
                 JOIN execution ON execution.tenant = '' AND execution.nonce = old.nonce
                 LEFT JOIN body ON body.execution = execution.id
                 WHERE body.execution IS NULL AND execution.reserved_at < ?1 LIMIT ?2)",
            (i64::try_from(before.unix_ms()).unwrap_or(i64::MAX), n_max),
        )?;
    }
    Ok(())
}

//! Reading everything, for whoever audits a ledger.
//!
//! In scope: receipts in the order of the log, each with the execution it is about, as they are kept.
//! Out of scope: whether they agree (`openexec-server`'s `audit`).
//!
//! A row that does not read as anything this host writes is reported, and does not end the walk.

use openexec_core::digest::Digest;
use openexec_core::receipt::opening::Blinding;
use openexec_core::request::ExecId;
use openexec_core::time::Timestamp;
use rusqlite::Connection;

use super::kept::{KeptRow, SELECT, integer, natural};
use super::receipts;
use crate::LedgerError;
use crate::examined::{Examined, KeptExecution};

/// Up to `n_max` receipts from index `from` on.
pub(super) fn receipts_from(connection: &Connection, from: u64, n_max: u32) -> Result<Vec<Examined>, LedgerError> {
    let mut statement =
        connection.prepare_cached("SELECT leaf, reference FROM receipt WHERE leaf >= ?1 ORDER BY leaf LIMIT ?2")?;
    let mut rows = statement.query((integer(from), n_max))?;
    let mut examined = Vec::new();
    while let Some(row) = rows.next()? {
        let leaf: i64 = row.get(0)?;
        let reference = row.get(1).map(Digest::from_bytes).map_err(LedgerError::from);
        examined.push(Examined { index: natural(leaf)?, reference, signed: receipts::at(connection, leaf) });
    }
    Ok(examined)
}

/// The execution in this row, as it is kept.
pub(super) fn execution(connection: &Connection, row: i64) -> Result<Option<KeptExecution>, LedgerError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE execution.id = ?1"))?;
    let mut rows = statement.query([row])?;
    match rows.next()? {
        None => Ok(None),
        Some(row) => kept(connection, KeptRow::read(row)?).map(Some),
    }
}

fn kept(connection: &Connection, row: KeptRow) -> Result<KeptExecution, LedgerError> {
    let is_erased = row.payload.is_none();
    let leaf = row.leaf.map(natural).transpose()?;
    let sealed_at = row.sealed_at.map(natural).transpose()?.map(Timestamp::from_unix_ms);
    let approval_ref = row.approval_ref.map(Digest::from_bytes);
    let receipt = row.receipt.map(Digest::from_bytes);
    let blinding = row.blinding.map(Blinding::from_bytes);
    let status = row.status()?;
    let fault = row.fault.clone();
    let resources = row.resources()?;
    let outcome = match status {
        Some(status) if !is_erased => Some(row.outcome(connection, status)?),
        Some(_) | None => None,
    };
    Ok(KeptExecution {
        leaf,
        is_erased,
        status,
        fault,
        resources,
        outcome,
        receipt,
        sealed_at,
        approval_ref,
        blinding,
        facts: row.facts()?,
    })
}

/// Sealed executions without a receipt, sealed from `since` on.
pub(super) fn unsigned(connection: &Connection, since: Timestamp) -> Result<Vec<ExecId>, LedgerError> {
    let mut statement = connection.prepare(
        "SELECT exec_id FROM execution WHERE state <> 'reserved' AND leaf IS NULL AND sealed_at >= ?1 ORDER BY id",
    )?;
    let ids = statement.query_map([integer(since.unix_ms())], |row| row.get(0).map(ExecId::from_bytes))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

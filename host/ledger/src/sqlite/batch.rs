//! The open transaction of a batch, and what need not be asked for each write in it.
//!
//! In scope: facts that hold from the first write of a batch to its last.
//! Out of scope: opening and committing (`group_commit`), what is written (`rows`).
//!
//! The transaction has the database's one write lock, so nobody else changes a thing until it ends, in no process. What
//! the batch itself changes is forgotten or kept up by whoever changes it. The next batch asks anew.

use std::cell::Cell;
use std::ops::Deref;

use openexec_core::keys::KeyId;
use rusqlite::Connection;

use super::by_exec_id::Young;
use super::{controls, import, receipts};
use crate::LedgerError;

/// The transaction of one batch of writes.
pub(super) struct Batch<'a> {
    connection: &'a Connection,
    /// Executions that may have no index entry yet.
    pub(super) young: &'a Young,
    nothing_is_stopped: Cell<Option<bool>>,
    nothing_is_imported: Cell<Option<bool>>,
    next_leaf: Cell<Option<i64>>,
    key: Cell<Option<(KeyId, i64)>>,
}

impl Deref for Batch<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl<'a> Batch<'a> {
    /// The transaction that has just begun on this connection, with the lock to write.
    pub(super) fn begun(connection: &'a Connection, young: &'a Young) -> Self {
        Self {
            connection,
            young,
            nothing_is_stopped: Cell::default(),
            nothing_is_imported: Cell::default(),
            next_leaf: Cell::default(),
            key: Cell::default(),
        }
    }

    /// Whether the operator has stopped nothing.
    pub(super) fn nothing_is_stopped(&self) -> Result<bool, LedgerError> {
        known(&self.nothing_is_stopped, || controls::is_empty(self))
    }

    /// A control was written.
    pub(super) fn controls_have_changed(&self) {
        self.nothing_is_stopped.set(None);
    }

    /// Whether the ledger has no execution of the predecessor. They are imported when it is opened.
    pub(super) fn nothing_is_imported(&self) -> Result<bool, LedgerError> {
        known(&self.nothing_is_imported, || import::is_empty(self))
    }

    /// The index in the log of the next receipt.
    pub(super) fn next_leaf(&self) -> Result<i64, LedgerError> {
        known(&self.next_leaf, || receipts::next_leaf(self))
    }

    /// A receipt was appended at this index.
    pub(super) fn has_appended(&self, leaf: i64) {
        self.next_leaf.set(Some(leaf + 1));
    }

    /// The row of this receipt key. Keys are never removed.
    pub(super) fn key(&self, id: KeyId) -> Result<i64, LedgerError> {
        match self.key.get() {
            Some((known, row)) if known == id => Ok(row),
            Some(_) | None => {
                let row = receipts::key(self, id)?;
                self.key.set(Some((id, row)));
                Ok(row)
            }
        }
    }
}

/// What is known, else what is found, which is known from then on.
fn known<T: Copy>(cell: &Cell<Option<T>>, find: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
    if let Some(known) = cell.get() {
        return Ok(known);
    }
    let found = find()?;
    cell.set(Some(found));
    Ok(found)
}

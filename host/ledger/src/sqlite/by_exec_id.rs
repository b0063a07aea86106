//! Finding an execution by its id.
//!
//! In scope: the tables `by_exec_id` and `by_exec_id_end`, the ids that have no entry yet, and the look-up.
//! Out of scope: what the rows of an execution mean (`rows`, `kept`).
//!
//! Ids are digests, so an index of them is written all over: each reservation would write a page of its own, twice, and
//! those pages were a third of all that an execution writes. Nothing that runs an execution asks by id: reserving and
//! sealing go by the nonce. So the ids of young executions are held in memory, and whenever the log is published, which
//! nobody waits for, some that are neighbours in the index are given their entries together.
//!
//! Invariants
//! - Every execution up to the one in `by_exec_id_end` has an entry; a host holds all younger ones in memory.
//! - Entries are hints. The row says which execution it is.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use openexec_core::request::ExecId;
use rusqlite::{Connection, OptionalExtension};

use crate::LedgerError;

/// The share of the young that is given entries at once. A greater share shares fewer pages of the index; a smaller one
/// lets more of them grow old, each of which takes a hundred bytes and a microsecond of the next start.
const SHARE: usize = 16;

/// Executions that may have no entry yet.
#[derive(Debug)]
pub(super) struct Young {
    /// Whether nobody else reserves, so that the list has everything.
    is_complete: bool,
    ids: Mutex<Ids>,
}

#[derive(Debug)]
struct Ids {
    rows: BTreeMap<ExecId, i64>,
    /// Those up to here were given entries the last time; the next ones are next.
    hand: Bound<ExecId>,
    /// What was given entries in `round`, to be forgotten once that is known to have been committed.
    given: Vec<(ExecId, i64)>,
    round: i64,
}

impl Young {
    /// Those of this ledger. `is_complete` if only this process reserves.
    pub(super) fn load(connection: &Connection, is_complete: bool) -> rusqlite::Result<Self> {
        let mut ids = Ids { rows: BTreeMap::new(), hand: Bound::Unbounded, given: Vec::new(), round: 0 };
        if is_complete {
            let mut statement = connection
                .prepare("SELECT exec_id, id FROM execution WHERE id > (SELECT execution FROM by_exec_id_end)")?;
            let rows = statement.query_map([], |row| Ok((ExecId::from_bytes(row.get(0)?), row.get(1)?)))?;
            ids.rows = rows.collect::<rusqlite::Result<_>>()?;
        }
        Ok(Self { is_complete, ids: Mutex::new(ids) })
    }

    /// An execution was reserved. Should its transaction fail, the entry leads to no row of this id, until there is one.
    pub(super) fn add(&self, exec_id: ExecId, row: i64) {
        self.ids().rows.insert(exec_id, row);
    }

    /// Gives some of them their entries, in this transaction.
    pub(super) fn index_some(&self, connection: &Connection) -> rusqlite::Result<()> {
        let (round, newest): (i64, i64) = connection
            .prepare_cached("SELECT round, (SELECT coalesce(max(id), 0) FROM execution) FROM by_exec_id_end")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut ids = self.ids();
        ids.forget_given(round);
        let chosen = ids.choose();
        let Some((last, _)) = chosen.last().copied() else { return Ok(()) };
        let mut insert =
            connection.prepare_cached("INSERT OR REPLACE INTO by_exec_id (exec_id, execution) VALUES (?1, ?2)")?;
        for (exec_id, row) in &chosen {
            insert.execute((exec_id.as_bytes(), row))?;
        }
        // Ids whose transaction failed may be among them, with rows that do not exist yet.
        let end = ids.before_the_rest(&chosen).unwrap_or(newest).min(newest);
        connection.prepare_cached("UPDATE by_exec_id_end SET execution = ?1, round = ?2")?.execute((end, round + 1))?;
        (ids.hand, ids.given, ids.round) = (Bound::Excluded(last), chosen, round + 1);
        Ok(())
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ids {
    /// Forgets what was given entries, if the transaction of that is the latest that was committed.
    fn forget_given(&mut self, committed: i64) {
        for (exec_id, row) in std::mem::take(&mut self.given) {
            if self.round == committed && self.rows.get(&exec_id) == Some(&row) {
                self.rows.remove(&exec_id);
            }
        }
    }

    /// The next ones in the order of the index, from the start again after the last.
    fn choose(&self) -> Vec<(ExecId, i64)> {
        let n = self.rows.len().div_ceil(SHARE);
        let from = |start| self.rows.range((start, Bound::Unbounded)).take(n).map(|(id, row)| (*id, *row));
        let next: Vec<_> = from(self.hand).collect();
        if next.is_empty() { from(Bound::Unbounded).collect() } else { next }
    }

    /// The row before all that are not chosen; `None` if all are.
    fn before_the_rest(&self, chosen: &[(ExecId, i64)]) -> Option<i64> {
        let (Some((first, _)), Some((last, _))) = (chosen.first(), chosen.last()) else { return None };
        let rest = self.rows.range(..first).chain(self.rows.range((Bound::Excluded(*last), Bound::Unbounded)));
        rest.map(|(_, row)| row - 1).min()
    }
}

/// Gives all executions without an entry theirs: there may be more of them than a host would hold in memory.
pub(super) fn index_rest(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "INSERT OR REPLACE INTO by_exec_id (exec_id, execution)
             SELECT exec_id, id FROM execution WHERE id > (SELECT execution FROM by_exec_id_end) ORDER BY exec_id;
         UPDATE by_exec_id_end SET execution = (SELECT coalesce(max(id), 0) FROM execution);",
    )
}

/// Reads something from the row of this execution, if there is one.
pub(super) fn look_up<T>(
    connection: &Connection,
    young: &Young,
    exec_id: ExecId,
    read: fn(&Connection, i64) -> Result<Option<T>, LedgerError>,
) -> Result<Option<T>, LedgerError> {
    row(connection, young, exec_id)?.map_or(Ok(None), |row| read(connection, row))
}

/// The row of this execution.
fn row(connection: &Connection, young: &Young, exec_id: ExecId) -> Result<Option<i64>, LedgerError> {
    let hint = young.ids().rows.get(&exec_id).copied();
    if let Some(hint) = hint
        && connection
            .prepare_cached("SELECT 1 FROM execution WHERE id = ?1 AND exec_id = ?2")?
            .exists((hint, exec_id.as_bytes()))?
    {
        return Ok(Some(hint));
    }
    let indexed = "SELECT id FROM execution
        WHERE id = (SELECT execution FROM by_exec_id WHERE exec_id = ?1) AND exec_id = ?1";
    let look_through = "SELECT id FROM execution WHERE id > (SELECT execution FROM by_exec_id_end) AND exec_id = ?1";
    let found = match young.is_complete {
        true => connection.prepare_cached(indexed)?.query_row([exec_id.as_bytes()], |row| row.get(0)),
        false => connection
            .prepare_cached(&format!("{indexed} UNION ALL {look_through} LIMIT 1"))?
            .query_row([exec_id.as_bytes()], |row| row.get(0)),
    };
    Ok(found.optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ExecId {
        ExecId::from_bytes([number; 16])
    }

    /// The part of a ledger that this file is about.
    fn ledger() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        let tables = "CREATE TABLE execution (id INTEGER PRIMARY KEY, exec_id BLOB NOT NULL);
            CREATE TABLE by_exec_id (exec_id BLOB PRIMARY KEY, execution INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE by_exec_id_end (one INTEGER PRIMARY KEY, execution INTEGER NOT NULL, round INTEGER NOT NULL);
            INSERT INTO by_exec_id_end VALUES (1, 0, 0);";
        connection.execute_batch(tables).unwrap();
        connection
    }

    /// Reserves this execution in the next row.
    fn reserve(connection: &Connection, young: &Young, number: u8) {
        connection.execute("INSERT INTO execution (exec_id) VALUES (?1)", [id(number).as_bytes()]).unwrap();
        young.add(id(number), connection.last_insert_rowid());
    }

    fn entries(connection: &Connection) -> (i64, i64) {
        let sql = "SELECT (SELECT count(*) FROM by_exec_id), execution FROM by_exec_id_end";
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    /// Every one of these is found: with what is held in memory, by a host that starts now, and by maintenance.
    fn require_found(connection: &Connection, young: &Young, numbers: impl Iterator<Item = u8> + Clone) {
        let (started, beside) = (Young::load(connection, true).unwrap(), Young::load(connection, false).unwrap());
        for young in [young, &started, &beside] {
            for number in numbers.clone() {
                let row = row(connection, young, id(number)).unwrap();
                let sql = "SELECT id FROM execution WHERE exec_id = ?1";
                let expected: i64 = connection.query_row(sql, [id(number).as_bytes()], |row| row.get(0)).unwrap();
                assert_eq!(row, Some(expected), "{number}");
            }
            assert_eq!(row(connection, young, id(255)).unwrap(), None);
        }
    }

    #[test]
    fn the_young_are_given_entries_a_share_at_a_time_and_forgotten() {
        let connection = ledger();
        let young = Young::load(&connection, true).unwrap();
        // In another order than that of the index.
        let numbers = (0..200_u16).map(|i| u8::try_from(i * 77 % 200).unwrap());
        assert_eq!(numbers.clone().collect::<std::collections::BTreeSet<_>>().len(), 200);
        numbers.clone().for_each(|number| reserve(&connection, &young, number));
        young.index_some(&connection).unwrap();
        assert_eq!(entries(&connection).0, 13, "a sixteenth, rounded up");
        require_found(&connection, &young, numbers.clone());
        for _ in 0..100 {
            young.index_some(&connection).unwrap();
            require_found(&connection, &young, numbers.clone());
        }
        young.index_some(&connection).unwrap();
        assert_eq!(entries(&connection), (200, 200));
        assert!(young.ids().rows.is_empty());
    }

    #[test]
    fn what_was_given_entries_that_were_not_kept_is_given_them_again() {
        let connection = ledger();
        let young = Young::load(&connection, true).unwrap();
        (0..20).for_each(|number| reserve(&connection, &young, number));
        for _ in 0..40 {
            connection.execute_batch("BEGIN").unwrap();
            young.index_some(&connection).unwrap();
            connection.execute_batch("ROLLBACK").unwrap();
            assert_eq!(entries(&connection), (0, 0));
            require_found(&connection, &young, 0..20);
        }
        for _ in 0..40 {
            young.index_some(&connection).unwrap();
            require_found(&connection, &young, 0..20);
        }
        assert_eq!(entries(&connection), (20, 20));
    }

    #[test]
    fn a_reservation_that_was_not_kept_hides_nobody() {
        let connection = ledger();
        let young = Young::load(&connection, true).unwrap();
        reserve(&connection, &young, 0);
        connection.execute_batch("BEGIN").unwrap();
        (1..5).for_each(|number| reserve(&connection, &young, number));
        connection.execute_batch("ROLLBACK").unwrap();
        (0..9).for_each(|_| young.index_some(&connection).unwrap());
        // The same rows for others, and the same executions in other rows.
        (5..9).chain(1..5).for_each(|number| reserve(&connection, &young, number));
        require_found(&connection, &young, 0..9);
        for _ in 0..40 {
            young.index_some(&connection).unwrap();
            require_found(&connection, &young, 0..9);
        }
        assert_eq!(entries(&connection), (9, 9));
    }
}

//! Signed receipts, and the keys that sign them.
//!
//! In scope: the SQL of `receipt` and `receipt_key`. A receipt's row id is its index in the log: seals are written one
//! after the other by one thread, and no row is ever deleted, so that the indices have no gaps.
//! Out of scope: tiles and checkpoints (`log`).

use openexec_core::digest::Digest;
use openexec_core::keys::{KeyId, PublicKey, Signature};
use openexec_core::receipt::Signed;
use openexec_core::reservation::Seal;
use openexec_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use super::batch::Batch;
use super::kept::{integer, natural};
use crate::LedgerError;
use crate::receipts::{KeptKey, Logged};

/// The row of this receipt key.
pub(super) fn key(connection: &Connection, id: KeyId) -> Result<i64, LedgerError> {
    let key: Option<i64> = connection
        .prepare_cached("SELECT id FROM receipt_key WHERE key_id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    key.ok_or_else(|| LedgerError::Broken(format!("a receipt by the key {id}, which was never made known")))
}

/// The index in the log of the next receipt.
pub(super) fn next_leaf(connection: &Connection) -> Result<i64, LedgerError> {
    let mut statement = connection.prepare_cached("SELECT coalesce(max(leaf) + 1, 0) FROM receipt")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Appends a receipt to the log, at `leaf`.
pub(super) fn append(batch: &Batch<'_>, leaf: i64, key: i64, seal: &Seal) -> Result<(), LedgerError> {
    let Seal { signed, reference, .. } = seal;
    batch
        .prepare_cached("INSERT INTO receipt (leaf, key, reference, signature, statement) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((leaf, key, reference.as_bytes(), signed.signature.as_bytes(), &*signed.statement))?;
    batch.has_appended(leaf);
    Ok(())
}

const SELECT: &str = "SELECT receipt.signature, receipt.statement, receipt_key.key_id, receipt.leaf
    FROM receipt JOIN receipt_key ON receipt_key.id = receipt.key";

/// The receipt at `leaf`.
pub(super) fn at(connection: &Connection, leaf: i64) -> Result<Signed, LedgerError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE receipt.leaf = ?1"))?;
    let found = statement.query_row([leaf], |row| Ok(read(row))).optional()?;
    found.ok_or_else(|| LedgerError::Broken(format!("receipt {leaf} is missing")))?.map(|logged| logged.signed)
}

/// The receipt of the execution in this row, if it has one.
pub(super) fn of(connection: &Connection, row: i64) -> Result<Option<Logged>, LedgerError> {
    let mut statement = connection
        .prepare_cached(&format!("{SELECT} WHERE receipt.leaf = (SELECT leaf FROM execution WHERE id = ?1)"))?;
    statement.query_row([row], |row| Ok(read(row))).optional()?.transpose()
}

fn read(row: &Row<'_>) -> Result<Logged, LedgerError> {
    let signature = row.get("signature")?;
    let statement: String = row.get("statement")?;
    let key_id = KeyId::from_bytes(row.get("key_id")?);
    let signed = Signed { statement: statement.into(), key_id, signature: Signature::from_bytes(signature) };
    Ok(Logged { index: natural(row.get("leaf")?)?, signed })
}

fn read_public(base64: &str) -> Result<PublicKey, LedgerError> {
    PublicKey::parse_base64(base64).map_err(|_| LedgerError::Broken("a receipt key that is none".to_owned()))
}

/// References of receipts in the order of the log, from `from` on.
pub(super) fn references(connection: &Connection, from: u64, n_max: u32) -> Result<Vec<Digest>, LedgerError> {
    let mut statement =
        connection.prepare_cached("SELECT leaf, reference FROM receipt WHERE leaf >= ?1 ORDER BY leaf LIMIT ?2")?;
    let mut rows = statement.query((integer(from), n_max))?;
    let mut references = Vec::new();
    while let Some(row) = rows.next()? {
        let leaf = natural(row.get(0)?)?;
        if leaf != from + references.len() as u64 {
            return Err(LedgerError::Broken(format!("the log has a gap before receipt {leaf}")));
        }
        references.push(Digest::from_bytes(row.get(1)?));
    }
    Ok(references)
}

/// Makes a key known; whether it was not known before.
pub(super) fn adopt_key(connection: &Connection, public: &PublicKey, since: Timestamp) -> Result<bool, LedgerError> {
    let n_inserted = connection
        .prepare_cached("INSERT INTO receipt_key (key_id, public, since) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute((public.id().as_bytes(), public.to_base64(), integer(since.unix_ms())))?;
    Ok(n_inserted == 1)
}

/// Every key that was made known, oldest first.
pub(super) fn keys(connection: &Connection) -> Result<Vec<KeptKey>, LedgerError> {
    let mut statement = connection.prepare_cached("SELECT public, since FROM receipt_key ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let since = Timestamp::from_unix_ms(natural(row.get(1)?)?);
        keys.push(KeptKey { public: read_public(&row.get::<_, String>(0)?)?, since });
    }
    Ok(keys)
}

//! The log: tiles, checkpoints, cosignatures.
//!
//! In scope: the SQL of `tile`, `checkpoint` and `cosignature`.
//! Out of scope: what is hashed and signed (`openexec_core::log`), the receipts themselves (`receipts`).
//!
//! `publish` looks at everything before it writes anything: what contradicts the ledger fails alone, and the transaction
//! that it shares with reservations and seals goes on.

use openexec_core::digest::Digest;
use openexec_core::log::checkpoint::SignedCheckpoint;
use openexec_core::log::edge::CompleteTile;
use openexec_core::log::note::{NoteSignature, VerifierKey};
use openexec_core::log::tile::{TILE_WIDTH, encode_hashes, parse_hashes};
use rusqlite::{Connection, OptionalExtension};

use super::kept::{integer, natural};
use crate::LedgerError;
use crate::log::{CHECKPOINTS_KEPT, Witnessed};

/// Bits of a tile's row id that are its index: enough for 2^56 receipts, which is 10,000 a second for 200,000 years.
const INDEX_BITS: u32 = 48;

fn row_id(level: u8, index: u64) -> Option<i64> {
    let fits = index >> INDEX_BITS == 0 && level < 8; // the tree of 2^63 leaves has 8 levels of tiles
    fits.then(|| integer(u64::from(level) << INDEX_BITS | index))
}

/// The hashes of a complete tile.
pub(super) fn tile(connection: &Connection, level: u8, index: u64) -> Result<Option<Vec<Digest>>, LedgerError> {
    let Some(id) = row_id(level, index) else { return Ok(None) };
    let bytes: Option<Vec<u8>> = connection
        .prepare_cached("SELECT hashes FROM tile WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let broken = || LedgerError::Broken(format!("tile {index} of level {level} is damaged"));
    bytes.map(|bytes| parse_hashes(&bytes, TILE_WIDTH).ok_or_else(broken)).transpose()
}

/// Keeps tiles and a checkpoint, unless they contradict what is there; forgets checkpoints that are no longer needed.
pub(super) fn publish(
    connection: &Connection,
    tiles: &[CompleteTile],
    checkpoint: &SignedCheckpoint,
) -> Result<(), LedgerError> {
    let size = checkpoint.checkpoint().size();
    let tiles = tiles.iter().map(row_of).collect::<Result<Vec<_>, _>>()?;
    require_agreement(connection, &tiles, size, &checkpoint.to_string())?;
    let mut insert =
        connection.prepare_cached("INSERT INTO tile (id, hashes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for (id, hashes) in tiles {
        insert.execute((id, hashes))?;
    }
    connection
        .prepare_cached("INSERT INTO checkpoint (size, note) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute((integer(size), checkpoint.to_string()))?;
    prune(connection)
}

fn row_of(tile: &CompleteTile) -> Result<(i64, Vec<u8>), LedgerError> {
    let is_complete = tile.hashes.len() == usize::from(TILE_WIDTH);
    let id = row_id(tile.level, tile.index).filter(|_| is_complete);
    id.map(|id| (id, encode_hashes(&tile.hashes))).ok_or_else(|| LedgerError::Broken("a tile that is none".to_owned()))
}

fn require_agreement(
    connection: &Connection,
    tiles: &[(i64, Vec<u8>)],
    size: u64,
    note: &str,
) -> Result<(), LedgerError> {
    let contradiction = |what: &str| Err(LedgerError::Broken(format!("a checkpoint of size {size}: {what}")));
    let n_receipts: i64 =
        connection.prepare_cached("SELECT coalesce(max(leaf) + 1, 0) FROM receipt")?.query_row([], |row| row.get(0))?;
    if natural(n_receipts)? < size {
        return contradiction("there are fewer receipts");
    }
    let newest: Option<(i64, String)> = connection
        .prepare_cached("SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((newest, kept)) = newest {
        if newest > integer(size) {
            return contradiction("there is a larger one");
        }
        if newest == integer(size) && kept != note {
            return contradiction("there is another one of this size");
        }
    }
    let mut other = connection.prepare_cached("SELECT 1 FROM tile WHERE id = ?1 AND hashes <> ?2")?;
    for (id, hashes) in tiles {
        if other.exists((id, hashes))? {
            return contradiction("a tile of it is kept with other hashes");
        }
    }
    Ok(())
}

/// There is rarely more than one to forget, and none of those that a witness cosigned last.
fn prune(connection: &Connection) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "DELETE FROM checkpoint
             WHERE size < (SELECT size FROM checkpoint ORDER BY size DESC LIMIT 1 OFFSET ?1 - 1)
               AND size NOT IN (SELECT max(size) FROM cosignature GROUP BY witness)",
        )?
        .execute([CHECKPOINTS_KEPT])?;
    Ok(())
}

/// The newest checkpoint.
pub(super) fn newest(connection: &Connection) -> Result<Option<SignedCheckpoint>, LedgerError> {
    let size: Option<i64> =
        connection.prepare_cached("SELECT max(size) FROM checkpoint")?.query_row([], |row| row.get(0))?;
    Ok(size.map(|size| at(connection, size)).transpose()?.flatten())
}

/// The checkpoint of this size.
pub(super) fn checkpoint(connection: &Connection, size: u64) -> Result<Option<SignedCheckpoint>, LedgerError> {
    at(connection, integer(size))
}

/// Every checkpoint that is kept, the smallest first; those that do not read are errors among them.
pub(super) fn all(connection: &Connection) -> Result<Vec<Result<SignedCheckpoint, LedgerError>>, LedgerError> {
    let mut statement = connection.prepare("SELECT size FROM checkpoint ORDER BY size")?;
    let sizes = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    Ok(sizes.into_iter().filter_map(|size| at(connection, size).transpose()).collect())
}

fn at(connection: &Connection, size: i64) -> Result<Option<SignedCheckpoint>, LedgerError> {
    let note: Option<String> = connection
        .prepare_cached("SELECT note FROM checkpoint WHERE size = ?1")?
        .query_row([size], |row| row.get(0))
        .optional()?;
    let Some(note) = note else { return Ok(None) };
    let broken = || LedgerError::Broken(format!("the checkpoint of size {size} is damaged"));
    let mut checkpoint = SignedCheckpoint::parse(&note).map_err(|_| broken())?;
    let mut lines = connection.prepare_cached("SELECT line FROM cosignature WHERE size = ?1 ORDER BY witness")?;
    let mut rows = lines.query([size])?;
    while let Some(row) = rows.next()? {
        let line = NoteSignature::parse(&row.get::<_, String>(0)?).map_err(|_| broken())?;
        // More witnesses than a note has room for: the others' lines stay in the ledger.
        checkpoint = checkpoint.clone().with(line).unwrap_or(checkpoint);
    }
    Ok(Some(checkpoint))
}

/// Adds cosignatures to a checkpoint; whether it is kept.
pub(super) fn cosign(connection: &Connection, size: u64, cosignatures: &[Witnessed]) -> Result<bool, LedgerError> {
    if !connection.prepare_cached("SELECT 1 FROM checkpoint WHERE size = ?1")?.exists([integer(size)])? {
        return Ok(false);
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO cosignature (size, witness, time, line) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET time = excluded.time, line = excluded.line WHERE time <= excluded.time",
    )?;
    for Witnessed { witness, time, line } in cosignatures {
        insert.execute((integer(size), witness.to_string(), integer(*time), line.to_string()))?;
    }
    Ok(true)
}

/// The newest checkpoint that enough of these witnesses have cosigned.
pub(super) fn newest_cosigned(
    connection: &Connection,
    witnesses: &[VerifierKey],
    n_min: u32,
) -> Result<Option<SignedCheckpoint>, LedgerError> {
    let witnesses: Vec<_> = witnesses.iter().map(ToString::to_string).collect();
    let mut statement = connection.prepare_cached("SELECT size, witness FROM cosignature ORDER BY size DESC")?;
    let mut rows = statement.query([])?;
    let mut counted = (-1_i64, 0_u32);
    while let Some(row) = rows.next()? {
        let (size, witness): (i64, String) = (row.get(0)?, row.get(1)?);
        if size != counted.0 {
            counted = (size, 0);
        }
        counted.1 += u32::from(witnesses.contains(&witness));
        if counted.1 >= n_min {
            return at(connection, size);
        }
    }
    Ok(None)
}

//! Proofs and roots from tiles.
//!
//! In scope: which tiles a proof needs, and the hashes computed from them.
//! Out of scope: where tiles are kept (`Tiles`), verifying (`tree`).
//!
//! Invariants
//! - A tile is read once for a proof, and as wide as the tree of that size has it.
//! - Tiles are trusted to be the log's own: a wrong hash gives a proof that does not verify, never a panic.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::digest::Digest;
use crate::limits::LOG_SIZE_MAX;
use crate::log::tile::{TILE_HEIGHT, TileId};
use crate::log::tree::{self, Frontier, ProofError};

/// Where tiles are read.
///
/// A tile is asked for as wide as some tree of the log has it, which may be less than it has by now: the answer is then
/// its first hashes. The same tile has the same hashes for ever.
pub trait Tiles {
    /// Why a tile could not be read.
    type Error;

    /// The hashes of a tile, exactly as many as its width.
    ///
    /// # Errors
    /// When it cannot be read, or is not there.
    fn tile(&self, id: TileId) -> Result<Vec<Digest>, Self::Error>;
}

/// Why there is no proof or no root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TilesError<E> {
    /// A tile could not be read.
    #[error("a tile could not be read: {0}")]
    Tiles(E),
    /// A tile does not have the hashes it should have.
    #[error("{0} does not have as many hashes as it should")]
    Width(TileId),
    /// No such leaf, or no such tree.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// The proof that the leaf stands at this index of the tree of this size.
///
/// # Errors
/// `TilesError`.
pub fn inclusion_proof<T: Tiles + ?Sized>(
    tiles: &T,
    index: u64,
    size: u64,
) -> Result<Vec<Digest>, TilesError<T::Error>> {
    let mut reader = Reader::of(tiles, size);
    tree::inclusion_path(index, size)?.into_iter().map(|range| reader.subtree(range)).collect()
}

/// The proof that the tree of the new size begins with that of the old one. Empty where nothing needs proving.
///
/// # Errors
/// `TilesError`.
pub fn consistency_proof<T: Tiles + ?Sized>(
    tiles: &T,
    old_size: u64,
    new_size: u64,
) -> Result<Vec<Digest>, TilesError<T::Error>> {
    let mut reader = Reader::of(tiles, new_size);
    tree::consistency_path(old_size, new_size)?.into_iter().map(|range| reader.subtree(range)).collect()
}

/// The root of the tree of this size.
///
/// # Errors
/// `TilesError`.
pub fn root<T: Tiles + ?Sized>(tiles: &T, size: u64) -> Result<Digest, TilesError<T::Error>> {
    Ok(frontier(tiles, size)?.root())
}

/// The frontier of the tree of this size.
///
/// # Errors
/// `TilesError`.
pub fn frontier<T: Tiles + ?Sized>(tiles: &T, size: u64) -> Result<Frontier, TilesError<T::Error>> {
    if size > LOG_SIZE_MAX {
        return Err(ProofError::Range.into());
    }
    Ok(Frontier::of(size, Reader::of(tiles, size).complete_subtrees(0..size)?))
}

/// Reads the tiles of the tree of one size, each once.
struct Reader<'tiles, T: Tiles + ?Sized> {
    tiles: &'tiles T,
    size: u64,
    read: BTreeMap<TileId, Vec<Digest>>,
}

impl<'tiles, T: Tiles + ?Sized> Reader<'tiles, T> {
    fn of(tiles: &'tiles T, size: u64) -> Self {
        Self { tiles, size, read: BTreeMap::new() }
    }

    /// The root of a subtree.
    fn subtree(&mut self, leaves: Range<u64>) -> Result<Digest, TilesError<T::Error>> {
        Ok(tree::joined(&self.complete_subtrees(leaves)?))
    }

    /// The roots of the complete subtrees that a subtree consists of, the largest first.
    fn complete_subtrees(&mut self, leaves: Range<u64>) -> Result<Vec<Digest>, TilesError<T::Error>> {
        let mut subtrees = Vec::new();
        let mut start = leaves.start;
        while let Some(height) = leaves.end.saturating_sub(start).checked_ilog2() {
            subtrees.push(self.complete_subtree(start, height)?);
            start += 1 << height;
        }
        Ok(subtrees)
    }

    /// The root of the complete subtree of 2^`height` leaves from `start`: a hash of a tile, or the root over several
    /// that stand side by side in one tile.
    fn complete_subtree(&mut self, start: u64, height: u32) -> Result<Digest, TilesError<T::Error>> {
        let (level, above) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
        let first = start >> (level * TILE_HEIGHT);
        let level = u8::try_from(level).map_err(|_| ProofError::Range)?;
        let id = TileId::in_tree(level, first >> TILE_HEIGHT, self.size).ok_or(ProofError::Range)?;
        let [.., offset] = first.to_be_bytes();
        let hashes = self.tile(id)?.iter().skip(usize::from(offset)).take(1 << above);
        Ok(tree::root_of(&hashes.copied().collect::<Vec<_>>()))
    }

    fn tile(&mut self, id: TileId) -> Result<&[Digest], TilesError<T::Error>> {
        use std::collections::btree_map::Entry;
        match self.read.entry(id) {
            Entry::Occupied(read) => Ok(read.into_mut()),
            Entry::Vacant(place) => {
                let hashes = self.tiles.tile(id).map_err(TilesError::Tiles)?;
                if hashes.len() != usize::from(id.width()) {
                    return Err(TilesError::Width(id));
                }
                Ok(place.insert(hashes))
            }
        }
    }
}

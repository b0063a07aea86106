//! The right edge of a growing tree: the incomplete tile of every level, in memory.
//!
//! In scope: appending leaves, the tiles that become complete, the root, restoring the edge after a restart.
//! Out of scope: keeping tiles and leaves, deciding when a tree is published.
//!
//! Invariants
//! - A tile is complete once, and then leaves the edge; from there on it is the caller's to keep.
//! - The edge holds at most 255 hashes of a level.

use std::mem;

use crate::digest::Digest;
use crate::limits::LOG_SIZE_MAX;
use crate::log::prove::{Tiles, TilesError};
use crate::log::tile::{TILE_HEIGHT, TILE_WIDTH, TileId};
use crate::log::tree::{self, Frontier, ProofError};

/// The incomplete tiles of a tree, and its frontier. Cloned, it is a place to append to before anything is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    frontier: Frontier,
    /// The hashes of the incomplete tile of each level, lowest first.
    levels: Vec<Vec<Digest>>,
    completed: Vec<CompleteTile>,
}

/// A tile that has all its 256 hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompleteTile {
    /// Its level.
    pub level: u8,
    /// Its index in the level.
    pub index: u64,
    /// Its hashes.
    pub hashes: Vec<Digest>,
}

impl Edge {
    /// The edge of the tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge of the tree of this size, from its complete tiles and the leaf hashes after the last complete tile. At
    /// most 255 tiles of a level are read. Compare `root` with what was signed: the edge is as true as what it was made
    /// of.
    ///
    /// # Errors
    /// `TilesError`; `ProofError::Length` when the leaf hashes are not as many as `size` leaves after the last tile.
    pub fn restore<T: Tiles + ?Sized>(
        tiles: &T,
        size: u64,
        last_leaves: Vec<Digest>,
    ) -> Result<Self, TilesError<T::Error>> {
        if size > LOG_SIZE_MAX {
            return Err(ProofError::Range.into());
        }
        if u64::try_from(last_leaves.len()).ok() != Some(size % u64::from(TILE_WIDTH)) {
            return Err(ProofError::Length.into());
        }
        let mut levels = vec![last_leaves];
        // Each hash above the leaves is the root of a complete tile below.
        let mut n_tiles = size >> TILE_HEIGHT;
        for below in 0_u8.. {
            if n_tiles == 0 {
                break;
            }
            let first = n_tiles - n_tiles % u64::from(TILE_WIDTH);
            let roots = (first..n_tiles).map(|index| complete_root(tiles, below, index));
            levels.push(roots.collect::<Result<_, _>>()?);
            n_tiles >>= TILE_HEIGHT;
        }
        let subtrees = levels.iter().rev().flat_map(|hashes| Frontier::of_leaves(hashes).subtrees().to_vec());
        Ok(Self { frontier: Frontier::of(size, subtrees.collect()), levels, completed: Vec::new() })
    }

    /// Appends a leaf. The tiles it completes wait in `take_completed`.
    pub fn push(&mut self, leaf_hash: Digest) {
        self.frontier.push(leaf_hash);
        let mut hash = leaf_hash;
        for level in 0_u8.. {
            let Some(hashes) = self.levels.get_mut(usize::from(level)) else {
                self.levels.push(vec![hash]);
                return;
            };
            hashes.push(hash);
            if hashes.len() < usize::from(TILE_WIDTH) {
                return;
            }
            let hashes = mem::take(hashes);
            hash = tree::root_of(&hashes);
            self.completed.push(CompleteTile { level, index: last_index(level, self.size()), hashes });
        }
    }

    /// The tiles completed since this was called last, in the order they became complete.
    pub fn take_completed(&mut self) -> Vec<CompleteTile> {
        mem::take(&mut self.completed)
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// The frontier of the tree.
    #[must_use]
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The hashes of a tile that is not complete yet; `None` when it is, or is not as wide yet. A tile that is complete
    /// by now is the caller's: the first hashes of it are what every narrower one had.
    #[must_use]
    pub fn tile(&self, id: TileId) -> Option<&[Digest]> {
        let hashes = self.levels.get(usize::from(id.level()))?;
        let bits = u32::from(id.level()).checked_add(1)?.checked_mul(TILE_HEIGHT)?;
        let n_complete = self.size().checked_shr(bits).unwrap_or(0);
        if id.index() == n_complete { hashes.get(..usize::from(id.width())) } else { None }
    }
}

impl CompleteTile {
    /// The tile's name; `None` for a tile that no edge made.
    #[must_use]
    pub fn id(&self) -> Option<TileId> {
        TileId::new(self.level, self.index, u16::try_from(self.hashes.len()).ok()?)
    }
}

/// The index of the tile that the last of `size` leaves completed.
fn last_index(level: u8, size: u64) -> u64 {
    let n_complete = size.checked_shr((u32::from(level) + 1) * TILE_HEIGHT).unwrap_or(0);
    n_complete.saturating_sub(1)
}

fn complete_root<T: Tiles + ?Sized>(tiles: &T, level: u8, index: u64) -> Result<Digest, TilesError<T::Error>> {
    let id = TileId::new(level, index, TILE_WIDTH).ok_or(ProofError::Range)?;
    let hashes = tiles.tile(id).map_err(TilesError::Tiles)?;
    if hashes.len() == usize::from(TILE_WIDTH) { Ok(tree::root_of(&hashes)) } else { Err(TilesError::Width(id)) }
}

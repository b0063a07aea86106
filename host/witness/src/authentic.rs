//! Telling a forked log from wrong tiles.
//!
//! In scope: the root that the tree under a checkpoint really had at an earlier size.
//! Out of scope: the usual way, where a consistency proof verifies and nothing of this is needed.
//!
//! Tiles are signed by nobody. They belong to a checkpoint if they lead to its root: every complete tile to a hash of the
//! tile above, the incomplete ones at the right edge all together to the root. What was read so is the log's own word, and
//! may be held against it. Each tile is fetched once, so that what was checked is what is used.

use std::cell::RefCell;
use std::collections::BTreeMap;

use openexec_core::digest::Digest;
use openexec_core::log::checkpoint::Checkpoint;
use openexec_core::log::prove::{self, Tiles, TilesError};
use openexec_core::log::tile::{TILE_HEIGHT, TILE_WIDTH, TileId};
use openexec_core::log::tree;

/// Why nothing can be said about the log.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticError<E> {
    /// A tile could not be read.
    #[error("a tile could not be read: {0}")]
    Tiles(E),
    /// Tiles of another tree, or of none.
    #[error("the tiles that were answered do not lead to the checkpoint's root: whoever served them is at fault")]
    Forged,
}

/// The root that the tree of `checkpoint` had at `size`, from tiles that lead to the checkpoint's root.
pub(crate) fn root_at<T: Tiles>(
    tiles: &T,
    checkpoint: &Checkpoint,
    size: u64,
) -> Result<Digest, AuthenticError<T::Error>> {
    let tiles = Once { tiles, read: RefCell::default() };
    // The incomplete tiles: this root is made of all their hashes and of nothing else.
    match prove::root(&tiles, checkpoint.size()) {
        Ok(root) if root == *checkpoint.root() => {}
        Ok(_) | Err(TilesError::Width(_) | TilesError::Proof(_)) => return Err(AuthenticError::Forged),
        Err(TilesError::Tiles(error)) => return Err(AuthenticError::Tiles(error)),
    }
    match prove::root(&Authentic { tiles, size: checkpoint.size() }, size) {
        Ok(root) => Ok(root),
        Err(TilesError::Width(_) | TilesError::Proof(_)) => Err(AuthenticError::Forged),
        Err(TilesError::Tiles(error)) => Err(error),
    }
}

/// Tiles, each fetched once.
struct Once<'tiles, T> {
    tiles: &'tiles T,
    read: RefCell<BTreeMap<TileId, Vec<Digest>>>,
}

impl<T: Tiles> Tiles for Once<'_, T> {
    type Error = T::Error;

    fn tile(&self, id: TileId) -> Result<Vec<Digest>, T::Error> {
        if let Some(hashes) = self.read.borrow().get(&id) {
            return Ok(hashes.clone());
        }
        let hashes = self.tiles.tile(id)?;
        self.read.borrow_mut().insert(id, hashes.clone());
        Ok(hashes)
    }
}

/// Tiles of a tree of which every incomplete tile was fetched already, and led to the root.
struct Authentic<'tiles, T> {
    tiles: Once<'tiles, T>,
    size: u64,
}

impl<T: Tiles> Tiles for Authentic<'_, T> {
    type Error = AuthenticError<T::Error>;

    /// The first hashes of the tile as the tree has it.
    fn tile(&self, id: TileId) -> Result<Vec<Digest>, Self::Error> {
        let in_tree = |level, index| TileId::in_tree(level, index, self.size).ok_or(AuthenticError::Forged);
        let whole = in_tree(id.level(), id.index())?;
        let mut hashes = self.tiles.tile(whole).map_err(AuthenticError::Tiles)?;
        if whole.is_complete() {
            let above = self.tile(in_tree(id.level().saturating_add(1), id.index() >> TILE_HEIGHT)?)?;
            let position = usize::try_from(id.index() % u64::from(TILE_WIDTH)).ok();
            if position.and_then(|position| above.get(position)) != Some(&tree::root_of(&hashes)) {
                return Err(AuthenticError::Forged);
            }
        }
        hashes.truncate(id.width().into());
        Ok(hashes)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use openexec_core::log::edge::Edge;

    use super::*;

    /// A tree with all its tiles, of which one hash can be wrong.
    #[derive(Default)]
    struct Kept {
        edge: Edge,
        complete: BTreeMap<(u8, u64), Vec<Digest>>,
        wrong: Option<(u8, u64, usize)>,
        n_wrong: Cell<u32>,
    }

    impl Kept {
        fn of(leaves: impl Iterator<Item = u64>) -> Self {
            let mut kept = Self::default();
            for leaf in leaves {
                kept.edge.push(tree::leaf_hash(&leaf.to_be_bytes()));
                for tile in kept.edge.take_completed() {
                    kept.complete.insert((tile.level, tile.index), tile.hashes);
                }
            }
            kept
        }

        fn checkpoint(&self) -> Checkpoint {
            Checkpoint::new("log.example", self.edge.size(), self.edge.root()).unwrap()
        }
    }

    impl Tiles for Kept {
        type Error = TileId;

        fn tile(&self, id: TileId) -> Result<Vec<Digest>, TileId> {
            let complete = self.complete.get(&(id.level(), id.index())).and_then(|tile| tile.get(..id.width().into()));
            let mut hashes = self.edge.tile(id).or(complete).map(<[_]>::to_vec).ok_or(id)?;
            if let Some((level, index, position)) = self.wrong
                && (level, index) == (id.level(), id.index())
                && let Some(hash) = hashes.get_mut(position)
            {
                *hash = Digest::of(b"wrong");
                self.n_wrong.set(self.n_wrong.get() + 1);
            }
            Ok(hashes)
        }
    }

    #[test]
    fn the_root_of_every_earlier_size_is_found_and_each_tile_is_believed_only_if_it_leads_to_the_signed_root() {
        for new in [1_u64, 2, 255, 256, 257, 511, 512, 600, 65_536, 65_537, 66_000] {
            let mut tree = Kept::of(0..new);
            let checkpoint = tree.checkpoint();
            let olds = [1, 2, 3, 128, 255, 256, 257, 300, 512, 599, 65_535, 65_536, new];
            for old in olds.into_iter().filter(|old| *old <= new) {
                let expected = Kept::of(0..old).edge.root();
                tree.wrong = None;
                assert_eq!(root_at(&tree, &checkpoint, old).ok(), Some(expected), "{old} of {new}");
                for wrong in [(0, 0, 0), (0, (old - 1) / 256, ((old - 1) % 256) as usize), (1, 0, 0), (2, 0, 0)] {
                    tree.wrong = Some(wrong);
                    tree.n_wrong.set(0);
                    let found = root_at(&tree, &checkpoint, old);
                    let is_refused = matches!(found, Err(AuthenticError::Forged));
                    assert!(is_refused || (tree.n_wrong.get() == 0 && found.is_ok()), "{old} of {new}: {wrong:?}");
                }
            }
        }
    }
}

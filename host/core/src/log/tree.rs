//! Merkle trees as RFC 6962 has them: hashes, roots, and proofs that a leaf stands in a tree and that a tree only grew.
//!
//! In scope: hashing, the roots of a growing tree, verifying proofs, which nodes a proof consists of.
//! Out of scope: where the hashes of those nodes come from (`prove`), how proofs are written (`proof`).
//!
//! Invariants
//! - Leaves and nodes are hashed with different first bytes: no node passes for a leaf.
//! - A proof has exactly the hashes its numbers ask for: a longer or shorter one is refused, whatever it hashes to.

use std::ops::Range;

use crate::digest::Digest;
use crate::limits::LOG_SIZE_MAX;

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// No such leaf, or the older tree is the larger one, or a tree larger than any.
    #[error("the proof is about a leaf or a tree that the tree cannot contain")]
    Range,
    /// Too few or too many hashes.
    #[error("the proof does not have as many hashes as it takes")]
    Length,
    /// The hashes lead to another root.
    #[error("the proof leads to another root hash")]
    Root,
}

/// The complete subtrees of a tree, from left to right: all it takes to append to it and to know its root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Digest>,
}

/// The hash of an entry as a leaf.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Digest {
    Digest::of_pieces(&[&[0], entry])
}

/// The hash of a node, by its children's.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_pieces(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// The root of the tree without leaves.
#[must_use]
pub fn empty_root() -> Digest {
    Digest::of(&[])
}

/// The root of the tree with these leaves, or of the subtree with these nodes of one level.
#[must_use]
pub fn root_of(hashes: &[Digest]) -> Digest {
    Frontier::of_leaves(hashes).root()
}

impl Frontier {
    /// The frontier of the tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The frontier of the tree with these leaves.
    #[must_use]
    pub fn of_leaves(hashes: &[Digest]) -> Self {
        let mut frontier = Self::new();
        for hash in hashes {
            frontier.push(*hash);
        }
        frontier
    }

    /// One hash for every bit that is set in `size`, of the largest subtree first.
    pub(super) fn of(size: u64, subtrees: Vec<Digest>) -> Self {
        Self { size, subtrees }
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf_hash: Digest) {
        let mut hash = leaf_hash;
        // Every bit that is set at the end of the size is a complete subtree as large as what is appended.
        for _ in 0..self.size.trailing_ones() {
            hash = self.subtrees.pop().map_or(hash, |left| node_hash(&left, &hash));
        }
        self.subtrees.push(hash);
        self.size = self.size.saturating_add(1); // 2^63 pushes away
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Digest {
        joined(&self.subtrees)
    }

    /// The roots of the complete subtrees, the largest first.
    #[must_use]
    pub fn subtrees(&self) -> &[Digest] {
        &self.subtrees
    }
}

/// The root over complete subtrees that stand side by side, the largest first.
pub(super) fn joined(subtrees: &[Digest]) -> Digest {
    let joined = subtrees.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
    joined.unwrap_or_else(empty_root)
}

/// Verifies that the leaf stands at this index of the tree (RFC 9162, 2.1.3.2).
///
/// # Errors
/// `ProofError`: then nothing is proven.
pub fn verify_inclusion(
    leaf_hash: &Digest,
    index: u64,
    size: u64,
    root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if index >= size || size > LOG_SIZE_MAX {
        return Err(ProofError::Range);
    }
    let mut walk = Walk { node: index, last: size - 1 };
    let mut hash = *leaf_hash;
    for sibling in proof {
        hash = match walk.step()? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    walk.end()?;
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Verifies that the new tree begins with all leaves of the old one (RFC 9162, 2.1.4.2).
///
/// Between trees of one size, and from the tree without leaves, nothing needs proving: the proof is empty then, and the
/// roots must be equal, or that of the tree without leaves.
///
/// # Errors
/// `ProofError`: then nothing is proven.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    let has_right_root = |size: u64, root: &Digest| size > 0 || *root == empty_root();
    if old_size > new_size || new_size > LOG_SIZE_MAX {
        return Err(ProofError::Range);
    }
    if !has_right_root(old_size, old_root) || !has_right_root(new_size, new_root) {
        return Err(ProofError::Root);
    }
    if old_size == 0 || old_size == new_size {
        let agree = old_size == 0 || old_root == new_root;
        return if !proof.is_empty() {
            Err(ProofError::Length)
        } else if agree {
            Ok(())
        } else {
            Err(ProofError::Root)
        };
    }
    // The walk starts at the old tree's last complete subtree. Where that is the whole old tree, its hash is the old
    // root, which the proof leaves out.
    let (first, rest) = match old_size.is_power_of_two() {
        true => (old_root, proof),
        false => proof.split_first().ok_or(ProofError::Length)?,
    };
    let height = old_size.trailing_zeros();
    let mut walk = Walk { node: (old_size - 1) >> height, last: (new_size - 1) >> height };
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        match walk.step()? {
            Side::Left => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            Side::Right => new = node_hash(&new, sibling),
        }
    }
    walk.end()?;
    if old == *old_root && new == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

/// A way from a node up to the root: the node's index in its level, and that of the level's last node.
struct Walk {
    node: u64,
    last: u64,
}

/// On which side of the way the next hash of the proof stands.
enum Side {
    Left,
    Right,
}

impl Walk {
    fn step(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::Length);
        }
        let side = if self.node % 2 == 1 || self.node == self.last { Side::Left } else { Side::Right };
        if self.node == self.last {
            // The last node of a level rises without a sibling until it is a right child.
            let rises = self.node.trailing_zeros();
            self.up(rises);
        }
        self.up(1);
        Ok(side)
    }

    fn up(&mut self, levels: u32) {
        self.node = self.node.checked_shr(levels).unwrap_or(0);
        self.last = self.last.checked_shr(levels).unwrap_or(0);
    }

    fn end(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::Length) }
    }
}

/// The subtrees, as ranges of leaves, whose roots prove that the leaf stands in the tree, in the order of the proof:
/// from the leaf's sibling up.
///
/// # Errors
/// `ProofError::Range` when the tree has no such leaf.
pub fn inclusion_path(index: u64, size: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if index >= size || size > LOG_SIZE_MAX {
        return Err(ProofError::Range);
    }
    let mut path = Vec::new();
    let mut within = 0..size;
    while within.end - within.start > 1 {
        let split = split(&within);
        if index < split {
            path.push(split..within.end);
            within.end = split;
        } else {
            path.push(within.start..split);
            within.start = split;
        }
    }
    path.reverse();
    Ok(path)
}

/// The subtrees, as ranges of leaves of the new tree, whose roots prove that it begins with the old one, in the order
/// of the proof. None where nothing needs proving.
///
/// # Errors
/// `ProofError::Range` when the old tree is the larger one.
pub fn consistency_path(old_size: u64, new_size: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if old_size > new_size || new_size > LOG_SIZE_MAX {
        return Err(ProofError::Range);
    }
    if old_size == 0 {
        return Ok(Vec::new());
    }
    let mut path = Vec::new();
    let mut within = 0..new_size;
    while within.end != old_size {
        let split = split(&within);
        if old_size <= split {
            path.push(split..within.end);
            within.end = split;
        } else {
            path.push(within.start..split);
            within.start = split;
        }
    }
    // What is left ends where the old tree ends. If it is the old tree, whoever verifies has its root.
    if within.start > 0 {
        path.push(within);
    }
    path.reverse();
    Ok(path)
}

/// Where a subtree of two leaves or more divides: after the largest power of two below its size.
fn split(within: &Range<u64>) -> u64 {
    let half = 1 << (within.end - within.start - 1).ilog2();
    within.start + half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: u64) -> Vec<Digest> {
        (0..n).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    /// MTH of RFC 6962, as it is written there.
    fn mth(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            leaves => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&mth(left), &mth(right))
            }
        }
    }

    fn at(leaves: &[Digest], range: Range<u64>) -> Digest {
        mth(&leaves[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()])
    }

    #[test]
    fn every_proof_of_small_trees_verifies_and_no_other_number_of_hashes_does() {
        let all = leaves(70);
        for size in 0..=70 {
            let root = at(&all, 0..size);
            assert_eq!(root_of(&all[..usize::try_from(size).unwrap()]), root);
            for index in 0..size {
                let mut proof: Vec<_> =
                    inclusion_path(index, size).unwrap().into_iter().map(|range| at(&all, range)).collect();
                let leaf = at(&all, index..index + 1);
                assert_eq!(verify_inclusion(&leaf, index, size, &root, &proof), Ok(()));
                proof.push(leaf);
                assert_eq!(verify_inclusion(&leaf, index, size, &root, &proof), Err(ProofError::Length));
                proof.pop();
                if proof.pop().is_some() {
                    assert_eq!(verify_inclusion(&leaf, index, size, &root, &proof), Err(ProofError::Length));
                }
            }
            for old in 0..=size {
                let mut proof: Vec<_> =
                    consistency_path(old, size).unwrap().into_iter().map(|range| at(&all, range)).collect();
                let old_root = at(&all, 0..old);
                assert_eq!(verify_consistency(old, &old_root, size, &root, &proof), Ok(()), "{old} {size}");
                proof.push(old_root);
                assert_eq!(verify_consistency(old, &old_root, size, &root, &proof), Err(ProofError::Length));
                proof.pop();
                if proof.pop().is_some() {
                    assert!(verify_consistency(old, &old_root, size, &root, &proof).is_err(), "{old} {size}");
                }
            }
        }
    }

    #[test]
    fn the_largest_numbers_are_refused_or_walked_without_overflow() {
        let hash = empty_root();
        for size in [LOG_SIZE_MAX, LOG_SIZE_MAX + 1, u64::MAX] {
            let proof = vec![hash; 63];
            assert!(verify_inclusion(&hash, size - 1, size, &hash, &proof).is_err());
            assert!(verify_inclusion(&hash, 0, size, &hash, &proof).is_err());
            assert!(verify_consistency(size - 1, &hash, size, &hash, &proof).is_err());
            assert!(verify_consistency(1, &hash, size, &hash, &proof).is_err());
        }
        assert_eq!(inclusion_path(0, LOG_SIZE_MAX).unwrap().len(), 63);
        assert!(consistency_path(LOG_SIZE_MAX - 1, LOG_SIZE_MAX).unwrap().len() <= 64);
        assert_eq!(inclusion_path(0, u64::MAX), Err(ProofError::Range));
        assert_eq!(inclusion_path(0, 0), Err(ProofError::Range));
        assert_eq!(consistency_path(2, 1), Err(ProofError::Range));
    }
}

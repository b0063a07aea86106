//! Offline proofs: that a leaf stands in a log, in one text (C2SP tlog-proof).
//!
//! In scope: reading and writing the text strictly, verifying the inclusion.
//! Out of scope: which entry the leaf is of, and whether the checkpoint's signatures are enough (`checkpoint`).
//!
//! Invariants
//! - A proof prints as the bytes it was parsed from.
//! - Nothing in it is unsigned: the `extra` line that C2SP allows is refused. It is authenticated by nobody, no log of
//!   OpenExec writes it, and evidence must not carry words that somebody slipped in on the way.

use std::fmt;

use crate::digest::Digest;
use crate::limits::{PROOF_BYTES_MAX, PROOF_HASHES_MAX};
use crate::log::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::log::tree::{self, ProofError};
use crate::log::{hash_text, parse_decimal, parse_hash};

/// The first line.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A proof that a leaf stands in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Where the leaf stands.
    pub index: u64,
    /// The inclusion proof, from the leaf's sibling up.
    pub hashes: Vec<Digest>,
    /// The tree. Its signatures are verified apart.
    pub checkpoint: SignedCheckpoint,
}

/// Why a text is not a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// The text is too large.
    #[error("a proof may have at most {PROOF_BYTES_MAX} bytes")]
    TooLarge,
    /// Not the first line.
    #[error("not a proof: its first line is {HEADER}")]
    Header,
    /// Has extra data.
    #[error("the proof has an extra line, which nothing authenticates: remove the line")]
    Extra,
    /// Not the line of the index.
    #[error("not a proof: the second line is 'index' and a decimal number")]
    Index,
    /// Not a hash, or too many.
    #[error("not a proof: up to {PROOF_HASHES_MAX} hashes in base64, one a line, then an empty line")]
    Hashes,
    /// What follows is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl TlogProof {
    /// Reads a proof.
    ///
    /// # Errors
    /// `TlogProofError` for anything that is not exactly a proof.
    pub fn parse(text: &str) -> Result<Self, TlogProofError> {
        if text.len() > PROOF_BYTES_MAX {
            return Err(TlogProofError::TooLarge);
        }
        let (proof, checkpoint) = text.split_once("\n\n").ok_or(TlogProofError::Hashes)?;
        let mut lines = proof.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(TlogProofError::Header);
        }
        let line = lines.next().ok_or(TlogProofError::Index)?;
        if line.starts_with("extra ") {
            return Err(TlogProofError::Extra);
        }
        let index = line.strip_prefix("index ").and_then(parse_decimal).ok_or(TlogProofError::Index)?;
        let hashes: Option<Vec<_>> = lines.map(parse_hash).collect();
        let hashes = hashes.filter(|hashes| hashes.len() <= PROOF_HASHES_MAX).ok_or(TlogProofError::Hashes)?;
        Ok(Self { index, hashes, checkpoint: SignedCheckpoint::parse(checkpoint)? })
    }

    /// Verifies that the leaf stands in the checkpoint's tree. Says nothing of the checkpoint's signatures.
    ///
    /// # Errors
    /// `ProofError`: then nothing is proven.
    pub fn verify_inclusion_of(&self, leaf_hash: &Digest) -> Result<(), ProofError> {
        let checkpoint = self.checkpoint.checkpoint();
        tree::verify_inclusion(leaf_hash, self.index, checkpoint.size(), checkpoint.root(), &self.hashes)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEADER}\nindex {}\n", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", hash_text(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

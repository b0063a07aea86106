//! Fuzzes the texts of the log: notes, checkpoints, proofs, verifier keys and names of tiles.
//!
//! Property: what parses prints as it was, and no check of it panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openexec_core::digest::Digest;
use openexec_core::evidence::{Keys, verify_proof};
use openexec_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
use openexec_core::log::note::{Note, VerifierKey};
use openexec_core::log::proof::TlogProof;
use openexec_core::log::tile::TileId;

fuzz_target!(|text: &str| {
    let same = |printed: Option<String>| assert!(printed.is_none_or(|printed| printed == text));
    same(Note::parse(text).ok().map(|note| note.to_string()));
    same(Checkpoint::parse(text).ok().map(|checkpoint| checkpoint.text()));
    same(SignedCheckpoint::parse(text).ok().map(|checkpoint| checkpoint.to_string()));
    same(TlogProof::parse(text).ok().map(|proof| proof.to_string()));
    same(VerifierKey::parse(text).ok().map(|key| key.to_string()));
    same(TileId::parse(text).map(|tile| tile.to_string()));
    assert_eq!(verify_proof(text, &Digest::of(b"receipt"), &Keys::default()).len(), 3);
});

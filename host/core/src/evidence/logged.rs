//! Whether a receipt stands in a log that others have seen.
//!
//! In scope: the proof of a bundle, the log's signature, the witnesses' cosignatures.
//! Out of scope: trees and notes (`log`).

use super::verify::{Found, fail, not_checked, pass};
use crate::digest::Digest;
use crate::log::leaf_hash_of;
use crate::log::note::VerifierKey;
use crate::log::proof::{TlogProof, TlogProofError};
use crate::time::Timestamp;

/// The proof, or why there is none to look at.
pub(super) type Proof = Option<Result<TlogProof, TlogProofError>>;

pub(super) fn parse(proof: Option<&str>) -> Proof {
    proof.map(TlogProof::parse)
}

/// The proof, or what is found where there is none.
fn found(proof: &Proof) -> Result<&TlogProof, Found> {
    match proof {
        None => Err(not_checked("the file has no proof: get one from the host (GET /receipts/{exec_id}/proof)")),
        Some(Err(error)) => Err(fail(error.to_string())),
        Some(Ok(proof)) => Ok(proof),
    }
}

/// Whether the receipt stands in the tree of the proof's checkpoint.
pub(super) fn check_inclusion(proof: &Proof, reference: &Digest) -> Found {
    let proof = match found(proof) {
        Ok(proof) => proof,
        Err(found) => return found,
    };
    let (index, checkpoint) = (proof.index, proof.checkpoint.checkpoint());
    match proof.verify_inclusion_of(&leaf_hash_of(reference)) {
        Ok(()) => pass(format!("leaf {index} of {}, in the log {}", checkpoint.size(), checkpoint.origin())),
        Err(error) => fail(format!("the receipt does not stand at leaf {index}: {error}")),
    }
}

/// Whether the log's key signed the checkpoint.
pub(super) fn check_signature(proof: &Proof, key: Option<&VerifierKey>) -> Found {
    match (found(proof), key) {
        (Err(found), _) => found,
        (Ok(_), None) => not_checked("give the key of the log (--log-key): the tree is only as good as its signature"),
        (Ok(proof), Some(key)) => match proof.checkpoint.verify_log(key) {
            Ok(checkpoint) => pass(format!("of the tree of {} receipts, by {}", checkpoint.size(), key.name())),
            Err(error) => fail(error.to_string()),
        },
    }
}

/// Whether enough witnesses have cosigned the checkpoint.
pub(super) fn check_cosignatures(proof: &Proof, witnesses: &[VerifierKey], quorum: u64) -> Found {
    let proof = match found(proof) {
        Ok(proof) => proof,
        Err(found) => return found,
    };
    if witnesses.is_empty() {
        return not_checked(
            "give keys of witnesses (--witness-key): without them, a host could show everybody another log",
        );
    }
    let cosignatures = match proof.checkpoint.cosignatures(witnesses) {
        Ok(cosignatures) => cosignatures,
        Err(error) => return fail(error.to_string()),
    };
    let quorum = quorum.max(1);
    let seen: Vec<_> = cosignatures
        .iter()
        .map(|cosignature| {
            let at = Timestamp::from_unix_ms(cosignature.time.saturating_mul(1000));
            format!("{} at {at}", cosignature.witness.name())
        })
        .collect();
    let n_seen = seen.len();
    if (n_seen as u64) < quorum {
        return fail(format!("{n_seen} of the {quorum} witnesses that must have cosigned have: {}", list(&seen)));
    }
    pass(format!("{n_seen} witnesses, of {quorum} that it takes: {}", list(&seen)))
}

fn list(seen: &[String]) -> String {
    if seen.is_empty() { "none".to_owned() } else { seen.join(", ") }
}

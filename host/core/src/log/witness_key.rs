//! The key of a witness.
//!
//! In scope: cosigning a checkpoint.
//! Out of scope: deciding that the checkpoint deserves it (`openexec witness`), key files.
//!
//! Invariants
//! - The key signs checkpoints with a time, and nothing else.

use crate::log::checkpoint::{Checkpoint, TIME_MAX, cosignature_message};
use crate::log::note::{Algorithm, KeyName, NoteSignature, VerifierKey};
use crate::signing::SecretKey;

/// The key that says when a witness saw a checkpoint, and nothing else.
#[derive(Clone, Debug)]
pub struct WitnessKey {
    key: SecretKey,
    verifier: VerifierKey,
}

impl WitnessKey {
    /// The key of the witness of this name. It must have no other purpose.
    #[must_use]
    pub fn new(name: KeyName, key: SecretKey) -> Self {
        let verifier = VerifierKey::new(name, Algorithm::Witness, key.public().clone());
        Self { key, verifier }
    }

    /// What others verify its cosignatures with.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The cosignature line of a checkpoint seen at this time, in seconds since 1970. A time that no cosignature may state
    /// becomes the latest that one may.
    #[must_use]
    pub fn cosign(&self, checkpoint: &Checkpoint, time_s: u64) -> NoteSignature {
        let time = time_s.min(TIME_MAX);
        let signature = self.key.sign(&cosignature_message(time, checkpoint));
        self.verifier.line([time.to_be_bytes().as_slice(), signature.as_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::checkpoint::{SignedCheckpoint, cosignature_line};
    use crate::log::tree::empty_root;

    #[test]
    fn a_cosignature_is_the_line_that_the_log_module_spells_and_verifies() {
        let secret = SecretKey::from_seed(&[7; 32]).unwrap();
        let key = WitnessKey::new(KeyName::parse("witness.example/1").unwrap(), secret.clone());
        let checkpoint = Checkpoint::new("log.example", 0, empty_root()).unwrap();
        for (asked, stated) in [(0, 0), (1_790_000_000, 1_790_000_000), (u64::MAX, TIME_MAX)] {
            let line = key.cosign(&checkpoint, asked);
            let signature = secret.sign(&cosignature_message(stated, &checkpoint));
            assert_eq!(cosignature_line(key.verifier_key(), stated, &signature), Ok(line.clone()));
            assert_eq!(SignedCheckpoint::new(checkpoint.clone(), line).verify_witness(key.verifier_key()), Ok(stated));
        }
    }
}

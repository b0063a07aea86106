//! The keys that sign logs: a log's own, and a witness's.
//!
//! In scope: the one kind of statement that each of them signs.
//! Out of scope: when to sign (`openexec-server`, `openexec witness`), remembering what was signed, verifying
//! (`checkpoint`).
//!
//! Invariants
//! - A log key signs checkpoints of its own origin and nothing else; a witness key signs what it saw at a time and nothing
//!   else.

use crate::log::checkpoint::{
    Checkpoint, CheckpointError, SignedCheckpoint, TIME_MAX, cosignature_message, log_signature_line,
};
use crate::log::note::{Algorithm, KeyName, NoteSignature, VerifierKey};
use crate::signing::SecretKey;

/// The key that signs the checkpoints of one log.
#[derive(Clone, Debug)]
pub struct LogKey {
    secret: SecretKey,
    verifier: VerifierKey,
}

/// The key that signs what a witness saw.
#[derive(Clone, Debug)]
pub struct WitnessKey {
    secret: SecretKey,
    verifier: VerifierKey,
}

impl LogKey {
    /// The key of the log with this origin. It must have no other purpose.
    #[must_use]
    pub fn new(origin: KeyName, secret: SecretKey) -> Self {
        let verifier = VerifierKey::new(origin, Algorithm::Log, secret.public().clone());
        Self { secret, verifier }
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The log's origin.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.verifier.name().as_str()
    }

    /// Signs a checkpoint of this log. Whoever calls this remembers what was signed, and signs nothing that contradicts it.
    ///
    /// # Errors
    /// `CheckpointError::Origin` for another log's checkpoint.
    pub fn sign(&self, checkpoint: Checkpoint) -> Result<SignedCheckpoint, CheckpointError> {
        if checkpoint.origin() != self.origin() {
            return Err(CheckpointError::Origin);
        }
        let signature = self.secret.sign(checkpoint.text().as_bytes());
        Ok(SignedCheckpoint::new(checkpoint, log_signature_line(&self.verifier, &signature)?))
    }
}

impl WitnessKey {
    /// The key of the witness with this name. It must have no other purpose.
    #[must_use]
    pub fn new(name: KeyName, secret: SecretKey) -> Self {
        let verifier = VerifierKey::new(name, Algorithm::Witness, secret.public().clone());
        Self { secret, verifier }
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The line that says: this witness saw the checkpoint at this time (seconds since 1970), and it contradicts nothing
    /// that the witness saw before. A time beyond the year 9999 is stated as its last second.
    #[must_use]
    pub fn cosign(&self, checkpoint: &Checkpoint, time_s: u64) -> NoteSignature {
        let time_s = time_s.min(TIME_MAX);
        let signature = self.secret.sign(&cosignature_message(time_s, checkpoint));
        self.verifier.line([time_s.to_be_bytes().as_slice(), signature.as_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tree;

    #[test]
    fn what_the_keys_sign_verifies_under_their_verifier_keys_and_no_other_log_is_signed() {
        let name = |text: &str| KeyName::parse(text).unwrap();
        let log = LogKey::new(name("log.example/1"), SecretKey::from_seed(&[1; 32]).unwrap());
        let witness = WitnessKey::new(name("witness.example"), SecretKey::from_seed(&[2; 32]).unwrap());
        let checkpoint = Checkpoint::new("log.example/1", 3, tree::leaf_hash(b"x")).unwrap();
        let line = witness.cosign(&checkpoint, 1_700_000_000);
        let signed = log.sign(checkpoint.clone()).unwrap().with(line).unwrap();
        assert_eq!(signed.verify_log(log.verifier_key()), Ok(&checkpoint));
        assert_eq!(signed.verify_witness(witness.verifier_key()), Ok(1_700_000_000));
        let other = Checkpoint::new("log.example/2", 3, tree::leaf_hash(b"x")).unwrap();
        assert_eq!(log.sign(other), Err(CheckpointError::Origin));
        let late = log.sign(checkpoint.clone()).unwrap().with(witness.cosign(&checkpoint, u64::MAX)).unwrap();
        assert_eq!(late.verify_witness(witness.verifier_key()), Ok(TIME_MAX));
    }
}

//! Evidence as hosts and callers make it, with a log that the test keeps itself.
//!
//! In scope: a log with its witnesses, sealing with keys that the test holds, the keys of whoever verifies.
//! Out of scope: what is true of it (`suite/evidence.rs`).

use openexec_core::digest::Digest;
use openexec_core::evidence::{Evidence, Keys};
use openexec_core::log::checkpoint::{
    Checkpoint, SignedCheckpoint, cosignature_line, cosignature_message, log_signature_line,
};
use openexec_core::log::leaf_hash_of;
use openexec_core::log::note::{Algorithm, KeyName, NoteSignature, VerifierKey};
use openexec_core::log::proof::TlogProof;
use openexec_core::log::tree::{inclusion_path, root_of};
use openexec_core::names::Audience;
use openexec_core::outcome::Run;
use openexec_core::receipt::opening::Blinding;
use openexec_core::receipt::{EngineFacts, Sealer};
use openexec_core::registry::Profile;
use openexec_core::reservation::{Reservation, Reserved, Sealed};
use openexec_core::signing::SecretKey;
use openexec_core::time::Timestamp;
use openexec_core::trust::Trust;
use openexec_sandbox::Sandbox;

use crate::facts::receipt_key;

/// The name of the log.
pub const ORIGIN: &str = "log.example/receipts";

/// A log of receipts, with two witnesses, and one that nobody knows.
#[derive(Clone, Debug)]
pub struct TestLog {
    leaves: Vec<Digest>,
    key: SecretKey,
    witnesses: [SecretKey; 3],
}

impl Default for TestLog {
    fn default() -> Self {
        let leaves = (0..20_u8).map(|number| leaf_hash_of(&Digest::of(&[number]))).collect();
        Self { leaves, key: secret("log"), witnesses: ["one", "two", "stranger"].map(secret) }
    }
}

impl TestLog {
    /// The same log, signed by whoever has these keys.
    #[must_use]
    pub fn signed_by(mut self, key: SecretKey) -> Self {
        self.key = key;
        self
    }

    /// The key of the log.
    #[must_use]
    pub fn log_key(&self) -> VerifierKey {
        verifier(ORIGIN, Algorithm::Log, &self.key)
    }

    /// The keys of the two witnesses.
    #[must_use]
    pub fn witness_keys(&self) -> Vec<VerifierKey> {
        self.all_witness_keys()[..2].to_vec()
    }

    fn all_witness_keys(&self) -> Vec<VerifierKey> {
        let name = |number| format!("witness.example/{number}");
        (0..).zip(&self.witnesses).map(|(number, key)| verifier(&name(number), Algorithm::Witness, key)).collect()
    }

    /// The note of the latest tree.
    #[must_use]
    #[track_caller]
    pub fn checkpoint(&self) -> SignedCheckpoint {
        let checkpoint = Checkpoint::new(ORIGIN, self.size(), root_of(&self.leaves)).expect("a checkpoint");
        let signature = self.key.sign(checkpoint.text().as_bytes());
        let line = log_signature_line(&self.log_key(), &signature).expect("a log's key");
        let cosignatures = (0..).zip(&self.witnesses).zip(self.all_witness_keys()).map(|((number, key), verifier)| {
            let time = 1_791_288_100 + number;
            let signature = key.sign(&cosignature_message(time, &checkpoint));
            cosignature_line(&verifier, time, &signature).expect("a witness's key")
        });
        let lines: Vec<NoteSignature> = cosignatures.collect();
        let signed = SignedCheckpoint::new(checkpoint, line);
        lines.into_iter().fold(signed, |signed, line| signed.with(line).expect("room for a line"))
    }

    /// Appends a receipt; returns the proof that it stands in the log.
    #[must_use]
    #[track_caller]
    pub fn append(&mut self, reference: &Digest) -> String {
        let index = self.size();
        self.leaves.push(leaf_hash_of(reference));
        self.leaves.push(leaf_hash_of(&Digest::of(b"a later receipt")));
        let at = |range: std::ops::Range<u64>| {
            let place = |number| usize::try_from(number).expect("a place");
            root_of(&self.leaves[place(range.start)..place(range.end)])
        };
        let hashes = inclusion_path(index, self.size()).expect("a path").into_iter().map(at).collect();
        TlogProof { index, hashes, checkpoint: self.checkpoint() }.to_string()
    }

    /// The number of receipts.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// The hashes of all leaves.
    #[must_use]
    pub fn leaves(&self) -> &[Digest] {
        &self.leaves
    }
}

/// The keys of somebody who knows the host, the log and two witnesses.
#[must_use]
pub fn keys(log: &TestLog, trust: Option<Trust>) -> Keys {
    Keys {
        receipt_keys: vec![receipt_key().public().clone()],
        log_key: Some(log.log_key()),
        witness_keys: log.witness_keys(),
        quorum: 2,
        trust,
    }
}

/// The flags of `openexec receipt verify` for these keys, except trust.
#[must_use]
pub fn flags(keys: &Keys) -> Vec<String> {
    let mut flags = Vec::new();
    let mut add = |flag: &str, value: String| flags.extend([flag.to_owned(), value]);
    keys.receipt_keys.iter().for_each(|key| add("--receipt-key", key.to_base64()));
    keys.log_key.iter().for_each(|key| add("--log-key", key.to_string()));
    keys.witness_keys.iter().for_each(|key| add("--witness-key", key.to_string()));
    if !keys.witness_keys.is_empty() {
        add("--quorum", keys.quorum.to_string());
    }
    flags
}

/// Seals a run as the host with `receipt_key` does that has the engine of this build.
#[must_use]
#[track_caller]
pub fn seal(reserved: &Reserved, run: Run) -> Sealed {
    let engine = EngineFacts { version: Sandbox::engine_version().into(), digest: Sandbox::engine_digest() };
    let sealer = Sealer { key: receipt_key(), registry: Digest::of(b"registry"), engine };
    let sealed_at = reserved.reserved_at.plus_ms(5);
    let reservation = Reservation::made_durable(reserved.clone());
    sealer.seal(&reservation, run, Profile::Pure, sealed_at, Blinding::from_bytes([3; 32]))
}

/// The evidence that a host exports of a run that it sealed and logged.
#[must_use]
#[track_caller]
pub fn exported(audience: &str, reserved: &Reserved, sealed: &Sealed, log: &mut TestLog) -> Evidence {
    let reference = sealed.seal.as_ref().expect("a signed receipt").signed.reference();
    let audience = Audience::parse(audience).expect("an audience");
    Evidence::of_sealed(&audience, reserved, sealed, Some(log.append(&reference))).expect("evidence")
}

/// When the executions of the tests began: a minute after the approvals of the vectors are issued.
#[must_use]
pub fn began_at() -> Timestamp {
    Timestamp::from_unix_ms(1_791_288_060_000)
}

/// A key that is always the same one for a name.
#[must_use]
#[track_caller]
pub fn secret(name: &str) -> SecretKey {
    SecretKey::from_seed(Digest::of(name.as_bytes()).as_bytes()).expect("a key")
}

fn verifier(name: &str, algorithm: Algorithm, key: &SecretKey) -> VerifierKey {
    VerifierKey::new(KeyName::parse(name).expect("a name"), algorithm, key.public().clone())
}

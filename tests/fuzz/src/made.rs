//! Evidence and a proof, as seeds.
//!
//! In scope: one bundle for every kind of outcome, signed with keys that anybody knows.

use std::sync::Arc;

use openexec_core::digest::Digest;
use openexec_core::evidence::Evidence;
use openexec_core::log::checkpoint::{Checkpoint, SignedCheckpoint, log_signature_line};
use openexec_core::log::leaf_hash_of;
use openexec_core::log::note::{Algorithm, KeyName, VerifierKey};
use openexec_core::log::proof::TlogProof;
use openexec_core::log::tree::node_hash;
use openexec_core::names::{Audience, Tenant};
use openexec_core::outcome::{Effect, Failure, FailureKind, Fault, JsonText, Outcome, Resources, Run};
use openexec_core::receipt::opening::Blinding;
use openexec_core::receipt::{EngineFacts, ReceiptKey, Sealer};
use openexec_core::registry::{Limits, Profile};
use openexec_core::request::Submission;
use openexec_core::reservation::{Reservation, Reserved};
use openexec_core::signing::SecretKey;
use openexec_core::time::Timestamp;

/// A bundle for every kind of outcome.
///
/// # Panics
/// If core refuses what it makes.
#[must_use]
pub fn evidence() -> Vec<Evidence> {
    let request =
        Submission::parse(br#"{"action":"echo","nonce":"n","payload":{"x":1.0}}"#).expect("a request").request;
    let audience = Audience::parse("openexec").expect("a name");
    let identity = request.identity(&audience, &Tenant::demo());
    let reserved = Reserved {
        exec_id: identity.exec_id,
        fingerprint: identity.fingerprint,
        tenant: Tenant::demo(),
        action: request.action,
        nonce: request.nonce,
        payload: Arc::clone(request.payload.canonical()),
        component: Digest::of(b"component"),
        limits: Limits::default(),
        approval: None,
        reserved_at: Timestamp::from_unix_ms(1_791_288_060_000),
    };
    let engine = EngineFacts { version: "wasmtime 0".into(), digest: Digest::of(b"engine") };
    let sealer = Sealer { key: ReceiptKey::new(key()), registry: Digest::of(b"registry"), engine };
    let text = || JsonText::kept(r#"{"x":1}"#.to_owned());
    let outcomes = [
        Outcome::Succeeded { result: text(), effects: vec![Effect { kind: "note".to_owned(), body: text() }] },
        Outcome::Failed(Failure::new(FailureKind::Rejected, "no".to_owned())),
        Outcome::Faulted(Fault::OutOfFuel),
    ];
    let of = |outcome| {
        let run = Run { outcome, resources: Resources { fuel: 7, memory_bytes: 65_536 } };
        let reservation = Reservation::made_durable(reserved.clone());
        let ended = sealer.seal(&reservation, run, Profile::Pure, reserved.reserved_at, Blinding::from_bytes([3; 32]));
        Evidence::of_sealed(&audience, &reserved, &ended, Some(proof().to_string())).expect("evidence")
    };
    outcomes.map(of).into()
}

/// A proof in a tree of two leaves.
///
/// # Panics
/// If core refuses what it makes.
#[must_use]
pub fn proof() -> TlogProof {
    let (leaf, other) = (leaf_hash_of(&Digest::of(b"receipt")), leaf_hash_of(&Digest::of(b"another")));
    let checkpoint = Checkpoint::new("log.example", 2, node_hash(&leaf, &other)).expect("a checkpoint");
    let name = KeyName::parse("log.example").expect("a name");
    let verifier = VerifierKey::new(name, Algorithm::Log, key().public().clone());
    let line = log_signature_line(&verifier, &key().sign(checkpoint.text().as_bytes())).expect("a log's key");
    TlogProof { index: 0, hashes: vec![other], checkpoint: SignedCheckpoint::new(checkpoint, line) }
}

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32]).expect("a key")
}

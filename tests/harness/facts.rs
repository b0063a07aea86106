//! Reservations as a host makes them of a request body, for tests that talk to a ledger or a sandbox directly.

use openexec_core::approval::{ApprovalFacts, ApprovalUse, Format};
use openexec_core::digest::Digest;
use openexec_core::log::note::KeyName;
use openexec_core::log::sign::{LogKey, WitnessKey};
use openexec_core::names::{Audience, Tenant};
use openexec_core::outcome::Run;
use openexec_core::receipt::opening::Blinding;
use openexec_core::receipt::{EngineFacts, ReceiptKey, Sealer};
use openexec_core::registry::{Limits, Profile};
use openexec_core::request::Submission;
use openexec_core::reservation::{Reservation, Reserved, Sealed};
use openexec_core::signing::SecretKey;
use openexec_core::time::Timestamp;

/// What the host called `openexec` hands to its ledger for this body. Panics on a body that no host would accept.
#[must_use]
#[track_caller]
pub fn reserved(tenant: &str, body: &[u8], component: Digest, limits: Limits, reserved_at_ms: u64) -> Reserved {
    let request = Submission::parse(body).expect("a request").request;
    let tenant = Tenant::parse(tenant).expect("a tenant");
    let identity = request.identity(&Audience::parse("openexec").expect("an audience"), &tenant);
    Reserved {
        exec_id: identity.exec_id,
        fingerprint: identity.fingerprint,
        tenant,
        action: request.action,
        nonce: request.nonce,
        payload: request.payload.canonical().clone(),
        component,
        limits,
        approval: None,
        reserved_at: Timestamp::from_unix_ms(reserved_at_ms),
    }
}

/// What a host keeps of an approval with this identity and text, signed by somebody.
#[must_use]
pub fn approval_use(format: Format, reference: Digest, text: &str) -> ApprovalUse {
    let signers = vec![receipt_key().public().id()];
    let trust = Some(Digest::of(b"trust file"));
    let facts = ApprovalFacts { format, reference, signers, trust, policy_bundle: None, preview: None, decision: None };
    ApprovalUse { facts: facts.into(), text: text.into() }
}

/// The receipt key of tests that need one and no file.
#[must_use]
#[track_caller]
pub fn receipt_key() -> ReceiptKey {
    ReceiptKey::new(SecretKey::from_seed(&[7; 32]).expect("a key"))
}

/// The log key of tests that need one and no file.
#[must_use]
#[track_caller]
pub fn log_key() -> LogKey {
    LogKey::new(KeyName::parse("openexec.example/log").expect("a name"), SecretKey::from_seed(&[8; 32]).expect("a key"))
}

/// The key of a witness, one for each number.
#[must_use]
#[track_caller]
pub fn witness_key(number: u8) -> WitnessKey {
    let name = KeyName::parse(&format!("witness-{number}.example")).expect("a name");
    WitnessKey::new(name, SecretKey::from_seed(&[100 + number; 32]).expect("a key"))
}

/// Seals as a host with `receipt_key` does, always with the same secret.
#[must_use]
#[track_caller]
pub fn seal(reservation: &Reservation, run: Run, sealed_at: Timestamp) -> Sealed {
    let engine = EngineFacts { version: "wasmtime 0".into(), digest: Digest::of(b"engine") };
    let sealer = Sealer { key: receipt_key(), registry: Digest::of(b"registry"), engine };
    sealer.seal(reservation, run, Profile::Pure, sealed_at, Blinding::from_bytes([3; 32]))
}

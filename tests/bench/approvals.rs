//! Approvals v2 for one session: a key, the trust file of a host that believes it, and calls approved with it.
//!
//! In scope: signing. Out of scope: when calls are approved and how they are kept (`bodies`).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::{Signer as _, SigningKey};
use openexec_core::approval::v2::{Body, PAYLOAD_TYPE};
use openexec_core::dsse::Envelope;
use openexec_core::keys::{KeyId, Signature};
use openexec_core::limits::APPROVAL_LIFETIME_S_DEFAULT;
use openexec_core::names::Nonce;
use openexec_core::request::Request;
use openexec_core::time::Timestamp;
use openexec_tests::approvals;

use crate::error::BenchError;

/// Whoever approves the calls of a session.
#[derive(Debug)]
pub(crate) struct Approver {
    signing: SigningKey,
    key_id: KeyId,
}

impl Approver {
    /// An approver with a key of its own. The key guards a host that lives as long as the session, on loopback.
    pub(crate) fn new() -> Result<Self, BenchError> {
        let seed: Vec<u8> = (0..4).flat_map(|_| random().to_le_bytes()).collect();
        let signing = SigningKey::try_from(seed.as_slice()).map_err(failed)?;
        Ok(Self { key_id: approvals::public(&signing).id(), signing })
    }

    /// The trust file of a host that believes this approver, and nobody else.
    pub(crate) fn trust_file(&self) -> String {
        format!("audience = \"{}\"\n{}", approvals::AUDIENCE, approvals::key_table("bench", &self.signing, &[]))
    }

    /// Approves `request`, if it comes with `nonce`, from `now` on for as long as hosts accept. It is the approval with this
    /// number.
    pub(crate) fn approve(
        &self,
        request: &Request,
        nonce: &str,
        number: u64,
        now: Timestamp,
    ) -> Result<Envelope, BenchError> {
        let body = Body {
            approval_id: format!("00000000-0000-4000-8000-{number:012x}"),
            nonce: Nonce::parse(nonce).map_err(failed)?,
            expires_at: now.plus_ms(APPROVAL_LIFETIME_S_DEFAULT * 1000),
            ..approvals::body(request, now)
        };
        let envelope = Envelope::unsigned(PAYLOAD_TYPE, body.spell());
        let signature = self.signing.sign(&envelope.pre_authentication_encoding());
        Ok(envelope.signed(self.key_id, Signature::from_bytes(signature.to_bytes())))
    }
}

/// 64 bits that no other session has.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// This moment.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

fn failed(why: impl std::fmt::Display) -> BenchError {
    BenchError::Approval(why.to_string())
}

//! Approvals v2 for one session: a key, the trust file of a host that believes it, and calls approved with it.
//!
//! In scope: signing. Out of scope: when calls are approved and how they are kept (`bodies`).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::{Signer as _, SigningKey};
use openexec_core::approval::Ceilings;
use openexec_core::approval::v2::{Body, PAYLOAD_TYPE};
use openexec_core::dsse::Envelope;
use openexec_core::keys::{PublicKey, Signature};
use openexec_core::limits::APPROVAL_LIFETIME_S_DEFAULT;
use openexec_core::names::{Audience, Nonce, Principal, Tenant};
use openexec_core::request::Request;
use openexec_core::time::Timestamp;

use crate::error::BenchError;

const AUDIENCE: &str = "openexec";
const TENANT: &str = "bench";
const ISSUER: &str = "bench";
const REQUESTER: &str = "load-generator";

/// Whoever approves the calls of a session.
#[derive(Debug)]
pub(crate) struct Approver {
    signing: SigningKey,
    public: PublicKey,
    audience: Audience,
    tenant: Tenant,
    issuer: Principal,
    requester: Principal,
}

impl Approver {
    /// An approver with a key of its own. The key guards a host that lives as long as the session, on loopback.
    pub(crate) fn new() -> Result<Self, BenchError> {
        let seed: Vec<u8> = (0..4).flat_map(|_| random().to_le_bytes()).collect();
        let signing = SigningKey::try_from(seed.as_slice()).map_err(failed)?;
        Ok(Self {
            public: PublicKey::from_bytes(signing.verifying_key().as_bytes()).map_err(failed)?,
            signing,
            audience: Audience::parse(AUDIENCE).map_err(failed)?,
            tenant: Tenant::parse(TENANT).map_err(failed)?,
            issuer: Principal::parse(ISSUER).map_err(failed)?,
            requester: Principal::parse(REQUESTER).map_err(failed)?,
        })
    }

    /// The trust file of a host that believes this approver, and nobody else.
    pub(crate) fn trust_file(&self) -> String {
        let public = self.public.to_base64();
        format!(
            "audience = \"{AUDIENCE}\"\n\n[[key]]\nname = \"bench\"\npublic = \"{public}\"\nprincipal = \"{ISSUER}\"\n\
             roles = [\"approver\"]\ntenants = [\"{TENANT}\"]\nactions = [\"*\"]\n"
        )
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
            issuer: self.issuer.clone(),
            requester: self.requester.clone(),
            audience: self.audience.clone(),
            tenant: self.tenant.clone(),
            action: request.action.clone(),
            nonce: Nonce::parse(nonce).map_err(failed)?,
            payload: request.payload.digest(),
            issued_at: now,
            not_before: now,
            expires_at: now.plus_ms(APPROVAL_LIFETIME_S_DEFAULT * 1000),
            component: None,
            ceilings: Ceilings::default(),
            quorum: None,
            policy_bundle: None,
            preview: None,
            decision: None,
        };
        let envelope = Envelope::unsigned(PAYLOAD_TYPE, body.spell());
        let signature = self.signing.sign(&envelope.pre_authentication_encoding());
        Ok(envelope.signed(self.public.id(), Signature::from_bytes(signature.to_bytes())))
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

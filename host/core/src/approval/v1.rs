//! Approval v1: ClawShield's artifact, exactly as for 0.1.10.
//!
//! In scope: its six members, what was signed, what it must agree with.
//! Out of scope: minting one (ClawShield does).
//!
//! What is signed is `approval_id ‖ tenant_id ‖ action_hash ‖ issued_at ‖ expires_at`, without anything between them.
//! That a signature means one thing depends on the grammar: 36 bytes of a UUID in front; 64 hexadecimal digits and two
//! dates, which contain hyphens where digits could not be, behind; so the tenant in between is what is left. An artifact
//! whose members stand at other boundaries does not parse.
//!
//! The artifact names no nonce and no host. The host therefore takes it for one call only: the first nonce that comes with
//! it consumes it.

use super::{
    ApprovalFacts, ApprovalUse, Authentic, Call, Ceilings, Format, NotApproved, VerifiedApproval, Window, is_uuid,
    require, require_tenant, text_of,
};
use crate::digest::Digest;
use crate::json::{self, FieldError, Fields, Members, Value};
use crate::keys::Signature;
use crate::names::{NameError, Tenant};
use crate::refusal::{Member, Refusal};
use crate::request::Request;
use crate::time::{DateSpelling, Timestamp};
use crate::trust::{LegacyTrust, Trust, TrustFile};

/// An artifact as it was presented. Nothing of it is true yet.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The approval's own id: a UUID.
    pub approval_id: String,
    /// On whose behalf.
    pub tenant_id: Tenant,
    /// What was approved: SHA-256 of the action and the payload, as `action_hash` computes it.
    pub action_hash: Digest,
    /// When, as it was written.
    pub issued_at: String,
    /// Until when, as it was written.
    pub expires_at: String,
    signature: Signature,
    issued: Timestamp,
    expires: Timestamp,
}

/// Why an artifact is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// Not the members of an artifact.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The id is no UUID.
    #[error("approval_id must be a UUID in lowercase, with hyphens")]
    ApprovalId,
    /// The tenant is no name.
    #[error("tenant_id: {0}")]
    Tenant(NameError),
    /// The digest is not spelled as one.
    #[error("action_hash must be 64 lowercase hexadecimal digits")]
    ActionHash,
    /// A date is not spelled as one.
    #[error("{0}: {1}")]
    Date(&'static str, DateSpelling),
    /// The signature is not 64 bytes in base64.
    #[error("signature must be 64 bytes in standard base64")]
    Signature,
}

impl Artifact {
    /// Reads an artifact. Members that it does not have are ignored, as 0.1.10 did: they were not signed.
    ///
    /// # Errors
    /// `ArtifactError`, whose text names the member.
    pub fn parse(value: Value) -> Result<Self, ArtifactError> {
        let mut fields = Fields::of("the approval artifact", value)?;
        let approval_id = fields.text("approval_id")?;
        let tenant_id = fields.text("tenant_id")?;
        let action_hash = fields.text("action_hash")?;
        let issued_at = fields.text("issued_at")?;
        let expires_at = fields.text("expires_at")?;
        let signature = fields.text("signature")?;
        let date = |member, text: &str| {
            Timestamp::parse_isoformat(text).map_err(|spelling| ArtifactError::Date(member, spelling))
        };
        Ok(Self {
            issued: date("issued_at", &issued_at)?,
            expires: date("expires_at", &expires_at)?,
            approval_id: Some(approval_id).filter(|id| is_uuid(id)).ok_or(ArtifactError::ApprovalId)?,
            tenant_id: Tenant::parse(&tenant_id).map_err(ArtifactError::Tenant)?,
            action_hash: Digest::parse(&action_hash).map_err(|_| ArtifactError::ActionHash)?,
            signature: Signature::parse_base64(&signature).ok_or(ArtifactError::Signature)?,
            issued_at,
            expires_at,
        })
    }

    /// What is signed.
    #[must_use]
    pub fn message(&self) -> String {
        let Self { approval_id, tenant_id, action_hash, issued_at, expires_at, .. } = self;
        format!("{approval_id}{tenant_id}{action_hash}{issued_at}{expires_at}")
    }

    /// The artifact as JSON, as `parse` reads it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let members = [
            ("approval_id", self.approval_id.clone()),
            ("tenant_id", self.tenant_id.to_string()),
            ("action_hash", self.action_hash.to_string()),
            ("issued_at", self.issued_at.clone()),
            ("expires_at", self.expires_at.clone()),
            ("signature", self.signature.to_base64()),
        ];
        let members = members.into_iter().map(|(name, text)| (name.to_owned(), Value::String(text)));
        Value::Object(Members::new(members.collect()).unwrap_or_default())
    }
}

/// What ClawShield digests: `json.dumps({"action": …, "payload": …}, sort_keys=True, separators=(",", ":"))`, with the
/// payload's numbers as the caller spelled them (`1.0` is not `1`).
#[must_use]
pub fn action_hash(request: &Request) -> Digest {
    let members = vec![
        ("action".to_owned(), Value::String(request.action.to_string())),
        ("payload".to_owned(), request.payload.value().clone()),
    ];
    let record = Value::Object(Members::new(members).unwrap_or_default());
    Digest::of(json::pyjson_compact(&record).as_bytes())
}

/// Proves that the artifact is authentic and for exactly this call.
pub(super) fn verify(
    artifact: Artifact,
    reference: Digest,
    trust: &Trust,
    call: Call<'_>,
) -> Result<VerifiedApproval, NotApproved> {
    let legacy = trust.legacy().ok_or(Refusal::ApprovalUnknownKey)?;
    legacy.key.verify(artifact.message().as_bytes(), &artifact.signature).map_err(|_| Refusal::ApprovalInvalid)?;
    let facts = ApprovalFacts {
        format: Format::V1,
        reference,
        signers: vec![legacy.key.id()],
        trust: trust.file().map(TrustFile::digest),
        policy_bundle: None,
        preview: None,
        decision: None,
    };
    if let Err(refusal) = require_for(&artifact, legacy, trust, call) {
        return Err(NotApproved { refusal, authentic: Some(Authentic { tenant: artifact.tenant_id, facts }.into()) });
    }
    Ok(VerifiedApproval {
        window: Window {
            issued_at: artifact.issued,
            not_before: artifact.issued,
            expires_at: artifact.expires,
            lifetime_s_max: legacy.lifetime_s_max,
        },
        ceilings: Ceilings::default(),
        kept: ApprovalUse { facts: facts.into(), text: text_of(&artifact.to_value()) },
        tenant: artifact.tenant_id,
    })
}

/// Makes sure that the artifact is for this call, and that an artifact is enough for it.
fn require_for(artifact: &Artifact, legacy: &LegacyTrust, trust: &Trust, call: Call<'_>) -> Result<(), Refusal> {
    require(artifact.tenant_id == legacy.tenant, Member::Tenant)?;
    require_tenant(&artifact.tenant_id, call)?;
    require(artifact.action_hash == action_hash(call.request), Member::ActionHash)?;
    // A class asks for more than an artifact can say. Without this, one key could do alone what needs several.
    match trust.file().and_then(|file| file.class_of(&call.request.action)) {
        Some(class) => Err(Refusal::ApprovalQuorum(format!("actions of class '{}' need an approval v2", class.name))),
        None => Ok(()),
    }
}

//! Approval v2: a DSSE envelope whose payload says which call is approved, member by member.
//!
//! In scope: the body, its one spelling, what it must agree with.
//! Out of scope: whose signatures count (`quorum`).
//!
//! The body is canonical JSON (RFC 8785) with integers only. Unknown members are refused: a restriction that this host
//! does not know must not be ignored.

use super::quorum::{self, Approvers};
use super::{
    ApprovalFacts, ApprovalUse, Authentic, Call, Ceilings, Format, NotApproved, VerifiedApproval, Window, is_uuid,
    malformed, require, require_tenant,
};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::json::{self, FieldError, Fields, Members, ReadError, Value};
use crate::limits::APPROVAL_LIFETIME_S_DEFAULT;
use crate::names::{Action, Audience, Label, NameError, Nonce, Note, Principal, Tenant, TenantError};
use crate::refusal::{Member, Refusal};
use crate::time::{DateSpelling, Timestamp};
use crate::trust::Trust;

/// The `payloadType` of approvals v2.
pub const PAYLOAD_TYPE: &str = "application/vnd.openexec.approval.v2+json";

/// The `type` of the body.
pub const BODY_TYPE: &str = "urn:openexec:approval:v2";

/// What an approval v2 says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The approval's own id: a UUID.
    pub approval_id: String,
    /// Who decided.
    pub issuer: Principal,
    /// Whose request it is. Never counts as an approver of it.
    pub requester: Principal,
    /// For which host.
    pub audience: Audience,
    /// On whose behalf.
    pub tenant: Tenant,
    /// What to do.
    pub action: Action,
    /// The unique value of the call.
    pub nonce: Nonce,
    /// SHA-256 of the payload's canonical text.
    pub payload: Digest,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// From when on it is good.
    pub not_before: Timestamp,
    /// From when on it is no longer good.
    pub expires_at: Timestamp,
    /// Exactly the code that may run, if the approver cares.
    pub component: Option<Digest>,
    /// What the run may use at most.
    pub ceilings: Ceilings,
    /// Under which class it was approved, and by how many at least.
    pub quorum: Option<Quorum>,
    /// The policy that was applied.
    pub policy_bundle: Option<Digest>,
    /// What the approver was shown.
    pub preview: Option<Digest>,
    /// The decision that this is the result of.
    pub decision: Option<Decision>,
}

/// How many must have approved, beyond what the host asks for anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// The class of the host's trust file.
    pub class: Label,
    /// How many principals. Less than the class's threshold has no effect.
    pub threshold: u64,
}

/// The decision behind an approval, for whoever reads the receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its id.
    pub id: Note,
    /// Its trace.
    pub trace_id: Option<Note>,
}

/// Why a body is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON by our rules.
    #[error("its body is not acceptable JSON: {0}")]
    Json(#[from] ReadError),
    /// Not the members of a body.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Not in the one spelling.
    #[error("its body is not canonical JSON (RFC 8785)")]
    NotCanonical,
    /// A number with a fraction or an exponent.
    #[error("its body has a number that is not an integer")]
    NotAnInteger,
    /// Some other statement.
    #[error("the type of its body is not {BODY_TYPE}")]
    Type,
    /// The id is no UUID.
    #[error("approval_id must be a UUID in lowercase, with hyphens")]
    ApprovalId,
    /// A name outside its grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No tenant that can be governed.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// A digest is not spelled as one.
    #[error("{0}.sha256 must be 64 lowercase hexadecimal digits")]
    Digest(&'static str),
    /// A date is not spelled as one.
    #[error("{0}: {1}")]
    Date(&'static str, DateSpelling),
    /// It ends before it begins.
    #[error("expires_at must be later than issued_at and not_before")]
    Window,
}

impl Body {
    /// Reads a body in its one spelling.
    ///
    /// # Errors
    /// `BodyError`, whose text names the member.
    pub fn parse(bytes: &[u8]) -> Result<Self, BodyError> {
        let value = json::read(bytes)?;
        if has_float(&value) {
            return Err(BodyError::NotAnInteger);
        }
        if json::jcs(&value).as_bytes() != bytes {
            return Err(BodyError::NotCanonical);
        }
        let mut fields = Fields::of("the body", value)?;
        if fields.text("type")? != BODY_TYPE {
            return Err(BodyError::Type);
        }
        let body = Self {
            approval_id: Some(fields.text("approval_id")?).filter(|id| is_uuid(id)).ok_or(BodyError::ApprovalId)?,
            issuer: Principal::parse(&fields.text("issuer")?)?,
            requester: Principal::parse(&fields.text("requester")?)?,
            audience: Audience::parse(&fields.text("audience")?)?,
            tenant: Tenant::parse_governed(&fields.text("tenant")?)?,
            action: Action::parse(&fields.text("action")?)?,
            nonce: Nonce::parse(&fields.text("nonce")?)?,
            payload: digest("payload", fields.object("payload")?)?,
            issued_at: date(&mut fields, "issued_at")?,
            not_before: date(&mut fields, "not_before")?,
            expires_at: date(&mut fields, "expires_at")?,
            component: optional_digest(&mut fields, "component")?,
            ceilings: ceilings(&mut fields)?,
            quorum: quorum_of(&mut fields)?,
            policy_bundle: optional_digest(&mut fields, "policy_bundle")?,
            preview: optional_digest(&mut fields, "preview")?,
            decision: decision(&mut fields)?,
        };
        fields.end()?;
        if body.expires_at <= body.issued_at.max(body.not_before) {
            return Err(BodyError::Window);
        }
        Ok(body)
    }

    /// The body in its one spelling. `parse` reads it if its values are within their bounds; whoever signs it makes sure.
    #[must_use]
    pub fn spell(&self) -> Vec<u8> {
        let text = |text: &dyn std::fmt::Display| Value::String(text.to_string());
        let sha256 = |digest: &Digest| object(vec![("sha256", text(digest))]);
        let mut members = vec![
            ("type", text(&BODY_TYPE)),
            ("approval_id", text(&self.approval_id)),
            ("issuer", text(&self.issuer)),
            ("requester", text(&self.requester)),
            ("audience", text(&self.audience)),
            ("tenant", text(&self.tenant)),
            ("action", text(&self.action)),
            ("nonce", text(&self.nonce)),
            ("payload", sha256(&self.payload)),
            ("issued_at", text(&self.issued_at)),
            ("not_before", text(&self.not_before)),
            ("expires_at", text(&self.expires_at)),
        ];
        members.extend(self.component.as_ref().map(|digest| ("component", sha256(digest))));
        members.extend(self.ceilings.to_value().map(|constraints| ("constraints", constraints)));
        members.extend(self.quorum.as_ref().map(|quorum| {
            let members = vec![("class", text(&quorum.class)), ("threshold", integer(quorum.threshold))];
            ("quorum", object(members))
        }));
        members.extend(self.policy_bundle.as_ref().map(|digest| ("policy_bundle", sha256(digest))));
        members.extend(self.preview.as_ref().map(|digest| ("preview", sha256(digest))));
        members.extend(self.decision.as_ref().map(|decision| {
            let mut members = vec![("id", text(&decision.id))];
            members.extend(decision.trace_id.as_ref().map(|trace_id| ("trace_id", text(trace_id))));
            ("decision", object(members))
        }));
        json::jcs(&object(members)).into_bytes()
    }

    /// Makes sure that the approval is for this call.
    fn require_for(&self, call: Call<'_>) -> Result<(), Refusal> {
        require(self.audience == *call.audience, Member::Audience)?;
        require_tenant(&self.tenant, call)?;
        require(self.action == call.request.action, Member::Action)?;
        require(self.nonce == call.request.nonce, Member::Nonce)?;
        require(self.payload == call.request.payload.digest(), Member::Payload)?;
        require(self.component.is_none() || self.component == call.component, Member::Component)
    }
}

impl Ceilings {
    fn to_value(self) -> Option<Value> {
        let Self { max_fuel, max_memory_bytes, max_output_bytes, max_wall_ms } = self;
        let members = [
            ("max_fuel", max_fuel),
            ("max_memory_bytes", max_memory_bytes),
            ("max_output_bytes", max_output_bytes),
            ("max_wall_ms", max_wall_ms),
        ];
        let members: Vec<_> = members.into_iter().filter_map(|(name, limit)| Some((name, integer(limit?)))).collect();
        if members.is_empty() { None } else { Some(object(members)) }
    }
}

fn object(members: Vec<(&str, Value)>) -> Value {
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Value::Object(Members::new(members).unwrap_or_default())
}

fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Float(_) => true,
        Value::Array(elements) => elements.iter().any(has_float),
        Value::Object(members) => members.iter().any(|(_, value)| has_float(value)),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::String(_) => false,
    }
}

fn date(fields: &mut Fields, member: &'static str) -> Result<Timestamp, BodyError> {
    Timestamp::parse_utc(&fields.text(member)?).map_err(|spelling| BodyError::Date(member, spelling))
}

/// `{"sha256": "…"}` and nothing else.
fn digest(member: &'static str, mut fields: Fields) -> Result<Digest, BodyError> {
    let sha256 = fields.text("sha256")?;
    fields.end()?;
    Digest::parse(&sha256).map_err(|_| BodyError::Digest(member))
}

fn optional_digest(fields: &mut Fields, member: &'static str) -> Result<Option<Digest>, BodyError> {
    fields.optional_object(member)?.map(|fields| digest(member, fields)).transpose()
}

fn ceilings(fields: &mut Fields) -> Result<Ceilings, BodyError> {
    let Some(mut fields) = fields.optional_object("constraints")? else { return Ok(Ceilings::default()) };
    let ceilings = Ceilings {
        max_fuel: fields.optional_natural("max_fuel")?,
        max_memory_bytes: fields.optional_natural("max_memory_bytes")?,
        max_output_bytes: fields.optional_natural("max_output_bytes")?,
        max_wall_ms: fields.optional_natural("max_wall_ms")?,
    };
    fields.end()?;
    Ok(ceilings)
}

fn quorum_of(fields: &mut Fields) -> Result<Option<Quorum>, BodyError> {
    let Some(mut fields) = fields.optional_object("quorum")? else { return Ok(None) };
    let class = Label::parse(&fields.text("class")?)?;
    let threshold = fields.natural("threshold")?;
    fields.end()?;
    Ok(Some(Quorum { class, threshold }))
}

fn decision(fields: &mut Fields) -> Result<Option<Decision>, BodyError> {
    let Some(mut fields) = fields.optional_object("decision")? else { return Ok(None) };
    let id = Note::parse(&fields.text("id")?)?;
    let trace_id = fields.optional_text("trace_id")?.map(|text| Note::parse(&text)).transpose()?;
    fields.end()?;
    Ok(Some(Decision { id, trace_id }))
}

/// Proves that the envelope is authentic and for exactly this call.
pub(super) fn verify(
    envelope: Envelope,
    reference: Digest,
    trust: &Trust,
    call: Call<'_>,
    now: Timestamp,
) -> Result<VerifiedApproval, NotApproved> {
    envelope.require_type(PAYLOAD_TYPE).map_err(malformed)?;
    let file = trust.file().ok_or(Refusal::ApprovalUnknownKey)?;
    let signers = quorum::verify_signatures(&envelope, file, now)?;
    let body = Body::parse(envelope.payload()).map_err(malformed)?; // the very bytes that were verified
    let facts = |signers| ApprovalFacts {
        format: Format::V2,
        reference,
        signers,
        trust: Some(file.digest()),
        policy_bundle: body.policy_bundle,
        preview: body.preview,
        decision: body.decision.clone(),
    };
    let approvers = quorum::require_quorum(file, &signers, &body).and_then(|approvers| {
        body.require_for(call)?;
        Ok(approvers)
    });
    let Approvers { key_ids, class } = match approvers {
        Ok(approvers) => approvers,
        Err(refusal) => {
            let facts = facts(signers.iter().map(|key| key.public.id()).collect());
            return Err(NotApproved { refusal, authentic: Some(Authentic { tenant: body.tenant, facts }.into()) });
        }
    };
    Ok(VerifiedApproval {
        window: Window {
            issued_at: body.issued_at,
            not_before: body.not_before,
            expires_at: body.expires_at,
            lifetime_s_max: class.map_or(APPROVAL_LIFETIME_S_DEFAULT, |class| class.lifetime_s_max),
        },
        ceilings: body.ceilings,
        kept: ApprovalUse { facts: facts(key_ids).into(), text: envelope.to_json().into() },
        tenant: body.tenant,
    })
}

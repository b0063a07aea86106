//! The spelling of a bundle, and reading one strictly.
//!
//! `{"type": "urn:openexec:evidence:v2", "receipt": <DSSE envelope>, "erased": true?, "request": {"audience", "tenant",
//! "action", "nonce", "payload": {"sha256"}}?, "approval": <as it was presented>?, "openings": {"payload": {"salt"},
//! "result": {"salt"} | null, "effects": {"salt"} | null}?, "payload": <object>?, "result": <object>?, "failure": {"failure",
//! "text"}?, "effects": [{"kind", "body"}]?, "proof": "c2sp.org/tlog-proof@v1\n…"?}`
//!
//! Numbers are spelled as CPython does, so that `1.0` stays `1.0`, which approvals v1 digest. What a program made of the
//! text in between is read as well, as long as nothing is lost by it.

use super::{Body, Evidence, RequestFacts, Shown, TYPE};
use crate::digest::{Digest, DigestSpelling};
use crate::dsse::{Envelope, EnvelopeError};
use crate::json::{self, FieldError, Fields, Members, ReadError, Value};
use crate::limits::{EFFECTS_MAX, EVIDENCE_BYTES_MAX, PROOF_BYTES_MAX};
use crate::names::{Action, Audience, NameError, Nonce, Tenant};
use crate::outcome::{Effect, Failure, FailureKind, JsonText};
use crate::receipt::opening::{Openings, Salt};
use crate::receipt::{Signed, StatementError};
use crate::request::Payload;

/// Why something is not evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The file is too large.
    #[error("evidence has at most {EVIDENCE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not JSON by our rules.
    #[error("not acceptable JSON: {0}")]
    Json(#[from] ReadError),
    /// Not the members of a bundle.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Some other document.
    #[error("not evidence: its type is not {TYPE}")]
    Type,
    /// The receipt is no envelope.
    #[error("its receipt is no DSSE envelope: {0}")]
    Envelope(#[from] EnvelopeError),
    /// The receipt is no receipt.
    #[error("its receipt: {0}")]
    Statement(#[from] StatementError),
    /// A name outside its grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A digest or a salt is not spelled as one.
    #[error("its digests and salts are 64 lowercase hexadecimal digits each")]
    Digest(#[from] DigestSpelling),
    /// A word that does not exist there.
    #[error("failure.failure is not a word that is known here")]
    Failure,
    /// Too many effects.
    #[error("effects has at most {EFFECTS_MAX} members")]
    Effects,
    /// The proof is too large.
    #[error("proof has at most {PROOF_BYTES_MAX} bytes")]
    Proof,
    /// Says that everything was erased, and shows some of it.
    #[error("it says that everything was erased, and shows some of it")]
    Erased,
    /// A payload that no host accepts.
    #[error("the payload is not an object")]
    Payload,
    /// The execution has no signed receipt.
    #[error("this execution was sealed before receipts were signed: there is nothing to verify")]
    NoReceipt,
}

impl Evidence {
    /// Reads a bundle. Nothing of it is true yet.
    ///
    /// # Errors
    /// `EvidenceError`, whose text says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > EVIDENCE_BYTES_MAX {
            return Err(EvidenceError::TooLarge);
        }
        let mut fields = Fields::of("the evidence", json::read_evidence(bytes)?)?;
        if fields.text("type")? != TYPE {
            return Err(EvidenceError::Type);
        }
        let signed = Signed::of_envelope(&Envelope::parse(fields.any("receipt")?)?)?;
        let proof = fields.optional_text("proof")?;
        if proof.as_ref().is_some_and(|proof| proof.len() > PROOF_BYTES_MAX) {
            return Err(EvidenceError::Proof);
        }
        let is_erased = fields.optional_true("erased")?;
        let shown = Shown::take(&mut fields)?;
        fields.end()?;
        let body = match is_erased {
            true if shown == Shown::default() => Body::Erased,
            true => return Err(EvidenceError::Erased),
            false => Body::Shown(Box::new(shown)),
        };
        Self::of(signed, body, proof)
    }

    /// The bundle as JSON, which `parse` reads.
    #[must_use]
    pub fn spell(&self) -> String {
        let mut members = vec![("type".to_owned(), text(TYPE)), ("receipt".to_owned(), self.signed.to_value())];
        match &self.body {
            Body::Erased => members.push(("erased".to_owned(), Value::Bool(true))),
            Body::Shown(shown) => shown.add_to(&mut members),
        }
        members.extend(self.proof.as_deref().map(|proof| ("proof".to_owned(), text(proof))));
        json::pyjson_compact(&object(members))
    }
}

impl Shown {
    fn take(fields: &mut Fields) -> Result<Self, EvidenceError> {
        let effects = match fields.optional_array("effects")? {
            Some(effects) if effects.len() > EFFECTS_MAX => return Err(EvidenceError::Effects),
            effects => effects.map(|effects| effects.into_iter().map(read_effect).collect()).transpose()?,
        };
        Ok(Self {
            request: fields.optional_object("request")?.map(RequestFacts::read).transpose()?,
            approval: fields.optional_members("approval")?.map(Value::Object),
            openings: fields.optional_object("openings")?.map(Openings::read).transpose()?,
            payload: fields.optional_members("payload")?.map(Payload::of),
            result: fields.optional_members("result")?.map(Value::Object),
            failure: fields.optional_object("failure")?.map(read_failure).transpose()?,
            effects,
        })
    }

    fn add_to(&self, members: &mut Vec<(String, Value)>) {
        let Self { request, approval, openings, payload, result, failure, effects } = self;
        let parts = [
            ("request", request.as_ref().map(RequestFacts::to_value)),
            ("approval", approval.clone()),
            ("openings", openings.map(Openings::to_value)),
            ("payload", payload.as_ref().map(|payload| payload.value().clone())),
            ("result", result.clone()),
            ("failure", failure.as_ref().map(failure_value)),
            ("effects", effects.as_ref().map(|effects| Value::Array(effects.iter().map(effect_value).collect()))),
        ];
        members.extend(parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
}

impl RequestFacts {
    fn read(mut fields: Fields) -> Result<Self, EvidenceError> {
        let mut payload = fields.object("payload")?;
        let facts = Self {
            audience: Audience::parse(&fields.text("audience")?)?,
            tenant: Tenant::parse(&fields.text("tenant")?)?,
            action: Action::parse(&fields.text("action")?)?,
            nonce: Nonce::parse(&fields.text("nonce")?)?,
            payload: Digest::parse(&payload.text("sha256")?)?,
        };
        payload.end()?;
        fields.end()?;
        Ok(facts)
    }

    fn to_value(&self) -> Value {
        let Self { audience, tenant, action, nonce, payload } = self;
        object(vec![
            ("audience".to_owned(), text(audience.as_str())),
            ("tenant".to_owned(), text(tenant.as_str())),
            ("action".to_owned(), text(action.as_str())),
            ("nonce".to_owned(), text(nonce.as_str())),
            ("payload".to_owned(), object(vec![("sha256".to_owned(), text(&payload.to_string()))])),
        ])
    }
}

impl Openings {
    pub(super) fn read(mut fields: Fields) -> Result<Self, EvidenceError> {
        let nullable = |fields: &mut Fields, member| {
            let members = fields.nullable_members(member)?;
            members.map(|members| read_salt(Fields::of(member, Value::Object(members))?)).transpose()
        };
        let openings = Self {
            payload: read_salt(fields.object("payload")?)?,
            result: nullable(&mut fields, "result")?,
            effects: nullable(&mut fields, "effects")?,
        };
        fields.end()?;
        Ok(openings)
    }

    fn to_value(self) -> Value {
        let opening = |salt: Salt| object(vec![("salt".to_owned(), text(&salt.to_string()))]);
        object(vec![
            ("payload".to_owned(), opening(self.payload)),
            ("result".to_owned(), self.result.map_or(Value::Null, opening)),
            ("effects".to_owned(), self.effects.map_or(Value::Null, opening)),
        ])
    }
}

fn read_salt(mut fields: Fields) -> Result<Salt, EvidenceError> {
    let salt = Salt::parse(&fields.text("salt")?)?;
    fields.end()?;
    Ok(salt)
}

fn read_failure(mut fields: Fields) -> Result<Failure, EvidenceError> {
    let kind = FailureKind::parse(&fields.text("failure")?).ok_or(EvidenceError::Failure)?;
    let text = fields.text("text")?;
    fields.end()?;
    Ok(Failure { kind, text }) // not cut: it is what was committed to, or it does not match
}

pub(super) fn read_effect(value: Value) -> Result<Effect, EvidenceError> {
    let mut fields = Fields::of("an effect", value)?;
    let (kind, body) = (fields.text("kind")?, JsonText::of(&fields.any("body")?));
    fields.end()?;
    json::read(body.as_str().as_bytes())?; // a body that is nested deeper than any handler's would not read back
    Ok(Effect { kind, body })
}

fn failure_value(failure: &Failure) -> Value {
    object(vec![("failure".to_owned(), text(failure.kind.as_str())), ("text".to_owned(), text(&failure.text))])
}

fn effect_value(effect: &Effect) -> Value {
    object(vec![("kind".to_owned(), text(&effect.kind)), ("body".to_owned(), effect.body.value())])
}

fn object(members: Vec<(String, Value)>) -> Value {
    Value::Object(Members::new(members).unwrap_or_default())
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

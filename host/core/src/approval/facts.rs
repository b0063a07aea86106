//! What is said about an approval in receipts, and kept of it with a reservation.
//!
//! In scope: the facts, their one spelling (JCS), reading them back.
//! Out of scope: verifying an approval (`v1`, `v2`, `quorum`), which is where the facts come from.

use std::fmt::{self, Write as _};

use super::Format;
use super::v2::Decision;
use crate::digest::{Digest, DigestSpelling};
use crate::json::{self, FieldError, Fields, Nullable, Quoted, Value};
use crate::keys::KeyId;
use crate::names::{NameError, Note};

/// Room for the facts of an approval with a few signers.
const BYTES_AT_FIRST: usize = 512;

/// Facts about an authentic approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalFacts {
    /// In which format it was given.
    pub format: Format,
    /// Its identity: SHA-256 of what was signed. Used once.
    pub reference: Digest,
    /// The keys whose signatures counted.
    pub signers: Vec<KeyId>,
    /// SHA-256 of the trust file under which they did; `None` if the host had none.
    pub trust: Option<Digest>,
    /// The policy that was applied, as the approval says.
    pub policy_bundle: Option<Digest>,
    /// What the approver was shown, as the approval says.
    pub preview: Option<Digest>,
    /// The decision that the approval is the result of, as it says.
    pub decision: Option<Decision>,
}

/// Why a text is not such facts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// Not the members.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A digest is not spelled as one.
    #[error(transparent)]
    Digest(#[from] DigestSpelling),
    /// A note outside its grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A word that does not exist there.
    #[error("'{0}' of the approval is not a word that is known here")]
    Word(&'static str),
    /// Not what `spell` writes.
    #[error("not facts about an approval in their one spelling")]
    NotCanonical,
}

impl ApprovalFacts {
    /// The facts as JSON, in their one spelling.
    #[must_use]
    pub fn spell(&self) -> String {
        let mut text = String::with_capacity(BYTES_AT_FIRST);
        let _ = write!(text, "{}", self.spelling()); // a string takes everything
        text
    }

    /// Displays what `spell` spells, to stand inside a larger text.
    pub(crate) fn spelling(&self) -> impl fmt::Display {
        fmt::from_fn(|f| {
            let Self { format, reference, signers, trust, policy_bundle, preview, decision } = self;
            let decision = Nullable(decision.as_ref().map(spelling_of_decision));
            let (policy_bundle, preview) = (spelling_of_digest(*policy_bundle), spelling_of_digest(*preview));
            let format = format.as_str();
            write!(
                f,
                r#"{{"decision":{decision},"format":"{format}","policy_bundle":{policy_bundle},"preview":{preview},"ref":{{"sha256":"{reference}"}},"signers":["#
            )?;
            for (i, signer) in signers.iter().enumerate() {
                write!(f, r#"{}"{signer}""#, if i == 0 { "" } else { "," })?;
            }
            write!(f, r#"],"trust":{}}}"#, spelling_of_digest(*trust))
        })
    }

    /// Reads what `spell` writes, and nothing else.
    ///
    /// # Errors
    /// `FactsError`.
    pub fn parse(text: &str) -> Result<Self, FactsError> {
        let value = json::read(text.as_bytes()).map_err(|_| FactsError::NotCanonical)?;
        let facts = Self::read(value)?;
        if facts.spell() == text { Ok(facts) } else { Err(FactsError::NotCanonical) }
    }

    /// Takes the facts out of a larger document, whose spelling its own reader compares.
    pub(crate) fn read(value: Value) -> Result<Self, FactsError> {
        let mut fields = Fields::of("approval", value)?;
        Ok(Self {
            format: Format::parse(&fields.text("format")?).ok_or(FactsError::Word("format"))?,
            reference: read_sha256(fields.object("ref")?)?,
            signers: fields.array("signers")?.iter().map(read_signer).collect::<Result<_, _>>()?,
            trust: read_digest(&mut fields, "trust")?,
            policy_bundle: read_digest(&mut fields, "policy_bundle")?,
            preview: read_digest(&mut fields, "preview")?,
            decision: read_decision(&mut fields)?,
        })
    }
}

fn spelling_of_digest(digest: Option<Digest>) -> impl fmt::Display {
    Nullable(digest.map(|digest| fmt::from_fn(move |f| write!(f, r#"{{"sha256":"{digest}"}}"#))))
}

fn spelling_of_decision(Decision { id, trace_id }: &Decision) -> impl fmt::Display {
    let trace_id = Nullable(trace_id.as_ref().map(|trace_id| Quoted(trace_id.as_str())));
    fmt::from_fn(move |f| write!(f, r#"{{"id":{},"trace_id":{trace_id}}}"#, Quoted(id.as_str())))
}

fn read_digest(fields: &mut Fields, member: &'static str) -> Result<Option<Digest>, FactsError> {
    let members = fields.nullable_members(member)?;
    members.map(|members| read_sha256(Fields::of(member, Value::Object(members))?)).transpose()
}

fn read_sha256(mut fields: Fields) -> Result<Digest, FactsError> {
    Ok(Digest::parse(&fields.text("sha256")?)?)
}

fn read_signer(value: &Value) -> Result<KeyId, FactsError> {
    match value {
        Value::String(text) => KeyId::parse(text).ok_or(FactsError::Word("signers")),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Array(_) | Value::Object(_) => {
            Err(FactsError::Word("signers"))
        }
    }
}

fn read_decision(fields: &mut Fields) -> Result<Option<Decision>, FactsError> {
    let Some(members) = fields.nullable_members("decision")? else { return Ok(None) };
    let mut fields = Fields::of("decision", Value::Object(members))?;
    let id = Note::parse(&fields.text("id")?)?;
    let trace_id = fields.nullable_text("trace_id")?.map(|text| Note::parse(&text)).transpose()?;
    Ok(Some(Decision { id, trace_id }))
}

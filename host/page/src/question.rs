//! One question of the page: an evidence file, and whom the person believes.
//!
//! In scope: its spelling, which `page.js` writes; a member that is an empty text was left empty.
//! Out of scope: the answer.

use openexec_core::evidence::{Evidence, EvidenceError, Keys};
use openexec_core::json::{self, FieldError, Fields, ReadError, Value};
use openexec_core::keys::{KeyError, PublicKey};
use openexec_core::limits::LEGACY_LIFETIME_S_DEFAULT;
use openexec_core::log::note::{VerifierKey, VerifierKeyError};
use openexec_core::names::{Tenant, TenantError};
use openexec_core::trust::{LegacyTrust, Trust, TrustError, TrustFile};

/// What is to be checked, and by which keys.
pub(crate) struct Question {
    pub(crate) evidence: Evidence,
    pub(crate) keys: Keys,
}

/// Why a question has no answer. The text says which field of the form to look at.
#[derive(Debug)]
pub(crate) enum QuestionError {
    Json(ReadError),
    Field(FieldError),
    NotTexts,
    ReceiptKey(KeyError),
    LogKey(VerifierKeyError),
    WitnessKey(VerifierKeyError),
    ClawshieldKey(KeyError),
    ClawshieldTenant(TenantError),
    ClawshieldHalf,
    Trust(TrustError),
    Evidence(EvidenceError),
}

impl std::fmt::Display for QuestionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(error) => write!(f, "the page asked something that is not JSON ({error})"),
            Self::Field(error) => write!(f, "the page asked something else ({error})"),
            Self::NotTexts => f.write_str("the page asked something else"),
            Self::ReceiptKey(error) => write!(f, "a public key of the host's receipts: {error}"),
            Self::LogKey(error) => write!(f, "the key of the log: {error}"),
            Self::WitnessKey(error) => write!(f, "a key of a witness: {error}"),
            Self::ClawshieldKey(error) => write!(f, "ClawShield's public key: {error}"),
            Self::ClawshieldTenant(error) => write!(f, "ClawShield's tenant: {error}"),
            Self::ClawshieldHalf => f.write_str("ClawShield's public key and tenant belong together: fill in both"),
            Self::Trust(error) => write!(f, "{error}"),
            Self::Evidence(error) => write!(f, "{error}"),
        }
    }
}

impl From<FieldError> for QuestionError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl Question {
    /// Reads what the page asks.
    pub(crate) fn parse(question: &str) -> Result<Self, QuestionError> {
        let mut fields = Fields::of("the question", json::read(question.as_bytes()).map_err(QuestionError::Json)?)?;
        let keys = Keys {
            receipt_keys: read_all(&mut fields, "receipt_keys", |key| {
                read_public(key).map_err(QuestionError::ReceiptKey)
            })?,
            log_key: optional(&mut fields, "log_key", |key| VerifierKey::parse(key).map_err(QuestionError::LogKey))?,
            witness_keys: read_all(&mut fields, "witness_keys", |key| {
                VerifierKey::parse(key).map_err(QuestionError::WitnessKey)
            })?,
            quorum: fields.count("quorum")?,
            trust: read_trust(&mut fields)?,
        };
        let evidence = Evidence::parse(fields.text("evidence")?.as_bytes()).map_err(QuestionError::Evidence)?;
        fields.end()?;
        Ok(Self { evidence, keys })
    }
}

fn read_trust(fields: &mut Fields) -> Result<Option<Trust>, QuestionError> {
    let file = optional(fields, "trust_file", |text| TrustFile::parse(text).map_err(QuestionError::Trust))?;
    let key = optional(fields, "clawshield_public_key", |key| read_public(key).map_err(QuestionError::ClawshieldKey))?;
    let tenant = optional(fields, "clawshield_tenant_id", |tenant| {
        Tenant::parse_governed(tenant).map_err(QuestionError::ClawshieldTenant)
    })?;
    let legacy = match (key, tenant) {
        (Some(key), Some(tenant)) => Some(LegacyTrust { key, tenant, lifetime_s_max: LEGACY_LIFETIME_S_DEFAULT }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(QuestionError::ClawshieldHalf),
    };
    Ok(Trust::of(legacy, file))
}

/// PEM, or base64.
fn read_public(text: &str) -> Result<PublicKey, KeyError> {
    if text.contains("BEGIN") { PublicKey::parse_pem(text) } else { PublicKey::parse_base64(text) }
}

fn optional<T>(
    fields: &mut Fields,
    member: &'static str,
    read: impl Fn(&str) -> Result<T, QuestionError>,
) -> Result<Option<T>, QuestionError> {
    let text = fields.text(member)?;
    if text.is_empty() { Ok(None) } else { read(&text).map(Some) }
}

fn read_all<T>(
    fields: &mut Fields,
    member: &'static str,
    read: impl Fn(&str) -> Result<T, QuestionError>,
) -> Result<Vec<T>, QuestionError> {
    let text = |value: &Value| match value {
        Value::String(text) => read(text),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Array(_) | Value::Object(_) => {
            Err(QuestionError::NotTexts)
        }
    };
    fields.array(member)?.iter().map(text).collect()
}

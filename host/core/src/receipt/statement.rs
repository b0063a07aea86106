//! What a receipt says: an in-toto statement about one execution.
//!
//! In scope: the facts, their one spelling (JCS), reading them back.
//! Out of scope: signatures (`Signed`), whether the facts are true (`evidence`).
//!
//! The statement is read strictly: whatever this module would not write itself is refused. A later version of the
//! statement gets a later `predicateType`.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::opening::{Commitment, Part};
use super::{PAYLOAD_TYPE, STATEMENT_TYPE};
use crate::approval::{ApprovalFacts, FactsError};
use crate::digest::{Digest, DigestSpelling};
use crate::dsse::EnvelopeError;
use crate::json::{self, FieldError, Fields, Nullable, Quoted, ReadError, Value};
use crate::names::{Action, NameError, Tenant};
use crate::outcome::{Fault, Resources, Status};
use crate::registry::{Limits, Profile};
use crate::request::{ExecId, ExecIdSpelling};
use crate::time::Timestamp;

/// `predicateType` of a receipt.
pub(super) const PREDICATE_TYPE: &str = "urn:openexec:receipt:v2";

/// Name of the subject: what its digest is of.
pub(super) const SUBJECT: &str = "urn:openexec:request:v2";

/// Room for most statements, so that they need not be moved while they grow.
const BYTES_AT_FIRST: usize = 2048;

/// What one execution did, as its host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The execution's id.
    pub exec_id: ExecId,
    /// Identity of the request: SHA-256 of the request record. The subject of the statement.
    pub fingerprint: Digest,
    /// On whose behalf.
    pub tenant: Tenant,
    /// What was done.
    pub action: Action,
    /// SHA-256 of the nonce.
    pub nonce: Digest,
    /// The approval that permitted it; `None` in demo mode.
    pub approval: Option<Arc<ApprovalFacts>>,
    /// SHA-256 of the component that ran.
    pub component: Digest,
    /// What the component could import. Spelled only where it is not `pure`.
    pub profile: Profile,
    /// The limits under which it ran.
    pub limits: Limits,
    /// SHA-256 of the registry of the host that ran it.
    pub registry: Digest,
    /// What ran it.
    pub engine: EngineFacts,
    /// How it ended.
    pub outcome: Status,
    /// Why it was stopped, if it was.
    pub fault: Option<Fault>,
    /// What it used.
    pub resources: Resources,
    /// Binds the payload.
    pub payload: Commitment,
    /// Binds the result, or the handler's no. `None` if there was neither.
    pub result: Option<Commitment>,
    /// Binds the effects. `None` if nothing succeeded.
    pub effects: Option<Effects>,
    /// When the nonce was claimed.
    pub reserved_at: Timestamp,
    /// When the outcome was sealed.
    pub sealed_at: Timestamp,
    /// Whether an earlier run of the same reservation ended without a seal (the host died, or could not write it).
    pub repeated: bool,
}

/// The effects of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effects {
    /// How many.
    pub count: u64,
    /// Binds them.
    pub commitment: Commitment,
}

/// What ran a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineFacts {
    /// Name and version.
    pub version: Arc<str>,
    /// Identity of the version and of every setting that can change an outcome.
    pub digest: Digest,
}

/// Why a statement is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not an envelope of a statement.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Not one signature.
    #[error("the envelope must have exactly one signature: the host's")]
    Signatures,
    /// No key id, so that no key can be chosen.
    #[error("the signature of the envelope names no key (keyid)")]
    NoKeyId,
    /// Not JSON by our rules.
    #[error("the statement is not acceptable JSON: {0}")]
    Json(#[from] ReadError),
    /// Not the members of a statement.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A name outside its grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A digest is not spelled as one.
    #[error(transparent)]
    Digest(#[from] DigestSpelling),
    /// An id is not spelled as one.
    #[error(transparent)]
    ExecId(#[from] ExecIdSpelling),
    /// Not facts about an approval.
    #[error(transparent)]
    Approval(#[from] FactsError),
    /// A word that does not exist there.
    #[error("'{0}' of the statement is not a word that is known here")]
    Word(&'static str),
    /// Some other statement.
    #[error("not a receipt: its predicateType is not {PREDICATE_TYPE}")]
    PredicateType,
    /// Not what a host writes.
    #[error("the statement is not in the one spelling of a receipt (canonical JSON, {PAYLOAD_TYPE})")]
    NotCanonical,
}

impl Receipt {
    /// The statement, in its one spelling.
    #[must_use]
    pub fn spell(&self) -> String {
        let Self { exec_id, fingerprint, tenant, action, nonce, component, registry, engine, .. } = self;
        let profile = match self.profile {
            Profile::Pure => None,
            profile @ Profile::Wasi => Some(profile.as_str()),
        };
        let profile = fmt::from_fn(|f| match profile {
            None => Ok(()),
            Some(profile) => write!(f, r#""profile":"{profile}","#),
        });
        let mut text = String::with_capacity(BYTES_AT_FIRST);
        let _ = write!(
            text,
            r#"{{"_type":"{STATEMENT_TYPE}","predicate":{{"action":{action},"approval":{approval},"component":{{"sha256":"{component}"}},"effects":{effects},"engine":{{"sha256":"{engine_digest}","version":{engine_version}}},"exec_id":"{exec_id}","fault":{fault},"limits":{{"deadline_ms":{deadline_ms},"fuel":{fuel_max},"memory_bytes":{memory_bytes_max},"output_bytes":{output_bytes}}},"mode":"{mode}","nonce":{{"sha256":"{nonce}"}},"outcome":"{outcome}","payload":{payload},{profile}"registry":{{"sha256":"{registry}"}},"repeated":{repeated},"reserved_at_ms":{reserved_at},"resources":{{"fuel":{fuel},"memory_bytes":{memory_bytes}}},"result":{result},"sealed_at_ms":{sealed_at},"tenant":{tenant}}},"predicateType":"{PREDICATE_TYPE}","subject":[{{"digest":{{"sha256":"{fingerprint}"}},"name":"{SUBJECT}"}}]}}"#,
            action = Quoted(action.as_str()),
            approval = Nullable(self.approval.as_deref().map(ApprovalFacts::spelling)),
            effects = Nullable(self.effects.map(spelling_of_effects)),
            engine_digest = engine.digest,
            engine_version = Quoted(&engine.version),
            fault = Nullable(self.fault.map(|fault| Quoted(fault.as_str()))),
            deadline_ms = self.limits.deadline_ms,
            fuel_max = self.limits.fuel,
            memory_bytes_max = self.limits.memory_bytes,
            output_bytes = self.limits.output_bytes,
            mode = mode_of(self.approval.as_deref()),
            outcome = self.outcome.as_str(),
            payload = spelling_of_commitment(self.payload),
            repeated = self.repeated,
            reserved_at = self.reserved_at.unix_ms(),
            fuel = self.resources.fuel,
            memory_bytes = self.resources.memory_bytes,
            result = Nullable(self.result.map(spelling_of_commitment)),
            sealed_at = self.sealed_at.unix_ms(),
            tenant = Quoted(tenant.as_str()),
        ); // a string takes everything
        text
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// `StatementError` for anything that `spell` does not write.
    pub fn parse(text: &str) -> Result<Self, StatementError> {
        let receipt = Self::read(json::read(text.as_bytes())?)?;
        if receipt.spell() == text { Ok(receipt) } else { Err(StatementError::NotCanonical) }
    }

    /// Everything that is not looked at here (fixed members, unknown ones) is compared with the spelling by `parse`.
    fn read(value: Value) -> Result<Self, StatementError> {
        let mut statement = Fields::of("the statement", value)?;
        if statement.text("predicateType")? != PREDICATE_TYPE {
            return Err(StatementError::PredicateType);
        }
        let fingerprint = read_subject(&mut statement)?;
        let mut fields = statement.object("predicate")?;
        let approval = fields.nullable_members("approval")?.map(|members| ApprovalFacts::read(Value::Object(members)));
        let mut engine = fields.object("engine")?;
        let mut limits = fields.object("limits")?;
        let mut resources = fields.object("resources")?;
        let fault = fields.nullable_text("fault")?;
        let effects = fields.nullable_members("effects")?.map(|members| read_effects(Value::Object(members)));
        let result = fields
            .nullable_members("result")?
            .map(|members| read_commitment(Fields::of(Part::Result.as_str(), Value::Object(members))?));
        Ok(Self {
            exec_id: ExecId::parse(&fields.text("exec_id")?)?,
            fingerprint,
            tenant: Tenant::parse(&fields.text("tenant")?)?,
            action: Action::parse(&fields.text("action")?)?,
            nonce: read_sha256(fields.object("nonce")?)?,
            approval: approval.transpose()?.map(Arc::new),
            component: read_sha256(fields.object("component")?)?,
            limits: Limits {
                fuel: limits.count("fuel")?,
                memory_bytes: limits.count("memory_bytes")?,
                output_bytes: limits.count("output_bytes")?,
                deadline_ms: limits.count("deadline_ms")?,
            },
            profile: read_profile(&mut fields)?,
            registry: read_sha256(fields.object("registry")?)?,
            engine: EngineFacts { version: engine.text("version")?.into(), digest: read_sha256(engine)? },
            outcome: Status::parse(&fields.text("outcome")?).ok_or(StatementError::Word("outcome"))?,
            fault: fault.map(|word| Fault::parse(&word).ok_or(StatementError::Word("fault"))).transpose()?,
            resources: Resources { fuel: resources.count("fuel")?, memory_bytes: resources.count("memory_bytes")? },
            payload: read_commitment(fields.object(Part::Payload.as_str())?)?,
            result: result.transpose()?,
            effects: effects.transpose()?,
            reserved_at: Timestamp::from_unix_ms(fields.count("reserved_at_ms")?),
            sealed_at: Timestamp::from_unix_ms(fields.count("sealed_at_ms")?),
            repeated: fields.any("repeated")? == Value::Bool(true),
        })
    }
}

/// The mode in which something ran: nothing runs without an approval but in demo mode.
pub(super) fn mode_of(approval: Option<&ApprovalFacts>) -> &'static str {
    if approval.is_some() { "clawshield" } else { "demo" }
}

fn spelling_of_commitment(commitment: Commitment) -> impl fmt::Display {
    fmt::from_fn(move |f| write!(f, r#"{{"hmac_sha256":"{commitment}"}}"#))
}

fn spelling_of_effects(Effects { count, commitment }: Effects) -> impl fmt::Display {
    fmt::from_fn(move |f| write!(f, r#"{{"count":{count},"hmac_sha256":"{commitment}"}}"#))
}

/// The digest of the one subject.
pub(super) fn read_subject(statement: &mut Fields) -> Result<Digest, StatementError> {
    let mut subjects = statement.array("subject")?.into_iter();
    let subject = subjects.next().ok_or(StatementError::NotCanonical)?;
    read_sha256(Fields::of("subject", subject)?.object("digest")?)
}

pub(super) fn read_sha256(mut fields: Fields) -> Result<Digest, StatementError> {
    Ok(Digest::parse(&fields.text("sha256")?)?)
}

/// One spelling for each: `pure` is not spelled at all, as in receipts of hosts that knew no other profile.
fn read_profile(fields: &mut Fields) -> Result<Profile, StatementError> {
    match fields.optional_text("profile")?.as_deref().map(Profile::parse) {
        None => Ok(Profile::Pure),
        Some(Some(profile)) if profile != Profile::Pure => Ok(profile),
        Some(_) => Err(StatementError::Word("profile")),
    }
}

fn read_commitment(mut fields: Fields) -> Result<Commitment, StatementError> {
    Ok(Commitment::parse(&fields.text("hmac_sha256")?)?)
}

fn read_effects(value: Value) -> Result<Effects, StatementError> {
    let mut fields = Fields::of(Part::Effects.as_str(), value)?;
    Ok(Effects { count: fields.count("count")?, commitment: read_commitment(fields)? })
}

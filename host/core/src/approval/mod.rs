//! Approvals: signed permission for one call.
//!
//! In scope: both formats (`v1`: ClawShield's artifact; `v2`: DSSE), who must have signed (`quorum`), what an approval
//! must agree with, and for how long it is good.
//! Out of scope: who is trusted (`trust`), whether the approval was used before (the ledger).
//!
//! Invariants
//! - `VerifiedApproval` has no public constructor. Holding one is the proof that the approval is authentic and for exactly
//!   this call. It is not yet a proof that its time is right: `require_timely` says so, and only a new execution asks.
//! - Nothing of an approval is believed before its signatures were verified, and then the verified bytes are read.
//! - The identity of an approval is the digest of what was signed, never of the signatures: signing again makes no second
//!   use.

mod facts;
mod quorum;
pub mod v1;
pub mod v2;

use std::sync::Arc;

use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::json::{self, Value};
use crate::keys::KeyId;
use crate::limits::CLOCK_SKEW_MS;
use crate::names::{Audience, Tenant};
use crate::refusal::{Member, Refusal};
use crate::registry::Limits;
use crate::request::Request;
use crate::time::Timestamp;
use crate::trust::Trust;

pub use facts::{ApprovalFacts, FactsError};

/// An approval as it was presented. Nothing of it is true yet.
#[derive(Clone, Debug)]
pub enum Approval {
    /// ClawShield's artifact, as for 0.1.10.
    V1(v1::Artifact),
    /// A DSSE envelope.
    V2(Envelope),
}

/// In which format an approval was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// ClawShield's artifact.
    V1,
    /// A DSSE envelope.
    V2,
}

impl Format {
    /// The word in the ledger and in receipts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// The format written as `word`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::V1, Self::V2].into_iter().find(|format| format.as_str() == word)
    }
}

/// The call that an approval must be for, besides the request itself.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What the caller asks for.
    pub request: &'a Request,
    /// Which host was asked.
    pub audience: &'a Audience,
    /// On whose behalf, where that is known before the approval is read.
    pub tenant: Option<&'a Tenant>,
    /// SHA-256 of the component that would run, where that is known.
    pub component: Option<Digest>,
}

/// An approval that is authentic and for exactly this call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedApproval {
    tenant: Tenant,
    window: Window,
    ceilings: Ceilings,
    kept: ApprovalUse,
}

/// Why an approval does not permit a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotApproved {
    /// The first check that failed.
    pub refusal: Refusal,
    /// Whose approval it is, if it is authentic: signed by somebody whom the host trusts, and unchanged since.
    pub authentic: Option<Box<Authentic>>,
}

/// An approval by whom the host trusts. Nothing is said about what it permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentic {
    /// On whose behalf it was given.
    pub tenant: Tenant,
    /// Facts about it.
    pub facts: ApprovalFacts,
}

impl From<Refusal> for NotApproved {
    /// Of an approval that is not authentic, as far as anybody looked.
    fn from(refusal: Refusal) -> Self {
        Self { refusal, authentic: None }
    }
}

/// What a ledger keeps of the approval that an execution used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalUse {
    /// What receipts say about it.
    pub facts: Arc<ApprovalFacts>,
    /// The approval itself, as JSON that `Approval::parse` reads again.
    pub text: Arc<str>,
}

/// From when until when an approval is good, and for how long it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    issued_at: Timestamp,
    not_before: Timestamp,
    expires_at: Timestamp,
    lifetime_s_max: u64,
}

/// The most that a run may use by its approval. `None` leaves it to the pin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Wasm operators.
    pub max_fuel: Option<u64>,
    /// Sum of all linear memories, in bytes.
    pub max_memory_bytes: Option<u64>,
    /// Size of the result, in bytes.
    pub max_output_bytes: Option<u64>,
    /// Wall-clock time, in milliseconds.
    pub max_wall_ms: Option<u64>,
}

impl Approval {
    /// Reads an approval of either format.
    ///
    /// # Errors
    /// `Refusal::ApprovalMalformed` for anything else.
    pub fn parse(value: Value) -> Result<Self, Refusal> {
        let is_envelope = matches!(&value, Value::Object(members)
            if ["payload", "payloadType", "signatures"].iter().any(|name| members.get(name).is_some()));
        if is_envelope {
            Envelope::parse(value).map(Self::V2).map_err(malformed)
        } else {
            v1::Artifact::parse(value).map(Self::V1).map_err(malformed)
        }
    }

    /// In which format it was given.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::V1(_) => Format::V1,
            Self::V2(_) => Format::V2,
        }
    }

    /// Its identity: SHA-256 of what was signed.
    #[must_use]
    pub fn reference(&self) -> Digest {
        match self {
            Self::V1(artifact) => Digest::of(artifact.message().as_bytes()),
            Self::V2(envelope) => envelope.reference(),
        }
    }

    /// Proves that the approval is authentic and for exactly this call.
    ///
    /// # Errors
    /// The first check that fails, in the order of `SECURITY.md`.
    pub fn verify(self, trust: &Trust, call: Call<'_>, now: Timestamp) -> Result<VerifiedApproval, NotApproved> {
        let reference = self.reference();
        match self {
            Self::V1(artifact) => v1::verify(artifact, reference, trust, call),
            Self::V2(envelope) => v2::verify(envelope, reference, trust, call, now),
        }
    }
}

impl VerifiedApproval {
    /// On whose behalf.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The keys whose signatures counted.
    #[must_use]
    pub fn signers(&self) -> &[KeyId] {
        &self.kept.facts.signers
    }

    /// From when on it is no longer good for a new execution.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.window.expires_at
    }

    /// What a ledger keeps of it.
    #[must_use]
    pub fn kept(&self) -> &ApprovalUse {
        &self.kept
    }

    /// The pin's limits, tightened by the approval. It can only lower them.
    #[must_use]
    pub fn tighten(&self, limits: Limits) -> Limits {
        let lower = |limit: u64, ceiling: Option<u64>| ceiling.map_or(limit, |ceiling| limit.min(ceiling));
        Limits {
            fuel: lower(limits.fuel, self.ceilings.max_fuel),
            memory_bytes: lower(limits.memory_bytes, self.ceilings.max_memory_bytes),
            output_bytes: lower(limits.output_bytes, self.ceilings.max_output_bytes),
            deadline_ms: lower(limits.deadline_ms, self.ceilings.max_wall_ms),
        }
    }

    /// Makes sure that the approval is good for a new execution at this moment.
    ///
    /// # Errors
    /// `ApprovalExpired`, `ApprovalNotYetValid` or `ApprovalLifetime`.
    pub fn require_timely(&self, now: Timestamp) -> Result<(), Refusal> {
        let Window { issued_at, not_before, expires_at, lifetime_s_max } = self.window;
        if now >= expires_at {
            return Err(Refusal::ApprovalExpired);
        }
        // Also the date of issue: one in the future would stretch the lifetime.
        if now.plus_ms(CLOCK_SKEW_MS) < not_before.max(issued_at) {
            return Err(Refusal::ApprovalNotYetValid);
        }
        let lifetime_ms = expires_at.ms_since(issued_at);
        if lifetime_ms > lifetime_s_max.saturating_mul(1000) {
            return Err(Refusal::ApprovalLifetime { lifetime_s: lifetime_ms.div_ceil(1000), lifetime_s_max });
        }
        Ok(())
    }
}

fn malformed(error: impl std::fmt::Display) -> Refusal {
    Refusal::ApprovalMalformed(error.to_string())
}

fn require(agrees: bool, member: Member) -> Result<(), Refusal> {
    if agrees { Ok(()) } else { Err(Refusal::ApprovalMismatch(member)) }
}

fn require_tenant(approved: &Tenant, call: Call<'_>) -> Result<(), Refusal> {
    require(call.tenant.is_none_or(|tenant| tenant == approved), Member::Tenant)
}

/// The text that a ledger keeps.
fn text_of(value: &Value) -> Arc<str> {
    json::jcs(value).into()
}

/// Whether the text is a UUID as everybody prints it: lowercase, with hyphens, 36 bytes.
fn is_uuid(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|uuid| uuid.hyphenated().to_string() == text)
}

//! Evidence: everything it takes to check one execution without asking its host.
//!
//! In scope: what a bundle holds, making one of what a host keeps (`Evidence::of_sealed`) or of what a caller has
//! (`assemble`), its spelling (`bundle`), checking it (`verify`: what is shown in `revealed`, who permitted it in
//! `permission`, the log in `logged`) and saying what came of that (`report`), comparing a run with one that is made again
//! (`repetition`).
//! Out of scope: files (`cli`), running (`openexec-sandbox`), which keys to trust.
//!
//! Invariants
//! - Nothing of a bundle is true because it is in there: a bundle has no place for a key, and unknown members are refused.
//! - A receipt binds every plaintext of a bundle, so nothing that was changed passes.
//! - After an erasure a bundle says so, and then holds nothing that was erased.

mod assemble;
mod bundle;
mod logged;
mod permission;
mod repetition;
mod report;
mod revealed;
mod verify;

pub use assemble::{AssembleError, assemble};
pub use bundle::EvidenceError;
pub use repetition::{Repetition, compare};
pub use report::{Aspect, Finding, Overall, Report, Verdict};
pub use verify::{Keys, verify_proof};

use crate::digest::Digest;
use crate::json::{self, Value};
use crate::names::{Action, Audience, Nonce, Tenant};
use crate::outcome::{Effect, Failure, Outcome};
use crate::receipt::opening::Openings;
use crate::receipt::{Receipt, Signed};
use crate::request::{Identity, Payload};
use crate::reservation::{Rerun, Reserved, Sealed, Tombstone};

/// The media type of a bundle.
pub const MEDIA_TYPE: &str = "application/vnd.openexec.evidence.v2+json";

/// `type` of a bundle.
const TYPE: &str = "urn:openexec:evidence:v2";

/// A bundle. Nothing of it is true before it was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    signed: Signed,
    receipt: Receipt,
    body: Body,
    proof: Option<String>,
}

/// What a bundle shows besides the receipt.
#[derive(Clone, Debug, PartialEq)]
enum Body {
    /// Whatever whoever made the bundle wanted to show.
    Shown(Box<Shown>),
    /// Nothing, because it was erased.
    Erased,
}

/// Plaintext, and what binds it to the receipt. Each part may be left out.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    request: Option<RequestFacts>,
    approval: Option<Value>,
    openings: Option<Openings>,
    payload: Option<Payload>,
    result: Option<Value>,
    failure: Option<Failure>,
    effects: Option<Vec<Effect>>,
}

/// What the identity of a request is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RequestFacts {
    audience: Audience,
    tenant: Tenant,
    action: Action,
    nonce: Nonce,
    payload: Digest,
}

impl RequestFacts {
    fn identity(&self) -> Identity {
        Identity::of(&self.audience, &self.tenant, &self.action, &self.nonce, self.payload)
    }
}

impl Evidence {
    /// The evidence of an execution that a host has sealed: all that it keeps of it.
    ///
    /// # Errors
    /// `EvidenceError`, for what was sealed before receipts were signed, and for texts of the ledger that no host wrote.
    pub fn of_sealed(
        audience: &Audience,
        reserved: &Reserved,
        sealed: &Sealed,
        proof: Option<String>,
    ) -> Result<Self, EvidenceError> {
        let seal = sealed.seal.as_ref().ok_or(EvidenceError::NoReceipt)?;
        let Value::Object(payload) = json::read_rendered(reserved.payload.as_bytes())? else {
            return Err(EvidenceError::Payload);
        };
        let payload = Payload::of(payload);
        let approval = reserved.approval.as_ref().map(|approval| json::read(approval.text.as_bytes())).transpose()?;
        let (result, failure, effects) = match &sealed.outcome {
            Outcome::Succeeded { result, effects } => (Some(result.value()), None, Some(effects.clone())),
            Outcome::Failed(failure) => (None, Some(failure.clone()), None),
            Outcome::Faulted(_) | Outcome::Interrupted => (None, None, None),
        };
        let request = RequestFacts {
            audience: audience.clone(),
            tenant: reserved.tenant.clone(),
            action: reserved.action.clone(),
            nonce: reserved.nonce.clone(),
            payload: payload.digest(),
        };
        let shown = Shown {
            request: Some(request),
            approval,
            openings: Some(seal.openings(&sealed.outcome)),
            payload: Some(payload),
            result,
            failure,
            effects,
        };
        Self::of(Signed::clone(&seal.signed), Body::Shown(Box::new(shown)), proof)
    }

    /// The evidence of an execution whose plaintext a host has erased.
    ///
    /// # Errors
    /// `EvidenceError`, for what was sealed before receipts were signed.
    pub fn of_erased(tombstone: &Tombstone, proof: Option<String>) -> Result<Self, EvidenceError> {
        let signed = tombstone.signed.as_ref().ok_or(EvidenceError::NoReceipt)?;
        Self::of(Signed::clone(signed), Body::Erased, proof)
    }

    fn of(signed: Signed, body: Body, proof: Option<String>) -> Result<Self, EvidenceError> {
        let receipt = Receipt::parse(&signed.statement)?;
        Ok(Self { signed, receipt, body, proof })
    }

    /// What the receipt says. Nobody has said it before a signature of it was verified.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The receipt with its signature.
    #[must_use]
    pub fn signed(&self) -> &Signed {
        &self.signed
    }

    /// What opens the receipt, where it is shown.
    #[must_use]
    pub fn openings(&self) -> Option<&Openings> {
        self.shown()?.openings.as_ref()
    }

    /// The run to make again, where everything that it depends on is shown.
    #[must_use]
    pub fn rerun(&self) -> Option<Rerun> {
        let (request, payload) = self.shown().and_then(|shown| shown.request.as_ref().zip(shown.payload.as_ref()))?;
        let Receipt { exec_id, fingerprint, tenant, action, component, limits, reserved_at, .. } = &self.receipt;
        Some(Rerun::of(Reserved {
            exec_id: *exec_id,
            fingerprint: *fingerprint,
            tenant: tenant.clone(),
            action: action.clone(),
            nonce: request.nonce.clone(),
            payload: payload.canonical().clone(),
            component: *component,
            limits: *limits,
            approval: None,
            reserved_at: *reserved_at,
        }))
    }

    fn shown(&self) -> Option<&Shown> {
        match &self.body {
            Body::Shown(shown) => Some(shown),
            Body::Erased => None,
        }
    }
}

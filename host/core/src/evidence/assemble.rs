//! The evidence of a caller: the request that was posted, the answer that came, a proof that was fetched.
//!
//! In scope: putting them together, finding the name of the host that makes them fit.
//! Out of scope: whether they are true (`verify`).

use super::bundle::read_effect;
use super::{Body, Evidence, EvidenceError, RequestFacts, Shown};
use crate::approval::v2;
use crate::dsse::Envelope;
use crate::json::{self, FieldError, Fields, Value};
use crate::limits::EVIDENCE_BYTES_MAX;
use crate::names::Audience;
use crate::outcome::{Failure, FailureKind, Status};
use crate::receipt::opening::Openings;
use crate::receipt::{Receipt, Signed};
use crate::request::{RequestError, Submission};

/// Why there is no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// The request is none.
    #[error("the request: {0}")]
    Request(#[from] RequestError),
    /// The answer is none, or nothing came of the request.
    #[error("the answer: {0}")]
    Answer(#[from] EvidenceError),
    /// The answer has no receipt.
    #[error("the answer has no signed receipt: nothing was executed, or it is no answer to POST /execute")]
    NoReceipt,
    /// The answer is to something else.
    #[error(
        "the answer is not to this request, or its host has another name: give the name that the host has in requests \
         (--audience)"
    )]
    OtherRequest,
}

impl From<FieldError> for AssembleError {
    fn from(error: FieldError) -> Self {
        Self::Answer(error.into())
    }
}

/// The evidence of a caller. `audiences` are names that the host may have, besides the one that an approval gives it.
///
/// # Errors
/// `AssembleError`, whose text says what does not fit.
pub fn assemble(
    request: &[u8],
    answer: &[u8],
    audiences: &[Audience],
    proof: Option<String>,
) -> Result<Evidence, AssembleError> {
    if answer.len() > EVIDENCE_BYTES_MAX {
        return Err(EvidenceError::TooLarge.into());
    }
    let Submission { request, approval } = Submission::parse(request)?;
    let mut answer = Fields::of("the answer", json::read_evidence(answer).map_err(EvidenceError::from)?)?;
    let envelope = answer.optional_members("signed_receipt")?.ok_or(AssembleError::NoReceipt)?;
    let envelope = Envelope::parse(Value::Object(envelope)).map_err(EvidenceError::from)?;
    let signed = Signed::of_envelope(&envelope).map_err(EvidenceError::from)?;
    let receipt = Receipt::parse(&signed.statement).map_err(EvidenceError::from)?;
    let Some(openings) = answer.optional_object("openings")? else {
        return Ok(Evidence::of(signed, Body::Erased, proof)?); // an answer without salts is that of what was erased
    };
    let facts = |audience: &Audience| RequestFacts {
        audience: audience.clone(),
        tenant: receipt.tenant.clone(),
        action: request.action.clone(),
        nonce: request.nonce.clone(),
        payload: request.payload.digest(),
    };
    let named = approval.as_ref().and_then(audience_of);
    let mut candidates = named.iter().chain(audiences).map(facts);
    let fitting = candidates.find(|facts| facts.identity().fingerprint == receipt.fingerprint);
    let mut shown = Shown {
        request: Some(fitting.ok_or(AssembleError::OtherRequest)?),
        approval: approval.filter(|_| receipt.approval.is_some()), // in demo mode nobody looked at it
        openings: Some(Openings::read(openings)?),
        payload: Some(request.payload),
        ..Shown::default()
    };
    match receipt.outcome {
        Status::Succeeded => {
            shown.result = answer.optional_members("result")?.map(Value::Object);
            let effects = answer.array("effects")?.into_iter().map(read_effect);
            shown.effects = Some(effects.collect::<Result<_, _>>()?);
        }
        Status::Failed => {
            let kind = FailureKind::parse(&answer.text("failure")?).ok_or(EvidenceError::Failure)?;
            shown.failure = Some(Failure { kind, text: answer.text("detail")? });
        }
        Status::Faulted | Status::Interrupted => {}
    }
    Ok(Evidence::of(signed, Body::Shown(Box::new(shown)), proof)?)
}

/// The host that an approval v2 is for. Chooses a name to try, and proves nothing.
fn audience_of(approval: &Value) -> Option<Audience> {
    let envelope = Envelope::parse(approval.clone()).ok()?;
    v2::Body::parse(envelope.payload()).ok().map(|body| body.audience)
}

//! Problems: every answer that is not the one that was asked for, as RFC 9457 says.
//!
//! In scope: the closed list, its statuses and stable codes, the body.
//! Out of scope: why a request is refused (`core::refusal`).
//!
//! The statuses stand in one `match` without a wildcard arm: a new problem does not compile until someone has chosen its
//! status. `detail` is always a string, because the predecessor's clients read it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use openexec_core::digest::Digest;
use openexec_core::limits::REQUEST_BYTES_MAX;
use openexec_core::outcome::{Failure, FailureKind, Fault, Outcome, Status};
use openexec_core::receipt::Signed;
use openexec_core::refusal::{Member, Refusal, Violation};
use openexec_core::request::ExecId;
use openexec_core::reservation::{Seal, Tombstone};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::executor::SignedRefusal;

/// Media type of problem bodies.
const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, from the caller's point of view.
#[derive(Clone, Debug)]
pub(crate) enum Problem {
    /// The request may not run.
    Refused(SignedRefusal),
    /// The body of another route is not what that route takes.
    MalformedBody(String),
    /// The body is larger than `REQUEST_BYTES_MAX`.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The connection broke while the body was read.
    BodyIncomplete,
    /// Not of the media type that the route takes.
    UnsupportedMediaType(&'static str),
    /// In demo mode: a web page from elsewhere.
    OriginNotAllowed,
    /// No such route.
    NotFound,
    /// The route has other methods.
    MethodNotAllowed,
    /// The log has no such tile, or not yet.
    TileNotFound,
    /// There is no signed receipt of such an execution.
    ReceiptNotFound,
    /// No checkpoint covers the receipt yet.
    ReceiptNotLogged,
    /// No cosignature that counts, or one that does not verify.
    CosignatureRefused(&'static str),
    /// The checkpoint is not kept.
    CheckpointNotFound,
    /// A witness has shown that this ledger was rolled back or forked.
    LogRolledBack,
    /// The same request is still running.
    InProgress,
    /// The handler said no. Recorded.
    HandlerRejected(Recorded, Failure),
    /// The sandbox stopped the handler. Recorded.
    HandlerFaulted(Recorded, Fault),
    /// The operator stopped the run, or the host died during it and the component is gone. Recorded.
    Interrupted(Recorded),
    /// It ran once, and the result was erased.
    Erased(Tombstone),
    /// As many calls as allowed are running or queued.
    Overloaded,
    /// The host is stopping.
    Stopping,
    /// The ledger cannot say whether the nonce is free.
    LedgerUnavailable,
    /// The sandbox could not start a run.
    SandboxUnavailable,
    /// A defect of this host.
    Internal,
}

/// The execution that a problem reports.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) exec_id: ExecId,
    pub(crate) receipt: Digest,
    /// The signed receipt, and what opens it, as JSON.
    pub(crate) evidence: Evidence,
}

/// The members of an answer that prove it, as JSON; none for what was sealed before receipts were signed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) signed_receipt: Option<Box<RawValue>>,
    pub(crate) openings: Option<Box<RawValue>>,
}

/// The members of a problem that only some problems have.
#[derive(Default)]
struct Reported {
    execution: Option<Recorded>,
    outcome: Option<Status>,
    fault: Option<Fault>,
    failure: Option<FailureKind>,
    /// What of an approval differs.
    member: Option<Member>,
    /// What of a payload is not as its schema says.
    violations: Vec<Violates>,
    refusal_receipt: Option<Box<RawValue>>,
}

/// Seconds after which trying again makes sense.
#[derive(Clone, Copy)]
struct RetryAfter(u16);

const SOON: Option<RetryAfter> = Some(RetryAfter(1));
const LATER: Option<RetryAfter> = Some(RetryAfter(5));

/// One thing in a payload that is not as its schema says.
#[derive(Serialize)]
struct Violates {
    pointer: String,
    keyword: String,
    message: String,
}

impl From<&Violation> for Violates {
    fn from(Violation { pointer, keyword, message }: &Violation) -> Self {
        Self { pointer: pointer.clone(), keyword: keyword.clone(), message: message.clone() }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    exec_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Violates>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_receipt: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    openings: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal_receipt: Option<Box<RawValue>>,
}

impl Evidence {
    /// The receipt, and the salts that open it while they are kept.
    pub(crate) fn of(signed: Option<&Signed>, openings: Option<String>) -> Self {
        let raw = |json: String| RawValue::from_string(json).ok(); // text that this host wrote as JSON
        Self { signed_receipt: signed.map(Signed::to_json).and_then(raw), openings: openings.and_then(raw) }
    }

    /// That of a sealed execution.
    pub(crate) fn of_seal(seal: Option<&Seal>, outcome: &Outcome) -> Self {
        Self::of(seal.map(|seal| &*seal.signed), seal.map(|seal| seal.openings(outcome).spell()))
    }
}

impl Problem {
    /// Status, stable code, title, and when to try again.
    fn facts(&self) -> (StatusCode, &'static str, &'static str, Option<RetryAfter>) {
        match self {
            Self::Refused(SignedRefusal { refusal, .. }) => {
                let (status, title, retry_after) = refused(refusal);
                (status, refusal.code(), title, retry_after)
            }
            Self::MalformedBody(_) => (StatusCode::UNPROCESSABLE_ENTITY, "malformed-request", MALFORMED, None),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Request body too large", None),
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "body-too-slow", "Request body too slow", SOON),
            Self::BodyIncomplete => (StatusCode::BAD_REQUEST, "body-incomplete", "Request body incomplete", SOON),
            Self::UnsupportedMediaType(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Unsupported media type", None)
            }
            Self::OriginNotAllowed => (StatusCode::FORBIDDEN, "origin-not-allowed", "Origin not allowed", None),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "No such route", None),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed on this route", None)
            }
            Self::TileNotFound => (StatusCode::NOT_FOUND, "tile-not-found", "No such tile", None),
            Self::ReceiptNotFound => (StatusCode::NOT_FOUND, "receipt-not-found", "No such receipt", None),
            Self::ReceiptNotLogged => {
                (StatusCode::SERVICE_UNAVAILABLE, "receipt-not-logged", "Receipt not logged yet", SOON)
            }
            Self::CosignatureRefused(_) => (StatusCode::FORBIDDEN, "cosignature-refused", "Cosignature refused", None),
            Self::CheckpointNotFound => (StatusCode::NOT_FOUND, "checkpoint-not-found", "No such checkpoint", None),
            Self::LogRolledBack => {
                (StatusCode::SERVICE_UNAVAILABLE, "log-rolled-back", "The ledger was rolled back", LATER)
            }
            Self::InProgress => (StatusCode::CONFLICT, "execution-in-progress", "Execution in progress", SOON),
            Self::HandlerRejected(..) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "handler-rejected", "The handler said no", None)
            }
            Self::HandlerFaulted(..) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "handler-faulted", "The handler was stopped", None)
            }
            Self::Interrupted(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "execution-interrupted", "The execution was interrupted", None)
            }
            Self::Erased(_) => (StatusCode::GONE, "result-erased", "The result was erased", None),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too many calls at once", SOON),
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", "The host is stopping", LATER),
            Self::LedgerUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "ledger-unavailable", "Ledger unavailable", LATER)
            }
            Self::SandboxUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "sandbox-unavailable", "Sandbox unavailable", LATER)
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", SOON),
        }
    }

    /// The stable code, for logs.
    pub(crate) fn code(&self) -> &'static str {
        let (_, code, _, _) = self.facts();
        code
    }

    /// What happened and what to do about it, for the caller.
    fn detail(&self) -> String {
        let text = match self {
            Self::Refused(SignedRefusal { refusal, .. }) => return refusal.to_string(),
            Self::MalformedBody(detail) => return detail.clone(),
            Self::BodyTooLarge => return format!("the body may have at most {REQUEST_BYTES_MAX} bytes"),
            Self::HandlerRejected(_, failure) => return failure.text.clone(),
            Self::HandlerFaulted(_, fault) => return stopped_because(*fault).to_owned(),
            Self::UnsupportedMediaType(media_type) => {
                return format!("send the body as Content-Type: {media_type}, without Content-Encoding");
            }
            Self::CosignatureRefused(why) => why,
            Self::TileNotFound => "the log has no such tile, or not yet: its paths are those of C2SP's tlog-tiles",
            Self::ReceiptNotFound => "no signed receipt of an execution with this id; it may still be running",
            Self::ReceiptNotLogged => "the receipt is sealed and its proof is on its way; ask again",
            Self::CheckpointNotFound => "this host does not keep such a checkpoint; cosign its newest one",
            Self::LogRolledBack => {
                "a witness has seen receipts that this ledger does not have: nothing runs until the operator has restored it"
            }
            Self::BodyTooSlow => "the body did not arrive in time; nothing was done",
            Self::BodyIncomplete => "the body ended before its declared length; nothing was done",
            Self::OriginNotAllowed => "demo mode executes nothing for web pages from elsewhere",
            Self::NotFound => {
                "the routes are /, /health, /ready, /version, /actions, /execute, /receipts, /keys, /log and /verify"
            }
            Self::MethodNotAllowed => "the Allow header says which methods this route has",
            Self::InProgress => "the same request is still running; send it again to get its answer",
            Self::Interrupted(_) => {
                "the operator stopped this execution, or the host ended during it and its component is no longer pinned; no effect was kept; use a new nonce"
            }
            Self::Erased(_) => "this request was executed; its result was erased after the retention time",
            Self::Overloaded => "nothing was done; send the same request again",
            Self::Stopping => "nothing was done; send the same request to another host, or later",
            Self::LedgerUnavailable => {
                "the handler was not run, or its outcome is not yet recorded; send the same request again"
            }
            Self::SandboxUnavailable => "the handler was not run; send the same request again",
            Self::Internal => "the host failed; the operator's log has the request id; send the same request again",
        };
        text.to_owned()
    }

    /// What ran, if something did, and what of an approval differs, if something does.
    fn reported(&self) -> Reported {
        let nothing = Reported::default();
        match self {
            Self::HandlerRejected(recorded, failure) => Reported {
                execution: Some(recorded.clone()),
                outcome: Some(Status::Failed),
                failure: Some(failure.kind),
                ..nothing
            },
            Self::HandlerFaulted(recorded, fault) => {
                let execution = Some(recorded.clone());
                Reported { execution, outcome: Some(Status::Faulted), fault: Some(*fault), ..nothing }
            }
            Self::Interrupted(recorded) => {
                Reported { execution: Some(recorded.clone()), outcome: Some(Status::Interrupted), ..nothing }
            }
            Self::Erased(tombstone) => Reported {
                execution: Some(Recorded {
                    exec_id: tombstone.exec_id,
                    receipt: tombstone.receipt,
                    evidence: Evidence::of(tombstone.signed.as_deref(), None),
                }),
                outcome: Some(tombstone.status),
                fault: tombstone.fault,
                ..nothing
            },
            Self::Refused(SignedRefusal { refusal, signed }) => Reported {
                member: refusal.member(),
                violations: refusal.violations().iter().map(Violates::from).collect(),
                refusal_receipt: Evidence::of(signed.as_deref(), None).signed_receipt,
                ..nothing
            },
            Self::MalformedBody(_)
            | Self::BodyTooLarge
            | Self::BodyTooSlow
            | Self::BodyIncomplete
            | Self::UnsupportedMediaType(_)
            | Self::OriginNotAllowed
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::TileNotFound
            | Self::ReceiptNotFound
            | Self::ReceiptNotLogged
            | Self::CosignatureRefused(_)
            | Self::CheckpointNotFound
            | Self::LogRolledBack
            | Self::InProgress
            | Self::Overloaded
            | Self::Stopping
            | Self::LedgerUnavailable
            | Self::SandboxUnavailable
            | Self::Internal => nothing,
        }
    }

    /// The body. Depends on nothing but the problem, so that a replay is the same byte for byte.
    pub(crate) fn body(&self) -> (StatusCode, Vec<u8>) {
        let (status, code, title, retry_after) = self.facts();
        let Reported { execution, outcome, fault, failure, member, violations, refusal_receipt } = self.reported();
        let (exec_id, receipt, evidence) = match execution {
            Some(Recorded { exec_id, receipt, evidence }) => {
                (Some(exec_id.to_string()), Some(receipt.to_string()), evidence)
            }
            None => (None, None, Evidence::default()),
        };
        let body = Body {
            r#type: format!("urn:openexec:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: self.detail(),
            code,
            retryable: retry_after.is_some(),
            exec_id,
            outcome: outcome.map(Status::as_str),
            fault: fault.map(Fault::as_str),
            failure: failure.map(FailureKind::as_str),
            receipt,
            member: member.map(Member::as_str),
            violations,
            signed_receipt: evidence.signed_receipt,
            openings: evidence.openings,
            refusal_receipt,
        };
        // Strings and numbers only: this cannot fail, and an empty body would still carry the status.
        (status, serde_json::to_vec(&body).unwrap_or_default())
    }

    /// Headers and body together.
    pub(crate) fn respond(status: StatusCode, body: impl Into<axum::body::Body>, retry_after: Option<u16>) -> Response {
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// Seconds after which trying again makes sense.
    pub(crate) fn retry_after(&self) -> Option<u16> {
        let (_, _, _, retry_after) = self.facts();
        retry_after.map(|RetryAfter(seconds)| seconds)
    }
}

const MALFORMED: &str = "Malformed request";

fn refused(refusal: &Refusal) -> (StatusCode, &'static str, Option<RetryAfter>) {
    match refusal {
        Refusal::Malformed(_) => (StatusCode::UNPROCESSABLE_ENTITY, MALFORMED, None),
        Refusal::Halted => (StatusCode::SERVICE_UNAVAILABLE, "The host is halted", LATER),
        Refusal::Quarantined => (StatusCode::SERVICE_UNAVAILABLE, "Under quarantine", LATER),
        Refusal::UnknownAction(_) => (StatusCode::BAD_REQUEST, "Unknown action", None),
        Refusal::ActionNotAllowed(_) => (StatusCode::FORBIDDEN, "Action not allowed", None),
        Refusal::ApprovalRequired => (StatusCode::FORBIDDEN, "Approval required", None),
        Refusal::ApprovalMalformed(_) => (StatusCode::UNPROCESSABLE_ENTITY, "Malformed approval", None),
        Refusal::ApprovalInvalid => (StatusCode::FORBIDDEN, "Invalid approval", None),
        Refusal::ApprovalUnknownKey => (StatusCode::FORBIDDEN, "Approval by nobody this host trusts", None),
        Refusal::ApprovalQuorum(_) => (StatusCode::FORBIDDEN, "Too few approvers", None),
        Refusal::ApprovalSelf => (StatusCode::FORBIDDEN, "Approved by its own requester", None),
        Refusal::ApprovalMismatch(_) => (StatusCode::FORBIDDEN, "Approval of another call", None),
        Refusal::ApprovalExpired => (StatusCode::FORBIDDEN, "Approval expired", None),
        Refusal::ApprovalNotYetValid => (StatusCode::FORBIDDEN, "Approval not yet valid", SOON),
        Refusal::ApprovalLifetime { .. } => (StatusCode::FORBIDDEN, "Approval valid for too long", None),
        Refusal::ApprovalConsumed => (StatusCode::CONFLICT, "Approval already used", None),
        Refusal::PayloadInvalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "Invalid payload", None),
        Refusal::NonceReuse => (StatusCode::UNPROCESSABLE_ENTITY, "Nonce reused", None),
    }
}

fn stopped_because(fault: Fault) -> &'static str {
    match fault {
        Fault::OutOfFuel => "the handler used all of its fuel; no effect was kept",
        Fault::OutOfMemory => "the handler asked for more memory than its pin allows; no effect was kept",
        Fault::Deadline => "the handler did not finish before its deadline; no effect was kept",
        Fault::StackOverflow => "the handler exhausted its stack; no effect was kept",
        Fault::Trap => "the handler trapped; no effect was kept",
        Fault::OutputTooLarge => "the handler's answer is larger than its pin allows; no effect was kept",
        Fault::OutputInvalid => "the handler's answer is not what its contract says; no effect was kept",
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, body) = self.body();
        let mut response = Self::respond(status, body, self.retry_after());
        // The body may be unread: whatever still comes on this connection must not be taken for a request.
        if matches!(self, Self::BodyTooLarge | Self::BodyTooSlow | Self::BodyIncomplete) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

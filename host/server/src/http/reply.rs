//! The reply to `/execute`: bytes that depend on the sealed execution alone, so that every replay is the same.
//!
//! In scope: what an execution, or the lack of one, looks like on the wire.
//! Out of scope: statuses (`problem`).

use std::fmt::Write as _;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use openexec_core::json::Quoted;
use openexec_core::outcome::Outcome;
use openexec_core::reservation::Sealed;

use super::problem::{Evidence, Problem, Recorded};
use crate::executor::{ExecuteError, Execution};

/// Says that the body was made by an earlier call. A header, so that the body never differs.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A finished reply. Cheap to clone: identical calls share the bytes.
#[derive(Clone, Debug)]
pub struct Reply {
    status: StatusCode,
    body: Bytes,
    retry_after: Option<u16>,
    /// Whether the ledger has it, so that it will be the same for ever.
    recorded: bool,
    replayed: bool,
    /// Whether the request was refused: the answer to this approval, not to the request.
    refused: bool,
    code: &'static str,
}

impl Reply {
    /// The reply to what `Executor::perform` returned. Host errors are logged here, where their text is still known.
    #[must_use]
    pub fn to(performed: Result<Execution, ExecuteError>) -> Self {
        match performed {
            Ok(Execution { sealed, replayed }) => Self { replayed, recorded: true, ..Self::to_sealed(sealed) },
            Err(ExecuteError::Refused(refusal)) => Self { refused: true, ..Self::problem(&Problem::Refused(refusal)) },
            Err(ExecuteError::Erased(tombstone)) => {
                Self { replayed: true, recorded: true, ..Self::problem(&Problem::Erased(tombstone)) }
            }
            Err(ExecuteError::Ledger(error)) => {
                tracing::error!(%error, "the ledger failed");
                Self::problem(&Problem::LedgerUnavailable)
            }
            Err(error @ ExecuteError::NoRandomness(_)) => {
                tracing::error!(%error, "nothing can be sealed");
                Self::problem(&Problem::SandboxUnavailable)
            }
            Err(ExecuteError::Sandbox(error)) => {
                tracing::error!(%error, "the sandbox failed");
                Self::problem(&Problem::SandboxUnavailable)
            }
        }
    }

    fn to_sealed(sealed: Sealed) -> Self {
        let recorded = |sealed: &Sealed| Recorded {
            exec_id: sealed.exec_id,
            receipt: sealed.receipt,
            evidence: Evidence::of_seal(sealed.seal.as_ref(), &sealed.outcome),
        };
        match &sealed.outcome {
            Outcome::Succeeded { .. } => Self {
                status: StatusCode::OK,
                body: succeeded(&sealed).into(),
                retry_after: None,
                recorded: true,
                replayed: false,
                refused: false,
                code: "succeeded",
            },
            Outcome::Failed(failure) => Self::problem(&Problem::HandlerRejected(recorded(&sealed), failure.clone())),
            Outcome::Faulted(fault) => Self::problem(&Problem::HandlerFaulted(recorded(&sealed), *fault)),
            Outcome::Interrupted => Self::problem(&Problem::Interrupted(recorded(&sealed))),
        }
    }

    fn problem(problem: &Problem) -> Self {
        let (status, body) = problem.body();
        Self {
            status,
            body: body.into(),
            retry_after: problem.retry_after(),
            recorded: false,
            replayed: false,
            refused: false,
            code: problem.code(),
        }
    }

    /// The same reply for a call that joined the one that made it.
    pub(crate) fn for_joined(self) -> Self {
        Self { replayed: self.recorded, ..self }
    }

    /// Whether the execution succeeded, now or earlier.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status == StatusCode::OK
    }

    /// Whether the request was refused.
    pub(crate) fn is_refusal(&self) -> bool {
        self.refused
    }

    /// The body as it goes over the wire: one JSON object.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// `succeeded`, or the problem's code, for logs.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }
}

/// Room for most answers, so that they need not be moved while they grow.
const BYTES_AT_FIRST: usize = 4096;

/// The members of 0.1.10 first, in its order, then the new ones.
fn succeeded(sealed: &Sealed) -> String {
    let Outcome::Succeeded { result, effects } = &sealed.outcome else { return String::new() };
    let mut text = String::with_capacity(BYTES_AT_FIRST);
    let _ = write!(
        text,
        r#"{{"id":"{}","action":{},"result":{},"approved":true,"receipt":"{}","status":"{}","resources":{{"fuel":{},"memory_bytes":{}}},"effects":["#,
        sealed.exec_id,
        Quoted(sealed.action.as_str()),
        result.as_str(),
        sealed.receipt,
        sealed.outcome.status().as_str(),
        sealed.resources.fuel,
        sealed.resources.memory_bytes,
    ); // a string takes everything
    for (i, effect) in effects.iter().enumerate() {
        let between = if i == 0 { "" } else { "," };
        let _ = write!(text, r#"{between}{{"kind":{},"body":{}}}"#, quoted(&effect.kind), effect.body.as_str());
    }
    text.push(']');
    if let Some(seal) = &sealed.seal {
        text.push_str(r#","signed_receipt":"#);
        seal.signed.push_json(&mut text);
        text.push_str(r#","openings":"#);
        text.push_str(&seal.openings(&sealed.outcome).spell());
    }
    text.push('}');
    text
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = if self.status == StatusCode::OK {
            let mut response = Response::new(self.body.into());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        } else {
            Problem::respond(self.status, self.body, self.retry_after)
        };
        if self.replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

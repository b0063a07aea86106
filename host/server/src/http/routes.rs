//! The routes, one function each.
//!
//! In scope: what 0.1.10 answered, with the same members and types, and what is new beside it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use openexec_core::admission::Mode;
use openexec_core::control::Controls;
use openexec_core::digest::Digest;
use openexec_core::json::{self, FieldError, Fields, Value};
use openexec_core::receipt;
use openexec_core::request::{ExecId, RequestError, Submission};
use openexec_ledger::LedgerError;
use openexec_sandbox::Sandbox;
use serde::Serialize;
use serde_json::json;

use super::Edge;
use super::body::read_json;
use super::problem::Problem;
use super::reply::Reply;
use crate::executor::{SignedRefusal, in_step};
use crate::in_flight::NoAnswer;
use crate::log::LAG_MAX;

/// How long one probe of the ledger answers for all who ask.
const PROBE_HOLDS: Duration = Duration::from_secs(1);

pub(super) async fn root(State(edge): State<Arc<Edge>>) -> Response {
    Json(json!({"service": "OpenExec", "status": "running", "version": edge.build.version})).into_response()
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    exec_mode: &'static str,
    signature_verification: &'static str,
    restriction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_list: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    controls: Option<Stopped>,
}

/// What the operator has stopped, as everybody may know it. Names of tenants are nobody's business.
#[derive(Serialize)]
struct Stopped {
    halted: bool,
    quarantined_actions: Vec<String>,
    n_quarantined_tenants: usize,
}

impl Stopped {
    /// `None` while nothing is stopped.
    fn of(controls: &Controls) -> Option<Self> {
        (*controls != Controls::default()).then(|| Self {
            halted: controls.is_halted(),
            quarantined_actions: controls.actions().map(ToString::to_string).collect(),
            n_quarantined_tenants: controls.tenants().count(),
        })
    }
}

/// Says how the host is configured. Does not touch the ledger: a host that cannot execute is alive, but not ready.
pub(super) async fn health(State(edge): State<Arc<Edge>>) -> Response {
    let admission = &edge.executor.admission;
    let signature_verification = match admission.mode {
        Mode::Demo => "disabled",
        Mode::Clawshield(_) => "enabled",
    };
    let allow_list: Option<Vec<_>> =
        admission.allow_list.as_ref().map(|allowed| allowed.iter().map(ToString::to_string).collect());
    let health = Health {
        status: "healthy",
        exec_mode: admission.mode.as_str(),
        signature_verification,
        restriction: if allow_list.is_some() { "restricted" } else { "open" },
        warning: allow_list.is_none().then_some("No execution allow-list configured"),
        allow_list,
        controls: Stopped::of(&edge.executor.controls.now()),
    };
    Json(health).into_response()
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    controls: Option<Stopped>,
}

/// Says whether an execution would be accepted now.
pub(super) async fn ready(State(edge): State<Arc<Edge>>) -> Response {
    let mut failing = Vec::new();
    if edge.is_stopping() {
        failing.push("stopping");
    }
    let controls = edge.executor.controls.now();
    if controls.is_halted() {
        failing.push("halted");
    }
    if !edge.executor.sandbox.deadlines_are_kept() {
        failing.push("deadline-clock");
    }
    if edge.executor.self_audit.audited().n_different > 0 {
        failing.push("self-audit");
    }
    if !ledger_is_writable(&edge).await {
        failing.push("ledger");
    }
    if edge.log.lag() > LAG_MAX {
        failing.push("log");
    }
    if edge.log.is_rolled_back() {
        failing.push("log-rolled-back");
    }
    let status = if failing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let readiness = Readiness { ready: failing.is_empty(), failing, controls: Stopped::of(&controls) };
    (status, Json(readiness)).into_response()
}

async fn ledger_is_writable(edge: &Edge) -> bool {
    let mut probe = edge.probe.lock().await;
    if let Some((at, writable)) = *probe
        && at.elapsed() < PROBE_HOLDS
    {
        return writable;
    }
    let writable = edge.executor.ledger.probe().await.is_ok();
    *probe = Some((Instant::now(), writable));
    writable
}

pub(super) async fn version(State(edge): State<Arc<Edge>>) -> Response {
    let now = i64::try_from(edge.executor.clock.now().unix_ms()).unwrap_or_default();
    // Six digits and an offset: what every Python's `datetime.fromisoformat` reads.
    let timestamp = jiff::Timestamp::from_millisecond(now).unwrap_or_default();
    let timestamp = timestamp.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string();
    let trust_file = match &edge.executor.admission.mode {
        Mode::Demo => None,
        Mode::Clawshield(trust) => trust.file().map(|file| json!({"digest": file.digest().to_string()})),
    };
    Json(json!({
        "version": edge.build.version,
        "timestamp": timestamp,
        "engine": {"version": Sandbox::engine_version(), "digest": Sandbox::engine_digest().to_string()},
        "registry": {"digest": edge.executor.admission.registry.digest().to_string()},
        "trust_file": trust_file,
    }))
    .into_response()
}

/// How often a call may find that the one it joined was refused for an approval that is not its own.
const JOINED_REFUSALS_MAX: usize = 3;

/// Executes a request, or answers with what became of it before.
pub(super) async fn execute(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, Problem> {
    match edge.executor.admission.mode {
        Mode::Demo => require_local_origin(request.headers())?,
        Mode::Clawshield(_) => {} // whoever asks, for whatever page: the approval decides
    }
    let body = read_json(request, edge.limits.read).await?;
    if edge.is_stopping() {
        return Err(Problem::Stopping);
    }
    if edge.log.is_rolled_back() {
        return Err(Problem::LogRolledBack); // what this ledger says is unused was used in what it has lost
    }
    let refused = |refused: SignedRefusal| {
        edge.count_refusal(refused.refusal.code());
        Problem::Refused(refused)
    };
    let malformed = |error: RequestError| refused(SignedRefusal { refusal: error.into(), signed: None });
    let submission = Submission::parse(&body).map_err(malformed)?;
    drop(body);
    in_step().await;
    let admitted = edge.executor.admit(submission).map_err(refused)?;
    let (exec_id, action) = (admitted.exec_id(), admitted.action().clone());
    for _ in 0..JOINED_REFUSALS_MAX {
        let (executor, admitted) = (edge.executor.clone(), admitted.clone());
        let perform = Box::pin(async move { Reply::to(executor.perform(admitted).await) }); // on its way it is moved often
        let shared = edge.in_flight.share(exec_id, edge.limits.wait, perform).await?;
        let reply = shared.answer;
        if shared.joined && reply.is_refusal() {
            continue; // of the approval that the other call came with
        }
        if reply.is_refusal() {
            edge.count_refusal(reply.code());
        }
        tracing::debug!(%exec_id, %action, code = reply.code(), joined = shared.joined, "executed");
        return Ok(if shared.joined { reply.for_joined() } else { reply }.into_response());
    }
    Err(Problem::InProgress)
}

impl From<NoAnswer> for Problem {
    fn from(no_answer: NoAnswer) -> Self {
        match no_answer {
            NoAnswer::Full => Self::Overloaded,
            NoAnswer::StillRunning => Self::InProgress,
            NoAnswer::Died => Self::Internal,
        }
    }
}

/// Demo mode trusts whoever reaches loopback, and a web page from anywhere can, through a browser on this machine (DNS
/// rebinding). Browsers say where a page came from; other clients say nothing.
fn require_local_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let is_local = |origin: &HeaderValue| {
        let host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        host.and_then(|host| host.parse::<Authority>().ok()).is_some_and(|authority| {
            let host = authority.host().trim_matches(['[', ']']);
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    };
    if headers.get_all(header::ORIGIN).iter().all(is_local) { Ok(()) } else { Err(Problem::OriginNotAllowed) }
}

/// Says whether this host issued a legacy receipt for this result. A matching hash alone proves nothing: anybody can
/// compute one.
pub(super) async fn verify_receipt(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, Problem> {
    let body = read_json(request, edge.limits.read).await?;
    let Presented { exec_id, result, receipt } = Presented::parse(&body).map_err(Problem::MalformedBody)?;
    let issued = match (ExecId::parse(&exec_id), Digest::parse(&receipt)) {
        (Ok(exec_id), Ok(receipt)) if receipt::legacy(exec_id, &result) == receipt => {
            let _turn = edge.lookups.acquire().await.map_err(|_| Problem::Internal)?;
            let ledger = edge.executor.ledger.clone();
            let look = move || Ok((ledger.receipt(exec_id)?, ledger.logged(exec_id)?.is_some()));
            let found = tokio::task::spawn_blocking(look).await.map_err(|_| Problem::Internal)?;
            let (issued, is_signed) = found.map_err(|error: LedgerError| {
                tracing::error!(%error, "the ledger failed");
                Problem::LedgerUnavailable
            })?;
            (issued == Some(receipt)).then_some((exec_id, is_signed))
        }
        (Ok(_) | Err(_), Ok(_) | Err(_)) => None,
    };
    Ok(Json(match issued {
        None => json!({"valid": false}),
        Some((_, false)) => json!({"valid": true}),
        Some((exec_id, true)) => {
            let place = format!("/receipts/{exec_id}");
            json!({"valid": true, "signed_receipt": place, "proof": format!("{place}/proof")})
        }
    })
    .into_response())
}

/// The body of `/receipts/verify`.
struct Presented {
    exec_id: String,
    result: Value,
    receipt: String,
}

impl Presented {
    fn parse(body: &[u8]) -> Result<Self, String> {
        let value = json::read_presented(body).map_err(|error| format!("the body is not acceptable JSON: {error}"))?;
        Self::read(value).map_err(|error| error.to_string())
    }

    fn read(value: Value) -> Result<Self, FieldError> {
        let mut fields = Fields::of("the body", value)?;
        Ok(Self { exec_id: fields.text("exec_id")?, receipt: fields.text("receipt")?, result: fields.any("result")? })
    }
}

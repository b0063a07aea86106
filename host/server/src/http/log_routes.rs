//! The routes of those who verify: receipts, keys, the log.
//!
//! In scope: what receipts, proofs, tiles and checkpoints look like on the wire. All of it is public: it holds digests,
//! signatures and names, and neither payloads nor results nor the salts that would open a receipt.
//! Out of scope: what they are (`openexec_core::log`, `openexec_core::receipt`), where they come from (`crate::log`).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use openexec_core::log::tile::{EntriesId, TileId, encode_entries, encode_hashes};
use openexec_core::request::ExecId;
use openexec_ledger::LedgerError;
use serde_json::json;

use super::Edge;
use super::body::read_text;
use super::problem::Problem;
use crate::log::{CosignatureError, ProofAnswer};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
const ENVELOPE: HeaderValue = HeaderValue::from_static("application/vnd.dsse.envelope+json");

/// For what never changes: a tile of one width has one content, also after it has grown.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The newest checkpoint, from memory.
pub(super) async fn checkpoint(State(edge): State<Arc<Edge>>) -> Response {
    let head = edge.log.head();
    ([(header::CONTENT_TYPE, TEXT)], head.checkpoint().to_string()).into_response()
}

/// A tile of hashes or of entries. The path is taken as it was sent: a tile has one.
pub(super) async fn tile(State(edge): State<Arc<Edge>>, uri: Uri) -> Result<Response, Problem> {
    let path = uri.path().strip_prefix("/log/").filter(|_| uri.query().is_none()).ok_or(Problem::TileNotFound)?;
    let bytes = if let Some(id) = EntriesId::parse(path) {
        let entries = look_up(&edge, move |edge| edge.log.entries(id)).await?;
        entries.map(|entries| encode_entries(&entries).map_err(|_| Problem::Internal)).transpose()?
    } else {
        let id = TileId::parse(path).ok_or(Problem::TileNotFound)?;
        look_up(&edge, move |edge| edge.log.tile(id)).await?.map(|hashes| encode_hashes(&hashes))
    };
    let bytes = bytes.ok_or(Problem::TileNotFound)?;
    Ok(([(header::CONTENT_TYPE, BYTES), (header::CACHE_CONTROL, FOR_EVER)], bytes).into_response())
}

/// The signed receipt of an execution.
pub(super) async fn receipt(State(edge): State<Arc<Edge>>, Path(exec_id): Path<String>) -> Result<Response, Problem> {
    let exec_id = ExecId::parse(&exec_id).map_err(|_| Problem::ReceiptNotFound)?;
    let logged = look_up(&edge, move |edge| edge.executor.ledger.logged(exec_id)).await?;
    let envelope = logged.ok_or(Problem::ReceiptNotFound)?.signed.to_json();
    Ok(([(header::CONTENT_TYPE, ENVELOPE)], envelope).into_response())
}

/// The proof that a receipt is in the log.
pub(super) async fn proof(State(edge): State<Arc<Edge>>, Path(exec_id): Path<String>) -> Result<Response, Problem> {
    let exec_id = ExecId::parse(&exec_id).map_err(|_| Problem::ReceiptNotFound)?;
    match look_up(&edge, move |edge| edge.log.prove(exec_id)).await? {
        ProofAnswer::Proof(proof) => Ok(([(header::CONTENT_TYPE, TEXT)], proof.to_string()).into_response()),
        ProofAnswer::NotYet => Err(Problem::ReceiptNotLogged),
        ProofAnswer::NoReceipt => Err(Problem::ReceiptNotFound),
    }
}

/// Every key that whoever verifies needs. To be believed as far as the connection is: better to have them from elsewhere.
pub(super) async fn keys(State(edge): State<Arc<Edge>>) -> Result<Response, Problem> {
    let kept = look_up(&edge, |edge| edge.executor.ledger.keys()).await?;
    let current = edge.executor.sealer.key.public();
    let receipt_keys = kept.iter().map(|kept| {
        json!({
            "key_id": kept.public.id().to_string(),
            "base64": kept.public.to_base64(),
            "pem": kept.public.to_pem(),
            "since": kept.since.to_string(),
            "current": kept.public == *current,
        })
    });
    let log = edge.log.verifier_key();
    let witnesses = edge.log.witnesses();
    let witness_keys: Vec<_> = witnesses.keys.iter().map(ToString::to_string).collect();
    Ok(Json(json!({
        "receipt_keys": receipt_keys.collect::<Vec<_>>(),
        "log": {"origin": log.name().as_str(), "vkey": log.to_string()},
        "witnesses": witness_keys,
        "witness_quorum": witnesses.quorum,
    }))
    .into_response())
}

/// Takes cosignatures of a checkpoint back from a witness.
pub(super) async fn cosignatures(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, Problem> {
    let note = read_text(request, edge.limits.read).await?;
    let _turn = edge.lookups.acquire().await.map_err(|_| Problem::Internal)?;
    let log = edge.log.clone();
    let accepted = tokio::task::spawn_blocking(move || log.accept_cosignatures(&note)).await;
    let n_accepted = accepted.map_err(|_| Problem::Internal)?.map_err(|error| match error {
        CosignatureError::Malformed(_) => Problem::MalformedBody(error.to_string()),
        CosignatureError::Refused(why) => Problem::CosignatureRefused(why),
        CosignatureError::Unknown => Problem::CheckpointNotFound,
        CosignatureError::RolledBack => Problem::LogRolledBack,
        CosignatureError::Ledger(error) => unavailable(&error),
    })?;
    Ok(Json(json!({"accepted": n_accepted})).into_response())
}

/// Reads the ledger on a thread that may block, when it is this request's turn.
async fn look_up<T: Send + 'static>(
    edge: &Arc<Edge>,
    read: impl FnOnce(&Edge) -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, Problem> {
    let _turn = edge.lookups.acquire().await.map_err(|_| Problem::Internal)?;
    let edge = edge.clone();
    let found = tokio::task::spawn_blocking(move || read(&edge)).await.map_err(|_| Problem::Internal)?;
    found.map_err(|error| unavailable(&error))
}

fn unavailable(error: &LedgerError) -> Problem {
    tracing::error!(%error, "the ledger failed");
    Problem::LedgerUnavailable
}

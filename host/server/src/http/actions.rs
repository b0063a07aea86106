//! `GET /actions`: what this host can run, and what each action takes and gives.
//!
//! In scope: the sealed registry, as JSON. The same bytes until the next start, so that clients may keep them.
//! Out of scope: who may call what; approvals decide that at each call.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use openexec_core::digest::Digest;
use openexec_core::registry::Description;
use serde_json::{Value, json};

use super::Edge;
use super::problem::Problem;

/// Lists the actions by name: those that the allow-list allows.
pub(super) async fn actions(State(edge): State<Arc<Edge>>, headers: HeaderMap) -> Response {
    let admission = &edge.executor.admission;
    let registry = &admission.registry;
    let allowed = admission.allow_list.as_ref();
    let listed = registry.pins().filter(|(action, _)| allowed.is_none_or(|list| list.contains(action)));
    let actions: Vec<_> = listed
        .map(|(action, pin)| {
            let said = pin.description.as_ref();
            json!({
                "action": action.as_str(),
                "title": said.map(|said| &said.title),
                "summary": said.map(|said| &said.summary),
                "payload_schema": said.map(|Description { payload_schema, .. }| schema(payload_schema)),
                "output_schema": said.map(|Description { output_schema, .. }| schema(output_schema)),
                "component": {"sha256": pin.digest.to_string()},
                "version": pin.version,
                "profile": pin.profile.as_str(),
                "limits": {
                    "fuel": pin.limits.fuel,
                    "memory_bytes": pin.limits.memory_bytes,
                    "output_bytes": pin.limits.output_bytes,
                    "deadline_ms": pin.limits.deadline_ms,
                },
            })
        })
        .collect();
    let body = json!({"registry": {"digest": registry.digest().to_string()}, "actions": actions}).to_string();
    // Of the whole body, which has the registry's digest in it: the allow-list decides as well.
    let tag = HeaderValue::from_str(&format!("\"{}\"", Digest::of(body.as_bytes())));
    let Ok(tag) = tag else { return Problem::Internal.into_response() }; // hexadecimal: this cannot fail
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let json = HeaderValue::from_static("application/json");
    ([(header::ETAG, tag), (header::CONTENT_TYPE, json)], body).into_response()
}

/// A schema as the value that it is. The host has compiled it at start, so it is JSON.
fn schema(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

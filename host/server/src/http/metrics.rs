//! `GET /metrics`: what is worth an alarm, in Prometheus' text format.
//!
//! In scope: counters that the host keeps anyway. Names of tenants, and anything that a caller wrote, are not among them.

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Edge;

/// The media type of the format.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(State(edge): State<Arc<Edge>>) -> Response {
    let mut text = String::new();
    let audited = edge.executor.self_audit.audited();
    counter(
        &mut text,
        "openexec_self_audit_total",
        "Executions that were run once more in the background, by what came of it.",
        "verdict",
        [("equal", audited.n_equal), ("different", audited.n_different), ("skipped", audited.n_skipped)],
    );
    let refusals = edge.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone();
    counter(&mut text, "openexec_refusals_total", "Requests that were refused, by code.", "code", refusals);
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response()
}

/// One counter with one label. Writing to a string cannot fail.
fn counter(
    text: &mut String,
    name: &str,
    help: &str,
    label: &str,
    values: impl IntoIterator<Item = (&'static str, u64)>,
) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
    for (value, n) in values {
        let _ = writeln!(text, "{name}{{{label}=\"{value}\"}} {n}");
    }
}

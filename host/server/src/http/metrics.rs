//! `GET /metrics`: what is worth an alarm, in Prometheus' text format.
//!
//! In scope: counters and gauges that the host keeps anyway. Names of tenants, and anything that a caller wrote, are not among them.

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
    gauge(&mut text, "openexec_log_size", "Receipts under the newest checkpoint.", edge.log.size().to_string());
    let lag_s = format!("{:.3}", edge.log.lag().as_secs_f64());
    gauge(&mut text, "openexec_log_lag_seconds", "For how long the oldest receipt has waited for a checkpoint.", lag_s);
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response()
}

/// One gauge. Writing to a string cannot fail.
fn gauge(text: &mut String, name: &str, help: &str, value: String) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
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

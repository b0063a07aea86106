//! What surrounds every request: an id, headers, one log line, and a net for panics.
//!
//! In scope: nothing of a payload, a nonce or a result is ever logged here.

use std::any::Any;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id that is taken over from a client.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Gives the request an id, adds headers that hold for every response, logs one line.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    let method = known_method(request.method().as_str());
    let path = known_path(request.uri().path());
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let request_id = id.to_str().unwrap_or_default();
    if response.status().is_success() {
        tracing::debug!(method, path, status, took_us, request_id, "answered");
    } else {
        tracing::info!(method, path, status, took_us, request_id, "answered");
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The client's own id, if it is short and plain, else a new one.
fn request_id(request: &Request) -> HeaderValue {
    let plain = |value: &&HeaderValue| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    request.headers().get(REQUEST_ID).filter(plain).cloned().unwrap_or_else(|| {
        let id = HeaderValue::from_str(new_id().hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        id.unwrap_or_else(|_| HeaderValue::from_static("none"))
    })
}

/// Another id than all before. Nothing depends on whether it can be guessed, so the system is asked for randomness once
/// and not for each request.
fn new_id() -> Uuid {
    static RANDOM: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);
    static N_IDS: AtomicU64 = AtomicU64::new(0);
    let n = N_IDS.fetch_add(1, Ordering::Relaxed);
    let [high, low] = RANDOM.each_ref().map(|random| u128::from(random.hash_one(n)));
    uuid::Builder::from_random_bytes((high << 64 | low).to_be_bytes()).into_uuid()
}

/// Paths that are not routes are the client's text and stay out of the log, and so do ids.
fn known_path(path: &str) -> &'static str {
    const PATHS: [&str; 10] = [
        "/",
        "/health",
        "/ready",
        "/version",
        "/verify",
        "/execute",
        "/receipts/verify",
        "/keys",
        "/log/checkpoint",
        "/log/cosignatures",
    ];
    const PREFIXES: [(&str, &str); 2] = [("/log/tile/", "/log/tile/…"), ("/receipts/", "/receipts/…")];
    let route = PATHS.into_iter().find(|route| *route == path);
    let family = || PREFIXES.into_iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, name)| name);
    route.or_else(family).unwrap_or("(unknown)")
}

/// Methods that HTTP does not define are the client's text as well.
fn known_method(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("(unknown)")
}

/// Turns a panic into a problem. Its text may hold anything, so it is neither sent nor logged; the process's panic hook
/// logs the place.
pub(super) fn panicked(_payload: Box<dyn Any + Send>) -> Response {
    Problem::Internal.into_response()
}

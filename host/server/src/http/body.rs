//! Reading a request body within limits of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use hyper::body::Body as _;
use openexec_core::limits::REQUEST_BYTES_MAX;
use tokio::time::timeout;

use super::problem::Problem;

/// How much of a body beyond the limit is read and thrown away, so that a client that is still sending sees the answer
/// and not a broken connection. Larger bodies are cut off.
const DISCARDED_BYTES_MAX: usize = 8 * REQUEST_BYTES_MAX;

/// Reads the whole body of a JSON request.
pub(super) async fn read_json(request: Request, time: Duration) -> Result<Bytes, Problem> {
    read_as("application/json", request, time).await
}

/// Reads the whole body of a request in plain text, which is UTF-8.
pub(super) async fn read_text(request: Request, time: Duration) -> Result<String, Problem> {
    let bytes = read_as("text/plain", request, time).await?;
    String::from_utf8(bytes.into()).map_err(|_| Problem::MalformedBody("the body is not UTF-8".to_owned()))
}

async fn read_as(media_type: &'static str, request: Request, time: Duration) -> Result<Bytes, Problem> {
    let (head, body) = request.into_parts();
    if !is(media_type, &head.headers) {
        return Err(Problem::UnsupportedMediaType(media_type));
    }
    if body.size_hint().lower() > DISCARDED_BYTES_MAX as u64 {
        return Err(Problem::BodyTooLarge); // at once: a client that asks before it sends need not send
    }
    timeout(time, read(body)).await.unwrap_or(Err(Problem::BodyTooSlow))
}

async fn read(mut body: Body) -> Result<Bytes, Problem> {
    let mut bytes = Vec::with_capacity(usize::try_from(body.size_hint().lower()).unwrap_or(0).min(REQUEST_BYTES_MAX));
    let mut n_read = 0_usize;
    while let Some(chunk) = next_chunk(&mut body).await {
        let chunk = chunk.map_err(|_| Problem::BodyIncomplete)?;
        n_read = n_read.saturating_add(chunk.len());
        if n_read <= REQUEST_BYTES_MAX {
            bytes.extend_from_slice(&chunk);
        } else if n_read > DISCARDED_BYTES_MAX {
            break;
        }
    }
    if n_read > REQUEST_BYTES_MAX { Err(Problem::BodyTooLarge) } else { Ok(bytes.into()) }
}

/// The next piece of data; trailers are skipped.
async fn next_chunk(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx)).await?;
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => return Some(Ok(data)),
            Ok(Err(_trailers)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// The media type, with or without parameters, not compressed. Said once: whoever reads another of two headers than
/// we do must not read another body.
fn is(media_type: &str, headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(header::CONTENT_TYPE).iter().map(|value| value.to_str().unwrap_or_default());
    let essence = named.next().and_then(|named| named.split(';').next()).unwrap_or_default().trim();
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    essence.eq_ignore_ascii_case(media_type)
        && named.next().is_none()
        && encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

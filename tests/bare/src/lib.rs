//! The least that a Wasm server can do: read the body of a request and send it back.
//!
//! In scope: a component for `wasmtime serve`, which the benchmark measures beside a host of ours.
//! Out of scope: approvals, durability, receipts. That they are missing is the point.
//!
//! Build: `rustup target add wasm32-wasip2`, then `cargo build --release --target wasm32-wasip2` in this folder.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::StreamError;

/// Most bytes that a stream takes in one call that waits.
const CHUNK_BYTES: usize = 4096;

struct Echo;

wasip2::http::proxy::export!(Echo);

impl Guest for Echo {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let Some(body) = read(&request) else { return };
        let response = OutgoingResponse::new(Fields::new());
        let Ok(sink) = response.body() else { return };
        ResponseOutparam::set(answer, Ok(response));
        let Ok(stream) = sink.write() else { return };
        if body.chunks(CHUNK_BYTES).all(|chunk| stream.blocking_write_and_flush(chunk).is_ok()) {
            drop(stream);
            let _ = OutgoingBody::finish(sink, None); // the client has left: nobody to tell
        }
    }
}

/// The whole body; `None` if it broke off.
fn read(request: &IncomingRequest) -> Option<Vec<u8>> {
    let body = request.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(CHUNK_BYTES as u64) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Some(bytes),
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
    }
}

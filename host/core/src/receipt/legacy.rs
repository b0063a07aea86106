//! The legacy receipt: the digest that 0.1.10 returned and its clients recompute.
//!
//! In scope: `hex(SHA-256(exec_id ":" R))` with R = the result as `json.dumps(result, sort_keys=True)` writes it.
//! Out of scope: signed receipts.
//!
//! A legacy receipt binds an id to a result and proves nothing about who ran what: anyone can compute it. The host
//! therefore calls one valid only if it also made it.

use crate::digest::Digest;
use crate::json::{self, Value};
use crate::request::ExecId;

/// The legacy receipt of an execution. The result of an execution that did not succeed is `null`.
#[must_use]
pub fn legacy(exec_id: ExecId, result: &Value) -> Digest {
    Digest::of(format!("{exec_id}:{}", json::pyjson_spaced(result)).as_bytes())
}

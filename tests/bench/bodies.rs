//! Request bodies: made on the spot with a fresh nonce each, or read from a file.
//!
//! In scope: handing out each body once.
//! Out of scope: signing approvals; a file carries bodies that were approved beforehand.
//!
//! Invariants
//! - Two minted bodies never share a nonce, within a session or (64 random bits) between sessions.
//! - A file is read as it is needed, so that millions of bodies do not fill the memory under test.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use hyper::body::Bytes;
use serde_json::Value;

use crate::error::BenchError;

/// Room for the counter and the closing quote and brace of a minted body.
const MINTED_TAIL_BYTES: usize = 22;

/// Where the bodies of a session come from.
#[derive(Debug)]
pub(crate) enum Bodies {
    /// `start` is everything up to the counter that ends the nonce.
    Minted { start: Vec<u8>, n_minted: Cell<u64> },
    /// The unread lines of `path`.
    File { path: PathBuf, lines: RefCell<BufReader<File>> },
}

impl Bodies {
    /// Bodies that ask for `action` with `payload`, a JSON object.
    pub(crate) fn mint(action: &str, payload: &str) -> Result<Self, BenchError> {
        let payload: Value = serde_json::from_str(payload).map_err(BenchError::PayloadSyntax)?;
        if !payload.is_object() {
            return Err(BenchError::PayloadType);
        }
        let action = Value::from(action);
        let session = RandomState::new().build_hasher().finish();
        let start = format!(r#"{{"action":{action},"payload":{payload},"nonce":"bench-{session:016x}-"#).into_bytes();
        Ok(Self::Minted { start, n_minted: Cell::new(0) })
    }

    /// Bodies from a file, one a line.
    pub(crate) fn open(path: &Path) -> Result<Self, BenchError> {
        let file = File::open(path).map_err(|source| BenchError::Bodies { path: path.to_owned(), source })?;
        Ok(Self::File { path: path.to_owned(), lines: RefCell::new(BufReader::new(file)) })
    }

    /// The next body, or nothing when the file has ended.
    pub(crate) fn next(&self) -> Result<Option<Bytes>, BenchError> {
        match self {
            Self::Minted { start, n_minted } => {
                n_minted.set(n_minted.get() + 1);
                Ok(Some(minted(start, n_minted.get())))
            }
            Self::File { path, lines } => {
                next_line(&mut *lines.borrow_mut()).map_err(|source| BenchError::Bodies { path: path.clone(), source })
            }
        }
    }
}

fn minted(start: &[u8], number: u64) -> Bytes {
    let mut body = Vec::with_capacity(start.len() + MINTED_TAIL_BYTES);
    body.extend_from_slice(start);
    body.extend_from_slice(format!("{number:012}\"}}").as_bytes());
    Bytes::from(body)
}

fn next_line(lines: &mut impl BufRead) -> std::io::Result<Option<Bytes>> {
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let body = line.trim_ascii();
        if !body.is_empty() {
            return Ok(Some(Bytes::copy_from_slice(body)));
        }
        line.clear();
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(body: &Bytes) -> String {
        let body: Value = serde_json::from_slice(body).unwrap();
        body["nonce"].as_str().unwrap().to_owned()
    }

    #[test]
    fn every_minted_body_has_its_own_nonce() {
        let (first, second) = (Bodies::mint("echo", "{}").unwrap(), Bodies::mint("echo", "{}").unwrap());
        let nonces: std::collections::HashSet<String> =
            (0..1000).flat_map(|_| [&first, &second]).map(|bodies| nonce(&bodies.next().unwrap().unwrap())).collect();
        assert_eq!(nonces.len(), 2000);
    }

    #[test]
    fn action_and_payload_arrive_as_given() {
        let bodies = Bodies::mint("a \"b\"", r#"{"msg":"hello"}"#).unwrap();
        let body: Value = serde_json::from_slice(&bodies.next().unwrap().unwrap()).unwrap();
        assert_eq!(body["action"], "a \"b\"");
        assert_eq!(body["payload"], serde_json::json!({"msg": "hello"}));
    }

    #[test]
    fn a_payload_that_is_not_an_object_is_refused() {
        assert!(matches!(Bodies::mint("echo", "[1]"), Err(BenchError::PayloadType)));
        assert!(matches!(Bodies::mint("echo", "{"), Err(BenchError::PayloadSyntax(_))));
    }

    #[test]
    fn a_file_yields_its_lines_once_and_skips_blank_ones() {
        let mut lines = &b"{\"a\":1}\n\n  \r\n{\"b\":2}"[..];
        assert_eq!(next_line(&mut lines).unwrap().unwrap(), &b"{\"a\":1}"[..]);
        assert_eq!(next_line(&mut lines).unwrap().unwrap(), &b"{\"b\":2}"[..]);
        assert!(next_line(&mut lines).unwrap().is_none());
    }
}

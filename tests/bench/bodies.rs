//! Request bodies: made on the spot with a fresh nonce each, approved beforehand, or read from a file.
//!
//! In scope: handing out each body once.
//! Out of scope: signing (`approvals`).
//!
//! Invariants
//! - Two minted bodies never share a nonce, within a session or (64 random bits) between sessions.
//! - Nothing is signed while a host is measured: approvals are stocked before.
//! - A file is read as it is needed, so that millions of bodies do not fill the memory under test.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use hyper::body::Bytes;
use openexec_core::json;
use openexec_core::request::{Request, Submission};
use serde_json::Value;

use crate::approvals::{self, Approver};
use crate::error::BenchError;
use crate::load::Plan;

/// More executions a second than any host here reaches: what a stock of approved bodies must last for.
const PER_SECOND_MAX: u64 = 15_000;
/// More executions a second than one connection reaches, where each waits for two commits.
const PER_SECOND_AND_CONNECTION_MAX: u64 = 4_000;

/// Where the bodies of a session come from.
#[derive(Debug)]
pub(crate) enum Bodies {
    /// Made when they are sent.
    Minted(Calls),
    /// Made and approved before they are sent.
    Approved { calls: Calls, request: Request, approver: Box<Approver>, stock: RefCell<VecDeque<Bytes>> },
    /// The unread lines of `path`.
    File { path: PathBuf, lines: RefCell<BufReader<File>> },
}

/// Calls that differ only in their nonces.
#[derive(Debug)]
pub(crate) struct Calls {
    session: u64,
    n_made: Cell<u64>,
    /// Everything in a body up to its nonce.
    start: String,
}

impl Bodies {
    /// Bodies that ask for `action` with `payload`, a JSON object.
    pub(crate) fn mint(action: &str, payload: &str) -> Result<Self, BenchError> {
        Calls::new(action, payload).map(Self::Minted)
    }

    /// The same, each with an approval by `approver`.
    pub(crate) fn approve(action: &str, payload: &str, approver: Approver) -> Result<Self, BenchError> {
        let calls = Calls::new(action, payload)?;
        let (_, nonce) = calls.next();
        let submission = Submission::parse(&calls.body(&nonce, None)).map_err(BenchError::Request)?;
        Ok(Self::Approved {
            calls,
            request: submission.request,
            approver: Box::new(approver),
            stock: RefCell::default(),
        })
    }

    /// Bodies from a file, one a line.
    pub(crate) fn open(path: &Path) -> Result<Self, BenchError> {
        let file = File::open(path).map_err(|source| BenchError::Bodies { path: path.to_owned(), source })?;
        Ok(Self::File { path: path.to_owned(), lines: RefCell::new(BufReader::new(file)) })
    }

    /// Approves as many bodies as `plan` can use up. What an earlier plan left over is thrown away, for it expires.
    pub(crate) fn stock_up(&self, plan: Plan) -> Result<(), BenchError> {
        let Self::Approved { calls, request, approver, stock } = self else { return Ok(()) };
        let per_second = PER_SECOND_MAX.min(PER_SECOND_AND_CONNECTION_MAX.saturating_mul(plan.connections as u64));
        let n_bodies = per_second.saturating_mul((plan.warmup + plan.window).as_secs());
        let now = approvals::now();
        let approved = (0..n_bodies).map(|_| {
            let (number, nonce) = calls.next();
            let envelope = approver.approve(request, &nonce, number, now)?;
            Ok(calls.body(&nonce, Some(&json::jcs(&envelope.to_value()))))
        });
        *stock.borrow_mut() = approved.collect::<Result<_, BenchError>>()?;
        Ok(())
    }

    /// The next body, or nothing when the file or the stock has ended.
    pub(crate) fn next(&self) -> Result<Option<Bytes>, BenchError> {
        match self {
            Self::Minted(calls) => Ok(Some(calls.body(&calls.next().1, None))),
            Self::Approved { stock, .. } => Ok(stock.borrow_mut().pop_front()),
            Self::File { path, lines } => {
                next_line(&mut *lines.borrow_mut()).map_err(|source| BenchError::Bodies { path: path.clone(), source })
            }
        }
    }
}

impl Calls {
    fn new(action: &str, payload: &str) -> Result<Self, BenchError> {
        let payload: Value = serde_json::from_str(payload).map_err(BenchError::PayloadSyntax)?;
        if !payload.is_object() {
            return Err(BenchError::PayloadType);
        }
        let action = Value::from(action);
        let start = format!(r#"{{"action":{action},"payload":{payload},"nonce":""#);
        Ok(Self { session: approvals::random(), n_made: Cell::new(0), start })
    }

    /// The number of the next call and its nonce.
    fn next(&self) -> (u64, String) {
        let number = self.n_made.get() + 1;
        self.n_made.set(number);
        (number, format!("bench-{:016x}-{number:012}", self.session))
    }

    fn body(&self, nonce: &str, approval: Option<&str>) -> Bytes {
        let approval = approval.map_or_else(String::new, |approval| format!(r#","approval_artifact":{approval}"#));
        Bytes::from([&self.start, nonce, "\"", &approval, "}"].concat())
    }
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
    use std::time::Duration;

    use openexec_core::approval::{Approval, Call};
    use openexec_core::trust::{Trust, TrustFile};

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
    fn every_approved_body_has_its_own_nonce_and_is_approved_for_it() {
        let approver = Approver::new().unwrap();
        let file = TrustFile::parse(&approver.trust_file()).unwrap();
        let audience = file.audience().clone();
        let trust = Trust::of(None, Some(file)).unwrap();
        let bodies = Bodies::approve("echo", "{}", approver).unwrap();
        assert!(bodies.next().unwrap().is_none(), "nothing is in stock yet");
        let plan = Plan { connections: 1, warmup: Duration::ZERO, window: Duration::from_secs(1) };
        bodies.stock_up(plan).unwrap();
        let mut nonces = std::collections::HashSet::new();
        while let Some(body) = bodies.next().unwrap() {
            let Submission { request, approval } = Submission::parse(&body).unwrap();
            let call = Call { request: &request, audience: &audience, tenant: None, component: None };
            let approval = Approval::parse(approval.unwrap()).unwrap();
            approval.verify(&trust, call, approvals::now()).unwrap().require_timely(approvals::now()).unwrap();
            assert!(nonces.insert(request.nonce));
        }
        assert_eq!(nonces.len() as u64, PER_SECOND_AND_CONNECTION_MAX);
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

//! What can stop a session.
//!
//! In scope: one sentence for the person at the terminal, for each cause.
//! Out of scope: answers other than 200; those are results, counted by `load`.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use openexec_core::request::RequestError;

/// Why a session ended without a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("cannot start the async runtime: {0}")]
    Runtime(io::Error),
    #[error("cannot write the report: {0}")]
    Output(io::Error),
    #[error("interrupted")]
    Interrupted,
    #[error("--payload is not JSON: {0}")]
    PayloadSyntax(serde_json::Error),
    #[error("--payload is not a JSON object")]
    PayloadType,
    #[error("no host would accept such a call: {0}")]
    Request(RequestError),
    #[error("cannot approve calls: {0}")]
    Approval(String),
    #[error("cannot write the trust file: {0}")]
    TrustFile(io::Error),
    #[error("cannot read bodies from {}: {source}", path.display())]
    Bodies { path: PathBuf, source: io::Error },
    #[error("{url} is not a URL such as http://127.0.0.1:5000")]
    Url { url: String },
    #[error("cannot connect to {authority}: {source}")]
    Connect { authority: String, source: io::Error },
    #[error("connection to {authority} failed: {source}")]
    Http { authority: String, source: hyper::Error },
    #[error("cannot read {path}: {source}")]
    Process { path: String, source: io::Error },
    #[error("{path} has no {field}")]
    ProcessField { path: String, field: &'static str },
    #[error("cannot make a directory for the database: {0}")]
    DataDirectory(io::Error),
    #[error("cannot start {}: {source}", binary.display())]
    Start { binary: PathBuf, source: io::Error },
    #[error("the host ended with {status} before it was ready; its log ends:\n{log}")]
    EndedEarly { status: ExitStatus, log: String },
    #[error("the host was not ready within {seconds} s; its log ends:\n{log}")]
    NotReady { seconds: u64, log: String },
    #[error("{cause}; the log of the host ends:\n{log}")]
    UnderLoad { cause: Box<BenchError>, log: String },
    #[error("a primitive could not be timed: {0}")]
    Primitive(String),
    #[error("the log could not be measured: {0}")]
    Log(String),
    #[error("cannot read or write {}: {source}", path.display())]
    Component { path: PathBuf, source: io::Error },
    #[error("`openexec registry {command}` failed:\n{said}")]
    Registry { command: String, said: String },
    #[error("cannot stop the host: {0}")]
    Stop(io::Error),
}

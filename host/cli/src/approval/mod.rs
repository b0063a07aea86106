//! `openexec approval`: the other side, for teams that govern themselves.
//!
//! In scope: keys, signing, showing and checking approvals v2; checking approvals v1.
//! Out of scope: deciding. Whoever runs these commands decides, and sees the call in plain words before signing.
//!
//! Approvals are signed here and nowhere else: the host has no code that signs one.

mod check;
mod key;
mod sign;
mod words;

use std::error::Error;
use std::path::Path;

use openexec_core::approval::Approval;
use openexec_core::json;
use openexec_core::refusal::Refusal;
use openexec_core::request::{Request, Submission};

pub(crate) use check::{inspect, read_trust, verify};
pub(crate) use key::keygen;
pub(crate) use sign::{cosign, mint};

/// Largest file that is read: a request with its approval, as the host takes it.
const FILE_BYTES_MAX: u64 = openexec_core::limits::REQUEST_BYTES_MAX as u64;

fn read(path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let unreadable = |error: std::io::Error| format!("{}: cannot be read: {error}", path.display());
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(format!("{}: larger than {FILE_BYTES_MAX} bytes", path.display()).into());
    }
    Ok(std::fs::read(path).map_err(unreadable)?)
}

fn parse_request(bytes: &[u8]) -> Result<Request, Refusal> {
    Ok(Submission::parse(bytes)?.request)
}

fn parse_approval(bytes: &[u8]) -> Result<Approval, Refusal> {
    let value =
        json::read(bytes).map_err(|error| Refusal::ApprovalMalformed(format!("not acceptable JSON: {error}")))?;
    Approval::parse(value)
}

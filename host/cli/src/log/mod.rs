//! `openexec log`: the transparency log, from the outside.
//!
//! In scope: files and flags. Out of scope: every check (`openexec_core::log`, `openexec_core::evidence`).

mod key;
mod verify;

use openexec_core::evidence::Finding;
use openexec_core::log::note::{VerifierKey, VerifierKeyError};

use crate::args::log::LogTrust;

pub(crate) use key::print as print_key;
pub(crate) use verify::{verify_consistency, verify_proof};

/// The keys of the witnesses that count.
pub(crate) fn witness_keys(trust: &LogTrust) -> Result<Vec<VerifierKey>, VerifierKeyError> {
    trust.witness_key.iter().map(|key| VerifierKey::parse(key)).collect()
}

/// A finding as a line. What others wrote cannot move the cursor or hide.
pub(crate) fn line(finding: &Finding) -> String {
    let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c.to_string() } else { c.escape_unicode().to_string() };
    let detail: String = finding.detail.chars().map(plain).collect();
    format!("  {:<12} {:<28} {detail}", finding.verdict.as_str(), finding.aspect.title())
}

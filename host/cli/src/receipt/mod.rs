//! `openexec receipt`: what proves an execution to people who do not trust its host.
//!
//! In scope: files and flags. Out of scope: every check (`openexec_core::evidence`).

mod assemble;
mod export;
mod key;
mod verify;

use std::error::Error;
use std::path::Path;

use openexec_core::limits::EVIDENCE_BYTES_MAX;

pub(crate) use assemble::assemble;
pub(crate) use export::export;
pub(crate) use key::{keygen, print as print_key};
pub(crate) use verify::verify;

/// Reads a file that is no larger than any evidence.
fn read(path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let unreadable = |error: std::io::Error| format!("{}: cannot be read: {error}", path.display());
    if std::fs::metadata(path).map_err(unreadable)?.len() > EVIDENCE_BYTES_MAX as u64 {
        return Err(format!("{}: larger than {EVIDENCE_BYTES_MAX} bytes", path.display()).into());
    }
    Ok(std::fs::read(path).map_err(unreadable)?)
}

//! `openexec log key`.
//!
//! Out of scope: making the key, which a host does when it first starts (`keys`).

use std::error::Error;
use std::process::ExitCode;

use openexec_core::log::note::{Algorithm, VerifierKey};
use openexec_ledger::Log;

use crate::args::KeySource;
use crate::logging::say;
use crate::{keys, ledger};

/// Prints the verifier key of the host's log.
pub(crate) fn print(source: &KeySource) -> Result<ExitCode, Box<dyn Error>> {
    let secret = keys::read_private(&keys::log_key_file(&source.log, &source.ledger)?)?;
    let newest = ledger::open(&source.ledger)?.newest_checkpoint()?;
    let origin = keys::log_origin(&source.log, newest.as_ref(), secret.public())?;
    let verifier = VerifierKey::new(origin, Algorithm::Log, secret.public().clone());
    if let Some(newest) = newest {
        newest
            .verify_log(&verifier)
            .map_err(|error| format!("this is not the key of the log in the ledger: {error}"))?;
    }
    say(&verifier.to_string());
    Ok(ExitCode::SUCCESS)
}

//! `openexec receipt key` and `openexec receipt keygen`.
//!
//! Out of scope: making the first key, which a host does when it first starts (`keys`).

use std::error::Error;
use std::process::ExitCode;

use openexec_ledger::Receipts;

use crate::args::KeySource;
use crate::args::receipt::ReceiptKeygenOptions;
use crate::logging::say;
use crate::{keys, ledger};

/// Prints the public key of the host's receipts: from its key file, or from the ledger if only that is at hand.
pub(crate) fn print(source: &KeySource) -> Result<ExitCode, Box<dyn Error>> {
    let path = keys::receipt_key_file(&source.keys, &source.ledger)?;
    let public = if path.exists() {
        keys::read_private(&path)?.public().clone()
    } else {
        let known = ledger::open(&source.ledger)?.keys()?;
        let last = known
            .last()
            .ok_or_else(|| format!("{}: there is no such file, and nothing was signed yet", path.display()))?;
        last.public.clone()
    };
    say(public.to_pem().trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Makes a key pair for a host that is to sign with another key from now on.
pub(crate) fn keygen(options: &ReceiptKeygenOptions) -> Result<ExitCode, Box<dyn Error>> {
    let key = keys::generate()?;
    keys::write_pair(&options.file, &key)?;
    say(key.public().to_pem().trim_end());
    Ok(ExitCode::SUCCESS)
}

//! `openexec receipt export`: the evidence that a host holds.
//!
//! In scope: finding an execution in a ledger on this machine, also while its host is running.
//! Out of scope: what a bundle is (`openexec_core::evidence`). It has plaintext in it, so it is never served over HTTP.

use std::error::Error;
use std::process::ExitCode;

use openexec_core::approval::Approval;
use openexec_core::approval::v2::Body;
use openexec_core::digest::Digest;
use openexec_core::evidence::Evidence;
use openexec_core::json;
use openexec_core::log::note::VerifierKey;
use openexec_core::names::Audience;
use openexec_core::outcome::{Fault, Outcome};
use openexec_core::request::{ExecId, Identity};
use openexec_core::reservation::{Reserved, Seal, Sealed, Tombstone};
use openexec_ledger::examined::KeptExecution;
use openexec_ledger::receipts::Logged;
use openexec_ledger::sqlite::SqliteLedger;
use openexec_ledger::{Log, Receipts};
use openexec_server::log::prove_from;

use crate::args::receipt::ExportOptions;
use crate::ledger;
use crate::logging::say;

/// Prints the evidence of one execution.
pub(crate) fn export(options: &ExportOptions) -> Result<ExitCode, Box<dyn Error>> {
    let exec_id = ExecId::parse(&options.exec_id)?;
    let ledger = ledger::open(&options.ledger)?;
    let kept = ledger.examine_execution(exec_id)?.ok_or("there is no such execution in this ledger")?;
    let logged = ledger.logged(exec_id)?.ok_or(match kept.status {
        None => "the execution is not finished: its receipt is made when it is",
        Some(_) => "the execution was sealed before receipts were signed, so there is nothing to prove it with",
    })?;
    let proof = prove(&ledger, logged.index, &options.witness_keys)?;
    if proof.is_none() {
        tracing::warn!("the receipt is not in the log yet: export again in a second for a proof of that");
    }
    let evidence = match kept.is_erased {
        true => Evidence::of_erased(&tombstone(kept, logged)?, proof)?,
        false => {
            let audience = audience_of(&kept.facts, Audience::parse(&options.audience)?)?;
            let facts = kept.facts.clone();
            Evidence::of_sealed(&audience, &facts, &sealed(kept, logged)?, proof)?
        }
    };
    say(&evidence.spell());
    Ok(ExitCode::SUCCESS)
}

/// The proof under the newest checkpoint that all of these witnesses have cosigned, or else under the newest.
fn prove(ledger: &SqliteLedger, index: u64, witnesses: &[String]) -> Result<Option<String>, Box<dyn Error>> {
    let witnesses: Vec<_> = witnesses.iter().map(|text| VerifierKey::parse(text)).collect::<Result<_, _>>()?;
    let cosigned = match u32::try_from(witnesses.len())? {
        0 => None,
        n_witnesses => ledger.newest_cosigned(&witnesses, n_witnesses)?,
    };
    for checkpoint in [cosigned, ledger.newest_checkpoint()?].into_iter().flatten() {
        if let Some(proof) = prove_from(ledger, index, checkpoint)? {
            return Ok(Some(proof.to_string()));
        }
    }
    Ok(None)
}

/// The audience that the request was for: the approval says it, or the operator does. The fingerprint shows who is right.
fn audience_of(facts: &Reserved, configured: Audience) -> Result<Audience, Box<dyn Error>> {
    let approved = facts.approval.as_ref().and_then(|approval| {
        match Approval::parse(json::read(approval.text.as_bytes()).ok()?).ok()? {
            Approval::V1(_) => None,
            Approval::V2(envelope) => Body::parse(envelope.payload()).ok().map(|body| body.audience),
        }
    });
    let payload = Digest::of(facts.payload.as_bytes());
    let is_right = |audience: &Audience| {
        let identity = Identity::of(audience, &facts.tenant, &facts.action, &facts.nonce, payload);
        identity.fingerprint == facts.fingerprint
    };
    let candidates = [approved, Some(configured)].into_iter().flatten();
    candidates.into_iter().find(is_right).ok_or_else(|| {
        "the request was made to a host with another name: say --audience, as that host was configured".into()
    })
}

const NOT_SEALED: &str = "the execution is not finished, although it has a receipt: run `openexec ledger audit`";

fn sealed(kept: KeptExecution, logged: Logged) -> Result<Sealed, Box<dyn Error>> {
    let blinding = kept.blinding.ok_or(NOT_SEALED)?;
    Ok(Sealed {
        exec_id: kept.facts.exec_id,
        action: kept.facts.action,
        outcome: kept.outcome.unwrap_or(Outcome::Interrupted),
        resources: kept.resources,
        receipt: kept.receipt.ok_or(NOT_SEALED)?,
        sealed_at: kept.sealed_at.ok_or(NOT_SEALED)?,
        seal: Some(Seal { reference: logged.signed.reference(), signed: logged.signed.into(), blinding }),
    })
}

fn tombstone(kept: KeptExecution, logged: Logged) -> Result<Tombstone, Box<dyn Error>> {
    Ok(Tombstone {
        exec_id: kept.facts.exec_id,
        action: kept.facts.action,
        status: kept.status.ok_or(NOT_SEALED)?,
        fault: kept.fault.as_deref().and_then(Fault::parse),
        receipt: kept.receipt.ok_or(NOT_SEALED)?,
        signed: Some(logged.signed.into()),
    })
}

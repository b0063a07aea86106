//! `openexec receipt verify`: checks evidence with keys from the command line, and runs its component once more.
//!
//! In scope: what is believed, running, printing, exit codes.
//! Out of scope: every check (`openexec_core::evidence`).

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use openexec_core::digest::Digest;
use openexec_core::evidence::{Evidence, Keys, Overall, Repetition, Report, compare};
use openexec_core::limits::{DEADLINE_MS_MAX, FUEL_MAX, MEMORY_BYTES_MAX, OUTPUT_BYTES_MAX};
use openexec_core::log::note::VerifierKey;
use openexec_core::names::Tenant;
use openexec_core::registry::{Limits, Pin};
use openexec_sandbox::{ComponentFile, Sandbox, Settings, StartError};

use super::read;
use crate::args::CompilerOptions;
use crate::args::receipt::VerifyOptions;
use crate::compile::CompileError;
use crate::components::Code;
use crate::logging::{say, say_error};
use crate::{approval, components, keys, log};

/// Nothing failed, but not everything could be checked.
const INCOMPLETE: u8 = 3;

/// No host runs anything under higher limits, so nothing is run again under them either.
const LIMITS_MAX: Limits = Limits {
    fuel: FUEL_MAX,
    memory_bytes: MEMORY_BYTES_MAX,
    output_bytes: OUTPUT_BYTES_MAX,
    deadline_ms: DEADLINE_MS_MAX,
};

pub(crate) fn verify(options: &VerifyOptions) -> Result<ExitCode, Box<dyn Error>> {
    let keys = read_keys(options)?;
    let evidence = match Evidence::parse(&read(&options.evidence)?) {
        Ok(evidence) => evidence,
        Err(error) if options.json => {
            say(&Report::unreadable(&error));
            return Ok(ExitCode::from(2));
        }
        Err(error) => {
            say_error(&*Box::<dyn Error>::from(format!("{}: {error}", options.evidence.display())));
            return Ok(ExitCode::from(2));
        }
    };
    let repetition = options.replay.as_deref().map(|component| repeat(&evidence, component)).transpose()?;
    let report = evidence.verify(&keys, repetition);
    say(&if options.json { report.to_json() } else { in_words(&report) });
    Ok(match report.overall {
        Overall::Verified => ExitCode::SUCCESS,
        Overall::Failed => ExitCode::FAILURE,
        Overall::Incomplete => ExitCode::from(INCOMPLETE),
    })
}

fn read_keys(options: &VerifyOptions) -> Result<Keys, Box<dyn Error>> {
    let tenant = options.tenant.as_deref().map(Tenant::parse_governed).transpose()?;
    let (trust_file, legacy) = (options.trust.as_deref(), options.clawshield_public_key.as_deref());
    Ok(Keys {
        receipt_keys: options.receipt_key.iter().map(|key| keys::read_public(key)).collect::<Result<_, _>>()?,
        log_key: options.log_key.as_deref().map(VerifierKey::parse).transpose()?,
        witness_keys: log::witness_keys(&options.witnesses)?,
        quorum: options.witnesses.quorum,
        trust: approval::read_trust(trust_file, legacy, tenant.as_ref())?,
    })
}

/// Runs the component as the receipt says it ran, and compares.
fn repeat(evidence: &Evidence, path: &Path) -> Result<Repetition, Box<dyn Error>> {
    let (path, bytes) = components::read_component(path)?;
    let receipt = evidence.receipt();
    let digest = Digest::of(&bytes);
    if digest != receipt.component {
        let named = receipt.component;
        return Ok(Repetition::Differs(format!(
            "the receipt names the component {named}, and the one given is {digest}"
        )));
    }
    let Some(rerun) = evidence.rerun() else {
        return Ok(Repetition::NotComparable("the file does not show the request with its payload".to_owned()));
    };
    if !receipt.limits.within(&LIMITS_MAX) {
        return Ok(Repetition::Differs("the receipt names higher limits than any host allows".to_owned()));
    }
    let pin = Pin {
        component: path.clone(),
        digest,
        version: String::new(),
        profile: receipt.profile,
        limits: receipt.limits,
        description: None,
    };
    let file = ComponentFile { action: receipt.action.clone(), pin, path, bytes };
    // Whoever asks may not know where the component comes from.
    let code = Code::Components(vec![file], CompilerOptions::DEFAULT);
    let sandbox = match code.start(Settings { n_slots: 1 }) {
        Err(CompileError::Start(StartError::Imports { imports, .. })) => {
            return Ok(Repetition::Differs(format!(
                "the receipt names the profile '{}', in which this component could not run: it imports {imports}",
                receipt.profile.as_str()
            )));
        }
        started => started?,
    };
    Ok(compare(receipt, evidence.openings(), &sandbox.rerun_like(&rerun, receipt.fault)?, Sandbox::engine_digest()))
}

/// The report for people: the verdict and what it is about, then a line for each aspect.
fn in_words(report: &Report) -> String {
    let mut lines = vec![format!("{}: {}", report.overall.as_str().to_uppercase(), report.summary())];
    if let Some(receipt) = &report.receipt {
        lines.push(format!("execution {}", receipt.exec_id));
    }
    lines.push(String::new());
    lines.extend(report.findings.iter().map(log::line));
    lines.join("\n")
}

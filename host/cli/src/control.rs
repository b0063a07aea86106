//! `openexec control`: stopping and releasing what runs, on the host's own machine.
//!
//! In scope: writing the operator's will into the ledger, where the running host finds it.
//! Out of scope: enforcing it. The ledger does, from the commit on that is made here.

use std::error::Error;
use std::process::ExitCode;

use openexec_core::control::Target;
use openexec_core::names::{Action, Note, Tenant};
use openexec_ledger::Ledger;
use openexec_server::clock::{Clock, SystemClock};
use serde_json::json;

use crate::args::{ControlCommand, LedgerSource, QuarantineTarget, StatusOptions};
use crate::ledger::open;
use crate::logging::say;

pub(crate) fn run(command: &ControlCommand) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        ControlCommand::Halt(options) => stop(Target::Host, options.reason.as_deref(), &options.ledger),
        ControlCommand::Resume(options) => release(Target::Host, &options.ledger),
        ControlCommand::Quarantine(options) => {
            stop(target(&options.target)?, options.reason.as_deref(), &options.ledger)
        }
        ControlCommand::Release(options) => release(target(&options.target)?, &options.ledger),
        ControlCommand::Status(options) => status(options),
    }
}

fn target(named: &QuarantineTarget) -> Result<Target, Box<dyn Error>> {
    match (&named.tenant, &named.action) {
        (Some(tenant), _) => Ok(Target::Tenant(Tenant::parse(tenant)?)),
        (None, Some(action)) => Ok(Target::Action(Action::parse(action)?)),
        (None, None) => Err("name a --tenant or an --action".into()),
    }
}

fn stop(target: Target, reason: Option<&str>, source: &LedgerSource) -> Result<ExitCode, Box<dyn Error>> {
    let reason = reason.map(Note::parse).transpose()?;
    let what = words(&target);
    let is_new = open(source)?.stop(target, SystemClock.now(), reason).wait()?;
    say(&match is_new {
        true => format!("{what}: stopped. Nothing of it begins from now on, and what is running is sealed interrupted"),
        false => format!("{what}: was already stopped"),
    });
    Ok(ExitCode::SUCCESS)
}

fn release(target: Target, source: &LedgerSource) -> Result<ExitCode, Box<dyn Error>> {
    let what = words(&target);
    let was_stopped = open(source)?.release(target).wait()?;
    say(&format!("{what}: {}", if was_stopped { "released" } else { "was not stopped" }));
    Ok(ExitCode::SUCCESS)
}

fn status(options: &StatusOptions) -> Result<ExitCode, Box<dyn Error>> {
    let controls = open(&options.ledger)?.controls()?;
    if options.json {
        let rows: Vec<_> = controls
            .iter()
            .map(|control| {
                let (kind, name) = match &control.target {
                    Target::Host => ("host", None),
                    Target::Tenant(tenant) => ("tenant", Some(tenant.as_str())),
                    Target::Action(action) => ("action", Some(action.as_str())),
                };
                let reason = control.reason.as_ref().map(Note::as_str);
                json!({"kind": kind, "name": name, "since": control.since.to_string(), "reason": reason})
            })
            .collect();
        say(&json!({ "stopped": rows }).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    if controls.is_empty() {
        say("nothing is stopped");
    }
    for control in controls {
        let reason = control.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        say(&format!("{} since {}{reason}", words(&control.target), control.since));
    }
    Ok(ExitCode::SUCCESS)
}

fn words(target: &Target) -> String {
    match target {
        Target::Host => "everything".to_owned(),
        Target::Tenant(tenant) => format!("tenant {tenant}"),
        Target::Action(action) => format!("action {action}"),
    }
}

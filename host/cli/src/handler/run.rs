//! `openexec handler run`: one run, shown whole.

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;
use std::time::Instant;

use openexec_core::digest::Digest;
use openexec_core::json::{self, Value};
use openexec_core::outcome::Outcome;
use openexec_core::registry::Limits;
use openexec_core::request::Payload;

use super::facts::{self, Facts};
use super::spelling::{count, object, outcome, pretty, resources, text};
use crate::args::handler::RunOptions;
use crate::components;
use crate::logging::say;

pub(crate) fn run(options: &RunOptions) -> Result<ExitCode, Box<dyn Error>> {
    let payload = read_payload(&options.payload)?;
    let told = Facts::of(&options.facts)?;
    let limits = options.limits.over(Limits::default());
    let (path, bytes) = components::read_component(&options.component)?;
    let component = Digest::of(&bytes);
    let sandbox = facts::sandbox(facts::as_pinned(&told.action, &path, bytes, options.profile.profile, limits))?;
    let rerun = told.with(payload, component, limits);
    let begun = Instant::now();
    let run = sandbox.rerun(&rerun)?;
    let time_us = u64::try_from(begun.elapsed().as_micros())?;
    let mut members = outcome(&run.outcome);
    members.push(("resources", resources(run.resources)));
    members.push(("time_us", count(time_us)));
    members.push(("exec_id", text(rerun.facts().exec_id)));
    members.push(("component", text(component)));
    say(&pretty(&object(members)));
    let is_success = matches!(run.outcome, Outcome::Succeeded { .. });
    Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The payload itself, or where it stands.
fn read_payload(argument: &str) -> Result<Payload, Box<dyn Error>> {
    let bytes = match argument.strip_prefix('@') {
        Some(path) => std::fs::read(path).map_err(|error| format!("{path}: {error}"))?,
        None if argument == "-" => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            bytes
        }
        None => argument.as_bytes().to_owned(),
    };
    match json::read(&bytes) {
        Ok(Value::Object(members)) => Ok(Payload::of(members)),
        Ok(other) => Err(format!("the payload must be a JSON object, not {}", other.kind()).into()),
        Err(error) => Err(format!("the payload is not acceptable JSON: {error}").into()),
    }
}

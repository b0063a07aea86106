//! `openexec handler check`: the verdict.

use std::error::Error;
use std::process::ExitCode;

use openexec_core::registry::Limits;
use serde_json::{Value, json};

use super::report::plain;
use super::{Report, Weight, examine_apart};
use crate::args::handler::CheckOptions;
use crate::logging::say;

pub(crate) fn run(options: &CheckOptions) -> Result<ExitCode, Box<dyn Error>> {
    let limits = options.limits.over(Limits::default());
    let report = examine_apart(&options.component, options.profile.profile, limits, true)?.0;
    let is_acceptable = report.is_acceptable();
    if options.json {
        let mut all = serde_json::to_value(&report)?;
        if let Value::Object(members) = &mut all {
            members.insert("acceptable".to_owned(), json!(is_acceptable));
        }
        say(&format!("{all:#}"));
    } else {
        say(&in_words(&report, &options.component.display().to_string()));
    }
    Ok(if is_acceptable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn in_words(report: &Report, path: &str) -> String {
    let verdict = if report.is_acceptable() { "ACCEPTABLE" } else { "NOT ACCEPTABLE" };
    let mut lines = vec![format!("{verdict}: {path}")];
    if report.bytes > 0 {
        lines.push(format!("sha256 {}, {} bytes", report.sha256, report.bytes));
    }
    lines.push(String::new());
    lines.extend(report.lines(Weight::Ok));
    for run in &report.runs {
        let payload: String = plain(&run.payload).chars().take(60).collect();
        let same = if run.repeated { "" } else { ", DIFFERENT the second time" };
        lines.push(format!(
            "    {payload} -> {}, fuel {}, memory {} bytes{same}",
            run.outcome, run.fuel, run.memory_bytes
        ));
    }
    lines.join("\n")
}

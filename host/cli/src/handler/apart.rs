//! Examining a component in a process of its own: whoever sent it may have meant to crash the compiler or to fill memory.
//!
//! In scope: its limits, and what its end says about the component: a crash is a finding.
//! Out of scope: the process (`crate::child`), what is examined (`examine`).
//!
//! Fuel and memory of the runs are the sandbox's; the limits here are for the compiler.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use openexec_core::registry::{Limits, Profile};
use rustix::process::Resource;

use super::Report;
use super::report::plain;
use crate::args::handler::LimitOptions;
use crate::child::{self, Ended};
use crate::components::{self, SourceError};

/// Processor time of all threads: the largest component that was measured (Python, 21 MB) takes a fifth of it.
const CPU_S_MAX: u64 = 300;

/// Wall-clock time, for a compiler that waits instead of working.
const PATIENCE: Duration = Duration::from_mins(10);

/// Memory of the compiler: the largest component that was measured takes a third of it. Address space that is reserved
/// for the pool and never touched does not count here, as it would with `RLIMIT_AS`.
const DATA_BYTES_MAX: u64 = 2 << 30;

/// Reads a component and examines it; gives its bytes back with the report, and no bytes if there are too many.
pub(crate) fn examine_apart(
    path: &Path,
    profile: Profile,
    limits: Limits,
    run_twice: bool,
) -> Result<(Report, Vec<u8>), Box<dyn Error>> {
    let (name, bytes) = match components::read_component(path) {
        Ok(read) => read,
        Err(error @ SourceError::TooLarge { .. }) => {
            let mut report = Report::of(&[]);
            report.problem("size", error.to_string(), "build it without what it does not need, or split it");
            return Ok((report, Vec::new()));
        }
        Err(error) => return Err(error.into()),
    };
    let mut arguments = vec!["handler".to_owned(), "examine".to_owned(), format!("--profile={}", profile.as_str())];
    arguments.extend(run_twice.then(|| "--run-twice".to_owned()));
    let limits = LimitOptions::all(limits);
    arguments.extend(limits.named().map(|(key, value)| format!("--{}={value}", key.replace('_', "-"))));
    arguments.extend(["--".to_owned(), name]);
    let Ended { said, complaint, status } = child::run(&arguments, &bytes, PATIENCE)?;
    let complaint = plain(&complaint);
    let mut report = match status {
        Some(status) if status.success() => serde_json::from_slice(&said)?,
        // The child has looked, and the machine, not the component, was the matter.
        Some(status) if status.code() == Some(2) => return Err(complaint.into()),
        Some(status) => crashed(&bytes, &format!("the compiler did not survive it ({status}): {complaint}")),
        None => crashed(&bytes, &format!("it was not examined within {} s, and was given up", PATIENCE.as_secs())),
    };
    let asked = Report::of(&bytes);
    if report.sha256 != asked.sha256 {
        report = asked;
        report.problem("digest", "other bytes were examined than were read", "try again; this is a defect of openexec");
    }
    Ok((report, bytes))
}

fn crashed(bytes: &[u8], found: &str) -> Report {
    let mut report = Report::of(bytes);
    let fix = "build it with released tools for WebAssembly 2, or make it smaller; no host could load it as it is";
    report.problem("compiler", found, fix);
    report
}

/// Called by the child before it reads a byte: what it may use from here on.
pub(super) fn limit_this_process(memory_bytes: u64) -> rustix::io::Result<()> {
    let data_bytes_max = DATA_BYTES_MAX.saturating_add(memory_bytes);
    child::limit_this_process(&[(Resource::Cpu, CPU_S_MAX), (Resource::Data, data_bytes_max)])
}

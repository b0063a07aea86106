//! Examining a component in a process of its own: whoever sent it may have meant to crash the compiler or to fill memory.
//!
//! In scope: the process, its limits and its end. A crash is a finding about the component.
//! Out of scope: what is examined (`examine`).
//!
//! The bytes go through a pipe, so what was examined is what was read, whatever becomes of the file. Fuel and memory of the
//! runs are the sandbox's; the limits here are for the compiler.

use std::error::Error;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use openexec_core::registry::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Report;
use super::report::plain;
use crate::args::handler::LimitOptions;
use crate::components::{self, SourceError};

/// Processor time of all threads: the largest component that was measured (Python, 21 MB) takes a fifth of it.
const CPU_S_MAX: u64 = 300;

/// Wall-clock time, for a compiler that waits instead of working.
const PATIENCE: Duration = Duration::from_mins(10);

/// Memory of the compiler: the largest component that was measured takes a third of it. Address space that is reserved
/// for the pool and never touched does not count here, as it would with `RLIMIT_AS`.
const DATA_BYTES_MAX: u64 = 2 << 30;

/// How often somebody who waits is told that it goes on.
const PROGRESS: Duration = Duration::from_secs(5);

/// What is kept of what the child said while it died.
const LAST_WORDS_CHARS: usize = 300;

/// Reads a component and examines it; gives its bytes back with the report, and no bytes if there are too many.
pub(crate) fn examine_apart(path: &Path, limits: Limits, run_twice: bool) -> Result<(Report, Vec<u8>), Box<dyn Error>> {
    let (name, bytes) = match components::read_component(path) {
        Ok(read) => read,
        Err(error @ SourceError::TooLarge { .. }) => {
            let mut report = Report::of(&[]);
            report.problem("size", error.to_string(), "build it without what it does not need, or split it");
            return Ok((report, Vec::new()));
        }
        Err(error) => return Err(error.into()),
    };
    let mut child = Command::new(std::env::current_exe()?)
        .args(["handler", "examine"])
        .args(run_twice.then_some("--run-twice"))
        .args(LimitOptions::all(limits).named().map(|(key, value)| format!("--{}={value}", key.replace('_', "-"))))
        .arg("--")
        .arg(&name)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (said, last_words, ended) = talk(&mut child, &bytes)?;
    let mut report = match ended {
        Ended::Itself(status) if status.success() => serde_json::from_slice(&said)?,
        // The child has looked, and the machine, not the component, was the matter.
        Ended::Itself(status) if status.code() == Some(2) => return Err(last_words.into()),
        Ended::Itself(status) => crashed(&bytes, &format!("the compiler did not survive it ({status}): {last_words}")),
        Ended::Killed => {
            crashed(&bytes, &format!("it was not examined within {} s, and was given up", PATIENCE.as_secs()))
        }
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

enum Ended {
    Itself(ExitStatus),
    Killed,
}

/// Hands the bytes over, reads what comes back, and waits no longer than `PATIENCE`.
fn talk(child: &mut Child, bytes: &[u8]) -> Result<(Vec<u8>, String, Ended), Box<dyn Error>> {
    let (mut input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(move || {
            // A child that died does not read on; how it died is known below.
            let _ = input.as_mut().map(|input| input.write_all(bytes));
        });
        let said = scope.spawn(|| read_all(output));
        let cried = scope.spawn(|| read_all(errors));
        let ended = wait(child)?;
        let said = said.join().unwrap_or_default();
        let cried = String::from_utf8_lossy(&cried.join().unwrap_or_default()).trim().to_owned();
        let first = cried.strip_prefix("openexec: ").unwrap_or(&cried);
        Ok((said, plain(first).chars().take(LAST_WORDS_CHARS).collect(), ended))
    })
}

fn read_all(from: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What came before an error is all there is.
    let _ = from.map(|mut from| from.read_to_end(&mut bytes));
    bytes
}

fn wait(child: &mut Child) -> std::io::Result<Ended> {
    let begun = Instant::now();
    let mut told = begun;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::Itself(status));
        }
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Ok(Ended::Killed);
        }
        if told.elapsed() > PROGRESS && std::io::stderr().is_terminal() {
            told = Instant::now();
            let _ = writeln!(std::io::stderr(), "compiling and checking, {} s so far", begun.elapsed().as_secs());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Called by the child before it reads a byte: what it may use from here on.
pub(super) fn limit_this_process(memory_bytes: u64) -> rustix::io::Result<()> {
    let limits = [
        (Resource::Cpu, CPU_S_MAX),
        (Resource::Data, DATA_BYTES_MAX.saturating_add(memory_bytes)),
        (Resource::Core, 0),
    ];
    for (resource, most) in limits {
        let present = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let most = Some(most.min(present));
        setrlimit(resource, Rlimit { current: most, maximum: most })?;
    }
    Ok(())
}

//! The examination itself, in the process that `apart` starts: bytes on standard input, a report on standard output.
//!
//! In scope: what kind of file it is, the checks of a start (`openexec_sandbox`), what to do about each, the description,
//! running twice.
//! Out of scope: whether a component that imports nothing can be told apart from a harmful one. It cannot reach anything.

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;

use openexec_core::json::{self, Value as Strict};
use openexec_core::names::Action;
use openexec_core::outcome::{Fault, Outcome, Run};
use openexec_core::registry::{Limits, Profile};
use openexec_core::request::Payload;
use openexec_sandbox::{ComponentFile, Sandbox, SandboxError, Schemas, StartError};
use serde_json::Value;

use super::facts::{self, Facts};
use super::report::{OfPool, Report, Said, Tried};
use super::{apart, samples};
use crate::args::handler::{ExamineOptions, FactOptions};
use crate::logging::say;

/// Largest description that is stored: the registry is a file for people.
const DESCRIPTION_BYTES_MAX: usize = 256 * 1024;

/// What this host compiles, for whoever has to build with less.
const FEATURES: &str = "build it without: this host takes WebAssembly 2 (SIMD included), extended-const, multi-memory and \
     tail calls, and no threads, memory64, exceptions, GC, relaxed SIMD or component async";

pub(crate) fn run(options: &ExamineOptions) -> Result<ExitCode, Box<dyn Error>> {
    let limits = options.limits.over(Limits::default());
    apart::limit_this_process(limits.memory_bytes)?;
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    let report = examine(&options.path, bytes, options.profile.profile, limits, options.run_twice)?;
    say(&serde_json::to_string(&report)?);
    Ok(ExitCode::SUCCESS)
}

fn examine(
    path: &str,
    bytes: Vec<u8>,
    profile: Profile,
    limits: Limits,
    run_twice: bool,
) -> Result<Report, Box<dyn Error>> {
    let mut report = Report::of(&bytes);
    if let Some((found, fix)) = not_a_component(&bytes) {
        report.problem("kind", found, fix);
        return Ok(report);
    }
    report.ok("kind", "a WebAssembly component");
    let action = Action::parse("examined")?;
    let file = || facts::as_pinned(&action, path, bytes.clone(), profile, limits);
    let sandbox = match facts::sandbox(file()) {
        Ok(sandbox) => sandbox,
        Err(error) => {
            add_problems(&mut report, &file(), error)?;
            return Ok(report);
        }
    };
    add_imports(&mut report, &sandbox.imports(&action), profile);
    report.ok("contract", "openexec:handler/guest@1.0.0, as wit/handler.wit defines it");
    add_needs(&mut report, &sandbox, &action);
    let schema = add_description(&mut report, &sandbox, &action);
    if run_twice {
        add_runs(&mut report, &sandbox, &action, limits, &schema)?;
    }
    Ok(report)
}

/// What else a file is that is no component.
fn not_a_component(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    let known = bytes.get(..8).unwrap_or(bytes);
    if known == COMPONENT {
        return None;
    }
    Some(if bytes.is_empty() {
        ("the file is empty", "give the component that the build wrote")
    } else if bytes.starts_with(b"\x7fELF") {
        (
            "a program or compiled code (ELF), such as a .cwasm artifact, and no component",
            "give the component (.wasm) that it was compiled from; what is pinned is what can be checked",
        )
    } else if COMPONENT.starts_with(known) || known.len() < 8 && known.starts_with(b"\0asm") {
        ("WebAssembly that ends within its first 8 bytes", "copy the file again: it is truncated")
    } else if known == b"\0asm\x01\0\0\0" {
        (
            "a core WebAssembly module, not a component",
            "encode it with `wasm-tools component new`, from a module that was built against wit/handler.wit",
        )
    } else if bytes.starts_with(b"\0asm") {
        (
            "WebAssembly of a version that this host does not know",
            "encode it with a released version of the tools: version 0x0d, layer 1",
        )
    } else {
        ("not WebAssembly at all", "give the component (.wasm) that the build wrote")
    })
}

/// Everything that a start would refuse, and not only what it refused first.
fn add_problems(report: &mut Report, file: &ComponentFile, first: StartError) -> Result<(), Box<dyn Error>> {
    if matches!(
        first,
        StartError::Engine { .. } | StartError::Ticker(_) | StartError::TickerThread(_) | StartError::NoCompiler
    ) {
        return Err(first.into()); // the machine's matter, not the component's
    }
    let examined = openexec_sandbox::examine(file)?;
    let n_before = report.findings.len();
    let refused = match file.pin.profile {
        Profile::Pure => &examined.imports,
        Profile::Wasi => &examined.beyond_wasi,
    };
    for import in refused {
        let (found, fix) = import_and_cure(import);
        report.problem("imports", format!("{import}: {found}"), fix);
    }
    if file.pin.profile == Profile::Pure && !refused.is_empty() && examined.beyond_wasi.is_empty() {
        let found = "the profile 'pure' links nothing; the profile 'wasi' links all of these, each of them virtual";
        report.note("profile", found, "if nobody can build it without them, --profile wasi");
    }
    for problem in examined.problems {
        match problem {
            StartError::Imports { .. } => {} // each is named above
            StartError::NotLinked { cause, .. } => {
                report.problem(
                    "imports",
                    cause,
                    "build it with released tools of WASI 0.2, or so that it imports nothing",
                );
            }
            StartError::NotAHandler { cause, .. } => {
                let (found, fix) = other_contract(&cause, &examined.exports);
                report.problem("contract", found, fix);
            }
            StartError::NotAcceptable { cause, .. } => add_refused_by_compiler(report, &cause),
            StartError::TooLarge { what, needed, limit, allowed, remedy, .. } => {
                report.problem("room", format!("needs {what} {needed}, and {limit} {allowed}"), remedy);
            }
            StartError::CoreModule { .. }
            | StartError::CompiledCode { .. }
            | StartError::DigestMismatch { .. }
            | StartError::NoCompiler
            | StartError::CannotCompile { .. }
            | StartError::Artifact(_)
            | StartError::Schema { .. }
            | StartError::DescribedOtherwise { .. }
            | StartError::NotDescribed { .. }
            | StartError::Engine { .. }
            | StartError::Ticker(_)
            | StartError::TickerThread(_) => report.problem("start", problem.to_string(), "as it says"),
        }
    }
    if report.findings.len() == n_before {
        report.problem("start", first.to_string(), "as it says");
    }
    Ok(())
}

/// What it imports, which its profile links.
fn add_imports(report: &mut Report, imports: &[String], profile: Profile) {
    match (imports.is_empty(), profile) {
        (true, Profile::Pure) => report.ok("imports", "nothing"),
        (true, Profile::Wasi) => report.note("imports", "nothing", "--profile pure, which promises more"),
        (false, _) => report.note(
            "imports",
            format!("WASI 0.2, in a world of its own: {}", imports.join(", ")),
            "know what that means (handlers/README.md): time starts at the reservation and jumps, and whoever knows the \
             request can compute every random number",
        ),
    }
}

fn add_refused_by_compiler(report: &mut Report, cause: &str) {
    let says = |word: &str| cause.contains(word);
    if says("unexpected end") || says("unexpected EOF") || says("out of bounds") && says("section") {
        report.problem("whole", format!("it ends in the middle: {cause}"), "copy the file again: it is truncated");
    } else if says("exceeds the configured maximum") || says("exceeds the limit") {
        let fix = "link its parts into fewer modules, with fewer adapters; this host allows 40 core instances, 3 memories \
             and 3 tables";
        report.problem("room", cause, fix);
    } else if says("must be enabled") || says("not enabled") || says("support is not") || says("feature") {
        report.problem("features", cause, FEATURES);
    } else {
        let fix = "it is damaged, or built by tools newer than this host; build it again with released tools";
        report.problem("valid", cause, fix);
    }
}

/// What pulls an import in, and what to do instead.
fn import_and_cure(import: &str) -> (&'static str, &'static str) {
    let cures = [
        ("wasi:random/", "random numbers, or a hash map with a random seed", "derive ids and seeds from `exec-id`"),
        ("wasi:clocks/", "the clock, or sleeping", "take the time from `issued-at`; nothing can wait"),
        ("wasi:sockets/", "the network", "return an effect: what is outside is asked by whoever carries it out"),
        ("wasi:http/", "HTTP", "return an effect: what is outside is asked by whoever carries it out"),
        (
            "wasi:filesystem/",
            "files",
            "put data into the component when it is built; return an effect to write something",
        ),
        (
            "wasi:cli/",
            "a `main`, printing, arguments, environment or exit of a WASI runtime",
            "build a library without WASI (wasm32-unknown-unknown), or put a WASI stub inside the component",
        ),
        (
            "wasi:io/",
            "streams and polling, which come with the other imports of WASI",
            "remove what needs the others; this one goes with them",
        ),
        ("wasi:", "a WASI interface", "build it without WASI, or put a stub inside the component"),
        (
            "openexec:handler/",
            "types of the contract from outside",
            "build it against wit/handler.wit, in which the interface has its own types",
        ),
    ];
    let cure = cures.into_iter().find(|(prefix, ..)| import.starts_with(prefix));
    cure.map_or(("nothing can give it", "put it inside the component (`wac plug`), or remove what asks for it"), |c| {
        (c.1, c.2)
    })
}

fn other_contract(cause: &str, exports: &[String]) -> (String, String) {
    let is_guest = |export: &&String| export.starts_with("openexec:handler/guest@");
    match exports.iter().find(is_guest).map(String::as_str) {
        Some("openexec:handler/guest@1.0.0") => (
            format!("exports the contract with another signature: {cause}"),
            "build it against wit/handler.wit".to_owned(),
        ),
        Some(version) => (
            format!("exports another version of the contract, {version}; this host runs openexec:handler/guest@1.0.0"),
            "build it against the wit/handler.wit of this host".to_owned(),
        ),
        None => {
            let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
            (
                format!("is of another world: it exports {exports}, and not openexec:handler/guest@1.0.0"),
                "build it against the world `handler` of wit/handler.wit".to_owned(),
            )
        }
    }
}

fn add_needs(report: &mut Report, sandbox: &Sandbox, action: &Action) {
    let needs = sandbox.needs(action);
    let words: Vec<_> = needs.iter().map(|need| format!("{} {} of {}", need.what, need.needed, need.allowed)).collect();
    report.ok("room", words.join(", "));
    let needed =
        needs.into_iter().map(|need| OfPool { what: need.what.to_owned(), needed: need.needed, allowed: need.allowed });
    report.needs = needed.collect();
}

/// Asks the handler what it is. Gives the payload schema, or one that allows anything.
fn add_description(report: &mut Report, sandbox: &Sandbox, action: &Action) -> Value {
    let anything = Value::Object(serde_json::Map::new());
    let (schemas, said) = match sandbox.describe(action) {
        Ok(description) => (Schemas::compile(&description), Said::from(description)),
        Err(error) => {
            let fix = "return constants from `describe`; raise the limits of the pin if it needs more";
            report.problem("description", error.to_string(), fix);
            return anything;
        }
    };
    let size: usize = said.parts().iter().map(|(_, text)| text.len()).sum();
    if size > DESCRIPTION_BYTES_MAX {
        let found = format!("`describe` says {size} bytes, and {DESCRIPTION_BYTES_MAX} are stored at most");
        report.problem("description", found, "shorten the summary and the schemas");
        return anything;
    }
    if said.title.trim().is_empty() {
        report.note("description", "it has no title", "give it a few words, for lists of actions");
    }
    let payload_schema = add_schema(report, "payload schema", &said.payload_schema);
    let output_schema = add_schema(report, "output schema", &said.output_schema);
    if payload_schema.is_some() && output_schema.is_some() {
        match schemas {
            Ok(_) => {
                report.ok("description", format!("\"{}\", the same twice; both schemas can be used", said.title));
                report.description = Some(said);
            }
            Err(error) => {
                let fix =
                    "a schema (2020-12) refers to itself only (`#/$defs/NAME`), and has patterns without look-around";
                report.problem("description", error.to_string(), fix);
            }
        }
    }
    payload_schema.unwrap_or(anything)
}

fn add_schema(report: &mut Report, which: &str, text: &str) -> Option<Value> {
    let fix = "return a JSON Schema (2020-12): one JSON object, as text; {} allows anything";
    match serde_json::from_str(text) {
        Ok(schema @ Value::Object(_)) => Some(schema),
        Ok(_) => {
            report.problem("description", format!("the {which} is JSON, but no object"), fix);
            None
        }
        Err(error) => {
            report.problem("description", format!("the {which} is not JSON: {error}"), fix);
            None
        }
    }
}

/// Runs it twice on each sample and compares everything, fuel included.
fn add_runs(
    report: &mut Report,
    sandbox: &Sandbox,
    action: &Action,
    limits: Limits,
    schema: &Value,
) -> Result<(), Box<dyn Error>> {
    let told = FactOptions {
        action: action.as_str().to_owned(),
        tenant: "demo".to_owned(),
        nonce: "nonce-of-a-test-run".to_owned(),
        issued_at: 1_767_225_600_000,
    };
    let told = Facts::of(&told)?;
    let component = openexec_core::digest::Digest::parse(&report.sha256)?;
    for sample in samples::of(schema) {
        // What the strict reader does not take never reaches a handler.
        let Ok(Strict::Object(members)) = json::read(sample.to_string().as_bytes()) else { continue };
        let rerun = told.with(Payload::of(members), component, limits);
        let twice = || -> Result<(Run, Run), SandboxError> { Ok((sandbox.rerun(&rerun)?, sandbox.rerun(&rerun)?)) };
        let (first, second) = twice()?;
        report.runs.push(Tried {
            payload: sample.to_string(),
            outcome: word(&first.outcome),
            fuel: first.resources.fuel,
            memory_bytes: first.resources.memory_bytes,
            repeated: first == second || is_deadline(&first) || is_deadline(&second),
        });
        if is_deadline(&first) || is_deadline(&second) {
            let fix = "lower --fuel, so that fuel ends such a run, the same on every machine; or raise --deadline-ms";
            report.note("determinism", format!("the deadline ended a run on {sample}"), fix);
        }
    }
    let n_runs = report.runs.len();
    if report.runs.iter().any(|run| !run.repeated) {
        let fix = "let nothing but the request decide: no addresses, no order of hash maps";
        report.problem("determinism", "two runs on one payload differ", fix);
    } else {
        report.ok("determinism", format!("{n_runs} made-up payloads, each run twice: same outcome, same fuel"));
    }
    if n_runs > 0 && report.runs.iter().all(|run| run.outcome.starts_with("faulted")) {
        let fix = "let it return a failure where it says no; raise --fuel or --memory-bytes if it needs more";
        report.note("determinism", "every made-up payload ended in a fault", fix);
    }
    Ok(())
}

fn is_deadline(run: &Run) -> bool {
    run.outcome.fault() == Some(Fault::Deadline)
}

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(failure) => format!("failed {}", failure.kind.as_str()),
        Outcome::Faulted(fault) => format!("faulted {fault}"),
        Outcome::Succeeded { .. } | Outcome::Interrupted => outcome.status().as_str().to_owned(),
    }
}

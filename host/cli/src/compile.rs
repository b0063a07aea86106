//! `openexec registry compile`: compiles every pinned component and writes the lock.
//!
//! In scope: one child process for each component, under limits of memory and time; writing artifacts and the lock.
//! Out of scope: compiling (`openexec-sandbox`), loading what was compiled (`components`).
//!
//! A hostile component can make a compiler panic or take all memory and time. Then the child ends, and nothing is locked.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use openexec_core::digest::Digest;
use openexec_core::lock::{Artifact, Lock};
use openexec_sandbox::{ENDLESS_LOOP, Sandbox, Settings};
use rustix::process::Resource;

use crate::args::{CompileOneOptions, CompileOptions};
use crate::child::{self, Ended};
use crate::handler::plain;
use crate::logging::say;
use crate::{components, files, signature};

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
enum CompileError {
    #[error(
        "{path}: the compiler took longer than {seconds} s and was stopped: raise --seconds if you trust the component"
    )]
    TooLong { path: String, seconds: u64 },
    #[error("{path}: the compiler refused: {complaint}")]
    Refused { path: String, complaint: String },
    #[error(
        "{path}: the compiler died ({status}; {complaint}): it panicked, or needed more than the {memory_mib} MiB of --memory-mib; nothing else was harmed"
    )]
    Died { path: String, status: ExitStatus, complaint: String, memory_mib: u64 },
    #[error("the compiler's process cannot be started or spoken to: {0}")]
    Process(#[from] std::io::Error),
    #[error("{0}: the paths of a lock are UTF-8; choose another --out")]
    NotUnicode(PathBuf),
    #[error("the built-in registry has no folder of its own: say where the lock goes with --registry-lock FILE")]
    NoPlace,
}

/// Compiles and locks every pinned component.
pub(crate) fn run(options: &CompileOptions) -> Result<ExitCode, Box<dyn Error>> {
    let lock_path = options.registry.lock_path().ok_or(CompileError::NoPlace)?;
    let beside = lock_path.parent().unwrap_or(Path::new("")).to_owned();
    let folder = options.out.clone().unwrap_or_else(|| beside.join("artifacts"));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}: choose another --out", folder.display()))?;
    let (registry, files) = components::load_components(&options.registry)?;
    let mut to_compile = BTreeMap::new();
    to_compile.insert(Digest::of(ENDLESS_LOOP), ("the deadline clock's proof".to_owned(), ENDLESS_LOOP.to_vec()));
    for file in files {
        let digest = file.pin.digest;
        let pinned = file.check()?;
        to_compile.insert(digest, (pinned.path().to_owned(), pinned.bytes().to_vec()));
    }
    let mut artifacts = BTreeMap::new();
    for (component, (path, bytes)) in &to_compile {
        let started = Instant::now();
        let code = compile(path, bytes, options)?;
        let file = folder.join(format!("{component}.cwasm"));
        files::replace(&file, &code)?;
        let seconds = started.elapsed().as_secs_f64();
        say(&format!("{path}: {} bytes in {seconds:.1} s -> {} bytes", bytes.len(), code.len()));
        artifacts.insert(*component, Artifact { path: relative(&file, &beside)?, digest: Digest::of(&code) });
    }
    let target = options.target.clone().unwrap_or_else(Sandbox::target);
    let is_ours = target == Sandbox::target();
    let lock = Lock { engine: Sandbox::engine_digest(), target, artifacts };
    let text = lock.to_toml();
    if is_ours {
        // What this machine can try, it tries: nothing is locked that would not start.
        let code = components::locked_code(&registry, &text, &lock_path)?;
        Sandbox::start_locked(code, Settings { n_slots: 1 })?;
    }
    files::replace(&lock_path, text.as_bytes())?;
    say(&format!("locked {} components for {}: {}", lock.artifacts.len() - 1, lock.target, lock_path.display()));
    let files = [options.registry.registry.as_deref(), Some(&*lock_path)];
    signature::say_if_stale(&files.into_iter().flatten().collect::<Vec<_>>())?;
    Ok(ExitCode::SUCCESS)
}

/// The hidden half: compiles what comes in on stdin, under limits that it sets itself first.
pub(crate) fn run_one(options: &CompileOneOptions) -> Result<ExitCode, Box<dyn Error>> {
    let bytes = options.memory_mib << 20;
    child::limit_this_process(&[(Resource::As, bytes)])?;
    let mut component = Vec::new();
    std::io::stdin().read_to_end(&mut component)?;
    let code = Sandbox::compile(&component, &options.path, options.target.as_deref())?;
    std::io::stdout().write_all(&code)?;
    Ok(ExitCode::SUCCESS)
}

/// Compiles one component in a process of its own.
fn compile(path: &str, component: &[u8], options: &CompileOptions) -> Result<Vec<u8>, CompileError> {
    let memory_mib = options.memory_mib.to_string();
    let mut arguments = vec!["compile-one", "--memory-mib", &memory_mib];
    arguments.extend(options.target.iter().flat_map(|target| ["--target", target]));
    arguments.extend(["--", path]);
    let arguments: Vec<_> = arguments.into_iter().map(ToOwned::to_owned).collect();
    let Ended { said: code, complaint, status } =
        child::run(&arguments, component, Duration::from_secs(options.seconds))?;
    let (path, complaint) = (path.to_owned(), plain(&complaint));
    match status {
        None => Err(CompileError::TooLong { path, seconds: options.seconds }),
        Some(status) if status.success() && !code.is_empty() => Ok(code),
        Some(status) if status.code() == Some(2) => Err(CompileError::Refused { path, complaint }),
        Some(status) => Err(CompileError::Died { path, status, complaint, memory_mib: options.memory_mib }),
    }
}

/// The path of an artifact as a lock in `beside` names it.
fn relative(file: &Path, beside: &Path) -> Result<String, Box<dyn Error>> {
    let path = match file.strip_prefix(beside) {
        Ok(inside) => inside.to_owned(),
        Err(_) => std::path::absolute(file)?,
    };
    let text = path.to_str().map(ToOwned::to_owned);
    text.ok_or_else(|| CompileError::NotUnicode(path).into())
}

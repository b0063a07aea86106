//! Compiling pinned components: `openexec registry compile`, and a start without a lock.
//!
//! In scope: one child process for each component, under limits of memory and time; writing artifacts and the lock.
//! Out of scope: compiling (`openexec-sandbox`), loading what was compiled (`components`).
//!
//! A hostile component can make a compiler panic or take all memory and time. Then the child ends, and nothing is locked,
//! or started.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use openexec_core::digest::Digest;
use openexec_core::lock::{Artifact, Lock};
use openexec_sandbox::{
    ArtifactFile, ComponentFile, CurrentLock, ENDLESS_LOOP, LockedCode, LockedFile, PinnedComponent, Sandbox, Settings,
    StartError,
};
use rustix::process::Resource;

use crate::args::{CompileOneOptions, CompileOptions, CompilerOptions};
use crate::child::{self, Ended};
use crate::handler::plain;
use crate::logging::say;
use crate::{components, files, signature};

/// How many components a start compiles at once. Each compiler uses every core where it can; two keep the cores busy where
/// one cannot, and no more than two have their memory at a time.
const N_AT_ONCE: usize = 2;

/// What error texts call the component that the deadline clock proves itself with.
const PROOF: &str = "the deadline clock's proof";

/// Why a component was not compiled, or what was compiled did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    #[error(
        "{path}: the compiler took longer than {seconds} s and was stopped: raise --compile-seconds if you trust the component"
    )]
    TooLong { path: String, seconds: u64 },
    #[error("{complaint}")]
    Refused { complaint: String },
    #[error(
        "{path}: the compiler died ({status}; {complaint}): it panicked, or needed more than the {memory_mib} MiB of --compile-memory-mib; nothing else was harmed"
    )]
    Died { path: String, status: ExitStatus, complaint: String, memory_mib: u64 },
    #[error("the compiler's process cannot be started or spoken to: {0}")]
    Process(#[from] std::io::Error),
    #[error("{0}: the paths of a lock are UTF-8; choose another --out")]
    NotUnicode(PathBuf),
    #[error("the built-in registry has no folder of its own: say where the lock goes with --registry-lock FILE")]
    NoPlace,
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Compiles and locks every pinned component.
pub(crate) fn run(options: &CompileOptions) -> Result<ExitCode, Box<dyn Error>> {
    let lock_path = options.registry.lock_path().ok_or(CompileError::NoPlace)?;
    let beside = lock_path.parent().unwrap_or(Path::new("")).to_owned();
    let folder = options.out.clone().unwrap_or_else(|| beside.join("artifacts"));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}: choose another --out", folder.display()))?;
    let (registry, files) = components::load_components(&options.registry)?;
    let mut to_compile = BTreeMap::new();
    to_compile.insert(Digest::of(ENDLESS_LOOP), (PROOF.to_owned(), ENDLESS_LOOP.to_vec()));
    for file in files {
        let digest = file.pin.digest;
        let pinned = file.check()?;
        to_compile.insert(digest, (pinned.path().to_owned(), pinned.bytes().to_vec()));
    }
    let mut artifacts = BTreeMap::new();
    for (component, (path, bytes)) in &to_compile {
        let started = Instant::now();
        let code = compile(path, bytes, options.target.as_deref(), options.registry.compiler)?;
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
    let CompilerOptions { memory_mib, seconds } = options.limits;
    // The parent stops a child that takes too long. The limit of processor time is for one whose parent is gone.
    let n_cores = thread::available_parallelism().map_or(1, usize::from) as u64;
    child::limit_this_process(&[(Resource::As, memory_mib << 20), (Resource::Cpu, seconds * n_cores + 1)])?;
    let mut component = Vec::new();
    std::io::stdin().read_to_end(&mut component)?;
    let code = Sandbox::compile(&component, &options.path, options.target.as_deref())?;
    std::io::stdout().write_all(&code)?;
    Ok(ExitCode::SUCCESS)
}

/// Compiles what a start without a lock runs. What the child hands over is loaded as an artifact is that a lock names.
pub(crate) fn at_start(files: Vec<ComponentFile>, limits: CompilerOptions) -> Result<LockedCode, CompileError> {
    let proof = Sandbox::compile(ENDLESS_LOOP, PROOF, None)?; // ours, and so compiled here
    let mut actions = Vec::new();
    let mut pinned = BTreeMap::new();
    for file in files {
        actions.push((file.action.clone(), file.pin.clone()));
        pinned.insert(file.pin.digest, file.check()?);
    }
    let code = compile_all(pinned, limits)?;
    let mut digests: BTreeMap<_, _> =
        code.iter().map(|(component, file)| (*component, Digest::of(&file.bytes))).collect();
    digests.insert(Digest::of(ENDLESS_LOOP), Digest::of(&proof));
    let handlers = actions.into_iter().filter_map(|(action, pin)| {
        let artifact = code.get(&pin.digest)?.clone();
        Some(LockedFile { action, pin, artifact })
    });
    let handlers = handlers.collect();
    let proof = ArtifactFile { path: PROOF.to_owned(), bytes: proof };
    Ok(LockedCode { lock: CurrentLock::of_this_start(digests), proof, handlers })
}

/// Compiles each component once, a few at once. The first error ends it, once those that have begun have ended.
fn compile_all(
    pinned: BTreeMap<Digest, PinnedComponent>,
    limits: CompilerOptions,
) -> Result<BTreeMap<Digest, ArtifactFile>, CompileError> {
    let n_workers = pinned.len().min(N_AT_ONCE);
    let to_compile = Mutex::new(pinned.into_iter());
    let next = || to_compile.lock().ok()?.next();
    let work = || {
        let mut compiled = Vec::new();
        while let Some((digest, component)) = next() {
            match compile(component.path(), component.bytes(), None, limits) {
                Ok(bytes) => compiled.push((digest, ArtifactFile { path: component.path().to_owned(), bytes })),
                Err(error) => {
                    while next().is_some() {} // nobody begins another
                    return Err(error);
                }
            }
        }
        Ok(compiled)
    };
    let results: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..n_workers).map(|_| scope.spawn(work)).collect();
        let died = || Err(CompileError::Process(std::io::Error::other("a thread that waits for one died")));
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| died())).collect()
    });
    let compiled: Vec<_> = results.into_iter().collect::<Result<_, _>>()?;
    Ok(compiled.into_iter().flatten().collect())
}

/// Compiles one component in a process of its own.
fn compile(
    path: &str,
    component: &[u8],
    target: Option<&str>,
    limits: CompilerOptions,
) -> Result<Vec<u8>, CompileError> {
    let CompilerOptions { memory_mib, seconds } = limits;
    let (memory, time) = (memory_mib.to_string(), seconds.to_string());
    let mut arguments = vec!["compile-one", "--compile-memory-mib", &memory, "--compile-seconds", &time];
    arguments.extend(target.iter().flat_map(|target| ["--target", target]));
    arguments.extend(["--", path]);
    let arguments: Vec<_> = arguments.into_iter().map(ToOwned::to_owned).collect();
    let Ended { said: code, complaint, status } = child::run(&arguments, component, Duration::from_secs(seconds))?;
    let (path, complaint) = (path.to_owned(), plain(&complaint));
    match status {
        None => Err(CompileError::TooLong { path, seconds }),
        Some(status) if status.success() && !code.is_empty() => Ok(code),
        Some(status) if status.code() == Some(2) => Err(CompileError::Refused { complaint }),
        Some(status) => Err(CompileError::Died { path, status, complaint, memory_mib }),
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

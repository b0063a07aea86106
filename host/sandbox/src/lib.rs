//! The sandbox: runs a pinned component, once, under limits, with no authority at all.
//!
//! In scope: engine settings (`engine`), compiling (`compile`), pins becoming handlers (`component`), code that was compiled
//! earlier (`artifact`), all that speaks against a component (`examine`), one run (`run`), what handlers take and give
//! (`schema`), the virtual WASI of the profile `wasi` (`wasi`), the clock below the deadline (`ticker`).
//! Out of scope: which request may run (`openexec-core`), whether it already ran (`openexec-ledger`).
//!
//! Invariants
//! - A component is compiled, or its locked artifact loaded, and linked before the first run; none is loaded after `Sandbox::start`.
//! - A run gets a fresh store and a fresh instance, and both are dropped before the answer is used.
//! - The linker of the profile `pure` is empty, and that of the profile `wasi` holds a virtual WASI alone (`wasi`): a
//!   component that imports anything else is refused at start.
//! - `run` takes a `Reservation`, `rerun` an execution that is over. There is no other way to call a handler.

mod artifact;
#[cfg(feature = "compiler")]
mod compile;
#[cfg(not(feature = "compiler"))]
#[path = "no_compiler.rs"]
mod compile;
mod component;
mod engine;
mod examine;
mod run;
mod schema;
mod ticker;
mod wasi;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use openexec_core::admission::PayloadCheck;
use openexec_core::digest::Digest;
use openexec_core::limits::MEMORY_BYTES_DEFAULT;
use openexec_core::names::Action;
use openexec_core::outcome::{Fault, Outcome, Resources, Run};
use openexec_core::refusal::Violation;
use openexec_core::registry::{Description, Pin, Profile};
use openexec_core::reservation::{Rerun, Reservation, Reserved};
use wasmtime::Engine;
use wasmtime::component::Component;

pub use artifact::{ArtifactError, ArtifactFile, CurrentLock, LockedCode, LockedFile};
use component::LinkedHandler;
pub use component::{ComponentFile, PinnedComponent};
pub use examine::{Examined, Need, examine};
use run::{Attempt, Judge, Patience};
pub use schema::{SchemaError, Schemas};
pub use ticker::ENDLESS_LOOP;
use ticker::Ticker;

/// A run that never began.
const INTERRUPTED: Run = Run { outcome: Outcome::Interrupted, resources: Resources { fuel: 0, memory_bytes: 0 } };

/// Whether the operator has stopped a run. Asked on the thread of the run, so it must not block.
pub type IsStopped = Arc<dyn Fn() -> bool + Send + Sync>;

/// Everything that can run.
pub struct Sandbox {
    handlers: BTreeMap<Action, LinkedHandler>,
    engine: Engine,
    settings: Settings,
    ticker: Ticker,
}

/// What the sandbox depends on besides the components.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most runs at once. Each has a slot in the pool; the caller starts no more than this.
    pub n_slots: u32,
}

/// Why the sandbox does not start. The text names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The bytes are not the pinned ones.
    #[error(
        "{path}: SHA-256 is {found}, but action '{action}' pins {pinned}: restore the pinned file, or pin the new one if you mean to run it"
    )]
    DigestMismatch {
        /// The file.
        path: String,
        /// The action that pins it.
        action: Action,
        /// In the registry.
        pinned: Digest,
        /// Of the file.
        found: Digest,
    },
    /// A core module.
    #[error("{path}: a core WebAssembly module, not a component: encode it with `wasm-tools component new`")]
    CoreModule {
        /// The file.
        path: String,
    },
    /// Compiled code.
    #[error(
        "{path}: compiled code (.cwasm), not a component: pin the component that it was made of; `openexec registry compile` compiles it, and only registry.lock names compiled code"
    )]
    CompiledCode {
        /// The file.
        path: String,
    },
    /// There is no compiler in this build.
    #[error(
        "this openexec was built without a compiler and runs only code that a lock names: let an openexec of the same version with a compiler run `openexec registry compile`, and start with the registry.lock that it writes (beside the registry, or --registry-lock FILE); what runs a component of your own choosing, such as `receipt verify --replay`, needs an openexec with a compiler"
    )]
    NoCompiler,
    /// The compiler cannot be set up.
    #[error(
        "the compiler cannot be set up ({cause}): name a target of this machine's architecture, such as {}",
        Sandbox::target()
    )]
    CannotCompile {
        /// What wasmtime said.
        cause: String,
    },
    /// A lock, or an artifact that it names, is not what it must be.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Does not compile under the engine's settings.
    #[error("{path}: not an acceptable component: {cause}")]
    NotAcceptable {
        /// The file.
        path: String,
        /// What the compiler said.
        cause: String,
    },
    /// Imports something that its profile does not link.
    #[error("{path}: imports {imports}: {}", cure_of_imports(*.profile, *.wasi_links_them))]
    Imports {
        /// The file.
        path: String,
        /// What, comma-separated.
        imports: String,
        /// The profile of the pin.
        profile: Profile,
        /// Whether the profile `wasi` links all of them.
        wasi_links_them: bool,
    },
    /// Imports an interface of WASI that is not what this host has under its name.
    #[error(
        "{path}: imports WASI 0.2 otherwise than this host has it ({cause}): build it with released tools of WASI 0.2, or so that it imports nothing"
    )]
    NotLinked {
        /// The file.
        path: String,
        /// What differs.
        cause: String,
    },
    /// Does not export the contract.
    #[error(
        "{path}: does not export the interface openexec:handler/guest@1.0.0 as wit/handler.wit defines it ({cause}): build it against that file"
    )]
    NotAHandler {
        /// The file.
        path: String,
        /// What differs.
        cause: String,
    },
    /// Cannot start within its pin or within the pool.
    #[error("{path}: needs {what} {needed}, and {limit} {allowed}: {remedy}")]
    TooLarge {
        /// The file.
        path: String,
        /// Of what.
        what: &'static str,
        /// How much it needs.
        needed: u64,
        /// Which limit.
        limit: &'static str,
        /// How much that allows.
        allowed: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// The registry's description has a schema that cannot be used.
    #[error("action '{action}': {cause}")]
    Schema {
        /// The action.
        action: Action,
        /// Which schema, and what is wrong with it.
        cause: SchemaError,
    },
    /// The handler does not say of itself what the registry says of it.
    #[error(
        "action '{action}': its description in the registry is not what its component says of itself: run `openexec registry pin` again, which writes down what it says"
    )]
    DescribedOtherwise {
        /// The action.
        action: Action,
    },
    /// The handler could not be asked, or does not say the same twice.
    #[error(
        "action '{action}': {cause}; build the handler so that it does and run `openexec registry pin` again, or leave out its [action.NAME.description]"
    )]
    NotDescribed {
        /// The action.
        action: Action,
        /// Why.
        cause: DescribeError,
    },
    /// The engine could not be made.
    #[error(
        "the WebAssembly engine cannot be set up ({cause}): the pool reserves {reserved_gib} GiB of address space; raise `ulimit -v`, or lower --concurrency"
    )]
    Engine {
        /// What wasmtime said.
        cause: String,
        /// Address space the pool asks for.
        reserved_gib: u64,
    },
    /// Deadlines would not be kept.
    #[error("the deadline clock does not move: an endless loop was not stopped within {0} s; is this machine stalled?")]
    Ticker(u64),
    /// The system refused a thread.
    #[error("the deadline clock cannot be started: {0}")]
    TickerThread(std::io::Error),
}

/// The host, not the handler, could not go on. Nothing came of the run, and it may be repeated.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox could not run: {0}")]
pub struct SandboxError(pub(crate) String);

/// A handler did not say what it is.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// No such action.
    #[error("no handler is pinned for the action '{0}'")]
    Unknown(Action),
    /// It was stopped.
    #[error(
        "`describe` ended with the fault '{0}': it must return within the limits of the pin, and depend on nothing"
    )]
    Faulted(Fault),
    /// Two calls gave two answers.
    #[error("`describe` gave two different answers: it must depend on nothing")]
    Unstable,
    /// The host could not go on.
    #[error(transparent)]
    Host(#[from] SandboxError),
}

impl SandboxError {
    /// The host could not even call the sandbox, because of this.
    #[must_use]
    pub fn host(cause: impl std::error::Error) -> Self {
        Self(cause.to_string())
    }
}

impl Sandbox {
    /// Checks, compiles and links every component, starts the deadline clock and proves that it moves.
    ///
    /// # Errors
    /// `StartError` for the first thing that is not as it must be.
    pub fn start(components: Vec<ComponentFile>, settings: Settings) -> Result<Self, StartError> {
        let engine = engine_for(components.iter().map(|file| &file.pin), settings)?;
        let endless = compile::component(&engine, ENDLESS_LOOP, "the deadline clock's proof")?;
        let mut sandbox = Self::empty(engine, &endless, settings)?;
        for file in components {
            let action = file.action.clone();
            sandbox.handlers.insert(action, file.check()?.link(&sandbox.engine)?);
        }
        Ok(sandbox)
    }

    /// As `start`, with code that was compiled earlier. Nothing is loaded unless all of it is what the lock names.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_locked(code: LockedCode, settings: Settings) -> Result<Self, StartError> {
        let code = code.check()?;
        let engine = engine_for(code.handlers.iter().map(|(_, pin, _)| pin), settings)?;
        let mut sandbox = Self::empty(engine.clone(), &code.proof.load(&engine)?, settings)?;
        for (action, pin, artifact) in code.handlers {
            let component = artifact.load(&engine)?;
            let handler = component::link(&component, &action, &pin, artifact.path(), &sandbox.engine)?;
            sandbox.handlers.insert(action, handler);
        }
        Ok(sandbox)
    }

    /// Without handlers yet, its deadline clock proven to move.
    fn empty(engine: Engine, endless: &Component, settings: Settings) -> Result<Self, StartError> {
        let ticker = Ticker::start(&engine).map_err(StartError::TickerThread)?;
        ticker::prove_it_moves(endless, ticker::PROOF_TIMEOUT)?;
        Ok(Self { handlers: BTreeMap::new(), engine, settings, ticker })
    }

    /// Compiles a component into an artifact, for this machine's processor or for every processor of a target. A hostile
    /// component can make the compiler panic, or take all memory and time: call it in a process of its own.
    ///
    /// # Errors
    /// `StartError` for what is not a component, and in a build without a compiler.
    pub fn compile(component: &[u8], path: &str, target: Option<&str>) -> Result<Vec<u8>, StartError> {
        component::require_component(component, path)?;
        compile::artifact(component, path, target)
    }

    /// The target triple of this build.
    #[must_use]
    pub fn target() -> String {
        target_lexicon::HOST.to_string()
    }

    /// Runs a reserved request to its end. Blocks the thread for at most the deadline of its pin. `is_stopped` is asked
    /// before it and at every tick of the deadline clock; once it says yes, the run ends as `Interrupted`.
    ///
    /// A reservation whose component is no longer pinned, or whose limits the pin no longer allows, is `Interrupted`.
    ///
    /// # Errors
    /// `SandboxError` when the host could not run it; the reservation stays as it is.
    pub fn run(&self, reservation: &Reservation, is_stopped: IsStopped) -> Result<Run, SandboxError> {
        self.run_to_the_end(reservation.facts(), is_stopped)
    }

    /// Runs an execution that is over once more, for whoever compares what comes of it. As `run`, and nobody stops it.
    ///
    /// # Errors
    /// `SandboxError` when the host could not run it.
    pub fn rerun(&self, rerun: &Rerun) -> Result<Run, SandboxError> {
        self.run_to_the_end(rerun.facts(), Arc::new(|| false))
    }

    /// As `rerun`, for an execution that was sealed under a registry which is not known: `fault` is what its receipt says.
    ///
    /// A receipt does not say whether the handler was described in that registry. Where it was, its description was what
    /// the component says of itself (no host starts otherwise), so a result that was sealed as `output-invalid` is held to
    /// that; any other outcome has come about the same way with a description or without.
    ///
    /// # Errors
    /// `SandboxError` when the host could not run it.
    pub fn rerun_like(&self, rerun: &Rerun, fault: Option<Fault>) -> Result<Run, SandboxError> {
        let facts = rerun.facts();
        let Attempt::Ended(mut run) = self.attempt(facts, Arc::new(|| false), Patience::Full, Judge::Contract)? else {
            return Err(SandboxError("a run was given up that had all the time there is".to_owned()));
        };
        if let (Some(Fault::OutputInvalid), Outcome::Succeeded { result, .. }) = (fault, &run.outcome)
            && let Ok(said) = self.describe(&facts.action)
            && let Ok(schemas) = Schemas::compile(&said)
            && !schemas.takes_output(result.as_str())
        {
            run.outcome = Outcome::Faulted(Fault::OutputInvalid);
        }
        Ok(run)
    }

    fn run_to_the_end(&self, facts: &Reserved, is_stopped: IsStopped) -> Result<Run, SandboxError> {
        match self.attempt(facts, is_stopped, Patience::Full, Judge::AsPinned)? {
            Attempt::Ended(run) => Ok(run),
            Attempt::NotBrief => Err(SandboxError("a run was given up that had all the time there is".to_owned())),
        }
    }

    /// As `run`, if the handler's latest run was brief and this one is too: then it blocks the thread for microseconds, at
    /// worst for two ticks of the deadline clock. `None` if it is to be run elsewhere, with `run`: nothing came of this
    /// attempt, and handlers are pure.
    ///
    /// # Errors
    /// As `run`.
    pub fn run_if_brief(&self, reservation: &Reservation, is_stopped: IsStopped) -> Result<Option<Run>, SandboxError> {
        if !self.handlers.get(&reservation.facts().action).is_some_and(LinkedHandler::is_brief) {
            return Ok(None);
        }
        match self.attempt(reservation.facts(), is_stopped, Patience::Brief, Judge::AsPinned)? {
            Attempt::Ended(run) => Ok(Some(run)),
            Attempt::NotBrief => Ok(None),
        }
    }

    fn attempt(
        &self,
        facts: &Reserved,
        is_stopped: IsStopped,
        patience: Patience,
        judge: Judge,
    ) -> Result<Attempt, SandboxError> {
        match self.handlers.get(&facts.action) {
            Some(_) if is_stopped() => Ok(Attempt::Ended(INTERRUPTED)),
            Some(handler) if handler.is_pinned_as(facts.component, &facts.limits) => {
                handler.run(&self.engine, facts, is_stopped, patience, judge)
            }
            Some(_) | None => Ok(Attempt::Ended(INTERRUPTED)),
        }
    }

    /// What the handler of `action` says of itself: asked twice, each time in an instance of its own.
    ///
    /// # Errors
    /// `DescribeError`, whose text says what to do.
    pub fn describe(&self, action: &Action) -> Result<Description, DescribeError> {
        let handler = self.handlers.get(action).ok_or_else(|| DescribeError::Unknown(action.clone()))?;
        handler.describe_twice(&self.engine)
    }

    /// What the component of `action` may import. A handler that is not here has imported nothing.
    #[must_use]
    pub fn profile(&self, action: &Action) -> Profile {
        self.handlers.get(action).map_or(Profile::Pure, |handler| handler.profile)
    }

    /// Most runs at once.
    #[must_use]
    pub fn n_slots(&self) -> u32 {
        self.settings.n_slots
    }

    /// Whether the deadline clock has moved lately.
    #[must_use]
    pub fn deadlines_are_kept(&self) -> bool {
        self.ticker.has_moved_lately()
    }

    /// Identity of the engine: its version and every setting that can change an outcome.
    #[must_use]
    pub fn engine_digest() -> Digest {
        engine::digest()
    }

    /// The engine's name and version.
    #[must_use]
    pub fn engine_version() -> &'static str {
        engine::VERSION
    }

    /// Whether freed memory is reset by asking the kernel what changed (see `engine`).
    #[must_use]
    pub fn resets_by_page_map() -> bool {
        engine::memory_cannot_be_swapped()
    }
}

impl PayloadCheck for Sandbox {
    fn violations(&self, action: &Action, payload: &str) -> Vec<Violation> {
        let schemas = self.handlers.get(action).and_then(|handler| handler.schemas.as_ref());
        schemas.map_or_else(Vec::new, |schemas| schemas.violations(payload))
    }
}

/// What to do about imports that a profile does not link.
fn cure_of_imports(profile: Profile, wasi_links_them: bool) -> &'static str {
    match (profile, wasi_links_them) {
        (Profile::Pure, false) => {
            "the profile 'pure' links nothing at all; build the handler so that it imports nothing (take time from `issued-at`, ids from `exec-id`)"
        }
        (Profile::Pure, true) => {
            "the profile 'pure' links nothing at all; build the handler so that it imports nothing (take time from `issued-at`, ids from `exec-id`), or put a WASI stub inside the component; if nobody can, pin it with --profile wasi (profile = \"wasi\" in the registry), which links a virtual WASI"
        }
        (Profile::Wasi, _) => {
            "the profile 'wasi' links io, clocks, random, cli, filesystem and sockets of WASI 0.2, all of them virtual, and nothing else; build the handler so that it does not import these"
        }
    }
}

/// The engine for these pins.
fn engine_for<'a>(pins: impl Iterator<Item = &'a Pin>, settings: Settings) -> Result<Engine, StartError> {
    // Never below the default, so that a component which is too large for its pin is told so, and not by the pool.
    let pinned = pins.map(|pin| pin.limits.memory_bytes).max().unwrap_or_default();
    engine::engine(settings.n_slots, pinned.max(MEMORY_BYTES_DEFAULT))
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("actions", &self.handlers.keys()).finish_non_exhaustive()
    }
}

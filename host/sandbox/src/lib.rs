//! The sandbox: runs a pinned component, once, under limits, with no authority at all.
//!
//! In scope: engine settings (`engine`), compiling (`compile`), pins becoming handlers (`component`), code that was compiled
//! earlier (`artifact`), all that speaks against a component (`examine`), one run (`run`), what handlers take and give
//! (`schema`), the virtual WASI of the profile `wasi` (`wasi`), the clock below the deadline (`ticker`), what can go wrong
//! (`error`).
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
mod error;
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
pub use error::{DescribeError, SandboxError, StartError};
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

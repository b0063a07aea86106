//! One run: a fresh store, limits, one call, and the name of what stopped it.
//!
//! In scope: limits of a run, calling `handle`, telling faults apart.
//! Out of scope: whether an answer's text is acceptable (`core::outcome`).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use openexec_core::digest::Digest;
use openexec_core::limits::{EFFECT_BODY_BYTES_MAX, EFFECT_KIND_BYTES_MAX, EFFECTS_MAX};
use openexec_core::outcome::{Failure, FailureKind, Fault, Outcome, Resources, Run};
use openexec_core::registry::{Description, Limits, Profile};
use openexec_core::reservation::Reserved;
use rustix::time::{ClockId, clock_gettime};
use wasmtime::{Engine, PoolConcurrencyLimitError, ResourceLimiter, Store, Trap, UpdateDeadline};

use crate::component::LinkedHandler;
use crate::component::contract::exports::openexec::handler::guest;
use crate::engine::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};
use crate::wasi::{self, VirtualWorld};
use crate::{DescribeError, IsStopped, SandboxError};

/// Bytes that a handler may hand over besides its result: all effects at their largest. A longer refusal text than
/// is kept must still fit, because it is cut, not punished.
const HANDED_OVER_BYTES_MAX: usize = 2 * EFFECTS_MAX * (EFFECT_BODY_BYTES_MAX + EFFECT_KIND_BYTES_MAX);

/// What wasmtime says when a handler hands over more than allowed. It has no type for it that we could name;
/// `tests/suite/hostile.rs` fails if the words change.
const HANDED_OVER_TOO_MUCH: &str = "fuel allocated for hostcalls has been exhausted";

/// All that a store holds: the memory account of one run, and no capability; in the profile `wasi` also a virtual world.
pub(crate) struct RunState {
    /// Apart, so that a run without one carries a pointer and no more.
    world: Option<Box<VirtualWorld>>,
    memory_bytes: u64,
    memory_bytes_peak: u64,
    memory_bytes_max: u64,
    table_elements: usize,
}

/// The handler asked for more memory or table elements than it may have.
#[derive(Debug, thiserror::Error)]
#[error("beyond the memory of the pin")]
struct BeyondMemory;

/// The machine has no memory for what the handler may have. Not the handler's fault, so it is never sealed as one.
#[derive(Debug, thiserror::Error)]
#[error("the machine has no memory left for a handler")]
struct HostOutOfMemory;

/// The operator has stopped the run.
#[derive(Debug, thiserror::Error)]
#[error("stopped by the operator")]
struct ByOperator;

/// The run took longer than whoever asked for a brief one would wait.
#[derive(Debug, thiserror::Error)]
#[error("not a brief run")]
struct NotBrief;

/// How long a run may take, within its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As long as its deadline.
    Full,
    /// `BRIEF`, and a tick.
    Brief,
}

/// Which results are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judge {
    /// What the contract allows, and the output schema of the pin if it has one.
    AsPinned,
    /// What the contract allows.
    Contract,
}

/// What came of an attempt to run.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// The run ended.
    Ended(Run),
    /// It was given up, because it was not brief. Nothing came of it.
    NotBrief,
}

/// A run that takes no longer than this is brief: handing it to another thread would cost about as much.
const BRIEF: Duration = Duration::from_millis(1);

/// How long this thread had a processor so far. The time on the wall also counts while other threads have it, and on a busy
/// machine made long runs of some brief ones.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// What wasmtime says of growth beyond what any memory of the type can have, which fails with -1 on every host.
const BEYOND_THE_TYPE: &str = "exceeds memory type's limits";

impl RunState {
    fn with_no_capabilities(memory_bytes_max: u64) -> Self {
        Self { world: None, memory_bytes: 0, memory_bytes_peak: 0, memory_bytes_max, table_elements: 0 }
    }

    /// What the functions of WASI work on. Only a linker of the profile `wasi` has them, and `attempt` and `describe` give
    /// each of its runs a world; without one, there is an empty one that belongs to nobody.
    pub(crate) fn world(&mut self) -> &mut VirtualWorld {
        self.world.get_or_insert_with(|| Box::new(VirtualWorld::of_nobody(Digest::of(b""), 0)))
    }

    /// Fuel of what the host did for the handler.
    fn world_fuel(&self) -> u64 {
        self.world.as_ref().map_or(0, |world| world.fuel())
    }
}

/// Sums over all memories of the component, and traps: a `-1` from `memory.grow` would let the handler take another
/// path, depending on the limit.
impl ResourceLimiter for RunState {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false); // beyond what the memory itself declares: -1 on every host, and nothing grows
        }
        let added = desired.saturating_sub(current) as u64;
        let total = self.memory_bytes.saturating_add(added);
        if total > self.memory_bytes_max {
            return Err(BeyondMemory.into());
        }
        self.memory_bytes = total;
        self.memory_bytes_peak = self.memory_bytes_peak.max(total);
        Ok(true)
    }

    /// Called when growth fails that the account has allowed: the machine has no memory left.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        if error.to_string().contains(BEYOND_THE_TYPE) { Ok(()) } else { Err(HostOutOfMemory.into()) }
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // `maximum` is the pool's where the table declares none.
        if maximum.is_some_and(|maximum| desired > maximum && maximum < TABLE_ELEMENTS_MAX) {
            return Ok(false);
        }
        self.table_elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        if self.table_elements > TABLE_ELEMENTS_MAX * TABLES_MAX as usize || desired > TABLE_ELEMENTS_MAX {
            return Err(BeyondMemory.into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }
}

impl LinkedHandler {
    /// Calls `handle` in a fresh instance, and gives up after `patience`.
    pub(crate) fn run(
        &self,
        engine: &Engine,
        facts: &Reserved,
        is_stopped: IsStopped,
        patience: Patience,
        judge: Judge,
    ) -> Result<Attempt, SandboxError> {
        let started = processor_time();
        let attempt = self.attempt(engine, facts, is_stopped, patience, judge);
        self.is_brief.store(processor_time().saturating_sub(started) < BRIEF, Ordering::Relaxed);
        attempt
    }

    /// Whether the latest run was brief, so that the next one probably is.
    pub(crate) fn is_brief(&self) -> bool {
        self.is_brief.load(Ordering::Relaxed)
    }

    fn attempt(
        &self,
        engine: &Engine,
        facts: &Reserved,
        is_stopped: IsStopped,
        patience: Patience,
        judge: Judge,
    ) -> Result<Attempt, SandboxError> {
        let limits = &facts.limits;
        let request = guest::Request {
            action: facts.action.to_string(),
            payload: facts.payload.to_string(),
            exec_id: facts.exec_id.to_string(),
            tenant: facts.tenant.to_string(),
            nonce: facts.nonce.to_string(),
            issued_at: facts.reserved_at.unix_ms(),
        };
        let world = match self.profile {
            Profile::Pure => None,
            Profile::Wasi => Some(Box::new(VirtualWorld::of(facts))),
        };
        let mut store = store(engine, limits, world, is_stopped, patience)?;
        let outcome = match self.call(&mut store, &request) {
            Ok(Ok(guest::Outcome { output, effects })) => {
                let effects = effects.into_iter().map(|effect| (effect.kind, effect.body)).collect();
                let outcome = Outcome::accept(&output, effects, limits.output_bytes);
                if judge == Judge::AsPinned { self.held_to_its_schema(outcome) } else { outcome }
            }
            Ok(Err(failure)) => Outcome::Failed(no(failure)),
            Err(EndedBy::Handler(fault)) => Outcome::Faulted(fault),
            Err(EndedBy::Operator) => Outcome::Interrupted,
            Err(EndedBy::Patience) => return Ok(Attempt::NotBrief),
            Err(EndedBy::Host(error)) => return Err(error),
        };
        let fuel_left = store.get_fuel().map_err(host_error)?;
        let operators = limits.fuel.saturating_sub(fuel_left);
        let resources = Resources { fuel: operators, memory_bytes: store.data().memory_bytes_peak };
        let mut run = Run { outcome, resources };
        if let Some(world) = &store.data().world {
            run = with_world(run, world, limits);
            if let Some(printed) = tracing::enabled!(tracing::Level::DEBUG).then(|| world.printed()).flatten() {
                tracing::debug!(exec_id = %facts.exec_id, action = %facts.action, printed, "a handler printed");
            }
        }
        Ok(Attempt::Ended(run))
    }

    /// A result that is not what the handler says it gives is a fault: of the run, and the same on every run.
    fn held_to_its_schema(&self, outcome: Outcome) -> Outcome {
        match (&self.schemas, &outcome) {
            (Some(schemas), Outcome::Succeeded { result, .. }) if !schemas.takes_output(result.as_str()) => {
                Outcome::Faulted(Fault::OutputInvalid)
            }
            _ => outcome,
        }
    }

    /// Calls `describe` in a fresh instance, under the limits of the pin.
    pub(crate) fn describe(&self, engine: &Engine) -> Result<Description, DescribeError> {
        let world = match self.profile {
            Profile::Pure => None,
            Profile::Wasi => Some(Box::new(VirtualWorld::of_nobody(self.digest, self.limits.fuel))),
        };
        let mut store = store(engine, &self.limits, world, Arc::new(|| false), Patience::Full)?;
        let handler = self.pre.instantiate(&mut store).map_err(described_badly)?;
        let said = handler.openexec_handler_guest().call_describe(store).map_err(described_badly)?;
        let guest::Description { title, summary, payload_schema, output_schema } = said;
        Ok(Description { title, summary, payload_schema, output_schema })
    }

    fn call(
        &self,
        store: &mut Store<RunState>,
        request: &guest::Request,
    ) -> Result<Result<guest::Outcome, guest::Failure>, EndedBy> {
        let instantiated = self.pre.instantiate(&mut *store);
        let handler = instantiated.map_err(|error| match stopped(&error) {
            Some(ended_by) => ended_by,
            // A start function has called the host otherwise than the host allows. Before any call, and where the machine
            // says no, it is the host that failed.
            None if store.data().world_fuel() > 0 && !is_of_the_machine(&error) => {
                EndedBy::Handler(unacceptable(&error))
            }
            None => EndedBy::Host(host_error(error)),
        })?;
        handler.openexec_handler_guest().call_handle(store, request).map_err(|error| match stopped(&error) {
            Some(ended_by) => ended_by,
            None if error.is::<HostOutOfMemory>() => EndedBy::Host(host_error(error)),
            None => EndedBy::Handler(unacceptable(&error)),
        })
    }
}

/// The run with what the host did for the handler, which costs fuel too. A handler that has spent more than it may is out
/// of fuel, even if it came to its end before the host had to say no.
fn with_world(run: Run, world: &VirtualWorld, limits: &Limits) -> Run {
    let Run { outcome, resources: Resources { fuel, memory_bytes } } = run;
    let fuel = fuel.saturating_add(world.fuel());
    let is_spent = fuel > limits.fuel && outcome != Outcome::Interrupted;
    let outcome = if is_spent { Outcome::Faulted(Fault::OutOfFuel) } else { outcome };
    Run { outcome, resources: Resources { fuel: fuel.min(limits.fuel), memory_bytes } }
}

/// Whether it was the machine that could not go on.
fn is_of_the_machine(error: &wasmtime::Error) -> bool {
    error.is::<PoolConcurrencyLimitError>() || error.is::<HostOutOfMemory>() || error.is::<std::io::Error>()
}

/// A store for one call, with its limits set and its deadline running.
fn store(
    engine: &Engine,
    limits: &Limits,
    world: Option<Box<VirtualWorld>>,
    is_stopped: IsStopped,
    patience: Patience,
) -> Result<Store<RunState>, SandboxError> {
    let state = RunState { world, ..RunState::with_no_capabilities(limits.memory_bytes) };
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    let output_bytes_max = usize::try_from(limits.output_bytes).unwrap_or(usize::MAX);
    store.set_hostcall_fuel(HANDED_OVER_BYTES_MAX.saturating_add(output_bytes_max));
    store.set_fuel(limits.fuel).map_err(host_error)?;
    // Asked at every tick. Last, so that no preparation counts against the handler.
    let begun = Instant::now();
    let deadline = Duration::from_millis(limits.deadline_ms);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        if is_stopped() {
            return Err(ByOperator.into());
        }
        match begun.elapsed() {
            elapsed if elapsed >= deadline => Err(Trap::Interrupt.into()),
            elapsed if patience == Patience::Brief && elapsed >= BRIEF => Err(NotBrief.into()),
            _ => Ok(UpdateDeadline::Continue(1)),
        }
    });
    Ok(store)
}

/// Who is the cause that there is no answer.
enum EndedBy {
    Handler(Fault),
    Operator,
    Patience,
    Host(SandboxError),
}

/// Who stopped the handler, if somebody did.
fn stopped(error: &wasmtime::Error) -> Option<EndedBy> {
    if error.is::<ByOperator>() {
        return Some(EndedBy::Operator);
    }
    if error.is::<NotBrief>() {
        return Some(EndedBy::Patience);
    }
    fault(error).map(EndedBy::Handler)
}

/// The fault, if it was the handler that was stopped.
fn fault(error: &wasmtime::Error) -> Option<Fault> {
    if error.is::<BeyondMemory>() {
        return Some(Fault::OutOfMemory);
    }
    if wasi::ends_the_handler(error) {
        return Some(Fault::Trap);
    }
    let trap = error.downcast_ref::<Trap>()?;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of traps is wasmtime's and open")]
    Some(match trap {
        Trap::OutOfFuel => Fault::OutOfFuel,
        Trap::Interrupt => Fault::Deadline,
        Trap::StackOverflow => Fault::StackOverflow,
        _ => Fault::Trap,
    })
}

/// An answer that could not be taken over: too large, or not of the declared type.
fn unacceptable(error: &wasmtime::Error) -> Fault {
    if error.root_cause().to_string().contains(HANDED_OVER_TOO_MUCH) {
        Fault::OutputTooLarge
    } else {
        Fault::OutputInvalid
    }
}

fn described_badly(error: wasmtime::Error) -> DescribeError {
    match fault(&error) {
        Some(fault) => DescribeError::Faulted(fault),
        None if error.is::<HostOutOfMemory>() => DescribeError::Host(host_error(error)),
        None => DescribeError::Faulted(unacceptable(&error)),
    }
}

fn no(failure: guest::Failure) -> Failure {
    match failure {
        guest::Failure::InvalidPayload(text) => Failure::new(FailureKind::InvalidPayload, text),
        guest::Failure::Rejected(text) => Failure::new(FailureKind::Rejected, text),
        guest::Failure::Internal(text) => Failure::new(FailureKind::Internal, text),
    }
}

fn host_error(error: wasmtime::Error) -> SandboxError {
    match error.downcast_ref::<PoolConcurrencyLimitError>() {
        Some(limit) => SandboxError(format!("more runs than slots: {limit}")),
        None => SandboxError(format!("{error:#}")),
    }
}

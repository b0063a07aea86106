//! The virtual WASI 0.2 of the profile `wasi`: a world in which nothing is outside of the execution.
//!
//! In scope: which interfaces are linked, the state of one run, answers about the process: clocks, randomness, environment, exit.
//! Out of scope: streams and polling (`io`), sockets and names (`sockets`), how time goes (`clock`) and where randomness comes
//! from (`random`), components that import nothing (`component`).
//!
//! Invariants
//! - Everything is a function of the reservation and the component, so a repetition gives the same bytes and the same fuel.
//! - Nothing waits, nothing asks the operating system: no host clock, no entropy, no file, no socket, no name, no thread.
//! - No descriptor and no socket ever exists: there are no preopens, and what creates a socket is answered here, with no.
//!   So nothing of `wasmtime-wasi` that takes one can be reached; its code is linked because components name its interfaces.
//! - What the host does for a handler costs fuel, and what it keeps for one is bounded.

mod clock;
mod io;
mod random;
mod said;
mod sockets;

use openexec_core::digest::Digest;
use openexec_core::reservation::Reserved;
use wasmtime::Trap;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::bindings::sync::sockets::udp_create_socket;
use wasmtime_wasi::p2::bindings::sync::{filesystem as files, sockets as sync_sockets};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random as randomness, sockets as network};
use wasmtime_wasi::p2::pipe::{ClosedInputStream, SinkOutputStream};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult, subscribe};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtx, WasiSocketsCtxView};
use wasmtime_wasi_io::bindings::wasi::io::error;

use crate::run::RunState;
use clock::Clock;
use random::Random;
use said::Said;

/// Every interface that is linked. Whatever else a component imports is refused.
const LINKED: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Fuel of one call of the host: about what a call takes, in operators.
const CALL_FUEL: u64 = 500;

/// Fuel of each pollable that is looked at.
const POLLABLE_FUEL: u64 = 200;

/// Most random bytes of one call: the host makes them where no deadline is looked at.
const RANDOM_BYTES_MAX: u64 = 64 * 1024;

/// Most bytes that may be written at once, as `check-write` says.
const WRITE_BYTES_MAX: u64 = 64 * 1024;

/// Most streams, pollables and deadlines at once: each takes memory of the host. A Python runtime has a dozen.
const RESOURCES_MAX: usize = 1024;

/// A handler did something with WASI that ends its run.
#[derive(Debug, thiserror::Error)]
#[error("the profile 'wasi' gives no handler {0}")]
pub(crate) struct NotGiven(&'static str);

/// What is not the host's failure but the end of a handler that asked for too much.
pub(crate) fn ends_the_handler(error: &wasmtime::Error) -> bool {
    error.is::<NotGiven>() || error.is::<ResourceTableError>()
}

/// Whether an import is linked, by its name: an interface of the list, in some version 0.2.x.
pub(crate) fn is_linked(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else { return false };
    let is_0_2 = version
        .strip_prefix("0.2.")
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit()));
    is_0_2 && LINKED.contains(&interface)
}

/// The state of one run.
pub(crate) struct VirtualWorld {
    clock: Clock,
    random: Random,
    said: Said,
    work: Work,
    table: ResourceTable,
    filesystem: WasiFilesystemCtx,
    sockets: WasiSocketsCtx,
}

/// Fuel for what the host does, which operators do not count.
struct Work {
    fuel: u64,
    fuel_max: u64,
}

impl Work {
    fn charge(&mut self, fuel: u64) -> wasmtime::Result<()> {
        self.fuel = self.fuel.saturating_add(fuel);
        if self.fuel > self.fuel_max { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
    }
}

impl VirtualWorld {
    /// For one execution: time starts at its reservation.
    pub(crate) fn of(facts: &Reserved) -> Self {
        let random = Random::of(facts.fingerprint, facts.component);
        Self::starting(facts.reserved_at.unix_ms(), random, facts.limits.fuel)
    }

    /// For asking a component what it is, which belongs to no execution: time starts in 1970.
    pub(crate) fn of_nobody(component: Digest, fuel_max: u64) -> Self {
        Self::starting(0, Random::of(Digest::of(b"describe"), component), fuel_max)
    }

    fn starting(unix_ms: u64, random: Random, fuel_max: u64) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self {
            clock: Clock::starting_at(unix_ms),
            random,
            said: Said::new(),
            work: Work { fuel: 0, fuel_max },
            table,
            filesystem: WasiFilesystemCtx::default(), // no preopens
            sockets: WasiSocketsCtx::default(),       // no address, no name, neither TCP nor UDP
        }
    }

    /// What the host has done for the handler so far, as fuel.
    pub(crate) fn fuel(&self) -> u64 {
        self.work.fuel
    }

    /// What the handler has printed, for the log.
    pub(crate) fn printed(&self) -> Option<String> {
        self.said.text()
    }

    /// Called for every function of the host that the handler calls.
    fn called(&mut self) -> &mut Self {
        self.work.fuel = self.work.fuel.saturating_add(CALL_FUEL);
        self
    }

    /// For what a handler may call in a loop: ends it as soon as its fuel is gone, and not only when the run is added up.
    fn require_fuel(&mut self) -> wasmtime::Result<()> {
        self.work.charge(0)
    }

    fn random_bytes(&mut self, n: u64, source: fn(&mut Random) -> &mut random::Source) -> wasmtime::Result<Vec<u8>> {
        if n > RANDOM_BYTES_MAX {
            return Err(NotGiven("more than 64 KiB of random bytes at once").into());
        }
        self.work.charge(n)?;
        Ok(source(&mut self.random).bytes(usize::try_from(n)?))
    }

    fn poll_all(&mut self, n: usize) -> wasmtime::Result<()> {
        self.work.charge(POLLABLE_FUEL.saturating_mul(n as u64))
    }

    /// Takes what is written, to standard output or standard error: there are no other streams.
    fn print(&mut self, stream: &Resource<DynOutputStream>, bytes: &[u8]) -> StreamResult<()> {
        self.table.get(stream)?;
        if bytes.len() as u64 > WRITE_BYTES_MAX {
            return Err(StreamError::Trap(NotGiven("room for more than 64 KiB written at once").into()));
        }
        self.work.charge(bytes.len() as u64).map_err(StreamError::Trap)?;
        self.said.keep(bytes);
        Ok(())
    }
}

/// Links the virtual world, and nothing else.
pub(crate) fn link(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    fn ours(state: &mut RunState) -> &mut VirtualWorld {
        state.world().called()
    }
    fn no_files(state: &mut RunState) -> WasiFilesystemCtxView<'_> {
        let world = ours(state);
        WasiFilesystemCtxView { ctx: &mut world.filesystem, table: &mut world.table }
    }
    fn no_sockets(state: &mut RunState) -> WasiSocketsCtxView<'_> {
        let world = ours(state);
        WasiSocketsCtxView { ctx: &mut world.sockets, table: &mut world.table }
    }
    let l = linker;
    clocks::wall_clock::add_to_linker::<_, Ours>(l, ours)?;
    clocks::monotonic_clock::add_to_linker::<_, Ours>(l, ours)?;
    randomness::random::add_to_linker::<_, Ours>(l, ours)?;
    randomness::insecure::add_to_linker::<_, Ours>(l, ours)?;
    randomness::insecure_seed::add_to_linker::<_, Ours>(l, ours)?;
    cli::environment::add_to_linker::<_, Ours>(l, ours)?;
    cli::exit::add_to_linker::<_, Ours>(l, ours)?;
    cli::stdin::add_to_linker::<_, Ours>(l, ours)?;
    cli::stdout::add_to_linker::<_, Ours>(l, ours)?;
    cli::stderr::add_to_linker::<_, Ours>(l, ours)?;
    cli::terminal_input::add_to_linker::<_, Ours>(l, ours)?;
    cli::terminal_output::add_to_linker::<_, Ours>(l, ours)?;
    cli::terminal_stdin::add_to_linker::<_, Ours>(l, ours)?;
    cli::terminal_stdout::add_to_linker::<_, Ours>(l, ours)?;
    cli::terminal_stderr::add_to_linker::<_, Ours>(l, ours)?;
    error::add_to_linker::<_, OurTable>(l, |state| &mut ours(state).table)?;
    poll::add_to_linker::<_, Ours>(l, ours)?;
    streams::add_to_linker::<_, Ours>(l, ours)?;
    network::network::add_to_linker::<_, Ours>(l, &network::network::LinkOptions::default(), ours)?;
    network::tcp_create_socket::add_to_linker::<_, Ours>(l, ours)?;
    udp_create_socket::add_to_linker::<_, Ours>(l, ours)?;
    network::ip_name_lookup::add_to_linker::<_, Ours>(l, ours)?;
    // What takes a descriptor or a socket, of which there is none.
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, no_files)?;
    files::types::add_to_linker::<_, WasiFilesystem>(l, no_files)?;
    network::instance_network::add_to_linker::<_, WasiSockets>(l, no_sockets)?;
    sync_sockets::tcp::add_to_linker::<_, WasiSockets>(l, no_sockets)?;
    sync_sockets::udp::add_to_linker::<_, WasiSockets>(l, no_sockets)?;
    Ok(())
}

struct Ours;

impl HasData for Ours {
    type Data<'a> = &'a mut VirtualWorld;
}

struct OurTable;

impl HasData for OurTable {
    type Data<'a> = &'a mut ResourceTable;
}

impl clocks::wall_clock::Host for VirtualWorld {
    fn now(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        self.require_fuel()?;
        let now = self.clock.wall();
        Ok(clocks::wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        Ok(clocks::wall_clock::Datetime { seconds: 0, nanoseconds: u32::try_from(clock::STEP_NS)? })
    }
}

impl clocks::monotonic_clock::Host for VirtualWorld {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.require_fuel()?;
        Ok(self.clock.monotonic_ns())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(clock::STEP_NS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let deadline = self.table.push(self.clock.deadline_at(when))?;
        subscribe(&mut self.table, deadline)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let deadline = self.table.push(self.clock.deadline_in(duration))?;
        subscribe(&mut self.table, deadline)
    }
}

impl randomness::random::Host for VirtualWorld {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len, |random| &mut random.secure)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.require_fuel()?;
        Ok(self.random.secure.number())
    }
}

impl randomness::insecure::Host for VirtualWorld {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len, |random| &mut random.insecure)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.require_fuel()?;
        Ok(self.random.insecure.number())
    }
}

impl randomness::insecure_seed::Host for VirtualWorld {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok(self.random.insecure_seed)
    }
}

impl cli::environment::Host for VirtualWorld {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl cli::exit::Host for VirtualWorld {
    fn exit(&mut self, _status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(NotGiven("an exit: it returns").into())
    }

    fn exit_with_code(&mut self, _code: u8) -> wasmtime::Result<()> {
        Err(NotGiven("an exit: it returns").into())
    }
}

impl cli::stdin::Host for VirtualWorld {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<DynInputStream>> {
        let stream: DynInputStream = Box::new(ClosedInputStream);
        Ok(self.table.push(stream)?)
    }
}

impl cli::stdout::Host for VirtualWorld {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(SinkOutputStream); // `print` takes what is written
        Ok(self.table.push(stream)?)
    }
}

impl cli::stderr::Host for VirtualWorld {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        cli::stdout::Host::get_stdout(self)
    }
}

impl cli::terminal_input::Host for VirtualWorld {}

impl cli::terminal_input::HostTerminalInput for VirtualWorld {
    fn drop(&mut self, terminal: Resource<cli::terminal_input::TerminalInput>) -> wasmtime::Result<()> {
        self.table.delete(terminal).map(drop).map_err(Into::into)
    }
}

impl cli::terminal_output::Host for VirtualWorld {}

impl cli::terminal_output::HostTerminalOutput for VirtualWorld {
    fn drop(&mut self, terminal: Resource<cli::terminal_output::TerminalOutput>) -> wasmtime::Result<()> {
        self.table.delete(terminal).map(drop).map_err(Into::into)
    }
}

impl cli::terminal_stdin::Host for VirtualWorld {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_input::TerminalInput>>> {
        Ok(None)
    }
}

impl cli::terminal_stdout::Host for VirtualWorld {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl cli::terminal_stderr::Host for VirtualWorld {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

//! Engine settings: one function holds every one, with its reason.
//!
//! In scope: what a component may contain, how code is stopped, how memory is pooled, and the digest of all that.
//! Out of scope: how code is compiled (`compile`), the limits of one run (`run`).

use std::sync::LazyLock;

use openexec_core::digest::Digest;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, ModuleVersionStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails, WasmFeatures,
};

use crate::{StartError, compile};

/// The engine that outcomes depend on. `tests/suite/architecture.rs` compares it with `Cargo.lock`.
pub(crate) const VERSION: &str = "wasmtime 48.0.8";

/// Core instances of one component: Python components need 38 (adapters count), Rust ones 1.
pub(crate) const CORE_INSTANCES_MAX: u32 = 40;

/// Linear memories of one component: JavaScript components need 3.
pub(crate) const MEMORIES_MAX: u32 = 3;

/// Tables of one component: JavaScript components need 3.
pub(crate) const TABLES_MAX: u32 = 3;

/// Elements of one table: the largest runtime that was measured needs 7,688.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 10_000;

/// Native stack of Wasm code. Deep enough for recursive parsers at JSON depth 64 in interpreted languages.
const WASM_STACK_BYTES: usize = 512 * 1024;

/// Address space of one memory: with all 4 GiB reserved a 32-bit index needs no bounds check.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;

/// Unmapped space behind it, for the constant offsets of loads and stores.
const MEMORY_GUARD_BYTES: u64 = 32 << 20;

/// Memory of a freed slot that is cleared in place rather than given back, where clearing is cheap.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;

/// The settings that can change an outcome, in words. Change them only together with `settings`: the digest of this
/// text stands in receipts.
const OUTCOME_SETTINGS: &str = "openexec-engine/1; virtual wasi 1; nan-canonicalization; fuel; epochs; stack 524288; \
     features: wasm2 extended-const multi-memory tail-call component-model; operator costs: default of the version";

pub(crate) fn digest() -> Digest {
    static DIGEST: LazyLock<Digest> = LazyLock::new(|| Digest::of(format!("{VERSION}; {OUTCOME_SETTINGS}").as_bytes()));
    *DIGEST
}

/// The engine, with room for `n_slots` runs at once of components that may use `memory_bytes_max` each.
pub(crate) fn engine(n_slots: u32, memory_bytes_max: u64) -> Result<Engine, StartError> {
    let memories = u64::from(n_slots) * u64::from(MEMORIES_MAX);
    pooled(n_slots, memory_bytes_max).and_then(|config| Engine::new(&config)).map_err(|error| StartError::Engine {
        cause: format!("{error:#}"),
        reserved_gib: (memories * (MEMORY_RESERVATION_BYTES + MEMORY_GUARD_BYTES)) >> 30,
    })
}

fn pooled(n_slots: u32, memory_bytes_max: u64) -> wasmtime::Result<Config> {
    let mut config = settings()?;
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(n_slots, memory_bytes_max)?));
    Ok(config)
}

/// Everything that compiled code depends on. The pool is not part of it: code that was compiled without one runs in one.
pub(crate) fn settings() -> wasmtime::Result<Config> {
    let mut config = Config::new();

    // What a component may contain. Everything off, then an explicit list: a new version of wasmtime, or a feature
    // that another crate in the build switches on, cannot widen it.
    config.wasm_features(WasmFeatures::all(), false);
    config.wasm_features(WasmFeatures::WASM2, true); // what every toolchain emits, SIMD included: all deterministic
    config.wasm_features(WasmFeatures::GC_TYPES, false); // counted into WASM2, but the collector is not compiled in
    config.wasm_features(WasmFeatures::EXTENDED_CONST, true); // emitted by linkers for relocations
    config.wasm_features(WasmFeatures::TAIL_CALL, true); // JavaScript engines built for size
    config.wasm_features(WasmFeatures::MULTI_MEMORY, true); // adapters between core modules need it; without it wasmtime 48 panics on them
    config.wasm_features(WasmFeatures::COMPONENT_MODEL, true);
    // Off, and why: relaxed SIMD differs between processors; threads and shared memory race; memory64, custom page
    // sizes, GC, exceptions, stack switching and component async widen the trusted compiler for no shipped handler.
    config.relaxed_simd_deterministic(true); // in case relaxed SIMD is ever allowed
    config.shared_memory(false);
    config.concurrency_support(false); // component async: unused, and it slows every call

    // How code is compiled, in a build that can.
    compile::settings(&mut config);

    // How code is stopped.
    config.consume_fuel(true); // the deterministic budget
    config.epoch_interruption(true); // the wall-clock net below it
    config.max_wasm_stack(WASM_STACK_BYTES);

    // What a trap tells. Its code is all we record, so no backtrace is collected, whatever the environment says.
    config.wasm_backtrace_max_frames(None);
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);

    // Where memory comes from.
    config.memory_reservation(MEMORY_RESERVATION_BYTES);
    config.memory_guard_size(MEMORY_GUARD_BYTES);
    config.memory_may_move(false); // a memory stays where its slot is
    config.memory_init_cow(true); // a fresh instance maps the initial image instead of copying it
    config.signals_based_traps(true); // the alternative checks bounds in software

    // wasmtime compares neither NaN canonicalisation nor its own patch version when it loads compiled code: ours does.
    config.module_version(ModuleVersionStrategy::Custom(digest().to_string()))?;
    Ok(config)
}

fn pool(n_slots: u32, memory_bytes_max: u64) -> wasmtime::Result<PoolingAllocationConfig> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(n_slots);
    pool.total_core_instances(n_slots * CORE_INSTANCES_MAX);
    pool.total_memories(n_slots * MEMORIES_MAX);
    pool.total_tables(n_slots * TABLES_MAX);
    pool.max_core_instances_per_component(CORE_INSTANCES_MAX);
    pool.max_memories_per_component(MEMORIES_MAX);
    pool.max_tables_per_component(TABLES_MAX);
    // One module may have them all: the kit makes one of the many that a tool has linked.
    pool.max_memories_per_module(MEMORIES_MAX);
    pool.max_tables_per_module(TABLES_MAX);
    pool.table_elements(TABLE_ELEMENTS_MAX);
    pool.max_memory_size(usize::try_from(memory_bytes_max)?);
    pool.total_stacks(0); // of fibers, which no run has: 2 GiB otherwise, with a system call for each, at every start
    // Memory protection keys are not even compiled in: denser slots that we do not need, and a past leak between them.
    if memory_cannot_be_swapped() {
        // Asking the kernel which pages were written halves the cost of a call. It is wrong about pages that were
        // swapped out (wasmtime issue 14357): the next instance would see them. Hence only without swap.
        pool.pagemap_scan(Enabled::Auto);
        pool.linear_memory_keep_resident(KEEP_RESIDENT_BYTES);
        pool.table_keep_resident(64 * 1024);
    } else {
        pool.pagemap_scan(Enabled::No);
    }
    Ok(pool)
}

/// Whether this machine has no swap. Read once: the operator who adds swap later restarts the host (`SECURITY.md`).
pub(crate) fn memory_cannot_be_swapped() -> bool {
    static NO_SWAP: LazyLock<bool> = LazyLock::new(|| {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = meminfo.lines().find_map(|line| line.strip_prefix("SwapTotal:"));
        total.is_some_and(|total| total.split_whitespace().next() == Some("0"))
    });
    *NO_SWAP
}

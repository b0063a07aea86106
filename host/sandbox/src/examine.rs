//! Everything that keeps a component from being a handler, at once: for tools. A start of the host stops at the first.
//!
//! In scope: all problems of one component, what it imports and exports, what it needs of the pool.
//! Out of scope: running anything of it; deciding whether it may run (`component`), by the same functions.

use openexec_core::limits::MEMORY_BYTES_DEFAULT;
use openexec_core::names::Action;
use openexec_core::registry::Limits;
use wasmtime::component::Component;

use crate::component::{ComponentFile, PAGE_BYTES, require_contract, require_linked, require_room};
use crate::{Sandbox, StartError, compile, engine, wasi};

/// A component, looked at from outside.
#[derive(Debug)]
pub struct Examined {
    /// What keeps it from being a handler. None: it would start.
    pub problems: Vec<StartError>,
    /// The names of what it imports.
    pub imports: Vec<String>,
    /// Those of them that the profile `wasi` does not link either.
    pub beyond_wasi: Vec<String>,
    /// The names of what it exports.
    pub exports: Vec<String>,
}

/// What a component takes of the pool, and how much there is for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Of what.
    pub what: &'static str,
    /// How much it takes.
    pub needed: u64,
    /// How much it may.
    pub allowed: u64,
}

/// Compiles a component and lists everything that a start of the host would refuse.
///
/// # Errors
/// `StartError` if the engine itself cannot be set up.
pub fn examine(file: &ComponentFile) -> Result<Examined, StartError> {
    let engine = engine::engine(1, file.pin.limits.memory_bytes.max(MEMORY_BYTES_DEFAULT))?;
    let path = || file.path.clone();
    let component = match compile::component(&engine, &file.bytes, &file.path) {
        Ok(component) => component,
        Err(problem) => {
            return Ok(Examined {
                problems: vec![problem],
                imports: Vec::new(),
                beyond_wasi: Vec::new(),
                exports: Vec::new(),
            });
        }
    };
    let world = component.component_type();
    let imports: Vec<_> = world.imports(&engine).map(|(name, _)| name.to_owned()).collect();
    let beyond_wasi = imports.iter().filter(|name| !wasi::is_linked(name)).cloned().collect();
    let exports = world.exports(&engine).map(|(name, _)| name.to_owned()).collect();
    let mut problems = Vec::new();
    problems.extend(require_linked(&component, file.pin.profile, &engine, path()).err());
    problems.extend(require_room(&component, &file.pin.limits, path()).err());
    if let Err(cause) = require_contract(&component, &engine) {
        problems.push(StartError::NotAHandler { path: path(), cause });
    }
    Ok(Examined { problems, imports, beyond_wasi, exports })
}

impl Sandbox {
    /// What the handler of `action` takes of the pool. wasmtime tells neither the number of core instances nor how large
    /// any but the largest memory is.
    #[must_use]
    pub fn needs(&self, action: &Action) -> Vec<Need> {
        let Some(handler) = self.handlers.get(action) else { return Vec::new() };
        needs(handler.pre.instance_pre().component(), &handler.limits)
    }
}

impl Sandbox {
    /// The names of what the component of `action` imports.
    #[must_use]
    pub fn imports(&self, action: &Action) -> Vec<String> {
        let Some(handler) = self.handlers.get(action) else { return Vec::new() };
        let world = handler.pre.instance_pre().component().component_type();
        world.imports(&self.engine).map(|(name, _)| name.to_owned()).collect()
    }
}

fn needs(component: &Component, limits: &Limits) -> Vec<Need> {
    let Some(needs) = component.resources_required() else { return Vec::new() };
    let memory_bytes = needs.max_initial_memory_size.unwrap_or_default().saturating_mul(PAGE_BYTES);
    let need = |what, needed, allowed| Need { what, needed, allowed };
    vec![
        need("linear memories", needs.num_memories.into(), engine::MEMORIES_MAX.into()),
        need("tables", needs.num_tables.into(), engine::TABLES_MAX.into()),
        need("table elements", needs.max_initial_table_size.unwrap_or_default(), engine::TABLE_ELEMENTS_MAX as u64),
        need("bytes of memory to start with", memory_bytes, limits.memory_bytes),
    ]
}

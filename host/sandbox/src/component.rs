//! From bytes to a handler: three types, each of which proves that a step was taken.
//!
//! In scope: `ComponentFile` (bytes, not trusted) → `PinnedComponent` (the bytes the registry names) → `LinkedHandler`
//! (the only type that can run).
//! Out of scope: reading files (`cli`), running (`run`).

use std::sync::atomic::AtomicBool;

use openexec_core::digest::Digest;
use openexec_core::names::Action;
use openexec_core::registry::{Description, Limits, Pin, Profile};
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use crate::run::RunState;
use crate::schema::Schemas;
use crate::{DescribeError, StartError, compile, engine, wasi};

/// The contract, generated from `wit/handler.wit`.
pub(crate) mod contract {
    wasmtime::component::bindgen!({ path: "../../wit", world: "handler" });
}

use contract::HandlerPre;
use contract::exports::openexec::handler::guest;

/// The export that makes a component a handler.
const GUEST: &str = "openexec:handler/guest@1.0.0";

/// Size of a Wasm page.
pub(crate) const PAGE_BYTES: u64 = 64 * 1024;

/// A component as it was read, for one action. Not trusted.
#[derive(Debug)]
pub struct ComponentFile {
    /// The action that pins it.
    pub action: Action,
    /// What the registry says.
    pub pin: Pin,
    /// Where the bytes came from, for error texts.
    pub path: String,
    /// The file, whole.
    pub bytes: Vec<u8>,
}

/// The bytes the registry names.
#[derive(Debug)]
pub struct PinnedComponent(ComponentFile);

/// A component that can run: checked, compiled, linked.
pub(crate) struct LinkedHandler {
    pub(crate) pre: HandlerPre<RunState>,
    pub(crate) digest: Digest,
    pub(crate) profile: Profile,
    pub(crate) limits: Limits,
    /// What it takes and gives, if its pin says so.
    pub(crate) schemas: Option<Schemas>,
    /// Whether the latest run was brief (`run`). Nothing but speed depends on it.
    pub(crate) is_brief: AtomicBool,
}

impl ComponentFile {
    /// Compares the digest of the very bytes that will be compiled.
    ///
    /// # Errors
    /// `StartError::DigestMismatch` if they are not the pinned ones.
    pub fn check(self) -> Result<PinnedComponent, StartError> {
        let found = Digest::of(&self.bytes);
        if found == self.pin.digest {
            return Ok(PinnedComponent(self));
        }
        Err(StartError::DigestMismatch { path: self.path, action: self.action, pinned: self.pin.digest, found })
    }
}

impl PinnedComponent {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Where they came from.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Compiles and links, and refuses what could never run.
    pub(crate) fn link(self, engine: &Engine) -> Result<LinkedHandler, StartError> {
        let ComponentFile { pin, path, bytes, action } = self.0;
        link(&compile::component(engine, &bytes, &path)?, &action, &pin, &path, engine)
    }
}

/// Refuses what could never run, wherever its code comes from.
pub(crate) fn link(
    component: &Component,
    action: &Action,
    pin: &Pin,
    path: &str,
    engine: &Engine,
) -> Result<LinkedHandler, StartError> {
    let path = || path.to_owned();
    require_linked(component, pin.profile, engine, path())?;
    let mut linker = Linker::new(engine);
    match pin.profile {
        Profile::Pure => {} // nothing is ever added to it
        Profile::Wasi => wasi::link(&mut linker)
            .map_err(|error| StartError::NotLinked { path: path(), cause: format!("{error:#}") })?,
    }
    require_room(component, &pin.limits, path())?;
    require_contract(component, engine).map_err(|cause| StartError::NotAHandler { path: path(), cause })?;
    let pre = linker
        .instantiate_pre(component)
        .map_err(|error| StartError::NotLinked { path: path(), cause: format!("{error:#}") })?;
    let pre =
        HandlerPre::new(pre).map_err(|error| StartError::NotAHandler { path: path(), cause: format!("{error:#}") })?;
    let (digest, profile, limits) = (pin.digest, pin.profile, pin.limits);
    let mut handler = LinkedHandler { pre, digest, profile, limits, schemas: None, is_brief: AtomicBool::new(false) };
    if let Some(pinned) = &pin.description {
        handler.schemas = Some(handler.held_to(pinned, engine, action.clone())?);
    }
    Ok(handler)
}

/// Refuses by their first bytes what is often mistaken for a component.
pub(crate) fn require_component(bytes: &[u8], path: &str) -> Result<(), StartError> {
    if bytes.starts_with(b"\0asm\x01\0\0\0") {
        return Err(StartError::CoreModule { path: path.to_owned() });
    }
    if bytes.starts_with(b"\x7fELF") {
        return Err(StartError::CompiledCode { path: path.to_owned() });
    }
    Ok(())
}

/// Names what a component imports and its profile does not link.
pub(crate) fn require_linked(
    component: &Component,
    profile: Profile,
    engine: &Engine,
    path: String,
) -> Result<(), StartError> {
    let imports: Vec<_> = component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect();
    let others: Vec<_> = imports.iter().filter(|name| !wasi::is_linked(name)).cloned().collect();
    let wasi_links_them = others.is_empty();
    match profile {
        Profile::Pure if imports.is_empty() => Ok(()),
        Profile::Pure => Err(StartError::Imports { path, imports: imports.join(", "), profile, wasi_links_them }),
        Profile::Wasi if others.is_empty() => Ok(()),
        Profile::Wasi => Err(StartError::Imports { path, imports: others.join(", "), profile, wasi_links_them }),
    }
}

/// Checks the types of the exports without running anything of the component.
///
/// `typecheck` is hidden in wasmtime's documentation; the public way to it is to instantiate, which would run the
/// component's start functions before the host has decided to start.
pub(crate) fn require_contract(component: &Component, engine: &Engine) -> Result<(), String> {
    let component = component.component_type();
    let Some(ComponentItem::ComponentInstance(exported)) = component.get_export(engine, GUEST).map(|export| export.ty)
    else {
        return Err(format!("no instance {GUEST} is exported"));
    };
    let function = |name: &str| match exported.get_export(engine, name).map(|export| export.ty) {
        Some(ComponentItem::ComponentFunc(function)) => Ok(function),
        Some(_) | None => Err(format!("no function `{name}` in it")),
    };
    let (handle, describe) = (function("handle")?, function("describe")?);
    let types = component.instance_type();
    handle
        .typecheck::<(&guest::Request,), (Result<guest::Outcome, guest::Failure>,)>(&types)
        .map_err(|error| format!("`handle` has another type: {error:#}"))?;
    describe
        .typecheck::<(), (guest::Description,)>(&types)
        .map_err(|error| format!("`describe` has another type: {error:#}"))
}

/// A component whose largest memory does not fit its pin, or that does not fit the pool, is refused now and not at every
/// call. wasmtime does not say how large the other memories are.
pub(crate) fn require_room(component: &Component, limits: &Limits, path: String) -> Result<(), StartError> {
    let Some(needs) = component.resources_required() else {
        return Err(StartError::NotAcceptable { path, cause: "it instantiates imported modules".to_owned() });
    };
    let pool = "the pool of this host allows";
    let rebuild = "build the component with fewer";
    let checks = [
        ("linear memories:", u64::from(needs.num_memories), pool, u64::from(engine::MEMORIES_MAX), rebuild),
        ("tables:", u64::from(needs.num_tables), pool, u64::from(engine::TABLES_MAX), rebuild),
        (
            "table elements:",
            needs.max_initial_table_size.unwrap_or_default(),
            pool,
            engine::TABLE_ELEMENTS_MAX as u64,
            rebuild,
        ),
        (
            "bytes of memory to start with:",
            needs.max_initial_memory_size.unwrap_or_default().saturating_mul(PAGE_BYTES),
            "its pin allows",
            limits.memory_bytes,
            "raise memory_bytes in its [action.NAME.limits]",
        ),
    ];
    match checks.into_iter().find(|(_, needed, _, allowed, _)| needed > allowed) {
        None => Ok(()),
        Some((what, needed, limit, allowed, remedy)) => {
            Err(StartError::TooLarge { path, what, needed, limit, allowed, remedy })
        }
    }
}

impl LinkedHandler {
    /// The schemas of its description, which must be what the handler says of itself now, and every time.
    fn held_to(&self, pinned: &Description, engine: &Engine, action: Action) -> Result<Schemas, StartError> {
        // Before the handler is asked: what the registry says is judged by itself.
        let schemas = Schemas::compile(pinned);
        let schemas = schemas.map_err(|cause| StartError::Schema { action: action.clone(), cause })?;
        match self.describe_twice(engine) {
            Ok(said) if said == *pinned => Ok(schemas),
            Ok(_) => Err(StartError::DescribedOtherwise { action }),
            Err(cause) => Err(StartError::NotDescribed { action, cause }),
        }
    }

    /// What it says of itself: asked twice, each time in an instance of its own.
    pub(crate) fn describe_twice(&self, engine: &Engine) -> Result<Description, DescribeError> {
        let description = self.describe(engine)?;
        if self.describe(engine)? == description { Ok(description) } else { Err(DescribeError::Unstable) }
    }

    /// Whether a reservation made with this digest and these limits may still run here.
    pub(crate) fn is_pinned_as(&self, component: Digest, reserved: &Limits) -> bool {
        self.digest == component && reserved.within(&self.limits)
    }
}

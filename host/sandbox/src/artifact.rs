//! Code that was compiled earlier: from bytes to a component, by way of a proof that they are what the lock names.
//!
//! In scope: `CurrentLock` (a lock for this very engine and target), `ArtifactFile` (bytes, not trusted) →
//! `AuthenticArtifact` (the bytes the lock names, the only ones that are loaded).
//! Out of scope: reading files (`cli`), making artifacts (`compile`), what a component must be (`component`).
//!
//! Invariants
//! - An artifact is native code: whoever wrote its bytes runs as the host. So the digest of the very buffer that is loaded
//!   is compared first, and wasmtime is never given a path.
//! - A lock that does not fit is refused. Nothing is compiled in its place.

use std::collections::BTreeMap;

use openexec_core::digest::Digest;
use openexec_core::lock::{Artifact, Lock, LockError};
use openexec_core::names::Action;
use openexec_core::registry::Pin;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::{ENDLESS_LOOP, Sandbox};

/// Why a lock, or an artifact, is refused.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// Not a lock.
    #[error("{path}: {cause}")]
    Lock {
        /// The lock.
        path: String,
        /// What is wrong with it.
        cause: LockError,
    },
    /// Made for another engine.
    #[error(
        "{path}: the lock is for another engine ({locked}; this host has {own}, {}): run `openexec registry compile` again with this version of openexec",
        Sandbox::engine_version()
    )]
    Engine {
        /// The lock.
        path: String,
        /// Its engine.
        locked: Digest,
        /// Ours.
        own: Digest,
    },
    /// Made for another kind of machine.
    #[error(
        "{path}: the lock is for '{locked}', and this host is '{own}': run `openexec registry compile --target {own}`"
    )]
    Target {
        /// The lock.
        path: String,
        /// Its target.
        locked: String,
        /// Ours.
        own: String,
    },
    /// Nothing is locked for a pin.
    #[error(
        "{path}: the lock is stale: it names no artifact for {what}, component {component}: run `openexec registry compile` again, or remove the lock"
    )]
    Stale {
        /// The lock.
        path: String,
        /// Whose component.
        what: String,
        /// Which component.
        component: Digest,
    },
    /// Other bytes than the lock's.
    #[error(
        "{path}: SHA-256 is {found}, but the lock names {locked} for {what}: the artifact was edited, swapped or made anew; run `openexec registry compile` again"
    )]
    Mismatch {
        /// The artifact.
        path: String,
        /// Whose component.
        what: String,
        /// In the lock.
        locked: Digest,
        /// Of the file.
        found: Digest,
    },
    /// The engine does not take it.
    #[error(
        "{path}: this host's engine does not take the artifact ({cause}): run `openexec registry compile` again on this machine, or with --target {} for every processor of its kind",
        Sandbox::target()
    )]
    NotLoaded {
        /// The artifact.
        path: String,
        /// What wasmtime said.
        cause: String,
    },
}

/// A lock whose artifacts were made for this host's engine and target.
#[derive(Debug)]
pub struct CurrentLock {
    lock: Lock,
    path: String,
}

/// An artifact as it was read. Not trusted.
#[derive(Clone, Debug)]
pub struct ArtifactFile {
    /// Where the bytes came from, for error texts.
    pub path: String,
    /// The file, whole.
    pub bytes: Vec<u8>,
}

/// The artifact that is to run for one action.
#[derive(Debug)]
pub struct LockedFile {
    /// The action.
    pub action: Action,
    /// What the registry says.
    pub pin: Pin,
    /// The artifact.
    pub artifact: ArtifactFile,
}

/// Everything that a start without compiling needs.
#[derive(Debug)]
pub struct LockedCode {
    /// What names the artifacts.
    pub lock: CurrentLock,
    /// The artifact of `ENDLESS_LOOP`, which the deadline clock proves itself with.
    pub proof: ArtifactFile,
    /// The handlers.
    pub handlers: Vec<LockedFile>,
}

/// The bytes that a current lock names. Made by `CurrentLock::authenticate` alone: holding one is the proof.
pub(crate) struct AuthenticArtifact(ArtifactFile);

/// `LockedCode`, checked.
pub(crate) struct AuthenticCode {
    pub(crate) proof: AuthenticArtifact,
    pub(crate) handlers: Vec<(Action, Pin, AuthenticArtifact)>,
}

impl CurrentLock {
    /// Reads a lock and compares its engine and target with this host's.
    ///
    /// # Errors
    /// `ArtifactError` for a lock that is none, or is for another host.
    pub fn parse(text: &str, path: &str) -> Result<Self, ArtifactError> {
        let path = path.to_owned();
        let lock = match Lock::parse(text) {
            Ok(lock) => lock,
            Err(cause) => return Err(ArtifactError::Lock { path, cause }),
        };
        let (engine, target) = (Sandbox::engine_digest(), Sandbox::target());
        if lock.engine != engine {
            return Err(ArtifactError::Engine { path, locked: lock.engine, own: engine });
        }
        if lock.target != target {
            return Err(ArtifactError::Target { path, locked: lock.target, own: target });
        }
        Ok(Self { lock, path })
    }

    /// The lock of code that was compiled a moment ago by this very binary, at a start without a lock: the SHA-256 of each
    /// component's artifact.
    #[must_use]
    pub fn of_this_start(compiled: BTreeMap<Digest, Digest>) -> Self {
        let artifact = |digest| Artifact { path: String::new(), digest }; // it is in no file
        let artifacts = compiled.into_iter().map(|(component, digest)| (component, artifact(digest))).collect();
        let lock = Lock { engine: Sandbox::engine_digest(), target: Sandbox::target(), artifacts };
        Self { lock, path: "(compiled at this start)".to_owned() }
    }

    /// The artifact for the component of `action`.
    ///
    /// # Errors
    /// `ArtifactError::Stale` if there is none.
    pub fn handler(&self, action: &Action, pin: &Pin) -> Result<&Artifact, ArtifactError> {
        self.artifact(pin.digest, &format!("action '{action}'"))
    }

    /// The artifact of `ENDLESS_LOOP`.
    ///
    /// # Errors
    /// `ArtifactError::Stale` if there is none.
    pub fn proof(&self) -> Result<&Artifact, ArtifactError> {
        self.artifact(Digest::of(ENDLESS_LOOP), PROOF)
    }

    /// How many artifacts there are for handlers.
    #[must_use]
    pub fn n_handlers(&self) -> usize {
        self.lock.artifacts.keys().filter(|component| **component != Digest::of(ENDLESS_LOOP)).count()
    }

    fn artifact(&self, component: Digest, what: &str) -> Result<&Artifact, ArtifactError> {
        let stale = || ArtifactError::Stale { path: self.path.clone(), what: what.to_owned(), component };
        self.lock.artifacts.get(&component).ok_or_else(stale)
    }

    /// Compares the digest of the very bytes that will be loaded.
    fn authenticate(
        &self,
        file: ArtifactFile,
        component: Digest,
        what: &str,
    ) -> Result<AuthenticArtifact, ArtifactError> {
        let locked = self.artifact(component, what)?.digest;
        let found = Digest::of(&file.bytes);
        if found == locked {
            return Ok(AuthenticArtifact(file));
        }
        Err(ArtifactError::Mismatch { path: file.path, what: what.to_owned(), locked, found })
    }
}

/// What the artifact of `ENDLESS_LOOP` is for.
const PROOF: &str = "the deadline clock's proof";

impl LockedCode {
    pub(crate) fn check(self) -> Result<AuthenticCode, ArtifactError> {
        let Self { lock, proof, handlers } = self;
        let proof = lock.authenticate(proof, Digest::of(ENDLESS_LOOP), PROOF)?;
        let handlers = handlers.into_iter().map(|LockedFile { action, pin, artifact }| {
            let artifact = lock.authenticate(artifact, pin.digest, &format!("action '{action}'"))?;
            Ok((action, pin, artifact))
        });
        Ok(AuthenticCode { proof, handlers: handlers.collect::<Result<_, ArtifactError>>()? })
    }
}

impl AuthenticArtifact {
    pub(crate) fn path(&self) -> &str {
        &self.0.path
    }

    /// Turns the bytes into code. wasmtime's own check of its version, of ours and of the settings comes first in there.
    #[expect(
        unsafe_code,
        reason = "compiled code cannot be validated: these bytes are the ones that a lock names, and whoever may write the lock may write the registry"
    )]
    pub(crate) fn load(&self, engine: &Engine) -> Result<Component, ArtifactError> {
        // SAFETY: `deserialize` must be given unmodified output of wasmtime's compiler. The SHA-256 of this very buffer is
        // the one in the lock, where `openexec registry compile` put it when it had compiled, or this start, when a process
        // of this very binary had; a lock, like the binary and the registry, is written by the operator alone
        // (`SECURITY.md`). The buffer is private memory, never a mapped file.
        let loaded = unsafe { Component::deserialize(engine, &self.0.bytes) };
        loaded.map_err(|error| ArtifactError::NotLoaded { path: self.0.path.clone(), cause: format!("{error:#}") })
    }
}

#[cfg(test)]
#[cfg(feature = "compiler")]
mod tests {
    use wasmtime::ModuleVersionStrategy;

    use super::*;
    use crate::engine;

    fn code_of_another_version() -> Vec<u8> {
        let mut config = engine::settings().unwrap();
        config.module_version(ModuleVersionStrategy::Custom("another engine".to_owned())).unwrap();
        Engine::new(&config).unwrap().precompile_component(ENDLESS_LOOP).unwrap()
    }

    fn lock_of(code: &[u8], engine: Digest) -> Result<CurrentLock, ArtifactError> {
        let artifact = Artifact { path: "proof.cwasm".to_owned(), digest: Digest::of(code) };
        let artifacts = BTreeMap::from([(Digest::of(ENDLESS_LOOP), artifact)]);
        CurrentLock::parse(&Lock { engine, target: Sandbox::target(), artifacts }.to_toml(), "registry.lock")
    }

    #[test]
    fn an_artifact_of_another_engine_is_refused_by_the_lock_and_if_that_lies_by_wasmtime() {
        let code = code_of_another_version();
        let honest = lock_of(&code, Digest::of(b"another engine"));
        assert!(matches!(honest, Err(ArtifactError::Engine { .. })), "{honest:?}");
        let lying = lock_of(&code, Sandbox::engine_digest()).unwrap();
        let file = ArtifactFile { path: "proof.cwasm".to_owned(), bytes: code };
        let artifact = lying.authenticate(file, Digest::of(ENDLESS_LOOP), PROOF).unwrap();
        let engine = engine::engine(1, 1 << 20).unwrap();
        let Err(ArtifactError::NotLoaded { cause, .. }) = artifact.load(&engine) else { panic!("it was loaded") };
        assert!(cause.contains("another engine"), "{cause}");
    }

    #[test]
    fn code_that_was_compiled_without_a_pool_is_loaded_into_one() {
        let code = Sandbox::compile(ENDLESS_LOOP, "", None).unwrap();
        let lock = lock_of(&code, Sandbox::engine_digest()).unwrap();
        let file = ArtifactFile { path: "proof.cwasm".to_owned(), bytes: code };
        let artifact = lock.authenticate(file, Digest::of(ENDLESS_LOOP), PROOF).unwrap();
        artifact.load(&engine::engine(1, 1 << 20).unwrap()).unwrap();
    }
}

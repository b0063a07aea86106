//! The lock: which compiled artifact stands for which component, and for which engine it was made.
//!
//! In scope: reading `registry.lock` strictly, writing it.
//! Out of scope: reading files (`cli`), comparing artifacts with it and loading them (`openexec-sandbox`).
//!
//! Invariants
//! - Unknown keys are refused, so that what this host does not understand is not a lock.
//! - A lock names components and artifacts by digest. Paths only say where to look.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use crate::digest::Digest;
use crate::limits::ACTIONS_MAX;

/// Most components of one lock: one for each action, and the host's own proof of the deadline clock.
pub const LOCKED_MAX: usize = ACTIONS_MAX + 1;

/// What `openexec registry compile` made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The engine that the artifacts were compiled for.
    pub engine: Digest,
    /// The target triple that they were compiled for.
    pub target: String,
    /// The artifact of each component, by the component's SHA-256.
    pub artifacts: BTreeMap<Digest, Artifact>,
}

/// Compiled code of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Path of the artifact, relative to the lock.
    pub path: String,
    /// SHA-256 of the artifact's bytes.
    pub digest: Digest,
}

/// Why a lock is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Not TOML, or not the lock's shape.
    #[error("not a valid lock: {0}; `openexec registry compile` writes it again")]
    Toml(String),
    /// A version this host does not read.
    #[error(
        "lock version {0} is not known to this host, which reads version 1; `openexec registry compile` writes it again"
    )]
    Version(u64),
    /// More components than a registry can have.
    #[error(
        "the lock has {0} components; at most {LOCKED_MAX} are accepted; `openexec registry compile` writes it again"
    )]
    TooMany(usize),
    /// A digest or a path is not acceptable.
    #[error("'{entry}' in the lock: {problem}; `openexec registry compile` writes it again")]
    Entry {
        /// Which one.
        entry: String,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLock {
    version: u64,
    engine: String,
    target: String,
    component: BTreeMap<String, RawArtifact>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArtifact {
    artifact: String,
    sha256: String,
}

impl Lock {
    /// Reads `registry.lock`.
    ///
    /// # Errors
    /// `LockError` for anything unknown, missing or misspelt.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let raw: RawLock = toml::from_str(text).map_err(|error| LockError::Toml(error.to_string()))?;
        if raw.version != 1 {
            return Err(LockError::Version(raw.version));
        }
        if raw.component.len() > LOCKED_MAX {
            return Err(LockError::TooMany(raw.component.len()));
        }
        let artifacts = raw.component.into_iter().map(|(name, raw)| raw.check(&name)).collect::<Result<_, _>>()?;
        Ok(Self { engine: digest("engine", &raw.engine)?, target: raw.target, artifacts })
    }

    /// The text of `registry.lock`: equal locks give equal bytes.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = "# Written by `openexec registry compile`. Every byte counts: do not edit.\n".to_owned();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "version = 1\nengine = \"{}\"\ntarget = {}", self.engine, quoted(&self.target));
        for (component, Artifact { path, digest }) in &self.artifacts {
            let _ = writeln!(text, "\n[component.{component}]\nartifact = {}\nsha256 = \"{digest}\"", quoted(path));
        }
        text
    }
}

impl RawArtifact {
    fn check(self, component: &str) -> Result<(Digest, Artifact), LockError> {
        if self.artifact.is_empty() || self.artifact.contains('\0') {
            let problem = "'artifact' must be the path of a file".to_owned();
            return Err(LockError::Entry { entry: component.to_owned(), problem });
        }
        let artifact = Artifact { path: self.artifact, digest: digest(component, &self.sha256)? };
        Ok((digest(component, component)?, artifact))
    }
}

fn digest(entry: &str, text: &str) -> Result<Digest, LockError> {
    Digest::parse(text).map_err(|error| LockError::Entry { entry: entry.to_owned(), problem: error.to_string() })
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

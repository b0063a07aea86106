//! The registry: which actions exist, and the exact bytes and limits each one runs with.
//!
//! In scope: reading `registry.toml` strictly, pins, their limits.
//! Out of scope: reading files (`cli`), checking bytes against a pin and compiling them (`openexec-sandbox`).
//!
//! Invariants
//! - A registry is sealed when it is made: no code path adds, changes or removes a pin.
//! - Unknown keys are refused, so that a misspelt limit is not a missing limit.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::Digest;
use crate::limits::{
    ACTIONS_MAX, DEADLINE_MS_DEFAULT, DEADLINE_MS_MAX, DESCRIPTION_TEXT_BYTES_MAX, FUEL_DEFAULT, FUEL_MAX,
    MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MAX, OUTPUT_BYTES_DEFAULT, OUTPUT_BYTES_MAX,
};
use crate::names::Action;

/// What may run. Sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    pins: BTreeMap<Action, Pin>,
    digest: Digest,
}

/// An action bound to exact bytes and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Path of the component, relative to the registry file.
    pub component: String,
    /// SHA-256 of the component's bytes.
    pub digest: Digest,
    /// The handler's own version, for people.
    pub version: String,
    /// What the component may import.
    pub profile: Profile,
    /// What a run may use.
    pub limits: Limits,
    /// What the handler said of itself when it was pinned. `None`: any JSON object is taken, any result is given.
    pub description: Option<Description>,
}

/// What a handler says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// A few words.
    pub title: String,
    /// A paragraph of plain text.
    pub summary: String,
    /// JSON Schema (2020-12) of the payload, as JSON text.
    pub payload_schema: String,
    /// JSON Schema (2020-12) of the result, as JSON text.
    pub output_schema: String,
}

/// What a component may import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Nothing at all.
    Pure,
    /// WASI 0.2, of which everything is virtual: time, randomness, and nothing else.
    Wasi,
}

impl Profile {
    /// The word in the registry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Wasi => "wasi",
        }
    }

    /// The profile of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pure, Self::Wasi].into_iter().find(|profile| profile.as_str() == word)
    }
}

/// What one run may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Wasm operators.
    pub fuel: u64,
    /// Sum of all linear memories, in bytes.
    pub memory_bytes: u64,
    /// Size of the result, in bytes.
    pub output_bytes: u64,
    /// Wall-clock time, in milliseconds.
    pub deadline_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: FUEL_DEFAULT,
            memory_bytes: MEMORY_BYTES_DEFAULT,
            output_bytes: OUTPUT_BYTES_DEFAULT,
            deadline_ms: DEADLINE_MS_DEFAULT,
        }
    }
}

impl Limits {
    /// Whether no limit here is larger than in `other`.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        self.fuel <= other.fuel
            && self.memory_bytes <= other.memory_bytes
            && self.output_bytes <= other.output_bytes
            && self.deadline_ms <= other.deadline_ms
    }
}

/// Why a registry is not accepted. The text names the action and says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Not TOML, or not the registry's shape.
    #[error("the registry is not valid: {0}")]
    Toml(String),
    /// A version this host does not read.
    #[error("registry version {0} is not known to this host, which reads version 1")]
    Version(u64),
    /// No action at all.
    #[error("the registry has no action: a host that can run nothing is not started; add an [action.NAME] table")]
    Empty,
    /// Too many actions.
    #[error("the registry has {0} actions; at most {ACTIONS_MAX} are accepted")]
    TooManyActions(usize),
    /// An action's name, digest or path is not acceptable.
    #[error("action '{action}': {problem}")]
    Pin {
        /// Which action.
        action: String,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRegistry {
    version: u64,
    #[serde(default)]
    action: BTreeMap<String, RawPin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPin {
    component: String,
    sha256: String,
    version: String,
    profile: Profile,
    #[serde(default)]
    limits: Limits,
    description: Option<Description>,
}

impl Registry {
    /// Reads `registry.toml`.
    ///
    /// # Errors
    /// `RegistryError` for anything unknown, missing or out of bounds.
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        let raw: RawRegistry = toml::from_str(text).map_err(|error| RegistryError::Toml(error.to_string()))?;
        if raw.version != 1 {
            return Err(RegistryError::Version(raw.version));
        }
        if raw.action.is_empty() {
            return Err(RegistryError::Empty);
        }
        if raw.action.len() > ACTIONS_MAX {
            return Err(RegistryError::TooManyActions(raw.action.len()));
        }
        let pins = raw.action.into_iter().map(|(name, pin)| pin.check(&name)).collect::<Result<_, _>>()?;
        Ok(Self { pins, digest: Digest::of(text.as_bytes()) })
    }

    /// The pin of `action`.
    #[must_use]
    pub fn pin(&self, action: &Action) -> Option<&Pin> {
        self.pins.get(action)
    }

    /// All pins, by action.
    pub fn pins(&self) -> impl Iterator<Item = (&Action, &Pin)> {
        self.pins.iter()
    }

    /// SHA-256 of the file the registry was read from.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl RawPin {
    fn check(self, name: &str) -> Result<(Action, Pin), RegistryError> {
        let refuse = |problem: String| RegistryError::Pin { action: name.to_owned(), problem };
        let action = Action::parse(name).map_err(|error| refuse(error.to_string()))?;
        let digest = Digest::parse(&self.sha256).map_err(|error| refuse(error.to_string()))?;
        if self.component.is_empty() || self.component.contains('\0') {
            return Err(refuse("'component' must be the path of a file".to_owned()));
        }
        let Limits { fuel, memory_bytes, output_bytes, deadline_ms } = self.limits;
        for (limit, value, max) in [
            ("fuel", fuel, FUEL_MAX),
            ("memory_bytes", memory_bytes, MEMORY_BYTES_MAX),
            ("output_bytes", output_bytes, OUTPUT_BYTES_MAX),
            ("deadline_ms", deadline_ms, DEADLINE_MS_MAX),
        ] {
            if !(1..=max).contains(&value) {
                return Err(refuse(format!("limit '{limit}' must be between 1 and {max}, not {value}")));
            }
        }
        for (text, bytes) in
            self.description.iter().flat_map(|said| [("title", &said.title), ("summary", &said.summary)])
        {
            if bytes.len() > DESCRIPTION_TEXT_BYTES_MAX {
                return Err(refuse(format!("its {text} may have at most {DESCRIPTION_TEXT_BYTES_MAX} bytes")));
            }
        }
        let pin = Pin {
            component: self.component,
            digest,
            version: self.version,
            profile: self.profile,
            limits: self.limits,
            description: self.description,
        };
        Ok((action, pin))
    }
}

//! Trust: whose approvals this host believes, for what.
//!
//! In scope: the trust file (approvals v2), ClawShield's key (approvals v1), keys with their scope, classes of actions.
//! Out of scope: reading files and variables (`cli`), verifying an approval (`approval`).
//!
//! Invariants
//! - Trust is sealed at start: no code path adds, changes or removes a key.
//! - Unknown keys of the file are refused, so that a misspelt restriction is not a missing one.
//! - One public key has one entry, so one signature never counts twice.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::digest::Digest;
use crate::keys::{KeyId, PublicKey};
use crate::limits::{APPROVAL_LIFETIME_S_DEFAULT, APPROVAL_LIFETIME_S_MAX, THRESHOLD_MAX, TRUSTED_KEYS_MAX};
use crate::names::{Action, Audience, Label, Principal, Tenant};
use crate::time::Timestamp;

/// Keys of a trust file that may each take the memory of one that is used often.
const KEYS_OFTEN_MAX: usize = 64;

/// The role without which a key approves nothing.
pub const APPROVER: &str = "approver";

/// Whom a host in clawshield mode believes: ClawShield's key, a trust file, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    legacy: Option<LegacyTrust>,
    file: Option<TrustFile>,
}

/// Whose approvals v1 are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyTrust {
    /// ClawShield's key.
    pub key: PublicKey,
    /// The one tenant it may approve for.
    pub tenant: Tenant,
    /// Longest lifetime of an approval, in seconds.
    pub lifetime_s_max: u64,
}

/// Whose approvals v2 are believed. Sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFile {
    audience: Audience,
    keys: BTreeMap<KeyId, TrustedKey>,
    classes: Vec<Class>,
    digest: Digest,
}

/// A key with everything it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The operator's name for it.
    pub name: Label,
    /// The key.
    pub public: PublicKey,
    /// Who signs with it. Somebody with two keys is still one approver.
    pub principal: Principal,
    /// What whoever signs with it is.
    pub roles: BTreeSet<Label>,
    /// For whom it may approve.
    pub tenants: Scope<Tenant>,
    /// What it may approve.
    pub actions: Scope<Action>,
    valid_from: Option<Timestamp>,
    valid_until: Option<Timestamp>,
    status: KeyStatus,
}

/// A list of names, or all there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope<Name> {
    /// `["*"]`
    All,
    /// These.
    Only(BTreeSet<Name>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeyStatus {
    #[default]
    Active,
    Revoked,
}

/// What approvals of some actions must fulfil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// The operator's name for it.
    pub name: Label,
    /// Which actions.
    pub actions: Scope<Action>,
    /// How many principals must have signed.
    pub threshold: u64,
    /// Roles of which each must be among the signers.
    pub roles: BTreeSet<Label>,
    /// Longest lifetime of an approval, in seconds.
    pub lifetime_s_max: u64,
}

/// Why trust is not accepted. The text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not TOML, or not the trust file's shape.
    #[error("the trust file is not valid: {0}")]
    Toml(String),
    /// A name of the file itself.
    #[error("the trust file is not valid: {0}")]
    File(String),
    /// An entry.
    #[error("the trust file is not valid: {table} '{name}': {problem}")]
    Entry {
        /// `key` or `class`.
        table: &'static str,
        /// The entry's name.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    audience: String,
    #[serde(default)]
    key: Vec<RawKey>,
    #[serde(default)]
    class: Vec<RawClass>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    name: String,
    public: String,
    principal: String,
    roles: Vec<String>,
    tenants: Vec<String>,
    actions: Vec<String>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    #[serde(default)]
    status: KeyStatus,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClass {
    name: String,
    actions: Vec<String>,
    threshold: u64,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default = "default_lifetime_s")]
    max_lifetime_s: u64,
}

fn default_lifetime_s() -> u64 {
    APPROVAL_LIFETIME_S_DEFAULT
}

impl Trust {
    /// Trust in ClawShield's key, in a trust file, or in both; `None` where there is neither.
    #[must_use]
    pub fn of(legacy: Option<LegacyTrust>, file: Option<TrustFile>) -> Option<Self> {
        let legacy = legacy.map(|legacy| LegacyTrust { key: legacy.key.used_often(), ..legacy });
        if legacy.is_none() && file.is_none() { None } else { Some(Self { legacy, file }) }
    }

    /// Whose approvals v1 are believed.
    #[must_use]
    pub fn legacy(&self) -> Option<&LegacyTrust> {
        self.legacy.as_ref()
    }

    /// Whose approvals v2 are believed.
    #[must_use]
    pub fn file(&self) -> Option<&TrustFile> {
        self.file.as_ref()
    }
}

impl TrustFile {
    /// Reads a trust file.
    ///
    /// # Errors
    /// `TrustError` for anything unknown, missing, contradictory or out of bounds.
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        let raw: RawFile = toml::from_str(text).map_err(|error| toml_problem(text, &error))?;
        let audience = Audience::parse(&raw.audience).map_err(|error| TrustError::File(error.to_string()))?;
        if raw.key.is_empty() || raw.key.len() > TRUSTED_KEYS_MAX {
            let n_keys = raw.key.len();
            return Err(TrustError::File(format!(
                "it has {n_keys} [[key]] tables; 1 to {TRUSTED_KEYS_MAX} make sense"
            )));
        }
        let mut keys = BTreeMap::new();
        let mut names = BTreeSet::new();
        let are_few = raw.key.len() <= KEYS_OFTEN_MAX;
        for raw in raw.key {
            let mut key = raw.check()?;
            if are_few {
                key.public = key.public.used_often();
            }
            let refuse = |problem| entry("key", key.name.as_str(), problem);
            if !names.insert(key.name.clone()) {
                return Err(refuse("another key has the same name: names are for people, so each must be its own"));
            }
            if let Some(other) = keys.get(&key.public.id()).map(|other: &TrustedKey| other.name.clone()) {
                return Err(refuse(&format!("the same public key as '{other}': one key would count as two approvers")));
            }
            keys.insert(key.public.id(), key);
        }
        let mut classes: Vec<Class> = Vec::new();
        for raw in raw.class {
            let class = raw.check()?;
            if let Some(problem) = classes.iter().find_map(|other| class.contradicts(other)) {
                return Err(entry("class", class.name.as_str(), &problem));
            }
            classes.push(class);
        }
        Ok(Self { audience, keys, classes, digest: Digest::of(text.as_bytes()) })
    }

    /// Which host it is for.
    #[must_use]
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// The key with this id, if it may be used now.
    #[must_use]
    pub fn key(&self, id: KeyId, now: Timestamp) -> Option<&TrustedKey> {
        self.keys.get(&id).filter(|key| key.is_valid_at(now))
    }

    /// All keys, also those that may not be used now.
    pub fn keys(&self) -> impl Iterator<Item = &TrustedKey> {
        self.keys.values()
    }

    /// The class of `action`: the one that names it, else the one for all actions.
    #[must_use]
    pub fn class_of(&self, action: &Action) -> Option<&Class> {
        let naming = |class: &&Class| matches!(&class.actions, Scope::Only(actions) if actions.contains(action));
        let for_all = |class: &&Class| class.actions == Scope::All;
        self.classes.iter().find(naming).or_else(|| self.classes.iter().find(for_all))
    }

    /// SHA-256 of the file.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl TrustedKey {
    /// Whether the key is active at this moment.
    #[must_use]
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.status == KeyStatus::Active
            && self.valid_from.is_none_or(|from| from <= now)
            && self.valid_until.is_none_or(|until| now < until)
    }

    /// Whether whoever signs with it is an approver at all.
    #[must_use]
    pub fn is_approver(&self) -> bool {
        self.roles.iter().any(|role| role.as_str() == APPROVER)
    }
}

impl<Name: Ord> Scope<Name> {
    /// Whether the name is in scope.
    #[must_use]
    pub fn contains(&self, name: &Name) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

impl Class {
    /// Why both cannot stand in one file.
    fn contradicts(&self, other: &Self) -> Option<String> {
        if self.name == other.name {
            return Some("another class has the same name".to_owned());
        }
        match (&self.actions, &other.actions) {
            (Scope::All, Scope::All) => Some(format!("'{}' is already the class of all other actions", other.name)),
            (Scope::Only(ours), Scope::Only(theirs)) => {
                let both = ours.intersection(theirs).next()?;
                Some(format!("action '{both}' is already in class '{}': an action has one class", other.name))
            }
            (Scope::All, Scope::Only(_)) | (Scope::Only(_), Scope::All) => None,
        }
    }
}

/// The line and what is wrong with it. Not the line itself, which `toml` would show: it may hold a private key that was
/// mistaken for a public one.
fn toml_problem(text: &str, error: &toml::de::Error) -> TrustError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    TrustError::Toml(format!("line {}: {}", before.matches('\n').count() + 1, error.message()))
}

fn entry(table: &'static str, name: &str, problem: &str) -> TrustError {
    TrustError::Entry { table, name: name.to_owned(), problem: problem.to_owned() }
}

/// Parses every text of a list; says which list is wrong.
fn parse_all<Name: Ord, Error: std::fmt::Display>(
    what: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<Name, Error>,
) -> Result<BTreeSet<Name>, String> {
    texts.iter().map(|text| parse(text).map_err(|error| format!("{what}: {error}"))).collect()
}

fn scope<Name: Ord, Error: std::fmt::Display>(
    what: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<Name, Error>,
) -> Result<Scope<Name>, String> {
    match texts {
        [] => Err(format!("{what} is empty: name at least one, or [\"*\"] for all")),
        [all] if all == "*" => Ok(Scope::All),
        _ if texts.iter().any(|text| text == "*") => Err(format!("{what}: \"*\" stands alone or not at all")),
        _ => parse_all(what, texts, parse).map(Scope::Only),
    }
}

impl RawKey {
    fn check(self) -> Result<TrustedKey, TrustError> {
        let name = self.name.clone();
        self.read().map_err(|problem| entry("key", &name, &problem))
    }

    fn read(self) -> Result<TrustedKey, String> {
        let date = |what: &str, text: Option<String>| {
            text.map(|text| Timestamp::parse_utc(&text).map_err(|error| format!("{what}: {error}"))).transpose()
        };
        let roles = parse_all("roles", &self.roles, Label::parse)?;
        if roles.is_empty() {
            return Err(format!("roles is empty: a key that approves has the role \"{APPROVER}\""));
        }
        let (valid_from, valid_until) = (date("valid_from", self.valid_from)?, date("valid_until", self.valid_until)?);
        if valid_from.zip(valid_until).is_some_and(|(from, until)| until <= from) {
            return Err("valid_until is not later than valid_from: the key would never be valid".to_owned());
        }
        Ok(TrustedKey {
            name: Label::parse(&self.name).map_err(|error| error.to_string())?,
            public: PublicKey::parse_base64(&self.public).map_err(|error| format!("public: {error}"))?,
            principal: Principal::parse(&self.principal).map_err(|error| error.to_string())?,
            roles,
            tenants: scope("tenants", &self.tenants, |text| Tenant::parse_governed(text).map_err(|e| e.to_string()))?,
            actions: scope("actions", &self.actions, Action::parse)?,
            valid_from,
            valid_until,
            status: self.status,
        })
    }
}

impl RawClass {
    fn check(self) -> Result<Class, TrustError> {
        let name = self.name.clone();
        self.read().map_err(|problem| entry("class", &name, &problem))
    }

    fn read(self) -> Result<Class, String> {
        if !(1..=THRESHOLD_MAX).contains(&self.threshold) {
            return Err(format!("threshold must be between 1 and {THRESHOLD_MAX}, not {}", self.threshold));
        }
        if !(1..=APPROVAL_LIFETIME_S_MAX).contains(&self.max_lifetime_s) {
            return Err(format!("max_lifetime_s must be between 1 and {APPROVAL_LIFETIME_S_MAX}"));
        }
        Ok(Class {
            name: Label::parse(&self.name).map_err(|error| error.to_string())?,
            actions: scope("actions", &self.actions, Action::parse)?,
            threshold: self.threshold,
            roles: parse_all("roles", &self.roles, Label::parse)?,
            lifetime_s_max: self.max_lifetime_s,
        })
    }
}

//! Admission: the one place that decides whether a request may run.
//!
//! In scope: every check that needs nothing but the request and the host's sealed configuration, in the order that
//! `SECURITY.md` lists. Out of scope: whether the nonce is free, which only the ledger can say.
//!
//! Invariants
//! - `admit` is pure: the same request and configuration give the same answer.
//! - `Admitted` has no public constructor. Holding one is the proof that every check passed.

use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::names::{Action, Audience, Tenant};
use crate::registry::{Limits, Registry};
use crate::request::{ExecId, Identity, Request, RequestError};
use crate::reservation::Reserved;
use crate::time::Timestamp;

/// How the host decides what may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every registered action runs without an approval. For trying out, on loopback.
    Demo,
}

impl Mode {
    /// The word in `/health`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Demo => "demo",
        }
    }
}

/// What admission depends on. Sealed at start.
#[derive(Clone, Debug)]
pub struct Admission {
    /// How the host decides.
    pub mode: Mode,
    /// Which host this is.
    pub audience: Audience,
    /// On whose behalf every call runs.
    pub tenant: Tenant,
    /// The only actions that may run; `None` allows every registered one.
    pub allow_list: Option<BTreeSet<Action>>,
    /// What exists.
    pub registry: Registry,
}

/// Why a request may not run. Nothing is recorded, and the nonce stays free.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The body is not a request.
    #[error(transparent)]
    Malformed(#[from] RequestError),
    /// No such action in the registry.
    #[error("Unknown action: {0}")]
    UnknownAction(Action),
    /// Registered, but not in the allow-list.
    #[error("Action not allowed on this host: {0}")]
    ActionNotAllowed(Action),
    /// The nonce belongs to another request.
    #[error("this nonce was already used for a different request; use a new nonce for a new request")]
    NonceReuse,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed-request",
            Self::UnknownAction(_) => "unknown-action",
            Self::ActionNotAllowed(_) => "action-not-allowed",
            Self::NonceReuse => "nonce-reuse",
        }
    }
}

/// A request that may run.
#[derive(Clone, Debug)]
pub struct Admitted {
    request: Request,
    identity: Identity,
    tenant: Tenant,
    component: Digest,
    limits: Limits,
}

impl Admission {
    /// Decides whether `request` may run.
    ///
    /// # Errors
    /// The first check that fails, as a `Refusal`.
    pub fn admit(&self, request: Request) -> Result<Admitted, Refusal> {
        match self.mode {
            Mode::Demo => {} // no approval is asked for
        }
        if self.allow_list.as_ref().is_some_and(|list| !list.contains(&request.action)) {
            return Err(Refusal::ActionNotAllowed(request.action));
        }
        let Some(pin) = self.registry.pin(&request.action) else {
            return Err(Refusal::UnknownAction(request.action));
        };
        Ok(Admitted {
            identity: request.identity(&self.audience, &self.tenant),
            tenant: self.tenant.clone(),
            component: pin.digest,
            limits: pin.limits,
            request,
        })
    }
}

impl Admitted {
    /// The id of the one execution this request can have.
    #[must_use]
    pub fn exec_id(&self) -> ExecId {
        self.identity.exec_id
    }

    /// What was asked for.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.request.action
    }

    /// The facts a ledger makes durable.
    #[must_use]
    pub fn reserve_at(self, reserved_at: Timestamp) -> Reserved {
        Reserved {
            exec_id: self.identity.exec_id,
            fingerprint: self.identity.fingerprint,
            tenant: self.tenant,
            action: self.request.action,
            nonce: self.request.nonce,
            payload: self.request.payload.canonical().clone(),
            component: self.component,
            limits: self.limits,
            reserved_at,
        }
    }
}

//! Facts of an execution that nobody asked for: what a handler is told when it is tried out.
//!
//! In scope: facts as a host would derive them, and one component in a sandbox of its own.
//! Out of scope: keeping anything. A `Rerun` is no reservation.

use std::error::Error;

use openexec_core::digest::Digest;
use openexec_core::names::{Action, Audience, Nonce, Tenant};
use openexec_core::registry::{Limits, Pin, Profile};
use openexec_core::request::{Payload, Request};
use openexec_core::reservation::{Rerun, Reserved};
use openexec_core::time::Timestamp;
use openexec_sandbox::{ComponentFile, Sandbox, Settings, StartError};

use crate::args::DEFAULT_AUDIENCE;
use crate::args::handler::FactOptions;

/// What a handler is told besides its payload.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) action: Action,
    tenant: Tenant,
    nonce: Nonce,
    issued_at: Timestamp,
    audience: Audience,
}

impl Facts {
    pub(super) fn of(options: &FactOptions) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            action: Action::parse(&options.action)?,
            tenant: if options.tenant == "demo" { Tenant::demo() } else { Tenant::parse_governed(&options.tenant)? },
            nonce: Nonce::parse(&options.nonce)?,
            issued_at: Timestamp::from_unix_ms(options.issued_at),
            audience: Audience::parse(DEFAULT_AUDIENCE)?,
        })
    }

    /// The execution of `payload` by `component`, with its id derived as a host does.
    pub(super) fn with(&self, payload: Payload, component: Digest, limits: Limits) -> Rerun {
        let canonical = payload.canonical().clone();
        let request = Request { action: self.action.clone(), payload, nonce: self.nonce.clone() };
        let identity = request.identity(&self.audience, &self.tenant);
        Rerun::of(Reserved {
            exec_id: identity.exec_id,
            fingerprint: identity.fingerprint,
            tenant: self.tenant.clone(),
            action: request.action,
            nonce: request.nonce,
            payload: canonical,
            component,
            limits,
            approval: None,
            reserved_at: self.issued_at,
        })
    }
}

/// The component as if the registry pinned it for `action`.
pub(super) fn as_pinned(
    action: &Action,
    path: &str,
    bytes: Vec<u8>,
    profile: Profile,
    limits: Limits,
) -> ComponentFile {
    let pin = Pin {
        component: path.to_owned(),
        digest: Digest::of(&bytes),
        version: String::new(),
        profile,
        limits,
        description: None,
    };
    ComponentFile { action: action.clone(), pin, path: path.to_owned(), bytes }
}

/// A sandbox with nothing else in it.
pub(super) fn sandbox(file: ComponentFile) -> Result<Sandbox, StartError> {
    Sandbox::start(vec![file], Settings { n_slots: 1 })
}

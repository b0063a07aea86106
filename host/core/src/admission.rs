//! Admission: the one place that decides whether a request may run.
//!
//! In scope: every check that needs nothing but the submission, the time and the host's sealed configuration, in the
//! order that `SECURITY.md` lists. Out of scope: whether nonce and approval are unused, which only the ledger can say.
//!
//! Invariants
//! - `admit` is pure: the same submission, configuration, controls and time give the same answer.
//! - `Admitted` has no public constructor. Holding one is the proof that every check passed: it is the only way into the
//!   ledger, and a reservation in the ledger the only way into the sandbox.
//! - In clawshield mode there is no `Admitted` without a `VerifiedApproval`.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::approval::{Approval, Call, VerifiedApproval};
use crate::control::Controls;
use crate::names::{Action, Audience, Tenant};
use crate::refusal::Refusal;
use crate::registry::Registry;
use crate::request::{ExecId, Identity, Submission};
use crate::reservation::Reserved;
use crate::time::Timestamp;
use crate::trust::Trust;

/// How the host decides what may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every registered action runs without an approval. For trying out, on loopback.
    Demo,
    /// Nothing runs without an approval by whom the host trusts.
    Clawshield(Arc<Trust>),
}

impl Mode {
    /// The word in `/health`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Clawshield(_) => "clawshield",
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
    /// The only actions that may run; `None` allows every registered one.
    pub allow_list: Option<BTreeSet<Action>>,
    /// What exists.
    pub registry: Registry,
}

/// A request that may run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admitted {
    facts: Reserved,
    approval: Option<VerifiedApproval>,
}

impl Admission {
    /// Decides whether what was submitted may run.
    ///
    /// # Errors
    /// The first check that fails, as a `Refusal`.
    pub fn admit(&self, submission: Submission, controls: &Controls, now: Timestamp) -> Result<Admitted, Refusal> {
        let Submission { request, approval } = submission;
        if let Some(stop) = controls.stop_of_action(&request.action) {
            return Err(stop.into());
        }
        if self.allow_list.as_ref().is_some_and(|list| !list.contains(&request.action)) {
            return Err(Refusal::ActionNotAllowed(request.action));
        }
        let Some(pin) = self.registry.pin(&request.action) else {
            return Err(Refusal::UnknownAction(request.action));
        };
        let approval = match &self.mode {
            Mode::Demo => None, // whatever came as an approval is not looked at
            Mode::Clawshield(trust) => {
                let approval = Approval::parse(approval.ok_or(Refusal::ApprovalRequired)?)?;
                let audience = &self.audience;
                let call = Call { request: &request, audience, tenant: None, component: Some(pin.digest) };
                Some(approval.verify(trust, call, now)?)
            }
        };
        let tenant = approval.as_ref().map_or_else(Tenant::demo, |approval| approval.tenant().clone());
        if let Some(stop) = controls.stop_of(&tenant, &request.action) {
            return Err(stop.into());
        }
        let Identity { exec_id, fingerprint, record: _ } = request.identity(&self.audience, &tenant);
        let facts = Reserved {
            exec_id,
            fingerprint,
            tenant,
            action: request.action,
            nonce: request.nonce,
            payload: request.payload.canonical().clone(),
            component: pin.digest,
            limits: approval.as_ref().map_or(pin.limits, |approval| approval.tighten(pin.limits)),
            approval: approval.as_ref().map(|approval| approval.kept().clone()),
            reserved_at: now,
        };
        Ok(Admitted { facts, approval })
    }
}

impl Admitted {
    /// The id of the one execution this request can have.
    #[must_use]
    pub fn exec_id(&self) -> ExecId {
        self.facts.exec_id
    }

    /// What was asked for.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.facts.action
    }

    /// Makes sure that a new execution may begin at this moment. A replay needs no such thing: it was authorised when it
    /// ran, and whoever asks has just been authenticated again.
    ///
    /// # Errors
    /// The refusal, if the approval's time is not now.
    pub fn require_timely(&self, now: Timestamp) -> Result<(), Refusal> {
        self.approval.as_ref().map_or(Ok(()), |approval| approval.require_timely(now))
    }

    /// The facts a ledger makes durable.
    #[must_use]
    pub fn reserve_at(self, reserved_at: Timestamp) -> Reserved {
        Reserved { reserved_at, ..self.facts }
    }
}

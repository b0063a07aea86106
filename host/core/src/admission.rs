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

use crate::approval::{Approval, ApprovalFacts, Authentic, Call, NotApproved, VerifiedApproval};
use crate::control::Controls;
use crate::digest::Digest;
use crate::names::{Action, Audience, Nonce, Tenant};
use crate::receipt::refusal::RefusalReceipt;
use crate::refusal::{Refusal, Violation};
use crate::registry::Registry;
use crate::request::{ExecId, Identity, Request, Submission};
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

/// Knows what payloads the actions take.
pub trait PayloadCheck {
    /// Everything in `payload`, canonical JSON text, that `action` does not take. Empty if it takes it, and if nothing is
    /// known of the action. The same at every time.
    fn violations(&self, action: &Action, payload: &str) -> Vec<Violation>;
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
    /// The first check that fails.
    pub fn admit(&self, submission: Submission, controls: &Controls, now: Timestamp) -> Result<Admitted, Refused> {
        let Submission { request, approval } = submission;
        if let Some(stop) = controls.stop_of_action(&request.action) {
            return Err(Refusal::from(stop).into());
        }
        if self.allow_list.as_ref().is_some_and(|list| !list.contains(&request.action)) {
            return Err(Refusal::ActionNotAllowed(request.action).into());
        }
        let Some(pin) = self.registry.pin(&request.action) else {
            return Err(Refusal::UnknownAction(request.action).into());
        };
        let approval = match &self.mode {
            Mode::Demo => None, // whatever came as an approval is not looked at
            Mode::Clawshield(trust) => {
                let approval = Approval::parse(approval.ok_or(Refusal::ApprovalRequired)?)?;
                let audience = &self.audience;
                let call = Call { request: &request, audience, tenant: None, component: Some(pin.digest) };
                let approval = approval.verify(trust, call, now);
                Some(approval.map_err(|NotApproved { refusal, authentic }| Refused {
                    receipt: authentic.map(|authentic| self.refuse(&request, *authentic, &refusal, now).into()),
                    refusal,
                })?)
            }
        };
        let tenant = approval.as_ref().map_or_else(Tenant::demo, |approval| approval.tenant().clone());
        let Identity { exec_id, fingerprint, record: _ } = request.identity(&self.audience, &tenant);
        let stop = controls.stop_of(&tenant, &request.action);
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
        let admitted = Admitted { facts, approval };
        match stop {
            None => Ok(admitted),
            Some(stop) => Err(admitted.refused(stop.into(), now)),
        }
    }

    /// What is said about the refusal of an authentic approval.
    fn refuse(&self, request: &Request, approval: Authentic, refusal: &Refusal, now: Timestamp) -> RefusalReceipt {
        let Authentic { tenant, facts } = approval;
        let Identity { exec_id, fingerprint, record: _ } = request.identity(&self.audience, &tenant);
        let (action, nonce) = (request.action.clone(), &request.nonce);
        refusal_receipt(refusal, Refusing { exec_id, fingerprint, tenant, action, nonce, facts }, now)
    }
}

/// Why a request may not run, and what is said about it to whoever holds an authentic approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// To be signed. `None` unless an authentic approval came with the request.
    pub receipt: Option<Box<RefusalReceipt>>,
}

impl<R: Into<Refusal>> From<R> for Refused {
    /// Of a request that nobody is known to have approved.
    fn from(refusal: R) -> Self {
        Self { refusal: refusal.into(), receipt: None }
    }
}

/// The call that is refused.
struct Refusing<'a> {
    exec_id: ExecId,
    fingerprint: Digest,
    tenant: Tenant,
    action: Action,
    nonce: &'a Nonce,
    facts: ApprovalFacts,
}

fn refusal_receipt(refusal: &Refusal, call: Refusing<'_>, refused_at: Timestamp) -> RefusalReceipt {
    let Refusing { exec_id, fingerprint, tenant, action, nonce, facts } = call;
    RefusalReceipt {
        exec_id,
        fingerprint,
        tenant,
        action,
        nonce: Digest::of(nonce.as_str().as_bytes()),
        approval: facts,
        code: refusal.code().to_owned(),
        member: refusal.member().map(|member| member.as_str().to_owned()),
        refused_at,
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

    /// Makes sure that the action takes the payload. As with the time, a replay needs no such thing: what was sealed before
    /// the handler was described stays what it is.
    ///
    /// # Errors
    /// The refusal, with every violation.
    pub fn require_fitting(&self, check: &dyn PayloadCheck) -> Result<(), Refusal> {
        let violations = check.violations(&self.facts.action, &self.facts.payload);
        if violations.is_empty() { Ok(()) } else { Err(Refusal::PayloadInvalid(violations.into())) }
    }

    /// The refusal of this request for a reason that only showed after it was admitted: its time, its nonce, a stop.
    #[must_use]
    pub fn refused(&self, refusal: Refusal, now: Timestamp) -> Refused {
        let receipt = self.approval.as_ref().map(|approval| {
            let Reserved { exec_id, fingerprint, tenant, action, nonce, .. } = &self.facts;
            let call = Refusing {
                exec_id: *exec_id,
                fingerprint: *fingerprint,
                tenant: tenant.clone(),
                action: action.clone(),
                nonce,
                facts: ApprovalFacts::clone(&approval.kept().facts),
            };
            Box::new(refusal_receipt(&refusal, call, now))
        });
        Refused { refusal, receipt }
    }

    /// The facts a ledger makes durable.
    #[must_use]
    pub fn reserve_at(&self, reserved_at: Timestamp) -> Reserved {
        Reserved { reserved_at, ..self.facts.clone() }
    }
}

//! Refusals: why a request may not run, as a closed list with stable codes.
//!
//! In scope: the list, the codes, what each one tells the caller.
//! Out of scope: who decides (`admission`, `approval`, the ledger), the status each one gets (`server`).
//!
//! A refusal leaves no trace: nothing is recorded, and the nonce stays free. Its text says nothing about other callers,
//! and repeats nothing of an approval but what the caller's own request says.

use std::sync::Arc;

use crate::names::Action;
use crate::request::RequestError;

/// Why a request may not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The body is not a request.
    #[error(transparent)]
    Malformed(#[from] RequestError),
    /// The operator has halted the host.
    #[error("this host is halted by its operator; nothing was done; send the same request again later")]
    Halted,
    /// The operator has put the action or the tenant under quarantine.
    #[error("this action or tenant is under quarantine by the operator; nothing was done; send it again later")]
    Quarantined,
    /// No such action in the registry.
    #[error("Unknown action: {0}")]
    UnknownAction(Action),
    /// Registered, but not in the allow-list.
    #[error("Action not allowed on this host: {0}")]
    ActionNotAllowed(Action),
    /// No approval, on a host that asks for one.
    #[error("this host executes nothing without an approval: send the signed approval as 'approval_artifact'")]
    ApprovalRequired,
    /// Not what an approval of its format looks like.
    #[error("the approval is not acceptable: {0}")]
    ApprovalMalformed(String),
    /// A signature by a key that this host trusts does not verify.
    #[error("Invalid signature: the approval was not signed by the key it names, or was changed since")]
    ApprovalInvalid,
    /// No signature by a key that this host trusts for this action.
    #[error("no signature of the approval is by a key that this host trusts for this action now")]
    ApprovalUnknownKey,
    /// Too few approvers, or none of a role that is needed.
    #[error("the approval does not have the approvers that this host asks for: {0}")]
    ApprovalQuorum(String),
    /// The quorum would be met only by counting whoever asked for the call.
    #[error("whoever requested the call does not count as its approver, and without them the approvers are too few")]
    ApprovalSelf,
    /// The approval is for another call.
    #[error("{0}")]
    ApprovalMismatch(Member),
    /// Its time is over.
    #[error("the approval has expired: ask for a new one")]
    ApprovalExpired,
    /// Its time has not begun.
    #[error("the approval is not valid yet: send it again later, and compare the clocks of host and approver")]
    ApprovalNotYetValid,
    /// It is valid for longer than this host accepts.
    #[error("the approval is valid for {lifetime_s} s; this host accepts at most {lifetime_s_max} s for this action")]
    ApprovalLifetime {
        /// From issue to expiry, in seconds.
        lifetime_s: u64,
        /// The most that is accepted.
        lifetime_s_max: u64,
    },
    /// Used before, with another nonce.
    #[error("this approval was already used for another nonce; one approval permits one call: ask for a new one")]
    ApprovalConsumed,
    /// The payload is not what the handler says that it takes.
    #[error("the payload is not what this action takes: correct what 'violations' names; the nonce is still free")]
    PayloadInvalid(Arc<[Violation]>),
    /// The nonce belongs to another request.
    #[error("this nonce was already used for a different request; use a new nonce for a new request")]
    NonceReuse,
}

/// One thing in a payload that is not as its schema says. Nothing of the payload but the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where in the payload: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// The keyword of the schema that is not kept.
    pub keyword: String,
    /// What the schema asks for.
    pub message: String,
}

/// What of an approval differs from the call it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Member {
    /// Which host it is meant for.
    #[error("Audience mismatch: the approval is for another host")]
    Audience,
    /// On whose behalf.
    #[error("Tenant mismatch: the approval is for another tenant")]
    Tenant,
    /// What to do.
    #[error("Action mismatch: the approval is for another action")]
    Action,
    /// The unique value of the call.
    #[error("Nonce mismatch: the approval is for another nonce")]
    Nonce,
    /// With what.
    #[error("Payload hash mismatch: the approval is for another payload")]
    Payload,
    /// Action and payload together, of which an approval v1 has one digest.
    #[error("Action hash mismatch: the approval is for another action or payload")]
    ActionHash,
    /// The code that was approved.
    #[error("Component mismatch: the approval is for other code than this host would run")]
    Component,
    /// The class under which it was approved.
    #[error("Class mismatch: the approval was given under another class than this host's for the action")]
    Quorum,
}

impl Member {
    /// The name of the member in the approval.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audience => "audience",
            Self::Tenant => "tenant",
            Self::Action => "action",
            Self::Nonce => "nonce",
            Self::Payload => "payload",
            Self::ActionHash => "action_hash",
            Self::Component => "component",
            Self::Quorum => "quorum",
        }
    }
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed-request",
            Self::Halted => "halted",
            Self::Quarantined => "quarantined",
            Self::UnknownAction(_) => "unknown-action",
            Self::ActionNotAllowed(_) => "action-not-allowed",
            Self::ApprovalRequired => "approval-required",
            Self::ApprovalMalformed(_) => "approval-malformed",
            Self::ApprovalInvalid => "approval-invalid",
            Self::ApprovalUnknownKey => "approval-unknown-key",
            Self::ApprovalQuorum(_) => "approval-quorum",
            Self::ApprovalSelf => "approval-self",
            Self::ApprovalMismatch(_) => "approval-mismatch",
            Self::ApprovalExpired => "approval-expired",
            Self::ApprovalNotYetValid => "approval-not-yet-valid",
            Self::ApprovalLifetime { .. } => "approval-lifetime",
            Self::ApprovalConsumed => "approval-consumed",
            Self::PayloadInvalid(_) => "payload-invalid",
            Self::NonceReuse => "nonce-reuse",
        }
    }

    /// What of the approval differs, where something does.
    #[must_use]
    pub fn member(&self) -> Option<Member> {
        match self {
            Self::ApprovalMismatch(member) => Some(*member),
            Self::Malformed(_)
            | Self::Halted
            | Self::Quarantined
            | Self::UnknownAction(_)
            | Self::ActionNotAllowed(_)
            | Self::ApprovalRequired
            | Self::ApprovalMalformed(_)
            | Self::ApprovalInvalid
            | Self::ApprovalUnknownKey
            | Self::ApprovalQuorum(_)
            | Self::ApprovalSelf
            | Self::ApprovalExpired
            | Self::ApprovalNotYetValid
            | Self::ApprovalLifetime { .. }
            | Self::ApprovalConsumed
            | Self::PayloadInvalid(_)
            | Self::NonceReuse => None,
        }
    }

    /// What of the payload is not as its schema says.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        if let Self::PayloadInvalid(violations) = self { violations } else { &[] }
    }
}

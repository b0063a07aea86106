//! The quorum of an approval v2: whose signatures count, and whether they are enough.
//!
//! In scope: verifying signatures by trusted keys, counting distinct principals, roles, the requester who never counts.
//! Out of scope: what was approved (`v2`).
//!
//! A signature by a trusted key that does not verify spoils the whole approval: somebody changed something. Signatures by
//! keys that are not trusted now are nobody's, and are ignored.

use std::collections::{BTreeMap, BTreeSet};

use super::v2::Body;
use crate::dsse::Envelope;
use crate::keys::KeyId;
use crate::names::{Label, Principal};
use crate::refusal::{Member, Refusal};
use crate::time::Timestamp;
use crate::trust::{Class, TrustFile, TrustedKey};

/// Whose approval it is, and under which class.
pub(super) struct Approvers<'a> {
    /// The keys that counted.
    pub(super) key_ids: Vec<KeyId>,
    /// The class of the action, if it has one.
    pub(super) class: Option<&'a Class>,
}

/// The trusted keys that signed the envelope, each once.
pub(super) fn verify_signatures<'a>(
    envelope: &Envelope,
    file: &'a TrustFile,
    now: Timestamp,
) -> Result<Vec<&'a TrustedKey>, Refusal> {
    let message = envelope.pre_authentication_encoding();
    let mut signers = BTreeMap::new();
    for signature in envelope.signatures() {
        let Some(key) = signature.key_id.and_then(|id| file.key(id, now)) else { continue };
        key.public.verify(&message, &signature.signature).map_err(|_| Refusal::ApprovalInvalid)?;
        signers.insert(key.public.id(), key);
    }
    if signers.is_empty() { Err(Refusal::ApprovalUnknownKey) } else { Ok(signers.into_values().collect()) }
}

/// Makes sure that those who signed are enough for what they signed.
pub(super) fn require_quorum<'a>(
    file: &'a TrustFile,
    signers: &[&TrustedKey],
    body: &Body,
) -> Result<Approvers<'a>, Refusal> {
    let of_tenant: Vec<_> = signers.iter().filter(|key| key.tenants.contains(&body.tenant)).collect();
    if of_tenant.is_empty() {
        return Err(Refusal::ApprovalMismatch(Member::Tenant));
    }
    let approvers: Vec<&TrustedKey> =
        of_tenant.into_iter().copied().filter(|key| key.is_approver() && key.actions.contains(&body.action)).collect();
    if approvers.is_empty() {
        return Err(Refusal::ApprovalUnknownKey);
    }
    let class = file.class_of(&body.action);
    if body.quorum.as_ref().is_some_and(|quorum| class.is_none_or(|class| class.name != quorum.class)) {
        return Err(Refusal::ApprovalMismatch(Member::Quorum));
    }
    let raised = body.quorum.as_ref().map_or(1, |quorum| quorum.threshold);
    let threshold = class.map_or(1, |class| class.threshold).max(raised);
    let others: Vec<_> = approvers.iter().copied().filter(|key| key.principal != body.requester).collect();
    if let Some(lack) = missing(threshold, class, &others) {
        let requester_signed = others.len() < approvers.len();
        let is_self = requester_signed && missing(threshold, class, &approvers).is_none();
        return Err(if is_self { Refusal::ApprovalSelf } else { Refusal::ApprovalQuorum(lack) });
    }
    Ok(Approvers { key_ids: others.iter().map(|key| key.public.id()).collect(), class })
}

/// What these approvers lack, in words; `None` if they are enough.
fn missing(threshold: u64, class: Option<&Class>, approvers: &[&TrustedKey]) -> Option<String> {
    // Each key has one principal, so distinct principals have distinct keys.
    let principals: BTreeSet<&Principal> = approvers.iter().map(|key| &key.principal).collect();
    if (principals.len() as u64) < threshold {
        return Some(format!("{} of {threshold} approvers signed", principals.len()));
    }
    let has_role = |role: &Label| approvers.iter().any(|key| key.roles.contains(role));
    let lacking = class?.roles.iter().find(|role| !has_role(role))?;
    Some(format!("none of them has the role '{lacking}'"))
}

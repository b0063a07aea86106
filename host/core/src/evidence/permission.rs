//! Who permitted an execution.
//!
//! In scope: verifying its approval again, by trust that came another way, as of the moment when the nonce was claimed.
//! Out of scope: whether the approval was used twice; only the ledger of the host knows.

use super::Shown;
use super::verify::{Found, fail, not_checked, pass};
use crate::approval::{Approval, ApprovalFacts, Call, Format, VerifiedApproval};
use crate::json::Value;
use crate::receipt::Receipt;
use crate::refusal::{Member, Refusal};
use crate::request::Request;
use crate::trust::{Trust, TrustFile};

/// An execution that nobody approved.
pub(super) fn check_demo(trust: Option<&Trust>) -> Found {
    const NOBODY: &str = "nobody approved this: the host ran it in demo mode";
    if trust.is_some() { fail(NOBODY) } else { not_checked(NOBODY) }
}

/// The approval that the receipt names.
pub(super) fn check(receipt: &Receipt, facts: &ApprovalFacts, shown: &Shown, trust: Option<&Trust>) -> Found {
    let Some(trust) = trust else {
        return not_checked(match facts.format {
            Format::V1 => "say whose approvals count (--clawshield-public-key and --tenant)",
            Format::V2 => "say whose approvals count (--trust)",
        });
    };
    let (Some(approval), Some(request), Some(payload)) = (&shown.approval, &shown.request, &shown.payload) else {
        return not_checked("the file does not show the approval together with its request and payload");
    };
    let approval = match read(approval, facts) {
        Ok(approval) => approval,
        Err(why) => return fail(why),
    };
    match approval.format() {
        Format::V1 if trust.legacy().is_none() => {
            return not_checked("an approval v1: say whose count (--clawshield-public-key and --tenant)");
        }
        Format::V2 if trust.file().is_none() => return not_checked("an approval v2: say whose count (--trust)"),
        Format::V1 | Format::V2 => {}
    }
    if let Some(file) = trust.file().filter(|file| *file.audience() != request.audience) {
        let (theirs, ours) = (request.audience.as_str(), file.audience().as_str());
        return fail(format!("the request was made to the host {theirs}, and the trust file is for {ours}"));
    }
    let request_of = Request { action: request.action.clone(), payload: payload.clone(), nonce: request.nonce.clone() };
    let call = Call {
        request: &request_of,
        audience: &request.audience,
        tenant: Some(&receipt.tenant),
        component: Some(receipt.component),
    };
    let hint = other_trust(facts, trust);
    let approved = approval.verify(trust, call, receipt.reserved_at).map_err(|not| not.refusal);
    let approved = approved.and_then(|approved| approved.require_timely(receipt.reserved_at).map(|()| approved));
    match approved {
        Err(Refusal::ApprovalMismatch(Member::ActionHash)) => not_checked(
            "the signature of the approval verifies, but its action_hash is not of the payload as this file spells it. A \
             host does not keep whether a number was 1 or 1.0: assemble the evidence of the request as it was posted",
        ),
        Err(refusal) => fail(format!("{}: {refusal}{hint}", refusal.code())),
        Ok(approved) => match difference(receipt, facts, &approved) {
            Some(difference) => fail(format!("{difference}{hint}")),
            None => {
                let signers: Vec<_> = approved.signers().iter().map(ToString::to_string).collect();
                pass(format!("approved by {}, good when the nonce was claimed{hint}", signers.join(" and ")))
            }
        },
    }
}

/// The approval, if it is the very one that the receipt names.
fn read(approval: &Value, facts: &ApprovalFacts) -> Result<Approval, String> {
    let approval = Approval::parse(approval.clone()).map_err(|refusal| format!("{}: {refusal}", refusal.code()))?;
    match approval.reference() == facts.reference && approval.format() == facts.format {
        true => Ok(approval),
        false => Err("another approval than the one that the receipt names".to_owned()),
    }
}

/// What the receipt says about the approval that is not so.
fn difference(receipt: &Receipt, facts: &ApprovalFacts, approved: &VerifiedApproval) -> Option<String> {
    let ours = &approved.kept().facts;
    if ours.signers != facts.signers {
        return Some("the receipt names other signers than those whose signatures count".to_owned());
    }
    if (ours.policy_bundle, ours.preview, &ours.decision) != (facts.policy_bundle, facts.preview, &facts.decision) {
        return Some("the receipt says about policy, preview or decision what the approval does not".to_owned());
    }
    let is_within = approved.tighten(receipt.limits) == receipt.limits;
    (!is_within).then(|| "it ran under higher limits than the approval permits".to_owned())
}

/// Says so if the host had another trust file than the one that was given.
fn other_trust(facts: &ApprovalFacts, trust: &Trust) -> String {
    match (facts.trust, trust.file().map(TrustFile::digest)) {
        (theirs, ours) if theirs == ours => String::new(),
        (Some(theirs), _) => format!(" (the host had another trust file then: SHA-256 {theirs})"),
        (None, _) => " (the host had no trust file then)".to_owned(),
    }
}

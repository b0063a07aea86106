//! What a bundle shows of an execution, and whether the receipt says so.
//!
//! In scope: the request and its identity, the openings of the receipt's commitments.
//! Out of scope: who permitted the request (`permission`).

use super::Shown;
use super::verify::{Found, fail, not_checked, pass};
use crate::digest::Digest;
use crate::json;
use crate::outcome::Status;
use crate::receipt::opening::{Commitment, Openings, Part, Salt};
use crate::receipt::{Receipt, effects_text, failure_text};
use crate::request::Identity;

/// Whether the receipt is about the request that is shown.
pub(super) fn check_request(receipt: &Receipt, shown: &Shown) -> Found {
    let Some(request) = &shown.request else { return not_checked("the file does not show the request") };
    let Identity { fingerprint, exec_id, record: _ } = request.identity();
    let agreements = [
        (request.tenant == receipt.tenant, "tenant"),
        (request.action == receipt.action, "action"),
        (Digest::of(request.nonce.as_str().as_bytes()) == receipt.nonce, "nonce"),
        (fingerprint == receipt.fingerprint, "fingerprint (audience, tenant, action, nonce and payload together)"),
        (exec_id == receipt.exec_id, "execution id"),
        (shown.payload.as_ref().is_none_or(|payload| payload.digest() == request.payload), "payload's digest"),
    ];
    match agreements.iter().find(|(agrees, _)| !agrees) {
        Some((_, what)) => fail(format!("the receipt is about another request: the {what} differs")),
        None => pass(format!("fingerprint {fingerprint}, at the host {}", request.audience.as_str())),
    }
}

/// Whether what is shown is what the receipt commits to.
pub(super) fn check_openings(receipt: &Receipt, shown: &Shown) -> Found {
    if let Some(problem) = contradiction(receipt, shown) {
        return fail(problem);
    }
    let Some(openings) = &shown.openings else {
        return not_checked("the file does not have the salts that open the receipt");
    };
    let Openings { payload, result, effects } = openings;
    let opened = [
        open(
            Part::Payload,
            Some(*payload),
            shown.payload.as_ref().map(|payload| payload.canonical().to_string()),
            Some(receipt.payload),
        ),
        open(Part::Result, *result, answer_text(shown), receipt.result),
        open(
            Part::Effects,
            *effects,
            shown.effects.as_deref().map(effects_text),
            receipt.effects.map(|effects| effects.commitment),
        ),
    ];
    let named = |wanted: &Opened| {
        let names = opened.iter().filter(|(_, opened)| opened == wanted).map(|(part, _)| part.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (different, hidden) = (named(&Opened::Different), named(&Opened::Hidden));
    match (different.is_empty(), hidden.is_empty()) {
        (false, _) => fail(format!("not what the receipt commits to: {different}")),
        (true, false) => not_checked(format!("the file does not show what the receipt commits to: {hidden}")),
        (true, true) => pass(format!("what the receipt commits to: {}", named(&Opened::Same))),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opened {
    Same,
    Different,
    /// There is a commitment, and no text or no salt.
    Hidden,
    /// There is no commitment, and nothing is shown.
    Nothing,
}

fn open(part: Part, salt: Option<Salt>, text: Option<String>, committed: Option<Commitment>) -> (Part, Opened) {
    let opened = match (committed, salt, text) {
        (Some(committed), Some(salt), Some(text)) if salt.commit(&text) == committed => Opened::Same,
        (Some(_), Some(_), Some(_)) | (None, Some(_), _) | (None, None, Some(_)) => Opened::Different,
        (Some(_), _, _) => Opened::Hidden,
        (None, None, None) => Opened::Nothing,
    };
    (part, opened)
}

/// What stands where a receipt has the result: the handler's yes or its no.
fn answer_text(shown: &Shown) -> Option<String> {
    match (&shown.result, &shown.failure) {
        (Some(result), None) => Some(json::jcs(result)),
        (None, Some(failure)) => Some(failure_text(failure)),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

/// What cannot be so by the receipt's outcome alone.
fn contradiction(receipt: &Receipt, shown: &Shown) -> Option<String> {
    let commits = (receipt.result.is_some(), receipt.effects.is_some());
    let (shall_commit, shows_other) = match receipt.outcome {
        Status::Succeeded => ((true, true), shown.failure.is_some()),
        Status::Failed => ((true, false), shown.result.is_some() || shown.effects.is_some()),
        Status::Faulted | Status::Interrupted => {
            ((false, false), shown.result.is_some() || shown.failure.is_some() || shown.effects.is_some())
        }
    };
    let outcome = receipt.outcome.as_str();
    if commits != shall_commit || receipt.fault.is_some() != (receipt.outcome == Status::Faulted) {
        return Some(format!("the receipt contradicts itself: not what one of an execution that {outcome} has"));
    }
    if shows_other {
        return Some(format!("the file shows what an execution that {outcome} does not have"));
    }
    let n_shown = shown.effects.as_ref().map(|effects| effects.len() as u64);
    match (receipt.effects, n_shown) {
        (Some(effects), Some(n_shown)) if effects.count != n_shown => {
            Some(format!("the receipt counts {} effects, and the file shows {n_shown}", effects.count))
        }
        (Some(_) | None, _) => None,
    }
}

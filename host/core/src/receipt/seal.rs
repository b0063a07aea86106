//! Making a receipt.
//!
//! In scope: from a reservation and its run to everything that the ledger keeps of it.
//! Out of scope: running, keeping; where the random secret comes from.

use std::sync::Arc;

use super::opening::{Blinding, Part};
use super::refusal::RefusalReceipt;
use super::statement::{Effects, EngineFacts, Receipt};
use super::{ReceiptKey, Signed, legacy};
use crate::digest::Digest;
use crate::json::{self, Members, Value};
use crate::outcome::{Effect, Failure, Outcome, Run};
use crate::registry::Profile;
use crate::reservation::{Reservation, Seal, Sealed};
use crate::time::Timestamp;

/// Seals executions for one host.
#[derive(Clone, Debug)]
pub struct Sealer {
    /// Signs.
    pub key: ReceiptKey,
    /// SHA-256 of the host's registry.
    pub registry: Digest,
    /// What runs its handlers.
    pub engine: EngineFacts,
}

impl Sealer {
    /// Ends a reservation with what came of its run under this profile. `blinding` must be new and random.
    ///
    /// Of an execution that was interrupted no answer is known, and its pin may be gone: it names no profile.
    #[must_use]
    pub fn seal(
        &self,
        reservation: &Reservation,
        run: Run,
        profile: Profile,
        sealed_at: Timestamp,
        blinding: Blinding,
    ) -> Sealed {
        let facts = reservation.facts();
        let profile = if run.outcome == Outcome::Interrupted { Profile::Pure } else { profile };
        let result = match &run.outcome {
            Outcome::Succeeded { result, .. } => result.value(),
            Outcome::Failed(_) | Outcome::Faulted(_) | Outcome::Interrupted => Value::Null,
        };
        let commit = |part: Part, text: &str| blinding.salt(part).commit(text);
        let (committed, effects) = match &run.outcome {
            Outcome::Succeeded { effects, .. } => (Some(json::jcs(&result)), Some(effects)),
            Outcome::Failed(failure) => (Some(failure_text(failure)), None),
            Outcome::Faulted(_) | Outcome::Interrupted => (None, None),
        };
        let receipt = Receipt {
            exec_id: facts.exec_id,
            fingerprint: facts.fingerprint,
            tenant: facts.tenant.clone(),
            action: facts.action.clone(),
            nonce: Digest::of(facts.nonce.as_str().as_bytes()),
            approval: facts.approval.as_ref().map(|approval| approval.facts.clone()),
            component: facts.component,
            profile,
            limits: facts.limits,
            registry: self.registry,
            engine: self.engine.clone(),
            outcome: run.outcome.status(),
            fault: run.outcome.fault(),
            resources: run.resources,
            payload: commit(Part::Payload, &facts.payload),
            result: committed.map(|text| commit(Part::Result, &text)),
            effects: effects.map(|effects| Effects {
                count: effects.len() as u64,
                commitment: commit(Part::Effects, &effects_text(effects)),
            }),
            reserved_at: facts.reserved_at,
            sealed_at,
            repeated: reservation.is_repeated(),
        };
        let signed = self.key.sign(receipt.spell());
        Sealed {
            exec_id: facts.exec_id,
            action: facts.action.clone(),
            receipt: legacy(facts.exec_id, &result),
            outcome: run.outcome,
            resources: run.resources,
            sealed_at,
            seal: Some(Seal { reference: signed.reference(), signed: Arc::new(signed), blinding }),
        }
    }

    /// Signs that an authentic approval was refused, and that nothing was done.
    #[must_use]
    pub fn refuse(&self, refusal: &RefusalReceipt) -> Signed {
        self.key.sign(refusal.spell())
    }
}

/// The text that a receipt of a failed execution commits to: JCS of `{"failure", "text"}`.
#[must_use]
pub fn failure_text(failure: &Failure) -> String {
    let members = vec![
        ("failure".to_owned(), Value::String(failure.kind.as_str().to_owned())),
        ("text".to_owned(), Value::String(failure.text.clone())),
    ];
    json::jcs(&Value::Object(Members::new(members).unwrap_or_default()))
}

/// The text that a receipt commits to for its effects: JCS of `[{"body", "kind"}, …]`.
#[must_use]
pub fn effects_text(effects: &[Effect]) -> String {
    let effect = |effect: &Effect| {
        let members =
            vec![("kind".to_owned(), Value::String(effect.kind.clone())), ("body".to_owned(), effect.body.value())];
        Value::Object(Members::new(members).unwrap_or_default())
    };
    json::jcs(&Value::Array(effects.iter().map(effect).collect()))
}

//! Checking a bundle with keys that came another way.
//!
//! In scope: the order of the aspects, the receipt's own signature, what it means that something was not given.
//! Out of scope: what each other aspect consists of.

use super::report::{Aspect, Finding, Report, Verdict};
use super::{Body, Evidence, Repetition, Shown, logged, permission, revealed};
use crate::digest::Digest;
use crate::keys::PublicKey;
use crate::log::note::VerifierKey;
use crate::trust::Trust;

/// Whom whoever asks believes. Nothing that is left empty is checked.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// The keys that the host signs receipts with, or has signed with.
    pub receipt_keys: Vec<PublicKey>,
    /// The log's key.
    pub log_key: Option<VerifierKey>,
    /// Witnesses' keys.
    pub witness_keys: Vec<VerifierKey>,
    /// How many of them must have cosigned. At least one, where any key is given.
    pub quorum: u64,
    /// Whose approvals count.
    pub trust: Option<Trust>,
}

/// What was found about an aspect: the verdict, and why.
pub(super) type Found = (Verdict, String);

pub(super) fn pass(why: impl Into<String>) -> Found {
    (Verdict::Pass, why.into())
}

pub(super) fn fail(why: impl Into<String>) -> Found {
    (Verdict::Fail, why.into())
}

pub(super) fn not_checked(why: impl Into<String>) -> Found {
    (Verdict::NotChecked, why.into())
}

/// Checks a proof on its own: inclusion of the receipt with this reference, the log's signature, the cosignatures.
#[must_use]
pub fn verify_proof(proof: &str, reference: &Digest, keys: &Keys) -> Vec<Finding> {
    let proof = logged::parse(Some(proof));
    let finding = |aspect, is_asked_for, (verdict, detail): Found| Finding { aspect, verdict, detail, is_asked_for };
    vec![
        finding(Aspect::Inclusion, true, logged::check_inclusion(&proof, reference)),
        finding(Aspect::LogSignature, true, logged::check_signature(&proof, keys.log_key.as_ref())),
        finding(
            Aspect::Cosignatures,
            !keys.witness_keys.is_empty(),
            logged::check_cosignatures(&proof, &keys.witness_keys, keys.quorum),
        ),
    ]
}

impl Evidence {
    /// Checks every aspect with these keys. Whoever had the component run again says what came of it, by `compare`.
    #[must_use]
    pub fn verify(&self, keys: &Keys, repetition: Option<Repetition>) -> Report {
        let of_shown = |look: &dyn Fn(&Shown) -> Found| match &self.body {
            Body::Shown(shown) => look(shown),
            Body::Erased => (Verdict::Erased, "erased by the host: this can never be checked again".to_owned()),
        };
        let proof = logged::parse(self.proof.as_deref());
        let finding = |aspect: Aspect, is_asked_for: bool, (verdict, detail): Found| Finding {
            aspect,
            verdict,
            detail,
            is_asked_for,
        };
        let findings = vec![
            finding(Aspect::ReceiptSignature, true, self.check_signature(&keys.receipt_keys)),
            finding(
                Aspect::Approval,
                keys.trust.is_some(),
                match &self.receipt.approval {
                    None => permission::check_demo(keys.trust.as_ref()),
                    Some(facts) => {
                        of_shown(&|shown| permission::check(&self.receipt, facts, shown, keys.trust.as_ref()))
                    }
                },
            ),
            finding(Aspect::Request, true, of_shown(&|shown| revealed::check_request(&self.receipt, shown))),
            finding(Aspect::Openings, true, of_shown(&|shown| revealed::check_openings(&self.receipt, shown))),
            finding(Aspect::Inclusion, true, logged::check_inclusion(&proof, &self.signed.reference())),
            finding(Aspect::LogSignature, true, logged::check_signature(&proof, keys.log_key.as_ref())),
            finding(
                Aspect::Cosignatures,
                !keys.witness_keys.is_empty(),
                logged::check_cosignatures(&proof, &keys.witness_keys, keys.quorum),
            ),
            finding(Aspect::Reexecution, repetition.is_some(), self.found_by(repetition)),
        ];
        Report::of(findings, &self.receipt)
    }

    fn check_signature(&self, keys: &[PublicKey]) -> Found {
        let id = self.signed.key_id;
        if keys.is_empty() {
            return not_checked(format!(
                "give the key that the host signs receipts with (--receipt-key); it claims to be {id}"
            ));
        }
        match keys.iter().find(|key| key.id() == id) {
            None => fail(format!("signed with the key {id}, which is none of those that you trust")),
            Some(key) => match self.signed.verify(key) {
                Ok(()) => pass(format!("by the key {id}")),
                Err(error) => fail(format!("{error}: the receipt was changed, or {id} never signed it")),
            },
        }
    }

    fn found_by(&self, repetition: Option<Repetition>) -> Found {
        match (repetition, &self.body) {
            (Some(Repetition::Same(why)), _) => pass(why),
            (Some(Repetition::Differs(why)), _) => fail(why),
            (None | Some(Repetition::NotComparable(_)), Body::Erased) => {
                (Verdict::Erased, "erased by the host: nothing can be run again without its payload".to_owned())
            }
            (Some(Repetition::NotComparable(why)), Body::Shown(_)) => not_checked(why),
            (None, Body::Shown(_)) => {
                let component = self.receipt.component;
                not_checked(format!("give the component to have it run again (--replay): its SHA-256 is {component}"))
            }
        }
    }
}

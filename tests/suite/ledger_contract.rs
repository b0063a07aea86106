//! What every ledger promises: one suite, every adapter.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use openexec_core::approval::Format;
use openexec_core::control::{Control, Stop, Target};
use openexec_core::digest::Digest;
use openexec_core::names::{Action, Note, Tenant};
use openexec_core::outcome::{Effect, Failure, FailureKind, Fault, JsonText, Outcome, Resources, Run, Status};
use openexec_core::registry::Limits;
use openexec_core::request::ExecId;
use openexec_core::reservation::{Reservation, Reserved, Sealed, Tombstone};
use openexec_core::time::Timestamp;
use openexec_ledger::memory::MemoryLedger;
use openexec_ledger::sqlite::SqliteLedger;
use openexec_ledger::{Claim, Ledger, LedgerError, Receipts, SealAnswer, Stats};
use openexec_tests::facts::{self, approval_use, receipt_key, seal};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

#[test]
fn the_memory_ledger_keeps_the_contract() {
    ledger_contract(|| Box::new(memory()));
}

#[test]
fn the_sqlite_ledger_keeps_the_contract() {
    let folder = TempDir::new().unwrap();
    let n_opened = Cell::new(0);
    ledger_contract(|| {
        n_opened.set(n_opened.get() + 1);
        Box::new(sqlite(&folder.path().join(format!("{}.db", n_opened.get()))))
    });
}

/// A ledger that knows the key that `seal` signs with.
fn memory() -> MemoryLedger {
    let ledger = MemoryLedger::default();
    ledger.adopt_key(receipt_key().public().clone(), at(0)).wait().unwrap();
    ledger
}

/// As `memory`.
fn sqlite(path: &Path) -> SqliteLedger {
    let ledger = SqliteLedger::open(path).unwrap();
    ledger.adopt_key(receipt_key().public().clone(), at(0)).wait().unwrap();
    ledger
}

/// `open` gives a new, empty ledger.
fn ledger_contract(open: impl Fn() -> Box<dyn Ledger>) {
    a_free_nonce_is_claimed_and_an_unsealed_claim_keeps_its_first_facts(&*open());
    the_same_nonce_for_another_request_is_taken_at_every_stage(&*open());
    the_same_nonce_of_another_tenant_is_another_execution(&*open());
    an_exact_replay_returns_the_first_seal_for_every_outcome(&*open());
    a_thousand_racing_claims_for_one_request_yield_one_fresh_claim(&*open());
    a_thousand_racing_requests_for_one_nonce_yield_one_fresh_claim(&*open());
    unsealed_lists_the_oldest_first_with_all_facts(&*open());
    erasing_goes_from_the_oldest_on_and_no_further_than_told(&*open());
    erasing_keeps_what_is_not_sealed(&*open());
    erasing_leaves_a_tombstone_of_every_outcome(&*open());
    a_receipt_exists_from_the_seal_on_for_ever(&*open());
    stats_count_every_state(&*open());
    a_probe_leaves_no_trace(&*open());
    an_approval_is_used_by_the_nonce_that_came_first(&*open());
    sixty_four_nonces_racing_with_one_approval_yield_one_fresh_claim(&*open());
    the_same_nonce_with_the_same_approval_is_the_same_execution_at_every_stage(&*open());
    an_approval_that_was_not_needed_is_not_used(&*open());
    erasing_does_not_free_an_approval(&*open());
    a_reservation_keeps_the_approval_that_permitted_it(&*open());
    recall_claims_nothing_and_answers_as_reserve_would(&*open());
    nothing_that_is_stopped_is_reserved(&*open());
    nothing_that_is_stopped_is_sealed_but_as_interrupted(&*open());
    nothing_that_is_stopped_is_answered_before_its_release(&*open());
    controls_are_listed_with_their_date_and_reason(&*open());
}

fn a_free_nonce_is_claimed_and_an_unsealed_claim_keeps_its_first_facts(ledger: &dyn Ledger) {
    let first = facts("demo", "n", 1, 1_000);
    let Claim::Fresh(reservation) = ledger.reserve(first.clone()).wait().unwrap() else { panic!("the nonce was free") };
    assert_eq!(*reservation.facts(), first);
    // What runs after a crash is what was admitted then, whatever the registry says now.
    let later = Reserved { component: Digest::of(b"newer"), limits: Limits::default(), ..facts("demo", "n", 1, 2_000) };
    let Claim::Unsealed(reservation) = ledger.reserve(later).wait().unwrap() else { panic!("nothing was sealed") };
    assert_eq!(*reservation.facts(), first);
}

fn the_same_nonce_for_another_request_is_taken_at_every_stage(ledger: &dyn Ledger) {
    let Claim::Fresh(reservation) = ledger.reserve(facts("demo", "n", 1, 1_000)).wait().unwrap() else { panic!() };
    let other = || ledger.reserve(facts("demo", "n", 2, 1_000)).wait().unwrap();
    assert_eq!(other(), Claim::Taken, "while reserved");
    ledger.seal(&reservation, &seal(&reservation, run(succeeded()), at(1_001))).wait().unwrap();
    assert_eq!(other(), Claim::Taken, "once sealed");
    assert_eq!(ledger.erase(at(9_999), 10).wait().unwrap(), 1);
    assert_eq!(other(), Claim::Taken, "once erased");
}

fn the_same_nonce_of_another_tenant_is_another_execution(ledger: &dyn Ledger) {
    let of_one = keep(ledger, facts("one", "n", 1, 1_000), succeeded());
    let of_other = keep(ledger, facts("other", "n", 1, 1_000), Outcome::Interrupted);
    assert_ne!(of_one.exec_id, of_other.exec_id);
    assert_eq!(ledger.reserve(facts("one", "n", 1, 2_000)).wait().unwrap(), Claim::Sealed(of_one));
    assert_eq!(ledger.reserve(facts("other", "n", 1, 2_000)).wait().unwrap(), Claim::Sealed(of_other));
}

fn an_exact_replay_returns_the_first_seal_for_every_outcome(ledger: &dyn Ledger) {
    for (i, outcome) in every_outcome().into_iter().enumerate() {
        let nonce = format!("n{i}");
        let sealed = keep(ledger, facts("demo", &nonce, 1, 1_000), outcome);
        for replay in 0..2 {
            let claim = ledger.reserve(facts("demo", &nonce, 1, 2_000)).wait().unwrap();
            assert_eq!(claim, Claim::Sealed(sealed.clone()), "replay {replay}");
        }
    }
}

fn a_thousand_racing_claims_for_one_request_yield_one_fresh_claim(ledger: &dyn Ledger) {
    let claims = race(ledger, |_| facts("demo", "n", 1, 1_000));
    let n_fresh = claims.iter().filter(|claim| matches!(claim, Claim::Fresh(_))).count();
    let n_unsealed = claims.iter().filter(|claim| matches!(claim, Claim::Unsealed(_))).count();
    assert_eq!((n_fresh, n_unsealed), (1, 999));
    assert_eq!(ledger.unsealed().unwrap().len(), 1);
}

fn a_thousand_racing_requests_for_one_nonce_yield_one_fresh_claim(ledger: &dyn Ledger) {
    let claims = race(ledger, |i| facts("demo", "n", i, 1_000));
    let n_fresh = claims.iter().filter(|claim| matches!(claim, Claim::Fresh(_))).count();
    let n_taken = claims.iter().filter(|claim| **claim == Claim::Taken).count();
    assert_eq!((n_fresh, n_taken), (1, 999));
}

fn unsealed_lists_the_oldest_first_with_all_facts(ledger: &dyn Ledger) {
    let mut reserved: Vec<Reserved> = (0..20).map(|i| facts("demo", &format!("n{i}"), i, 1_000 + i)).collect();
    for facts in &reserved {
        ledger.reserve(facts.clone()).wait().unwrap();
    }
    let sealed = reserved.remove(7);
    let Claim::Unsealed(reservation) = ledger.reserve(sealed).wait().unwrap() else { panic!() };
    ledger.seal(&reservation, &seal(&reservation, run(succeeded()), at(3_000))).wait().unwrap();
    let unsealed = ledger.unsealed().unwrap();
    assert_eq!(unsealed.iter().map(|reservation| reservation.facts().clone()).collect::<Vec<_>>(), reserved);
}

fn erasing_goes_from_the_oldest_on_and_no_further_than_told(ledger: &dyn Ledger) {
    let reserve = |i: u64| facts("demo", &format!("n{i}"), i, 1_000 + i);
    for i in 0..10 {
        keep(ledger, reserve(i), succeeded());
    }
    let erased = || -> Vec<bool> {
        (0..10).map(|i| matches!(ledger.reserve(reserve(i)).wait().unwrap(), Claim::Erased(_))).collect()
    };
    let first = |n: usize| -> Vec<bool> { (0..10).map(|i| i < n).collect() };
    assert_eq!(ledger.erase(at(1_000), 100).wait().unwrap(), 0, "the moment itself is not before it");
    assert_eq!(ledger.erase(at(9_999), 0).wait().unwrap(), 0);
    assert_eq!(erased(), first(0));
    assert_eq!(ledger.erase(at(9_999), 3).wait().unwrap(), 3);
    assert_eq!(erased(), first(3));
    assert_eq!(ledger.erase(at(1_005), 100).wait().unwrap(), 2);
    assert_eq!(erased(), first(5));
    assert_eq!(ledger.erase(at(9_999), 100).wait().unwrap(), 5);
    assert_eq!(ledger.erase(at(9_999), 100).wait().unwrap(), 0, "nothing is erased twice");
}

fn erasing_keeps_what_is_not_sealed(ledger: &dyn Ledger) {
    let unsealed = facts("demo", "unsealed", 1, 1_000);
    ledger.reserve(unsealed.clone()).wait().unwrap();
    keep(ledger, facts("demo", "sealed", 1, 1_001), succeeded());
    assert_eq!(ledger.erase(at(9_999), 1).wait().unwrap(), 1, "an unsealed one does not use up the number");
    let left = ledger.unsealed().unwrap();
    assert_eq!(left.iter().map(Reservation::facts).collect::<Vec<_>>(), [&unsealed]);
    let sealed = keep(ledger, unsealed.clone(), succeeded());
    assert_eq!(ledger.reserve(unsealed).wait().unwrap(), Claim::Sealed(sealed));
}

fn erasing_leaves_a_tombstone_of_every_outcome(ledger: &dyn Ledger) {
    let outcomes = every_outcome();
    let reserve = |i: usize| facts("demo", &format!("n{i}"), 1, 1_000);
    let sealed: Vec<_> =
        outcomes.iter().enumerate().map(|(i, outcome)| keep(ledger, reserve(i), outcome.clone())).collect();
    assert_eq!(ledger.erase(at(9_999), 1_000).wait().unwrap(), outcomes.len() as u64);
    for (i, sealed) in sealed.into_iter().enumerate() {
        let tombstone = Tombstone {
            exec_id: sealed.exec_id,
            action: sealed.action,
            status: sealed.outcome.status(),
            fault: sealed.outcome.fault(),
            receipt: sealed.receipt,
            signed: sealed.seal.map(|seal| seal.signed),
        };
        assert_eq!(ledger.reserve(reserve(i)).wait().unwrap(), Claim::Erased(tombstone));
    }
}

fn a_receipt_exists_from_the_seal_on_for_ever(ledger: &dyn Ledger) {
    let facts = facts("demo", "n", 1, 1_000);
    let receipt = || ledger.receipt(facts.exec_id).unwrap();
    assert_eq!(receipt(), None, "before the reservation");
    ledger.reserve(facts.clone()).wait().unwrap();
    assert_eq!(receipt(), None, "before the seal");
    let sealed = keep(ledger, facts.clone(), succeeded());
    assert_eq!(receipt(), Some(sealed.receipt));
    ledger.erase(at(9_999), 1).wait().unwrap();
    assert_eq!(receipt(), Some(sealed.receipt), "after the erasure");
    assert_eq!(ledger.receipt(ExecId::from_bytes([7; 16])).unwrap(), None, "of another");
}

fn stats_count_every_state(ledger: &dyn Ledger) {
    assert_eq!(ledger.stats().unwrap(), Stats::default());
    for (i, outcome) in every_outcome().into_iter().enumerate() {
        keep(ledger, facts("demo", &format!("n{i}"), 1, 1_000), outcome);
    }
    for i in 0..4 {
        ledger.reserve(facts("demo", &format!("reserved{i}"), 1, 2_000)).wait().unwrap();
    }
    ledger.erase(at(9_999), 3).wait().unwrap();
    let expected = Stats {
        n_reserved: 4,
        n_succeeded: 3,
        n_failed: 3,
        n_faulted: Fault::ALL.len() as u64,
        n_interrupted: 1,
        n_erased: 3,
    };
    assert_eq!(ledger.stats().unwrap(), expected);
}

fn a_probe_leaves_no_trace(ledger: &dyn Ledger) {
    let sealed = keep(ledger, facts("demo", "n", 1, 1_000), succeeded());
    let before = ledger.stats().unwrap();
    ledger.probe().wait().unwrap();
    assert_eq!(ledger.stats().unwrap(), before);
    assert_eq!(ledger.reserve(facts("demo", "n", 1, 2_000)).wait().unwrap(), Claim::Sealed(sealed));
}

fn an_approval_is_used_by_the_nonce_that_came_first(ledger: &dyn Ledger) {
    let first = approved(facts("acme", "first", 1, 1_000), "a");
    assert!(matches!(ledger.reserve(first.clone()).wait().unwrap(), Claim::Fresh(_)));
    let consumed = || {
        for (tenant, nonce, payload) in [("acme", "second", 1), ("acme", "second", 2), ("other", "first", 1)] {
            let other = approved(facts(tenant, nonce, payload, 2_000), "a");
            assert_eq!(ledger.reserve(other).wait().unwrap(), Claim::Consumed, "{tenant} {nonce} {payload}");
        }
    };
    consumed();
    keep(ledger, first, succeeded());
    consumed();
    assert_eq!(ledger.stats().unwrap(), Stats { n_succeeded: 1, ..Stats::default() });
    let free = approved(facts("acme", "second", 1, 3_000), "b");
    assert!(matches!(ledger.reserve(free).wait().unwrap(), Claim::Fresh(_)), "the nonce is free for another approval");
    let taken = approved(facts("acme", "second", 2, 3_000), "a");
    assert_eq!(ledger.reserve(taken).wait().unwrap(), Claim::Taken, "the nonce says more than the approval");
    let without = facts("acme", "third", 1, 3_000);
    assert!(matches!(ledger.reserve(without).wait().unwrap(), Claim::Fresh(_)), "nothing is used without an approval");
}

fn sixty_four_nonces_racing_with_one_approval_yield_one_fresh_claim(ledger: &dyn Ledger) {
    for round in 0..8 {
        let reference = format!("approval {round}");
        let claims = race_of(64, ledger, |i| approved(facts("acme", &format!("{round} {i}"), 1, 1_000), &reference));
        let n_fresh = claims.iter().filter(|claim| matches!(claim, Claim::Fresh(_))).count();
        let n_consumed = claims.iter().filter(|claim| **claim == Claim::Consumed).count();
        assert_eq!((n_fresh, n_consumed), (1, 63));
    }
    assert_eq!(ledger.unsealed().unwrap().len(), 8);
}

fn the_same_nonce_with_the_same_approval_is_the_same_execution_at_every_stage(ledger: &dyn Ledger) {
    let asked = || approved(facts("acme", "n", 1, 1_000), "a");
    assert!(matches!(ledger.reserve(asked()).wait().unwrap(), Claim::Fresh(_)));
    assert!(matches!(ledger.reserve(asked()).wait().unwrap(), Claim::Unsealed(_)));
    let sealed = keep(ledger, asked(), succeeded());
    assert_eq!(ledger.reserve(asked()).wait().unwrap(), Claim::Sealed(sealed));
    assert_eq!(ledger.erase(at(9_999), 1).wait().unwrap(), 1);
    assert!(matches!(ledger.reserve(asked()).wait().unwrap(), Claim::Erased(_)));
    assert_eq!(ledger.stats().unwrap(), Stats { n_succeeded: 1, n_erased: 1, ..Stats::default() });
}

fn an_approval_that_was_not_needed_is_not_used(ledger: &dyn Ledger) {
    keep(ledger, approved(facts("acme", "n", 1, 1_000), "a"), succeeded());
    let again = approved(facts("acme", "n", 1, 2_000), "b");
    assert!(matches!(ledger.reserve(again).wait().unwrap(), Claim::Sealed(_)), "a second approval of the same call");
    let other = approved(facts("acme", "another", 1, 2_000), "b");
    assert!(matches!(ledger.reserve(other).wait().unwrap(), Claim::Fresh(_)));
}

fn erasing_does_not_free_an_approval(ledger: &dyn Ledger) {
    keep(ledger, approved(facts("acme", "n", 1, 1_000), "a"), succeeded());
    assert_eq!(ledger.erase(at(9_999), 1).wait().unwrap(), 1);
    ledger.scrub().unwrap();
    let other = approved(facts("acme", "another", 1, 2_000), "a");
    assert_eq!(ledger.reserve(other.clone()).wait().unwrap(), Claim::Consumed);
    assert_eq!(ledger.recall(other).wait().unwrap(), Some(Claim::Consumed));
}

fn a_reservation_keeps_the_approval_that_permitted_it(ledger: &dyn Ledger) {
    let of_v1 = Reserved {
        approval: Some(approval_use(Format::V1, Digest::of(b"an artifact"), r#"{"approval_id":"\u0000 é 😀 '"}"#)),
        ..facts("acme", "of v1", 1, 1_000)
    };
    let reserved = [of_v1, approved(facts("acme", "of v2", 1, 1_001), "a"), facts("acme", "of nobody", 1, 1_002)];
    for facts in &reserved {
        ledger.reserve(facts.clone()).wait().unwrap();
    }
    let unsealed = ledger.unsealed().unwrap();
    assert_eq!(unsealed.iter().map(Reservation::facts).collect::<Vec<_>>(), reserved.iter().collect::<Vec<_>>());
    let again = approved(facts("acme", "of v2", 1, 2_000), "b");
    let Claim::Unsealed(reservation) = ledger.reserve(again).wait().unwrap() else { panic!("nothing was sealed") };
    assert_eq!(*reservation.facts(), reserved[1], "the approval that came first");
}

fn recall_claims_nothing_and_answers_as_reserve_would(ledger: &dyn Ledger) {
    let asked = approved(facts("acme", "n", 1, 1_000), "a");
    let recall = |facts: &Reserved| ledger.recall(facts.clone()).wait().unwrap();
    for _ in 0..2 {
        assert_eq!(recall(&asked), None);
        assert_eq!(ledger.stats().unwrap(), Stats::default());
    }
    let as_reserve = |facts: Reserved| {
        let recalled = recall(&facts);
        assert_eq!(recalled, Some(ledger.reserve(facts).wait().unwrap()));
        recalled.unwrap()
    };
    assert!(matches!(ledger.reserve(asked.clone()).wait().unwrap(), Claim::Fresh(_)), "recall left it free");
    let others = || {
        assert_eq!(as_reserve(approved(facts("acme", "n", 2, 1_000), "a")), Claim::Taken);
        assert_eq!(as_reserve(approved(facts("acme", "other", 1, 1_000), "a")), Claim::Consumed);
        assert_eq!(recall(&approved(facts("acme", "other", 1, 1_000), "b")), None);
        assert_eq!(recall(&facts("acme", "other", 1, 1_000)), None);
        assert_eq!(recall(&approved(facts("other", "n", 1, 1_000), "b")), None);
    };
    assert!(matches!(as_reserve(asked.clone()), Claim::Unsealed(_)));
    others();
    let sealed = keep(ledger, asked.clone(), succeeded());
    assert_eq!(as_reserve(asked.clone()), Claim::Sealed(sealed));
    others();
    ledger.erase(at(9_999), 1).wait().unwrap();
    assert!(matches!(as_reserve(asked), Claim::Erased(_)));
    others();
    assert_eq!(ledger.stats().unwrap(), Stats { n_succeeded: 1, n_erased: 1, ..Stats::default() });
}

/// Every kind of target that concerns a call of `facts("acme", …)`, and what is said of it.
fn targets() -> [(Target, Stop); 3] {
    [
        (Target::Host, Stop::Halted),
        (Target::Tenant(Tenant::parse("acme").unwrap()), Stop::Quarantined),
        (Target::Action(Action::parse("payments.transfer").unwrap()), Stop::Quarantined),
    ]
}

fn elsewhere() -> [Target; 2] {
    [Target::Tenant(Tenant::parse("Acme").unwrap()), Target::Action(Action::parse("payments").unwrap())]
}

fn nothing_that_is_stopped_is_reserved(ledger: &dyn Ledger) {
    for target in elsewhere() {
        assert!(ledger.stop(target, at(1), None).wait().unwrap());
    }
    for (i, (target, stop)) in targets().into_iter().enumerate() {
        let asked = |j: u64| approved(facts("acme", &format!("{i} {j}"), 1, 1_000), &format!("{i}"));
        assert!(ledger.stop(target.clone(), at(1), None).wait().unwrap());
        let claims = race_of(64, ledger, asked);
        assert!(claims.iter().all(|claim| *claim == Claim::Stopped(stop)), "{target:?}: {claims:?}");
        assert_eq!(ledger.recall(asked(0)).wait().unwrap(), Some(Claim::Stopped(stop)));
        let of_other = ledger.reserve(facts("other", &format!("{i}"), 1, 1_000)).wait().unwrap();
        match target {
            Target::Tenant(_) => assert!(matches!(of_other, Claim::Fresh(_)), "another tenant"),
            Target::Host | Target::Action(_) => assert_eq!(of_other, Claim::Stopped(stop)),
        }
        assert!(ledger.release(target.clone()).wait().unwrap());
        assert_eq!(ledger.recall(asked(0)).wait().unwrap(), None, "a refusal leaves no trace");
        assert!(matches!(ledger.reserve(asked(0)).wait().unwrap(), Claim::Fresh(_)), "{target:?} was released");
    }
    assert_eq!(ledger.stats().unwrap(), Stats { n_reserved: 4, ..Stats::default() });
}

fn nothing_that_is_stopped_is_sealed_but_as_interrupted(ledger: &dyn Ledger) {
    for target in elsewhere() {
        assert!(ledger.stop(target, at(1), None).wait().unwrap());
    }
    for (i, (target, _)) in targets().into_iter().enumerate() {
        for (j, outcome) in every_outcome().into_iter().enumerate() {
            let asked = approved(facts("acme", &format!("{i} {j}"), 1, 1_000), &format!("{i} {j}"));
            let Claim::Fresh(reservation) = ledger.reserve(asked.clone()).wait().unwrap() else {
                panic!("it was free")
            };
            let sealed = seal(&reservation, run(outcome), at(1_001));
            assert!(ledger.stop(target.clone(), at(1), None).wait().unwrap());
            if sealed.outcome != Outcome::Interrupted {
                assert_eq!(
                    ledger.seal(&reservation, &sealed).wait().unwrap(),
                    SealAnswer::Stopped,
                    "{target:?}: {sealed:?}"
                );
                assert_eq!(ledger.receipt(sealed.exec_id).unwrap(), None);
                assert_eq!(ledger.unsealed().unwrap().len(), 1, "it stays reserved");
            }
            let interrupted = seal(&reservation, run(Outcome::Interrupted), at(1_002));
            assert_eq!(ledger.seal(&reservation, &interrupted).wait().unwrap(), SealAnswer::Kept);
            let of_other = Reservation::made_durable(facts("other", &format!("{i} {j}"), 1, 1_000));
            if matches!(target, Target::Tenant(_)) {
                ledger.reserve(of_other.facts().clone()).wait().unwrap();
                let sealed = seal(&of_other, run(succeeded()), at(1_001));
                assert_eq!(ledger.seal(&of_other, &sealed).wait().unwrap(), SealAnswer::Kept, "another tenant");
            }
            assert!(ledger.release(target.clone()).wait().unwrap());
            assert_eq!(ledger.reserve(asked).wait().unwrap(), Claim::Sealed(interrupted));
        }
    }
    let n_each = every_outcome().len() as u64;
    let expected = Stats { n_interrupted: 3 * n_each, n_succeeded: n_each, ..Stats::default() };
    assert_eq!(ledger.stats().unwrap(), expected);
}

fn nothing_that_is_stopped_is_answered_before_its_release(ledger: &dyn Ledger) {
    let done = approved(facts("acme", "done", 1, 1_000), "a");
    let running = approved(facts("acme", "running", 1, 1_000), "b");
    let sealed = keep(ledger, done.clone(), succeeded());
    ledger.reserve(running.clone()).wait().unwrap();
    for (target, stop) in targets() {
        ledger.stop(target.clone(), at(1), None).wait().unwrap();
        for asked in [&done, &running, &facts("acme", "done", 2, 1_000), &approved(facts("acme", "new", 1, 1_000), "a")]
        {
            assert_eq!(ledger.reserve(asked.clone()).wait().unwrap(), Claim::Stopped(stop));
            assert_eq!(ledger.recall(asked.clone()).wait().unwrap(), Some(Claim::Stopped(stop)));
        }
        ledger.release(target).wait().unwrap();
        assert_eq!(ledger.reserve(done.clone()).wait().unwrap(), Claim::Sealed(sealed.clone()));
        assert!(matches!(ledger.reserve(running.clone()).wait().unwrap(), Claim::Unsealed(_)));
    }
}

fn controls_are_listed_with_their_date_and_reason(ledger: &dyn Ledger) {
    assert_eq!(ledger.controls().unwrap(), []);
    let expected = stop_everything(ledger);
    assert_eq!(ledger.controls().unwrap(), expected);
    for control in &expected {
        let again = ledger.stop(control.target.clone(), at(9_999), Some(Note::parse("again").unwrap()));
        assert!(!again.wait().unwrap(), "it was stopped already");
    }
    assert_eq!(ledger.controls().unwrap(), expected, "the first stop counts");
    for (i, control) in expected.iter().enumerate() {
        assert!(ledger.release(control.target.clone()).wait().unwrap());
        assert!(!ledger.release(control.target.clone()).wait().unwrap(), "it was released already");
        assert_eq!(ledger.controls().unwrap(), expected[i + 1..]);
    }
}

/// Stops one target of each kind; returns what must be listed.
fn stop_everything(ledger: &dyn Ledger) -> Vec<Control> {
    let reasons = [None, Some("incident 7: 'looks odd'"), Some("~")];
    let controls: Vec<Control> = targets()
        .into_iter()
        .zip(reasons)
        .enumerate()
        .map(|(i, ((target, _), reason))| Control {
            target,
            since: at(1_000 + i as u64),
            reason: reason.map(|text| Note::parse(text).unwrap()),
        })
        .collect();
    for control in controls.iter().rev() {
        let Control { target, since, reason } = control.clone();
        assert!(ledger.stop(target, since, reason).wait().unwrap());
    }
    controls
}

#[test]
fn uses_of_approvals_and_controls_survive_reopening_a_sqlite_ledger() {
    let folder = TempDir::new().unwrap();
    let open = || sqlite(&folder.path().join("ledger.db"));
    let ledger = open();
    keep(&ledger, approved(facts("acme", "sealed", 1, 1_000), "a"), succeeded());
    ledger.erase(at(9_999), 1).wait().unwrap();
    keep(&ledger, approved(facts("acme", "kept", 1, 1_001), "b"), succeeded());
    let unsealed = approved(facts("acme", "unsealed", 1, 1_002), "c");
    ledger.reserve(unsealed.clone()).wait().unwrap();
    let controls = stop_everything(&ledger);
    drop(ledger);
    let ledger = open();
    assert_eq!(ledger.controls().unwrap(), controls);
    let new = approved(facts("acme", "new", 1, 2_000), "d");
    assert_eq!(ledger.reserve(new.clone()).wait().unwrap(), Claim::Stopped(Stop::Halted));
    controls.iter().for_each(|control| assert!(ledger.release(control.target.clone()).wait().unwrap()));
    for (i, approval) in ["a", "b", "c"].into_iter().enumerate() {
        let other = approved(facts("acme", &format!("another {i}"), 1, 2_000), approval);
        assert_eq!(ledger.reserve(other).wait().unwrap(), Claim::Consumed, "{approval}");
    }
    assert_eq!(ledger.unsealed().unwrap().iter().map(Reservation::facts).collect::<Vec<_>>(), [&unsealed]);
    assert!(matches!(ledger.reserve(new).wait().unwrap(), Claim::Fresh(_)));
}

#[test]
fn a_stop_by_another_process_holds_from_its_commit_on() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let host = sqlite(&path);
    let Claim::Fresh(running) = host.reserve(facts("acme", "running", 1, 1_000)).wait().unwrap() else { panic!() };
    let operator = SqliteLedger::open_for_maintenance(&path).unwrap();
    for (i, (target, stop)) in targets().into_iter().enumerate() {
        assert!(operator.stop(target.clone(), at(1), None).wait().unwrap());
        let new = facts("acme", &format!("new {i}"), 1, 1_000);
        assert_eq!(host.reserve(new.clone()).wait().unwrap(), Claim::Stopped(stop));
        let sealed = seal(&Reservation::made_durable(running.facts().clone()), run(succeeded()), at(1_001));
        assert_eq!(host.seal(&running, &sealed).wait().unwrap(), SealAnswer::Stopped);
        assert_eq!(host.controls().unwrap(), operator.controls().unwrap());
        assert!(operator.release(target).wait().unwrap());
        assert!(matches!(host.reserve(new).wait().unwrap(), Claim::Fresh(_)));
    }
    let sealed = seal(&running, run(succeeded()), at(1_001));
    assert_eq!(host.seal(&running, &sealed).wait().unwrap(), SealAnswer::Kept);
}

#[test]
fn erasing_takes_the_text_of_an_approval_out_of_the_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = sqlite(&path);
    keep(&ledger, approved(facts("acme", "n", 1, 1_000), "marker-of-the-text"), succeeded());
    ledger.scrub().unwrap();
    let holds = || {
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(18).any(|window| window == b"marker-of-the-text")
    };
    assert!(holds());
    ledger.erase(at(9_999), 1).wait().unwrap();
    ledger.scrub().unwrap();
    assert!(!holds());
}

#[test]
fn everything_survives_reopening_a_sqlite_ledger() {
    let folder = TempDir::new().unwrap();
    let open = || sqlite(&folder.path().join("ledger.db"));
    let reserve = |i: usize| facts("demo", &format!("n{i}"), 1, 1_000 + i as u64);
    let unsealed = facts("demo", "unsealed", 1, 5_000);
    let outcomes = every_outcome();
    let ledger = open();
    let sealed: Vec<_> =
        outcomes.iter().enumerate().map(|(i, outcome)| keep(&ledger, reserve(i), outcome.clone())).collect();
    ledger.reserve(unsealed.clone()).wait().unwrap();
    ledger.erase(at(9_999), 2).wait().unwrap();
    let stats = ledger.stats().unwrap();
    drop(ledger);
    let ledger = open();
    assert_eq!(ledger.stats().unwrap(), stats);
    assert_eq!(ledger.unsealed().unwrap().iter().map(Reservation::facts).collect::<Vec<_>>(), [&unsealed]);
    for (i, sealed) in sealed.into_iter().enumerate() {
        assert_eq!(ledger.receipt(sealed.exec_id).unwrap(), Some(sealed.receipt));
        match ledger.reserve(reserve(i)).wait().unwrap() {
            Claim::Erased(tombstone) if i < 2 => assert_eq!(tombstone.receipt, sealed.receipt),
            claim => assert_eq!(claim, Claim::Sealed(sealed)),
        }
    }
}

#[test]
fn two_connections_to_one_sqlite_file_never_both_get_a_fresh_claim() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let one = SqliteLedger::open(&path).unwrap();
    let other = SqliteLedger::open_for_maintenance(&path).unwrap();
    let claims = thread::scope(|scope| {
        let race = |ledger| scope.spawn(move || (0..200).map(|i| claim_numbered(ledger, i)).collect::<Vec<_>>());
        let (one, other) = (race(&one), race(&other));
        one.join().unwrap().into_iter().zip(other.join().unwrap()).collect::<Vec<_>>()
    });
    for (one, other) in claims {
        let n_fresh = [&one, &other].into_iter().filter(|claim| matches!(claim, Claim::Fresh(_))).count();
        assert_eq!(n_fresh, 1, "{one:?} and {other:?}");
    }
}

#[test]
fn two_connections_to_one_sqlite_file_never_both_use_an_approval() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let one = SqliteLedger::open(&path).unwrap();
    let other = SqliteLedger::open_for_maintenance(&path).unwrap();
    let use_all = |ledger: &SqliteLedger, name: &str| -> Vec<Claim> {
        let asked = |i: u64| approved(facts("acme", &format!("{name} {i}"), 1, 1_000), &format!("{i}"));
        (0..200).map(|i| ledger.reserve(asked(i)).wait().unwrap()).collect()
    };
    let (ones, others) = thread::scope(|scope| {
        let ones = scope.spawn(|| use_all(&one, "one"));
        let others = scope.spawn(|| use_all(&other, "other"));
        (ones.join().unwrap(), others.join().unwrap())
    });
    for claims in ones.iter().zip(&others) {
        let is_one_use = matches!(claims, (Claim::Fresh(_), Claim::Consumed) | (Claim::Consumed, Claim::Fresh(_)));
        assert!(is_one_use, "{claims:?}");
    }
}

fn claim_numbered(ledger: &SqliteLedger, i: u64) -> Claim {
    ledger.reserve(facts("demo", &format!("n{i}"), 1, 1_000)).wait().unwrap()
}

#[test]
fn the_sqlite_ledger_keeps_no_seal_without_a_reservation_and_none_twice() {
    let folder = TempDir::new().unwrap();
    let ledger = sqlite(&folder.path().join("ledger.db"));
    let nobody = Reservation::made_durable(facts("demo", "stray", 1, 1_000));
    let stray = seal(&nobody, run(succeeded()), at(1_001));
    assert!(matches!(ledger.seal(&nobody, &stray).wait(), Err(LedgerError::Broken(_))));
    assert_eq!(ledger.receipt(stray.exec_id).unwrap(), None);
    let first = keep(&ledger, facts("demo", "n", 1, 1_000), succeeded());
    let again = Reservation::made_durable(facts("demo", "n", 1, 1_000));
    let second = Sealed { outcome: Outcome::Interrupted, ..first.clone() };
    assert!(matches!(ledger.seal(&again, &second).wait(), Err(LedgerError::Broken(_))));
    let Claim::Fresh(open) = ledger.reserve(facts("demo", "open", 1, 1_000)).wait().unwrap() else { panic!() };
    assert!(matches!(ledger.seal(&open, &stray).wait(), Err(LedgerError::Broken(_))), "the seal of another execution");
    assert_eq!(ledger.reserve(facts("demo", "n", 1, 1_000)).wait().unwrap(), Claim::Sealed(first));
}

#[test]
fn a_seal_that_is_refused_takes_no_other_write_down_with_it() {
    let folder = TempDir::new().unwrap();
    let ledger = sqlite(&folder.path().join("ledger.db"));
    let n_callers = 64;
    let start = Barrier::new(n_callers);
    thread::scope(|scope| {
        for i in 0..n_callers {
            let (ledger, start) = (&ledger, &start);
            scope.spawn(move || {
                let facts = facts("demo", &format!("n{i}"), 1, 1_000);
                start.wait();
                if i % 2 == 0 {
                    let nobody = Reservation::made_durable(facts);
                    let stray = seal(&nobody, run(succeeded()), at(1_001));
                    assert!(matches!(ledger.seal(&nobody, &stray).wait(), Err(LedgerError::Broken(_))));
                } else {
                    assert!(matches!(ledger.reserve(facts).wait(), Ok(Claim::Fresh(_))));
                }
            });
        }
    });
    assert_eq!(ledger.stats().unwrap(), Stats { n_reserved: 32, ..Stats::default() });
}

#[test]
#[should_panic(expected = "sealed without a reservation")]
fn the_memory_ledger_fails_a_test_that_seals_without_a_reservation() {
    let nobody = Reservation::made_durable(facts("demo", "stray", 1, 1_000));
    drop(memory().seal(&nobody, &seal(&nobody, run(succeeded()), at(1_001))));
}

#[test]
#[should_panic(expected = "sealed twice")]
fn the_memory_ledger_fails_a_test_that_seals_twice() {
    let ledger = memory();
    let sealed = keep(&ledger, facts("demo", "n", 1, 1_000), succeeded());
    let _ = ledger.seal(&Reservation::made_durable(facts("demo", "n", 1, 1_000)), &sealed).wait();
}

/// One call of the host, in the small world of the property test.
#[derive(Clone, Debug)]
enum Operation {
    Reserve(Asked),
    Recall(Asked),
    Stop { target: prop::sample::Index, reason: bool },
    Release { target: prop::sample::Index },
    Seal { which: prop::sample::Index, outcome: prop::sample::Index },
    Erase { age_ms: u64, n_max: u32 },
    Reopen,
}

/// What a caller asks for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    tenant: u8,
    nonce: u8,
    payload: u64,
    approval: Option<u8>,
}

impl Asked {
    fn facts(self, now: u64) -> Reserved {
        let Self { tenant, nonce, payload, approval } = self;
        let facts = facts(&format!("t{tenant}"), &format!("n{nonce}"), payload, now);
        match approval {
            Some(approval) => approved(facts, &format!("a{approval}")),
            None => facts,
        }
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    (0..2_u8, 0..4_u8, 0..2_u64, prop::option::of(0..4_u8)).prop_map(|(tenant, nonce, payload, approval)| Asked {
        tenant,
        nonce,
        payload,
        approval,
    })
}

/// Targets that concern all, half, all and none of the calls.
fn some_targets() -> Vec<Target> {
    let actions = ["payments.transfer", "echo"].map(|name| Target::Action(Action::parse(name).unwrap()));
    let tenants = ["t0", "t2"].map(|name| Target::Tenant(Tenant::parse(name).unwrap()));
    [Target::Host].into_iter().chain(tenants).chain(actions).collect()
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => asked().prop_map(Operation::Reserve),
        2 => asked().prop_map(Operation::Recall),
        1 => any::<(prop::sample::Index, bool)>().prop_map(|(target, reason)| Operation::Stop { target, reason }),
        3 => any::<prop::sample::Index>().prop_map(|target| Operation::Release { target }),
        4 => any::<(prop::sample::Index, prop::sample::Index)>()
            .prop_map(|(which, outcome)| Operation::Seal { which, outcome }),
        2 => (0..20_u64, 0..4_u32).prop_map(|(age_ms, n_max)| Operation::Erase { age_ms, n_max }),
        1 => Just(Operation::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_ledgers_answer_every_sequence_of_calls_alike(operations in prop::collection::vec(operation(), 1..50)) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ledger.db");
        let memory = memory();
        let mut sqlite = Some(sqlite(&path));
        let mut held: BTreeMap<ExecId, Reserved> = BTreeMap::new();
        for (now, operation) in (1_000..).zip(operations) {
            sqlite = perform(operation, now, &memory, sqlite, &path, &mut held)?;
        }
    }
}

/// Performs one operation on both and compares every answer and everything that can be read.
fn perform(
    operation: Operation,
    now: u64,
    memory: &MemoryLedger,
    mut sqlite: Option<SqliteLedger>,
    path: &Path,
    held: &mut BTreeMap<ExecId, Reserved>,
) -> Result<Option<SqliteLedger>, TestCaseError> {
    if matches!(operation, Operation::Reopen) {
        drop(sqlite.take());
    }
    let sqlite = sqlite.unwrap_or_else(|| SqliteLedger::open(path).unwrap());
    match operation {
        Operation::Reserve(asked) => {
            let facts = asked.facts(now);
            let claim = memory.reserve(facts.clone()).wait().unwrap();
            if let Claim::Fresh(reservation) = &claim {
                held.insert(facts.exec_id, reservation.facts().clone());
            }
            prop_assert_eq!(sqlite.reserve(facts).wait().unwrap(), claim);
        }
        Operation::Recall(asked) => {
            let recalled = memory.recall(asked.facts(now)).wait().unwrap();
            prop_assert_eq!(sqlite.recall(asked.facts(now)).wait().unwrap(), recalled);
        }
        Operation::Stop { target, reason } => {
            let target = target.get(&some_targets()).clone();
            let reason = reason.then(|| Note::parse(&format!("reason {now}")).unwrap());
            let stopped = memory.stop(target.clone(), at(now), reason.clone()).wait().unwrap();
            prop_assert_eq!(sqlite.stop(target, at(now), reason).wait().unwrap(), stopped);
        }
        Operation::Release { target } => {
            let target = target.get(&some_targets()).clone();
            let released = memory.release(target.clone()).wait().unwrap();
            prop_assert_eq!(sqlite.release(target).wait().unwrap(), released);
        }
        Operation::Seal { which, outcome } => {
            if !held.is_empty() {
                let exec_id = *which.get(&held.keys().copied().collect::<Vec<_>>());
                let reserved = held.get(&exec_id).unwrap().clone();
                let outcome = outcome.get(&every_outcome()).clone();
                let reservation = Reservation::made_durable(reserved);
                let sealed = seal(&reservation, run(outcome), at(now));
                let answer = memory.seal(&reservation, &sealed).wait().unwrap();
                prop_assert_eq!(sqlite.seal(&reservation, &sealed).wait().unwrap(), answer);
                if answer == SealAnswer::Kept {
                    held.remove(&exec_id);
                }
            }
        }
        Operation::Erase { age_ms, n_max } => {
            let before = at(now - age_ms);
            prop_assert_eq!(sqlite.erase(before, n_max).wait().unwrap(), memory.erase(before, n_max).wait().unwrap());
        }
        Operation::Reopen => {}
    }
    prop_assert_eq!(sqlite.stats().unwrap(), memory.stats().unwrap());
    prop_assert_eq!(sqlite.unsealed().unwrap(), memory.unsealed().unwrap());
    prop_assert_eq!(sqlite.controls().unwrap(), memory.controls().unwrap());
    for (tenant, nonce, payload) in (0..16).map(|i| (i & 1, i >> 1 & 3, i >> 3 & 1)) {
        let exec_id = facts(&format!("t{tenant}"), &format!("n{nonce}"), payload, now).exec_id;
        prop_assert_eq!(sqlite.receipt(exec_id).unwrap(), memory.receipt(exec_id).unwrap());
    }
    Ok(Some(sqlite))
}

/// Reserves at the same moment from a thousand threads.
fn race(ledger: &dyn Ledger, facts: impl Fn(u64) -> Reserved + Sync) -> Vec<Claim> {
    race_of(1_000, ledger, facts)
}

/// Reserves at the same moment from so many threads.
fn race_of(n_callers: usize, ledger: &dyn Ledger, facts: impl Fn(u64) -> Reserved + Sync) -> Vec<Claim> {
    let start = Barrier::new(n_callers);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..n_callers as u64)
            .map(|i| {
                let (facts, start) = (facts(i), &start);
                let caller = thread::Builder::new().stack_size(128 * 1024);
                let claim = move || {
                    start.wait();
                    ledger.reserve(facts).wait().unwrap()
                };
                caller.spawn_scoped(scope, claim).unwrap()
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

/// Facts as admission makes them, with a payload that needs every kind of escape.
fn facts(tenant: &str, nonce: &str, payload: u64, reserved_at: u64) -> Reserved {
    let payload = json!({"i": payload, "text": "\u{0}\"\\\n é 😀 '", "nested": {"float": 1e300, "list": [null, true]}});
    let body = json!({"action": "payments.transfer", "payload": payload, "nonce": nonce});
    let limits = Limits { fuel: 100_000_000_000, memory_bytes: 2, output_bytes: 3, deadline_ms: 4 };
    facts::reserved(tenant, body.to_string().as_bytes(), Digest::of(b"component"), limits, reserved_at)
}

/// The same facts, permitted by the approval with this name.
fn approved(facts: Reserved, approval: &str) -> Reserved {
    let text = json!({"payload": approval, "signatures": []}).to_string();
    Reserved { approval: Some(approval_use(Format::V1, Digest::of(approval.as_bytes()), &text)), ..facts }
}

/// Reserves, whatever was there, and seals with this outcome.
fn keep(ledger: &dyn Ledger, facts: Reserved, outcome: Outcome) -> Sealed {
    let sealed_at = at(facts.reserved_at.unix_ms() + 1);
    let (Claim::Fresh(reservation) | Claim::Unsealed(reservation)) = ledger.reserve(facts).wait().unwrap() else {
        panic!("it was sealed before")
    };
    let sealed = seal(&reservation, run(outcome), sealed_at);
    ledger.seal(&reservation, &sealed).wait().unwrap();
    sealed
}

fn run(outcome: Outcome) -> Run {
    Run { outcome, resources: Resources { fuel: 123_456_789_012, memory_bytes: 65_536 } }
}

fn succeeded() -> Outcome {
    Outcome::accept(r#"{"ok":true}"#, Vec::new(), 1_000)
}

/// Every way to end, with everything a ledger has to keep of it.
fn every_outcome() -> Vec<Outcome> {
    let effects = (0..3).map(|i| Effect {
        kind: format!("kind.{i}"),
        body: JsonText::kept(format!(r#"{{"order":{i},"text":"\u0000\u00e9"}}"#)),
    });
    let result = JsonText::kept(r#"{"a":1.0,"b":1e+16,"c":"\ud83d\ude00"}"#.to_owned());
    let mut outcomes = vec![
        succeeded(),
        Outcome::Succeeded { result: result.clone(), effects: Vec::new() },
        Outcome::Succeeded { result, effects: effects.rev().collect() },
        Outcome::Interrupted,
    ];
    for kind in [FailureKind::InvalidPayload, FailureKind::Rejected, FailureKind::Internal] {
        outcomes.push(Outcome::Failed(Failure::new(kind, "no: é 😀 \u{0} '\"".to_owned())));
    }
    outcomes.extend(Fault::ALL.map(Outcome::Faulted));
    let statuses = [Status::Succeeded, Status::Failed, Status::Faulted, Status::Interrupted];
    assert!(statuses.into_iter().all(|status| outcomes.iter().any(|outcome| outcome.status() == status)));
    outcomes
}

fn at(unix_ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(unix_ms)
}

#[test]
fn a_row_from_the_future_does_not_keep_old_ones_from_being_erased() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = sqlite(&folder.path().join("ledger.db"));
    for (nonce, reserved_at) in [("old", 1_000), ("future", 9_000_000), ("old too", 1_001)] {
        let reserved = facts("demo", nonce, 1, reserved_at);
        let Claim::Fresh(reservation) = ledger.reserve(reserved).wait().unwrap() else { panic!("the nonce was free") };
        ledger.seal(&reservation, &seal(&reservation, run(succeeded()), at(reserved_at))).wait().unwrap();
    }
    assert_eq!(ledger.erase(at(5_000), 10).wait().unwrap(), 2);
    assert_eq!(ledger.stats().unwrap().n_erased, 2);
}

//! What every ledger promises about the log: one suite, every adapter.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use openexec_core::digest::Digest;
use openexec_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
use openexec_core::log::edge::{CompleteTile, Edge};
use openexec_core::log::sign::WitnessKey;
use openexec_core::log::{entry, leaf_hash_of};
use openexec_core::outcome::{JsonText, Outcome, Resources, Run};
use openexec_core::registry::Limits;
use openexec_core::reservation::Reserved;
use openexec_core::time::Timestamp;
use openexec_ledger::log::{CHECKPOINTS_KEPT, Witnessed};
use openexec_ledger::memory::MemoryLedger;
use openexec_ledger::sqlite::SqliteLedger;
use openexec_ledger::{Claim, Ledger, LedgerError, Log as _, Receipts as _};
use openexec_server::log::{HostLog, ProofAnswer, Witnesses};
use openexec_tests::facts::{self, log_key, receipt_key, witness_key};
use rusqlite::Connection;
use serde_json::json;
use sha2::Sha256;
use tempfile::TempDir;

#[test]
fn the_memory_ledger_keeps_the_log() {
    log_contract(|| Box::new(MemoryLedger::default()));
}

#[test]
fn the_sqlite_ledger_keeps_the_log() {
    let folder = TempDir::new().unwrap();
    let n_opened = Cell::new(0);
    log_contract(|| {
        n_opened.set(n_opened.get() + 1);
        Box::new(SqliteLedger::open(&folder.path().join(format!("{}.db", n_opened.get()))).unwrap())
    });
}

/// `open` gives a new, empty ledger.
fn log_contract(open: impl Fn() -> Box<dyn Ledger>) {
    what_is_published_is_there_tiles_and_checkpoint(&*open());
    what_contradicts_an_earlier_checkpoint_is_not_published(&*open());
    a_witness_has_one_line_under_a_checkpoint_its_latest(&*open());
    the_newest_checkpoint_with_enough_cosignatures_is_found(&*open());
    old_checkpoints_are_forgotten_except_the_last_that_each_witness_cosigned(&*open());
}

/// Seals this many executions.
fn fill(ledger: &dyn Ledger, n: u64) {
    fill_from(ledger, 0, n);
}

fn fill_from(ledger: &dyn Ledger, first: u64, n: u64) {
    ledger.adopt_key(receipt_key().public().clone(), Timestamp::from_unix_ms(0)).wait().unwrap();
    // All at once, so that they share commits.
    let claims: Vec<_> = (first..first + n).map(|number| ledger.reserve(numbered(number))).collect();
    let seals = claims.into_iter().map(|claim| {
        let Claim::Fresh(reservation) = claim.wait().unwrap() else { panic!("the nonce was free") };
        let outcome = Outcome::Succeeded { result: JsonText::kept("{}".to_owned()), effects: Vec::new() };
        let run = Run { outcome, resources: Resources { fuel: 1, memory_bytes: 1 } };
        ledger.seal(&reservation, &facts::seal(&reservation, run, Timestamp::from_unix_ms(5)))
    });
    for seal in seals.collect::<Vec<_>>() {
        seal.wait().unwrap();
    }
}

/// What `fill` reserves.
fn numbered(number: u64) -> Reserved {
    let body = json!({"action": "echo", "payload": {"n": number}, "nonce": format!("n{number}")}).to_string();
    facts::reserved("demo", body.as_bytes(), Digest::of(b"code"), Limits::default(), number)
}

/// The tree of the ledger's first receipts, its tiles, and its checkpoint.
fn tree(ledger: &dyn Ledger, size: u64) -> (Vec<CompleteTile>, SignedCheckpoint) {
    let mut edge = Edge::new();
    let references = match u32::try_from(size).unwrap() {
        0 => Vec::new(),
        n => ledger.references(0, n).unwrap(),
    };
    for reference in &references {
        edge.push(leaf_hash_of(reference));
    }
    (edge.take_completed(), signed(size, edge.root()))
}

fn signed(size: u64, root: Digest) -> SignedCheckpoint {
    log_key().sign(Checkpoint::new(log_key().origin(), size, root).unwrap()).unwrap()
}

fn cosigned(key: &WitnessKey, checkpoint: &SignedCheckpoint, time: u64) -> Witnessed {
    let line = key.cosign(checkpoint.checkpoint(), time);
    Witnessed { witness: key.verifier_key().clone(), time, line }
}

fn size_of(checkpoint: Option<&SignedCheckpoint>) -> Option<u64> {
    checkpoint.map(|checkpoint| checkpoint.checkpoint().size())
}

fn what_is_published_is_there_tiles_and_checkpoint(ledger: &dyn Ledger) {
    assert_eq!(ledger.newest_checkpoint().unwrap(), None);
    assert_eq!(ledger.tile(0, 0).unwrap(), None);
    let (_, empty) = tree(ledger, 0);
    ledger.publish(Vec::new(), empty.clone()).wait().unwrap();
    fill(ledger, 600);
    let (tiles, checkpoint) = tree(ledger, 600);
    assert_eq!(tiles.len(), 2);
    for _ in 0..2 {
        ledger.publish(tiles.clone(), checkpoint.clone()).wait().unwrap(); // again, as after an unknown answer
        for tile in &tiles {
            assert_eq!(ledger.tile(tile.level, tile.index).unwrap().as_ref(), Some(&tile.hashes));
        }
        assert_eq!(ledger.newest_checkpoint().unwrap(), Some(checkpoint.clone()));
    }
    assert_eq!(ledger.checkpoint(0).unwrap(), Some(empty));
    assert_eq!(ledger.checkpoint(600).unwrap(), Some(checkpoint));
    assert_eq!(ledger.checkpoint(599).unwrap(), None);
    for (level, index) in [(0, 2), (1, 0), (0, u64::MAX), (255, 0), (8, 0)] {
        assert_eq!(ledger.tile(level, index).unwrap(), None);
    }
}

/// Panics, or is refused and keeps nothing: the referee does the one, a real ledger the other.
fn is_refused(ledger: &dyn Ledger, tiles: &[CompleteTile], checkpoint: &SignedCheckpoint) -> bool {
    let publish = || ledger.publish(tiles.to_vec(), checkpoint.clone()).wait();
    match catch_unwind(AssertUnwindSafe(publish)) {
        Err(_) => true,
        Ok(published) => matches!(published, Err(LedgerError::Broken(_))),
    }
}

fn what_contradicts_an_earlier_checkpoint_is_not_published(ledger: &dyn Ledger) {
    fill(ledger, 300);
    let (tiles, checkpoint) = tree(ledger, 257);
    ledger.publish(tiles.clone(), checkpoint.clone()).wait().unwrap();
    let (_, smaller) = tree(ledger, 256);
    assert!(is_refused(ledger, &[], &smaller), "a smaller one");
    assert!(is_refused(ledger, &[], &signed(257, Digest::of(b"other"))), "another of the same size");
    assert!(is_refused(ledger, &[], &signed(301, Digest::of(b"other"))), "of more receipts than there are");
    let mut other = tiles.clone();
    other[0].hashes[7] = Digest::of(b"other");
    let (_, larger) = tree(ledger, 258);
    assert!(is_refused(ledger, &other, &larger), "a tile with other hashes");
    assert_eq!(ledger.newest_checkpoint().unwrap(), Some(checkpoint));
    assert_eq!(ledger.tile(0, 0).unwrap(), Some(tiles[0].hashes.clone()));
    ledger.publish(Vec::new(), larger.clone()).wait().unwrap();
    assert_eq!(ledger.newest_checkpoint().unwrap(), Some(larger));
}

fn a_witness_has_one_line_under_a_checkpoint_its_latest(ledger: &dyn Ledger) {
    fill(ledger, 2);
    let (_, checkpoint) = tree(ledger, 2);
    ledger.publish(Vec::new(), checkpoint.clone()).wait().unwrap();
    let (one, two) = (witness_key(1), witness_key(2));
    assert!(!ledger.cosign(1, vec![cosigned(&one, &checkpoint, 10)]).wait().unwrap(), "there is none of size 1");
    for time in [10, 30, 20] {
        let lines = vec![cosigned(&one, &checkpoint, time), cosigned(&two, &checkpoint, time * 2)];
        assert!(ledger.cosign(2, lines).wait().unwrap());
    }
    let kept = ledger.newest_checkpoint().unwrap().unwrap();
    assert_eq!(kept.signatures().len(), 3);
    assert_eq!(kept.verify_witness(one.verifier_key()), Ok(30));
    assert_eq!(kept.verify_witness(two.verifier_key()), Ok(60));
    assert_eq!(kept.verify_log(log_key().verifier_key()), Ok(checkpoint.checkpoint()));
}

fn the_newest_checkpoint_with_enough_cosignatures_is_found(ledger: &dyn Ledger) {
    fill(ledger, 5);
    let keys: Vec<_> = (1..=3).map(witness_key).collect();
    let verifiers: Vec<_> = keys.iter().map(|key| key.verifier_key().clone()).collect();
    for size in 0..=5 {
        ledger.publish(Vec::new(), tree(ledger, size).1).wait().unwrap();
    }
    for (size, who) in [(1, vec![0, 1, 2]), (2, vec![0, 1]), (4, vec![2])] {
        let (_, checkpoint) = tree(ledger, size);
        let lines = who.iter().map(|which: &usize| cosigned(&keys[*which], &checkpoint, 9)).collect();
        assert!(ledger.cosign(size, lines).wait().unwrap());
    }
    let found = |keys: &[_], n_min| size_of(ledger.newest_cosigned(keys, n_min).unwrap().as_ref());
    assert_eq!([1, 2, 3, 4].map(|n_min| found(&verifiers, n_min)), [Some(4), Some(2), Some(1), None]);
    assert_eq!(found(&verifiers[..1], 1), Some(2));
    assert_eq!(found(&verifiers[1..], 2), Some(1));
    assert_eq!(found(&[witness_key(9).verifier_key().clone()], 1), None);
    assert_eq!(found(&[], 1), None);
}

fn old_checkpoints_are_forgotten_except_the_last_that_each_witness_cosigned(ledger: &dyn Ledger) {
    let kept = u64::from(CHECKPOINTS_KEPT);
    let n = kept + 60;
    fill(ledger, n);
    let (one, two) = (witness_key(1), witness_key(2));
    let references = ledger.references(0, u32::try_from(n).unwrap()).unwrap();
    let mut edge = Edge::new();
    let mut pending = Vec::new();
    for (size, reference) in (1_u64..).zip(&references) {
        edge.push(leaf_hash_of(reference));
        let checkpoint = signed(size, edge.root());
        pending.push(ledger.publish(edge.take_completed(), checkpoint.clone()));
        let witness = match size {
            7 | 20 => &one,
            13 => &two,
            _ => continue,
        };
        assert!(ledger.cosign(size, vec![cosigned(witness, &checkpoint, size)]).wait().unwrap());
    }
    for publish in pending {
        publish.wait().unwrap();
    }
    let is_kept = |size| ledger.checkpoint(size).unwrap().is_some();
    assert_eq!((1..=n - kept).filter(|size| is_kept(*size)).collect::<Vec<_>>(), [13, 20]);
    assert!((n - kept + 1..=n).all(is_kept));
    let newest = ledger.newest_cosigned(&[one.verifier_key().clone()], 1).unwrap();
    assert_eq!(size_of(newest.as_ref()), Some(20));
}

#[test]
fn the_log_outlives_its_host() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("openexec.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    fill(&ledger, 300);
    let (tiles, checkpoint) = tree(&ledger, 300);
    ledger.publish(tiles.clone(), checkpoint.clone()).wait().unwrap();
    assert!(ledger.cosign(300, vec![cosigned(&witness_key(1), &checkpoint, 3)]).wait().unwrap());
    drop(ledger);
    let ledger = SqliteLedger::open(&path).unwrap();
    let newest = ledger.newest_checkpoint().unwrap().unwrap();
    assert_eq!(newest.verify_witness(witness_key(1).verifier_key()), Ok(3));
    assert_eq!(newest.checkpoint(), checkpoint.checkpoint());
    assert_eq!(ledger.tile(0, 0).unwrap(), Some(tiles[0].hashes.clone()));
}

/// The log of this ledger, opened as a start of the host opens it.
fn open_log(ledger: &Arc<dyn Ledger>) -> Arc<HostLog> {
    HostLog::open(ledger.clone(), log_key(), Witnesses { keys: Vec::new(), quorum: 1 }, None).unwrap()
}

#[test]
fn every_batch_is_signed_with_the_root_that_another_implementation_computes_also_across_restarts() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("openexec.db");
    let sqlite = || -> Arc<dyn Ledger> { Arc::new(SqliteLedger::open(&path).unwrap()) };
    let mut ledger = sqlite();
    let mut log = open_log(&ledger);
    assert_eq!(log.head().checkpoint().checkpoint().size(), 0, "there always is a checkpoint");
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for (round, n) in [1_u64, 1, 2, 251, 1, 1, 254, 1, 300, 212, 513].into_iter().enumerate() {
        let first = theirs.len();
        fill_from(&*ledger, first, n);
        for reference in ledger.references(first, u32::try_from(n).unwrap()).unwrap() {
            theirs.push(entry(&reference).to_vec());
        }
        log.integrate_once().unwrap();
        let signed = log.head().checkpoint().clone();
        let checkpoint = signed.verify_log(log_key().verifier_key()).unwrap();
        assert_eq!(
            (checkpoint.size(), checkpoint.root().as_bytes().as_slice()),
            (first + n, &theirs.root().as_bytes()[..])
        );
        assert_eq!(ledger.newest_checkpoint().unwrap(), Some(signed.clone()), "durable");
        if round % 2 == 0 {
            drop((log, ledger));
            ledger = sqlite();
            log = open_log(&ledger);
            assert_eq!(*log.head().checkpoint(), signed);
        }
    }
}

#[test]
fn a_receipt_has_a_proof_as_soon_as_it_is_integrated_and_none_before() {
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::default());
    let log = open_log(&ledger);
    fill(&*ledger, 3);
    let id = |number: u64| {
        let body = json!({"action": "echo", "payload": {"n": number}, "nonce": format!("n{number}")}).to_string();
        facts::reserved("demo", body.as_bytes(), Digest::of(b"code"), Limits::default(), number).exec_id
    };
    assert_eq!(log.prove(id(1)).unwrap(), ProofAnswer::NotYet);
    assert_eq!(log.prove(id(9)).unwrap(), ProofAnswer::NoReceipt);
    log.integrate_once().unwrap();
    let ProofAnswer::Proof(proof) = log.prove(id(1)).unwrap() else { panic!("it is integrated") };
    let receipt = ledger.logged(id(1)).unwrap().unwrap().signed;
    assert_eq!(proof.verify_inclusion_of(&leaf_hash_of(&receipt.reference())), Ok(()));
    assert!(log.lag() < std::time::Duration::from_secs(5));
}

/// Executions `from..to` are found by their ids, each as itself.
fn require_found(ledger: &SqliteLedger, from: u64, to: u64) {
    for number in from..to {
        let logged = ledger.logged(numbered(number).exec_id).unwrap().unwrap_or_else(|| panic!("{number} is missing"));
        assert_eq!(logged.index, number);
        assert!(ledger.receipt(numbered(number).exec_id).unwrap().is_some());
    }
    for number in to..to + 10 {
        assert_eq!(ledger.logged(numbered(number).exec_id).unwrap(), None);
        assert_eq!(ledger.receipt(numbered(number).exec_id).unwrap(), None);
    }
}

#[test]
fn an_execution_is_found_by_its_id_young_or_old() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let n_entries = || -> i64 {
        let file = Connection::open(&path).unwrap();
        file.query_row("SELECT count(*) FROM by_exec_id", [], |row| row.get(0)).unwrap()
    };
    let ledger = SqliteLedger::open(&path).unwrap();
    let publish = |size| {
        let (tiles, checkpoint) = tree(&ledger, size);
        ledger.publish(tiles, checkpoint).wait().unwrap();
    };
    fill(&ledger, 1_000);
    require_found(&ledger, 0, 1_000);
    publish(1_000);
    assert_eq!(n_entries(), 63, "a sixteenth of them");
    require_found(&ledger, 0, 1_000);
    fill_from(&ledger, 1_000, 500);
    (0..100).for_each(|_| publish(1_500));
    assert!((1_490..=1_500).contains(&n_entries()), "{} entries", n_entries());
    require_found(&ledger, 0, 1_500);
    fill_from(&ledger, 1_500, 300); // and nothing is published before the host ends
    let beside = SqliteLedger::open_for_maintenance(&path).unwrap();
    require_found(&beside, 0, 1_800);
    fill_from(&ledger, 1_800, 10);
    require_found(&beside, 0, 1_810);
    drop(beside);
    drop(ledger);

    let ledger = SqliteLedger::open(&path).unwrap();
    require_found(&ledger, 0, 1_810);

    // Whoever changes the index hides executions, and shows none as another.
    let file = Connection::open(&path).unwrap();
    file.execute("UPDATE by_exec_id SET execution = 1 WHERE execution = 2", []).unwrap();
    assert_eq!(ledger.logged(numbered(1).exec_id).unwrap(), None);
    assert_eq!(ledger.receipt(numbered(1).exec_id).unwrap(), None);
    require_found(&ledger, 2, 1_810);
}

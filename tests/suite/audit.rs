//! Auditing: whatever is edited in a ledger's file is found, and the finding says which row; a host that computes otherwise
//! than its receipts say finds itself out.

use std::thread::sleep;
use std::time::{Duration, Instant};

use openexec_core::outcome::{Fault, Outcome, Resources, Run};
use openexec_core::receipt::opening::Blinding;
use openexec_core::receipt::{Receipt, ReceiptKey, Sealer};
use openexec_core::registry::Profile;
use openexec_core::reservation::{Reservation, Reserved};
use openexec_core::signing::SecretKey;
use openexec_ledger::sqlite::SqliteLedger;
use openexec_server::self_audit::{Audited, SelfAudit};
use openexec_tests::facts;
use openexec_tests::host::{Host, Setup};
use openexec_tests::local::built_in;
use rusqlite::Connection;
use serde_json::{Value, json};

/// A ledger with executions of every kind, whose host has stopped.
fn ledger() -> Setup {
    let host = Host::start();
    let transfer = json!({"amount_minor": 1, "currency": "EUR", "from": "acct:a", "to": "acct:b"});
    for n in 0..3 {
        host.execute("add", &json!({"a": n, "b": 1}), &format!("add-{n}")).expect(200);
        host.execute("payments.transfer", &transfer, &format!("pay-{n}")).expect(200);
        host.execute("add", &json!({"a": "x"}), &format!("no-{n}")).expect(422);
    }
    let mut host = host;
    host.signal(rustix::process::Signal::TERM);
    host.wait();
    host.kill()
}

fn audit(setup: &Setup, more: &[&str]) -> (bool, Value) {
    let output = setup.run(&[&["ledger", "audit", "--json"], more].concat());
    let said = String::from_utf8_lossy(&output.stdout);
    let report =
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), report)
}

#[test]
fn an_audit_finds_nothing_in_a_ledger_that_nobody_edited_and_runs_everything_again() {
    let setup = ledger();
    let (is_sound, report) = audit(&setup, &[]);
    assert!(is_sound, "{report}");
    assert_eq!((&report["receipts"], &report["run_again"], &report["erased"]), (&json!(9), &json!(9), &json!(0)));
    assert!(setup.run(&["ledger", "purge", "--older-than-days", "0"]).status.success());
    let (is_sound, report) = audit(&setup, &[]);
    assert!(is_sound, "an erasure is no damage: {report}");
    assert_eq!((&report["receipts"], &report["run_again"], &report["erased"]), (&json!(9), &json!(0), &json!(9)));
}

#[test]
fn an_audit_finds_every_edit_of_the_file_and_says_which_row() {
    let original = ledger();
    let bytes = {
        let database = Connection::open(original.ledger()).expect("a database");
        database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("folded in");
        drop(database);
        std::fs::read(original.ledger()).expect("a ledger")
    };
    let edits = [
        // What is edited, and the words of the finding.
        ("UPDATE answer SET result = '{\"sum\":1000000}' WHERE execution = 1", "result"),
        ("UPDATE body SET payload = '{\"a\":9,\"b\":1}' WHERE execution = 1", "payload"),
        ("UPDATE answer SET failure_text = 'another' WHERE execution = 3", "result"),
        ("UPDATE answer SET blinding = zeroblob(32) WHERE execution = 1", "payload"),
        ("UPDATE answer SET blinding = NULL WHERE execution = 1", "secret"),
        ("UPDATE outbox SET body = '{}' WHERE execution = 2", "effects"),
        ("DELETE FROM outbox WHERE execution = 2", "effects"),
        ("DELETE FROM answer WHERE execution = 1", "row"),
        ("UPDATE execution SET tenant = 'other' WHERE id = 1", "tenant"),
        ("UPDATE execution SET action = 'echo' WHERE id = 1", "action"),
        ("UPDATE execution SET nonce = 'other' WHERE id = 1", "nonce"),
        ("UPDATE execution SET fingerprint = zeroblob(32) WHERE id = 1", "fingerprint"),
        ("UPDATE execution SET component = zeroblob(32) WHERE id = 1", "component"),
        ("UPDATE execution SET fuel_max = fuel_max + 1 WHERE id = 1", "limits"),
        ("UPDATE execution SET fuel = fuel + 1 WHERE id = 1", "fuel"),
        ("UPDATE execution SET memory_bytes = 0 WHERE id = 1", "memory"),
        ("UPDATE execution SET state = 'interrupted' WHERE id = 1", "state"),
        ("UPDATE execution SET state = 'reserved', sealed_at = NULL, receipt = NULL WHERE id = 1", "state"),
        ("UPDATE execution SET receipt = zeroblob(32) WHERE id = 1", "legacy receipt"),
        ("UPDATE execution SET reserved_at = 1 WHERE id = 1", "date of reservation"),
        ("UPDATE execution SET sealed_at = sealed_at + 1 WHERE id = 1", "date of its seal"),
        ("UPDATE execution SET leaf = 5 WHERE id = 1", "names another"),
        ("UPDATE execution SET leaf = NULL WHERE id = 1", "names another"),
        ("UPDATE execution SET exec_id = zeroblob(16) WHERE id = 1", "is missing"),
        ("UPDATE by_exec_id_end SET execution = 1000", "is missing"),
        ("PRAGMA foreign_keys = off; DELETE FROM execution WHERE id = 1", "is missing"),
        (
            "UPDATE receipt SET statement = replace(statement, 'succeeded', 'failed') WHERE leaf = 0",
            "signature does not verify",
        ),
        ("UPDATE receipt SET signature = zeroblob(64) WHERE leaf = 0", "signature does not verify"),
        ("UPDATE receipt SET reference = zeroblob(32) WHERE leaf = 0", "reference"),
        ("DELETE FROM receipt WHERE leaf = 4", "it is missing; no checkpoint"),
        (
            "UPDATE receipt SET leaf = 1000 WHERE leaf = 0; UPDATE receipt SET leaf = 0 WHERE leaf = 1; UPDATE receipt SET leaf = 1 WHERE leaf = 1000",
            "names another",
        ),
        (
            "INSERT INTO execution SELECT NULL, randomblob(16), tenant, 'forged', fingerprint, action, component, fuel_max, memory_bytes_max, output_bytes_max, deadline_ms_max, reserved_at, state, fault, fuel, memory_bytes, receipt, sealed_at, approval_format, approval_ref, NULL FROM execution WHERE id = 1",
            "has none",
        ),
    ];
    for (edit, expected) in edits {
        let edited = Setup::new();
        std::fs::write(edited.ledger(), &bytes).expect("a copy");
        let database = Connection::open(edited.ledger()).expect("a database");
        database.execute_batch(edit).unwrap_or_else(|error| panic!("{edit}: {error}"));
        drop(database);
        let (is_sound, report) = audit(&edited, &["--skip-reexecution"]);
        assert!(!is_sound && report["findings"].to_string().contains(expected), "{edit}: {report}");
        let places: Vec<_> =
            report["findings"].as_array().expect("a list").iter().map(|f| f["place"].clone()).collect();
        assert!(places.iter().all(|place| place.as_str().is_some_and(|place| place.contains(' '))), "{places:?}");
    }
}

#[test]
fn an_audit_finds_every_edit_of_tiles_and_checkpoints() {
    let host = Host::start();
    for n in 0..300 {
        host.execute("echo", &json!({"n": n}), &format!("n{n}")).expect(200);
    }
    let start = Instant::now();
    while host.get("/log/checkpoint").text().lines().nth(1) != Some("300") {
        assert!(start.elapsed() < Duration::from_secs(30), "the log does not follow");
        sleep(Duration::from_millis(20));
    }
    let mut host = host;
    host.signal(rustix::process::Signal::TERM);
    host.wait();
    let original = host.kill();
    let log_key = String::from_utf8(original.run(&["log", "key"]).stdout).expect("text").trim().to_owned();
    let arguments = ["--skip-reexecution", "--log-key", &log_key];
    let (is_sound, report) = audit(&original, &arguments);
    assert!(is_sound && report["tiles"] == 1 && report["checkpoints"].as_u64() > Some(1), "{report}");
    let bytes = std::fs::read(original.ledger()).expect("a ledger");
    let edits = [
        ("DELETE FROM tile", "tile 0/0", "it is missing"),
        ("UPDATE tile SET hashes = zeroblob(8192)", "tile 0/0", "not those of the receipts"),
        (
            "UPDATE checkpoint SET note = replace(note, char(10) || '300' || char(10), char(10) || '299' || char(10)) WHERE size = 300",
            "checkpoint",
            "",
        ),
        ("UPDATE checkpoint SET note = 'hello' WHERE size = 300", "a checkpoint", "damaged"),
        (
            "UPDATE checkpoint SET note = (SELECT note FROM checkpoint ORDER BY size LIMIT 1 OFFSET 1) WHERE size = 300",
            "checkpoint",
            "",
        ),
        ("DELETE FROM receipt WHERE leaf = 299", "checkpoint 300", "299 are there"),
    ];
    for (edit, place, what) in edits {
        let edited = Setup::new();
        std::fs::write(edited.ledger(), &bytes).expect("a copy");
        let database = Connection::open(edited.ledger()).expect("a database");
        database.execute_batch(edit).unwrap_or_else(|error| panic!("{edit}: {error}"));
        drop(database);
        let (is_sound, report) = audit(&edited, &arguments);
        let text = |finding: &Value, member: &str| finding[member].as_str().unwrap_or_default().to_owned();
        let findings = report["findings"].as_array().expect("a list");
        let is_found = findings
            .iter()
            .any(|finding| text(finding, "place").starts_with(place) && text(finding, "what").contains(what));
        assert!(!is_sound && is_found, "{edit}: {report}");
    }
}

#[test]
fn an_audit_finds_a_result_that_was_forged_with_the_receipt_key_because_it_runs_everything_again() {
    let setup = ledger();
    let pem = std::fs::read_to_string(setup.folder().join("openexec.db.receipt-key.pem")).expect("the stolen key");
    let key = ReceiptKey::new(SecretKey::parse_pem(&pem).expect("a key"));
    let ledger = SqliteLedger::open(&setup.ledger()).expect("a ledger");
    let first = Receipt::parse(&ledger.examine(0, 1).unwrap().remove(0).signed.unwrap().statement).expect("a receipt");
    let kept = ledger.examine_execution(first.exec_id).unwrap().expect("its execution");
    drop(ledger);
    let sealer = Sealer { key, registry: first.registry, engine: first.engine.clone() };
    let forged = Outcome::accept(r#"{"sum":1000000}"#, Vec::new(), 1_000);
    let blinding = Blinding::from_bytes([9; 32]);
    let run = Run { outcome: forged, resources: first.resources };
    let reservation = Reservation::made_durable(kept.facts);
    let sealed = sealer.seal(&reservation, run, Profile::Pure, first.sealed_at, blinding);
    let signed = sealed.seal.expect("a receipt").signed;
    let database = Connection::open(setup.ledger()).expect("a database");
    let id = first.exec_id;
    database
        .execute(
            "UPDATE receipt SET statement = ?1, signature = ?2, reference = ?3 WHERE leaf = 0",
            (&*signed.statement, signed.signature.as_bytes(), signed.reference().as_bytes()),
        )
        .expect("an update");
    database
        .execute("UPDATE execution SET receipt = ?1 WHERE exec_id = ?2", (sealed.receipt.as_bytes(), id.as_bytes()))
        .expect("an update");
    database
        .execute(
            "UPDATE answer SET result = ?1, blinding = ?2
             WHERE execution = (SELECT id FROM execution WHERE exec_id = ?3)",
            (r#"{"sum":1000000}"#, [9_u8; 32], id.as_bytes()),
        )
        .expect("an update");
    drop(database);
    let (is_sound, report) = audit(&setup, &["--skip-reexecution"]);
    let found = report["findings"].to_string();
    assert!(
        is_sound || found.contains("checkpoint"),
        "every signature and every opening fits, only the log knows: {found}"
    );
    let (is_sound, report) = audit(&setup, &[]);
    assert!(!is_sound && report["findings"].to_string().contains("run again, it comes out differently"), "{report}");
}

#[test]
fn an_audit_with_the_keys_that_were_given_trusts_no_key_of_the_ledger() {
    let setup = ledger();
    let other = openexec_tests::facts::receipt_key().public().to_base64();
    let output = setup.run(&["ledger", "audit", "--receipt-key", &other]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("which is no key that was given"));
    let own = setup.folder().join("openexec.db.receipt-key.pem.pub");
    let output = setup.run(&["ledger", "audit", "--receipt-key", own.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

fn echo() -> Reserved {
    let (registry, _) = built_in();
    let (_, pin) = registry.pins().find(|(action, _)| action.as_str() == "echo").expect("echo");
    facts::reserved("demo", br#"{"action":"echo","payload":{"a":1},"nonce":"n"}"#, pin.digest, pin.limits, 1_000)
}

fn wait_for(audit: &SelfAudit, n: u64) -> Audited {
    let start = Instant::now();
    loop {
        let audited = audit.audited();
        let n_all = audited.n_equal + audited.n_different + audited.n_skipped;
        if n_all >= n || start.elapsed() > Duration::from_secs(20) {
            return audited;
        }
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_self_audit_tells_a_run_that_comes_out_the_same_from_one_that_does_not() {
    let (_, sandbox) = built_in();
    let audit = SelfAudit::start(1, sandbox.clone()).expect("a thread");
    let sealed = sandbox.rerun(&openexec_core::reservation::Rerun::of(echo())).expect("a run");
    audit.offer(&echo(), &sealed.outcome, || sealed.clone());
    assert_eq!(wait_for(&audit, 1), Audited { n_equal: 1, ..Audited::default() });
    let more_fuel =
        Run { resources: Resources { fuel: sealed.resources.fuel + 1, ..sealed.resources }, ..sealed.clone() };
    audit.offer(&echo(), &more_fuel.outcome.clone(), || more_fuel);
    assert_eq!(wait_for(&audit, 2), Audited { n_equal: 1, n_different: 1, n_skipped: 0 });
    let other = Outcome::accept(r#"{"forged":true}"#, Vec::new(), 1_000);
    audit.offer(&echo(), &other.clone(), || Run { outcome: other, resources: sealed.resources });
    assert_eq!(wait_for(&audit, 3), Audited { n_equal: 1, n_different: 2, n_skipped: 0 });
    // What the machine or the operator decided is no sample.
    for outcome in [Outcome::Interrupted, Outcome::Faulted(Fault::Deadline)] {
        audit.offer(&echo(), &outcome.clone(), || panic!("not asked for"));
    }
    assert_eq!(audit.audited().n_skipped, 2);
}

#[test]
fn one_in_n_executions_is_a_sample_and_zero_is_none() {
    let (_, sandbox) = built_in();
    let sealed = sandbox.rerun(&openexec_core::reservation::Rerun::of(echo())).expect("a run");
    for (one_in, n_samples) in [(0, 0), (5, 2)] {
        let audit = SelfAudit::start(one_in, sandbox.clone()).expect("a thread");
        for _ in 0..10 {
            audit.offer(&echo(), &sealed.outcome, || sealed.clone());
        }
        assert_eq!(wait_for(&audit, n_samples).n_equal, n_samples, "one in {one_in}");
    }
}

#[test]
fn a_host_whose_self_audit_found_a_difference_is_not_ready() {
    let host = openexec_tests::local::LocalHost::start("openexec", openexec_core::admission::Mode::Demo);
    assert_eq!(openexec_tests::client::get(host.address, "/ready").expect("an answer").status, 200);
    host.self_audit.offer(&echo(), &Outcome::accept("{}", Vec::new(), 9), || Run {
        outcome: Outcome::accept(r#"{"forged":true}"#, Vec::new(), 1_000),
        resources: Resources::default(),
    });
    assert_eq!(wait_for(&host.self_audit, 1).n_different, 1);
    let ready = openexec_tests::client::get(host.address, "/ready").expect("an answer").expect(503);
    assert_eq!(ready.json()["failing"], json!(["self-audit"]));
    let metrics = openexec_tests::client::get(host.address, "/metrics").expect("an answer").expect(200).text();
    assert!(metrics.contains("openexec_self_audit_total{verdict=\"different\"} 1"), "{metrics}");
    for gauge in ["\nopenexec_log_size 0\n", "\nopenexec_log_lag_seconds 0."] {
        assert!(metrics.contains(gauge), "{metrics}");
    }
}

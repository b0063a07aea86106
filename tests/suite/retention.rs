//! Erasing what a caller wrote, beside a running host: the words go, the proof that it ran stays.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use openexec_tests::client::{self, Answer};
use openexec_tests::host::{Host, Setup};
use serde_json::{Value, json};

const MARKER: &str = "marker-of-the-payload";

fn transfer() -> Value {
    json!({"amount_minor": 1, "currency": "EUR", "from": "acct:a", "to": "acct:b", "memo": MARKER})
}

/// Every nonce with its action and payload: effects, a body that fills many pages, a refusal.
fn calls() -> Vec<(&'static str, &'static str, Value, u16)> {
    vec![
        ("effects", "payments.transfer", transfer(), 200),
        ("large", "echo", json!({"text": MARKER.repeat(5_000)}), 200),
        ("refused", "add", json!({"a": MARKER}), 422),
    ]
}

fn execute_all(host: &Host) -> Vec<Answer> {
    calls()
        .iter()
        .map(|(nonce, action, payload, status)| host.execute(action, payload, nonce).expect(*status))
        .collect()
}

fn purge_everything(setup: &Setup) -> String {
    sleep(Duration::from_millis(5)); // "before now" in whole milliseconds: not the one that is running
    let output = setup.run(&["ledger", "purge", "--older-than-days", "0"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether any file of the ledger holds the marker.
fn holds_marker(setup: &Setup) -> bool {
    ["openexec.db", "openexec.db-wal", "openexec.db-shm"].into_iter().any(|name| {
        let bytes = fs::read(setup.folder().join(name)).unwrap_or_default();
        bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes())
    })
}

#[test]
fn purged_words_are_in_no_file_of_the_ledger() {
    let host = Host::start();
    execute_all(&host);
    assert!(holds_marker(&host.setup));
    assert!(purge_everything(&host.setup).contains("bodies of 3 executions"));
    assert!(!holds_marker(&host.setup));
    assert!(purge_everything(&host.setup).contains("bodies of 0 executions"));
    // The host goes on, on the same connection, and what it writes now can be purged as well.
    host.execute("echo", &json!({"text": MARKER}), "later").expect(200);
    assert!(holds_marker(&host.setup));
    purge_everything(&host.setup);
    assert!(!holds_marker(&host.setup));
    let setup = host.kill();
    assert!(!holds_marker(&setup));
}

#[test]
fn purging_beside_a_busy_host_fails_no_call_and_leaves_no_word() {
    let host = Host::start();
    execute_all(&host);
    let address = host.address;
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        for client in 0..4 {
            let stopped = &stopped;
            scope.spawn(move || {
                for i in (0..).take_while(|_| !stopped.load(Ordering::Relaxed)) {
                    let nonce = format!("busy-{client}-{i}");
                    client::execute(address, "echo", &json!({"i": i}), &nonce).unwrap().expect(200);
                }
            });
        }
        sleep(Duration::from_millis(100));
        let purged = host.setup.run(&["ledger", "purge", "--older-than-days", "0"]);
        let is_left = holds_marker(&host.setup);
        stopped.store(true, Ordering::Relaxed); // before anything can panic, or the callers never end
        assert!(purged.status.success() && !is_left, "{}", String::from_utf8_lossy(&purged.stderr));
    });
    assert_eq!(host.setup.stats()["reserved"], 0);
}

#[test]
fn the_log_holds_none_of_the_words_either() {
    let host = Host::start();
    execute_all(&host);
    execute_all(&host);
    host.execute("echo", &json!({"text": MARKER}), "effects").expect(422);
    host.execute(MARKER, &json!({}), MARKER).expect(400);
    assert!(!host.log().contains(MARKER), "{}", host.log());
}

#[test]
fn a_purged_execution_never_runs_again_and_keeps_its_receipt() {
    let setup = Setup::new();
    let host = setup.start();
    let answers = execute_all(&host);
    purge_everything(&setup);
    let mut host = host;
    for _ in 0..2 {
        for ((nonce, action, payload, _), answer) in calls().into_iter().zip(&answers) {
            let erased = host.execute(action, &payload, nonce).expect(410);
            assert_eq!((erased.code().as_str(), erased.is_replay()), ("result-erased", true));
            let (erased, answer) = (erased.json(), answer.json());
            assert_eq!(erased["receipt"], answer["receipt"], "{nonce}");
            let exec_id = if nonce == "refused" { &answer["exec_id"] } else { &answer["id"] };
            assert_eq!(&erased["exec_id"], exec_id, "{nonce}");
            assert_eq!(erased["outcome"], if nonce == "refused" { "failed" } else { "succeeded" });
            assert_eq!(host.execute(action, &json!({"other": 1}), nonce).expect(422).code(), "nonce-reuse");
            let kept = json!({"exec_id": exec_id, "result": answer["result"], "receipt": answer["receipt"]});
            assert_eq!(verified(&host, &kept), true, "{nonce}");
            let forged = json!({"exec_id": exec_id, "result": {"forged": 1}, "receipt": answer["receipt"]});
            assert_eq!(verified(&host, &forged), false, "{nonce}");
        }
        let stats = setup.stats();
        assert_eq!((&stats["succeeded"], &stats["failed"], &stats["erased"]), (&json!(2), &json!(1), &json!(3)));
        host = host.kill().start();
    }
}

fn verified(host: &Host, receipt: &Value) -> Value {
    host.post("/receipts/verify", receipt.to_string().as_bytes()).expect(200).json()["valid"].clone()
}

#[test]
fn purging_spares_what_is_younger_than_told() {
    let host = Host::start();
    let answers = execute_all(&host);
    let output = host.setup.run(&["ledger", "purge", "--older-than-days", "1"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("bodies of 0 executions"));
    for (answer, again) in answers.iter().zip(execute_all(&host)) {
        assert!(again.is_replay());
        assert_eq!(again.body, answer.body);
    }
}

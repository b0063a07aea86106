//! What clients of 0.1.10 rely on: routes, members, types, statuses, receipts and variables, as they were.

use std::collections::BTreeSet;

use openexec_tests::host::{Host, Setup};
use openexec_tests::node::node;
use openexec_tests::python::python;
use serde_json::{Value, json};

#[test]
fn root_health_ready_and_version_answer_as_they_did() {
    let host = Host::start();
    let root = host.get("/").expect(200);
    assert_eq!(root.header("content-type"), Some("application/json"));
    assert_eq!(root.json(), json!({"service": "OpenExec", "status": "running", "version": env!("CARGO_PKG_VERSION")}));
    assert_eq!(host.get("/health").expect(200).json(), open_health());
    assert_eq!(host.get("/ready").expect(200).json(), json!({"ready": true}));
    let version = host.get("/version").expect(200).json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    let program = "import sys, datetime as d
t = d.datetime.fromisoformat(sys.stdin.read())
print(abs(d.datetime.now(d.timezone.utc) - t) < d.timedelta(hours=1))";
    assert_eq!(python(program, version["timestamp"].as_str().expect("a string")), "True\n");
}

fn open_health() -> Value {
    json!({
        "status": "healthy", "exec_mode": "demo", "signature_verification": "disabled",
        "restriction": "open", "warning": "No execution allow-list configured",
    })
}

#[test]
fn health_lists_what_is_allowed_and_nothing_else_runs() {
    let host = Setup::new().variable("OPENEXEC_ALLOWED_ACTIONS", " echo, add ").start();
    let health = host.get("/health").expect(200).json();
    let listed: BTreeSet<_> = health["allow_list"].as_array().expect("a list").iter().map(Value::as_str).collect();
    assert_eq!(listed, BTreeSet::from([Some("add"), Some("echo")]));
    assert_eq!((&health["restriction"], &health["warning"]), (&json!("restricted"), &Value::Null));
    host.execute("echo", &json!({}), "1").expect(200);
    host.execute("add", &json!({}), "2").expect(200);
    let refused = host.execute("payments.transfer", &json!({}), "3").expect(403);
    assert_eq!(refused.code(), "action-not-allowed");
}

#[test]
fn an_execution_answers_with_the_five_members_of_old() {
    let host = Host::start();
    let answer = host.execute("add", &json!({"a": 2, "b": 3}), "n").expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("idempotent-replayed"), None);
    let body = answer.json();
    let id = body["id"].as_str().expect("a string");
    assert_eq!(python("import sys, uuid; print(uuid.UUID(sys.stdin.read()))", id), format!("{id}\n"));
    assert_eq!((&body["action"], &body["approved"]), (&json!("add"), &json!(true)));
    assert_eq!(body["result"], json!({"sum": 5}));
    let receipt = body["receipt"].as_str().expect("a string");
    assert!(receipt.len() == 64 && receipt.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));

    let refused = host.execute("no-such-action", &json!({}), "unused").expect(400);
    assert_eq!(refused.json()["detail"], "Unknown action: no-such-action");
    assert_eq!(refused.code(), "unknown-action");
    host.execute("echo", &json!({}), "unused").expect(200);
}

#[test]
fn a_payload_may_be_missing_or_null_and_other_members_are_ignored() {
    let host = Host::start();
    let empty = host.execute("echo", &json!({}), "n").expect(200);
    assert_eq!(empty.json()["result"], json!({"echo": {}}));
    let bodies = [
        r#"{"action":"echo","nonce":"n"}"#,
        r#"{"action":"echo","nonce":"n","payload":null,"approval_artifact":null}"#,
        r#"{"nonce":"n","trace":1,"action":"echo","approval_artifact":{"approval_id":"a","signature":"s"}}"#,
    ];
    for body in bodies {
        assert_eq!(host.post("/execute", body.as_bytes()).expect(200).body, empty.body, "{body}");
    }
}

#[test]
fn a_replay_is_the_first_answer_byte_for_byte() {
    let host = Host::start();
    let payload = json!({"é": "😀", "n": [1, 2.5, 1e300]});
    let first = host.execute("echo", &payload, "n").expect(200);
    let again = host.execute("echo", &payload, "n").expect(200);
    assert_eq!(again.body, first.body);
    assert!(again.is_replay() && !first.is_replay());
    let setup = host.kill();
    let later = setup.start().execute("echo", &payload, "n").expect(200);
    assert!(later.body == first.body && later.is_replay(), "also after a restart");
}

#[test]
fn an_unknown_action_is_named_in_the_detail() {
    let host = Host::start();
    let refused = host.execute("no-such-action", &json!({}), "n").expect(400);
    assert_eq!(refused.json()["detail"], "Unknown action: no-such-action");
    assert_eq!(refused.code(), "unknown-action");
    host.execute("echo", &json!({}), "n").expect(200); // the nonce stayed free
}

/// What `/receipts/verify` says about a body.
#[track_caller]
fn verdict(host: &Host, exec_id: &str, result: &Value, receipt: &str) -> Value {
    let body = json!({"exec_id": exec_id, "result": result, "receipt": receipt});
    let verdict = host.post("/receipts/verify", body.to_string().as_bytes()).expect(200).json();
    verdict["valid"].clone()
}

#[test]
fn a_receipt_is_valid_only_for_what_this_host_executed() {
    let host = Host::start();
    let body = host.execute("echo", &json!({"msg": "hello", "n": 1e16}), "n").expect(200).json();
    let (id, result) = (body["id"].as_str().expect("an id"), &body["result"]);
    let receipt = body["receipt"].as_str().expect("a receipt");
    assert_eq!(verdict(&host, id, result, receipt), true);

    let flipped = receipt.replacen(|_| true, if receipt.starts_with('0') { "1" } else { "0" }, 1);
    assert_eq!(verdict(&host, id, result, &flipped), false, "one digit changed");
    assert_eq!(verdict(&host, id, &json!({"echo": {"msg": "hallo"}}), receipt), false, "another result");
    assert_eq!(verdict(&host, id, result, &receipt.to_uppercase()), false, "a digest has one spelling");
    assert_eq!(verdict(&host, id, result, "not a digest"), false);
    assert_eq!(verdict(&host, "not an id", result, receipt), false);

    // Anybody can compute a receipt that fits: it proves nothing unless this host made it.
    let program = "import sys, json, hashlib
i, r = '00000000-0000-4000-8000-000000000001', {'echo': {'msg': 'hello'}}
print(hashlib.sha256((i + ':' + json.dumps(r, sort_keys=True)).encode()).hexdigest(), end='')";
    let forged = python(program, "");
    let unknown = "00000000-0000-4000-8000-000000000001";
    assert_eq!(verdict(&host, unknown, &json!({"echo": {"msg": "hello"}}), &forged), false);
    let program = "import sys, json, hashlib
print(hashlib.sha256((sys.stdin.read() + ':' + json.dumps({'sum': 10**6})).encode()).hexdigest(), end='')";
    let forged = python(program, id);
    assert_eq!(verdict(&host, id, &json!({"sum": 1_000_000}), &forged), false, "consistent, but not what happened");
}

#[test]
fn a_receipt_of_the_deepest_result_is_valid() {
    let host = Host::start();
    // The body of the request is one level, the payload 63: the deepest that is accepted.
    let payload = format!("{}1{}", r#"{"a":"#.repeat(63), "}".repeat(63));
    let body = format!(r#"{{"action":"echo","payload":{payload},"nonce":"n"}}"#);
    let executed = host.post("/execute", body.as_bytes()).expect(200).json();
    let receipt = executed["receipt"].as_str().expect("a receipt");
    assert_eq!(verdict(&host, executed["id"].as_str().expect("an id"), &executed["result"], receipt), true);
}

#[test]
fn python_and_javascript_clients_recompute_and_present_every_receipt() {
    let host = Host::start();
    let vectors: Value = serde_json::from_str(include_str!("../vectors/legacy-canonical.json")).expect("JSON");
    let vectors = vectors["vectors"].as_array().expect("a list");
    assert_eq!(vectors.len(), 244);
    let mut executed = Vec::new();
    for (i, vector) in vectors.iter().enumerate() {
        // Concatenated, so that the payload's spelling reaches the host.
        let payload = vector["payload_text"].as_str().expect("a text");
        let body = format!(r#"{{"action":"echo","payload":{payload},"nonce":"vector {i}"}}"#);
        executed.push(host.post("/execute", body.as_bytes()).expect(200).text());
    }
    let executed = executed.join("\n");

    let recompute = r#"
import sys, json, hashlib
for line in sys.stdin.buffer.read().decode().split("\n"):
    b = json.loads(line)
    r = hashlib.sha256((b["id"] + ":" + json.dumps(b["result"], sort_keys=True)).encode()).hexdigest()
    assert r == b["receipt"], line
    print(json.dumps({"exec_id": b["id"], "result": b["result"], "receipt": b["receipt"]}))
"#;
    let from_python = python(recompute, &executed);
    let stringify = r#"
for (const line of require("fs").readFileSync(0, "utf8").split("\n")) {
    const b = JSON.parse(line);
    console.log(JSON.stringify({exec_id: b.id, result: b.result, receipt: b.receipt}));
}"#;
    let from_node = node(stringify, &executed);
    for presented in [Some(from_python), from_node].into_iter().flatten() {
        assert_eq!(presented.lines().count(), vectors.len());
        for body in presented.lines() {
            let verdict = host.post("/receipts/verify", body.as_bytes()).expect(200).json();
            assert_eq!(verdict["valid"], true, "{body}");
        }
    }
}

#[test]
fn the_variables_of_old_choose_mode_ledger_and_allowed_actions() {
    let setup = Setup::new().variable("OPENEXEC_MODE", "demo").variable("OPENEXEC_DB_URL", "sqlite:///elsewhere.db");
    // Empty is what a compose file makes of a variable that nobody set.
    let setup = setup.variable("OPENEXEC_ALLOWED_ACTIONS", "");
    let host = setup.start();
    assert_eq!(host.get("/health").json(), open_health());
    host.execute("echo", &json!({}), "n").expect(200);
    assert!(setup.folder().join("elsewhere.db").exists() && !setup.ledger().exists());
    drop(host);
    let absolute = format!("sqlite:///{}", setup.folder().join("elsewhere.db").display());
    let host = setup.clone().variable("OPENEXEC_DB_URL", &absolute).start();
    assert!(host.execute("echo", &json!({}), "n").expect(200).is_replay(), "the same ledger by its absolute path");
}

//! A database of openexec 0.1.10 is taken over: what it executed stays executed, and is answered as it was.

use std::fs;

use openexec_core::digest::Digest;
use openexec_tests::host::{Host, Setup};
use openexec_tests::python::python;
use rusqlite::Connection;
use serde_json::{Value, json};

/// Writes the database as SQLAlchemy did for 0.1.10, and answers each row's id, receipt and payload as its clients know
/// them. A row is `[nonce, action, payload, result, age in days]`, payload and result as Python source.
const WRITE: &str = r#"
import datetime, hashlib, json, sqlite3, sys, uuid
path, rows = json.load(sys.stdin)
db = sqlite3.connect(path)
db.execute("""CREATE TABLE execution_log (
	id VARCHAR NOT NULL,
	action VARCHAR NOT NULL,
	payload JSON,
	result JSON,
	nonce VARCHAR NOT NULL,
	approved BOOLEAN,
	timestamp DATETIME,
	PRIMARY KEY (id),
	UNIQUE (nonce)
)""")
written = {}
for nonce, action, payload, result, age in rows:
    payload, result = eval(payload), eval(result)
    id = str(uuid.uuid4())
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=age)
    db.execute("INSERT INTO execution_log VALUES (?, ?, ?, ?, ?, 1, ?)", (
        id, action, None if payload is None else json.dumps(payload), json.dumps(result), nonce,
        at.strftime("%Y-%m-%d %H:%M:%S.%f")))
    receipt = hashlib.sha256(f"{id}:{json.dumps(result, sort_keys=True)}".encode()).hexdigest()
    written[nonce] = {"id": id, "receipt": receipt, "payload": json.dumps(payload or {}), "result": json.dumps(result)}
db.commit()
print(json.dumps(written))
"#;

/// One execution of the predecessor.
type Row = (&'static str, &'static str, &'static str, &'static str, u32);

/// What the predecessor's callers still have: id, receipt, and the texts of payload and result, by nonce.
fn write_predecessor(setup: &Setup, rows: &[Row]) -> Value {
    let input = json!([setup.ledger(), rows]);
    serde_json::from_str(&python(WRITE, &input.to_string())).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Posts a payload exactly as Python spelled it.
fn execute(host: &Host, action: &str, payload: &str, nonce: &str) -> openexec_tests::client::Answer {
    host.post("/execute", format!(r#"{{"action":"{action}","payload":{payload},"nonce":"{nonce}"}}"#).as_bytes())
}

const ANSWERABLE: &[Row] = &[
    ("plain", "echo", "{'b': 1, 'a': [True, None, 'x']}", "{'echo': {'b': 1, 'a': [True, None, 'x']}}", 0),
    ("floats", "add", "{'a': 1.0, 'b': 1e16}", "{'sum': 1.0000000000000002e16, 'whole': 1.0, 'tiny': 1e-07}", 0),
    ("large", "add", "{'a': 9007199254740991}", "{'sum': -9007199254740991, 'double': 1.7976931348623157e308}", 1),
    (
        "text",
        "echo",
        "{'é': '😀 \\u0000 \\' \" / \\x7f'}",
        "{'echo': {'é': '😀 \\u0000 \\' \" / \\x7f'}, 'z': 1, 'Z': 2}",
        2,
    ),
    ("no payload", "echo", "None", "{'echo': {}}", 3),
    ("empty", "echo", "{}", "{}", 4),
    ("young", "echo", "{'n': 1}", "{'echo': {'n': 1}}", 29),
];

#[test]
fn every_execution_of_the_predecessor_is_answered_as_it_was() {
    let setup = Setup::new();
    let written = write_predecessor(&setup, ANSWERABLE);
    for start in 0..2 {
        let host = setup.start();
        let n_imports = host.log().matches("imported the executions").count();
        assert_eq!(n_imports, 1, "start {start}: it is imported once");
        assert_eq!(setup.stats()["succeeded"], ANSWERABLE.len());
        for (nonce, action, ..) in ANSWERABLE {
            let known = &written[nonce];
            let answer = execute(&host, action, text(&known["payload"]), nonce).expect(200);
            assert!(answer.is_replay(), "{nonce}");
            let body = answer.json();
            assert_eq!((&body["id"], &body["receipt"]), (&known["id"], &known["receipt"]), "{nonce}");
            let result: Value = serde_json::from_str(text(&known["result"])).unwrap();
            assert_eq!((&body["result"], &body["action"]), (&result, &json!(action)), "{nonce}");
            let as_written = format!(
                r#"{{"exec_id":{},"result":{},"receipt":{}}}"#,
                known["id"],
                text(&known["result"]),
                known["receipt"]
            );
            assert_eq!(
                host.post("/receipts/verify", as_written.as_bytes()).expect(200).json()["valid"],
                true,
                "{nonce}"
            );
            let as_answered = json!({"exec_id": body["id"], "result": body["result"], "receipt": body["receipt"]});
            let verified = host.post("/receipts/verify", as_answered.to_string().as_bytes()).expect(200);
            assert_eq!(verified.json()["valid"], true, "{nonce}: as the answer spells it");
        }
        assert!(host.stop().success());
    }
}

#[test]
fn a_nonce_of_the_predecessor_belongs_to_its_action_and_payload() {
    let setup = Setup::new();
    write_predecessor(&setup, ANSWERABLE);
    let host = setup.start();
    for (action, payload) in
        [("add", r#"{"n": 1}"#), ("echo", r#"{"n": 2}"#), ("echo", "{}"), ("echo", r#"{"n": "1"}"#)]
    {
        assert_eq!(execute(&host, action, payload, "young").expect(422).code(), "nonce-reuse");
    }
    assert!(execute(&host, "echo", r#"{ "n" : 1 }"#, "young").expect(200).is_replay());
    assert!(!execute(&host, "echo", r#"{"n": 1}"#, "another").expect(200).is_replay());
}

#[test]
fn what_cannot_be_answered_again_still_blocks_its_nonce() {
    let setup = Setup::new();
    let rows: &[Row] = &[
        ("nan", "echo", "{}", "{'x': float('nan')}", 0),
        ("infinite payload", "echo", "{'x': float('inf')}", "{}", 0),
        ("huge integer", "echo", "{'x': 2**80}", "{'echo': {'x': 2**80}}", 0),
        ("lone surrogate", "echo", "{}", "{'x': '\\ud800'}", 0),
        ("result is a list", "echo", "{}", "[1, 2]", 0),
        ("result is a number", "echo", "{}", "12", 0),
        ("result is a float", "echo", "{}", "1.5", 0),
        ("result is nothing", "echo", "{}", "None", 0),
        ("payload is a number", "echo", "7", "{}", 0),
        ("fine", "echo", "{}", "{'echo': {}}", 0),
    ];
    write_predecessor(&setup, rows);
    let ledger = Connection::open(setup.ledger()).unwrap();
    ledger.execute("UPDATE execution_log SET approved = 0 WHERE nonce = 'fine'", []).unwrap();
    ledger
        .execute("INSERT INTO execution_log VALUES ('not-a-uuid', 'echo', '{}', '{}', 'odd id', 1, NULL)", [])
        .unwrap();
    ledger.close().unwrap();
    let host = setup.start();
    let nonces = rows.iter().map(|row| row.0).chain(["odd id"]);
    for nonce in nonces {
        for payload in ["{}", r#"{"x":1}"#] {
            assert_eq!(execute(&host, "echo", payload, nonce).expect(422).code(), "nonce-reuse", "{nonce}");
        }
    }
    assert_eq!(setup.stats()["succeeded"], rows.len() + 1);
}

#[test]
fn a_table_that_is_almost_the_predecessors_is_refused_and_left_as_it_is() {
    for (change, says) in [
        ("ALTER TABLE execution_log DROP COLUMN approved", "database of another program"),
        ("INSERT INTO execution_log VALUES ('a', 'echo', '{}', '{}', x'ff', 1, NULL)", "could not be imported"),
    ] {
        let setup = Setup::new();
        write_predecessor(&setup, ANSWERABLE);
        let database = Connection::open(setup.ledger()).unwrap();
        database.execute_batch(change).unwrap();
        database.close().unwrap();
        let bytes = fs::read(setup.ledger()).unwrap();
        let Err(refused) = setup.try_start() else { panic!("{change}: the host started") };
        assert_eq!(refused.status.code(), Some(2));
        assert!(
            refused.stderr.contains("openexec.db") && refused.stderr.contains(says),
            "{change}: {}",
            refused.stderr
        );
        assert!(Digest::of(&fs::read(setup.ledger()).unwrap()) == Digest::of(&bytes), "{change}: it was changed");
    }
}

#[test]
fn going_back_to_the_predecessor_finds_its_table_untouched() {
    let setup = Setup::new();
    write_predecessor(&setup, ANSWERABLE);
    let rows = || -> Vec<(String, String, Option<String>, String, String)> {
        let database = Connection::open(setup.ledger()).unwrap();
        let mut rows =
            database.prepare("SELECT id, nonce, payload, result, timestamp FROM execution_log ORDER BY rowid").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)));
        rows.unwrap().map(Result::unwrap).collect()
    };
    let before = rows();
    let host = setup.start();
    execute(&host, "echo", "{}", "new").expect(200);
    assert!(host.stop().success());
    assert_eq!(rows(), before);
}

#[test]
fn purging_erases_what_the_predecessor_kept_and_frees_none_of_its_nonces() {
    let setup = Setup::new().with(&["--retention-days", "30"]);
    let written = write_predecessor(
        &setup,
        &[
            ("old", "echo", "{'n': 'marker-old'}", "{'echo': {'n': 'marker-old'}}", 400),
            ("old nan", "echo", "{}", "{'marker-old': float('nan')}", 400),
        ],
    );
    let host = setup.start();
    let purge = |days: &str| {
        let purged = setup.run(&["ledger", "purge", "--older-than-days", days]);
        assert!(purged.status.success(), "{}", String::from_utf8_lossy(&purged.stderr));
    };
    purge("30");
    execute(&host, "echo", r#"{"n":"marker-old"}"#, "old").expect(200); // its age counts from the import
    purge("0");
    let erased = execute(&host, "echo", r#"{"n":"marker-old"}"#, "old").expect(410);
    assert_eq!((erased.code().as_str(), &erased.json()["receipt"]), ("result-erased", &written["old"]["receipt"]));
    assert_eq!(execute(&host, "echo", "{}", "old").expect(422).code(), "nonce-reuse");
    assert_eq!(execute(&host, "echo", "{}", "old nan").expect(422).code(), "nonce-reuse");
    let kept = json!({"exec_id": written["old"]["id"], "result": {"echo": {"n": "marker-old"}}, "receipt": written["old"]["receipt"]});
    assert_eq!(host.post("/receipts/verify", kept.to_string().as_bytes()).expect(200).json()["valid"], true);
    assert!(host.stop().success());
    let bytes = fs::read(setup.ledger()).unwrap();
    assert!(!bytes.windows(10).any(|window| window == b"marker-old"));
}

#[test]
fn what_the_predecessor_added_meanwhile_is_imported_at_the_next_start() {
    let setup = Setup::new();
    write_predecessor(&setup, ANSWERABLE);
    let host = setup.start();
    execute(&host, "echo", "{}", "ours").expect(200);
    assert!(host.stop().success());
    let before = setup.stats()["succeeded"].clone();
    let database = Connection::open(setup.ledger()).unwrap();
    for nonce in ["went back", "ours"] {
        let id = if nonce == "ours" {
            "00000000-0000-4000-8000-00000000000a"
        } else {
            "00000000-0000-4000-8000-00000000000b"
        };
        database
            .execute(
                "INSERT INTO execution_log VALUES (?1, 'echo', '{\"x\": 1}', '{\"echo\": {\"x\": 1}}', ?2, 1, '2026-01-01 00:00:00')",
                [id, nonce],
            )
            .unwrap();
    }
    database.close().unwrap();
    let host = setup.start();
    assert!(execute(&host, "echo", r#"{"x":1}"#, "went back").expect(200).is_replay());
    assert!(execute(&host, "echo", "{}", "ours").expect(200).is_replay(), "what ran here stays what ran here");
    assert_eq!(setup.stats()["succeeded"], before.as_u64().unwrap() + 1);
}

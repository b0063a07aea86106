//! A ledger of an earlier version is brought up to date when a host opens it, and nothing that it kept is lost.

use std::fs;
use std::path::Path;

use openexec_core::approval::Format;
use openexec_core::control::{Stop, Target};
use openexec_core::digest::Digest;
use openexec_core::outcome::{Effect, JsonText, Outcome, Resources, Run};
use openexec_core::registry::Limits;
use openexec_core::reservation::{Reservation, Reserved, Sealed};
use openexec_core::time::Timestamp;
use openexec_ledger::sqlite::SqliteLedger;
use openexec_ledger::{Claim, Ledger, Stats};
use openexec_tests::facts::{self, approval_use, seal};
use openexec_tests::host::{Host, Setup};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, named_params};
use serde_json::json;
use tempfile::TempDir;

/// The tables as openexec made them before there were approvals, and the marks of such a file.
const VERSION_1: &str = "
CREATE TABLE execution (
    id               INTEGER PRIMARY KEY,
    exec_id          BLOB NOT NULL UNIQUE CHECK (length(exec_id) = 16),
    tenant           TEXT NOT NULL, -- empty: imported from 0.1.10, whose nonces were shared by all tenants
    nonce            TEXT NOT NULL,
    fingerprint      BLOB NOT NULL CHECK (length(fingerprint) = 32),
    action           TEXT NOT NULL,
    component        BLOB NOT NULL CHECK (length(component) = 32),
    fuel_max         INTEGER NOT NULL,
    memory_bytes_max INTEGER NOT NULL,
    output_bytes_max INTEGER NOT NULL,
    deadline_ms_max  INTEGER NOT NULL,
    reserved_at      INTEGER NOT NULL, -- ms since the Unix epoch
    state            TEXT NOT NULL DEFAULT 'reserved'
                     CHECK (state IN ('reserved', 'succeeded', 'failed', 'faulted', 'interrupted')),
    fault            TEXT CHECK ((fault IS NULL) = (state <> 'faulted')),
    fuel             INTEGER,
    memory_bytes     INTEGER,
    receipt          BLOB CHECK (length(receipt) = 32),
    sealed_at        INTEGER, -- ms since the Unix epoch
    CHECK ((state = 'reserved') = (sealed_at IS NULL)),
    CHECK ((state = 'reserved') = (receipt IS NULL)),
    UNIQUE (tenant, nonce)
) STRICT;
CREATE INDEX unsealed ON execution (id) WHERE state = 'reserved';
CREATE TABLE body (
    execution    INTEGER PRIMARY KEY REFERENCES execution (id),
    payload      TEXT NOT NULL,
    result       TEXT,
    failure_kind TEXT,
    failure_text TEXT
) STRICT;
CREATE TABLE outbox (
    execution INTEGER NOT NULL REFERENCES execution (id),
    position  INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    body      TEXT NOT NULL,
    PRIMARY KEY (execution, position)
) STRICT, WITHOUT ROWID;
PRAGMA application_id = 0x4f45584c;
PRAGMA user_version = 1;
";

fn at(unix_ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(unix_ms)
}

fn facts(nonce: &str) -> Reserved {
    let body = format!(r#"{{"action":"echo","payload":{{"n":1.5,"text":"é"}},"nonce":"{nonce}"}}"#);
    let limits = Limits { fuel: 1, memory_bytes: 2, output_bytes: 3, deadline_ms: 4 };
    facts::reserved("demo", body.as_bytes(), Digest::of(b"component"), limits, 1_000)
}

fn approved(facts: Reserved) -> Reserved {
    Reserved { approval: Some(approval_use(Format::V1, Digest::of(b"approval"), "{}")), ..facts }
}

fn sealed() -> Sealed {
    let effect = Effect { kind: "order".to_owned(), body: JsonText::kept("{}".to_owned()) };
    let outcome = Outcome::Succeeded { result: JsonText::kept(r#"{"ok":true}"#.to_owned()), effects: vec![effect] };
    let run = Run { outcome, resources: Resources { fuel: 7, memory_bytes: 8 } };
    Sealed { seal: None, ..seal(&Reservation::made_durable(facts("sealed")), run, at(1_001)) }
}

/// Writes a ledger of version 1 with one execution that was sealed and one that was not.
fn write_version_1(path: &Path) {
    let ledger = Connection::open(path).unwrap();
    ledger.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
    ledger.execute_batch(VERSION_1).unwrap();
    for facts in [facts("sealed"), facts("reserved")] {
        ledger
            .execute(
                "INSERT INTO execution (exec_id, tenant, nonce, fingerprint, action, component, fuel_max,
                     memory_bytes_max, output_bytes_max, deadline_ms_max, reserved_at)
                 VALUES (:exec_id, :tenant, :nonce, :fingerprint, :action, :component, 1, 2, 3, 4, 1000)",
                named_params! {
                    ":exec_id": facts.exec_id.as_bytes(),
                    ":tenant": facts.tenant.as_str(),
                    ":nonce": facts.nonce.as_str(),
                    ":fingerprint": facts.fingerprint.as_bytes(),
                    ":action": facts.action.as_str(),
                    ":component": facts.component.as_bytes(),
                },
            )
            .unwrap();
        let id = ledger.last_insert_rowid();
        ledger.execute("INSERT INTO body (execution, payload) VALUES (?1, ?2)", (id, &*facts.payload)).unwrap();
    }
    let sealed = sealed();
    ledger
        .execute(
            "UPDATE execution SET state = 'succeeded', fuel = 7, memory_bytes = 8, receipt = ?2, sealed_at = 1001
             WHERE exec_id = ?1",
            (sealed.exec_id.as_bytes(), sealed.receipt.as_bytes()),
        )
        .unwrap();
    ledger
        .execute_batch(
            r#"UPDATE body SET result = '{"ok":true}' WHERE execution = 1;
               INSERT INTO outbox VALUES (1, 0, 'order', '{}')"#,
        )
        .unwrap();
    ledger.close().unwrap();
}

/// Every table of a ledger, and for one of version 3 where its columns were before answers had a table of their own.
const TABLES: [(&str, &str); 8] = [
    ("execution", "now.execution"),
    ("body", "now.body LEFT JOIN now.answer USING (execution)"),
    ("outbox", "now.outbox"),
    ("control", "now.control"),
    ("receipt_key", "now.receipt_key"),
    ("receipt", "now.receipt"),
    ("tile", "now.tile"),
    ("checkpoint", "now.checkpoint"),
];

/// Puts what a ledger holds into a file of version 3 as it was made before, in its place.
fn rewrite_as_version_3(path: &Path) {
    let old = path.with_extension("old");
    let ledger = Connection::open(&old).unwrap();
    ledger.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
    ledger.execute_batch(include_str!("../fixtures/ledger-3.sql")).unwrap();
    ledger.execute("ATTACH ?1 AS now", [path.to_str().unwrap()]).unwrap();
    for (table, now) in TABLES {
        let columns = columns(&ledger, table).join(", ");
        ledger.execute(&format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM {now}"), []).unwrap();
    }
    ledger.execute_batch("DETACH now").unwrap();
    ledger.close().unwrap();
    fs::rename(&old, path).unwrap();
}

/// Makes such a file one of version 4 as it was made before.
fn advance_to_version_4(path: &Path) {
    Connection::open(path).unwrap().execute_batch(include_str!("../fixtures/ledger-4.sql")).unwrap();
}

fn columns(ledger: &Connection, table: &str) -> Vec<String> {
    let mut statement = ledger.prepare("SELECT name FROM pragma_table_info(?1, 'main')").unwrap();
    statement.query_map([table], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Every row of every table, as it is kept.
fn rows(path: &Path) -> Vec<(String, Vec<Vec<Sql>>)> {
    let ledger = Connection::open(path).unwrap();
    let tables = TABLES.into_iter().map(|(table, _)| table).chain(["answer"]);
    let read = |table: &str| {
        let n_columns = columns(&ledger, table).len();
        let mut statement = ledger.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let rows = statement.query_map([], |row| (0..n_columns).map(|column| row.get(column)).collect());
        rows.unwrap().map(Result::unwrap).collect()
    };
    tables.map(|table| (table.to_owned(), read(table))).collect()
}

/// The ledger of a host that has stopped: with executions of every end, one that was erased, one that was not sealed.
fn of_a_stopped_host() -> Setup {
    let host = Host::start();
    host.execute("add", &json!({"a": 1, "b": 1}), "erased").expect(200);
    assert!(host.setup.run(&["ledger", "purge", "--older-than-days", "0"]).status.success());
    let transfer = json!({"amount_minor": 1, "currency": "EUR", "from": "acct:a", "to": "acct:b"});
    host.execute("payments.transfer", &transfer, "succeeded").expect(200);
    host.execute("add", &json!({"a": "x"}), "failed").expect(422);
    let setup = host.setup.clone();
    assert!(host.stop().success());
    let ledger = SqliteLedger::open(&setup.ledger()).unwrap();
    assert!(matches!(ledger.reserve(facts("reserved")).wait().unwrap(), Claim::Fresh(_)));
    assert!(ledger.stop(Target::Action(facts("x").action), at(1), None).wait().unwrap());
    setup
}

/// The version of the file, and its tables and indexes as SQLite keeps them.
fn schema(path: &Path) -> (i64, Vec<(String, Option<String>)>) {
    let ledger = Connection::open(path).unwrap();
    let version = ledger.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let mut statement = ledger.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    (version, rows.map(Result::unwrap).collect())
}

#[test]
fn a_ledger_of_version_1_is_migrated_when_a_host_opens_it_and_keeps_its_rows() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    write_version_1(&path);
    for opening in ["first", "second"] {
        let ledger = SqliteLedger::open(&path).unwrap();
        assert_eq!(ledger.stats().unwrap(), Stats { n_reserved: 1, n_succeeded: 1, ..Stats::default() }, "{opening}");
        assert_eq!(ledger.reserve(facts("sealed")).wait().unwrap(), Claim::Sealed(sealed()), "{opening}");
        assert_eq!(ledger.receipt(sealed().exec_id).unwrap(), Some(sealed().receipt), "{opening}");
        let unsealed = ledger.unsealed().unwrap();
        assert_eq!(unsealed.iter().map(Reservation::facts).collect::<Vec<_>>(), [&facts("reserved")], "{opening}");
        assert_eq!(ledger.controls().unwrap(), [], "{opening}");
    }
}

#[test]
fn a_migrated_ledger_is_made_like_a_new_one() {
    let folder = TempDir::new().unwrap();
    let (old, new) = (folder.path().join("old.db"), folder.path().join("new.db"));
    write_version_1(&old);
    assert_eq!(schema(&old).0, 1);
    drop(SqliteLedger::open(&old).unwrap());
    drop(SqliteLedger::open(&new).unwrap());
    let (version, tables) = schema(&new);
    assert_eq!(version, 5);
    assert!(tables.iter().any(|(name, _)| name == "control") && tables.len() >= 5, "{tables:?}");
    assert_eq!(schema(&old), (version, tables));
}

#[test]
fn version_4_and_both_shapes_of_version_3_become_version_5_and_keep_every_row_byte_for_byte() {
    let setup = of_a_stopped_host();
    let path = setup.ledger();
    let (today, kept) = (schema(&path), rows(&path));
    let n_rows = |table: &str| kept.iter().find(|(name, _)| name == table).unwrap().1.len();
    assert_eq!(
        ["execution", "body", "answer", "receipt", "checkpoint"].map(n_rows),
        [4, 3, 2, 3, n_rows("checkpoint")]
    );
    assert!(n_rows("outbox") == 1 && n_rows("checkpoint") > 0 && n_rows("control") == 1, "{kept:?}");

    rewrite_as_version_3(&path);
    let (version, tables) = schema(&path);
    assert!(version == 3 && tables != today.1 && !tables.iter().any(|(name, _)| name == "answer"));
    drop(SqliteLedger::open(&path).unwrap());
    assert_eq!(schema(&path), today);
    assert_eq!(rows(&path), kept);

    // For some days the tables of version 4 had the number 3.
    for number in [3, 4] {
        rewrite_as_version_3(&path);
        advance_to_version_4(&path);
        Connection::open(&path).unwrap().pragma_update(None, "user_version", number).unwrap();
        assert!(schema(&path).1 != today.1 && schema(&path).1.iter().any(|(name, _)| name == "answer"));
        drop(SqliteLedger::open(&path).unwrap());
        assert_eq!(schema(&path), today);
        assert_eq!(rows(&path), kept);
        let count = "SELECT (SELECT count(*) FROM by_exec_id), (SELECT count(*) FROM execution)";
        let counts = Connection::open(&path).unwrap().query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(counts.unwrap(), (4_i64, 4_i64), "every execution is indexed by its id");
    }
}

#[test]
fn a_host_on_a_ledger_of_version_3_answers_shows_and_proves_what_was_there() {
    let host = Host::start();
    let transfer = json!({"amount_minor": 1, "currency": "EUR", "from": "acct:a", "to": "acct:b"});
    let calls = [("payments.transfer", &transfer, "paid", 200), ("add", &json!({"a": "x"}), "no", 422)];
    let ask =
        |host: &Host| calls.map(|(action, payload, nonce, status)| host.execute(action, payload, nonce).expect(status));
    let answers = ask(&host);
    let receipt = format!("/receipts/{}", answers[0].json()["id"].as_str().unwrap());
    let shown = host.get(&receipt).expect(200);
    let setup = host.setup.clone();
    assert!(host.stop().success());
    rewrite_as_version_3(&setup.ledger());
    let host = setup.start();
    assert_eq!(ask(&host).map(|answer| answer.body), answers.map(|answer| answer.body));
    assert_eq!(host.get(&receipt).expect(200).body, shown.body);
    host.execute("add", &json!({"a": 1, "b": 2}), "new").expect(200);
    assert!(host.stop().success());
    let audit = setup.run(&["ledger", "audit", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert!(audit.status.success() && report["receipts"] == 3 && report["run_again"] == 3, "{report}");
}

#[test]
fn a_migrated_ledger_uses_approvals_once_and_stops_what_it_is_told_to() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    write_version_1(&path);
    let ledger = SqliteLedger::open(&path).unwrap();
    assert!(matches!(ledger.reserve(approved(facts("new"))).wait().unwrap(), Claim::Fresh(_)));
    assert_eq!(ledger.reserve(approved(facts("newer"))).wait().unwrap(), Claim::Consumed);
    assert_eq!(ledger.reserve(facts("sealed")).wait().unwrap(), Claim::Sealed(sealed()));
    assert!(ledger.stop(Target::Host, at(1), None).wait().unwrap());
    assert_eq!(ledger.reserve(facts("newest")).wait().unwrap(), Claim::Stopped(Stop::Halted));
}

#[test]
fn maintenance_on_a_ledger_of_version_1_says_what_to_do_and_changes_nothing() {
    let setup = Setup::new();
    write_version_1(&setup.ledger());
    let bytes = fs::read(setup.ledger()).unwrap();
    let refusal = SqliteLedger::open_for_maintenance(&setup.ledger()).map(|_| ()).unwrap_err().to_string();
    for part in ["openexec.db", "schema version 1", "reads version 5", "start `openexec serve` on it once"] {
        assert!(refusal.contains(part), "'{part}' is not in: {refusal}");
    }
    let refused = setup.run(&["ledger", "stats"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("start `openexec serve` on it once"), "{said}");
    assert!(fs::read(setup.ledger()).unwrap() == bytes, "the file was changed");
}

#[test]
fn a_ledger_of_a_version_that_is_not_known_is_refused_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    write_version_1(&path);
    for version in [0, 6, -1, i64::from(i32::MAX)] {
        let ledger = Connection::open(&path).unwrap();
        ledger.pragma_update(None, "user_version", version).unwrap();
        ledger.close().unwrap();
        let before = schema(&path);
        for opened in [SqliteLedger::open(&path), SqliteLedger::open_for_maintenance(&path)] {
            let refusal = opened.map(|_| ()).unwrap_err().to_string();
            assert!(refusal.contains(&format!("schema version {version}, this openexec reads version 5")), "{refusal}");
        }
        assert_eq!(schema(&path), before);
    }
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    write_version_1(&path);
    let ledger = Connection::open(&path).unwrap();
    ledger.execute_batch("CREATE TABLE control (somebody TEXT)").unwrap(); // the last table of the migration
    ledger.close().unwrap();
    let before = schema(&path);
    assert!(SqliteLedger::open(&path).is_err());
    assert_eq!(schema(&path), before);
    let ledger = Connection::open(&path).unwrap();
    ledger.execute_batch("DROP TABLE control").unwrap();
    ledger.close().unwrap();
    let ledger = SqliteLedger::open(&path).unwrap();
    assert_eq!(ledger.reserve(facts("sealed")).wait().unwrap(), Claim::Sealed(sealed()));
}

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
use openexec_tests::host::Setup;
use rusqlite::{Connection, named_params};
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
    assert_eq!(version, 3);
    assert!(tables.iter().any(|(name, _)| name == "control") && tables.len() >= 5, "{tables:?}");
    assert_eq!(schema(&old), (version, tables));
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
    for part in ["openexec.db", "schema version 1", "reads version 3", "start `openexec serve` on it once"] {
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
    for version in [0, 4, -1, i64::from(i32::MAX)] {
        let ledger = Connection::open(&path).unwrap();
        ledger.pragma_update(None, "user_version", version).unwrap();
        ledger.close().unwrap();
        let before = schema(&path);
        for opened in [SqliteLedger::open(&path), SqliteLedger::open_for_maintenance(&path)] {
            let refusal = opened.map(|_| ()).unwrap_err().to_string();
            assert!(refusal.contains(&format!("schema version {version}, this openexec reads version 3")), "{refusal}");
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

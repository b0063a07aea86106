//! The tables, and whose file this is.
//!
//! In scope: creating the schema, recognising our own files, the predecessor's, and everybody else's.
//! Out of scope: rows.
//!
//! | table | holds | erased |
//! |---|---|---|
//! | `execution` | identity, state, resources and receipt of every execution: the tombstone | never |
//! | `by_exec_id`, `by_exec_id_end` | where an id stands in `execution`, and the youngest row that has an entry | never |
//! | `body` | payload and approval | by `erase` |
//! | `answer` | result, refusal text, the secret that opens the receipt | by `erase` |
//! | `outbox` | effects | by `erase` |
//! | `receipt` | signed receipts, numbered as they are in the log | never |
//! | `receipt_key` | every key that has signed receipts | never |
//! | `tile`, `checkpoint`, `cosignature` | the log: complete tiles, what was signed, who witnessed it | old checkpoints |
//! | `control` | what the operator has stopped | when it is released |
//!
//! Rows of `execution` are numbered in order of reservation, so bodies are written and erased from one end.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{OpenError, by_exec_id, explain, import};

/// Marks the file as ours (`PRAGMA application_id`): "OEXL".
const APPLICATION_ID: i64 = 0x4f45_584c;

/// The schema below (`PRAGMA user_version`). A change of the schema is a new number and a migration.
#[expect(clippy::cast_possible_wrap, reason = "a handful")]
const SCHEMA_VERSION: i64 = 1 + MIGRATIONS.len() as i64;

/// The tables of version 1. A ledger is always made of these and every migration after them, so that a new ledger and an
/// old one that was brought up to date are alike.
const SCHEMA_1: &str = "
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
";

/// `MIGRATIONS[i]` makes a ledger of version i + 1 one of version i + 2.
const MIGRATIONS: [&str; 4] = [
    "
ALTER TABLE execution ADD COLUMN approval_format TEXT CHECK (approval_format IN ('v1', 'v2')); -- null: demo mode
ALTER TABLE execution ADD COLUMN approval_ref BLOB CHECK (length(approval_ref) = 32)
    CHECK ((approval_ref IS NULL) = (approval_format IS NULL));
CREATE UNIQUE INDEX approval_use ON execution (approval_ref) WHERE approval_format = 'v1'; -- a v2 names its nonce
ALTER TABLE body ADD COLUMN approval TEXT;
CREATE TABLE control (
    kind   TEXT NOT NULL CHECK (kind IN ('host', 'tenant', 'action')),
    name   TEXT NOT NULL, -- empty: the host
    since  INTEGER NOT NULL, -- ms since the Unix epoch
    reason TEXT,
    CHECK ((kind = 'host') = (name = '')),
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
",
    "
ALTER TABLE execution ADD COLUMN leaf INTEGER; -- null: not sealed, or sealed before there were signed receipts
ALTER TABLE body ADD COLUMN approval_facts TEXT; -- JSON, as in the receipt
ALTER TABLE body ADD COLUMN blinding BLOB CHECK (length(blinding) = 32);
CREATE TABLE receipt_key (
    id     INTEGER PRIMARY KEY,
    key_id BLOB NOT NULL UNIQUE CHECK (length(key_id) = 32),
    public TEXT NOT NULL, -- base64
    since  INTEGER NOT NULL -- ms since the Unix epoch
) STRICT;
CREATE TABLE receipt (
    leaf      INTEGER PRIMARY KEY CHECK (leaf >= 0), -- index in the log; no gaps
    key       INTEGER NOT NULL REFERENCES receipt_key (id),
    reference BLOB NOT NULL CHECK (length(reference) = 32),
    signature BLOB NOT NULL CHECK (length(signature) = 64),
    statement TEXT NOT NULL
) STRICT;
CREATE TABLE tile ( -- complete ones only
    id     INTEGER PRIMARY KEY, -- level * 2^48 + index
    hashes BLOB NOT NULL CHECK (length(hashes) = 8192)
) STRICT;
CREATE TABLE checkpoint (
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL -- signed by the log, without cosignatures
) STRICT;
CREATE TABLE cosignature ( -- the latest of each witness
    size    INTEGER NOT NULL REFERENCES checkpoint (size) ON DELETE CASCADE,
    witness TEXT NOT NULL, -- its verifier key
    time    INTEGER NOT NULL, -- s since the Unix epoch
    line    TEXT NOT NULL,
    PRIMARY KEY (size, witness)
) STRICT, WITHOUT ROWID;
",
    "
CREATE TABLE answer ( -- rows of their own, appended: a seal does not write again the page of its reservation
    execution    INTEGER PRIMARY KEY REFERENCES execution (id),
    result       TEXT,
    failure_kind TEXT,
    failure_text TEXT,
    blinding     BLOB CHECK (length(blinding) = 32)
) STRICT;
INSERT INTO answer (execution, result, failure_kind, failure_text, blinding)
    SELECT execution, result, failure_kind, failure_text, blinding FROM body
    WHERE coalesce(result, failure_kind, blinding) IS NOT NULL;
ALTER TABLE body DROP COLUMN result;
ALTER TABLE body DROP COLUMN failure_kind;
ALTER TABLE body DROP COLUMN failure_text;
ALTER TABLE body DROP COLUMN blinding;
-- The same condition, in words for which SQLite need not build a temporary table at every write.
PRAGMA writable_schema = on;
UPDATE sqlite_schema SET sql = replace(sql,
    'state IN (''reserved'', ''succeeded'', ''failed'', ''faulted'', ''interrupted'')',
    'state = ''reserved'' OR state = ''succeeded'' OR state = ''failed'' OR state = ''faulted'' OR state = ''interrupted''')
    WHERE name = 'execution';
PRAGMA writable_schema = reset;
",
    "
CREATE TABLE execution_5 (
    id               INTEGER PRIMARY KEY,
    exec_id          BLOB NOT NULL CHECK (length(exec_id) = 16), -- found through by_exec_id
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
                     CHECK (state = 'reserved' OR state = 'succeeded' OR state = 'failed' OR state = 'faulted'
                            OR state = 'interrupted'), -- for IN SQLite would build a temporary table at every write
    fault            TEXT CHECK ((fault IS NULL) = (state <> 'faulted')),
    fuel             INTEGER,
    memory_bytes     INTEGER,
    receipt          BLOB CHECK (length(receipt) = 32),
    sealed_at        INTEGER, -- ms since the Unix epoch
    approval_format  TEXT CHECK (approval_format IN ('v1', 'v2')), -- null: demo mode
    approval_ref     BLOB CHECK (length(approval_ref) = 32),
    leaf             INTEGER, -- null: not sealed, or sealed before there were signed receipts
    CHECK ((approval_ref IS NULL) = (approval_format IS NULL)),
    CHECK ((state = 'reserved') = (sealed_at IS NULL)),
    CHECK ((state = 'reserved') = (receipt IS NULL)),
    UNIQUE (tenant, nonce)
) STRICT;
INSERT INTO execution_5 (id, exec_id, tenant, nonce, fingerprint, action, component, fuel_max, memory_bytes_max,
        output_bytes_max, deadline_ms_max, reserved_at, state, fault, fuel, memory_bytes, receipt, sealed_at,
        approval_format, approval_ref, leaf)
    SELECT id, exec_id, tenant, nonce, fingerprint, action, component, fuel_max, memory_bytes_max,
        output_bytes_max, deadline_ms_max, reserved_at, state, fault, fuel, memory_bytes, receipt, sealed_at,
        approval_format, approval_ref, leaf FROM execution ORDER BY id;
DROP TABLE execution;
ALTER TABLE execution_5 RENAME TO execution;
CREATE INDEX unsealed ON execution (id) WHERE state = 'reserved';
CREATE UNIQUE INDEX approval_use ON execution (approval_ref) WHERE approval_format = 'v1'; -- a v2 names its nonce
CREATE TABLE by_exec_id (
    exec_id   BLOB PRIMARY KEY CHECK (length(exec_id) = 16),
    execution INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE by_exec_id_end ( -- one row: executions up to this one have an entry
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    execution INTEGER NOT NULL,
    round     INTEGER NOT NULL -- how often entries were made, so that a host knows whether its latest ones were kept
) STRICT;
INSERT INTO by_exec_id_end (one, execution, round) VALUES (1, 0, 0); -- `index_rest` follows
",
];

/// Whose file it is.
enum Owner {
    Nobody,
    Predecessor,
    Us { version: i64 },
    Somebody,
}

fn owner(connection: &Connection) -> rusqlite::Result<Owner> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    if number("application_id")? == APPLICATION_ID {
        return Ok(Owner::Us { version: number("user_version")? });
    }
    let n_tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match n_tables {
        0 => Owner::Nobody,
        _ if import::is_predecessor(connection)? => Owner::Predecessor,
        _ => Owner::Somebody,
    })
}

/// Makes the file a ledger of the current version; returns how many executions were imported from the predecessor.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<u64, OpenError> {
    match owner(connection).map_err(|error| explain(error, path))? {
        Owner::Us { version } => {
            migrate(connection, version).map_err(|error| explain(error, path))?;
            require_current(connection, path)?;
            import_rest(connection)
                .map_err(|error| OpenError::Import { path: path.to_owned(), cause: error.to_string() })
        }
        Owner::Somebody => Err(OpenError::Foreign { path: path.to_owned() }),
        Owner::Nobody => create(connection, |_| Ok(0)).map_err(|error| explain(error, path)),
        Owner::Predecessor => create(connection, import::import)
            .map_err(|error| OpenError::Import { path: path.to_owned(), cause: error.to_string() }),
    }
}

/// Refuses a file that is not a ledger of the current version.
pub(super) fn require_current(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    match owner(connection).map_err(|error| explain(error, path))? {
        Owner::Us { version: SCHEMA_VERSION } => Ok(()),
        Owner::Us { version } => {
            Err(OpenError::SchemaVersion { path: path.to_owned(), found: version, known: SCHEMA_VERSION })
        }
        Owner::Nobody | Owner::Predecessor | Owner::Somebody => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

/// Brings a ledger of an earlier version up to date, all or nothing. One of a later version is left as it is.
fn migrate(connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
    if !(1..SCHEMA_VERSION).contains(&version) {
        return Ok(());
    }
    // Version 5 makes `execution` anew, and dropping a table looks to SQLite like deleting what other tables refer to.
    connection.pragma_update(None, "foreign_keys", false)?;
    let migrated = migrate_tables(connection, version);
    connection.pragma_update(None, "foreign_keys", true)?;
    migrated
}

fn migrate_tables(connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let tables = if is_ahead_of_its_number(&transaction, version)? { version + 1 } else { version };
    let missing = usize::try_from(tables - 1).ok().and_then(|n_done| MIGRATIONS.get(n_done..)).unwrap_or_default();
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    by_exec_id::index_rest(&transaction)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// Before the first release two shapes had the number 3: that of version 3 and, for some days, that of version 4.
fn is_ahead_of_its_number(connection: &Connection, version: i64) -> rusqlite::Result<bool> {
    let columns = "SELECT count(*) FROM pragma_table_info('body') WHERE name = 'blinding'";
    Ok(version == 3 && connection.query_row(columns, [], |row| row.get::<_, i64>(0))? == 0)
}

/// Imports what the predecessor added since, if its table is still there.
fn import_rest(connection: &mut Connection) -> rusqlite::Result<u64> {
    if !import::is_predecessor(connection)? {
        return Ok(0);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let n_imported = import::import(&transaction)?;
    by_exec_id::index_rest(&transaction)?;
    transaction.commit()?;
    Ok(n_imported)
}

/// Creates the tables and fills them, all or nothing.
fn create(connection: &mut Connection, fill: fn(&Connection) -> rusqlite::Result<u64>) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA_1)?;
    for migration in MIGRATIONS {
        transaction.execute_batch(migration)?;
    }
    let n_filled = fill(&transaction)?;
    by_exec_id::index_rest(&transaction)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    Ok(n_filled)
}

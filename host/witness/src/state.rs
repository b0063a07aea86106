//! What the witness remembers: a SQLite file of its own.
//!
//! In scope: the latest checkpoint cosigned for each log, replaced by compare-and-set; alarms, kept for ever.
//! Out of scope: what deserves a cosignature (`witness`).
//!
//! Invariants
//! - WAL with `synchronous=FULL`: what was written before a cosignature left survives the loss of power.
//! - Nothing that was read back is believed before its signatures verified: a changed row is damage, not memory.
//! - One witness at a time works on a file, and a checkpoint only ever replaces the one it was compared with.
//!
//! Losing this file, or restoring an older copy, makes the witness forget: it would vouch for a second history.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use openexec_core::log::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use openexec_core::log::note::VerifierKey;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, OptionalExtension, TransactionBehavior, params};

/// How long a write waits for somebody else's lock on the file (a backup, an operator's `sqlite3`) before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Marks the file as ours (`PRAGMA application_id`): "OEXW".
const APPLICATION_ID: i64 = 0x4f45_5857;

/// The schema below (`PRAGMA user_version`).
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE log (
    origin  TEXT PRIMARY KEY,
    log_key TEXT NOT NULL, -- verifier key
    size    INTEGER NOT NULL CHECK (size >= 0),
    root    BLOB NOT NULL CHECK (length(root) = 32),
    note    TEXT NOT NULL -- the checkpoint, signed by the log and by this witness
) STRICT;
CREATE TABLE alarm ( -- rows are never removed
    id        INTEGER PRIMARY KEY,
    origin    TEXT NOT NULL,
    kind      TEXT NOT NULL CHECK (kind IN ('rollback', 'split-view')),
    raised_at INTEGER NOT NULL, -- seconds since 1970
    ours      TEXT NOT NULL, -- the note this witness had cosigned
    theirs    TEXT NOT NULL, -- the note that contradicts it
    found     BLOB CHECK (length(found) = 32) -- the root that the tree of `theirs` had at the size of `ours`
) STRICT;
";

/// A checkpoint that the log signed and this witness cosigned. Both were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    note: SignedCheckpoint,
    time: u64,
}

/// What a log did that no log may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// It showed a smaller tree than before.
    Rollback,
    /// It showed a tree that does not begin with the one before.
    SplitView,
}

/// What a log was caught at. The two notes are the evidence, whoever holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Which log.
    pub origin: String,
    /// What it did.
    pub breach: Breach,
    /// When it was noticed: seconds since 1970.
    pub raised_at: u64,
    /// The note that this witness had cosigned.
    pub ours: String,
    /// The note that contradicts it.
    pub theirs: String,
    /// The root that the tree of `theirs` had at the size of `ours`, where that is the contradiction.
    pub found: Option<[u8; 32]>,
}

/// The witness's memory. The text of an error says what to do.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Held for as long as this witness works on the file; `None` for looking at it.
    _lock: Option<File>,
}

/// Why the state cannot be used, or was not changed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another witness has it.
    #[error("another witness is running on the state {path}: a witness needs a state of its own (--state)")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder cannot be read or written.
    #[error("cannot use the state {path} ({cause}): the file and its folder must be there and writable for this user")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The file is not a database, or is damaged, or somebody changed it.
    #[error(
        "the state {path} is damaged or not a SQLite database ({cause}): a witness that forgot what it vouched for is none; start again with a new key, name and state"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// A database of another program.
    #[error("{path} is the database of another program: name another file with --state")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A schema this build does not know.
    #[error("the state {path} has schema version {found}, this openexec reads version {SCHEMA_VERSION}")]
    SchemaVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// What it remembers was signed with other keys.
    #[error(
        "the state {path} remembers the log {origin} under other keys ({cause}): start with the log key and the witness key and name that it was made with"
    )]
    OtherKeys {
        /// The file.
        path: PathBuf,
        /// Which log.
        origin: String,
        /// Which key is another.
        cause: String,
    },
    /// It changed since it was compared with.
    #[error("the state {path} was changed by somebody else in the meantime: nothing was cosigned")]
    Overtaken {
        /// The file.
        path: PathBuf,
    },
}

impl Cosigned {
    /// Verifies both signatures.
    ///
    /// # Errors
    /// `CheckpointError`.
    pub fn verify(note: SignedCheckpoint, log: &VerifierKey, witness: &VerifierKey) -> Result<Self, CheckpointError> {
        note.verify_log(log)?;
        let time = note.verify_witness(witness)?;
        Ok(Self { note, time })
    }

    /// The checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        self.note.checkpoint()
    }

    /// The note: the log's signature, and this witness's.
    #[must_use]
    pub fn note(&self) -> &SignedCheckpoint {
        &self.note
    }

    /// When it was cosigned, in seconds since 1970.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.time
    }
}

impl Breach {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::SplitView => "split-view",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Rollback, Self::SplitView].into_iter().find(|breach| breach.as_str() == text)
    }
}

impl State {
    /// Opens or creates the state at `path` for a witness, alone.
    ///
    /// # Errors
    /// `StateError`, whose text says what to do. Nothing was changed then.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let lock = lock(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(|error| explain(error, path))?;
        prepare(&mut connection, path)?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection), _lock: Some(lock) })
    }

    /// Opens an existing state to look at it, also while a witness is running on it.
    ///
    /// # Errors
    /// `StateError`, whose text says what to do.
    pub fn open_to_look(path: &Path) -> Result<Self, StateError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|error| explain(error, path))?;
        configure(&connection).map_err(|error| explain(error, path))?;
        match owner(&connection).map_err(|error| explain(error, path))? {
            Owner::Us { version: SCHEMA_VERSION } => {}
            Owner::Us { version } => return Err(StateError::SchemaVersion { path: path.to_owned(), found: version }),
            Owner::Nobody | Owner::Somebody => return Err(StateError::Foreign { path: path.to_owned() }),
        }
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection), _lock: None })
    }

    /// The latest checkpoint that was cosigned for the log, read strictly and verified.
    ///
    /// # Errors
    /// `StateError`.
    pub fn latest(&self, log: &VerifierKey, witness: &VerifierKey) -> Result<Option<Cosigned>, StateError> {
        let origin = log.name().as_str();
        let row = self.with(|connection| {
            let sql = "SELECT log_key, size, root, note FROM log WHERE origin = ?1";
            let row = connection.query_row(sql, [origin], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, [u8; 32]>(2)?, row.get(3)?))
            });
            row.optional()
        })?;
        let Some((log_key, size, root, note)) = row else { return Ok(None) };
        let other = |cause: &str| StateError::OtherKeys {
            path: self.path.clone(),
            origin: origin.to_owned(),
            cause: cause.to_owned(),
        };
        if log_key != log.to_string() {
            return Err(other("the log's key is another"));
        }
        let note: String = note;
        let note = SignedCheckpoint::parse(&note).map_err(|error| self.damaged(&error.to_string()))?;
        let cosigned = Cosigned::verify(note, log, witness).map_err(|error| match error {
            CheckpointError::Unsigned => other("the witness's key or name is another"),
            CheckpointError::Note(_)
            | CheckpointError::Text
            | CheckpointError::Extension
            | CheckpointError::EmptyRoot
            | CheckpointError::Algorithm
            | CheckpointError::Origin
            | CheckpointError::Signature => self.damaged(&error.to_string()),
        })?;
        let checkpoint = cosigned.checkpoint();
        if (Ok(checkpoint.size()), checkpoint.root().as_bytes()) != (u64::try_from(size), &root) {
            return Err(self.damaged("a row contradicts the note in it"));
        }
        Ok(Some(cosigned))
    }

    /// Replaces the latest checkpoint of a log, if it is still the one that was compared with. Durable when it returns.
    ///
    /// # Errors
    /// `StateError`: then the new checkpoint must not be shown to anybody.
    pub fn advance(&self, log: &VerifierKey, from: Option<&Cosigned>, to: &Cosigned) -> Result<(), StateError> {
        let checkpoint = to.checkpoint();
        let (origin, key) = (log.name().as_str(), log.to_string());
        let size = |checkpoint: &Checkpoint| i64::try_from(checkpoint.size()).unwrap_or(i64::MAX); // LOG_SIZE_MAX fits
        let (new_size, root, note) = (size(checkpoint), checkpoint.root().as_bytes(), to.note().to_string());
        let n_changed = self.with(|connection| match from {
            None => connection.execute(
                "INSERT INTO log (origin, log_key, size, root, note) SELECT ?1, ?2, ?3, ?4, ?5
                 WHERE NOT EXISTS (SELECT 1 FROM alarm WHERE origin = ?1) ON CONFLICT (origin) DO NOTHING",
                params![origin, key, new_size, root, note],
            ),
            Some(from) => connection.execute(
                "UPDATE log SET size = ?3, root = ?4, note = ?5
                 WHERE origin = ?1 AND log_key = ?2 AND size = ?6 AND root = ?7 AND size < ?3
                 AND NOT EXISTS (SELECT 1 FROM alarm WHERE origin = ?1)",
                params![
                    origin,
                    key,
                    new_size,
                    root,
                    note,
                    size(from.checkpoint()),
                    from.checkpoint().root().as_bytes()
                ],
            ),
        })?;
        if n_changed == 1 { Ok(()) } else { Err(StateError::Overtaken { path: self.path.clone() }) }
    }

    /// Keeps what a log was caught at. Durable when it returns, and for ever.
    ///
    /// # Errors
    /// `StateError`.
    pub fn raise(&self, alarm: &Alarm) -> Result<(), StateError> {
        self.with(|connection| {
            connection.execute(
                "INSERT INTO alarm (origin, kind, raised_at, ours, theirs, found) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    alarm.origin,
                    alarm.breach.as_str(),
                    i64::try_from(alarm.raised_at).unwrap_or(i64::MAX),
                    alarm.ours,
                    alarm.theirs,
                    alarm.found
                ],
            )
        })?;
        Ok(())
    }

    /// Every alarm, the oldest first.
    ///
    /// # Errors
    /// `StateError`.
    pub fn alarms(&self) -> Result<Vec<Alarm>, StateError> {
        self.with(|connection| {
            let sql = "SELECT origin, kind, raised_at, ours, theirs, found FROM alarm ORDER BY id";
            let mut statement = connection.prepare(sql)?;
            let alarms = statement.query_map([], |row| {
                let kind: String = row.get(1)?;
                Ok(Alarm {
                    origin: row.get(0)?,
                    breach: Breach::parse(&kind).ok_or(rusqlite::Error::InvalidQuery)?,
                    raised_at: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
                    ours: row.get(3)?,
                    theirs: row.get(4)?,
                    found: row.get(5)?,
                })
            })?;
            alarms.collect()
        })
    }

    /// The first alarm of a log.
    ///
    /// # Errors
    /// `StateError`.
    pub fn alarm(&self, origin: &str) -> Result<Option<Alarm>, StateError> {
        Ok(self.alarms()?.into_iter().find(|alarm| alarm.origin == origin))
    }

    /// The notes of all logs as they stand in the file, not verified: for people to look at.
    ///
    /// # Errors
    /// `StateError`.
    pub fn notes(&self) -> Result<Vec<String>, StateError> {
        self.with(|connection| {
            let mut statement = connection.prepare("SELECT note FROM log ORDER BY origin")?;
            let notes = statement.query_map([], |row| row.get(0))?;
            notes.collect()
        })
    }

    fn with<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StateError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        run(&connection).map_err(|error| explain(error, &self.path))
    }

    fn damaged(&self, cause: &str) -> StateError {
        StateError::Damaged { path: self.path.clone(), cause: cause.to_owned() }
    }
}

/// Takes the lock of the one witness: an advisory lock on a file beside the state. Not on the state itself, because
/// closing any handle of that file would drop SQLite's own locks.
fn lock(path: &Path) -> Result<File, StateError> {
    let unusable = |error: std::io::Error| StateError::Unusable { path: path.to_owned(), cause: error.to_string() };
    // The file behind links, so that one state has one lock whatever it is called.
    let mut lock_path = path.canonicalize().unwrap_or_else(|_| path.to_owned()).into_os_string();
    lock_path.push(".lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StateError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// Whose file it is.
enum Owner {
    Nobody,
    Us { version: i64 },
    Somebody,
}

fn owner(connection: &Connection) -> rusqlite::Result<Owner> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let n_tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (number("application_id")?, n_tables) {
        (APPLICATION_ID, _) => Owner::Us { version: number("user_version")? },
        (0, 0) => Owner::Nobody,
        (_, _) => Owner::Somebody,
    })
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StateError> {
    let explain = |error| explain(error, path);
    if connection.is_readonly(MAIN_DB).map_err(explain)? {
        return Err(StateError::Unusable { path: path.to_owned(), cause: "it is read-only".to_owned() });
    }
    configure(connection).map_err(explain)?;
    match owner(connection).map_err(explain)? {
        Owner::Somebody => return Err(StateError::Foreign { path: path.to_owned() }),
        Owner::Us { version } if version != SCHEMA_VERSION => {
            return Err(StateError::SchemaVersion { path: path.to_owned(), found: version });
        }
        Owner::Us { .. } | Owner::Nobody => {}
    }
    // Only now: until here, the file may be somebody else's.
    let mode = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
    if mode.map_err(explain)? != "wal" {
        let cause = "no write-ahead log on this file system".to_owned();
        return Err(StateError::Unusable { path: path.to_owned(), cause });
    }
    create(connection).map_err(explain)?;
    let check: String = connection.pragma_query_value(None, "integrity_check", |row| row.get(0)).map_err(explain)?;
    match check.as_str() {
        "ok" => Ok(()),
        _ => Err(StateError::Damaged { path: path.to_owned(), cause: check }),
    }
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match owner(&transaction)? {
        Owner::Us { .. } | Owner::Somebody => Ok(()),
        Owner::Nobody => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            transaction.commit()
        }
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Reading the version first makes a file that is not a database fail here, before anything is written to it.
    connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "trusted_schema", false)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the list of errors is rusqlite's and open")]
fn explain(error: rusqlite::Error, path: &Path) -> StateError {
    use rusqlite::Error as E;
    let (path, cause) = (path.to_owned(), error.to_string());
    match error {
        // A row that does not read as what we write.
        E::FromSqlConversionFailure(..)
        | E::InvalidColumnType(..)
        | E::IntegralValueOutOfRange(..)
        | E::Utf8Error(..)
        | E::InvalidQuery => StateError::Damaged { path, cause },
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StateError::Damaged { path, cause },
            Some(_) | None => StateError::Unusable { path, cause },
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use openexec_core::digest::Digest;
    use openexec_core::log::WitnessKey;
    use openexec_core::log::checkpoint::log_signature_line;
    use openexec_core::log::note::{Algorithm, KeyName};
    use openexec_core::signing::SecretKey;

    use super::*;

    /// A log that signs whatever is asked, and a witness that cosigns it.
    struct Keys {
        log_secret: SecretKey,
        log: VerifierKey,
        witness: WitnessKey,
    }

    impl Keys {
        fn new() -> Self {
            let log_secret = SecretKey::from_seed(&[1; 32]).unwrap();
            let log =
                VerifierKey::new(KeyName::parse("log.example").unwrap(), Algorithm::Log, log_secret.public().clone());
            let witness =
                WitnessKey::new(KeyName::parse("witness.example").unwrap(), SecretKey::from_seed(&[2; 32]).unwrap());
            Self { log_secret, log, witness }
        }

        fn cosigned(&self, size: u64, root: &str) -> Cosigned {
            let checkpoint = Checkpoint::new("log.example", size, Digest::of(root.as_bytes())).unwrap();
            let line = log_signature_line(&self.log, &self.log_secret.sign(checkpoint.text().as_bytes())).unwrap();
            let note =
                SignedCheckpoint::new(checkpoint.clone(), line).with(self.witness.cosign(&checkpoint, 5)).unwrap();
            Cosigned::verify(note, &self.log, self.witness.verifier_key()).unwrap()
        }

        fn latest(&self, state: &State) -> Option<Cosigned> {
            state.latest(&self.log, self.witness.verifier_key()).unwrap()
        }
    }

    #[test]
    fn of_racing_writers_who_compared_with_the_same_checkpoint_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = &folder.path().join("witness.db");
        let (keys, first) = (&Keys::new(), State::open(path).unwrap());
        let mut before = None;
        for size in 1..=20 {
            let (from, start) = (&before, &Barrier::new(8));
            let n_won = thread::scope(|scope| {
                let race = |number: u64| {
                    // As a second process would: with a connection of its own.
                    let state = State::open_to_look(path).unwrap();
                    start.wait();
                    state.advance(&keys.log, from.as_ref(), &keys.cosigned(size, &number.to_string()))
                };
                let racers: Vec<_> = (0..8).map(|number| scope.spawn(move || race(number))).collect();
                let ends = racers.into_iter().map(|racer| racer.join().unwrap());
                ends.filter(|end| match end {
                    Ok(()) => true,
                    Err(error) => {
                        assert!(matches!(error, StateError::Overtaken { .. }), "{error}");
                        false
                    }
                })
                .count()
            });
            assert_eq!(n_won, 1);
            before = keys.latest(&first);
            assert_eq!(before.as_ref().map(|ours| ours.checkpoint().size()), Some(size));
        }
    }

    #[test]
    fn nothing_is_replaced_by_what_is_not_larger_nor_after_an_alarm() {
        let folder = tempfile::tempdir().unwrap();
        let (keys, state) = (Keys::new(), State::open(&folder.path().join("witness.db")).unwrap());
        let ours = keys.cosigned(7, "a");
        state.advance(&keys.log, None, &ours).unwrap();
        for (from, to) in [
            (None, keys.cosigned(8, "b")),
            (Some(&ours), keys.cosigned(7, "b")),
            (Some(&ours), keys.cosigned(6, "b")),
            (Some(&keys.cosigned(7, "b")), keys.cosigned(8, "b")),
            (Some(&keys.cosigned(6, "a")), keys.cosigned(8, "b")),
        ] {
            assert!(matches!(state.advance(&keys.log, from, &to), Err(StateError::Overtaken { .. })));
        }
        let alarm = Alarm {
            origin: "log.example".to_owned(),
            breach: Breach::SplitView,
            raised_at: 9,
            ours: ours.note().to_string(),
            theirs: keys.cosigned(7, "b").note().to_string(),
            found: Some([3; 32]),
        };
        state.raise(&alarm).unwrap();
        assert!(state.advance(&keys.log, Some(&ours), &keys.cosigned(8, "b")).is_err());
        drop(state);
        let state = State::open(&folder.path().join("witness.db")).unwrap();
        assert_eq!((keys.latest(&state), state.alarms().unwrap()), (Some(ours), vec![alarm.clone()]));
        assert_eq!(state.alarm("log.example").unwrap(), Some(alarm));
        assert_eq!(state.alarm("other.example").unwrap(), None);
    }
}

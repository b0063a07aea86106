//! The embedded ledger: one SQLite file, one host.
//!
//! In scope: opening a file safely, the single-host lock, the reading connections.
//! Out of scope: what the tables are (`schema`), what is written (`rows`), how writes are grouped (`group_commit`), the
//! predecessor's table (`import`), what the operator has stopped (`controls`), receipts and the log (`receipts`, `log`).
//!
//! Invariants
//! - WAL with `synchronous=FULL`: a commit that returned survives the loss of power.
//! - One thread writes. Whatever is waiting goes into one transaction, reservations and seals mixed.
//! - One host at a time: a second one on the same file is refused at start.

mod audit;
mod batch;
mod by_exec_id;
mod controls;
mod group_commit;
mod import;
mod kept;
mod log;
mod receipts;
mod rows;
mod schema;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openexec_core::control::{Control, Target};
use openexec_core::digest::Digest;
use openexec_core::keys::PublicKey;
use openexec_core::log::checkpoint::SignedCheckpoint;
use openexec_core::log::edge::CompleteTile;
use openexec_core::log::note::VerifierKey;
use openexec_core::names::Note;
use openexec_core::request::ExecId;
use openexec_core::reservation::{Reservation, Reserved, Sealed};
use openexec_core::time::Timestamp;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};

use crate::examined::{Examined, KeptExecution};
use crate::log::Witnessed;
use crate::receipts::{KeptKey, Logged};
use crate::{Claim, Ledger, LedgerError, Log, Pending, Receipts, SealAnswer, Stats};
use by_exec_id::Young;
use group_commit::{Kind, Writer};

/// How long a write waits for somebody else's lock on the file (a backup, an operator's `sqlite3`) before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Memory for the page cache of one connection. After most commits SQLite looks through all of it (for pages that it gave
/// other numbers while balancing a tree), and what is not in it is in the system's cache.
const CACHE_KIB: i64 = 8 * 1024;

/// Pages of the write-ahead log after which it is folded into the file. Writes wait while it is: with four times as many
/// pages the slowest hundredth of answers under load took 35 ms instead of 26 to 31, and a hundredth of the processor time
/// was saved, at most.
const CHECKPOINT_PAGES: i64 = 1_000;

/// A ledger in one SQLite file.
#[derive(Debug)]
pub struct SqliteLedger {
    writer: Writer,
    reader: Mutex<Connection>,
    /// Apart, so that no batch of receipts and no proof makes the host wait to learn what was stopped.
    log_reader: Mutex<Connection>,
    young: Arc<Young>,
    n_imported: u64,
    /// Held for as long as this host has the ledger; `None` for maintenance beside a running host.
    _host_lock: Option<HostLock>,
}

/// The single-host lock. Given back when dropped: closing the file alone would not, while a process that was just forked
/// from this one still has a copy of the handle.
#[derive(Debug)]
struct HostLock(File);

impl Drop for HostLock {
    fn drop(&mut self) {
        // The system does it when the last copy is closed, at the latest with the process.
        let _ = self.0.unlock();
    }
}

/// Why a ledger file is not opened. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is missing.
    #[error("the folder of the ledger {path} does not exist: create it, or change --db-url")]
    NoFolder {
        /// The ledger file.
        path: PathBuf,
    },
    /// Another host has it.
    #[error(
        "another openexec is running on the ledger {path}: stop it, or give this host a ledger of its own (--db-url)"
    )]
    InUse {
        /// The ledger file.
        path: PathBuf,
    },
    /// The file or its folder cannot be written.
    #[error(
        "cannot write the ledger {path} ({cause}): the file and its folder must be writable for this user, on a disk with space"
    )]
    NotWritable {
        /// The ledger file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// Somebody holds a lock on the file.
    #[error("the ledger {path} stayed locked by another program for {} s: close it and start again", BUSY_TIMEOUT.as_secs())]
    Locked {
        /// The ledger file.
        path: PathBuf,
    },
    /// The file is not a database, or is damaged.
    #[error(
        "the ledger {path} is damaged or not a SQLite database ({cause}): restore it from a backup, or move it away to start a new ledger (which forgets every used nonce)"
    )]
    Damaged {
        /// The ledger file.
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// A database of another program.
    #[error("{path} is the database of another program: name another file with --db-url")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A schema this build does not know.
    #[error(
        "the ledger {path} has schema version {found}, this openexec reads version {known}: for an older ledger start `openexec serve` on it once, for a newer one run the openexec that wrote it"
    )]
    SchemaVersion {
        /// The ledger file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The predecessor's table could not be imported.
    #[error("the executions of openexec 0.1.10 in {path} could not be imported ({cause}); nothing was changed")]
    Import {
        /// The ledger file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
}

impl SqliteLedger {
    /// Opens or creates the ledger at `path` for a host, alone. A database of openexec 0.1.10 is extended in place and
    /// its executions are imported.
    ///
    /// # Errors
    /// `OpenError`, whose text says what to do. Nothing was changed then.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let path = &resolve(path)?;
        let lock = lock_for_host(path)?;
        let mut connection = connect(path)?;
        let n_imported = schema::prepare(&mut connection, path)?;
        keep_write_ahead_log(&connection, path)?; // only now: until here, the file may be somebody else's
        rows::probe(&connection).map_err(|error| explain(error, path))?;
        Self::start(path, connection, n_imported, Some(lock))
    }

    /// Opens an existing ledger for maintenance (`stats`, `erase`, `stop`, `release`), also while a host is running on it.
    ///
    /// # Errors
    /// `OpenError`, whose text says what to do.
    pub fn open_for_maintenance(path: &Path) -> Result<Self, OpenError> {
        if !path.exists() {
            return Err(OpenError::NotWritable { path: path.to_owned(), cause: "there is no such file".to_owned() });
        }
        let connection = connect(path)?;
        schema::require_current(&connection, path)?;
        Self::start(path, connection, 0, None)
    }

    fn start(path: &Path, writer: Connection, n_imported: u64, host_lock: Option<HostLock>) -> Result<Self, OpenError> {
        let not_writable =
            |error: std::io::Error| OpenError::NotWritable { path: path.to_owned(), cause: error.to_string() };
        let young = Young::load(&writer, host_lock.is_some()).map_err(|error| explain(error, path))?;
        let young = Arc::new(young);
        Ok(Self {
            reader: Mutex::new(connect(path)?),
            log_reader: Mutex::new(connect(path)?),
            writer: Writer::start(writer, young.clone()).map_err(not_writable)?,
            young,
            n_imported,
            _host_lock: host_lock,
        })
    }

    /// How many executions of the predecessor were imported when this ledger was opened.
    #[must_use]
    pub fn n_imported(&self) -> u64 {
        self.n_imported
    }

    /// For an audit: up to `n_max` receipts from index `from` on, as they are kept.
    ///
    /// # Errors
    /// `LedgerError` when they could not be read at all.
    pub fn examine(&self, from: u64, n_max: u32) -> Result<Vec<Examined>, LedgerError> {
        self.read_log(|connection| audit::receipts_from(connection, from, n_max))
    }

    /// For an audit: an execution, as it is kept.
    ///
    /// # Errors
    /// `LedgerError` when it could not be read, or is nothing that this host writes.
    pub fn examine_execution(&self, exec_id: ExecId) -> Result<Option<KeptExecution>, LedgerError> {
        self.read_log(|connection| by_exec_id::look_up(connection, &self.young, exec_id, audit::execution))
    }

    /// For an audit: every checkpoint that is kept, the smallest first.
    ///
    /// # Errors
    /// `LedgerError` when they could not be read; those that are damaged are errors in the list.
    pub fn checkpoints(&self) -> Result<Vec<Result<SignedCheckpoint, LedgerError>>, LedgerError> {
        self.read_log(log::all)
    }

    /// For an audit: executions that were sealed from `since` on and have no receipt.
    ///
    /// # Errors
    /// `LedgerError` when they could not be read.
    pub fn unsigned(&self, since: Timestamp) -> Result<Vec<ExecId>, LedgerError> {
        self.read_log(|connection| audit::unsigned(connection, since))
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        read(&self.reader.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn read_log<T>(&self, read: impl FnOnce(&Connection) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        read(&self.log_reader.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ledger for SqliteLedger {
    fn reserve(&self, reserved: Reserved) -> Pending<Claim> {
        self.writer.write(Kind::Reservation, move |batch| rows::reserve(batch, reserved))
    }

    fn recall(&self, reserved: Reserved) -> Pending<Option<Claim>> {
        self.writer.write(Kind::Other, move |batch| rows::recall(batch, reserved))
    }

    fn seal(&self, reservation: &Reservation, sealed: &Sealed) -> Pending<SealAnswer> {
        let (place, sealed) = (rows::Place::of(reservation.facts()), sealed.clone());
        self.writer.write(Kind::Seal, move |batch| rows::seal(batch, &place, &sealed))
    }

    fn unsealed(&self) -> Result<Vec<Reservation>, LedgerError> {
        self.read(rows::unsealed)
    }

    fn receipt(&self, exec_id: ExecId) -> Result<Option<Digest>, LedgerError> {
        self.read(|connection| by_exec_id::look_up(connection, &self.young, exec_id, rows::receipt))
    }

    fn erase(&self, before: Timestamp, n_max: u32) -> Pending<u64> {
        self.writer.write(Kind::Other, move |batch| rows::erase(batch, before, n_max))
    }

    /// Folds the write-ahead log into the file, where erased text was overwritten, and empties it.
    fn scrub(&self) -> Result<(), LedgerError> {
        let is_busy: bool =
            self.read(|connection| Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?))?;
        if is_busy {
            return Err(LedgerError::Unavailable("the write-ahead log is in use and was not emptied".to_owned()));
        }
        Ok(())
    }

    fn stats(&self) -> Result<Stats, LedgerError> {
        self.read(rows::stats)
    }

    fn stop(&self, target: Target, since: Timestamp, reason: Option<Note>) -> Pending<bool> {
        self.writer.write(Kind::Other, move |batch| controls::stop(batch, &target, since, reason.as_ref()))
    }

    fn release(&self, target: Target) -> Pending<bool> {
        self.writer.write(Kind::Other, move |batch| controls::release(batch, &target))
    }

    fn controls(&self) -> Result<Vec<Control>, LedgerError> {
        self.read(controls::all)
    }

    fn probe(&self) -> Pending<()> {
        self.writer.write(Kind::Other, |batch| Ok(rows::probe(batch)?))
    }
}

impl Receipts for SqliteLedger {
    fn logged(&self, exec_id: ExecId) -> Result<Option<Logged>, LedgerError> {
        self.read_log(|connection| by_exec_id::look_up(connection, &self.young, exec_id, receipts::of))
    }

    fn references(&self, from: u64, n_max: u32) -> Result<Vec<Digest>, LedgerError> {
        self.read_log(|connection| receipts::references(connection, from, n_max))
    }

    fn adopt_key(&self, public: PublicKey, since: Timestamp) -> Pending<bool> {
        self.writer.write(Kind::Other, move |batch| receipts::adopt_key(batch, &public, since))
    }

    fn keys(&self) -> Result<Vec<KeptKey>, LedgerError> {
        self.read_log(receipts::keys)
    }
}

impl Log for SqliteLedger {
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Digest>>, LedgerError> {
        self.read_log(|connection| log::tile(connection, level, index))
    }

    fn publish(&self, tiles: Vec<CompleteTile>, checkpoint: SignedCheckpoint) -> Pending<()> {
        self.writer.write(Kind::Other, move |batch| {
            log::publish(batch, &tiles, &checkpoint)?;
            Ok(batch.young.index_some(batch)?) // here, because nobody waits for this write
        })
    }

    fn newest_checkpoint(&self) -> Result<Option<SignedCheckpoint>, LedgerError> {
        self.read_log(log::newest)
    }

    fn checkpoint(&self, size: u64) -> Result<Option<SignedCheckpoint>, LedgerError> {
        self.read_log(|connection| log::checkpoint(connection, size))
    }

    fn cosign(&self, size: u64, cosignatures: Vec<Witnessed>) -> Pending<bool> {
        self.writer.write(Kind::Other, move |batch| log::cosign(batch, size, &cosignatures))
    }

    fn newest_cosigned(&self, witnesses: &[VerifierKey], n_min: u32) -> Result<Option<SignedCheckpoint>, LedgerError> {
        self.read_log(|connection| log::newest_cosigned(connection, witnesses, n_min))
    }
}

impl From<rusqlite::Error> for LedgerError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of errors is rusqlite's and open")]
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        match error {
            // A row that does not read as what we write fails the call that reads it, not its neighbours' transaction.
            E::FromSqlConversionFailure(..)
            | E::InvalidColumnType(..)
            | E::IntegralValueOutOfRange(..)
            | E::Utf8Error(..) => Self::Broken(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// The file behind links, so that one ledger has one lock whatever it is called. (Hard links stay out of reach.)
fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    if let Ok(resolved) = path.canonicalize() {
        return Ok(resolved);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().ok().filter(|folder| folder.is_dir());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => Ok(folder.join(name)),
        (None, _) | (_, None) => Err(OpenError::NoFolder { path: path.to_owned() }),
    }
}

/// Takes the single-host lock: an advisory lock on a file beside the ledger. Not on the ledger itself, because closing
/// any handle of that file would drop SQLite's own locks.
fn lock_for_host(path: &Path) -> Result<HostLock, OpenError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let not_writable =
        |error: std::io::Error| OpenError::NotWritable { path: path.to_owned(), cause: error.to_string() };
    let lock = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(not_writable)?;
    match lock.try_lock() {
        Ok(()) => Ok(HostLock(lock)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(not_writable(error)),
    }
}

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| explain(error, path))?;
    require_writable(&connection, path)?;
    configure(&connection).map_err(|error| explain(error, path))?;
    Ok(connection)
}

/// SQLite opens a file that it may not write for reading only, and then puts a write-ahead log beside it that nobody may
/// write either, also once the file is writable again. So this is asked before anything is read.
fn require_writable(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    match connection.is_readonly(MAIN_DB).map_err(|error| explain(error, path))? {
        false => Ok(()),
        true => Err(OpenError::NotWritable { path: path.to_owned(), cause: "it is read-only".to_owned() }),
    }
}

/// Switches the file to a write-ahead log, for good. Where SQLite cannot, it quietly keeps the mode it has, whose commits
/// need not survive the loss of power.
fn keep_write_ahead_log(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let mode = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
    match mode.map_err(|error| explain(error, path))?.as_str() {
        "wal" => Ok(()),
        mode => {
            let cause = format!("no write-ahead log on this file system, only journal mode {mode}");
            Err(OpenError::NotWritable { path: path.to_owned(), cause })
        }
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Reading the version first makes a file that is not a database fail here, before anything is written to it.
    connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Erased text is overwritten with zeros, not merely unlinked.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn explain(error: rusqlite::Error, path: &Path) -> OpenError {
    let path = path.to_owned();
    let cause = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, cause },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked { path },
        Some(_) | None => OpenError::NotWritable { path, cause },
    }
}

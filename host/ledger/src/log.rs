//! What a ledger keeps of the log over its receipts: complete tiles, what the log signed, and who witnessed it.
//!
//! In scope: the port. Out of scope: hashing and signing (`openexec_core::log`), when to integrate (`openexec-server`).

use openexec_core::digest::Digest;
use openexec_core::log::checkpoint::SignedCheckpoint;
use openexec_core::log::edge::CompleteTile;
use openexec_core::log::note::{NoteSignature, VerifierKey};

use crate::{LedgerError, Pending};

/// How many of the newest checkpoints are kept: those of the last hundred seconds under full load. A witness that takes
/// longer to answer takes a newer one next time.
pub const CHECKPOINTS_KEPT: u32 = 1_000;

/// Keeps what was published of the log.
///
/// What every adapter promises, and `tests/suite/log_store.rs` holds every adapter to:
/// - What is published is durable when `publish` completes, tiles and checkpoint together or nothing of both. A tile that
///   was kept never changes.
/// - No checkpoint contradicts an earlier one in what a ledger can see: one of the same size is the same, none is smaller
///   than the newest, and none is of more receipts than there are. Publishing the same again is safe, so that a caller who
///   does not know whether it happened may repeat it.
/// - The newest `CHECKPOINTS_KEPT` checkpoints are kept, and for every witness the newest that it cosigned.
pub trait Log {
    /// The hashes of a complete tile; `None` if there is none.
    ///
    /// # Errors
    /// `LedgerError` when it could not be read.
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Digest>>, LedgerError>;

    /// Keeps a checkpoint, and the tiles that became complete since the one before, in one commit.
    ///
    /// # Errors
    /// `LedgerError` when they may not have been kept; `LedgerError::Broken` when they contradict what is there.
    fn publish(&self, tiles: Vec<CompleteTile>, checkpoint: SignedCheckpoint) -> Pending<()>;

    /// The newest checkpoint, with its cosignatures.
    ///
    /// # Errors
    /// `LedgerError` when it could not be read.
    fn newest_checkpoint(&self) -> Result<Option<SignedCheckpoint>, LedgerError>;

    /// The checkpoint of this size, with its cosignatures, if it is kept.
    ///
    /// # Errors
    /// `LedgerError` when it could not be read.
    fn checkpoint(&self, size: u64) -> Result<Option<SignedCheckpoint>, LedgerError>;

    /// Adds cosignatures to a checkpoint; whether it is kept. The caller has verified them. Of several by one witness the
    /// latest stays.
    ///
    /// # Errors
    /// `LedgerError` when they may not have been kept.
    fn cosign(&self, size: u64, cosignatures: Vec<Witnessed>) -> Pending<bool>;

    /// The newest checkpoint that at least `n_min` of these witnesses have cosigned, with its cosignatures.
    ///
    /// # Errors
    /// `LedgerError` when it could not be read.
    fn newest_cosigned(&self, witnesses: &[VerifierKey], n_min: u32) -> Result<Option<SignedCheckpoint>, LedgerError>;
}

/// A cosignature that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// Whose it is.
    pub witness: VerifierKey,
    /// When it was made, says the witness: seconds since 1970.
    pub time: u64,
    /// The line.
    pub line: NoteSignature,
}

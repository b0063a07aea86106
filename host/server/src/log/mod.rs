//! The transparency log of this host: what is sealed becomes a leaf, and every batch of leaves a signed checkpoint.
//!
//! In scope: integrating receipts off the request path, the newest checkpoint in memory, how far behind it is; `proof`
//! (tiles and proofs out of ledger and memory), `witnessed` (cosignatures, and what they reveal).
//! Out of scope: hashing and signing (`openexec_core::log`), keeping (`openexec_ledger::Log`), HTTP.
//!
//! Invariants
//! - A checkpoint is durable before anybody sees it, and contradicts no earlier one: it is signed of the tree that the
//!   earlier one was of, and what was sealed since.
//! - A host does not start on a ledger that is not the one its log key signed for, and signs no more once a witness has
//!   shown that there was more.

mod proof;
mod witnessed;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use openexec_core::log::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use openexec_core::log::edge::Edge;
use openexec_core::log::leaf_hash_of;
use openexec_core::log::note::VerifierKey;
use openexec_core::log::prove::TilesError;
use openexec_core::log::sign::LogKey;
use openexec_ledger::{Ledger, LedgerError};

pub use proof::{ProofAnswer, prove_from};
pub use witnessed::CosignatureError;

/// Time between two looks for new receipts while there are none: as long as it takes until a lone receipt has a proof,
/// and ten signatures a second at most while receipts come slowly.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Time until the next try when the ledger has failed: it has waited out what is short by itself, and says so in the log
/// each time.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Most receipts under one checkpoint: bounds how long the ledger's writer is held by the tiles of one batch (32 of them),
/// and keeps up with ten times what a host seals in the time that a batch takes.
const BATCH_RECEIPTS_MAX: u32 = 8 * 1024;

/// How far behind the log may be before the host says that it is not ready.
pub const LAG_MAX: Duration = Duration::from_secs(5);

/// Whose cosignatures count, and how many of them a checkpoint needs to be preferred for proofs.
#[derive(Clone, Debug)]
pub struct Witnesses {
    /// Their keys, each another public key.
    pub keys: Vec<VerifierKey>,
    /// How many must have cosigned.
    pub quorum: u32,
}

/// The log, running.
pub struct HostLog {
    key: LogKey,
    witnesses: Witnesses,
    ledger: Arc<dyn Ledger>,
    head: RwLock<Arc<Head>>,
    /// The newest checkpoint with enough cosignatures, if there are witnesses and one has enough.
    cosigned: RwLock<Option<Arc<SignedCheckpoint>>>,
    /// When everything that was sealed by then was under a checkpoint.
    covered_at: Mutex<Instant>,
    /// One batch at a time.
    turn: Mutex<()>,
    rolled_back: AtomicBool,
}

/// The newest checkpoint, and the tree that it is of. Replaced as a whole.
#[derive(Debug)]
pub struct Head {
    edge: Edge,
    checkpoint: SignedCheckpoint,
}

/// Why there is no log to go on with. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The ledger's answer is unknown.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger's checkpoints are another log's, or signed with another key.
    #[error(
        "the checkpoints in this ledger are not signed by the log key {key} ({cause}): start with the key that signed them; for a new log, start a new ledger"
    )]
    Foreign {
        /// The key that was given.
        key: String,
        /// What is wrong.
        cause: CheckpointError,
    },
    /// The receipts are not those that were signed for.
    #[error(
        "the ledger is not the one that signed the checkpoint of size {size}: {cause}; restore the whole ledger from a backup that is as new as the log"
    )]
    Differs {
        /// The checkpoint.
        size: u64,
        /// In what.
        cause: String,
    },
    /// The given checkpoint is no checkpoint of this log.
    #[error("the witnessed checkpoint does not verify: {0}")]
    Witnessed(CheckpointError),
    /// The given checkpoint has no cosignature by a configured witness.
    #[error("the witnessed checkpoint has no cosignature by a configured witness: ask the witness for its latest one")]
    NotCosigned,
    /// The given checkpoint is of a larger tree, or of another one.
    #[error(
        "this ledger was rolled back or replaced: {cause}; restore the ledger that the witness saw, or start a new one with a new log key (every approval that is still valid could otherwise run again)"
    )]
    RolledBack {
        /// What the witness saw.
        cause: String,
    },
    /// The batch could not be signed: a tree larger than any, which no host reaches.
    #[error("the log cannot sign its own checkpoint: {0}")]
    Unsigned(CheckpointError),
}

impl HostLog {
    /// The log on this ledger, checked against what was signed last, and against a checkpoint that a witness saw if one is
    /// given. A new log signs the tree without leaves first.
    ///
    /// # Errors
    /// `LogError`, whose text says what to do. The host must not start then.
    pub fn open(
        ledger: Arc<dyn Ledger>,
        key: LogKey,
        witnesses: Witnesses,
        witnessed: Option<&SignedCheckpoint>,
    ) -> Result<Arc<Self>, LogError> {
        let head = match ledger.newest_checkpoint()? {
            Some(checkpoint) => restore(&*ledger, &key, checkpoint)?,
            None => begin(&*ledger, &key)?,
        };
        let cosigned = witnessed::newest_cosigned(&*ledger, &witnesses)?;
        let log = Self {
            key,
            witnesses,
            ledger,
            head: RwLock::new(Arc::new(head)),
            cosigned: RwLock::new(cosigned),
            covered_at: Mutex::new(Instant::now()),
            turn: Mutex::new(()),
            rolled_back: AtomicBool::new(false),
        };
        if let Some(witnessed) = witnessed {
            log.require_contains(witnessed)?;
        }
        tracing::info!(log = %log.key.verifier_key(), size = log.size(), n_witnesses = log.witnesses.keys.len(), "receipts are logged");
        Ok(Arc::new(log))
    }

    /// Integrates again and again, on a thread of its own, until the log is dropped.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn follow(self: &Arc<Self>) -> io::Result<()> {
        let log = Arc::downgrade(self);
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            while let Some(running) = log.upgrade() {
                let integrated = running.integrate_once();
                if let Err(error) = &integrated {
                    let lag_ms = running.lag().as_millis();
                    tracing::error!(%error, lag_ms, "receipts could not be logged; trying again");
                }
                drop(running); // not held while sleeping, so that the host's end closes the ledger
                thread::sleep(if integrated.is_ok() { LOOK_INTERVAL } else { RETRY_INTERVAL });
            }
        })?;
        Ok(())
    }

    /// Integrates everything that is sealed by now. Blocks.
    ///
    /// # Errors
    /// `LogError`: what is not integrated waits for the next call.
    pub fn integrate_once(&self) -> Result<(), LogError> {
        while self.integrate_batch()? {}
        Ok(())
    }

    /// Integrates up to one batch; whether more is waiting.
    fn integrate_batch(&self) -> Result<bool, LogError> {
        let _turn = lock(&self.turn);
        if self.is_rolled_back() {
            return Ok(false); // whatever it signed now would contradict what a witness has
        }
        let looked_at = Instant::now();
        let head = self.head();
        let references = self.ledger.references(head.edge.size(), BATCH_RECEIPTS_MAX)?;
        if !references.is_empty() {
            let mut edge = head.edge.clone();
            for reference in &references {
                edge.push(leaf_hash_of(reference));
            }
            let tiles = edge.take_completed();
            let checkpoint = sign(&self.key, &edge)?;
            self.ledger.publish(tiles, checkpoint.clone()).wait()?;
            // The checkpoint is durable, and nobody has seen it yet. A crash here loses nothing: the next start reads it. A
            // crash above leaves the receipts, and the next start signs a checkpoint of them, perhaps of more.
            self.set_head(Head { edge, checkpoint });
        }
        let is_full = references.len() == BATCH_RECEIPTS_MAX as usize;
        if !is_full {
            *lock(&self.covered_at) = looked_at;
        }
        Ok(is_full)
    }

    /// The newest checkpoint.
    #[must_use]
    pub fn head(&self) -> Arc<Head> {
        self.head.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_head(&self, head: Head) {
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(head);
    }

    /// The number of receipts under the newest checkpoint.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.head().edge.size()
    }

    /// How old the oldest receipt without a checkpoint can be.
    #[must_use]
    pub fn lag(&self) -> Duration {
        lock(&self.covered_at).elapsed()
    }

    /// Whether a witness has shown that this ledger was rolled back or forked. Never ends while the host runs.
    #[must_use]
    pub fn is_rolled_back(&self) -> bool {
        self.rolled_back.load(Ordering::Relaxed)
    }

    /// What verifies the log's signatures.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        self.key.verifier_key()
    }

    /// Whose cosignatures count.
    #[must_use]
    pub fn witnesses(&self) -> &Witnesses {
        &self.witnesses
    }
}

impl Head {
    /// The checkpoint, with the cosignatures that it has by now.
    #[must_use]
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }
}

impl fmt::Debug for HostLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostLog({}, {})", self.key.origin(), self.size())
    }
}

/// The first checkpoint: the tree without leaves. From here on there always is one.
fn begin(ledger: &dyn Ledger, key: &LogKey) -> Result<Head, LogError> {
    let edge = Edge::new();
    let checkpoint = sign(key, &edge)?;
    ledger.publish(Vec::new(), checkpoint.clone()).wait()?;
    Ok(Head { edge, checkpoint })
}

/// The tree that the newest checkpoint was signed of, from the ledger as it is now.
fn restore(ledger: &dyn Ledger, key: &LogKey, checkpoint: SignedCheckpoint) -> Result<Head, LogError> {
    let foreign = |cause| LogError::Foreign { key: key.verifier_key().to_string(), cause };
    let signed = checkpoint.verify_log(key.verifier_key()).map_err(foreign)?;
    let size = signed.size();
    let differs = |cause: String| LogError::Differs { size, cause };
    let edge = proof::edge_at(ledger, size).map_err(|error| match error {
        TilesError::Tiles(LedgerError::Unavailable(cause)) => LogError::Ledger(LedgerError::Unavailable(cause)),
        error @ (TilesError::Tiles(LedgerError::Broken(_)) | TilesError::Width(_) | TilesError::Proof(_)) => {
            differs(error.to_string())
        }
    })?;
    if edge.root() != *signed.root() {
        return Err(differs("its receipts have another root hash".to_owned()));
    }
    Ok(Head { edge, checkpoint })
}

fn sign(key: &LogKey, edge: &Edge) -> Result<SignedCheckpoint, LogError> {
    let checkpoint = Checkpoint::new(key.origin(), edge.size(), edge.root());
    let checkpoint = checkpoint.ok_or(LogError::Unsigned(CheckpointError::Text))?;
    key.sign(checkpoint).map_err(LogError::Unsigned)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

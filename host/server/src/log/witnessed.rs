//! What witnesses give back: cosignatures, and with them the proof that this ledger is not the one they saw.
//!
//! In scope: accepting cosignatures of what this host signed, the alarm when this log key signed what this ledger does not
//! have, the check of a witnessed checkpoint at the start.
//! Out of scope: asking witnesses. They come here, as the host opens no connection.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use openexec_core::log::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use openexec_core::log::note::VerifierKey;
use openexec_ledger::log::Witnessed;
use openexec_ledger::{Ledger, LedgerError};

use super::{Head, HostLog, LogError, Witnesses, lock};

/// Why cosignatures are not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CosignatureError {
    /// Not a checkpoint with signatures.
    #[error("the body is not a signed checkpoint: {0}")]
    Malformed(CheckpointError),
    /// No cosignature by a configured witness, or one that does not verify.
    #[error("{0}")]
    Refused(&'static str),
    /// Not a checkpoint that this host keeps.
    #[error("this host keeps no such checkpoint: cosign a newer one")]
    Unknown,
    /// This log key has signed it, and this ledger does not have it.
    #[error("the log key has signed this checkpoint, and this ledger does not have it")]
    RolledBack,
    /// The ledger's answer is unknown.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl HostLog {
    /// Keeps the cosignatures of a checkpoint; returns how many configured witnesses' there were. Blocks.
    ///
    /// # Errors
    /// `CosignatureError`: then nothing was kept.
    pub fn accept_cosignatures(&self, note: &str) -> Result<usize, CosignatureError> {
        let signed = SignedCheckpoint::parse(note).map_err(CosignatureError::Malformed)?;
        let cosignatures = self.verified(&signed)?;
        let checkpoint = signed.checkpoint();
        let kept = self.ledger.checkpoint(checkpoint.size())?;
        if kept.is_none_or(|kept| kept.checkpoint() != checkpoint) {
            return Err(self.not_ours(&signed)?);
        }
        let n_cosignatures = cosignatures.len();
        if !self.ledger.cosign(checkpoint.size(), cosignatures).wait()? {
            return Err(CosignatureError::Unknown);
        }
        // The cosignatures are durable. A crash from here on loses only the sight of them until the next start.
        self.show_cosignatures(checkpoint.size())?;
        tracing::debug!(size = checkpoint.size(), n_cosignatures, "witnesses have cosigned");
        Ok(n_cosignatures)
    }

    /// The cosignatures by configured witnesses, the latest of each.
    fn verified(&self, signed: &SignedCheckpoint) -> Result<Vec<Witnessed>, CosignatureError> {
        let refused = CosignatureError::Refused("a cosignature by a configured witness does not verify");
        let Ok(cosignatures) = signed.cosignatures(&self.witnesses.keys) else { return Err(refused) };
        if cosignatures.is_empty() {
            return Err(CosignatureError::Refused("there is no cosignature by a configured witness"));
        }
        let latest = |witness: &VerifierKey, time: u64| {
            let time_bytes = time.to_be_bytes();
            let mut lines = signed.signatures().iter().filter(|line| line.claims(witness));
            lines.find(|line| line.signature().starts_with(&time_bytes)).cloned()
        };
        let witnessed = cosignatures.iter().filter_map(|cosignature| {
            let (witness, time) = (cosignature.witness.clone(), cosignature.time);
            latest(&witness, time).map(|line| Witnessed { witness, time, line })
        });
        Ok(witnessed.collect())
    }

    /// Why a checkpoint that a witness cosigned is not among those that are kept.
    fn not_ours(&self, signed: &SignedCheckpoint) -> Result<CosignatureError, LedgerError> {
        if signed.verify_log(self.key.verifier_key()).is_err() {
            return Ok(CosignatureError::Refused("the checkpoint is not signed by this log"));
        }
        Ok(match self.contradiction(signed.checkpoint())? {
            None => CosignatureError::Unknown, // it was signed here, and forgotten since
            Some(cause) => {
                self.rolled_back.store(true, Ordering::Relaxed);
                tracing::error!(
                    cause,
                    checkpoint = %signed,
                    "this ledger was rolled back or forked: a witness has seen what it does not have; nothing runs any more"
                );
                CosignatureError::RolledBack
            }
        })
    }

    /// In what this ledger's log contradicts a checkpoint of its own key, if it does. Asked while nothing is being
    /// integrated: what is published is in the head as well then.
    fn contradiction(&self, checkpoint: &Checkpoint) -> Result<Option<String>, LedgerError> {
        let _turn = lock(&self.turn);
        let (seen, here) = (checkpoint.size(), self.size());
        if seen > here {
            return Ok(Some(format!("a witness saw a log of {seen} receipts, and here are {here}")));
        }
        let differs = self.root_at(seen)? != *checkpoint.root();
        Ok(differs.then(|| format!("a witness saw other receipts among the first {seen}")))
    }

    /// Refuses a ledger that does not have what a witness has seen.
    pub(super) fn require_contains(&self, witnessed: &SignedCheckpoint) -> Result<(), LogError> {
        let checkpoint = witnessed.verify_log(self.key.verifier_key()).map_err(LogError::Witnessed)?;
        let cosignatures = witnessed.cosignatures(&self.witnesses.keys).map_err(LogError::Witnessed)?;
        if cosignatures.is_empty() && !self.witnesses.keys.is_empty() {
            return Err(LogError::NotCosigned);
        }
        self.contradiction(checkpoint)?.map_or(Ok(()), |cause| Err(LogError::RolledBack { cause }))
    }

    /// Shows what was kept: in the newest checkpoint if it is of this size, and to proofs.
    fn show_cosignatures(&self, size: u64) -> Result<(), LedgerError> {
        let _turn = lock(&self.turn);
        let head = self.head();
        if head.edge.size() == size
            && let Some(checkpoint) = self.ledger.checkpoint(size)?
        {
            self.set_head(Head { edge: head.edge.clone(), checkpoint });
        }
        let cosigned = newest_cosigned(&*self.ledger, &self.witnesses)?;
        *self.cosigned.write().unwrap_or_else(PoisonError::into_inner) = cosigned;
        Ok(())
    }
}

/// The newest checkpoint that enough witnesses have cosigned; `None` if there are no witnesses.
pub(super) fn newest_cosigned(
    ledger: &dyn Ledger,
    witnesses: &Witnesses,
) -> Result<Option<Arc<SignedCheckpoint>>, LedgerError> {
    if witnesses.keys.is_empty() {
        return Ok(None);
    }
    Ok(ledger.newest_cosigned(&witnesses.keys, witnesses.quorum)?.map(Arc::new))
}

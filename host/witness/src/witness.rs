//! One look at the log, and what follows from it.
//!
//! In scope: the order of the steps: read, verify, compare, remember, cosign, show.
//! Out of scope: how often (`openexec witness`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use openexec_core::digest::Digest;
use openexec_core::log::WitnessKey;
use openexec_core::log::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use openexec_core::log::note::VerifierKey;
use openexec_core::log::prove::{self, TilesError};
use openexec_core::log::tree;

use crate::authentic::{self, AuthenticError};
use crate::remote::{Posted, RemoteError, RemoteLog};
use crate::serve::Shown;
use crate::state::{Alarm, Breach, Cosigned, State, StateError};

/// The witness of one log.
#[derive(Debug)]
pub struct Witness {
    /// Where the log is.
    pub log: RemoteLog,
    /// Whose signature makes a checkpoint the log's.
    pub log_key: VerifierKey,
    /// Signs what was found to be consistent.
    pub key: WitnessKey,
    /// What was vouched for before.
    pub state: State,
    /// What `GET /checkpoint` and `GET /health` answer.
    pub shown: Arc<Shown>,
    /// Whether cosignatures are handed to the log.
    pub posts: bool,
    /// The size of the checkpoint whose cosignature the log did not want.
    unwanted: Mutex<Option<u64>>,
    /// The alarm that could not be written down yet.
    unkept: Mutex<Option<Alarm>>,
    /// Whether the evidence was said in full.
    has_shouted: AtomicBool,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The log has grown, and the new checkpoint is cosigned.
    Cosigned(Cosigned),
    /// The log is where it was.
    Unchanged(Cosigned),
    /// The log was caught, now or before. Nothing of it is cosigned any more.
    Caught(Alarm),
}

/// Why a look found nothing out. Nothing was cosigned, and nothing is held against the log.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The log does not answer as a log does.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// What it shows is not a checkpoint signed by the log's key.
    #[error("what the log shows is not accepted: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The tiles are not the log's.
    #[error("the log's growth cannot be verified: {0}")]
    Tiles(AuthenticError<RemoteError>),
    /// The memory does not work.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Witness {
    /// The witness of one log. Reads what it vouched for before, and shows it at once.
    ///
    /// # Errors
    /// `StateError` when the state remembers something else than this witness could have written.
    pub fn new(
        log: RemoteLog,
        log_key: VerifierKey,
        key: WitnessKey,
        state: State,
        posts: bool,
    ) -> Result<Self, StateError> {
        let shown = Arc::new(Shown::default());
        if let Some(ours) = state.latest(&log_key, key.verifier_key())? {
            shown.checkpoint(&ours);
        }
        if state.alarm(log_key.name().as_str())?.is_some() {
            shown.alarm();
        }
        let (unwanted, unkept, has_shouted) = (Mutex::default(), Mutex::default(), AtomicBool::default());
        Ok(Self { log, log_key, key, state, shown, posts, unwanted, unkept, has_shouted })
    }

    /// Looks at the log once. `now_s` is the time in seconds since 1970.
    ///
    /// # Errors
    /// `LookError`: look again later.
    pub fn look(&self, now_s: u64) -> Result<Look, LookError> {
        self.keep()?;
        if let Some(alarm) = self.state.alarm(self.log_key.name().as_str())? {
            self.shout(&alarm);
            return Ok(Look::Caught(alarm));
        }
        let theirs = SignedCheckpoint::parse(&self.log.checkpoint()?)?;
        theirs.verify_log(&self.log_key)?; // from here on it can be held against the log
        let ours = self.state.latest(&self.log_key, self.key.verifier_key())?;
        let look = match self.compare(ours.as_ref(), theirs.checkpoint())? {
            Comparison::Same(ours) => {
                tracing::debug!(size = ours.checkpoint().size(), "the log is where it was");
                Look::Unchanged(ours.clone())
            }
            Comparison::Grown => Look::Cosigned(self.cosign(ours.as_ref(), &theirs, now_s)?),
            Comparison::Breach { ours, breach, found } => {
                return Ok(Look::Caught(self.raise(ours, &theirs, breach, found, now_s)?));
            }
        };
        if let Look::Cosigned(ours) | Look::Unchanged(ours) = &look {
            self.hand_over(ours, &theirs)?;
        }
        Ok(look)
    }

    /// Whether the log's tree begins with the one that was vouched for.
    fn compare<'ours>(
        &self,
        ours: Option<&'ours Cosigned>,
        theirs: &Checkpoint,
    ) -> Result<Comparison<'ours>, LookError> {
        let Some(ours) = ours else {
            // Nothing can contradict the first one. Whoever starts a witness late takes the log's past on trust.
            tracing::warn!(
                origin = theirs.origin(),
                size = theirs.size(),
                "first checkpoint of this log: taken as it is"
            );
            return Ok(Comparison::Grown);
        };
        let (old, breach) = (ours.checkpoint(), |breach, found| Comparison::Breach { ours, breach, found });
        if theirs.size() < old.size() {
            return Ok(breach(Breach::Rollback, None));
        }
        if theirs.size() == old.size() {
            let is_same = theirs.root() == old.root();
            return Ok(if is_same { Comparison::Same(ours) } else { breach(Breach::SplitView, Some(*theirs.root())) });
        }
        let proof = match prove::consistency_proof(&self.log, old.size(), theirs.size()) {
            Ok(proof) => proof,
            Err(TilesError::Tiles(error)) => return Err(error.into()),
            Err(TilesError::Width(_) | TilesError::Proof(_)) => return Err(LookError::Tiles(AuthenticError::Forged)),
        };
        if tree::verify_consistency(old.size(), old.root(), theirs.size(), theirs.root(), &proof).is_ok() {
            return Ok(Comparison::Grown);
        }
        // The log has forked, or these are not its tiles. Only the first is its fault.
        match authentic::root_at(&self.log, theirs, old.size()) {
            Ok(root) if root != *old.root() => Ok(breach(Breach::SplitView, Some(root))),
            // Equal: other tiles were answered a moment ago.
            Ok(_) | Err(AuthenticError::Forged) => Err(LookError::Tiles(AuthenticError::Forged)),
            Err(AuthenticError::Tiles(error)) => Err(error.into()),
        }
    }

    fn cosign(&self, ours: Option<&Cosigned>, theirs: &SignedCheckpoint, now_s: u64) -> Result<Cosigned, LookError> {
        let checkpoint = theirs.checkpoint();
        let log_line = theirs.signatures().iter().find(|line| line.claims(&self.log_key));
        let log_line = log_line.ok_or(CheckpointError::Unsigned)?;
        // A clock that was set back must not make a larger tree look older than a smaller one.
        let time = ours.map_or(now_s, |ours| ours.time().max(now_s));
        if time > now_s {
            tracing::warn!(now_s, stated = time, "the clock was set back: the time of the last cosignature is stated");
        }
        // Of what the log showed, only its own signature is taken over: the other lines are nobody's that is known here.
        let note = SignedCheckpoint::new(checkpoint.clone(), log_line.clone());
        let note = note.with(self.key.cosign(checkpoint, time))?;
        let cosigned = Cosigned::verify(note, &self.log_key, self.key.verifier_key())?;
        // A crash above leaves nothing: nobody has seen the cosignature.
        self.state.advance(&self.log_key, ours, &cosigned)?;
        // It is durable. A crash below loses nothing: the next start shows this very cosignature and hands it over.
        self.shown.checkpoint(&cosigned);
        tracing::info!(origin = checkpoint.origin(), size = checkpoint.size(), time, "cosigned");
        Ok(cosigned)
    }

    fn raise(
        &self,
        ours: &Cosigned,
        theirs: &SignedCheckpoint,
        breach: Breach,
        found: Option<Digest>,
        now_s: u64,
    ) -> Result<Alarm, LookError> {
        let alarm = Alarm {
            origin: self.log_key.name().to_string(),
            breach,
            raised_at: now_s,
            ours: ours.note().to_string(),
            theirs: theirs.to_string(),
            found: found.map(|root| *root.as_bytes()),
        };
        self.shown.alarm();
        self.shout(&alarm);
        *self.unkept.lock().unwrap_or_else(PoisonError::into_inner) = Some(alarm.clone());
        self.keep()?;
        Ok(alarm)
    }

    /// Writes an alarm down that is not yet. Until that is done, no look goes on to anything else.
    fn keep(&self) -> Result<(), StateError> {
        let mut unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(alarm) = unkept.as_ref() {
            self.state.raise(alarm)?;
            *unkept = None;
        }
        Ok(())
    }

    /// The two notes are the evidence, so they are said in full, once.
    fn shout(&self, alarm: &Alarm) {
        let Alarm { origin, breach, raised_at, ours, theirs, .. } = alarm;
        let breach = breach.as_str();
        match self.has_shouted.swap(true, Ordering::Relaxed) {
            false => tracing::error!(
                breach,
                origin,
                raised_at,
                ours,
                theirs,
                "ALARM: the log contradicts what it signed before; nothing of it is cosigned any more"
            ),
            true => tracing::error!(breach, origin, "this log was caught: nothing of it is cosigned any more"),
        }
    }

    /// Hands the cosignature to the log, unless it shows it or has said that it does not want it.
    fn hand_over(&self, ours: &Cosigned, theirs: &SignedCheckpoint) -> Result<(), LookError> {
        let size = Some(ours.checkpoint().size());
        let mut unwanted = self.unwanted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = theirs.verify_witness(self.key.verifier_key()).is_ok();
        if !self.posts || is_there || *unwanted == size {
            return Ok(());
        }
        match self.log.post(ours.note())? {
            Posted::Accepted => *unwanted = None,
            Posted::Refused { status } => {
                *unwanted = size;
                let key = self.key.verifier_key();
                tracing::error!(status, size, %key, "the log refuses the cosignature: is this witness configured there?");
            }
        }
        Ok(())
    }
}

/// The log's tree, compared with the one that was vouched for.
enum Comparison<'ours> {
    Same(&'ours Cosigned),
    Grown,
    Breach { ours: &'ours Cosigned, breach: Breach, found: Option<Digest> },
}

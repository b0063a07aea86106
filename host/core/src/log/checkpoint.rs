//! Checkpoints: what a log signs about its tree, and what witnesses add (C2SP tlog-checkpoint, tlog-cosignature).
//!
//! In scope: the text of a checkpoint, the messages that logs and witnesses sign, verifying their signatures.
//! Out of scope: the keys that sign (`sign`), how many witnesses are enough, remembering what was signed.
//!
//! Invariants
//! - A checkpoint has three lines: extension lines are refused, as no witness vouches for them.
//! - A log signs only under its own origin: its key is named as the origin is.
//! - A public key counts as one witness, however often it signed and however many names it has.

use std::fmt;

use crate::digest::Digest;
use crate::keys::Signature;
use crate::limits::{KEY_NAME_BYTES_MAX, LOG_SIZE_MAX};
use crate::log::note::{Algorithm, Note, NoteError, NoteSignature, VerifierKey};
use crate::log::{hash_text, parse_decimal, parse_hash, tree};

/// The latest time a cosignature may state, in seconds: what a signed 64-bit integer holds (C2SP).
pub(super) const TIME_MAX: u64 = i64::MAX as u64;

/// A tree at one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Digest,
}

/// A checkpoint with signatures. Not to be believed before they were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

/// A witness's signature that verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cosignature<'keys> {
    /// Whose it is.
    pub witness: &'keys VerifierKey,
    /// When it was made, says the witness: seconds since 1970.
    pub time: u64,
}

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Not the three lines of a checkpoint.
    #[error("not a checkpoint: three lines, which are the log's origin, the size, and the root hash in base64")]
    Text,
    /// Lines after the third.
    #[error("the checkpoint has extension lines, which nobody vouches for")]
    Extension,
    /// The tree without leaves has another root.
    #[error("the checkpoint is of a tree without leaves, which has another root hash")]
    EmptyRoot,
    /// The key is of another kind: a witness's where a log's belongs, or the other way round.
    #[error("the key is not of the kind that makes this signature")]
    Algorithm,
    /// The log's key has another name.
    #[error("the checkpoint is of another log than the key")]
    Origin,
    /// The key did not sign.
    #[error("the checkpoint has no signature by the key")]
    Unsigned,
    /// A signature that claims to be by the key does not verify.
    #[error("a signature of the checkpoint does not verify under the key it names")]
    Signature,
}

impl Checkpoint {
    /// The checkpoint of this log at this size; `None` when there can be no such tree or no such origin.
    #[must_use]
    pub fn new(origin: &str, size: u64, root: Digest) -> Option<Self> {
        let fits = (1..=KEY_NAME_BYTES_MAX).contains(&origin.len()) && !origin.chars().any(|c| c < ' ');
        let exists = size <= LOG_SIZE_MAX && (size > 0 || root == tree::empty_root());
        (fits && exists).then(|| Self { origin: origin.to_owned(), size, root })
    }

    /// Reads the text of a checkpoint.
    ///
    /// # Errors
    /// `CheckpointError` for anything that is not exactly that.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Text)?.split('\n');
        let mut line = || lines.next().ok_or(CheckpointError::Text);
        let (origin, size, root) = (line()?, line()?, line()?);
        if lines.next().is_some() {
            return Err(CheckpointError::Extension);
        }
        let size = parse_decimal(size).ok_or(CheckpointError::Text)?;
        let root = parse_hash(root).ok_or(CheckpointError::Text)?;
        if size == 0 && root != tree::empty_root() {
            return Err(CheckpointError::EmptyRoot);
        }
        Self::new(origin, size, root).ok_or(CheckpointError::Text)
    }

    /// The text, as `parse` reads it: what a log signs.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, hash_text(&self.root))
    }

    /// Which log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root hash.
    #[must_use]
    pub fn root(&self) -> &Digest {
        &self.root
    }
}

/// The line of a log's signature of a checkpoint's text.
///
/// # Errors
/// `CheckpointError::Algorithm` for a key that is not a log's.
pub fn log_signature_line(key: &VerifierKey, signature: &Signature) -> Result<NoteSignature, CheckpointError> {
    match key.algorithm() {
        Algorithm::Log => Ok(key.line(signature.as_bytes().to_vec())),
        Algorithm::Witness => Err(CheckpointError::Algorithm),
    }
}

/// What a witness signs when it saw the checkpoint at this time, in seconds since 1970.
#[must_use]
pub fn cosignature_message(time: u64, checkpoint: &Checkpoint) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{}", checkpoint.text()).into_bytes()
}

/// The line of a witness's signature of a checkpoint at this time.
///
/// # Errors
/// `CheckpointError::Algorithm` for a key that is not a witness's, or `CheckpointError::Signature` for a time that no
/// cosignature may state.
pub fn cosignature_line(key: &VerifierKey, time: u64, signature: &Signature) -> Result<NoteSignature, CheckpointError> {
    match key.algorithm() {
        Algorithm::Witness if time <= TIME_MAX => {
            Ok(key.line([time.to_be_bytes().as_slice(), signature.as_bytes()].concat()))
        }
        Algorithm::Witness => Err(CheckpointError::Signature),
        Algorithm::Log => Err(CheckpointError::Algorithm),
    }
}

impl SignedCheckpoint {
    /// A checkpoint with its first signature.
    #[must_use]
    pub fn new(checkpoint: Checkpoint, signature: NoteSignature) -> Self {
        Self { note: Note::of(checkpoint.text(), signature), checkpoint }
    }

    /// Reads a note whose text is a checkpoint.
    ///
    /// # Errors
    /// `CheckpointError` for anything that is not exactly that.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let note = Note::parse(text)?;
        Ok(Self { checkpoint: Checkpoint::parse(note.text())?, note })
    }

    /// The same checkpoint with one more signature line. A line it has already is not repeated.
    ///
    /// # Errors
    /// `CheckpointError` when it has room for none.
    pub fn with(self, signature: NoteSignature) -> Result<Self, CheckpointError> {
        Ok(Self { note: self.note.with(signature)?, checkpoint: self.checkpoint })
    }

    /// Verifies the log's signature, and answers with what it signed.
    ///
    /// # Errors
    /// `CheckpointError`, also when one of several signatures by the key does not verify.
    pub fn verify_log(&self, key: &VerifierKey) -> Result<&Checkpoint, CheckpointError> {
        match key.algorithm() {
            Algorithm::Log => {}
            Algorithm::Witness => return Err(CheckpointError::Algorithm),
        }
        if key.name().as_str() != self.checkpoint.origin {
            return Err(CheckpointError::Origin);
        }
        let text = self.checkpoint.text();
        let mut verified = Err(CheckpointError::Unsigned);
        for line in self.lines_by(key) {
            verify(key, text.as_bytes(), line.signature())?;
            verified = Ok(&self.checkpoint);
        }
        verified
    }

    /// Verifies a witness's cosignature, and answers with its time, or the latest of several.
    ///
    /// # Errors
    /// `CheckpointError`, also when one of several signatures by the key does not verify.
    pub fn verify_witness(&self, key: &VerifierKey) -> Result<u64, CheckpointError> {
        match key.algorithm() {
            Algorithm::Witness => {}
            Algorithm::Log => return Err(CheckpointError::Algorithm),
        }
        let mut latest = None;
        for line in self.lines_by(key) {
            let (time, signature) = line.signature().split_first_chunk().ok_or(CheckpointError::Signature)?;
            let time = u64::from_be_bytes(*time);
            if time > TIME_MAX {
                return Err(CheckpointError::Signature);
            }
            verify(key, &cosignature_message(time, &self.checkpoint), signature)?;
            latest = latest.max(Some(time));
        }
        latest.ok_or(CheckpointError::Unsigned)
    }

    /// The cosignatures by these witnesses, one for each public key. Witnesses that did not sign are left out.
    ///
    /// # Errors
    /// `CheckpointError` when a signature that claims to be by one of them does not verify.
    pub fn cosignatures<'keys>(
        &self,
        witnesses: &'keys [VerifierKey],
    ) -> Result<Vec<Cosignature<'keys>>, CheckpointError> {
        let mut found: Vec<Cosignature<'keys>> = Vec::new();
        for witness in witnesses {
            match self.verify_witness(witness) {
                // What a witness signs does not say its name: one key under two names is still one witness.
                Ok(_) if found.iter().any(|other| other.witness.key() == witness.key()) => {}
                Ok(time) => found.push(Cosignature { witness, time }),
                Err(CheckpointError::Unsigned) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// The checkpoint. Not to be believed before the log's signature was verified.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signature lines, in the order of the note.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        self.note.signatures()
    }

    fn lines_by<'note>(&'note self, key: &'note VerifierKey) -> impl Iterator<Item = &'note NoteSignature> {
        self.signatures().iter().filter(|line| line.claims(key))
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

fn verify(key: &VerifierKey, message: &[u8], signature: &[u8]) -> Result<(), CheckpointError> {
    let signature = signature.try_into().map_err(|_| CheckpointError::Signature)?;
    key.key().verify(message, &Signature::from_bytes(signature)).map_err(|_| CheckpointError::Signature)
}

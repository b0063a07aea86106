//! Signatures of the files that say what may run: the registry and its lock.
//!
//! In scope: the envelope of each file (DSSE over its exact bytes), the key that makes them, the keys that are believed.
//! Out of scope: reading files (`cli`), what the files say (`registry`, `lock`).
//!
//! Invariants
//! - A file is signed as what it is: the envelope of a lock is no envelope of a registry.
//! - What is verified is the buffer that is parsed. The envelope repeats its bytes, and they are only compared.
//! - A registry key signs these two kinds of file and nothing else: what this host could not read as one is not signed.

use crate::dsse::{Envelope, EnvelopeError, pre_authentication_encoding};
use crate::json::{self, ReadError};
use crate::keys::{KeyId, PublicKey};
use crate::limits::SIGNED_FILE_BYTES_MAX;
use crate::lock::{Lock, LockError};
use crate::registry::{Registry, RegistryError};
use crate::signing::SecretKey;

/// What a registry key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedFile {
    /// `registry.toml`
    Registry,
    /// `registry.lock`
    Lock,
}

impl SignedFile {
    /// The `payloadType` of its envelope.
    #[must_use]
    pub fn payload_type(self) -> &'static str {
        match self {
            Self::Registry => "application/vnd.openexec.registry+toml",
            Self::Lock => "application/vnd.openexec.registry-lock+toml",
        }
    }
}

/// The key that says what may run, and signs nothing else.
#[derive(Debug)]
pub struct RegistryKey(SecretKey);

/// The keys of which one must have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryKeys(Vec<PublicKey>);

/// Why a file is not believed, or not signed. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistrySignatureError {
    /// Larger than anything that is signed.
    #[error("larger than the {SIGNED_FILE_BYTES_MAX} bytes that a signed file may have")]
    TooLarge,
    /// To be signed as a registry.
    #[error(transparent)]
    NotARegistry(#[from] RegistryError),
    /// To be signed as a lock.
    #[error(transparent)]
    NotALock(#[from] LockError),
    /// The envelope is not strict JSON.
    #[error("its envelope is not acceptable JSON ({0}): `openexec registry sign` writes it again")]
    Json(#[from] ReadError),
    /// The envelope is none, or is of the other kind of file.
    #[error("its envelope is not acceptable ({0}): `openexec registry sign` writes it again")]
    Envelope(#[from] EnvelopeError),
    /// The envelope is of other bytes.
    #[error(
        "not the bytes that were signed: it was changed since, or the envelope is another's; look at what changed, and `openexec registry sign` it if you mean it"
    )]
    OtherBytes,
    /// Signed by somebody else.
    #[error("signed by no registry key that this host was given: sign it with one that it was, or give --registry-key")]
    UnknownKey,
    /// A signature that claims one of the keys and is not its.
    #[error("the signature by the registry key {0} does not verify: `openexec registry sign` it again")]
    BadSignature(KeyId),
}

impl RegistryKey {
    /// The key for registries. It must have no other purpose.
    #[must_use]
    pub fn new(key: SecretKey) -> Self {
        Self(key)
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        self.0.public()
    }

    /// The envelope of a file with this text.
    ///
    /// # Errors
    /// `RegistrySignatureError` for what is no such file.
    pub fn sign(&self, file: SignedFile, text: &str) -> Result<Envelope, RegistrySignatureError> {
        if text.len() > SIGNED_FILE_BYTES_MAX {
            return Err(RegistrySignatureError::TooLarge);
        }
        match file {
            SignedFile::Registry => drop(Registry::parse(text)?),
            SignedFile::Lock => drop(Lock::parse(text)?),
        }
        let signature = self.0.sign(&pre_authentication_encoding(file.payload_type(), text.as_bytes()));
        Ok(Envelope::unsigned(file.payload_type(), text.as_bytes().to_vec()).signed(self.public().id(), signature))
    }
}

impl RegistryKeys {
    /// Believes these keys, each by itself. Without a key nothing is believed.
    #[must_use]
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self(keys)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.iter()
    }

    /// Makes sure that one of the keys signed exactly these bytes, as this kind of file; answers which. Signatures that
    /// name none of the keys are ignored, and every one that does must verify.
    ///
    /// # Errors
    /// `RegistrySignatureError` says what is wrong.
    pub fn verify(&self, file: SignedFile, bytes: &[u8], envelope: &[u8]) -> Result<KeyId, RegistrySignatureError> {
        let envelope = Envelope::parse_up_to(json::read(envelope)?, SIGNED_FILE_BYTES_MAX)?;
        envelope.require_type(file.payload_type())?;
        if envelope.payload() != bytes {
            return Err(RegistrySignatureError::OtherBytes);
        }
        let message = pre_authentication_encoding(file.payload_type(), bytes);
        let mut verified = Err(RegistrySignatureError::UnknownKey);
        for signature in envelope.signatures() {
            let Some(key) = self.0.iter().find(|key| Some(key.id()) == signature.key_id) else { continue };
            key.verify(&message, &signature.signature).map_err(|_| RegistrySignatureError::BadSignature(key.id()))?;
            verified = Ok(key.id());
        }
        verified
    }
}

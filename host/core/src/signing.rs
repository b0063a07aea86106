//! Private keys: Ed25519, one purpose a key.
//!
//! In scope: PKCS#8 in PEM, as OpenSSL and Python write and read it; signing.
//! Out of scope: files, randomness (`cli`), public keys (`keys`), what is signed: `receipt` for receipts, `log` for
//! checkpoints, `registry_signature` for registries, `openexec approval` for approvals.
//!
//! Invariants
//! - A private key is never printed, and its memory is wiped when it is dropped.
//! - Host and witness hold keys only inside types that sign one kind of statement (`ReceiptKey`, `LogKey`, `WitnessKey`):
//!   no code of theirs signs bytes that a caller chose. `RegistryKey` is the operator's, and signs what is a registry or a lock.

use std::fmt;

use ed25519_dalek::SigningKey;
use ed25519_dalek::ed25519::signature::Signer as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};

use crate::keys::{KeyError, PublicKey, Signature};

/// A private key with its public half.
#[derive(Clone)]
pub struct SecretKey {
    key: SigningKey,
    public: PublicKey,
}

/// The text is no private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// Not PEM, or not of an Ed25519 key.
    #[error("not the PEM of an Ed25519 private key (PKCS#8): it starts with '-----BEGIN PRIVATE KEY-----'")]
    Pem,
    /// Its public half is not acceptable. No seed is known that makes such a key.
    #[error(transparent)]
    Public(#[from] KeyError),
}

impl SecretKey {
    /// The key that this seed makes.
    ///
    /// # Errors
    /// `SecretKeyError::Public`.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, SecretKeyError> {
        Self::of(SigningKey::from_bytes(seed))
    }

    /// Reads PKCS#8 in PEM.
    ///
    /// # Errors
    /// `SecretKeyError`, whose text never quotes the key.
    pub fn parse_pem(text: &str) -> Result<Self, SecretKeyError> {
        Self::of(SigningKey::from_pkcs8_pem(text.trim()).map_err(|_| SecretKeyError::Pem)?)
    }

    fn of(key: SigningKey) -> Result<Self, SecretKeyError> {
        let public = PublicKey::from_bytes(key.verifying_key().as_bytes())?;
        Ok(Self { key, public })
    }

    /// PKCS#8 in PEM, without the public key in it: OpenSSL 3.0 does not read the newer form that has it.
    ///
    /// # Errors
    /// `SecretKeyError::Pem`, which a key of fixed size never gives.
    pub fn to_pem(&self) -> Result<impl AsRef<str> + use<>, SecretKeyError> {
        let pair = KeypairBytes { secret_key: self.key.to_bytes(), public_key: None };
        pair.to_pkcs8_pem(LineEnding::LF).map_err(|_| SecretKeyError::Pem)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs. Whoever calls this says what is signed.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature::from_bytes(self.key.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public.id())
    }
}

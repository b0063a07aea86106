//! Public keys: Ed25519, and of those only the ones whose signatures mean one thing.
//!
//! In scope: loading a public key, its id, verifying a signature, strict base64.
//! Out of scope: whom a key belongs to (`trust`), making signatures (`cli`: the host signs no approvals).
//!
//! Invariants
//! - A `PublicKey` is canonically encoded, not of small order and torsion free: no other key verifies what it verifies,
//!   and no signature verifies for two messages.
//! - Verification is strict: non-canonical and small-order signatures are refused as well.

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePublicKey as _, EncodePublicKey as _, PublicKeyBytes};
use ed25519_dalek::{Signature as DalekSignature, Verifier as _, VerifyingKey};
use sha2::{Digest as _, Sha512};

use crate::digest::Digest;
use crate::multiples::Multiples;

/// DER of an Ed25519 SubjectPublicKeyInfo up to the 32 bytes of the key (RFC 8410).
const SPKI_PREFIX: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The canonical encodings of the points whose order divides eight.
const SMALL_ORDER: [[u8; 32]; 8] = [
    [
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80,
    ],
    [
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x85,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0xfa,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
];

/// A signature as it was sent. Nothing is known of it before it was verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

/// An acceptable public key.
#[derive(Clone)]
pub struct PublicKey {
    key: VerifyingKey,
    id: KeyId,
    /// Of the negated key, for a key that is used often: made when it is first used.
    multiples: Option<Arc<OnceLock<Multiples>>>,
}

impl PartialEq for PublicKey {
    /// How often a key is used does not make it another key.
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for PublicKey {}

/// Names a key: SHA-256 of its DER SubjectPublicKeyInfo, written as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Digest);

/// Why a public key is not accepted. Never quotes the text: it may be a private key that was mistaken for a public one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A private key.
    #[error("this is a private key: keep it with whoever signs, and give the public key (`openssl pkey -pubout`)")]
    Private,
    /// Not PEM, or not of an Ed25519 key.
    #[error("not the PEM of an Ed25519 public key: it starts with '-----BEGIN PUBLIC KEY-----'")]
    Pem,
    /// Not base64 of 32 bytes.
    #[error("not an Ed25519 public key: 32 bytes in standard base64, which is 44 characters")]
    Base64,
    /// Not a point of the curve, or not its canonical encoding.
    #[error("not an acceptable Ed25519 public key: not the canonical encoding of a point on the curve")]
    Encoding,
    /// A point for which signatures can be forged or mean several messages.
    #[error("not an acceptable Ed25519 public key: of small order, or with torsion; no honest tool makes such keys")]
    Weak,
}

/// The signature does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// The text is not base64, or not in its one canonical spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not standard base64 in its canonical spelling (padded, no white space, no stray bits)")]
pub struct Base64Spelling;

/// Reads standard base64, strictly: every byte string has one spelling.
///
/// # Errors
/// `Base64Spelling` for anything else.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, Base64Spelling> {
    STANDARD.decode(text).map_err(|_| Base64Spelling)
}

/// The base64 of `bytes`, as `decode_base64` reads it.
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Appends the base64 of `bytes`.
pub fn push_base64(bytes: &[u8], text: &mut String) {
    STANDARD.encode_string(bytes, text);
}

impl PublicKey {
    /// The key with this encoding.
    ///
    /// # Errors
    /// `KeyError::Encoding` or `KeyError::Weak`.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Encoding)?;
        let point = key.to_edwards();
        if point.compress().as_bytes() != bytes {
            return Err(KeyError::Encoding);
        }
        if point.is_small_order() || !point.is_torsion_free() {
            return Err(KeyError::Weak);
        }
        Ok(Self { key, id: KeyId(Digest::of_pieces(&[SPKI_PREFIX, bytes])), multiples: None })
    }

    /// The same key, which verifies twice as fast, from the second time on, and then takes 320 KiB. For the few keys whose
    /// signatures come all day.
    #[must_use]
    pub fn used_often(self) -> Self {
        Self { multiples: Some(Arc::default()), ..self }
    }

    /// Reads a PEM SubjectPublicKeyInfo, its lines separated by line ends or, as environment variables have it, by the
    /// two characters `\n`.
    ///
    /// # Errors
    /// `KeyError`, whose text says what to give instead.
    pub fn parse_pem(text: &str) -> Result<Self, KeyError> {
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::Private);
        }
        let text = text.replace("\\r", "").replace("\\n", "\n");
        let bytes = PublicKeyBytes::from_public_key_pem(text.trim()).map_err(|_| KeyError::Pem)?;
        Self::from_bytes(&bytes.to_bytes())
    }

    /// Reads the 32 bytes in base64.
    ///
    /// # Errors
    /// `KeyError`, whose text says what to give instead.
    pub fn parse_base64(text: &str) -> Result<Self, KeyError> {
        let bytes = decode_base64(text).map_err(|_| KeyError::Base64)?;
        Self::from_bytes(&bytes.try_into().map_err(|_| KeyError::Base64)?)
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// The 32 bytes in base64.
    #[must_use]
    pub fn to_base64(&self) -> String {
        encode_base64(self.key.as_bytes())
    }

    /// The PEM SubjectPublicKeyInfo.
    #[must_use]
    pub fn to_pem(&self) -> String {
        // A key of fixed size always encodes.
        self.key.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// Verifies a signature, strictly.
    ///
    /// What `verify_strict` adds to `verify` is that neither point is of small order. The key was looked at when it was
    /// loaded. The signature's R is compared, byte for byte, with an encoding that dalek computes, so it is canonical, and
    /// the eight points of small order have eight such encodings: looking for them saves decompressing R.
    ///
    /// # Errors
    /// `BadSignature`.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let is_small = SMALL_ORDER.iter().any(|point| signature.0.starts_with(point));
        let signature = DalekSignature::from_bytes(&signature.0);
        let is_verified = match &self.multiples {
            None => self.key.verify(message, &signature).is_ok(),
            Some(multiples) => {
                let multiples = multiples.get_or_init(|| Multiples::of(-self.key.to_edwards()));
                self.verify_with(multiples, message, &signature)
            }
        };
        if is_verified && !is_small { Ok(()) } else { Err(BadSignature) }
    }

    /// What dalek's `verify` does, with the same equation (RFC 8032, 5.1.7, without the cofactor): R = [s]B − [k]A, where s
    /// is canonical and k = SHA-512(R ‖ A ‖ message).
    fn verify_with(&self, multiples: &Multiples, message: &[u8], signature: &DalekSignature) -> bool {
        let r = signature.r_bytes();
        let Some(s) = Scalar::from_canonical_bytes(*signature.s_bytes()).into_option() else { return false };
        let k = Sha512::new().chain_update(r).chain_update(self.as_bytes()).chain_update(message).finalize();
        let k = Scalar::from_bytes_mod_order_wide(&k.into());
        multiples.sum(&k, &s).compress().as_bytes() == r
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

impl Signature {
    /// A signature's 64 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Reads 64 bytes in base64; `None` for anything else.
    #[must_use]
    pub fn parse_base64(text: &str) -> Option<Self> {
        decode_base64(text).ok()?.try_into().ok().map(Self)
    }

    /// The 64 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// The 64 bytes in base64.
    #[must_use]
    pub fn to_base64(&self) -> String {
        encode_base64(&self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature")
    }
}

impl KeyId {
    /// An id kept elsewhere as raw bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Reads an id; `None` unless the text is exactly how an id is printed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Digest::parse(text).ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

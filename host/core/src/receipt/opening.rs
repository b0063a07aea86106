//! Commitments: how a receipt is bound to plaintext that it does not show.
//!
//! In scope: the secret of one execution, the salts made of it, committing, opening.
//! Out of scope: keeping and erasing the secret (`openexec-ledger`).
//!
//! commitment = HMAC-SHA-256(salt, text), with a salt of 256 bits that nobody can guess: neither can anybody test a guess
//! of the text against a receipt. Whoever is given salt and text can check both. Once the secret is erased, nobody ever can.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::digest::{Digest, DigestSpelling};
use crate::json::Nullable;
use crate::outcome::Outcome;

/// The random value behind the salts of one execution.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Blinding([u8; 32]);

/// What is committed to, each with a salt of its own, so that one can be shown without the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The payload: its JCS text.
    Payload,
    /// The result or the handler's no: the JCS text of either.
    Result,
    /// The effects: the JCS text of their list.
    Effects,
}

impl Part {
    /// Its name in receipts and openings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payload => "payload",
            Self::Result => "result",
            Self::Effects => "effects",
        }
    }
}

/// Opens one commitment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(Digest);

/// Binds a receipt to a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment(Digest);

/// The salts of a receipt's commitments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Openings {
    /// Opens the payload.
    pub payload: Salt,
    /// Opens the result or the handler's no. `None` if there was neither.
    pub result: Option<Salt>,
    /// Opens the effects. `None` if nothing succeeded.
    pub effects: Option<Salt>,
}

impl Openings {
    /// The salts for an outcome.
    #[must_use]
    pub fn of(blinding: &Blinding, outcome: &Outcome) -> Self {
        let (has_result, has_effects) = match outcome {
            Outcome::Succeeded { .. } => (true, true),
            Outcome::Failed(_) => (true, false),
            Outcome::Faulted(_) | Outcome::Interrupted => (false, false),
        };
        Self {
            payload: blinding.salt(Part::Payload),
            result: has_result.then(|| blinding.salt(Part::Result)),
            effects: has_effects.then(|| blinding.salt(Part::Effects)),
        }
    }

    /// As JSON: a salt for each commitment, null where there is none.
    #[must_use]
    pub fn spell(&self) -> String {
        let opening = |salt: Salt| fmt::from_fn(move |f| write!(f, r#"{{"salt":"{salt}"}}"#));
        let (payload, result, effects) = (opening(self.payload), self.result.map(opening), self.effects.map(opening));
        format!(r#"{{"effects":{},"payload":{payload},"result":{}}}"#, Nullable(effects), Nullable(result))
    }
}

impl Blinding {
    /// From 32 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a ledger.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The salt for one part. Knowing one salt tells nothing about the others.
    #[must_use]
    pub fn salt(&self, part: Part) -> Salt {
        Salt(hmac(&self.0, format!("urn:openexec:salt:v2:{}", part.as_str()).as_bytes()))
    }
}

impl Salt {
    /// Commits to `text`, or recomputes a commitment to compare it.
    #[must_use]
    pub fn commit(self, text: &str) -> Commitment {
        Commitment(hmac(self.0.as_bytes(), text.as_bytes()))
    }

    /// Reads 64 lowercase hexadecimal digits.
    ///
    /// # Errors
    /// `DigestSpelling`.
    pub fn parse(text: &str) -> Result<Self, DigestSpelling> {
        Digest::parse(text).map(Self)
    }
}

impl Commitment {
    /// Reads 64 lowercase hexadecimal digits.
    ///
    /// # Errors
    /// `DigestSpelling`.
    pub fn parse(text: &str) -> Result<Self, DigestSpelling> {
        Digest::parse(text).map(Self)
    }
}

fn hmac(key: &[u8; 32], message: &[u8]) -> Digest {
    // HMAC fills a key up to one block of its hash with zeros, so this is the same key, in the size that cannot be wrong.
    let mut block = [0; 64];
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(message);
    Digest::from_bytes(mac.finalize().into_bytes().into())
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Blinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blinding")
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt")
    }
}

//! Receipts: the signed statement of what one execution did.
//!
//! In scope: `statement` (what a receipt says, and its one spelling), `opening` (commitments to what a receipt does not
//! show), `seal` (making one), `refusal` (the signed statement that nothing was done), `legacy` (0.1.10's digest).
//! Out of scope: keeping receipts (`openexec-ledger`), proving that they were logged (`log`), checking a whole bundle
//! (`evidence`).
//!
//! Invariants
//! - A receipt is sealed from a reservation, so there is at most one per tenant and nonce.
//! - Everything it says is under the signature, and has one spelling.
//! - It holds no plaintext: no payload, no result, no nonce. What it commits to can be opened with salts that are kept, and
//!   erased, apart from it.

pub mod legacy;
pub mod opening;
pub mod refusal;
mod seal;
mod statement;

use std::sync::Arc;

use crate::digest::Digest;
use crate::dsse::{self, Envelope, EnvelopeSignature};
use crate::json::Value;
use crate::keys::{KeyId, PublicKey, Signature};
use crate::signing::SecretKey;

pub use legacy::legacy;
pub use seal::{Sealer, effects_text, failure_text};
pub use statement::{Effects, EngineFacts, Receipt, StatementError};

/// The `payloadType` of every statement of the host: in-toto's.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// `_type` of an in-toto statement.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// A statement and its signature: a DSSE envelope, before it is spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The signed statement: canonical JSON.
    pub statement: Arc<str>,
    /// Whose signature it is.
    pub key_id: KeyId,
    /// The signature.
    pub signature: Signature,
}

/// The key that signs what the host did, and nothing else.
#[derive(Clone, Debug)]
pub struct ReceiptKey(SecretKey);

impl ReceiptKey {
    /// The key for receipts. It must have no other purpose.
    #[must_use]
    pub fn new(key: SecretKey) -> Self {
        Self(key)
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        self.0.public()
    }

    /// Signs a statement that this module has written.
    fn sign(&self, statement: String) -> Signed {
        let signature = self.0.sign(&dsse::pre_authentication_encoding(PAYLOAD_TYPE, statement.as_bytes()));
        Signed { statement: statement.into(), key_id: self.public().id(), signature }
    }
}

impl Signed {
    /// The identity of the receipt, and what the log has of it: SHA-256 of the bytes that are signed.
    #[must_use]
    pub fn reference(&self) -> Digest {
        dsse::reference(PAYLOAD_TYPE, self.statement.as_bytes())
    }

    /// Makes sure that this key signed the statement.
    ///
    /// # Errors
    /// `BadSignature`.
    pub fn verify(&self, key: &PublicKey) -> Result<(), crate::keys::BadSignature> {
        key.verify(&self.message(), &self.signature)
    }

    fn message(&self) -> Vec<u8> {
        dsse::pre_authentication_encoding(PAYLOAD_TYPE, self.statement.as_bytes())
    }

    /// The envelope as JSON: canonical, and the same whenever it is asked for.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        self.push_json(&mut text);
        text
    }

    /// Appends `to_json`.
    pub fn push_json(&self, text: &mut String) {
        let signature = EnvelopeSignature { key_id: Some(self.key_id), signature: self.signature };
        dsse::push_json(PAYLOAD_TYPE, self.statement.as_bytes(), &[signature], text);
    }

    /// The same envelope as a value, to stand inside a larger document.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let envelope = Envelope::unsigned(PAYLOAD_TYPE, self.statement.as_bytes().to_vec());
        envelope.signed(self.key_id, self.signature).to_value()
    }

    /// Reads an envelope that holds a statement of a host with one signature. Nothing of it is true yet.
    ///
    /// # Errors
    /// `StatementError`.
    pub fn of_envelope(envelope: &Envelope) -> Result<Self, StatementError> {
        envelope.require_type(PAYLOAD_TYPE)?;
        let [signature] = envelope.signatures() else { return Err(StatementError::Signatures) };
        let statement = std::str::from_utf8(envelope.payload()).map_err(|_| StatementError::NotCanonical)?;
        let key_id = signature.key_id.ok_or(StatementError::NoKeyId)?;
        Ok(Self { statement: statement.into(), key_id, signature: signature.signature })
    }
}

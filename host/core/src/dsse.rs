//! DSSE: an envelope around signed bytes (github.com/secure-systems-lab/dsse, protocol v1).
//!
//! In scope: reading an envelope strictly, the bytes that its signatures are of (PAE).
//! Out of scope: whose signatures count (`approval`), what the payload says (each payload type's own reader).
//!
//! Invariants
//! - Signatures are over the type and the payload together, never over the envelope's JSON: there is no second spelling
//!   to verify.
//! - An envelope is refused, not repaired: strict base64, no unknown members.

use std::fmt::Write as _;

use crate::digest::Digest;
use crate::json::{FieldError, Fields, Members, Quoted, Value};
use crate::keys::{self, KeyId, Signature};
use crate::limits::{ENVELOPE_PAYLOAD_BYTES_MAX, ENVELOPE_SIGNATURES_MAX};

/// JSON around a signature of an envelope, with the signature and its key id.
const SIGNATURE_BYTES: usize = 192;

/// JSON around the other members of an envelope.
const FRAME_BYTES: usize = 64;

/// Signed bytes with their signatures. Nothing of it is true before a signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeSignature {
    /// Which key to try. Chooses the key, and proves nothing.
    pub key_id: Option<KeyId>,
    /// The signature.
    pub signature: Signature,
}

/// Why an envelope is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not the members of an envelope.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The payload is not base64.
    #[error("the envelope's payload is {0}")]
    Payload(keys::Base64Spelling),
    /// The payload is too large.
    #[error("the envelope's payload may have at most {0} bytes")]
    TooLarge(usize),
    /// A signature is not 64 bytes of base64.
    #[error("a signature of the envelope is not 64 bytes in standard base64")]
    Signature,
    /// No signature, or too many.
    #[error("the envelope must have 1 to {ENVELOPE_SIGNATURES_MAX} signatures")]
    Signatures,
    /// Signed as something else.
    #[error("the envelope's payloadType is not {0}")]
    PayloadType(&'static str),
}

/// The bytes that are signed: `DSSEv1 SP LEN(type) SP type SP LEN(payload) SP payload`.
#[must_use]
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    [head(payload_type, payload).as_bytes(), payload].concat()
}

/// The identity of what was signed: SHA-256 of the bytes that are signed.
#[must_use]
pub fn reference(payload_type: &str, payload: &[u8]) -> Digest {
    Digest::of_pieces(&[head(payload_type, payload).as_bytes(), payload])
}

/// What goes before the payload.
fn head(payload_type: &str, payload: &[u8]) -> String {
    format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len())
}

/// Appends an envelope as canonical JSON (RFC 8785).
pub fn push_json(payload_type: &str, payload: &[u8], signatures: &[EnvelopeSignature], text: &mut String) {
    text.reserve(payload.len() * 4 / 3 + payload_type.len() + signatures.len() * SIGNATURE_BYTES + FRAME_BYTES);
    text.push_str(r#"{"payload":""#);
    keys::push_base64(payload, text);
    let _ = write!(text, r#"","payloadType":{},"signatures":["#, Quoted(payload_type)); // a string takes everything
    for (i, EnvelopeSignature { key_id, signature }) in signatures.iter().enumerate() {
        text.push_str(if i == 0 { "{" } else { ",{" });
        if let Some(key_id) = key_id {
            let _ = write!(text, r#""keyid":"{key_id}","#);
        }
        text.push_str(r#""sig":""#);
        keys::push_base64(signature.as_bytes(), text);
        text.push_str(r#""}"#);
    }
    text.push_str("]}");
}

impl Envelope {
    /// An envelope without signatures yet.
    #[must_use]
    pub fn unsigned(payload_type: &str, payload: Vec<u8>) -> Self {
        Self { payload_type: payload_type.to_owned(), payload, signatures: Vec::new() }
    }

    /// Reads an envelope of what strangers send: its payload is as small as an approval.
    ///
    /// # Errors
    /// `EnvelopeError` for anything that is not exactly an envelope.
    pub fn parse(value: Value) -> Result<Self, EnvelopeError> {
        Self::parse_up_to(value, ENVELOPE_PAYLOAD_BYTES_MAX)
    }

    /// As `parse`, with a payload of at most so many bytes.
    ///
    /// # Errors
    /// As `parse`.
    pub fn parse_up_to(value: Value, payload_bytes_max: usize) -> Result<Self, EnvelopeError> {
        let mut fields = Fields::of("the envelope", value)?;
        let payload_type = fields.text("payloadType")?;
        let payload = keys::decode_base64(&fields.text("payload")?).map_err(EnvelopeError::Payload)?;
        let signatures = fields.array("signatures")?;
        fields.end()?;
        if payload.len() > payload_bytes_max {
            return Err(EnvelopeError::TooLarge(payload_bytes_max));
        }
        if !(1..=ENVELOPE_SIGNATURES_MAX).contains(&signatures.len()) {
            return Err(EnvelopeError::Signatures);
        }
        let signatures = signatures.into_iter().map(EnvelopeSignature::parse).collect::<Result<_, _>>()?;
        Ok(Self { payload_type, payload, signatures })
    }

    /// The same envelope with one more signature.
    #[must_use]
    pub fn signed(mut self, key_id: KeyId, signature: Signature) -> Self {
        self.signatures.push(EnvelopeSignature { key_id: Some(key_id), signature });
        self
    }

    /// Makes sure that the envelope was signed as this type.
    ///
    /// # Errors
    /// `EnvelopeError::PayloadType`.
    pub fn require_type(&self, payload_type: &'static str) -> Result<(), EnvelopeError> {
        if self.payload_type == payload_type { Ok(()) } else { Err(EnvelopeError::PayloadType(payload_type)) }
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn pre_authentication_encoding(&self) -> Vec<u8> {
        pre_authentication_encoding(&self.payload_type, &self.payload)
    }

    /// The identity of what was signed: SHA-256 of the bytes that are signed.
    #[must_use]
    pub fn reference(&self) -> Digest {
        reference(&self.payload_type, &self.payload)
    }

    /// The payload. Not to be believed before a signature was verified.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signatures, in the order of the envelope.
    #[must_use]
    pub fn signatures(&self) -> &[EnvelopeSignature] {
        &self.signatures
    }

    /// The envelope as canonical JSON, as `parse` reads it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        push_json(&self.payload_type, &self.payload, &self.signatures, &mut text);
        text
    }

    /// The envelope as a value, to stand inside a larger document.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let text = |text: &str| Value::String(text.to_owned());
        let signatures = self.signatures.iter().map(|signature| {
            let mut members = vec![("sig".to_owned(), Value::String(signature.signature.to_base64()))];
            members.extend(signature.key_id.map(|id| ("keyid".to_owned(), Value::String(id.to_string()))));
            Value::Object(Members::new(members).unwrap_or_default())
        });
        let members = vec![
            ("payload".to_owned(), Value::String(keys::encode_base64(&self.payload))),
            ("payloadType".to_owned(), text(&self.payload_type)),
            ("signatures".to_owned(), Value::Array(signatures.collect())),
        ];
        Value::Object(Members::new(members).unwrap_or_default())
    }
}

impl EnvelopeSignature {
    /// DSSE makes the key id optional and free; one that is not an id of ours names no key of ours.
    fn parse(value: Value) -> Result<Self, EnvelopeError> {
        let mut fields = Fields::of("a signature of the envelope", value)?;
        let key_id = fields.optional_text("keyid")?;
        let signature = fields.text("sig")?;
        fields.end()?;
        Ok(Self {
            key_id: key_id.as_deref().and_then(KeyId::parse),
            signature: Signature::parse_base64(&signature).ok_or(EnvelopeError::Signature)?,
        })
    }
}

//! A request: action, payload and nonce as a caller sent them, and the identity that follows from them.
//!
//! In scope: parsing the body of `POST /execute`, the request record, its fingerprint, the execution id.
//! Out of scope: whether the request may run (`admission`).
//!
//! Identity (the tenant and the audience are the host's, never the caller's):
//! - request record = JCS of `{"action","audience","nonce","payload":{"sha256"},"tenant","type":"urn:openexec:request:v2"}`
//! - fingerprint = SHA-256(request record)
//! - execution id = UUIDv8 of the first 16 bytes of SHA-256("urn:openexec:exec-id:v2\0" ‖ fingerprint)

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::digest::Digest;
use crate::json::{self, FieldError, Fields, Members, Quoted, ReadError, Value};
use crate::names::{Action, Audience, NameError, Nonce, Tenant};

/// What a caller asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What to do.
    pub action: Action,
    /// With what.
    pub payload: Payload,
    /// The caller's unique value for this call.
    pub nonce: Nonce,
}

/// A JSON object with its canonical text and digest.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    value: Value,
    canonical: Arc<str>,
    digest: Digest,
}

/// Why a body is not a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not JSON by our rules.
    #[error("the body is not acceptable JSON: {0}")]
    Json(#[from] ReadError),
    /// Not the members of a request.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A name outside its grammar.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// What a caller posts to `/execute`: a request, and perhaps what shall permit it.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The request.
    pub request: Request,
    /// The approval as it was presented, an object. Nothing of it was looked at yet.
    pub approval: Option<Value>,
}

impl Submission {
    /// Reads a request body. Members that this host does not know are ignored, as the predecessor did.
    ///
    /// # Errors
    /// `RequestError`, whose text tells the caller what to change.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        let mut fields = Fields::of("the body", json::read(body)?)?;
        let action = fields.text("action")?;
        let nonce = fields.text("nonce")?;
        let approval = fields.nullable_members("approval_artifact")?.map(Value::Object);
        let payload = Payload::of(fields.nullable_members("payload")?.unwrap_or_default());
        let request = Request { action: Action::parse(&action)?, payload, nonce: Nonce::parse(&nonce)? };
        Ok(Self { request, approval })
    }
}

impl Request {
    /// The identity of this request at the host called `audience`, for `tenant`.
    #[must_use]
    pub fn identity(&self, audience: &Audience, tenant: &Tenant) -> Identity {
        Identity::of(audience, tenant, &self.action, &self.nonce, self.payload.digest)
    }
}

impl Identity {
    /// The identity of a request of which the digest of the payload is enough.
    #[must_use]
    pub fn of(audience: &Audience, tenant: &Tenant, action: &Action, nonce: &Nonce, payload: Digest) -> Self {
        // Every name is printable ASCII and is escaped as JCS does it, so the record can be written member by member, in order.
        let record = format!(
            r#"{{"action":{},"audience":{},"nonce":{},"payload":{{"sha256":"{payload}"}},"tenant":{},"type":"urn:openexec:request:v2"}}"#,
            Quoted(action.as_str()),
            Quoted(audience.as_str()),
            Quoted(nonce.as_str()),
            Quoted(tenant.as_str()),
        );
        let fingerprint = Digest::of(record.as_bytes());
        Self { exec_id: ExecId::of(&fingerprint), record, fingerprint }
    }
}

impl Payload {
    /// The payload made of these members.
    #[must_use]
    pub fn of(members: Members) -> Self {
        let value = Value::Object(members);
        let canonical: Arc<str> = json::jcs(&value).into();
        let digest = Digest::of(canonical.as_bytes());
        Self { value, canonical, digest }
    }

    /// The payload as the caller spelled its numbers (`1.0` is not `1` here): what approvals v1 digest.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// JCS text: what the handler receives, and what `digest` is of.
    #[must_use]
    pub fn canonical(&self) -> &Arc<str> {
        &self.canonical
    }

    /// SHA-256 of the canonical text.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Who a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The JCS text that the fingerprint is of.
    pub record: String,
    /// Equal for equal requests, and only for those.
    pub fingerprint: Digest,
    /// The id of the one execution this request can have.
    pub exec_id: ExecId,
}

/// The id of an execution: a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecId(Uuid);

/// The text is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an execution id is a UUID in lowercase, with hyphens")]
pub struct ExecIdSpelling;

impl ExecId {
    fn of(fingerprint: &Digest) -> Self {
        let digest = Digest::of_pieces(&[b"urn:openexec:exec-id:v2\0", fingerprint.as_bytes()]);
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
        Self(Uuid::new_v8(bytes))
    }

    /// Reads an id. Ids of the predecessor are UUIDs of version 4, so every version is accepted.
    ///
    /// # Errors
    /// `ExecIdSpelling` unless the text is exactly how the id is printed.
    pub fn parse(text: &str) -> Result<Self, ExecIdSpelling> {
        let id = Self(Uuid::try_parse(text).map_err(|_| ExecIdSpelling)?);
        if id.to_string() == text { Ok(id) } else { Err(ExecIdSpelling) }
    }

    /// An id kept elsewhere as raw bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ExecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

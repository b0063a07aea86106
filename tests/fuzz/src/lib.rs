//! What the fuzz targets share: the vectors of approvals, as seeds and as the only calls that may ever be admitted.
//!
//! In scope: reading `tests/vectors/approvals.json`, writing its calls as request bodies, a host that trusts its keys.
//! Out of scope: the properties; each target states its own.

pub mod made;

use openexec_core::admission::{Admission, Mode};
use openexec_core::approval::Approval;
use openexec_core::digest::Digest;
use openexec_core::json::{self, Members, Value};
use openexec_core::keys::PublicKey;
use openexec_core::limits::LEGACY_LIFETIME_S_DEFAULT;
use openexec_core::names::Tenant;
use openexec_core::registry::Registry;
use openexec_core::request::Submission;
use openexec_core::time::Timestamp;
use openexec_core::trust::{LegacyTrust, Trust, TrustFile};

/// The registry that the host ships.
pub const REGISTRY: &str = include_str!("../../../handlers/registry.toml");

const VECTORS: &[u8] = include_bytes!("../../vectors/approvals.json");

/// The moment of the vectors that are good.
const NOW: &str = "2026-10-06T12:01:00Z";

/// The vectors of approvals.
#[derive(Debug)]
pub struct Vectors {
    /// A trust file.
    pub trust_file: String,
    /// Calls that come with an approval, good and bad, of both formats.
    pub calls: Vec<Call>,
    legacy: LegacyTrust,
}

/// A call that comes with an approval.
#[derive(Debug)]
pub struct Call {
    /// The approval: an envelope or an artifact.
    pub approval: Value,
    /// The body of `POST /execute`.
    pub body: Vec<u8>,
    /// Whether it is to be admitted.
    pub is_good: bool,
}

/// A call that is good, as far as its approval binds it.
#[derive(Debug)]
pub struct GoodCall {
    /// What was signed.
    pub reference: Digest,
    /// What the approval is for.
    pub submission: Submission,
}

impl Vectors {
    /// Reads the vectors.
    ///
    /// # Panics
    /// If the file is not what this crate was written for.
    #[must_use]
    pub fn read() -> Self {
        let vectors = json::read(VECTORS).expect("the vectors are JSON");
        let key = text(member(member(member(&vectors, "keys"), text(member(&vectors, "v1_key"))), "pem"));
        let calls = [("v2", "envelope"), ("v1", "artifact")].into_iter().flat_map(|(format, approval)| {
            let Value::Array(calls) = member(&vectors, format) else { panic!("{format} is an array") };
            calls.iter().map(move |call| Call::read(call, approval))
        });
        Self {
            trust_file: text(member(&vectors, "trust_file")).to_owned(),
            calls: calls.collect(),
            legacy: LegacyTrust {
                key: PublicKey::parse_pem(key).expect("a key"),
                tenant: Tenant::parse(text(member(&vectors, "v1_tenant"))).expect("a tenant"),
                lifetime_s_max: LEGACY_LIFETIME_S_DEFAULT,
            },
        }
    }

    /// A host in clawshield mode that trusts all keys of the vectors.
    ///
    /// # Panics
    /// If the vectors' trust file or the shipped registry is not acceptable.
    #[must_use]
    pub fn admission(&self) -> Admission {
        let file = TrustFile::parse(&self.trust_file).expect("a trust file");
        let audience = file.audience().clone();
        let trust = Trust::of(Some(self.legacy.clone()), Some(file)).expect("some trust");
        let registry = Registry::parse(REGISTRY).expect("a registry");
        Admission { mode: Mode::Clawshield(trust.into()), audience, allow_list: None, registry }
    }

    /// The only calls that this host may ever admit at `now`.
    ///
    /// # Panics
    /// If a good call cannot be read.
    #[must_use]
    pub fn good_calls(&self) -> Vec<GoodCall> {
        let good = self.calls.iter().filter(|call| call.is_good).map(|call| GoodCall {
            reference: Approval::parse(call.approval.clone()).expect("an approval").reference(),
            submission: Submission::parse(&call.body).expect("a request"),
        });
        good.collect()
    }
}

impl Call {
    fn read(call: &Value, approval: &str) -> Self {
        let approval = member(call, approval).clone();
        let Value::Object(request) = member(call, "request") else { panic!("a request is an object") };
        let mut members: Vec<_> = request.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        members.push(("approval_artifact".to_owned(), approval.clone()));
        let body = Value::Object(Members::new(members).expect("distinct members"));
        // Not JCS: it would write 1.0 as 1, and artifacts tell them apart.
        let body = json::pyjson_compact(&body).into_bytes();
        Self { approval, body, is_good: text(member(call, "expect")).starts_with("ok") }
    }
}

/// The moment at which the good calls are good.
///
/// # Panics
/// Never: it is a constant.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::parse_utc(NOW).expect("a date")
}

fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    let Value::Object(members) = value else { panic!("not an object: {name} was to be in it") };
    members.get(name).unwrap_or_else(|| panic!("no member {name}"))
}

fn text(value: &Value) -> &str {
    let Value::String(text) = value else { panic!("not a text: {}", value.kind()) };
    text
}

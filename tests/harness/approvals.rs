//! Approvals as their issuers mint them, and the ones that another implementation minted (`vectors/approvals.json`).
//!
//! In scope: test keys, the trust of the vectors, signing bodies and artifacts, the expected answers.
//! Out of scope: what is true of them (`suite/approvals.rs`).

use std::sync::LazyLock;

use ed25519_dalek::{Signer, SigningKey};
use openexec_core::approval::{Approval, Call, Ceilings, VerifiedApproval, v1, v2};
use openexec_core::digest::Digest;
use openexec_core::dsse::Envelope;
use openexec_core::json::{self, Value};
use openexec_core::keys::{PublicKey, Signature};
use openexec_core::limits::LEGACY_LIFETIME_S_DEFAULT;
use openexec_core::names::{Audience, Principal, Tenant};
use openexec_core::refusal::Refusal;
use openexec_core::request::{Request, Submission};
use openexec_core::time::Timestamp;
use openexec_core::trust::{LegacyTrust, Trust, TrustFile};
use serde_json::{Value as Serde, json};

/// The host that the vectors are for.
pub const AUDIENCE: &str = "openexec:test-1";

/// The tenant that the vectors are for.
pub const TENANT: &str = "acme";

/// When the approvals of the vectors are issued.
pub const ISSUED: &str = "2026-10-06T12:00:00Z";

/// The moment of most vectors: a minute later.
pub const NOW: &str = "2026-10-06T12:01:00Z";

static VECTORS: LazyLock<Serde> =
    LazyLock::new(|| serde_json::from_str(include_str!("../vectors/approvals.json")).expect("JSON"));

/// An approval that another implementation minted, and what must be said to it.
#[derive(Clone, Debug)]
pub struct Vector {
    /// What is special about it.
    pub name: String,
    /// The host's clock.
    pub now: Timestamp,
    /// What is asked for.
    pub request: Request,
    /// The same as a caller spells it: `1.0` is not `1` here.
    pub spelled: Serde,
    /// The approval, as it is presented.
    pub approval: Serde,
    /// `ok`, or the code of the refusal. `a|b` is either; `ok-or:c` is `ok` or `c`.
    pub expect: String,
    /// What of the approval must be said to differ.
    pub member: Option<String>,
    /// What must be the approval's identity.
    pub reference: Option<String>,
}

impl Vector {
    fn read(vector: &Serde, approval: &str) -> Self {
        let text = |member: &str| vector[member].as_str().map(ToOwned::to_owned);
        Self {
            name: text("name").expect("a name"),
            now: at(&text("now").expect("a date")),
            request: request_of(&vector["request"]),
            spelled: vector["request"].clone(),
            approval: vector[approval].clone(),
            expect: text("expect").expect("an expectation"),
            member: text("member"),
            reference: text("approval_ref"),
        }
    }
}

/// The envelopes of the vectors.
#[must_use]
pub fn vectors_v2() -> Vec<Vector> {
    list("v2").iter().map(|vector| Vector::read(vector, "envelope")).collect()
}

/// The artifacts of the vectors.
#[must_use]
pub fn vectors_v1() -> Vec<Vector> {
    list("v1").iter().map(|vector| Vector::read(vector, "artifact")).collect()
}

fn list(member: &str) -> &'static [Serde] {
    VECTORS[member].as_array().expect("a list")
}

/// Compares an answer, `Ok` or the code of a refusal, with what the vector expects.
#[track_caller]
pub fn assert_expected(vector: &Vector, answer: Result<(), String>) {
    let Vector { name, expect, .. } = vector;
    let answer = answer.err().unwrap_or_else(|| "ok".to_owned());
    let (or_ok, codes) = match expect.strip_prefix("ok-or:") {
        Some(codes) => (true, codes),
        None => (false, expect.as_str()),
    };
    let is_expected = codes.split('|').any(|code| code == answer) || (or_ok && answer == "ok");
    assert!(is_expected, "{name}: {answer}, not {expect}");
}

/// A key of the vectors: `shield`, `alice`, `bob`, `retired` or `stranger`.
#[must_use]
#[track_caller]
pub fn key(name: &str) -> SigningKey {
    let seed = VECTORS["keys"][name]["seed"].as_str().unwrap_or_else(|| panic!("no key '{name}'"));
    SigningKey::from_bytes(Digest::parse(seed).expect("32 bytes in hexadecimal").as_bytes())
}

/// A key that stands in no vector: always the same one for a name.
#[must_use]
pub fn other_key(name: &str) -> SigningKey {
    SigningKey::from_bytes(Digest::of(name.as_bytes()).as_bytes())
}

/// The public half of a key, as a host reads it.
#[must_use]
pub fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_bytes(key.verifying_key().as_bytes()).expect("an honest key")
}

/// Trust in the vectors' trust file, and in `shield` for approvals v1 of the tenant `acme`.
#[must_use]
pub fn trust() -> Trust {
    trust_in(Some(legacy()), Some(trust_file_text()))
}

/// Trust in this key for approvals v1, in this file for approvals v2.
#[must_use]
#[track_caller]
pub fn trust_in(legacy: Option<LegacyTrust>, file: Option<&str>) -> Trust {
    let file = file.map(|text| TrustFile::parse(text).unwrap_or_else(|error| panic!("{error}")));
    Trust::of(legacy, file).expect("trust in somebody")
}

/// The vectors' trust file.
#[must_use]
pub fn trust_file_text() -> &'static str {
    VECTORS["trust_file"].as_str().expect("a text")
}

/// Trust in `shield` for approvals v1 of the tenant `acme`.
#[must_use]
pub fn legacy() -> LegacyTrust {
    let tenant = Tenant::parse_governed(TENANT).expect("a tenant");
    LegacyTrust { key: public(&key("shield")), tenant, lifetime_s_max: LEGACY_LIFETIME_S_DEFAULT }
}

/// A `[[key]]` table of a trust file: an approver of `acme` for every action, unless `more` says otherwise.
#[must_use]
pub fn key_table(name: &str, key: &SigningKey, more: &[(&str, &str)]) -> String {
    let public = format!("\"{}\"", public(key).to_base64());
    let (name, principal) = (format!("\"{name}\""), format!("\"{name}@acme.example\""));
    let usual = [
        ("name", name.as_str()),
        ("public", public.as_str()),
        ("principal", principal.as_str()),
        ("roles", r#"["approver"]"#),
        ("tenants", r#"["acme"]"#),
        ("actions", r#"["*"]"#),
    ];
    let unusual = |member: &str| more.iter().any(|(other, _)| *other == member);
    let lines = usual.into_iter().filter(|(member, _)| !unusual(member)).chain(more.iter().copied());
    "[[key]]\n".to_owned() + &lines.map(|(member, value)| format!("{member} = {value}\n")).collect::<String>()
}

/// The moment with this date.
#[must_use]
#[track_caller]
pub fn at(utc: &str) -> Timestamp {
    Timestamp::parse_utc(utc).expect("a date")
}

/// The request `{"action", "payload", "nonce"}`.
#[must_use]
#[track_caller]
pub fn request(action: &str, payload: &Serde, nonce: &str) -> Request {
    request_of(&json!({"action": action, "payload": payload, "nonce": nonce}))
}

fn request_of(body: &Serde) -> Request {
    Submission::parse(body.to_string().as_bytes()).expect("a request").request
}

/// The body of `POST /execute` for this request with this approval.
#[must_use]
pub fn submission(request: &Request, approval: &Serde) -> Serde {
    let payload: Serde = serde_json::from_str(request.payload.canonical()).expect("JSON");
    json!({
        "action": request.action.as_str(), "payload": payload, "nonce": request.nonce.as_str(),
        "approval_artifact": approval,
    })
}

/// JSON as a host reads it.
#[must_use]
#[track_caller]
pub fn value(json: &Serde) -> Value {
    json::read(json.to_string().as_bytes()).expect("acceptable JSON")
}

/// What an approval v2 of this request says: issued now, good for five minutes.
#[must_use]
pub fn body(request: &Request, now: Timestamp) -> v2::Body {
    v2::Body {
        approval_id: "537b7015-a240-571b-9bf2-e460330749e7".to_owned(),
        issuer: Principal::parse("clawshield.example/prod").expect("a name"),
        requester: Principal::parse("agent:planner-7").expect("a name"),
        audience: Audience::parse(AUDIENCE).expect("a name"),
        tenant: Tenant::parse_governed(TENANT).expect("a tenant"),
        action: request.action.clone(),
        nonce: request.nonce.clone(),
        payload: request.payload.digest(),
        issued_at: now,
        not_before: now,
        expires_at: now.plus_ms(300_000),
        component: None,
        ceilings: Ceilings::default(),
        quorum: None,
        policy_bundle: None,
        preview: None,
        decision: None,
    }
}

/// The envelope around this body, signed by these keys.
#[must_use]
pub fn sign_v2(body: &[u8], keys: &[&SigningKey]) -> Serde {
    sign_as(v2::PAYLOAD_TYPE, body, keys)
}

/// The envelope around this payload of this type, signed by these keys.
#[must_use]
pub fn sign_as(payload_type: &str, payload: &[u8], keys: &[&SigningKey]) -> Serde {
    let unsigned = Envelope::unsigned(payload_type, payload.to_vec());
    let message = unsigned.pre_authentication_encoding();
    let signed = keys.iter().fold(unsigned, |envelope, key| {
        envelope.signed(public(key).id(), Signature::from_bytes(key.sign(&message).to_bytes()))
    });
    serde_json::from_str(&json::jcs(&signed.to_value())).expect("JSON")
}

/// An approval v1 of this request by this key, with these dates.
#[must_use]
pub fn artifact(request: &Request, tenant: &str, issued_at: &str, expires_at: &str, key: &SigningKey) -> Serde {
    let action_hash = v1::action_hash(request).to_string();
    sign_v1(["3f2b8c1e-9d5a-4a43-8a5e-0c7f6f2f9b11", tenant, &action_hash, issued_at, expires_at], key)
}

/// An approval v1 with these members: id, tenant, digest and both dates.
#[must_use]
pub fn sign_v1(members: [&str; 5], key: &SigningKey) -> Serde {
    let signature = Signature::from_bytes(key.sign(members.concat().as_bytes()).to_bytes());
    unsigned_v1(members, &signature.to_base64())
}

/// An artifact with these members and this signature, whatever it is of.
#[must_use]
pub fn unsigned_v1(members: [&str; 5], signature: &str) -> Serde {
    let [approval_id, tenant_id, action_hash, issued_at, expires_at] = members;
    json!({
        "approval_id": approval_id, "tenant_id": tenant_id, "action_hash": action_hash, "issued_at": issued_at,
        "expires_at": expires_at, "signature": signature,
    })
}

/// Reads and verifies an approval as the host of the vectors does for a replay: whatever the time.
///
/// # Errors
/// The refusal.
pub fn verify(trust: &Trust, request: &Request, approval: &Serde, now: Timestamp) -> Result<VerifiedApproval, Refusal> {
    verify_value(trust, request, value(approval), now)
}

/// As `verify`, of an approval that was read already.
///
/// # Errors
/// The refusal.
pub fn verify_value(
    trust: &Trust,
    request: &Request,
    approval: Value,
    now: Timestamp,
) -> Result<VerifiedApproval, Refusal> {
    let audience = Audience::parse(AUDIENCE).expect("a name");
    let call = Call { request, audience: &audience, tenant: None, component: Some(component()) };
    Approval::parse(approval)?.verify(trust, call, now).map_err(|not| not.refusal)
}

/// As `verify`, for a new execution.
///
/// # Errors
/// The refusal.
pub fn admit(trust: &Trust, request: &Request, approval: &Serde, now: Timestamp) -> Result<VerifiedApproval, Refusal> {
    let approval = verify(trust, request, approval, now)?;
    approval.require_timely(now)?;
    Ok(approval)
}

/// The component that the host of the vectors would run.
#[must_use]
pub fn component() -> Digest {
    Digest::of(b"component")
}

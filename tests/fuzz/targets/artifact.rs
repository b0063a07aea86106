//! Fuzzes approvals v1: ClawShield's artifact.
//!
//! Property: what parses, spells and parses back with the same signed message; and that message, which has nothing between
//! its parts, can be cut into an artifact in one way only.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openexec_core::approval::v1::Artifact;
use openexec_core::digest::Digest;
use openexec_core::json::{self, Members, Value};
use openexec_core::keys::Signature;

const UUID_CHARS: usize = 36;
const HASH_CHARS: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let Some(artifact) = json::read(bytes).ok().and_then(|value| Artifact::parse(value).ok()) else { return };
    let again = Artifact::parse(artifact.to_value()).expect("what was spelled can be read");
    assert_eq!(again.to_value(), artifact.to_value());
    assert_eq!(again.message(), artifact.message());
    let readings = readings(&artifact.message());
    assert_eq!(readings.len(), 1, "{readings:?}");
});

/// Every artifact that this would be the message of.
fn readings(message: &str) -> Vec<Artifact> {
    let Some((id, rest)) = message.split_at_checked(UUID_CHARS) else { return Vec::new() };
    let tenants = (1..rest.len()).filter_map(|end| rest.split_at_checked(end));
    let hashes = tenants.filter_map(|(tenant, rest)| Some((tenant, rest.split_at_checked(HASH_CHARS)?)));
    let hashes = hashes.filter(|(_, (hash, _))| Digest::parse(hash).is_ok());
    let cuts = hashes.flat_map(|(tenant, (hash, dates))| {
        let dates = (1..dates.len()).filter_map(|end| dates.split_at_checked(end));
        dates.map(move |(issued_at, expires_at)| artifact([id, tenant, hash, issued_at, expires_at]))
    });
    cuts.filter_map(|value| Artifact::parse(value).ok()).collect()
}

fn artifact(texts: [&str; 5]) -> Value {
    let signature = Signature::from_bytes([0; 64]).to_base64();
    let names = ["approval_id", "tenant_id", "action_hash", "issued_at", "expires_at"];
    let members = names.into_iter().zip(texts).chain([("signature", signature.as_str())]);
    let members = members.map(|(name, text)| (name.to_owned(), Value::String(text.to_owned())));
    Value::Object(Members::new(members.collect()).expect("distinct members"))
}

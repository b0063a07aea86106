//! Writes what each fuzz target starts from: the vectors of approvals, the shipped registry, evidence and a proof.
//!
//! In scope: `tests/fuzz/corpus/TARGET/`, one file a seed. Out of scope: what fuzzing adds to it.

use std::fs;
use std::io;
use std::path::Path;

use openexec_core::json::{self, Value};
use openexec_core::keys;
use openexec_fuzz::made::{evidence, proof};
use openexec_fuzz::{REGISTRY, Vectors};

fn main() -> io::Result<()> {
    let vectors = Vectors::read();
    let (mut requests, mut envelopes, mut artifacts) = (Vec::new(), Vec::new(), Vec::new());
    for call in &vectors.calls {
        requests.push(call.body.clone());
        let approval = json::jcs(&call.approval).into_bytes();
        match payload(&call.approval) {
            None => artifacts.push(approval),
            Some(payload) => {
                envelopes.push(approval);
                envelopes.extend(keys::decode_base64(payload)); // the body alone; some vectors have none
            }
        }
    }
    write("request", &requests)?;
    write("admit", &requests)?;
    write("envelope", &envelopes)?;
    write("artifact", &artifacts)?;
    write("trust", &[vectors.trust_file.into_bytes()])?;
    write("registry", &[REGISTRY.as_bytes().to_vec()])?;
    let (mut bundles, mut statements) = (Vec::new(), Vec::new());
    for evidence in evidence() {
        bundles.push(evidence.spell().into_bytes());
        statements.push(evidence.signed().statement.as_bytes().to_vec());
    }
    write("evidence", &bundles)?;
    write("statement", &statements)?;
    write("note", &[proof().to_string().into_bytes(), proof().checkpoint.to_string().into_bytes()])
}

/// The payload of an envelope, in base64.
fn payload(approval: &Value) -> Option<&str> {
    let Value::Object(members) = approval else { return None };
    match members.get("payload") {
        Some(Value::String(payload)) => Some(payload),
        _ => None,
    }
}

fn write(target: &str, seeds: &[Vec<u8>]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    seeds.iter().enumerate().try_for_each(|(number, seed)| fs::write(folder.join(format!("seed-{number:02}")), seed))
}

//! Fuzzes evidence, and putting it together: the bundle, and an answer with a receipt in it.
//!
//! Property: what parses has a spelling that reads back to the same bundle; no verdict of it panics; and nothing is
//! verified by nobody's keys.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openexec_core::evidence::{Evidence, Keys, Overall, assemble};

const REQUEST: &[u8] = br#"{"action":"echo","nonce":"n","payload":{"x":1.0}}"#;

fuzz_target!(|bytes: &[u8]| {
    check(Evidence::parse(bytes).ok());
    check(assemble(REQUEST, bytes, &[], None).ok());
});

fn check(evidence: Option<Evidence>) {
    let Some(evidence) = evidence else { return };
    assert_eq!(Evidence::parse(evidence.spell().as_bytes()).as_ref(), Ok(&evidence));
    let report = evidence.verify(&Keys::default(), None);
    assert!(report.overall != Overall::Verified && report.receipt.is_none());
    assert!(!report.to_json().is_empty());
}

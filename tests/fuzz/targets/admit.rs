//! Fuzzes admission in clawshield mode, with keys whose every signature is known.
//!
//! Property: whatever is posted, nothing is admitted but the good calls of the vectors, however they are spelled.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use openexec_core::admission::Admission;
use openexec_core::approval::Format;
use openexec_core::control::Controls;
use openexec_core::request::Submission;
use openexec_core::reservation::Reserved;
use openexec_fuzz::{GoodCall, Vectors, now};

static HOST: LazyLock<(Admission, Vec<GoodCall>)> = LazyLock::new(|| {
    let vectors = Vectors::read();
    let (admission, good) = (vectors.admission(), vectors.good_calls());
    let admits = |call: &GoodCall| admission.admit(call.submission.clone(), &Controls::default(), now()).is_ok();
    assert!(good.iter().any(admits), "a host that admits nothing would prove nothing");
    (admission, good)
});

fuzz_target!(|body: &[u8]| {
    let Ok(submission) = Submission::parse(body) else { return };
    let (admission, good) = &*HOST;
    let Ok(admitted) = admission.admit(submission, &Controls::default(), now()) else { return };
    if admitted.require_timely(now()).is_err() {
        return; // authentic, but nothing new may begin
    }
    let facts = admitted.reserve_at(now());
    assert!(good.iter().any(|good| is_the_same(&facts, good)), "admitted: {facts:?}");
});

/// Whether what was admitted is this good call.
fn is_the_same(facts: &Reserved, good: &GoodCall) -> bool {
    let (approval, request) =
        (facts.approval.as_ref().expect("no admission without an approval"), &good.submission.request);
    let is_same_nonce = match approval.facts.format {
        Format::V1 => true, // an artifact names no nonce; the ledger binds it to the first one
        Format::V2 => facts.nonce == request.nonce,
    };
    approval.facts.reference == good.reference
        && facts.tenant.as_str() == "acme"
        && facts.action == request.action
        && facts.payload == *request.payload.canonical()
        && is_same_nonce
}

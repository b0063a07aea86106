//! Fuzzes approvals v2: the envelope, the body inside, and a body on its own.
//!
//! Property: what parses, spells and parses back to the same value; and a body has one spelling.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openexec_core::approval::v2::Body;
use openexec_core::dsse::Envelope;
use openexec_core::json;

fuzz_target!(|bytes: &[u8]| {
    check_body(bytes);
    let Some(envelope) = json::read(bytes).ok().and_then(|value| Envelope::parse(value).ok()) else { return };
    assert_eq!(Envelope::parse(envelope.to_value()).as_ref(), Ok(&envelope));
    let text = json::jcs(&envelope.to_value());
    let again = Envelope::parse(json::read(text.as_bytes()).expect("what was spelled can be read"));
    assert_eq!(again.as_ref().map(Envelope::reference), Ok(envelope.reference()));
    check_body(envelope.payload());
});

fn check_body(bytes: &[u8]) {
    let Ok(body) = Body::parse(bytes) else { return };
    let spelled = body.spell();
    assert_eq!(String::from_utf8_lossy(&spelled), String::from_utf8_lossy(bytes));
    assert_eq!(Body::parse(&spelled), Ok(body));
}

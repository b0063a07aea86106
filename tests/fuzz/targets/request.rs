//! Fuzzes the body of `POST /execute`.
//!
//! Property: what parses is bound to one payload text, and that text parses to the same payload again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openexec_core::json::{self, Value};
use openexec_core::names::{Audience, Tenant};
use openexec_core::request::{Payload, Submission};

fuzz_target!(|body: &[u8]| {
    let Ok(Submission { request, approval: _ }) = Submission::parse(body) else { return };
    // `read_rendered`: JCS spells 1e16 as an integer that `read` takes from nobody.
    let again = json::read_rendered(request.payload.canonical().as_bytes()).expect("canonical text can be read");
    let Value::Object(members) = again else { panic!("a payload is an object") };
    let again = Payload::of(members);
    assert_eq!(again.canonical(), request.payload.canonical());
    assert_eq!(again.digest(), request.payload.digest());
    let audience = Audience::parse("openexec").expect("a name");
    let record = request.identity(&audience, &Tenant::demo()).record;
    let value = json::read(record.as_bytes()).expect("a request record is JSON");
    assert_eq!(json::jcs(&value), record);
});

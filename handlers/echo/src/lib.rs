//! The `echo` handler: gives back what it got, as `{"echo": <payload>}`.
//!
//! In scope: wrapping the payload.
//! Out of scope: reading it. The payload already is canonical JSON text, so it is copied as it stands: whatever the
//! caller's numbers and strings look like, none of them can be changed on the way.

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "handler" });
}

use arena as _; // the allocator
use bindings::exports::openexec::handler::guest::{Description, Failure, Guest, Outcome, Request};

struct Echo;

// A native linker refuses the names that this exports, and the tests do not need them.
#[cfg(target_arch = "wasm32")]
bindings::export!(Echo with_types_in bindings);

impl Guest for Echo {
    fn handle(request: Request) -> Result<Outcome, Failure> {
        Ok(Outcome { output: echo(&request.payload), effects: Vec::new() })
    }

    fn describe() -> Description {
        Description {
            title: "Echo".into(),
            summary: "Returns the payload unchanged. Has no effects. Useful to try out an installation, an approval \
                      or a client."
                .into(),
            payload_schema: include_str!("payload.schema.json").into(),
            output_schema: include_str!("output.schema.json").into(),
        }
    }
}

/// `payload` is one JSON value, so the result is one JSON object.
fn echo(payload: &str) -> String {
    ["{\"echo\":", payload, "}"].concat()
}

#[cfg(test)]
mod tests {
    use super::echo;

    #[test]
    fn the_payload_comes_back_byte_for_byte() {
        assert_eq!(echo("{}"), r#"{"echo":{}}"#);
        assert_eq!(echo(r#"{"a":1e+30,"é":"\u0001"}"#), r#"{"echo":{"a":1e+30,"é":"\u0001"}}"#);
    }
}

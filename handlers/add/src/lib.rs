//! The `add` handler: `{"a": …, "b": …}` to `{"sum": a + b}`.
//!
//! In scope: the contract's entry points. The arithmetic is in `sum`.
//! Out of scope: members other than `a` and `b`; they are ignored.

mod sum;

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "handler" });
}

use arena as _; // the allocator
use bindings::exports::openexec::handler::guest::{Description, Failure, Guest, Outcome, Request};
use sum::Refusal;

struct Add;

// A native linker refuses the names that this exports, and the tests do not need them.
#[cfg(target_arch = "wasm32")]
bindings::export!(Add with_types_in bindings);

impl Guest for Add {
    fn handle(request: Request) -> Result<Outcome, Failure> {
        let sum = sum::add(&request.payload)?;
        Ok(Outcome { output: format!("{{\"sum\":{sum}}}"), effects: Vec::new() })
    }

    fn describe() -> Description {
        Description {
            title: "Addition".into(),
            summary: "Adds two numbers, a and b. A missing one counts as 0. Integers stay integers as long as the \
                      sum is exact (up to 9007199254740991); beyond that, and with fractions, the sum is a double. \
                      Has no effects."
                .into(),
            payload_schema: include_str!("payload.schema.json").into(),
            output_schema: include_str!("output.schema.json").into(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotAnObject | Refusal::PayloadTooLarge | Refusal::NotANumber(_) => {
                Self::InvalidPayload(refusal.to_string())
            }
            Refusal::Overflow => Self::Rejected(refusal.to_string()),
        }
    }
}

//! The sample `order.confirm` in Rust: checks an order, adds it up, and asks for one effect.
//!
//! In scope: the contract's two functions. What an order is, and the rules it keeps, are in `order`.
//! Out of scope: stock, customers, sending anything. Whoever carries the effect out does that.

mod order;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "handler" });
}

use bindings::exports::openexec::handler::guest::{Description, Effect, Failure, Guest, Outcome, Request};
use order::{Order, Refusal};
use serde_json::json;

struct OrderConfirm;

#[cfg(target_arch = "wasm32")] // a native linker refuses the names that this exports
bindings::export!(OrderConfirm with_types_in bindings);

impl Guest for OrderConfirm {
    fn handle(request: Request) -> Result<Outcome, Failure> {
        let order = Order::parse(&request.payload)?;
        let sum = order.add_up()?;
        let confirmation = json!({
            "confirmation": request.exec_id, // instead of a random id: the same call has the same one on every run
            "confirmed_at": request.issued_at, // instead of a clock
            "currency": order.currency,
            "items": sum.items,
            "order": order.order,
            "total_minor": sum.total_minor,
        })
        .to_string();
        let effect = Effect { kind: "order.confirm".into(), body: confirmation.clone() };
        Ok(Outcome { output: confirmation, effects: vec![effect] })
    }

    fn describe() -> Description {
        Description {
            title: "Order confirmation".into(),
            summary: "Adds an order up and confirms it, if it keeps the limits. Its one effect is an order.confirm."
                .into(),
            payload_schema: include_str!("../payload.schema.json").into(),
            output_schema: include_str!("../output.schema.json").into(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed => {
                Self::InvalidPayload("payload-malformed: expected an order as the payload schema says".into())
            }
            Refusal::Rule(text) => Self::Rejected(text.into()),
        }
    }
}

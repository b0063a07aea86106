//! The `payments.transfer` handler: turns an approved transfer into one payment instruction.
//!
//! In scope: the contract's entry points. What a transfer is, and the rules it keeps, are in `transfer`; why one is
//! refused is in `refusal`.
//! Out of scope: balances, sanctions, cut-off times, moving money. The instruction is an effect, and whoever carries
//! effects out does those.

mod account;
mod currency;
mod refusal;
mod transfer;

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "handler" });
}

use arena as _; // the allocator
use bindings::exports::openexec::handler::guest::{Description, Effect, Failure, Guest, Outcome, Request};
use refusal::{Kind, Refusal};
use transfer::Transfer;

struct PaymentsTransfer;

// A native linker refuses the names that this exports, and the tests do not need them.
#[cfg(target_arch = "wasm32")]
bindings::export!(PaymentsTransfer with_types_in bindings);

impl Guest for PaymentsTransfer {
    fn handle(request: Request) -> Result<Outcome, Failure> {
        let transfer = Transfer::parse(&request.payload)?;
        let instruction = Effect {
            kind: "payment.instruction".into(),
            body: transfer.instruction(&request.exec_id, &request.tenant, request.issued_at),
        };
        Ok(Outcome { output: transfer.record(&request.exec_id, request.issued_at), effects: vec![instruction] })
    }

    fn describe() -> Description {
        Description {
            title: "Payment transfer".into(),
            summary: "Instructs a transfer of an amount of money from one account to another. Refuses what a bank \
                      would refuse: amounts out of range, unknown currencies, malformed or mistyped accounts. Its \
                      one effect is a payment.instruction, which carries an idempotency key, so that carrying it \
                      out twice pays once."
                .into(),
            payload_schema: include_str!("payload.schema.json").into(),
            output_schema: include_str!("output.schema.json").into(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal.kind() {
            Kind::Shape => Self::InvalidPayload(refusal.to_string()),
            Kind::Rule => Self::Rejected(refusal.to_string()),
        }
    }
}

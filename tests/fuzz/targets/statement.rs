//! Fuzzes what hosts sign: the statement of an execution, that of a refusal, and the facts about an approval in both.
//!
//! Property: each has one spelling.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openexec_core::approval::ApprovalFacts;
use openexec_core::receipt::Receipt;
use openexec_core::receipt::refusal::RefusalReceipt;

fuzz_target!(|text: &str| {
    if let Ok(receipt) = Receipt::parse(text) {
        assert_eq!(receipt.spell(), text);
    }
    if let Ok(refusal) = RefusalReceipt::parse(text) {
        assert_eq!(refusal.spell(), text);
    }
    if let Ok(facts) = ApprovalFacts::parse(text) {
        assert_eq!(facts.spell(), text);
    }
});

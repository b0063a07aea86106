//! Comparing an execution with one more run of it: the evidence that survives a stolen receipt key.
//!
//! In scope: what must be the same, and what cannot be compared.
//! Out of scope: running (`openexec-sandbox`), which component to run.
//!
//! The run is compared with what the receipt commits to, so whoever changed a result and signed a new receipt for it is
//! found out by the code that was pinned.

use crate::digest::Digest;
use crate::json;
use crate::outcome::{Fault, Outcome, Run, Status};
use crate::receipt::opening::{Commitment, Openings, Salt};
use crate::receipt::{Receipt, effects_text, failure_text};

/// What one more run says about an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// The same, in these respects.
    Same(String),
    /// Something else came of it.
    Differs(String),
    /// It says nothing.
    NotComparable(String),
}

/// Compares what a receipt says with one more run, by an engine with this digest. `openings` are the receipt's; without
/// them, only an execution that had no answer can be compared.
#[must_use]
pub fn compare(receipt: &Receipt, openings: Option<&Openings>, again: &Run, engine: Digest) -> Repetition {
    let is_other_engine = receipt.engine.digest != engine;
    match receipt.outcome {
        Status::Interrupted => return no("the execution was interrupted, and never came to an end"),
        Status::Succeeded | Status::Failed | Status::Faulted => {}
    }
    if again.outcome == Outcome::Interrupted {
        return no("the run could not be made again here");
    }
    if [receipt.fault, again.outcome.fault()].contains(&Some(Fault::Deadline)) {
        return no("a deadline passed, and how long a run takes depends on the machine");
    }
    let engine_decides =
        [receipt.fault, again.outcome.fault()].iter().flatten().any(|fault| depends_on_the_engine(*fault));
    if is_other_engine && engine_decides {
        return no("the receipt was made by another engine than this one, and this fault depends on the engine");
    }
    if (receipt.outcome, receipt.fault) != (again.outcome.status(), again.outcome.fault()) {
        let (was, is) = (words(receipt.outcome, receipt.fault), words(again.outcome.status(), again.outcome.fault()));
        return Repetition::Differs(format!("the receipt says {was}, and the component {is}"));
    }
    match compare_answers(receipt, openings, &again.outcome) {
        Ok(()) => {}
        Err(other) => return other,
    }
    let (was, is) = (receipt.resources.fuel, again.resources.fuel);
    match is_other_engine {
        true => Repetition::Same(
            "the same outcome and the same answer; fuel was not compared, as this is another engine than the receipt's"
                .to_owned(),
        ),
        false if was == is => Repetition::Same(format!("the same outcome, the same answer, and the same fuel ({is})")),
        false => Repetition::Differs(format!("the receipt says {was} fuel, and the component used {is}")),
    }
}

fn compare_answers(receipt: &Receipt, openings: Option<&Openings>, again: &Outcome) -> Result<(), Repetition> {
    let (answer, effects) = match again {
        Outcome::Succeeded { result, effects } => (json::jcs(&result.value()), Some(effects)),
        Outcome::Failed(failure) => (failure_text(failure), None),
        Outcome::Faulted(_) | Outcome::Interrupted => return Ok(()),
    };
    let Some(openings) = openings else {
        return Err(no("the salts that open the receipt are not shown, so no answer can be compared with it"));
    };
    let is_same =
        |salt: Option<Salt>, text: &str, committed: Option<Commitment>| match salt.map(|salt| salt.commit(text)) {
            Some(recomputed) => committed == Some(recomputed),
            None => false,
        };
    if !is_same(openings.result, &answer, receipt.result) {
        return Err(Repetition::Differs("the component answers something else than the receipt says".to_owned()));
    }
    let Some(effects) = effects else { return Ok(()) };
    let committed = receipt.effects.map(|effects| effects.commitment);
    let is_count = receipt.effects.is_some_and(|committed| committed.count == effects.len() as u64);
    match is_count && is_same(openings.effects, &effects_text(effects), committed) {
        true => Ok(()),
        false => Err(Repetition::Differs("the component asks for other effects than the receipt says".to_owned())),
    }
}

/// How much fuel an operator costs, and how deep the stack is, is the engine's.
fn depends_on_the_engine(fault: Fault) -> bool {
    match fault {
        Fault::OutOfFuel | Fault::StackOverflow | Fault::Deadline => true,
        Fault::OutOfMemory | Fault::Trap | Fault::OutputTooLarge | Fault::OutputInvalid => false,
    }
}

fn words(status: Status, fault: Option<Fault>) -> String {
    match fault {
        None => status.as_str().to_owned(),
        Some(fault) => format!("{} ({fault})", status.as_str()),
    }
}

fn no(why: &str) -> Repetition {
    Repetition::NotComparable(why.to_owned())
}

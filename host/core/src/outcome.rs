//! What came of a run.
//!
//! In scope: the closed sets of outcomes, faults and failures, and the rules by which a handler's answer is accepted.
//! Out of scope: running (`openexec-sandbox`), keeping (`openexec-ledger`), the status each one gets (`openexec-server`).

use std::fmt;
use std::sync::Arc;

use crate::json::{self, Value};
use crate::limits::{EFFECT_BODY_BYTES_MAX, EFFECT_KIND_BYTES_MAX, EFFECTS_MAX, FAILURE_TEXT_BYTES_MAX};

/// One finished run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What came of it.
    pub outcome: Outcome,
    /// What it used.
    pub resources: Resources,
}

/// How a reservation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The handler did what was asked.
    Succeeded {
        /// What it answered.
        result: JsonText,
        /// What it asks the outside world to do, in order.
        effects: Vec<Effect>,
    },
    /// The handler said no.
    Failed(Failure),
    /// The sandbox stopped the handler, or could not accept its answer.
    Faulted(Fault),
    /// The host died before the run was sealed, and the pinned component is no longer there to repeat it.
    Interrupted,
}

/// The stable word for an outcome, in answers, logs and the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// See `Outcome::Succeeded`.
    Succeeded,
    /// See `Outcome::Failed`.
    Failed,
    /// See `Outcome::Faulted`.
    Faulted,
    /// See `Outcome::Interrupted`.
    Interrupted,
}

impl Status {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Faulted => "faulted",
            Self::Interrupted => "interrupted",
        }
    }

    /// The status written as `word`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Succeeded, Self::Failed, Self::Faulted, Self::Interrupted].into_iter().find(|s| s.as_str() == word)
    }
}

/// What a run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Wasm operators executed, as wasmtime counts them. The same for the same request, component and engine version.
    pub fuel: u64,
    /// Largest sum of the component's linear memories, in bytes.
    pub memory_bytes: u64,
}

/// JSON text that the host wrote itself: compact, CPython's number spelling, ASCII. Unlike JCS it reads back strictly
/// to the very same value (1e16 stays a double), which legacy receipts depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// The text of `value`.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        Self(json::pyjson_compact(value).into())
    }

    /// Text that a ledger kept.
    #[must_use]
    pub fn kept(text: String) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value. Text that the host wrote always reads back; were it edited in the ledger, no digest of it would match.
    #[must_use]
    pub fn value(&self) -> Value {
        json::read(self.0.as_bytes()).unwrap_or(Value::Null)
    }
}

/// What a handler asks the outside world to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What kind of work.
    pub kind: String,
    /// The instruction.
    pub body: JsonText,
}

/// A handler's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which no.
    pub kind: FailureKind,
    /// Why, in the handler's words; at most `FAILURE_TEXT_BYTES_MAX` bytes.
    pub text: String,
}

impl Failure {
    /// A no whose text is cut to the limit, at a character.
    #[must_use]
    pub fn new(kind: FailureKind, mut text: String) -> Self {
        text.truncate(text.floor_char_boundary(FAILURE_TEXT_BYTES_MAX));
        Self { kind, text }
    }
}

/// Which no a handler said. The words are those of the WIT variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The payload is not what the action takes.
    InvalidPayload,
    /// The payload is well formed and refused.
    Rejected,
    /// The handler could not go on.
    Internal,
}

impl FailureKind {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidPayload => "invalid-payload",
            Self::Rejected => "rejected",
            Self::Internal => "internal",
        }
    }

    /// The kind written as `word`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::InvalidPayload, Self::Rejected, Self::Internal].into_iter().find(|k| k.as_str() == word)
    }
}

/// Why the sandbox stopped a run. All but `Deadline` repeat on every run of the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// All fuel of the pin was used.
    OutOfFuel,
    /// More memory, or more table elements, than the pin allows.
    OutOfMemory,
    /// The wall-clock deadline passed: the one fault that depends on the machine.
    Deadline,
    /// The Wasm stack was exhausted.
    StackOverflow,
    /// Any other trap: `unreachable`, division by zero, a panic.
    Trap,
    /// The result or the effects are larger than allowed.
    OutputTooLarge,
    /// The answer is not what the contract says: not UTF-8, not strict JSON, not an object, not the declared type.
    OutputInvalid,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 7] = [
        Self::OutOfFuel,
        Self::OutOfMemory,
        Self::Deadline,
        Self::StackOverflow,
        Self::Trap,
        Self::OutputTooLarge,
        Self::OutputInvalid,
    ];

    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutOfFuel => "out-of-fuel",
            Self::OutOfMemory => "out-of-memory",
            Self::Deadline => "deadline",
            Self::StackOverflow => "stack-overflow",
            Self::Trap => "trap",
            Self::OutputTooLarge => "output-too-large",
            Self::OutputInvalid => "output-invalid",
        }
    }

    /// The fault written as `word`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == word)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Outcome {
    /// Accepts a handler's answer, or turns it into the fault it is.
    ///
    /// The result must be one JSON object within `output_bytes_max`, by the same strict rules as a request; each effect
    /// a printable kind with a JSON body.
    #[must_use]
    pub fn accept(output: &str, effects: Vec<(String, String)>, output_bytes_max: u64) -> Self {
        match Self::read_answer(output, effects, output_bytes_max) {
            Ok(outcome) => outcome,
            Err(fault) => Self::Faulted(fault),
        }
    }

    fn read_answer(output: &str, effects: Vec<(String, String)>, output_bytes_max: u64) -> Result<Self, Fault> {
        if output.len() as u64 > output_bytes_max || effects.len() > EFFECTS_MAX {
            return Err(Fault::OutputTooLarge);
        }
        let result = read_text(output)?;
        if !matches!(result, Value::Object(_)) {
            return Err(Fault::OutputInvalid);
        }
        let effects = effects.into_iter().map(read_effect).collect::<Result<_, _>>()?;
        Ok(Self::Succeeded { result: JsonText::of(&result), effects })
    }

    /// Why the run was stopped, if it was.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Faulted(fault) => Some(*fault),
            Self::Succeeded { .. } | Self::Failed(_) | Self::Interrupted => None,
        }
    }

    /// The stable word.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Succeeded { .. } => Status::Succeeded,
            Self::Failed(_) => Status::Failed,
            Self::Faulted(_) => Status::Faulted,
            Self::Interrupted => Status::Interrupted,
        }
    }
}

fn read_effect((kind, body): (String, String)) -> Result<Effect, Fault> {
    if body.len() > EFFECT_BODY_BYTES_MAX || kind.len() > EFFECT_KIND_BYTES_MAX {
        return Err(Fault::OutputTooLarge);
    }
    if kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Fault::OutputInvalid);
    }
    Ok(Effect { kind, body: JsonText::of(&read_text(&body)?) })
}

/// The canonical value: a client in a language without integers copies it without changing it.
fn read_text(text: &str) -> Result<Value, Fault> {
    json::read_rendered(text.as_bytes()).map(Value::canonical).map_err(|_| Fault::OutputInvalid)
}

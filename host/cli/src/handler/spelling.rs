//! What came of a run, and JSON for people: indented, numbers spelled as the host spells them.
//!
//! In scope: values out of outcomes, indentation.
//! Out of scope: JSON that a digest is of (`openexec_core::json`).

use openexec_core::json::{self, Members, Value};
use openexec_core::outcome::{Effect, Outcome, Resources};

/// An object of these members; the names are ours, each once.
pub(super) fn object(members: Vec<(&str, Value)>) -> Value {
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Members::new(members).map_or(Value::Null, Value::Object)
}

pub(super) fn text(text: impl ToString) -> Value {
    Value::String(text.to_string())
}

/// A count; beyond 2^53 as text, because no JSON reader agrees on it.
pub(super) fn count(count: u64) -> Value {
    i64::try_from(count).ok().filter(|n| *n < 1 << 53).map_or_else(|| text(count), Value::Integer)
}

/// The members that tell an outcome.
pub(super) fn outcome(outcome: &Outcome) -> Vec<(&'static str, Value)> {
    let mut members = vec![("outcome", text(outcome.status().as_str()))];
    match outcome {
        Outcome::Succeeded { result, effects } => {
            members.push(("result", result.value()));
            members.push(("effects", Value::Array(effects.iter().map(effect).collect())));
        }
        Outcome::Failed(failure) => {
            members.push(("failure", text(failure.kind.as_str())));
            members.push(("text", text(&failure.text)));
        }
        Outcome::Faulted(fault) => members.push(("fault", text(fault))),
        Outcome::Interrupted => {}
    }
    members
}

pub(super) fn resources(resources: Resources) -> Value {
    object(vec![("fuel", count(resources.fuel)), ("memory_bytes", count(resources.memory_bytes))])
}

fn effect(effect: &Effect) -> Value {
    object(vec![("kind", text(&effect.kind)), ("body", effect.body.value())])
}

/// Indented JSON.
pub(super) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Array(values) if !values.is_empty() => {
            let lines = values.iter().map(|value| (String::new(), value));
            write_all(lines, ('[', ']'), depth, out);
        }
        Value::Object(members) if members.iter().next().is_some() => {
            let lines = members.iter().map(|(name, value)| (format!("{}: ", json::quoted(name)), value));
            write_all(lines, ('{', '}'), depth, out);
        }
        Value::String(text) => out.push_str(&json::quoted(text)),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Array(_) | Value::Object(_) => {
            out.push_str(&json::pyjson_compact(value));
        }
    }
}

fn write_all<'a>(
    lines: impl Iterator<Item = (String, &'a Value)>,
    (open, close): (char, char),
    depth: usize,
    out: &mut String,
) {
    let indent = "  ".repeat(depth);
    out.push(open);
    for (i, (name, value)) in lines.enumerate() {
        out.push_str(if i == 0 { "\n" } else { ",\n" });
        out.push_str(&format!("{indent}  {name}"));
        write(value, depth + 1, out);
    }
    out.push_str(&format!("\n{indent}{close}"));
}

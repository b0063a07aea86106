//! A golden case: a payload, and what is expected of it.
//!
//! In scope: reading and writing `NAME.json`, comparing with what came of a run.
//! Out of scope: running (`test`).
//!
//! `{"payload": {…}, "expect": {…}, "fuel_max": N}`; `expect` is one of
//! - `{"outcome": "succeeded", "result": {…}, "effects": [{"kind": …, "body": …}]}`: effects that are left out are none;
//! - `{"outcome": "failed", "failure": "rejected", "text": …}`;
//! - `{"outcome": "faulted", "fault": …}`.
//!
//! A `result`, `failure`, `text` or `fault` that is left out is not compared.

use openexec_core::json::{self, FieldError, Fields, Members, ReadError, Value};
use openexec_core::outcome::Run;
use openexec_core::request::Payload;

use super::spelling::{count, object, outcome, pretty};

pub(super) struct Case {
    payload: Members,
    expected: Option<Members>,
    fuel_max: Option<u64>,
}

/// Why a file is no case.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaseError {
    #[error("not acceptable JSON: {0}")]
    Json(#[from] ReadError),
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error("the case: 'payload' must be an object")]
    NoPayload,
    #[error("'expect' has '{0}', which is none of outcome, result, effects, failure, text, fault")]
    Unknown(String),
    #[error("'expect' must have an 'outcome': succeeded, failed or faulted")]
    NoOutcome,
}

impl Case {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, CaseError> {
        let mut fields = Fields::of("the case", json::read(bytes)?)?;
        let payload = fields.optional_members("payload")?.ok_or(CaseError::NoPayload)?;
        let expected = fields.optional_members("expect")?;
        let fuel_max = fields.optional_natural("fuel_max")?;
        fields.end()?;
        if let Some(expected) = &expected {
            let known = ["outcome", "result", "effects", "failure", "text", "fault"];
            if let Some((name, _)) = expected.iter().find(|(name, _)| !known.contains(name)) {
                return Err(CaseError::Unknown(name.to_owned()));
            }
            let outcomes = ["succeeded", "failed", "faulted"];
            let is_outcome = |value: &Value| matches!(value, Value::String(word) if outcomes.contains(&word.as_str()));
            if !expected.get("outcome").is_some_and(is_outcome) {
                return Err(CaseError::NoOutcome);
            }
        }
        Ok(Self { payload, expected, fuel_max })
    }

    pub(super) fn payload(&self) -> Payload {
        Payload::of(self.payload.clone())
    }

    /// What is not as expected; empty if all is.
    pub(super) fn differences(&self, run: &Run) -> Vec<String> {
        let mut differences = Vec::new();
        let Some(expected) = &self.expected else {
            return vec!["it expects nothing: look at what came, and write it with --update".to_owned()];
        };
        let mut came = Members::new(owned(outcome(&run.outcome))).unwrap_or_default();
        let has_effects = came.get("effects").is_some();
        let mut expected: Vec<_> = expected.iter().map(|(name, value)| (name, value.clone())).collect();
        // A case that says nothing of effects expects none: an effect is what a handler must not have by accident.
        if has_effects && !expected.iter().any(|(name, _)| *name == "effects") {
            expected.push(("effects", Value::Array(Vec::new())));
        }
        for (name, expected) in expected {
            let came = came.take(name).map(Value::canonical);
            if came.as_ref() != Some(&expected.clone().canonical()) {
                let came = came.map_or_else(|| "nothing".to_owned(), |value| json::jcs(&value));
                differences.push(format!("{name}: expected {}, came {came}", json::jcs(&expected)));
            }
        }
        if let Some(most) = self.fuel_max.filter(|most| run.resources.fuel > *most) {
            differences.push(format!("fuel: {} is more than fuel_max, {most}", run.resources.fuel));
        }
        differences
    }

    /// The case as it is written when what came is what is expected.
    pub(super) fn expecting(&self, run: &Run) -> String {
        let mut members =
            vec![("payload", Value::Object(self.payload.clone())), ("expect", object(outcome(&run.outcome)))];
        members.extend(self.fuel_max.map(|most| ("fuel_max", count(most))));
        format!("{}\n", pretty(&object(members)))
    }
}

fn owned(members: Vec<(&str, Value)>) -> Vec<(String, Value)> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

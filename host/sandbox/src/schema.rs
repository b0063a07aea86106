//! Schemas: what a described handler takes and gives, as JSON Schema 2020-12.
//!
//! In scope: which schemas are accepted, compiling them, validating payloads and results.
//! Out of scope: where a description comes from (`registry.toml`, and the handler itself), what follows from a violation.
//!
//! Invariants
//! - Nothing is fetched: a reference leads to another place of the same text, or the schema is refused.
//! - Validation ends: patterns run in linear time, a reference loop must descend into the value, and the work for one place
//!   of a value is bounded before the schema is accepted (`Walk`), as values are no deeper than `JSON_DEPTH_MAX`.
//! - A violation says what the schema asks for, and nothing that the value has but the place.

use std::collections::HashMap;
use std::fmt;
use std::thread;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, Retrieve, Uri, ValidationError, Validator};
use openexec_core::json;
use openexec_core::limits::{
    JSON_DEPTH_MAX, SCHEMA_BYTES_MAX, SCHEMA_CHAIN_MAX, SCHEMA_PATTERN_BYTES_MAX, SCHEMA_REFERENCES_MAX,
    SCHEMA_VISITS_MAX, VIOLATIONS_MAX,
};
use openexec_core::refusal::Violation;
use openexec_core::registry::Description;
use serde_json::{Map, Value};

/// The one dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Stack for compiling: schemas may be nested and refer to one another, as far as their limits go.
const COMPILER_STACK_BYTES: usize = 256 * 1024 * 1024;

/// Why a schema is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its {which} schema is not acceptable: {problem}")]
pub struct SchemaError {
    /// `payload` or `output`.
    pub which: &'static str,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// The compiled schemas of one handler.
pub struct Schemas {
    payload: Validator,
    output: Validator,
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schemas")
    }
}

impl Schemas {
    /// Compiles the schemas of a description.
    ///
    /// # Errors
    /// `SchemaError` for what is no schema, refers elsewhere, or could not be checked within bounds.
    pub fn compile(description: &Description) -> Result<Self, SchemaError> {
        let compile = |which, text: &str| on_a_deep_stack(text).map_err(|problem| SchemaError { which, problem });
        Ok(Self {
            payload: compile("payload", &description.payload_schema)?,
            output: compile("output", &description.output_schema)?,
        })
    }

    /// Every violation in a payload, up to `VIOLATIONS_MAX`.
    pub(crate) fn violations(&self, payload: &str) -> Vec<Violation> {
        let Ok(payload) = serde_json::from_str::<Value>(payload) else {
            return vec![Violation {
                pointer: String::new(),
                keyword: "type".to_owned(),
                message: "is not readable as JSON".to_owned(),
            }];
        };
        if self.payload.is_valid(&payload) {
            return Vec::new();
        }
        self.payload.iter_errors(&payload).take(VIOLATIONS_MAX).map(|error| violation(&error)).collect()
    }

    /// Whether a result is what the handler says that it gives.
    pub(crate) fn takes_output(&self, result: &str) -> bool {
        serde_json::from_str(result).is_ok_and(|result: Value| self.output.is_valid(&result))
    }
}

fn violation(error: &ValidationError<'_>) -> Violation {
    let keyword = error.kind().keyword().to_owned();
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of kinds is the crate's, and open")]
    let message = match error.kind() {
        // The name is the schema's.
        ValidationErrorKind::Required { property } => format!("must have the member {property}"),
        ValidationErrorKind::AdditionalProperties { .. } | ValidationErrorKind::UnevaluatedProperties { .. } => {
            "has a member that the schema does not name".to_owned()
        }
        ValidationErrorKind::Enum { .. } => "is none of the values that the schema lists".to_owned(),
        ValidationErrorKind::Constant { .. } => "is not the value that the schema names".to_owned(),
        ValidationErrorKind::Pattern { .. } => "does not match the pattern of the schema".to_owned(),
        _ => format!("does not keep '{keyword}' of the schema"),
    };
    Violation { pointer: error.instance_path().to_string(), keyword, message }
}

/// Compiles on a thread with room for the deepest schema. It may not be a thread of the caller's that overflows.
fn on_a_deep_stack(text: &str) -> Result<Validator, String> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("schema".to_owned()).stack_size(COMPILER_STACK_BYTES);
        let compiling = builder.spawn_scoped(scope, || compile(text)).map_err(|error| error.to_string())?;
        compiling.join().unwrap_or_else(|_| Err("the compiler of schemas gave up".to_owned()))
    })
}

fn compile(text: &str) -> Result<Validator, String> {
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(format!("it has {} bytes; at most {SCHEMA_BYTES_MAX} are accepted", text.len()));
    }
    json::read(text.as_bytes()).map_err(|error| format!("it is not acceptable JSON: {error}"))?;
    let schema: Value = serde_json::from_str(text).map_err(|error| format!("it is not acceptable JSON: {error}"))?;
    Walk::over(&schema)?;
    let patterns =
        PatternOptions::regex().size_limit(SCHEMA_PATTERN_BYTES_MAX).dfa_size_limit(SCHEMA_PATTERN_BYTES_MAX);
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_retriever(Nowhere)
        .with_pattern_options(patterns)
        .should_validate_formats(false)
        .build(&schema)
        .map_err(|error| format!("at '{}': {error}", error.instance_path()))
}

/// Fetches nothing.
struct Nowhere;

#[derive(Debug, thiserror::Error)]
#[error("schemas are not fetched: put what '{0}' refers to into the schema itself, below $defs")]
struct NotFetched(String);

impl Retrieve for Nowhere {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(NotFetched(uri.to_string()).into())
    }
}

/// What validating a value against one schema can take, for the places of it that are so many levels down.
#[derive(Clone, Copy, Default)]
struct Work {
    /// How often one such place is looked at, at most, if the value is an object.
    in_object: u64,
    /// The same if it is an array. It is never both.
    in_array: u64,
    /// How many schemas are entered within one another at most.
    chain: u64,
}

impl Work {
    /// One look at the value itself.
    const LOOK: Self = Self { in_object: 1, in_array: 1, chain: 1 };

    /// Both are done.
    fn and(self, other: Self) -> Self {
        Self {
            in_object: self.in_object.saturating_add(other.in_object),
            in_array: self.in_array.saturating_add(other.in_array),
            chain: self.chain.max(other.chain),
        }
    }

    /// Either is done.
    fn or(self, other: Self) -> Self {
        Self {
            in_object: self.in_object.max(other.in_object),
            in_array: self.in_array.max(other.in_array),
            chain: self.chain.max(other.chain),
        }
    }

    fn visits(self) -> u64 {
        self.in_object.max(self.in_array)
    }
}

/// Walks a schema before it is compiled: what it refers to, and how much work it can be made to do.
struct Walk<'a> {
    root: &'a Value,
    n_references: usize,
    /// By schema (where it is in memory) and depth. `None` while it is being entered.
    known: HashMap<(*const Value, usize), Option<Work>>,
}

/// Keywords that lead to places which the host would have to guess or fetch, or that loops could hide behind.
const REFUSED: [&str; 4] = ["$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$vocabulary"];

impl<'a> Walk<'a> {
    fn over(root: &'a Value) -> Result<(), String> {
        let mut walk = Self { root, n_references: 0, known: HashMap::new() };
        walk.names(root, true)?;
        // From the leaves of the value up, so that each depth finds the one below it done.
        for depth in 0..=JSON_DEPTH_MAX {
            let work = walk.work(root, depth)?;
            let (visits, chain) = (work.visits(), work.chain);
            if visits > SCHEMA_VISITS_MAX {
                return Err(format!(
                    "one value could be looked at more than {SCHEMA_VISITS_MAX} times, as alternatives multiply: let fewer of allOf, anyOf, oneOf, not, if and unevaluated… lead to one another"
                ));
            }
            if chain > SCHEMA_CHAIN_MAX {
                return Err(format!("more than {SCHEMA_CHAIN_MAX} of its schemas could be entered within one another"));
            }
        }
        Ok(())
    }

    /// Refuses references and identities that lead elsewhere, wherever they stand.
    fn names(&mut self, at: &'a Value, is_root: bool) -> Result<(), String> {
        match at {
            Value::Object(members) => {
                if let Some(keyword) = REFUSED.into_iter().find(|keyword| members.contains_key(*keyword)) {
                    return Err(format!("it uses '{keyword}', which this host does not read: use $ref"));
                }
                if members.get("$schema").is_some_and(|dialect| dialect != DIALECT) {
                    return Err(format!("its '$schema' must be '{DIALECT}', or be left out"));
                }
                if !is_root && members.get("$id").is_some_and(Value::is_string) {
                    return Err("an '$id' inside of it would change what its references mean: leave it out".to_owned());
                }
                if let Some(Value::String(reference)) = members.get("$ref") {
                    self.n_references += 1;
                    if self.n_references > SCHEMA_REFERENCES_MAX {
                        return Err(format!("it has more than {SCHEMA_REFERENCES_MAX} references"));
                    }
                    self.target(reference)?;
                }
                members.values().try_for_each(|value| self.names(value, false))
            }
            Value::Array(items) => items.iter().try_for_each(|value| self.names(value, false)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn target(&self, reference: &str) -> Result<&'a Value, String> {
        let Some(pointer) =
            reference.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'))
        else {
            return Err(format!(
                "'$ref' to '{reference}': a remote reference, and schemas are not fetched: put what it refers to below $defs, and write '#/$defs/NAME'"
            ));
        };
        if pointer.contains('%') {
            return Err(format!("'$ref' to '{reference}': write the pointer without percent signs"));
        }
        self.root.pointer(pointer).ok_or_else(|| format!("'$ref' to '{reference}': there is no such place in it"))
    }

    fn work(&mut self, schema: &'a Value, depth: usize) -> Result<Work, String> {
        let own = if depth == 0 { Work::LOOK } else { Work { chain: 1, ..Work::default() } };
        let Value::Object(members) = schema else { return Ok(own) };
        let key = (std::ptr::from_ref(schema), depth);
        match self.known.get(&key) {
            Some(Some(work)) => return Ok(*work),
            Some(None) => return Err("its references form a loop that looks at one value for ever".to_owned()),
            None => {}
        }
        self.known.insert(key, None);
        let mut work = self.in_place(members, depth)?;
        if let Some(below) = depth.checked_sub(1) {
            work = work.and(self.children(members, below)?);
        }
        // What is unevaluated is found by asking the others a second time.
        if members.keys().any(|name| name.starts_with("unevaluated")) {
            work = work.and(work);
        }
        let chain = work.chain.saturating_add(1);
        let work = Work { chain, ..work.and(own) };
        self.known.insert(key, Some(work));
        Ok(work)
    }

    /// What looks at the very same value, alone, in a list or by name.
    fn in_place(&mut self, members: &'a Map<String, Value>, depth: usize) -> Result<Work, String> {
        let mut sum = Work::default();
        for (name, value) in members {
            let schemas: Vec<&'a Value> = match (name.as_str(), value) {
                ("$ref", Value::String(reference)) => vec![self.target(reference)?],
                ("allOf" | "anyOf" | "oneOf", Value::Array(list)) => list.iter().collect(),
                // `dependencies` is older than 2020-12, and the crate keeps it.
                ("dependentSchemas" | "dependencies", Value::Object(named)) => named.values().collect(),
                ("not" | "if" | "then" | "else" | "contentSchema", schema) => vec![schema],
                _ => continue,
            };
            for schema in schemas {
                sum = sum.and(self.work(schema, depth)?);
            }
        }
        Ok(sum)
    }

    /// What looks at a child of the value: one of the named, and all that apply to any.
    fn children(&mut self, members: &'a Map<String, Value>, below: usize) -> Result<Work, String> {
        let (mut one_member, mut any_member) = (Work::default(), Work::default());
        let (mut one_item, mut any_item) = (Work::default(), Work::default());
        for (name, value) in members {
            match (name.as_str(), value) {
                ("properties", Value::Object(named)) => {
                    for schema in named.values() {
                        one_member = one_member.or(self.work(schema, below)?);
                    }
                }
                ("additionalProperties", schema) => one_member = one_member.or(self.work(schema, below)?),
                ("patternProperties", Value::Object(named)) => {
                    for schema in named.values() {
                        any_member = any_member.and(self.work(schema, below)?);
                    }
                }
                ("propertyNames" | "unevaluatedProperties", schema) => {
                    any_member = any_member.and(self.work(schema, below)?);
                }
                ("prefixItems", Value::Array(list)) => {
                    for schema in list {
                        one_item = one_item.or(self.work(schema, below)?);
                    }
                }
                ("items", schema) => one_item = one_item.or(self.work(schema, below)?),
                ("contains" | "unevaluatedItems" | "additionalItems", schema) => {
                    any_item = any_item.and(self.work(schema, below)?);
                }
                _ => {}
            }
        }
        let (member, item) = (one_member.and(any_member), one_item.and(any_item));
        Ok(Work { in_object: member.visits(), in_array: item.visits(), chain: member.chain.max(item.chain) })
    }
}

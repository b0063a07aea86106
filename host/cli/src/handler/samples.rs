//! Payloads that a payload schema may allow: a handful, always the same, to run a handler twice with.
//!
//! In scope: the simple types of JSON Schema, `enum`, `const`, `default`, `examples`, objects and arrays of them.
//! Out of scope: validating. A sample that the handler refuses is as good a sample: a refusal must repeat as well.

use serde_json::{Map, Value, json};

/// Deepest schema that is followed: a schema may contain itself only through `$ref`, which is not followed at all.
const DEPTH_MAX: usize = 8;

/// Most members of one object.
const MEMBERS_MAX: usize = 64;

/// Longest text.
const LENGTH_MAX: usize = 4096;

/// Which value of a type is taken.
#[derive(Clone, Copy)]
enum Choice {
    /// What the schema names, else the plainest.
    First,
    /// The other end: the last of an enumeration, the largest number, a text beyond ASCII.
    Last,
}

/// The samples, each once; the empty object is always among them.
pub(super) fn of(schema: &Value) -> Vec<Value> {
    let mut samples = vec![json!({})];
    let mut add = |sample: Value| {
        if sample.is_object() && !samples.contains(&sample) {
            samples.push(sample);
        }
    };
    add(object(schema, Choice::First, true, 0));
    add(object(schema, Choice::First, false, 0));
    add(object(schema, Choice::Last, false, 0));
    let examples = schema.get("examples").and_then(Value::as_array);
    examples.into_iter().flatten().take(4).for_each(|example| add(example.clone()));
    add(json!({"no-such-member": [null, true, 1.5, "ü", {"a": []}]}));
    samples
}

fn object(schema: &Value, choice: Choice, only_required: bool, depth: usize) -> Value {
    let required: Vec<_> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut members = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten().take(MEMBERS_MAX) {
        if !only_required || required.contains(&name.as_str()) {
            members.insert(name.clone(), value(property, choice, depth + 1));
        }
    }
    Value::Object(members)
}

fn value(schema: &Value, choice: Choice, depth: usize) -> Value {
    if let Some(named) = named(schema, choice) {
        return named;
    }
    let first = matches!(choice, Choice::First);
    match kind(schema) {
        _ if depth > DEPTH_MAX => Value::Null,
        "object" => object(schema, choice, false, depth),
        "array" => {
            let element = schema.get("items").map_or(json!(1), |items| value(items, choice, depth + 1));
            let fewest = length(schema, "minItems").unwrap_or(0);
            Value::Array(vec![element; fewest.clamp(usize::from(!first), 16)])
        }
        "integer" if first => json!(whole(schema, "minimum", 1)),
        "integer" => json!(whole(schema, "maximum", 9_007_199_254_740_991)),
        "number" if first => json!(number(schema, "minimum").unwrap_or(0.5)),
        "number" => json!(number(schema, "maximum").unwrap_or(1e15)),
        "boolean" => json!(!first),
        "null" => Value::Null,
        _ => text(schema, first),
    }
}

/// What the schema names as a value.
fn named(schema: &Value, choice: Choice) -> Option<Value> {
    let one_of = |list: &Value| {
        let list = list.as_array()?;
        if matches!(choice, Choice::First) { list.first().cloned() } else { list.last().cloned() }
    };
    let in_list = |key: &str| schema.get(key).and_then(one_of);
    let constant = schema.get("const").or_else(|| schema.get("default")).cloned();
    in_list("enum").or(constant).or_else(|| in_list("examples"))
}

fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("string"),
        _ if schema.get("properties").is_some() => "object",
        _ => "string",
    }
}

fn number(schema: &Value, key: &str) -> Option<f64> {
    schema.get(key).and_then(Value::as_f64).filter(|number| number.abs() < 1e15)
}

fn whole(schema: &Value, key: &str, default: i64) -> i64 {
    schema.get(key).and_then(Value::as_i64).unwrap_or(default)
}

fn length(schema: &Value, key: &str) -> Option<usize> {
    let length = schema.get(key).and_then(Value::as_u64)?;
    Some(usize::try_from(length).unwrap_or(LENGTH_MAX).min(LENGTH_MAX))
}

/// A text within the bounds of its length; patterns are not followed.
fn text(schema: &Value, first: bool) -> Value {
    let (fewest, most) = (length(schema, "minLength").unwrap_or(0), length(schema, "maxLength").unwrap_or(8));
    let n_chars = if first { fewest.max(1) } else { most.max(fewest) };
    Value::String((if first { "a" } else { "ü" }).repeat(n_chars))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_what_a_schema_requires_and_what_it_allows() {
        let schema = json!({
            "type": "object",
            "required": ["n", "kind"],
            "properties": {
                "n": {"type": "integer", "minimum": 3, "maximum": 9},
                "kind": {"enum": ["x", "y"]},
                "tags": {"type": "array", "items": {"type": "string", "maxLength": 2}},
                "inner": {"properties": {"yes": {"type": "boolean"}}},
            },
        });
        let samples = of(&schema);
        assert!(samples.contains(&json!({})));
        assert!(samples.contains(&json!({"n": 3, "kind": "x"})));
        assert!(samples.contains(&json!({"n": 9, "kind": "y", "tags": ["üü"], "inner": {"yes": true}})), "{samples:?}");
        assert_eq!(of(&schema), samples, "always the same");
    }

    #[test]
    fn a_schema_that_means_nothing_has_samples_too() {
        for schema in [json!({}), json!(true), json!({"properties": 7}), json!({"properties": {"a": 7}})] {
            assert!(of(&schema).len() >= 2, "{schema}");
        }
    }
}

//! JSON where a digest or a signature depends on it: one strict reader, two canonical spellings.
//!
//! In scope: the value, `read` (strict), `jcs` (RFC 8785), `pyjson` (what CPython's `json.dumps(sort_keys=True)` writes).
//! Out of scope: JSON that nothing depends on (logs, problem bodies), which uses `serde_json`.
//!
//! Invariants
//! - What the reader accepts, both writers can spell, and reading the spelling gives the value again (for JCS: its
//!   `canonical` value, because JCS does not keep `1.0` apart from `1`, and by `read_rendered`, because JCS spells 1e16 as
//!   an integer that `read` refuses).
//! - Nothing is repaired: text is either accepted as it is or refused.

mod fields;
mod number;
mod read;
mod write;

pub use fields::{FieldError, Fields, PlainName};
pub use read::{ReadError, ReadErrorKind, read, read_evidence, read_presented, read_rendered};
pub use write::{Nullable, Quoted, jcs, pyjson_compact, pyjson_spaced, quoted};

use crate::limits::JSON_INTEGER_MAX;

/// A JSON value that keeps the one distinction that matters to the legacy spelling: a number written without fraction
/// and exponent is an `Integer`, any other a `Float`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// From the reader: within ±(2^53 − 1).
    Integer(i64),
    /// From the reader: finite.
    Float(f64),
    /// Valid Unicode; JSON's lone surrogates are refused by the reader.
    String(String),
    /// In the order of the text.
    Array(Vec<Value>),
    /// Sorted and unique.
    Object(Members),
}

/// The members of an object, sorted by code point of their names (which is also the order of their UTF-8 bytes), each
/// name once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members(Vec<(String, Value)>);

impl Members {
    /// Sorts the members.
    ///
    /// # Errors
    /// The name that occurs twice.
    pub fn new(mut members: Vec<(String, Value)>) -> Result<Self, String> {
        members.sort_by(|a, b| a.0.cmp(&b.0));
        let twice = members.windows(2).find_map(|pair| match pair {
            [a, b] if a.0 == b.0 => Some(a.0.clone()),
            _ => None,
        });
        twice.map_or(Ok(Self(members)), Err)
    }

    /// The member called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.0.binary_search_by(|(key, _)| key.as_str().cmp(name)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Takes the member called `name` out.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.binary_search_by(|(key, _)| key.as_str().cmp(name)).ok()?;
        Some(self.0.remove(at).1)
    }

    /// All members, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl Value {
    /// The value that a reader of this value's JCS text sees: a float with an integral value within ±(2^53 − 1) is an
    /// integer, and minus zero is zero.
    #[must_use]
    pub fn canonical(self) -> Self {
        match self {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the guard bounds it to ±(2^53 − 1), where f64 is exact"
            )]
            #[expect(clippy::cast_precision_loss, reason = "2^53 − 1 is exact in f64")]
            Self::Float(f) if f.fract() == 0.0 && f.abs() <= JSON_INTEGER_MAX as f64 => Self::Integer(f as i64),
            Self::Array(elements) => Self::Array(elements.into_iter().map(Self::canonical).collect()),
            Self::Object(Members(members)) => {
                Self::Object(Members(members.into_iter().map(|(name, value)| (name, value.canonical())).collect()))
            }
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Float(_) | Self::String(_) => self,
        }
    }

    /// What kind of value this is, for error texts.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

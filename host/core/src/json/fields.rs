//! Taking an object apart, member by member, until nothing is left.
//!
//! In scope: members of known names and types; refusing the ones that nobody asked for.
//! Out of scope: what the members mean.

use std::fmt;

use super::{Members, Value};

/// The members of an object that were not taken yet.
#[derive(Clone, Debug)]
pub struct Fields {
    /// What the object is, for error texts: `the envelope`.
    what: &'static str,
    members: Members,
}

/// What is wrong with an object. The text names the member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Not an object at all.
    #[error("{what} must be an object, not {found}")]
    NotAnObject {
        /// What it is.
        what: &'static str,
        /// What was found instead.
        found: &'static str,
    },
    /// A required member is missing.
    #[error("{what} has no member '{member}'")]
    Missing {
        /// Where.
        what: &'static str,
        /// Which.
        member: &'static str,
    },
    /// A member has the wrong type.
    #[error("member '{member}' of {what} must be {expected}, not {found}")]
    WrongType {
        /// Where.
        what: &'static str,
        /// Which.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A member that does not belong there.
    #[error("{what} has a member that is not known here{member}")]
    Unknown {
        /// Where.
        what: &'static str,
        /// Which, if its name is short and plain.
        member: PlainName,
    },
}

/// A member's name as an error may repeat it: the sender's own text, so only if it is short and plain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainName(Option<String>);

impl PlainName {
    const BYTES_MAX: usize = 64;

    fn of(name: &str) -> Self {
        let is_plain =
            name.len() <= Self::BYTES_MAX && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        Self(is_plain.then(|| name.to_owned()))
    }
}

impl fmt::Display for PlainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| write!(f, ": '{name}'"))
    }
}

impl Fields {
    /// The members of `value`, which must be an object.
    ///
    /// # Errors
    /// `FieldError::NotAnObject`.
    pub fn of(what: &'static str, value: Value) -> Result<Self, FieldError> {
        let Value::Object(members) = value else {
            return Err(FieldError::NotAnObject { what, found: value.kind() });
        };
        Ok(Self { what, members })
    }

    /// Takes a string.
    ///
    /// # Errors
    /// `FieldError` when it is missing or no string.
    pub fn text(&mut self, member: &'static str) -> Result<String, FieldError> {
        self.optional_text(member)?.ok_or(FieldError::Missing { what: self.what, member })
    }

    /// Takes a string that may be missing.
    ///
    /// # Errors
    /// `FieldError` when it is there and no string.
    pub fn optional_text(&mut self, member: &'static str) -> Result<Option<String>, FieldError> {
        match self.members.take(member) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(member, "a string", &other)),
        }
    }

    /// Takes a string that may be missing or null.
    ///
    /// # Errors
    /// `FieldError` when it is there and neither.
    pub fn nullable_text(&mut self, member: &'static str) -> Result<Option<String>, FieldError> {
        match self.members.take(member) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(member, "a string or null", &other)),
        }
    }

    /// Takes an integer from 0.
    ///
    /// # Errors
    /// `FieldError` when it is missing or no such integer.
    pub fn count(&mut self, member: &'static str) -> Result<u64, FieldError> {
        let value = self.any(member)?;
        let count = match value {
            Value::Integer(integer) => u64::try_from(integer).ok(),
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        };
        count.ok_or_else(|| self.wrong_type(member, "an integer from 0", &value))
    }

    /// Takes an integer from 1 that may be missing.
    ///
    /// # Errors
    /// `FieldError` when it is there and no such integer.
    pub fn optional_natural(&mut self, member: &'static str) -> Result<Option<u64>, FieldError> {
        match self.members.take(member) {
            None => Ok(None),
            Some(Value::Integer(integer)) if integer > 0 => Ok(u64::try_from(integer).ok()),
            Some(other) => Err(self.wrong_type(member, "an integer from 1", &other)),
        }
    }

    /// Takes an integer from 1.
    ///
    /// # Errors
    /// `FieldError` when it is missing or no such integer.
    pub fn natural(&mut self, member: &'static str) -> Result<u64, FieldError> {
        self.optional_natural(member)?.ok_or(FieldError::Missing { what: self.what, member })
    }

    /// Takes an array.
    ///
    /// # Errors
    /// `FieldError` when it is missing or no array.
    pub fn array(&mut self, member: &'static str) -> Result<Vec<Value>, FieldError> {
        match self.members.take(member) {
            None => Err(FieldError::Missing { what: self.what, member }),
            Some(Value::Array(elements)) => Ok(elements),
            Some(other) => Err(self.wrong_type(member, "an array", &other)),
        }
    }

    /// Takes an object that may be missing, to be taken apart in turn.
    ///
    /// # Errors
    /// `FieldError` when it is there and no object.
    pub fn optional_object(&mut self, member: &'static str) -> Result<Option<Self>, FieldError> {
        self.members.take(member).map(|value| Self::of(member, value)).transpose()
    }

    /// Takes the members of an object that may be missing or null, whatever they are.
    ///
    /// # Errors
    /// `FieldError` when it is there and neither.
    pub fn nullable_members(&mut self, member: &'static str) -> Result<Option<Members>, FieldError> {
        match self.members.take(member) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(other) => Err(self.wrong_type(member, "an object or null", &other)),
        }
    }

    /// Takes any value.
    ///
    /// # Errors
    /// `FieldError` when it is missing.
    pub fn any(&mut self, member: &'static str) -> Result<Value, FieldError> {
        self.members.take(member).ok_or(FieldError::Missing { what: self.what, member })
    }

    /// Takes an object, to be taken apart in turn.
    ///
    /// # Errors
    /// `FieldError` when it is missing or no object.
    pub fn object(&mut self, member: &'static str) -> Result<Self, FieldError> {
        self.optional_object(member)?.ok_or(FieldError::Missing { what: self.what, member })
    }

    /// Ends the object: whatever nobody took does not belong there.
    ///
    /// # Errors
    /// `FieldError::Unknown`.
    pub fn end(self) -> Result<(), FieldError> {
        match self.members.iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(FieldError::Unknown { what: self.what, member: PlainName::of(name) }),
        }
    }

    fn wrong_type(&self, member: &'static str, expected: &'static str, found: &Value) -> FieldError {
        FieldError::WrongType { what: self.what, member, expected, found: found.kind() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a_member_that_nobody_asked_for_is_named_if_its_name_is_plain() {
        let end = |text: &str| Fields::of("the body", json::read(text.as_bytes()).unwrap()).unwrap().end();
        assert_eq!(end("{}"), Ok(()));
        let named = end(r#"{"auto_approve":true}"#).unwrap_err().to_string();
        assert_eq!(named, "the body has a member that is not known here: 'auto_approve'");
        for odd in [r#"{"\u001b[2J":1}"#.to_owned(), r#"{"é":1}"#.to_owned(), format!(r#"{{"{}":1}}"#, "x".repeat(65))]
        {
            assert_eq!(end(&odd).unwrap_err().to_string(), "the body has a member that is not known here");
        }
    }
}

//! Adding two JSON numbers without losing what kind of number they are.
//!
//! In scope: reading the two members, integer and double arithmetic, spelling the sum.
//! Out of scope: the handler contract (`lib`).
//!
//! Invariants
//! - Integers whose exact sum is within ±(2^53 − 1) give that integer.
//! - Any other sum is the IEEE 754 double nearest to the sum of the two doubles, and its spelling has a `.` or an `e`,
//!   so that no reader takes it for an integer.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Largest integer up to which every integer is a double and no two share one.
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Far more than two numbers need. It keeps the reading of ignored members from using up the fuel, which would be recorded
/// as a fault and not as a refusal.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// Why there is no sum.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    NotAnObject,
    PayloadTooLarge,
    /// The name of the member.
    NotANumber(&'static str),
    /// The sum is beyond what a double can hold.
    Overflow,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => write!(f, "not-an-object: the payload must be a JSON object"),
            Self::PayloadTooLarge => {
                write!(f, "payload-too-large: the payload must be at most {PAYLOAD_BYTES_MAX} bytes")
            }
            Self::NotANumber(name) => write!(f, "not-a-number: {name} must be a number"),
            Self::Overflow => write!(f, "overflow: the sum is larger than a double can hold"),
        }
    }
}

/// The text of a JSON number.
pub(crate) fn add(payload: &str) -> Result<String, Refusal> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Refusal::PayloadTooLarge);
    }
    let Addends { a, b } = serde_json::from_str(payload).map_err(|_| Refusal::NotAnObject)?;
    let (a, b) = (Number::parse("a", a)?, Number::parse("b", b)?);
    if let (Number::Integer(a), Number::Integer(b)) = (a, b) {
        let sum = a + b; // each below 2^53, so the sum is far below 2^63
        if sum.unsigned_abs() <= INTEGER_MAX {
            return Ok(sum.to_string());
        }
    }
    let sum = a.as_double() + b.as_double();
    // The spelling of `Number` is the shortest that reads back as the same double.
    let sum = serde_json::Number::from_f64(sum).ok_or(Refusal::Overflow)?;
    Ok(sum.to_string())
}

/// The members are kept as text, because a value tree of a large payload would not fit into the memory of a call.
#[derive(Deserialize)]
struct Addends<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    a: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    b: Option<&'a RawValue>,
}

/// Only an absent member is `None`. Without this, `null` would be too, and would count as 0.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

#[derive(Clone, Copy)]
enum Number {
    /// Within ±`INTEGER_MAX`.
    Integer(i64),
    Double(f64),
}

impl Number {
    fn parse(name: &'static str, member: Option<&RawValue>) -> Result<Self, Refusal> {
        let Some(text) = member else {
            return Ok(Self::Integer(0));
        };
        let number: serde_json::Number = serde_json::from_str(text.get()).map_err(|_| Refusal::NotANumber(name))?;
        match number.as_i64() {
            Some(integer) if integer.unsigned_abs() <= INTEGER_MAX => Ok(Self::Integer(integer)),
            // Canonical JSON spells the double 1e16 as `10000000000000000`.
            _ => number.as_f64().map(Self::Double).ok_or(Refusal::NotANumber(name)),
        }
    }

    fn as_double(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64, // exact, see `INTEGER_MAX`
            Self::Double(double) => double,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, add};

    fn sum(payload: &str) -> String {
        add(payload).unwrap_or_else(|refusal| panic!("{payload}: {refusal}"))
    }

    #[test]
    fn integers_stay_integers() {
        assert_eq!(sum(r#"{"a":1,"b":2}"#), "3");
        assert_eq!(sum(r#"{"a":-5,"b":5}"#), "0");
        assert_eq!(sum(r#"{"a":9007199254740990,"b":1}"#), "9007199254740991");
        assert_eq!(sum(r#"{"a":-9007199254740991}"#), "-9007199254740991");
    }

    #[test]
    fn a_missing_member_counts_as_zero_and_others_are_ignored() {
        assert_eq!(sum("{}"), "0");
        assert_eq!(sum(r#"{"b":7}"#), "7");
        assert_eq!(sum(r#"{"a":1,"note":["x",{}],"z":null}"#), "1");
    }

    #[test]
    fn doubles_are_added_as_doubles_and_look_like_doubles() {
        assert_eq!(sum(r#"{"a":0.1,"b":0.2}"#), "0.30000000000000004");
        assert_eq!(sum(r#"{"a":1.5,"b":1.5}"#), "3.0");
        assert_eq!(sum(r#"{"a":1e-7}"#), "1e-7");
        assert_eq!(sum(r#"{"a":5e-324}"#), "5e-324");
        // A tie between two shortest spellings: the even digit.
        assert_eq!(sum(r#"{"a":1092629006545292.2}"#), "1092629006545292.2");
    }

    #[test]
    fn an_integer_sum_that_is_not_exact_becomes_a_double() {
        let largest = 9_007_199_254_740_991_i64;
        let payload = format!(r#"{{"a":{largest},"b":{largest}}}"#);
        assert_eq!(sum(&payload), "1.8014398509481982e+16");
        assert_eq!(sum(&format!(r#"{{"a":{largest},"b":1}}"#)), "9007199254740992.0");
    }

    #[test]
    fn an_integer_beyond_the_exact_range_is_a_double() {
        assert_eq!(sum(r#"{"a":10000000000000000}"#), "1e+16");
        assert_eq!(sum(r#"{"a":100000000000000000000,"b":1}"#), "1e+20");
        assert_eq!(sum(r#"{"a":18446744073709552000}"#), "1.8446744073709552e+19");
        assert_eq!(sum(r#"{"a":-9223372036854775808}"#), "-9.223372036854776e+18");
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for value in ["true", "null", "\"1\"", "[]", "{}"] {
            let a = add(&format!(r#"{{"a":{value}}}"#));
            assert_eq!(a, Err(Refusal::NotANumber("a")), "{value}");
            let b = add(&format!(r#"{{"a":1,"b":{value}}}"#));
            assert_eq!(b, Err(Refusal::NotANumber("b")), "{value}");
        }
        assert_eq!(add("7"), Err(Refusal::NotAnObject));
    }

    #[test]
    fn a_payload_that_would_use_up_the_fuel_is_refused_unread() {
        let largest = format!(r#"{{"a":1,"z":"{}"}}"#, "x".repeat(64 * 1024 - 14));
        assert_eq!(sum(&largest), "1");
        assert_eq!(add(&format!("{largest} ")), Err(Refusal::PayloadTooLarge));
    }

    #[test]
    fn a_sum_beyond_the_largest_double_is_refused() {
        let largest = "1.7976931348623157e+308";
        let both = format!(r#"{{"a":{largest},"b":{largest}}}"#);
        assert_eq!(add(&both), Err(Refusal::Overflow));
        assert_eq!(sum(&format!(r#"{{"a":{largest}}}"#)), "1.7976931348623157e+308");
    }
}

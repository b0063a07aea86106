//! The strict reader.
//!
//! In scope: UTF-8 without BOM, JSON by RFC 8259, and beyond it: no duplicate members, no lone surrogates, depth within
//! `JSON_DEPTH_MAX`, finite numbers, integers within ±(2^53 − 1), nothing after the value.
//! Out of scope: what the value means.
//!
//! The reader is a recursive descent whose depth is bounded before it recurses, so no input exhausts the stack.

use super::{Members, Value, number};
use crate::limits::{EVIDENCE_DEPTH_MAX, JSON_DEPTH_MAX, JSON_INTEGER_MAX, PRESENTED_DEPTH_MAX};

/// Why a text is not accepted, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (at byte {offset})")]
pub struct ReadError {
    /// What is wrong.
    pub kind: ReadErrorKind,
    /// Bytes from the start of the text.
    pub offset: usize,
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// Not UTF-8 (this includes UTF-16 and UTF-32).
    #[error("not UTF-8")]
    NotUtf8,
    /// Starts with a byte order mark.
    #[error("starts with a byte order mark")]
    ByteOrderMark,
    /// Not JSON at this place.
    #[error("not JSON: expected {0}")]
    Syntax(&'static str),
    /// A member name occurs twice in one object.
    #[error("duplicate member name in an object")]
    DuplicateMember,
    /// `\ud800` without its partner.
    #[error("lone surrogate in a string")]
    LoneSurrogate,
    /// A character below U+0020 stands unescaped in a string.
    #[error("unescaped control character in a string")]
    ControlCharacter,
    /// Nested deeper than `JSON_DEPTH_MAX`.
    #[error("nested too deep (a request may have {JSON_DEPTH_MAX} levels)")]
    TooDeep,
    /// An integer outside ±(2^53 − 1).
    #[error("integer outside ±(2^53 − 1): send it as a string")]
    IntegerTooLarge,
    /// A number that no double holds.
    #[error("number too large for a double")]
    NotFinite,
    /// Something follows the value.
    #[error("text after the end of the value")]
    Trailing,
}

/// Which integers outside ±(2^53 − 1) are accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LargeIntegers {
    /// None: the sender's integer would not survive other readers.
    Refused,
    /// Those that are exactly what JCS writes for a double, such as `10000000000000000` for 1e16; read as that double.
    AsDoubles,
}

/// Reads what a caller sent.
///
/// # Errors
/// `ReadError` for anything that is not exactly one value within the rules at the top of this file.
pub fn read(bytes: &[u8]) -> Result<Value, ReadError> {
    read_text(bytes, LargeIntegers::Refused, JSON_DEPTH_MAX)
}

/// Reads what a program made from our canonical text: a handler's output, or a client's copy of a result.
///
/// JCS, JavaScript and most JSON libraries spell the double 1e16 as `10000000000000000`. Where a text was made from
/// ours, such an integer is that double and loses nothing; any other integer outside ±(2^53 − 1) is refused.
///
/// # Errors
/// As `read`.
pub fn read_rendered(bytes: &[u8]) -> Result<Value, ReadError> {
    read_text(bytes, LargeIntegers::AsDoubles, JSON_DEPTH_MAX)
}

/// As `read_rendered`, for a result that stands inside one more object.
///
/// # Errors
/// As `read`.
pub fn read_presented(bytes: &[u8]) -> Result<Value, ReadError> {
    read_text(bytes, LargeIntegers::AsDoubles, PRESENTED_DEPTH_MAX)
}

/// As `read_rendered`, for what stands inside an answer of the host, or inside evidence.
///
/// # Errors
/// As `read`.
pub fn read_evidence(bytes: &[u8]) -> Result<Value, ReadError> {
    read_text(bytes, LargeIntegers::AsDoubles, EVIDENCE_DEPTH_MAX)
}

fn read_text(bytes: &[u8], large_integers: LargeIntegers, depth_max: usize) -> Result<Value, ReadError> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(ReadError { kind: ReadErrorKind::ByteOrderMark, offset: 0 });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ReadError { kind: ReadErrorKind::NotUtf8, offset: error.valid_up_to() })?;
    let mut reader = Reader { text, at: 0, depth: 0, depth_max, large_integers };
    reader.skip_space();
    let value = reader.value()?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.error(ReadErrorKind::Trailing));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    depth_max: usize,
    large_integers: LargeIntegers,
}

impl<'a> Reader<'a> {
    fn error(&self, kind: ReadErrorKind) -> ReadError {
        ReadError { kind, offset: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over `byte` if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn value(&mut self) -> Result<Value, ReadError> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) | None => Err(self.error(ReadErrorKind::Syntax("a value"))),
        }
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, ReadError> {
        if !self.rest().starts_with(word) {
            return Err(self.error(ReadErrorKind::Syntax("true, false or null")));
        }
        self.at += word.len();
        Ok(value)
    }

    /// Reads an array or object one level down.
    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, ReadError>) -> Result<Value, ReadError> {
        if self.depth == self.depth_max {
            return Err(self.error(ReadErrorKind::TooDeep));
        }
        self.at += 1; // the bracket
        self.depth += 1;
        self.skip_space();
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn array(&mut self) -> Result<Value, ReadError> {
        let mut elements = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(elements));
        }
        loop {
            self.skip_space();
            elements.push(self.value()?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::Array(elements));
            }
            if !self.take(b',') {
                return Err(self.error(ReadErrorKind::Syntax("',' or ']'")));
            }
        }
    }

    fn object(&mut self) -> Result<Value, ReadError> {
        let start = self.at;
        let mut members = Vec::new();
        if self.take(b'}') {
            return Ok(Value::Object(Members::default()));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.error(ReadErrorKind::Syntax("a member name in quotes")));
            }
            let name = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(self.error(ReadErrorKind::Syntax("':'")));
            }
            self.skip_space();
            members.push((name, self.value()?));
            self.skip_space();
            if self.take(b'}') {
                return Members::new(members)
                    .map(Value::Object)
                    .map_err(|_| ReadError { kind: ReadErrorKind::DuplicateMember, offset: start });
            }
            if !self.take(b',') {
                return Err(self.error(ReadErrorKind::Syntax("',' or '}'")));
            }
        }
    }

    fn string(&mut self) -> Result<String, ReadError> {
        self.at += 1; // the opening quote
        let mut string = String::new();
        loop {
            let n_plain = self
                .rest()
                .bytes()
                .position(|b| b == b'"' || b == b'\\' || b < 0x20)
                .ok_or_else(|| self.error(ReadErrorKind::Syntax("'\"' at the end of a string")))?;
            // The byte found is ASCII, so it is a character boundary.
            string.push_str(self.rest().get(..n_plain).unwrap_or_default());
            self.at += n_plain;
            if self.take(b'"') {
                return Ok(string);
            }
            if !self.take(b'\\') {
                return Err(self.error(ReadErrorKind::ControlCharacter));
            }
            string.push(self.escape()?);
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Result<char, ReadError> {
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            Some(_) | None => return Err(self.error(ReadErrorKind::Syntax("an escape such as \\n or \\u0041"))),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Result<char, ReadError> {
        let lone = self.error(ReadErrorKind::LoneSurrogate);
        let high = self.hex4()?;
        if let Some(character) = char::from_u32(high) {
            return Ok(character);
        }
        if high >= 0xdc00 || !self.rest().starts_with("\\u") {
            return Err(lone);
        }
        self.at += 2;
        let low = self.hex4()?;
        if !(0xdc00..=0xdfff).contains(&low) {
            return Err(lone);
        }
        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).ok_or(lone)
    }

    fn hex4(&mut self) -> Result<u32, ReadError> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.error(ReadErrorKind::Syntax("four hexadecimal digits")))?;
        self.at += 4;
        Ok(unit)
    }

    /// Steps over one or more digits.
    fn digits(&mut self) -> Result<(), ReadError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.error(ReadErrorKind::Syntax("a digit"))) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Value, ReadError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        } else if matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.error(ReadErrorKind::Syntax("no digit after a leading zero")));
        }
        let mut is_integer = true;
        if self.take(b'.') {
            is_integer = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            is_integer = false;
            if !self.take(b'-') {
                self.take(b'+');
            }
            self.digits()?;
        }
        let token = self.text.get(start..self.at).unwrap_or_default();
        let parsed = if is_integer { self.integer(token) } else { float(token) };
        parsed.map_err(|kind| ReadError { kind, offset: start })
    }

    fn integer(&self, token: &str) -> Result<Value, ReadErrorKind> {
        if let Ok(integer) = token.parse::<i64>()
            && (-JSON_INTEGER_MAX..=JSON_INTEGER_MAX).contains(&integer)
        {
            return Ok(Value::Integer(integer));
        }
        if self.large_integers == LargeIntegers::AsDoubles
            && let Ok(Value::Float(double)) = float(token)
        {
            let mut spelling = String::new();
            number::push_ecmascript(double, &mut spelling);
            if spelling == token {
                return Ok(Value::Float(double));
            }
        }
        Err(ReadErrorKind::IntegerTooLarge)
    }
}

fn float(token: &str) -> Result<Value, ReadErrorKind> {
    match token.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok(Value::Float(float)),
        Ok(_) | Err(_) => Err(ReadErrorKind::NotFinite),
    }
}

//! The two canonical spellings.
//!
//! In scope: RFC 8785 (JCS), and what CPython's `json.dumps(value, sort_keys=True)` writes, compact and spaced.
//! Out of scope: reading them back (`read`).

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use super::{Members, Value, number};

/// Room for most of what is spelled here, so that it seldom has to be moved while it grows.
const BYTES_AT_FIRST: usize = 512;

/// RFC 8785: members sorted by UTF-16 code unit, no white space, ECMAScript numbers, everything that need not be
/// escaped as it is.
#[must_use]
pub fn jcs(value: &Value) -> String {
    let mut out = String::with_capacity(BYTES_AT_FIRST);
    Writer { form: Form::Jcs, out: &mut out }.value(value);
    out
}

/// The JCS of one string.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    Writer { form: Form::Jcs, out: &mut out }.string(text);
    out
}

/// Displays the JCS of one string, to stand inside a larger text.
#[derive(Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.bytes().all(is_plain) {
            return f.write_str(&quoted(self.0));
        }
        f.write_str("\"")?;
        f.write_str(self.0)?;
        f.write_str("\"")
    }
}

/// Displays what may be missing: as `null`, then.
#[derive(Debug)]
pub struct Nullable<T>(pub Option<T>);

impl<T: fmt::Display> fmt::Display for Nullable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("null"),
            Some(value) => value.fmt(f),
        }
    }
}

/// `json.dumps(value, sort_keys=True, separators=(",", ":"))`: the spelling that ClawShield digests.
#[must_use]
pub fn pyjson_compact(value: &Value) -> String {
    let mut out = String::new();
    Writer { form: Form::PythonCompact, out: &mut out }.value(value);
    out
}

/// `json.dumps(value, sort_keys=True)`: the spelling that legacy receipts digest.
#[must_use]
pub fn pyjson_spaced(value: &Value) -> String {
    let mut out = String::new();
    Writer { form: Form::PythonSpaced, out: &mut out }.value(value);
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Jcs,
    PythonCompact,
    PythonSpaced,
}

impl Form {
    fn separators(self) -> (&'static str, &'static str) {
        match self {
            Self::Jcs | Self::PythonCompact => (",", ":"),
            Self::PythonSpaced => (", ", ": "),
        }
    }
}

struct Writer<'a> {
    form: Form,
    out: &'a mut String,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(true) => self.out.push_str("true"),
            Value::Bool(false) => self.out.push_str("false"),
            Value::Integer(integer) => {
                let _ = write!(self.out, "{integer}"); // a string takes everything
            }
            Value::Float(float) => match self.form {
                Form::Jcs => number::push_ecmascript(*float, self.out),
                Form::PythonCompact | Form::PythonSpaced => number::push_python(*float, self.out),
            },
            Value::String(string) => self.string(string),
            Value::Array(elements) => self.array(elements),
            Value::Object(members) => self.object(members),
        }
    }

    fn array(&mut self, elements: &[Value]) {
        let (between, _) = self.form.separators();
        self.out.push('[');
        for (i, element) in elements.iter().enumerate() {
            self.out.push_str(if i == 0 { "" } else { between });
            self.value(element);
        }
        self.out.push(']');
    }

    fn object(&mut self, members: &Members) {
        let (between, after_name) = self.form.separators();
        self.out.push('{');
        for (i, (name, value)) in self.in_order(members).iter().enumerate() {
            self.out.push_str(if i == 0 { "" } else { between });
            self.string(name);
            self.out.push_str(after_name);
            self.value(value);
        }
        self.out.push('}');
    }

    /// `Members` are in code point order, which is CPython's. JCS wants UTF-16 order, which differs only where a name
    /// has a character above U+DFFF.
    fn in_order<'a>(&self, members: &'a Members) -> Cow<'a, [(String, Value)]> {
        let orders_agree = members.0.iter().all(|(name, _)| name.is_ascii() || name.chars().all(|c| c < '\u{e000}'));
        if self.form != Form::Jcs || orders_agree {
            return Cow::Borrowed(&members.0);
        }
        let mut sorted = members.0.clone();
        sorted.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
        Cow::Owned(sorted)
    }

    fn string(&mut self, string: &str) {
        self.out.push('"');
        // Most texts have long stretches that every form spells as they are; those are copied whole.
        let mut rest = string;
        loop {
            let n_plain = rest.bytes().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
            let (plain, others) = rest.split_at(n_plain); // the byte before the split is ASCII, so it is a boundary
            self.out.push_str(plain);
            let mut characters = others.chars();
            let Some(character) = characters.next() else { break };
            rest = characters.as_str();
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\u{8}' => self.out.push_str("\\b"),
                '\t' => self.out.push_str("\\t"),
                '\n' => self.out.push_str("\\n"),
                '\u{c}' => self.out.push_str("\\f"),
                '\r' => self.out.push_str("\\r"),
                '\u{0}'..='\u{1f}' => self.escape(character),
                '\u{20}'..='\u{7e}' => self.out.push(character),
                _ => match self.form {
                    Form::Jcs => self.out.push(character),
                    Form::PythonCompact | Form::PythonSpaced => self.escape(character),
                },
            }
        }
        self.out.push('"');
    }

    /// Writes a character as UTF-16, escaped.
    fn escape(&mut self, character: char) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(self.out, "\\u{unit:04x}"); // a string takes everything
        }
    }
}

/// Whether every form spells this byte as itself.
fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'
}

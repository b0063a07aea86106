//! Signed notes, and the keys that sign them (C2SP signed-note).
//!
//! In scope: reading and writing a note strictly, key names, verifier keys.
//! Out of scope: what the text says (`checkpoint`), which keys are trusted, making signatures.
//!
//! Invariants
//! - Nothing of a note is true before a signature of it was verified.
//! - A note prints as the bytes it was parsed from: one spelling of every line.
//! - A signature by a key that is known verifies, or the note is refused. One by an unknown key is kept and ignored.

use std::fmt;

use crate::digest::Digest;
use crate::keys::{self, KeyError, PublicKey};
use crate::limits::{KEY_NAME_BYTES_MAX, NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX};

/// What a signature line begins with: an em dash and a space.
const LINE_START: &str = "\u{2014} ";

/// Names a key, and with it a log or a witness.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// What a key signs, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// A log's Ed25519 signature of the text (0x01).
    Log,
    /// A witness's Ed25519 signature of the text and the time it saw it (0x04, `cosignature/v1`).
    Witness,
}

/// A public key with its name and its use, as it is configured: `name+id+base64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    algorithm: Algorithm,
    key: PublicKey,
    id: [u8; 4],
}

/// One signature line. Nothing is known of it before it was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: KeyName,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

/// A text with signatures. Not to be believed before one was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// The text is no name of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key's name has 1 to {KEY_NAME_BYTES_MAX} bytes, no spaces, no control characters and no plus sign")]
pub struct NameSpelling;

/// Why a verifier key is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifierKeyError {
    /// Not `name+id+base64`.
    #[error("a verifier key is written name+id+key: the id as 8 lowercase hexadecimal digits, the key in base64")]
    Spelling,
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NameSpelling),
    /// Not a kind of key that is used here.
    #[error("a verifier key must be Ed25519: of a log (01) or of a witness (04)")]
    Algorithm,
    /// The public key is not acceptable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The id belongs to another name or key.
    #[error("the verifier key's id is not that of its name and key")]
    Id,
}

/// Why a note is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The note is too large.
    #[error("a note may have at most {NOTE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not lines of text, an empty line, and signature lines.
    #[error("not a signed note: lines of text, an empty line, and signature lines, each ended by a line feed")]
    Shape,
    /// A line below the empty line is no signature line.
    #[error("not a signature line: an em dash, a key's name and base64, with one space between")]
    Line,
    /// No signature line, or too many.
    #[error("a note must have 1 to {NOTE_SIGNATURES_MAX} signature lines")]
    Signatures,
}

impl KeyName {
    /// Reads a name.
    ///
    /// # Errors
    /// `NameSpelling`.
    pub fn parse(text: &str) -> Result<Self, NameSpelling> {
        let fits = (1..=KEY_NAME_BYTES_MAX).contains(&text.len());
        let plain = !text.chars().any(|c| c.is_whitespace() || c == '+' || c < ' ');
        if fits && plain { Ok(Self(text.to_owned())) } else { Err(NameSpelling) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Algorithm {
    /// The byte that C2SP gives this kind of signature.
    fn byte(self) -> u8 {
        match self {
            Self::Log => 0x01,
            Self::Witness => 0x04,
        }
    }
}

impl VerifierKey {
    /// The verifier key of this name, use and public key.
    #[must_use]
    pub fn new(name: KeyName, algorithm: Algorithm, key: PublicKey) -> Self {
        let digest = Digest::of_pieces(&[name.0.as_bytes(), b"\n", &[algorithm.byte()], key.as_bytes()]);
        let [a, b, c, d, ..] = *digest.as_bytes();
        Self { name, algorithm, key, id: [a, b, c, d] }
    }

    /// Reads a verifier key.
    ///
    /// # Errors
    /// `VerifierKeyError`, whose text says what to give instead.
    pub fn parse(text: &str) -> Result<Self, VerifierKeyError> {
        let (name, rest) = text.split_once('+').ok_or(VerifierKeyError::Spelling)?;
        let (id, key) = rest.split_once('+').ok_or(VerifierKeyError::Spelling)?;
        let name = KeyName::parse(name)?;
        let bytes = keys::decode_base64(key).map_err(|_| VerifierKeyError::Spelling)?;
        let (algorithm, key) = bytes.split_first().ok_or(VerifierKeyError::Spelling)?;
        let algorithm = match algorithm {
            0x01 => Algorithm::Log,
            0x04 => Algorithm::Witness,
            _ => return Err(VerifierKeyError::Algorithm),
        };
        let key = PublicKey::from_bytes(key.try_into().map_err(|_| VerifierKeyError::Spelling)?)?;
        let verifier = Self::new(name, algorithm, key);
        if hex::encode(verifier.id) == id { Ok(verifier) } else { Err(VerifierKeyError::Id) }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// What the key signs.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// A signature line of this key. What comes after the key ID is the kind's own.
    pub(super) fn line(&self, signature: Vec<u8>) -> NoteSignature {
        NoteSignature { name: self.name.clone(), key_id: self.id, signature }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.algorithm.byte()], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), keys::encode_base64(&key))
    }
}

impl NoteSignature {
    /// Reads a signature line, without its line feed.
    ///
    /// # Errors
    /// `NoteError::Line`.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let (name, bytes) =
            line.strip_prefix(LINE_START).and_then(|rest| rest.split_once(' ')).ok_or(NoteError::Line)?;
        let name = KeyName::parse(name).map_err(|_| NoteError::Line)?;
        let bytes = keys::decode_base64(bytes).map_err(|_| NoteError::Line)?;
        let (key_id, signature) = bytes.split_first_chunk().ok_or(NoteError::Line)?;
        if signature.is_empty() {
            return Err(NoteError::Line);
        }
        Ok(Self { name, key_id: *key_id, signature: signature.to_vec() })
    }

    /// The name of the key it claims to be by.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Whether it claims to be by this key. Name and ID together name a key, and prove nothing.
    #[must_use]
    pub fn claims(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.key_id == key.id
    }

    /// What comes after the key ID.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// The line, without its line feed.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.key_id.as_slice(), &self.signature].concat();
        write!(f, "{LINE_START}{} {}", self.name, keys::encode_base64(&bytes))
    }
}

impl Note {
    /// A note with its first signature. The text is the caller's own, and well-formed.
    pub(super) fn of(text: String, signature: NoteSignature) -> Self {
        Self { text, signatures: vec![signature] }
    }

    /// Reads a note.
    ///
    /// # Errors
    /// `NoteError` for anything that is not exactly a note.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLarge);
        }
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Shape);
        }
        // The text may have empty lines: the last one of the note is where it ends.
        let text_end = note.rfind("\n\n").and_then(|end| end.checked_add(1)).ok_or(NoteError::Shape)?;
        let (text, rest) = note.split_at_checked(text_end).ok_or(NoteError::Shape)?;
        let lines = rest.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n')).ok_or(NoteError::Signatures)?;
        if lines.split('\n').count() > NOTE_SIGNATURES_MAX {
            return Err(NoteError::Signatures);
        }
        let signatures = lines.split('\n').map(NoteSignature::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The same note with one more signature line. A line it has already is not repeated.
    ///
    /// # Errors
    /// `NoteError` when it is full.
    pub fn with(mut self, signature: NoteSignature) -> Result<Self, NoteError> {
        if self.signatures.contains(&signature) {
            return Ok(self);
        }
        if self.signatures.len() >= NOTE_SIGNATURES_MAX {
            return Err(NoteError::Signatures);
        }
        self.signatures.push(signature);
        if self.to_string().len() > NOTE_BYTES_MAX { Err(NoteError::TooLarge) } else { Ok(self) }
    }

    /// The text, with its last line feed. Not to be believed before a signature was verified.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in the order of the note.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const NOTE: &str = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n\
        — quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";

    #[test]
    fn a_note_prints_as_it_was_read() {
        let note = Note::parse(NOTE).unwrap();
        assert!(note.text().ends_with("sera.\n"));
        assert_eq!(note.to_string(), NOTE);
    }

    #[test]
    fn what_is_not_exactly_a_note_is_refused() {
        let line = NOTE.lines().last().unwrap();
        let many = |n: usize| format!("text\n\n{}", format!("{line}\n").repeat(n));
        assert!(Note::parse(&many(NOTE_SIGNATURES_MAX)).is_ok());
        for note in [
            String::new(),
            "\n".into(),
            "\n\n".into(),
            "text\n".into(),
            "text\n\n".into(),
            many(NOTE_SIGNATURES_MAX + 1),
            NOTE.trim_end().into(),
            format!("{NOTE}\n"),
            format!("{NOTE}text\n"),
            NOTE.replace("terra", "ter\rra"),
            NOTE.replace('—', "-"),
            NOTE.replace("— ", "—  "),
            NOTE.replace("salvatore ", "salvatore  "),
            NOTE.replace("salvatore ", "salva+tore "),
            NOTE.replace("salvatore ", "salva\u{2003}tore "),
            NOTE.replace("tIc=", "tIc"),
            NOTE.replace("tIc=", "tId="),
            "text\n\n— name NnugSw==\n".into(),
            format!("{}{NOTE}", "x".repeat(NOTE_BYTES_MAX)),
        ] {
            assert!(Note::parse(&note).is_err(), "{note:?}");
        }
    }

    #[test]
    fn a_verifier_key_has_one_spelling() {
        let text = "openexec.example/test-1/log1+bd163d22+AWtcdpRVZPq/VItYicneYKLNZvjcuPl2w57ji+BrEaz6";
        let key = VerifierKey::parse(text).unwrap();
        assert_eq!((key.algorithm(), key.to_string().as_str()), (Algorithm::Log, text));
        let witness = VerifierKey::new(key.name().clone(), Algorithm::Witness, key.key().clone());
        assert_eq!(VerifierKey::parse(&witness.to_string()), Ok(witness));
        let weak = keys::encode_base64(&[[1, 1].as_slice(), &[0; 31]].concat());
        for (other, error) in [
            (text.replace("log1", "log2"), VerifierKeyError::Id),
            (text.replace("bd163d22", "BD163D22"), VerifierKeyError::Id),
            (text.replace("bd163d22", "bd163d2"), VerifierKeyError::Id),
            (text.replace("+AW", "+Am"), VerifierKeyError::Algorithm),
            (text.replace("log1", "log 1"), VerifierKeyError::Name(NameSpelling)),
            (text.replace("openexec.example/test-1/log1", ""), VerifierKeyError::Name(NameSpelling)),
            (format!("{text}="), VerifierKeyError::Spelling),
            (format!("{text}AAAA"), VerifierKeyError::Spelling),
            (format!("name+00000000+{weak}"), VerifierKeyError::Key(KeyError::Weak)),
            ("name+00000000+".into(), VerifierKeyError::Spelling),
            ("name".into(), VerifierKeyError::Spelling),
        ] {
            assert_eq!(VerifierKey::parse(&other), Err(error), "{other}");
        }
    }
}

//! Why a transfer is refused.
//!
//! In scope: the list of reasons, the stable word of each for programs and its sentence for people.
//! Out of scope: deciding (`transfer`, `account`, `currency`).
//!
//! Invariants
//! - A word, once released, keeps its meaning; programs branch on it.
//! - No text contains anything from the payload. Refusals are recorded and outlive the erasure of the payload.

use std::fmt;

use crate::transfer::{AMOUNT_MINOR_MAX, MEMO_CHARS_MAX, PAYLOAD_BYTES_MAX, REFERENCE_CHARS_MAX};

/// A member is given by its name, which is one of ours, never one from the payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// Not a JSON object.
    NotAnObject,
    /// Longer than any well-formed payload can be.
    PayloadTooLarge,
    /// A required member is absent.
    MissingMember(&'static str),
    /// There is a member that a transfer does not have. It may be a misspelt one that mattered.
    UnknownMember,
    /// A member must be a string and is not (`null` is not a string: leave the member out).
    NotAString(&'static str),
    /// The amount is not a number, or has a fraction.
    AmountNotAnInteger,

    /// The amount is zero or less.
    AmountNotPositive,
    /// The amount is above what one transfer may carry.
    AmountOverLimit,
    /// Not an active ISO 4217 code in capital letters.
    CurrencyUnknown,
    /// An ISO 4217 code that no account is kept in: a metal, a fund, a unit of account, a test code.
    CurrencyNotTransferable,
    /// Neither an IBAN (country, length, capital letters and digits, no spaces) nor `acct:` and a name.
    AccountMalformed(&'static str),
    /// An IBAN whose check digits are wrong: probably a typing error.
    AccountChecksum(&'static str),
    /// From and to are the same account.
    SameAccount,
    /// More characters than a bank passes on.
    MemoTooLong,
    /// A control character, a line break, or an invisible one that changes the direction of the text: the person who
    /// approves must see what the receiver will see.
    MemoControlCharacter,
    /// Empty, too long, or with characters outside the SEPA set, or with slashes where SEPA has none.
    ReferenceMalformed,
}

/// The two ways to say no that the contract knows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// The payload does not have the shape of a transfer: what the payload schema says, and the size.
    Shape,
    /// It has the shape and breaks a rule.
    Rule,
}

impl Refusal {
    pub(crate) fn kind(self) -> Kind {
        self.row().0
    }

    /// The one table of kinds and words.
    fn row(self) -> (Kind, &'static str) {
        match self {
            Self::NotAnObject => (Kind::Shape, "not-an-object"),
            Self::PayloadTooLarge => (Kind::Shape, "payload-too-large"),
            Self::MissingMember(_) => (Kind::Shape, "missing-member"),
            Self::UnknownMember => (Kind::Shape, "unknown-member"),
            Self::NotAString(_) => (Kind::Shape, "not-a-string"),
            Self::AmountNotAnInteger => (Kind::Shape, "amount-not-an-integer"),
            Self::AmountNotPositive => (Kind::Rule, "amount-not-positive"),
            Self::AmountOverLimit => (Kind::Rule, "amount-over-limit"),
            Self::CurrencyUnknown => (Kind::Rule, "currency-unknown"),
            Self::CurrencyNotTransferable => (Kind::Rule, "currency-not-transferable"),
            Self::AccountMalformed(_) => (Kind::Rule, "account-malformed"),
            Self::AccountChecksum(_) => (Kind::Rule, "account-checksum"),
            Self::SameAccount => (Kind::Rule, "same-account"),
            Self::MemoTooLong => (Kind::Rule, "memo-too-long"),
            Self::MemoControlCharacter => (Kind::Rule, "memo-control-character"),
            Self::ReferenceMalformed => (Kind::Rule, "reference-malformed"),
        }
    }
}

/// `word: sentence`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.row().1)?;
        match self {
            Self::NotAnObject => write!(f, "the payload must be a JSON object"),
            Self::PayloadTooLarge => {
                write!(f, "the payload must be at most {PAYLOAD_BYTES_MAX} bytes")
            }
            Self::MissingMember(name) => write!(f, "{name} is required"),
            Self::UnknownMember => {
                write!(f, "a transfer has only amount_minor, currency, from, to, memo and reference")
            }
            Self::NotAString(name) => write!(f, "{name} must be a string"),
            Self::AmountNotAnInteger => {
                write!(f, "amount_minor must be an integer, in minor units of the currency")
            }
            Self::AmountNotPositive => write!(f, "amount_minor must be at least 1"),
            Self::AmountOverLimit => write!(f, "amount_minor must be at most {AMOUNT_MINOR_MAX}"),
            Self::CurrencyUnknown => {
                write!(f, "currency must be an active ISO 4217 code, such as EUR")
            }
            Self::CurrencyNotTransferable => {
                write!(f, "no account is kept in this currency code")
            }
            Self::AccountMalformed(name) => {
                write!(f, "{name} must be an IBAN without spaces, or acct: and a name")
            }
            Self::AccountChecksum(name) => write!(f, "the check digits of the IBAN in {name} are wrong"),
            Self::SameAccount => write!(f, "from and to must be different accounts"),
            Self::MemoTooLong => write!(f, "memo must be at most {MEMO_CHARS_MAX} characters"),
            Self::MemoControlCharacter => {
                write!(f, "memo must have no control, line break or text direction characters")
            }
            Self::ReferenceMalformed => write!(
                f,
                "reference must be 1 to {REFERENCE_CHARS_MAX} letters, digits, spaces or /-?:().,'+ \
                 and have no slash at either end and no two together"
            ),
        }
    }
}

//! Names that come from outside: one type each, one `parse`, one limit.
//!
//! In scope: the grammar of actions, nonces, tenants, audiences, and of the people and things in approvals.
//! Out of scope: whether a name is known (`registry`), used (`ledger`) or allowed (`admission`).
//!
//! Every name is printable ASCII: two names that look alike are alike, a name is safe in a log line, and its length in
//! bytes is its length.

use std::fmt;
use std::sync::Arc;

use crate::limits::{ACTION_BYTES_MAX, APPROVAL_TEXT_BYTES_MAX, AUDIENCE_BYTES_MAX, NONCE_BYTES_MAX, TENANT_BYTES_MAX};

/// A name is empty, too long, or has a character outside its alphabet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1 to {bytes_max} characters of {alphabet}")]
pub struct NameError {
    what: &'static str,
    bytes_max: usize,
    alphabet: &'static str,
}

/// Printable ASCII with the space: for values that callers choose freely.
fn is_printable(byte: u8) -> bool {
    (0x20..=0x7e).contains(&byte)
}

/// Printable ASCII without the space: for values that also stand in lists, logs and file names.
fn is_graphic(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $bytes_max:expr, $in_alphabet:expr, $alphabet:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Longest accepted, in bytes.
            pub const BYTES_MAX: usize = $bytes_max;

            /// Accepts the name, or says what is wrong with it.
            ///
            /// # Errors
            /// `NameError` when it is empty, too long, or has a character outside the alphabet.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let fits = (1..=Self::BYTES_MAX).contains(&text.len());
                if fits && text.bytes().all($in_alphabet) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { what: $what, bytes_max: Self::BYTES_MAX, alphabet: $alphabet })
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a kind of work, such as `payments.transfer`.
    Action, "action", ACTION_BYTES_MAX, is_graphic, "printable ASCII without spaces"
}
name! {
    /// The caller's unique value for one call. Its scope is `(tenant, nonce)`.
    Nonce, "nonce", NONCE_BYTES_MAX, is_printable, "printable ASCII"
}
name! {
    /// On whose behalf a call runs.
    Tenant, "tenant", TENANT_BYTES_MAX, is_graphic, "printable ASCII without spaces"
}
name! {
    /// Which host, or group of hosts sharing one ledger, a request is meant for.
    Audience, "audience", AUDIENCE_BYTES_MAX, is_graphic, "printable ASCII without spaces"
}

name! {
    /// A person or a program that asks for or approves calls, such as `alice@acme.example`.
    Principal, "principal", APPROVAL_TEXT_BYTES_MAX, is_graphic, "printable ASCII without spaces"
}
name! {
    /// An operator's name for something in a trust file: a key, a role, a class.
    Label, "name", APPROVAL_TEXT_BYTES_MAX, is_graphic, "printable ASCII without spaces"
}
name! {
    /// A text that an approval carries for its readers, such as the id of a decision.
    Note, "text", APPROVAL_TEXT_BYTES_MAX, is_printable, "printable ASCII"
}

/// The tenant of every call in demo mode. No approval can be for it, so that what ran without an approval is never
/// answered as approved.
const DEMO_TENANT: &str = "demo";

/// Why a tenant cannot be governed by approvals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// Not a tenant's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The tenant of demo mode.
    #[error("tenant '{DEMO_TENANT}' is what runs without approvals in demo mode; choose another name")]
    Demo,
}

impl Tenant {
    /// The tenant of every call in demo mode.
    #[must_use]
    pub fn demo() -> Self {
        Self(DEMO_TENANT.into())
    }

    /// Accepts the name of a tenant whose calls need approvals.
    ///
    /// # Errors
    /// `TenantError` when it is no name, or the one of demo mode.
    pub fn parse_governed(text: &str) -> Result<Self, TenantError> {
        let tenant = Self::parse(text)?;
        if tenant == Self::demo() { Err(TenantError::Demo) } else { Ok(tenant) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_at_its_limit_is_accepted_and_one_more_byte_is_not() {
        assert!(Nonce::parse(&"n".repeat(256)).is_ok());
        assert!(Nonce::parse(&"n".repeat(257)).is_err());
        assert!(Nonce::parse("").is_err());
    }

    #[test]
    fn control_characters_and_other_alphabets_are_refused() {
        for text in ["a\0b", "a\nb", "é", "\u{7f}"] {
            assert!(Nonce::parse(text).is_err(), "{text:?}");
        }
        assert!(Nonce::parse("a b").is_ok());
        assert!(Action::parse("a b").is_err());
    }

    #[test]
    fn the_error_says_what_to_send() {
        let error = Action::parse("").unwrap_err().to_string();
        assert_eq!(error, "action must be 1 to 128 characters of printable ASCII without spaces");
    }
}

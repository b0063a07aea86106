//! Account numbers: an IBAN (ISO 13616), or `acct:` and the name of an internal account.
//!
//! In scope: is the text an account number that can exist.
//! Out of scope: does the account exist, and whose is it.
//!
//! Invariants
//! - One account has one spelling: no spaces, no small letters in an IBAN. What was approved is what is instructed, so
//!   nothing is tidied up here, and two accounts are the same if their texts are.

use crate::refusal::Refusal;

/// Longest name of an internal account.
const NAME_CHARS_MAX: usize = 64;

/// An account number that can exist.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Account(String);

impl Account {
    /// `member` is where the text came from.
    pub(crate) fn parse(member: &'static str, text: &str) -> Result<Self, Refusal> {
        match text.strip_prefix("acct:") {
            Some(name) if is_name(name) => {}
            Some(_) => return Err(Refusal::AccountMalformed(member)),
            None if !has_iban_shape(text) => return Err(Refusal::AccountMalformed(member)),
            None if !has_iban_checksum(text) => return Err(Refusal::AccountChecksum(member)),
            None => {}
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(plain)
}

/// Two letters that have a length, two digits, and that length of capital letters and digits in all.
fn has_iban_shape(text: &str) -> bool {
    let (Some(country), Some(check_digits)) = (text.get(..2), text.get(2..4)) else {
        return false;
    };
    iban_chars(country) == Some(text.len())
        && check_digits.bytes().all(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// ISO 7064 MOD 97-10: with the first four characters moved to the end and letters read as 10 to 35, the number leaves
/// a remainder of 1. Check digits are made as 98 minus a remainder, so 00, 01 and 99 never are, though the remainder
/// would fit.
fn has_iban_checksum(iban: &str) -> bool {
    let (head, tail) = iban.split_at(4);
    let remainder = tail.chars().chain(head.chars()).fold(0, |remainder, c| {
        let value = c.to_digit(36).unwrap_or(0); // always a digit: the shape was looked at first
        let shift = if value < 10 { 10 } else { 100 };
        (remainder * shift + value) % 97
    });
    remainder == 1 && !["00", "01", "99"].contains(&&head[2..])
}

/// Length of an IBAN of the country. Source: SWIFT IBAN Registry, release 101 (December 2025).
fn iban_chars(country: &str) -> Option<usize> {
    let chars = match country {
        "NO" => 15,
        "BE" => 16,
        "DK" | "FI" | "FK" | "FO" | "GL" | "NL" | "SD" => 18,
        "MK" | "SI" => 19,
        "AT" | "BA" | "EE" | "KZ" | "LT" | "LU" | "MN" | "XK" => 20,
        "CH" | "HR" | "LI" | "LV" => 21,
        "BG" | "BH" | "CR" | "DE" | "GB" | "GE" | "IE" | "ME" | "RS" | "VA" => 22,
        "AE" | "GI" | "IL" | "IQ" | "OM" | "SO" | "TL" => 23,
        "AD" | "CZ" | "ES" | "MD" | "PK" | "RO" | "SA" | "SE" | "SK" | "TN" | "VG" => 24,
        "LY" | "PT" | "ST" => 25,
        "IS" | "TR" => 26,
        "BI" | "DJ" | "FR" | "GR" | "IT" | "MC" | "MR" | "SM" => 27,
        "AL" | "AZ" | "BY" | "CY" | "DO" | "GT" | "HN" | "HU" | "LB" | "NI" | "PL" | "SV" => 28,
        "BR" | "EG" | "PS" | "QA" | "UA" => 29,
        "JO" | "KW" | "MU" | "YE" => 30,
        "MT" | "SC" => 31,
        "LC" => 32,
        "RU" => 33,
        _ => return None,
    };
    Some(chars)
}

#[cfg(test)]
mod tests {
    use super::Account;
    use crate::refusal::Refusal;

    fn parse(text: &str) -> Result<Account, Refusal> {
        Account::parse("to", text)
    }

    #[test]
    fn ibans_of_the_registry_are_accounts() {
        for iban in [
            "DE89370400440532013000",
            "GB29NWBK60161331926819",
            "FR1420041010050500013M02606",
            "NO9386011117947",
            "MT84MALT011000012345MTLCAST001S",
            "CH9300762011623852957",
            "LC55HEMM000100010012001200023015",
            "NL91ABNA0417164300",
        ] {
            assert!(parse(iban).is_ok(), "{iban}");
        }
    }

    #[test]
    fn a_mistyped_iban_fails_its_checksum() {
        for iban in ["DE89370400440532013001", "DE98370400440532013000", "GB29NWBK60161331926891"] {
            assert_eq!(parse(iban), Err(Refusal::AccountChecksum("to")), "{iban}");
        }
    }

    #[test]
    fn check_digits_that_are_never_made_are_refused() {
        // Bank and account number whose right check digits are 97 and 98: 00 and 01 leave the same remainder.
        let n_accepted = (0..2000)
            .flat_map(|n| ["00", "01", "99"].map(|digits| format!("BE{digits}{n:012}")))
            .filter(|iban| parse(iban).is_ok())
            .count();
        assert_eq!(n_accepted, 0);
    }

    #[test]
    fn other_spellings_of_an_iban_are_malformed() {
        for text in [
            "",
            "D",
            "DE",
            "DE8937040044053201300",
            "DE893704004405320130000",
            "DE89 3704 0044 0532 0130 00",
            "de89370400440532013000",
            "DEX9370400440532013000",
            "ZZ89370400440532013000",
            "ÄÄ89370400440532013000",
            "DE8937040044053201300é",
            "iban:DE89370400440532013000",
        ] {
            assert_eq!(parse(text), Err(Refusal::AccountMalformed("to")), "{text}");
        }
    }

    #[test]
    fn internal_accounts_have_plain_names() {
        assert!(parse("acct:supplier-7").is_ok());
        assert!(parse(&format!("acct:{}", "x".repeat(64))).is_ok());
        for name in ["", "a b", "a/b", "é", &"x".repeat(65)] {
            let text = format!("acct:{name}");
            assert_eq!(parse(&text), Err(Refusal::AccountMalformed("to")), "{text}");
        }
        assert_eq!(parse("ACCT:a"), Err(Refusal::AccountMalformed("to")));
    }
}

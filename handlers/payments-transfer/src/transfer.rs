//! A transfer: reading it from the payload, checking it, and writing down what is to be done.
//!
//! In scope: members, their shapes and rules; the record that the caller gets; the instruction that goes out.
//! Out of scope: the handler contract (`lib`), account numbers (`account`), currency codes (`currency`).
//!
//! Invariants
//! - A `Transfer` has passed every check; there is no other way to get one.
//! - The whole shape is looked at before any rule, so a payload of the wrong shape is never told about rules.
//! - The record and the instruction are functions of the request alone: the same call writes the same bytes.

use serde_json::{Map, Value, json};

use crate::account::Account;
use crate::currency::Currency;
use crate::refusal::Refusal;

/// Largest transfer, in minor units: eleven digits, as in a SEPA credit transfer (999 999 999.99 EUR).
pub(crate) const AMOUNT_MINOR_MAX: u64 = 99_999_999_999;
/// Longest memo: the unstructured remittance information of a SEPA credit transfer.
pub(crate) const MEMO_CHARS_MAX: usize = 140;
/// Longest reference: the end-to-end identification of ISO 20022.
pub(crate) const REFERENCE_CHARS_MAX: usize = 35;
/// Several times what the members above can fill. It keeps the parsing of an oversized payload from using up the fuel,
/// which would be recorded as a fault and not as a refusal.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 4096;

/// A transfer that keeps all the rules.
#[derive(Debug, PartialEq)]
pub(crate) struct Transfer {
    amount_minor: u64,
    currency: Currency,
    from: Account,
    to: Account,
    memo: Option<String>,
    reference: Option<String>,
}

impl Transfer {
    pub(crate) fn parse(payload: &str) -> Result<Self, Refusal> {
        let written = Written::parse(payload)?;
        let transfer = Self {
            amount_minor: amount(written.amount)?,
            currency: Currency::parse(&written.currency)?,
            from: Account::parse("from", &written.from)?,
            to: Account::parse("to", &written.to)?,
            memo: written.memo.map(memo).transpose()?,
            reference: written.reference.map(reference).transpose()?,
        };
        if transfer.from == transfer.to {
            return Err(Refusal::SameAccount);
        }
        Ok(transfer)
    }

    /// What the caller gets, as JSON text.
    pub(crate) fn record(&self, exec_id: &str, issued_at: u64) -> String {
        let mut record = self.members(issued_at);
        record.insert("transfer_id".into(), json!(exec_id));
        record.insert("status".into(), json!("instructed"));
        Value::Object(record).to_string()
    }

    /// What whoever carries it out gets, as JSON text. The key is the same on every run of the same call.
    pub(crate) fn instruction(&self, exec_id: &str, tenant: &str, issued_at: u64) -> String {
        let mut instruction = self.members(issued_at);
        instruction.insert("idempotency_key".into(), json!(exec_id));
        instruction.insert("tenant".into(), json!(tenant));
        Value::Object(instruction).to_string()
    }

    fn members(&self, issued_at: u64) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("amount_minor".into(), json!(self.amount_minor));
        members.insert("amount".into(), json!(self.currency.decimal(self.amount_minor)));
        members.insert("currency".into(), json!(self.currency.code()));
        members.insert("from".into(), json!(self.from.as_str()));
        members.insert("to".into(), json!(self.to.as_str()));
        members.insert("requested_at".into(), json!(issued_at));
        if let Some(memo) = &self.memo {
            members.insert("memo".into(), json!(memo));
        }
        if let Some(reference) = &self.reference {
            members.insert("reference".into(), json!(reference));
        }
        members
    }
}

/// What was written: the right members with the right types, and nothing else looked at.
struct Written {
    amount: Amount,
    currency: String,
    from: String,
    to: String,
    memo: Option<String>,
    reference: Option<String>,
}

/// An integer. Only the range in which a transfer can be is kept exactly.
enum Amount {
    NotPositive,
    Positive(u64),
    /// Beyond any 64-bit integer, such as `1e+21`.
    Huge,
}

impl Written {
    fn parse(payload: &str) -> Result<Self, Refusal> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Refusal::PayloadTooLarge);
        }
        let Ok(Value::Object(mut members)) = serde_json::from_str(payload) else {
            return Err(Refusal::NotAnObject);
        };
        let written = Self {
            amount: Amount::parse(required(&mut members, "amount_minor")?)?,
            currency: string("currency", required(&mut members, "currency")?)?,
            from: string("from", required(&mut members, "from")?)?,
            to: string("to", required(&mut members, "to")?)?,
            memo: members.remove("memo").map(|value| string("memo", value)).transpose()?,
            reference: members.remove("reference").map(|value| string("reference", value)).transpose()?,
        };
        if members.is_empty() { Ok(written) } else { Err(Refusal::UnknownMember) }
    }
}

impl Amount {
    fn parse(value: Value) -> Result<Self, Refusal> {
        if let Some(integer) = value.as_u64() {
            return Ok(if integer == 0 { Self::NotPositive } else { Self::Positive(integer) });
        }
        match value.as_f64() {
            Some(double) if double.fract() != 0.0 => Err(Refusal::AmountNotAnInteger),
            Some(double) if double > 0.0 => Ok(Self::Huge),
            Some(_) => Ok(Self::NotPositive),
            None => Err(Refusal::AmountNotAnInteger),
        }
    }
}

fn required(members: &mut Map<String, Value>, name: &'static str) -> Result<Value, Refusal> {
    members.remove(name).ok_or(Refusal::MissingMember(name))
}

fn string(name: &'static str, value: Value) -> Result<String, Refusal> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(Refusal::NotAString(name))
        }
    }
}

fn amount(amount: Amount) -> Result<u64, Refusal> {
    match amount {
        Amount::NotPositive => Err(Refusal::AmountNotPositive),
        Amount::Positive(minor) if minor <= AMOUNT_MINOR_MAX => Ok(minor),
        Amount::Positive(_) | Amount::Huge => Err(Refusal::AmountOverLimit),
    }
}

fn memo(text: String) -> Result<String, Refusal> {
    if text.chars().any(misleads) {
        return Err(Refusal::MemoControlCharacter);
    }
    if text.chars().count() > MEMO_CHARS_MAX {
        return Err(Refusal::MemoTooLong);
    }
    Ok(text)
}

/// Can make a text look like another one: control characters, line and paragraph separators, direction marks.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The Latin set of the SEPA rulebooks, and their rule on slashes.
fn reference(text: String) -> Result<String, Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-?:().,'+ ".contains(&byte);
    let slashes_ok = !text.starts_with('/') && !text.ends_with('/') && !text.contains("//");
    if (1..=REFERENCE_CHARS_MAX).contains(&text.len()) && text.bytes().all(plain) && slashes_ok {
        Ok(text)
    } else {
        Err(Refusal::ReferenceMalformed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Transfer;
    use crate::refusal::{Kind, Refusal};

    const EXEC_ID: &str = "0d7a2f4e-5b1c-8e3f-9a6d-4c2b1a0f9e8d";

    fn payload() -> Value {
        json!({"amount_minor": 125_000, "currency": "EUR", "from": "DE89370400440532013000", "to": "acct:supplier-7"})
    }

    /// The refusal of a good payload with one member set to something else.
    fn refusal(name: &str, value: Value) -> Refusal {
        let mut payload = payload();
        payload[name] = value;
        Transfer::parse(&payload.to_string()).unwrap_err()
    }

    #[test]
    fn a_transfer_is_recorded_and_instructed() {
        let mut payload = payload();
        payload["memo"] = json!("Invoice 42 – août");
        payload["reference"] = json!("INV-42/2026");
        let transfer = Transfer::parse(&payload.to_string()).unwrap();
        let members = r#""amount":"1250.00","amount_minor":125000,"currency":"EUR","from":"DE89370400440532013000","#;
        let rest = r#""memo":"Invoice 42 – août","reference":"INV-42/2026","requested_at":1700000000000"#;
        assert_eq!(
            transfer.record(EXEC_ID, 1_700_000_000_000),
            format!(r#"{{{members}{rest},"status":"instructed","to":"acct:supplier-7","transfer_id":"{EXEC_ID}"}}"#)
        );
        let key = format!(r#""idempotency_key":"{EXEC_ID}","#);
        assert_eq!(
            transfer.instruction(EXEC_ID, "acme", 1_700_000_000_000),
            format!(r#"{{{members}{key}{rest},"tenant":"acme","to":"acct:supplier-7"}}"#)
        );
    }

    #[test]
    fn absent_options_stay_absent() {
        let record = Transfer::parse(&payload().to_string()).unwrap().record(EXEC_ID, 1);
        assert!(!record.contains("memo") && !record.contains("reference"));
    }

    #[test]
    fn a_payload_of_another_shape_is_invalid() {
        for name in ["amount_minor", "currency", "from", "to"] {
            let mut payload = payload();
            payload.as_object_mut().unwrap().remove(name);
            assert_eq!(Transfer::parse(&payload.to_string()), Err(Refusal::MissingMember(name)));
        }
        for name in ["currency", "from", "to", "memo", "reference"] {
            for value in [json!(null), json!(1), json!(true), json!([]), json!({})] {
                assert_eq!(refusal(name, value), Refusal::NotAString(name));
            }
        }
        assert_eq!(refusal("urgent", json!(true)), Refusal::UnknownMember);
        assert_eq!(Transfer::parse("[]"), Err(Refusal::NotAnObject));
        assert_eq!(Transfer::parse("{"), Err(Refusal::NotAnObject));
        assert_eq!(refusal("memo", json!("x".repeat(5000))), Refusal::PayloadTooLarge);
    }

    #[test]
    fn the_amount_is_a_positive_integer_within_the_limit() {
        for value in [json!(null), json!("100"), json!(true), json!(0.5), json!(-1.25)] {
            assert_eq!(refusal("amount_minor", value), Refusal::AmountNotAnInteger);
        }
        for value in [json!(0), json!(-1), json!(-1e300), json!(-0.0)] {
            assert_eq!(refusal("amount_minor", value), Refusal::AmountNotPositive);
        }
        for value in [json!(100_000_000_000_u64), json!(10_000_000_000_000_000_u64), json!(1e21)] {
            assert_eq!(refusal("amount_minor", value), Refusal::AmountOverLimit);
        }
        let mut payload = payload();
        payload["amount_minor"] = json!(99_999_999_999_u64);
        assert!(Transfer::parse(&payload.to_string()).is_ok());
    }

    #[test]
    fn the_two_accounts_differ_and_are_named_in_refusals() {
        assert_eq!(refusal("to", json!("DE89370400440532013000")), Refusal::SameAccount);
        assert_eq!(refusal("from", json!("DE89370400440532013001")), Refusal::AccountChecksum("from"));
        assert_eq!(refusal("to", json!("x")), Refusal::AccountMalformed("to"));
    }

    #[test]
    fn a_memo_is_short_and_shows_what_it_says() {
        assert_eq!(refusal("memo", json!("é".repeat(141))), Refusal::MemoTooLong);
        for c in ['\n', '\u{0}', '\u{7f}', '\u{85}', '\u{202e}', '\u{2066}', '\u{2028}'] {
            assert_eq!(refusal("memo", json!(format!("a{c}b"))), Refusal::MemoControlCharacter);
        }
        let mut payload = payload();
        payload["memo"] = json!("\u{1F600}".repeat(140));
        assert!(Transfer::parse(&payload.to_string()).is_ok());
    }

    #[test]
    fn a_reference_is_in_the_sepa_set() {
        for text in ["", "/a", "a/", "a//b", "é", "a_b", "a\n", &"x".repeat(36)] {
            assert_eq!(refusal("reference", json!(text)), Refusal::ReferenceMalformed, "{text}");
        }
    }

    #[test]
    fn shape_comes_before_rules_and_no_refusal_quotes_the_payload() {
        let secret = "hunter2";
        let payload = json!({"amount_minor": -1, "currency": secret, "from": secret, "to": secret, secret: secret});
        let refusal = Transfer::parse(&payload.to_string()).unwrap_err();
        assert_eq!(refusal.kind(), Kind::Shape);
        assert!(!refusal.to_string().contains(secret));
        assert!(!super::Refusal::CurrencyUnknown.to_string().contains(secret));
    }
}

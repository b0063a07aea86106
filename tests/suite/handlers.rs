//! The handlers that come with the host: built from this source, and doing what their page says.

use std::path::Path;
use std::process::Command;

use openexec_tests::host::Host;
use serde_json::{Value, json};

/// What `pack check` says when the recorded toolchain is not installed.
const OTHER_TOOLCHAIN: i32 = 3;

#[test]
fn the_committed_components_are_what_their_source_gives() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../handlers/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--package", "pack", "--manifest-path"])
        .arg(&manifest)
        .args(["--", "check"])
        .output()
        .expect("cargo runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(0) => {}
        Some(OTHER_TOOLCHAIN) => println!("not compared byte for byte: {said}"), // behaviour is checked below
        _ => panic!("{said}"),
    }
}

#[test]
fn echo_and_add_answer_as_the_predecessor_did() {
    let host = Host::start();
    let result = |action: &str, payload: Value, nonce: &str| {
        host.execute(action, &payload, nonce).expect(200).json()["result"].clone()
    };
    assert_eq!(result("echo", json!({"msg": "hello"}), "1"), json!({"echo": {"msg": "hello"}}));
    assert_eq!(result("add", json!({"a": 2, "b": 40}), "2"), json!({"sum": 42}));
    assert_eq!(result("add", json!({"a": 2}), "3"), json!({"sum": 2}));
    assert_eq!(result("add", json!({}), "4"), json!({"sum": 0}));
    assert_eq!(result("add", json!({"a": 0.5, "b": 1}), "5"), json!({"sum": 1.5}));
    for (nonce, payload) in [("6", json!({"a": "2"})), ("7", json!({"b": true})), ("8", json!({"a": null}))] {
        let answer = host.execute("add", &payload, nonce).expect(422);
        assert_eq!(
            (answer.code().as_str(), &answer.json()["failure"]),
            ("handler-rejected", &json!("invalid-payload"))
        );
    }
}

#[test]
fn the_largest_payload_can_be_echoed() {
    let host = Host::start();
    let frame = json!({"action": "echo", "payload": {"x": ""}, "nonce": "n"}).to_string().len();
    let text = "x".repeat(1024 * 1024 - frame);
    let answer = host.execute("echo", &json!({"x": text}), "n").expect(200);
    assert_eq!(answer.json()["result"]["echo"]["x"].as_str().map(str::len), Some(text.len()));
}

#[test]
fn a_transfer_returns_a_record_and_one_instruction() {
    let host = Host::start();
    let payload = json!({
        "amount_minor": 125_000, "currency": "EUR", "from": "DE89370400440532013000", "to": "acct:supplier-7",
        "memo": "Invoice 42 – août", "reference": "INV-42",
    });
    let answer = host.execute("payments.transfer", &payload, "t").expect(200).json();
    assert_eq!(answer["result"]["amount"], "1250.00");
    assert_eq!(answer["result"]["transfer_id"], answer["id"]);
    let effects = answer["effects"].as_array().expect("effects");
    assert_eq!(effects.len(), 1);
    assert_eq!(effects[0]["kind"], "payment.instruction");
    assert_eq!(effects[0]["body"]["idempotency_key"], answer["id"]);
    assert_eq!(effects[0]["body"]["amount_minor"], 125_000);
}

#[test]
fn a_transfer_is_refused_for_the_reason_a_bank_would_give() {
    let host = Host::start();
    let good = json!({"amount_minor": 100, "currency": "EUR", "from": "acct:a", "to": "acct:b"});
    let cases = [
        ("amount_minor", json!(0), "rejected", "amount-not-positive"),
        ("amount_minor", json!(-1), "rejected", "amount-not-positive"),
        ("amount_minor", json!(1.5), "invalid-payload", "amount-not-an-integer"),
        ("amount_minor", json!("100"), "invalid-payload", "amount-not-an-integer"),
        ("amount_minor", json!(9_007_199_254_740_991_i64), "rejected", "amount-over-limit"),
        ("currency", json!("EUX"), "rejected", "currency-unknown"),
        ("currency", json!("eur"), "rejected", "currency-unknown"),
        ("currency", json!("XXX"), "rejected", "currency-not-transferable"),
        ("currency", json!("XAU"), "rejected", "currency-not-transferable"),
        ("from", json!("DE88370400440532013000"), "rejected", "account-checksum"),
        ("to", json!("not an account"), "rejected", "account-malformed"),
        ("to", json!("acct:a"), "rejected", "same-account"),
        ("to", json!(7), "invalid-payload", "not-a-string"),
        ("memo", json!("x".repeat(141)), "rejected", "memo-too-long"),
        ("memo", json!("a\nb"), "rejected", "memo-control-character"),
        ("reference", json!("ümlaut"), "rejected", "reference-malformed"),
        ("surprise", json!(1), "invalid-payload", "unknown-member"),
    ];
    for (i, (member, value, failure, reason)) in cases.into_iter().enumerate() {
        let mut payload = good.clone();
        payload[member] = value;
        let answer = host.execute("payments.transfer", &payload, &format!("n{i}")).expect(422).json();
        let detail = answer["detail"].as_str().expect("a string");
        assert_eq!((answer["failure"].as_str(), detail.split(':').next()), (Some(failure), Some(reason)), "{payload}");
    }
    for member in ["amount_minor", "currency", "from", "to"] {
        let mut payload = good.clone();
        payload.as_object_mut().expect("an object").remove(member);
        let answer = host.execute("payments.transfer", &payload, &format!("without {member}")).expect(422).json();
        assert!(answer["detail"].as_str().expect("a string").starts_with("missing-member"), "{answer}");
    }
}

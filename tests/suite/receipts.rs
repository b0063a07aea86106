//! Receipts as callers get them: every outcome has one, it says what happened, shows nothing, and never changes; refusals
//! of authentic approvals are signed, and kept nowhere.

use std::sync::Arc;

use openexec_core::admission::Mode;
use openexec_core::approval::Format;
use openexec_core::digest::Digest;
use openexec_core::dsse::Envelope;
use openexec_core::json;
use openexec_core::keys::PublicKey;
use openexec_core::outcome::Status;
use openexec_core::receipt::opening::Salt;
use openexec_core::receipt::refusal::RefusalReceipt;
use openexec_core::receipt::{Receipt, Signed};
use openexec_ledger::Stats;
use openexec_tests::approvals::{self, AUDIENCE, NOW, TENANT};
use openexec_tests::client::Answer;
use openexec_tests::facts::receipt_key;
use openexec_tests::fixtures::write_registry;
use openexec_tests::host::{Host, Setup};
use openexec_tests::local::LocalHost;
use serde_json::{Value, json};

const MARKER: &str = "marker-of-the-plaintext";

/// What was signed, after its signature was verified.
#[track_caller]
fn verified(envelope: &Value, key: &PublicKey) -> Signed {
    let envelope = Envelope::parse(approvals::value(envelope)).expect("an envelope");
    let signed = Signed::of_envelope(&envelope).expect("a statement");
    signed.verify(key).expect("an authentic statement");
    signed
}

#[track_caller]
fn receipt_of(answer: &Answer, key: &PublicKey) -> Receipt {
    Receipt::parse(&verified(&answer.json()["signed_receipt"], key).statement).expect("a receipt")
}

fn salt(answer: &Answer, part: &str) -> Option<Salt> {
    answer.json()["openings"][part]["salt"].as_str().map(|text| Salt::parse(text).expect("a salt"))
}

/// The receipt key that a host made at its first start.
fn key_of(setup: &Setup) -> PublicKey {
    let pem = std::fs::read_to_string(setup.folder().join("openexec.db.receipt-key.pem.pub")).expect("a public key");
    PublicKey::parse_pem(&pem).expect("a key")
}

fn jcs(value: &Value) -> String {
    json::jcs(&json::read_rendered(value.to_string().as_bytes()).expect("JSON").canonical())
}

#[test]
fn every_outcome_has_a_receipt_that_verifies_says_what_happened_and_opens() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("endless-loop", "fuel = 10_000"), ("trap", "fuel = 10_000")]);
    let spinning = setup.with(&["--registry", registry.to_str().expect("a path")]).start();
    for (action, fault) in [("endless-loop", "out-of-fuel"), ("trap", "trap")] {
        let payload = json!({"memo": MARKER});
        let answer = spinning.execute(action, &payload, &format!("{MARKER}-{action}")).expect(500);
        let receipt = receipt_of(&answer, &key_of(&spinning.setup));
        assert_eq!((receipt.outcome, receipt.fault.map(|fault| fault.as_str())), (Status::Faulted, Some(fault)));
        assert_eq!((receipt.result, receipt.effects), (None, None));
        assert_eq!(salt(&answer, "payload").expect("a salt").commit(&jcs(&payload)), receipt.payload);
        assert!(answer.json()["openings"]["result"].is_null());
    }
    let host = Host::start();
    let key = key_of(&host.setup);
    let transfer = json!({"amount_minor": 1, "currency": "EUR", "from": "acct:a", "to": "acct:b", "memo": MARKER});
    let calls =
        [("payments.transfer", transfer, 200), ("add", json!({"a": MARKER}), 422), ("echo", json!({"x": 1.5}), 200)];
    for (action, payload, status) in calls {
        let nonce = format!("{MARKER}-{action}");
        let answer = host.execute(action, &payload, &nonce).expect(status);
        let body = answer.json();
        let receipt = receipt_of(&answer, &key);
        assert_eq!(receipt.exec_id.to_string(), body["id"].as_str().or(body["exec_id"].as_str()).expect("an id"));
        assert_eq!((receipt.action.as_str(), receipt.tenant.as_str()), (action, "demo"));
        assert_eq!(receipt.nonce, Digest::of(nonce.as_bytes()));
        assert_eq!((receipt.approval.as_ref(), receipt.repeated), (None, false));
        assert!(receipt.reserved_at <= receipt.sealed_at);
        assert_eq!(receipt.component, component_of(&host, action));
        assert_eq!(salt(&answer, "payload").expect("a salt").commit(&jcs(&payload)), receipt.payload);
        let (outcome, result) = match status {
            200 => (Status::Succeeded, jcs(&body["result"])),
            _ => (Status::Failed, jcs(&json!({"failure": body["failure"], "text": body["detail"]}))),
        };
        assert_eq!(receipt.outcome, outcome);
        assert_eq!(salt(&answer, "result").map(|salt| salt.commit(&result)), receipt.result);
        let effects = receipt.effects.map(|effects| (effects.count, effects.commitment));
        let shown = salt(&answer, "effects").map(|salt| {
            let list = body["effects"].as_array().expect("a list");
            (list.len() as u64, salt.commit(&jcs(&body["effects"])))
        });
        assert_eq!(effects, shown);
        if status == 200 {
            assert_eq!(receipt.resources.fuel, body["resources"]["fuel"].as_u64().expect("fuel"));
        }
        // The signed bytes are canonical JSON, and show nothing that a caller or a handler wrote.
        let statement = verified(&body["signed_receipt"], &key).statement;
        assert_eq!(json::jcs(&json::read(statement.as_bytes()).expect("JSON")), *statement);
        assert!(!statement.contains(MARKER), "{statement}");
        let again = host.execute(action, &payload, &nonce);
        assert!(again.is_replay() && again.body == answer.body, "a replay is the same, byte for byte");
    }
    assert_eq!(host.stop().code(), Some(0));
}

fn component_of(host: &Host, action: &str) -> Digest {
    let listed = host.setup.run(&["registry", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let list = listed["actions"].as_array().cloned().unwrap_or_else(|| listed.as_array().cloned().expect("a list"));
    let entry = list.iter().find(|entry| entry["action"] == action).expect("the action");
    Digest::parse(entry["sha256"].as_str().or(entry["component"]["sha256"].as_str()).expect("a digest"))
        .expect("a digest")
}

#[test]
fn no_two_receipts_have_a_salt_in_common_and_nothing_tells_equal_payloads_apart() {
    let host = Host::start();
    let answers: Vec<_> =
        (0..8).map(|n| host.execute("echo", &json!({"same": 1}), &format!("n{n}")).expect(200)).collect();
    let mut seen = std::collections::BTreeSet::new();
    for answer in &answers {
        let receipt = receipt_of(answer, &key_of(&host.setup));
        assert!(seen.insert(receipt.payload.to_string()), "the same payload, another commitment");
        for part in ["payload", "result", "effects"] {
            assert!(seen.insert(salt(answer, part).expect("a salt").to_string()));
        }
    }
}

#[test]
fn a_receipt_names_the_approval_its_signers_and_what_it_carries() {
    let host = LocalHost::start(AUDIENCE, Mode::Clawshield(Arc::new(approvals::trust())));
    host.clock.set(approvals::at(NOW));
    let request = approvals::request("echo", &json!({"a": 1}), "nonce-0123456789-a");
    let mut body = approvals::body(&request, approvals::at(NOW));
    body.policy_bundle = Some(Digest::of(b"policy"));
    body.preview = Some(Digest::of(b"preview"));
    let key = approvals::key("shield");
    let approval = approvals::sign_v2(&body.spell(), &[&key]);
    let call = approvals::submission(&request, &approval);
    let answer = host.execute(&call, None).expect(200);
    let receipt = receipt_of(&answer, receipt_key().public());
    let facts = receipt.approval.expect("an approval");
    assert_eq!(facts.format, Format::V2);
    assert_eq!(
        facts.reference,
        openexec_core::approval::Approval::parse(approvals::value(&approval)).unwrap().reference()
    );
    assert_eq!(facts.signers, [approvals::public(&key).id()]);
    assert_eq!(facts.trust, approvals::trust().file().map(openexec_core::trust::TrustFile::digest));
    assert_eq!((facts.policy_bundle, facts.preview), (body.policy_bundle, body.preview));
    assert_eq!(receipt.tenant.as_str(), TENANT);
}

#[test]
fn the_refusal_of_an_authentic_approval_is_signed_and_leaves_nothing_in_the_ledger() {
    let host = LocalHost::start(AUDIENCE, Mode::Clawshield(Arc::new(approvals::trust())));
    host.clock.set(approvals::at(NOW));
    let request = approvals::request("echo", &json!({"memo": MARKER}), "nonce-0123456789-b");
    let key = approvals::key("shield");
    let approval = approvals::sign_v2(&approvals::body(&request, approvals::at(NOW)).spell(), &[&key]);
    let call = approvals::submission(&request, &approval);
    let other = {
        let mut other = call.clone();
        other["payload"] = json!({"memo": "another"});
        other
    };
    let refused = |call: &Value, status: u16, code: &str, member: Option<&str>| {
        let answer = host.execute(call, None).expect(status);
        assert_eq!(answer.code(), code);
        let signed = verified(&answer.json()["refusal_receipt"], receipt_key().public());
        let receipt = RefusalReceipt::parse(&signed.statement).expect("a refusal");
        assert_eq!((receipt.code.as_str(), receipt.member.as_deref()), (code, member));
        assert_eq!(receipt.approval.signers, [approvals::public(&key).id()]);
        assert_eq!(receipt.tenant.as_str(), TENANT);
        assert!(
            !signed.statement.contains(MARKER) && Receipt::parse(&signed.statement).is_err(),
            "no receipt of a run"
        );
        receipt
    };
    let mismatch = refused(&other, 403, "approval-mismatch", Some("payload"));
    host.clock.set(approvals::at("2027-01-01T00:00:00Z"));
    let expired = refused(&call, 403, "approval-expired", None);
    assert_ne!(mismatch.fingerprint, expired.fingerprint, "each is about the request that was refused");
    assert_eq!(host.ledger.stats().unwrap(), Stats::default());
    assert_eq!(host.ledger.references(0, 10).unwrap(), [], "a refusal is given to the caller and kept nowhere");
    // Nobody who holds no authentic approval gets a signature of the host.
    let mut forged = approval.clone();
    forged["signatures"][0]["sig"] = json!("A".repeat(86) + "==");
    for (approval, code) in [(Some(&forged), "approval-invalid"), (None, "approval-required")] {
        let answer = host.execute(&json!({"action": "echo", "nonce": "n"}), approval);
        assert_eq!(answer.code(), code);
        assert!(answer.json().get("refusal_receipt").is_none(), "{}", answer.text());
    }
}

#[test]
fn an_erased_execution_is_answered_with_its_receipt_and_without_what_opened_it() {
    let host = Host::start();
    let first = host.execute("echo", &json!({"memo": MARKER}), "n").expect(200);
    assert!(host.setup.run(&["ledger", "purge", "--older-than-days", "0"]).status.success());
    let erased = host.execute("echo", &json!({"memo": MARKER}), "n").expect(410);
    assert_eq!(erased.json()["signed_receipt"], first.json()["signed_receipt"]);
    assert!(erased.json().get("openings").is_none(), "{}", erased.text());
    receipt_of(&erased, &key_of(&host.setup));
    let salt = first.json()["openings"]["payload"]["salt"].as_str().expect("a salt").to_owned();
    assert!(!erased.text().contains(&salt));
}

#[test]
fn a_reservation_that_a_dead_host_left_is_sealed_as_repeated_with_the_approval_that_permitted_it() {
    let setup = Setup::new();
    std::fs::write(setup.folder().join("trust.toml"), approvals::trust_file_text()).expect("a file");
    let setup = setup.variable("OPENEXEC_MODE", "clawshield").variable("OPENEXEC_TRUST_FILE", "trust.toml");
    let host = setup.start();
    let registry: Value =
        serde_json::from_slice(&host.setup.run(&["registry", "list", "--json"]).stdout).expect("JSON");
    drop(registry);
    let digest = component_of(&host, "echo");
    let setup = host.kill();
    // What a host leaves that dies after its reservation and before its seal.
    let body = br#"{"action":"echo","payload":{"a":1},"nonce":"left-0123456789"}"#;
    let facts =
        openexec_tests::facts::reserved(TENANT, body, digest, openexec_core::registry::Limits::default(), 1_000);
    let approval = openexec_tests::facts::approval_use(Format::V2, Digest::of(b"an approval"), "{}");
    let exec_id = facts.exec_id;
    {
        use openexec_ledger::Ledger as _;
        let ledger = openexec_ledger::sqlite::SqliteLedger::open(&setup.ledger()).expect("a ledger");
        let reserved = openexec_core::reservation::Reserved { approval: Some(approval.clone()), ..facts };
        ledger.reserve(reserved).wait().expect("reserved");
    }
    let host = setup.start();
    let setup = host.kill();
    let ledger = openexec_ledger::sqlite::SqliteLedger::open(&setup.ledger()).expect("a ledger");
    use openexec_ledger::Receipts as _;
    let logged = ledger.logged(exec_id).unwrap().expect("a receipt");
    logged.signed.verify(&key_of(&setup)).expect("authentic");
    let receipt = Receipt::parse(&logged.signed.statement).expect("a receipt");
    assert!(receipt.repeated, "an earlier run ended without a seal");
    assert_eq!(receipt.approval, Some(approval.facts));
}

//! Schemas: what a handler says of itself is held to, at the start and at each call, and no schema makes the host hang.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use openexec_core::admission::PayloadCheck;
use openexec_core::digest::Digest;
use openexec_core::limits::{SCHEMA_BYTES_MAX, VIOLATIONS_MAX};
use openexec_core::names::Action;
use openexec_core::outcome::{Fault, Outcome};
use openexec_core::receipt::Signed;
use openexec_core::receipt::refusal::RefusalReceipt;
use openexec_core::registry::{Description, Limits, Pin, Profile};
use openexec_core::reservation::Reservation;
use openexec_core::time::Timestamp;
use openexec_sandbox::{ComponentFile, Sandbox, Schemas, Settings, StartError};
use openexec_tests::approvals;
use openexec_tests::facts;
use openexec_tests::host::Setup;
use serde_json::{Value, json};

/// What the fixture `well-behaved` does when it is asked what it is.
const DESCRIBE: &str = r#"(func (export "describe") (result i32) (i32.const 0))"#;

const ANYTHING: &str = "{}";

/// Takes an amount of at least 1, and names nothing else.
const AMOUNT: &str = r#"{"type":"object","properties":{"amount":{"type":"integer","minimum":1},"to":{"type":"object","properties":{"name":{"type":"string","pattern":"^[a-z]+$"}}}},"required":["amount"],"additionalProperties":false}"#;

/// What `well-behaved` answers.
const OK: &str = r#"{"type":"object","properties":{"ok":{"const":true}},"required":["ok"]}"#;

/// What it does not.
const NOT_OK: &str = r#"{"type":"object","properties":{"ok":{"const":false}},"required":["ok"]}"#;

fn description(payload_schema: &str, output_schema: &str) -> Description {
    Description {
        title: "A title".to_owned(),
        summary: "A summary.".to_owned(),
        payload_schema: payload_schema.to_owned(),
        output_schema: output_schema.to_owned(),
    }
}

/// `well-behaved`, but that it describes itself so, and with `describe` as its code for that.
fn component(said: &Description, describe: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/well-behaved.wat", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).expect("a fixture");
    let (before, rest) = text.split_once("(data (i32.const 0)").expect("its description");
    let (_, after) = rest.split_once("(data (i32.const 32)").expect("its answer");
    let texts = [&said.title, &said.summary, &said.payload_schema, &said.output_schema];
    let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let (mut at, mut record, mut data) = (65_536_u32, Vec::new(), String::new());
    for text in texts {
        let len = u32::try_from(text.len()).expect("a length");
        record.extend_from_slice(&at.to_le_bytes());
        record.extend_from_slice(&len.to_le_bytes());
        data.push_str(&format!("(data (i32.const {at}) \"{}\")\n", escaped(text.as_bytes())));
        at += len;
    }
    let pages = at / 65_536 + 1;
    let text = format!("{before}(data (i32.const 0) \"{}\")\n{data}(data (i32.const 32){after}", escaped(&record));
    assert!(text.contains(DESCRIBE));
    let text = text.replace(DESCRIBE, describe);
    let text = text.replace(r#"(memory (export "memory") 1)"#, &format!(r#"(memory (export "memory") {pages})"#));
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// Writes a registry that pins this component as `work`, described like that or not at all.
fn write_registry(setup: &Setup, bytes: &[u8], described: Option<&Description>) -> PathBuf {
    fs::write(setup.folder().join("work.wasm"), bytes).expect("a component");
    let mut registry = format!(
        "version = 1\n[action.work]\ncomponent = \"work.wasm\"\nsha256 = \"{}\"\nversion = \"1\"\nprofile = \"pure\"\n",
        Digest::of(bytes)
    );
    if let Some(said) = described {
        let quoted = |text: &str| Value::from(text).to_string();
        registry.push_str(&format!(
            "[action.work.description]\ntitle = {}\nsummary = {}\npayload_schema = {}\noutput_schema = {}\n",
            quoted(&said.title),
            quoted(&said.summary),
            quoted(&said.payload_schema),
            quoted(&said.output_schema)
        ));
    }
    let path = setup.folder().join("registry.toml");
    fs::write(&path, registry).expect("a registry");
    path
}

fn pinned(setup: &Setup, bytes: &[u8], described: Option<&Description>) -> Setup {
    let registry = write_registry(setup, bytes, described);
    setup.clone().with(&["--registry", &registry.display().to_string()])
}

fn sandbox(bytes: Vec<u8>, described: Option<Description>) -> Result<Sandbox, StartError> {
    let pin = Pin {
        component: "work.wasm".to_owned(),
        digest: Digest::of(&bytes),
        version: "1".to_owned(),
        profile: Profile::Pure,
        limits: Limits::default(),
        description: described,
    };
    let action = Action::parse("work").expect("a name");
    let file = ComponentFile { action, pin, path: "work.wasm".to_owned(), bytes };
    Sandbox::start(vec![file], Settings { n_slots: 1 })
}

fn refusal_of(schema: &str) -> String {
    Schemas::compile(&description(schema, ANYTHING)).expect_err("a refusal").to_string()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_payload_that_does_not_fit_is_refused_with_every_place_and_leaves_the_nonce_free() {
    let said = description(AMOUNT, OK);
    let host = pinned(&Setup::new(), &component(&said, DESCRIBE), Some(&said)).start();
    let wrong = json!({"amount": "secret-7", "to": {"name": "Secret-8"}, "secret_9": 1});
    let answer = host.execute("work", &wrong, "n").expect(422);
    assert_eq!((answer.code().as_str(), &answer.json()["retryable"]), ("payload-invalid", &json!(false)));
    let violations = answer.json()["violations"].as_array().expect("a list").clone();
    let mut places: Vec<_> = violations
        .iter()
        .map(|violation| (violation["pointer"].as_str().expect("text"), violation["keyword"].as_str().expect("text")))
        .collect();
    places.sort_unstable();
    assert_eq!(places, [("", "additionalProperties"), ("/amount", "type"), ("/to/name", "pattern")]);
    assert!(violations.iter().all(|violation| violation["message"].as_str().is_some_and(|text| text.len() > 10)));
    assert!(!answer.text().to_lowercase().contains("secret"), "{}", answer.text());
    assert!(!host.log().to_lowercase().contains("secret"), "nor in the log");
    let missing = host.execute("work", &json!({}), "n").expect(422);
    assert_eq!(missing.json()["violations"][0]["keyword"], "required");
    assert_eq!(host.setup.stats()["succeeded"].as_u64().unwrap_or_default(), 0);
    let answer = host.execute("work", &json!({"amount": 7}), "n").expect(200);
    assert!(!answer.is_replay(), "the nonce was free");
    assert!(host.execute("work", &json!({"amount": 7}), "n").expect(200).is_replay());
    // The nonce is taken now, and that is what whoever sends something else with it hears.
    assert_eq!(host.execute("work", &wrong, "n").expect(422).code(), "nonce-reuse");
}

#[test]
fn no_more_violations_are_told_than_anybody_reads() {
    let schema = r#"{"properties":{"list":{"items":{"type":"integer"}}}}"#;
    let said = description(schema, OK);
    let sandbox = sandbox(component(&said, DESCRIBE), Some(said)).expect("a sandbox");
    let payload = json!({"list": vec!["x"; 10_000]}).to_string();
    let violations = sandbox.violations(&Action::parse("work").expect("a name"), &payload);
    assert_eq!(violations.len(), VIOLATIONS_MAX);
    assert_eq!(violations[31].pointer, "/list/31");
}

#[test]
fn what_was_sealed_before_the_handler_was_described_stays_what_it_is() {
    let setup = Setup::new();
    let said = description(AMOUNT, NOT_OK);
    let bytes = component(&said, DESCRIBE);
    let host = pinned(&setup, &bytes, None).start();
    let first = host.execute("work", &json!({}), "n").expect(200);
    host.stop();
    let host = pinned(&setup, &bytes, Some(&said)).start();
    let again = host.execute("work", &json!({}), "n").expect(200);
    assert!(again.is_replay() && again.body == first.body);
    assert_eq!(host.execute("work", &json!({}), "m").expect(422).code(), "payload-invalid");
    // And no audit takes it for a forgery, because no receipt says how the handler was described then.
    let audited = setup.run(&["ledger", "audit", "--registry", "registry.toml"]);
    assert!(audited.status.success(), "{}", self::said(&audited));
}

#[test]
fn a_result_that_is_not_what_the_handler_says_it_gives_is_a_fault_that_every_repetition_finds() {
    let setup = Setup::new();
    let said = description(ANYTHING, NOT_OK);
    let bytes = component(&said, DESCRIBE);
    let host = pinned(&setup, &bytes, Some(&said)).with(&["--audit-one-in", "1"]).start();
    let answer = host.execute("work", &json!({}), "n").expect(500);
    assert_eq!((answer.code().as_str(), &answer.json()["fault"]), ("handler-faulted", &json!("output-invalid")));
    let again = host.execute("work", &json!({}), "n").expect(500);
    assert!(again.is_replay() && again.body == answer.body);
    host.get("/ready").expect(200); // the self-audit has found no difference
    host.stop();
    let audited = setup.run(&["ledger", "audit", "--registry", "registry.toml"]);
    assert!(audited.status.success(), "{}", self::said(&audited));
}

#[test]
fn a_repetition_without_a_registry_comes_to_the_verdict_that_was_sealed() {
    let run = |sandbox: &Sandbox, bytes: &[u8], fault: Option<Fault>| {
        let body = br#"{"action":"work","payload":{},"nonce":"nonce"}"#;
        let limits = Limits::default();
        let facts = facts::reserved("demo", body, Digest::of(bytes), limits, 1_700_000_000_000);
        let sealed = sandbox.run(&Reservation::made_durable(facts.clone()), Arc::new(|| false)).expect("a run");
        let again = sandbox.rerun_like(&openexec_core::reservation::Rerun::of(facts), fault).expect("a run");
        (sealed, again)
    };
    let said = description(ANYTHING, NOT_OK);
    let bytes = component(&said, DESCRIBE);
    let described = sandbox(bytes.clone(), Some(said)).expect("a sandbox");
    let undescribed = sandbox(bytes.clone(), None).expect("a sandbox");
    let invalid = Some(Fault::OutputInvalid);
    let (sealed, again) = run(&described, &bytes, invalid);
    assert_eq!((sealed.outcome.fault(), &sealed), (invalid, &again));
    // Whoever verifies has the component alone.
    assert_eq!(run(&undescribed, &bytes, invalid).1, sealed, "the same outcome, fuel and memory");
    let (sealed, again) = run(&undescribed, &bytes, None);
    assert!(matches!(sealed.outcome, Outcome::Succeeded { .. }) && again == sealed);
    // A success cannot be passed off as such a fault.
    let said = description(ANYTHING, OK);
    let bytes = component(&said, DESCRIBE);
    let fitting = sandbox(bytes.clone(), None).expect("a sandbox");
    assert!(matches!(run(&fitting, &bytes, invalid).1.outcome, Outcome::Succeeded { .. }));
}

#[test]
fn whoever_holds_the_component_of_a_described_handler_repeats_what_its_receipts_say() {
    for (output_schema, status, id) in [(OK, 200, "id"), (NOT_OK, 500, "exec_id")] {
        let setup = Setup::new();
        let described = description(ANYTHING, output_schema);
        let host = pinned(&setup, &component(&described, DESCRIBE), Some(&described)).start();
        let answer = host.execute("work", &json!({"n": 1}), "n").expect(status).json();
        let exec_id = answer[id].as_str().expect("an id");
        assert!(host.stop().success());
        let exported = setup.run(&["receipt", "export", exec_id]);
        assert!(exported.status.success(), "{}", said(&exported));
        fs::write(setup.folder().join("evidence.json"), &exported.stdout).expect("a file");
        let log_key = said(&setup.run(&["log", "key"]));
        let replay = |component: &str| {
            let keys = ["--receipt-key", "openexec.db.receipt-key.pem.pub", "--log-key", log_key.trim()];
            let verify = ["receipt", "verify", "evidence.json", "--json", "--replay", component];
            let verified = setup.run(&[&verify[..], &keys].concat());
            let report: Value =
                serde_json::from_slice(&verified.stdout).unwrap_or_else(|_| panic!("{}", said(&verified)));
            let aspects = report["aspects"].as_array().expect("a list").clone();
            let aspect = aspects.into_iter().find(|aspect| aspect["aspect"] == "re-execution");
            aspect.unwrap_or_else(|| panic!("{report}"))
        };
        let repeated = replay("work.wasm");
        assert_eq!(repeated["verdict"], "pass", "{repeated}");
        assert!(repeated["detail"].as_str().is_some_and(|detail| detail.starts_with("the same outcome")), "{repeated}");
        // The same code with another description is another component, and repeats nothing.
        let other = component(&description(AMOUNT, output_schema), DESCRIBE);
        fs::write(setup.folder().join("other.wasm"), other).expect("a component");
        assert_eq!(replay("other.wasm")["verdict"], "fail");
    }
}

#[test]
fn whoever_has_no_approval_learns_nothing_of_schemas_and_whoever_has_one_gets_a_signed_refusal() {
    let said = description(AMOUNT, OK);
    let setup = Setup::new();
    let shield = approvals::key("shield");
    let host = pinned(&setup, &component(&said, DESCRIBE), Some(&said))
        .variable("OPENEXEC_MODE", "clawshield")
        .variable("CLAWSHIELD_PUBLIC_KEY", &approvals::public(&shield).to_pem())
        .variable("CLAWSHIELD_TENANT_ID", "acme")
        .start();
    let payload = json!({"amount": "secret-7"});
    let refused = host.execute("work", &payload, "n").expect(403);
    assert_eq!(refused.code(), "approval-required");
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let now = u64::try_from(since_epoch.as_millis()).expect("a date");
    let approved = |payload: &Value, issued_ms: u64, expires_ms: u64| {
        let request = approvals::request("work", payload, "n");
        let date = |ms: u64| Timestamp::from_unix_ms(ms).to_string();
        let artifact = approvals::artifact(&request, "acme", &date(issued_ms), &date(expires_ms), &shield);
        host.post("/execute", approvals::submission(&request, &artifact).to_string().as_bytes())
    };
    // An approval whose time is over permits nothing, and tells nothing.
    assert_eq!(approved(&payload, now - 600_000, now - 300_000).expect(403).code(), "approval-expired");
    let answer = approved(&payload, now, now + 300_000).expect(422);
    assert_eq!(
        (answer.code().as_str(), &answer.json()["violations"][0]["pointer"]),
        ("payload-invalid", &json!("/amount"))
    );
    let envelope = openexec_core::dsse::Envelope::parse(approvals::value(&answer.json()["refusal_receipt"]));
    let signed = Signed::of_envelope(&envelope.expect("an envelope")).expect("a statement");
    let receipt = RefusalReceipt::parse(&signed.statement).expect("a refusal");
    assert_eq!(receipt.code, "payload-invalid");
    assert!(!signed.statement.contains("secret") && !signed.statement.contains("amount"), "{}", signed.statement);
    approved(&json!({"amount": 7}), now, now + 300_000).expect(200);
}

#[test]
fn a_handler_that_is_not_what_the_registry_says_of_it_does_not_start() {
    let good = description(AMOUNT, OK);
    let loops = r#"(func (export "describe") (result i32) (loop $more (br $more)) (unreachable))"#;
    let traps = r#"(func (export "describe") (result i32) (unreachable))"#;
    let out_of_bounds = r#"(func (export "describe") (result i32) (i32.const 0x7ffffff0))"#;
    let lie = Description { summary: "Another summary.".to_owned(), ..good.clone() };
    let looser = Description { payload_schema: ANYTHING.to_owned(), ..good.clone() };
    let no_json = description("this is no JSON", OK);
    let no_schema = description(r#"{"type":"number or so"}"#, OK);
    let remote = description(OK, r#"{"$ref":"https://example.com/schema.json"}"#);
    let again = "openexec registry pin";
    let cases = [
        (component(&lie, DESCRIBE), &good, again),
        (component(&looser, DESCRIBE), &good, again),
        (component(&good, loops), &good, "out-of-fuel"),
        (component(&good, traps), &good, "'trap'"),
        (component(&good, out_of_bounds), &good, "output-invalid"),
        (component(&no_json, DESCRIBE), &no_json, "payload schema is not acceptable: it is not acceptable JSON"),
        (component(&no_schema, DESCRIBE), &no_schema, "payload schema is not acceptable"),
        (component(&remote, DESCRIBE), &remote, "output schema is not acceptable: '$ref' to 'https://example.com"),
    ];
    for (bytes, pinned_as, reason) in cases {
        let setup = Setup::new();
        let refused = pinned(&setup, &bytes, Some(pinned_as)).try_start().expect_err(reason);
        assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains(reason) && refused.stderr.contains("action 'work'"), "{}", refused.stderr);
        let verified = setup.run(&["registry", "verify", "--registry", "registry.toml"]);
        assert!(!verified.status.success() && self::said(&verified).contains(reason), "{}", self::said(&verified));
    }
    // Nobody is held to what the registry does not say.
    sandbox(component(&good, loops), None).expect("a sandbox");
}

#[test]
fn schemas_that_lead_elsewhere_or_never_end_are_refused_with_a_reason() {
    let doubling: String = (0..60)
        .map(|i| format!(r##""d{i}":{{"allOf":[{{"$ref":"#/$defs/d{n}"}},{{"$ref":"#/$defs/d{n}"}}]}},"##, n = i + 1))
        .collect();
    let doubling = format!(r##"{{"$defs":{{{doubling}"d60":{{}}}},"$ref":"#/$defs/d0"}}"##);
    let chain: String = (0..2_000).map(|i| format!(r##""c{i}":{{"$ref":"#/$defs/c{}"}},"##, i + 1)).collect();
    let chain = format!(r##"{{"$defs":{{{chain}"c2000":{{}}}},"$ref":"#/$defs/c0"}}"##);
    let nested = "{\"not\":".repeat(1_000) + "{}" + &"}".repeat(1_000);
    let multiplying =
        r##"{"anyOf":[{"properties":{"x":{"$ref":"#"}},"required":["y"]},{"properties":{"x":{"$ref":"#"}}}]}"##;
    let huge = json!({"enum": vec!["0123456789"; 90_000]}).to_string();
    assert!(huge.len() > 1024 * 1024 && huge.len() > SCHEMA_BYTES_MAX);
    let cases = [
        (r#"{"$ref":"https://example.com/schema.json"}"#, "not fetched"),
        (r#"{"$ref":"file:///etc/passwd"}"#, "not fetched"),
        (r#"{"$ref":"other.json#/a"}"#, "not fetched"),
        (r##"{"properties":{"a":{"$ref":"#/$defs/none"}}}"##, "no such place"),
        (r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#, "2020-12"),
        (r#"{"$schema":"https://example.com/dialect"}"#, "2020-12"),
        (r#"{"properties":{"a":{"$id":"https://example.com/b"}}}"#, "$id"),
        (r##"{"$dynamicRef":"#node"}"##, "$dynamicRef"),
        (r##"{"$ref":"#"}"##, "loop"),
        (r##"{"allOf":[{"anyOf":[{"$ref":"#"}]}]}"##, "loop"),
        (r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"not":{"$ref":"#/$defs/a"}}},"$ref":"#/$defs/a"}"##, "loop"),
        (r##"{"dependencies":{"a":{"$ref":"#"}}}"##, "loop"),
        (doubling.as_str(), "multiply"),
        (multiplying, "multiply"),
        (chain.as_str(), "references"),
        (nested.as_str(), "acceptable JSON"),
        (huge.as_str(), "at most"),
        (r#"{"pattern":"(?=a)a"}"#, "pattern"),
        (r#"{"pattern":"(a)\\1"}"#, "pattern"),
        (r#"{"pattern":"((((a{100}){100}){100}){100})"}"#, "pattern"),
        (r#"{"type":"object","type":"array"}"#, "acceptable JSON"),
        (r#"{"minimum":"1"}"#, "minimum"),
        ("[]", "payload schema is not acceptable"),
    ];
    for (schema, reason) in cases {
        let refusal = refusal_of(schema);
        let start: String = schema.chars().take(80).collect();
        assert!(refusal.contains(reason), "{start}: {refusal}");
    }
}

#[test]
fn schemas_as_people_write_them_are_accepted_and_end_for_the_worst_payloads() {
    let json_of_any_kind = r##"{"$defs":{"json":{"oneOf":[{"type":"null"},{"type":"boolean"},{"type":"number"},{"type":"string"},{"type":"array","items":{"$ref":"#/$defs/json"}},{"type":"object","additionalProperties":{"$ref":"#/$defs/json"}}]}},"$ref":"#/$defs/json"}"##;
    let tree =
        r##"{"type":"object","properties":{"left":{"$ref":"#"},"right":{"$ref":"#"}},"additionalProperties":false}"##;
    let bomb = r#"{"properties":{"text":{"type":"string","pattern":"^(a+)+$"}}}"#;
    let deep = "{\"left\":".repeat(63) + "{}" + &"}".repeat(63);
    let wrong_at_the_bottom = "{\"left\":".repeat(63) + "{\"up\":1}" + &"}".repeat(63);
    let long = json!({"text": "a".repeat(1_000_000) + "!"}).to_string();
    let cases = [
        (json_of_any_kind, deep.as_str(), true),
        (tree, deep.as_str(), true),
        (tree, wrong_at_the_bottom.as_str(), false),
        (bomb, long.as_str(), false),
        (json_of_any_kind, long.as_str(), true),
    ];
    for (schema, payload, fits) in cases {
        let said = description(schema, OK);
        let sandbox = sandbox(component(&said, DESCRIBE), Some(said)).expect("a sandbox");
        let violations = sandbox.violations(&Action::parse("work").expect("a name"), payload);
        assert_eq!(violations.is_empty(), fits, "{schema}: {violations:?}");
        assert!(violations.iter().all(|violation| !violation.message.contains("aaaa")), "{violations:?}");
    }
}

#[test]
fn the_actions_are_listed_with_what_they_take_and_may_use() {
    let said = description(AMOUNT, OK);
    let setup = Setup::new();
    let bytes = component(&said, DESCRIBE);
    let host = pinned(&setup, &bytes, Some(&said)).start();
    let answer = host.get("/actions").expect(200);
    let listed = answer.json();
    assert_eq!(listed["registry"], host.get("/version").json()["registry"]);
    let action = &listed["actions"][0];
    assert_eq!((&action["action"], &action["title"]), (&json!("work"), &json!("A title")));
    assert_eq!(action["payload_schema"], serde_json::from_str::<Value>(AMOUNT).expect("JSON"), "a value, not a text");
    assert_eq!(action["output_schema"]["required"], json!(["ok"]));
    assert_eq!(action["component"]["sha256"], json!(Digest::of(&bytes).to_string()));
    assert_eq!((&action["profile"], &action["limits"]["fuel"]), (&json!("pure"), &json!(10_000_000)));
    let tag = answer.header("etag").expect("a tag").to_owned();
    let get = |tag: &str| {
        let request = format!("GET /actions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nif-none-match: {tag}\r\n\r\n");
        host.send(request.as_bytes())
    };
    assert_eq!(get(&tag).expect(304).body, b"");
    assert_eq!(get("\"another\"").expect(200).body, answer.body, "the same bytes every time");
    // Of the built-in actions only those that may run here.
    let host = Setup::new().with(&["--allowed-actions", "echo"]).start();
    let names: Vec<_> = host.get("/actions").json()["actions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|pin| pin["action"].clone())
        .collect();
    assert_eq!(names, ["echo"]);
}

#[test]
fn the_shipped_handlers_describe_themselves_with_schemas_that_can_be_used() {
    for name in ["add", "echo", "payments.transfer"] {
        let path = format!("{}/../handlers/components/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
        let bytes = fs::read(path).expect("a component");
        let undescribed = sandbox(bytes.clone(), None).expect("a sandbox");
        let said = undescribed.describe(&Action::parse("work").expect("a name")).expect("a description");
        sandbox(bytes, Some(said)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

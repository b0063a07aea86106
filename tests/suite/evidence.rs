//! Evidence: whoever has the right keys believes what is true, and nothing that was changed since.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use openexec_core::admission::Mode;
use openexec_core::approval::ApprovalUse;
use openexec_core::digest::Digest;
use openexec_core::evidence::{Aspect, Evidence, Keys, Overall, Repetition, Verdict, assemble, compare};
use openexec_core::json;
use openexec_core::keys::decode_base64;
use openexec_core::log::proof::TlogProof;
use openexec_core::names::{Audience, Tenant};
use openexec_core::outcome::{Effect, Failure, FailureKind, Fault, JsonText, Outcome, Resources, Run};
use openexec_core::registry::Limits;
use openexec_core::reservation::{Rerun, Reservation, Reserved, Sealed, Tombstone};
use openexec_core::time::Timestamp;
use openexec_tests::approvals::{self, AUDIENCE, NOW, TENANT};
use openexec_tests::evidence::{ORIGIN, TestLog, began_at, exported, flags, keys, seal, secret};
use openexec_tests::host::Setup;
use openexec_tests::local::{LocalHost, built_in};
use openexec_tests::openssl::openssl;
use openexec_tests::python::python_with_securesystemslib;
use serde_json::{Value as Serde, json};

fn governed() -> LocalHost {
    let host = LocalHost::start(AUDIENCE, Mode::Clawshield(Arc::new(approvals::trust())));
    host.clock.set(approvals::at(NOW));
    host
}

fn demo() -> LocalHost {
    let host = LocalHost::start("openexec", Mode::Demo);
    host.clock.set(approvals::at(NOW));
    host
}

/// What a caller puts together of this call.
#[track_caller]
fn of_caller(host: &LocalHost, request: &Serde, approval: Option<&Serde>, log: &mut TestLog) -> Evidence {
    let mut posted = request.clone();
    if let Some(approval) = approval {
        posted["approval_artifact"] = approval.clone();
    }
    let answer = host.execute(request, approval);
    let audiences = [Audience::parse("openexec").expect("a name"), Audience::parse(AUDIENCE).expect("a name")];
    let put_together = |proof| {
        let evidence = assemble(posted.to_string().as_bytes(), &answer.body, &audiences, proof);
        evidence.unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
    };
    let reference = put_together(None).signed().reference();
    put_together(Some(log.append(&reference)))
}

fn payment() -> Serde {
    let payload = json!({"amount_minor": 12_500, "currency": "EUR", "from": "acct:a", "to": "acct:b", "memo": "août"});
    json!({"action": "payments.transfer", "nonce": "pay-2026-0001", "payload": payload})
}

fn envelope(request: &Serde, keys: &[&SigningKey]) -> Serde {
    let text = |member: &str| request[member].as_str().expect("a text");
    let request = approvals::request(text("action"), &request["payload"], text("nonce"));
    approvals::sign_v2(&approvals::body(&request, approvals::at(approvals::ISSUED)).spell(), keys)
}

fn artifact(request: &Serde) -> Serde {
    let text = |member: &str| request[member].as_str().expect("a text");
    let request = approvals::request(text("action"), &request["payload"], text("nonce"));
    let (from, until) = ("2026-10-06T12:00:00.123456", "2026-10-06T12:05:00.123456");
    approvals::artifact(&request, TENANT, from, until, &approvals::key("shield"))
}

/// An approved payment, as its caller holds it, with its log.
pub(crate) fn paid() -> (Evidence, TestLog) {
    let mut log = TestLog::default();
    let approval = envelope(&payment(), &[&approvals::key("shield"), &approvals::key("alice")]);
    let evidence = of_caller(&governed(), &payment(), Some(&approval), &mut log);
    (evidence, log)
}

pub(crate) fn all_keys(log: &TestLog) -> Keys {
    keys(log, Some(approvals::trust()))
}

fn overall(evidence: &Evidence, keys: &Keys) -> Overall {
    evidence.verify(keys, None).overall
}

fn verdict(evidence: &Evidence, keys: &Keys, aspect: Aspect) -> Verdict {
    evidence.verify(keys, None).verdict_of(aspect).expect("every aspect")
}

#[track_caller]
fn assert_verified(evidence: &Evidence, keys: &Keys) {
    let report = evidence.verify(keys, None);
    assert_eq!(report.overall, Overall::Verified, "{}", report.to_json());
    assert_eq!(report.receipt.as_ref(), Some(evidence.receipt()));
    assert_eq!(report.findings.iter().map(|finding| finding.aspect).collect::<Vec<_>>(), Aspect::ALL);
    assert_eq!(Evidence::parse(evidence.spell().as_bytes()).as_ref(), Ok(evidence));
}

/// What a host reserves for a call of the demo or, with an approval, of `acme`.
fn reserved(request: &Serde, approval: Option<ApprovalUse>) -> Reserved {
    let text = |member: &str| request[member].as_str().expect("a text");
    let call = approvals::request(text("action"), &request["payload"], text("nonce"));
    let tenant = Tenant::parse(if approval.is_some() { TENANT } else { "demo" }).expect("a tenant");
    let identity = call.identity(&Audience::parse(AUDIENCE).expect("a name"), &tenant);
    let (registry, _) = built_in();
    let pin = registry.pin(&call.action).expect("a handler that ships");
    Reserved {
        exec_id: identity.exec_id,
        fingerprint: identity.fingerprint,
        tenant,
        action: call.action,
        nonce: call.nonce,
        payload: call.payload.canonical().clone(),
        component: pin.digest,
        limits: pin.limits,
        approval,
        reserved_at: began_at(),
    }
}

fn run_of(reserved: &Reserved) -> Run {
    built_in().1.rerun(&Rerun::of(reserved.clone())).expect("a run")
}

fn sum() -> Serde {
    json!({"action": "add", "nonce": "sum-1", "payload": {"a": 2, "b": 40}})
}

#[test]
fn whoever_called_holds_evidence_of_every_answer_in_both_modes() {
    let (demo, governed) = (demo(), governed());
    let mut log = TestLog::default();
    let shield = approvals::key("shield");
    let refused = json!({"action": "add", "nonce": "no", "payload": {"a": "2"}});
    let floats =
        json!({"action": "echo", "nonce": "floats", "payload": {"x": 1.0, "y": 1e16, "é": ["😀", null, -0.0]}});
    for request in [&sum(), &refused, &floats, &payment()] {
        let evidence = of_caller(&demo, request, None, &mut log);
        assert_verified(&evidence, &keys(&log, None));
        assert_eq!(verdict(&evidence, &keys(&log, None), Aspect::Approval), Verdict::NotChecked);
        assert_eq!(verdict(&evidence, &all_keys(&log), Aspect::Approval), Verdict::Fail, "nobody approved it");
    }
    for request in [&sum(), &refused, &floats] {
        let (v1, mut other) = (artifact(request), request.clone());
        other["nonce"] = json!(format!("{}-again", request["nonce"].as_str().expect("a nonce")));
        let v2 = envelope(&other, &[&shield]);
        assert_verified(&of_caller(&governed, request, Some(&v1), &mut log), &all_keys(&log));
        assert_verified(&of_caller(&governed, &other, Some(&v2), &mut log), &all_keys(&log));
    }
    let (paid, log) = paid();
    assert_verified(&paid, &all_keys(&log));
    assert_eq!(verdict(&paid, &all_keys(&log), Aspect::Approval), Verdict::Pass);
}

#[test]
fn whoever_kept_it_exports_evidence_of_every_outcome() {
    let mut log = TestLog::default();
    let facts = reserved(&sum(), None);
    let ran = run_of(&facts);
    let effects = vec![Effect { kind: "note".to_owned(), body: JsonText::of(&json::Value::Float(1e16)) }];
    let outcomes = [
        ran.outcome,
        Outcome::Succeeded { result: JsonText::kept(r#"{"x":1e+16}"#.to_owned()), effects },
        Outcome::Failed(Failure::new(FailureKind::Rejected, "\u{1b}[2J nein".to_owned())),
        Outcome::Faulted(Fault::OutOfFuel),
        Outcome::Interrupted,
    ];
    for outcome in outcomes {
        let sealed = seal(&facts, Run { outcome, resources: ran.resources });
        assert_verified(&exported(AUDIENCE, &facts, &sealed, &mut log), &keys(&log, None));
    }
    let without = Sealed { seal: None, ..seal(&facts, run_of(&facts)) };
    let audience = Audience::parse(AUDIENCE).expect("a name");
    assert!(Evidence::of_sealed(&audience, &facts, &without, None).is_err(), "sealed before there were receipts");
}

/// Whether only signature lines by keys that nobody gave differ: whoever adds or spoils one changes nothing that counts.
fn differs_in_strangers_lines_only(changed: &Evidence, evidence: &Evidence, keys: &Keys) -> bool {
    let proof = |evidence: &Evidence| -> TlogProof {
        let bundle: Serde = serde_json::from_str(&evidence.spell()).expect("JSON");
        TlogProof::parse(bundle["proof"].as_str().expect("a proof")).expect("a proof")
    };
    let without_proof = |evidence: &Evidence| {
        let mut bundle: Serde = serde_json::from_str(&evidence.spell()).expect("JSON");
        bundle.as_object_mut().expect("an object").remove("proof");
        bundle
    };
    let known = |proof: &TlogProof| -> Vec<String> {
        let of_known = |line: &&openexec_core::log::note::NoteSignature| {
            keys.log_key.iter().chain(&keys.witness_keys).any(|key| line.claims(key))
        };
        proof.checkpoint.signatures().iter().filter(of_known).map(ToString::to_string).collect()
    };
    let (theirs, ours) = (proof(changed), proof(evidence));
    without_proof(changed) == without_proof(evidence)
        && (theirs.index, &theirs.hashes) == (ours.index, &ours.hashes)
        && theirs.checkpoint.checkpoint() == ours.checkpoint.checkpoint()
        && known(&theirs) == known(&ours)
}

#[test]
fn no_changed_bit_of_a_bundle_is_verified() {
    let mut log = TestLog::default();
    let by_clawshield = of_caller(&governed(), &sum(), Some(&artifact(&sum())), &mut log);
    std::thread::scope(|scope| {
        for (evidence, log) in [paid(), (by_clawshield, log)] {
            scope.spawn(move || assert_no_changed_bit_is_verified(&evidence, &all_keys(&log)));
        }
    });
}

fn assert_no_changed_bit_is_verified(evidence: &Evidence, keys: &Keys) {
    assert_verified(evidence, keys);
    let text = evidence.spell();
    let begins = |member: &str| text.find(&format!("\"{member}\":")).expect("a member");
    // Of openings, payload and proof every bit. The bits of receipts and approvals have tests of their own; of their
    // spelling here, and of the rest, a bit of every byte.
    let all_bits = begins("openings")..begins("receipt");
    let mut n_equal = 0;
    for place in 0..text.len() {
        for bit in (0..8).filter(|bit| all_bits.contains(&place) || *bit == place % 8) {
            let mut changed = text.clone().into_bytes();
            changed[place] ^= 1 << bit;
            let Ok(changed) = Evidence::parse(&changed) else { continue };
            if overall(&changed, keys) != Overall::Verified {
                continue;
            }
            let is_same = changed == *evidence || differs_in_strangers_lines_only(&changed, evidence, keys);
            assert!(is_same, "bit {bit} of byte {place}: {:?}", text.get(place..place + 20));
            n_equal += 1;
        }
    }
    println!("{n_equal} changed bits are another spelling of the same, or in a stranger's line");
}

#[test]
fn no_changed_bit_of_a_statement_or_a_signature_is_verified() {
    let (evidence, log) = paid();
    let keys = all_keys(&log);
    let whole: Serde = serde_json::from_str(&evidence.spell()).expect("JSON");
    let bundle = json!({"type": whole["type"], "receipt": whole["receipt"]});
    for place in ["/receipt/payload", "/receipt/signatures/0/sig"] {
        let bytes = decode_base64(bundle.pointer(place).and_then(Serde::as_str).expect("base64")).expect("base64");
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let mut bundle = bundle.clone();
            *bundle.pointer_mut(place).expect("the place") = json!(openexec_core::keys::encode_base64(&changed));
            let Ok(changed) = Evidence::parse(bundle.to_string().as_bytes()) else { continue };
            assert_eq!(overall(&changed, &keys), Overall::Failed, "bit {bit} of {place}");
        }
    }
}

#[test]
fn nothing_left_out_or_taken_from_another_execution_is_verified() {
    let (evidence, mut log) = paid();
    let mut again = payment();
    again["nonce"] = json!("pay-2026-0002");
    again["payload"]["amount_minor"] = json!(99_999);
    let approval = envelope(&again, &[&approvals::key("shield"), &approvals::key("alice")]);
    let other = of_caller(&governed(), &again, Some(&approval), &mut log);
    let keys = all_keys(&log);
    let read = |evidence: &Evidence| -> Serde { serde_json::from_str(&evidence.spell()).expect("JSON") };
    let (bundle, other) = (read(&evidence), read(&other));
    let is_verified = |bundle: &Serde| {
        Evidence::parse(bundle.to_string().as_bytes()).is_ok_and(|read| overall(&read, &keys) == Overall::Verified)
    };
    assert!(is_verified(&bundle) && is_verified(&other));
    let members: Vec<_> = bundle.as_object().expect("an object").keys().cloned().collect();
    for member in members.iter().filter(|member| *member != "type") {
        let mut without = bundle.clone();
        without.as_object_mut().expect("an object").remove(member);
        assert!(!is_verified(&without), "without {member}");
        let mut mixed = bundle.clone();
        mixed[member] = other[member].clone();
        assert!(!is_verified(&mixed) || mixed == bundle, "with the {member} of another execution");
    }
    for (member, value) in [
        ("erased", json!(true)),
        ("receipt_keys", json!([openexec_tests::facts::receipt_key().public().to_base64()])),
        ("log_key", json!(log.log_key().to_string())),
        ("failure", json!({"failure": "rejected", "text": ""})),
    ] {
        let mut with = bundle.clone();
        with[member] = value;
        assert!(!is_verified(&with), "with {member}");
    }
}

#[test]
fn keys_are_believed_for_one_purpose_and_by_whoever_gave_them() {
    let (evidence, log) = paid();
    let right = all_keys(&log);
    let (stranger, witness) = (secret("somebody else"), right.witness_keys[0].clone());
    let forged = TestLog::default().signed_by(stranger.clone());
    let cases = [
        (Keys { receipt_keys: vec![stranger.public().clone()], ..right.clone() }, Aspect::ReceiptSignature),
        (Keys { receipt_keys: vec![witness.key().clone()], ..right.clone() }, Aspect::ReceiptSignature),
        (Keys { log_key: Some(witness.clone()), ..right.clone() }, Aspect::LogSignature),
        (Keys { log_key: Some(forged.log_key()), ..right.clone() }, Aspect::LogSignature),
        (Keys { witness_keys: vec![log.log_key()], quorum: 1, ..right.clone() }, Aspect::Cosignatures),
        (Keys { witness_keys: vec![witness.clone(), witness.clone()], ..right.clone() }, Aspect::Cosignatures),
        (Keys { quorum: 3, ..right.clone() }, Aspect::Cosignatures),
    ];
    for (keys, aspect) in cases {
        assert_eq!(verdict(&evidence, &keys, aspect), Verdict::Fail, "{aspect:?}");
        assert_eq!(overall(&evidence, &keys), Overall::Failed);
    }
    let several =
        Keys { receipt_keys: vec![stranger.public().clone(), right.receipt_keys[0].clone()], ..right.clone() };
    assert_verified(&evidence, &several);
    let nobody = evidence.verify(&Keys::default(), None);
    assert_eq!((nobody.overall, nobody.receipt), (Overall::Incomplete, None), "an unsigned claim is no fact");
    for needed in [Keys { receipt_keys: Vec::new(), ..right.clone() }, Keys { log_key: None, ..right.clone() }] {
        assert_eq!(overall(&evidence, &needed), Overall::Incomplete);
    }
    for more in [Keys { witness_keys: Vec::new(), ..right.clone() }, Keys { trust: None, ..right.clone() }] {
        assert_verified(&evidence, &more);
    }
}

#[test]
fn an_approval_is_verified_again_as_of_the_moment_when_the_nonce_was_claimed() {
    let (_, mut log) = paid();
    let request = approvals::request("payments.transfer", &payment()["payload"], "pay-2026-0001");
    let presented = envelope(&payment(), &[&approvals::key("shield"), &approvals::key("alice")]);
    let (registry, _) = built_in();
    let pin = registry.pin(&request.action).expect("a handler that ships");
    let kept =
        approvals::verify(&approvals::trust(), &request, &presented, began_at()).expect("an approval").kept().clone();
    let mut check = |facts: Reserved, approval: Option<&Serde>, trust: &str| {
        let sealed = seal(&facts, run_of(&facts));
        let evidence = exported(AUDIENCE, &facts, &sealed, &mut log);
        let mut bundle: Serde = serde_json::from_str(&evidence.spell()).expect("JSON");
        if let Some(approval) = approval {
            bundle["approval"] = approval.clone();
        }
        let evidence = Evidence::parse(bundle.to_string().as_bytes()).expect("evidence");
        let keys =
            Keys { trust: Some(approvals::trust_in(Some(approvals::legacy()), Some(trust))), ..keys(&log, None) };
        let report = evidence.verify(&keys, None);
        let finding = report.findings.iter().find(|finding| finding.aspect == Aspect::Approval).expect("a finding");
        (finding.verdict, finding.detail.clone())
    };
    let facts = reserved(&payment(), Some(kept.clone()));
    let file = approvals::trust_file_text();
    assert_eq!(check(facts.clone(), None, file).0, Verdict::Pass);
    let (verdict, detail) = check(facts.clone(), None, &format!("{file}\n# another file\n"));
    assert_eq!(verdict, Verdict::Pass);
    assert!(detail.contains("another trust file"), "{detail}");

    let fails = |(verdict, detail): (Verdict, String), why: &str| {
        assert!(verdict == Verdict::Fail && detail.contains(why), "{why}: {detail}");
    };
    let late = Reserved { reserved_at: approvals::at("2026-10-06T12:05:00Z"), ..facts.clone() };
    fails(check(late, None, file), "approval-expired");
    let early = Reserved { reserved_at: approvals::at("2026-10-06T11:59:00Z"), ..facts.clone() };
    fails(check(early, None, file), "approval-not-yet-valid");
    let bobs = envelope(&payment(), &[&approvals::key("shield"), &approvals::key("bob")]);
    fails(check(facts.clone(), Some(&bobs), file), "other signers");
    let alone = envelope(&payment(), &[&approvals::key("shield")]);
    fails(check(facts.clone(), Some(&alone), file), "approval-quorum");
    fails(check(facts.clone(), Some(&artifact(&payment())), file), "another approval");
    fails(check(facts.clone(), None, &file.replace(AUDIENCE, "another-host")), "for another-host");
    fails(check(facts.clone(), None, &file.replace("threshold = 2", "threshold = 3")), "approval-quorum");
    let mut body = approvals::body(&request, approvals::at(approvals::ISSUED));
    body.ceilings.max_fuel = Some(pin.limits.fuel - 1);
    let tight = approvals::sign_v2(&body.spell(), &[&approvals::key("shield"), &approvals::key("alice")]);
    let kept =
        approvals::verify(&approvals::trust(), &request, &tight, began_at()).expect("an approval").kept().clone();
    let loose = reserved(&payment(), Some(kept));
    fails(check(loose.clone(), None, file), "higher limits");
    let within = Limits { fuel: pin.limits.fuel - 1, ..loose.limits };
    assert_eq!(check(Reserved { limits: within, ..loose }, None, file).0, Verdict::Pass);
}

#[test]
fn a_host_that_forgot_whether_a_number_was_1_or_1_0_cannot_show_what_an_approval_v1_was_for() {
    let mut log = TestLog::default();
    let posted = json!({"action": "echo", "nonce": "floats", "payload": {"x": 1.0}});
    let request = approvals::request("echo", &posted["payload"], "floats");
    let approved =
        approvals::verify(&approvals::trust(), &request, &artifact(&posted), began_at()).expect("an approval");
    let facts = reserved(&posted, Some(approved.kept().clone()));
    let evidence = exported(AUDIENCE, &facts, &seal(&facts, run_of(&facts)), &mut log);
    assert_eq!(verdict(&evidence, &all_keys(&log), Aspect::Approval), Verdict::NotChecked);
    assert_eq!(overall(&evidence, &all_keys(&log)), Overall::Incomplete);
    assert_verified(&evidence, &keys(&log, None));
}

#[test]
fn what_was_erased_is_said_to_be_erased_and_the_receipt_still_stands() {
    let mut log = TestLog::default();
    let facts = reserved(&sum(), None);
    let sealed = seal(&facts, run_of(&facts));
    let signed = sealed.seal.expect("a receipt").signed;
    let proof = log.append(&signed.reference());
    let tombstone = Tombstone {
        exec_id: facts.exec_id,
        action: facts.action,
        status: sealed.outcome.status(),
        fault: None,
        receipt: sealed.receipt,
        signed: Some(signed),
    };
    let evidence = Evidence::of_erased(&tombstone, Some(proof)).expect("evidence");
    assert_eq!(Evidence::parse(evidence.spell().as_bytes()).as_ref(), Ok(&evidence));
    let report = evidence.verify(&keys(&log, None), None);
    let verdicts: Vec<_> = report.findings.iter().map(|finding| finding.verdict.as_str()).collect();
    assert_eq!(verdicts, ["pass", "not-checked", "erased", "erased", "pass", "pass", "pass", "erased"]);
    assert_eq!(report.overall, Overall::Incomplete, "what was erased cannot be verified");
    assert!(report.receipt.is_some());
}

/// A folder with the evidence in it, and the files that the binary is given.
pub(crate) fn files(evidence: &Evidence) -> Setup {
    let setup = Setup::new();
    let write = |name: &str, text: &str| std::fs::write(setup.folder().join(name), text).expect("a file");
    write("evidence.json", &evidence.spell());
    write("trust.toml", approvals::trust_file_text());
    write("shield.pem", &approvals::public(&approvals::key("shield")).to_pem());
    setup
}

pub(crate) fn verify_with(setup: &Setup, keys: &Keys, more: &[&str]) -> Output {
    let flags = flags(keys);
    let words = ["receipt", "verify", "evidence.json"].into_iter().chain(flags.iter().map(String::as_str));
    setup.run(&words.chain(more.iter().copied()).collect::<Vec<_>>())
}

fn handler(action: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../handlers/components/{action}.wasm")).display().to_string()
}

#[track_caller]
fn assert_says(output: &Output, code: i32, words: &str) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "'{words}' is not in: {said}");
}

#[test]
fn the_binary_says_what_it_found_and_exits_so_that_scripts_can_tell() {
    let (evidence, log) = paid();
    let (setup, keys) = (files(&evidence), keys(&log, None));
    let trust = ["--trust", "trust.toml", "--clawshield-public-key", "shield.pem", "--tenant", "acme"];
    assert_says(&verify_with(&setup, &keys, &trust), 0, "VERIFIED: payments.transfer succeeded for tenant acme");
    assert_says(&verify_with(&setup, &Keys { log_key: None, ..keys.clone() }, &[]), 3, "--log-key");
    assert_says(&verify_with(&setup, &Keys { quorum: 3, ..keys.clone() }, &[]), 1, "FAILED");
    assert_says(&verify_with(&setup, &keys, &["--replay", &handler("payments.transfer")]), 0, "the same fuel");
    assert_says(&verify_with(&setup, &keys, &["--replay", &handler("add")]), 1, "names the component");
    assert_says(&verify_with(&setup, &keys, &["--replay", "nowhere.wasm"]), 2, "nowhere.wasm");
    assert_says(&verify_with(&setup, &keys, &["--trust", "nowhere.toml"]), 2, "nowhere.toml");
    let as_json = verify_with(&setup, &keys, &[&trust[..], &["--json"]].concat());
    let report: Serde = serde_json::from_slice(&as_json.stdout).expect("JSON");
    assert_eq!((&report["verdict"], &report["execution"]["tenant"]), (&json!("verified"), &json!("acme")));
    assert_eq!(report["aspects"].as_array().map(Vec::len), Some(Aspect::ALL.len()));
    std::fs::write(setup.folder().join("evidence.json"), "{}").expect("a file");
    assert_says(&verify_with(&setup, &keys, &[]), 2, "evidence.json: the evidence has no member 'type'");
    assert_says(&verify_with(&setup, &keys, &["--json"]), 2, r#""verdict":"unreadable""#);
}

#[test]
fn a_caller_assembles_evidence_of_its_files() {
    let host = demo();
    let mut log = TestLog::default();
    let evidence = of_caller(&host, &sum(), None, &mut log);
    let setup = files(&evidence);
    let bundle: Serde = serde_json::from_str(&evidence.spell()).expect("JSON");
    let write = |name: &str, bytes: &[u8]| std::fs::write(setup.folder().join(name), bytes).expect("a file");
    write("request.json", sum().to_string().as_bytes());
    write("answer.json", &host.execute(&sum(), None).body);
    write("proof.txt", bundle["proof"].as_str().expect("a proof").as_bytes());
    let arguments = ["receipt", "assemble", "--request", "request.json", "--answer", "answer.json"];
    let output = setup.run(&[&arguments[..], &["--proof", "proof.txt"]].concat());
    assert_eq!(String::from_utf8_lossy(&output.stdout), evidence.spell() + "\n");
    let elsewhere = setup.run(&[&arguments[..], &["--audience", "another-host"]].concat());
    assert_says(&elsewhere, 2, "--audience");
    write("answer.json", br#"{"code":"halted"}"#);
    assert_says(&setup.run(&arguments), 2, "nothing was executed");
}

#[test]
fn a_run_that_is_made_again_tells_what_stolen_keys_would_hide() {
    let mut log = TestLog::default();
    let facts = reserved(&payment(), None);
    let Run { outcome, resources } = run_of(&facts);
    let Outcome::Succeeded { result, effects } = outcome.clone() else { panic!("{outcome:?}") };
    let altered = JsonText::kept(result.as_str().replace("125.00", "999.00"));
    assert_ne!(altered, result);
    let fuel = Resources { fuel: resources.fuel + 1, ..resources };
    let cases = [
        (Outcome::Succeeded { result: altered, effects: effects.clone() }, resources, "answers something else"),
        (Outcome::Succeeded { result: result.clone(), effects: Vec::new() }, resources, "other effects"),
        (Outcome::Succeeded { result, effects }, fuel, "fuel"),
        (Outcome::Failed(Failure::new(FailureKind::Rejected, "no".to_owned())), resources, "the receipt says failed"),
        (Outcome::Faulted(Fault::Trap), resources, "the receipt says faulted (trap)"),
    ];
    for (outcome, resources, why) in cases {
        // Whoever stole the host's keys signs and logs whatever they like.
        let sealed = seal(&facts, Run { outcome, resources });
        let evidence = exported(AUDIENCE, &facts, &sealed, &mut log);
        let (setup, keys) = (files(&evidence), keys(&log, None));
        assert_verified(&evidence, &keys);
        assert_says(&verify_with(&setup, &keys, &["--replay", &handler("payments.transfer")]), 1, why);
    }
    for (outcome, why) in [(Outcome::Interrupted, "interrupted"), (Outcome::Faulted(Fault::Deadline), "deadline")] {
        let sealed = seal(&facts, Run { outcome, resources });
        let evidence = exported(AUDIENCE, &facts, &sealed, &mut log);
        let (setup, keys) = (files(&evidence), keys(&log, None));
        assert_says(&verify_with(&setup, &keys, &["--replay", &handler("payments.transfer")]), 3, why);
    }
}

#[test]
fn another_engine_is_compared_in_all_but_fuel() {
    let facts = reserved(&sum(), None);
    let run = run_of(&facts);
    let mut log = TestLog::default();
    let evidence = exported(AUDIENCE, &facts, &seal(&facts, run.clone()), &mut log);
    let (receipt, openings) = (evidence.receipt(), evidence.openings());
    let engine = receipt.engine.digest;
    let other_fuel = Run { resources: Resources { fuel: 1, ..run.resources }, ..run.clone() };
    assert!(matches!(compare(receipt, openings, &run, engine), Repetition::Same(_)));
    assert!(matches!(compare(receipt, openings, &other_fuel, engine), Repetition::Differs(_)));
    let other_engine = Digest::of(b"another engine");
    let Repetition::Same(said) = compare(receipt, openings, &other_fuel, other_engine) else {
        panic!("the same answer")
    };
    assert!(said.contains("fuel was not compared"), "{said}");
    let starved = Run { outcome: Outcome::Faulted(Fault::OutOfFuel), ..run.clone() };
    assert!(matches!(compare(receipt, openings, &starved, other_engine), Repetition::NotComparable(_)));
    assert!(matches!(compare(receipt, openings, &starved, engine), Repetition::Differs(_)));
    assert!(matches!(compare(receipt, None, &run, engine), Repetition::NotComparable(_)));
}

#[test]
fn in_totos_own_library_verifies_the_receipt_and_python_recomputes_the_commitments() {
    const PROGRAM: &str = r#"
import hashlib, hmac, json, sys
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
given = json.load(sys.stdin)
jcs = lambda value: json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
said = []
for bundle in given["bundles"]:
    receipt = bundle["receipt"]
    envelope = Envelope.from_dict({**receipt, "signatures": [dict(s) for s in receipt["signatures"]]})
    keyid = receipt["signatures"][0]["keyid"]
    spki = bytes.fromhex("302a300506032b6570032100" + given["key"])
    assert keyid == hashlib.sha256(spki).hexdigest()
    envelope.verify([SSlibKey(keyid, "ed25519", "ed25519", {"public": given["key"]})], 1)
    statement = json.loads(envelope.payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1" and jcs(statement) == envelope.payload
    predicate = statement["predicate"]
    request = {**bundle["request"], "type": "urn:openexec:request:v2"}
    assert request["payload"]["sha256"] == hashlib.sha256(jcs(bundle["payload"])).hexdigest()
    assert statement["subject"][0]["digest"]["sha256"] == hashlib.sha256(jcs(request)).hexdigest()
    shown = {"payload": bundle["payload"], "result": bundle.get("result", bundle.get("failure")), "effects": bundle.get("effects")}
    for part, opening in bundle["openings"].items():
        if opening is None:
            assert predicate[part] is None and shown[part] is None, part
            continue
        salted = hmac.new(bytes.fromhex(opening["salt"]), jcs(shown[part]), hashlib.sha256).hexdigest()
        assert predicate[part]["hmac_sha256"] == salted, part
        said.append(part)
print(" ".join(said), end="")
"#;
    let host = demo();
    let mut log = TestLog::default();
    let refused = json!({"action": "add", "nonce": "no", "payload": {"a": "2"}});
    let bundles: Vec<Serde> = [payment(), sum(), refused]
        .iter()
        .map(|request| serde_json::from_str(&of_caller(&host, request, None, &mut log).spell()).expect("JSON"))
        .collect();
    let key: String =
        openexec_tests::facts::receipt_key().public().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let said = python_with_securesystemslib(PROGRAM, &json!({"bundles": bundles, "key": key}).to_string());
    let mut parts: Vec<_> = said.split(' ').collect();
    parts.sort_unstable();
    assert_eq!(parts, ["effects", "effects", "payload", "payload", "payload", "result", "result", "result"]);
}

#[test]
fn openssl_verifies_the_signature_of_a_receipt() {
    let (evidence, _) = paid();
    let folder = tempfile::tempdir().expect("a folder");
    let signed = evidence.signed();
    let envelope: Serde = serde_json::from_str(&signed.to_json()).expect("JSON");
    let head = format!("DSSEv1 28 application/vnd.in-toto+json {} ", signed.statement.len());
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("a file");
    write("pae", format!("{head}{}", signed.statement).as_bytes());
    write("signature", &decode_base64(envelope["signatures"][0]["sig"].as_str().expect("a text")).expect("base64"));
    write("key.pem", openexec_tests::facts::receipt_key().public().to_pem().as_bytes());
    let arguments =
        ["pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "pae", "-sigfile", "signature"];
    let said = openssl(folder.path(), &arguments);
    assert!(String::from_utf8_lossy(&said).contains("Verified Successfully"));
}

#[test]
fn a_proof_is_checked_on_its_own_and_a_log_by_two_of_its_checkpoints() {
    let (evidence, mut log) = paid();
    let bundle: Serde = serde_json::from_str(&evidence.spell()).expect("JSON");
    let setup = Setup::new();
    let write = |name: &str, bytes: &[u8]| std::fs::write(setup.folder().join(name), bytes).expect("a file");
    write("proof", bundle["proof"].as_str().expect("a proof").as_bytes());
    write("old", log.checkpoint().to_string().as_bytes());
    let old_size = log.size();
    let _ = log.append(&Digest::of(b"one more"));
    write("new", log.checkpoint().to_string().as_bytes());
    let log_key = log.log_key().to_string();
    let witness_key = log.witness_keys()[0].to_string();
    let reference = evidence.signed().reference().to_string();
    let verify_proof = |log_key: &str, reference: &str, more: &[&str]| {
        let arguments = ["log", "verify-proof", "proof", "--log-key", log_key, "--receipt-ref", reference];
        setup.run(&[&arguments[..], more].concat())
    };
    assert_says(&verify_proof(&log_key, &reference, &[]), 0, ORIGIN);
    assert_says(&verify_proof(&log_key, &reference, &["--witness-key", &witness_key]), 0, "witness.example/0");
    assert_says(&verify_proof(&log_key, &Digest::of(b"x").to_string(), &[]), 1, "does not stand");
    assert_says(&verify_proof(&witness_key, &reference, &[]), 1, "fail");
    assert_says(&verify_proof("nonsense", &reference, &[]), 2, "verifier key");

    let tiles = setup.folder().join("log/tile/0");
    std::fs::create_dir_all(tiles.join("000.p")).expect("a folder");
    let tile: Vec<u8> = log.leaves().iter().flat_map(|leaf| *leaf.as_bytes()).collect();
    std::fs::write(tiles.join(format!("000.p/{}", log.size())), &tile).expect("a tile");
    let consistency = |old: &str, new: &str, more: &[&str]| {
        setup.run(&[&["log", "verify-consistency", "--log-key", &log_key, old, new][..], more].concat())
    };
    let grew = format!("from {old_size} receipts to {}", log.size());
    assert_says(&consistency("old", "new", &["--tiles", "log"]), 0, &grew);
    assert_says(&consistency("new", "old", &["--tiles", "log"]), 1, "shrank");
    assert_says(&consistency("old", "new", &[]), 2, "--tiles");
    let forked = TestLog::default();
    let mut rewritten = forked.clone();
    let _ = (rewritten.append(&Digest::of(b"another")), rewritten.append(&Digest::of(b"past")));
    write("fork", rewritten.checkpoint().to_string().as_bytes());
    assert_says(&consistency("old", "fork", &["--tiles", "log"]), 1, "not consistent");
    write("stranger", forked.signed_by(secret("stranger")).checkpoint().to_string().as_bytes());
    assert_says(&consistency("stranger", "new", &["--tiles", "log"]), 1, "stranger");
    write("hashes", b"");
    assert_says(&consistency("old", "old", &["--proof", "hashes"]), 0, "consistent");
    assert_says(&consistency("old", "new", &["--proof", "hashes"]), 1, "as many hashes");
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn number(&mut self) -> Serde {
        match self.below(5) {
            0 => json!(self.below(1 << 31)),
            1 => json!(-1.5e-7 * self.0 as f64),
            2 => json!(self.0 as f64 / 3.0),
            3 => json!(self.below(3)),
            _ => json!(format!("{}", self.below(1000))),
        }
    }

    fn amount(&mut self) -> Serde {
        if self.below(4) == 0 { self.number() } else { json!(self.below(1 << 31)) }
    }

    fn value(&mut self, depth: u64) -> Serde {
        match self.below(if depth == 0 { 3 } else { 5 }) {
            0 => self.number(),
            1 => json!(["", "é", "😀\n", "\u{7f}"][usize::try_from(self.below(4)).expect("an index")]),
            2 => json!(self.below(2) == 0),
            3 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => (0..self.below(4)).map(|n| (format!("k{n}"), self.value(depth - 1))).collect(),
        }
    }

    fn payload(&mut self, action: &str) -> Serde {
        match action {
            "add" => json!({"a": self.number(), "b": self.number()}),
            "payments.transfer" => json!({
                "amount_minor": self.amount(), "currency": (["EUR", "JPY", "XXX"][usize::try_from(self.below(3)).expect("an index")]),
                "from": "acct:a", "to": format!("acct:{}", self.below(9)), "memo": format!("Rechnung é {}", self.below(99)),
            }),
            _ => json!({"x": self.value(3)}),
        }
    }
}

#[test]
fn ten_thousand_executions_of_every_handler_are_the_same_when_they_are_made_again() {
    const N: usize = 10_000;
    let (registry, sandbox) = built_in();
    std::thread::scope(|scope| {
        for (action, _) in registry.pins() {
            let sandbox = &sandbox;
            scope.spawn(move || {
                let mut random = Random(7);
                let (mut n_succeeded, mut n_late) = (0, 0);
                for number in 0..N {
                    let payload = random.payload(action.as_str());
                    let request = json!({"action": action.as_str(), "nonce": number.to_string(), "payload": payload});
                    let facts = Reserved {
                        reserved_at: Timestamp::from_unix_ms(random.below(1 << 31)),
                        ..reserved(&request, None)
                    };
                    let never = Arc::new(|| false);
                    let first = sandbox.run(&Reservation::made_durable(facts.clone()), never).expect("a run");
                    let again = sandbox.rerun(&Rerun::of(facts)).expect("a run");
                    if [&first, &again].iter().any(|run| run.outcome.fault() == Some(Fault::Deadline)) {
                        n_late += 1; // the one fault that depends on the machine, which was stalled
                        continue;
                    }
                    assert_eq!(first, again, "{request}");
                    n_succeeded += usize::from(matches!(first.outcome, Outcome::Succeeded { .. }));
                }
                assert!((N / 20..=N).contains(&n_succeeded), "{action}: {n_succeeded} succeeded");
                assert!(n_late < N / 100, "{action}: {n_late} came to their deadline");
            });
        }
    });
}

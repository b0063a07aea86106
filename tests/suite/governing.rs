//! `openexec approval`: a team that governs itself, with real files, a real terminal, and other people's tools to check it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use openexec_tests::host::Setup;
use openexec_tests::openssl::openssl;
use openexec_tests::python::{python, python_with_cryptography};
use serde_json::{Value, json};

const REQUEST: &str = r#"{"action":"payments.transfer","nonce":"pay-2026-0001-abcd","payload":{"amount_minor":12500,"currency":"EUR","from":"acct:a","memo":"août","to":"acct:b"}}"#;

/// A folder with a request, two keys and the trust file that their entries make: `shield` and the human `alice`, of whom
/// payments need both.
fn governing() -> Setup {
    let setup = Setup::new();
    let shield = keygen(&setup, "shield", &["--tenants", "acme", "--actions", "*"]);
    let alice = keygen(&setup, "alice", &["--roles", "human", "--tenants", "acme", "--actions", "payments.transfer"]);
    let class = "[[class]]\nname = \"money\"\nactions = [\"payments.transfer\"]\nthreshold = 2\nroles = [\"human\"]\n";
    write(&setup, "trust.toml", &format!("audience = \"bank-1\"\n\n{shield}\n{alice}\n{class}"));
    write(&setup, "request.json", REQUEST);
    setup
}

fn write(setup: &Setup, name: &str, text: &str) {
    std::fs::write(setup.folder().join(name), text).expect("a file");
}

/// Makes a key for the principal of that name; returns its entry in a trust file.
fn keygen(setup: &Setup, name: &str, more: &[&str]) -> String {
    let file = format!("{name}.key");
    done(&setup.run(&[&["approval", "keygen", file.as_str(), "--principal", name], more].concat()))
}

#[track_caller]
fn done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[track_caller]
fn refused(output: &Output, code: i32, why: &str) {
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(why), "'{why}' is not in: {said}");
}

const MINT: [&str; 13] = [
    "approval",
    "mint",
    "--request",
    "request.json",
    "--tenant",
    "acme",
    "--requester",
    "agent:planner-7",
    "--issuer",
    "shield",
    "--audience",
    "bank-1",
    "--key",
];

fn mint(setup: &Setup, more: &[&str]) -> Output {
    setup.run(&[&MINT[..], &["shield.key"], more].concat())
}

fn cosign(setup: &Setup, more: &[&str]) -> Output {
    let arguments = ["approval", "cosign", "--request", "request.json", "--key", "alice.key", "--approval", "one.json"];
    setup.run(&[&arguments[..], more].concat())
}

fn verify(setup: &Setup, approval: &str, more: &[&str]) -> Output {
    let arguments =
        ["approval", "verify", "--trust", "trust.toml", "--request", "request.json", "--approval", approval];
    setup.run(&[&arguments[..], more].concat())
}

#[test]
fn a_key_is_for_its_owner_only_is_never_overwritten_and_is_what_openssl_takes_it_for() {
    let setup = governing();
    let private = setup.folder().join("shield.key");
    let mode = |path: &Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&private), 0o600);
    let before = std::fs::read(&private).expect("a key");
    let more = ["--principal", "mallory", "--tenants", "acme", "--actions", "*"];
    refused(&setup.run(&[&["approval", "keygen", "shield.key"], &more[..]].concat()), 2, "exists already");
    std::fs::rename(&private, setup.folder().join("moved.key")).expect("moved");
    refused(&setup.run(&[&["approval", "keygen", "shield.key"], &more[..]].concat()), 2, "exists already");
    assert!(!private.exists(), "nothing was made beside a public key of another");
    assert_eq!(std::fs::read(setup.folder().join("moved.key")).expect("a key"), before);

    let public = openssl(setup.folder(), &["pkey", "-in", "moved.key", "-pubout"]);
    assert_eq!(public, std::fs::read(setup.folder().join("shield.key.pub")).expect("a key"));
    write(
        &setup,
        "theirs.key",
        &String::from_utf8(openssl(setup.folder(), &["genpkey", "-algorithm", "ed25519"])).expect("PEM"),
    );
    done(&setup.run(&[&MINT[..], &["theirs.key", "--yes"]].concat()));
    for not_a_key in ["request.json", "shield.key.pub", "missing.key"] {
        refused(&setup.run(&[&MINT[..], &[not_a_key, "--yes"]].concat()), 2, not_a_key);
    }
    refused(
        &setup.run(&["approval", "keygen", "x.key", "--principal", "two words", "--tenants", "a", "--actions", "*"]),
        2,
        "two words",
    );
    refused(
        &setup.run(&["approval", "keygen", "x.key", "--principal", "x", "--tenants", "demo", "--actions", "*"]),
        2,
        "demo",
    );
    assert!(!setup.folder().join("x.key").exists(), "nothing is made that no trust file would take");
}

#[test]
fn what_two_have_signed_is_accepted_and_what_one_has_signed_is_not() {
    let setup = governing();
    let minted = mint(&setup, &["--yes", "--class", "money", "--threshold", "2", "--decision-id", "D-7"]);
    let shown = String::from_utf8_lossy(&minted.stderr).into_owned();
    for word in ["payments.transfer", r#""amount_minor":12500"#, "acme", "bank-1", "agent:planner-7", "money", "D-7"] {
        assert!(shown.contains(word), "'{word}' is not shown: {shown}");
    }
    write(&setup, "one.json", &done(&minted));
    let alone: Value = serde_json::from_slice(&verify(&setup, "one.json", &[]).stdout).expect("JSON");
    assert_eq!((&alone["ok"], &alone["code"]), (&json!(false), &json!("approval-quorum")));
    assert!(alone["detail"].as_str().is_some_and(|detail| detail.contains("1 of 2")), "{alone}");

    write(&setup, "two.json", &done(&cosign(&setup, &["--yes"])));
    let accepted: Value = serde_json::from_str(&done(&verify(&setup, "two.json", &["--json"]))).expect("JSON");
    assert_eq!(accepted["signers"].as_array().map(Vec::len), Some(2), "{accepted}");
    assert!(done(&verify(&setup, "two.json", &["--tenant", "acme"])).starts_with("ok: "));
    refused(&verify(&setup, "two.json", &["--tenant", "globex"]), 1, "Tenant mismatch");
    refused(&verify(&setup, "two.json", &["--now", "2020-01-01T00:00:00Z"]), 1, "approval-not-yet-valid");
    refused(&verify(&setup, "two.json", &["--now", "2099-01-01T00:00:00Z"]), 1, "approval-expired");
    refused(&cosign(&setup, &["--yes", "--key", "shield.key"]), 2, "cannot be used multiple times");

    let inspected = done(&setup.run(&["approval", "inspect", "two.json"]));
    assert!(inspected.matches("signature by").count() == 2 && inspected.contains("not verified"), "{inspected}");

    // And a host that is told to believe them runs it.
    let host = setup.clone().with(&["--mode", "clawshield", "--trust-file", "trust.toml"]).start();
    let mut body: Value = serde_json::from_str(REQUEST).expect("JSON");
    body["approval_artifact"] =
        serde_json::from_slice(&std::fs::read(setup.folder().join("two.json")).expect("a file")).expect("JSON");
    let executed = host.post("/execute", body.to_string().as_bytes()).expect(200).json();
    assert_eq!(executed["id"], accepted["exec_id"]);
}

#[test]
fn nothing_is_signed_that_was_not_shown_and_agreed_to() {
    let setup = governing();
    refused(&mint(&setup, &[]), 2, "nobody is there to ask");
    write(&setup, "one.json", &done(&mint(&setup, &["--yes"])));
    // A cosigner who is given another request than the one in the approval signs nothing.
    write(&setup, "request.json", &REQUEST.replace("12500", "12501"));
    refused(&cosign(&setup, &["--yes"]), 2, "another call");
    write(&setup, "request.json", REQUEST);
    write(&setup, "one.json", &done(&cosign(&setup, &["--yes"])));
    refused(&cosign(&setup, &["--yes"]), 2, "signed the approval already");
    let artifact = json!({
        "approval_id": "3f2b8c1e-9d5a-4a43-8a5e-0c7f6f2f9b11", "tenant_id": "acme", "action_hash": "0".repeat(64),
        "issued_at": "2026-10-06T12:00:00", "expires_at": "2026-10-06T12:05:00",
        "signature": format!("{}==", "A".repeat(86)),
    });
    write(&setup, "one.json", &artifact.to_string());
    refused(&cosign(&setup, &["--yes"]), 2, "only approvals v2 are cosigned");
    assert!(done(&setup.run(&["approval", "inspect", "one.json"])).contains("binds neither nonce nor host"));

    // On a terminal it asks, and only yes is yes.
    let program = "import os, pty, sys, json
command, answer = json.load(sys.stdin)
pid, terminal = pty.fork()
if pid == 0:
    os.chdir(command[0]); os.execv(command[1], command[1:])
said = b''
while b'[y/N]' not in said: said += os.read(terminal, 4096)
os.write(terminal, answer.encode())
try:
    while True: said += os.read(terminal, 4096)
except OSError: pass
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()]))";
    let binary = openexec_tests::host::binary().display().to_string();
    let command = [&[setup.folder().to_str().expect("a path"), &binary], &MINT[..], &["shield.key"]].concat();
    for (answer, code, signs) in [("y\n", 0, true), ("n\n", 1, false), ("\n", 1, false), ("sure\n", 1, false)] {
        let said = python(program, &json!([command, answer]).to_string());
        let said: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(said[0], code, "{answer:?}: {said}");
        let terminal = said[1].as_str().expect("a text");
        assert_eq!(terminal.contains("signatures"), signs, "{answer:?}: {terminal}");
        assert_eq!(terminal.contains("nothing was signed"), !signs, "{answer:?}: {terminal}");
    }
}

#[test]
fn what_is_minted_here_verifies_with_python_and_openssl() {
    let setup = governing();
    let approval = done(&mint(&setup, &["--yes", "--max-fuel", "1000000", "--policy-bundle", &"ab".repeat(32)]));
    let public = std::fs::read_to_string(setup.folder().join("shield.key.pub")).expect("a key");
    let program = "import sys, json, base64, hashlib
from cryptography.hazmat.primitives import serialization as s
envelope, pem, request = json.load(sys.stdin)
key = s.load_pem_public_key(pem.encode())
payload, kind = base64.b64decode(envelope['payload']), envelope['payloadType']
pae = b'DSSEv1 %d %s %d %s' % (len(kind), kind.encode(), len(payload), payload)
[signature] = envelope['signatures']
key.verify(base64.b64decode(signature['sig']), pae)
spki = key.public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)
assert signature['keyid'] == hashlib.sha256(spki).hexdigest()
body = json.loads(payload)
canonical = lambda value: json.dumps(value, sort_keys=True, separators=(',', ':'), ensure_ascii=False).encode()
assert payload == canonical(body)
assert body['payload']['sha256'] == hashlib.sha256(canonical(request['payload'])).hexdigest()
assert (body['action'], body['nonce']) == (request['action'], request['nonce'])
open(sys.argv[1] + '/signed', 'wb').write(pae)
open(sys.argv[1] + '/signature', 'wb').write(base64.b64decode(signature['sig']))
print('verified')"
        .replace("sys.argv[1]", &format!("{:?}", setup.folder().display().to_string()));
    let request: Value = serde_json::from_str(REQUEST).expect("JSON");
    let envelope: Value = serde_json::from_str(&approval).expect("JSON");
    let input = json!([envelope, public, request]).to_string();
    assert_eq!(python_with_cryptography(&program, &input), "verified\n");
    let arguments = [
        "pkeyutl",
        "-verify",
        "-rawin",
        "-pubin",
        "-inkey",
        "shield.key.pub",
        "-in",
        "signed",
        "-sigfile",
        "signature",
    ];
    let said = openssl(setup.folder(), &arguments);
    assert!(String::from_utf8_lossy(&said).contains("Verified Successfully"));
}

#[test]
fn a_question_that_makes_no_sense_is_a_usage_error_and_a_wrong_answer_is_not() {
    let setup = governing();
    write(&setup, "one.json", &done(&mint(&setup, &["--yes"])));
    let files = ["--request", "request.json", "--approval", "one.json"];
    let ask = |more: &[&str]| setup.run(&[&["approval", "verify"], &files[..], more].concat());
    refused(&ask(&[]), 2, "--trust");
    refused(&ask(&["--clawshield-public-key", "shield.key.pub"]), 2, "--tenant");
    refused(&ask(&["--clawshield-public-key", "shield.key", "--tenant", "acme"]), 2, "this is a private key");
    refused(&ask(&["--trust", "missing.toml"]), 2, "missing.toml");
    refused(&ask(&["--trust", "request.json"]), 2, "the trust file is not valid");
    refused(&ask(&["--trust", "trust.toml", "--now", "yesterday"]), 2, "YYYY-MM-DDTHH:MM:SSZ");
    refused(&ask(&["--trust", "trust.toml", "--component-digest", "ABC"]), 2, "64 lowercase hexadecimal digits");
    // A key that nobody trusts for approvals v2, and files that are not what they should be, are answers.
    refused(&ask(&["--clawshield-public-key", "shield.key.pub", "--tenant", "acme"]), 1, "approval-unknown-key");
    write(&setup, "request.json", "{}");
    refused(&ask(&["--trust", "trust.toml"]), 1, "malformed-request");
    write(&setup, "request.json", REQUEST);
    for junk in ["", "null", "[]", "{}", "{\"payload\":1}", "\u{feff}{}"] {
        write(&setup, "one.json", junk);
        refused(&ask(&["--trust", "trust.toml"]), 1, "approval-malformed");
    }
    let component = "11".repeat(32);
    write(&setup, "one.json", &done(&mint(&setup, &["--yes", "--component-digest", &component])));
    write(&setup, "one.json", &done(&cosign(&setup, &["--yes"])));
    refused(&ask(&["--trust", "trust.toml"]), 1, r#""member":"component""#);
    done(&ask(&["--trust", "trust.toml", "--component-digest", &component]));
}

#[test]
fn a_request_is_executed_without_http_only_with_its_approval() {
    let setup = governing();
    write(&setup, "request.json", r#"{"action":"add","payload":{"a":2,"b":40},"nonce":"0123456789abcdef"}"#);
    write(&setup, "one.json", &done(&mint(&setup, &["--yes"])));
    let host = ["--mode", "clawshield", "--trust-file", "trust.toml", "--nonce", "0123456789abcdef"];
    let execute = |more: &[&str]| setup.run(&[&["execute", "add", r#"{"a":2,"b":40}"#], &host[..], more].concat());
    refused(&execute(&[]), 1, "approval-required");
    let executed: Value = serde_json::from_str(&done(&execute(&["--approval", "one.json"]))).expect("JSON");
    assert_eq!(executed["result"], json!({"sum": 42}));
}

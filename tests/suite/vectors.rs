//! The vectors of an independent implementation, through every door: over HTTP and through the command line.
//!
//! The clock of the host is set to each vector's time; the command line is told it. `suite/approvals.rs` asks core itself.

use std::sync::Arc;

use openexec_core::admission::Mode;
use openexec_core::keys::PublicKey;
use openexec_core::names::Tenant;
use openexec_core::trust::{LegacyTrust, Trust, TrustFile};
use openexec_tests::host::Setup;
use openexec_tests::local::LocalHost;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/approvals.json")).expect("JSON")
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("{member} is no text in {value}"))
}

/// Whether `code` (`ok`, or a refusal's) is what the vector expects.
fn is_expected(vector: &Value, code: &str) -> bool {
    let expected = text(vector, "expect");
    match expected.strip_prefix("ok-or:") {
        Some(other) => code == "ok" || code == other,
        None => expected.split('|').any(|expected| expected == code),
    }
}

/// The member that differs, as the vector names it, where it is a refusal for a difference.
fn assert_member(vector: &Value, code: &str, answer: &Value) {
    if let Some(member) = vector.get("member").filter(|_| code == "approval-mismatch") {
        assert_eq!(&answer["member"], member, "{}", vector["name"]);
    }
}

fn each(kind: &str, approval: &str, n: usize, mut check: impl FnMut(&Value, &Value)) {
    let vectors = vectors();
    let vectors = vectors[kind].as_array().expect("a list");
    assert_eq!(vectors.len(), n);
    for vector in vectors {
        check(vector, &vector[approval]);
    }
}

/// Every request of the vectors has one of a few nonces, so each gets a host of its own.
fn answer_over_http(audience: &str, trust: &Arc<Trust>, vector: &Value, approval: &Value) {
    let host = LocalHost::start(audience, Mode::Clawshield(trust.clone()));
    host.clock.set(text(vector, "now"));
    let answer = host.execute(&vector["request"], Some(approval));
    let body = answer.json();
    // What the handler says of a payload that was made for no handler of ours is beside the point: it ran.
    let code = match body["code"].as_str() {
        None | Some("handler-rejected") => "ok",
        Some(code) => code,
    };
    assert!(is_expected(vector, code), "{}: {body}", vector["name"]);
    assert_member(vector, code, &body);
    let stats = host.ledger.stats().expect("counts");
    let n_ran = stats.n_succeeded + stats.n_failed;
    assert_eq!(n_ran, u64::from(code == "ok"), "{}: {stats:?}", vector["name"]);
}

fn legacy() -> LegacyTrust {
    let vectors = vectors();
    LegacyTrust {
        key: PublicKey::parse_pem(text(&vectors["keys"][text(&vectors, "v1_key")], "pem")).expect("a key"),
        tenant: Tenant::parse_governed(text(&vectors, "v1_tenant")).expect("a tenant"),
        lifetime_s_max: 86_400,
    }
}

fn trust_file() -> TrustFile {
    TrustFile::parse(text(&vectors(), "trust_file")).expect("a trust file")
}

#[test]
fn every_vector_of_approvals_v2_is_answered_over_http_as_expected() {
    let file = trust_file();
    let audience = file.audience().to_string();
    let trust = Arc::new(Trust::of(None, Some(file)).expect("trust"));
    each("v2", "envelope", 46, |vector, approval| answer_over_http(&audience, &trust, vector, approval));
}

#[test]
fn every_vector_of_approvals_v1_is_answered_over_http_as_expected() {
    let trust = Arc::new(Trust::of(Some(legacy()), None).expect("trust"));
    each("v1", "artifact", 17, |vector, approval| answer_over_http("openexec", &trust, vector, approval));
}

/// Runs `openexec approval verify` and compares its exit code and its answer.
fn answer_on_the_command_line(setup: &Setup, trust: &[&str], vector: &Value, approval: &Value) {
    let write = |name: &str, value: &Value| {
        std::fs::write(setup.folder().join(name), value.to_string()).expect("a file");
    };
    write("request.json", &vector["request"]);
    write("approval.json", approval);
    let arguments = ["approval", "verify", "--request", "request.json", "--approval", "approval.json", "--json"];
    let output = setup.run(&[&arguments[..], trust, &["--now", text(vector, "now")]].concat());
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}: {}", vector["name"], String::from_utf8_lossy(&output.stderr)));
    let is_ok = answer["ok"] == true;
    let code = if is_ok { "ok" } else { text(&answer, "code") };
    assert!(is_expected(vector, code), "{}: {answer}", vector["name"]);
    assert_eq!(output.status.code(), Some(i32::from(!is_ok)), "{}", vector["name"]);
    assert_member(vector, code, &answer);
    if let Some(reference) = vector.get("approval_ref") {
        assert_eq!(&answer["approval_ref"], reference, "{}", vector["name"]);
    }
}

#[test]
fn every_vector_of_approvals_v2_is_answered_by_the_command_line_as_expected() {
    let setup = Setup::new();
    std::fs::write(setup.folder().join("trust.toml"), text(&vectors(), "trust_file")).expect("a file");
    let trust = ["--trust", "trust.toml", "--tenant", "acme"];
    each("v2", "envelope", 46, |vector, approval| answer_on_the_command_line(&setup, &trust, vector, approval));
}

#[test]
fn every_vector_of_approvals_v1_is_answered_by_the_command_line_as_expected() {
    let setup = Setup::new();
    let vectors = vectors();
    let pem = text(&vectors["keys"][text(&vectors, "v1_key")], "pem");
    std::fs::write(setup.folder().join("shield.pem"), pem).expect("a file");
    let trust = ["--clawshield-public-key", "shield.pem", "--tenant", text(&vectors, "v1_tenant")];
    each("v1", "artifact", 17, |vector, approval| answer_on_the_command_line(&setup, &trust, vector, approval));
}

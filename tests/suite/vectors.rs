//! The vectors of an independent implementation, through every door: over HTTP and through the command line.
//!
//! The clock of the host is set to each vector's time; the command line is told it. `suite/approvals.rs` asks core itself.

use std::sync::Arc;

use openexec_core::admission::Mode;
use openexec_core::trust::Trust;
use openexec_tests::approvals::{self, AUDIENCE, TENANT, Vector, vectors_v1, vectors_v2};
use openexec_tests::host::Setup;
use openexec_tests::local::LocalHost;
use serde_json::Value;

/// Compares an answer with what the vector expects: no code is `ok`.
fn assert_expected(vector: &Vector, code: Option<&str>, answer: &Value) {
    approvals::assert_expected(vector, code.map_or(Ok(()), |code| Err(code.to_owned())));
    if code == Some("approval-mismatch")
        && let Some(member) = &vector.member
    {
        assert_eq!(answer["member"], **member, "{}", vector.name);
    }
}

/// The vectors have few nonces, so each gets a host of its own.
fn answer_over_http(trust: &Arc<Trust>, vector: &Vector) {
    let host = LocalHost::start(AUDIENCE, Mode::Clawshield(trust.clone()));
    host.clock.set(vector.now);
    let answer = host.execute(&vector.spelled, Some(&vector.approval)).json();
    // What the handler says of a payload that was made for no handler of ours is beside the point: it ran.
    let code = answer["code"].as_str().filter(|code| *code != "handler-rejected");
    assert_expected(vector, code, &answer);
    let stats = host.ledger.stats().expect("counts");
    assert_eq!(stats.n_succeeded + stats.n_failed, u64::from(code.is_none()), "{}: {stats:?}", vector.name);
}

#[test]
fn every_vector_of_approvals_v2_is_answered_over_http_as_expected() {
    let trust = Arc::new(approvals::trust_in(None, Some(approvals::trust_file_text())));
    let vectors = vectors_v2();
    assert_eq!(vectors.len(), 46);
    vectors.iter().for_each(|vector| answer_over_http(&trust, vector));
}

#[test]
fn every_vector_of_approvals_v1_is_answered_over_http_as_expected() {
    let trust = Arc::new(approvals::trust_in(Some(approvals::legacy()), None));
    let vectors = vectors_v1();
    assert_eq!(vectors.len(), 17);
    vectors.iter().for_each(|vector| answer_over_http(&trust, vector));
}

/// Runs `openexec approval verify` and compares its exit code and its answer.
fn answer_on_the_command_line(setup: &Setup, trust: &[&str], vector: &Vector) {
    let write = |name: &str, value: &Value| {
        std::fs::write(setup.folder().join(name), value.to_string()).expect("a file");
    };
    write("request.json", &vector.spelled);
    write("approval.json", &vector.approval);
    let arguments = ["approval", "verify", "--request", "request.json", "--approval", "approval.json", "--json"];
    let output = setup.run(&[&arguments[..], trust, &["--now", &vector.now.to_string()]].concat());
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}: {}", vector.name, String::from_utf8_lossy(&output.stderr)));
    assert_expected(vector, answer["code"].as_str(), &answer);
    let is_ok = answer["ok"].as_bool().expect("a boolean");
    assert_eq!((output.status.code(), is_ok), (Some(i32::from(!is_ok)), answer["code"].is_null()), "{}", vector.name);
    if let Some(reference) = &vector.reference {
        assert_eq!(answer["approval_ref"], **reference, "{}", vector.name);
    }
}

#[test]
fn every_vector_of_approvals_v2_is_answered_by_the_command_line_as_expected() {
    let setup = Setup::new();
    std::fs::write(setup.folder().join("trust.toml"), approvals::trust_file_text()).expect("a file");
    let trust = ["--trust", "trust.toml", "--tenant", TENANT];
    vectors_v2().iter().for_each(|vector| answer_on_the_command_line(&setup, &trust, vector));
}

#[test]
fn every_vector_of_approvals_v1_is_answered_by_the_command_line_as_expected() {
    let setup = Setup::new();
    let pem = approvals::legacy().key.to_pem();
    std::fs::write(setup.folder().join("shield.pem"), pem).expect("a file");
    let trust = ["--clawshield-public-key", "shield.pem", "--tenant", TENANT];
    vectors_v1().iter().for_each(|vector| answer_on_the_command_line(&setup, &trust, vector));
}

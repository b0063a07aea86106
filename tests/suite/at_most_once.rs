//! At most once per nonce, whoever asks and however often.

use std::sync::{Arc, Barrier};
use std::thread;

use openexec_tests::client;
use openexec_tests::host::Host;
use serde_json::json;

/// Sends every body at the same moment, each on a connection of its own.
fn all_at_once(host: &Host, bodies: Vec<Vec<u8>>) -> Vec<client::Answer> {
    let start = Arc::new(Barrier::new(bodies.len()));
    let address = host.address;
    let callers: Vec<_> = bodies
        .into_iter()
        .map(|body| {
            let start = start.clone();
            let caller = thread::Builder::new().stack_size(128 * 1024);
            let call = move || {
                start.wait();
                client::post(address, "/execute", &body).expect("an answer")
            };
            caller.spawn(call).expect("a thread")
        })
        .collect();
    callers.into_iter().map(|caller| caller.join().expect("a caller")).collect()
}

#[test]
fn a_thousand_identical_calls_are_one_run_and_a_thousand_identical_answers() {
    let host = Host::start();
    let body = json!({"action": "add", "payload": {"a": 1, "b": 2}, "nonce": "same"}).to_string().into_bytes();
    let answers = all_at_once(&host, vec![body; 1000]);
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &answers[0].body));
    }
    let n_first = answers.iter().filter(|answer| !answer.is_replay()).count();
    assert_eq!(n_first, 1, "one answer was made, the others repeat it");
    assert_eq!(host.setup.stats()["succeeded"], 1);
}

#[test]
fn a_thousand_calls_with_one_nonce_and_different_payloads_are_one_run() {
    let host = Host::start();
    let bodies =
        (0..1000).map(|i| json!({"action": "echo", "payload": {"i": i}, "nonce": "same"}).to_string().into_bytes());
    let answers = all_at_once(&host, bodies.collect());
    let n_ran = answers.iter().filter(|answer| answer.status == 200).count();
    let n_refused = answers.iter().filter(|answer| answer.status == 422 && answer.code() == "nonce-reuse").count();
    assert_eq!((n_ran, n_refused), (1, 999));
    assert_eq!(host.setup.stats()["succeeded"], 1);
}

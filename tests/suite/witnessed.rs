//! A real host and a real witness: cosignatures reach the proofs, and a ledger that was put back is caught.

use std::path::Path;
use std::process::{Command, Output};

use openexec_tests::host::{Host, Setup, binary};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

const NAME: &str = "witness.example/1";

/// A witness with a key and a memory of its own.
struct Witness(TempDir);

impl Witness {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let key = ["--key", "witness.pem", "--name", NAME];
        let mut command = Command::new(binary());
        command.arg("witness").args(arguments).args(key).current_dir(self.0.path());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OPENEXEC_")) {
            command.env_remove(name);
        }
        command.output().expect("the witness runs")
    }

    fn key(&self) -> String {
        let output = self.run(&["key"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Looks at the host's log once; its exit code, and what it said.
    fn look(&self, host: &Host) -> (Option<i32>, String) {
        let url = format!("http://{}", host.address);
        let key = log_key(&host.setup);
        let output = self.run(&["--once", "--log-url", &url, "--log-key", &key]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Another witness that remembers the same.
    fn copied(&self) -> Self {
        let copy = Self::new();
        copy_files(self.0.path(), copy.0.path());
        copy
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.path().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }
}

fn log_key(setup: &Setup) -> String {
    let output = setup.run(&["log", "key"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn execute(host: &Host, nonces: impl IntoIterator<Item = String>) -> String {
    let ids = nonces
        .into_iter()
        .map(|nonce| host.execute("echo", &json!({"n": nonce}), &nonce).expect(200).json()["id"].clone());
    ids.last().and_then(|id| id.as_str().map(ToOwned::to_owned)).expect("an id")
}

/// Waits until the log has this many receipts.
fn wait_for_log(host: &Host, size: usize) {
    let start = std::time::Instant::now();
    while host.get("/log/checkpoint").expect(200).text().lines().nth(1) != Some(&size.to_string()) {
        assert!(start.elapsed().as_secs() < 30, "the log does not follow");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn stop(mut host: Host) -> Setup {
    host.signal(Signal::TERM);
    assert!(host.wait().success());
    host.kill()
}

#[test]
fn what_a_witness_cosigned_is_in_the_evidence_and_verifies_without_host_and_witness() {
    let witness = Witness::new();
    let vkey = witness.key();
    let host = Setup::new().variable("OPENEXEC_WITNESS_KEYS", &vkey).start();
    let exec_id = execute(&host, (0..300).map(|n| n.to_string()));
    wait_for_log(&host, 300);
    let (code, said) = witness.look(&host);
    assert_eq!(code, Some(0), "{said}");
    assert!(host.get(&format!("/receipts/{exec_id}/proof")).expect(200).text().contains(NAME), "cosigned");
    let setup = stop(host);
    let evidence = setup.run(&["receipt", "export", &exec_id]);
    assert!(evidence.status.success(), "{}", String::from_utf8_lossy(&evidence.stderr));
    std::fs::write(setup.folder().join("evidence.json"), &evidence.stdout).expect("a file");
    let verify = |more: &[&str]| {
        let log = log_key(&setup);
        let usual = [
            "receipt",
            "verify",
            "evidence.json",
            "--json",
            "--receipt-key",
            "openexec.db.receipt-key.pem.pub",
            "--log-key",
            &log,
        ];
        let output = setup.run(&[&usual, more].concat());
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        let verdict = |aspect: &str| {
            let aspects = report["aspects"].as_array().expect("aspects");
            aspects.iter().find(|entry| entry["aspect"] == aspect).expect("the aspect")["verdict"].clone()
        };
        (output.status.code(), verdict("cosignatures"), verdict("inclusion"))
    };
    assert_eq!(verify(&["--witness-key", &vkey]), (Some(0), json!("pass"), json!("pass")));
    let other = Witness::new().key();
    assert_eq!(verify(&["--witness-key", &other]), (Some(1), json!("fail"), json!("pass")));
}

#[test]
fn a_witness_calls_a_ledger_that_was_put_back_a_rollback_and_one_that_went_on_from_there_a_split_view() {
    let witness = Witness::new();
    let host = Setup::new().variable("OPENEXEC_WITNESS_KEYS", &witness.key()).start();
    execute(&host, (0..3).map(|n| format!("first-{n}")));
    let setup = stop(host);
    let old = std::fs::read(setup.ledger()).expect("a copy");
    let host = setup.start();
    execute(&host, (0..5).map(|n| format!("seen-{n}")));
    wait_for_log(&host, 8);
    assert_eq!(witness.look(&host).0, Some(0));
    let setup = stop(host);
    let (of_rollback, of_fork) = (witness.copied(), witness.copied());
    std::fs::write(setup.ledger(), old).expect("an old copy");
    let host = setup.start();
    wait_for_log(&host, 3);
    let (code, said) = of_rollback.look(&host);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.to_lowercase().contains("rolled back") || said.contains("rollback"), "{said}");
    execute(&host, (0..9).map(|n| format!("unseen-{n}")));
    wait_for_log(&host, 12);
    let (code, said) = of_fork.look(&host);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.to_lowercase().contains("split"), "{said}");
    // And for ever.
    assert_eq!(of_rollback.look(&host).0, Some(1));
}

//! The profile `wasi`: components that import WASI for real run in a world in which everything is virtual, the same again
//! in every repetition, and nothing is reachable.

use std::fs;
use std::time::{Duration, Instant};

use openexec_core::digest::Digest;
use openexec_core::names::Action;
use openexec_core::outcome::{Fault, Outcome, Run};
use openexec_core::receipt::Receipt;
use openexec_core::registry::{Limits, Pin, Profile};
use openexec_core::reservation::{Rerun, Reservation};
use openexec_core::time::Timestamp;
use openexec_ledger::sqlite::SqliteLedger;
use openexec_ledger::{Claim, Ledger};
use openexec_sandbox::{ComponentFile, Sandbox, Settings, StartError};
use openexec_tests::evidence::{self, TestLog};
use openexec_tests::facts;
use openexec_tests::fixtures::{self, component};
use openexec_tests::host::{Host, Setup};
use openexec_tests::wasi::{probe, probe_that_begins_with};
use serde_json::{Value, json};

/// When the executions of these tests were reserved.
const RESERVED_AT_MS: u64 = 1_700_000_000_123;

const STEP_NS: u64 = 1_000;

fn file(bytes: Vec<u8>, profile: Profile, limits: Limits) -> ComponentFile {
    let pin = Pin {
        component: "probe.wasm".to_owned(),
        digest: Digest::of(&bytes),
        version: "1".to_owned(),
        profile,
        limits,
        description: None,
    };
    ComponentFile { action: Action::parse("probe").expect("a name"), pin, path: "probe.wasm".to_owned(), bytes }
}

#[track_caller]
fn sandbox(bytes: &[u8], limits: Limits) -> Sandbox {
    let file = file(bytes.to_vec(), Profile::Wasi, limits);
    Sandbox::start(vec![file], Settings { n_slots: 2 }).unwrap_or_else(|error| panic!("{error}"))
}

fn body(what: &str, nonce: &str) -> String {
    json!({"action": "probe", "payload": {"do": what}, "nonce": nonce}).to_string()
}

/// One run of what the letter stands for in `probe.wat`.
#[track_caller]
fn try_out(sandbox: &Sandbox, component: &[u8], what: &str, nonce: &str, limits: Limits) -> Run {
    let body = body(what, nonce);
    let facts = facts::reserved("demo", body.as_bytes(), Digest::of(component), limits, RESERVED_AT_MS);
    sandbox.rerun(&Rerun::of(facts)).expect("a run")
}

/// The bytes of an answer `{"hex": "…"}`.
#[track_caller]
fn bytes_of(answer: &Value) -> Vec<u8> {
    let hex = answer["hex"].as_str().unwrap_or_else(|| panic!("{answer}"));
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

#[track_caller]
fn answer(run: &Run) -> Vec<u8> {
    let Outcome::Succeeded { result, effects } = &run.outcome else { panic!("{run:?}") };
    assert!(effects.is_empty());
    bytes_of(&serde_json::from_str(result.as_str()).expect("JSON"))
}

/// The answer to one question, under the default limits.
#[track_caller]
fn tried(what: &str) -> Vec<u8> {
    let bytes = probe();
    answer(&try_out(&sandbox(&bytes, Limits::default()), &bytes, what, "nonce", Limits::default()))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[test]
fn time_starts_at_the_reservation_and_moves_with_every_reading() {
    let bytes = tried("c");
    let reserved_at_ns = RESERVED_AT_MS * 1_000_000;
    assert_eq!((word(&bytes, 0), word(&bytes, 8)), (reserved_at_ns, reserved_at_ns + STEP_NS));
    assert_eq!(word(&bytes, 24) - word(&bytes, 16), STEP_NS);
    assert!(word(&bytes, 16) > 0);
    assert!(tried("w").is_empty(), "a handler that asks until ten milliseconds have passed comes to an end");
}

#[test]
fn who_sleeps_wakes_up_at_once_and_the_time_has_passed() {
    let hour_ns = 3_600_000_000_000;
    let bytes = probe();
    let sandbox = sandbox(&bytes, Limits::default());
    let begun = Instant::now();
    let slept = answer(&try_out(&sandbox, &bytes, "s", "nonce", Limits::default()));
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody has waited");
    assert_eq!(slept[8], 0, "no error");
    let passed = word(&slept, 9) - word(&slept, 0);
    assert!((hour_ns..hour_ns + 100 * STEP_NS).contains(&passed), "{passed}");
    let wall = word(&slept, 17) - RESERVED_AT_MS * 1_000_000;
    assert!((hour_ns..hour_ns + 100 * STEP_NS).contains(&wall), "both clocks have jumped: {wall}");
}

#[test]
fn random_numbers_are_the_same_for_an_execution_and_others_for_another_nonce_or_component() {
    let limits = Limits::default();
    let (one, other) = (probe(), probe_that_begins_with("(nop)"));
    let (sandbox_of_one, sandbox_of_other) = (sandbox(&one, limits), sandbox(&other, limits));
    let draw = |sandbox, component: &[u8], nonce| answer(&try_out(sandbox, component, "r", nonce, limits));
    let first = draw(&sandbox_of_one, &one, "nonce");
    assert_eq!(first, draw(&sandbox_of_one, &one, "nonce"));
    let others = [draw(&sandbox_of_one, &one, "another"), draw(&sandbox_of_other, &other, "nonce")];
    for source in [0..16, 16..32, 32..40, 40..48, 48..56] {
        for other in &others {
            assert_ne!(first[source.clone()], other[source.clone()], "{source:?}");
        }
        assert!(first[source.clone()].iter().any(|byte| *byte != 0), "{source:?}");
    }
}

#[test]
fn there_are_no_files_no_input_no_environment_and_no_arguments() {
    const BADF: u8 = 8;
    let [prestat, open, read, n_read, environ, n_environ, args, n_args] = tried("f")[..] else { panic!("eight") };
    assert_eq!((prestat, open), (BADF, BADF), "no preopen, so nothing to open from");
    assert_eq!((read, n_read), (0, 0), "standard input has ended");
    assert_eq!((environ, n_environ, args, n_args), (0, 0, 0, 0));
}

#[test]
fn sockets_and_names_are_denied() {
    const ERROR: u8 = 1;
    const ACCESS_DENIED: u8 = 1;
    assert_eq!(tried("n"), [ERROR, ACCESS_DENIED].repeat(3), "TCP, UDP, names");
}

#[test]
fn what_ends_a_handler_in_its_world_is_a_fault_of_its_own() {
    // Far off, so that fuel is what ends a loop also where the machine is busy.
    let (bytes, limits) = (probe(), Limits { deadline_ms: 60_000, ..Limits::default() });
    let sandbox_of_probe = sandbox(&bytes, limits);
    let faults = [
        ("E", Fault::Trap),      // proc_exit
        ("B", Fault::Trap),      // a megabyte of random bytes at once
        ("W", Fault::Trap),      // pollables without end
        ("N", Fault::Trap),      // waiting for nothing
        ("S", Fault::OutOfFuel), // sleeping for ever
        ("R", Fault::OutOfFuel), // random bytes for ever
    ];
    for (what, fault) in faults {
        let run = try_out(&sandbox_of_probe, &bytes, what, "nonce", limits);
        assert_eq!(run.outcome, Outcome::Faulted(fault), "{what}");
        assert_eq!(run, try_out(&sandbox_of_probe, &bytes, what, "nonce", limits), "{what}: the same again");
        assert!(run.resources.fuel <= limits.fuel, "{what}");
    }
    // Before it is even called: nobody but the handler is the cause, so the execution ends and is not tried for ever.
    let exits = probe_that_begins_with("(call $exit (i32.const 0))");
    let run = try_out(&sandbox(&exits, limits), &exits, "c", "nonce", limits);
    assert_eq!(run.outcome, Outcome::Faulted(Fault::Trap));
}

#[test]
fn a_loop_of_calls_to_the_host_ends_at_the_deadline_if_fuel_does_not_end_it() {
    let limits = Limits { fuel: 900_000_000_000, deadline_ms: 100, ..Limits::default() };
    let bytes = probe();
    let sandbox = sandbox(&bytes, limits);
    for what in ["S", "R"] {
        let begun = Instant::now();
        let run = try_out(&sandbox, &bytes, what, "nonce", limits);
        assert_eq!(run.outcome, Outcome::Faulted(Fault::Deadline), "{what}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{what}: {:?}", begun.elapsed());
    }
}

#[test]
fn what_the_host_does_for_a_handler_costs_fuel() {
    let (bytes, limits) = (probe(), Limits { fuel: 50_000_000, ..Limits::default() });
    let sandbox = sandbox(&bytes, limits);
    let fuel = |what| try_out(&sandbox, &bytes, what, "nonce", limits).resources.fuel;
    let nothing = fuel("-");
    assert!(fuel("c") > nothing + 4 * 500, "four readings");
    assert!(fuel("P") > nothing + 50 * 65_536, "a megabyte and more that is printed");
    // What is left when the host has done its part is too little: out of fuel, whoever notices it.
    let needed = fuel("P");
    let tight = Limits { fuel: needed - 1, ..limits };
    let run = try_out(&sandbox, &bytes, "P", "nonce", tight);
    assert_eq!((run.outcome, run.resources.fuel), (Outcome::Faulted(Fault::OutOfFuel), needed - 1));
    let exact = Limits { fuel: needed, ..limits };
    assert!(matches!(try_out(&sandbox, &bytes, "P", "nonce", exact).outcome, Outcome::Succeeded { .. }));
}

#[test]
fn a_hundred_runs_give_the_same_bytes_and_the_same_fuel() {
    let (bytes, limits) = (probe(), Limits::default());
    let sandbox = sandbox(&bytes, limits);
    for what in ["c", "s", "r", "f", "n", "p"] {
        let first = try_out(&sandbox, &bytes, what, "nonce", limits);
        assert!(matches!(first.outcome, Outcome::Succeeded { .. }), "{what}: {first:?}");
        for _ in 0..100 {
            assert_eq!(try_out(&sandbox, &bytes, what, "nonce", limits), first, "{what}");
        }
    }
}

#[test]
fn what_a_profile_does_not_link_is_refused_by_name_at_the_start() {
    let start = |bytes: &[u8], profile| {
        Sandbox::start(vec![file(bytes.to_vec(), profile, Limits::default())], Settings { n_slots: 1 })
    };
    let refused = start(&probe(), Profile::Pure).expect_err("imports");
    assert!(matches!(refused, StartError::Imports { wasi_links_them: true, .. }), "{refused}");
    for words in ["wasi:clocks/wall-clock@0.2", "wasi:sockets/tcp-create-socket@0.2.0", "stub", "--profile wasi"] {
        assert!(refused.to_string().contains(words), "{words}: {refused}");
    }
    let handler = fixtures::text("well-behaved");
    let importing = |instance: &str| {
        wat::parse_str(handler.replacen("(component", &format!("(component (import {instance})"), 1)).unwrap()
    };
    for name in [
        "wasi:http/types@0.2.3",
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:clocks/timezone@0.2.3",
        "wasi:clocks/wall-clock@0.3.0",
        "wasi:clocks/wall-clock@0.2.0-rc-2023-11-10",
        "wasi:clocks/wall-clock",
        "wasi:keyvalue/store@0.2.0",
        "example:evil/door@1.0.0",
    ] {
        let component = importing(&format!("\"{name}\" (instance)"));
        let refused = start(&component, Profile::Wasi).expect_err(name);
        assert!(matches!(refused, StartError::Imports { .. }) && refused.to_string().contains(name), "{refused}");
        let refused = start(&component, Profile::Pure).expect_err(name);
        assert!(!refused.to_string().contains("--profile wasi"), "it would be of no use: {refused}");
    }
    // Under the name of WASI, something else.
    let other = importing("\"wasi:random/random@0.2.0\" (instance (export \"get-entropy\" (func)))");
    let refused = start(&other, Profile::Wasi).expect_err("an unknown function");
    assert!(matches!(refused, StartError::NotLinked { .. }), "{refused}");
    assert!(refused.to_string().contains("wasi:random/random@0.2.0"), "{refused}");
}

fn said(setup: &Setup, arguments: &[&str], code: i32) -> String {
    let output = setup.run(arguments);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

/// A folder in which the probe is pinned.
#[track_caller]
fn pinned() -> Setup {
    let setup = Setup::new();
    fs::write(setup.folder().join("probe.wasm"), probe()).expect("a component");
    let pinned = said(&setup, &["registry", "pin", "probe", "probe.wasm", "--profile", "wasi"], 0);
    assert!(pinned.contains("profile wasi") && pinned.contains("wasi:random/insecure-seed@0.2"), "{pinned}");
    setup.with(&["--registry", "registry.toml", "--audit-one-in", "1"])
}

#[track_caller]
fn executed(host: &Host, what: &str, nonce: &str) -> Vec<u8> {
    bytes_of(&host.execute("probe", &json!({"do": what}), nonce).expect(200).json()["result"])
}

#[test]
fn the_profile_is_asked_for_by_each_pin_and_by_nothing_else() {
    let setup = Setup::new();
    let path = setup.folder().join("registry.toml");
    fs::write(setup.folder().join("probe.wasm"), probe()).expect("a component");
    fs::write(setup.folder().join("plain.wasm"), component("well-behaved")).expect("a component");
    let http = wat::parse_str("(component (import \"wasi:http/types@0.2.0\" (instance)))").unwrap();
    fs::write(setup.folder().join("http.wasm"), http).expect("a component");

    let refused = said(&setup, &["registry", "pin", "probe", "probe.wasm"], 1);
    assert!(refused.contains("wasi:clocks/wall-clock@0.2") && refused.contains("--profile wasi"), "{refused}");
    let refused = said(&setup, &["registry", "pin", "http", "http.wasm", "--profile", "wasi"], 1);
    assert!(refused.contains("wasi:http/types@0.2.0"), "{refused}");
    assert!(!path.exists());
    assert!(
        said(&setup, &["registry", "pin", "probe", "probe.wasm", "--profile", "open"], 2).contains("'pure' or 'wasi'")
    );

    said(&setup, &["registry", "pin", "probe", "probe.wasm", "--profile", "wasi"], 0);
    let again = said(&setup, &["registry", "pin", "probe", "probe.wasm", "--fuel", "20000000"], 0);
    assert!(again.contains("fuel 10000000 -> 20000000") && !again.contains("profile"), "it stays what it is: {again}");
    let plain = said(&setup, &["registry", "pin", "plain", "plain.wasm", "--profile", "wasi"], 0);
    assert!(plain.contains("--profile pure"), "it needs no WASI: {plain}");
    let plain = said(&setup, &["registry", "pin", "plain", "plain.wasm", "--profile", "pure"], 0);
    assert!(plain.contains("profile wasi -> pure"), "{plain}");
    let listed: Value =
        serde_json::from_str(&said(&setup, &["registry", "list", "--registry", "registry.toml", "--json"], 0)).unwrap();
    let profiles: Vec<_> =
        listed["actions"].as_array().unwrap_or(&Vec::new()).iter().map(|a| a["profile"].clone()).collect();
    assert_eq!(profiles, ["pure", "wasi"], "{listed}");

    assert!(said(&setup, &["handler", "check", "probe.wasm"], 1).contains("--profile wasi"));
    let checked = said(&setup, &["handler", "check", "probe.wasm", "--profile", "wasi"], 0);
    assert!(checked.contains("same outcome, same fuel"), "{checked}");

    // Whoever edits the registry by hand gets no further.
    let text = fs::read_to_string(&path).unwrap().replace("profile = \"wasi\"", "profile = \"pure\"");
    fs::write(&path, text).unwrap();
    let refused = setup.with(&["--registry", "registry.toml"]).try_start().expect_err("imports");
    assert!(refused.stderr.contains("wasi:clocks/wall-clock@0.2"), "{}", refused.stderr);
}

#[test]
fn two_processes_give_the_same_bytes_and_the_same_fuel() {
    let setup = pinned();
    for what in ["c", "s", "r"] {
        let payload = json!({"do": what}).to_string();
        let run = || {
            let text = said(&setup, &["handler", "run", "probe.wasm", &payload, "--profile", "wasi"], 0);
            let mut run: Value = serde_json::from_str(&text).expect("JSON");
            run.as_object_mut().unwrap().remove("time_us").expect("a time");
            run
        };
        assert_eq!(run(), run(), "{what}");
    }
}

#[test]
fn receipts_name_the_profile_and_their_runs_repeat() {
    let setup = pinned();
    let host = setup.start();
    let listed = host.get("/actions").expect(200).json();
    assert_eq!(listed["actions"][0]["profile"], "wasi", "{listed}");
    let before_ms = u64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let at_ns = word(&executed(&host, "c", "first"), 0);
    assert!(at_ns >= before_ms * 1_000_000, "the reservation was now");
    // Also on the threads of the server: the second run of a brief handler stays there.
    for what in ["s", "r", "f", "n", "p", "s", "r", "f", "n", "p"] {
        executed(&host, what, &format!("{what}-{}", setup.stats()["succeeded"]));
    }
    let exec_id =
        host.execute("probe", &json!({"do": "r"}), "drawn").expect(200).json()["id"].as_str().unwrap().to_owned();
    let equal = "openexec_self_audit_total{verdict=\"equal\"} 12";
    let begun = Instant::now();
    while !host.get("/metrics").text().contains(equal) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", host.get("/metrics").text());
        std::thread::sleep(Duration::from_millis(20));
    }
    host.get("/ready").expect(200);
    let exported = said(&setup, &["receipt", "export", &exec_id], 0);
    assert!(exported.contains("evidence"), "{exported}");
    fs::write(setup.folder().join("evidence.json"), exported).expect("a file");
    let replayed = setup.run(&["receipt", "verify", "evidence.json", "--replay", "probe.wasm", "--json"]);
    let replayed = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert!(replayed.contains("and the same fuel"), "{replayed}");
    drop(host);
    let audited = said(&setup, &["ledger", "audit", "--registry", "registry.toml"], 0);
    assert!(audited.contains("12"), "{audited}");
}

#[test]
fn a_receipt_of_another_profile_is_not_believed() {
    let (bytes, limits) = (probe(), Limits::default());
    let facts = facts::reserved("demo", body("c", "nonce").as_bytes(), Digest::of(&bytes), limits, RESERVED_AT_MS);
    let run = sandbox(&bytes, limits).rerun(&Rerun::of(facts.clone())).expect("a run");
    let setup = Setup::new();
    fs::write(setup.folder().join("probe.wasm"), &bytes).expect("a component");
    // Sealed as `pure`, with the host's own key.
    let mut log = TestLog::default();
    let exported = evidence::exported("openexec", &facts, &evidence::seal(&facts, run), &mut log);
    fs::write(setup.folder().join("evidence.json"), exported.spell()).expect("a file");
    let refused = said(&setup, &["receipt", "verify", "evidence.json", "--replay", "probe.wasm"], 1);
    assert!(refused.contains("names the profile 'pure'") && refused.contains("wasi:clocks/wall-clock"), "{refused}");
}

#[test]
fn a_receipt_says_wasi_and_one_of_the_profile_pure_says_nothing() {
    let (bytes, limits) = (probe(), Limits::default());
    let body = body("c", "nonce");
    let facts = facts::reserved("demo", body.as_bytes(), Digest::of(&bytes), limits, RESERVED_AT_MS);
    let run = sandbox(&bytes, limits).rerun(&Rerun::of(facts.clone())).expect("a run");
    let sealed = facts::seal(&Reservation::made_durable(facts), run, Timestamp::from_unix_ms(RESERVED_AT_MS + 5));
    let pure = sealed.seal.expect("a receipt").signed.statement.clone();
    assert!(!pure.contains("profile"), "{pure}");
    let receipt = Receipt::parse(&pure).expect("a receipt");
    let wasi = Receipt { profile: Profile::Wasi, ..receipt.clone() }.spell();
    assert!(wasi.contains(r#"},"profile":"wasi","registry":{"#), "{wasi}");
    assert_eq!(Receipt::parse(&wasi).expect("a receipt").profile, Profile::Wasi);
    for other in ["pure", "open", "WASI", ""] {
        let altered = wasi.replace(r#""profile":"wasi""#, &format!(r#""profile":"{other}""#));
        assert!(Receipt::parse(&altered).is_err(), "{other}: there is one spelling, and no other profile");
    }
}

#[test]
fn a_reservation_of_a_dead_host_runs_again_in_the_same_world() {
    let setup = pinned();
    let bytes = fs::read(setup.folder().join("probe.wasm")).expect("the component");
    let reserve = |what: &str, nonce: &str| {
        let facts = facts::reserved(
            "demo",
            body(what, nonce).as_bytes(),
            Digest::of(&bytes),
            Limits::default(),
            RESERVED_AT_MS,
        );
        let ledger = SqliteLedger::open(&setup.ledger()).expect("a ledger");
        assert!(matches!(ledger.reserve(facts).wait().expect("an answer"), Claim::Fresh(_)));
    };
    reserve("c", "time");
    reserve("r", "random");
    let host = setup.with(&["--retention-days", "forever"]).start();
    assert_eq!(executed(&host, "c", "time"), tried("c"), "time starts at the first reservation");
    let limits = Limits::default();
    let expected = answer(&try_out(&sandbox(&bytes, limits), &bytes, "r", "random", limits));
    assert_eq!(executed(&host, "r", "random"), expected);
}

#[test]
fn a_component_of_the_profile_runs_from_a_lock() {
    let setup = pinned();
    said(&setup, &["registry", "compile", "--registry", "registry.toml"], 0);
    assert!(setup.folder().join("registry.lock").exists());
    fs::remove_file(setup.folder().join("probe.wasm")).expect("the component");
    let host = setup.start();
    assert_eq!(executed(&host, "n", "locked"), tried("n"));
}

#[test]
fn what_is_printed_is_for_the_log_of_who_wants_it_and_in_no_answer() {
    let setup = pinned();
    let host = setup.clone().variable("OPENEXEC_LOG", "info").start();
    let answer = host.execute("probe", &json!({"do": "p"}), "printed").expect(200);
    assert_eq!(bytes_of(&answer.json()["result"]), [0, 0], "standard output and standard error were written");
    assert!(!answer.text().contains("printed by a handler"));
    assert!(!host.log().contains("printed by a handler"), "not unless asked for");
    drop(host);
    let host = setup.variable("OPENEXEC_LOG", "debug").start();
    host.execute("probe", &json!({"do": "p"}), "debug").expect(200);
    assert!(host.log().contains("printed by a handler"), "on one line: {}", host.log());
    let n_before = host.log().len();
    host.execute("probe", &json!({"do": "P"}), "much").expect(200);
    let n_logged = host.log().len() - n_before;
    assert!(n_logged < 64 * 1024, "three megabytes were printed, and {n_logged} bytes logged");
}

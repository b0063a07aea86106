//! Hostile components: each ends in its own fault, and the host keeps serving.

use std::sync::Arc;
use std::thread;

use openexec_core::digest::Digest;
use openexec_core::names::Action;
use openexec_core::outcome::{Fault, Outcome, Run};
use openexec_core::registry::{Limits, Pin, Profile};
use openexec_core::reservation::{Reservation, Reserved};
use openexec_sandbox::{ComponentFile, Sandbox, Settings, StartError};
use openexec_tests::client;
use openexec_tests::facts;
use openexec_tests::fixtures::{component, write_registry};
use openexec_tests::host::{Host, Setup};
use serde_json::json;

/// Fuel and time that no fixture reaches by accident.
const AMPLE: &str = "fuel = 10_000_000_000\ndeadline_ms = 60_000";

/// A fixture, its limits, and the fault it must end in.
const FAULTS: [(&str, &str, &str); 20] = [
    ("endless-loop", "fuel = 1_000_000", "out-of-fuel"),
    ("memory-bomb", AMPLE, "out-of-memory"),
    ("memory-bomb-many", "fuel = 10_000_000_000\nmemory_bytes = 33_554_432", "out-of-memory"),
    ("table-bomb", AMPLE, "out-of-memory"),
    ("deep-recursion", AMPLE, "stack-overflow"),
    ("huge-output", "fuel = 10_000_000_000\nmemory_bytes = 33_554_432", "output-too-large"),
    ("too-many-effects", AMPLE, "output-too-large"),
    ("effect-too-large", AMPLE, "output-too-large"),
    ("aliased-effects", AMPLE, "output-too-large"),
    ("huge-effect-list", AMPLE, "output-invalid"),
    ("output-invalid-utf8", AMPLE, "output-invalid"),
    ("output-invalid-json", AMPLE, "output-invalid"),
    ("output-duplicate-keys", AMPLE, "output-invalid"),
    ("output-pointer-out-of-bounds", AMPLE, "output-invalid"),
    ("bad-discriminant", AMPLE, "output-invalid"),
    ("trap", AMPLE, "trap"),
    ("divide-by-zero", AMPLE, "trap"),
    ("start-loops", "fuel = 1_000_000", "out-of-fuel"),
    ("start-traps", AMPLE, "trap"),
    ("well-behaved", "memory_bytes = 65_536\nfuel = 1", "out-of-fuel"),
];

#[test]
fn every_hostile_component_ends_in_its_own_fault_and_the_host_keeps_serving() {
    let setup = Setup::new();
    let mut pins: Vec<_> = FAULTS.iter().map(|(name, limits, _)| (*name, *limits)).collect();
    pins.push(("says-no", AMPLE));
    let registry = write_registry(setup.folder(), &pins);
    let host = setup.with(&["--registry", &registry.display().to_string()]).start();
    for (name, _, fault) in FAULTS {
        let answer = host.execute(name, &json!({}), name).expect(500);
        assert_eq!((answer.code().as_str(), &answer.json()["fault"]), ("handler-faulted", &json!(fault)), "{name}");
        let again = host.execute(name, &json!({}), name).expect(500);
        assert!(again.is_replay() && again.body == answer.body, "{name}: a fault is recorded");
        host.execute("says-no", &json!({}), &format!("after {name}")).expect(422);
    }
}

#[test]
fn a_loop_that_fuel_would_let_run_is_stopped_by_its_deadline() {
    let setup = Setup::new();
    let limits = "fuel = 100_000_000_000\ndeadline_ms = 100";
    let registry = write_registry(setup.folder(), &[("endless-loop", limits), ("start-loops", limits)]);
    let host = setup.with(&["--registry", &registry.display().to_string()]).start();
    for name in ["endless-loop", "start-loops"] {
        let answer = host.execute(name, &json!({}), name).expect(500);
        assert_eq!(answer.json()["fault"], "deadline", "{name}");
    }
}

#[test]
fn neighbours_of_a_house_full_of_loops_keep_their_deadlines() {
    let setup = Setup::new();
    let loops = "fuel = 100_000_000_000\ndeadline_ms = 2_000";
    let registry = write_registry(setup.folder(), &[("endless-loop", loops), ("well-behaved", "deadline_ms = 1_000")]);
    let host = setup.with(&["--registry", &registry.display().to_string(), "--concurrency", "32"]).start();
    let address = host.address;
    let loops: Vec<_> = (0..24)
        .map(|i| thread::spawn(move || client::execute(address, "endless-loop", &json!({}), &format!("loop {i}"))))
        .collect();
    for i in 0..50 {
        host.execute("well-behaved", &json!({}), &format!("neighbour {i}")).expect(200);
    }
    for answer in loops {
        assert_eq!(answer.join().expect("a caller").expect("an answer").json()["fault"], "deadline");
    }
}

#[test]
fn a_long_refusal_is_cut_at_a_character_and_recorded() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("endless-message", AMPLE), ("says-no", "")]);
    let host = setup.with(&["--registry", &registry.display().to_string()]).start();
    let long = host.execute("endless-message", &json!({}), "1").expect(422);
    let detail = long.json()["detail"].as_str().expect("a string").to_owned();
    assert!((1..=1024).contains(&detail.len()), "{} bytes", detail.len());
    let short = host.execute("says-no", &json!({}), "2").expect(422);
    assert_eq!(short.code(), "handler-rejected");
    assert_eq!(short.json()["failure"], "rejected");
    assert_eq!(short.json()["detail"], "because: the fixture always says no");
}

#[test]
fn what_can_never_run_is_refused_at_start_with_the_file_and_the_remedy() {
    let cases = [
        ("unknown-import", "example:evil/door", "imports nothing"),
        ("wasi-import", "wasi:cli/environment", "imports nothing"),
        ("missing-handle", "guest@1.0.0", "wit/handler.wit"),
        ("missing-interface", "guest@1.0.0", "wit/handler.wit"),
        ("wrong-type", "guest@1.0.0", "wit/handler.wit"),
        ("core-module", "core WebAssembly module", "wasm-tools component new"),
    ];
    for (name, what, remedy) in cases {
        let setup = Setup::new();
        let registry = write_registry(setup.folder(), &[("well-behaved", ""), (name, "")]);
        let setup = setup.with(&["--registry", &registry.display().to_string()]);
        let refused = setup.try_start().expect_err(name);
        assert_eq!(refused.status.code(), Some(2), "{name}");
        for part in [format!("{name}.wasm").as_str(), what, remedy] {
            assert!(refused.stderr.contains(part), "{name}: '{part}' is not in: {}", refused.stderr);
        }
        assert!(!refused.stderr.contains("listening"), "{name}");
    }
}

#[test]
fn a_changed_byte_in_a_component_is_refused_at_start() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("well-behaved", "")]);
    let path = setup.folder().join("well-behaved.wasm");
    let mut bytes = std::fs::read(&path).expect("the component");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).expect("a file");
    let refused = setup.with(&["--registry", &registry.display().to_string()]).try_start().expect_err("a changed file");
    assert!(refused.stderr.contains("well-behaved.wasm") && refused.stderr.contains("restore the pinned file"));
    assert!(refused.stderr.contains(&Digest::of(&bytes).to_string()), "the digest that was found");
}

#[test]
fn a_component_that_starts_with_more_memory_than_its_pin_is_refused_at_start() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("well-behaved", "memory_bytes = 1")]);
    let refused = setup.with(&["--registry", &registry.display().to_string()]).try_start().expect_err("too little");
    assert!(refused.stderr.contains("raise memory_bytes"), "{}", refused.stderr);
}

#[test]
fn the_same_request_has_the_same_output_and_fuel_a_thousand_times() {
    let host = Host::start();
    let built_in = |name: &str| {
        std::fs::read(format!("{}/../handlers/components/{name}.wasm", env!("CARGO_MANIFEST_DIR"))).expect("built")
    };
    let payments = json!({"amount_minor": 12_500, "currency": "EUR", "from": "acct:a", "to": "acct:b", "memo": "août"});
    let cases = [
        ("echo", json!({"msg": "hello", "n": [1, 2.5, null]})),
        ("add", json!({"a": 0.1, "b": 0.2})),
        ("payments.transfer", payments),
    ];
    let files = cases.iter().map(|(name, _)| file(name, built_in(name), Limits::default())).collect();
    let sandbox = Sandbox::start(files, Settings { n_slots: 1 }).expect("a sandbox");
    for (name, payload) in cases {
        let component = Digest::of(&built_in(name));
        let run = || {
            let facts = facts(name, &payload.to_string(), component, Limits::default());
            sandbox.run(&Reservation::made_durable(facts), Arc::new(|| false)).expect("a run")
        };
        let first = run();
        assert!(matches!(first.outcome, Outcome::Succeeded { .. }), "{first:?}");
        assert!((1..1000).all(|_| run() == first), "{name} differs from run to run");
    }
    // And the host reports what the sandbox measured.
    let answer = host.execute("add", &json!({"a": 0.1, "b": 0.2}), "n").expect(200).json();
    assert!(answer["resources"]["fuel"].as_u64() > Some(0));
}

#[test]
fn the_shipped_handlers_have_room_for_the_largest_payload_and_grow_no_memory_for_a_small_one() {
    let limits = Limits { fuel: 1_000_000_000, output_bytes: 4 << 20, ..Limits::default() };
    let names = ["add", "echo", "payments.transfer"];
    let built_in = |name: &str| {
        std::fs::read(format!("{}/../handlers/components/{name}.wasm", env!("CARGO_MANIFEST_DIR"))).expect("built")
    };
    let files = names.iter().map(|name| file(name, built_in(name), limits)).collect();
    let sandbox = Sandbox::start(files, Settings { n_slots: 1 }).expect("a sandbox");
    let run = |name: &str, payload: &serde_json::Value| {
        let facts = facts(name, &payload.to_string(), Digest::of(&built_in(name)), limits);
        sandbox.run(&Reservation::made_durable(facts), Arc::new(|| false)).expect("a run")
    };
    // Many small values, and one large one: the first makes parsers allocate again and again.
    let many: Vec<_> = (0..80_000).map(|i| json!([i, "x"])).collect();
    for payload in [json!({"many": many}), json!({"memo": "m".repeat(1_000_000)})] {
        assert!(payload.to_string().len() > 900_000);
        for name in names {
            let Run { outcome, resources } = run(name, &payload);
            let answered = matches!(outcome, Outcome::Succeeded { .. } | Outcome::Failed(_));
            assert!(answered, "{name}: {outcome:?} {resources:?}");
        }
    }
    let small = json!({"amount_minor": 1, "currency": "EUR", "from": "acct:a", "to": "acct:b", "a": 1, "b": 2});
    for name in names {
        assert_eq!(run(name, &small).resources.memory_bytes % 65_536, 0);
        assert_eq!(run(name, &small).resources.memory_bytes, run(name, &json!({})).resources.memory_bytes, "{name}");
    }
}

#[test]
fn memory_is_counted_over_all_growth_and_nan_bits_are_canonical() {
    let limits = Limits::default();
    let names = ["grow-then-answer", "grow-beyond-maximum", "nan-bits"];
    let files = names.iter().map(|name| file(name, component(name), limits)).collect();
    let sandbox = Sandbox::start(files, Settings { n_slots: 1 }).expect("a sandbox");
    let run = |name: &str| {
        let facts = facts(name, "{}", Digest::of(&component(name)), limits);
        sandbox.run(&Reservation::made_durable(facts), Arc::new(|| false)).expect("a run")
    };
    assert_eq!(run("grow-then-answer").resources.memory_bytes, 33 * 65_536);
    let refused = run("grow-beyond-maximum");
    assert!(matches!(refused.outcome, Outcome::Succeeded { .. }), "{refused:?}");
    assert_eq!(refused.resources.memory_bytes, 65_536, "growth that did not happen is not counted");
    let Run { outcome: Outcome::Succeeded { result, .. }, .. } = run("nan-bits") else { panic!("no result") };
    let canonical = 0x7fc0_0000;
    let bits: serde_json::Value = serde_json::from_str(result.as_str()).expect("JSON");
    assert_eq!(bits, json!({"bits": canonical, "bits-payload": canonical, "bits-sqrt": canonical}));
}

#[test]
fn a_reservation_whose_pin_is_gone_or_tighter_now_is_interrupted() {
    let limits = Limits::default();
    let sandbox =
        Sandbox::start(vec![file("well-behaved", component("well-behaved"), limits)], Settings { n_slots: 1 });
    let sandbox = sandbox.expect("a sandbox");
    let digest = Digest::of(&component("well-behaved"));
    let run = |name: &str, digest, limits| {
        sandbox
            .run(&Reservation::made_durable(facts(name, "{}", digest, limits)), Arc::new(|| false))
            .expect("an answer")
            .outcome
    };
    assert!(matches!(run("well-behaved", digest, limits), Outcome::Succeeded { .. }));
    assert_eq!(run("well-behaved", Digest::of(b"another"), limits), Outcome::Interrupted);
    assert_eq!(run("unpinned", digest, limits), Outcome::Interrupted);
    let wider = Limits { fuel: limits.fuel + 1, ..limits };
    assert_eq!(run("well-behaved", digest, wider), Outcome::Interrupted);
    let tighter = Limits { fuel: 1, ..limits };
    assert_eq!(run("well-behaved", digest, tighter), Outcome::Faulted(Fault::OutOfFuel));
}

#[test]
fn more_runs_than_slots_are_the_hosts_fault_and_never_the_handlers() {
    let limits = Limits { fuel: 100_000_000_000, deadline_ms: 500, ..Limits::default() };
    let files = vec![file("endless-loop", component("endless-loop"), limits)];
    let sandbox = Sandbox::start(files, Settings { n_slots: 1 }).expect("a sandbox");
    let digest = Digest::of(&component("endless-loop"));
    let answers: Vec<_> = thread::scope(|scope| {
        let run =
            || sandbox.run(&Reservation::made_durable(facts("endless-loop", "{}", digest, limits)), Arc::new(|| false));
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        runs.into_iter().map(|run| run.join().expect("a thread")).collect()
    });
    let n_deadline = answers.iter().flatten().filter(|run| run.outcome == Outcome::Faulted(Fault::Deadline)).count();
    let n_no_slot = answers.iter().filter(|answer| answer.is_err()).count();
    assert!(n_deadline >= 1 && n_deadline + n_no_slot == 4, "{answers:?}");
}

#[test]
fn a_run_that_is_not_as_brief_as_the_one_before_is_given_up_and_repeated_elsewhere() {
    let pinned = Limits { fuel: 100_000_000_000, deadline_ms: 200, ..Limits::default() };
    let files = vec![file("endless-loop", component("endless-loop"), pinned)];
    let sandbox = Sandbox::start(files, Settings { n_slots: 1 }).expect("a sandbox");
    let digest = Digest::of(&component("endless-loop"));
    let reserved = |limits| Reservation::made_durable(facts("endless-loop", "{}", digest, limits));
    let (brief, long) = (reserved(Limits { fuel: 1_000, ..pinned }), reserved(pinned));
    let if_brief = |reservation| sandbox.run_if_brief(reservation, Arc::new(|| false)).expect("an answer");
    assert_eq!(if_brief(&brief), None, "nothing is known of a handler that never ran");
    let first = sandbox.run(&brief, Arc::new(|| false)).expect("a run");
    assert_eq!(first.outcome, Outcome::Faulted(Fault::OutOfFuel));
    assert_eq!(if_brief(&brief), Some(first), "the same run on this thread");
    assert_eq!(if_brief(&long), None, "given up, and nothing came of it");
    assert_eq!(if_brief(&brief), None, "and the next one is not tried here");
    let stopped = sandbox.run(&long, Arc::new(|| false)).expect("a run");
    assert_eq!(stopped.outcome, Outcome::Faulted(Fault::Deadline), "its whole deadline was its own");
    let interrupted = sandbox.run(&long, Arc::new(|| true)).expect("a run");
    assert_eq!(interrupted.outcome, Outcome::Interrupted);
}

#[test]
fn a_component_that_no_pin_names_is_not_even_compiled() {
    let mut wrong = file("well-behaved", b"not even wasm".to_vec(), Limits::default());
    wrong.pin.digest = Digest::of(b"something else");
    let refused = Sandbox::start(vec![wrong], Settings { n_slots: 1 }).expect_err("a wrong digest");
    assert!(matches!(refused, StartError::DigestMismatch { .. }), "{refused}");
}

fn file(name: &str, bytes: Vec<u8>, limits: Limits) -> ComponentFile {
    let pin = Pin {
        component: format!("{name}.wasm"),
        digest: Digest::of(&bytes),
        version: "1".to_owned(),
        profile: Profile::Pure,
        limits,
        description: None,
    };
    ComponentFile { action: Action::parse(name).expect("a name"), pin, path: format!("{name}.wasm"), bytes }
}

fn facts(action: &str, payload: &str, component: Digest, limits: Limits) -> Reserved {
    let body = format!(r#"{{"action":"{action}","payload":{payload},"nonce":"nonce"}}"#);
    facts::reserved("demo", body.as_bytes(), component, limits, 1_700_000_000_000)
}

//! One core module of the many that a tool has linked: the same handler, and no other.
//!
//! In scope: what the kit makes of a linked component. Out of scope: components that real tools have linked, which is
//! `languages` and `make samples-test`.

use openexec_kit::Component;
use openexec_tests::fixtures::{component, write_registry};
use openexec_tests::host::Setup;
use serde_json::{Value, json};
use wasmparser::{Parser, Payload};

/// How many core modules and imports of core modules are in a component, whatever it nests.
fn count(component: &[u8]) -> (usize, usize) {
    let payloads = Parser::new(0).parse_all(component).map(|payload| payload.expect("a component"));
    payloads.fold((0, 0), |(n_modules, n_imports), payload| match payload {
        Payload::ModuleSection { .. } => (n_modules + 1, n_imports),
        Payload::ImportSection(imports) => (n_modules, n_imports + imports.into_imports().count()),
        _ => (n_modules, n_imports),
    })
}

fn fused(bytes: &[u8]) -> Component {
    Component::fused("linked", bytes.to_vec()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_parts_become_one_module_that_imports_nothing_and_the_same_bytes_every_time() {
    let linked = component("linked");
    let one = fused(&linked);
    assert_eq!((count(&linked).0, count(one.bytes())), (6, (1, 0)));
    assert_eq!(one.bytes(), fused(&linked).bytes());
    // What is one module already comes out as one that does the same.
    assert_eq!(count(fused(one.bytes()).bytes()), (1, 0));
}

#[test]
fn it_answers_and_faults_as_its_parts_did_and_its_call_costs_the_same_fuel() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("linked", ""), ("says-no", "")]);
    std::fs::write(setup.folder().join("one.wasm"), fused(&component("linked")).bytes()).expect("a file");
    let pinned = setup.run(&["registry", "pin", "one", "one.wasm", "--registry", &registry.display().to_string()]);
    assert!(pinned.status.success(), "{pinned:?}");
    let host = setup.with(&["--registry", &registry.display().to_string()]).start();
    let run = |action: &str, payload: &Value, status: u16| {
        host.execute(action, payload, &format!("{action} {payload}")).expect(status).json()
    };
    // What the parts cost before the call: tables that are filled, one reference after the other.
    let mut before = None;
    for length in 0..40 {
        let payload = json!({"a": "x".repeat(length)});
        let (linked, one) = (run("linked", &payload, 200), run("one", &payload, 200));
        let expected = (6 * payload.to_string().len() - 3 + 98 + 2) * 3 + 59_984 % 7 + 6;
        assert_eq!(one["result"]["n"], 1000 + expected % 1000, "{payload}");
        assert_eq!(one["result"], linked["result"], "{payload}");
        let memory = |answer: &Value| answer["resources"]["memory_bytes"].clone();
        assert_eq!(memory(&one), memory(&linked), "{payload}");
        let fuel = |answer: &Value| answer["resources"]["fuel"].as_u64().expect("fuel");
        let more = fuel(&linked).checked_sub(fuel(&one)).expect("one module costs no more than its parts");
        assert_eq!(*before.get_or_insert(more), more, "{payload}");
    }
    let asks_a_clock = json!({"z": 0});
    for action in ["linked", "one"] {
        assert_eq!(run(action, &asks_a_clock, 500)["fault"], "trap", "{action}");
    }
}

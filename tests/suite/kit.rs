//! The handler kit: checking, running, testing and pinning a component, with the real binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use openexec_core::digest::Digest;
use openexec_tests::fixtures::component;
use openexec_tests::host::Setup;
use serde_json::{Value, json};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../handlers/components/{name}.wasm"))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a command in the folder of the setup and compares its exit code.
#[track_caller]
fn run(setup: &Setup, arguments: &[&str], code: i32) -> String {
    let output = setup.run(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// Copies a shipped component into the folder of the setup.
fn copied(setup: &Setup, name: &str) {
    fs::copy(shipped(name), setup.folder().join(format!("{name}.wasm"))).expect("a component");
}

/// The reference fixture with `from` replaced by `to`.
#[track_caller]
fn altered(changes: &[(&str, &str)]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/well-behaved.wat");
    let mut text = fs::read_to_string(path).expect("a fixture");
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in the fixture");
        text = text.replace(from, to);
    }
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

const DESCRIBE: &str = r#"(func (export "describe") (result i32) (i32.const 0))"#;

/// What nobody may pin, what is said about it at the pin, and what a start says if it was pinned by hand.
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let whole = component("well-behaved");
    let importing = |name: &str| {
        let text = format!("(component (import \"{name}\" (instance)))");
        wat::parse_str(text).expect("a component")
    };
    let core_part = |module: &str| {
        let text = format!("(component (core module {module}))");
        wat::parse_str(text).expect("a component")
    };
    let instances = "(core instance (instantiate $m))".repeat(200);
    let many = wat::parse_str(format!("(component (core module $m) {instances})")).expect("a component");
    vec![
        ("truncated", whole[..whole.len() / 2].to_vec(), "truncated", "not an acceptable component"),
        ("beginning", whole[..6].to_vec(), "truncated", "not an acceptable component"),
        ("empty", Vec::new(), "empty", "not an acceptable component"),
        ("not-wasm", b"#!/bin/sh\nexit 0\n".to_vec(), "not WebAssembly", "not an acceptable component"),
        ("artifact", b"\x7fELF\x02\x01\x01\0 compiled".to_vec(), ".cwasm", "compiled code (.cwasm), not a component"),
        ("core-module", component("core-module"), "wasm-tools component new", "wasm-tools component new"),
        ("other-world", wat::parse_str("(component)").expect("a component"), "another world", "wit/handler.wit"),
        ("other-version", altered(&[("guest@1.0.0", "guest@2.0.0")]), "guest@2.0.0; this host", "wit/handler.wit"),
        ("other-signature", component("wrong-type"), "another signature", "wit/handler.wit"),
        ("sockets", importing("wasi:sockets/tcp@0.2.3"), "return an effect", "imports nothing"),
        ("http", importing("wasi:http/outgoing-handler@0.2.3"), "return an effect", "imports nothing"),
        ("files", importing("wasi:filesystem/types@0.2.3"), "when it is built", "imports nothing"),
        ("random", importing("wasi:random/random@0.2.3"), "from `exec-id`", "imports nothing"),
        ("threads", core_part("(memory 1 1 shared)"), "no threads", "not an acceptable component"),
        ("memory64", core_part("(memory i64 1)"), "no threads, memory64", "not an acceptable component"),
        ("many-instances", many, "40 core instances", "200"),
    ]
}

/// A registry that pins `NAME.wasm` as somebody would write it by hand.
fn by_hand(setup: &Setup, name: &str, bytes: &[u8], more: &str) {
    let digest = Digest::of(bytes);
    let text = format!(
        "version = 1\n[action.{name}]\ncomponent = \"{name}.wasm\"\nsha256 = \"{digest}\"\nversion = \"1\"\nprofile = \"pure\"\n{more}"
    );
    fs::write(setup.folder().join("by-hand.toml"), text).expect("a registry");
}

#[test]
fn no_hostile_component_is_pinned_and_none_starts_that_was_pinned_by_hand() {
    for (name, bytes, at_pin, at_start) in hostile() {
        let setup = Setup::new();
        let file = format!("{name}.wasm");
        fs::write(setup.folder().join(&file), &bytes).expect("a component");
        let refused = run(&setup, &["registry", "pin", name, &file], 1);
        assert!(refused.contains(at_pin) && refused.contains("fix: "), "{name}: '{at_pin}' is not in {refused}");
        assert!(!setup.folder().join("registry.toml").exists(), "{name}: nothing is written");
        let checked = run(&setup, &["handler", "check", &file], 1);
        assert!(checked.starts_with("NOT ACCEPTABLE") && checked.contains(at_pin), "{name}: {checked}");
        by_hand(&setup, name, &bytes, "");
        let refused = setup.with(&["--registry", "by-hand.toml"]).try_start().expect_err(name);
        assert_eq!(refused.status.code(), Some(2), "{name}");
        assert!(refused.stderr.contains(at_start), "{name}: '{at_start}' is not in {}", refused.stderr);
    }
}

#[test]
fn an_oversized_file_is_refused_before_it_is_read() {
    let setup = Setup::new();
    let file = fs::File::create(setup.folder().join("large.wasm")).expect("a file");
    file.set_len(100 << 20).expect("a sparse file");
    for arguments in [&["registry", "pin", "large", "large.wasm"][..], &["handler", "check", "large.wasm"]] {
        assert!(run(&setup, arguments, 1).contains("larger than 67108864 bytes"));
    }
    by_hand(&setup, "large", b"", "");
    let refused = setup.with(&["--registry", "by-hand.toml"]).try_start().expect_err("too large");
    assert!(refused.stderr.contains("larger than 67108864 bytes"), "{}", refused.stderr);
}

/// Components whose `describe` is no description, and what is said.
fn undescribed() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let describing = |body: &str| altered(&[(DESCRIBE, &format!("(func (export \"describe\") (result i32) {body})"))]);
    vec![
        ("loops", describing("(loop $again (br $again)) (unreachable)"), "out-of-fuel", "out-of-fuel"),
        ("traps", describing("(unreachable)"), "the fault 'trap'", "the fault 'trap'"),
        ("lies", altered(&[("fixture\\00{}", "fixture\\00[]")]), "no object", ""),
        ("no-json", altered(&[("fixture\\00{}", "fixture\\00{x")]), "not JSON", ""),
    ]
}

#[test]
fn a_handler_that_does_not_describe_itself_is_not_pinned_and_no_description_is_believed_unasked() {
    let description =
        "[action.x.description]\ntitle = \"t\"\nsummary = \"s\"\npayload_schema = \"{}\"\noutput_schema = \"{}\"\n";
    for (name, bytes, at_pin, at_start) in undescribed() {
        let setup = Setup::new();
        fs::write(setup.folder().join("x.wasm"), &bytes).expect("a component");
        let refused = run(&setup, &["registry", "pin", "x", "x.wasm"], 1);
        assert!(refused.contains(at_pin), "{name}: {refused}");
        by_hand(&setup, "x", &bytes, description);
        let refused = setup.with(&["--registry", "by-hand.toml"]).try_start().expect_err(name);
        let at_start = if at_start.is_empty() { "is not what its component says of itself" } else { at_start };
        assert!(refused.stderr.contains(at_start), "{name}: {}", refused.stderr);
    }
}

const KEPT: &str = "# what may run here\nversion = 1 # always\n\n# adds\n[action.add]\nversion = \"9\"    # ours\ncomponent = \"add.wasm\" # beside\nsha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\nprofile = \"pure\"\n\n  # little\n  [action.add.limits]\n  fuel = 1_000_000\n\n# the last\n[action.zulu]\ncomponent = \"echo.wasm\"\nsha256 = \"1111111111111111111111111111111111111111111111111111111111111111\"\nversion = \"1\"\nprofile = \"pure\"\n";

#[test]
fn a_pin_keeps_comments_and_order_and_is_the_same_the_second_time() {
    let setup = Setup::new();
    copied(&setup, "add");
    let path = setup.folder().join("registry.toml");
    fs::write(&path, KEPT).expect("a registry");
    let text = || fs::read_to_string(&path).expect("a registry");
    let pinned = run(&setup, &["registry", "pin", "add", "add.wasm", "--deadline-ms", "500"], 0);
    let digest = Digest::of(&fs::read(shipped("add")).expect("a component")).to_string();
    assert!(pinned.contains(&format!("sha256 {} -> {digest}", "0".repeat(64))), "{pinned}");
    assert!(pinned.contains("deadline_ms 1000 -> 500") && pinned.contains("description: added"), "{pinned}");
    let first = text();
    let old = [
        "# what may run here\nversion = 1 # always\n\n# adds\n[action.add]\nversion = \"9\"    # ours\ncomponent = \"add.wasm\" # beside\n",
        "\n\n  # little\n  [action.add.limits]\n  fuel = 1_000_000\n",
        "deadline_ms = 500\n",
        "\n# the last\n[action.zulu]\n",
    ];
    let places: Vec<_> =
        old.iter().map(|part| first.find(part).unwrap_or_else(|| panic!("{part} is not in {first}"))).collect();
    assert!(places.is_sorted(), "{first}");
    assert!(first.contains("payload_schema = '''\n{"), "schemas are readable: {first}");
    let again = run(&setup, &["registry", "pin", "add", "add.wasm", "--deadline-ms", "500"], 0);
    assert!(again.contains("already pinned so") && text() == first, "{again}");
    // A refusal leaves the file as it is.
    run(&setup, &["registry", "pin", "add", "registry.toml"], 1);
    run(&setup, &["registry", "pin", "no name", "add.wasm"], 2);
    run(&setup, &["registry", "pin", "add", "nowhere.wasm"], 2);
    assert_eq!(text(), first);
    // And what was added goes again, with its description and nothing else.
    run(&setup, &["registry", "unpin", "add"], 0);
    let rest = text();
    assert!(rest.starts_with("# what may run here\nversion = 1 # always\n") && !rest.contains("add"), "{rest}");
    assert!(rest.ends_with(KEPT.split_once("# the last").expect("the end").1), "{rest}");
    let refused = run(&setup, &["registry", "unpin", "zulu"], 2);
    assert!(refused.contains("left as it is") && text() == rest, "{refused}");
    assert!(run(&setup, &["registry", "unpin", "add"], 2).contains("no action 'add'"));
    assert_eq!(fs::read_dir(setup.folder()).expect("a folder").count(), 2, "nothing unfinished is left");
}

#[test]
fn what_is_pinned_into_a_new_registry_is_served_by_a_host_and_gone_after_unpin() {
    let setup = Setup::new();
    fs::create_dir(setup.folder().join("built")).expect("a folder");
    fs::copy(shipped("add"), setup.folder().join("built/add.wasm")).expect("a component");
    copied(&setup, "echo");
    let pinned = run(&setup, &["registry", "pin", "sum.of-two", "built/add.wasm", "--name-version", "3.1"], 0);
    assert!(pinned.contains("component built/add.wasm"), "{pinned}");
    run(&setup, &["registry", "pin", "echo", "echo.wasm", "--output-bytes", "1000"], 0);
    run(&setup, &["registry", "verify", "--registry", "registry.toml"], 0);
    let listed = run(&setup, &["registry", "list", "--json", "--registry", "registry.toml"], 0);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!((&listed["actions"][1]["title"], &listed["actions"][1]["version"]), (&json!("Addition"), &json!("3.1")));
    let host = setup.clone().with(&["--registry", "registry.toml"]).start();
    let sum = host.execute("sum.of-two", &json!({"a": 2, "b": 40}), "1").expect(200).json();
    assert_eq!(sum["result"], json!({"sum": 42}));
    host.execute("echo", &json!({"x": "x".repeat(1000)}), "2").expect(500);
    drop(host);
    assert!(run(&setup, &["registry", "unpin", "sum.of-two"], 0).contains("no longer pinned"));
    let host = setup.with(&["--registry", "registry.toml"]).start();
    assert_ne!(host.execute("sum.of-two", &json!({}), "3").status, 200);
}

#[test]
fn the_shipped_handlers_are_acceptable_and_repeat() {
    for name in ["add", "echo", "payments.transfer"] {
        let path = shipped(name).display().to_string();
        let checked: Value =
            serde_json::from_str(&run(&Setup::new(), &["handler", "check", "--json", &path], 0)).expect("JSON");
        assert_eq!(checked["acceptable"], true);
        let runs = checked["runs"].as_array().expect("runs");
        assert!(runs.len() >= 2 && runs.iter().all(|run| run["repeated"] == json!(true)), "{name}: {checked}");
        // No made-up text is an account, so every transfer is refused, each time for the same reason.
        let expected = if name == "payments.transfer" { "failed rejected" } else { "succeeded" };
        assert!(runs.iter().any(|run| run["outcome"] == expected), "{name}: {checked}");
    }
}

#[test]
fn a_run_shows_outcome_resources_and_the_id_that_a_host_would_give() {
    let setup = Setup::new();
    copied(&setup, "add");
    let came =
        |arguments: &[&str], code| -> Value { serde_json::from_str(&run(&setup, arguments, code)).expect("JSON") };
    let sum = came(&["handler", "run", "add.wasm", r#"{"a":2,"b":40}"#], 0);
    assert_eq!(
        (&sum["outcome"], &sum["result"], &sum["effects"]),
        (&json!("succeeded"), &json!({"sum": 42}), &json!([]))
    );
    assert!(sum["resources"]["fuel"].as_u64() > Some(0) && sum["resources"]["memory_bytes"].as_u64() > Some(0));
    let failed = came(&["handler", "run", "add.wasm", r#"{"a":"2"}"#], 1);
    assert_eq!((&failed["outcome"], &failed["failure"]), (&json!("failed"), &json!("invalid-payload")));
    let faulted = came(&["handler", "run", "add.wasm", "{}", "--fuel", "1"], 1);
    assert_eq!((&faulted["outcome"], &faulted["fault"]), (&json!("faulted"), &json!("out-of-fuel")));
    fs::write(setup.folder().join("payload.json"), r#"{"b":40,"a":2}"#).expect("a file");
    assert_eq!(came(&["handler", "run", "add.wasm", "@payload.json"], 0)["exec_id"], sum["exec_id"]);
    let host = setup.clone().start();
    run(&setup, &["handler", "run", "add.wasm", "[]"], 2);
    let told = ["handler", "run", "add.wasm", r#"{"a":2,"b":40}"#, "--action", "add", "--nonce", "n"];
    let hosted = host.execute("add", &json!({"a": 2, "b": 40}), "n").expect(200).json();
    let here = came(&told, 0);
    assert_eq!((&here["exec_id"], &here["resources"]), (&hosted["id"], &hosted["resources"]));
}

#[test]
fn golden_cases_are_compared_and_updated() {
    let setup = Setup::new();
    copied(&setup, "payments.transfer");
    let cases = setup.folder().join("cases");
    fs::create_dir(&cases).expect("a folder");
    let write = |name: &str, case: Value| fs::write(cases.join(name), case.to_string()).expect("a case");
    let read =
        |name: &str| -> Value { serde_json::from_slice(&fs::read(cases.join(name)).expect("a case")).expect("JSON") };
    let good = json!({"amount_minor": 100, "currency": "EUR", "from": "acct:a", "to": "acct:b", "memo": "août"});
    write("good.json", json!({"payload": good, "fuel_max": 5_000_000}));
    write("refused.json", json!({"payload": {}, "expect": {"outcome": "failed", "failure": "invalid-payload"}}));
    let unexpected = run(&setup, &["handler", "test"], 1);
    assert!(unexpected.contains("--update") && unexpected.contains("1 of 2 as expected"), "{unexpected}");
    run(&setup, &["handler", "test", "--update"], 0);
    let updated = read("good.json");
    assert_eq!((&updated["payload"], &updated["fuel_max"]), (&good, &json!(5_000_000)));
    assert_eq!(updated["expect"]["effects"][0]["kind"], "payment.instruction");
    assert!(read("refused.json")["expect"]["text"].as_str().expect("a text").starts_with("missing-member"));
    assert!(run(&setup, &["handler", "test", "payments.transfer.wasm"], 0).contains("2 of 2 as expected"));
    // One wrong expectation of each kind.
    let mut wrong = updated.clone();
    wrong["expect"]["result"]["amount"] = json!("1.01");
    let mut no_effects = updated.clone();
    no_effects["expect"].as_object_mut().expect("an object").remove("effects");
    let mut frugal = updated.clone();
    frugal["fuel_max"] = json!(1);
    let mut other = updated.clone();
    other["expect"] = json!({"outcome": "faulted", "fault": "trap"});
    for (case, text) in
        [(wrong, "1.01"), (no_effects, "effects: expected []"), (frugal, "fuel_max"), (other, "faulted")]
    {
        write("good.json", case);
        let failed = run(&setup, &["handler", "test"], 1);
        assert!(failed.contains("FAILED   good") && failed.contains(text), "{failed}");
    }
    write("good.json", json!({"payload": {}, "expect": {"outcom": "failed"}}));
    assert!(run(&setup, &["handler", "test"], 2).contains("outcom"));
    run(&setup, &["handler", "test", "--cases", "nowhere"], 2);
}

#[test]
fn a_compiler_that_does_not_survive_a_component_is_a_finding_about_it() {
    let path = shipped("payments.transfer").display().to_string();
    // How much memory the compiler needs is its own affair: somewhere below what is enough it dies.
    let died = (10..30).find_map(|mebibytes| {
        let limited = format!("ulimit -d {}; exec \"$@\"", mebibytes * 1024);
        let output = Setup::new().wrapped(&["sh", "-c", &limited, "sh"]).run(&["handler", "check", &path]);
        said(&output).contains("did not survive").then_some(output)
    });
    let died = died.expect("a limit under which the compiler dies");
    assert_eq!(died.status.code(), Some(1), "{}", said(&died));
    assert!(said(&died).starts_with("NOT ACCEPTABLE") && said(&died).contains("fix: "), "{}", said(&died));
}

//! Each language of the kit, as its author goes: new, build, check, test, pin, and executed with an approval.
//!
//! A language whose tools are not on this machine is skipped, and says what to install. With OPENEXEC_EVERY_LANGUAGE set
//! (`make samples-test` sets it) that is a failure.

use std::io::Write;
use std::process::Output;

use openexec_tests::host::Setup;
use serde_json::{Value, json};

const PAYLOAD: &str = r#"{"quantity":3,"unit_minor":250}"#;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn done(setup: &Setup, arguments: &[&str]) -> String {
    let output = setup.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `false` if a tool is missing, which is said past the test runner, who keeps what a passing test prints to itself.
fn is_built(setup: &Setup, language: &str) -> bool {
    let output = setup.run(&["handler", "build", "order-price"]);
    let why = said(&output);
    if output.status.success() {
        return true;
    }
    let is_missing = why.contains("Install it: ") || why.contains("no Rust toolchain for");
    assert!(is_missing && std::env::var_os("OPENEXEC_EVERY_LANGUAGE").is_none(), "{why}");
    writeln!(std::io::stderr(), "SKIPPED: a handler in {language}: {}", why.trim()).expect("standard error");
    false
}

fn component(setup: &Setup) -> Vec<u8> {
    std::fs::read(setup.folder().join("order-price/order-price.wasm")).expect("a component")
}

#[track_caller]
fn goes_all_the_way(language: &str) {
    let setup = Setup::new();
    done(&setup, &["handler", "new", "order-price", "--lang", language]);
    if !is_built(&setup, language) {
        return;
    }
    // In another folder, so that a path of this machine that gets into the bytes is found out.
    let elsewhere = Setup::new();
    done(&elsewhere, &["handler", "new", "order-price", "--lang", language]);
    let again = done(&elsewhere, &["handler", "build", "order-price"]);
    let varies = again.contains("gives another digest");
    assert!(
        varies || component(&setup) == component(&elsewhere),
        "{language}: other bytes, and nothing says so: {again}"
    );

    let wasm = "order-price/order-price.wasm";
    done(&setup, &["handler", "check", wasm]);
    let tested = done(&setup, &["handler", "test", wasm, "--cases", "order-price/cases"]);
    assert!(tested.contains("2 of 2"), "{tested}");
    done(&setup, &["registry", "pin", "order.price", wasm, "--registry", "registry.toml"]);

    let folder = setup.folder();
    let key = ["approval", "keygen", "shield.key", "--principal", "shield", "--tenants", "acme", "--actions", "*"];
    let entry = done(&setup, &key);
    std::fs::write(folder.join("trust.toml"), format!("audience = \"shop\"\n\n{entry}")).expect("a trust file");
    let call = |payload: &str, nonce: &str| -> Value {
        let request = format!(r#"{{"action":"order.price","payload":{payload},"nonce":"{nonce}"}}"#);
        std::fs::write(folder.join("request.json"), request).expect("a request");
        let mint = ["approval", "mint", "--key", "shield.key", "--request", "request.json", "--tenant", "acme"];
        let facts =
            ["--requester", "agent:planner-7", "--issuer", "shield", "--audience", "shop", "--yes", "--as-request"];
        serde_json::from_str(&done(&setup, &[&mint[..], &facts[..]].concat())).expect("JSON")
    };
    let accepted = call(PAYLOAD, "order-2026-0001-abcd");
    let malformed = call(r#"{"quantity":0,"unit_minor":250}"#, "order-2026-0002-abcd");
    let host = setup
        .clone()
        .with(&["--mode", "clawshield", "--trust-file", "trust.toml", "--registry", "registry.toml"])
        .start();
    let answer = host.post("/execute", accepted.to_string().as_bytes()).expect(200);
    assert_eq!(answer.json()["result"], json!({"total_minor": 750}));
    let replay = host.post("/execute", accepted.to_string().as_bytes()).expect(200);
    assert_eq!((replay.is_replay(), replay.text()), (true, answer.text()));
    let refused = host.post("/execute", malformed.to_string().as_bytes()).expect(422);
    assert_eq!(refused.code(), "payload-invalid");
}

macro_rules! languages {
    ($($name:ident: $word:literal)+) => {
        $(#[test]
        fn $name() {
            goes_all_the_way($word);
        })+

        #[test]
        fn every_language_of_the_command_line_is_tested() {
            let help = done(&Setup::new(), &["handler", "new", "--help"]);
            let known = help.split("[possible values: ").nth(1).and_then(|rest| rest.split(']').next()).expect("values");
            assert_eq!(known.split_whitespace().collect::<String>(), [$($word),+].join(","));
        }
    };
}

languages! {
    rust_goes_all_the_way: "rust"
    javascript_goes_all_the_way: "js"
    typescript_goes_all_the_way: "ts"
    python_goes_all_the_way: "python"
    go_goes_all_the_way: "go"
    c_goes_all_the_way: "c"
    cpp_goes_all_the_way: "cpp"
    zig_goes_all_the_way: "zig"
    assemblyscript_goes_all_the_way: "assemblyscript"
}

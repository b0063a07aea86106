//! The registry: what is not exactly right is refused, and the text says what to change.

use openexec_core::limits::{DEADLINE_MS_DEFAULT, FUEL_DEFAULT};
use openexec_core::names::Action;
use openexec_core::registry::Registry;
use openexec_tests::fixtures::write_registry;
use openexec_tests::host::{Host, Setup};
use serde_json::{Value, json};

const DIGEST: &str = "4d9b97d6e60f36b9c5d3107933b358b55c858aa5814c742b4783ce871e2ca981";

fn manifest(change: (&str, &str)) -> String {
    let good = format!(
        "version = 1\n[action.echo]\ncomponent = \"echo.wasm\"\nsha256 = \"{DIGEST}\"\nversion = \"1.0.0\"\nprofile = \"pure\"\n[action.echo.limits]\nfuel = 5\n"
    );
    assert!(good.contains(change.0), "{change:?} changes nothing");
    good.replace(change.0, change.1)
}

#[test]
fn limits_that_are_left_out_are_the_defaults() {
    let registry = Registry::parse(&manifest(("fuel = 5", "memory_bytes = 7"))).expect("a registry");
    let limits = registry.pin(&Action::parse("echo").expect("a name")).expect("a pin").limits;
    assert_eq!((limits.fuel, limits.memory_bytes, limits.deadline_ms), (FUEL_DEFAULT, 7, DEADLINE_MS_DEFAULT));
}

#[test]
fn what_is_misspelt_or_out_of_bounds_is_refused_with_a_reason() {
    let upper = DIGEST.to_uppercase();
    let cases = [
        (("version = 1\n", ""), "version"),
        (("version = 1\n", "version = 2\n"), "reads version 1"),
        (("fuel = 5", "feul = 5"), "feul"),
        (("fuel = 5", "fuel = 0"), "between 1 and"),
        (("fuel = 5", "fuel = -1"), "fuel"),
        (("fuel = 5", "fuel = 100_000_000_001"), "between 1 and"),
        (("fuel = 5", "memory_bytes = 2_000_000_000"), "between 1 and"),
        (("fuel = 5", "output_bytes = 17_000_000"), "between 1 and"),
        (("fuel = 5", "deadline_ms = 60_001"), "between 1 and"),
        (("profile = \"pure\"", "profile = \"open\""), "pure"),
        (("profile = \"pure\"\n", ""), "profile"),
        (("sha256 = ", "sha512 = "), "sha512"),
        ((DIGEST, "abc"), "64 lowercase"),
        ((DIGEST, upper.as_str()), "64 lowercase"),
        (("\"echo.wasm\"", "\"\""), "path of a file"),
        (("action.echo", "action.\"e cho\""), "without spaces"),
        (("[action.echo.limits]", "[actions]"), "actions"),
        (("version = 1\n", "version = 1\n[action.echo]\n"), "echo"),
    ];
    for (change, reason) in cases {
        let error = Registry::parse(&manifest(change)).expect_err("a refusal").to_string();
        assert!(error.contains(reason), "{change:?}: {error}");
    }
    let empty = Registry::parse("version = 1\n").expect_err("nothing to run").to_string();
    assert!(empty.contains("add an [action.NAME] table"), "{empty}");
}

#[test]
fn a_missing_registry_or_component_is_refused_at_start_with_its_path() {
    let missing = Setup::new().with(&["--registry", "nowhere/registry.toml"]).try_start().expect_err("no file");
    assert!(missing.stderr.contains("nowhere/registry.toml"), "{}", missing.stderr);
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("well-behaved", "")]);
    std::fs::remove_file(setup.folder().join("well-behaved.wasm")).expect("a file");
    let missing = setup.with(&["--registry", &registry.display().to_string()]).try_start().expect_err("no component");
    assert!(missing.stderr.contains("well-behaved.wasm"), "{}", missing.stderr);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn an_action_outside_the_allow_list_is_refused_before_the_registry_is_asked() {
    let host = Setup::new().with(&["--allowed-actions", "echo, add"]).start();
    host.execute("echo", &json!({}), "1").expect(200);
    for action in ["payments.transfer", "no-such-action"] {
        let answer = host.execute(action, &json!({}), "2").expect(403);
        assert_eq!(answer.code(), "action-not-allowed");
    }
    host.execute("add", &json!({}), "2").expect(200); // the refusals left the nonce free
}

#[test]
fn the_registry_that_is_served_is_the_one_that_is_listed_and_verified() {
    let host = Host::start();
    let listed = host.setup.run(&["registry", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(host.get("/version").json()["registry"]["digest"], listed["registry"]);
    let actions: Vec<_> = listed["actions"].as_array().expect("a list").iter().map(|pin| &pin["action"]).collect();
    assert_eq!(actions, ["add", "echo", "payments.transfer"]);
    let verified = host.setup.run(&["registry", "verify"]);
    assert!(verified.status.success() && String::from_utf8_lossy(&verified.stdout).starts_with("ok: 3 actions"));
}

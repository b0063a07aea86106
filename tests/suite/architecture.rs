//! The architecture, as tests: what `ARCHITECTURE.md` and `SECURITY.md` say is absent is absent.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which of our crates a crate may name.
const LAYERS: [(&str, &[&str]); 8] = [
    ("core", &[]),
    ("kit", &[]),
    ("page", &["openexec-core"]),
    ("ledger", &["openexec-core"]),
    ("sandbox", &["openexec-core"]),
    ("server", &["openexec-core", "openexec-ledger", "openexec-sandbox"]),
    ("witness", &["openexec-core"]),
    (
        "cli",
        &[
            "openexec-core",
            "openexec-kit",
            "openexec-ledger",
            "openexec-sandbox",
            "openexec-server",
            "openexec-witness",
        ],
    ),
];

/// The crates that name a dependency, and must: no other one may.
const HOMES: [(&str, &[&str]); 7] = [
    ("rusqlite", &["ledger", "witness"]),
    ("wasmtime", &["sandbox"]),
    ("jsonschema", &["sandbox"]),
    ("axum", &["server", "witness"]),
    ("clap", &["cli"]),
    ("ureq", &["witness"]),
    ("wit-component", &["kit"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust source below a folder, with its path.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let is_made = path.file_name().is_some_and(|name| name == "target" || name == "build" || name == ".tools");
            if path.is_dir() && !is_made {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                found.push((path.display().to_string(), text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// The names in `[dependencies]` of a crate.
fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest = read(format!("host/{name}/Cargo.toml"));
    let section = manifest.split("[dependencies]").nth(1).expect("a section").split("\n[").next().expect("its lines");
    let names = section.lines().filter_map(|line| line.split(['=', '.', ' ']).next());
    names.filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect()
}

#[test]
fn layers_only_point_down() {
    for (name, allowed) in LAYERS {
        let ours = dependencies(name).into_iter().filter(|dependency| dependency.starts_with("openexec"));
        for dependency in ours {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not use {dependency}");
        }
    }
}

#[test]
fn each_engine_stays_in_its_own_crate() {
    for (dependency, homes) in HOMES {
        for (name, _) in LAYERS {
            assert_eq!(dependencies(name).contains(dependency), homes.contains(&name), "{dependency} in {name}");
        }
    }
}

#[test]
fn core_is_pure() {
    let impure =
        ["std::fs", "std::net", "std::env", "std::process", "std::thread", "SystemTime", "Instant", "static mut"];
    for (path, text) in sources("host/core/src") {
        for name in impure {
            assert!(!text.contains(name), "{path} names {name}");
        }
    }
    let lints = read("host/core/clippy.toml");
    for method in ["SystemTime::now", "env::var", "fs::read"] {
        assert!(lints.contains(method), "clippy forbids {method} in core");
    }
}

#[test]
fn only_ledgers_make_reservations() {
    for (path, text) in sources("host") {
        let makes = text.contains("Reservation::made_durable");
        assert!(!makes || path.contains("/ledger/"), "{path} makes a reservation");
    }
}

/// Files whose code signs, each one kind of statement. Everything else of the host has no private key in its hands.
const SIGNERS: [&str; 5] = [
    "/core/src/receipt/mod.rs",        // receipts, of statements that it has written itself
    "/core/src/log/",                  // checkpoints and cosignatures
    "/core/src/registry_signature.rs", // registries and locks
    "/cli/src/approval/sign.rs",       // approvals, after showing them to somebody
    "/cli/src/keys.rs",                // the self-test at the start
];

#[test]
fn the_host_has_no_code_that_signs_an_approval() {
    for (path, text) in sources("host") {
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let knows_the_algorithm = text.contains("SigningKey") || text.contains("Signer");
        assert!(!knows_the_algorithm || path.ends_with("/core/src/signing.rs"), "{path} signs by itself");
        let may_sign = SIGNERS.iter().any(|signer| path.contains(signer)) || path.ends_with("/core/src/signing.rs");
        let signs = text.contains("SecretKey") && text.contains(".sign(");
        assert!(!signs || may_sign, "{path} signs");
        let names_approvals =
            text.contains("approval::v2::PAYLOAD_TYPE") || text.contains("v2::{Body, Decision, PAYLOAD_TYPE");
        assert!(!names_approvals || !signs || path.contains("/cli/src/approval/"), "{path} could sign an approval");
    }
}

#[test]
fn admission_is_the_only_way_into_the_ledger_and_verification_the_only_way_through_admission() {
    for (path, text) in sources("host") {
        let makes = |value: &str| text.contains(&format!("Ok({value} {{")) || text.contains(&format!("{value} {{ "));
        assert!(!makes("Admitted") || path.ends_with("/core/src/admission.rs"), "{path} admits");
        assert!(!makes("VerifiedApproval") || path.contains("/core/src/approval/"), "{path} verifies");
    }
    for file in ["admission", "approval/mod"] {
        let text = read(format!("host/core/src/{file}.rs"));
        for proof in ["Admitted", "VerifiedApproval"] {
            let fields = text.split(&format!("pub struct {proof} {{")).nth(1).and_then(|rest| rest.split('}').next());
            assert!(fields.is_none_or(|fields| !fields.contains("pub ")), "{proof} has a public field");
        }
    }
}

#[test]
fn there_is_no_unsafe_code_but_one_place_and_every_crate_keeps_the_lints() {
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\""));
    let (_, lints) = lints_of("Cargo.toml", "[workspace.lints");
    for (name, _) in LAYERS {
        if !["page", "sandbox"].contains(&name) {
            assert!(read(format!("host/{name}/Cargo.toml")).contains("[lints]\nworkspace = true"), "{name}");
            continue;
        }
        // What forbids cannot be excepted: these two deny instead, and keep every other lint.
        let (unsafe_code, own_lints) = lints_of(&format!("host/{name}/Cargo.toml"), "[lints");
        assert_eq!((unsafe_code.as_slice(), own_lints), (&["unsafe_code = \"deny\"".to_owned()][..], lints.clone()));
    }
    let mut n_places = 0;
    for (path, text) in sources("host") {
        // The page's module names its exports, which is an unsafe attribute and has no unsafe code behind it.
        let attributes = text.matches("unsafe(").count();
        assert_eq!(attributes, text.matches("#[unsafe(no_mangle)]\nextern \"C\" fn ").count(), "{path}");
        assert!(attributes == 0 || path.ends_with("/page/src/exports.rs"), "{path}");
        // The sandbox turns an artifact into code, in a method of the type that proves its digest.
        let code = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait"];
        let n_here: usize = code.iter().map(|start| text.matches(start).count()).sum();
        n_places += n_here;
        assert!(n_here == 0 || path.ends_with("/sandbox/src/artifact.rs"), "{path}");
        assert_eq!(text.contains("deserialize("), path.ends_with("/sandbox/src/artifact.rs"), "{path}");
        assert!(!text.contains("deserialize_file") && !text.contains("deserialize_raw"), "{path}");
    }
    assert_eq!(n_places, 1, "one block");
    let artifact = read("host/sandbox/src/artifact.rs");
    let proof = artifact.split_once("impl AuthenticArtifact {").expect("the proof type").1.split("\n}\n").next();
    assert!(proof.expect("its methods").contains("unsafe { Component::deserialize(engine, &self.0.bytes) }"));
    assert!(artifact.contains("pub(crate) struct AuthenticArtifact(ArtifactFile);"), "its field is private");
    assert_eq!(artifact.matches("AuthenticArtifact(file)").count(), 1, "only `authenticate` makes one");
}

/// What a manifest says about unsafe code, and its other lints.
fn lints_of(manifest: &str, table: &str) -> (Vec<String>, Vec<String>) {
    let text = read(manifest);
    let lints = text.split_once(&format!("{table}.rust]\n")).expect("a table of lints").1.to_owned();
    let lines = lints.lines().filter(|line| line.contains(" = ")).map(ToOwned::to_owned);
    lines.partition(|line| line.starts_with("unsafe_code"))
}

/// The witness is a program of its own in the same binary. It asks a log, and is left out here by name;
/// `only_the_witness_can_reach_the_client_that_opens_connections` sees to it that nothing else gets to its client.
#[test]
fn the_host_opens_no_outbound_connection() {
    let ways_out = [
        "TcpStream::connect",
        "UdpSocket",
        "UnixStream::connect",
        "ToSocketAddrs",
        "lookup_host",
        "hyper::client",
        "hyper_util::client",
        "ureq",
    ];
    for (path, text) in sources("host").into_iter().filter(|(path, _)| !path.contains("/host/witness/src/")) {
        // What a handler gets for a socket, if it got one: named in the answer that refuses it.
        let text = text.replace("Resource<wasmtime_wasi::p2::UdpSocket>", "");
        for way in ways_out {
            assert!(!text.contains(way), "{path} names {way}");
        }
    }
}

/// What the profile `wasi` answers is made of the execution alone.
#[test]
fn the_virtual_world_asks_nothing_of_the_machine() {
    let real = [
        "SystemTime",
        "Instant::",
        "env::",
        "fs::",
        "std::net",
        "std::io",
        "thread",
        "getrandom",
        "rand::rng",
        "tokio",
        "WasiCtx",
        "preopened_dir",
        "inherit_",
        "allow_",
        "block_on",
        "in_tokio",
    ];
    let world: Vec<_> = sources("host/sandbox").into_iter().filter(|(path, _)| path.contains("/src/wasi/")).collect();
    assert!(world.len() >= 4, "its files");
    for (path, text) in world {
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for word in real {
            assert!(!code.contains(word), "{path} names {word}");
        }
    }
}

#[test]
fn only_the_witness_can_reach_the_client_that_opens_connections() {
    assert_eq!(dependents("ureq"), ["openexec-witness"]);
    assert_eq!(dependents("openexec-witness"), ["openexec"]);
    for (path, text) in sources("host") {
        let in_remote = path.ends_with("/host/witness/src/remote.rs");
        assert!(in_remote || !text.contains("ureq::"), "{path} names the client");
        let in_witness = path.contains("/host/witness/src/") || path.ends_with("/host/cli/src/witness.rs");
        assert!(in_witness || !text.contains("openexec_witness"), "{path} names the witness");
        // Nothing but the command line's table of contents calls it: not `serve`, not what `serve` calls.
        let in_main = path.ends_with("/host/cli/src/main.rs");
        let names_it = text.contains("witness::run") || text.contains("crate::witness");
        assert!(in_main || !names_it, "{path} runs the witness");
    }
}

/// The packages that are locked with this dependency.
fn dependents(dependency: &str) -> Vec<String> {
    let lock = read("Cargo.lock");
    let packages = lock.split("[[package]]").filter(|package| {
        let listed = package.split_once("dependencies = [").map_or("", |(_, list)| list);
        listed.lines().any(|line| line.trim_matches([' ', '"', ',']).split(' ').next() == Some(dependency))
    });
    packages.filter_map(|package| package.split('"').nth(1)).map(ToOwned::to_owned).collect()
}

#[test]
fn every_file_says_what_it_is_for() {
    for folder in ["host", "tests", "handlers"] {
        for (path, text) in sources(folder) {
            assert!(text.starts_with("//! "), "{path} does not open with its purpose");
        }
    }
}

#[test]
fn the_engine_version_in_receipts_is_the_one_that_is_locked() {
    let lock = read("Cargo.lock");
    let locked = lock.split("name = \"wasmtime\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    assert_eq!(
        openexec_sandbox::Sandbox::engine_version(),
        format!("wasmtime {}", locked.expect("wasmtime is locked"))
    );
}

#[test]
fn every_promise_in_security_md_names_a_test_that_exists() {
    let mut tests = String::new();
    for folder in ["tests", "host", "handlers"] {
        sources(folder).into_iter().for_each(|(_, text)| tests.push_str(&text));
    }
    let security = read("SECURITY.md");
    let table = security.split("## Claims").nth(1).expect("a table of claims").split("\n## ").next().expect("its rows");
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Claim")).collect();
    assert!(rows.len() >= 20, "the table has {} rows", rows.len());
    for row in rows {
        let names: Vec<_> = row.split("|").nth(2).expect("a cell").split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test is named: {row}");
        for name in names {
            assert!(tests.contains(&format!("fn {name}(")), "no such test: {name}");
        }
    }
}

#[test]
fn every_setting_stands_in_the_readme() {
    let readme = read("README.md");
    let arguments = read("host/cli/src/args/mod.rs") + &read("host/cli/src/args/witness.rs");
    let names: Vec<_> = arguments.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in the README");
    }
}

#[test]
fn every_problem_code_stands_in_the_readme() {
    let readme = read("README.md");
    let codes = |text: &str| -> BTreeSet<String> {
        let words = text.split('"').skip(1).step_by(2);
        let is_code = |word: &&str| word.contains('-') && word.bytes().all(|b| b == b'-' || b.is_ascii_lowercase());
        words.filter(is_code).map(ToOwned::to_owned).collect()
    };
    let problem = read("host/server/src/http/problem.rs");
    let facts = problem.split("fn facts").nth(1).and_then(|rest| rest.split("fn code").next()).expect("the table");
    let refusal = read("host/core/src/refusal.rs");
    let refusals = refusal.split("fn code").nth(1).and_then(|rest| rest.split("fn member").next()).expect("codes");
    let codes: BTreeSet<_> = codes(facts).into_iter().chain(codes(refusals)).collect();
    assert!(codes.len() > 25, "{codes:?}");
    for code in codes {
        assert!(readme.contains(&format!("`{code}`")), "{code} is not in the README");
    }
}

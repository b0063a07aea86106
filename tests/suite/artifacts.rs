//! Code that was compiled ahead of time: it runs as compiled components do, and nothing else is ever loaded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use openexec_core::digest::Digest;
use openexec_core::lock::{Artifact, Lock};
use openexec_core::registry::Registry;
use openexec_sandbox::{
    ArtifactError, ArtifactFile, CurrentLock, ENDLESS_LOOP, LockedCode, LockedFile, Sandbox, Settings, StartError,
};
use openexec_tests::fixtures::{component, write_registry};
use openexec_tests::host::Setup;
use serde_json::json;

/// A registry of two fixtures, compiled and locked.
fn locked() -> (Setup, PathBuf) {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("well-behaved", ""), ("says-no", "")]);
    compile(&setup, &registry, &[]);
    let setup = setup.with(&["--registry", &registry.display().to_string()]);
    (setup, registry)
}

#[track_caller]
fn compile(setup: &Setup, registry: &Path, more: &[&str]) -> String {
    let output = try_compile(setup, registry, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn try_compile(setup: &Setup, registry: &Path, more: &[&str]) -> Output {
    setup.run(&[&["registry", "compile", "--registry", &registry.display().to_string()], more].concat())
}

fn artifact(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("artifacts/{}.cwasm", Digest::of(&component(name))))
}

fn lock(folder: &Path) -> String {
    fs::read_to_string(folder.join("registry.lock")).expect("a lock")
}

/// Loads in this process what a lock of this text names, as the host does.
fn load(folder: &Path, lock: &str) -> Result<Sandbox, String> {
    let registry = fs::read_to_string(folder.join("registry.toml")).expect("a registry");
    let registry = Registry::parse(&registry).expect("a registry");
    let lock = CurrentLock::parse(lock, "registry.lock").map_err(|error| error.to_string())?;
    let read = |artifact: &Artifact| {
        let path = folder.join(&artifact.path);
        let bytes = fs::read(&path).map_err(|error| error.to_string())?;
        Ok::<_, String>(ArtifactFile { path: path.display().to_string(), bytes })
    };
    let proof = read(lock.proof().map_err(|error| error.to_string())?)?;
    let mut handlers = Vec::new();
    for (action, pin) in registry.pins() {
        let artifact = read(lock.handler(action, pin).map_err(|error| error.to_string())?)?;
        handlers.push(LockedFile { action: action.clone(), pin: pin.clone(), artifact });
    }
    let code = LockedCode { lock, proof, handlers };
    Sandbox::start_locked(code, Settings { n_slots: 1 }).map_err(|error| error.to_string())
}

#[test]
fn a_host_starts_from_a_lock_without_the_components_and_runs_them() {
    let (setup, registry) = locked();
    for name in ["well-behaved", "says-no"] {
        fs::remove_file(setup.folder().join(format!("{name}.wasm"))).expect("a component");
    }
    let host = setup.start();
    assert_eq!(host.execute("well-behaved", &json!({}), "1").expect(200).json()["result"], json!({"ok": true}));
    host.execute("says-no", &json!({}), "2").expect(422);
    assert!(host.log().contains("\"n_locked\":2"), "{}", host.log());
    let verified = setup.run(&["registry", "verify", "--registry", &registry.display().to_string()]);
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(said.starts_with("ok: 2 actions, 2 of them locked"), "{said}");
}

#[test]
fn what_is_compiled_for_every_processor_of_a_target_runs_and_has_the_same_fuel() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("well-behaved", ""), ("says-no", "")]);
    let fuel = |host: &openexec_tests::host::Host| {
        host.execute("well-behaved", &json!({}), "1").expect(200).json()["resources"]["fuel"].clone()
    };
    let arguments = ["--registry", &registry.display().to_string()];
    let compiled = fuel(&setup.clone().with(&arguments).start());
    compile(&setup, &registry, &["--target", &Sandbox::target()]);
    let other = setup.clone().with(&arguments).with(&["--db-url", "sqlite:///other.db"]).start();
    assert_eq!(fuel(&other), compiled);
    let refused = try_compile(&setup, &registry, &["--target", "no-such-machine"]);
    assert_eq!(refused.status.code(), Some(2));
}

/// Of the handlers that are shipped, which a toolchain encoded. Not of the fixtures: wasmtime 48 orders the exports of an
/// instance that is put together from items, as they are written by hand, by a randomly seeded hash map.
#[test]
fn compiling_the_shipped_handlers_again_and_with_one_thread_gives_the_same_bytes() {
    let setup = Setup::new();
    let compile = |setup: &Setup| -> Vec<(PathBuf, Vec<u8>)> {
        let output = setup.run(&["registry", "compile", "--registry-lock", "registry.lock"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let folder = setup.folder();
        let files = fs::read_dir(folder.join("artifacts")).expect("a folder").map(|file| file.expect("a file").path());
        let mut files: Vec<_> = files.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect();
        files.sort();
        files.push((folder.join("registry.lock"), lock(folder).into_bytes()));
        files
    };
    let first = compile(&setup);
    assert_eq!(first.len(), 5, "three handlers, the proof, the lock");
    for (threads, setup) in [("many", setup.clone()), ("one", setup.clone().variable("RAYON_NUM_THREADS", "1"))] {
        for (again, first) in compile(&setup).iter().zip(&first) {
            assert!(again == first, "{} differs with {threads} threads", again.0.display());
        }
    }
}

#[test]
fn a_component_that_several_actions_pin_is_compiled_once() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("well-behaved", "")]);
    let text = fs::read_to_string(&registry).expect("a registry");
    let again = text.trim_start_matches("version = 1\n").replace("[action.well-behaved", "[action.again");
    fs::write(&registry, format!("{text}{again}")).expect("a registry");
    let said = compile(&setup, &registry, &[]);
    assert_eq!(said.matches("well-behaved.wasm").count(), 1, "{said}");
    let host = setup.with(&["--registry", &registry.display().to_string()]).start();
    host.execute("again", &json!({}), "1").expect(200);
}

/// Every bit of every byte: what is read as another lock must not start.
#[test]
fn no_edited_byte_of_a_lock_makes_other_code_run() {
    let (setup, _) = locked();
    let text = lock(setup.folder());
    let meant = Lock::parse(&text).expect("a lock");
    load(setup.folder(), &text).expect("the lock as it was written");
    let (mut n_harmless, mut n_refused) = (0, 0);
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(edited) = String::from_utf8(bytes) else { continue };
            if Lock::parse(&edited).is_ok_and(|lock| lock == meant) {
                n_harmless += 1; // a comment, or white space
                continue;
            }
            let loaded = load(setup.folder(), &edited);
            assert!(loaded.is_err(), "byte {at}, bit {bit}: {edited}");
            n_refused += 1;
        }
    }
    let comment = text.lines().next().expect("a comment").len();
    assert!(n_harmless < 8 * (comment + 40) && n_refused > 4 * (text.len() - comment), "{n_harmless} {n_refused}");
}

#[test]
fn no_edited_artifact_is_loaded() {
    let (setup, _) = locked();
    let path = artifact(setup.folder(), "well-behaved");
    let good = fs::read(&path).expect("an artifact");
    let text = lock(setup.folder());
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..1000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut edited = good.clone();
        let at = usize::try_from(seed >> 33).expect("31 bits") % edited.len();
        edited[at] ^= 1 << ((seed >> 30) & 7);
        fs::write(&path, &edited).expect("an artifact");
        let refused = load(setup.folder(), &text).expect_err("an edited artifact");
        assert!(refused.contains("edited, swapped") && refused.contains("'well-behaved'"), "byte {at}: {refused}");
    }
    for cut in [0, 1, good.len() - 1] {
        fs::write(&path, &good[..cut]).expect("an artifact");
        load(setup.folder(), &text).expect_err("a cut artifact");
    }
    let refused = setup.try_start().expect_err("a cut artifact");
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.stderr.contains("registry compile"), "{}", refused.stderr);
    fs::write(&path, &good).expect("an artifact");
    load(setup.folder(), &text).expect("the artifact as it was");
}

#[test]
fn swapped_artifacts_and_a_stale_lock_are_refused_and_not_compiled_again() {
    let (setup, registry) = locked();
    let (one, other) = (artifact(setup.folder(), "well-behaved"), artifact(setup.folder(), "says-no"));
    let (one_bytes, other_bytes) = (fs::read(&one).expect("one"), fs::read(&other).expect("other"));
    fs::write(&one, &other_bytes).expect("a file");
    fs::write(&other, &one_bytes).expect("a file");
    let refused = setup.try_start().expect_err("swapped artifacts");
    assert!(refused.stderr.contains("edited, swapped or made anew"), "{}", refused.stderr);
    fs::remove_file(&other).expect("a file");
    fs::write(&one, &one_bytes).expect("a file");
    let refused = setup.try_start().expect_err("a missing artifact");
    assert!(refused.stderr.contains(&other.display().to_string()), "{}", refused.stderr);
    fs::write(&other, &other_bytes).expect("a file");
    setup.start().stop();

    write_registry(setup.folder(), &[("well-behaved", ""), ("trap", "")]);
    let refused = setup.try_start().expect_err("a stale lock");
    assert!(refused.stderr.contains("the lock is stale") && refused.stderr.contains("'trap'"), "{}", refused.stderr);
    let verify = setup.run(&["registry", "verify", "--registry", &registry.display().to_string()]);
    assert_eq!(verify.status.code(), Some(2));
    compile(&setup, &registry, &[]);
    setup.start().stop();
}

#[test]
fn a_component_beside_its_artifact_that_is_not_the_pinned_one_is_refused() {
    let (setup, _) = locked();
    fs::write(setup.folder().join("says-no.wasm"), component("trap")).expect("a component");
    let refused = setup.try_start().expect_err("another component");
    assert!(refused.stderr.contains("restore the pinned file"), "{}", refused.stderr);
}

#[test]
fn a_lock_of_another_engine_or_target_is_refused_and_one_that_was_asked_for_must_be_there() {
    let (setup, registry) = locked();
    let text = lock(setup.folder());
    let cases = [
        (Sandbox::engine_digest().to_string(), Digest::of(b"another engine").to_string(), "for another engine"),
        (Sandbox::target(), "riscv64gc-unknown-linux-gnu".to_owned(), "this host is"),
        ("version = 1".to_owned(), "version = 2".to_owned(), "reads version 1"),
        ("version = 1".to_owned(), "version = 1\nunknown = 1".to_owned(), "unknown"),
    ];
    for (from, to, reason) in cases {
        let edited = text.replace(&from, &to);
        assert_ne!(edited, text);
        fs::write(setup.folder().join("registry.lock"), edited).expect("a lock");
        let refused = setup.try_start().expect_err(reason);
        let told = refused.stderr.contains(reason) && refused.stderr.contains("openexec registry compile");
        assert!(told, "{reason}: {}", refused.stderr);
    }
    fs::remove_file(setup.folder().join("registry.lock")).expect("a lock");
    let refused = setup.clone().with(&["--registry-lock", "nowhere.lock"]).try_start().expect_err("no lock");
    assert!(refused.stderr.contains("nowhere.lock"), "{}", refused.stderr);
    let verify = setup.run(&["registry", "verify", "--registry", &registry.display().to_string()]);
    assert!(String::from_utf8_lossy(&verify.stdout).contains("0 of them locked"), "without a lock the host compiles");
}

#[test]
fn the_built_in_registry_can_be_locked_too() {
    let setup = Setup::new();
    let compiled = setup.run(&["registry", "compile", "--registry-lock", "built-in.lock"]);
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let host = setup.clone().with(&["--registry-lock", "built-in.lock"]).start();
    assert_eq!(host.execute("add", &json!({"a": 2, "b": 40}), "1").expect(200).json()["result"], json!({"sum": 42}));
    assert!(host.log().contains("\"n_locked\":3"));
    let nowhere = setup.run(&["registry", "compile"]);
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("--registry-lock FILE"));
}

#[test]
fn compiled_code_in_the_place_of_a_component_is_refused() {
    let (setup, registry) = locked();
    let code = fs::read(artifact(setup.folder(), "well-behaved")).expect("an artifact");
    fs::remove_file(setup.folder().join("registry.lock")).expect("a lock");
    fs::write(setup.folder().join("well-behaved.wasm"), &code).expect("a file");
    let text = fs::read_to_string(&registry).expect("a registry");
    let pinned = Digest::of(&component("well-behaved")).to_string();
    fs::write(&registry, text.replace(&pinned, &Digest::of(&code).to_string())).expect("a registry");
    let refused = setup.try_start().expect_err("compiled code");
    assert!(refused.stderr.contains("compiled code (.cwasm), not a component"), "{}", refused.stderr);
    let refused = try_compile(&setup, &registry, &[]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("compiled code (.cwasm), not a component"));
}

/// Puts in the place of `says-no` what no compiler likes: one function of 300,000 additions takes it longer than a second,
/// wherever it runs, and hundreds of megabytes.
fn pin_exhausting(setup: &Setup, registry: &Path) {
    let additions = "local.get 0 local.get 0 i32.mul i32.add ".repeat(300_000);
    let large = format!("(component (core module (func (param i32) (result i32) local.get 0 {additions})))");
    let large = wat::parse_str(&large).expect("a component");
    fs::write(setup.folder().join("says-no.wasm"), &large).expect("a component");
    let text = fs::read_to_string(registry).expect("a registry");
    let pinned = Digest::of(&component("says-no")).to_string();
    fs::write(registry, text.replace(&pinned, &Digest::of(&large).to_string())).expect("a registry");
}

#[test]
fn a_component_that_exhausts_the_compiler_is_a_refusal_and_leaves_the_old_lock() {
    let (setup, registry) = locked();
    let before = lock(setup.folder());
    let died = try_compile(&setup, &registry, &["--compile-memory-mib", "1"]);
    assert_eq!(died.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&died.stderr).contains("the compiler died"), "{died:?}");
    pin_exhausting(&setup, &registry);
    let stopped = try_compile(&setup, &registry, &["--compile-seconds", "1"]);
    assert_eq!(stopped.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&stopped.stderr).contains("longer than 1 s"), "{stopped:?}");
    assert_eq!(lock(setup.folder()), before);
}

#[test]
fn a_component_that_the_compiler_dies_of_keeps_a_host_from_starting_and_is_named() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("well-behaved", ""), ("says-no", "")]);
    // With one thread, what a compiler needs does not depend on the machine.
    let setup = setup.with(&["--registry", "registry.toml"]).variable("RAYON_NUM_THREADS", "1");
    setup.start().stop();
    pin_exhausting(&setup, &registry);
    let reasons = [
        // Enough for the other component, which is compiled at the same time.
        (["--compile-memory-mib", "256"], "says-no.wasm: the compiler died (signal: 6 (SIGABRT)"),
        (["--compile-seconds", "1"], "says-no.wasm: the compiler took longer than 1 s and was stopped"),
    ];
    for (limit, reason) in reasons {
        let refused = setup.clone().with(&limit).try_start().expect_err(reason);
        assert!(refused.status.code() == Some(2) && refused.stderr.contains(reason), "{}", refused.stderr);
        for command in [&["registry", "verify"][..], &["execute", "well-behaved"]] {
            let output = setup.run(&[command, &["--registry", "registry.toml"], &limit].concat());
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(2) && told.contains(reason), "{command:?}: {told}");
        }
    }
    // It was the component: the others start with the same limits.
    write_registry(setup.folder(), &[("well-behaved", "")]);
    let host = setup.with(&["--compile-memory-mib", "256"]).start();
    host.execute("well-behaved", &json!({}), "1").expect(200);
}

#[test]
fn an_artifact_for_one_component_proves_nothing_for_another() {
    let (setup, _) = locked();
    let text = lock(setup.folder());
    let lock = CurrentLock::parse(&text, "registry.lock").expect("a lock");
    let proof = lock.proof().expect("the proof").clone();
    assert_eq!(proof.path, format!("artifacts/{}.cwasm", Digest::of(ENDLESS_LOOP)));
    assert_eq!(lock.n_handlers(), 2);
    let bytes = fs::read(artifact(setup.folder(), "says-no")).expect("an artifact");
    let code = LockedCode { lock, proof: ArtifactFile { path: "proof".to_owned(), bytes }, handlers: Vec::new() };
    let refused = Sandbox::start_locked(code, Settings { n_slots: 1 }).expect_err("another component's artifact");
    assert!(matches!(refused, StartError::Artifact(ArtifactError::Mismatch { .. })), "{refused}");
}

#[test]
fn a_build_without_a_compiler_has_no_cranelift_in_its_tree() {
    let tree = |more: &[&str]| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let output = cargo
            .current_dir(root)
            .args(["tree", "--locked", "--offline", "--package", "openexec", "--edges", "normal,build"])
            .args(more)
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let (with, without) = (tree(&[]), tree(&["--no-default-features"]));
    assert!(with.contains("cranelift-codegen") && without.contains("wasmtime v"));
    // wasmtime's runtime shares three small crates of data structures with the compiler; they hold no code generator.
    let shared = ["cranelift-bforest", "cranelift-bitset", "cranelift-entity"];
    for line in without.lines().filter(|line| !shared.iter().any(|name| line.contains(name))) {
        for compiler in ["cranelift", "winch", "regalloc2"] {
            assert!(!line.contains(compiler), "in a build without a compiler: {line}");
        }
    }
}

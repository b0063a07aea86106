//! Signed registries and locks: a host that has a registry key starts with what that key signed, and with nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use openexec_core::json;
use openexec_core::keys::KeyId;
use openexec_core::registry_signature::{RegistryKey, RegistryKeys, RegistrySignatureError as Wrong, SignedFile};
use openexec_core::signing::SecretKey;
use openexec_tests::approvals;
use openexec_tests::fixtures::{component, write_registry};
use openexec_tests::host::{Refused, Setup};
use openexec_tests::python::python_with_securesystemslib;
use serde_json::{Value, json};

/// A registry of one fixture and a key that signs registries (`key.pem`, `key.pem.pub`). Nothing is signed or locked yet.
fn unsigned() -> Setup {
    let setup = Setup::new();
    write_registry(setup.folder(), &[("well-behaved", "")]);
    say(&setup, &["keygen", "key.pem"]);
    setup.with(&["--registry", "registry.toml"])
}

/// As `unsigned`, then locked and signed.
fn signed() -> Setup {
    let setup = unsigned();
    say(&setup, &["compile", "--registry", "registry.toml"]);
    say(&setup, &["sign", "--key", "key.pem"]);
    setup
}

/// What `openexec registry` says when all is well.
#[track_caller]
fn say(setup: &Setup, arguments: &[&str]) -> String {
    let output = setup.run(&[&["registry"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The host neither starts nor calls the registry good, and says why.
#[track_caller]
fn refuses(setup: &Setup, why: &str) {
    let setup = setup.clone().with(&["--registry-key", "key.pem.pub"]);
    refuses_as_it_is(&setup, why);
    let verify = ["registry", "verify", "--registry", "registry.toml", "--registry-key", "key.pem.pub"];
    let verified = setup.run(&verify);
    let told = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.code() == Some(2) && told.contains(why), "{why}: {told}");
}

#[track_caller]
fn refuses_as_it_is(setup: &Setup, why: &str) {
    match setup.try_start() {
        Ok(_) => panic!("the host started, although: {why}"),
        Err(Refused { status, stderr }) => assert!(status.code() == Some(2) && stderr.contains(why), "{why}: {stderr}"),
    }
}

fn path(setup: &Setup, name: &str) -> PathBuf {
    setup.folder().join(name)
}

fn read(setup: &Setup, name: &str) -> String {
    fs::read_to_string(path(setup, name)).expect("a file")
}

fn write_private(path: &Path, key: &SecretKey) {
    fs::write(path, key.to_pem().expect("PEM").as_ref()).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
}

#[test]
fn a_host_with_a_registry_key_starts_with_what_that_key_signed() {
    let setup = signed();
    let pem = read(&setup, "key.pem.pub");
    let base64 = openexec_core::keys::PublicKey::parse_pem(&pem).expect("a key").to_base64();
    for key in [pem.as_str(), base64.as_str(), "key.pem.pub"] {
        let host = setup.clone().variable("OPENEXEC_REGISTRY_KEY", key).start();
        host.execute("well-behaved", &json!({}), "1").expect(200);
        assert!(host.log().contains("the registry is signed") && host.log().contains("\"n_locked\":1"));
    }
    // Without a lock as well, and with a second key, which has signed nothing.
    fs::remove_file(path(&setup, "registry.lock")).expect("a file");
    say(&setup, &["keygen", "other.pem"]);
    let several = ["--registry", "registry.toml", "--registry-key", "other.pem.pub,key.pem.pub"];
    let said = say(&setup, &[&["verify"], &several[..]].concat());
    let id = openexec_core::keys::PublicKey::parse_pem(&pem).expect("a key").id();
    assert!(said.contains("0 of them locked") && said.contains(&format!("signed by the registry key {id}")), "{said}");
    setup.with(&several[2..]).start().stop();
}

#[test]
fn without_an_envelope_for_this_very_file_by_this_very_key_nothing_starts() {
    let setup = unsigned();
    refuses(&setup, "registry.toml: not signed");
    say(&setup, &["sign", "--key", "key.pem"]);
    say(&setup, &["compile", "--registry", "registry.toml"]);
    refuses(&setup, "registry.lock: not signed");
    say(&setup, &["sign", "--key", "key.pem"]);
    setup.clone().with(&["--registry-key", "key.pem.pub"]).start().stop();

    let (registry, lock) = (read(&setup, "registry.toml"), read(&setup, "registry.lock"));
    let envelopes = (read(&setup, "registry.toml.dsse.json"), read(&setup, "registry.lock.dsse.json"));
    let restore = || {
        fs::write(path(&setup, "registry.toml"), &registry).expect("a file");
        fs::write(path(&setup, "registry.lock"), &lock).expect("a file");
        fs::write(path(&setup, "registry.toml.dsse.json"), &envelopes.0).expect("a file");
        fs::write(path(&setup, "registry.lock.dsse.json"), &envelopes.1).expect("a file");
    };
    let changed = registry.replace("[action.well-behaved.limits]\n", "[action.well-behaved.limits]\nfuel = 1000\n");
    assert_ne!(changed, registry);
    let cases = [
        ("registry.toml", changed.as_str(), "not the bytes that were signed"),
        ("registry.toml", &format!("{registry}\n"), "not the bytes that were signed"), // also where it says the same
        ("registry.lock", &format!("{lock}\n"), "not the bytes that were signed"),
        ("registry.toml.dsse.json", &envelopes.1, "payloadType is not application/vnd.openexec.registry+toml"),
        ("registry.lock.dsse.json", &envelopes.0, "payloadType is not application/vnd.openexec.registry-lock+toml"),
        ("registry.toml.dsse.json", "", "not acceptable JSON"),
        ("registry.lock.dsse.json", "{}", "envelope is not acceptable"),
    ];
    for (name, text, why) in cases {
        fs::write(path(&setup, name), text).expect("a file");
        refuses(&setup, why);
        refuses(&setup, name.trim_end_matches(".dsse.json"));
        restore();
    }
    // A few flipped bits; `no_flipped_bit_of_a_signed_file_or_its_envelope_is_believed` flips all of them.
    for name in ["registry.toml", "registry.lock", "registry.toml.dsse.json", "registry.lock.dsse.json"] {
        let length = read(&setup, name).len();
        for at in [0, length / 3, length - 1] {
            let mut bytes = read(&setup, name).into_bytes();
            bytes[at] ^= 1;
            fs::write(path(&setup, name), &bytes).expect("a file");
            refuses_as_it_is(&setup.clone().with(&["--registry-key", "key.pem.pub"]), "registry.");
            restore();
        }
    }
    say(&setup, &["keygen", "other.pem"]);
    refuses_as_it_is(&setup.clone().with(&["--registry-key", "other.pem.pub"]), "signed by no registry key");
    setup.with(&["--registry-key", "key.pem.pub"]).start().stop();
}

#[test]
fn the_built_in_registry_and_a_key_that_says_nothing_are_refused_with_a_registry_key() {
    let setup = unsigned();
    let built_in = Setup::new().with(&["--registry-key", &path(&setup, "key.pem.pub").display().to_string()]);
    refuses_as_it_is(&built_in, "built into this binary is signed by nobody");
    for key in ["", " ", ","] {
        refuses_as_it_is(&setup.clone().variable("OPENEXEC_REGISTRY_KEY", key), "it is empty");
    }
    refuses_as_it_is(&setup.clone().variable("OPENEXEC_REGISTRY_KEY", "nowhere.pub"), "nowhere.pub");
    refuses_as_it_is(&setup.variable("OPENEXEC_REGISTRY_KEY", "key.pem"), "this is a private key");
}

#[test]
fn a_registry_key_has_no_other_purpose() {
    let setup = signed();
    let with_key = setup.clone().with(&["--registry-key", "key.pem.pub"]);
    for flag in ["--receipt-key-file", "--log-key-file"] {
        refuses_as_it_is(&with_key.clone().with(&[flag, "key.pem"]), "a key has one purpose");
    }
    let governed = with_key
        .variable("OPENEXEC_MODE", "clawshield")
        .variable("CLAWSHIELD_PUBLIC_KEY", &read(&setup, "key.pem.pub"))
        .variable("CLAWSHIELD_TENANT_ID", "acme");
    refuses_as_it_is(&governed, "also trusted for approvals");
    let other = approvals::public(&approvals::key("shield")).to_pem();
    governed.variable("CLAWSHIELD_PUBLIC_KEY", &other).start().stop();
}

#[test]
fn whoever_changes_a_signed_registry_is_told_to_sign_it_again() {
    let setup = signed();
    fs::write(path(&setup, "says-no.wasm"), component("says-no")).expect("a file");
    let registry = ["--registry", "registry.toml"];
    let told = |said: &str, name: &str| said.contains(&format!("{name} must be signed again"));
    let same = say(&setup, &["pin", "well-behaved", "well-behaved.wasm"]);
    assert!(told(&same, "registry.toml"), "its description was added: {same}");
    say(&setup, &["sign", "--key", "key.pem"]);
    let same = say(&setup, &["pin", "well-behaved", "well-behaved.wasm"]);
    assert!(!told(&same, "registry.toml"), "nothing has changed: {same}");
    refuses_after(&setup, &["pin", "says-no", "says-no.wasm"]);
    refuses_after(&setup, &["unpin", "says-no"]);
    fs::remove_file(path(&setup, "registry.lock.dsse.json")).expect("a file");
    let compiled = say(&setup, &[&["compile"], &registry[..]].concat());
    assert!(told(&compiled, "registry.lock") && !told(&compiled, "registry.toml"), "{compiled}");
    refuses(&setup, "registry.lock: not signed");

    #[track_caller]
    fn refuses_after(setup: &Setup, arguments: &[&str]) {
        let said = say(setup, arguments);
        assert!(said.contains("registry.toml must be signed again"), "{said}");
        refuses(setup, "not the bytes that were signed");
        say(setup, &["sign", "--key", "key.pem"]);
    }
}

#[test]
fn only_registries_and_locks_are_signed_and_only_by_keys_that_are_private() {
    let setup = unsigned();
    let refused = |arguments: &[&str], why: &str| {
        let output = setup.run(&[&["registry", "sign"], arguments].concat());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(why), "{why}: {told}");
    };
    refused(&["--key", "key.pem", "--registry", "well-behaved.wasm"], "well-behaved.wasm");
    refused(&["--key", "key.pem", "--registry-lock", "registry.toml"], "not a valid lock");
    refused(&["--key", "key.pem", "--registry-lock", "nowhere.lock"], "nowhere.lock");
    refused(&["--key", "key.pem.pub"], "key.pem.pub");
    fs::set_permissions(path(&setup, "key.pem"), fs::Permissions::from_mode(0o644)).expect("a mode");
    refused(&["--key", "key.pem"], "others than its owner can read this private key");
    assert!(!path(&setup, "registry.toml.dsse.json").exists(), "nothing was signed");
}

fn secret() -> SecretKey {
    SecretKey::from_seed(&[7; 32]).expect("a key")
}

/// Every bit of every byte of the file, of the envelope, and of both at once where the envelope repeats the file.
#[test]
fn no_flipped_bit_of_a_signed_file_or_its_envelope_is_believed() {
    let setup = signed();
    let key = RegistryKey::new(secret());
    let keys = RegistryKeys::new(vec![key.public().clone()]);
    for (name, file) in [("registry.toml", SignedFile::Registry), ("registry.lock", SignedFile::Lock)] {
        let text = read(&setup, name);
        let signed = key.sign(file, &text).expect("a file of this kind");
        let bytes = text.into_bytes();
        let envelope = format!("{}\n", json::jcs(&signed.to_value())).into_bytes();
        assert_eq!(keys.verify(file, &bytes, &envelope), Ok(key.public().id()));
        for at in 0..bytes.len() {
            let mut edited = bytes.clone();
            edited[at] ^= 1 << (at % 8);
            assert_eq!(keys.verify(file, &edited, &envelope), Err(Wrong::OtherBytes), "{name}, byte {at}");
            // An envelope that repeats the edited bytes, with the signature of the others.
            let signature = signed.signatures()[0].signature;
            let both = openexec_core::dsse::Envelope::unsigned(file.payload_type(), edited.clone());
            let both = json::jcs(&both.signed(key.public().id(), signature).to_value()).into_bytes();
            let refused = keys.verify(file, &edited, &both);
            assert_eq!(refused, Err(Wrong::BadSignature(key.public().id())), "{name}, byte {at}");
        }
        for at in 0..envelope.len() {
            for bit in 0..8 {
                let mut edited = envelope.clone();
                edited[at] ^= 1 << bit;
                let refused = keys.verify(file, &bytes, &edited);
                assert!(refused.is_err(), "{name}: byte {at}, bit {bit} of the envelope: {refused:?}");
            }
            let is_whole = at == envelope.len() - 1; // only the line end is missing
            assert_eq!(keys.verify(file, &bytes, &envelope[..at]).is_ok(), is_whole, "{name}: cut at byte {at}");
        }
    }
}

#[test]
fn a_signature_counts_for_its_own_kind_of_file_and_key_and_every_one_that_claims_a_key_must_verify() {
    let (key, other) = (RegistryKey::new(secret()), RegistryKey::new(SecretKey::from_seed(&[8; 32]).expect("a key")));
    let keys = RegistryKeys::new(vec![key.public().clone()]);
    let text = read(&unsigned(), "registry.toml");
    let bytes = text.as_bytes();
    let spelled = |envelope: &openexec_core::dsse::Envelope| json::jcs(&envelope.to_value()).into_bytes();
    let [mine, theirs] = [&key, &other].map(|key| key.sign(SignedFile::Registry, &text).expect("a registry"));
    let verify =
        |envelope: &openexec_core::dsse::Envelope| keys.verify(SignedFile::Registry, bytes, &spelled(envelope));
    assert_eq!(verify(&mine), Ok(key.public().id()));
    assert_eq!(verify(&theirs), Err(Wrong::UnknownKey));
    assert_eq!(
        RegistryKeys::new(Vec::new()).verify(SignedFile::Registry, bytes, &spelled(&mine)),
        Err(Wrong::UnknownKey)
    );
    assert!(matches!(key.sign(SignedFile::Lock, &text), Err(Wrong::NotALock(_))), "it is no lock");
    assert!(matches!(key.sign(SignedFile::Registry, "version = 1\n"), Err(Wrong::NotARegistry(_))), "it has no action");
    let as_lock = keys.verify(SignedFile::Lock, bytes, &spelled(&mine));
    assert!(matches!(as_lock, Err(Wrong::Envelope(_))), "{as_lock:?}");
    // The type is under the signature: renaming it makes nothing else of it.
    let renamed = openexec_core::dsse::Envelope::unsigned(SignedFile::Lock.payload_type(), bytes.to_vec());
    let renamed = renamed.signed(key.public().id(), mine.signatures()[0].signature);
    assert_eq!(keys.verify(SignedFile::Lock, bytes, &spelled(&renamed)), Err(Wrong::BadSignature(key.public().id())));
    // A stranger's signature beside it is nobody's; one that claims the key and is another's spoils the envelope.
    let [stranger, own] = [&theirs, &mine].map(|envelope| envelope.signatures()[0].signature);
    assert_eq!(verify(&mine.clone().signed(other.public().id(), stranger)), Ok(key.public().id()));
    let id: KeyId = key.public().id();
    assert_eq!(verify(&mine.clone().signed(id, stranger)), Err(Wrong::BadSignature(id)));
    assert_eq!(verify(&theirs.clone().signed(id, own)), Ok(id));
}

/// in-toto's own library: it verifies our envelopes, and signs one of its own.
const SECURESYSTEMSLIB: &str = r#"
import base64, hashlib, json, sys
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

given = json.load(sys.stdin)
private = load_pem_private_key(given["pem"].encode(), None)
der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
key = SSlibKey(hashlib.sha256(der).hexdigest(), "ed25519", "ed25519", {"public": raw.hex()})
made = {}
for name, envelope in given["envelopes"].items():
    theirs = Envelope.from_dict(json.loads(envelope))
    assert theirs.payload == given["files"][name].encode()
    theirs.verify([key], 1)
    ours = Envelope(theirs.payload, theirs.payload_type, {})
    ours.sign(CryptoSigner(private, key))
    made[name] = json.dumps(ours.to_dict(), indent=2)
json.dump(made, sys.stdout)
"#;

#[test]
fn in_totos_own_library_verifies_our_envelopes_and_makes_them() {
    let setup = unsigned();
    write_private(&path(&setup, "python.pem"), &secret());
    fs::write(path(&setup, "key.pem.pub"), secret().public().to_pem()).expect("a file");
    say(&setup, &["compile", "--registry", "registry.toml"]);
    say(&setup, &["sign", "--key", "python.pem"]);
    let names = ["registry.toml", "registry.lock"];
    let texts = |suffix: &str| -> Value {
        names.iter().map(|name| ((*name).to_owned(), json!(read(&setup, &format!("{name}{suffix}"))))).collect()
    };
    let given = json!({"pem": read(&setup, "python.pem"), "files": texts(""), "envelopes": texts(".dsse.json")});
    let made: Value =
        serde_json::from_str(&python_with_securesystemslib(SECURESYSTEMSLIB, &given.to_string())).expect("JSON");
    for name in names {
        let envelope = made[name].as_str().expect("an envelope");
        assert_ne!(envelope, read(&setup, &format!("{name}.dsse.json")), "spelled otherwise");
        fs::write(path(&setup, &format!("{name}.dsse.json")), envelope).expect("a file");
    }
    let verify = ["verify", "--registry", "registry.toml", "--registry-key", "key.pem.pub"];
    let said = say(&setup, &verify);
    assert!(said.contains("1 of them locked") && said.contains("signed by the registry key"), "{said}");
    setup.with(&["--registry-key", "key.pem.pub"]).start().stop();
}

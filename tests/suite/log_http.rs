//! The log of a running host: whatever it signed stays true, whatever it ran has a proof, and a ledger that is not the one
//! that was signed for is found out.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use openexec_core::digest::Digest;
use openexec_core::dsse::Envelope;
use openexec_core::json;
use openexec_core::keys::PublicKey;
use openexec_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
use openexec_core::log::leaf_hash_of;
use openexec_core::log::note::VerifierKey;
use openexec_core::log::proof::TlogProof;
use openexec_core::log::prove;
use openexec_core::log::sign::{LogKey, WitnessKey};
use openexec_core::log::tile::parse_entries;
use openexec_core::receipt::Signed;
use openexec_core::signing::SecretKey;
use openexec_tests::approvals;
use openexec_tests::client;
use openexec_tests::facts::witness_key;
use openexec_tests::fixtures::write_registry;
use openexec_tests::host::{Host, Refused, Setup};
use openexec_tests::log::{ServedTiles, Watcher, checkpoint, post_cosignatures, require_consistent};
use serde_json::{Value, json};
use sha2::Sha256;

/// How long the log may take to cover what was sealed, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(20);

fn log_vkey(address: SocketAddr) -> VerifierKey {
    let keys = client::get(address, "/keys").unwrap().expect(200).json();
    VerifierKey::parse(keys["log"]["vkey"].as_str().unwrap()).unwrap()
}

/// Waits until the checkpoint covers so many receipts.
#[track_caller]
fn wait_for_size(address: SocketAddr, size: u64) -> SignedCheckpoint {
    let started = Instant::now();
    loop {
        let signed = checkpoint(address).unwrap();
        if signed.checkpoint().size() >= size {
            return signed;
        }
        assert!(started.elapsed() < PATIENCE, "the log stays at {}", signed.checkpoint().size());
        sleep(Duration::from_millis(10));
    }
}

/// The proof of an execution, once there is one.
#[track_caller]
fn wait_for_proof(address: SocketAddr, exec_id: &str) -> TlogProof {
    let started = Instant::now();
    loop {
        let answer = client::get(address, &format!("/receipts/{exec_id}/proof")).unwrap();
        if answer.status == 200 {
            let text = answer.text();
            let proof = TlogProof::parse(&text).unwrap();
            assert_eq!(proof.to_string(), text);
            return proof;
        }
        assert_eq!((answer.status, answer.code().as_str()), (503, "receipt-not-logged"));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(started.elapsed() < PATIENCE, "no proof of {exec_id}");
        sleep(Duration::from_millis(10));
    }
}

fn receipt(address: SocketAddr, exec_id: &str) -> Signed {
    let body = client::get(address, &format!("/receipts/{exec_id}")).unwrap().expect(200).body;
    let signed = Signed::of_envelope(&Envelope::parse(json::read(&body).unwrap()).unwrap()).unwrap();
    assert_eq!(signed.to_json().as_bytes(), body);
    signed
}

/// Whether receipt and proof together prove that the execution is in the log.
fn proves(proof: &TlogProof, receipt: &Signed, log: &VerifierKey) -> bool {
    proof.checkpoint.verify_log(log).is_ok() && proof.verify_inclusion_of(&leaf_hash_of(&receipt.reference())).is_ok()
}

fn echo(host: &Host, nonce: &str) -> String {
    let answer = host.execute("echo", &json!({"secret": "Ada Lovelace"}), nonce).expect(200);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn their_root(address: SocketAddr, size: u64) -> Vec<u8> {
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for index in 0..size.div_ceil(256) {
        let width = (size - index * 256).min(256);
        let path = if width == 256 { format!("{index:03}") } else { format!("{index:03}.p/{width}") };
        let answer = client::get(address, &format!("/log/tile/entries/{path}")).unwrap().expect(200);
        for entry in parse_entries(&answer.body, u16::try_from(width).unwrap()).unwrap() {
            tree.push(entry.to_vec());
        }
    }
    tree.root().as_bytes().to_vec()
}

#[test]
fn under_load_all_checkpoints_are_consistent_and_every_execution_is_proven_to_be_in_the_log() {
    let host = Host::start();
    let address = host.address;
    let log = log_vkey(address);
    let ids = Mutex::new(Vec::new());
    let is_over = AtomicBool::new(false);
    let mut watcher = Watcher::new(log.clone());
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                watcher.look(address).unwrap();
                watcher.prove(address);
            }
        });
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (host, ids) = (&host, &ids);
                scope.spawn(move || {
                    for call in 0..150 {
                        let id = echo(host, &format!("{client}-{call}"));
                        ids.lock().unwrap().push(id);
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
        watching.join().unwrap();
    });
    let ids = ids.into_inner().unwrap();
    let newest = wait_for_size(address, 600);
    watcher.look(address).unwrap();
    watcher.prove(address);
    assert!(watcher.seen().len() > 3, "{:?}", watcher.seen());
    for (at, old) in watcher.seen().iter().enumerate() {
        for new in &watcher.seen()[at..] {
            require_consistent(old, new, address);
        }
    }
    for seen in watcher.seen() {
        assert_eq!(prove::root(&ServedTiles(address), seen.size()).unwrap(), *seen.root());
    }
    assert_eq!(their_root(address, 600), newest.checkpoint().root().as_bytes());
    let mut indices = Vec::new();
    for id in &ids {
        let (receipt, proof) = (receipt(address, id), wait_for_proof(address, id));
        assert!(proves(&proof, &receipt, &log), "{id}");
        indices.push(proof.index);
    }
    indices.sort_unstable();
    assert_eq!(indices, (0..600).collect::<Vec<_>>(), "each once");
    assert!(host.stop().success());
}

#[test]
fn a_proof_with_any_byte_changed_proves_nothing() {
    let host = Host::start();
    let ids: Vec<_> = (0..5).map(|nth| echo(&host, &nth.to_string())).collect();
    wait_for_size(host.address, 5);
    let log = log_vkey(host.address);
    let (receipt, proof) = (receipt(host.address, &ids[2]), wait_for_proof(host.address, &ids[2]));
    assert!(proves(&proof, &receipt, &log));
    let text = proof.to_string().into_bytes();
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut changed = text.clone();
            changed[at] ^= 1 << bit;
            let accepted = std::str::from_utf8(&changed).ok().and_then(|text| TlogProof::parse(text).ok());
            assert!(!accepted.is_some_and(|proof| proves(&proof, &receipt, &log)), "byte {at}, bit {bit}");
        }
    }
    let other = self::receipt(host.address, &ids[3]);
    assert!(!proves(&proof, &other, &log), "the proof is of one receipt");
}

#[test]
fn receipts_keys_and_tiles_are_public_and_hold_no_plaintext() {
    let host = Host::start();
    let id = echo(&host, "n");
    let answer = host.get(&format!("/receipts/{id}")).expect(200);
    assert_eq!(answer.header("content-type"), Some("application/vnd.dsse.envelope+json"));
    let signed = receipt(host.address, &id);
    assert!(!signed.statement.contains("Lovelace") && !signed.statement.contains("openings"), "{}", signed.statement);
    let keys = host.get("/keys").expect(200).json();
    let key = &keys["receipt_keys"][0];
    let public = PublicKey::parse_base64(key["base64"].as_str().unwrap()).unwrap();
    signed.verify(&public).unwrap();
    assert_eq!(PublicKey::parse_pem(key["pem"].as_str().unwrap()).unwrap(), public);
    assert_eq!((key["key_id"].as_str().unwrap(), &key["current"]), (public.id().to_string().as_str(), &json!(true)));
    assert_eq!(keys["log"]["origin"], log_vkey(host.address).name().as_str());
    assert_eq!(keys["witnesses"], json!([]));
    for path in ["/receipts/none", "/receipts/00000000-0000-8000-8000-000000000000", &format!("/receipts/{id}x/proof")]
    {
        assert_eq!(host.get(path).expect(404).code(), "receipt-not-found", "{path}");
    }
    let executed = host.execute("echo", &json!({"secret": "Ada Lovelace"}), "n").expect(200).json();
    let presented = |receipt: &Value| {
        let body = json!({"exec_id": id, "result": executed["result"], "receipt": receipt}).to_string();
        host.post("/receipts/verify", body.as_bytes()).expect(200).json()
    };
    let places =
        json!({"valid": true, "signed_receipt": format!("/receipts/{id}"), "proof": format!("/receipts/{id}/proof")});
    assert_eq!(presented(&executed["receipt"]), places);
    assert_eq!(presented(&json!("0".repeat(64))), json!({"valid": false}));
}

#[test]
fn a_tile_has_one_path_and_never_changes() {
    let host = Host::start();
    let ids: Vec<_> = (0..260).map(|nth| echo(&host, &nth.to_string())).collect();
    assert_eq!(ids.len(), 260);
    wait_for_size(host.address, 260);
    let get = |path: &str| host.get(&format!("/log/tile/{path}"));
    let whole = get("0/000").expect(200);
    assert_eq!(whole.header("content-type"), Some("application/octet-stream"));
    assert_eq!(whole.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(whole.body.len(), 256 * 32);
    for width in [1_usize, 2, 100, 255] {
        assert_eq!(get(&format!("0/000.p/{width}")).expect(200).body, whole.body[..width * 32]);
        let entries = get(&format!("entries/000.p/{width}")).expect(200).body;
        assert_eq!(entries.len(), width * 58);
        assert!(get("entries/000").expect(200).body.starts_with(&entries));
    }
    for path in ["0/001.p/4", "0/001.p/1", "1/000.p/1", "entries/001.p/4"] {
        get(path).expect(200);
    }
    let absent = [
        "0/001",
        "0/001.p/5",
        "1/000",
        "1/000.p/2",
        "2/000.p/1",
        "0/002.p/1",
        "entries/001",
        "entries/001.p/5",
        "63/000",
        "64/000",
        "0/0",
        "0/0000",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/01",
        "00/000",
        "0/x000/000",
        "0/000/",
        "0//000",
        "0/%300",
        "0/000?x",
        "-1/000",
        "entries/000.p/",
        "0/000.p/1/",
        "",
        "entries",
        "0/x999/x999/x999/x999/x999/x999/999",
    ];
    for path in absent {
        let answer = get(path).expect(404);
        assert!(["tile-not-found", "not-found"].contains(&answer.code().as_str()), "{path}: {}", answer.code());
    }
}

#[test]
fn what_was_executed_without_a_server_is_in_the_log_as_well() {
    let setup = Setup::new();
    for n in 0..3 {
        let output = setup.run(&["execute", "echo", &json!({"n": n}).to_string()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let host = setup.start();
    assert_eq!(checkpoint(host.address).unwrap().checkpoint().size(), 3);
    let printed = setup.run(&["log", "key"]);
    assert_eq!(String::from_utf8_lossy(&printed.stdout).trim(), log_vkey(host.address).to_string());
    let printed = setup.run(&["receipt", "key"]);
    let keys = host.get("/keys").json();
    assert_eq!(String::from_utf8_lossy(&printed.stdout), keys["receipt_keys"][0]["pem"].as_str().unwrap());
}

/// The host's own log key, as only a test has it.
fn stolen_log_key(setup: &Setup, origin: &VerifierKey) -> LogKey {
    let pem = fs::read_to_string(setup.folder().join("openexec.db.log-key.pem")).unwrap();
    LogKey::new(origin.name().clone(), SecretKey::parse_pem(&pem).unwrap())
}

fn cosigned(signed: &SignedCheckpoint, key: &WitnessKey, time: u64) -> SignedCheckpoint {
    signed.clone().with(key.cosign(signed.checkpoint(), time)).unwrap()
}

fn with_witnesses() -> Setup {
    let keys = [1, 2].map(|number| witness_key(number).verifier_key().to_string());
    Setup::new().variable("OPENEXEC_WITNESS_KEYS", &keys.join(","))
}

#[test]
fn cosignatures_count_when_a_configured_witness_signed_what_this_host_signed() {
    let host = with_witnesses().start();
    let (one, two) = (witness_key(1), witness_key(2));
    assert_eq!(host.get("/keys").json()["witnesses"].as_array().unwrap().len(), 2);
    let first = echo(&host, "1");
    let signed = wait_for_size(host.address, 1);
    let post = |note: &str| post_cosignatures(host.address, note).unwrap();
    // By nobody that counts.
    assert_eq!(post(&signed.to_string()).expect(403).code(), "cosignature-refused");
    assert_eq!(post(&cosigned(&signed, &witness_key(9), 5).to_string()).expect(403).code(), "cosignature-refused");
    // By one that counts, of another checkpoint.
    let other = Checkpoint::new(signed.checkpoint().origin(), 1, Digest::of(b"other")).unwrap();
    let misplaced = signed.clone().with(one.cosign(&other, 5)).unwrap();
    assert_eq!(post(&misplaced.to_string()).expect(403).code(), "cosignature-refused");
    let with_a_good_one = cosigned(&misplaced, &two, 5);
    assert_eq!(post(&with_a_good_one.to_string()).expect(403).code(), "cosignature-refused");
    // Of what is no checkpoint, and of one that nobody signed.
    assert_eq!(post("hello").expect(422).code(), "malformed-request");
    let unsigned = cosigned(&signed, &one, 5).to_string().replace(&signed.signatures()[0].to_string(), "— a AAAAAA==");
    post(&unsigned).expect(422);
    let mine = LogKey::new(log_vkey(host.address).name().clone(), SecretKey::from_seed(&[1; 32]).unwrap());
    let forged = cosigned(&mine.sign(other).unwrap(), &one, 5);
    assert_eq!(post(&forged.to_string()).expect(403).code(), "cosignature-refused");
    host.post("/log/cosignatures", b"{}").expect(415);
    assert_eq!(checkpoint(host.address).unwrap(), signed, "nothing was kept");
    // And now as it should be.
    let accepted = post(&cosigned(&cosigned(&signed, &witness_key(9), 5), &one, 1_700_000_000).to_string()).expect(200);
    assert_eq!(accepted.json(), json!({"accepted": 1}));
    let shown = checkpoint(host.address).unwrap();
    assert_eq!(shown.signatures().len(), 2, "the line of an unknown witness was not kept: {shown}");
    assert_eq!(shown.verify_witness(one.verifier_key()), Ok(1_700_000_000));
    // Proofs prefer a checkpoint that is witnessed, as long as it covers the receipt.
    let second = echo(&host, "2");
    wait_for_size(host.address, 2);
    let sizes = |id: &str| {
        let proof = wait_for_proof(host.address, id);
        assert!(proves(&proof, &receipt(host.address, id), &log_vkey(host.address)));
        (proof.checkpoint.checkpoint().size(), proof.checkpoint.signatures().len())
    };
    assert_eq!((sizes(&first), sizes(&second)), ((1, 2), (2, 1)));
    let newest = checkpoint(host.address).unwrap();
    post(&cosigned(&newest, &two, 9).to_string()).expect(200);
    assert_eq!((sizes(&first), sizes(&second)), ((2, 2), (2, 2)));
    // Also after a restart.
    let host = host.kill().start();
    assert_eq!(checkpoint(host.address).unwrap().verify_witness(two.verifier_key()), Ok(9));
    assert_eq!(host.get("/ready").expect(200).json(), json!({"ready": true}));
}

#[test]
fn a_witness_that_saw_more_than_this_ledger_has_stops_the_host() {
    for is_fork in [false, true] {
        let host = with_witnesses().start();
        echo(&host, "1");
        let signed = wait_for_size(host.address, 1);
        let key = stolen_log_key(&host.setup, &log_vkey(host.address));
        let size = if is_fork { 1 } else { 2 };
        let lost = Checkpoint::new(signed.checkpoint().origin(), size, Digest::of(b"of another ledger")).unwrap();
        let lost = key.sign(lost).unwrap();
        // Signed by the log alone, it is nobody's word yet.
        assert_eq!(
            post_cosignatures(host.address, &lost.to_string()).unwrap().expect(403).code(),
            "cosignature-refused"
        );
        host.get("/ready").expect(200);
        let answer = post_cosignatures(host.address, &cosigned(&lost, &witness_key(2), 5).to_string()).unwrap();
        assert_eq!(answer.expect(503).code(), "log-rolled-back");
        assert_eq!(host.get("/ready").expect(503).json()["failing"], json!(["log-rolled-back"]));
        for nonce in ["1", "2"] {
            let refused = host.execute("echo", &json!({"secret": "Ada Lovelace"}), nonce).expect(503);
            assert_eq!(refused.code(), "log-rolled-back");
        }
        assert!(host.log().contains("this ledger was rolled back or forked"));
        assert_eq!(host.setup.stats()["succeeded"], 1);
        assert_eq!(checkpoint(host.address).unwrap(), signed, "it signs no more");
    }
}

#[test]
fn an_old_copy_of_the_ledger_does_not_start_where_a_witness_has_seen_more() {
    let setup = with_witnesses();
    let host = setup.start();
    echo(&host, "1");
    wait_for_size(host.address, 1);
    assert!(host.stop().success());
    let (ledger, copy) = (setup.ledger(), setup.folder().join("copy"));
    fs::copy(&ledger, &copy).unwrap();
    let host = setup.start();
    echo(&host, "2");
    let seen = cosigned(&wait_for_size(host.address, 2), &witness_key(1), 5);
    let unwitnessed = checkpoint(host.address).unwrap();
    assert!(host.stop().success());
    fs::write(setup.folder().join("seen"), seen.to_string()).unwrap();
    let careful = setup.clone().with(&["--witnessed-checkpoint", "seen"]);
    assert!(careful.start().stop().success(), "the ledger that the witness saw");
    fs::copy(&copy, &ledger).unwrap();
    refuses(&careful, "rolled back");
    // Without that checkpoint it starts, and may grow beyond what the witness saw: it is another log then.
    let host = setup.start();
    for nonce in ["3", "4", "5"] {
        echo(&host, nonce);
    }
    wait_for_size(host.address, 4);
    assert!(host.stop().success());
    refuses(&careful, "a witness saw other receipts among the first 2");
    fs::write(setup.folder().join("seen"), unwitnessed.to_string()).unwrap();
    refuses(&careful, "has no cosignature by a configured witness");
    fs::write(setup.folder().join("seen"), "hello").unwrap();
    refuses(&careful, "OPENEXEC_WITNESSED_CHECKPOINT: seen: not a signed note");
}

#[track_caller]
fn refuses(setup: &Setup, why: &str) {
    match setup.try_start() {
        Ok(_) => panic!("the host started, although: {why}"),
        Err(Refused { status, stderr }) => {
            assert_eq!(status.code(), Some(2));
            assert!(stderr.contains(why), "{stderr}");
        }
    }
}

#[test]
fn a_ledger_whose_receipts_were_changed_does_not_start() {
    let setup = Setup::new();
    let host = setup.start();
    for nonce in 0..3 {
        echo(&host, &nonce.to_string());
    }
    wait_for_size(host.address, 3);
    assert!(host.stop().success());
    let saved = fs::read(setup.ledger()).unwrap();
    for sql in [
        "UPDATE receipt SET reference = zeroblob(32) WHERE leaf = 1",
        "UPDATE receipt SET leaf = 100 WHERE leaf = 2",
        "DELETE FROM receipt WHERE leaf = 2",
        "DELETE FROM receipt WHERE leaf = 0",
        "UPDATE checkpoint SET note = replace(note, char(10) || '3' || char(10), char(10) || '2' || char(10))",
    ] {
        fs::write(setup.ledger(), &saved).unwrap();
        rusqlite::Connection::open(setup.ledger()).unwrap().execute(sql, []).unwrap();
        match setup.try_start() {
            Ok(_) => panic!("the host started after {sql}"),
            Err(refused) => assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr),
        }
    }
    fs::write(setup.ledger(), &saved).unwrap();
    assert!(setup.start().stop().success());
}

#[test]
fn the_hosts_keys_are_its_own_and_none_is_made_twice() {
    let setup = Setup::new();
    let host = setup.start();
    echo(&host, "1");
    wait_for_size(host.address, 1);
    assert!(host.stop().success());
    let file = |name: &str| setup.folder().join(format!("openexec.db.{name}-key.pem"));
    for name in ["receipt", "log"] {
        assert_eq!(fs::metadata(file(name)).unwrap().permissions().mode() & 0o777, 0o600);
        let away = setup.folder().join("away");
        fs::rename(file(name), &away).unwrap();
        refuses(&setup, "restore the file");
        assert!(!file(name).exists(), "no other was made");
        fs::rename(&away, file(name)).unwrap();
    }
    refuses(&setup.clone().with(&["--log-key-file", "openexec.db.receipt-key.pem"]), "a key has one purpose");
    assert!(setup.run(&["receipt", "keygen", "other.pem"]).status.success());
    refuses(&setup.clone().with(&["--log-key-file", "other.pem"]), "not signed by the log key");
    refuses(&setup.clone().with(&["--log-origin", "elsewhere.example/log"]), "leave the option out");
    fs::set_permissions(file("log"), fs::Permissions::from_mode(0o640)).unwrap();
    refuses(&setup, "chmod 600");
    fs::set_permissions(file("log"), fs::Permissions::from_mode(0o600)).unwrap();
    let mine = witness_key(1).verifier_key().to_string();
    for (arguments, why) in [
        (vec!["--witness-keys", "nonsense"], "OPENEXEC_WITNESS_KEYS"),
        (vec!["--witness-keys", &mine, "--witness-keys", &mine], "counts once"),
        (vec!["--witness-keys", &mine, "--witness-quorum", "2"], "there are 1 witnesses"),
    ] {
        refuses(&setup.clone().with(&arguments), why);
    }
    assert!(setup.start().stop().success());
}

#[test]
fn a_log_keeps_the_name_it_was_given() {
    let setup = Setup::new();
    let host = setup.clone().with(&["--log-origin", "example.com/openexec/1"]).start();
    let given = log_vkey(host.address);
    assert_eq!(given.name().as_str(), "example.com/openexec/1");
    assert!(host.stop().success());
    assert_eq!(log_vkey(setup.start().address), given);
}

#[test]
fn a_key_that_may_approve_signs_neither_receipts_nor_the_log() {
    let setup = Setup::new();
    let approver = approvals::key("shield");
    let pem = SecretKey::from_seed(approver.as_bytes()).unwrap().to_pem().unwrap();
    let path = setup.folder().join("approver.pem");
    fs::write(&path, pem.as_ref()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let setup = setup
        .variable("OPENEXEC_MODE", "clawshield")
        .variable("CLAWSHIELD_PUBLIC_KEY", &approvals::public(&approver).to_pem())
        .variable("CLAWSHIELD_TENANT_ID", "acme");
    for flag in ["--log-key-file", "--receipt-key-file"] {
        refuses(&setup.clone().with(&[flag, "approver.pem"]), "also trusted for approvals");
    }
    assert!(setup.start().stop().success());
}

#[test]
fn a_host_starts_only_with_the_receipt_key_that_is_expected_of_it() {
    let setup = Setup::new();
    assert!(setup.run(&["receipt", "keygen", "mine.pem"]).status.success());
    assert!(setup.run(&["receipt", "keygen", "other.pem"]).status.success());
    let public = fs::read_to_string(setup.folder().join("mine.pem.pub")).unwrap();
    for expected in [public.as_str(), "mine.pem.pub"] {
        let setup = setup.clone().variable("OPENEXEC_RECEIPT_PUBLIC_KEY", expected);
        refuses(&setup.clone().with(&["--receipt-key-file", "other.pem"]), "give the matching key file");
        assert!(setup.with(&["--receipt-key-file", "mine.pem"]).start().stop().success());
    }
    let setup = setup.with(&["--receipt-key-file", "mine.pem"]);
    refuses(&setup.variable("OPENEXEC_RECEIPT_PUBLIC_KEY", "nonsense"), "nonsense");
}

#[test]
fn after_a_rotation_earlier_receipts_verify_with_the_key_that_signed_them() {
    let setup = Setup::new();
    let host = setup.start();
    let old = echo(&host, "old");
    wait_for_size(host.address, 1);
    assert!(host.stop().success());
    assert!(setup.run(&["receipt", "keygen", "new.pem"]).status.success());
    let host = setup.clone().with(&["--receipt-key-file", "new.pem"]).start();
    let new = echo(&host, "new");
    wait_for_size(host.address, 2);
    let keys = host.get("/keys").json()["receipt_keys"].clone();
    let keys: Vec<_> = keys.as_array().unwrap().iter().collect();
    assert_eq!(keys.iter().map(|key| key["current"].as_bool().unwrap()).collect::<Vec<_>>(), [false, true]);
    let publics: Vec<_> =
        keys.iter().map(|key| PublicKey::parse_base64(key["base64"].as_str().unwrap()).unwrap()).collect();
    for (id, signer, other) in [(&old, 0, 1), (&new, 1, 0)] {
        let signed = receipt(host.address, id);
        signed.verify(&publics[signer]).unwrap();
        assert!(signed.verify(&publics[other]).is_err());
        assert_eq!(signed.key_id, publics[signer].id());
        assert!(proves(&wait_for_proof(host.address, id), &signed, &log_vkey(host.address)));
    }
}

#[test]
fn a_log_that_falls_behind_makes_the_host_unready_and_catches_up() {
    let host = Host::start();
    let lock = loop_until_behind(&host);
    let started = Instant::now();
    loop {
        let failing = host.get("/ready").json()["failing"].clone();
        if failing.as_array().is_some_and(|failing| failing.contains(&json!("log"))) {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{failing}");
        sleep(Duration::from_millis(100));
    }
    drop(lock);
    let started = Instant::now();
    while host.get("/ready").status != 200 {
        assert!(started.elapsed() < PATIENCE);
        sleep(Duration::from_millis(100));
    }
    let n = host.setup.stats()["succeeded"].as_u64().unwrap();
    assert_eq!(wait_for_size(host.address, n).checkpoint().size(), n);
}

/// Locks the ledger between a seal and the checkpoint that would cover it.
fn loop_until_behind(host: &Host) -> rusqlite::Connection {
    for nth in 1_u64.. {
        echo(host, &format!("behind-{nth}"));
        let lock = rusqlite::Connection::open(host.setup.ledger()).unwrap();
        lock.busy_timeout(Duration::from_secs(60)).unwrap();
        lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let n_covered: u64 =
            lock.query_row("SELECT max(size) FROM checkpoint", [], |row| row.get(0)).map(i64::unsigned_abs).unwrap();
        if n_covered < nth {
            return lock;
        }
    }
    unreachable!("the log is never faster for ever")
}

const N_ROUNDS: u64 = 50;

#[test]
fn killed_fifty_times_under_load_the_log_contradicts_nothing_it_signed_and_lacks_nothing_that_was_acknowledged() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("well-behaved", "fuel = 1_000_000")]);
    let setup = setup.with(&["--registry", registry.to_str().unwrap()]);
    let mut host = setup.start();
    let log = log_vkey(host.address);
    let mut watcher = Watcher::new(log.clone());
    let mut acknowledged = Vec::new();
    let n_calls = AtomicU64::new(0);
    for round in 0..N_ROUNDS {
        let address = host.address;
        let ids = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| load(address, &n_calls, &ids));
            }
            scope.spawn(|| while watcher.look(address).is_ok() {});
            sleep(Duration::from_millis(20 + round * 37 % 160));
            host.kill();
        });
        host = setup.start();
        watcher.look(host.address).unwrap();
        watcher.prove(host.address);
        let ids = ids.into_inner().unwrap();
        for id in ids.iter().step_by(10) {
            assert!(proves(&wait_for_proof(host.address, id), &receipt(host.address, id), &log), "round {round}");
        }
        acknowledged.extend(ids);
    }
    assert!(acknowledged.len() as u64 > N_ROUNDS && watcher.seen().len() as u64 > N_ROUNDS, "there was load");
    for id in &acknowledged {
        assert!(proves(&wait_for_proof(host.address, id), &receipt(host.address, id), &log), "{id}");
    }
    let n_sealed = setup.stats()["succeeded"].as_u64().unwrap();
    let newest = wait_for_size(host.address, n_sealed);
    assert_eq!(their_root(host.address, n_sealed), newest.checkpoint().root().as_bytes());
    for seen in watcher.seen() {
        require_consistent(seen, newest.checkpoint(), host.address);
    }
}

/// Executes until the host is gone; remembers what was acknowledged.
fn load(address: SocketAddr, n_calls: &AtomicU64, ids: &Mutex<Vec<String>>) {
    loop {
        let nonce = n_calls.fetch_add(1, Ordering::Relaxed).to_string();
        match client::execute(address, "well-behaved", &json!({}), &nonce) {
            Ok(answer) => ids.lock().unwrap().push(answer.expect(200).json()["id"].as_str().unwrap().to_owned()),
            Err(_) => return,
        }
    }
}

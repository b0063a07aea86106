//! The trust file: a misspelt, missing or contradictory restriction stops the host from starting, with a text that says so.

use openexec_core::digest::Digest;
use openexec_core::limits::{APPROVAL_LIFETIME_S_DEFAULT, TRUSTED_KEYS_MAX};
use openexec_core::names::Action;
use openexec_core::trust::TrustFile;
use openexec_tests::approvals::*;

/// A file with these tables.
fn file(tables: &[&str]) -> String {
    format!("audience = \"{AUDIENCE}\"\n{}", tables.concat())
}

/// The table of `alice`, with these lines instead of the usual ones.
fn alice(more: &[(&str, &str)]) -> String {
    key_table("alice", &key("alice"), more)
}

fn class(name: &str, lines: &str) -> String {
    format!("[[class]]\nname = \"{name}\"\n{lines}\n")
}

#[track_caller]
fn assert_refused(text: &str, says: &[&str]) {
    let refusal = TrustFile::parse(text).map(|_| ()).expect_err(text).to_string();
    assert!(refusal.starts_with("the trust file is not valid: "), "{refusal}");
    for part in says {
        assert!(refusal.contains(part), "'{part}' is not in: {refusal}");
    }
}

#[test]
fn the_trust_file_of_another_implementation_is_read() {
    let text = trust_file_text();
    let file = TrustFile::parse(text).unwrap();
    assert_eq!(file.audience().as_str(), AUDIENCE);
    assert_eq!(file.digest(), Digest::of(text.as_bytes()));
    assert_eq!(file.keys().count(), 4);
    let shield = file.key(public(&key("shield")).id(), at(NOW)).unwrap();
    assert_eq!((shield.name.as_str(), shield.principal.as_str(), shield.is_approver()), ("shield", "clawshield", true));
    assert!(file.key(public(&key("retired")).id(), at(NOW)).is_none(), "its time is over");
    assert!(file.key(public(&key("stranger")).id(), at(NOW)).is_none());
}

#[test]
fn a_key_table_with_a_problem_is_refused_and_says_which() {
    for (more, says) in [
        (vec![("tenant", r#"["acme"]"#)], vec!["unknown field `tenant`", "tenants"]),
        (vec![("expires", "\"2026-10-06T12:00:00Z\"")], vec!["unknown field `expires`"]),
        (vec![("name", "\"two words\"")], vec!["key 'two words'", "printable ASCII without spaces"]),
        (vec![("name", "\"\"")], vec!["key ''", "name must be 1 to 256 characters"]),
        (vec![("principal", "\"\"")], vec!["key 'alice'", "principal must be"]),
        (vec![("roles", "[]")], vec!["key 'alice'", "roles is empty", "\"approver\""]),
        (vec![("roles", "[\"two words\"]")], vec!["key 'alice'", "roles: name must be"]),
        (vec![("roles", "\"approver\"")], vec!["expected a sequence"]),
        (vec![("tenants", "[]")], vec!["key 'alice'", "tenants is empty", "[\"*\"]"]),
        (vec![("tenants", r#"["acme", "*"]"#)], vec!["key 'alice'", "tenants: \"*\" stands alone"]),
        (vec![("tenants", r#"["*", "*"]"#)], vec!["key 'alice'", "tenants: \"*\" stands alone"]),
        (vec![("tenants", r#"["demo"]"#)], vec!["key 'alice'", "tenant 'demo' is what runs without approvals"]),
        (vec![("tenants", r#"[""]"#)], vec!["key 'alice'", "tenants: tenant must be"]),
        (vec![("actions", "[]")], vec!["key 'alice'", "actions is empty"]),
        (vec![("actions", r#"["*", "echo"]"#)], vec!["key 'alice'", "actions: \"*\" stands alone"]),
        (vec![("actions", r#"["a b"]"#)], vec!["key 'alice'", "actions: action must be"]),
        (vec![("valid_from", "\"2026-10-06\"")], vec!["key 'alice'", "valid_from: not a date", "YYYY-MM-DDTHH:MM:SSZ"]),
        (vec![("valid_until", "\"2026-02-29T12:00:00Z\"")], vec!["key 'alice'", "valid_until: not a date"]),
        (vec![("valid_until", "\"2026-10-06T12:00:00+00:00\"")], vec!["key 'alice'", "valid_until: not a date"]),
        (vec![("valid_until", "2026-10-06T12:00:00Z")], vec!["expected a string"]),
        (
            vec![("valid_from", "\"2026-10-06T12:00:00Z\""), ("valid_until", "\"2026-10-06T12:00:00Z\"")],
            vec!["key 'alice'", "would never be valid"],
        ),
        (vec![("status", "\"retired\"")], vec!["unknown variant `retired`", "`active`", "`revoked`"]),
        (vec![("public", "\"\"")], vec!["key 'alice'", "public: not an Ed25519 public key", "44 characters"]),
        (vec![("public", "\"AAAA\"")], vec!["key 'alice'", "public: not an Ed25519 public key"]),
        (
            vec![("public", "\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"")],
            vec!["key 'alice'", "public: not an acceptable", "small order"],
        ),
    ] {
        assert_refused(&file(&[&alice(&more)]), &says);
    }
    for member in ["name", "public", "principal", "roles", "tenants", "actions"] {
        let table: String =
            alice(&[]).lines().filter(|line| !line.starts_with(member)).map(|line| format!("{line}\n")).collect();
        assert_refused(&file(&[&table]), &[&format!("missing field `{member}`")]);
    }
}

#[test]
fn two_keys_that_could_be_taken_for_each_other_are_refused() {
    let bob_as_alice = key_table("alice", &key("bob"), &[]);
    assert_refused(&file(&[&alice(&[]), &bob_as_alice]), &["key 'alice'", "another key has the same name"]);
    let alice_as_bob = key_table("bob", &key("alice"), &[]);
    assert_refused(&file(&[&alice(&[]), &alice_as_bob]), &["key 'bob'", "the same public key as 'alice'"]);
}

#[test]
fn a_file_without_keys_or_with_too_many_is_refused() {
    assert_refused("", &["missing field `audience`"]);
    assert_refused("audience = \"\"", &["audience must be 1 to 256 characters"]);
    assert_refused("audience = \"two words\"", &["audience must be"]);
    assert_refused(&file(&[]), &["0 [[key]] tables"]);
    assert_refused(&file(&["version = 1\n", &alice(&[])]), &["unknown field `version`"]);
    assert_refused(&file(&[&alice(&[]), "[[keys]]\n"]), &["unknown field `keys`"]);
    let keys =
        |n: usize| (0..n).map(|i| key_table(&format!("k{i}"), &other_key(&i.to_string()), &[])).collect::<String>();
    assert_eq!(TrustFile::parse(&file(&[&keys(TRUSTED_KEYS_MAX)])).unwrap().keys().count(), TRUSTED_KEYS_MAX);
    assert_refused(&file(&[&keys(TRUSTED_KEYS_MAX + 1)]), &["1025 [[key]] tables", "1 to 1024"]);
}

#[test]
fn a_class_with_a_problem_is_refused_and_says_which() {
    for (lines, says) in [
        ("actions = [\"a\"]\nthreshold = 0", vec!["class 'money'", "threshold must be between 1 and 16, not 0"]),
        ("actions = [\"a\"]\nthreshold = 17", vec!["class 'money'", "threshold must be between 1 and 16, not 17"]),
        ("actions = [\"a\"]\nthreshold = -1", vec!["line 12", "`-1`"]),
        ("actions = [\"a\"]\nthreshold = 1.5", vec!["line 12", "`1.5`"]),
        ("actions = [\"a\"]", vec!["missing field `threshold`"]),
        ("actions = []\nthreshold = 1", vec!["class 'money'", "actions is empty"]),
        ("threshold = 1", vec!["missing field `actions`"]),
        ("actions = [\"*\", \"a\"]\nthreshold = 1", vec!["class 'money'", "actions: \"*\" stands alone"]),
        ("actions = [\"a b\"]\nthreshold = 1", vec!["class 'money'", "actions: action must be"]),
        ("actions = [\"a\"]\nthreshold = 1\nroles = [\"\"]", vec!["class 'money'", "roles: name must be"]),
        ("actions = [\"a\"]\nthreshold = 1\nmax_lifetime_s = 0", vec!["class 'money'", "between 1 and 604800"]),
        ("actions = [\"a\"]\nthreshold = 1\nmax_lifetime_s = 604801", vec!["class 'money'", "between 1 and 604800"]),
        ("actions = [\"a\"]\nthreshold = 1\nlifetime = 5", vec!["unknown field `lifetime`", "max_lifetime_s"]),
    ] {
        assert_refused(&file(&[&alice(&[]), &class("money", lines)]), &says);
    }
    assert_refused(
        &file(&[&alice(&[]), &class("two words", "actions = [\"a\"]\nthreshold = 1")]),
        &["class 'two words'", "name must be"],
    );
}

#[test]
fn an_action_has_one_class() {
    let named = |name: &str, actions: &str| class(name, &format!("actions = {actions}\nthreshold = 1"));
    for (first, second, says) in [
        (
            named("one", r#"["a", "b"]"#),
            named("two", r#"["c", "b"]"#),
            ["class 'two'", "action 'b' is already in class 'one'"],
        ),
        (
            named("one", r#"["*"]"#),
            named("two", r#"["*"]"#),
            ["class 'two'", "'one' is already the class of all other actions"],
        ),
        (named("one", r#"["a"]"#), named("one", r#"["b"]"#), ["class 'one'", "another class has the same name"]),
    ] {
        assert_refused(&file(&[&alice(&[]), &first, &second]), &says);
    }
}

#[test]
fn the_class_that_names_an_action_goes_before_the_one_for_all() {
    let all = class("all", "actions = [\"*\"]\nthreshold = 1");
    let named = class("named", "actions = [\"b\", \"a\"]\nthreshold = 2\nroles = [\"human\"]\nmax_lifetime_s = 60");
    for classes in [[&all, &named], [&named, &all]] {
        let trust = TrustFile::parse(&file(&[&alice(&[]), classes[0], classes[1]])).unwrap();
        let class_of = |action: &str| trust.class_of(&Action::parse(action).unwrap()).unwrap();
        assert_eq!(class_of("a").name.as_str(), "named");
        assert_eq!((class_of("a").threshold, class_of("a").lifetime_s_max), (2, 60));
        assert_eq!(class_of("c").name.as_str(), "all");
        assert_eq!(class_of("c").lifetime_s_max, APPROVAL_LIFETIME_S_DEFAULT);
        assert_eq!(class_of("*").name.as_str(), "all", "an action that is called like that is one like any other");
    }
    let trust = TrustFile::parse(&file(&[&alice(&[]), &named])).unwrap();
    assert!(trust.class_of(&Action::parse("c").unwrap()).is_none());
}

#[test]
fn what_is_not_toml_is_refused_and_says_where() {
    for (text, line) in [
        (file(&["[[key]\n"]), "line 2"),
        (file(&[&alice(&[]), "[[class]\n"]), "line 9"),
        (file(&["audience = \"again\"\n"]), "line 2"),
        (file(&["\u{0}"]), "line 2"),
    ] {
        assert_refused(&text, &[line]);
    }
}

#[test]
fn no_error_about_a_trust_file_repeats_a_private_key_that_was_put_into_it() {
    let secret = "MC4CAQAwBQYDK2VwBCIEIPQc7c7SQG6lYB56zftRnjRwk1q1F9XRmCc2aKGvQnOU";
    let quoted = format!("\"{secret}\"");
    let in_public = |text: &str| file(&[&alice(&[("public", text)])]);
    for text in [
        in_public(&quoted),
        in_public(&format!("\"\"\"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n\"\"\"")),
        in_public(&format!("\"{secret}")),
        in_public(secret),
        file(&[&alice(&[("private", &quoted)])]),
        file(&[&alice(&[("seed", &quoted)])]),
        file(&[&alice(&[]), secret]),
    ] {
        let refusal = TrustFile::parse(&text).map(|_| ()).expect_err(&text);
        for shown in [refusal.to_string(), format!("{refusal:?}")] {
            assert!(!shown.contains(&secret[16..40]), "{shown}");
        }
    }
}

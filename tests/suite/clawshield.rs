//! Clawshield mode over HTTP: nothing runs without an approval, an approval is used once, a replay is authenticated, and
//! whoever has none learns nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use openexec_core::admission::Mode;
use openexec_core::control::Target;
use openexec_core::time::Timestamp;
use openexec_ledger::Claim;
use openexec_tests::approvals::{self, AUDIENCE, NOW, TENANT};
use openexec_tests::client::{self, Answer};
use openexec_tests::host::{Host, Setup};
use openexec_tests::local::LocalHost;
use openexec_tests::python::python;
use openexec_tests::{facts, fixtures};
use serde_json::{Value, json};

/// A host that believes `shield` for approvals v1 of `acme`, and the vectors' trust file for approvals v2.
fn governed() -> Setup {
    let setup = Setup::new();
    std::fs::write(setup.folder().join("trust.toml"), approvals::trust_file_text()).expect("a file");
    setup
        .variable("OPENEXEC_MODE", "clawshield")
        .variable("OPENEXEC_TRUST_FILE", "trust.toml")
        .variable("CLAWSHIELD_PUBLIC_KEY", &approvals::public(&approvals::key("shield")).to_pem())
        .variable("CLAWSHIELD_TENANT_ID", TENANT)
}

fn local() -> LocalHost {
    let host = LocalHost::start(AUDIENCE, Mode::Clawshield(Arc::new(approvals::trust())));
    host.clock.set(approvals::at(NOW));
    host
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    Timestamp::from_unix_ms(u64::try_from(since_epoch.as_millis()).expect("a date"))
}

fn request(action: &str, payload: &Value, nonce: &str) -> Value {
    json!({"action": action, "payload": payload, "nonce": nonce})
}

/// An artifact that ClawShield would make of this request now.
fn artifact_at(now: Timestamp, id: &str, request: &Value, key: &SigningKey) -> Value {
    let date = |at: Timestamp| at.to_string().trim_end_matches('Z').to_owned() + ".000001";
    let request = approvals::request(text(request, "action"), &request["payload"], text(request, "nonce"));
    let hash = openexec_core::approval::v1::action_hash(&request).to_string();
    approvals::sign_v1([id, TENANT, &hash, &date(now), &date(now.plus_ms(300_000))], key)
}

fn envelope_at(now: Timestamp, request: &Value, keys: &[&SigningKey]) -> Value {
    let request = approvals::request(text(request, "action"), &request["payload"], text(request, "nonce"));
    approvals::sign_v2(&approvals::body(&request, whole_seconds(now)).spell(), keys)
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_unix_ms(at.unix_ms() / 1000 * 1000)
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().expect("a text")
}

fn with(request: &Value, approval: &Value) -> Vec<u8> {
    let mut body = request.clone();
    body["approval_artifact"] = approval.clone();
    body.to_string().into_bytes()
}

const FIRST: &str = "3f2b8c1e-9d5a-4a43-8a5e-0c7f6f2f9b11";
const SECOND: &str = "3f2b8c1e-9d5a-4a43-8a5e-0c7f6f2f9b12";

/// Sends every body at the same moment. A host that was killed meanwhile gives no answer.
fn all_at_once(host: &Host, bodies: &[Vec<u8>], meanwhile: impl FnOnce()) -> Vec<Option<Answer>> {
    let (start, address) = (Barrier::new(bodies.len() + 1), host.address);
    let start = &start;
    thread::scope(|scope| {
        let send = |body: &'_ Vec<u8>| {
            let body = body.clone();
            scope.spawn(move || {
                start.wait();
                client::post(address, "/execute", &body).ok()
            })
        };
        let callers: Vec<_> = bodies.iter().map(send).collect();
        start.wait();
        meanwhile();
        callers.into_iter().map(|caller| caller.join().expect("a caller")).collect()
    })
}

fn count(answers: &[Option<Answer>], is: impl Fn(&Answer) -> bool) -> usize {
    answers.iter().flatten().filter(|answer| is(answer)).count()
}

fn is_consumed(answer: &Answer) -> bool {
    answer.status == 409 && answer.code() == "approval-consumed"
}

#[test]
fn one_approval_with_sixty_four_nonces_is_one_run() {
    let host = governed().start();
    let shield = approvals::key("shield");
    let requests: Vec<_> = (0..64).map(|i| request("echo", &json!({"pay": 1}), &format!("nonce-{i}"))).collect();
    let approval = artifact_at(now(), FIRST, &requests[0], &shield);
    let bodies: Vec<_> = requests.iter().map(|request| with(request, &approval)).collect();
    let answers = all_at_once(&host, &bodies, || {});
    assert_eq!((count(&answers, |answer| answer.status == 200), count(&answers, is_consumed)), (1, 63));
    assert_eq!(host.setup.stats()["succeeded"], 1);
}

#[test]
fn one_approval_with_sixty_four_nonces_is_one_run_also_across_a_kill() {
    for round in 0..5_u64 {
        let host = governed().start();
        let requests: Vec<_> = (0..64).map(|i| request("echo", &json!({"pay": 1}), &format!("nonce-{i}"))).collect();
        let approval = artifact_at(now(), FIRST, &requests[0], &approvals::key("shield"));
        let bodies: Vec<_> = requests.iter().map(|request| with(request, &approval)).collect();
        let pid = i32::try_from(host.pid()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        let before = all_at_once(&host, &bodies, || {
            thread::sleep(Duration::from_millis(round * 4));
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the host can be killed");
        });
        let host = host.kill().start();
        let after = all_at_once(&host, &bodies, || {});
        let of_nonces = |answers: &[Option<Answer>]| -> BTreeSet<usize> {
            (0..64).filter(|i| answers[*i].as_ref().is_some_and(|answer| answer.status == 200)).collect()
        };
        let ran: BTreeSet<_> = of_nonces(&before).union(&of_nonces(&after)).copied().collect();
        assert_eq!(ran.len(), 1, "round {round}: {ran:?}");
        assert_eq!(count(&after, is_consumed), 63, "round {round}");
        assert_eq!(host.setup.stats()["succeeded"], 1, "round {round}");
    }
}

#[test]
fn an_approval_v2_permits_its_own_nonce_only_and_that_once() {
    let host = governed().start();
    let shield = approvals::key("shield");
    let first = request("echo", &json!({"pay": 1}), "0123456789abcdef");
    let approval = envelope_at(now(), &first, &[&shield]);
    let answer = host.post("/execute", &with(&first, &approval)).expect(200);
    assert!(!answer.is_replay());
    let again = host.post("/execute", &with(&first, &approval)).expect(200);
    assert!(again.is_replay() && again.body == answer.body);
    let other = request("echo", &json!({"pay": 1}), "fedcba9876543210");
    let refused = host.post("/execute", &with(&other, &approval)).expect(403).json();
    assert_eq!((text(&refused, "code"), text(&refused, "member")), ("approval-mismatch", "nonce"));
    assert_eq!(host.setup.stats()["succeeded"], 1);
}

#[test]
fn a_replay_is_answered_to_an_authentic_approval_also_an_expired_one_and_to_no_other() {
    let host = local();
    let shield = approvals::key("shield");
    let request = request("echo", &json!({"secret": "stored"}), "nonce-of-the-replay");
    let at = approvals::at(NOW);
    for (i, approval) in
        [artifact_at(at, FIRST, &request, &shield), envelope_at(at, &request, &[&shield])].iter().enumerate()
    {
        host.clock.set(approvals::at(NOW));
        let first = host.execute(&request, Some(approval)).expect(200);
        assert_eq!(first.is_replay(), i > 0, "another approval of the same request gets the same answer");
        host.clock.set(approvals::at("2026-12-24T12:00:00Z")); // long expired
        let replay = host.execute(&request, Some(approval)).expect(200);
        assert!(replay.is_replay() && replay.body == first.body);

        let missing = host.execute(&request, None).expect(403);
        assert_eq!(missing.code(), "approval-required");
        let stranger = approvals::key("stranger");
        for (forged, code) in [
            (artifact_at(at, FIRST, &request, &stranger), "approval-invalid"),
            (envelope_at(at, &request, &[&stranger]), "approval-unknown-key"),
        ] {
            let refused = host.execute(&request, Some(&forged)).expect(403);
            assert_eq!(refused.code(), code);
            assert!(!refused.text().contains("stored"));
        }
        // What was approved for another payload opens nothing here.
        let other = json!({"action": "echo", "payload": {"secret": "?"}, "nonce": request["nonce"]});
        let refused = host.execute(&request, Some(&envelope_at(at, &other, &[&shield]))).expect(403);
        assert_eq!(refused.code(), "approval-mismatch");
    }
}

#[test]
fn an_expired_approval_starts_nothing_and_leaves_the_nonce_free() {
    let host = local();
    let request = request("echo", &json!({}), "a-nonce-never-used");
    let shield = approvals::key("shield");
    let at = approvals::at(NOW);
    let (v1, v2) = (artifact_at(at, FIRST, &request, &shield), envelope_at(at, &request, &[&shield]));
    host.clock.set(approvals::at("2026-10-06T12:06:01Z"));
    for approval in [&v1, &v2] {
        assert_eq!(host.execute(&request, Some(approval)).expect(403).code(), "approval-expired");
    }
    host.clock.set(approvals::at("2026-10-06T12:00:00Z"));
    for approval in [&v1, &v2] {
        assert_eq!(host.execute(&request, Some(approval)).expect(403).code(), "approval-not-yet-valid");
    }
    assert_eq!(host.ledger.stats().expect("counts"), openexec_ledger::Stats::default());
    host.clock.set(approvals::at(NOW));
    assert!(!host.execute(&request, Some(&v1)).expect(200).is_replay());
}

#[test]
fn a_call_is_not_refused_for_the_approval_of_the_identical_call_it_joined() {
    let host = governed().start();
    let shield = approvals::key("shield");
    let used = request("echo", &json!({"n": 1}), "first");
    let wanted = request("echo", &json!({"n": 1}), "second");
    let (spent, fresh) = (artifact_at(now(), FIRST, &used, &shield), artifact_at(now(), SECOND, &wanted, &shield));
    host.post("/execute", &with(&used, &spent)).expect(200);
    let bodies: Vec<_> = (0..64).map(|i| with(&wanted, if i % 2 == 0 { &spent } else { &fresh })).collect();
    let answers = all_at_once(&host, &bodies, || {});
    for (i, answer) in answers.into_iter().enumerate() {
        let mut answer = answer.expect("an answer");
        // So many refusals met in a row that it was told to ask again.
        while answer.status == 409 && answer.code() == "execution-in-progress" {
            answer = host.post("/execute", &bodies[i]);
        }
        let is_right = if i % 2 == 0 { answer.status == 200 || is_consumed(&answer) } else { answer.status == 200 };
        assert!(is_right, "{i}: {}", answer.text());
    }
    assert_eq!(host.setup.stats()["succeeded"], 2);
}

#[test]
fn constraints_tighten_the_run_that_was_approved_and_no_other() {
    let host = local();
    let (shield, at) = (approvals::key("shield"), whole_seconds(approvals::at(NOW)));
    let run = |nonce: &str, max_fuel: Option<u64>| {
        let call = request("echo", &json!({}), nonce);
        let parsed = approvals::request("echo", &json!({}), nonce);
        let mut body = approvals::body(&parsed, at);
        body.ceilings.max_fuel = max_fuel;
        host.execute(&call, Some(&approvals::sign_v2(&body.spell(), &[&shield])))
    };
    // Names of one length, because the handler is given them and copying them costs fuel.
    let needed = run("nonce-of-call-1", None).expect(200).json()["resources"]["fuel"].as_u64().expect("a number");
    run("nonce-of-call-2", Some(needed)).expect(200);
    run("nonce-of-call-3", Some(1 << 50)).expect(200);
    let stopped = run("nonce-of-call-4", Some(needed / 2)).expect(500).json();
    assert_eq!((text(&stopped, "code"), text(&stopped, "fault")), ("handler-faulted", "out-of-fuel"));
}

#[test]
fn an_approval_of_particular_code_runs_that_code_only() {
    let host = local();
    let (shield, at) = (approvals::key("shield"), whole_seconds(approvals::at(NOW)));
    let registry = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../handlers/registry.toml"));
    let registry = openexec_core::registry::Registry::parse(&registry.expect("a file")).expect("a registry");
    let parsed = approvals::request("echo", &json!({}), "0123456789abcdef");
    let pinned = registry.pin(&parsed.action).expect("a pin").digest;
    for (component, status) in [(openexec_core::digest::Digest::of(b"other"), 403), (pinned, 200)] {
        let body = openexec_core::approval::v2::Body { component: Some(component), ..approvals::body(&parsed, at) };
        let approval = approvals::sign_v2(&body.spell(), &[&shield]);
        let answer = host.execute(&request("echo", &json!({}), "0123456789abcdef"), Some(&approval)).expect(status);
        assert!(status == 200 || answer.json()["member"] == "component");
    }
}

#[test]
fn a_key_alone_cannot_do_by_an_artifact_what_a_class_asks_several_for() {
    let host = local();
    let payload = json!({"amount_minor": 1, "currency": "EUR", "from": "acct:a", "to": "acct:b"});
    let call = request("payments.transfer", &payload, "pay-once-0000000");
    let (shield, alice, at) = (approvals::key("shield"), approvals::key("alice"), approvals::at(NOW));
    let alone = host.execute(&call, Some(&artifact_at(at, FIRST, &call, &shield))).expect(403);
    assert_eq!(alone.code(), "approval-quorum");
    let alone = host.execute(&call, Some(&envelope_at(at, &call, &[&shield]))).expect(403);
    assert_eq!(alone.code(), "approval-quorum");
    host.execute(&call, Some(&envelope_at(at, &call, &[&shield, &alice]))).expect(200);
}

/// What somebody without an approval sends as one, for this request.
type Attempt<'a> = Box<dyn Fn(&Value) -> Option<Value> + 'a>;

/// Everything that somebody without an authentic approval can be told on `/execute`: the answer depends on what they sent,
/// and on nothing that the host knows of others.
#[test]
fn whoever_has_no_approval_learns_nothing_about_nonces_tenants_or_results() {
    let host = local();
    let (shield, stranger) = (approvals::key("shield"), approvals::key("stranger"));
    let at = approvals::at(NOW);
    let used = request("echo", &json!({"secret": "stored"}), "the-nonce-that-is-used");
    host.execute(&used, Some(&artifact_at(at, FIRST, &used, &shield))).expect(200);

    // A used nonce with the very request, the used nonce with another one, one that is running, and one that nobody used.
    let same = used.clone();
    let running = request("echo", &json!({"secret": "stored"}), "the-nonce-that-is-running");
    let (component, limits) = (openexec_core::digest::Digest::of(b""), openexec_core::registry::Limits::default());
    let reserved = facts::reserved(TENANT, running.to_string().as_bytes(), component, limits, 0);
    assert!(matches!(host.ledger.reserve(reserved).wait(), Ok(Claim::Fresh(_))));
    let other = request("echo", &json!({"secret": "guess"}), "the-nonce-that-is-used");
    let unused = request("echo", &json!({"secret": "stored"}), "a-nonce-nobody-ever-had");
    let foreign = |request: &Value, tenant: &str| {
        let parsed = approvals::request("echo", &request["payload"], text(request, "nonce"));
        let hash = openexec_core::approval::v1::action_hash(&parsed).to_string();
        approvals::sign_v1([FIRST, tenant, &hash, "2026-10-06T12:00:00", "2026-10-06T12:05:00"], &stranger)
    };
    let foreign_v2 = |request: &Value, tenant: &str| {
        let parsed = approvals::request("echo", &request["payload"], text(request, "nonce"));
        let tenant = openexec_core::names::Tenant::parse_governed(tenant).expect("a tenant");
        let body = openexec_core::approval::v2::Body { tenant, ..approvals::body(&parsed, at) };
        approvals::sign_v2(&body.spell(), &[&stranger])
    };
    let genuine = artifact_at(at, FIRST, &used, &shield);
    let signature = genuine["signature"].clone();
    let borrowed_signature = move |request: &Value| {
        let mut artifact = foreign(request, TENANT);
        artifact["signature"] = signature.clone();
        Some(artifact)
    };
    let attempts: Vec<(&str, Attempt)> = vec![
        ("none", Box::new(|_| None)),
        ("an empty object", Box::new(|_| Some(json!({})))),
        ("a forged artifact", Box::new(move |request| Some(foreign(request, TENANT)))),
        ("a forged artifact of another tenant", Box::new(move |request| Some(foreign(request, "globex")))),
        ("a borrowed signature", Box::new(borrowed_signature)),
        ("a forged envelope", Box::new(move |request| Some(foreign_v2(request, TENANT)))),
        ("a forged envelope of another tenant", Box::new(move |request| Some(foreign_v2(request, "globex")))),
        ("an envelope of nothing", Box::new(|_| Some(json!({"payload": "", "payloadType": "", "signatures": []})))),
    ];
    let exists = host.execute(&used, Some(&genuine)).expect(200).json();
    let mut codes = BTreeSet::new();
    let mut ask = || {
        let mut said = Vec::new();
        for (name, approval) in &attempts {
            let requests = [&same, &other, &running, &unused];
            let answers = requests.map(|request| host.execute(request, approval(request).as_ref()));
            for answer in &answers {
                assert_eq!((answer.status, &answer.body), (answers[0].status, &answers[0].body), "{name}");
                assert!(!answer.is_replay() && answer.status >= 400, "{name}");
                assert!(!answer.text().contains("stored") && !answer.text().contains(TENANT), "{name}");
            }
            codes.insert(answers[0].code());
            said.push(answers[0].body.clone());
        }
        said
    };
    let before = ask();
    // Nor can they tell which tenants the operator has stopped.
    let tenant = openexec_core::names::Tenant::parse(TENANT).expect("a tenant");
    host.ledger.stop(Target::Tenant(tenant), at, None).wait().expect("stopped");
    assert_eq!(host.execute(&used, Some(&genuine)).expect(503).code(), "quarantined");
    assert!(ask() == before);
    let expected = ["approval-invalid", "approval-malformed", "approval-required", "approval-unknown-key"];
    assert_eq!(codes, expected.map(str::to_owned).into(), "and these are all the words there are");
    // An id that exists and one that does not are told apart only by whoever knows the result and its receipt.
    let verify = |exec_id: &str| {
        let body = json!({"exec_id": exec_id, "result": {"guess": 1}, "receipt": "0".repeat(64)}).to_string();
        client::post(host.address, "/receipts/verify", body.as_bytes()).expect("an answer").expect(200).body
    };
    assert_eq!(verify(text(&exists, "id")), verify("00000000-0000-8000-8000-000000000000"));
}

#[test]
fn what_ran_in_demo_mode_is_never_answered_as_approved() {
    let setup = Setup::new();
    let call = request("echo", &json!({"n": 1}), "0123456789abcdef");
    setup.start().post("/execute", call.to_string().as_bytes()).expect(200);
    for (name, value) in [("CLAWSHIELD_TENANT_ID", "demo"), ("CLAWSHIELD_TENANT_ID", "acme")] {
        let shield = approvals::key("shield");
        let governed = setup
            .clone()
            .variable("OPENEXEC_MODE", "clawshield")
            .variable("CLAWSHIELD_PUBLIC_KEY", &approvals::public(&shield).to_pem())
            .variable(name, value);
        match governed.try_start() {
            Ok(host) => {
                assert_eq!(value, "acme");
                let answer =
                    host.post("/execute", &with(&call, &artifact_at(now(), FIRST, &call, &shield))).expect(200);
                assert!(!answer.is_replay(), "an execution of its own");
            }
            Err(refused) => assert!(value == "demo" && refused.stderr.contains("demo mode"), "{}", refused.stderr),
        }
    }
}

#[test]
fn a_host_without_complete_trust_does_not_start_and_says_which_part_is_missing() {
    let setup = Setup::new().variable("OPENEXEC_MODE", "clawshield");
    let pem = approvals::public(&approvals::key("shield")).to_pem();
    std::fs::write(setup.folder().join("key.pem"), &pem).expect("a file");
    std::fs::write(setup.folder().join("bad.toml"), "audience = \"x\"\nkeys = 1\n").expect("a file");
    std::fs::write(setup.folder().join("trust.toml"), approvals::trust_file_text()).expect("a file");
    let openssl = |arguments: &[&str]| openexec_tests::openssl::openssl(setup.folder(), arguments);
    let private = String::from_utf8(openssl(&["genpkey", "-algorithm", "ed25519"])).expect("PEM");
    let start_with = |variables: &[(&str, &str)]| {
        variables.iter().fold(setup.clone(), |setup, (name, value)| setup.variable(name, value))
    };
    let cases: [(&[(&str, &str)], &str); 14] = [
        (&[], "whose approvals count"),
        (&[("CLAWSHIELD_PUBLIC_KEY", &pem)], "CLAWSHIELD_TENANT_ID is not"),
        (&[("CLAWSHIELD_PUBLIC_KEY_FILE", "key.pem")], "CLAWSHIELD_TENANT_ID is not"),
        (&[("CLAWSHIELD_TENANT_ID", "acme")], "CLAWSHIELD_PUBLIC_KEY is not"),
        (&[("CLAWSHIELD_PUBLIC_KEY", ""), ("CLAWSHIELD_TENANT_ID", "acme")], "CLAWSHIELD_PUBLIC_KEY is not"),
        (&[("CLAWSHIELD_PUBLIC_KEY", "nonsense"), ("CLAWSHIELD_TENANT_ID", "acme")], "BEGIN PUBLIC KEY"),
        (&[("CLAWSHIELD_PUBLIC_KEY", &private), ("CLAWSHIELD_TENANT_ID", "acme")], "this is a private key"),
        (&[("CLAWSHIELD_PUBLIC_KEY", &pem), ("CLAWSHIELD_TENANT_ID", "two words")], "CLAWSHIELD_TENANT_ID: "),
        (
            &[
                ("CLAWSHIELD_PUBLIC_KEY", &pem),
                ("CLAWSHIELD_PUBLIC_KEY_FILE", "key.pem"),
                ("CLAWSHIELD_TENANT_ID", "acme"),
            ],
            "give the key once",
        ),
        (&[("CLAWSHIELD_PUBLIC_KEY_FILE", "no.pem"), ("CLAWSHIELD_TENANT_ID", "acme")], "no.pem cannot be read"),
        (&[("OPENEXEC_TRUST_FILE", "no.toml")], "no.toml cannot be read"),
        (&[("OPENEXEC_TRUST_FILE", "bad.toml")], "unknown field"),
        (&[("OPENEXEC_TRUST_FILE", "trust.toml"), ("OPENEXEC_AUDIENCE", "elsewhere")], "make them equal"),
        (&[("OPENEXEC_TRUST_FILE", "trust.toml"), ("CLAWSHIELD_TENANT_ID", "acme")], "CLAWSHIELD_PUBLIC_KEY is not"),
    ];
    for (variables, remedy) in cases {
        let refused = start_with(variables).try_start().expect_err(remedy);
        assert_eq!(refused.status.code(), Some(2), "{remedy}: {}", refused.stderr);
        assert!(refused.stderr.contains(remedy), "'{remedy}' is not in: {}", refused.stderr);
        let body = private.lines().nth(1).expect("a line of base64");
        assert!(!refused.stderr.contains(body), "a private key is repeated: {}", refused.stderr);
    }
    assert!(!setup.ledger().exists(), "nothing was opened");
    let escaped = pem.trim_end().replace('\n', "\\n");
    for key in [("CLAWSHIELD_PUBLIC_KEY", escaped.as_str()), ("CLAWSHIELD_PUBLIC_KEY_FILE", "key.pem")] {
        let host = start_with(&[key, ("CLAWSHIELD_TENANT_ID", "acme")]).start();
        let call = request("echo", &json!({}), key.0);
        let id = if key.0.ends_with("FILE") { FIRST } else { SECOND };
        let approval = artifact_at(now(), id, &call, &approvals::key("shield"));
        host.post("/execute", &with(&call, &approval)).expect(200);
    }
}

#[test]
fn refusals_are_counted_and_logged_by_code_and_nothing_of_a_call_or_its_approval_is_logged() {
    let host = governed().with(&["--log", "trace"]).start();
    let call = request("echo", &json!({"MARKER": "MARKER"}), "MARKER-nonce-MARKER");
    let (shield, stranger) = (approvals::key("shield"), approvals::key("stranger"));
    let approval = artifact_at(now(), FIRST, &call, &shield);
    host.post("/execute", &with(&call, &approval)).expect(200);
    for _ in 0..3 {
        host.post("/execute", &with(&call, &artifact_at(now(), FIRST, &call, &stranger))).expect(403);
    }
    let mut odd = approval.clone();
    odd["tenant_id"] = json!("MARKER");
    host.post("/execute", &with(&call, &odd)).expect(403);
    odd["approval_id"] = json!("MARKER");
    host.post("/execute", &with(&call, &odd)).expect(422);
    let other = request("echo", &json!({"MARKER": "MARKER"}), "MARKER-other-MARKER");
    host.post("/execute", &with(&other, &approval)).expect(409);
    let log = host.log();
    let refused: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["message"] == "refused")
        .collect();
    let codes: Vec<_> = refused.iter().map(|line| (text(line, "code"), line["n_refused"].as_u64())).collect();
    assert_eq!(
        codes,
        [
            ("approval-invalid", Some(1)),
            ("approval-invalid", Some(2)),
            ("approval-invalid", Some(3)),
            ("approval-invalid", Some(4)),
            ("approval-malformed", Some(1)),
            ("approval-consumed", Some(1)),
        ]
    );
    for secret in ["MARKER", text(&approval, "signature"), text(&approval, "action_hash"), FIRST] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

/// A host whose one action runs for a minute unless somebody stops it, beside one that is done at once.
fn with_a_long_run() -> Setup {
    let setup = governed();
    let endless = "fuel = 100000000000\ndeadline_ms = 60000";
    let registry =
        fixtures::write_registry(setup.folder(), &[("endless-loop", endless), ("well-behaved", "fuel = 100000")]);
    setup.with(&["--registry", &registry.display().to_string()])
}

fn control(setup: &Setup, arguments: &[&str]) -> String {
    let output = setup.run(&[&["control"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Waits until the host has begun what it was asked.
fn wait_until_reserved(setup: &Setup) {
    for _ in 0..2_000 {
        if setup.stats()["reserved"] == 1 {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("nothing was reserved");
}

/// Waits until the host shows what the operator has stopped.
fn wait_until_known(host: &Host, is_known: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..2_000 {
        let health = host.get("/health").expect(200).json();
        if is_known(&health) {
            return health;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("the host does not show the change");
}

#[test]
fn a_stop_interrupts_what_runs_refuses_what_comes_and_survives_a_restart() {
    let stops: [(&[&str], &[&str], &str); 3] = [
        (&["halt", "--reason", "drill"], &["resume"], "halted"),
        (&["quarantine", "--tenant", TENANT], &["release", "--tenant", TENANT], "quarantined"),
        (&["quarantine", "--action", "endless-loop"], &["release", "--action", "endless-loop"], "quarantined"),
    ];
    for (stop, release, code) in stops {
        let host = with_a_long_run().start();
        let shield = approvals::key("shield");
        let long = request("endless-loop", &json!({}), "the-long-one");
        let approved = with(&long, &artifact_at(now(), FIRST, &long, &shield));
        let interrupted = thread::scope(|scope| {
            let running = scope.spawn(|| host.post("/execute", &approved));
            wait_until_reserved(&host.setup);
            control(&host.setup, stop);
            running.join().expect("an answer")
        });
        let interrupted = interrupted.expect(500);
        assert_eq!(interrupted.code(), "execution-interrupted");
        assert_eq!(host.setup.stats()["interrupted"], 1);

        // From the commit on that the command made, whether or not the host has looked yet.
        let next = request("endless-loop", &json!({}), "the-next-one");
        let next = with(&next, &artifact_at(now(), SECOND, &next, &shield));
        assert_eq!(host.post("/execute", &next).expect(503).code(), code);
        wait_until_known(&host, |health| !health["controls"].is_null());

        let host = host.kill().start();
        let refused = host.post("/execute", &next).expect(503);
        assert_eq!((refused.code().as_str(), refused.header("retry-after")), (code, Some("5")));
        assert_eq!(host.setup.stats()["interrupted"], 1, "nothing of the refused calls was kept");

        control(&host.setup, release);
        wait_until_known(&host, |health| health["controls"].is_null());
        let replay = host.post("/execute", &approved).expect(500);
        assert!(replay.is_replay() && replay.body == interrupted.body, "interrupted for ever");
    }
}

#[test]
fn a_quarantine_concerns_its_target_only_and_health_and_ready_show_it() {
    let host = with_a_long_run().start();
    let shield = approvals::key("shield");
    let approved = |action: &str, nonce: &str, id: &str| {
        let call = request(action, &json!({}), nonce);
        with(&call, &artifact_at(now(), id, &call, &shield))
    };
    assert_eq!(host.get("/ready").expect(200).json(), json!({"ready": true}));
    control(&host.setup, &["quarantine", "--action", "endless-loop", "--reason", "loops"]);
    control(&host.setup, &["quarantine", "--tenant", "globex"]);
    let health = wait_until_known(&host, |health| health["controls"]["n_quarantined_tenants"] == 1);
    let shown = json!({"halted": false, "quarantined_actions": ["endless-loop"], "n_quarantined_tenants": 1});
    assert_eq!(health["controls"], shown);
    assert!(!health.to_string().contains("globex"), "tenants are nobody's business");
    assert_eq!(host.get("/ready").expect(200).json(), json!({"ready": true, "controls": shown}));
    host.post("/execute", &approved("well-behaved", "one", FIRST)).expect(200);
    assert_eq!(host.post("/execute", &approved("endless-loop", "two", SECOND)).expect(503).code(), "quarantined");

    control(&host.setup, &["halt"]);
    wait_until_known(&host, |health| health["controls"]["halted"] == true);
    let ready = host.get("/ready").expect(503).json();
    assert_eq!((&ready["ready"], &ready["failing"]), (&json!(false), &json!(["halted"])));
    assert_eq!(host.post("/execute", &approved("well-behaved", "one", FIRST)).expect(503).code(), "halted");
    let status: Value = serde_json::from_str(&control(&host.setup, &["status", "--json"])).expect("JSON");
    let kinds: Vec<_> = status["stopped"].as_array().expect("a list").iter().map(|row| text(row, "kind")).collect();
    assert_eq!(kinds, ["host", "tenant", "action"]);
    assert_eq!(status["stopped"][2]["reason"], "loops");
    assert!(control(&host.setup, &["halt"]).contains("already"));
    control(&host.setup, &["resume"]);
    control(&host.setup, &["release", "--action", "endless-loop"]);
    control(&host.setup, &["release", "--tenant", "globex"]);
    assert!(control(&host.setup, &["release", "--tenant", "globex"]).contains("was not stopped"));
    assert!(control(&host.setup, &["status"]).contains("nothing is stopped"));
}

#[test]
fn a_reservation_of_a_dead_host_is_interrupted_if_the_operator_has_halted_meanwhile() {
    let host = with_a_long_run().start();
    let long = request("endless-loop", &json!({}), "the-long-one");
    let approved = with(&long, &artifact_at(now(), FIRST, &long, &approvals::key("shield")));
    let address = host.address;
    let setup = thread::scope(|scope| {
        scope.spawn(|| client::post(address, "/execute", &approved));
        wait_until_reserved(&host.setup);
        host.kill()
    });
    control(&setup, &["halt"]);
    let host = setup.start(); // would run for a minute otherwise
    assert_eq!(host.setup.stats()["interrupted"], 1);
    let ready = host.get("/ready").expect(503).json();
    assert_eq!(ready["failing"], json!(["halted"]));
}

/// What 0.1.10's own tests check, by its own words.
#[test]
fn clients_of_the_predecessor_find_clawshield_mode_as_they_know_it() {
    let host = governed().variable("OPENEXEC_ALLOWED_ACTIONS", "echo").start();
    let health = host.get("/health").expect(200).json();
    let known = json!({
        "status": "healthy", "exec_mode": "clawshield", "signature_verification": "enabled",
        "restriction": "restricted", "allow_list": ["echo"],
    });
    assert_eq!(health, known);
    assert_eq!(host.get("/").expect(200).json()["service"], "OpenExec");
    assert_eq!(host.get("/ready").expect(200).json(), json!({"ready": true}));
    let version = host.get("/version").expect(200).json();
    assert!(version["timestamp"].is_string());
    let trust_file = openexec_core::digest::Digest::of(approvals::trust_file_text().as_bytes()).to_string();
    assert_eq!(version["trust_file"]["digest"], trust_file);

    let shield = approvals::key("shield");
    let call = request("echo", &json!({"b": 2, "a": 1}), "legacy-1");
    let approval = artifact_at(now(), FIRST, &call, &shield);
    let first = host.post("/execute", &with(&call, &approval)).expect(200);
    let executed = first.json();
    assert_eq!((&executed["action"], &executed["approved"]), (&json!("echo"), &json!(true)));
    assert_eq!(executed["result"], json!({"echo": {"a": 1, "b": 2}}));
    let program = "import sys, json, hashlib
a = json.load(sys.stdin)
print(hashlib.sha256((a['id'] + ':' + json.dumps(a['result'], sort_keys=True)).encode()).hexdigest() == a['receipt'])";
    assert_eq!(python(program, &first.text()), "True\n");
    let replay = host.post("/execute", &with(&call, &approval)).expect(200);
    assert_eq!(replay.body, first.body);
    let presented = json!({"exec_id": executed["id"], "result": executed["result"], "receipt": executed["receipt"]});
    assert_eq!(host.post("/receipts/verify", presented.to_string().as_bytes()).expect(200).json()["valid"], true);

    // The hash does not depend on the order in which a client writes its members.
    let reordered = br#"{"nonce":"legacy-1","payload":{"a":1,"b":2},"action":"echo","approval_artifact":"#;
    let reordered = [&reordered[..], approval.to_string().as_bytes(), b"}"].concat();
    assert_eq!(host.post("/execute", &reordered).expect(200).body, first.body);

    let refuse = |call: &Value, approval: &Value| {
        text(&host.post("/execute", &with(call, approval)).expect(403).json(), "detail").to_owned()
    };
    let tampered = request("echo", &json!({"b": 2, "a": 999}), "legacy-2");
    assert!(refuse(&tampered, &approval).contains("hash mismatch"));
    let parsed = approvals::request("echo", &json!({"b": 2, "a": 1}), "legacy-3");
    let hash = openexec_core::approval::v1::action_hash(&parsed).to_string();
    let dates = ["2026-01-01T00:00:00.000000", "2026-01-01T00:05:00.000000"];
    let elsewhere = approvals::sign_v1([SECOND, "globex", &hash, dates[0], dates[1]], &shield);
    let fresh = request("echo", &json!({"b": 2, "a": 1}), "legacy-3");
    assert!(refuse(&fresh, &elsewhere).contains("Tenant mismatch"));
    let mut forged = approval.clone();
    forged["signature"] = artifact_at(now(), SECOND, &call, &shield)["signature"].clone();
    assert!(refuse(&fresh, &forged).contains("Invalid signature"));
    let old = approvals::sign_v1([SECOND, TENANT, &hash, dates[0], dates[1]], &shield);
    assert!(refuse(&fresh, &old).contains("expired"));
    let none = host.post("/execute", fresh.to_string().as_bytes()).expect(403);
    assert_eq!(none.code(), "approval-required");
    let unlisted = request("add", &json!({}), "legacy-4");
    assert_eq!(host.post("/execute", unlisted.to_string().as_bytes()).expect(403).code(), "action-not-allowed");
}

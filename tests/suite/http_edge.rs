//! The edge of the host: connections, headers, overload, waiting, logs, the refusal to start, the command line.

use std::io::{Read, Write};
use std::process::Output;
use std::thread;

use openexec_tests::client::{self, Answer};
use openexec_tests::fixtures::write_registry;
use openexec_tests::host::{Host, Setup};
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json";

#[test]
fn every_response_has_its_headers_and_a_plain_request_id_is_kept() {
    let host = Host::start();
    let send = |id: &str| host.send(format!("GET / HTTP/1.1\r\nHost: t\r\nX-Request-Id: {id}\r\n\r\n").as_bytes());
    for plain in ["1", "trace-7f", "a/b:c.d=e+f~", "\"<script>\"", &"x".repeat(128)] {
        assert_eq!(send(plain).header("x-request-id"), Some(plain));
    }
    for hostile in ["", "two words", "tab\tbed", "caf\u{e9}", &"x".repeat(129)] {
        let id = send(hostile).header("x-request-id").expect("an id").to_owned();
        assert!(id.len() == 36 && id != hostile, "{hostile:?} became {id:?}");
    }
    let answers = [
        host.get("/health").expect(200),
        host.execute("echo", &json!({}), "n").expect(200),
        host.execute("echo", &json!({}), "n").expect(200),
        host.execute("add", &json!({"a": null}), "m").expect(422),
        host.post("/execute", b"").expect(422),
        host.post("/nope", b"").expect(404),
        host.get("/execute").expect(405),
        host.send(b"POST /execute HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n").expect(415),
    ];
    let mut ids = Vec::new();
    for answer in &answers {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
        assert_eq!(answer.header("server"), None, "{answer:?}");
        ids.push(answer.header("x-request-id").expect("an id"));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), answers.len(), "each has an id of its own");
}

fn post(body: &str) -> String {
    format!("POST /execute HTTP/1.1\r\nHost: t\r\n{JSON}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_connection_carries_many_requests_one_after_the_other_or_all_at_once() {
    let host = Host::start();
    let mut stream = client::connect(host.address).expect("a connection");
    let sum = |i: u32| post(&format!(r#"{{"action":"add","payload":{{"a":{i}}},"nonce":"{i}"}}"#));
    for i in 0..10 {
        stream.write_all(sum(i).as_bytes()).expect("sent");
        let answer = client::read_answer(&mut stream).expect("an answer").expect(200);
        assert_eq!(answer.json()["result"]["sum"], i);
        // A refusal does not end the connection.
        stream.write_all(post("{}").as_bytes()).expect("sent");
        client::read_answer(&mut stream).expect("an answer").expect(422);
    }
    let pipelined: String = (10..30).map(|i| sum(i) + "GET /health HTTP/1.1\r\nHost: t\r\n\r\n").collect();
    stream.write_all(pipelined.as_bytes()).expect("sent");
    for i in 10..30 {
        let answer = client::read_answer(&mut stream).expect("an answer").expect(200);
        assert_eq!(answer.json()["result"]["sum"], i, "in order");
        client::read_answer(&mut stream).expect("an answer").expect(200);
    }
    assert_eq!(host.setup.stats()["succeeded"], 30);
}

#[test]
fn head_gives_the_headers_of_get_and_old_or_careful_clients_are_served() {
    let host = Host::start();
    for path in ["/", "/health", "/ready", "/version"] {
        let mut stream = client::connect(host.address).expect("a connection");
        stream
            .write_all(format!("HEAD {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").as_bytes())
            .expect("sent");
        let mut head = String::new();
        stream.read_to_string(&mut head).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(head.contains("content-length: ") && head.contains("x-request-id: "), "{head}");
    }
    let old = host.send(b"GET /health HTTP/1.0\r\n\r\n").expect(200);
    assert_eq!(old.json()["status"], "healthy");
    let absolute = host.send(b"GET http://elsewhere/health HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n");
    assert_eq!(absolute.expect(200).body, old.body);

    let body = r#"{"action":"add","nonce":"n"}"#;
    let asks = |length: usize| {
        format!(
            "POST /execute HTTP/1.1\r\nHost: t\r\n{JSON}\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut stream = client::connect(host.address).expect("a connection");
    stream.write_all(asks(body.len()).as_bytes()).expect("sent");
    client::read_answer(&mut stream).expect("an answer").expect(100);
    stream.write_all(body.as_bytes()).expect("sent");
    client::read_answer(&mut stream).expect("an answer").expect(200);
    stream.write_all(asks(20_000_000).as_bytes()).expect("sent");
    client::read_answer(&mut stream).expect("an answer").expect(413);
}

/// A host whose action `endless-loop` runs until its deadline.
fn slow_host(arguments: &[&str]) -> Host {
    let setup = Setup::new();
    let pins = [("endless-loop", "fuel = 100_000_000_000\ndeadline_ms = 1_500"), ("well-behaved", "")];
    let registry = write_registry(setup.folder(), &pins);
    setup.with(&["--registry", &registry.display().to_string()]).with(arguments).start()
}

/// Asks until there is an answer: a host that waits only 100 ms says 409 whenever the machine is busy.
fn ask(host: &Host, action: &str, payload: &Value, nonce: &str) -> Answer {
    let mut answers = (0..1000).map(|_| host.execute(action, payload, nonce));
    answers.find(|answer| answer.status != 409).expect("every run ends")
}

#[test]
fn a_full_house_refuses_and_a_long_run_is_waited_for_only_so_long() {
    let host = slow_host(&["--concurrency", "1", "--queue", "0", "--wait-ms", "100"]);
    let still_runs = |nonce: &str| host.execute("endless-loop", &json!({}), nonce).status == 409;
    // What another call gets counts only if the loop ran before and after: on a busy machine it may have ended between.
    let seen = (0..50).find_map(|i| {
        let (nonce, free) = (format!("loop {i}"), format!("free {i}"));
        let waiting = host.execute("endless-loop", &json!({}), &nonce);
        let refused = host.execute("well-behaved", &json!({}), &free);
        let conflicting = host.execute("endless-loop", &json!({"another": "payload"}), &nonce);
        let is_ready = host.get("/ready").status == 200;
        still_runs(&nonce).then_some((nonce, free, waiting, refused, conflicting, is_ready))
    });
    let (nonce, free, waiting, refused, conflicting, is_ready) = seen.expect("a loop outlives three calls");
    for (answer, status, code) in [(waiting, 409, "execution-in-progress"), (refused, 503, "overloaded")] {
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        assert_eq!(answer.json()["retryable"], true);
        assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    }
    assert_eq!(conflicting.status, 503, "another payload is another call, and there is no room for it");
    assert!(is_ready, "a full house is still ready: it says 503 itself");

    let recorded = ask(&host, "endless-loop", &json!({}), &nonce).expect(500);
    assert_eq!(recorded.json()["fault"], "deadline");
    assert!(recorded.is_replay(), "it was the first call's run");
    let again = ask(&host, "endless-loop", &json!({}), &nonce).expect(500);
    assert!(again.is_replay() && again.body == recorded.body);
    ask(&host, "well-behaved", &json!({"another": "payload"}), &free).expect(200); // its nonce stayed free
}

#[test]
fn an_identical_call_joins_the_one_in_flight_and_a_client_that_leaves_stops_nothing() {
    let host = slow_host(&[]);
    let body = json!({"action": "endless-loop", "payload": {}, "nonce": "joined"}).to_string();
    let mut first = client::connect(host.address).expect("a connection");
    first.write_all(post(&body).as_bytes()).expect("sent");
    let abandoned = json!({"action": "endless-loop", "payload": {}, "nonce": "abandoned"}).to_string();
    let mut leaving = client::connect(host.address).expect("a connection");
    leaving.write_all(post(&abandoned).as_bytes()).expect("sent");
    let n_begun = |stats: &Value| stats["reserved"].as_u64().unwrap_or(0) + stats["faulted"].as_u64().unwrap_or(0);
    assert!((0..1000).any(|_| n_begun(&host.setup.stats()) == 2), "both calls begin");
    drop(leaving);

    let joined = host.execute("endless-loop", &json!({}), "joined").expect(500);
    let first = client::read_answer(&mut first).expect("an answer").expect(500);
    assert_eq!(joined.body, first.body);
    assert!(joined.is_replay() && !first.is_replay(), "one run, two answers");

    let recorded = host.execute("endless-loop", &json!({}), "abandoned").expect(500);
    assert!(recorded.is_replay(), "the abandoned run came to its end");
    assert_eq!(recorded.json()["fault"], "deadline");
    assert_eq!(host.setup.stats()["faulted"], 2);
}

#[test]
fn logs_hold_no_payload_nonce_result_or_anything_else_a_client_wrote() {
    for filter in ["debug", "trace"] {
        let host = Setup::new().with(&["--log", filter]).start();
        let payload = json!({"MARKER-name": "MARKER-value", "n": ["MARKER-element"]});
        let echoed = host.execute("echo", &payload, "MARKER-nonce").expect(200);
        assert!(echoed.text().contains("MARKER-element"));
        host.execute("echo", &payload, "MARKER-nonce").expect(200);
        host.execute("echo", &json!({}), "MARKER-nonce").expect(422);
        let transfer =
            json!({"amount_minor": 100, "currency": "EUR", "from": "acct:a", "to": "acct:b", "memo": "MARKER"});
        let transferred = host.execute("payments.transfer", &transfer, "MARKER-transfer").expect(200);
        assert!(transferred.json()["effects"].to_string().contains("MARKER"));
        host.execute("payments.transfer", &json!({"currency": "MARKER"}), "MARKER-no").expect(422);
        host.execute("add", &json!({"a": "MARKER"}), "MARKER-add").expect(422);
        host.execute("MARKER-action", &payload, "MARKER-other").expect(400);
        host.post("/execute", br#"{"action":"MARKER","action":"MARKER"}"#).expect(422);
        host.post("/execute", br#"MARKER"#).expect(422);
        let executed = echoed.json();
        let verify = json!({"exec_id": "MARKER", "result": executed["result"], "receipt": executed["receipt"]});
        host.post("/receipts/verify", verify.to_string().as_bytes()).expect(200);
        host.get("/MARKER?MARKER=MARKER").expect(404);
        host.get("/health?MARKER").expect(200);
        let heads = [
            "GET / HTTP/1.1\r\nHost: MARKER\r\nAuthorization: MARKER\r\nUser-Agent: MARKER\r\nX-Request-Id: MARKER MARKER",
            "MARKER /execute HTTP/1.1\r\nHost: t",
            "MARKER / HTTP/1.1\r\nHost: t\r\nContent-Length: MARKER",
            "GET / HTTP/1.1\r\nMARKER MARKER: MARKER",
            "GET / MARKER/1.1",
            "POST /execute HTTP/1.1\r\nHost: t\r\nContent-Type: MARKER/MARKER\r\nContent-Length: 0",
        ];
        for head in heads {
            let _ = client::send(host.address, format!("{head}\r\n\r\n").as_bytes());
        }
        let log = host.log();
        assert!(log.lines().filter(|line| line.contains("\"answered\"")).count() > 10, "{log}");
        if let Some(line) = log.lines().find(|line| line.contains("MARKER")) {
            panic!("at {filter}: {line}");
        }
        let status = host.stop();
        assert!(status.success(), "{status}");
    }
}

#[test]
fn demo_mode_listens_beyond_loopback_only_when_told_so() {
    let setup = Setup::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = setup.clone().with(&["--listen", address]).try_start().expect_err(address);
        assert_eq!(refused.status.code(), Some(2), "{address}");
        assert!(refused.stderr.contains("--dangerously-expose-demo"), "{}", refused.stderr);
    }
    for not_set in ["false", "0", ""] {
        let setup = setup.clone().variable("OPENEXEC_DANGEROUSLY_EXPOSE_DEMO", not_set);
        let refused = setup.with(&["--listen", "0.0.0.0:0"]).try_start().expect_err(not_set);
        assert_eq!(refused.status.code(), Some(2), "{not_set:?}: {}", refused.stderr);
    }
    assert!(!setup.ledger().exists(), "nothing was opened");
    let exposed = setup.with(&["--listen", "0.0.0.0:0", "--dangerously-expose-demo"]).start();
    assert!(exposed.address.ip().is_unspecified());
}

#[test]
fn a_start_that_cannot_be_right_is_refused_and_says_what_to_do() {
    let setup = Setup::new();
    let flag = |arguments: &'static [&'static str]| setup.clone().with(arguments);
    let variable = |name: &str, value: &str| setup.clone().variable(name, value);
    let cases = [
        (flag(&["--db-url", "openexec.db"]), "sqlite:///openexec.db"),
        (flag(&["--db-url", "sqlite:///:memory:"]), "sqlite:///openexec.db"),
        (variable("OPENEXEC_DB_URL", "mysql://host/db"), "--db-url 'mysql://host/db'"),
        (variable("OPENEXEC_DB_URL", ""), "--db-url"),
        (variable("OPENEXEC_ALLOWED_ACTIONS", "echo,ecko"), "'ecko', which is not in the registry"),
        (flag(&["--allowed-actions", "two words"]), "'two words', which is not in the registry"),
        (flag(&["--allowed-actions", ", ,"]), "--allowed-actions is empty"),
        (variable("CLAWSHIELD_PUBLIC_KEY", "-----BEGIN PUBLIC KEY-----"), "CLAWSHIELD_PUBLIC_KEY is set"),
        (variable("CLAWSHIELD_TENANT_ID", "acme"), "CLAWSHIELD_TENANT_ID is set"),
        (variable("OPENEXEC_TRUST_FILE", "trust.toml"), "OPENEXEC_TRUST_FILE is set"),
        (variable("OPENEXEC_MODE", "nonsense"), "--mode"),
        (variable("OPENEXEC_MODE", ""), "--mode"),
        (flag(&["--audience", ""]), "--audience"),
        (flag(&["--audience", "two words"]), "--audience"),
        (flag(&["--registry", "missing.toml"]), "missing.toml"),
        (flag(&["--listen", "localhost"]), "--listen"),
        (flag(&["--concurrency", "0"]), "--concurrency"),
        (variable("OPENEXEC_CONCURRENCY", "many"), "--concurrency"),
        (flag(&["--queue=-1"]), "--queue"),
        (flag(&["--max-connections", "0"]), "--max-connections"),
        (flag(&["--wait-ms", "0"]), "--wait-ms"),
        (flag(&["--read-timeout-ms", "0"]), "--read-timeout-ms"),
        (flag(&["--shutdown-grace-ms", "0"]), "--shutdown-grace-ms"),
        (flag(&["--retention-days", "0"]), "--retention-days"),
        (flag(&["--log", "openexec=loud"]), "--log"),
        (flag(&["--log-format", "xml"]), "--log-format"),
        (flag(&["--no-such-flag"]), "--no-such-flag"),
    ];
    for (setup, remedy) in cases {
        let refused = setup.try_start().expect_err(remedy);
        assert_eq!(refused.status.code(), Some(2), "{remedy}: {}", refused.stderr);
        assert!(refused.stderr.contains(remedy), "'{remedy}' is not in: {}", refused.stderr);
    }
    assert!(!setup.ledger().exists(), "nothing was opened");
}

#[test]
fn an_address_in_use_is_refused_and_says_so() {
    let host = Host::start();
    let second = Setup::new().with(&["--listen", &host.address.to_string()]).try_start().expect_err("in use");
    assert_eq!(second.status.code(), Some(2));
    assert!(second.stderr.contains("--listen"), "{}", second.stderr);
}

#[test]
fn empty_variables_are_not_set() {
    let setup = ["CLAWSHIELD_PUBLIC_KEY", "CLAWSHIELD_TENANT_ID", "OPENEXEC_ALLOWED_ACTIONS"]
        .into_iter()
        .fold(Setup::new(), |setup, name| setup.variable(name, ""));
    assert_eq!(setup.start().get("/health").expect(200).json()["restriction"], "open");
}

#[test]
fn every_flag_of_serve_has_its_variable_in_the_help() {
    let output = Setup::new().run(&["serve", "--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    let options = help.split("\nOptions:\n").nth(1).expect("the options");
    let mut flags: Vec<(&str, String)> = Vec::new();
    for line in options.lines() {
        match line.trim_start().strip_prefix("--") {
            Some(option) => flags.push((option.split([' ', '\n']).next().expect("a name"), String::new())),
            None if line.trim_start().starts_with("-h, --help") => flags.push(("help", String::new())),
            None => flags.iter_mut().last().expect("an option first").1.push_str(line.trim()),
        }
    }
    assert!(flags.len() > 10, "{help}");
    for (flag, text) in flags.iter().filter(|(flag, _)| *flag != "help") {
        let name = flag.to_uppercase().replace('-', "_");
        // The variables of 0.1.10 keep their names.
        let is_kept = name.starts_with("CLAWSHIELD_") && !name.contains("LIFETIME");
        let variable = if is_kept { format!("[env: {name}=") } else { format!("[env: OPENEXEC_{name}=") };
        assert!(text.contains(&variable), "--{flag} has no {variable}]: {text}");
    }
}

/// The exit code of a command, and the line it printed.
fn printed(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

#[test]
fn the_command_line_executes_along_the_same_path_and_ledger_as_http() {
    let setup = Setup::new();
    let run = |arguments: &[&str]| printed(&setup.run(&[&["execute"], arguments].concat()));
    let by_hand = run(&["echo", r#"{"é":1e16}"#, "--nonce", "1"]);
    let host = setup.start();
    let over_http = host.execute("echo", &json!({"é": 1e16}), "1").expect(200);
    assert!(over_http.is_replay());
    assert_eq!(by_hand, (Some(0), over_http.text()));

    let refused = host.execute("add", &json!({"a": "x"}), "2").expect(422);
    let sum = host.execute("add", &json!({"a": 1}), "3").expect(200);
    let unknown = host.execute("nope", &json!({}), "4").expect(400);
    let locked = setup.run(&["execute", "add"]);
    assert_eq!(printed(&locked), (Some(2), String::new()), "a ledger has one host");
    assert!(!locked.stderr.is_empty());
    assert!(host.stop().success());
    assert_eq!(run(&["add", r#"{"a":"x"}"#, "--nonce", "2"]), (Some(1), refused.text()));
    assert_eq!(run(&["add", r#"{"a": 1}"#, "--nonce", "3"]), (Some(0), sum.text()));
    assert_eq!(run(&["nope", "--nonce", "4"]), (Some(1), unknown.text()));
    let (code, reused) = run(&["add", "--nonce", "3"]);
    assert!(code == Some(1) && reused.contains("\"nonce-reuse\""), "{reused}");

    let empty = run(&["echo"]);
    assert!(empty.0 == Some(0) && empty.1.contains(r#""result":{"echo":{}}"#), "{empty:?}");
    assert_ne!(run(&["echo"]).1, empty.1, "each call has a nonce of its own unless told");

    let wrong: [&[&str]; 7] = [
        &["echo", "[]"],
        &["echo", r#"{"a":1,"a":2}"#],
        &["echo", "{", "--nonce", "5"],
        &["echo", "{}", "--nonce", ""],
        &["two words"],
        &["echo", "{}", "--db-url", "nowhere"],
        &[],
    ];
    for arguments in wrong {
        assert_eq!(run(arguments), (Some(2), String::new()), "{arguments:?}");
    }
    assert_eq!(setup.start().setup.stats()["succeeded"], 4);
}

#[test]
fn the_registry_is_listed_and_verified_from_the_command_line() {
    let setup = Setup::new();
    let (code, listed) = printed(&setup.run(&["registry", "list", "--json"]));
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(code, Some(0));
    let actions = listed["actions"].as_array().expect("a list");
    let names: Vec<_> = actions.iter().map(|action| action["action"].as_str().expect("a name")).collect();
    assert_eq!(names, ["add", "echo", "payments.transfer"]);
    for action in actions {
        assert_eq!(action["sha256"].as_str().map(str::len), Some(64), "{action}");
        for limit in ["fuel", "memory_bytes", "output_bytes", "deadline_ms"] {
            assert!(action["limits"][limit].as_u64() > Some(0), "{limit} of {action}");
        }
    }
    let digest = listed["registry"].as_str().expect("a digest");
    let verified = (Some(0), format!("ok: 3 actions, 0 of them locked, registry digest {digest}"));
    assert_eq!(printed(&setup.run(&["registry", "verify"])), verified);
    assert_eq!(setup.start().get("/version").json()["registry"]["digest"], digest);

    let path = write_registry(setup.folder(), &[("well-behaved", "fuel = 7")]).display().to_string();
    let (code, text) = printed(&setup.run(&["registry", "list", "--registry", &path]));
    assert!(code == Some(0) && text.contains("well-behaved") && text.contains("fuel 7,"), "{text}");
    std::fs::write(setup.folder().join("well-behaved.wasm"), b"something else").expect("a file");
    let changed = setup.run(&["registry", "verify", "--registry", &path]);
    assert_eq!(printed(&changed), (Some(2), String::new()));
    assert!(String::from_utf8_lossy(&changed.stderr).contains("well-behaved.wasm"));
}

#[test]
fn a_hundred_connections_that_say_nothing_do_not_keep_others_out() {
    let host = Host::start();
    let silent: Vec<_> = (0..100).map(|_| client::connect(host.address).expect("a connection")).collect();
    let address = host.address;
    let callers: Vec<_> = (0..8)
        .map(|i| {
            thread::spawn(move || client::execute(address, "echo", &json!({}), &format!("{i}")).expect("an answer"))
        })
        .collect();
    for caller in callers {
        caller.join().expect("a caller").expect(200);
    }
    drop(silent);
}

#[test]
fn a_web_page_from_elsewhere_cannot_execute_in_demo_mode() {
    let host = Host::start();
    let body = r#"{"action":"echo","nonce":"n"}"#;
    let post = |origin: &str| {
        let request = format!(
            "POST /execute HTTP/1.1\r\nHost: test\r\nOrigin: {origin}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        host.send(request.as_bytes())
    };
    for origin in ["http://evil.example", "http://localhost.evil.example:5000", "null", "https://192.0.2.1", "file://"]
    {
        assert_eq!(post(origin).expect(403).code(), "origin-not-allowed", "{origin}");
    }
    assert_eq!(host.setup.stats()["succeeded"], 0);
    for origin in ["http://localhost:5000", "http://127.0.0.1:5000", "http://[::1]:5000"] {
        post(origin).expect(200);
    }
}

//! Bad input: every way to be refused is typed, leaves no trace, and leaves the host serving.

use std::io::{Read, Write};
use std::net::Shutdown;

use openexec_tests::client::{self, Answer};
use openexec_tests::host::{Host, Setup};
use serde_json::{Value, json};

/// A text that stands in bodies and must never come back.
const MARKER: &str = "c0nfidential";

/// The head of a `POST /execute` with these headers, and the body.
fn request(headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut request = b"POST /execute HTTP/1.1\r\nHost: test\r\n".to_vec();
    headers.iter().for_each(|header| request.extend([header.as_bytes(), b"\r\n"].concat()));
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    request
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut chunks = Vec::new();
    for chunk in body.chunks(100_000) {
        chunks.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        chunks.extend([chunk, b"\r\n"].concat());
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    chunks
}

const JSON: &str = "Content-Type: application/json";
const CLOSE: &str = "Connection: close";

/// Checks everything that holds for every problem.
#[track_caller]
fn expect_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["type"], format!("urn:openexec:problem:{code}"));
    assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)));
    for member in ["title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {problem}");
    }
    let retryable = problem["retryable"].as_bool().expect("retryable is a boolean");
    assert_eq!(retryable, answer.header("retry-after").is_some(), "{problem}");
    assert!(!answer.text().contains(MARKER), "an answer repeats what it was sent: {problem}");
}

/// Nothing was recorded, the nonce `n` is free, and the host serves.
#[track_caller]
fn expect_no_trace(host: &Host) {
    let stats = host.setup.stats();
    assert!(stats.as_object().expect("an object").values().all(|n| *n == 0), "{stats}");
    assert!(!host.execute("add", &json!({"a": 1}), "n").expect(200).is_replay(), "the nonce stayed free");
}

fn deep(depth: usize) -> String {
    format!(r#"{{"action":"echo","nonce":"n","payload":{{"a":{}{}}}}}"#, "[".repeat(depth), "]".repeat(depth))
}

/// A body whose payload has one member with this text as its value.
fn with_value(value: &str) -> Vec<u8> {
    format!(r#"{{"action":"echo","nonce":"n","payload":{{"{MARKER}":{value}}}}}"#).into_bytes()
}

fn utf16(bytes: fn(u16) -> [u8; 2], text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn bodies_that_are_not_one_strict_json_object_are_refused() {
    let host = Host::start();
    let good = format!(r#"{{"action":"echo","nonce":"n","payload":{{"a":"{MARKER}"}}}}"#);
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("empty", b"".to_vec()),
        ("space", b" \r\n".to_vec()),
        ("an array", b"[]".to_vec()),
        ("an array around it", format!("[{good}]").into_bytes()),
        ("a string", format!("\"{MARKER}\"").into_bytes()),
        ("a string around it", Value::from(good.as_str()).to_string().into_bytes()),
        ("a number", b"17".to_vec()),
        ("null", b"null".to_vec()),
        ("true", b"true".to_vec()),
        ("not JSON", MARKER.as_bytes().to_vec()),
        ("a form", b"action=echo&nonce=n".to_vec()),
        ("cut off", good.as_bytes()[..good.len() - 1].to_vec()),
        ("text after it", format!("{good} {MARKER}").into_bytes()),
        ("another object after it", format!("{good}{good}").into_bytes()),
        ("a NUL after it", format!("{good}\0").into_bytes()),
        ("a NUL in it", good.replace("\"a\"", "\"\0\"").into_bytes()),
        ("a trailing comma", good.replace("}}", "},}").into_bytes()),
        ("a comment", good.replace("{\"a\"", "{/**/\"a\"").into_bytes()),
        ("single quotes", good.replace('"', "'").into_bytes()),
        ("a byte order mark", format!("\u{feff}{good}").into_bytes()),
        ("UTF-16 LE", utf16(u16::to_le_bytes, &good)),
        ("UTF-16 BE", utf16(u16::to_be_bytes, &good)),
        ("UTF-16 LE with a mark", utf16(u16::to_le_bytes, &format!("\u{feff}{good}"))),
        ("UTF-16 BE with a mark", utf16(u16::to_be_bytes, &format!("\u{feff}{good}"))),
        ("UTF-32 LE", good.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect()),
        ("Latin-1", good.replace(MARKER, "@").bytes().map(|b| if b == b'@' { 0xe9 } else { b }).collect()),
        ("an overlong encoding", good.replace(MARKER, "@").bytes().flat_map(overlong).collect()),
        ("NaN", with_value("NaN")),
        ("Infinity", with_value("Infinity")),
        ("-Infinity", with_value("-Infinity")),
        ("1e999", with_value("1e999")),
        ("-1e999", with_value("-1e999")),
        ("2^53", with_value("9007199254740992")),
        ("-2^53", with_value("-9007199254740992")),
        ("a huge integer", with_value(&"9".repeat(100_000))),
        ("a leading zero", with_value("01")),
        ("a lone high surrogate", with_value(r#""\ud800""#)),
        ("a lone low surrogate", with_value(r#""\udc00""#)),
        ("surrogates in the wrong order", with_value(r#""\udc00\ud800""#)),
        ("a lone surrogate in a name", with_value(r#"{"\ud800":1}"#)),
        ("a surrogate in UTF-8", [with_value("\"").as_slice(), b"\xed\xa0\x80\"}}"].concat()),
        ("a raw line feed in a string", with_value("\"\n\"")),
        ("an unknown escape", with_value(r#""\x41""#)),
        ("a duplicate at the top", good.replacen('{', r#"{"action":"add","#, 1).into_bytes()),
        ("a duplicate nonce", good.replacen('{', r#"{"nonce":"n","#, 1).into_bytes()),
        ("a duplicate payload", good.replacen('{', r#"{"payload":{},"#, 1).into_bytes()),
        ("a duplicate in disguise", good.replacen('{', r#"{"\u0061ction":"add","#, 1).into_bytes()),
        ("a duplicate in the payload", with_value(r#"1,"c0nfidential":1"#)),
        ("a duplicate deeper", with_value(r#"[{"b":{"a":1,"a":2}}]"#)),
        ("65 levels", deep(63).into_bytes()),
        ("10,000 levels", deep(10_000).into_bytes()),
        ("half a million open brackets", b"[".repeat(500_000)),
        ("half a million open objects", br#"{"a":"#.repeat(200_000)),
    ];
    for (what, body) in &bodies {
        eprintln!("{what}"); // shown if it fails
        expect_problem(&host.post("/execute", body), 422, "malformed-request");
        expect_problem(&host.post("/receipts/verify", body), 422, "malformed-request");
    }
    expect_no_trace(&host);
}

fn overlong(byte: u8) -> Vec<u8> {
    if byte == b'@' { vec![0xc1, 0x81] } else { vec![byte] }
}

#[test]
fn members_of_the_wrong_type_or_outside_their_grammar_are_refused() {
    let host = Host::start();
    let good = json!({"action": "echo", "nonce": "n", "payload": {"a": MARKER}});
    let text = |length: usize| Value::from(MARKER.repeat(length / MARKER.len() + 1));
    let mut cases = Vec::new();
    for value in [Value::Null, json!(true), json!(17), json!(1.5), json!([MARKER]), json!({MARKER: 1}), json!("")] {
        cases.push(("action", value.clone()));
        cases.push(("nonce", value));
    }
    for value in [json!(true), json!(0), json!(MARKER), json!([]), json!([{MARKER: 1}])] {
        cases.push(("payload", value.clone()));
        cases.push(("approval_artifact", value));
    }
    for control in ["\0", "a\nb", "\u{7f}", "\u{1b}[31m", "é", "😀", "\u{202e}"] {
        cases.push(("nonce", json!(control)));
        cases.push(("action", json!(control)));
    }
    cases.extend([
        ("nonce", text(257)),
        ("nonce", text(1_000_000)),
        ("action", text(129)),
        ("action", text(1_000_000)),
    ]);
    cases.push(("action", json!("two words")));
    for (member, value) in cases {
        let mut body = good.clone();
        body[member] = value;
        expect_problem(&host.post("/execute", body.to_string().as_bytes()), 422, "malformed-request");
    }
    for member in ["action", "nonce"] {
        let mut body = good.clone();
        body.as_object_mut().expect("an object").remove(member);
        let answer = host.post("/execute", body.to_string().as_bytes());
        expect_problem(&answer, 422, "malformed-request");
        let detail = answer.json()["detail"].as_str().expect("a string").to_owned();
        assert!(detail.contains(&format!("'{member}'")), "says which: {detail}");
    }
    let verify = json!({"exec_id": "a", "result": {MARKER: 1}, "receipt": "b"});
    for (member, value) in [("exec_id", json!(1)), ("receipt", json!(null)), ("receipt", json!([MARKER]))] {
        let mut body = verify.clone();
        body[member] = value;
        expect_problem(&host.post("/receipts/verify", body.to_string().as_bytes()), 422, "malformed-request");
    }
    for member in ["exec_id", "result", "receipt"] {
        let mut body = verify.clone();
        body.as_object_mut().expect("an object").remove(member);
        expect_problem(&host.post("/receipts/verify", body.to_string().as_bytes()), 422, "malformed-request");
    }
    expect_no_trace(&host);
}

#[test]
fn the_longest_names_and_the_largest_body_are_accepted() {
    let host = Host::start();
    host.execute("add", &json!({}), &"n".repeat(256)).expect(200);
    let unknown = host.execute(&"a".repeat(128), &json!({}), "n");
    expect_problem(&unknown, 400, "unknown-action");
    let mut body = br#"{"action":"echo","nonce":"n","payload":{"a":""}}"#.to_vec();
    let fill = vec![b'x'; 1_048_576 - body.len()];
    body.splice(body.len() - 3..body.len() - 3, fill);
    assert_eq!(body.len(), 1024 * 1024);
    let _ = host.post("/execute", &body).expect(200);
    body.push(b' ');
    expect_problem(&host.post("/execute", &body), 413, "body-too-large");
    assert_eq!(host.setup.stats()["succeeded"], 2);
}

#[test]
fn bodies_beyond_the_limit_are_refused_however_they_are_sent() {
    let host = Host::start();
    for n_bytes in [1_048_577, 3_000_000] {
        let body = vec![b'x'; n_bytes];
        expect_problem(&host.post("/execute", &body), 413, "body-too-large");
        let sent = request(&[JSON, CLOSE, "Transfer-Encoding: chunked"], &chunked(&body));
        expect_problem(&host.send(&sent), 413, "body-too-large");
    }
    // So large that the host does not want to see it: the answer comes before the body.
    let declared = request(&[JSON, "Content-Length: 20971520"], b"");
    expect_problem(&host.send(&declared), 413, "body-too-large");
    for length in ["18446744073709551616", "-1", "1e3", "0x10", "", "1, 2"] {
        let answer = host.send(&request(&[JSON, CLOSE, &format!("Content-Length: {length}")], b"{}"));
        assert_eq!(answer.status, 400, "{length}: {}", answer.text());
    }
    expect_no_trace(&host);
}

#[test]
fn a_chunked_body_is_a_body_like_any_other() {
    let host = Host::start();
    let body = br#"{"action":"echo","nonce":"n","payload":{"a":1}}"#;
    let answer = host.send(&request(&[JSON, CLOSE, "Transfer-Encoding: chunked"], &chunked(body))).expect(200);
    assert_eq!(answer.body, host.post("/execute", body).body);
}

#[test]
fn a_body_that_breaks_off_is_refused_and_does_not_run() {
    let host = Host::start();
    let body = br#"{"action":"add","payload":{"a":1},"nonce":"n"}"#;
    let length = format!("Content-Length: {}", body.len() + 1);
    let broken_chunks = [b"2e\r\n".as_slice(), body, b"\r\n"].concat();
    let cases = [
        request(&[JSON, &length], body),
        request(&[JSON, &length], b""),
        request(&[JSON, "Transfer-Encoding: chunked"], &broken_chunks),
    ];
    for sent in cases {
        let mut stream = client::connect(host.address).expect("a connection");
        stream.write_all(&sent).expect("sent");
        stream.shutdown(Shutdown::Write).expect("half closed");
        // Whoever half closes may still read; a bare end is also an end.
        if let Ok(answer) = client::read_answer(&mut stream) {
            expect_problem(&answer, 400, "body-incomplete");
        }
    }
    // A chunk with a broken length.
    let answer = host.send(&request(&[JSON, CLOSE, "Transfer-Encoding: chunked"], b"zz\r\n{}\r\n0\r\n\r\n"));
    expect_problem(&answer, 400, "body-incomplete");
    expect_no_trace(&host);
}

#[test]
fn other_media_types_and_encodings_are_refused() {
    let host = Host::start();
    let body = br#"{"action":"add","payload":{"a":1},"nonce":"n"}"#;
    let length = format!("Content-Length: {}", body.len());
    let refused: [&[&str]; 10] = [
        &[],
        &["Content-Type:"],
        &["Content-Type: text/plain"],
        &["Content-Type: application/x-www-form-urlencoded"],
        &["Content-Type: multipart/form-data; boundary=x"],
        &["Content-Type: application/jsonp"],
        &["Content-Type: text/plain, application/json"],
        &[JSON, "Content-Encoding: gzip"],
        &[JSON, "Content-Encoding: identity", "Content-Encoding: gzip"],
        &["Content-Type: text/plain", JSON],
    ];
    for headers in refused {
        let headers = [headers, &[CLOSE, &length]].concat();
        expect_problem(&host.send(&request(&headers, body)), 415, "unsupported-media-type");
    }
    expect_no_trace(&host);
    for accepted in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json ;a=b"] {
        let headers = [&format!("Content-Type: {accepted}"), CLOSE, &length];
        let _ = host.send(&request(&headers, body)).expect(200);
    }
}

#[test]
fn unknown_routes_and_wrong_methods_are_refused() {
    let host = Host::start();
    for path in
        ["/nope", "/execute/", "//execute", "/EXECUTE", "/%65xecute", "/..", "/execute/../health", "/\u{7e}", "*"]
    {
        let answer = host.get(path);
        expect_problem(&answer, 404, "not-found");
    }
    expect_problem(&host.post(&format!("/{MARKER}?{MARKER}=1"), b"{}"), 404, "not-found");
    let routes = [
        ("/", "GET,HEAD"),
        ("/health", "GET,HEAD"),
        ("/ready", "GET,HEAD"),
        ("/version", "GET,HEAD"),
        ("/execute", "POST"),
        ("/receipts/verify", "POST"),
    ];
    for (path, allowed) in routes {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get"] {
            if allowed.split(',').any(|allowed| allowed == method) {
                continue;
            }
            let sent = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{CLOSE}\r\nContent-Length: 0\r\n\r\n");
            let answer = host.send(sent.as_bytes());
            expect_problem(&answer, 405, "method-not-allowed");
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        }
    }
    expect_no_trace(&host);
}

#[test]
fn a_query_does_not_change_a_route() {
    let host = Host::start();
    let _ = host.get("/health?verbose=1").expect(200);
}

/// Whether the host answered with a refusal, or hung up: never a success, never a 5xx, never silence.
#[track_caller]
fn expect_refused_or_closed(host: &Host, what: &str, sent: &[u8]) {
    let mut stream = client::connect(host.address).expect("a connection");
    let _ = stream.write_all(sent);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    // A reset is the operating system's word for bytes that nobody read.
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{what}: {error}");
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
    assert!(!answer.contains(MARKER), "{what}: {answer}");
}

#[test]
fn what_is_not_http_is_refused_or_hung_up_on() {
    let host = Host::start();
    let body = r#"{"action":"add","payload":{"a":1},"nonce":"n"}"#;
    let post = |head: &str| format!("{head}\r\n\r\n{body}").into_bytes();
    let length = body.len();
    let many: String = (0..100).map(|i| format!("X-{i}: {MARKER}\r\n")).collect();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("garbage", MARKER.as_bytes().to_vec()),
        ("garbage lines", format!("{MARKER}\r\n\r\n").into_bytes()),
        ("NUL bytes", vec![0; 10_000]),
        ("high bytes", vec![0xff; 100_000]),
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
        ("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
        ("HTTP/0.9", b"GET /\r\n\r\n".to_vec()),
        ("HTTP/3.0", b"GET / HTTP/3.0\r\n\r\n".to_vec()),
        ("CONNECT", b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec()),
        ("a line feed in the target", b"GET /a\nb HTTP/1.1\r\nHost: t\r\n\r\n".to_vec()),
        ("many headers", post(&format!("POST /execute HTTP/1.1\r\n{JSON}\r\n{many}Content-Length: {length}"))),
        ("a huge header", post(&format!("POST /execute HTTP/1.1\r\nX: {}\r\n{JSON}", MARKER.repeat(10_000)))),
        ("a huge target", format!("GET /{} HTTP/1.1\r\nHost: t\r\n\r\n", MARKER.repeat(10_000)).into_bytes()),
        ("an endless head", format!("GET / HTTP/1.1\r\nX: {}", MARKER.repeat(200_000)).into_bytes()),
        ("a header without a colon", post(&format!("POST /execute HTTP/1.1\r\n{MARKER}\r\nContent-Length: {length}"))),
        ("a space before a colon", post(&format!("POST /execute HTTP/1.1\r\n{JSON}\r\nContent-Length : {length}"))),
        ("a folded header", post(&format!("POST /execute HTTP/1.1\r\n{JSON}\r\nContent-Length:\r\n {length}"))),
        (
            "two lengths",
            post(&format!("POST /execute HTTP/1.1\r\n{JSON}\r\nContent-Length: {length}\r\nContent-Length: 2")),
        ),
        ("two lengths in one", post(&format!("POST /execute HTTP/1.1\r\n{JSON}\r\nContent-Length: {length}, 2"))),
        (
            "an unknown transfer encoding",
            post(&format!("POST /execute HTTP/1.1\r\n{JSON}\r\nTransfer-Encoding: gzip\r\nContent-Length: {length}")),
        ),
        (
            "chunked, but not last",
            post(&format!("POST /execute HTTP/1.1\r\n{JSON}\r\nTransfer-Encoding: chunked, gzip")),
        ),
        ("chunked in HTTP/1.0", post(&format!("POST /execute HTTP/1.0\r\n{JSON}\r\nTransfer-Encoding: chunked"))),
        (
            "a chunk length that overflows",
            format!(
                "POST /execute HTTP/1.1\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n1{}\r\n{body}\r\n0\r\n\r\n",
                "0".repeat(17)
            )
            .into_bytes(),
        ),
        (
            "an endless chunk extension",
            format!("POST /execute HTTP/1.1\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n5;{}", "a".repeat(100_000))
                .into_bytes(),
        ),
    ];
    for (what, sent) in cases {
        expect_refused_or_closed(&host, what, &sent);
    }
    expect_no_trace(&host);
}

#[test]
fn a_second_request_hidden_in_a_body_is_never_taken_for_one() {
    let host = Host::start();
    let hidden_body = r#"{"action":"add","payload":{},"nonce":"n"}"#;
    let hidden = format!(
        "POST /execute HTTP/1.1\r\nHost: t\r\n{JSON}\r\nContent-Length: {}\r\n\r\n{hidden_body}",
        hidden_body.len()
    );
    let after_chunks = format!("0\r\n\r\n{hidden}");
    let both = |first: &str, second: &str, body: &str| {
        format!("POST /execute HTTP/1.1\r\nHost: t\r\n{JSON}\r\n{first}\r\n{second}\r\n\r\n{body}").into_bytes()
    };
    let length = format!("Content-Length: {}", after_chunks.len());
    let chunked = "Transfer-Encoding: chunked";
    let cases = [
        ("length, then chunked", both(&length, chunked, &after_chunks)),
        ("chunked, then length", both(chunked, &length, &after_chunks)),
        ("an obscured encoding", both(&length, "Transfer-Encoding: xchunked", &after_chunks)),
        (
            "a body to GET",
            format!("GET /health HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len()).into_bytes(),
        ),
        (
            "an unread body",
            format!("POST /nope HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len()).into_bytes(),
        ),
        (
            "a body of the wrong type",
            format!("POST /execute HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len())
                .into_bytes(),
        ),
    ];
    for (what, sent) in cases {
        let mut stream = client::connect(host.address).expect("a connection");
        let _ = stream.write_all(&sent);
        let _ = client::read_answer(&mut stream);
        // The connection is closed, or what comes next on it is the answer to what is sent next on it.
        let _ = stream.write_all(b"GET /version HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.is_empty() || rest.contains("\"engine\""), "{what}: {rest}");
        assert!(rest.matches("HTTP/1.1 ").count() <= 1, "{what}: {rest}");
    }
    expect_no_trace(&host);
}

#[test]
fn slow_clients_are_given_up_on() {
    let host = Setup::new().with(&["--read-timeout-ms", "1500"]).start();
    let mut slow_head = client::connect(host.address).expect("a connection");
    slow_head.write_all(b"POST /execute HTTP/1.1\r\nHost: t\r\nX: ").expect("sent");
    let mut silent = client::connect(host.address).expect("a connection");
    let mut slow_body = client::connect(host.address).expect("a connection");
    slow_body.write_all(&request(&[JSON, "Content-Length: 46"], br#"{"action":"add","#)).expect("sent");
    let mut large = client::connect(host.address).expect("a connection");
    large.write_all(&request(&[JSON, "Content-Length: 2000000"], &[b'x'; 1_500_000])).expect("sent");

    let answer = client::read_answer(&mut slow_body).expect("an answer");
    expect_problem(&answer, 408, "body-too-slow");
    assert_eq!(answer.header("connection"), Some("close"));
    let answer = client::read_answer(&mut large).expect("an answer");
    expect_problem(&answer, 408, "body-too-slow");
    for (what, stream) in [("slow", &mut slow_head), ("silent", &mut silent), ("slow body", &mut slow_body)] {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect(what);
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{what}: {rest:?}");
    }
    expect_no_trace(&host);
}

#[test]
fn a_nonce_belongs_to_the_request_that_used_it_first() {
    let host = Host::start();
    let first = host.execute("echo", &json!({"a": 1}), "n").expect(200);
    for (action, payload) in [("echo", json!({"a": 2})), ("add", json!({"a": 1})), ("echo", json!({}))] {
        let answer = host.execute(action, &payload, "n");
        expect_problem(&answer, 422, "nonce-reuse");
        assert!(!answer.text().contains(first.json()["id"].as_str().expect("an id")), "{}", answer.text());
    }
    let other = host.execute("echo", &json!({"a": 2}), "another").expect(200);
    assert_ne!(first.json()["id"], other.json()["id"]);
    assert_eq!(host.setup.stats()["succeeded"], 2);
}

#[test]
fn an_unknown_or_forbidden_action_does_not_use_up_its_nonce() {
    let host = Setup::new().with(&["--allowed-actions", "add"]).start();
    expect_problem(&host.execute("echo", &json!({MARKER: 1}), "n"), 403, "action-not-allowed");
    expect_problem(&host.execute("no-such-action", &json!({MARKER: 1}), "n"), 403, "action-not-allowed");
    expect_no_trace(&host);
}

#[test]
fn a_replay_is_no_way_around_the_allow_list() {
    let setup = Setup::new();
    let host = setup.start();
    let first = host.execute("echo", &json!({}), "n").expect(200);
    let _ = host.kill();
    let narrower = setup.clone().with(&["--allowed-actions", "add"]).start();
    expect_problem(&narrower.execute("echo", &json!({}), "n"), 403, "action-not-allowed");
    let _ = narrower.kill();
    assert_eq!(setup.start().execute("echo", &json!({}), "n").body, first.body);
}

#[test]
fn a_handler_that_says_no_is_recorded_and_says_no_again() {
    let host = Host::start();
    let refused = host.execute("add", &json!({"a": "one"}), "n");
    expect_problem(&refused, 422, "handler-rejected");
    let problem = refused.json();
    assert_eq!((&problem["outcome"], &problem["failure"]), (&json!("failed"), &json!("invalid-payload")));
    let again = host.execute("add", &json!({"a": "one"}), "n");
    assert!(again.body == refused.body && again.is_replay());
    assert_eq!(host.setup.stats()["failed"], 1);
    expect_problem(&host.execute("add", &json!({"a": 1}), "n"), 422, "nonce-reuse");
    let verify = json!({"exec_id": problem["exec_id"], "result": null, "receipt": problem["receipt"]});
    assert_eq!(host.post("/receipts/verify", verify.to_string().as_bytes()).expect(200).json()["valid"], true);
}

#[test]
fn clients_that_do_not_read_their_answers_are_given_up_on() {
    let host = Setup::new().with(&["--read-timeout-ms", "1000", "--max-connections", "1"]).start();
    let mut deaf = client::connect(host.address).expect("a connection");
    let text = "x".repeat(1_000_000);
    let body = json!({"action": "echo", "payload": {"x": text}, "nonce": "same"}).to_string();
    let request = request(&[JSON, &format!("Content-Length: {}", body.len())], body.as_bytes());
    // Never reads; ends when the host has given up on it, or when the pipe is full.
    let writer = std::thread::spawn(move || (0..40).take_while(|_| deaf.write_all(&request).is_ok()).count());
    std::thread::sleep(std::time::Duration::from_millis(300));
    host.execute("add", &json!({"a": 1}), "after").expect(200); // its turn comes when the deaf client is gone
    assert!(writer.join().expect("a thread") < 40, "the host took everything that a deaf client sent");
}

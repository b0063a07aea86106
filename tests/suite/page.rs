//! The page at `/verify`: what a browser may do with it, and what it shows.

use std::path::Path;
use std::process::Command;

use openexec_core::digest::Digest;
use openexec_core::keys::encode_base64;
use openexec_tests::browser::{chromium, puppeteer};
use openexec_tests::client::Answer;
use openexec_tests::host::Host;
use openexec_tests::node::node;
use serde_json::{Value, json};

/// What `pack page --check` says when the recorded toolchain is not installed.
const OTHER_TOOLCHAIN: i32 = 3;

/// Asks the verifier as the page does, word by word.
const ASK: &str = r#"
    const { readFileSync } = require("node:fs");
    const { path, questions } = JSON.parse(readFileSync(0, "utf8"));
    const module = new WebAssembly.Module(readFileSync(path));
    const ask = (question) => {
        const { push, run, pull } = new WebAssembly.Instance(module, {}).exports;
        const bytes = Buffer.from(question);
        for (let at = 0; at < bytes.length; at += 8) {
            const word = Buffer.alloc(8);
            bytes.copy(word, 0, at, at + 8);
            push(word.readBigUInt64LE(), Math.min(8, bytes.length - at));
        }
        const report = Buffer.alloc(run() + 8);
        for (let at = 0; at + 8 <= report.length; at += 8) report.writeBigInt64LE(pull(at / 8), at);
        return JSON.parse(report.toString("utf8").replace(/\0*$/, ""));
    };
    const said = { imports: WebAssembly.Module.imports(module), reports: questions.map(ask) };
    process.stdout.write(JSON.stringify(said));
"#;

/// A question with nothing to trust.
fn question(evidence: &str) -> Value {
    json!({
        "evidence": evidence, "receipt_keys": [], "log_key": "", "witness_keys": [], "quorum": 1, "trust_file": "",
        "clawshield_public_key": "", "clawshield_tenant_id": "",
    })
}

/// The texts between the start tags and the end tags of an element.
fn inline<'a>(html: &'a str, element: &str) -> Vec<&'a str> {
    let ends = |rest: &'a str| rest.split(&format!("</{element}>")).next().expect("a first piece");
    html.split(&format!("<{element}>")).skip(1).map(ends).collect()
}

fn source(text: &str) -> String {
    format!("'sha256-{}'", encode_base64(Digest::of(text.as_bytes()).as_bytes()))
}

#[test]
fn the_page_may_run_its_own_script_and_nothing_else() {
    let host = Host::start();
    let answer = host.get("/verify").expect(200);
    let html = answer.text();
    let (styles, scripts) = (inline(&html, "style"), inline(&html, "script"));
    assert_eq!((html.matches("<style").count(), html.matches("<script").count()), (1, 1));
    let policy = format!(
        "default-src 'none'; script-src {} 'wasm-unsafe-eval'; style-src {}; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        source(scripts[0]),
        source(styles[0]),
    );
    let header = |name| answer.header(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(header("content-security-policy"), policy);
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("cache-control"), "no-cache");
}

#[test]
fn the_page_loads_nothing_and_writes_no_markup() {
    let html = Host::start().get("/verify").expect(200).text();
    for reference in ["http:", "https:", "//\"", " src=", "url(", "@import", " style=", " onclick=", "{{"] {
        assert!(!html.contains(reference), "the page has {reference}");
    }
    assert_eq!(html.matches(" href=").count(), 1);
    assert!(html.contains("<link rel=\"icon\" href=\"data:,\">"), "so that no browser asks for an icon");
    let script = inline(&html, "script")[0];
    for way in ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "fetch(", "XMLHttp", "Storage", "eval("] {
        assert!(!script.contains(way), "the script has {way}");
    }
}

#[test]
fn a_browser_that_has_the_page_is_told_so() {
    let host = Host::start();
    let first = host.get("/verify").expect(200);
    let ask = |tag: &str| -> Answer {
        let head = format!("GET /verify HTTP/1.1\r\nHost: test\r\nConnection: close\r\nIf-None-Match: {tag}\r\n\r\n");
        host.send(head.as_bytes())
    };
    let again = ask(first.header("etag").expect("a tag")).expect(304);
    assert_eq!(again.header("content-security-policy"), first.header("content-security-policy"));
    assert_eq!(ask("\"other\"").expect(200).body, first.body);
}

#[test]
fn the_committed_verifier_is_what_its_source_gives() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../handlers/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--package", "pack", "--manifest-path"])
        .arg(&manifest)
        .args(["--", "page", "--check"])
        .output()
        .expect("cargo runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(0) => {}
        Some(OTHER_TOOLCHAIN) => println!("not compared byte for byte: {said}"), // behaviour is checked below
        _ => panic!("{said}"),
    }
}

#[test]
fn the_committed_verifier_imports_nothing_and_reports_on_whatever_it_is_asked() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/page/verify.wasm");
    let questions = [question("").to_string(), question("{\"é\":1}").to_string(), "{".to_owned(), String::new()];
    let Some(said) = node(ASK, &json!({"path": path, "questions": questions}).to_string()) else { return };
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["imports"], json!([]));
    let reports = said["reports"].as_array().expect("reports");
    assert_eq!(reports.len(), questions.len());
    for report in reports {
        assert_eq!(report["verdict"], "unreadable", "{report}");
        assert!(report["summary"].is_string() && report["execution"].is_null(), "{report}");
        assert_eq!(report["aspects"], json!([]));
    }
}

#[test]
fn a_person_sees_the_verdict_in_a_real_browser_and_nothing_leaves_it() {
    let host = Host::start();
    let evidence = host.setup.folder().join("evidence.json");
    std::fs::write(&evidence, "{}").expect("an evidence file");
    let url = format!("http://{}/verify", host.address);
    let saw = chromium().and_then(|chromium| {
        let fields = json!({"receipt-keys": "AAAA", "quorum": "2"});
        let input = json!({"url": url, "chromium": chromium, "evidence": evidence, "fields": fields});
        puppeteer(include_str!("../fixtures/browse.js"), &input.to_string())
    });
    let saw: Value = match saw {
        Ok(saw) => serde_json::from_str(&saw).expect("JSON"),
        Err(why) => {
            eprintln!("SKIPPED, THE PAGE WAS NOT SEEN IN A BROWSER: {why}");
            return;
        }
    };
    assert_eq!(saw["requests"], json!([url]), "the page itself, and nothing else");
    assert_eq!(saw["complaints"], json!([]), "the browser's console");
    assert_eq!(saw["broken"], json!([]), "what the policy forbids and a script could do");
    assert_eq!(
        (&saw["chosen"], &saw["dropped"]),
        (&json!("evidence.json (2 bytes)"), &json!("dropped.json (2 bytes)"))
    );
    for report in ["report", "reportOnTheDropped"] {
        assert_eq!(saw[report]["verdict"], "unreadable", "{saw}");
        assert_eq!(saw[report]["words"], "✘ Unreadable");
        assert!(
            saw[report]["summary"].as_str().is_some_and(|summary| summary.ends_with("nothing was checked.")),
            "{saw}"
        );
    }
    assert_eq!(saw["hiddenAfterAnEdit"], true, "a verdict is about what the form holds");
    assert_eq!((&saw["unlabelled"], &saw["overflow"]), (&json!([]), &json!(0)));
}

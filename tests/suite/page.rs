//! The page at `/verify`: what a browser may do with it, and what it shows.

use std::path::Path;
use std::process::Command;

use openexec_core::digest::Digest;
use openexec_core::evidence::{Evidence, Keys};
use openexec_core::keys::{PublicKey, encode_base64};
use openexec_core::log::note::VerifierKey;
use openexec_tests::approvals;
use openexec_tests::browser::{chromium, puppeteer};
use openexec_tests::client::Answer;
use openexec_tests::host::Host;
use openexec_tests::node::node;
use serde_json::{Value, json};

use crate::evidence::{all_keys, files, paid, verify_with};

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

/// Asks the committed verifier; `None` where there is no Node.
fn ask(questions: &[String]) -> Option<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/page/verify.wasm");
    let said = node(ASK, &json!({"path": path, "questions": questions}).to_string())?;
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["imports"], json!([]));
    let reports = said["reports"].as_array().expect("reports").clone();
    assert_eq!(reports.len(), questions.len());
    Some(reports)
}

#[test]
fn the_committed_verifier_imports_nothing_and_reports_on_whatever_it_is_asked() {
    let mut other_key = question("");
    other_key["receipt_keys"] = json!(["AAAA"]);
    let others = [other_key.to_string(), question("{\"é\":1}").to_string(), "{".to_owned(), String::new()];
    let questions = [&[question("").to_string()][..], &others].concat();
    let Some(reports) = ask(&questions) else { return };
    for report in reports {
        assert_eq!(report["verdict"], "unreadable", "{report}");
        assert!(report["summary"].is_string() && report["execution"].is_null(), "{report}");
        assert_eq!(report["aspects"], json!([]));
    }
}

/// The question that asks for the same as the command line with these keys.
fn question_with(evidence: &str, keys: &Keys, trusts: bool) -> Value {
    let texts = |keys: &[VerifierKey]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut question = question(evidence);
    question["receipt_keys"] = keys.receipt_keys.iter().map(PublicKey::to_base64).collect();
    question["log_key"] = json!(keys.log_key.as_ref().map(ToString::to_string).unwrap_or_default());
    question["witness_keys"] = json!(texts(&keys.witness_keys));
    question["quorum"] = json!(keys.quorum);
    if trusts {
        question["trust_file"] = json!(approvals::trust_file_text());
        question["clawshield_public_key"] = json!(approvals::public(&approvals::key("shield")).to_pem());
        question["clawshield_tenant_id"] = json!(approvals::TENANT);
    }
    question
}

/// A good bundle, and changed ones.
fn bundles(evidence: &Evidence) -> Vec<String> {
    let good: Value = serde_json::from_str(&evidence.spell()).expect("JSON");
    let changed = |pointer: &str, value: Value| {
        let mut bundle = good.clone();
        *bundle.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        bundle.to_string()
    };
    let proof = good["proof"].as_str().expect("a proof").replacen("index ", "index 1", 1);
    let mut without = good.clone();
    without.as_object_mut().expect("an object").remove("openings");
    vec![
        good.to_string(),
        changed("/result/amount", json!("999.00")),
        changed("/payload/amount_minor", json!(1)),
        changed("/request/nonce", json!("another")),
        changed("/receipt/signatures/0/sig", good["approval"]["signatures"][0]["sig"].clone()),
        changed("/approval/signatures/0/sig", good["receipt"]["signatures"][0]["sig"].clone()),
        changed("/proof", json!(proof)),
        without.to_string(),
        changed("/type", json!("urn:openexec:evidence:v3")),
        "{}".to_owned(),
    ]
}

#[test]
fn the_page_and_the_binary_say_the_same_of_good_and_of_changed_evidence() {
    let (evidence, log) = paid();
    let keys = all_keys(&log);
    let setup = files(&evidence);
    let trust = ["--trust", "trust.toml", "--clawshield-public-key", "shield.pem", "--tenant", "acme"];
    let (mut questions, mut reports, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    for bundle in bundles(&evidence) {
        for (keys, trusts) in [(&keys, true), (&Keys { quorum: 1, ..Keys::default() }, false)] {
            std::fs::write(setup.folder().join("evidence.json"), &bundle).expect("a file");
            let flags = if trusts { &trust[..] } else { &[] };
            let output = verify_with(&setup, keys, &[flags, &["--json"]].concat());
            let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let code = match report["verdict"].as_str() {
                Some("verified") => 0,
                Some("failed") => 1,
                Some("unreadable") => 2,
                _ => 3,
            };
            assert_eq!(output.status.code(), Some(code), "{report}");
            verdicts.push(code);
            reports.push(report);
            questions.push(question_with(&bundle, keys, trusts).to_string());
        }
    }
    assert_eq!(verdicts, [0, 3, 1, 1, 1, 1, 1, 1, 1, 3, 1, 3, 1, 1, 3, 3, 2, 2, 2, 2]);
    let Some(asked) = ask(&questions) else { return };
    assert_eq!(asked, reports);
}

#[test]
fn a_person_sees_the_verdict_in_a_real_browser_and_nothing_leaves_it() {
    let host = Host::start();
    let (evidence, log) = paid();
    let (path, keys) = (host.setup.folder().join("evidence.json"), all_keys(&log));
    std::fs::write(&path, evidence.spell()).expect("an evidence file");
    let url = format!("http://{}/verify", host.address);
    let asked = question_with("", &keys, true);
    let witnesses: Vec<_> = keys.witness_keys.iter().map(ToString::to_string).collect();
    let saw = chromium().and_then(|chromium| {
        let fields = json!({
            "receipt-keys": keys.receipt_keys[0].to_pem(), "log-key": asked["log_key"],
            "witness-keys": witnesses.join("\n"), "quorum": "2", "trust-file": asked["trust_file"],
            "clawshield-key": asked["clawshield_public_key"], "clawshield-tenant": asked["clawshield_tenant_id"],
        });
        let input = json!({"url": url, "chromium": chromium, "evidence": path, "fields": fields});
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
    let name = format!("evidence.json ({} bytes)", evidence.spell().len());
    assert_eq!((&saw["chosen"], &saw["dropped"]), (&json!(name), &json!("dropped.json (2 bytes)")));
    let report = evidence.verify(&keys, None);
    assert_eq!(saw["report"]["verdict"], "verified", "{saw}");
    assert_eq!(saw["report"]["words"], "✔ Verified");
    assert_eq!(saw["report"]["summary"], report.summary());
    let seen: Vec<_> = saw["report"]["aspects"].as_array().expect("aspects").iter().collect();
    assert_eq!(seen.len(), report.findings.len());
    for (seen, finding) in seen.iter().zip(&report.findings) {
        assert_eq!(seen["aspect"], finding.aspect.as_str());
        assert_eq!(seen["verdict"], finding.verdict.as_str());
    }
    assert_eq!(saw["reportOnTheDropped"]["verdict"], "unreadable", "{saw}");
    assert_eq!(saw["reportOnTheDropped"]["words"], "✘ Unreadable");
    assert_eq!(saw["hiddenAfterAnEdit"], true, "a verdict is about what the form holds");
    assert_eq!((&saw["unlabelled"], &saw["overflow"]), (&json!([]), &json!(0)));
}

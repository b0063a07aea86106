//! The README's quickstart, run as a newcomer runs it: every command as it stands there, through a shell.

use std::path::Path;
use std::process::Command;

use openexec_tests::host::{self, Host};
use serde_json::Value;

/// The commands of a section, each with the answer that the README shows after it, if it shows one.
fn steps(heading: &str) -> Vec<(String, Option<String>)> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).expect("a README");
    let section = readme.split(heading).nth(1).and_then(|rest| rest.split("\n##").next());
    let mut steps: Vec<(String, Option<String>)> = Vec::new();
    let (mut block, mut language) = (String::new(), None::<String>);
    for line in section.expect("a section").lines() {
        match (line.strip_prefix("```"), language.take()) {
            (Some(_), Some(open)) if open == "json" || open == "text" => {
                let step = steps.last_mut().expect("a command before its answer");
                step.1 = Some(std::mem::take(&mut block));
            }
            (Some(_), Some(_)) => steps.push((std::mem::take(&mut block), None)),
            (Some(open), None) => language = Some(open.to_owned()),
            (None, Some(open)) => {
                block.push_str(line);
                block.push('\n');
                language = Some(open);
            }
            (None, None) => {}
        }
    }
    steps
}

/// Every member that the README shows; `…` stands for anything.
fn assert_shows(shown: &Value, answered: &Value, command: &str) {
    match (shown, answered) {
        (Value::String(any), _) if any == "…" => {}
        (Value::Object(shown), Value::Object(answered)) => {
            let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(shown), names(answered), "{command}");
            for (name, value) in shown {
                assert_shows(value, &answered[name], command);
            }
        }
        _ => assert_eq!(shown, answered, "{command}"),
    }
}

#[track_caller]
fn assert_answers(shown: &str, said: &str, command: &str) {
    let shown = serde_json::from_str(shown).expect("the README shows JSON");
    let answered = serde_json::from_str(said).unwrap_or_else(|_| panic!("{command}{said}"));
    assert_shows(&shown, &answered, command);
}

#[test]
fn the_quickstart_of_the_readme_works_by_copy_and_paste() {
    let host = Host::start();
    let steps = steps("## Ninety seconds\n");
    assert_eq!(steps.len(), 6, "{steps:?}");
    for (command, shown) in steps {
        // The demo's address and the newcomer's temporary file are this test's own.
        let command = command
            .replace("127.0.0.1:5000", &host.address.to_string())
            .replace("/tmp/first.json", &host.setup.folder().join("first.json").display().to_string());
        let output = Command::new("bash").args(["-ec", &command]).output().expect("bash runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}{said}");
        match shown {
            Some(shown) => assert_answers(&shown, &said, &command),
            None if command.contains("cmp") => assert_eq!(said.trim(), "identical"),
            None => assert!(said.contains(r#""status":"succeeded""#), "{command}{said}"),
        }
    }
}

const NEXT: &str = "\n=== next ===\n";

/// One session, as a newcomer has it; the temporary folder, the port and the place of the binary are this test's own.
/// Returns what each step said.
#[track_caller]
fn in_one_session(steps: &[(String, Option<String>)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let mut session = "trap 'kill $! 2>/dev/null || true' EXIT\n".to_owned();
    for (command, _) in steps {
        session.push_str(&format!("{command}\nprintf '{}'\n", NEXT.escape_default()));
    }
    let binaries = host::binary().parent().expect("a folder").display().to_string();
    let session =
        session.replace("$PWD/target/debug", &binaries).replace("127.0.0.1:5001", &format!("127.0.0.1:{port}"));
    let output = Command::new("bash").args(["-ec", &session]).env("TMPDIR", folder.path()).output().expect("bash runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<_> = said.split(NEXT).map(ToOwned::to_owned).collect();
    assert_eq!(answers.len(), steps.len() + 1, "{said}");
    answers
}

#[test]
fn the_story_of_key_trust_approval_execution_replay_and_refusal_works_by_copy_and_paste() {
    let steps = steps("## With approvals\n");
    assert_eq!(steps.len(), 9, "{steps:?}");
    for ((command, shown), said) in steps.iter().zip(in_one_session(&steps)) {
        match shown {
            Some(shown) => assert_answers(shown, &said, command),
            None if command.contains("cmp") => assert_eq!(said.trim(), "identical"),
            None if command.contains("halt") => assert!(said.contains(r#""code":"halted""#), "{said}"),
            None => assert_eq!(said, "", "{command}"),
        }
    }
}

#[test]
fn the_story_of_evidence_verified_without_the_host_and_caught_when_forged_works_by_copy_and_paste() {
    let mut all = steps("## With approvals\n");
    let n_before = all.len();
    all.extend(steps("### Evidence that needs no host\n"));
    let said = in_one_session(&all);
    let [exported, verified, forged, _] = &said[n_before..] else { panic!("{:?}", &said[n_before..]) };
    assert_eq!(exported, "");
    let first_line = |said: &str| said.lines().next().unwrap_or_default().to_owned();
    // What the README shows, except for the date.
    let shown = |step: usize| all[n_before + step].1.clone().expect("an answer is shown").trim().to_owned();
    let (before, after) = shown(1).split_once('…').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a date");
    let line = first_line(verified);
    assert!(line.starts_with(&before) && line.ends_with(&after), "{verified}");
    assert_eq!(first_line(forged), shown(2));
    assert!(forged.trim_end().ends_with("exit code 1"), "{forged}");
}

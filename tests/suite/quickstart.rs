//! The README's quickstart, run as a newcomer runs it: every command as it stands there, through a shell.

use std::path::Path;
use std::process::Command;

use openexec_tests::host::Host;
use serde_json::Value;

/// The commands of the quickstart, each with the answer that the README shows after it, if it shows one.
fn steps(readme: &str) -> Vec<(String, Option<String>)> {
    let section = readme.split("## Ninety seconds").nth(1).and_then(|rest| rest.split("\n## ").next());
    let mut steps: Vec<(String, Option<String>)> = Vec::new();
    let (mut block, mut language) = (String::new(), None::<String>);
    for line in section.expect("a quickstart").lines() {
        match (line.strip_prefix("```"), language.take()) {
            (Some(_), Some(open)) if open == "json" => {
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

#[test]
fn the_quickstart_of_the_readme_works_by_copy_and_paste() {
    let host = Host::start();
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).expect("a README");
    let steps = steps(&readme);
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
            Some(shown) => {
                let shown = serde_json::from_str(&shown).expect("the README shows JSON");
                let answered = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{command}{said}"));
                assert_shows(&shown, &answered, &command);
            }
            None if command.contains("cmp") => assert_eq!(said.trim(), "identical"),
            None => assert!(said.contains(r#""status":"succeeded""#), "{command}{said}"),
        }
    }
}

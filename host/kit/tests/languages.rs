//! Each language's template as the kit gives it: it builds, imports nothing, and builds again to the same bytes.
//!
//! Out of scope: running what is built (the workspace's suite). A language whose tools are not on this machine is skipped.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy.toml allows it in tests, not in their helpers"
)]

use std::fs;

use openexec_kit::{Component, KitError, Language, Name, build, create};
use tempfile::TempDir;

/// What was built from a new project, or `None` without the tools.
#[track_caller]
fn built(language: Language, folder: &TempDir) -> Option<Vec<u8>> {
    let project = folder.path().join("order-price");
    create(&project, &Name::parse("order-price").expect("a name"), language).expect("a new folder");
    match build(&project) {
        Ok(built) => {
            assert_eq!(fs::read(&built.path).expect("the file"), built.component.bytes());
            Some(built.component.bytes().to_vec())
        }
        Err(error @ (KitError::NoTool { .. } | KitError::NoRust)) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{language}: {error}"),
    }
}

/// In two folders, so that a path that gets into the bytes is found out; and in one that an earlier build left.
#[track_caller]
fn template_builds(language: Language) {
    let (here, there) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let Some(component) = built(language, &here) else { return };
    Component::check("order-price", component.clone()).expect("a handler that imports nothing");
    let again = build(&here.path().join("order-price")).expect("it did once");
    if language.varies().is_none() {
        assert!(again.component.bytes() == component, "{language}: other bytes the second time");
        assert!(built(language, &there) == Some(component), "{language}: other bytes in another folder");
    }
}

macro_rules! each {
    ($($name:ident: $language:ident,)*) => { $(#[test] fn $name() { template_builds(Language::$language); })* };
}

each! {
    rust: Rust,
    javascript: Js,
    typescript: Ts,
    python: Python,
    go: Go,
    c: C,
    cpp: Cpp,
    zig: Zig,
    assemblyscript: AssemblyScript,
}

#[test]
fn every_language_is_found_by_its_word() {
    for language in Language::ALL {
        assert_eq!(language.as_str().parse(), Ok(language));
    }
    let error = "cobol".parse::<Language>().expect_err("none").to_string();
    assert_eq!(error, "'cobol' is none of the languages: rust, js, ts, python, go, c, cpp, zig, assemblyscript");
}

//! Components that import WASI 0.2 for real: core modules for preview 1, encoded as every toolchain encodes them.
//!
//! In scope: encoding with the adapter that wasmtime publishes.
//! Out of scope: what they may do (`suite/wasi.rs`).

use std::path::{Path, PathBuf};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The component of `fixtures/wasi/probe.wat`: its payload `{"do":"X"}` says what it tries.
#[must_use]
#[track_caller]
pub fn probe() -> Vec<u8> {
    encoded(&text())
}

/// The same, but it does this when it is instantiated: before anybody has called it.
#[must_use]
#[track_caller]
pub fn probe_that_begins_with(body: &str) -> Vec<u8> {
    encoded(&text().replace(";;INITIALIZE;;", &format!("(func (export \"_initialize\") {body})")))
}

fn text() -> String {
    std::fs::read_to_string(fixture("probe.wat")).expect("the probe")
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wasi").join(name)
}

fn encoded(module: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}"));
    let mut resolve = Resolve::default();
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/handler.wit");
    resolve.push_file(contract).expect("the contract");
    let package = resolve.push_file(fixture("probe.wit")).unwrap_or_else(|error| panic!("{error:#}"));
    let world = resolve.select_world(&[package], Some("probe")).expect("a world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    let encoder = ComponentEncoder::default().validate(true).merge_imports_based_on_semver(false);
    let encoder = encoder.module(&module).unwrap_or_else(|error| panic!("{error:#}"));
    let mut encoder = encoder
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        .unwrap_or_else(|error| panic!("{error:#}"));
    encoder.encode().unwrap_or_else(|error| panic!("{error:#}"))
}

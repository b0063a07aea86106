//! Zig, and the compiler that C and C++ share with it. The bindings are those of C, which zig translates itself.

use std::process::Command;

use super::Template;
use crate::component::Adapter;
use crate::project::Project;
use crate::tool::{self, Tool};
use crate::{Component, KitError, Language, bindings, files};

pub(super) const TEMPLATE: Template = &[
    ("handler.zig", include_str!("../../templates/zig/handler.zig")),
    ("README.md", include_str!("../../templates/zig/README.md")),
    (".gitignore", GITIGNORE),
];

pub(super) const GITIGNORE: &str = "/build/\n/.venv/\n";

/// Zig's name for WASI preview 1.
pub(super) const TARGET: &str = "wasm32-wasi";

/// The release whose standard library the template is written for.
const INSTALL: &str = "python3 -m venv .venv && .venv/bin/pip install ziglang==0.17.0";

pub(super) fn compile(project: &Project) -> Result<Component, KitError> {
    let parts = project.fresh_parts()?;
    bindings::generate(wit_bindgen_c::Opts::default().build(), &parts)?;
    let mut translate = compiler(Language::Zig, project)?;
    translate.args(["translate-c", "-target", TARGET, "-lc", "build/handler.h"]);
    files::write(&parts.join("contract.zig"), tool::output(&mut translate)?)?;
    let mut build = compiler(Language::Zig, project)?;
    build.args(["build-exe", "build/handler.c", "build/handler_component_type.o", "-Ibuild", "-lc", "-target", TARGET]);
    // Without a stack size zig takes 16 MiB for it.
    build.args([
        "-O",
        "ReleaseSmall",
        "-fstrip",
        "-fno-entry",
        "-rdynamic",
        "-mexec-model=reactor",
        "--stack",
        "65536",
    ]);
    build.args([
        "-femit-bin=build/core.wasm",
        "--dep",
        "contract",
        "-Mroot=handler.zig",
        "-Mcontract=build/contract.zig",
    ]);
    tool::succeed(&mut build)?;
    Component::encode_with(project.name.as_str(), &files::read(&parts.join("core.wasm"))?, Adapter::Strict)
}

/// Zig, started in the project's folder, so that paths given to it name nothing of this machine.
pub(super) fn compiler(language: Language, project: &Project) -> Result<Command, KitError> {
    let found = ["zig", "python-zig"].into_iter().find_map(|program| tool::locate(program, &project.folder));
    let path = match found {
        Some(path) => path,
        None => Tool { program: "zig", language, install: INSTALL }.find(&project.folder)?,
    };
    let mut command = Command::new(path);
    command.current_dir(&project.folder).env("ZIG_LOCAL_CACHE_DIR", project.parts().join("zig-cache"));
    Ok(command)
}

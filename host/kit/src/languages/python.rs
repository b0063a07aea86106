//! Python: componentize-py adds CPython, runs the module's top level, and keeps the memory. At run time there are no files,
//! so whatever a handler reads must be in a module.

use std::process::Command;

use super::Template;
use super::schemas::Schemas;
use crate::project::Project;
use crate::tool::{self, Tool};
use crate::{Component, KitError, Language, files};

pub(super) const TEMPLATE: Template = &[
    ("src/handler.py", include_str!("../../templates/python/handler.py")),
    ("README.md", include_str!("../../templates/python/README.md")),
    (".gitignore", "/build/\n/.venv/\n__pycache__/\n"),
];

/// The release that the template is written for.
const INSTALL: &str = "python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1";

pub(super) const VARIES: &str = "the times of files and the addresses of objects are in Python's memory, which is kept";

pub(super) fn compile(project: &Project) -> Result<Component, KitError> {
    let parts = project.fresh_parts()?;
    files::write(&parts.join("python/schemas.py"), schemas(project)?)?;
    let componentize = Tool { program: "componentize-py", language: Language::Python, install: INSTALL };
    let mut command = Command::new(componentize.find(&project.folder)?);
    command.current_dir(&project.folder);
    // Packages are those of the project, not those of whatever environment the shell is in.
    command.env("VIRTUAL_ENV", project.folder.join(".venv")).env("PYTHONHASHSEED", "0");
    command.env("RUST_BACKTRACE", "0"); // an author is told what Python says, and not where the tool was
    command.args(["--quiet", "--wit-path", "wit", "--world", "handler", "componentize", "handler", "--stub-wasi"]);
    command.args(["--python-path", "src", "--python-path", "build/python", "--output", "build/component.wasm"]);
    tool::succeed(&mut command)?;
    Component::fused(project.name.as_str(), files::read(&parts.join("component.wasm"))?)
}

fn schemas(project: &Project) -> Result<String, KitError> {
    let Schemas { payload, output } = Schemas::of(project)?;
    Ok(format!("# Made by the build.\n\nPAYLOAD_SCHEMA = {payload}\nOUTPUT_SCHEMA = {output}\n"))
}

//! JavaScript and TypeScript: esbuild makes one module of the source, componentize-qjs adds the engine QuickJS.
//!
//! The engine is started while it is built, and its memory kept. So the build runs under a clock and randomness that are
//! always the same (`fixed.c`), or else it gives other bytes each time.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Template;
use crate::project::Project;
use crate::tool::{self, Tool};
use crate::{Component, KitError, Language, files};

pub(super) const TEMPLATE_JS: Template = &[
    ("handler.js", include_str!("../../templates/javascript/handler.js")),
    ("package.json", include_str!("../../templates/javascript/package.json")),
    ("README.md", include_str!("../../templates/javascript/README.md")),
    (".gitignore", GITIGNORE),
];

pub(super) const TEMPLATE_TS: Template = &[
    ("handler.ts", include_str!("../../templates/typescript/handler.ts")),
    ("contract.d.ts", include_str!("../../templates/typescript/contract.d.ts")),
    ("tsconfig.json", include_str!("../../templates/typescript/tsconfig.json")),
    ("package.json", include_str!("../../templates/typescript/package.json")),
    ("README.md", include_str!("../../templates/typescript/README.md")),
    (".gitignore", GITIGNORE),
];

pub(super) const GITIGNORE: &str = "/build/\n/node_modules/\n";

/// The versions are those of the project's package.json.
pub(super) const INSTALL: &str = "npm install";

const FIXED: &str = include_str!("fixed.c");

/// What the engine has, and nothing that only browsers or Node.js have. Schemas are given as the text that they are.
const BUNDLE: [&str; 5] =
    ["--bundle", "--format=esm", "--platform=neutral", "--target=es2022", "--loader:.schema.json=text"];

pub(super) fn compile_js(project: &Project) -> Result<Component, KitError> {
    compile(project, Language::Js, "handler.js")
}

/// The types are checked first, for esbuild only removes them.
pub(super) fn compile_ts(project: &Project) -> Result<Component, KitError> {
    tool::succeed(&mut installed("tsc", Language::Ts, project)?)?;
    compile(project, Language::Ts, "handler.ts")
}

pub(super) fn varies() -> Option<&'static str> {
    compiler(Path::new("")).is_none().then_some(
        "the engine keeps the clock of its build, which is fixed on Linux and with a C compiler (cc) on the PATH only",
    )
}

fn compile(project: &Project, language: Language, source: &str) -> Result<Component, KitError> {
    let parts = project.fresh_parts()?;
    let mut bundle = installed("esbuild", language, project)?;
    bundle.arg(source).args(BUNDLE).args(["--outfile=build/handler.js", "--log-level=warning"]);
    tool::succeed(&mut bundle)?;

    let mut componentize = installed("componentize-qjs", language, project)?;
    componentize.args(["--wit", "wit", "-n", "handler", "--js", "build/handler.js"]);
    // Without imports, and with functions that return before anything else runs.
    componentize.args(["--stub-wasi", "--sync", "-o", "build/component.wasm"]);
    if let Some(cc) = compiler(&project.folder) {
        files::write(&parts.join("fixed.c"), FIXED)?;
        let mut library = Command::new(cc);
        library.current_dir(&project.folder).args(["-O2", "-shared", "-fPIC", "build/fixed.c", "-o", "build/fixed.so"]);
        tool::succeed(&mut library)?;
        componentize.env("LD_PRELOAD", parts.join("fixed.so"));
    }
    tool::succeed(&mut componentize)?;
    Component::fused(project.name.as_str(), files::read(&parts.join("component.wasm"))?)
}

/// A program from npm, started in the project's folder, with the Node.js that it runs in.
pub(super) fn installed(program: &'static str, language: Language, project: &Project) -> Result<Command, KitError> {
    let node = "Node.js 20 or later, from https://nodejs.org or the system's packages, onto the PATH";
    Tool { program: "node", language, install: node }.find(&project.folder)?;
    let mut command = Command::new(Tool { program, language, install: INSTALL }.find(&project.folder)?);
    command.current_dir(&project.folder);
    Ok(command)
}

/// The C compiler, where its library can be put before a program's own.
fn compiler(project: &Path) -> Option<PathBuf> {
    cfg!(target_os = "linux").then(|| tool::locate("cc", project)).flatten()
}

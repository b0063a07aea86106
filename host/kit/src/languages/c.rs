//! C and C++: bindings made here, compiled by `zig cc`, which is a clang with a libc for wasm in one package.
//!
//! The libc asks WASI for a few things that a handler hardly ever uses; the strict adapter answers them.

use std::path::{Path, PathBuf};

use super::Template;
use super::zig;
use crate::component::Adapter;
use crate::project::Project;
use crate::{Component, KitError, Language, bindings, files, tool};

pub(super) const TEMPLATE_C: Template = &[
    ("handler.c", include_str!("../../templates/c/handler.c")),
    ("README.md", include_str!("../../templates/c/README.md")),
    (".gitignore", zig::GITIGNORE),
];

pub(super) const TEMPLATE_CPP: Template = &[
    ("handler.cpp", include_str!("../../templates/cpp/handler.cpp")),
    ("README.md", include_str!("../../templates/cpp/README.md")),
    (".gitignore", zig::GITIGNORE),
];

const C: [&str; 3] = ["cc", "-std=c23", "-Wextra"];
/// The bindings use std::expected, hence C++23; exceptions would need a feature of Wasm that the host does not have.
const CPP: [&str; 5] = ["c++", "-std=c++23", "-fno-exceptions", "-fno-rtti", "-Wno-c23-extensions"];

/// Without a stack size zig takes 16 MiB for it.
const SMALL: [&str; 5] = ["-Os", "-Wall", "-mexec-model=reactor", "-Wl,--strip-all", "-Wl,-z,stack-size=65536"];

pub(super) fn compile_c(project: &Project) -> Result<Component, KitError> {
    let parts = project.fresh_parts()?;
    bindings::generate(wit_bindgen_c::Opts::default().build(), &parts)?;
    link(project, &C, "c", &["handler.c"], Language::C)
}

pub(super) fn compile_cpp(project: &Project) -> Result<Component, KitError> {
    let parts = project.fresh_parts()?;
    bindings::generate(wit_bindgen_cpp::Opts::default().build(None), &parts)?;
    link(project, &CPP, "cpp", &["handler.cpp"], Language::Cpp)
}

/// Compiles every source of the project's folder and the bindings into one module, and makes the component.
fn link(
    project: &Project,
    compiler: &[&str],
    extension: &str,
    generated: &[&str],
    language: Language,
) -> Result<Component, KitError> {
    let mut command = zig::compiler(language, project)?;
    command.args(compiler).args(["-target", zig::TARGET]).args(SMALL);
    // Named from the project's folder, so that no path of this machine gets into what is built.
    command.args(["-Ibuild", "-I."]).args(sources(&project.folder, extension));
    command.args(generated.iter().map(|name| format!("build/{name}"))).arg("build/handler_component_type.o");
    command.args(["-o", "build/core.wasm"]);
    tool::succeed(&mut command)?;
    Component::encode_with(project.name.as_str(), &files::read(&project.parts().join("core.wasm"))?, Adapter::Strict)
}

/// In the same order everywhere, for the bytes depend on it.
fn sources(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let is_source = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
    let names = files::folders_in(folder).filter(is_source).filter_map(|path| path.file_name().map(PathBuf::from));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

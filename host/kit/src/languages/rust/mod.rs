//! Rust: cargo and rustc for a target without an operating system, so that nothing is imported that had to be answered.
//!
//! In scope: the template, the environment, the toolchain (`toolchain`), how cargo is run (`compile`).

pub(crate) mod compile;
pub mod toolchain;

use std::process::Command;

use super::Template;
use crate::project::Project;
use crate::{Component, KitError};
use compile::Workspace;

/// Its allocator is the one of the handlers that the host ships.
pub(super) const TEMPLATE: Template = &[
    ("Cargo.toml", include_str!("../../../templates/rust/Cargo.toml.txt")),
    ("Cargo.lock", include_str!("../../../templates/rust/Cargo.lock.txt")),
    ("src/lib.rs", include_str!("../../../templates/rust/lib.rs.txt")),
    ("src/arena.rs", include_str!("../../../../../handlers/arena/src/wasm.rs")),
    ("README.md", include_str!("../../../templates/rust/README.md")),
    (".gitignore", "/build/\n"),
];

pub(super) fn compile(project: &Project) -> Result<Component, KitError> {
    let toolchain = toolchain::installed(&project.folder).into_iter().next().ok_or(KitError::NoRust)?;
    let workspace = Workspace { folder: &project.folder, alias: "/handler", profile: "release", is_locked: false };
    let package = project.name.as_str();
    let module = compile::core_module(&workspace, &toolchain, &project.parts(), package)?;
    Component::encode(package, &module)
}

/// `cargo run` and people's shells set variables for another build than this one. What stays says where crates come
/// from and how fast, which the lock file makes harmless.
pub(crate) fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(changes_the_build) {
            command.env_remove(name);
        }
    }
    command
}

fn changes_the_build(name: &str) -> bool {
    const KEPT: &[&str] = &[
        "CARGO_BUILD_JOBS",
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    const REMOVED: &[&str] =
        &["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "DYLD_"];
    let begins = |prefix: &&str| name.starts_with(*prefix);
    REMOVED.iter().any(begins) && !KEPT.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::changes_the_build;

    #[test]
    fn only_variables_that_say_where_crates_come_from_are_inherited() {
        for name in ["CARGO_HOME", "CARGO_HTTP_PROXY", "CARGO_REGISTRIES_X_INDEX", "PATH", "HOME", "CARGO_BUILD_JOBS"] {
            assert!(!changes_the_build(name), "{name}");
        }
        for name in ["CARGO", "CARGO_PROFILE_RELEASE_LTO", "RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_BUILD_RUSTFLAGS"] {
            assert!(changes_the_build(name), "{name}");
        }
    }
}

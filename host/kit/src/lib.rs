//! The kit: from a handler's source, in the language of its author, to a component that imports nothing.
//!
//! In scope: a project to begin with (`project`), finding a language's tools and running them (`tool`, `languages`), making a
//! component of what they give (`component`).
//! Out of scope: examining and pinning components (`cli`), running them (`openexec-sandbox`). A host that serves never comes
//! here; nothing it loads is trusted for having been built by the kit.
//!
//! Invariants
//! - A component that comes out imports nothing: what a language's runtime asks of WASI is answered inside it.
//! - A build writes into the project's `build/`, to its component, and to the caches of the language's own tools. It installs nothing.

mod bindings;
mod component;
mod error;
mod files;
mod fuse;
mod languages;
mod project;
mod tool;

pub use component::{Component, EXPORT};
pub use error::KitError;
pub use languages::rust::compile::{Workspace, core_module};
pub use languages::rust::toolchain;
pub use languages::{Language, UnknownLanguage};
pub use project::{Built, Name, NameError, build, create};
pub use tool::{output, succeed};

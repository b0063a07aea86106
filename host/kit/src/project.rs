//! A handler's project: a folder with a `handler.toml`, and what is made in it.
//!
//! In scope: writing one to begin with, reading `handler.toml`, building its component.
//! Out of scope: what each language needs (`languages`).

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::bindings::WIT;
use crate::{Component, KitError, Language, files};

const MANIFEST: &str = "handler.toml";
const MANIFEST_VERSION: u64 = 1;

/// Written into every project, whatever its language: name of the file, text.
const COMMON: [(&str, &str); 6] = [
    (MANIFEST, include_str!("../templates/common/handler.toml")),
    ("payload.schema.json", include_str!("../templates/common/payload.schema.json")),
    ("output.schema.json", include_str!("../templates/common/output.schema.json")),
    ("cases/accepted.json", include_str!("../templates/common/accepted.json")),
    ("cases/rejected.json", include_str!("../templates/common/rejected.json")),
    ("wit/handler.wit", WIT),
];

/// What a project is called, and its component: a word of a to z, digits and single hyphens, as every language's tools
/// accept it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// Why a name is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no name for a handler: 1 to 64 of a to z, 0 to 9 and single hyphens, the first a letter, as in order-price"
)]
pub struct NameError(String);

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// When a tool of some language would not take it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let begins_well = text.starts_with(|first: char| first.is_ascii_lowercase());
        if begins_well && text.len() <= 64 && text.split('-').all(is_word) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError(text.chars().take(100).collect()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name where hyphens are not allowed.
    pub(crate) fn identifier(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A project that is being built.
pub(crate) struct Project {
    /// Absolute.
    pub(crate) folder: PathBuf,
    pub(crate) name: Name,
    pub(crate) language: Language,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u64,
    name: String,
    language: String,
}

/// A component that was built.
#[derive(Debug)]
pub struct Built {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub component: Component,
    /// Its language.
    pub language: Language,
}

/// Writes a project that builds as it is into a new folder.
///
/// # Errors
/// When the folder exists or cannot be written.
pub fn create(folder: &Path, name: &Name, language: Language) -> Result<(), KitError> {
    if folder.symlink_metadata().is_ok() {
        return Err(KitError::Exists(folder.to_owned()));
    }
    for (path, text) in COMMON.iter().chain(language.template()) {
        let text = text.replace("{{name}}", name.as_str()).replace("{{identifier}}", &name.identifier());
        let text = text.replace("{{language}}", language.as_str());
        files::write(&folder.join(path), text)?;
    }
    Ok(())
}

/// Builds the component of the project in `folder` and writes it there, as `NAME.wasm`.
///
/// # Errors
/// When it is no project, a tool is missing or fails, or what comes out is no handler.
pub fn build(folder: &Path) -> Result<Built, KitError> {
    let project = Project::open(folder)?;
    let component = project.language.compile(&project)?;
    let path = folder.join(format!("{}.wasm", project.name));
    files::write(&path, component.bytes())?;
    Ok(Built { path, component, language: project.language })
}

impl Project {
    fn open(folder: &Path) -> Result<Self, KitError> {
        let path = folder.join(MANIFEST);
        if !path.is_file() {
            return Err(KitError::NoProject(folder.to_owned()));
        }
        let manifest = |problem: String| KitError::Manifest { path: path.clone(), problem };
        let read: Manifest =
            toml_edit::de::from_str(&files::read_text(&path)?).map_err(|error| manifest(error.to_string()))?;
        if read.version != MANIFEST_VERSION {
            return Err(manifest(format!("version {} is not known to this openexec. ", read.version)));
        }
        let name = Name::parse(&read.name).map_err(|cause| KitError::Name { path: path.clone(), cause })?;
        let language = read.language.parse().map_err(|error| manifest(format!("{error}. ")))?;
        let absolute = folder.canonicalize();
        let folder = absolute.map_err(|source| KitError::File { verb: "find", path: folder.to_owned(), source })?;
        Ok(Self { folder, name, language })
    }

    /// An empty folder for what is made on the way.
    pub(crate) fn fresh_parts(&self) -> Result<PathBuf, KitError> {
        let parts = self.parts();
        files::empty_folder(&parts)?;
        Ok(parts)
    }

    /// The folder for what is made on the way and worth keeping.
    pub(crate) fn parts(&self) -> PathBuf {
        self.folder.join("build")
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn names_are_words_that_every_tool_takes() {
        for good in ["a", "order-price", "x1", "a-1-b", &"a".repeat(64)] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "1a", "a--b", "-a", "a-", "a_b", "a.b", "../a", "a/b", "ä", &"a".repeat(65)] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }
}

//! The languages: which there are, and what each needs.
//!
//! In scope: the list. A file for each family of languages knows its template, its tools and its traps.
//! Out of scope: what is the same for all (`project`, `component`).

mod assemblyscript;
mod c;
mod go;
mod javascript;
mod python;
pub(crate) mod rust;
mod schemas;
mod zig;

use std::fmt;
use std::str::FromStr;

use crate::project::Project;
use crate::{Component, KitError};

/// Files of a project: path, text.
pub(crate) type Template = &'static [(&'static str, &'static str)];

/// A language that handlers can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Rust, without WASI.
    Rust,
    /// C23.
    C,
    /// C++23.
    Cpp,
    /// Zig.
    Zig,
    /// JavaScript, on the engine QuickJS.
    Js,
    /// TypeScript, on the same.
    Ts,
    /// Python 3.14.
    Python,
    /// Go, with its own toolchain.
    Go,
    /// AssemblyScript.
    AssemblyScript,
}

/// Why a word is no language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{word}' is none of the languages: {known}", known = Language::ALL.map(Language::as_str).join(", "))]
pub struct UnknownLanguage {
    word: String,
}

impl Language {
    /// All of them, as the guide lists them.
    pub const ALL: [Self; 9] =
        [Self::Rust, Self::Js, Self::Ts, Self::Python, Self::Go, Self::C, Self::Cpp, Self::Zig, Self::AssemblyScript];

    /// The word on the command line and in `handler.toml`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Zig => "zig",
            Self::Js => "js",
            Self::Ts => "ts",
            Self::Python => "python",
            Self::Go => "go",
            Self::AssemblyScript => "assemblyscript",
        }
    }

    /// Why building again may give other bytes; `None` if it gives the same.
    #[must_use]
    pub fn varies(self) -> Option<&'static str> {
        match self {
            Self::Rust | Self::C | Self::Cpp | Self::Zig | Self::Go | Self::AssemblyScript => None,
            Self::Js | Self::Ts => javascript::varies(),
            Self::Python => Some(python::VARIES),
        }
    }

    pub(crate) fn template(self) -> Template {
        match self {
            Self::Rust => rust::TEMPLATE,
            Self::C => c::TEMPLATE_C,
            Self::Cpp => c::TEMPLATE_CPP,
            Self::Zig => zig::TEMPLATE,
            Self::Js => javascript::TEMPLATE_JS,
            Self::Ts => javascript::TEMPLATE_TS,
            Self::Python => python::TEMPLATE,
            Self::Go => go::TEMPLATE,
            Self::AssemblyScript => assemblyscript::TEMPLATE,
        }
    }

    pub(crate) fn compile(self, project: &Project) -> Result<Component, KitError> {
        match self {
            Self::Rust => rust::compile(project),
            Self::C => c::compile_c(project),
            Self::Cpp => c::compile_cpp(project),
            Self::Zig => zig::compile(project),
            Self::Js => javascript::compile_js(project),
            Self::Ts => javascript::compile_ts(project),
            Self::Python => python::compile(project),
            Self::Go => go::compile(project),
            Self::AssemblyScript => assemblyscript::compile(project),
        }
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(word: &str) -> Result<Self, UnknownLanguage> {
        let known = Self::ALL.into_iter().find(|language| language.as_str() == word);
        known.ok_or_else(|| UnknownLanguage { word: word.chars().take(100).collect() })
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Language;

    #[test]
    fn every_language_is_found_by_its_word() {
        for language in Language::ALL {
            assert_eq!(language.as_str().parse(), Ok(language));
        }
        let error = "cobol".parse::<Language>().expect_err("none").to_string();
        assert!(error.starts_with("'cobol' is none of the languages: rust, "), "{error}");
    }
}

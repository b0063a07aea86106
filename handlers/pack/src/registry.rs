//! The registry file, as far as packing goes: which components there are, and their digests.
//!
//! In scope: reading the pins, replacing digests in place. Comments, order and spelling stay as they are.
//! Out of scope: limits, profiles, versions. The host's parser judges those.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, TableLike, Value};

use crate::error::Error;
use crate::files;

pub(crate) struct Registry {
    path: PathBuf,
    document: DocumentMut,
}

/// One action and what it is bound to.
#[derive(Debug, PartialEq)]
pub(crate) struct Pin {
    pub(crate) action: String,
    /// The component's file, relative to the registry.
    pub(crate) component: String,
    pub(crate) sha256: String,
    /// The package that it is built from: the name of the file, with `-` for `.`, which cargo does not take.
    pub(crate) crate_name: String,
}

impl Registry {
    pub(crate) fn read(handlers: &Path) -> Result<Self, Error> {
        let path = handlers.join("registry.toml");
        let document = files::read_text(&path)?.parse().map_err(Error::RegistrySyntax)?;
        Ok(Self { path, document })
    }

    /// In the order of the file.
    pub(crate) fn pins(&self) -> Result<Vec<Pin>, Error> {
        let actions = self.document.get("action").and_then(|item| item.as_table_like());
        let actions = actions.ok_or_else(|| shape("action".to_owned(), "a table"))?;
        actions.iter().map(|(action, item)| Pin::parse(action, item.as_table_like())).collect()
    }

    pub(crate) fn set_digest(&mut self, action: &str, digest: &str) -> Result<(), Error> {
        let pin = self.document.get_mut("action").and_then(|actions| actions.get_mut(action));
        let value = pin.and_then(|pin| pin.get_mut("sha256")).and_then(|item| item.as_value_mut());
        let value = value.ok_or_else(|| shape(format!("action.{action}.sha256"), "a string"))?;
        let decor = value.decor().clone(); // the spaces and the comment around it
        *value = Value::from(digest);
        *value.decor_mut() = decor;
        Ok(())
    }

    pub(crate) fn write(&self) -> Result<(), Error> {
        files::write(&self.path, self.document.to_string().as_bytes())
    }
}

impl Pin {
    fn parse(action: &str, pin: Option<&dyn TableLike>) -> Result<Self, Error> {
        let text = |key: &str| {
            let value = pin.and_then(|pin| pin.get(key)).and_then(|item| item.as_str());
            value.map(str::to_owned).ok_or_else(|| shape(format!("action.{action}.{key}"), "a string"))
        };
        let component = text("component")?;
        let crate_name = component
            .strip_prefix("components/")
            .and_then(|file| file.strip_suffix(".wasm"))
            .map(|stem| stem.replace('.', "-"))
            .ok_or_else(|| shape(format!("action.{action}.component"), "components/<name>.wasm"))?;
        Ok(Self { action: action.to_owned(), component, sha256: text("sha256")?, crate_name })
    }
}

fn shape(place: String, expected: &'static str) -> Error {
    Error::RegistryShape { place, expected }
}

#[cfg(test)]
mod tests {
    use super::{Error, Registry};

    const TEXT: &str = "# head\nversion = 1\n\n[action.\"a.b\"] # why\ncomponent = \"components/a.b.wasm\"\n\
                        sha256 = \"00\" # written by pack\nversion = \"1.0.0\"\n\n[action.\"a.b\".limits]\nfuel = 5_000\n";

    fn registry(text: &str) -> Registry {
        Registry { path: "registry.toml".into(), document: text.parse().unwrap() }
    }

    #[test]
    fn a_pin_names_its_package() {
        let pins = registry(TEXT).pins().unwrap();
        assert_eq!(pins.len(), 1);
        assert_eq!((pins[0].action.as_str(), pins[0].crate_name.as_str()), ("a.b", "a-b"));
        assert_eq!((pins[0].component.as_str(), pins[0].sha256.as_str()), ("components/a.b.wasm", "00"));
    }

    #[test]
    fn a_new_digest_changes_nothing_else() {
        let mut registry = registry(TEXT);
        registry.set_digest("a.b", "ff").unwrap();
        assert_eq!(registry.document.to_string(), TEXT.replace("\"00\"", "\"ff\""));
    }

    #[test]
    fn a_pin_without_its_members_is_named_in_the_error() {
        let error = registry("[action.x]\ncomponent = \"components/x.wasm\"\n").pins().unwrap_err();
        assert!(error.to_string().contains("action.x.sha256"), "{error}");
        assert!(matches!(registry("").pins(), Err(Error::RegistryShape { .. })));
    }
}

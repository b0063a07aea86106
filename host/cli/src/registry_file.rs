//! `registry.toml` as a text that people keep: edited in place, with its comments, its order and its spelling.
//!
//! In scope: setting and removing a pin, and nothing that already is as it should be.
//! Out of scope: whether the result is a registry (`openexec_core::registry`), writing it (`files`).

use openexec_core::digest::Digest;
use openexec_core::registry::Profile;
use toml_edit::{DocumentMut, Item, Table, TomlError, Value};

use crate::handler::Said;

/// What a pin shall say. What is `None` or not named stays as it is.
pub(crate) struct NewPin<'a> {
    pub(crate) component: &'a str,
    pub(crate) digest: Digest,
    pub(crate) version: Option<&'a str>,
    pub(crate) profile: Option<Profile>,
    pub(crate) limits: Vec<(&'static str, u64)>,
    pub(crate) description: &'a Said,
}

/// Why the text cannot be edited.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    #[error("the registry is not TOML: {0}")]
    Toml(#[from] TomlError),
    #[error("'{0}' is not written as a table: write it as [{0}], so that it can be edited")]
    NotATable(String),
    #[error("the registry has no action '{0}'")]
    NoAction(String),
}

/// The version of a pin that nobody has named one for.
const VERSION_DEFAULT: &str = "1.0.0";

pub(crate) struct RegistryFile(DocumentMut);

impl RegistryFile {
    /// A registry without an action.
    pub(crate) fn new() -> Self {
        let mut document = DocumentMut::new();
        document.insert("version", toml_edit::value(1));
        Self(document)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, EditError> {
        Ok(Self(text.parse()?))
    }

    pub(crate) fn text(&self) -> String {
        self.0.to_string()
    }

    pub(crate) fn pin(&mut self, action: &str, pin: &NewPin<'_>) -> Result<(), EditError> {
        let actions = table(self.0.as_table_mut(), "action", "action")?;
        if actions.is_empty() {
            actions.set_implicit(true); // its name stands in the headers of its actions
        }
        let name = format!("action.{action}");
        let entry = table(actions, action, &name)?;
        set_text(entry, "component", pin.component);
        set_text(entry, "sha256", &pin.digest.to_string());
        if let Some(version) = pin.version {
            set_text(entry, "version", version);
        } else if !entry.contains_key("version") {
            set_text(entry, "version", VERSION_DEFAULT);
        }
        if let Some(profile) = pin.profile {
            set_text(entry, "profile", profile.as_str());
        } else if !entry.contains_key("profile") {
            set_text(entry, "profile", Profile::Pure.as_str());
        }
        if !pin.limits.is_empty() {
            let limits = table(entry, "limits", &format!("{name}.limits"))?;
            pin.limits.iter().for_each(|(key, value)| set_number(limits, key, *value));
        }
        let description = table(entry, "description", &format!("{name}.description"))?;
        pin.description.parts().into_iter().for_each(|(key, text)| set_text(description, key, text));
        Ok(())
    }

    pub(crate) fn unpin(&mut self, action: &str) -> Result<(), EditError> {
        let removed = table(self.0.as_table_mut(), "action", "action")?.remove(action);
        removed.map(drop).ok_or_else(|| EditError::NoAction(action.to_owned()))
    }
}

/// The table under `key`, made if there is none.
fn table<'a>(parent: &'a mut Table, key: &str, name: &str) -> Result<&'a mut Table, EditError> {
    let item = parent.entry(key).or_insert_with(|| {
        let mut table = Table::new();
        table.decor_mut().set_prefix("\n");
        Item::Table(table)
    });
    item.as_table_mut().ok_or_else(|| EditError::NotATable(name.to_owned()))
}

/// Leaves the value alone if it says this already: its spelling and the comment behind it are somebody's.
fn set_text(table: &mut Table, key: &str, text: &str) {
    if table.get(key).and_then(Item::as_str) != Some(text) {
        set(table, key, spelled(text));
    }
}

fn set_number(table: &mut Table, key: &str, number: u64) {
    let Ok(number) = i64::try_from(number) else { return }; // every limit is far below
    if table.get(key).and_then(Item::as_integer) != Some(number) {
        set(table, key, Value::from(number));
    }
}

/// Keeps what stands before and behind the old value.
fn set(table: &mut Table, key: &str, mut value: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

/// Text of several lines as it reads, between three apostrophes, where TOML can say it so.
fn spelled(text: &str) -> Value {
    if text.contains('\n')
        && let Ok(value) = format!("'''\n{text}'''").parse::<Value>()
        && value.as_str() == Some(text)
    {
        return value;
    }
    Value::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_spelled_so_that_it_reads_back() {
        for text in ["", "a", "it's", "{\n  \"a\": 1\n}\n", "a\n'''b", "a\r\nb", "a\nb'", "\n", "a\n\u{1}", "'''"] {
            assert_eq!(spelled(text).as_str(), Some(text), "{text:?}");
            let line = format!("x = {}", spelled(text));
            assert_eq!(line.parse::<DocumentMut>().unwrap()["x"].as_str(), Some(text), "{line}");
        }
        assert!(spelled("{\n \"a\": 1\n}").to_string().contains("{\n \"a\": 1\n}"));
    }
}

//! The project's two schemas as string literals, for languages whose handlers cannot read files, nor embed them.

use crate::project::Project;
use crate::{KitError, files};

/// In quotation marks, as Python, JavaScript and AssemblyScript all read them.
pub(super) struct Schemas {
    pub(super) payload: String,
    pub(super) output: String,
}

impl Schemas {
    pub(super) fn of(project: &Project) -> Result<Self, KitError> {
        let literal = |name: &str| files::read_text(&project.folder.join(name)).map(|text| quoted(&text));
        Ok(Self { payload: literal("payload.schema.json")?, output: literal("output.schema.json")? })
    }
}

fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|character| match character {
        '"' | '\\' => format!("\\{character}"),
        '\n' => "\\n".to_owned(),
        control if control.is_ascii_control() => format!("\\u{:04x}", u32::from(control)),
        other => other.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_literal_is_one_line() {
        assert_eq!(quoted("{\"a\": \"\\d\u{e4}\"}\r\n\0"), r#""{\"a\": \"\\dä\"}\u000d\n\u0000""#);
    }
}

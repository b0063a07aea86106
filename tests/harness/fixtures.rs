//! Fixtures: hostile components as text, and registries that pin them.

use std::path::{Path, PathBuf};

use openexec_core::digest::Digest;

/// The component `fixtures/NAME.wat`, as bytes.
#[must_use]
#[track_caller]
pub fn component(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/{name}.wat"));
    wat::parse_file(&path).unwrap_or_else(|error| panic!("{error}"))
}

/// The component `fixtures/NAME.wat`, as text.
#[must_use]
#[track_caller]
pub fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/{name}.wat"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Writes a registry that pins each fixture under its own name, with these limits (lines of TOML such as
/// `fuel = 1000`); returns the path of the registry.
#[track_caller]
pub fn write_registry(folder: &Path, fixtures: &[(&str, &str)]) -> PathBuf {
    let mut registry = "version = 1\n".to_owned();
    for (name, limits) in fixtures {
        let bytes = component(name);
        std::fs::write(folder.join(format!("{name}.wasm")), &bytes).expect("a component file");
        registry.push_str(&format!(
            "[action.{name}]\ncomponent = \"{name}.wasm\"\nsha256 = \"{}\"\nversion = \"1\"\nprofile = \"pure\"\n[action.{name}.limits]\n{limits}\n",
            Digest::of(&bytes)
        ));
    }
    let path = folder.join("registry.toml");
    std::fs::write(&path, registry).expect("a registry file");
    path
}

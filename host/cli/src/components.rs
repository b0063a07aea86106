//! Where the registry and its components come from: the binary itself, or files.
//!
//! In scope: reading bytes. Out of scope: trusting them (`openexec-sandbox` compares digests).

use std::path::{Path, PathBuf};
use std::{fs, io};

use openexec_core::registry::{Registry, RegistryError};
use openexec_sandbox::ComponentFile;

use crate::args::RegistrySource;

/// The default registry. `make handlers` writes these files.
const BUILT_IN_REGISTRY: &str = include_str!("../../../handlers/registry.toml");
const BUILT_IN_COMPONENTS: [(&str, &[u8]); 3] = [
    ("components/add.wasm", include_bytes!("../../../handlers/components/add.wasm")),
    ("components/echo.wasm", include_bytes!("../../../handlers/components/echo.wasm")),
    ("components/payments.transfer.wasm", include_bytes!("../../../handlers/components/payments.transfer.wasm")),
];

/// Largest component that is read: the largest runtime that was measured (Python) makes 21 MB.
const COMPONENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why the registry or a component cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("{path}: cannot be read ({cause}): correct the path, or the permissions")]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("{path}: larger than {COMPONENT_BYTES_MAX} bytes; no known toolchain makes such a component")]
    TooLarge { path: PathBuf },
    #[error("{path}: {cause}")]
    Registry { path: PathBuf, cause: RegistryError },
    #[error("the registry built into this binary pins {0}, which is not built in: rebuild openexec")]
    NotBuiltIn(String),
}

/// The registry and the bytes it pins.
pub(crate) struct Source {
    pub(crate) registry: Registry,
    pub(crate) components: Vec<ComponentFile>,
}

/// Reads the registry that was asked for, and every component it names.
pub(crate) fn load(source: &RegistrySource) -> Result<Source, SourceError> {
    match &source.registry {
        None => load_with("(built in)".as_ref(), BUILT_IN_REGISTRY, |component| {
            let built_in = BUILT_IN_COMPONENTS.iter().find(|(path, _)| *path == component);
            let (path, bytes) = built_in.ok_or_else(|| SourceError::NotBuiltIn(component.to_owned()))?;
            Ok((format!("(built in) {path}"), bytes.to_vec()))
        }),
        Some(path) => {
            let unreadable = |cause| SourceError::Unreadable { path: path.clone(), cause };
            let text = fs::read_to_string(path).map_err(unreadable)?;
            let folder = path.parent().unwrap_or(Path::new("."));
            load_with(path, &text, |component| read_component(&folder.join(component)))
        }
    }
}

fn load_with(
    path: &Path,
    text: &str,
    read: impl Fn(&str) -> Result<(String, Vec<u8>), SourceError>,
) -> Result<Source, SourceError> {
    let registry = Registry::parse(text).map_err(|cause| SourceError::Registry { path: path.to_owned(), cause })?;
    let mut components = Vec::new();
    for (action, pin) in registry.pins() {
        let (path, bytes) = read(&pin.component)?;
        components.push(ComponentFile { action: action.clone(), pin: pin.clone(), path, bytes });
    }
    Ok(Source { registry, components })
}

/// Reads the bytes of a component.
pub(crate) fn read_component(path: &Path) -> Result<(String, Vec<u8>), SourceError> {
    let unreadable = |cause| SourceError::Unreadable { path: path.to_owned(), cause };
    if fs::metadata(path).map_err(unreadable)?.len() > COMPONENT_BYTES_MAX {
        return Err(SourceError::TooLarge { path: path.to_owned() });
    }
    Ok((path.display().to_string(), fs::read(path).map_err(unreadable)?))
}

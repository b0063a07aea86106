//! Where the registry and its code come from: the binary itself, or files; components, or artifacts that a lock names.
//!
//! In scope: reading bytes. Out of scope: trusting them (`openexec-sandbox` compares digests).

use std::path::{Path, PathBuf};
use std::{fs, io};

use openexec_core::lock::Artifact;
use openexec_core::names::Action;
use openexec_core::registry::{Pin, Registry, RegistryError};
use openexec_sandbox::{
    ArtifactError, ArtifactFile, ComponentFile, CurrentLock, LockedCode, LockedFile, Sandbox, Settings, StartError,
};

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

/// Largest artifact that is read: compiled code is two to four times its component.
const ARTIFACT_BYTES_MAX: u64 = 8 * COMPONENT_BYTES_MAX;

/// Why the registry, a component, the lock or an artifact cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("{path}: cannot be read ({cause}): correct the path, or the permissions")]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("{path}: larger than {bytes_max} bytes; no known toolchain makes such a file")]
    TooLarge { path: PathBuf, bytes_max: u64 },
    #[error("{path}: {cause}")]
    Registry { path: PathBuf, cause: RegistryError },
    #[error("the registry built into this binary pins {0}, which is not built in: rebuild openexec")]
    NotBuiltIn(String),
    #[error(transparent)]
    Lock(#[from] ArtifactError),
    #[error(transparent)]
    Component(#[from] StartError),
}

/// The registry and the code that it pins.
pub(crate) struct Source {
    pub(crate) registry: Registry,
    pub(crate) code: Code,
}

/// What is to run, as it was read.
pub(crate) enum Code {
    /// To be compiled.
    Components(Vec<ComponentFile>),
    /// Compiled earlier.
    Locked(LockedCode),
}

impl Code {
    /// Starts everything that can run.
    pub(crate) fn start(self, settings: Settings) -> Result<Sandbox, StartError> {
        match self {
            Self::Components(files) => Sandbox::start(files, settings),
            Self::Locked(code) => Sandbox::start_locked(code, settings),
        }
    }

    /// For how many actions an artifact is locked.
    pub(crate) fn n_locked(&self) -> usize {
        match self {
            Self::Components(_) => 0,
            Self::Locked(code) => code.handlers.len(),
        }
    }
}

/// Reads the registry that was asked for, and the artifacts of its lock, or else every component that it names.
pub(crate) fn load(source: &RegistrySource) -> Result<Source, SourceError> {
    match read_lock(source)? {
        None => {
            let (registry, files) = load_components(source)?;
            Ok(Source { registry, code: Code::Components(files) })
        }
        Some((path, text)) => {
            let place = Place::of(source)?;
            let registry = place.registry()?;
            let code = locked_code(&registry, &text, &path)?;
            place.require_no_other_component(&registry)?;
            Ok(Source { registry, code: Code::Locked(code) })
        }
    }
}

/// Reads the registry that was asked for, and every component it names.
pub(crate) fn load_components(source: &RegistrySource) -> Result<(Registry, Vec<ComponentFile>), SourceError> {
    let place = Place::of(source)?;
    let registry = place.registry()?;
    let files = registry.pins().map(|(action, pin)| place.component(action, pin)).collect::<Result<_, _>>()?;
    Ok((registry, files))
}

/// Reads every artifact that a lock names for a registry, once.
pub(crate) fn locked_code(registry: &Registry, lock: &str, path: &Path) -> Result<LockedCode, SourceError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let lock = CurrentLock::parse(lock, &path.display().to_string())?;
    let read = |artifact: &Artifact| {
        let (path, bytes) = read_file(&folder.join(&artifact.path), ARTIFACT_BYTES_MAX)?;
        Ok::<_, SourceError>(ArtifactFile { path, bytes })
    };
    let proof = read(lock.proof()?)?;
    let mut handlers = Vec::new();
    for (action, pin) in registry.pins() {
        let artifact = read(lock.handler(action, pin)?)?;
        handlers.push(LockedFile { action: action.clone(), pin: pin.clone(), artifact });
    }
    Ok(LockedCode { lock, proof, handlers })
}

/// The lock that was asked for, or the one beside the registry if there is one.
fn read_lock(source: &RegistrySource) -> Result<Option<(PathBuf, String)>, SourceError> {
    let Some(path) = source.lock_path() else { return Ok(None) };
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound && source.registry_lock.is_none() => Ok(None),
        Err(cause) => Err(SourceError::Unreadable { path, cause }),
    }
}

/// A registry's text, and where its components are.
struct Place {
    path: PathBuf,
    text: String,
    is_built_in: bool,
}

impl Place {
    fn of(source: &RegistrySource) -> Result<Self, SourceError> {
        match source.registry.clone() {
            None => Ok(Self { path: "(built in)".into(), text: BUILT_IN_REGISTRY.to_owned(), is_built_in: true }),
            Some(path) => match fs::read_to_string(&path) {
                Ok(text) => Ok(Self { path, text, is_built_in: false }),
                Err(cause) => Err(SourceError::Unreadable { path, cause }),
            },
        }
    }

    fn registry(&self) -> Result<Registry, SourceError> {
        Registry::parse(&self.text).map_err(|cause| SourceError::Registry { path: self.path.clone(), cause })
    }

    fn component(&self, action: &Action, pin: &Pin) -> Result<ComponentFile, SourceError> {
        let (path, bytes) = match self.is_built_in {
            true => {
                let built_in = BUILT_IN_COMPONENTS.iter().find(|(path, _)| *path == pin.component);
                let (path, bytes) = built_in.ok_or_else(|| SourceError::NotBuiltIn(pin.component.clone()))?;
                (format!("(built in) {path}"), bytes.to_vec())
            }
            false => read_component(&self.path.parent().unwrap_or(Path::new(".")).join(&pin.component))?,
        };
        Ok(ComponentFile { action: action.clone(), pin: pin.clone(), path, bytes })
    }

    /// The lock binds an artifact to a component's digest, so the component itself may stay where it was compiled. One that
    /// is here and is not the pinned one is refused all the same: somebody means something else to run than what would.
    fn require_no_other_component(&self, registry: &Registry) -> Result<(), SourceError> {
        for (action, pin) in registry.pins() {
            match self.component(action, pin) {
                Ok(file) => drop(file.check()?),
                Err(SourceError::Unreadable { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Reads the bytes of a component.
pub(crate) fn read_component(path: &Path) -> Result<(String, Vec<u8>), SourceError> {
    read_file(path, COMPONENT_BYTES_MAX)
}

fn read_file(path: &Path, bytes_max: u64) -> Result<(String, Vec<u8>), SourceError> {
    let unreadable = |cause| SourceError::Unreadable { path: path.to_owned(), cause };
    if fs::metadata(path).map_err(unreadable)?.len() > bytes_max {
        return Err(SourceError::TooLarge { path: path.to_owned(), bytes_max });
    }
    Ok((path.display().to_string(), fs::read(path).map_err(unreadable)?))
}

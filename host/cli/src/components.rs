//! Where the registry and its code come from: the binary itself, or files; components, or artifacts that a lock names.
//!
//! In scope: reading bytes. Out of scope: trusting them (`openexec-sandbox` compares digests, `signature` verifies).

use std::path::{Path, PathBuf};
use std::{fs, io};

use openexec_core::keys::KeyId;
use openexec_core::lock::Artifact;
use openexec_core::names::Action;
use openexec_core::registry::{Pin, Registry, RegistryError};
use openexec_core::registry_signature::{RegistryKeys, RegistrySignatureError, SignedFile};
use openexec_sandbox::{
    ArtifactError, ArtifactFile, ComponentFile, CurrentLock, LockedCode, LockedFile, Sandbox, Settings, StartError,
};

use crate::args::{CompilerOptions, RegistrySource};
use crate::compile::{self, CompileError};
use crate::signature;

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
    #[error("--registry-key (OPENEXEC_REGISTRY_KEY): {0}")]
    RegistryKey(String),
    #[error(
        "--registry-key is given, and the registry built into this binary is signed by nobody: give --registry FILE, and sign that with `openexec registry sign`"
    )]
    BuiltInIsUnsigned,
    #[error(
        "{0}: not signed, and --registry-key is given: `openexec registry sign` writes {name}.dsse.json beside it",
        name = .0.display()
    )]
    Unsigned(PathBuf),
    #[error("{path}: {cause}")]
    Signature { path: PathBuf, cause: RegistrySignatureError },
    #[error(transparent)]
    Lock(#[from] ArtifactError),
    #[error(transparent)]
    Component(#[from] StartError),
}

/// The registry and the code that it pins.
pub(crate) struct Source {
    pub(crate) registry: Registry,
    pub(crate) code: Code,
    /// The keys of which one has signed registry and lock, if any had to.
    pub(crate) keys: Option<RegistryKeys>,
    /// Which one signed the registry.
    pub(crate) signed_by: Option<KeyId>,
}

/// What is to run, as it was read.
pub(crate) enum Code {
    /// To be compiled here: parts of this binary, and as trusted as it is.
    BuiltIn(Vec<ComponentFile>),
    /// To be compiled, each in a process of its own.
    Components(Vec<ComponentFile>, CompilerOptions),
    /// Compiled earlier.
    Locked(LockedCode),
}

impl Code {
    /// Starts everything that can run.
    pub(crate) fn start(self, settings: Settings) -> Result<Sandbox, CompileError> {
        Ok(match self {
            Self::BuiltIn(files) => Sandbox::start(files, settings)?,
            Self::Components(files, limits) => Sandbox::start_locked(compile::at_start(files, limits)?, settings)?,
            Self::Locked(code) => Sandbox::start_locked(code, settings)?,
        })
    }

    /// For how many actions an artifact is locked.
    pub(crate) fn n_locked(&self) -> usize {
        match self {
            Self::BuiltIn(_) | Self::Components(..) => 0,
            Self::Locked(code) => code.handlers.len(),
        }
    }
}

/// Reads the registry that was asked for, and the artifacts of its lock, or else every component that it names.
pub(crate) fn load(source: &RegistrySource) -> Result<Source, SourceError> {
    let keys = signature::registry_keys(&source.registry_keys)?;
    let place = Place::of(source, keys.as_ref())?;
    let registry = place.registry()?;
    let code = match read_lock(source, keys.as_ref())? {
        None if place.is_built_in => Code::BuiltIn(place.components(&registry)?),
        None => Code::Components(place.components(&registry)?, source.compiler),
        Some((path, text)) => {
            let code = locked_code(&registry, &text, &path)?;
            place.require_no_other_component(&registry)?;
            Code::Locked(code)
        }
    };
    Ok(Source { registry, code, keys, signed_by: place.signed_by })
}

/// Reads the registry that was asked for, and every component it names.
pub(crate) fn load_components(source: &RegistrySource) -> Result<(Registry, Vec<ComponentFile>), SourceError> {
    let place = Place::of(source, signature::registry_keys(&source.registry_keys)?.as_ref())?;
    let registry = place.registry()?;
    let files = place.components(&registry)?;
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
fn read_lock(source: &RegistrySource, keys: Option<&RegistryKeys>) -> Result<Option<(PathBuf, String)>, SourceError> {
    let Some(path) = source.lock_path() else { return Ok(None) };
    match signature::read_signed(&path, SignedFile::Lock, keys) {
        Ok((text, _)) => Ok(Some((path, text))),
        Err(SourceError::Unreadable { path: missing, cause })
            if missing == path && cause.kind() == io::ErrorKind::NotFound && source.registry_lock.is_none() =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A registry's text, and where its components are.
struct Place {
    path: PathBuf,
    text: String,
    is_built_in: bool,
    signed_by: Option<KeyId>,
}

impl Place {
    fn of(source: &RegistrySource, keys: Option<&RegistryKeys>) -> Result<Self, SourceError> {
        match (source.registry.clone(), keys) {
            (None, Some(_)) => Err(SourceError::BuiltInIsUnsigned),
            (None, None) => {
                let text = BUILT_IN_REGISTRY.to_owned();
                Ok(Self { path: "(built in)".into(), text, is_built_in: true, signed_by: None })
            }
            (Some(path), keys) => {
                let (text, signed_by) = signature::read_signed(&path, SignedFile::Registry, keys)?;
                Ok(Self { path, text, is_built_in: false, signed_by })
            }
        }
    }

    fn registry(&self) -> Result<Registry, SourceError> {
        Registry::parse(&self.text).map_err(|cause| SourceError::Registry { path: self.path.clone(), cause })
    }

    fn components(&self, registry: &Registry) -> Result<Vec<ComponentFile>, SourceError> {
        registry.pins().map(|(action, pin)| self.component(action, pin)).collect()
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

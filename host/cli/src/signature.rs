//! Signatures of the registry and its lock: `openexec registry sign`, `registry keygen`, and reading what must be signed.
//!
//! In scope: the envelope beside a file, and the one way in which a registry or lock is read.
//! Out of scope: what a signature is of (`openexec_core::registry_signature`), what the files say (`components`).
//!
//! The envelope of FILE is FILE.dsse.json: its name follows from the file's whatever that is called, no two files have the
//! same, and tools see what it is.

use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use openexec_core::digest::Digest;
use openexec_core::dsse::Envelope;
use openexec_core::json;
use openexec_core::keys::KeyId;
use openexec_core::limits::SIGNED_FILE_BYTES_MAX;
use openexec_core::registry_signature::{RegistryKey, RegistryKeys, SignedFile};

use crate::args::{RegistryKeygenOptions, RegistrySignOptions};
use crate::components::SourceError;
use crate::logging::say;
use crate::{files, keys};

/// Largest envelope that is read: base64 of the largest file, and room for the rest.
const ENVELOPE_BYTES_MAX: u64 = SIGNED_FILE_BYTES_MAX as u64 / 3 * 4 + 64 * 1024;

/// Makes a key pair for registries.
pub(crate) fn keygen(options: &RegistryKeygenOptions) -> Result<ExitCode, Box<dyn Error>> {
    let key = keys::generate()?;
    keys::write_pair(&options.file, &key)?;
    say(key.public().to_pem().trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Signs the registry, and the lock if there is one. What is no registry or no lock is not signed.
pub(crate) fn sign(options: &RegistrySignOptions) -> Result<ExitCode, Box<dyn Error>> {
    let key = RegistryKey::new(keys::read_private(&options.key)?);
    let registry = &options.file.registry;
    let mut to_sign = vec![(registry.clone(), SignedFile::Registry)];
    let lock = options.registry_lock.clone().unwrap_or_else(|| registry.with_file_name("registry.lock"));
    if options.registry_lock.is_some() || lock.exists() {
        to_sign.push((lock, SignedFile::Lock));
    }
    let mut signed = Vec::new();
    for (path, file) in to_sign {
        let text = read(&path)?;
        let envelope = key.sign(file, &text).map_err(|error| format!("{}: {error}", path.display()))?;
        signed.push((path, Digest::of(text.as_bytes()), envelope));
    }
    for (path, digest, envelope) in signed {
        let beside = envelope_path(&path);
        files::replace(&beside, format!("{}\n", json::jcs(&envelope.to_value())).as_bytes())?;
        say(&format!("signed {}\n  sha256 {digest}\n  envelope {}", path.display(), beside.display()));
    }
    say(&format!("signing key {}", key.public().id()));
    Ok(ExitCode::SUCCESS)
}

/// The keys that were asked for; `None` if whoever may write the files is believed.
pub(crate) fn registry_keys(texts: &[String]) -> Result<Option<RegistryKeys>, SourceError> {
    let read = |text: &String| match text.trim() {
        // A variable that is set but empty is a mistake here, not an absence: that would switch the check off.
        "" => Err(SourceError::RegistryKey("it is empty: name a key, or unset OPENEXEC_REGISTRY_KEY".to_owned())),
        text => keys::read_public(text).map_err(|error| SourceError::RegistryKey(error.to_string())),
    };
    let keys: Vec<_> = texts.iter().map(read).collect::<Result<_, _>>()?;
    Ok(if keys.is_empty() { None } else { Some(RegistryKeys::new(keys)) })
}

/// Reads a registry or a lock, once. With registry keys, one of them must have signed the very bytes that are returned;
/// which one did is returned as well.
pub(crate) fn read_signed(
    path: &Path,
    file: SignedFile,
    keys: Option<&RegistryKeys>,
) -> Result<(String, Option<KeyId>), SourceError> {
    let text = read(path)?;
    let Some(keys) = keys else { return Ok((text, None)) };
    let envelope = read_envelope(path)?.ok_or_else(|| SourceError::Unsigned(path.to_owned()))?;
    match keys.verify(file, text.as_bytes(), &envelope) {
        Ok(key) => Ok((text, Some(key))),
        Err(cause) => Err(SourceError::Signature { path: path.to_owned(), cause }),
    }
}

/// What to say after one of these files was written, if any of them is signed: which ones are not, as they are now.
pub(crate) fn say_if_stale(files: &[&Path]) -> Result<(), SourceError> {
    let envelopes = files.iter().map(|path| read_envelope(path)).collect::<Result<Vec<_>, _>>()?;
    if envelopes.iter().all(Option::is_none) {
        return Ok(());
    }
    for (path, envelope) in files.iter().zip(envelopes) {
        let envelope = envelope.and_then(|envelope| json::read(&envelope).ok());
        let envelope = envelope.and_then(|value| Envelope::parse_up_to(value, SIGNED_FILE_BYTES_MAX).ok());
        if envelope.is_none_or(|envelope| envelope.payload() != read(path).unwrap_or_default().as_bytes()) {
            say(&format!(
                "{} must be signed again: `openexec registry sign --key KEY_FILE`; until then no host that has a registry \
                 key starts with it",
                path.display()
            ));
        }
    }
    Ok(())
}

fn envelope_path(path: &Path) -> PathBuf {
    keys::with_suffix(path, ".dsse.json")
}

fn read_envelope(path: &Path) -> Result<Option<Vec<u8>>, SourceError> {
    let path = envelope_path(path);
    let failed = |path, cause| SourceError::Unreadable { path, cause };
    match fs::metadata(&path) {
        Ok(file) if file.len() > ENVELOPE_BYTES_MAX => {
            Err(SourceError::TooLarge { path, bytes_max: ENVELOPE_BYTES_MAX })
        }
        Ok(_) => fs::read(&path).map(Some).map_err(|cause| failed(path, cause)),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(failed(path, cause)),
    }
}

fn read(path: &Path) -> Result<String, SourceError> {
    fs::read_to_string(path).map_err(|cause| SourceError::Unreadable { path: path.to_owned(), cause })
}

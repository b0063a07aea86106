//! Private keys in files: making, writing, reading one; the two keys of a host.
//!
//! In scope: files that only their owner can read, and which key a host signs with.
//! Out of scope: what the keys sign (`openexec_core::receipt`, `openexec_core::log`).
//!
//! Invariants
//! - No key file is ever overwritten.
//! - A host that has signed before never makes itself a new key because the file is gone: what it signed would be verified
//!   with a key that nobody expects.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use openexec_core::admission::Mode;
use openexec_core::keys::PublicKey;
use openexec_core::log::checkpoint::SignedCheckpoint;
use openexec_core::log::note::KeyName;
use openexec_core::log::sign::LogKey;
use openexec_core::receipt::ReceiptKey;
use openexec_core::registry_signature::RegistryKeys;
use openexec_core::signing::SecretKey;
use openexec_ledger::{Log, Receipts};

use crate::args::{KeyOptions, LedgerSource, LogKeyOptions};
use crate::config::LedgerPath;

/// Largest key file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The host's key for receipts: the file that was given, or the one beside the ledger, made at the first start.
pub(crate) fn receipt_key(
    options: &KeyOptions,
    source: &LedgerSource,
    ledger: &dyn Receipts,
    mode: &Mode,
) -> Result<ReceiptKey, Box<dyn Error>> {
    let path = receipt_key_file(options, source)?;
    let known = ledger.keys()?;
    let key = match (path.exists(), known.last()) {
        (true, _) => read_private(&path)?,
        (false, None) => create(&path, "receipts")?,
        (false, Some(last)) => {
            return Err(format!(
                "{}: there is no such file, but receipts on this ledger were signed with the key {}: restore the file; \
                 to sign with another key from now on, make one with `openexec receipt keygen` and start with it",
                path.display(),
                last.public.id(),
            )
            .into());
        }
    };
    if let Some(expected) = &options.receipt_public_key {
        require_pair(&key, &read_public(expected)?)?;
    }
    require_not_an_approver(key.public(), mode, "receipt")?;
    if known.last().is_some_and(|last| last.public != *key.public()) {
        tracing::warn!(key_id = %key.public().id(), "receipts are signed with another key than before");
    }
    Ok(ReceiptKey::new(key))
}

/// Where the key for receipts is.
pub(crate) fn receipt_key_file(options: &KeyOptions, source: &LedgerSource) -> Result<PathBuf, Box<dyn Error>> {
    let beside = with_suffix(&LedgerPath::parse(&source.db_url)?.0, ".receipt-key.pem");
    Ok(options.receipt_key_file.clone().unwrap_or(beside))
}

/// Where the key of the log is.
pub(crate) fn log_key_file(options: &LogKeyOptions, source: &LedgerSource) -> Result<PathBuf, Box<dyn Error>> {
    let beside = with_suffix(&LedgerPath::parse(&source.db_url)?.0, ".log-key.pem");
    Ok(options.log_key_file.clone().unwrap_or(beside))
}

/// The key of the host's log: the file that was given, or the one beside the ledger, made at the first start.
pub(crate) fn log_key(
    options: &LogKeyOptions,
    source: &LedgerSource,
    ledger: &dyn Log,
    mode: &Mode,
    receipt_key: &PublicKey,
) -> Result<LogKey, Box<dyn Error>> {
    let path = log_key_file(options, source)?;
    let newest = ledger.newest_checkpoint()?;
    let key = match (path.exists(), &newest) {
        (true, _) => read_private(&path)?,
        (false, None) => create(&path, "the log")?,
        (false, Some(newest)) => {
            return Err(format!(
                "{}: there is no such file, but the log {} in this ledger was signed with that key: restore the file; a log \
                 has one key for ever, and for another one there must be a new ledger",
                path.display(),
                newest.checkpoint().origin(),
            )
            .into());
        }
    };
    if key.public() == receipt_key {
        return Err(format!(
            "{}: receipts are signed with this key: a key has one purpose; give the log a key of its own",
            path.display()
        )
        .into());
    }
    require_not_an_approver(key.public(), mode, "log")?;
    Ok(LogKey::new(log_origin(options, newest.as_ref(), key.public())?, key))
}

/// The name of the log: as it was signed before, or as it is configured, or one that its key makes unique.
pub(crate) fn log_origin(
    options: &LogKeyOptions,
    newest: Option<&SignedCheckpoint>,
    key: &PublicKey,
) -> Result<KeyName, Box<dyn Error>> {
    let given = options.log_origin.as_deref().filter(|origin| !origin.is_empty());
    let kept = newest.map(|newest| newest.checkpoint().origin());
    match (given, kept) {
        (Some(given), Some(kept)) if given != kept => Err(format!(
            "--log-origin is {given}, but the log in this ledger is {kept}, and stays that: leave the option out"
        )
        .into()),
        (Some(origin), _) | (None, Some(origin)) => {
            Ok(KeyName::parse(origin).map_err(|error| format!("--log-origin: {error}"))?)
        }
        (None, None) => {
            let id: String = key.id().to_string().chars().take(16).collect();
            Ok(KeyName::parse(&format!("openexec.local/{id}"))?)
        }
    }
}

/// Proves that the private key is the other half of the public key that whoever verifies was given.
fn require_pair(key: &SecretKey, expected: &PublicKey) -> Result<(), Box<dyn Error>> {
    const MESSAGE: &[u8] = b"openexec start-up self-test";
    expected.verify(MESSAGE, &key.sign(MESSAGE)).map_err(|_| {
        format!(
            "OPENEXEC_RECEIPT_PUBLIC_KEY is the key {}, but receipts would be signed with {}: give the matching key file",
            expected.id(),
            key.public().id(),
        )
        .into()
    })
}

/// A key has one purpose: whoever may sign receipts must not be able to approve what they are about.
pub(crate) fn require_not_an_approver(key: &PublicKey, mode: &Mode, what: &str) -> Result<(), Box<dyn Error>> {
    let is_approver = match mode {
        Mode::Demo => false,
        Mode::Clawshield(trust) => {
            trust.legacy().is_some_and(|legacy| legacy.key == *key)
                || trust.file().is_some_and(|file| file.keys().any(|trusted| trusted.public == *key))
        }
    };
    match is_approver {
        false => Ok(()),
        true => Err(format!(
            "the {what} key {} is also trusted for approvals: a key has one purpose; make a {what} key of its own",
            key.id()
        )
        .into()),
    }
}

/// Whoever says what may run must neither approve a run nor sign what came of it.
pub(crate) fn require_registry_keys_apart(
    keys: &RegistryKeys,
    mode: &Mode,
    host: [&PublicKey; 2],
) -> Result<(), Box<dyn Error>> {
    for key in keys.iter() {
        require_not_an_approver(key, mode, "registry")?;
        if host.contains(&key) {
            return Err(format!(
                "the registry key {} is also this host's own, for receipts or its log: a key has one purpose; sign \
                 registries with a key of its own",
                key.id()
            )
            .into());
        }
    }
    Ok(())
}

/// Reads a public key: PEM text, or the name of a file with it, or 32 bytes in base64.
pub(crate) fn read_public(text: &str) -> Result<PublicKey, Box<dyn Error>> {
    if text.contains("BEGIN") {
        return Ok(PublicKey::parse_pem(text)?);
    }
    match PublicKey::parse_base64(text.trim()) {
        Ok(key) => Ok(key),
        Err(_) => {
            let path = Path::new(text);
            Ok(PublicKey::parse_pem(&read_text(path)?).map_err(|error| format!("{}: {error}", path.display()))?)
        }
    }
}

/// Makes a key.
pub(crate) fn generate() -> Result<SecretKey, Box<dyn Error>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| format!("the system gives no randomness: {error}"))?;
    Ok(SecretKey::from_seed(&seed)?)
}

/// Writes a private key, and its public half beside it (`.pub`).
pub(crate) fn write_pair(path: &Path, key: &SecretKey) -> Result<PathBuf, Box<dyn Error>> {
    let public = with_suffix(path, ".pub");
    if public.exists() {
        return Err(format!("{}: exists already, and no key is ever overwritten", public.display()).into());
    }
    write_new(path, key.to_pem()?.as_ref().as_bytes(), 0o600)?;
    write_new(&public, key.public().to_pem().as_bytes(), 0o644)?;
    Ok(public)
}

/// Makes the key that a first start needs.
pub(crate) fn create(path: &Path, purpose: &str) -> Result<SecretKey, Box<dyn Error>> {
    let key = generate()?;
    let public = write_pair(path, &key)?;
    tracing::info!(purpose, path = %path.display(), public = %public.display(), "made a key at this first start");
    Ok(key)
}

/// Reads a private key.
pub(crate) fn read(path: &Path) -> Result<SecretKey, Box<dyn Error>> {
    Ok(SecretKey::parse_pem(&read_text(path)?).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Reads a private key of the host, which nobody else may be able to read.
pub(crate) fn read_private(path: &Path) -> Result<SecretKey, Box<dyn Error>> {
    let mode = fs::metadata(path).map_err(|error| unreadable(path, &error))?.permissions().mode();
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(format!("{path}: others than its owner can read this private key: `chmod 600 {path}`").into());
    }
    read(path)
}

fn read_text(path: &Path) -> Result<String, Box<dyn Error>> {
    if fs::metadata(path).map_err(|error| unreadable(path, &error))?.len() > FILE_BYTES_MAX {
        return Err(format!("{}: larger than any key", path.display()).into());
    }
    Ok(fs::read_to_string(path).map_err(|error| unreadable(path, &error))?)
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("{}: cannot be read: {error}", path.display())
}

/// Writes a file that must not exist yet.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Box<dyn Error>> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(|error| match error.kind() == ErrorKind::AlreadyExists {
        true => format!("{}: exists already, and no key is ever overwritten", path.display()),
        false => format!("{}: cannot be created: {error}", path.display()),
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all())?;
    Ok(())
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

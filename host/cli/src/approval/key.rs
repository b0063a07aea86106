//! Private keys: making one, reading one.
//!
//! In scope: PKCS#8 in PEM, as OpenSSL and Python write and read it; files that only their owner can read.
//! Out of scope: public keys (`openexec_core::keys`).

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use openexec_core::keys::PublicKey;
use openexec_core::trust::{APPROVER, TrustFile};

use crate::args::KeygenOptions;
use crate::config::DEFAULT_AUDIENCE;
use crate::logging::say;

/// Makes a key and says how to trust it.
pub(crate) fn keygen(options: &KeygenOptions) -> Result<ExitCode, Box<dyn Error>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| format!("the system gives no randomness: {error}"))?;
    let signing = SigningKey::from_bytes(&seed);
    let public = public_key(&signing)?;
    let entry = entry(options, &public);
    // Before anything is written: what is printed must be accepted where it belongs.
    TrustFile::parse(&format!("audience = \"{DEFAULT_AUDIENCE}\"\n{entry}"))?;
    // Without the public key in it, because OpenSSL 3.0 does not read the newer form that has it.
    let pem = KeypairBytes { secret_key: seed, public_key: None }
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| format!("the key cannot be encoded: {error}"))?;
    let public_file = with_suffix(&options.file, ".pub");
    if public_file.exists() {
        return Err(format!("{}: exists already, and no key is ever overwritten", public_file.display()).into());
    }
    write_new(&options.file, pem.as_bytes(), 0o600)?;
    write_new(&public_file, public.to_pem().as_bytes(), 0o644)?;
    say(&entry);
    Ok(ExitCode::SUCCESS)
}

/// The key's table in a trust file.
fn entry(options: &KeygenOptions, public: &PublicKey) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string(); // TOML's basic strings, for printable ASCII
    let list = |names: &[String]| format!("[{}]", names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", "));
    let mut roles = vec![APPROVER.to_owned()];
    roles.extend(options.roles.iter().filter(|role| *role != APPROVER).cloned());
    format!(
        "[[key]] # id {}\nname = {}\npublic = {}\nprincipal = {}\nroles = {}\ntenants = {}\nactions = {}\n",
        public.id(),
        quoted(options.name.as_ref().unwrap_or(&options.principal)),
        quoted(&public.to_base64()),
        quoted(&options.principal),
        list(&roles),
        list(&options.tenants),
        list(&options.actions),
    )
}

/// Reads a private key.
pub(super) fn read_signing_key(path: &Path) -> Result<SigningKey, Box<dyn Error>> {
    let pem = fs::read_to_string(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    let not_a_key = "not the PEM of an Ed25519 private key (PKCS#8): it starts with '-----BEGIN PRIVATE KEY-----'";
    Ok(SigningKey::from_pkcs8_pem(pem.trim()).map_err(|_| format!("{}: {not_a_key}", path.display()))?)
}

/// The public half of a private key.
pub(super) fn public_key(signing: &SigningKey) -> Result<PublicKey, Box<dyn Error>> {
    Ok(PublicKey::from_bytes(signing.verifying_key().as_bytes())?)
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

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

//! `openexec approval keygen`: a key for whoever approves, and how to trust it.
//!
//! Out of scope: the files (`keys`), public keys (`openexec_core::keys`).

use std::error::Error;
use std::process::ExitCode;

use openexec_core::keys::PublicKey;
use openexec_core::trust::{APPROVER, TrustFile};

use crate::args::DEFAULT_AUDIENCE;
use crate::args::approval::KeygenOptions;
use crate::keys;
use crate::logging::say;

/// Makes a key and says how to trust it.
pub(crate) fn keygen(options: &KeygenOptions) -> Result<ExitCode, Box<dyn Error>> {
    let key = keys::generate()?;
    let entry = entry(options, key.public());
    // Before anything is written: what is printed must be accepted where it belongs.
    TrustFile::parse(&format!("audience = \"{DEFAULT_AUDIENCE}\"\n{entry}"))?;
    keys::write_pair(&options.file, &key)?;
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

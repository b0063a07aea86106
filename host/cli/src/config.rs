//! Configuration: from what was written to what is true.
//!
//! In scope: every check that can be made before anything is opened. Its errors say what to do.
//! Out of scope: the flags themselves (`args`).

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openexec_core::admission::{Admission, Mode};
use openexec_core::keys::{KeyError, PublicKey};
use openexec_core::limits::NOTE_BYTES_MAX;
use openexec_core::log::checkpoint::SignedCheckpoint;
use openexec_core::log::note::{Algorithm, VerifierKey, VerifierKeyError};
use openexec_core::names::{Action, Audience, NameError, Tenant, TenantError};
use openexec_core::registry::Registry;
use openexec_core::trust::{LegacyTrust, Trust, TrustError, TrustFile};
use openexec_server::http::EdgeLimits;
use openexec_server::log::Witnesses;

use crate::args::{DEFAULT_AUDIENCE, HostOptions, ModeName, ReceiptLogOptions, Retention, ServeOptions, TrustSource};

/// Why a configuration is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(
        "--db-url '{0}' is not known: write sqlite:///openexec.db (relative) or sqlite:////var/lib/openexec.db (absolute)"
    )]
    DbUrl(String),
    #[error(
        "demo mode executes for everyone who can connect, and {0} is not a loopback address: listen on 127.0.0.1, or say --dangerously-expose-demo"
    )]
    DemoExposed(SocketAddr),
    #[error(
        "{0} is set, but demo mode verifies no approval: say OPENEXEC_MODE=clawshield (--mode clawshield), or unset it to run the demo"
    )]
    TrustWithoutMode(&'static str),
    #[error(
        "clawshield mode must be told whose approvals count: set CLAWSHIELD_PUBLIC_KEY (or CLAWSHIELD_PUBLIC_KEY_FILE) and CLAWSHIELD_TENANT_ID for ClawShield's artifacts, OPENEXEC_TRUST_FILE for approvals v2, or both"
    )]
    NoTrust,
    #[error("{set} is set but {missing} is not: ClawShield's artifacts need both; set {missing} too, or unset {set}")]
    HalfTrust { set: &'static str, missing: &'static str },
    #[error("CLAWSHIELD_PUBLIC_KEY and CLAWSHIELD_PUBLIC_KEY_FILE are both set: give the key once")]
    TwoKeys,
    #[error("{name}: {cause}")]
    PublicKey { name: &'static str, cause: KeyError },
    #[error("CLAWSHIELD_TENANT_ID: {0}")]
    Tenant(TenantError),
    #[error("{name}: {path} cannot be read ({cause}): correct the path, or the permissions")]
    Unreadable { name: &'static str, path: String, cause: io::Error },
    #[error("{path}: {cause}")]
    TrustFile { path: String, cause: TrustError },
    #[error(
        "OPENEXEC_AUDIENCE is '{option}', but the trust file is for '{file}': approvals for one are no approvals for the other; make them equal, or leave the option out"
    )]
    TwoAudiences { option: Audience, file: Audience },
    #[error("--allowed-actions names '{0}', which is not in the registry: correct it, or pin that action")]
    AllowedButUnknown(String),
    #[error("--allowed-actions is empty: name at least one action, or leave it out to allow all")]
    NothingAllowed,
    #[error("--audience: {0}")]
    Audience(NameError),
    #[error("OPENEXEC_WITNESS_KEYS: '{key}': {cause}")]
    WitnessKey { key: String, cause: VerifierKeyError },
    #[error("OPENEXEC_WITNESS_KEYS: {0} is a log's key: a witness's begins with 'B' after its id")]
    NotAWitness(String),
    #[error("OPENEXEC_WITNESS_KEYS: {0} has the same public key as another witness, and counts once: name it once")]
    WitnessTwice(String),
    #[error("--witness-quorum is {quorum}, and there are {n_witnesses} witnesses: lower it, or name more of them")]
    QuorumTooLarge { quorum: u32, n_witnesses: usize },
    #[error("OPENEXEC_WITNESSED_CHECKPOINT: {path}: {cause}")]
    Witnessed { path: String, cause: String },
}

/// Where a ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LedgerPath(pub(crate) PathBuf);

impl LedgerPath {
    /// Reads the URLs that SQLAlchemy, and so 0.1.10, takes: three slashes are relative, four absolute.
    pub(crate) fn parse(url: &str) -> Result<Self, ConfigError> {
        match url.strip_prefix("sqlite:///") {
            Some(path) if !path.is_empty() && !path.starts_with(":memory:") && !path.contains(['?', '#']) => {
                Ok(Self(PathBuf::from(path)))
            }
            Some(_) | None => Err(ConfigError::DbUrl(url.to_owned())),
        }
    }
}

/// What admission depends on.
pub(crate) fn admission(options: &HostOptions, registry: Registry) -> Result<Admission, ConfigError> {
    let mode = match options.mode {
        ModeName::Demo => match named(&options.trust).into_iter().find(|(_, value)| value.is_some()) {
            Some((name, _)) => return Err(ConfigError::TrustWithoutMode(name)),
            None => Mode::Demo,
        },
        ModeName::Clawshield => Mode::Clawshield(Arc::new(trust(&options.trust)?.ok_or(ConfigError::NoTrust)?)),
    };
    Ok(Admission {
        audience: audience(options.audience.as_deref(), &mode)?,
        mode,
        allow_list: options.allowed_actions.as_deref().map(|list| allow_list(list, &registry)).transpose()?.flatten(),
        registry,
    })
}

/// Every way to say whose approvals count, by the name of its variable. One that is set but empty is not set: compose
/// files make those.
fn named(source: &TrustSource) -> [(&'static str, Option<&str>); 4] {
    [
        ("CLAWSHIELD_PUBLIC_KEY", &source.clawshield_public_key),
        ("CLAWSHIELD_PUBLIC_KEY_FILE", &source.clawshield_public_key_file),
        ("CLAWSHIELD_TENANT_ID", &source.clawshield_tenant_id),
        ("OPENEXEC_TRUST_FILE", &source.trust_file),
    ]
    .map(|(name, value)| (name, value.as_deref().filter(|value| !value.trim().is_empty())))
}

/// Whose approvals count; `None` if nothing says so. Half of what is needed is an error.
pub(crate) fn trust(source: &TrustSource) -> Result<Option<Trust>, ConfigError> {
    let [(pem_name, pem), (file_name, key_file), (tenant_name, tenant), (trust_name, trust_file)] = named(source);
    let key = match (pem, key_file) {
        (None, None) => None,
        (Some(_), Some(_)) => return Err(ConfigError::TwoKeys),
        (Some(pem), None) => Some((pem_name, pem.to_owned())),
        (None, Some(path)) => Some((file_name, read(file_name, path)?)),
    };
    let legacy = match (key, tenant) {
        (None, None) => None,
        (Some((set, _)), None) => return Err(ConfigError::HalfTrust { set, missing: tenant_name }),
        (None, Some(_)) => return Err(ConfigError::HalfTrust { set: tenant_name, missing: pem_name }),
        (Some((name, pem)), Some(tenant)) => Some(LegacyTrust {
            key: PublicKey::parse_pem(&pem).map_err(|cause| ConfigError::PublicKey { name, cause })?,
            tenant: Tenant::parse_governed(tenant).map_err(ConfigError::Tenant)?,
            lifetime_s_max: source.clawshield_max_lifetime_s,
        }),
    };
    let file = trust_file.map(|path| {
        let cause = |cause| ConfigError::TrustFile { path: path.to_owned(), cause };
        TrustFile::parse(&read(trust_name, path)?).map_err(cause)
    });
    Ok(Trust::of(legacy, file.transpose()?))
}

/// The trust file says for which host its approvals are; without one, the option or its default does.
fn audience(option: Option<&str>, mode: &Mode) -> Result<Audience, ConfigError> {
    let option = option.map(Audience::parse).transpose().map_err(ConfigError::Audience)?;
    let file = match mode {
        Mode::Demo => None,
        Mode::Clawshield(trust) => trust.file().map(|file| file.audience().clone()),
    };
    match (option, file) {
        (Some(option), Some(file)) if option != file => Err(ConfigError::TwoAudiences { option, file }),
        (Some(audience), _) | (None, Some(audience)) => Ok(audience),
        (None, None) => Audience::parse(DEFAULT_AUDIENCE).map_err(ConfigError::Audience),
    }
}

fn read(name: &'static str, path: &str) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { name, path: path.to_owned(), cause })
}

/// A variable that is set but empty is not set, as with 0.1.10. An empty flag is a mistake, and so is a list of commas.
fn allow_list(list: &str, registry: &Registry) -> Result<Option<BTreeSet<Action>>, ConfigError> {
    let is_variable = std::env::var("OPENEXEC_ALLOWED_ACTIONS").is_ok_and(|variable| variable == list);
    if is_variable && list.trim().is_empty() {
        return Ok(None);
    }
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let known = |name: &str| {
        let action = Action::parse(name).ok().filter(|action| registry.pin(action).is_some());
        action.ok_or_else(|| ConfigError::AllowedButUnknown(name.to_owned()))
    };
    let allowed: BTreeSet<_> = names.map(known).collect::<Result<_, _>>()?;
    if allowed.is_empty() { Err(ConfigError::NothingAllowed) } else { Ok(Some(allowed)) }
}

/// Whose cosignatures count.
pub(crate) fn witnesses(options: &ReceiptLogOptions) -> Result<Witnesses, ConfigError> {
    let mut keys: Vec<VerifierKey> = Vec::new();
    for text in options.witness_keys.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        let cause = |cause| ConfigError::WitnessKey { key: text.to_owned(), cause };
        let key = VerifierKey::parse(text).map_err(cause)?;
        match key.algorithm() {
            Algorithm::Witness => {}
            Algorithm::Log => return Err(ConfigError::NotAWitness(text.to_owned())),
        }
        if keys.iter().any(|other| other.key() == key.key()) {
            return Err(ConfigError::WitnessTwice(text.to_owned()));
        }
        keys.push(key);
    }
    let (quorum, n_witnesses) = (options.witness_quorum, keys.len());
    if n_witnesses > 0 && quorum as usize > n_witnesses || n_witnesses == 0 && quorum > 1 {
        return Err(ConfigError::QuorumTooLarge { quorum, n_witnesses });
    }
    Ok(Witnesses { keys, quorum })
}

/// The checkpoint that the operator had from a witness. Not to be believed before it was verified.
pub(crate) fn witnessed(options: &ReceiptLogOptions) -> Result<Option<SignedCheckpoint>, ConfigError> {
    let Some(path) = options.witnessed_checkpoint.as_deref().filter(|path| !path.is_empty()) else { return Ok(None) };
    let failed = |cause: String| ConfigError::Witnessed { path: path.to_owned(), cause };
    let length = std::fs::metadata(path).map_err(|error| failed(format!("cannot be read: {error}")))?.len();
    if length > NOTE_BYTES_MAX as u64 {
        return Err(failed("larger than any checkpoint".to_owned()));
    }
    let note = read("OPENEXEC_WITNESSED_CHECKPOINT", path)?;
    SignedCheckpoint::parse(&note).map(Some).map_err(|error| failed(error.to_string()))
}

/// Refuses to offer demo mode to the network by accident.
pub(crate) fn require_safe_listener(options: &ServeOptions) -> Result<(), ConfigError> {
    match options.host.mode {
        ModeName::Demo if !options.listen.ip().is_loopback() && !options.dangerously_expose_demo => {
            Err(ConfigError::DemoExposed(options.listen))
        }
        ModeName::Demo | ModeName::Clawshield => Ok(()),
    }
}

/// Limits of the HTTP edge.
pub(crate) fn edge_limits(options: &ServeOptions) -> EdgeLimits {
    EdgeLimits {
        n_calls_max: options.concurrency + options.queue,
        n_connections_max: options.max_connections,
        wait: Duration::from_millis(options.wait_ms),
        read: Duration::from_millis(options.read_timeout_ms),
        grace: Duration::from_millis(options.shutdown_grace_ms),
    }
}

/// Age at which bodies are erased.
pub(crate) fn retention(retention: Retention) -> Option<Duration> {
    match retention {
        Retention::Days(days) => Some(days_to_duration(days)),
        Retention::Forever => None,
    }
}

pub(crate) fn days_to_duration(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 60 * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ledger_urls_are_read_as_sqlalchemy_reads_them() {
        assert_eq!(LedgerPath::parse("sqlite:///openexec.db").unwrap().0, PathBuf::from("openexec.db"));
        assert_eq!(LedgerPath::parse("sqlite:////var/lib/x.db").unwrap().0, PathBuf::from("/var/lib/x.db"));
    }

    #[test]
    fn a_ledger_that_forgets_or_is_elsewhere_is_refused() {
        for url in ["sqlite:///:memory:", "sqlite://", "postgresql://x/y", "openexec.db", "sqlite:///x.db?mode=ro"] {
            assert!(LedgerPath::parse(url).is_err(), "{url}");
        }
    }
}

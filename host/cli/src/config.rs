//! Configuration: from what was written to what is true.
//!
//! In scope: every check that can be made before anything is opened. Its errors say what to do.
//! Out of scope: the flags themselves (`args`).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use openexec_core::admission::{Admission, Mode};
use openexec_core::names::{Action, Audience, NameError, Tenant};
use openexec_core::registry::Registry;
use openexec_server::http::EdgeLimits;

use crate::args::{HostOptions, ModeName, Retention, ServeOptions};

/// The tenant of every call in demo mode.
const DEMO_TENANT: &str = "demo";

/// Variables that only mean something in clawshield mode. An empty one is not set: compose files make those.
const TRUST_VARIABLES: [&str; 4] =
    ["CLAWSHIELD_PUBLIC_KEY", "CLAWSHIELD_PUBLIC_KEY_FILE", "CLAWSHIELD_TENANT_ID", "OPENEXEC_TRUST_FILE"];

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
        "{0} is set, but demo mode verifies no approval: unset it to run the demo; this version has no clawshield mode yet"
    )]
    TrustWithoutMode(&'static str),
    #[error("--allowed-actions names '{0}', which is not in the registry: correct it, or pin that action")]
    AllowedButUnknown(String),
    #[error("--allowed-actions is empty: name at least one action, or leave it out to allow all")]
    NothingAllowed,
    #[error("--audience: {0}")]
    Audience(NameError),
    #[error("the built-in tenant name is not acceptable: {0}")]
    Tenant(NameError),
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
        ModeName::Demo => Mode::Demo,
    };
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if let Some(variable) = TRUST_VARIABLES.into_iter().find(is_set) {
        return Err(ConfigError::TrustWithoutMode(variable));
    }
    Ok(Admission {
        mode,
        audience: Audience::parse(&options.audience).map_err(ConfigError::Audience)?,
        tenant: Tenant::parse(DEMO_TENANT).map_err(ConfigError::Tenant)?,
        allow_list: options.allowed_actions.as_deref().map(|list| allow_list(list, &registry)).transpose()?.flatten(),
        registry,
    })
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

/// Refuses to offer demo mode to the network by accident.
pub(crate) fn require_safe_listener(options: &ServeOptions) -> Result<(), ConfigError> {
    match options.host.mode {
        ModeName::Demo if !options.listen.ip().is_loopback() && !options.dangerously_expose_demo => {
            Err(ConfigError::DemoExposed(options.listen))
        }
        ModeName::Demo => Ok(()),
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

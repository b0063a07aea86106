//! `openexec registry`: what may run.

use std::error::Error;
use std::process::ExitCode;

use openexec_sandbox::Settings;
use serde_json::json;

use crate::args::{ListOptions, RegistrySource};
use crate::components::{self, Source};
use crate::handler::plain;
use crate::logging::say;

/// Checks every pin as a start of the host would.
pub(crate) fn verify(source: &RegistrySource) -> Result<ExitCode, Box<dyn Error>> {
    let Source { registry, code, signed_by, .. } = components::load(source)?;
    let (n_actions, n_locked) = (registry.pins().count(), code.n_locked());
    code.start(Settings { n_slots: 1 })?;
    say(&format!("ok: {n_actions} actions, {n_locked} of them locked, registry digest {}", registry.digest()));
    if let Some(key) = signed_by {
        say(&format!("signed by the registry key {key}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the actions.
pub(crate) fn list(options: &ListOptions) -> Result<ExitCode, Box<dyn Error>> {
    let Source { registry, .. } = components::load(&options.registry)?;
    if options.json {
        let actions: Vec<_> = registry
            .pins()
            .map(|(action, pin)| {
                json!({
                    "action": action.as_str(), "version": pin.version, "profile": pin.profile.as_str(),
                    "component": pin.component, "sha256": pin.digest.to_string(),
                    "title": pin.description.as_ref().map(|description| &description.title),
                    "limits": {
                        "fuel": pin.limits.fuel, "memory_bytes": pin.limits.memory_bytes,
                        "output_bytes": pin.limits.output_bytes, "deadline_ms": pin.limits.deadline_ms,
                    },
                })
            })
            .collect();
        say(&json!({"registry": registry.digest().to_string(), "actions": actions}).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("registry digest {}", registry.digest()));
    for (action, pin) in registry.pins() {
        let limits = pin.limits;
        let title = pin.description.as_ref().map(|description| format!("  {}", plain(&description.title)));
        let title = title.unwrap_or_default();
        say(&format!(
            "{action}  {}  {}{title}\n    sha256 {}\n    fuel {}, memory {} bytes, output {} bytes, deadline {} ms",
            pin.version,
            pin.profile.as_str(),
            pin.digest,
            limits.fuel,
            limits.memory_bytes,
            limits.output_bytes,
            limits.deadline_ms,
        ));
    }
    Ok(ExitCode::SUCCESS)
}

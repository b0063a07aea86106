//! `openexec registry pin` and `unpin`: edits of the registry, each checked before anything is written.
//!
//! In scope: what is asked of a component before it is pinned, what is said about the change.
//! Out of scope: the text of the registry (`registry_file`), the examination (`handler`).

use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use openexec_core::digest::Digest;
use openexec_core::names::Action;
use openexec_core::registry::{Limits, Pin, Profile, Registry};

use crate::args::{PinOptions, UnpinOptions};
use crate::files;
use crate::handler::{Said, Weight, examine_apart};
use crate::logging::say;
use crate::registry_file::{NewPin, RegistryFile};
use crate::signature;

pub(crate) fn pin(options: &PinOptions) -> Result<ExitCode, Box<dyn Error>> {
    let action = Action::parse(&options.action)?;
    let path = &options.file.registry;
    let (mut file, before) = read(path)?;
    let old = before.as_ref().and_then(|registry| registry.pin(&action));
    let limits = options.limits.over(old.map_or_else(Limits::default, |pin| pin.limits));
    let profile = options.profile.or(old.map(|pin| pin.profile)).unwrap_or(Profile::Pure);
    let (report, bytes) = examine_apart(&options.component, profile, limits, false)?;
    let Some(description) = report.description.as_ref().filter(|_| report.is_acceptable()) else {
        say(&format!("NOT PINNED: {} is not acceptable", options.component.display()));
        report.lines(Weight::Note).iter().for_each(|line| say(line));
        return Ok(ExitCode::FAILURE);
    };
    let component = relative(path, &options.component)?;
    let new = NewPin {
        component: &component,
        digest: Digest::of(&bytes),
        version: options.name_version.as_deref(),
        profile: options.profile,
        limits: options.limits.named().collect(),
        description,
    };
    file.pin(action.as_str(), &new)?;
    let after = write(path, &file, before.as_ref())?;
    let Some(pinned) = after.pin(&action) else { return Err("the pin is not in what was written".into()) };
    say(&format!("{action}: {}", changes(old, pinned)));
    report.lines(Weight::Note).iter().for_each(|line| say(line));
    signature::say_if_stale(&[path])?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn unpin(options: &UnpinOptions) -> Result<ExitCode, Box<dyn Error>> {
    let action = Action::parse(&options.action)?;
    let path = &options.file.registry;
    let (mut file, before) = read(path)?;
    let before = before.ok_or_else(|| format!("{}: there is no such file", path.display()))?;
    file.unpin(action.as_str())?;
    write(path, &file, Some(&before))?;
    let digest = before.pin(&action).map(|pin| pin.digest.to_string()).unwrap_or_default();
    say(&format!("{action}: no longer pinned (sha256 {digest}); a host that is running keeps it until its next start"));
    signature::say_if_stale(&[path])?;
    Ok(ExitCode::SUCCESS)
}

/// The registry to edit, and what it says now; none if there is no file yet.
fn read(path: &Path) -> Result<(RegistryFile, Option<Registry>), Box<dyn Error>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((RegistryFile::new(), None)),
        Err(error) => return Err(format!("{}: cannot be read ({error})", path.display()).into()),
    };
    let registry = Registry::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let file = RegistryFile::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((file, Some(registry)))
}

/// Writes what a host would accept, and nothing else.
fn write(path: &Path, file: &RegistryFile, before: Option<&Registry>) -> Result<Registry, Box<dyn Error>> {
    let text = file.text();
    let after = Registry::parse(&text).map_err(|error| {
        format!("{}: would no longer be a registry, and was left as it is: {error}", path.display())
    })?;
    if before.map(Registry::digest) != Some(after.digest()) {
        files::replace(path, text.as_bytes())?;
    }
    Ok(after)
}

/// The path of the component as the registry names it: from its own folder.
fn relative(registry: &Path, component: &Path) -> Result<String, Box<dyn Error>> {
    let folder = match registry.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let real = |path: &Path| fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()));
    // Only the folder of the component is resolved: a link that is pinned stays a link.
    let beside = component.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = component.file_name().ok_or("the component must be a file")?;
    let (from, to) = (real(folder)?, real(beside)?);
    let n_common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(n_common).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to.components().skip(n_common)).collect();
    let path = path.join(name);
    Ok(path.to_str().ok_or("the path of the component must be UTF-8: the registry is text")?.to_owned())
}

/// What the pin says now that it did not say before.
fn changes(old: Option<&Pin>, new: &Pin) -> String {
    let Some(old) = old else {
        let mut lines = vec![format!("pinned\n  sha256 {}\n  component {}", new.digest, new.component)];
        lines.push(format!("  profile {}", new.profile.as_str()));
        lines.extend(limits(new.limits).map(|(key, value)| format!("  {key} {value}")));
        return lines.join("\n");
    };
    let mut lines = Vec::new();
    let mut compare = |key: &str, old: String, new: String| {
        if old != new {
            lines.push(format!("  {key} {old} -> {new}"));
        }
    };
    compare("sha256", old.digest.to_string(), new.digest.to_string());
    compare("component", old.component.clone(), new.component.clone());
    compare("version", old.version.clone(), new.version.clone());
    compare("profile", old.profile.as_str().to_owned(), new.profile.as_str().to_owned());
    for ((key, old), (_, new)) in limits(old.limits).zip(limits(new.limits)) {
        compare(key, old.to_string(), new.to_string());
    }
    let said = |pin: &Pin| pin.description.clone().map(Said::from);
    match (said(old), said(new)) {
        (None, Some(_)) => lines.push("  description: added".to_owned()),
        (Some(old), Some(new)) => {
            let parts = old.parts().into_iter().zip(new.parts());
            lines.extend(parts.filter(|(a, b)| a.1 != b.1).map(|(a, _)| format!("  {} has changed", a.0)));
        }
        (_, None) => {}
    }
    if lines.is_empty() {
        return format!("already pinned so\n  sha256 {}", new.digest);
    }
    if old.digest == new.digest {
        lines.insert(0, format!("  sha256 {} (the same)", new.digest));
    }
    format!("changed\n{}", lines.join("\n"))
}

fn limits(limits: Limits) -> impl Iterator<Item = (&'static str, u64)> {
    let Limits { fuel, memory_bytes, output_bytes, deadline_ms } = limits;
    [("fuel", fuel), ("memory_bytes", memory_bytes), ("output_bytes", output_bytes), ("deadline_ms", deadline_ms)]
        .into_iter()
}

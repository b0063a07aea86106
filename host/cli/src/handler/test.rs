//! `openexec handler test`: the golden cases of a component, once or whenever something changes.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use openexec_core::digest::Digest;
use openexec_core::registry::Limits;

use super::case::Case;
use super::facts::{self, Facts};
use super::report::plain;
use crate::args::handler::TestOptions;
use crate::logging::{say, say_error};
use crate::{components, files};

/// How often files are looked at.
const WATCHED_EVERY: Duration = Duration::from_millis(300);

pub(crate) fn run(options: &TestOptions) -> Result<ExitCode, Box<dyn Error>> {
    let component = match &options.component {
        Some(component) => component.clone(),
        None => the_only_component()?,
    };
    if !options.watch {
        let is_well = test(options, &component)?;
        return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    loop {
        let seen = changes(options, &component);
        // Half a file is no reason to stop watching: the other half is about to be written.
        if let Err(error) = test(options, &component) {
            say_error(&*error);
        }
        say("watching");
        while changes(options, &component) == seen {
            thread::sleep(WATCHED_EVERY);
        }
    }
}

fn the_only_component() -> Result<PathBuf, Box<dyn Error>> {
    let mut found = with_extension(Path::new("."), "wasm")?;
    match (found.pop(), found.is_empty()) {
        (Some(component), true) => Ok(component),
        (None, _) => Err("there is no .wasm file here: build the component, or name it".into()),
        (Some(_), false) => Err("there is more than one .wasm file here: name the component".into()),
    }
}

/// Sorted, so that cases run in the order of their names.
fn with_extension(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    Ok(paths)
}

/// When each file was changed last. A file that cannot be looked at counts as another state of it.
fn changes(options: &TestOptions, component: &Path) -> Vec<(PathBuf, Option<SystemTime>)> {
    let mut paths = with_extension(&options.cases, "json").unwrap_or_default();
    paths.push(component.to_owned());
    let changed = |path: &PathBuf| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    paths.into_iter().map(|path| (path.clone(), changed(&path))).collect()
}

/// Whether every case is as expected.
fn test(options: &TestOptions, component: &Path) -> Result<bool, Box<dyn Error>> {
    let told = Facts::of(&options.facts)?;
    let limits = options.limits.over(Limits::default());
    let paths = with_extension(&options.cases, "json")?;
    if paths.is_empty() {
        let folder = options.cases.display();
        return Err(
            format!("{folder}: there is no case: write NAME.json with {{\"payload\": {{…}}}} and --update").into()
        );
    }
    let (path, bytes) = components::read_component(component)?;
    let digest = Digest::of(&bytes);
    let sandbox = facts::sandbox(facts::as_pinned(&told.action, &path, bytes, options.profile.profile, limits))?;
    say(&format!("{:<8} {:<32} {:>14} {:>12} {:>10}", "", "case", "fuel", "memory KiB", "time µs"));
    let (mut n_well, n_cases) = (0, paths.len());
    for path in paths {
        let read = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let case = Case::parse(&read).map_err(|error| format!("{}: {error}", path.display()))?;
        let rerun = told.with(case.payload(), digest, limits);
        let begun = Instant::now();
        let run = sandbox.rerun(&rerun)?;
        let time_us = begun.elapsed().as_micros();
        let (word, differences) = if options.update {
            let text = case.expecting(&run);
            let is_new = text.as_bytes() != read;
            if is_new {
                files::replace(&path, text.as_bytes())?;
            }
            (if is_new { "written" } else { "same" }, Vec::new())
        } else {
            let differences = case.differences(&run);
            (if differences.is_empty() { "ok" } else { "FAILED" }, differences)
        };
        n_well += usize::from(differences.is_empty());
        let name = path.file_stem().unwrap_or_default().display().to_string();
        let used = run.resources;
        say(&format!("{word:<8} {name:<32} {:>14} {:>12} {time_us:>10}", used.fuel, used.memory_bytes / 1024));
        for difference in &differences {
            say(&format!("         {}", plain(difference)));
        }
    }
    say(&format!("{n_well} of {n_cases} as expected"));
    Ok(n_well == n_cases)
}

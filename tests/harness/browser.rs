//! A real browser, headless, driven from Node.
//!
//! In scope: having one: Chromium from the PATH or, as root on Debian, from its packages.
//! Out of scope: what is done in it, which the test's program says.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use crate::oracles::{self, succeed};
use crate::python::converse;

/// What drives the browser. It brings none.
const PUPPETEER: &str = "puppeteer-core@24.43.1";

/// Names of the browser on different systems.
const CHROMIUMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The browser's path. `Err` says why there is none: a machine that builds this host does not need it.
pub fn chromium() -> Result<PathBuf, String> {
    let _turn = oracles::turn();
    if let Some(found) = on_the_path() {
        return Ok(found);
    }
    if !geteuid().is_root() {
        return Err(format!("none of {CHROMIUMS:?} is on the PATH, and only root can install one"));
    }
    succeed(Command::new("apt-get").args(["update", "--quiet", "--quiet"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--quiet", "--quiet", "--yes", "--no-install-recommends", "chromium"]);
    succeed(install.env("DEBIAN_FRONTEND", "noninteractive"))?;
    on_the_path().ok_or_else(|| "it was installed and is not on the PATH".to_owned())
}

fn on_the_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let places: Vec<_> = std::env::split_paths(&path).collect();
    CHROMIUMS.iter().flat_map(|name| places.iter().map(move |place| place.join(name))).find(|file| file.is_file())
}

/// Runs a JavaScript program that may require `puppeteer-core`, with this standard input; returns its standard output.
/// `Err` says why it cannot run here.
#[track_caller]
pub fn puppeteer(program: &str, input: &str) -> Result<String, String> {
    let installed = oracles::installed(&PUPPETEER.replace('@', "-"), |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
        succeed(npm.arg(folder).arg(PUPPETEER).stdout(Stdio::null()))
    })?;
    let mut node = Command::new("node");
    node.args(["-e", program]).env("NODE_PATH", installed.join("node_modules"));
    let child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|error| format!("node: {error}"))?;
    Ok(converse(child, input))
}

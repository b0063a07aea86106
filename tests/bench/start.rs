//! Starts: how long a host with many handlers takes until it is ready, their code compiled ahead of time or not.
//!
//! In scope: a registry of as many components as asked for, pinned, described and locked with the binary's own commands.
//! Out of scope: what a ready host does (`serve`), what calling one handler costs (`primitives`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Args;
use tempfile::TempDir;

use crate::error::BenchError;
use crate::server::Server;

/// What the large component may use: enough for every language runtime that was measured.
const LARGE_LIMITS: [&str; 6] = ["--fuel", "1000000000", "--memory-bytes", "268435456", "--deadline-ms", "10000"];

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// The `openexec` binary to start.
    #[arg(long)]
    binary: PathBuf,
    /// How many handlers are pinned, the large one included. Each is a component of its own.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    handlers: u64,
    /// The component that the others are made of.
    #[arg(long, default_value = "handlers/components/payments.transfer.wasm")]
    component: PathBuf,
    /// A large component to pin as well, such as the Python sample.
    #[arg(long)]
    large: Option<PathBuf>,
    /// Starts to time.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=1000))]
    starts: u64,
    /// Also time one start that compiles everything.
    #[arg(long)]
    compile: bool,
}

/// Times until ready.
#[derive(Debug)]
pub(crate) struct Starts {
    n_handlers: u64,
    large: Option<PathBuf>,
    /// Sorted.
    locked: Vec<Duration>,
    compiled: Option<Duration>,
}

pub(crate) async fn measure(args: StartArgs) -> Result<Starts, BenchError> {
    let folder = TempDir::with_prefix("openexec-bench-").map_err(BenchError::DataDirectory)?;
    let registry = Registry { binary: &args.binary, path: folder.path().join("registry.toml") };
    let component = std::fs::read(&args.component).map_err(|source| unreadable(&args.component, source))?;
    let n_small = args.handlers - u64::from(args.large.is_some());
    for number in 0..n_small {
        let path = folder.path().join(format!("handler-{number}.wasm"));
        std::fs::write(&path, variant(&component, number)).map_err(|source| unreadable(&path, source))?;
        registry.run(&["pin", &format!("handler-{number}"), &path.display().to_string()])?;
    }
    if let Some(large) = &args.large {
        registry.run(&[&["pin", "large", &large.display().to_string()], &LARGE_LIMITS[..]].concat())?;
    }
    let compiled = if args.compile { Some(registry.time_start().await?) } else { None };
    registry.run(&["compile"])?;
    let mut locked = Vec::new();
    for _ in 0..args.starts {
        locked.push(registry.time_start().await?);
    }
    locked.sort_unstable();
    Ok(Starts { n_handlers: args.handlers, large: args.large, locked, compiled })
}

/// A registry under construction, and the binary that constructs it.
struct Registry<'a> {
    binary: &'a Path,
    path: PathBuf,
}

impl Registry<'_> {
    fn run(&self, arguments: &[&str]) -> Result<(), BenchError> {
        let mut command = Command::new(self.binary);
        command.arg("registry").args(arguments).arg("--registry").arg(&self.path);
        let failed = |source| BenchError::Start { binary: self.binary.to_owned(), source };
        let output = command.output().map_err(failed)?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(BenchError::Registry { command: arguments.join(" "), said: String::from_utf8_lossy(&said).into_owned() })
    }

    /// From the start of the process until `GET /ready` answers 200, on a new ledger.
    async fn time_start(&self) -> Result<Duration, BenchError> {
        let registry = ["--registry".to_owned(), self.path.display().to_string()];
        let mut server = Server::start(self.binary, None, None, &registry)?;
        let (_, ready_after) = server.ready().await?;
        server.stop().await?;
        Ok(ready_after)
    }
}

/// The same code in another component: with a custom section that says which one it is.
fn variant(component: &[u8], number: u64) -> Vec<u8> {
    let content = [&[7][..], b"variant", &number.to_le_bytes()].concat();
    let len = u8::try_from(content.len()).unwrap_or_default(); // 16: one byte of LEB128
    [component, &[0, len], &content].concat()
}

fn unreadable(path: &Path, source: std::io::Error) -> BenchError {
    BenchError::Component { path: path.to_owned(), source }
}

impl Starts {
    pub(crate) fn to_text(&self) -> String {
        let millis = |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
        let large = self.large.as_ref().map(|path| format!(", one of them {}", path.display())).unwrap_or_default();
        let mut text = format!(
            "start with {} locked handlers{large}, until ready: median {:.0} ms, {:.0} to {:.0} ms in {} starts\n",
            self.n_handlers,
            millis(self.locked.get(self.locked.len() / 2)),
            millis(self.locked.first()),
            millis(self.locked.last()),
            self.locked.len(),
        );
        if let Some(compiled) = &self.compiled {
            text.push_str(&format!("the same without a lock, everything compiled: {:.0} ms\n", millis(Some(compiled))));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use openexec_core::digest::Digest;

    use super::*;

    #[test]
    fn a_variant_is_another_component_with_one_more_section() {
        let component = b"\0asm\x0d\0\x01\0";
        let (one, other) = (variant(component, 1), variant(component, 2));
        assert_ne!(Digest::of(&one), Digest::of(&other));
        assert_eq!(one[..8], component[..]);
        assert_eq!((one[8], usize::from(one[9]), &one[11..18]), (0, one.len() - 10, &b"variant"[..]));
    }
}

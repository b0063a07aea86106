//! A host started for one session: on a free port, with a fresh database. Or a bare Wasm server, to compare with.
//!
//! In scope: starting, in clawshield mode if there is a trust file, learning the address from the log, waiting until ready,
//! stopping.
//! Out of scope: configuring the host otherwise. It inherits the environment and the arguments given behind `--`.
//!
//! Invariants
//! - The child process and its directory do not outlive this value.
//! - The log is always read, so the host never blocks on writing it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::task::LocalSet;

use crate::connection::{Connection, Target};
use crate::error::BenchError;
use crate::process::Process;

/// Longest wait for a host to become ready; compiling handlers takes seconds in a debug build.
const READY_SECONDS_MAX: u64 = 60;
/// Longest wait for a host to stop by itself before it is killed.
const STOP_SECONDS_MAX: u64 = 30;
/// Between two looks at something that changes soon. Bounds the error of `ready after`.
const POLL: Duration = Duration::from_millis(1);
/// Lines of log kept for error messages.
const LOG_LINES_MAX: usize = 20;
/// The bare Wasm server, found on the PATH.
const BARE_SERVER: &str = "wasmtime";
/// The trust file in the directory of the database.
const TRUST_FILE: &str = "trust.toml";
/// Flushes of which the median is taken. Odd, so that there is a middle one.
const FLUSHES: usize = 51;
/// Written before each flush: a page of the database.
const FLUSHED_BYTES: usize = 4096;

type LogTail = Arc<Mutex<VecDeque<String>>>;

/// A host that this session started.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    started: Instant,
    ports: Receiver<u16>,
    log: LogTail,
    directory: TempDir,
}

/// How a host stopped.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) after: Duration,
    pub(crate) status: ExitStatus,
}

impl Server {
    /// Starts `binary serve` in a fresh directory below `parent`, with this trust file.
    pub(crate) fn start(
        binary: &Path,
        parent: Option<&Path>,
        trust_file: Option<&str>,
        more_args: &[String],
    ) -> Result<Self, BenchError> {
        let failed = |source| BenchError::Start { binary: binary.to_owned(), source };
        let temporary = std::env::temp_dir();
        let directory = TempDir::with_prefix_in("openexec-bench-", parent.unwrap_or(&temporary))
            .map_err(BenchError::DataDirectory)?;
        let place = directory.path().canonicalize().map_err(BenchError::DataDirectory)?;
        let mut mode_args = Vec::new();
        if let Some(text) = trust_file {
            std::fs::write(place.join(TRUST_FILE), text).map_err(BenchError::TrustFile)?;
            mode_args.extend(["--mode", "clawshield", "--trust-file", TRUST_FILE]);
        }
        let mut command = Command::new(binary.canonicalize().map_err(failed)?);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--db-url"])
            .arg(format!("sqlite:///{}/bench.db", place.display()))
            .args(mode_args)
            .args(more_args)
            .current_dir(&place);
        Self::spawn(command, directory).map_err(failed)
    }

    /// Starts `wasmtime serve` on a component that answers every request. It has no database, and no approvals to check.
    pub(crate) fn start_bare(component: &Path) -> Result<Self, BenchError> {
        let failed = |source| BenchError::Start { binary: BARE_SERVER.into(), source };
        let component =
            component.canonicalize().map_err(|source| BenchError::Component { path: component.to_owned(), source })?;
        let directory = TempDir::with_prefix("openexec-bench-").map_err(BenchError::DataDirectory)?;
        let mut command = Command::new(BARE_SERVER);
        // Rust's standard library for wasm32-wasip2 imports `wasi:cli`, whether or not it is used.
        command.args(["serve", "-S", "cli", "--addr", "127.0.0.1:0"]).arg(component).current_dir(directory.path());
        Self::spawn(command, directory).map_err(failed)
    }

    fn spawn(mut command: Command, directory: TempDir) -> io::Result<Self> {
        let started = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let (port_sender, ports) = mpsc::channel();
        let log = LogTail::default();
        if let Some(stderr) = child.stderr.take() {
            let log = log.clone();
            std::thread::spawn(move || follow_log(BufReader::new(stderr), &port_sender, &log));
        }
        Ok(Self { child, started, ports, log, directory })
    }

    /// Waits until `GET /ready` answers 200. Returns where, and the time since the start.
    pub(crate) async fn ready(&mut self) -> Result<(Target, Duration), BenchError> {
        let port = self.port().await?;
        let target = Target::resolve(&format!("http://127.0.0.1:{port}")).await?;
        while !answers_ready(&target).await {
            self.require_alive()?;
            self.require_time_left()?;
            tokio::time::sleep(POLL).await;
        }
        Ok((target, self.started.elapsed()))
    }

    pub(crate) fn process(&self) -> Process {
        Process::Numbered(self.child.id())
    }

    /// How long the disk of the database takes to make a written page durable: every commit waits for that. Blocks.
    pub(crate) fn flush_time(&self) -> Result<Duration, BenchError> {
        time_flushes(&mut tempfile::tempfile_in(self.directory.path()).map_err(BenchError::DataDirectory)?)
            .map_err(BenchError::DataDirectory)
    }

    /// Adds the end of the host's log to an error that came up under load.
    pub(crate) fn explain(&self, cause: BenchError) -> BenchError {
        BenchError::UnderLoad { cause: Box::new(cause), log: self.log_tail() }
    }

    /// Asks the host to stop and waits for it.
    pub(crate) async fn stop(mut self) -> Result<Stopped, BenchError> {
        let asked = Instant::now();
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).map_err(|errno| BenchError::Stop(errno.into()))?;
        }
        while asked.elapsed() < Duration::from_secs(STOP_SECONDS_MAX) {
            if let Some(status) = self.child.try_wait().map_err(BenchError::Stop)? {
                return Ok(Stopped { after: asked.elapsed(), status });
            }
            tokio::time::sleep(POLL).await;
        }
        self.child.kill().map_err(BenchError::Stop)?;
        let status = self.child.wait().map_err(BenchError::Stop)?;
        Ok(Stopped { after: asked.elapsed(), status })
    }

    /// Waits until the log names the port.
    async fn port(&mut self) -> Result<u16, BenchError> {
        loop {
            if let Ok(port) = self.ports.try_recv() {
                return Ok(port);
            }
            self.require_alive()?;
            self.require_time_left()?;
            tokio::time::sleep(POLL).await;
        }
    }

    fn require_alive(&mut self) -> Result<(), BenchError> {
        match self.child.try_wait().map_err(BenchError::Stop)? {
            Some(status) => Err(BenchError::EndedEarly { status, log: self.log_tail() }),
            None => Ok(()),
        }
    }

    fn require_time_left(&self) -> Result<(), BenchError> {
        if self.started.elapsed() < Duration::from_secs(READY_SECONDS_MAX) {
            return Ok(());
        }
        Err(BenchError::NotReady { seconds: READY_SECONDS_MAX, log: self.log_tail() })
    }

    fn log_tail(&self) -> String {
        let lines = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` both calls fail, because the child has been waited for; nothing is left to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The median time of a flush, each after a page was written again in place.
fn time_flushes(file: &mut File) -> io::Result<Duration> {
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        file.rewind()?;
        file.write_all(&[0; FLUSHED_BYTES])?;
        let started = Instant::now();
        file.sync_data()?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(FLUSHES / 2).copied().unwrap_or_default())
}

async fn answers_ready(target: &Target) -> bool {
    let ask = async {
        let mut connection = Connection::open(target).await.ok()?;
        connection.get_ready().await.ok()
    };
    let patience = Duration::from_secs(1);
    let answer = LocalSet::new().run_until(tokio::time::timeout(patience, ask)).await;
    matches!(answer, Ok(Some(answer)) if answer.status == StatusCode::OK)
}

fn follow_log(mut lines: impl BufRead, ports: &Sender<u16>, log: &LogTail) {
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|n_bytes| n_bytes > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if let Some(port) = listening_port(&text) {
            let _ = ports.send(port); // nobody waits for a second one
        }
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LOG_LINES_MAX {
            log.pop_front();
        }
        log.push_back(text);
        line.clear();
    }
}

/// The port in a line of log that says "listening" (or "serving", as wasmtime does) and an address, in whatever format.
fn listening_port(line: &str) -> Option<u16> {
    let line = line.to_ascii_lowercase();
    if !["listening", "serving"].iter().any(|word| line.contains(word)) {
        return None;
    }
    line.split("127.0.0.1:").skip(1).find_map(|rest| {
        let digits = rest.split(|character: char| !character.is_ascii_digit()).next()?;
        digits.parse().ok().filter(|port| *port != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_in_plain_coloured_and_json_lines() {
        assert_eq!(listening_port("INFO openexec: listening address=127.0.0.1:4711"), Some(4711));
        assert_eq!(listening_port("listening \u{1b}[3maddr\u{1b}[0m=127.0.0.1:80\u{1b}[0m"), Some(80));
        assert_eq!(listening_port(r#"{"message":"Listening","address":"127.0.0.1:65535"}"#), Some(65535));
        assert_eq!(listening_port("Serving HTTP on http://127.0.0.1:8080/"), Some(8080));
        assert_eq!(listening_port("listening, asked for 127.0.0.1:0, got http://127.0.0.1:9/"), Some(9));
    }

    #[test]
    fn lines_without_a_port_are_passed_over() {
        assert_eq!(listening_port("will connect to 127.0.0.1:4711"), None);
        assert_eq!(listening_port("listening on 127.0.0.1:0"), None);
        assert_eq!(listening_port("listening on 127.0.0.1:99999"), None);
        assert_eq!(listening_port("listening on [::1]:80"), None);
    }

    #[test]
    fn the_log_keeps_its_last_lines_only() {
        let (sender, ports) = mpsc::channel();
        let log = LogTail::default();
        let lines: Vec<String> = (0..100).map(|number| format!("listening 127.0.0.1:{number}")).collect();
        follow_log(lines.join("\n").as_bytes(), &sender, &log);
        assert_eq!(ports.recv().unwrap(), 1);
        assert_eq!(log.lock().unwrap().len(), LOG_LINES_MAX);
        assert_eq!(log.lock().unwrap().back().unwrap(), "listening 127.0.0.1:99");
    }
}

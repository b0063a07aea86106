//! A host: the real binary as a child process, with a ledger in a folder of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{self, Answer};

/// How long a start or a stop may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a host is to be started. Cheap to clone: every start from clones shares the folder, and so the ledger.
#[derive(Clone, Debug)]
pub struct Setup {
    folder: Arc<TempDir>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    /// Wraps the command, such as `["sh", "-c", "ulimit -f 100; exec \"$@\"", "sh"]`.
    wrapper: Vec<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// A host in demo mode, on a free port, with a new ledger.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder: Arc::new(folder), arguments: Vec::new(), variables: Vec::new(), wrapper: Vec::new() }
    }

    /// Adds arguments to `openexec serve`.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the host through another command.
    #[must_use]
    pub fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
        self
    }

    /// The folder of the host: its ledger is `openexec.db` inside.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The ledger file.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.folder().join("openexec.db")
    }

    /// Starts the host and waits until it listens.
    #[must_use]
    #[track_caller]
    pub fn start(&self) -> Host {
        match self.try_start() {
            Ok(host) => host,
            Err(refused) => panic!("the host did not start ({:?}): {}", refused.status, refused.stderr),
        }
    }

    /// Starts the host; `Err` if it exits before it listens.
    pub fn try_start(&self) -> Result<Host, Refused> {
        let log_path = self.folder().join("log");
        let log = File::options().create(true).append(true).open(&log_path).expect("a log file");
        let log_start = log.metadata().expect("the log's length").len();
        let mut child = self
            .command(&["serve"], &self.arguments)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the openexec binary starts");
        let started = Instant::now();
        loop {
            let log = read_from(&log_path, log_start);
            if let Some(address) = listening_address(&log) {
                return Ok(Host { child, address, setup: self.clone() });
            }
            if let Some(status) = child.try_wait().expect("the child's status") {
                return Err(Refused { status, stderr: read_from(&log_path, log_start) });
            }
            assert!(started.elapsed() < PATIENCE, "the host neither listens nor exits: {log}");
            sleep(Duration::from_millis(2));
        }
    }

    /// Runs another command of the binary on the same folder, to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments, &[]).output().expect("the openexec binary runs")
    }

    /// How many executions there are in each state, as `openexec ledger stats` counts them.
    #[must_use]
    #[track_caller]
    pub fn stats(&self) -> Value {
        let output = self.run(&["ledger", "stats", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn command(&self, arguments: &[&str], more: &[String]) -> Command {
        let binary = binary();
        let mut words: Vec<String> = self.wrapper.clone();
        words.push(binary.display().to_string());
        words.extend(arguments.iter().map(ToString::to_string));
        words.extend_from_slice(more);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.folder());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OPENEXEC_") || name.to_string_lossy().starts_with("CLAWSHIELD_") {
                command.env_remove(name);
            }
        }
        // As variables, so that a test can say otherwise with a flag.
        command.env("OPENEXEC_LISTEN", "127.0.0.1:0").env("OPENEXEC_LOG", "debug");
        command.envs(self.variables.iter().cloned());
        command
    }
}

/// A host that refused to start.
#[derive(Debug)]
pub struct Refused {
    /// How it exited.
    pub status: ExitStatus,
    /// What it said.
    pub stderr: String,
}

/// A running host. Killed when dropped.
#[derive(Debug)]
pub struct Host {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// How it was started.
    pub setup: Setup,
}

impl Host {
    /// A host in demo mode with a new ledger.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Setup::new().start()
    }

    /// `GET path`.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        client::get(self.address, path).expect("an answer")
    }

    /// `POST path` with a JSON body.
    #[must_use]
    #[track_caller]
    pub fn post(&self, path: &str, body: &[u8]) -> Answer {
        client::post(self.address, path, body).expect("an answer")
    }

    /// `POST /execute`.
    #[must_use]
    #[track_caller]
    pub fn execute(&self, action: &str, payload: &Value, nonce: &str) -> Answer {
        client::execute(self.address, action, payload, nonce).expect("an answer")
    }

    /// Sends these bytes on a connection of their own.
    #[must_use]
    #[track_caller]
    pub fn send(&self, request: &[u8]) -> Answer {
        client::send(self.address, request).expect("an answer")
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the host has logged since the folder was made.
    #[must_use]
    pub fn log(&self) -> String {
        read_from(&self.setup.folder().join("log"), 0)
    }

    /// SIGKILL: no destructor, no flush.
    pub fn kill(mut self) -> Setup {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child's status");
        self.setup.clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the child can be signalled");
    }

    /// SIGTERM, and waits for the end.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child's status") {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the host does not stop: {}", self.log());
            sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary that was built with these tests; panics if it is older than the sources.
#[must_use]
pub fn binary() -> PathBuf {
    let tests = std::env::current_exe().expect("the path of this test");
    let folder = tests.parent().and_then(Path::parent).expect("target/PROFILE");
    let binary = folder.join("openexec");
    let built = fs::metadata(&binary).and_then(|file| file.modified());
    let built = built.unwrap_or_else(|_| panic!("{}: not built; `make test` builds it", binary.display()));
    let sources = newest(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../host"));
    assert!(built >= sources, "{}: older than its sources; `make test` rebuilds it", binary.display());
    binary
}

fn newest(folder: &Path) -> SystemTime {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let times = entries.map(|path| match path.is_dir() {
        true => newest(&path),
        false if path.extension().is_some_and(|extension| extension == "rs") => {
            fs::metadata(&path).and_then(|file| file.modified()).expect("a time")
        }
        false => SystemTime::UNIX_EPOCH,
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn read_from(path: &Path, start: u64) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

fn listening_address(log: &str) -> Option<SocketAddr> {
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let listening = lines.rfind(|line| line["message"] == "listening")?;
    listening["address"].as_str()?.parse().ok()
}

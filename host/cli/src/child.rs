//! Compiling in a process of its own: a hostile component can make a compiler panic, or take all memory and time.
//!
//! In scope: the process, what goes in and comes out, its limits and its end.
//! Out of scope: what is compiled, and what its death means (`compile`, `handler::examine`).

use std::io::{self, IsTerminal, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How often a child is asked whether it has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// How often somebody who waits is told that it goes on.
const PROGRESS: Duration = Duration::from_secs(5);

/// Most of what a child complained of that is repeated: a compiler quotes what it compiles.
const COMPLAINT_CHARS: usize = 1_000;

/// The one variable that a child is given: how many threads the compiler may use.
const THREADS: &str = "RAYON_NUM_THREADS";

/// How a child ended, and what it said.
pub(crate) struct Ended {
    /// Everything on its standard output.
    pub(crate) said: Vec<u8>,
    /// The beginning of its standard error. For people; not safe to print as it is.
    pub(crate) complaint: String,
    /// `None` if its time was over and it was killed.
    pub(crate) status: Option<ExitStatus>,
}

/// Runs this program again with `arguments` and hardly any environment, hands `input` over, and waits no longer than
/// `patience`. The bytes go through a pipe, so that what was looked at is what was read, whatever becomes of the file.
///
/// # Errors
/// When the process cannot be started, or not be waited for.
pub(crate) fn run(arguments: &[String], input: &[u8], patience: Duration) -> io::Result<Ended> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .env_clear()
        .envs(std::env::var_os(THREADS).map(|n| (THREADS, n)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        // A child that died does not read on; its status says how it died.
        scope.spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(input)));
        let said = scope.spawn(|| read_all(stdout));
        let complaint = scope.spawn(|| read_all(stderr));
        let status = wait(&mut child, patience)?;
        let (said, complaint) = (said.join().unwrap_or_default(), complaint.join().unwrap_or_default());
        let complaint = String::from_utf8_lossy(&complaint);
        let complaint = complaint.trim().trim_start_matches("openexec: ").chars().take(COMPLAINT_CHARS).collect();
        Ok(Ended { said, complaint, status })
    })
}

fn read_all(from: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What came before an error is all there is, and the child's status is no success then.
    let _ = from.map(|mut from| from.read_to_end(&mut bytes));
    bytes
}

/// Waits for the child; kills it, and answers `None`, when its time is over.
fn wait(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    let mut told = begun;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= patience {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        if told.elapsed() > PROGRESS && io::stderr().is_terminal() {
            told = Instant::now();
            let _ = writeln!(io::stderr(), "compiling, {} s so far", begun.elapsed().as_secs());
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Called by the child before it reads a byte: what it may use from here on, or what it may already, if that is less. No
/// core is dumped.
///
/// # Errors
/// When the system refuses.
pub(crate) fn limit_this_process(limits: &[(Resource, u64)]) -> rustix::io::Result<()> {
    for &(resource, most) in limits.iter().chain(&[(Resource::Core, 0)]) {
        let present = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let most = Some(most.min(present));
        setrlimit(resource, Rlimit { current: most, maximum: most })?;
    }
    Ok(())
}

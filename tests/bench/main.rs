//! `bench`: how many executions a second a host answers, how long each takes and what it costs.
//!
//! In scope: the command line, and the order in which a session starts, measures and reports.
//! Out of scope: sending requests (`load`), starting a host (`server`), wording the results (`report`).
//!
//! Invariants
//! - Every request of a session carries its own nonce, so every answer stands for one run of a handler.
//! - The exit code is 0 only if every measured answer was a 200.

#![expect(clippy::print_stderr, reason = "a command line program speaks to its terminal")]

mod bodies;
mod connection;
mod error;
mod load;
mod primitives;
mod process;
mod report;
mod server;

use std::io::{self, Write};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::bodies::Bodies;
use crate::connection::Target;
use crate::error::BenchError;
use crate::load::Plan;
use crate::process::Process;
use crate::report::{Lifetime, Report, Run};
use crate::server::Server;

/// Measures a host in a closed loop.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load a host that is already running.
    Http(HttpArgs),
    /// Start a host on a fresh database, load it, stop it.
    Serve(ServeArgs),
    /// Time what one execution consists of, without a host.
    Primitives(PrimitivesArgs),
}

#[derive(Debug, Args)]
struct PrimitivesArgs {
    /// The component to call, a handler of `echo`.
    #[arg(long, default_value = "handlers/components/echo.wasm")]
    component: PathBuf,
    /// Seconds for each primitive.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

#[derive(Debug, Args)]
struct HttpArgs {
    /// Where the host listens, such as `http://127.0.0.1:5000`; requests go to URL/execute.
    url: String,
    /// Process of the host, to measure its CPU time and memory.
    #[arg(long)]
    pid: Option<u32>,
    #[command(flatten)]
    session: SessionArgs,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The `openexec` binary to start. It inherits this environment.
    #[arg(long)]
    binary: PathBuf,
    /// Make the fresh directory for the database in here (default: the directory for temporary files).
    #[arg(long)]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    session: SessionArgs,
    /// More arguments for `openexec serve`.
    #[arg(last = true)]
    server_args: Vec<String>,
}

#[derive(Debug, Args)]
struct SessionArgs {
    /// Numbers of connections to measure, one after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,8,64")]
    connections: Vec<NonZeroUsize>,
    /// Measured seconds for each number of connections.
    #[arg(long, default_value = "10")]
    seconds: NonZeroU64,
    /// Seconds of load before the measurement starts.
    #[arg(long, default_value_t = 2)]
    warmup: u64,
    /// Action to ask for.
    #[arg(long, default_value = "echo")]
    action: String,
    /// Payload to send: a JSON object.
    #[arg(long, default_value = r#"{"msg":"hello"}"#)]
    payload: String,
    /// Send the lines of this file, one JSON body each, instead; stop at its end.
    #[arg(long, conflicts_with_all = ["action", "payload"])]
    bodies: Option<PathBuf>,
    /// Measure this host too, taking turns, and print the ratio.
    #[arg(long)]
    compare: Option<String>,
    /// Process of the host to compare with.
    #[arg(long, requires = "compare")]
    compare_pid: Option<u32>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// One host under load.
#[derive(Debug)]
struct Subject {
    label: &'static str,
    target: Rc<Target>,
    process: Option<Process>,
    bodies: Rc<Bodies>,
}

fn main() -> ExitCode {
    match run(CommandLine::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<ExitCode, BenchError> {
    // One thread: the host under load shares the cores, so the client must leave them alone.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(BenchError::Runtime)?;
    match command {
        Command::Http(args) => runtime.block_on(until_interrupted(http(args))),
        Command::Serve(args) => runtime.block_on(until_interrupted(serve(args))),
        Command::Primitives(args) => {
            let primitives = primitives::measure(&args.component, Duration::from_secs(args.seconds))?;
            io::stdout().write_all(primitives.to_text().as_bytes()).map_err(BenchError::Output)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Runs a session, or drops it on SIGINT or SIGTERM, which ends the host that it started.
async fn until_interrupted(
    session: impl Future<Output = Result<ExitCode, BenchError>>,
) -> Result<ExitCode, BenchError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(BenchError::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(BenchError::Runtime)?;
    tokio::select! {
        ended = session => ended,
        _ = interrupt.recv() => Err(BenchError::Interrupted),
        _ = terminate.recv() => Err(BenchError::Interrupted),
    }
}

async fn http(args: HttpArgs) -> Result<ExitCode, BenchError> {
    let target = Target::resolve(&args.url).await?;
    let runs = args.session.measure(target, args.pid.map(Process::Numbered)).await?;
    print(&Report::new(runs, None), &args.session)
}

async fn serve(args: ServeArgs) -> Result<ExitCode, BenchError> {
    let mut server = Server::start(&args.binary, args.data_dir.as_deref(), &args.server_args)?;
    let (target, ready_after) = server.ready().await?;
    let measured = args.session.measure(target, Some(server.process())).await;
    let runs = measured.map_err(|error| server.explain(error))?;
    let on_tmpfs = server.data_is_on_tmpfs();
    let stopped = server.stop().await?;
    print(&Report::new(runs, Some(Lifetime { ready_after, stopped, on_tmpfs })), &args.session)
}

fn print(report: &Report, session: &SessionArgs) -> Result<ExitCode, BenchError> {
    let text = if session.json { format!("{}\n", report.to_json()) } else { report.to_text() };
    io::stdout().write_all(text.as_bytes()).map_err(BenchError::Output)?;
    Ok(if report.all_succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl SessionArgs {
    /// Loads the tested host and the one to compare with in turn, for each number of connections.
    async fn measure(&self, target: Target, process: Option<Process>) -> Result<Vec<Run>, BenchError> {
        let mut subjects = vec![self.subject("tested", target, process)?];
        if let Some(url) = &self.compare {
            let process = self.compare_pid.map(Process::Numbered);
            subjects.push(self.subject("compared", Target::resolve(url).await?, process)?);
        }
        let mut runs = Vec::new();
        for connections in self.connections.iter().map(|count| count.get()) {
            for subject in &subjects {
                eprintln!("bench: {} host, {connections} connections", subject.label);
                let measurement =
                    load::measure(&subject.target, &subject.bodies, subject.process, self.plan(connections)).await?;
                runs.push(Run { label: subject.label, connections, measurement });
            }
        }
        Ok(runs)
    }

    fn subject(&self, label: &'static str, target: Target, process: Option<Process>) -> Result<Subject, BenchError> {
        let bodies = match &self.bodies {
            Some(path) => Bodies::open(path)?,
            None => Bodies::mint(&self.action, &self.payload)?,
        };
        Ok(Subject { label, target: Rc::new(target), process, bodies: Rc::new(bodies) })
    }

    fn plan(&self, connections: usize) -> Plan {
        Plan { connections, warmup: Duration::from_secs(self.warmup), window: Duration::from_secs(self.seconds.get()) }
    }
}

//! `bench`: how many executions a second a host answers, how long each takes and what it costs.
//!
//! In scope: the command line, and the order in which a session starts, measures and reports.
//! Out of scope: sending requests (`load`), starting a host (`server`), wording the results (`report`).
//!
//! Invariants
//! - Every request of a session carries its own nonce, so every answer stands for one run of a handler.
//! - The exit code is 0 only if every measured answer was a 200.

#![expect(clippy::print_stderr, reason = "a command line program speaks to its terminal")]

mod approvals;
mod bodies;
mod calls;
mod connection;
mod error;
mod load;
mod log;
mod primitives;
mod process;
mod report;
mod server;
mod start;

use std::io::{self, Write};
use std::iter;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::approvals::Approver;
use crate::bodies::Bodies;
use crate::calls::CallsArgs;
use crate::connection::Target;
use crate::error::BenchError;
use crate::load::Plan;
use crate::process::Process;
use crate::report::{Lifetime, Report, Run};
use crate::server::Server;
use crate::start::StartArgs;

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
    /// Start a host on a fresh database (one for each mode, taking turns), load it, stop it.
    Serve(ServeArgs),
    /// Time what one execution consists of, without a host.
    Primitives(PrimitivesArgs),
    /// Time one call of each of several components, such as the samples.
    Calls(CallsArgs),
    /// Time starts of a host with many handlers, compiled ahead of time.
    Start(StartArgs),
    /// Time inclusion proofs in a large log, without a host.
    Log(LogArgs),
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
struct LogArgs {
    /// Leaves of the log.
    #[arg(long, default_value = "10000000")]
    leaves: NonZeroU64,
    /// Seconds of proofs.
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
    /// Modes to measure. Of several hosts, the ratio of the first to the last is printed.
    #[arg(
        long = "mode",
        value_name = "MODES",
        value_delimiter = ',',
        default_value = "demo",
        conflicts_with = "bodies"
    )]
    modes: Vec<Mode>,
    /// Measure a bare Wasm server too, taking turns: `wasmtime serve` from the PATH, on this component (`tests/bare`).
    #[arg(long, conflicts_with = "compare")]
    bare: Option<PathBuf>,
    /// Measure this `openexec` binary too, in the same modes, taking turns: such as the one before a change.
    #[arg(long, conflicts_with_all = ["compare", "bare"])]
    compare_binary: Option<PathBuf>,
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
    /// Measure each number of connections so often, the hosts in turn. A machine that changes its speed changes it for both
    /// hosts of a short round, so the median of many short rounds' ratios says more than one long round's.
    #[arg(long, default_value = "1")]
    rounds: NonZeroUsize,
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

/// How a host that this session starts decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Everything runs.
    Demo,
    /// Each call carries an approval v2, signed before the measurement.
    Clawshield,
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
        Command::Start(args) => runtime.block_on(until_interrupted(async {
            let starts = start::measure(args).await?;
            io::stdout().write_all(starts.to_text().as_bytes()).map_err(BenchError::Output)?;
            Ok(ExitCode::SUCCESS)
        })),
        Command::Primitives(args) => {
            let primitives = primitives::measure(&args.component, Duration::from_secs(args.seconds))?;
            io::stdout().write_all(primitives.to_text().as_bytes()).map_err(BenchError::Output)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Calls(args) => {
            let table = calls::measure(&args)?;
            io::stdout().write_all(table.as_bytes()).map_err(BenchError::Output)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Log(args) => {
            let proofs = log::measure(args.leaves.get(), Duration::from_secs(args.seconds))?;
            io::stdout().write_all(proofs.to_text().as_bytes()).map_err(BenchError::Output)?;
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
    let bodies = args.session.bodies()?;
    let subject = Subject::new("tested", target, args.pid.map(Process::Numbered), bodies);
    let runs = args.session.measure(vec![subject]).await?;
    print(&Report::new(runs, Vec::new()), &args.session)
}

async fn serve(args: ServeArgs) -> Result<ExitCode, BenchError> {
    let (mut servers, mut subjects) = (Vec::new(), Vec::new());
    for (binary, is_compared) in iter::once((&args.binary, false)).chain(args.compare_binary.iter().map(|b| (b, true)))
    {
        for mode in &args.modes {
            let (server, subject, ready_after) = start_in(&args, binary, mode.label(is_compared), *mode).await?;
            let flush = server.flush_time()?;
            servers.push((subject.label, server, ready_after, Some(flush)));
            subjects.push(subject);
        }
    }
    if let Some(component) = &args.bare {
        let mut server = Server::start_bare(component)?;
        let (target, ready_after) = server.ready().await?;
        subjects.push(Subject::new("bare", target, Some(server.process()), args.session.bodies()?));
        servers.push(("bare", server, ready_after, None));
    }
    let measured = args.session.measure(subjects).await;
    let runs = measured.map_err(|error| servers.iter().fold(error, |error, (_, server, ..)| server.explain(error)))?;
    let mut lifetimes = Vec::new();
    for (label, server, ready_after, flush) in servers {
        lifetimes.push(Lifetime { label, ready_after, flush, stopped: server.stop().await? });
    }
    print(&Report::new(runs, lifetimes), &args.session)
}

/// Starts a host in this mode, ready to be loaded.
async fn start_in(
    args: &ServeArgs,
    binary: &Path,
    label: &'static str,
    mode: Mode,
) -> Result<(Server, Subject, Duration), BenchError> {
    let (bodies, trust_file) = match mode {
        Mode::Demo => (args.session.bodies()?, None),
        Mode::Clawshield => {
            let approver = Approver::new()?;
            let trust_file = approver.trust_file();
            let bodies = Bodies::approve(&args.session.action, &args.session.payload, approver)?;
            (bodies, Some(trust_file))
        }
    };
    let data_dir = args.data_dir.as_deref();
    let mut server = Server::start(binary, data_dir, trust_file.as_deref(), &args.server_args)?;
    let (target, ready_after) = server.ready().await?;
    let subject = Subject::new(label, target, Some(server.process()), bodies);
    Ok((server, subject, ready_after))
}

fn print(report: &Report, session: &SessionArgs) -> Result<ExitCode, BenchError> {
    let text = if session.json { format!("{}\n", report.to_json()) } else { report.to_text() };
    io::stdout().write_all(text.as_bytes()).map_err(BenchError::Output)?;
    Ok(if report.all_succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Mode {
    /// What the report calls a host in this mode.
    fn label(self, is_compared: bool) -> &'static str {
        match (self, is_compared) {
            (Self::Demo, false) => "demo",
            (Self::Demo, true) => "compared demo",
            (Self::Clawshield, false) => "clawshield",
            (Self::Clawshield, true) => "compared clawshield",
        }
    }
}

impl Subject {
    fn new(label: &'static str, target: Target, process: Option<Process>, bodies: Bodies) -> Self {
        Self { label, target: Rc::new(target), process, bodies: Rc::new(bodies) }
    }
}

impl SessionArgs {
    /// Loads these hosts and the one to compare with in turn, for each number of connections.
    async fn measure(&self, mut subjects: Vec<Subject>) -> Result<Vec<Run>, BenchError> {
        if let Some(url) = &self.compare {
            let process = self.compare_pid.map(Process::Numbered);
            subjects.push(Subject::new("compared", Target::resolve(url).await?, process, self.bodies()?));
        }
        let mut runs = Vec::new();
        for connections in self.connections.iter().map(|count| count.get()) {
            let rounds = iter::repeat_n(&subjects, self.rounds.get());
            for subject in rounds.flatten() {
                eprintln!("bench: {} host, {connections} connections", subject.label);
                let plan = self.plan(connections);
                subject.bodies.stock_up(plan)?;
                let measurement = load::measure(&subject.target, &subject.bodies, subject.process, plan).await?;
                let log_lag = log::lag(&subject.target, &subject.bodies).await?;
                runs.push(Run { label: subject.label, connections, measurement, log_lag });
            }
        }
        Ok(runs)
    }

    fn bodies(&self) -> Result<Bodies, BenchError> {
        match &self.bodies {
            Some(path) => Bodies::open(path),
            None => Bodies::mint(&self.action, &self.payload),
        }
    }

    fn plan(&self, connections: usize) -> Plan {
        Plan { connections, warmup: Duration::from_secs(self.warmup), window: Duration::from_secs(self.seconds.get()) }
    }
}

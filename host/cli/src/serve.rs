//! `openexec serve`: the composition root of the host.
//!
//! In scope: the order of a start. Nothing listens until everything that could refuse has not.

use std::error::Error;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openexec_core::admission::Mode;
use openexec_core::time::Timestamp;
use openexec_core::trust::LegacyTrust;
use openexec_ledger::Ledger;
use openexec_ledger::sqlite::SqliteLedger;
use openexec_sandbox::{Sandbox, Settings};
use openexec_server::clock::{Clock, SystemClock};
use openexec_server::executor::{self, Executor};
use openexec_server::http::{self, Build, Edge};
use openexec_server::log::HostLog;
use openexec_server::self_audit::SelfAudit;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{HostOptions, ServeOptions};
use crate::config::{self, LedgerPath};
use crate::{components, keys, logging};

/// How often bodies beyond the retention time are looked for.
const PURGE_INTERVAL: Duration = Duration::from_hours(1);

/// How long a stop waits for an erasure that is under way. Its steps are commits of their own, so none is lost.
const ERASURE_PATIENCE: Duration = Duration::from_secs(1);

/// Runs of the self-audit at once, besides those of callers.
const AUDIT_SLOTS: u32 = 1;

/// Threads for look-ups and erasure besides those for runs.
const SPARE_THREADS: u32 = 4;

/// How long a stop waits for a look at the ledger that is under way.
const CLOSING_PATIENCE: Duration = Duration::from_secs(2);

/// Threads that serve, for each core. With one, cores were idle while calls waited: answers a second grew by a twelfth with
/// two, and by nothing more with four.
const WORKERS_PER_CORE: usize = 2;

pub(crate) fn run(options: ServeOptions) -> Result<ExitCode, Box<dyn Error>> {
    logging::start(&options.host.log)?;
    config::require_safe_listener(&options)?;
    raise_file_limit();
    let Built { mut executor, log, ledger } = build(&options.host, options.concurrency)?;
    executor.self_audit = SelfAudit::start(options.audit_one_in, executor.sandbox.clone())?;
    let executor = Arc::new(executor);
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(WORKERS_PER_CORE * std::thread::available_parallelism().map_or(1, NonZero::get))
        .max_blocking_threads((options.concurrency + SPARE_THREADS) as usize)
        .build()?;
    runtime.block_on(recover(&executor, &options.host))?;
    let finished = runtime.block_on(listen(options, executor, log))?;
    if finished {
        runtime.shutdown_timeout(ERASURE_PATIENCE);
        close(ledger);
        return Ok(ExitCode::SUCCESS);
    }
    // Dropping the runtime would wait for runs as long as they take. They end with the process instead, as in a crash:
    // the next start completes their reservations.
    runtime.shutdown_background();
    Ok(ExitCode::FAILURE)
}

/// A host that nobody can reach yet.
pub(crate) struct Built {
    pub(crate) executor: Executor,
    pub(crate) log: Arc<HostLog>,
    /// The ledger of both, for whoever closes it.
    pub(crate) ledger: Arc<SqliteLedger>,
}

/// Wires an executor and its log: registry, ledger, keys, log, sandbox, in the order in which they may refuse.
pub(crate) fn build(options: &HostOptions, n_slots: u32) -> Result<Built, Box<dyn Error>> {
    let path = LedgerPath::parse(&options.ledger.db_url)?;
    let source = components::load(&options.registry)?;
    let admission = config::admission(options, source.registry)?;
    let witnesses = config::witnesses(&options.receipt_log)?;
    let witnessed = config::witnessed(&options.receipt_log)?;
    let ledger = SqliteLedger::open(&path.0)?;
    if ledger.n_imported() > 0 {
        tracing::info!(n_executions = ledger.n_imported(), "imported the executions of openexec 0.1.10");
    }
    let mode = &admission.mode;
    let receipt_key = keys::receipt_key(&options.keys, &options.ledger, &ledger, mode)?;
    let log_key = keys::log_key(&options.receipt_log.key, &options.ledger, &ledger, mode, receipt_key.public())?;
    if let Some(registry_keys) = &source.keys {
        let host = [receipt_key.public(), log_key.verifier_key().key()];
        keys::require_registry_keys_apart(registry_keys, mode, host)?;
    }
    if let Some(key_id) = source.signed_by {
        tracing::info!(%key_id, registry = %admission.registry.digest(), "the registry is signed");
    }
    let ledger = Arc::new(ledger);
    let log = HostLog::open(ledger.clone(), log_key, witnesses, witnessed.as_ref())?;
    let n_locked = source.code.n_locked();
    let sandbox = source.code.start(Settings { n_slots: n_slots + AUDIT_SLOTS })?;
    tracing::info!(
        n_slots,
        n_locked,
        memory_reset = if Sandbox::resets_by_page_map() { "by page map: no swap" } else { "by unmapping: swap is on" },
        engine = Sandbox::engine_version(),
        "sandbox started"
    );
    let executor = Executor::new(admission, ledger.clone(), sandbox, Arc::new(SystemClock), receipt_key)?;
    Ok(Built { executor, log, ledger })
}

/// Closes the ledger, which folds what is beside the file into it. The threads that look at it now and then let go of it
/// after their look: would the last of them close it, the process could end before it is done.
fn close(mut ledger: Arc<SqliteLedger>) {
    let asked = Instant::now();
    while let Err(shared) = Arc::try_unwrap(ledger) {
        if asked.elapsed() > CLOSING_PATIENCE {
            tracing::warn!("the ledger is still in use: its file is tidied at the next start");
            return;
        }
        ledger = shared;
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Completes what a stopped host left behind, or says why nothing may start before that is done.
async fn recover(executor: &Executor, options: &HostOptions) -> Result<(), Box<dyn Error>> {
    let n_recovered = executor.recover().await.map_err(|error| {
        let ledger = &options.ledger.db_url;
        format!("a reservation in {ledger} could not be completed ({error}): see to the cause and start again")
    })?;
    if n_recovered > 0 {
        tracing::warn!(n_recovered, "completed reservations that a stopped host left behind");
    }
    Ok(())
}

/// Serves until told to stop; returns whether everything that was admitted finished in time.
async fn listen(options: ServeOptions, executor: Arc<Executor>, log: Arc<HostLog>) -> Result<bool, Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}: choose another --listen", options.listen))?;
    if let Some(retention) = config::retention(options.retention_days) {
        tokio::spawn(purge(executor.ledger.clone(), executor.clock.clone(), retention));
    }
    executor.controls.follow(&executor.ledger)?;
    log.follow()?;
    let mode = executor.admission.mode.as_str();
    announce(&executor.admission.mode);
    if executor.controls.now().is_halted() {
        tracing::warn!("this host is halted: nothing runs until `openexec control resume`");
    }
    let edge =
        Edge::new(executor, log.clone(), config::edge_limits(&options), Build { version: env!("CARGO_PKG_VERSION") });
    tracing::info!(address = %listener.local_addr()?, mode, "listening");
    let finished = http::serve::serve(listener, Arc::new(edge), stop).await;
    // What was sealed last is under a checkpoint when the host ends. If not, the next start sees to it.
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || log.integrate_once()).await {
        tracing::warn!(%error, "the last receipts are not logged yet");
    }
    tracing::info!(finished, "stopped");
    Ok(finished)
}

/// Says in the log what permits an execution.
fn announce(mode: &Mode) {
    match mode {
        Mode::Demo => tracing::warn!("demo mode: every registered action runs without an approval"),
        Mode::Clawshield(trust) => {
            if let Some(LegacyTrust { key, tenant, .. }) = trust.legacy() {
                tracing::info!(key_id = %key.id(), %tenant, "approvals v1 are accepted");
            }
            if let Some(file) = trust.file() {
                let (n_keys, digest) = (file.keys().count(), file.digest());
                tracing::info!(n_keys, trust = %digest, audience = %file.audience(), "approvals v2 are accepted");
            }
        }
    }
}

/// Erases bodies beyond the retention time, now and then.
async fn purge(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>, retention: Duration) {
    let mut ticks = tokio::time::interval(PURGE_INTERVAL);
    loop {
        ticks.tick().await;
        let before = before(clock.now(), retention);
        let ledger = ledger.clone();
        match tokio::task::spawn_blocking(move || executor::erase(&*ledger, before)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(n_erased)) => tracing::info!(n_erased, "erased bodies beyond the retention time"),
            Ok(Err(error)) => tracing::error!(%error, "bodies beyond the retention time could not be erased"),
            Err(_) => tracing::error!("erasing died"),
        }
    }
}

/// The moment `age` before `now`.
pub(crate) fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_unix_ms(now.unix_ms().saturating_sub(age_ms))
}

/// Asks for as many file handles as the system allows: every connection is one.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn closing_waits_for_whoever_looks_at_the_ledger_and_leaves_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let write_ahead_log = folder.path().join("ledger.db-wal");
        let ledger = Arc::new(SqliteLedger::open(&path).unwrap());
        assert!(write_ahead_log.exists());
        let looking = ledger.clone();
        let look = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(looking);
        });

        close(ledger);

        assert!(!write_ahead_log.exists(), "the write-ahead log is folded into the ledger and gone");
        look.join().unwrap();
    }
}

//! A host inside the test's own process, whose clock the test sets. Everything else is real: socket, ledger, sandbox.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openexec_core::admission::{Admission, Mode};
use openexec_core::names::Audience;
use openexec_core::registry::Registry;
use openexec_core::time::Timestamp;
use openexec_ledger::Ledger;
use openexec_ledger::sqlite::SqliteLedger;
use openexec_sandbox::{ComponentFile, Sandbox, Settings};
use openexec_server::clock::Clock;
use openexec_server::executor::Executor;
use openexec_server::http::{Build, Edge, EdgeLimits, serve};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::client::{self, Answer};
use crate::facts::receipt_key;

/// The clock of such a host.
#[derive(Clone, Debug, Default)]
pub struct SetClock(Arc<AtomicU64>);

impl SetClock {
    /// From now on it is this time.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.unix_ms(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::SeqCst))
    }
}

/// A running host. Stopped when dropped.
pub struct LocalHost {
    /// Where it listens.
    pub address: SocketAddr,
    /// What time it is there.
    pub clock: SetClock,
    /// Its ledger.
    pub ledger: Arc<dyn Ledger>,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
    _folder: TempDir,
}

impl fmt::Debug for LocalHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalHost({})", self.address)
    }
}

impl LocalHost {
    /// A host for `audience` that decides by `mode`, with the built-in registry and a new ledger.
    #[must_use]
    #[track_caller]
    pub fn start(audience: &str, mode: Mode) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ledger = SqliteLedger::open(&folder.path().join("openexec.db")).expect("a ledger");
        let ledger: Arc<dyn Ledger> = Arc::new(ledger);
        let (registry, sandbox) = built_in();
        let audience = Audience::parse(audience).expect("an audience");
        let admission = Admission { mode, audience, allow_list: None, registry };
        let clock = SetClock::default();
        let key = receipt_key();
        let executor = Executor::new(admission, ledger.clone(), sandbox, Arc::new(clock.clone()), key);
        let executor = executor.expect("an executor");
        executor.controls.follow(&ledger).expect("a thread");
        let edge = Arc::new(Edge::new(Arc::new(executor), LIMITS, Build { version: "test" }));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        runtime.spawn(serve::serve(listener, edge, async { _ = stopped.await }));
        Self { address, clock, ledger, stop: Some(stop), runtime: Some(runtime), _folder: folder }
    }

    /// `POST /execute`, with an approval or without.
    #[must_use]
    #[track_caller]
    pub fn execute(&self, request: &Value, approval: Option<&Value>) -> Answer {
        let mut body = request.clone();
        if let Some(approval) = approval {
            body["approval_artifact"] = approval.clone();
        }
        client::post(self.address, "/execute", body.to_string().as_bytes()).expect("an answer")
    }
}

impl Drop for LocalHost {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

const LIMITS: EdgeLimits = EdgeLimits {
    n_calls_max: 1024,
    n_connections_max: 1024,
    wait: Duration::from_secs(30),
    read: Duration::from_secs(10),
    grace: Duration::from_secs(5),
};

/// The built-in registry, compiled once for all tests of this process.
#[must_use]
#[track_caller]
pub fn built_in() -> (Registry, Arc<Sandbox>) {
    static BUILT_IN: OnceLock<(Registry, Arc<Sandbox>)> = OnceLock::new();
    let build = || {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../handlers");
        let registry = std::fs::read_to_string(folder.join("registry.toml")).expect("the built-in registry");
        let registry = Registry::parse(&registry).expect("a registry");
        let component = |pin: &openexec_core::registry::Pin| folder.join(&pin.component);
        let files = registry.pins().map(|(action, pin)| ComponentFile {
            action: action.clone(),
            pin: pin.clone(),
            path: component(pin).display().to_string(),
            bytes: std::fs::read(component(pin)).expect("a built-in component"),
        });
        let sandbox = Sandbox::start(files.collect(), Settings { n_slots: 16 }).expect("a sandbox");
        (registry, Arc::new(sandbox))
    };
    BUILT_IN.get_or_init(build).clone()
}

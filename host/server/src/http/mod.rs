//! The HTTP edge: routes in, problems and answers out.
//!
//! In scope: the route table, reading a body within limits, what surrounds every request (`observe`).
//! Out of scope: sockets (`serve`), statuses (`problem`), bodies of answers (`reply`).

mod actions;
mod body;
mod log_routes;
mod metrics;
mod observe;
mod page;
mod problem;
pub mod reply;
mod routes;
pub mod serve;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use crate::executor::Executor;
use crate::in_flight::InFlight;
use crate::log::HostLog;
use problem::Problem;
use reply::Reply;

/// What the edge may be told.
#[derive(Clone, Copy, Debug)]
pub struct EdgeLimits {
    /// Calls running or queued. More get 503.
    pub n_calls_max: u32,
    /// Open connections. More wait in the listener's backlog.
    pub n_connections_max: u32,
    /// How long a call waits for its answer before it gets 409 and goes on without its client.
    pub wait: Duration,
    /// How long a connection may take to send a request's head, and then its body.
    pub read: Duration,
    /// How long a shutdown waits for calls in flight.
    pub grace: Duration,
}

/// Look-ups at once. They take turns at one connection anyway.
const LOOKUPS_MAX: usize = 2;

/// Everything a request handler can reach.
#[derive(Debug)]
pub struct Edge {
    executor: Arc<Executor>,
    log: Arc<HostLog>,
    in_flight: Arc<InFlight<Reply>>,
    limits: EdgeLimits,
    build: Build,
    stopping: AtomicBool,
    /// How many requests were refused since the start, by code.
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    /// One permit a look-up in the ledger that blocks a thread: those threads are the runs' as well.
    lookups: Semaphore,
    /// The latest probe of the ledger. Shared, so that asking often costs nothing.
    probe: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

/// What this binary is.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// The version of OpenExec.
    pub version: &'static str,
}

impl Edge {
    /// An edge in front of `executor`, and of the log of the same ledger.
    #[must_use]
    pub fn new(executor: Arc<Executor>, log: Arc<HostLog>, limits: EdgeLimits, build: Build) -> Self {
        Self {
            executor,
            log,
            in_flight: Arc::new(InFlight::new(limits.n_calls_max)),
            limits,
            build,
            stopping: AtomicBool::new(false),
            refusals: Mutex::default(),
            lookups: Semaphore::new(LOOKUPS_MAX),
            probe: tokio::sync::Mutex::new(None),
        }
    }

    /// Counts a refusal and logs it: its code and how many there were, and nothing that the caller wrote.
    fn count_refusal(&self, code: &'static str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let n_refused = refusals.entry(code).or_default();
        *n_refused += 1;
        tracing::info!(code, n_refused = *n_refused, "refused");
    }

    /// From now on `/ready` answers 503, so that load balancers look elsewhere.
    fn announce_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Every route there is. All of them are public: who may act is decided by approvals, not by connections.
pub fn router(edge: Arc<Edge>) -> Router {
    let routes = Router::new()
        .route("/", get(routes::root))
        .route("/health", get(routes::health))
        .route("/ready", get(routes::ready))
        .route("/version", get(routes::version))
        .route("/metrics", get(metrics::metrics))
        .route("/verify", get(page::page))
        .route("/actions", get(actions::actions))
        .route("/execute", post(routes::execute))
        .route("/receipts/verify", post(routes::verify_receipt))
        .route("/receipts/{exec_id}", get(log_routes::receipt))
        .route("/receipts/{exec_id}/proof", get(log_routes::proof))
        .route("/keys", get(log_routes::keys))
        .route("/log/checkpoint", get(log_routes::checkpoint))
        .route("/log/tile/{*place}", get(log_routes::tile))
        .route("/log/cosignatures", post(log_routes::cosignatures))
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .with_state(edge);
    surround(routes)
}

/// What every route has around it.
fn surround(routes: Router) -> Router {
    routes.layer(CatchPanicLayer::custom(observe::panicked)).layer(from_fn(observe::observe))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use tower_service::Service;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_problem_that_says_nothing() {
        let routes = Router::new().route("/", get(async || -> &'static str { panic!("secret of the host") }));
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = surround(routes).call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("urn:openexec:problem:internal"), "{body}");
        assert!(!body.contains("secret"), "{body}");
    }
}

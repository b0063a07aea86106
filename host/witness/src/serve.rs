//! What the witness shows: its latest cosigned checkpoint, so that nobody has to ask the log for it.
//!
//! In scope: `GET /checkpoint`, `GET /health`, limits of a connection.
//! Out of scope: what is shown (`witness`).

use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::state::Cosigned;

/// Open connections; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// Time for a connection, from its first byte to its last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Pause after the system refused a connection (no file handles left): trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is shown now. Set only after it is durable.
#[derive(Debug, Default)]
pub struct Shown(RwLock<View>);

#[derive(Debug, Default)]
struct View {
    checkpoint: Option<(u64, Arc<str>)>,
    is_alarmed: bool,
}

impl Shown {
    pub(crate) fn checkpoint(&self, cosigned: &Cosigned) {
        let checkpoint = (cosigned.checkpoint().size(), cosigned.note().to_string().into());
        self.0.write().unwrap_or_else(PoisonError::into_inner).checkpoint = Some(checkpoint);
    }

    pub(crate) fn alarm(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).is_alarmed = true;
    }

    fn answer_checkpoint(&self) -> Response {
        let view = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
        match &view.checkpoint {
            Some((_, note)) => (kind, note.to_string()).into_response(),
            None => (StatusCode::NOT_FOUND, kind, "nothing is cosigned yet\n".to_owned()).into_response(),
        }
    }

    fn answer_health(&self) -> Response {
        let view = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let size = view.checkpoint.as_ref().map_or("null".to_owned(), |(size, _)| size.to_string());
        let (code, status) = match (view.is_alarmed, &view.checkpoint) {
            (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "alarm"),
            (false, Some(_)) => (StatusCode::OK, "ok"),
            (false, None) => (StatusCode::OK, "waiting"),
        };
        let kind = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        (code, kind, format!("{{\"status\":\"{status}\",\"size\":{size}}}\n")).into_response()
    }
}

/// Serves for as long as the process lives.
pub async fn serve(listener: TcpListener, shown: Arc<Shown>) -> Infallible {
    let router = Router::new()
        .route("/checkpoint", get(|State(shown): State<Arc<Shown>>| async move { shown.answer_checkpoint() }))
        .route("/health", get(|State(shown): State<Arc<Shown>>| async move { shown.answer_health() }))
        .with_state(shown);
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = connections.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _peer)) => {
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .keep_alive(false)
                        .max_buf_size(HEAD_BYTES_MAX)
                        .serve_connection(TokioIo::new(stream), service);
                    // A client that is too slow, or goes away, is its own loss.
                    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

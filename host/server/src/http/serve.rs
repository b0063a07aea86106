//! The listener: connections in, until told to stop.
//!
//! In scope: accepting, limits of a connection, draining.
//! Out of scope: what a request does (`routes`).

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

use super::{Edge, router};

/// Largest head of a request (request line and headers).
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Most headers of a request.
const HEADERS_MAX: usize = 64;

/// Pause after the system refused a connection (no file handles left): trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` completes, then finishes what was admitted; returns whether everything finished in time.
pub async fn serve(listener: TcpListener, edge: Arc<Edge>, stop: impl Future<Output = ()>) -> bool {
    let connections = Arc::new(Semaphore::new(edge.limits.n_connections_max as usize));
    let graceful = GracefulShutdown::new();
    let router = router(edge.clone());
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let connection = converse(stream, router.clone(), edge.limits.read, graceful.watcher());
                tokio::spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    edge.announce_stop();
    drop(listener);
    let grace = edge.limits.grace;
    tracing::info!(grace_s = grace.as_secs(), "stopping: finishing what was admitted");
    let finished = async {
        graceful.shutdown().await;
        edge.in_flight.finish().await;
    };
    tokio::time::timeout(grace, finished).await.is_ok()
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = connections.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _peer) = listener.accept().await?;
    Ok((stream, permit))
}

/// One connection, to its end.
async fn converse(stream: TcpStream, router: Router, patience: Duration, watcher: Watcher) {
    // Answers are small and complete: waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    // hyper has timeouts for reading only: a client that does not read its answers is given up on here.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(patience));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

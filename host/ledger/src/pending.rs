//! A write on its way to the disk.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot::{Receiver, Sender, channel};

use crate::LedgerError;

/// The answer to a write, once it is durable. Await it, or `wait` for it on a thread that may block.
///
/// Dropping it abandons the answer, not the write.
#[derive(Debug)]
#[must_use = "until it completes, the write may not be durable"]
pub struct Pending<T>(Receiver<Result<T, LedgerError>>);

impl<T> Pending<T> {
    /// An answer that is already there.
    pub(crate) fn ready(answer: Result<T, LedgerError>) -> Self {
        let (reply, pending) = Self::channel();
        let _ = reply.send(answer);
        pending
    }

    /// An answer that somebody else will send.
    pub(crate) fn channel() -> (Sender<Result<T, LedgerError>>, Self) {
        let (reply, answer) = channel();
        (reply, Self(answer))
    }

    /// Blocks this thread until the answer is there. Not for use inside an async task.
    ///
    /// # Errors
    /// The write's own.
    pub fn wait(self) -> Result<T, LedgerError> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(stopped()))
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, LedgerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(stopped())))
    }
}

fn stopped() -> LedgerError {
    LedgerError::Unavailable("the writing thread has ended".to_owned())
}

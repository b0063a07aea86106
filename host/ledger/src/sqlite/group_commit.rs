//! Group commit: one thread, one transaction for everything that waits.
//!
//! In scope: queueing writes, running them in one transaction, answering each after the commit.
//! Out of scope: what a write does.
//!
//! A commit costs one flush of the disk, whether it holds one row or two hundred. While one batch is flushed the next
//! one gathers, so throughput grows with load and a lone write still waits for one flush only.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, thread};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::batch::Batch;
use super::by_exec_id::Young;
use crate::{LedgerError, Pending};

/// Most writes in one transaction. Bounds how long the first of them waits for the last.
const BATCH_MAX: usize = 512;

/// How long a batch waits for more under load. A thread that wakes up goes before the busy ones, and would commit a
/// handful of writes at a time, each commit at the price of a flush.
const GATHERING: Duration = Duration::from_micros(300);

/// Writes in two batches in a row that are load. Fewer callers than this would only wait for each other.
const LOAD: usize = 12;

/// The writing thread. Dropping it finishes what is queued and ends the thread.
pub(super) struct Writer {
    queue: Mutex<Option<Sender<Box<dyn Write>>>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

/// What a write is. Those of one kind follow each other in a batch, so that the processor has what they need at hand:
/// done in turns, both took longer. The order means nothing, since none of them was answered when the others were queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Reservation,
    Seal,
    Other,
}

/// One queued write.
trait Write: Send {
    fn kind(&self) -> Kind;

    /// Does the work inside the open transaction.
    ///
    /// `Broken` fails this write alone and is only returned before anything was changed; any other error fails the
    /// whole transaction.
    fn apply(&mut self, batch: &Batch<'_>) -> Result<(), LedgerError>;

    /// Answers the caller, once it is known whether the transaction is durable.
    fn answer(self: Box<Self>, committed: &Result<(), LedgerError>);
}

struct Queued<T, F> {
    kind: Kind,
    work: Option<F>,
    done: Option<Result<T, LedgerError>>,
    reply: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T: Send, F: FnOnce(&Batch<'_>) -> Result<T, LedgerError> + Send> Write for Queued<T, F> {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<(), LedgerError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let done = work(batch);
        let fatal = match &done {
            Err(error @ LedgerError::Unavailable(_)) => Err(error.clone()),
            Ok(_) | Err(LedgerError::Broken(_)) => Ok(()),
        };
        self.done = Some(done);
        fatal
    }

    fn answer(self: Box<Self>, committed: &Result<(), LedgerError>) {
        let answer = match (committed, self.done) {
            (Err(error), _) => Err(error.clone()),
            (Ok(()), Some(done)) => done,
            (Ok(()), None) => return, // never applied: dropping the reply says so
        };
        // A caller that no longer waits has lost interest in the answer, not in the write.
        let _ = self.reply.send(answer);
    }
}

impl Writer {
    /// Starts the thread, which owns `connection` from now on.
    pub(super) fn start(connection: Connection, young: Arc<Young>) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let thread = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || write_all(&connection, &young, &receiver))?;
        Ok(Self { queue: Mutex::new(Some(sender)), thread: Some(thread) })
    }

    /// Runs `work` in the next transaction; the answer comes once that is durable.
    pub(super) fn write<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce(&Batch<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Pending<T> {
        let (reply, pending) = Pending::channel();
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queue.as_ref() {
            // Should the thread have ended, the reply is dropped with the work, and `pending` says so.
            let _ = queue.send(Box::new(Queued { kind, work: Some(work), done: None, reply }));
        }
        pending
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_all(connection: &Connection, young: &Young, queue: &Receiver<Box<dyn Write>>) {
    let mut n_before = 0;
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        gather(&mut batch, queue, n_before);
        n_before = batch.len();
        batch.sort_by_key(|write| write.kind());
        let committed = commit(connection, young, &mut batch);
        if let Err(error) = &committed {
            tracing::error!(%error, n_writes = batch.len(), "ledger transaction failed; nothing of it was kept");
        }
        for write in batch {
            write.answer(&committed);
        }
    }
}

/// Takes what waits, and under load what comes within `GATHERING`. `n_before` writes were in the batch before.
fn gather(batch: &mut Vec<Box<dyn Write>>, queue: &Receiver<Box<dyn Write>>, n_before: usize) {
    batch.extend(queue.try_iter().take(BATCH_MAX - batch.len()));
    if n_before + batch.len() >= LOAD {
        thread::sleep(GATHERING);
        batch.extend(queue.try_iter().take(BATCH_MAX - batch.len()));
    }
}

/// A crash before `COMMIT` returns leaves all of the batch or nothing of it, and nobody was answered. A crash after it
/// loses only answers: asking again finds the rows.
fn commit(connection: &Connection, young: &Young, writes: &mut [Box<dyn Write>]) -> Result<(), LedgerError> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let batch = Batch::begun(connection, young);
    let committed = writes
        .iter_mut()
        .try_for_each(|write| write.apply(&batch))
        .and_then(|()| Ok(connection.prepare_cached("COMMIT")?.execute([]).map(|_| ())?));
    // Some errors end the transaction by themselves; the others leave it open, and it must not swallow the next batch.
    if committed.is_err() && !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    committed
}

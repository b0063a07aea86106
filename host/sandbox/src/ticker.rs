//! The clock below the deadlines: one thread that counts epochs.
//!
//! In scope: counting, and proving at start that counting stops a handler.
//! Out of scope: how many epochs a run gets (`run`).
//!
//! A deadline that is set but never checked is the classic way to have no deadline. So the host starts only after an
//! endless loop was stopped by this very clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use crate::StartError;

/// Time between two epochs: how far a deadline may be overrun.
const TICK: Duration = Duration::from_millis(10);

/// How long the endless loop may take to be stopped. Far above one tick, so that a busy machine still starts.
pub(crate) const PROOF_TIMEOUT: Duration = Duration::from_secs(10);

/// An endless loop in a component, so that a host without a compiler loads it as it loads handlers:
///
/// `(component (core module $m (func (export "f") (loop (br 0)))) (core instance $i (instantiate $m))
/// (func (export "f") (canon lift (core func $i "f"))))`
pub const ENDLESS_LOOP: &[u8] = &[
    0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00, // magic, version of components
    0x01, 0x24, // core module section
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // magic, version of modules
    0x01, 0x04, 0x01, 0x60, 0x00, 0x00, // type section: () -> ()
    0x03, 0x02, 0x01, 0x00, // function section: one function of type 0
    0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00, // export section: "f" is function 0
    0x0a, 0x09, 0x01, 0x07, 0x00, 0x03, 0x40, 0x0c, 0x00, 0x0b, 0x0b, // code section: loop br 0 end end
    0x02, 0x04, 0x01, 0x00, 0x00, 0x00, // core instance section: instantiate module 0 with nothing
    0x07, 0x05, 0x01, 0x40, 0x00, 0x01, 0x00, // type section: func () -> ()
    0x06, 0x07, 0x01, 0x00, 0x00, 0x01, 0x00, 0x01, 0x66, // alias section: core function "f" of core instance 0
    0x08, 0x06, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, // canonical section: lift core function 0 as type 0
    0x0b, 0x07, 0x01, 0x00, 0x01, 0x66, 0x01, 0x00, 0x00, // export section: "f" is function 0
];

/// The counting thread. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    started: Instant,
    last_tick_ms: Arc<AtomicU64>,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let started = Instant::now();
        let last_tick_ms = Arc::new(AtomicU64::new(0));
        let (engine, ticked) = (engine.weak(), last_tick_ms.clone());
        let thread = thread::Builder::new().name("deadlines".to_owned()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
                ticked.store(millis_since(started), Ordering::Relaxed);
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread), started, last_tick_ms })
    }

    pub(crate) fn has_moved_lately(&self) -> bool {
        let last_tick_ms = self.last_tick_ms.load(Ordering::Relaxed);
        millis_since(self.started).saturating_sub(last_tick_ms) < 1_000
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs `ENDLESS_LOOP` with a deadline of two ticks and fuel without end.
pub(crate) fn prove_it_moves(endless: &Component, timeout: Duration) -> Result<(), StartError> {
    let (report, reported) = channel();
    let endless = endless.clone();
    // On a thread of its own: if the clock stands still, that thread never comes back, and the host does not start.
    thread::Builder::new()
        .name("deadline-proof".to_owned())
        .spawn(move || report.send(run_to_the_deadline(&endless)))
        .map_err(StartError::TickerThread)?;
    match reported.recv_timeout(timeout) {
        Ok(Some(wasmtime::Trap::Interrupt)) => Ok(()),
        Ok(_) | Err(_) => Err(StartError::Ticker(timeout.as_secs())),
    }
}

fn millis_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// How the loop ended; `None` if it did not even start.
fn run_to_the_deadline(endless: &Component) -> Option<wasmtime::Trap> {
    let mut store = Store::new(endless.engine(), ());
    store.set_fuel(u64::MAX).ok()?;
    store.set_epoch_deadline(2);
    let instance = Linker::new(endless.engine()).instantiate(&mut store, endless).ok()?;
    let endless = instance.get_typed_func::<(), ()>(&mut store, "f").ok()?;
    endless.call(&mut store, ()).err()?.downcast_ref::<wasmtime::Trap>().copied()
}

#[cfg(test)]
#[cfg(feature = "compiler")]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_stands_still_is_found_out() {
        let engine = crate::engine::engine(2, 1 << 20).unwrap();
        let endless = crate::compile::component(&engine, ENDLESS_LOOP, "").unwrap();
        let stands_still = prove_it_moves(&endless, Duration::from_millis(100));
        assert!(matches!(stands_still, Err(StartError::Ticker(_))));
        (0..10).for_each(|_| engine.increment_epoch()); // lets the loop end
        let _ticker = Ticker::start(&engine).unwrap();
        prove_it_moves(&endless, PROOF_TIMEOUT).unwrap();
    }
}

//! What the operator has stopped, as this host knows it.
//!
//! In scope: reading the ledger's controls again and again, handing them to admission, to runs, to `/health` and `/ready`.
//! Out of scope: enforcing them against races. The ledger does, inside the transactions that reserve and seal: a control
//! is in force from the commit that wrote it, whether or not this host has read it yet. What is known here refuses early
//! and stops what is running.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use std::{io, thread};

use openexec_core::control::Controls;
use openexec_core::reservation::Reserved;
use openexec_ledger::{Ledger, LedgerError};
use openexec_sandbox::IsStopped;

/// Time between two looks: how long a run may go on after it was stopped, besides a tick of the deadline clock.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The controls as of the latest look. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KnownControls(Arc<RwLock<Arc<Controls>>>);

impl KnownControls {
    /// Reads the ledger's controls once.
    ///
    /// # Errors
    /// `LedgerError` when they could not be read.
    pub fn read(ledger: &dyn Ledger) -> Result<Self, LedgerError> {
        Ok(Self(Arc::new(RwLock::new(Arc::new(Controls::of(ledger.controls()?))))))
    }

    /// Reads them again and again, on a thread of its own, until the ledger is dropped.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn follow(&self, ledger: &Arc<dyn Ledger>) -> io::Result<()> {
        let (known, ledger) = (self.clone(), Arc::downgrade(ledger));
        thread::Builder::new().name("controls".to_owned()).spawn(move || {
            while let Some(ledger) = ledger.upgrade() {
                known.look(&*ledger);
                drop(ledger); // not held while sleeping, so that the host's end closes it
                thread::sleep(LOOK_INTERVAL);
            }
        })?;
        Ok(())
    }

    /// A look that fails changes nothing: the ledger itself refuses then.
    fn look(&self, ledger: &dyn Ledger) {
        let Ok(list) = ledger.controls() else { return };
        let controls = Controls::of(list);
        if controls != *self.now() {
            let (n_tenants, n_actions) = (controls.tenants().count(), controls.actions().count());
            tracing::warn!(halted = controls.is_halted(), n_tenants, n_actions, "the operator's controls have changed");
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(controls);
        }
    }

    /// As of the latest look.
    #[must_use]
    pub fn now(&self) -> Arc<Controls> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this execution is stopped, asked while it runs.
    #[must_use]
    pub fn stop_of(&self, facts: &Reserved) -> IsStopped {
        let (known, tenant, action) = (self.clone(), facts.tenant.clone(), facts.action.clone());
        Arc::new(move || known.now().stop_of(&tenant, &action).is_some())
    }
}

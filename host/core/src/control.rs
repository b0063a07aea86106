//! Controls: what the operator has stopped.
//!
//! In scope: the halt of everything, the quarantine of a tenant or an action, and whom each concerns.
//! Out of scope: keeping them (`openexec-ledger`), stopping what runs (`openexec-sandbox`).

use std::collections::BTreeSet;

use crate::names::{Action, Note, Tenant};
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// What one control concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Everything on this ledger.
    Host,
    /// One tenant, whatever it does.
    Tenant(Tenant),
    /// One action, whoever does it.
    Action(Action),
}

/// One thing that the operator has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// What is stopped.
    pub target: Target,
    /// Since when.
    pub since: Timestamp,
    /// Why, in the operator's words.
    pub reason: Option<Note>,
}

/// Everything that is stopped now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    is_halted: bool,
    tenants: BTreeSet<Tenant>,
    actions: BTreeSet<Action>,
}

/// What stops a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Everything is halted.
    Halted,
    /// Its tenant or its action is under quarantine.
    Quarantined,
}

impl Controls {
    /// Exactly this is stopped.
    #[must_use]
    pub fn of(list: impl IntoIterator<Item = Control>) -> Self {
        let mut controls = Self::default();
        for control in list {
            match control.target {
                Target::Host => controls.is_halted = true,
                Target::Tenant(tenant) => _ = controls.tenants.insert(tenant),
                Target::Action(action) => _ = controls.actions.insert(action),
            }
        }
        controls
    }

    /// Whether everything is stopped.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.is_halted
    }

    /// The actions under quarantine.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter()
    }

    /// The tenants under quarantine.
    pub fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        self.tenants.iter()
    }

    /// What stops this action, whoever asks: all that is known before an approval is read.
    #[must_use]
    pub fn stop_of_action(&self, action: &Action) -> Option<Stop> {
        match self.is_halted {
            true => Some(Stop::Halted),
            false => self.actions.contains(action).then_some(Stop::Quarantined),
        }
    }

    /// What stops this action of this tenant.
    #[must_use]
    pub fn stop_of(&self, tenant: &Tenant, action: &Action) -> Option<Stop> {
        self.stop_of_action(action).or_else(|| self.tenants.contains(tenant).then_some(Stop::Quarantined))
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Halted => Self::Halted,
            Stop::Quarantined => Self::Quarantined,
        }
    }
}

//! `openexec handler`: a component before it is pinned.
//!
//! In scope: a project to begin with and its build (`project`), examining it in a process of its own (`apart`, `examine`, `report`), payloads for that (`samples`), running it
//! with facts that nobody reserved (`facts`, `run`), golden cases (`case`, `test`).
//! Out of scope: pinning (`crate::pin`), and everything that a ledger would keep: nothing here is ever kept.

mod apart;
mod case;
mod check;
mod examine;
mod facts;
#[cfg(feature = "compiler")]
mod project;
mod report;
mod run;
mod samples;
mod spelling;
mod test;

pub(crate) use apart::examine_apart;
pub(crate) use check::run as check;
pub(crate) use examine::run as examine;
#[cfg(feature = "compiler")]
pub(crate) use project::{build, new};
use report::Report;
pub(crate) use report::{Said, Weight, plain};
pub(crate) use run::run;
pub(crate) use test::run as test;

//! What must hold, one file per topic. Each test is a sentence; `SECURITY.md` says which promise it keeps.

mod approvals;
mod architecture;
mod at_most_once;
mod bad_input;
mod canonical;
mod clawshield;
mod crash;
mod evidence;
mod governing;
mod handlers;
mod hostile;
mod http_edge;
mod import;
mod keys;
mod ledger_contract;
mod ledger_faults;
mod log_math;
mod migration;
mod oracles;
mod page;
mod predecessor;
mod quickstart;
mod registry;
mod retention;
mod trust;
mod vectors;

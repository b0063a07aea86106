//! What must hold, one file per topic. Each test is a sentence; `SECURITY.md` says which promise it keeps.

mod at_most_once;
mod crash;
mod import;
mod ledger_contract;
mod ledger_faults;
mod retention;

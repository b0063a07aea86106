//! The pure heart of OpenExec: what a request is, what may run, what came of it, and how all of that is spelled.
//!
//! In scope: strict JSON and its canonical forms, names, request identity, keys, approvals, trust, the registry manifest, its lock
//! and their signatures, admission, controls, outcomes, receipts, the log, evidence. Each file is one of its words.
//! Out of scope: keeping (`openexec-ledger`), running (`openexec-sandbox`), serving (`openexec-server`).
//!
//! Invariants
//! - Nothing here reads a clock, a file, an environment variable or a socket, or holds a global. Time is handed in.
//! - Every function is total: no input makes it panic.

pub mod admission;
pub mod approval;
pub mod control;
pub mod digest;
pub mod dsse;
pub mod evidence;
pub mod json;
pub mod keys;
pub mod limits;
pub mod lock;
pub mod log;
mod multiples;
pub mod names;
pub mod outcome;
pub mod receipt;
pub mod refusal;
pub mod registry;
pub mod registry_signature;
pub mod request;
pub mod reservation;
pub mod signing;
pub mod time;
pub mod trust;

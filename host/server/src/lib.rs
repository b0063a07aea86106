//! The server: the path of a request, and the HTTP edge around it.
//!
//! In scope: `executor` (admit → reserve → run → seal, and recovery), `in_flight` (identical calls share one run),
//! `controls` (what the operator has stopped), `log` (what was sealed, signed for as a whole), `self_audit` and `audit`
//! (checking what was done), `http` (the edge).
//! Out of scope: reading configuration, files and signals (`cli`).
//!
//! Everything from the reservation to the seal happens in a task of its own, which ends when the execution ends: a
//! client that hangs up cannot stop it half way. Handlers run on blocking threads, one per slot of the sandbox,
//! unless they are brief.

pub mod audit;
pub mod clock;
pub mod controls;
pub mod executor;
pub mod http;
pub mod in_flight;
pub mod log;
pub mod self_audit;

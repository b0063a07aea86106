//! The server: the path of a request, and the HTTP edge around it.
//!
//! In scope: `executor` (admit → reserve → run → seal, and recovery), `in_flight` (identical calls share one run),
//! `http` (the edge).
//! Out of scope: reading configuration, files and signals (`cli`).
//!
//! Everything after parsing runs on one blocking thread from the reservation to the seal, with no await point between:
//! a client that hangs up cannot stop it half way.

pub mod clock;
pub mod executor;
pub mod http;
pub mod in_flight;

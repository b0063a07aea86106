//! The harness: real hosts, real sockets, real components.
//!
//! In scope: starting the `openexec` that was built, talking HTTP to it byte by byte, making registries of fixtures.
//! Out of scope: what is true (`suite/`).
//!
//! The harness panics with a reason wherever a test could not go on.

pub mod approvals;
pub mod browser;
pub mod client;
pub mod evidence;
pub mod facts;
pub mod fixtures;
pub mod host;
pub mod local;
pub mod log;
pub mod node;
pub mod openssl;
pub mod python;

pub mod wasi;
pub mod watched_log;

mod oracles;

//! `openexec log`: what those need who verify the log.
//!
//! In scope: `key` (the log's verifier key).

pub(crate) mod key;

//! `openexec receipt`: what those need who verify receipts, and who sign them.
//!
//! In scope: `key` (the host's receipt key, and making another).

pub(crate) mod key;

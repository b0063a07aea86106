//! What must hold, one file per topic. Each test is a sentence; `SECURITY.md` says which promise it keeps.

mod architecture;
mod at_most_once;
mod handlers;
mod hostile;
mod registry;

//! The witness: sees to it that a log only grows, and that everybody is shown the same one.
//!
//! In scope: asking one log for its checkpoint, comparing it with the latest one that this witness vouched for,
//! remembering, cosigning, handing the cosignature to the log, and serving it.
//! Out of scope: the log's own side, what the receipts in it say, key files and flags (`openexec witness`).
//!
//! Invariants
//! - The witness vouches for one tree: of two checkpoints it ever cosigned for a log, the larger begins with the smaller.
//! - A cosignature leaves this process only after the state that remembers it is durable.
//! - A log that was caught stays caught: both notes are kept, and nothing of that log is cosigned again.
//! - Only what the log signed is held against it. Whoever stands between can delay a witness, not make it accuse.
//!   (Replaying an older signed checkpoint looks like a rollback: reach the log by https.)

mod authentic;
pub mod remote;
pub mod serve;
pub mod state;
mod witness;

pub use witness::{Look, LookError, Witness};

//! What an audit reads: receipts and executions as they are kept, whether or not they agree.

use openexec_core::digest::Digest;
use openexec_core::outcome::{Outcome, Resources, Status};
use openexec_core::receipt::Signed;
use openexec_core::receipt::opening::Blinding;
use openexec_core::reservation::Reserved;
use openexec_core::time::Timestamp;

use crate::LedgerError;

/// One receipt.
#[derive(Debug)]
pub struct Examined {
    /// Its index in the log.
    pub index: u64,
    /// Its reference, as it is kept beside it.
    pub reference: Result<Digest, LedgerError>,
    /// The receipt.
    pub signed: Result<Signed, LedgerError>,
}

/// One execution.
#[derive(Debug)]
pub struct KeptExecution {
    /// Where its receipt is, if it has one.
    pub leaf: Option<u64>,
    /// Whether its body was erased. Then `facts` has no payload and no approval.
    pub is_erased: bool,
    /// How it ended; `None` while it is reserved.
    pub status: Option<Status>,
    /// The word for why it was stopped.
    pub fault: Option<String>,
    /// What it used.
    pub resources: Resources,
    /// What came of it. `None` while it is reserved, and after its body was erased.
    pub outcome: Option<Outcome>,
    /// The legacy receipt.
    pub receipt: Option<Digest>,
    /// When it was sealed.
    pub sealed_at: Option<Timestamp>,
    /// The identity of the approval that permitted it.
    pub approval_ref: Option<Digest>,
    /// The secret that opens its receipt.
    pub blinding: Option<Blinding>,
    /// What its run depended on.
    pub facts: Reserved,
}

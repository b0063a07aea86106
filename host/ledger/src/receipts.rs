//! What a ledger keeps for those who verify: receipts, and the keys that signed them.
//!
//! In scope: the port. Out of scope: the log over the receipts (`log`).

use openexec_core::digest::Digest;
use openexec_core::keys::PublicKey;
use openexec_core::receipt::Signed;
use openexec_core::request::ExecId;
use openexec_core::time::Timestamp;

use crate::{LedgerError, Pending};

/// Keeps receipts in the order of the log.
///
/// What every adapter promises: a receipt is appended by the commit that seals its execution, at the next index: 0, 1, 2,
/// without gaps. Neither its index nor its bytes ever change.
pub trait Receipts {
    /// The receipt of an execution, and where it is in the log. `None` if there is no such execution, it is not sealed, or
    /// it was sealed before receipts were signed.
    ///
    /// # Errors
    /// `LedgerError` when it could not be read.
    fn logged(&self, exec_id: ExecId) -> Result<Option<Logged>, LedgerError>;

    /// The references of up to `n_max` receipts in the order of the log, from index `from` on.
    ///
    /// # Errors
    /// `LedgerError` when they could not be read, or one is missing.
    fn references(&self, from: u64, n_max: u32) -> Result<Vec<Digest>, LedgerError>;

    /// Makes a receipt key known, before anything is sealed with it; whether it was not known before.
    ///
    /// # Errors
    /// `LedgerError` when it may not be kept.
    fn adopt_key(&self, public: PublicKey, since: Timestamp) -> Pending<bool>;

    /// Every receipt key that was ever adopted, oldest first.
    ///
    /// # Errors
    /// `LedgerError` when they could not be read.
    fn keys(&self) -> Result<Vec<KeptKey>, LedgerError>;
}

/// A receipt in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its index, from 0.
    pub index: u64,
    /// The receipt.
    pub signed: Signed,
}

/// A receipt key, and since when it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptKey {
    /// The key.
    pub public: PublicKey,
    /// When it was adopted.
    pub since: Timestamp,
}

//! Tiles and proofs, out of the ledger and the tree's edge in memory.
//!
//! In scope: which tiles there are now, the proof of a receipt, under which checkpoint.
//! Out of scope: how tiles and proofs are spelled (`openexec_core::log`).

use std::sync::{Arc, PoisonError};

use openexec_core::digest::Digest;
use openexec_core::log::checkpoint::SignedCheckpoint;
use openexec_core::log::edge::Edge;
use openexec_core::log::proof::TlogProof;
use openexec_core::log::prove::{self, Tiles, TilesError};
use openexec_core::log::tile::{EntriesId, TILE_WIDTH, TileId};
use openexec_core::log::{ENTRY_BYTES, entry, leaf_hash_of};
use openexec_core::request::ExecId;
use openexec_ledger::{Ledger, LedgerError};

use super::HostLog;

/// What there is to prove about an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofAnswer {
    /// Its receipt is in the log.
    Proof(TlogProof),
    /// It has a receipt, and no checkpoint covers that yet.
    NotYet,
    /// There is no receipt.
    NoReceipt,
}

/// Complete tiles in a ledger.
pub(super) struct KeptTiles<'ledger>(pub(super) &'ledger dyn Ledger);

/// Complete tiles in a ledger, and the incomplete ones of a tree's edge.
struct AllTiles<'log> {
    kept: KeptTiles<'log>,
    edge: &'log Edge,
}

impl Tiles for KeptTiles<'_> {
    type Error = LedgerError;

    fn tile(&self, id: TileId) -> Result<Vec<Digest>, LedgerError> {
        let mut hashes = self
            .0
            .tile(id.level(), id.index())?
            .ok_or_else(|| LedgerError::Broken(format!("{id} is missing, although the log has it")))?;
        hashes.truncate(usize::from(id.width()));
        Ok(hashes)
    }
}

impl Tiles for AllTiles<'_> {
    type Error = LedgerError;

    fn tile(&self, id: TileId) -> Result<Vec<Digest>, LedgerError> {
        self.edge.tile(id).map_or_else(|| self.kept.tile(id), |hashes| Ok(hashes.to_vec()))
    }
}

/// The edge of the tree when it had this size, from what the ledger keeps.
pub(super) fn edge_at(ledger: &dyn Ledger, size: u64) -> Result<Edge, TilesError<LedgerError>> {
    // Of a tree of complete tiles only, the last receipt is asked for as well: without it, the next one would take its place.
    let n_last = size % u64::from(TILE_WIDTH);
    let n_asked = n_last.max(u64::from(size > 0));
    let asked = u32::try_from(n_asked).unwrap_or(u32::MAX);
    let mut last = ledger.references(size - n_asked, asked).map_err(TilesError::Tiles)?;
    if last.len() as u64 != n_asked {
        return Err(TilesError::Tiles(LedgerError::Broken("receipts are missing at its end".to_owned())));
    }
    last.truncate(usize::try_from(n_last).unwrap_or(usize::MAX));
    Edge::restore(&KeptTiles(ledger), size, last.iter().map(leaf_hash_of).collect())
}

/// The proof that the receipt at `index` is under this checkpoint, from what a ledger keeps, whether or not a host is
/// running on it. `None` if the checkpoint does not cover it.
///
/// # Errors
/// `LedgerError` when it could not be read, or is not what was signed.
pub fn prove_from(
    ledger: &dyn Ledger,
    index: u64,
    checkpoint: SignedCheckpoint,
) -> Result<Option<TlogProof>, LedgerError> {
    if !covers(&checkpoint, index) {
        return Ok(None);
    }
    let size = checkpoint.checkpoint().size();
    let edge = edge_at(ledger, size).map_err(broken)?;
    let tiles = AllTiles { kept: KeptTiles(ledger), edge: &edge };
    let hashes = prove::inclusion_proof(&tiles, index, size).map_err(broken)?;
    Ok(Some(TlogProof { index, hashes, checkpoint }))
}

impl HostLog {
    fn tiles<'log>(&'log self, edge: &'log Edge) -> AllTiles<'log> {
        AllTiles { kept: KeptTiles(&*self.ledger), edge }
    }

    /// The hashes of a tile; `None` while the log does not have it. Blocks.
    ///
    /// # Errors
    /// `LedgerError` when it could not be read.
    pub fn tile(&self, id: TileId) -> Result<Option<Vec<Digest>>, LedgerError> {
        let head = self.head();
        id.exists_in(head.edge.size()).then(|| self.tiles(&head.edge).tile(id)).transpose()
    }

    /// The entries of a tile; `None` while the log does not have it. Blocks.
    ///
    /// # Errors
    /// `LedgerError` when they could not be read.
    pub fn entries(&self, id: EntriesId) -> Result<Option<Vec<[u8; ENTRY_BYTES]>>, LedgerError> {
        if !id.hashes().exists_in(self.size()) {
            return Ok(None);
        }
        let from = id.index().saturating_mul(u64::from(TILE_WIDTH)); // the log has it, so it does not saturate
        let references = self.ledger.references(from, u32::from(id.width()))?;
        Ok(Some(references.iter().map(entry).collect()))
    }

    /// The proof that the receipt of an execution is in the log: under the newest checkpoint that enough witnesses have
    /// cosigned, if it covers the receipt, else under the newest one. Blocks.
    ///
    /// # Errors
    /// `LedgerError` when it could not be read.
    pub fn prove(&self, exec_id: ExecId) -> Result<ProofAnswer, LedgerError> {
        let Some(logged) = self.ledger.logged(exec_id)? else { return Ok(ProofAnswer::NoReceipt) };
        let index = logged.index;
        let head = self.head();
        let cosigned = self.cosigned().filter(|cosigned| covers(cosigned, index));
        let checkpoint = cosigned.as_deref().unwrap_or(head.checkpoint());
        if !covers(checkpoint, index) {
            return Ok(ProofAnswer::NotYet);
        }
        let size = checkpoint.checkpoint().size();
        let hashes = prove::inclusion_proof(&self.tiles(&head.edge), index, size).map_err(broken)?;
        Ok(ProofAnswer::Proof(TlogProof { index, hashes, checkpoint: checkpoint.clone() }))
    }

    /// The root of the tree when it had this size, which is not more than it has now.
    pub(super) fn root_at(&self, size: u64) -> Result<Digest, LedgerError> {
        prove::root(&self.tiles(&self.head().edge), size).map_err(broken)
    }

    /// The newest checkpoint that enough witnesses have cosigned, if there are witnesses.
    pub(super) fn cosigned(&self) -> Option<Arc<SignedCheckpoint>> {
        self.cosigned.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn covers(checkpoint: &SignedCheckpoint, index: u64) -> bool {
    index < checkpoint.checkpoint().size()
}

fn broken(error: TilesError<LedgerError>) -> LedgerError {
    match error {
        TilesError::Tiles(error) => error,
        TilesError::Width(_) | TilesError::Proof(_) => LedgerError::Broken(error.to_string()),
    }
}

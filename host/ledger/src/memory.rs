//! The strict referee: a ledger in memory, for tests.
//!
//! In scope: the contract, and a panic with a reason when the host misuses it (a seal without a reservation, a second
//! seal, a checkpoint that contradicts an earlier one), so that a test of the host cannot pass by luck.
//! Out of scope: durability.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use openexec_core::approval::Format;
use openexec_core::control::{Control, Controls, Target};
use openexec_core::digest::Digest;
use openexec_core::keys::PublicKey;
use openexec_core::log::checkpoint::SignedCheckpoint;
use openexec_core::log::edge::CompleteTile;
use openexec_core::log::note::{NoteSignature, VerifierKey};
use openexec_core::names::Note;
use openexec_core::outcome::{Outcome, Status};
use openexec_core::receipt::Signed;
use openexec_core::request::ExecId;
use openexec_core::reservation::{Reservation, Reserved, Seal, Sealed, Tombstone};
use openexec_core::time::Timestamp;

use crate::log::{CHECKPOINTS_KEPT, Witnessed};
use crate::receipts::{KeptKey, Logged};
use crate::{Claim, Ledger, LedgerError, Log, Pending, Receipts, SealAnswer, Stats};

/// A ledger that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    rows: Mutex<Vec<Row>>,
    nonces: Mutex<BTreeMap<(String, String), usize>>,
    controls: Mutex<Vec<Control>>,
    log: Mutex<Vec<(ExecId, Signed)>>,
    keys: Mutex<Vec<KeptKey>>,
    published: Mutex<Published>,
}

/// What was published of the log.
#[derive(Debug, Default)]
struct Published {
    tiles: BTreeMap<(u8, u64), Vec<Digest>>,
    checkpoints: BTreeMap<u64, Kept>,
}

#[derive(Debug)]
struct Kept {
    checkpoint: SignedCheckpoint,
    /// The latest cosignature of each witness, by its verifier key.
    cosignatures: BTreeMap<String, (u64, NoteSignature)>,
}

#[derive(Debug)]
struct Row {
    reserved: Reserved,
    state: State,
}

#[derive(Debug)]
enum State {
    Reserved,
    Sealed(Sealed),
    Erased(Tombstone),
}

impl MemoryLedger {
    fn rows(&self) -> MutexGuard<'_, Vec<Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> MutexGuard<'_, Vec<Control>> {
        self.controls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, Vec<(ExecId, Signed)>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn adopted(&self) -> MutexGuard<'_, Vec<KeptKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop_of(&self, reserved: &Reserved) -> Option<Claim> {
        let controls = Controls::of(self.stopped().clone());
        controls.stop_of(&reserved.tenant, &reserved.action).map(Claim::Stopped)
    }

    fn claim(&self, reserved: Reserved) -> Claim {
        let mut rows = self.rows();
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claim) = self.stop_of(&reserved).or_else(|| held(&rows, &nonces, &reserved)) {
            return claim;
        }
        nonces.insert(key(&reserved), rows.len());
        rows.push(Row { reserved: reserved.clone(), state: State::Reserved });
        Claim::Fresh(Reservation::made_durable(reserved))
    }
}

fn key(reserved: &Reserved) -> (String, String) {
    (reserved.tenant.to_string(), reserved.nonce.to_string())
}

/// Who holds the nonce, or else what the approval was used for.
fn held(rows: &[Row], nonces: &BTreeMap<(String, String), usize>, reserved: &Reserved) -> Option<Claim> {
    let Some(row) = nonces.get(&key(reserved)).and_then(|at| rows.get(*at)) else {
        // A v2 names its nonce, so it has no other use.
        let approval = reserved.approval.as_ref().filter(|approval| approval.facts.format == Format::V1)?;
        let used = rows.iter().filter_map(|row| row.reserved.approval.as_ref());
        return used
            .map(|used| used.facts.reference)
            .any(|used| used == approval.facts.reference)
            .then_some(Claim::Consumed);
    };
    if row.reserved.fingerprint != reserved.fingerprint {
        return Some(Claim::Taken);
    }
    Some(match &row.state {
        State::Reserved => Claim::Unsealed(Reservation::found_durable(row.reserved.clone())),
        State::Sealed(sealed) => Claim::Sealed(sealed.clone()),
        State::Erased(tombstone) => Claim::Erased(tombstone.clone()),
    })
}

impl Ledger for MemoryLedger {
    fn reserve(&self, reserved: Reserved) -> Pending<Claim> {
        Pending::ready(Ok(self.claim(reserved)))
    }

    fn recall(&self, reserved: Reserved) -> Pending<Option<Claim>> {
        let rows = self.rows();
        let nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        Pending::ready(Ok(self.stop_of(&reserved).or_else(|| held(&rows, &nonces, &reserved))))
    }

    #[expect(clippy::panic, reason = "a strict referee: misuse must fail the test that commits it")]
    fn seal(&self, reservation: &Reservation, sealed: &Sealed) -> Pending<SealAnswer> {
        assert_eq!(reservation.facts().exec_id, sealed.exec_id, "sealed as another execution");
        let mut rows = self.rows();
        let Some(row) = rows.iter_mut().find(|row| row.reserved.exec_id == sealed.exec_id) else {
            panic!("{} was sealed without a reservation", sealed.exec_id);
        };
        let State::Reserved = row.state else { panic!("{} was sealed twice", sealed.exec_id) };
        if self.stop_of(&row.reserved).is_some() && sealed.outcome != Outcome::Interrupted {
            return Pending::ready(Ok(SealAnswer::Stopped));
        }
        if let Some(Seal { signed, .. }) = &sealed.seal {
            let known = self.adopted();
            assert!(known.iter().any(|key| key.public.id() == signed.key_id), "sealed with a key that nobody knows");
            self.log().push((sealed.exec_id, (**signed).clone()));
        }
        row.state = State::Sealed(sealed.clone());
        Pending::ready(Ok(SealAnswer::Kept))
    }

    fn unsealed(&self) -> Result<Vec<Reservation>, LedgerError> {
        let rows = self.rows();
        let unsealed = rows.iter().filter(|row| matches!(row.state, State::Reserved));
        Ok(unsealed.map(|row| Reservation::found_durable(row.reserved.clone())).collect())
    }

    fn receipt(&self, exec_id: ExecId) -> Result<Option<Digest>, LedgerError> {
        let rows = self.rows();
        Ok(rows.iter().find(|row| row.reserved.exec_id == exec_id).and_then(|row| match &row.state {
            State::Reserved => None,
            State::Sealed(sealed) => Some(sealed.receipt),
            State::Erased(tombstone) => Some(tombstone.receipt),
        }))
    }

    fn erase(&self, before: Timestamp, n_max: u32) -> Pending<u64> {
        let mut n_erased = 0;
        for row in self.rows().iter_mut().filter(|row| row.reserved.reserved_at < before) {
            let State::Sealed(sealed) = &row.state else { continue };
            if n_erased == u64::from(n_max) {
                break;
            }
            row.state = State::Erased(Tombstone {
                exec_id: sealed.exec_id,
                action: sealed.action.clone(),
                status: sealed.outcome.status(),
                fault: sealed.outcome.fault(),
                receipt: sealed.receipt,
                signed: sealed.seal.as_ref().map(|seal| seal.signed.clone()),
            });
            n_erased += 1;
        }
        Pending::ready(Ok(n_erased))
    }

    fn scrub(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    fn stats(&self) -> Result<Stats, LedgerError> {
        let mut stats = Stats::default();
        for row in self.rows().iter() {
            let status = match &row.state {
                State::Reserved => None,
                State::Sealed(sealed) => Some(sealed.outcome.status()),
                State::Erased(tombstone) => {
                    stats.n_erased += 1;
                    Some(tombstone.status)
                }
            };
            stats.count(status, 1);
        }
        Ok(stats)
    }

    fn stop(&self, target: Target, since: Timestamp, reason: Option<Note>) -> Pending<bool> {
        let mut stopped = self.stopped();
        let is_new = stopped.iter().all(|control| control.target != target);
        if is_new {
            stopped.push(Control { target, since, reason });
            stopped.sort_by(|a, b| a.target.cmp(&b.target));
        }
        Pending::ready(Ok(is_new))
    }

    fn release(&self, target: Target) -> Pending<bool> {
        let mut stopped = self.stopped();
        let n_before = stopped.len();
        stopped.retain(|control| control.target != target);
        Pending::ready(Ok(stopped.len() < n_before))
    }

    fn controls(&self) -> Result<Vec<Control>, LedgerError> {
        Ok(self.stopped().clone())
    }

    fn probe(&self) -> Pending<()> {
        Pending::ready(Ok(()))
    }
}

impl Receipts for MemoryLedger {
    fn logged(&self, exec_id: ExecId) -> Result<Option<Logged>, LedgerError> {
        let log = self.log();
        let found = (0..).zip(log.iter()).find(|(_, (id, _))| *id == exec_id);
        Ok(found.map(|(index, (_, signed))| Logged { index, signed: signed.clone() }))
    }

    fn references(&self, from: u64, n_max: u32) -> Result<Vec<Digest>, LedgerError> {
        let log = self.log();
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(log.iter().skip(from).take(n_max as usize).map(|(_, signed)| signed.reference()).collect())
    }

    fn adopt_key(&self, public: PublicKey, since: Timestamp) -> Pending<bool> {
        let mut keys = self.adopted();
        let is_new = keys.iter().all(|key| key.public != public);
        if is_new {
            keys.push(KeptKey { public, since });
        }
        Pending::ready(Ok(is_new))
    }

    fn keys(&self) -> Result<Vec<KeptKey>, LedgerError> {
        Ok(self.adopted().clone())
    }
}

impl Log for MemoryLedger {
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Digest>>, LedgerError> {
        Ok(self.published().tiles.get(&(level, index)).cloned())
    }

    fn publish(&self, tiles: Vec<CompleteTile>, checkpoint: SignedCheckpoint) -> Pending<()> {
        let n_receipts = self.log().len() as u64;
        self.published().keep(tiles, checkpoint, n_receipts);
        Pending::ready(Ok(()))
    }

    fn newest_checkpoint(&self) -> Result<Option<SignedCheckpoint>, LedgerError> {
        Ok(self.published().checkpoints.values().next_back().map(Kept::with_cosignatures))
    }

    fn checkpoint(&self, size: u64) -> Result<Option<SignedCheckpoint>, LedgerError> {
        Ok(self.published().checkpoints.get(&size).map(Kept::with_cosignatures))
    }

    fn cosign(&self, size: u64, cosignatures: Vec<Witnessed>) -> Pending<bool> {
        let mut published = self.published();
        let kept = published.checkpoints.get_mut(&size);
        Pending::ready(Ok(kept.map(|kept| cosignatures.into_iter().for_each(|line| kept.cosign(line))).is_some()))
    }

    fn newest_cosigned(&self, witnesses: &[VerifierKey], n_min: u32) -> Result<Option<SignedCheckpoint>, LedgerError> {
        let witnesses: Vec<_> = witnesses.iter().map(ToString::to_string).collect();
        let n_cosigned = |kept: &&Kept| witnesses.iter().filter(|key| kept.cosignatures.contains_key(*key)).count();
        let published = self.published();
        let found = published.checkpoints.values().rev().find(|kept| n_cosigned(kept) >= n_min as usize);
        Ok(found.map(Kept::with_cosignatures))
    }
}

impl Published {
    fn keep(&mut self, tiles: Vec<CompleteTile>, checkpoint: SignedCheckpoint, n_receipts: u64) {
        let size = checkpoint.checkpoint().size();
        assert!(size <= n_receipts, "a checkpoint of {size} receipts, where there are {n_receipts}");
        let newest = self.checkpoints.keys().next_back();
        assert!(newest.is_none_or(|newest| *newest <= size), "a checkpoint that is smaller than an earlier one");
        for tile in tiles {
            let (place, hashes) = ((tile.level, tile.index), tile.hashes);
            let kept = self.tiles.entry(place).or_insert_with(|| hashes.clone());
            assert!(*kept == hashes, "a tile was replaced");
        }
        let kept = self.checkpoints.entry(size);
        let kept = kept.or_insert_with(|| Kept { checkpoint: checkpoint.clone(), cosignatures: BTreeMap::new() });
        assert!(kept.checkpoint == checkpoint, "a checkpoint was replaced");
        self.prune();
    }

    fn prune(&mut self) {
        let Some((oldest, _)) = self.checkpoints.iter().rev().nth(CHECKPOINTS_KEPT as usize - 1) else { return };
        let oldest = *oldest;
        let mut newest_of: BTreeMap<String, u64> = BTreeMap::new();
        for (size, kept) in &self.checkpoints {
            newest_of.extend(kept.cosignatures.keys().map(|witness| (witness.clone(), *size)));
        }
        self.checkpoints.retain(|size, _| *size >= oldest || newest_of.values().any(|newest| newest == size));
    }
}

impl Kept {
    fn cosign(&mut self, Witnessed { witness, time, line }: Witnessed) {
        let latest = self.cosignatures.entry(witness.to_string()).or_insert_with(|| (time, line.clone()));
        if latest.0 <= time {
            *latest = (time, line);
        }
    }

    fn with_cosignatures(&self) -> SignedCheckpoint {
        let lines = self.cosignatures.values().map(|(_, line)| line.clone());
        lines.fold(self.checkpoint.clone(), |checkpoint, line| checkpoint.clone().with(line).unwrap_or(checkpoint))
    }
}

impl Stats {
    /// Adds `n` executions with this status; `None` is reserved.
    pub(crate) fn count(&mut self, status: Option<Status>, n: u64) {
        match status {
            None => self.n_reserved += n,
            Some(Status::Succeeded) => self.n_succeeded += n,
            Some(Status::Failed) => self.n_failed += n,
            Some(Status::Faulted) => self.n_faulted += n,
            Some(Status::Interrupted) => self.n_interrupted += n,
        }
    }
}

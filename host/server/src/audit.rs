//! Auditing a ledger: everything that was ever sealed, checked again.
//!
//! In scope: receipts against their signatures, their executions and what opens them; the tree, its tiles and what was
//! signed over it; runs repeated and compared. Each finding says which row.
//! Out of scope: one bundle of evidence (`openexec_core::evidence`), where keys come from (`cli`).
//!
//! A ledger can be edited by whoever can write its file. Nothing here prevents that; everything that was changed in what a
//! receipt binds is found, and whoever also holds the receipt key is found by the log and its witnesses.

use std::fmt;
use std::iter::Peekable;

use openexec_core::approval::Approval;
use openexec_core::digest::Digest;
use openexec_core::json::{self, Value};
use openexec_core::keys::PublicKey;
use openexec_core::log::checkpoint::SignedCheckpoint;
use openexec_core::log::edge::{CompleteTile, Edge};
use openexec_core::log::leaf_hash_of;
use openexec_core::log::note::VerifierKey;
use openexec_core::log::tree::Frontier;
use openexec_core::outcome::{Fault, Outcome, Run};
use openexec_core::receipt::opening::Part;
use openexec_core::receipt::{self, Receipt, Signed, effects_text, failure_text};
use openexec_core::reservation::Rerun;
use openexec_core::time::Timestamp;
use openexec_ledger::examined::{Examined, KeptExecution};
use openexec_ledger::sqlite::SqliteLedger;
use openexec_ledger::{LedgerError, Log, Receipts};
use openexec_sandbox::Sandbox;

/// Receipts that are read at once.
const PAGE: u32 = 500;

/// What an audit trusts. Nothing of it comes from the ledger.
#[derive(Debug, Default)]
pub struct AuditKeys {
    /// Keys whose receipts count.
    pub receipt_keys: Vec<PublicKey>,
    /// The log's key; without it, no checkpoint is believed or doubted.
    pub log_key: Option<VerifierKey>,
    /// Witnesses whose cosignatures must verify where they are.
    pub witness_keys: Vec<VerifierKey>,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where: `receipt 17`, `execution 0193…`, `checkpoint 256`, `tile 0/3`.
    pub place: String,
    /// What.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Receipts.
    pub n_receipts: u64,
    /// Executions whose body was erased, so that less of them could be checked.
    pub n_erased: u64,
    /// Executions that were run again and came out the same.
    pub n_repeated: u64,
    /// Complete tiles.
    pub n_tiles: u64,
    /// Checkpoints.
    pub n_checkpoints: u64,
}

/// An audit under way.
struct Audit<'a> {
    ledger: &'a SqliteLedger,
    sandbox: Option<&'a Sandbox>,
    keys: &'a AuditKeys,
    report: &'a mut dyn FnMut(Finding),
    checked: Checked,
    /// Whether the tree is known not to be the one that was signed: saying it once is enough.
    is_other_tree: bool,
}

/// Checks everything in a ledger, and reports each finding as it is found. With a sandbox, every execution whose component
/// it has is run again and compared. May be run beside a host.
///
/// # Errors
/// `LedgerError` when the ledger could not be read to the end.
pub fn audit(
    ledger: &SqliteLedger,
    sandbox: Option<&Sandbox>,
    keys: &AuditKeys,
    report: &mut dyn FnMut(Finding),
) -> Result<Checked, LedgerError> {
    let mut audit = Audit { ledger, sandbox, keys, report, checked: Checked::default(), is_other_tree: false };
    // What the host signs meanwhile is left to the next audit.
    let mut checkpoints = Vec::new();
    for checkpoint in ledger.checkpoints()? {
        match checkpoint {
            Ok(signed) => checkpoints.push(signed),
            Err(error) => audit.find("a checkpoint", error),
        }
    }
    audit.receipts(&checkpoints)?;
    audit.executions_without_receipt()?;
    Ok(audit.checked)
}

impl Audit<'_> {
    fn find(&mut self, place: impl fmt::Display, what: impl fmt::Display) {
        (self.report)(Finding { place: place.to_string(), what: what.to_string() });
    }

    /// Walks the log once: every receipt with its execution, the tree over them, its tiles and its checkpoints.
    fn receipts(&mut self, checkpoints: &[SignedCheckpoint]) -> Result<(), LedgerError> {
        let mut roots = checkpoints.iter().peekable();
        let mut edge = Edge::new();
        let mut next = 0;
        self.checkpoints_at(edge.frontier(), &mut roots);
        loop {
            let page = self.ledger.examine(next, PAGE)?;
            if page.is_empty() {
                break;
            }
            for examined in page {
                if examined.index != next {
                    self.find(format!("receipt {next}"), "it is missing; no checkpoint from here on can be checked");
                    self.is_other_tree = true;
                }
                next = examined.index + 1;
                let reference = self.receipt(examined)?;
                edge.push(leaf_hash_of(&reference));
                for tile in edge.take_completed() {
                    self.tile(&tile)?;
                }
                self.checkpoints_at(edge.frontier(), &mut roots);
            }
        }
        if let Some(left) = roots.next()
            && !self.is_other_tree
        {
            let size = left.checkpoint().size();
            self.find(
                format!("checkpoint {size}"),
                format!("it was signed when there were {size} receipts; {next} are there"),
            );
        }
        Ok(())
    }

    /// Checks one receipt, and returns the reference that its bytes have.
    fn receipt(&mut self, examined: Examined) -> Result<Digest, LedgerError> {
        let Examined { index, reference, signed } = examined;
        let place = format!("receipt {index}");
        self.checked.n_receipts += 1;
        let kept = reference.unwrap_or_else(|_| Digest::of(b""));
        let signed = match signed {
            Ok(signed) => signed,
            Err(error) => {
                self.find(place, error);
                return Ok(kept);
            }
        };
        if signed.reference() != kept {
            self.find(&place, "its reference is not that of its statement");
        }
        self.signature(&place, &signed);
        match Receipt::parse(&signed.statement) {
            Ok(receipt) => self.execution(&place, index, &receipt)?,
            Err(error) => self.find(&place, error),
        }
        Ok(signed.reference())
    }

    fn signature(&mut self, place: &str, signed: &Signed) {
        let key = self.keys.receipt_keys.iter().find(|key| key.id() == signed.key_id);
        match key.map(|key| signed.verify(key)) {
            Some(Ok(())) => {}
            Some(Err(_)) => self.find(place, "its signature does not verify"),
            None => self.find(place, format!("it is signed by {}, which is no key that was given", signed.key_id)),
        }
    }

    /// Compares a receipt with the execution that it is about.
    fn execution(&mut self, place: &str, index: u64, receipt: &Receipt) -> Result<(), LedgerError> {
        let exec_id = receipt.exec_id;
        let kept = match self.ledger.examine_execution(exec_id) {
            Ok(Some(kept)) => kept,
            Ok(None) => {
                self.find(place, format!("its execution {exec_id} is missing"));
                return Ok(());
            }
            Err(error @ LedgerError::Broken(_)) => {
                self.find(format!("execution {exec_id}"), error);
                return Ok(());
            }
            Err(error @ LedgerError::Unavailable(_)) => return Err(error),
        };
        let place = format!("execution {exec_id}");
        if kept.leaf != Some(index) {
            self.find(&place, format!("receipt {index} is about it, but it names another"));
        }
        for what in differences(receipt, &kept) {
            self.find(&place, format!("its {what} is not what its receipt says"));
        }
        if kept.is_erased {
            self.checked.n_erased += 1;
            return Ok(());
        }
        for what in plaintext_differences(receipt, &kept) {
            self.find(&place, format!("its {what} is not what its receipt commits to"));
        }
        self.repeat(&place, kept);
        Ok(())
    }

    /// Runs an execution again, if its component is here.
    fn repeat(&mut self, place: &str, kept: KeptExecution) {
        let (Some(sandbox), Some(outcome)) = (self.sandbox, kept.outcome) else { return };
        let run = Run { outcome, resources: kept.resources };
        if matches!(run.outcome, Outcome::Interrupted | Outcome::Faulted(Fault::Deadline)) {
            return; // what the machine decided is not the handler's
        }
        match sandbox.rerun_like(&Rerun::of(kept.facts), run.outcome.fault()) {
            Ok(Run { outcome: Outcome::Interrupted | Outcome::Faulted(Fault::Deadline), .. }) | Err(_) => {}
            Ok(again) if again == run => self.checked.n_repeated += 1,
            Ok(again) if again.outcome == run.outcome => self.find(
                place,
                format!("run again, it uses {} fuel and not {}", again.resources.fuel, run.resources.fuel),
            ),
            Ok(_) => self.find(place, "run again, it comes out differently"),
        }
    }

    fn tile(&mut self, tile: &CompleteTile) -> Result<(), LedgerError> {
        if self.is_other_tree {
            return Ok(());
        }
        let place = format!("tile {}/{}", tile.level, tile.index);
        self.checked.n_tiles += 1;
        match self.ledger.tile(tile.level, tile.index) {
            Ok(Some(hashes)) if hashes == tile.hashes => {}
            Ok(Some(_)) => self.find(place, "its hashes are not those of the receipts"),
            Ok(None) => {
                // The host may not have integrated these receipts yet; what is covered by a checkpoint must be there.
                let newest = self.ledger.newest_checkpoint()?.map_or(0, |signed| signed.checkpoint().size());
                if tile.id().is_some_and(|id| id.exists_in(newest)) {
                    self.find(place, "it is missing");
                }
            }
            Err(error @ LedgerError::Broken(_)) => self.find(place, error),
            Err(error @ LedgerError::Unavailable(_)) => return Err(error),
        }
        Ok(())
    }

    /// Checks every checkpoint of the size that the tree has now.
    fn checkpoints_at<'c>(
        &mut self,
        tree: &Frontier,
        checkpoints: &mut Peekable<impl Iterator<Item = &'c SignedCheckpoint>>,
    ) {
        while let Some(signed) = checkpoints.next_if(|next| next.checkpoint().size() <= tree.size()) {
            self.checked.n_checkpoints += 1;
            let checkpoint = signed.checkpoint();
            let place = format!("checkpoint {}", checkpoint.size());
            let is_of_tree = (checkpoint.size(), *checkpoint.root()) == (tree.size(), tree.root());
            if !is_of_tree && !self.is_other_tree {
                self.find(&place, "its root is not that of the receipts, and so for every later one");
                self.is_other_tree = true;
            }
            if let Some(key) = &self.keys.log_key
                && let Err(error) = signed.verify_log(key)
            {
                self.find(&place, error);
            }
            if let Err(error) = signed.cosignatures(&self.keys.witness_keys) {
                self.find(&place, error);
            }
        }
    }

    /// Whatever was sealed since there are receipts must have one.
    fn executions_without_receipt(&mut self) -> Result<(), LedgerError> {
        let since = self.ledger.keys()?.first().map_or(Timestamp::MAX, |key| key.since);
        for exec_id in self.ledger.unsigned(since)? {
            self.find(format!("execution {exec_id}"), "it was sealed when receipts were signed, and has none");
        }
        Ok(())
    }
}

/// What of an execution's own row is not as its receipt says.
fn differences(receipt: &Receipt, kept: &KeptExecution) -> Vec<&'static str> {
    let facts = &kept.facts;
    let pairs = [
        ("fingerprint", facts.fingerprint == receipt.fingerprint),
        ("tenant", facts.tenant == receipt.tenant),
        ("action", facts.action == receipt.action),
        ("nonce", Digest::of(facts.nonce.as_str().as_bytes()) == receipt.nonce),
        ("component", facts.component == receipt.component),
        ("limits", facts.limits == receipt.limits),
        ("approval", kept.approval_ref == receipt.approval.as_ref().map(|approval| approval.reference)),
        ("state", kept.status == Some(receipt.outcome)),
        ("fault", kept.fault.as_deref() == receipt.fault.map(Fault::as_str)),
        ("fuel", kept.resources.fuel == receipt.resources.fuel),
        ("memory", kept.resources.memory_bytes == receipt.resources.memory_bytes),
        ("date of reservation", facts.reserved_at == receipt.reserved_at),
        ("date of its seal", kept.sealed_at == Some(receipt.sealed_at)),
    ];
    pairs.into_iter().filter(|(_, agrees)| !agrees).map(|(what, _)| what).collect()
}

/// What of an execution's body is not what its receipt commits to.
fn plaintext_differences(receipt: &Receipt, kept: &KeptExecution) -> Vec<&'static str> {
    let Some(blinding) = kept.blinding else { return vec!["secret"] };
    let commit = |part: Part, text: &str| blinding.salt(part).commit(text);
    let (result, effects, value) = match &kept.outcome {
        Some(Outcome::Succeeded { result, effects }) => {
            let value = result.value();
            (Some(json::jcs(&value)), Some(effects), value)
        }
        Some(Outcome::Failed(failure)) => (Some(failure_text(failure)), None, Value::Null),
        Some(Outcome::Faulted(_) | Outcome::Interrupted) | None => (None, None, Value::Null),
    };
    let effects = effects.map(|effects| (effects.len() as u64, commit(Part::Effects, &effects_text(effects))));
    let approval = kept.facts.approval.as_ref();
    let approval_text = approval.map(|approval| {
        json::read(approval.text.as_bytes())
            .ok()
            .and_then(|value| Approval::parse(value).ok())
            .map(|text| text.reference())
    });
    let pairs = [
        ("payload", commit(Part::Payload, &kept.facts.payload) == receipt.payload),
        ("result", result.map(|text| commit(Part::Result, &text)) == receipt.result),
        ("list of effects", effects == receipt.effects.map(|effects| (effects.count, effects.commitment))),
        ("approval", approval.map(|approval| &approval.facts) == receipt.approval.as_ref()),
        ("approval's text", approval_text == receipt.approval.as_ref().map(|approval| Some(approval.reference))),
        ("legacy receipt", kept.receipt == Some(receipt::legacy(receipt.exec_id, &value))),
    ];
    pairs.into_iter().filter(|(_, agrees)| !agrees).map(|(what, _)| what).collect()
}

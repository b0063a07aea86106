//! The log: how long after a load it covers everything, and what a proof costs in a large one.
//!
//! In scope: a tree of any size in a ledger on disk, timed reading and hashing of inclusion proofs; the lag of a host.
//! Out of scope: whether proofs are right in every case; that is what the tests are for. Here one in a thousand is verified.

use std::rc::Rc;
use std::time::{Duration, Instant};

use openexec_core::digest::Digest;
use openexec_core::log::checkpoint::Checkpoint;
use openexec_core::log::edge::Edge;
use openexec_core::log::leaf_hash_of;
use openexec_core::log::prove::{Tiles, inclusion_proof};
use openexec_core::log::tile::TileId;
use openexec_core::log::tree::{empty_root, verify_inclusion};
use openexec_ledger::sqlite::SqliteLedger;
use openexec_ledger::{LedgerError, Log as _};
use openexec_tests::facts::log_key;
use serde_json::Value;
use tokio::task::LocalSet;

use crate::bodies::Bodies;
use crate::connection::{Connection, Target};
use crate::error::BenchError;

/// How long the log may take to cover everything before the session goes on without knowing.
const LAG_MAX: Duration = Duration::from_secs(60);
/// Between two looks.
const POLL: Duration = Duration::from_millis(2);
/// Tiles in one commit while the tree is made.
const TILES_AT_ONCE: usize = 1024;
/// Every how many-th proof is verified, outside of the timing.
const VERIFIED_EVERY: u64 = 1_000;

/// What a proof costs in a tree of this size.
#[derive(Debug)]
pub(crate) struct Proofs {
    n_leaves: u64,
    made_in: Duration,
    each: Duration,
    longest: Duration,
    n: u32,
}

/// The tiles as a host has them: complete ones on disk, the edge in memory.
struct Kept<'log> {
    ledger: &'log SqliteLedger,
    edge: &'log Edge,
}

impl Tiles for Kept<'_> {
    type Error = LedgerError;

    fn tile(&self, id: TileId) -> Result<Vec<Digest>, LedgerError> {
        if let Some(hashes) = self.edge.tile(id) {
            return Ok(hashes.to_vec());
        }
        let mut hashes = self.ledger.tile(id.level(), id.index())?.unwrap_or_default();
        hashes.truncate(usize::from(id.width()));
        Ok(hashes)
    }
}

/// Makes a tree of so many leaves and proves random ones for about `each`.
pub(crate) fn measure(n_leaves: u64, each: Duration) -> Result<Proofs, BenchError> {
    let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
    let ledger = SqliteLedger::open(&folder.path().join("bench.db")).map_err(|error| failed(&error))?;
    let started = Instant::now();
    let edge = make_tree(&ledger, n_leaves)?;
    let made_in = started.elapsed();
    let (root, tiles) = (edge.root(), Kept { ledger: &ledger, edge: &edge });
    let (mut spent, mut longest, mut n) = (Duration::ZERO, Duration::ZERO, 0_u32);
    while spent < each {
        let index = chosen(u64::from(n)) % n_leaves;
        let asked = Instant::now();
        let proof = inclusion_proof(&tiles, index, n_leaves).map_err(|error| failed(&error))?;
        let took = asked.elapsed();
        spent += took;
        longest = longest.max(took);
        if u64::from(n) % VERIFIED_EVERY == 0 {
            verify_inclusion(&leaf(index), index, n_leaves, &root, &proof).map_err(|error| failed(&error))?;
        }
        n += 1;
    }
    Ok(Proofs { n_leaves, made_in, each: spent / n.max(1), longest, n })
}

/// Tiles only: a ledger keeps no checkpoint of receipts that it does not have, so this one says again and again that the
/// log is empty.
fn make_tree(ledger: &SqliteLedger, n_leaves: u64) -> Result<Edge, BenchError> {
    let key = log_key();
    let empty = Checkpoint::new(key.origin(), 0, empty_root()).ok_or_else(|| failed(&"no checkpoint"))?;
    let empty = key.sign(empty).map_err(|error| failed(&error))?;
    let (mut edge, mut tiles) = (Edge::new(), Vec::new());
    for index in 0..n_leaves {
        edge.push(leaf(index));
        tiles.extend(edge.take_completed());
        if tiles.len() >= TILES_AT_ONCE || index + 1 == n_leaves {
            let batch = std::mem::take(&mut tiles);
            ledger.publish(batch, empty.clone()).wait().map_err(|error| failed(&error))?;
        }
    }
    Ok(edge)
}

fn leaf(index: u64) -> Digest {
    leaf_hash_of(&Digest::of(&index.to_be_bytes()))
}

/// Numbers that look random and are the same every time (splitmix64).
fn chosen(nth: u64) -> u64 {
    let mixed = nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 1
}

impl Proofs {
    pub(crate) fn to_text(&self) -> String {
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
        format!(
            "inclusion proof in a log of {} leaves, reading included: {:.1} µs each, {:.1} µs the longest of {}\n\
             (the tree was made in {:.1} s)\n",
            self.n_leaves,
            micros(self.each),
            micros(self.longest),
            self.n,
            self.made_in.as_secs_f64(),
        )
    }
}

/// How long after a last execution the log proves it, and so everything before it. `None` for a host without a log, or if
/// there is nothing left to execute.
pub(crate) async fn lag(target: &Rc<Target>, bodies: &Bodies) -> Result<Option<Duration>, BenchError> {
    let Some(body) = bodies.next()? else { return Ok(None) };
    let ask = async {
        let mut connection = Connection::open(target).await?;
        let answer = connection.post_execute(body).await.map_err(|error| failed(&error))?;
        let sealed = Instant::now();
        let execution: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let Some(exec_id) = execution.get("id").and_then(Value::as_str) else { return Ok(None) };
        let place = format!("/receipts/{exec_id}/proof");
        while sealed.elapsed() < LAG_MAX {
            let status = connection.get(&place).await.map_err(|error| failed(&error))?.status.as_u16();
            match status {
                200 => return Ok(Some(sealed.elapsed())),
                503 => tokio::time::sleep(POLL).await,
                _ => return Ok(None),
            }
        }
        Ok(None)
    };
    LocalSet::new().run_until(ask).await
}

fn failed(what: &dyn std::fmt::Display) -> BenchError {
    BenchError::Log(what.to_string())
}

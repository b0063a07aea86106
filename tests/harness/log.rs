//! The log of a host, as somebody sees it who does not trust the host: over HTTP, and remembering.

use std::io;
use std::net::SocketAddr;

use openexec_core::digest::Digest;
use openexec_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
use openexec_core::log::note::VerifierKey;
use openexec_core::log::prove::{Tiles, consistency_proof};
use openexec_core::log::tile::{TileId, parse_hashes};
use openexec_core::log::tree::verify_consistency;

use crate::client::{self, Answer};

/// The tiles that a host serves.
#[derive(Clone, Copy, Debug)]
pub struct ServedTiles(pub SocketAddr);

impl Tiles for ServedTiles {
    type Error = io::Error;

    fn tile(&self, id: TileId) -> io::Result<Vec<Digest>> {
        let answer = client::get(self.0, &format!("/log/{id}"))?;
        let hashes = (answer.status == 200).then(|| parse_hashes(&answer.body, id.width())).flatten();
        hashes.ok_or_else(|| io::Error::other(format!("{id}: {answer:?}")))
    }
}

/// `GET /log/checkpoint`.
pub fn checkpoint(address: SocketAddr) -> io::Result<SignedCheckpoint> {
    let text = client::get(address, "/log/checkpoint")?.text();
    SignedCheckpoint::parse(&text).map_err(|error| io::Error::other(format!("{error}: {text}")))
}

/// `POST /log/cosignatures`.
pub fn post_cosignatures(address: SocketAddr, note: &str) -> io::Result<Answer> {
    let head = format!(
        "POST /log/cosignatures HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        note.len()
    );
    client::send(address, &[head.as_bytes(), note.as_bytes()].concat())
}

/// Remembers every checkpoint it saw.
#[derive(Clone, Debug)]
pub struct Watcher {
    key: VerifierKey,
    seen: Vec<Checkpoint>,
    n_proven: usize,
}

impl Watcher {
    /// Watches the log with this key.
    #[must_use]
    pub fn new(key: VerifierKey) -> Self {
        Self { key, seen: Vec::new(), n_proven: 0 }
    }

    /// Takes a look, and remembers a checkpoint that is new. Panics if the log did not sign it.
    pub fn look(&mut self, address: SocketAddr) -> io::Result<()> {
        let signed = checkpoint(address)?;
        let checkpoint = signed.verify_log(&self.key).unwrap_or_else(|error| panic!("{error}: {signed}"));
        if self.seen.last() != Some(checkpoint) {
            self.seen.push(checkpoint.clone());
        }
        Ok(())
    }

    /// Proves with the tiles that the host serves now that every checkpoint is consistent with the one before it, and so
    /// with all before it.
    #[track_caller]
    pub fn prove(&mut self, address: SocketAddr) {
        for pair in self.seen[self.n_proven.saturating_sub(1)..].windows(2) {
            require_consistent(&pair[0], &pair[1], address);
        }
        self.n_proven = self.seen.len();
    }

    /// What it saw, oldest first.
    #[must_use]
    pub fn seen(&self) -> &[Checkpoint] {
        &self.seen
    }
}

/// Panics unless the tiles of the host prove that the newer tree begins with the older.
#[track_caller]
pub fn require_consistent(old: &Checkpoint, new: &Checkpoint, address: SocketAddr) {
    let (old_size, new_size) = (old.size(), new.size());
    assert!(old_size <= new_size, "the log shrank from {old_size} to {new_size}");
    let proof = consistency_proof(&ServedTiles(address), old_size, new_size)
        .unwrap_or_else(|error| panic!("no proof from {old_size} to {new_size}: {error}"));
    let verified = verify_consistency(old_size, old.root(), new_size, new.root(), &proof);
    assert_eq!(verified, Ok(()), "from {old_size} to {new_size}");
}

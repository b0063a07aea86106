//! A log to be watched: a tree in memory behind a real socket, which lies on request.
//!
//! It speaks as much of the host's interface as a witness uses, written anew here, so that the witness is not tested
//! against the code that it watches.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openexec_core::digest::Digest;
use openexec_core::log::checkpoint::{Checkpoint, SignedCheckpoint, log_signature_line};
use openexec_core::log::edge::Edge;
use openexec_core::log::note::{Algorithm, KeyName, NoteSignature, VerifierKey};
use openexec_core::log::tile::{TileId, encode_hashes};
use openexec_core::log::tree::leaf_hash;
use openexec_core::signing::SecretKey;

/// The origin of the log.
pub const ORIGIN: &str = "openexec.example/watched";

/// A growing tree with all its tiles.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    edge: Edge,
    complete: BTreeMap<(u8, u64), Vec<Digest>>,
}

/// What the log answers to a request, instead of what it should.
#[derive(Clone, Debug)]
pub enum Lie {
    /// This status, with this body.
    Status(u16, Vec<u8>),
    /// A redirect.
    Redirect(String),
    /// These bytes, as the body of a 200.
    Body(Vec<u8>),
    /// The honest body with its last byte changed.
    LastByteOff,
    /// A head that promises more than comes.
    Cut,
    /// Nothing, until the client gives up.
    Silence,
    /// The honest body, endlessly: no length, one byte after the other.
    Endless,
}

/// The log's side of things.
#[derive(Debug)]
pub struct Behaviour {
    /// What it shows and has the tiles of.
    pub tree: Tree,
    /// Signs its checkpoints.
    pub secret: SecretKey,
    /// Its name.
    pub origin: String,
    /// What is answered to paths that begin so.
    pub lies: Vec<(&'static str, Lie)>,
    /// Whether accepted cosignatures are shown with the checkpoint.
    pub shows_cosignatures: bool,
    /// The status of answers to cosignatures.
    pub post_status: u16,
    /// Every body that was posted to `/log/cosignatures`.
    pub posted: Vec<String>,
    /// Every request line.
    pub requests: Vec<String>,
}

/// A log that listens. It lives as long as the process.
#[derive(Clone, Debug)]
pub struct WatchedLog {
    /// Where it listens.
    pub address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Tree {
    /// The tree with the leaves 0 to `size` of a history. Histories differ from leaf `fork` on.
    #[must_use]
    pub fn of(size: u64, history: &str, fork: u64) -> Self {
        let mut tree = Self::default();
        tree.grow(size, history, fork);
        tree
    }

    /// Appends leaves of this history up to a size.
    pub fn grow(&mut self, size: u64, history: &str, fork: u64) {
        for number in self.size()..size {
            let name = if number < fork { "" } else { history };
            self.edge.push(leaf_hash(format!("{name}{number}").as_bytes()));
            for tile in self.edge.take_completed() {
                self.complete.insert((tile.level, tile.index), tile.hashes);
            }
        }
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.edge.root()
    }

    fn tile(&self, path: &str) -> Option<Vec<u8>> {
        let id = TileId::parse(path)?;
        let complete = self.complete.get(&(id.level(), id.index())).and_then(|tile| tile.get(..id.width().into()));
        self.edge.tile(id).or(complete).map(encode_hashes)
    }
}

impl Behaviour {
    /// The key that its signatures verify with.
    #[must_use]
    pub fn log_key(&self) -> VerifierKey {
        let name = KeyName::parse(&self.origin).expect("a name");
        VerifierKey::new(name, Algorithm::Log, self.secret.public().clone())
    }

    /// What it shows, without cosignatures.
    #[must_use]
    pub fn checkpoint(&self) -> SignedCheckpoint {
        let checkpoint = Checkpoint::new(&self.origin, self.tree.size(), self.tree.root()).expect("a checkpoint");
        let signature = self.secret.sign(checkpoint.text().as_bytes());
        let line = log_signature_line(&self.log_key(), &signature).expect("a log's key");
        SignedCheckpoint::new(checkpoint, line)
    }

    fn shown(&self) -> String {
        let mut shown = self.checkpoint();
        let ours: Vec<NoteSignature> = shown.signatures().to_vec();
        let posted = self.posted.iter().filter_map(|note| SignedCheckpoint::parse(note).ok());
        for note in posted.filter(|note| self.shows_cosignatures && note.checkpoint() == self.checkpoint().checkpoint())
        {
            for line in note.signatures().iter().filter(|line| !ours.contains(line)) {
                shown = shown.with(line.clone()).expect("room for a line");
            }
        }
        shown.to_string()
    }

    fn answer(&self, path: &str) -> Option<Vec<u8>> {
        match path {
            "/log/checkpoint" => Some(self.shown().into_bytes()),
            tile => self.tree.tile(tile.strip_prefix("/log/")?),
        }
    }
}

impl WatchedLog {
    /// Starts a log of this many leaves.
    #[must_use]
    pub fn start(size: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let behaviour = Behaviour {
            tree: Tree::of(size, "", u64::MAX),
            secret: SecretKey::from_seed(&[9; 32]).expect("a key"),
            origin: ORIGIN.to_owned(),
            lies: Vec::new(),
            shows_cosignatures: false,
            post_status: 204,
            posted: Vec::new(),
            requests: Vec::new(),
        };
        let log =
            Self { address: listener.local_addr().expect("an address"), behaviour: Arc::new(Mutex::new(behaviour)) };
        let serving = log.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = serving.clone();
                std::thread::spawn(move || log.converse(stream));
            }
        });
        log
    }

    /// Its side of things, to look at or to change.
    pub fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same log, said to be somewhere else.
    #[must_use]
    pub fn at(&self, address: &str) -> Self {
        Self { address: address.parse().expect("an address"), ..self.clone() }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers until the client goes away, or a lie ends the conversation.
    fn converse(&self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Ok(reading) = stream.try_clone() else { return };
        let mut reader = BufReader::new(reading);
        while let Some((line, body)) = read_request(&mut reader) {
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let (lie, answer) = {
                let mut log = self.behaviour();
                log.requests.push(line.clone());
                let lie = log.lies.iter().find(|(start, _)| path.starts_with(start)).map(|(_, lie)| lie.clone());
                let answer = match line.starts_with("POST ") {
                    true => {
                        log.posted.push(body);
                        (log.post_status, Vec::new())
                    }
                    false => log.answer(&path).map_or((404, Vec::new()), |body| (200, body)),
                };
                (lie, answer)
            };
            let sent = match lie {
                None => send(&mut stream, answer.0, "", &answer.1),
                Some(Lie::Status(status, body)) => send(&mut stream, status, "", &body),
                Some(Lie::Redirect(to)) => send(&mut stream, 302, &format!("Location: {to}\r\n"), b""),
                Some(Lie::Body(body)) => send(&mut stream, 200, "", &body),
                Some(Lie::LastByteOff) => {
                    let mut body = answer.1;
                    if let Some(last) = body.last_mut() {
                        *last ^= 1;
                    }
                    send(&mut stream, 200, "", &body)
                }
                Some(Lie::Cut) => {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort");
                    return;
                }
                Some(Lie::Silence) => {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
                    let _ = stream.read(&mut [0]);
                    return;
                }
                Some(Lie::Endless) => {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                    while stream.write_all(&[b'x'; 1000]).is_ok() {}
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

fn send(stream: &mut TcpStream, status: u16, header: &str, body: &[u8]) -> std::io::Result<()> {
    let length = if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    stream.write_all(format!("HTTP/1.1 {status} Status\r\n{header}{length}\r\n").as_bytes())?;
    stream.write_all(body)
}

/// Reads a request: its first line and its body. `None` when the client is gone.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|n| *n > 0)?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok().filter(|n| *n > 0)?;
        match header.trim_end().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok()?,
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first.trim_end().to_owned(), String::from_utf8_lossy(&body).into_owned()))
}

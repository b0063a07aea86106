//! The witness: the real program against a log that grows, rolls back, forks, lies, dawdles and dies.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openexec_core::keys::encode_base64;
use openexec_core::log::WitnessKey;
use openexec_core::log::checkpoint::SignedCheckpoint;
use openexec_core::log::note::{KeyName, VerifierKey};
use openexec_core::signing::SecretKey;
use openexec_tests::client::{self, Answer};
use openexec_tests::host::binary;
use openexec_tests::openssl::openssl;
use openexec_tests::python::python_with_cryptography;
use openexec_tests::watched_log::{Lie, ORIGIN, Tree, WatchedLog};
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use signed_note::{Note as TheirNote, StandardVerifier, VerifierList};
use tempfile::TempDir;

const NAME: &str = "witness.example/1";

/// No look takes longer; a test that waits longer has found a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// A witness's folder, with its key and its memory.
struct Folder {
    folder: TempDir,
    log: WatchedLog,
}

/// A witness that keeps running. Killed when dropped.
struct Running {
    child: Child,
    log_file: PathBuf,
}

impl Folder {
    fn watching(log: &WatchedLog) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), log: log.clone() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command, in an environment that would lead another program astray.
    fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("witness").args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OPENEXEC_")) {
            command.env_remove(name);
        }
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env(name, "http://127.0.0.1:1");
        }
        command.env("OPENEXEC_LOG", "debug").env("OPENEXEC_LOG_FORMAT", "json");
        command
    }

    /// The command that watches the log.
    fn command(&self, arguments: &[&str]) -> Command {
        let log_key = self.log.behaviour().log_key().to_string();
        let url = self.log.url();
        let given = ["--log-url", &url, "--log-key", &log_key, "--key", "witness.pem", "--name", NAME];
        self.bare(&[given.as_slice(), arguments].concat())
    }

    fn once(&self) -> Output {
        self.command(&["--once"]).output().unwrap()
    }

    /// Looks once, and makes sure of the exit code; returns what was logged.
    #[track_caller]
    fn look(&self, code: i32) -> String {
        let output = self.once();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{log}");
        log
    }

    #[track_caller]
    fn status(&self, code: i32) -> String {
        let output = self.bare(&["status"]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let log_file = self.path("log");
        let log = fs::File::create(&log_file).unwrap();
        let arguments = [&["--listen", "127.0.0.1:0", "--interval-s", "1"], arguments].concat();
        let child = self.command(&arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Running { child, log_file }
    }

    /// The key that its cosignatures verify with.
    fn witness_key(&self) -> VerifierKey {
        let output = self.bare(&["key", "--key", "witness.pem", "--name", NAME]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        VerifierKey::parse(String::from_utf8(output.stdout).unwrap().trim_end()).unwrap()
    }

    fn secret(&self) -> SecretKey {
        SecretKey::parse_pem(&fs::read_to_string(self.path("witness.pem")).unwrap()).unwrap()
    }

    fn state(&self) -> Connection {
        Connection::open(self.path("witness.db")).unwrap()
    }

    fn n_posted(&self) -> usize {
        self.log.behaviour().posted.len()
    }

    /// The latest cosignature that the log was given, verified.
    #[track_caller]
    fn last_posted(&self) -> SignedCheckpoint {
        let log = self.log.behaviour();
        let note = SignedCheckpoint::parse(log.posted.last().expect("a cosignature")).unwrap();
        note.verify_log(&log.log_key()).unwrap();
        drop(log);
        note.verify_witness(&self.witness_key()).unwrap();
        note
    }
}

impl Running {
    fn log(&self) -> String {
        fs::read_to_string(&self.log_file).unwrap()
    }

    #[track_caller]
    fn wait_for(&self, what: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !what(self) {
            assert!(started.elapsed() < PATIENCE, "waited in vain: {}", self.log());
            sleep(Duration::from_millis(5));
        }
    }

    fn address(&self) -> SocketAddr {
        let found = |log: &str| -> Option<SocketAddr> {
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["message"] == "listening")?["address"].as_str()?.parse().ok()
        };
        self.wait_for(|running| found(&running.log()).is_some());
        found(&self.log()).unwrap()
    }

    fn get(&self, path: &str) -> Answer {
        client::get(self.address(), path).unwrap()
    }

    /// SIGTERM, and a clean end.
    #[track_caller]
    fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
        assert!(self.log().contains("stopped"));
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Verifies a cosigned checkpoint as the specifications say, without any code of ours.
const VERIFY: &str = r#"
import base64, hashlib, json, struct, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

given = json.load(sys.stdin)
for note in given["notes"]:
    text, lines = note.rsplit("\n\n", 1)
    text, verified = text + "\n", 0
    for vkey in given["keys"]:
        name, key_id, key = vkey.split("+", 2)
        key = base64.b64decode(key)
        assert hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8] == key_id
        for line in lines.splitlines():
            dash, signer, signature = line.split(" ")
            signature = base64.b64decode(signature)
            if (dash, signer, signature[:4].hex()) != ("\u2014", name, key_id): continue
            if key[0] == 1:
                message, signature = text.encode(), signature[4:]
            else:
                assert key[0] == 4
                time, = struct.unpack(">Q", signature[4:12])
                message, signature = f"cosignature/v1\ntime {time}\n{text}".encode(), signature[12:]
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature, message)
            verified += 1
    assert verified == 2, note
print(len(given["notes"]), end="")
"#;

#[test]
fn a_witness_cosigns_a_log_that_grows_and_hands_the_cosignature_over() {
    let log = WatchedLog::start(0);
    let witness = Folder::watching(&log);
    let sizes = [0, 1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 70_000];
    for (n_before, size) in sizes.into_iter().enumerate() {
        log.behaviour().tree.grow(size, "", u64::MAX);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        witness.look(0);
        assert_eq!(witness.n_posted(), n_before + 1);
        let note = witness.last_posted();
        assert_eq!((note.checkpoint().size(), note.checkpoint().root()), (size, &log.behaviour().tree.root()));
        let time = note.verify_witness(&witness.witness_key()).unwrap();
        assert!((since..since + 60).contains(&time), "{time}");
    }
    let log_key = log.behaviour().log_key().to_string();
    let posted = log.behaviour().posted.clone();
    let given = json!({"notes": posted, "keys": [log_key, witness.witness_key().to_string()]});
    assert_eq!(python_with_cryptography(VERIFY, &given.to_string()), sizes.len().to_string());
    for note in &posted {
        let note = TheirNote::from_bytes(note.as_bytes()).unwrap();
        let verifiers = VerifierList::new(vec![Box::new(StandardVerifier::new(&log_key).unwrap())]);
        let (verified, unknown) = note.verify(&verifiers).unwrap();
        assert_eq!((verified.len(), unknown.len()), (1, 1), "the log's, and ours which they do not know");
        assert_eq!(tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap().origin(), ORIGIN);
    }
    let status = witness.status(0);
    assert!(status.contains("cosigned up to 70000 receipts") && status.contains(posted.last().unwrap()), "{status}");
}

#[test]
fn a_witness_reads_few_tiles_and_follows_any_growth() {
    // Complete and incomplete old and new tiles, on one level and across levels.
    for (old, new) in [(1, 2), (1, 70_000), (255, 257), (256, 300), (300, 301), (600, 65_900), (65_536, 65_537)] {
        let log = WatchedLog::start(old);
        let witness = Folder::watching(&log);
        witness.look(0);
        log.behaviour().tree.grow(new, "", u64::MAX);
        log.behaviour().requests.clear();
        witness.look(0);
        assert_eq!(witness.last_posted().checkpoint().size(), new);
        let n_requests = log.behaviour().requests.len();
        assert!(n_requests <= 2 + 6, "{old} to {new}: {n_requests} requests");
    }
}

#[test]
fn a_tile_that_is_complete_by_now_is_read_in_place_of_the_partial_one_that_the_log_dropped() {
    let log = WatchedLog::start(10);
    let witness = Folder::watching(&log);
    witness.look(0);
    // The log shows 200, but by the time its tiles are asked for it has 300 and no partial tile 0 any more.
    let mut behaviour = log.behaviour();
    behaviour.tree.grow(200, "", u64::MAX);
    let shown = behaviour.checkpoint().to_string();
    behaviour.tree.grow(300, "", u64::MAX);
    behaviour.lies =
        vec![("/log/checkpoint", Lie::Body(shown.into_bytes())), ("/log/tile/0/000.p", Lie::Status(404, Vec::new()))];
    drop(behaviour);
    witness.look(0);
    assert_eq!(witness.last_posted().checkpoint().size(), 200);
}

#[test]
fn a_cosignature_is_handed_over_until_the_log_shows_or_refuses_it() {
    let log = WatchedLog::start(5);
    let witness = Folder::watching(&log);
    log.behaviour().post_status = 503;
    let said = witness.look(2);
    assert!(said.contains("503"), "{said}");
    log.behaviour().post_status = 204;
    witness.look(0);
    witness.look(0); // it does not show it
    assert_eq!(witness.n_posted(), 3);
    let posted = log.behaviour().posted.clone();
    assert!(posted.iter().all(|note| *note == posted[0]), "one checkpoint has one cosignature: {posted:?}");
    log.behaviour().shows_cosignatures = true;
    witness.look(0);
    assert_eq!(witness.n_posted(), 3, "the log shows it");

    log.behaviour().tree.grow(6, "", u64::MAX);
    log.behaviour().post_status = 403;
    log.behaviour().shows_cosignatures = false;
    let running = witness.start(&[]);
    let n_looks = || log.behaviour().requests.iter().filter(|line| line.contains("checkpoint")).count();
    let before = n_looks();
    running.wait_for(|_| n_looks() >= before + 3);
    assert_eq!(witness.n_posted(), 4, "a refused cosignature is not sent again");
    assert!(running.log().contains("the log refuses the cosignature"));

    log.behaviour().tree.grow(7, "", u64::MAX);
    running.wait_for(|_| witness.n_posted() == 5);
}

#[test]
fn nothing_is_posted_if_others_ask_the_witness_instead() {
    let log = WatchedLog::start(5);
    let witness = Folder::watching(&log);
    let output = witness.command(&["--once", "--no-post"]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(witness.n_posted(), 0);
    assert!(witness.status(0).contains("— witness.example/1 "));
}

/// The alarm as it was logged: its kind and the two notes.
fn alarm_in(log: &str) -> (String, String, String) {
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let alarm = lines.find(|line| line["message"].as_str().is_some_and(|message| message.starts_with("ALARM")));
    let alarm = alarm.unwrap_or_else(|| panic!("no alarm: {log}"));
    let text = |name: &str| alarm[name].as_str().expect("a text").to_owned();
    (text("breach"), text("ours"), text("theirs"))
}

#[test]
fn a_log_that_rolls_back_or_forks_is_caught_for_ever_and_both_notes_are_kept() {
    let honest = u64::MAX;
    // Size before; then size, first other leaf, and what that is.
    let cases = [
        (300, 299, honest, "rollback"),
        (300, 0, honest, "rollback"),
        (300, 256, 100, "rollback"),
        (300, 300, 299, "split-view"),
        (300, 300, 0, "split-view"),
        (1, 1, 0, "split-view"),
        (1, 2, 0, "split-view"),
        (255, 256, 254, "split-view"),
        (256, 257, 255, "split-view"),
        (256, 512, 0, "split-view"),
        (257, 300, 256, "split-view"),
        (300, 70_000, 299, "split-view"),
        (65_536, 70_000, 65_535, "split-view"),
        (65_537, 70_000, 12_345, "split-view"),
    ];
    for (before, after, fork, breach) in cases {
        let log = WatchedLog::start(before);
        let witness = Folder::watching(&log);
        witness.look(0);
        let ours = witness.last_posted().to_string();
        log.behaviour().tree = Tree::of(after, "other", fork);
        let theirs = log.behaviour().checkpoint().to_string();

        let said = witness.look(1);
        assert_eq!(alarm_in(&said), (breach.to_owned(), ours.clone(), theirs.clone()), "{before} to {after}");
        let status = witness.status(1);
        assert!(status.contains(&ours) && status.contains(&theirs), "{status}");
        // Where the tree goes on, its root at the size before is the contradiction.
        if after >= before {
            let root = encode_base64(Tree::of(before, "other", fork).root().as_bytes());
            assert!(status.contains(&format!("at the size cosigned before: {root}")), "{status}");
        }

        // Back to honesty: too late.
        log.behaviour().tree = Tree::of(before + 10, "", u64::MAX);
        let said = witness.look(1);
        assert_eq!(alarm_in(&said), (breach.to_owned(), ours, theirs));
        assert_eq!(witness.n_posted(), 1, "nothing was cosigned after the alarm");
        let latest: i64 = witness.state().query_row("SELECT size FROM log", [], |row| row.get(0)).unwrap();
        assert_eq!(u64::try_from(latest), Ok(before));
    }
}

#[test]
fn a_running_witness_says_so_and_goes_on_showing_what_it_vouches_for() {
    let log = WatchedLog::start(300);
    log.behaviour().lies = vec![("/log/checkpoint", Lie::Status(503, Vec::new()))];
    let witness = Folder::watching(&log);
    let running = witness.start(&[]);
    assert_eq!(running.get("/checkpoint").status, 404);
    assert_eq!(running.get("/health").expect(200).json(), json!({"status": "waiting", "size": null}));
    log.behaviour().lies.clear();
    running.wait_for(|running| running.get("/checkpoint").status == 200);
    let shown = running.get("/checkpoint");
    assert_eq!(shown.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(running.get("/health").expect(200).json(), json!({"status": "ok", "size": 300}));
    assert_eq!(client::post(running.address(), "/checkpoint", b"x").unwrap().status, 405);
    assert_eq!(running.get("/log/checkpoint").status, 404);

    log.behaviour().tree = Tree::of(400, "other", 20);
    running.wait_for(|running| running.get("/health").status == 503);
    assert_eq!(running.get("/health").json(), json!({"status": "alarm", "size": 300}));
    log.behaviour().tree = Tree::of(500, "", u64::MAX);
    running.wait_for(|running| running.log().contains("this log was caught: "));
    assert_eq!(running.get("/checkpoint").body, shown.body);
    assert_eq!(running.log().matches("ALARM").count(), 1);
    running.kill();
    let running = witness.start(&[]);
    assert_eq!((running.get("/checkpoint").body, running.get("/health").status), (shown.body, 503));
    running.wait_for(|running| running.log().contains("ALARM"));
}

#[test]
fn what_is_not_the_logs_own_word_is_refused_and_not_held_against_it() {
    let log = WatchedLog::start(300);
    let witness = Folder::watching(&log);
    witness.look(0);
    log.behaviour().tree.grow(600, "", u64::MAX);
    let elsewhere = WatchedLog::start(600);
    let honest = log.behaviour().checkpoint();
    let text = honest.to_string();
    let stranger = SecretKey::from_seed(&[3; 32]).unwrap();
    let by = |secret: &SecretKey, origin: &str| {
        let other = WatchedLog::start(600);
        let mut behaviour = other.behaviour();
        behaviour.secret = secret.clone();
        behaviour.origin = origin.to_owned();
        behaviour.checkpoint().to_string()
    };
    let own = log.behaviour().secret.clone();
    let extended = text.replacen("\n\n", "\nextension\n\n", 1);
    let body = |body: &str| Lie::Body(body.as_bytes().to_vec());
    let on_checkpoint = [
        body(""),
        body("garbage"),
        body(&text[..text.len() - 1]),
        body(&format!("{text}\n")),
        body(&text.replace("\n600\n", "\n601\n")),
        body(&text.replace("\n600\n", "\n0600\n")),
        body(&text.replace("\n600\n", "\n299\n")), // a rollback that the log did not sign
        body(&extended),
        body(&by(&stranger, ORIGIN)),
        body(&by(&own, "openexec.example/other")),
        body(&by(&stranger, "openexec.example/other")),
        Lie::Body(vec![0xff; 100]),
        Lie::Body(vec![b'x'; 200_000]),
        Lie::Endless,
        Lie::Cut,
        Lie::LastByteOff,
        Lie::Status(404, Vec::new()),
        Lie::Status(500, Vec::new()),
        Lie::Status(503, text.clone().into_bytes()),
        Lie::Status(201, text.clone().into_bytes()),
        Lie::Redirect(format!("{}/log/checkpoint", elsewhere.url())),
    ];
    let forged = vec![7; 44 * 32];
    let on_tiles = [
        Lie::Body(Vec::new()),
        Lie::Body(forged.clone()),
        Lie::Body(forged[..43 * 32].to_vec()),
        Lie::Body(vec![7; 256 * 32]),
        Lie::Body(vec![7; 257 * 32]),
        Lie::Body(vec![7; 256 * 32 - 1]),
        Lie::LastByteOff,
        Lie::Endless,
        Lie::Cut,
        Lie::Status(404, Vec::new()),
        Lie::Status(500, Vec::new()),
        Lie::Redirect(elsewhere.url()),
    ];
    let on_checkpoint = on_checkpoint.into_iter().map(|lie| ("/log/checkpoint", lie));
    let on_tiles = on_tiles.into_iter().flat_map(|lie| [("/log/tile/", lie.clone()), ("/log/tile/0/001", lie)]);
    for lie in on_checkpoint.chain(on_tiles) {
        log.behaviour().lies = vec![lie.clone()];
        let output = witness.once();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{lie:?}: {said}");
        assert!(!said.contains("ALARM") && said.len() < 5_000, "{lie:?}: {said}");
    }
    assert_eq!(elsewhere.behaviour().requests.len(), 0, "redirects are not followed");
    assert_eq!(witness.n_posted(), 1);
    witness.status(0);
    log.behaviour().lies.clear();
    witness.look(0);
    assert_eq!(witness.last_posted().checkpoint(), honest.checkpoint());
}

#[test]
fn a_log_that_is_down_or_silent_is_asked_again() {
    let log = WatchedLog::start(3);
    log.behaviour().lies = vec![("/log/checkpoint", Lie::Silence)];
    let witness = Folder::watching(&log);
    let running = witness.start(&[]);
    let started = Instant::now();
    running.wait_for(|running| running.log().contains("the log could not be looked at"));
    assert!(started.elapsed() >= Duration::from_secs(9), "it waits before it gives up");
    log.behaviour().lies.clear();
    running.wait_for(|_| witness.n_posted() > 0);
    running.kill();

    // Nobody listens there.
    let nowhere = Folder::watching(&log.at("127.0.0.1:1"));
    let said = nowhere.look(2);
    assert!(said.contains("no answer") && !said.contains("ALARM"), "{said}");
}

#[test]
fn a_witness_that_is_killed_before_it_hands_a_cosignature_over_hands_the_same_one_over_later() {
    let log = WatchedLog::start(300);
    let witness = Folder::watching(&log);
    log.behaviour().lies = vec![("/log/cosignatures", Lie::Silence)];
    let running = witness.start(&[]);
    running.wait_for(|_| witness.n_posted() == 1);
    let shown = running.get("/checkpoint").expect(200).text();
    running.kill();

    log.behaviour().lies.clear();
    let running = witness.start(&[]);
    assert_eq!(running.get("/checkpoint").expect(200).text(), shown, "shown from memory");
    running.wait_for(|_| witness.n_posted() == 2);
    assert_eq!(log.behaviour().posted, [shown.clone(), shown]);
    running.kill();

    // While it was away, the log forked at that very size.
    log.behaviour().tree = Tree::of(300, "other", 299);
    witness.look(1);
}

#[test]
fn no_two_cosignatures_contradict_each_other_however_often_the_witness_is_killed() {
    let log = WatchedLog::start(1);
    let witness = Folder::watching(&log);
    let mut size = 1;
    let mut pause = 1;
    for _ in 0..40 {
        let running = witness.start(&[]);
        pause = pause * 7 % 61; // ms: before, within and after the first look
        sleep(Duration::from_millis(pause));
        running.kill();
        size += 3;
        log.behaviour().tree.grow(size, "", u64::MAX);
    }
    witness.look(0);
    let key = witness.witness_key();
    let posted = log.behaviour().posted.clone();
    let notes: Vec<_> = posted.iter().map(|note| SignedCheckpoint::parse(note).unwrap()).collect();
    assert!(notes.len() > 1, "some looks went through");
    for pair in notes.windows(2) {
        let (one, two) = (&pair[0], &pair[1]);
        assert!(one.checkpoint().size() <= two.checkpoint().size());
        assert!(one.checkpoint().size() < two.checkpoint().size() || one == two, "one size, one cosignature");
        assert!(one.verify_witness(&key).unwrap() <= two.verify_witness(&key).unwrap());
    }
    for note in notes {
        assert_eq!(note.checkpoint().root(), &Tree::of(note.checkpoint().size(), "", u64::MAX).root());
    }
}

#[test]
fn what_cannot_be_remembered_is_neither_shown_nor_handed_over_and_an_alarm_waits_until_it_can_be() {
    let log = WatchedLog::start(300);
    let witness = Folder::watching(&log);
    let running = witness.start(&[]);
    running.wait_for(|_| witness.n_posted() > 0);
    let shown = running.get("/checkpoint").expect(200).text();

    let state = witness.state();
    state.execute_batch("BEGIN IMMEDIATE").unwrap(); // nobody else writes now
    log.behaviour().tree.grow(400, "", u64::MAX);
    let n_failures = |running: &Running| running.log().matches("nothing is cosigned\"").count();
    running.wait_for(|running| n_failures(running) == 1);
    assert!(running.log().contains("cannot use the state"), "{}", running.log());
    assert_eq!(running.get("/checkpoint").text(), shown);
    assert!(log.behaviour().posted.iter().all(|note| *note == shown));

    log.behaviour().tree = Tree::of(500, "other", 299);
    running.wait_for(|running| running.log().contains("ALARM"));
    let before = n_failures(&running);
    running.wait_for(|running| n_failures(running) > before);
    assert_eq!(running.get("/health").status, 503);
    alarm_in(&running.log()); // said, although it is not written down
    log.behaviour().tree = Tree::of(500, "", u64::MAX);
    state.execute_batch("ROLLBACK").unwrap();
    running.wait_for(|running| running.log().contains("this log was caught: "));
    assert_eq!(running.get("/checkpoint").text(), shown);
    running.kill();
    assert!(witness.status(1).contains("ALARM split-view"));
}

#[test]
fn one_state_has_one_witness() {
    let log = WatchedLog::start(3);
    let witness = Folder::watching(&log);
    let running = witness.start(&[]);
    running.wait_for(|_| witness.n_posted() > 0);
    let said = witness.look(2);
    assert!(said.contains("another witness is running"), "{said}");
    witness.status(0); // looking is allowed
    running.stop();
    witness.look(0);
}

#[test]
fn a_state_that_this_witness_did_not_write_is_refused_and_nothing_is_cosigned() {
    type Harm = Box<dyn Fn(&Folder)>;
    let sql = |sql: &'static str| -> Harm { Box::new(move |witness| witness.state().execute_batch(sql).unwrap()) };
    let write = |bytes: Vec<u8>| -> Harm {
        Box::new(move |witness| {
            for name in ["witness.db", "witness.db-wal", "witness.db-shm"] {
                let _ = fs::remove_file(witness.path(name));
            }
            fs::write(witness.path("witness.db"), &bytes).unwrap();
        })
    };
    let overwrite: Harm = Box::new(|witness| {
        witness.state().execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode=DELETE;").unwrap();
        let path = witness.path("witness.db");
        let mut bytes = fs::read(&path).unwrap();
        let n = bytes.len();
        bytes[4096..n].fill(0x5a);
        fs::write(&path, bytes).unwrap();
    });
    let cases: [(&str, Harm); 13] = [
        ("damaged", write(b"this is no database, but it is long enough to be looked at as one".repeat(100))),
        ("damaged", overwrite),
        ("damaged", sql("UPDATE log SET size = 299")),
        ("damaged", sql("UPDATE log SET root = zeroblob(32)")),
        ("damaged", sql("UPDATE log SET note = 'x'")),
        (
            "damaged",
            sql(
                "UPDATE log SET size = 301, note = replace(note, char(10) || '300' || char(10), char(10) || '301' || char(10))",
            ),
        ),
        ("other keys", sql("UPDATE log SET log_key = 'x'")),
        ("other keys", sql("UPDATE log SET note = replace(note, 'witness.example/1', 'witness.example/2')")),
        ("schema version 2", sql("PRAGMA user_version = 2")),
        ("another program", sql("PRAGMA application_id = 7")),
        ("another program", sql("PRAGMA application_id = 0")),
        ("cannot be read", Box::new(|witness| fs::remove_file(witness.path("witness.pem")).unwrap())),
        (
            "other keys",
            Box::new(|witness| {
                fs::remove_file(witness.path("witness.pem")).unwrap();
                fs::remove_file(witness.path("witness.pem.pub")).unwrap();
                witness.witness_key();
            }),
        ),
    ];
    for (number, (why, harm)) in cases.into_iter().enumerate() {
        let log = WatchedLog::start(300);
        let witness = Folder::watching(&log);
        witness.look(0);
        log.behaviour().tree.grow(400, "", u64::MAX);
        harm(&witness);
        let said = witness.look(2);
        let is_lost_key = why == "cannot be read" && said.contains("has cosigned before");
        assert!(said.contains(why) || is_lost_key, "case {number}: {said}");
        assert_eq!(witness.n_posted(), 1, "case {number}");
    }
}

#[test]
fn a_ledger_is_no_state_and_is_left_as_it_is() {
    let log = WatchedLog::start(1);
    let witness = Folder::watching(&log);
    witness.witness_key();
    let made = Command::new(binary())
        .args(["execute", "echo", "{}", "--db-url", "sqlite:///openexec.db"])
        .current_dir(witness.folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let before = fs::read(witness.path("openexec.db")).unwrap();
    let output = witness.command(&["--once", "--state", "openexec.db"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("database of another program"), "{said}");
    assert_eq!(fs::read(witness.path("openexec.db")).unwrap(), before);
}

#[test]
fn a_clock_that_was_set_back_does_not_make_a_larger_checkpoint_look_older() {
    let log = WatchedLog::start(300);
    let witness = Folder::watching(&log);
    witness.look(0);
    // The last cosignature is from an hour ahead of the clock: as if that had been set back by an hour since.
    let secret = witness.secret();
    let key = WitnessKey::new(KeyName::parse(NAME).unwrap(), secret);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let honest = log.behaviour().checkpoint();
    let ahead = honest.clone().with(key.cosign(honest.checkpoint(), now + 3600)).unwrap().to_string();
    witness.state().execute("UPDATE log SET note = ?1", [ahead]).unwrap();
    log.behaviour().tree.grow(301, "", u64::MAX);
    let said = witness.look(0);
    assert!(said.contains("the clock was set back"), "{said}");
    assert_eq!(witness.last_posted().verify_witness(key.verifier_key()), Ok(now + 3600));
}

#[test]
fn the_witnesss_key_is_made_once_and_known_before_anything_runs() {
    let log = WatchedLog::start(1);
    let witness = Folder::watching(&log);
    let key = witness.witness_key();
    assert_eq!(key, witness.witness_key());
    assert_eq!(fs::metadata(witness.path("witness.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(key.name().as_str(), NAME);
    assert_eq!(witness.secret().public(), key.key());
    let said = witness.look(0);
    assert!(said.contains(&key.to_string()), "{said}");
    witness.last_posted();

    fs::set_permissions(witness.path("witness.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    let said = witness.look(2);
    assert!(said.contains("others than its owner can read"), "{said}");
    fs::set_permissions(witness.path("witness.pem"), fs::Permissions::from_mode(0o600)).unwrap();

    let log_key = log.behaviour().log_key().to_string();
    let own = key.to_string();
    for (arguments, why) in [
        (["--log-url", "log.example", "--log-key", &log_key, "--name", NAME], "a log's URL is"),
        (["--log-url", "http://log.example", "--log-key", "x", "--name", NAME], "--log-key: a verifier key is"),
        (["--log-url", "http://log.example", "--log-key", &own, "--name", NAME], "this is a witness's key"),
        (["--log-url", "http://log.example", "--log-key", &log_key, "--name", "two words"], "--name: a key's name"),
    ] {
        let output = witness.bare(&["--key", "witness.pem", "--once"]).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(why), "{said}");
    }
    // A log that witnesses itself would prove nothing.
    fs::write(witness.path("log.pem"), log.behaviour().secret.to_pem().unwrap().as_ref()).unwrap();
    fs::set_permissions(witness.path("log.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let url = log.url();
    let given = ["--log-url", &url, "--log-key", &log_key, "--key", "log.pem", "--name", NAME, "--once"];
    let output = witness.bare(&given).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("must not be the log it watches"), "{said}");
}

#[test]
fn every_setting_of_a_witness_is_also_a_variable() {
    let log = WatchedLog::start(9);
    let witness = Folder::watching(&log);
    let log_key = log.behaviour().log_key().to_string();
    let output = witness
        .bare(&[])
        .env("OPENEXEC_WITNESS_LOG_URL", log.url())
        .env("OPENEXEC_WITNESS_LOG_KEY", log_key)
        .env("OPENEXEC_WITNESS_KEY", "witness.pem")
        .env("OPENEXEC_WITNESS_NAME", NAME)
        .env("OPENEXEC_WITNESS_STATE", "elsewhere.db")
        .env("OPENEXEC_WITNESS_ONCE", "true")
        .env("OPENEXEC_WITNESS_NO_POST", "true")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(witness.n_posted(), 0);
    assert!(witness.path("elsewhere.db").exists() && !witness.path("witness.db").exists());
    // The subcommands read theirs, and are not disturbed by the others.
    for command in ["key", "status"] {
        let output = witness
            .bare(&[command])
            .env("OPENEXEC_WITNESS_KEY", "witness.pem")
            .env("OPENEXEC_WITNESS_NAME", NAME)
            .env("OPENEXEC_WITNESS_STATE", "elsewhere.db")
            .env("OPENEXEC_WITNESS_LOG_URL", log.url())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Serves a folder by TLS; prints its port.
const TLS_SERVER: &str = r#"
import http.server, ssl
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("tls.pem", "tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
open("port.new", "w").write(str(server.server_port))
import os; os.rename("port.new", "port")
server.serve_forever()
"#;

#[test]
fn a_log_behind_tls_must_have_a_certificate_for_its_name_by_an_authority_that_is_trusted() {
    let log = WatchedLog::start(300);
    let witness = Folder::watching(&log);
    let folder = witness.folder.path();
    fs::create_dir(folder.join("log")).unwrap();
    fs::write(folder.join("log/checkpoint"), log.behaviour().checkpoint().to_string()).unwrap();
    let extensions = "basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost\n";
    fs::write(folder.join("extensions"), extensions).unwrap();
    let run = |line: &str| drop(openssl(folder, &line.split(' ').collect::<Vec<_>>()));
    run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem");
    run("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=log -keyout tls.key -out tls.csr");
    run("x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out tls.pem");
    let child = Command::new("python3").args(["-c", TLS_SERVER]).current_dir(folder).spawn().unwrap();
    let server = Running { child, log_file: folder.join("extensions") };
    server.wait_for(|_| folder.join("port").exists());
    let port = fs::read_to_string(folder.join("port")).unwrap();

    let log_key = log.behaviour().log_key().to_string();
    let look = |host: &str, authority: &[&str]| {
        let url = format!("https://{host}:{port}");
        let given =
            ["--log-url", &url, "--log-key", &log_key, "--key", "witness.pem", "--name", NAME, "--once", "--no-post"];
        let output = witness.bare(&given).args(authority).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (host, authority) in [("localhost", &[][..]), ("127.0.0.1", &["--log-ca", "ca.pem"])] {
        let (code, said) = look(host, authority);
        assert!(code == Some(2) && said.contains("certificate"), "{host}: {said}");
    }
    let (code, said) = look("localhost", &["--log-ca", "ca.pem"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(witness.status(0).contains("cosigned up to 300 receipts"));
}

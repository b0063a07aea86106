//! The host dies at any moment, or is told to stop. What was answered stays; what was not is completed; nothing differs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, SystemTime};

use openexec_core::digest::Digest;
use openexec_core::registry::Limits;
use openexec_ledger::sqlite::SqliteLedger;
use openexec_ledger::{Claim, Ledger};
use openexec_tests::client::{self, Answer};
use openexec_tests::facts;
use openexec_tests::fixtures::{component, write_registry};
use openexec_tests::host::{Host, Setup};
use rustix::process::Signal;
use serde_json::{Value, json};

const N_ROUNDS: u32 = 50;
const N_CLIENTS: u64 = 4;

/// Earlier nonces that are asked for again after each restart, besides those of the round that just ended.
const N_SAMPLED: u64 = 20;

/// SplitMix64: every random choice follows from one seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A status and a body.
type Heard = (u16, Vec<u8>);

/// What all clients of all rounds know of the ledger.
#[derive(Default)]
struct Known {
    /// Every answer by its nonce; `None` while nobody has heard one.
    answers: Mutex<BTreeMap<u64, Option<Heard>>>,
    n_nonces: AtomicU64,
    n_replays: AtomicU64,
}

impl Known {
    fn sent(&self, nonce: u64) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).entry(nonce).or_default();
    }

    /// Keeps the first answer and holds every later one against it.
    fn heard(&self, nonce: u64, answer: Answer) {
        assert!(matches!(answer.status, 200 | 422), "nonce {nonce}: {}", answer.text());
        if answer.is_replay() {
            self.n_replays.fetch_add(1, Ordering::Relaxed);
        }
        let heard = (answer.status, answer.body);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let first = answers.entry(nonce).or_default().get_or_insert_with(|| heard.clone());
        assert_eq!(*first, heard, "nonce {nonce} has two answers");
    }

    fn answer(&self, nonce: u64) -> Option<Heard> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)[&nonce].clone()
    }
}

/// The one request that each nonce stands for. One in four is a transfer, one in sixteen is refused by its handler.
fn request(nonce: u64) -> Vec<u8> {
    let (action, payload) = match nonce % 4 {
        0 | 1 => ("echo", json!({"nonce": nonce, "text": "x".repeat((nonce % 700) as usize)})),
        2 => ("add", json!({"a": nonce, "b": 0.5})),
        _ => {
            let to = if nonce % 16 == 15 { "acct:from" } else { "acct:to" };
            ("payments.transfer", json!({"amount_minor": nonce + 1, "currency": "EUR", "from": "acct:from", "to": to}))
        }
    };
    json!({"action": action, "payload": payload, "nonce": format!("nonce-{nonce}")}).to_string().into_bytes()
}

/// Posts on the connection that is left open, or on a new one; leaves it open if it is to be kept.
fn post(address: SocketAddr, kept: &mut Option<TcpStream>, body: &[u8], keep: bool) -> io::Result<Answer> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => client::connect(address)?,
    };
    let head = format!(
        "POST /execute HTTP/1.1\r\nHost: test\r\nConnection: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        if keep { "keep-alive" } else { "close" },
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let answer = client::read_answer(&mut stream)?;
    if keep {
        *kept = Some(stream);
    }
    Ok(answer)
}

/// Posts new nonces, and sometimes old ones, until the host is gone.
fn load(address: SocketAddr, known: &Known, mut random: Random) {
    let mut connection = None;
    loop {
        let n_nonces = known.n_nonces.load(Ordering::Relaxed);
        let nonce = match random.below(4) {
            0 if n_nonces > 0 => random.below(n_nonces),
            _ => known.n_nonces.fetch_add(1, Ordering::Relaxed),
        };
        known.sent(nonce);
        match post(address, &mut connection, &request(nonce), random.below(8) > 0) {
            Ok(answer) => known.heard(nonce, answer),
            Err(_) => return, // the host is gone, and whether it got this call is its secret
        }
    }
}

#[test]
fn killed_at_fifty_random_moments_the_host_keeps_every_answer_it_gave() {
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut random = Random(seed);
    let known = Known::default();
    let setup = Setup::new();
    let mut host = setup.start();
    for _ in 0..N_ROUNDS {
        let n_before = known.n_nonces.load(Ordering::Relaxed);
        thread::scope(|scope| {
            for _ in 0..N_CLIENTS {
                let (address, random, known) = (host.address, Random(random.next()), &known);
                scope.spawn(move || load(address, known, random));
            }
            sleep(Duration::from_millis(5 + random.below(116)));
            host.kill();
        });
        host = setup.start();
        assert_eq!(setup.stats()["reserved"], 0, "a start completes what was left behind");
        let n_nonces = known.n_nonces.load(Ordering::Relaxed);
        let sample = (0..N_SAMPLED.min(n_before)).map(|_| random.below(n_before)).collect::<Vec<_>>();
        everything_is_there(&host, &known, sample.into_iter().chain(n_before..n_nonces));
    }
    let n_nonces = known.n_nonces.load(Ordering::Relaxed);
    everything_is_there(&host, &known, 0..n_nonces);
    let stats = setup.stats();
    let n_kept = stats["succeeded"].as_u64().unwrap() + stats["failed"].as_u64().unwrap();
    assert_eq!(n_kept, n_nonces, "one execution for each nonce: {stats}");
    assert!(n_nonces > u64::from(N_ROUNDS) && known.n_replays.load(Ordering::Relaxed) > 0, "there was load");
    assert!(host.stop().success());
}

/// What was answered is answered again; what was not is answered now, and then stays the same.
fn everything_is_there(host: &Host, known: &Known, nonces: impl Iterator<Item = u64>) {
    let mut connection = None;
    for nonce in nonces {
        let was_answered = known.answer(nonce).is_some();
        for nth in 0..2 {
            let answer = post(host.address, &mut connection, &request(nonce), true).unwrap();
            assert!(answer.is_replay() || !was_answered && nth == 0, "nonce {nonce} ran again");
            known.heard(nonce, answer);
            if was_answered {
                break;
            }
        }
    }
}

#[test]
fn told_to_stop_the_host_finishes_what_it_began_and_begins_nothing_new() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("endless-loop", "fuel = 100_000_000_000\ndeadline_ms = 1_000")]);
    let setup = setup.with(&["--registry", registry.to_str().unwrap()]);
    let mut host = setup.start();
    let address = host.address;
    let calls: Vec<_> = (0..4)
        .map(|i| thread::spawn(move || client::execute(address, "endless-loop", &json!({}), &i.to_string())))
        .collect();
    while setup.stats()["reserved"] != 4 {
        sleep(Duration::from_millis(5));
    }
    host.signal(Signal::TERM);
    while TcpStream::connect(address).is_ok() {
        sleep(Duration::from_millis(5));
    }
    for call in calls {
        let answer = call.join().unwrap().unwrap().expect(500);
        assert_eq!((answer.code().as_str(), &answer.json()["fault"]), ("handler-faulted", &json!("deadline")));
    }
    assert_eq!(host.wait().code(), Some(0));
    let stats = setup.stats();
    assert_eq!((&stats["reserved"], &stats["faulted"]), (&json!(0), &json!(4)));
}

#[test]
fn told_to_stop_without_patience_the_host_leaves_reservations_that_the_next_start_completes() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("endless-loop", "fuel = 100_000_000_000\ndeadline_ms = 3_000")]);
    let setup = setup.with(&["--registry", registry.to_str().unwrap()]);
    let mut host = setup.clone().with(&["--shutdown-grace-ms", "1"]).start();
    let address = host.address;
    let call = thread::spawn(move || client::execute(address, "endless-loop", &json!({}), "n"));
    while setup.stats()["reserved"] != 1 {
        sleep(Duration::from_millis(5));
    }
    host.signal(Signal::TERM);
    assert_eq!(host.wait().code(), Some(1), "not everything finished");
    assert!(call.join().unwrap().is_err(), "nobody was answered");
    assert_eq!(setup.stats()["reserved"], 1);
    let host = setup.start();
    assert_eq!((&setup.stats()["reserved"], &setup.stats()["faulted"]), (&json!(0), &json!(1)));
    assert!(host.execute("endless-loop", &json!({}), "n").expect(500).is_replay());
}

/// Reserves as a host would that died right afterwards.
fn leave_reservation(ledger: &Path, action: &str, payload: &Value, nonce: &str, component: Digest, limits: Limits) {
    let body = json!({"action": action, "payload": payload, "nonce": nonce});
    let reserved = facts::reserved("demo", body.to_string().as_bytes(), component, limits, 1_600_000_000_000);
    let ledger = SqliteLedger::open(ledger).unwrap();
    assert!(matches!(ledger.reserve(reserved).wait().unwrap(), Claim::Fresh(_)));
}

#[test]
fn a_reservation_of_a_dead_host_is_completed_before_the_next_one_listens() {
    let setup = Setup::new().with(&["--retention-days", "forever"]);
    let transfers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../handlers/components/payments.transfer.wasm");
    let component = Digest::of(&std::fs::read(transfers).unwrap());
    let limits = Limits { fuel: 5_000_000, ..Limits::default() };
    let payload = |amount: u64| json!({"amount_minor": amount, "currency": "EUR", "from": "acct:a", "to": "acct:b"});
    leave_reservation(&setup.ledger(), "payments.transfer", &payload(7), "done", component, limits);
    leave_reservation(&setup.ledger(), "payments.transfer", &payload(0), "refused", component, limits);
    let host = setup.start();
    let log = host.log();
    let at = |message: &str| log.find(message).unwrap_or_else(|| panic!("'{message}' is missing: {log}"));
    assert!(at("recovered a reservation") < at("completed reservations") && at("completed") < at("listening"), "{log}");
    assert_eq!((&setup.stats()["succeeded"], &setup.stats()["failed"]), (&json!(1), &json!(1)));
    let done = host.execute("payments.transfer", &payload(7), "done").expect(200);
    assert!(done.is_replay());
    assert_eq!(done.json()["result"]["requested_at"], 1_600_000_000_000_u64, "the moment of the reservation");
    assert_eq!(done.json()["effects"][0]["body"]["amount"], "0.07");
    let refused = host.execute("payments.transfer", &payload(0), "refused").expect(422);
    assert!(refused.is_replay());
    assert_eq!(refused.code(), "handler-rejected");
}

#[test]
fn a_reservation_that_cannot_run_as_it_was_admitted_is_interrupted_and_says_so_for_ever() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("well-behaved", "fuel = 1_000_000")]);
    let setup = setup.with(&["--registry", registry.to_str().unwrap(), "--retention-days", "forever"]);
    let pinned = Digest::of(&component("well-behaved"));
    let limits = Limits { fuel: 1_000_000, ..Limits::default() };
    let wider = Limits { fuel: 1_000_001, ..limits };
    leave_reservation(&setup.ledger(), "well-behaved", &json!({}), "as pinned", pinned, limits);
    leave_reservation(&setup.ledger(), "well-behaved", &json!({}), "other code", Digest::of(b"gone"), limits);
    leave_reservation(&setup.ledger(), "well-behaved", &json!({}), "wider limits", pinned, wider);
    leave_reservation(&setup.ledger(), "gone", &json!({}), "no such action", pinned, limits);
    for _ in 0..2 {
        let host = setup.start();
        let stats = setup.stats();
        assert_eq!((&stats["succeeded"], &stats["interrupted"]), (&json!(1), &json!(3)), "{stats}");
        host.execute("well-behaved", &json!({}), "as pinned").expect(200);
        for nonce in ["other code", "wider limits"] {
            let answer = host.execute("well-behaved", &json!({}), nonce).expect(500);
            assert_eq!((answer.code().as_str(), answer.is_replay()), ("execution-interrupted", true));
            assert_eq!(
                (&answer.json()["outcome"], &answer.json()["retryable"]),
                (&json!("interrupted"), &json!(false))
            );
        }
        assert!(host.stop().success());
    }
}

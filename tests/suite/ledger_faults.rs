//! The ledger's file fails in every way that files fail. The host refuses, forgets nothing, and goes on afterwards.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::{self, sleep};
use std::time::Duration;

use openexec_tests::client::{self, Answer};
use openexec_tests::fixtures::write_registry;
use openexec_tests::host::{Host, Refused, Setup};
use rusqlite::Connection;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

/// Another program's exclusive lock on the ledger, until it is dropped.
struct Lock(Connection);

impl Lock {
    fn take(ledger: &Path) -> Self {
        let connection = Connection::open(ledger).unwrap();
        connection.busy_timeout(Duration::from_secs(60)).unwrap();
        connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
        Self(connection)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.execute_batch("ROLLBACK");
    }
}

#[test]
fn while_another_program_keeps_the_file_locked_nothing_runs_and_afterwards_everything_does() {
    let host = Host::start();
    let before = host.execute("echo", &json!({"n": 1}), "before").expect(200);
    let lock = Lock::take(&host.setup.ledger());
    let address = host.address;
    let calls: Vec<_> =
        (0..3).map(|i| thread::spawn(move || client::execute(address, "echo", &json!({}), &i.to_string()))).collect();
    for call in calls {
        let answer = call.join().unwrap().unwrap().expect(503);
        assert_eq!((answer.code(), answer.header("retry-after")), ("ledger-unavailable".to_owned(), Some("5")));
        assert!(!answer.text().contains("locked"), "the cause is for the operator's log: {}", answer.text());
    }
    // The log as well, if the lock came between a seal and its checkpoint.
    assert_eq!(host.get("/ready").expect(503).json()["failing"][0], "ledger");
    host.get("/health").expect(200);
    drop(lock);
    assert_eq!(host.setup.stats()["reserved"], 0, "nothing was reserved, so nothing ran");
    for i in 0..3 {
        let answer = host.execute("echo", &json!({}), &i.to_string()).expect(200);
        assert!(!answer.is_replay(), "it runs now, for the first time");
    }
    becomes_ready(&host);
    assert_eq!(host.execute("echo", &json!({"n": 1}), "before").body, before.body);
}

#[test]
fn a_short_lock_only_delays() {
    let host = Host::start();
    let lock = Lock::take(&host.setup.ledger());
    let address = host.address;
    let call = thread::spawn(move || client::execute(address, "add", &json!({"a": 1}), "n"));
    sleep(Duration::from_millis(500));
    drop(lock);
    let answer = call.join().unwrap().unwrap().expect(200);
    assert!(!answer.is_replay());
}

#[test]
fn an_outcome_that_could_not_be_kept_is_not_answered_and_the_next_call_completes_it() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("endless-loop", "fuel = 100_000_000_000\ndeadline_ms = 2_000")]);
    let host = setup.with(&["--registry", registry.to_str().unwrap()]).start();
    let address = host.address;
    let call = thread::spawn(move || client::execute(address, "endless-loop", &json!({}), "n"));
    while host.setup.stats()["reserved"] != 1 {
        sleep(Duration::from_millis(5));
    }
    let lock = Lock::take(&host.setup.ledger()); // after the reservation, before the seal
    assert_eq!(call.join().unwrap().unwrap().expect(503).code(), "ledger-unavailable");
    drop(lock);
    assert_eq!(counts(&host.setup), json!({"reserved": 1}));
    let answer = host.execute("endless-loop", &json!({}), "n").expect(500);
    assert_eq!((answer.code().as_str(), &answer.json()["fault"]), ("handler-faulted", &json!("deadline")));
    assert_eq!(counts(&host.setup), json!({"faulted": 1}));
    let replay = host.execute("endless-loop", &json!({}), "n").expect(500);
    assert!(replay.is_replay());
    assert_eq!(replay.body, answer.body);
}

#[test]
fn a_full_disk_refuses_new_work_and_loses_nothing() {
    let host = Setup::new().wrapped(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]).start();
    let payload = |nonce: &str| match nonce.starts_with("large") {
        true => json!({"text": "x".repeat(50_000)}),
        false => json!({}),
    };
    let call = |host: &Host, nonce: &str| host.execute("echo", &payload(nonce), nonce);
    let mut kept = vec![("first".to_owned(), call(&host, "first").expect(200))];
    limit_file_size(&host, Some(1024 * 1024));
    let mut refused = Vec::new();
    // Large payloads first, then small ones into what they leave, until not even those fit.
    for prefix in ["large", "small"] {
        for nonce in (0..1_000).map(|i| format!("{prefix}-{i}")) {
            let answer = call(&host, &nonce);
            if answer.status != 200 {
                assert_eq!(answer.expect(503).code(), "ledger-unavailable");
                refused.push(nonce);
                break;
            }
            kept.push((nonce, answer));
        }
    }
    assert_eq!(refused.len(), 2, "the disk got full");
    // What did not fit may leave room for something smaller: calls go on until not even a probe fits.
    let mut n_more = 0;
    let fill = || {
        let nonce = format!("small-more-{n_more}");
        n_more += 1;
        let answer = call(&host, &nonce);
        match answer.status {
            200 => kept.push((nonce, answer)),
            _ => refused.push(nonce),
        }
        host.get("/ready")
    };
    let unready = repeat_until(fill, 503);
    let failing = unready.json()["failing"].clone();
    assert!(
        failing == json!(["ledger"]) || failing == json!(["log"]) || failing == json!(["ledger", "log"]),
        "{failing}"
    );
    host.get("/health").expect(200);
    limit_file_size(&host, None);
    becomes_ready(&host);
    for nonce in refused {
        let answer = call(&host, &nonce).expect(200);
        kept.push((nonce, answer));
    }
    let all_are_there = |host: &Host| {
        for (nonce, answer) in &kept {
            let replay = call(host, nonce).expect(200);
            assert!(replay.is_replay(), "{nonce}");
            assert_eq!(replay.body, answer.body, "{nonce}");
        }
        assert_eq!(counts(&host.setup), json!({"succeeded": kept.len()}));
    };
    all_are_there(&host);
    all_are_there(&host.kill().start());
}

#[test]
fn a_host_that_cannot_write_its_log_goes_on() {
    let setup = Setup::new().wrapped(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    let log = fs::File::create(setup.folder().join("log")).unwrap();
    let log_bytes = 4 * 1024 * 1024;
    log.set_len(log_bytes).unwrap();
    let host = setup.start();
    // The log is the largest file by far, so the limit strikes only there.
    limit_file_size(&host, Some(log_bytes));
    for i in 0..20 {
        host.execute("add", &json!({"a": i}), &i.to_string()).expect(200);
        host.execute("nothing", &json!({"a": i}), &i.to_string()).expect(400);
    }
    assert_eq!(counts(&host.setup), json!({"succeeded": 20}));
}

#[test]
fn a_ledger_that_does_not_fit_on_the_disk_is_a_refusal_to_start() {
    let setup = Setup::new().wrapped(&["sh", "-c", "trap '' XFSZ; ulimit -S -f 8; exec \"$@\"", "sh"]);
    let refused = refused(&setup);
    assert_says(&refused, &["openexec.db", "on a disk with space"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_a_refusal_to_start() {
    let setup = Setup::new().with(&["--db-url", "sqlite:///kept/openexec.db"]).wrapped(WITHOUT_PRIVILEGES);
    let folder = setup.folder().join("kept");
    fs::create_dir(&folder).unwrap();
    let _restored = ReadOnly::make(&folder);
    assert_says(&refused(&setup), &["kept/openexec.db", "must be writable"]);
}

#[test]
fn a_folder_that_can_no_longer_be_written_is_a_refusal_to_start() {
    let setup = Setup::new().with(&["--db-url", "sqlite:///kept/openexec.db"]).wrapped(WITHOUT_PRIVILEGES);
    fs::create_dir(setup.folder().join("kept")).unwrap();
    let first = answer_and_stop(setup.start());
    {
        let _restored = ReadOnly::make(&setup.folder().join("kept"));
        assert_says(&refused(&setup), &["kept/openexec.db", "must be writable"]);
    }
    assert_eq!(answer_and_stop(setup.start()).body, first.body);
}

#[test]
fn a_file_that_can_no_longer_be_written_is_a_refusal_to_start() {
    let setup = Setup::new().wrapped(WITHOUT_PRIVILEGES);
    let first = answer_and_stop(setup.start());
    {
        let _restored = ReadOnly::make(&setup.ledger());
        assert_says(&refused(&setup), &["openexec.db", "must be writable"]);
    }
    assert_eq!(answer_and_stop(setup.start()).body, first.body);
}

#[test]
fn a_file_that_is_not_a_database_is_refused_and_left_as_it_is() {
    for garbage in [b"Dear diary".to_vec(), vec![0; 4096], (0..20_000_u32).map(|i| (i * 7 % 251) as u8).collect()] {
        let setup = Setup::new();
        fs::write(setup.ledger(), &garbage).unwrap();
        assert_says(&refused(&setup), &["openexec.db", "damaged or not a SQLite database", "restore it from a backup"]);
        assert!(fs::read(setup.ledger()).unwrap() == garbage, "it was changed");
    }
}

#[test]
fn a_ledger_that_was_cut_off_is_refused_wherever_it_was_cut() {
    let setup = Setup::new();
    let host = setup.start();
    for i in 0..50 {
        host.execute("echo", &json!({"text": "x".repeat(500)}), &i.to_string()).expect(200);
    }
    assert!(host.stop().success());
    let whole = fs::read(setup.ledger()).unwrap();
    for n_bytes in [50, 100, 2_000, 4_096, whole.len() / 2, whole.len() - 4_096] {
        fs::write(setup.ledger(), &whole[..n_bytes]).unwrap();
        let refused = refused(&setup);
        assert_says(&refused, &["openexec.db", "damaged or not a SQLite database"]);
        assert!(fs::read(setup.ledger()).unwrap() == whole[..n_bytes], "{n_bytes} bytes: it was changed");
    }
    fs::write(setup.ledger(), whole).unwrap();
    let host = setup.start();
    let replay = host.execute("echo", &json!({"text": "x".repeat(500)}), "7").expect(200);
    assert!(replay.is_replay());
}

#[test]
fn a_damaged_page_fails_the_calls_that_need_it_and_no_other() {
    // Without the look for old bodies at the start, which needs the page as well, and fails whatever shares its commit.
    let setup = Setup::new().with(&["--retention-days", "forever"]);
    let host = setup.start();
    let payload = |i: u32| json!({"text": format!("marker-{i:04}-{}", "x".repeat(1_000))});
    let answers: Vec<Answer> = (0..60).map(|i| host.execute("echo", &payload(i), &i.to_string()).expect(200)).collect();
    assert!(host.stop().success());
    let bytes = fs::read(setup.ledger()).unwrap();
    fs::write(setup.ledger(), with_damaged_page(&bytes, "marker-0030-")).unwrap();
    let host = setup.start();
    assert_eq!(host.execute("echo", &payload(30), "30").expect(503).code(), "ledger-unavailable");
    for i in [0, 59] {
        assert_eq!(host.execute("echo", &payload(i), &i.to_string()).expect(200).body, answers[i as usize].body);
    }
    host.execute("echo", &payload(99), "new").expect(200);
    assert_eq!(host.execute("echo", &payload(30), "30").expect(503).code(), "ledger-unavailable");
    assert!(host.stop().success());
}

#[test]
fn a_ledger_of_another_schema_version_is_refused_and_left_as_it_is() {
    let setup = Setup::new();
    answer_and_stop(setup.start());
    Connection::open(setup.ledger()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let bytes = fs::read(setup.ledger()).unwrap();
    assert_says(&refused(&setup), &["openexec.db", "schema version 99", "run the openexec that wrote it"]);
    let stats = setup.run(&["ledger", "stats"]);
    assert_eq!(stats.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&stats.stderr).contains("schema version 99"));
    assert!(fs::read(setup.ledger()).unwrap() == bytes, "it was changed");
}

#[test]
fn the_database_of_another_program_is_refused_and_left_as_it_is() {
    let setup = Setup::new();
    let foreign = Connection::open(setup.ledger()).unwrap();
    foreign.execute_batch("CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x')").unwrap();
    foreign.close().unwrap();
    let bytes = fs::read(setup.ledger()).unwrap();
    assert_says(&refused(&setup), &["openexec.db", "database of another program", "--db-url"]);
    assert_eq!(setup.run(&["ledger", "purge", "--older-than-days", "0"]).status.code(), Some(2));
    assert!(fs::read(setup.ledger()).unwrap() == bytes, "it was changed");
}

#[test]
fn an_empty_file_becomes_a_ledger() {
    let setup = Setup::new();
    fs::write(setup.ledger(), b"").unwrap();
    let first = answer_and_stop(setup.start());
    assert_eq!(answer_and_stop(setup.start()).body, first.body);
}

#[test]
fn a_folder_in_place_of_the_file_is_a_refusal_to_start() {
    let setup = Setup::new();
    fs::create_dir(setup.ledger()).unwrap();
    assert_says(&refused(&setup), &["openexec.db"]);
}

#[test]
fn a_missing_folder_is_a_refusal_to_start() {
    let setup = Setup::new().with(&["--db-url", "sqlite:///missing/openexec.db"]);
    assert_says(&refused(&setup), &["missing/openexec.db", "does not exist: create it"]);
}

#[test]
fn a_second_host_is_refused_until_the_first_is_gone_however_it_went() {
    let setup = Setup::new();
    let first = setup.start();
    let answer = first.execute("add", &json!({"a": 1}), "n").expect(200);
    assert_says(&refused(&setup), &["another openexec is running", "openexec.db", "--db-url"]);
    let beside = setup.run(&["execute", "add", "--nonce", "n"]);
    assert_eq!(beside.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&beside.stderr).contains("another openexec is running"));
    assert_eq!(counts(&setup), json!({"succeeded": 1}), "looking is allowed");
    first.execute("add", &json!({"a": 1}), "still there").expect(200);
    first.kill();
    let second = setup.start();
    assert_eq!(second.execute("add", &json!({"a": 1}), "n").expect(200).body, answer.body);
    assert!(second.stop().success());
    assert!(setup.start().stop().success());
}

#[test]
fn a_reservation_that_cannot_be_completed_at_start_is_a_refusal_to_start() {
    let setup = Setup::new();
    let registry = write_registry(setup.folder(), &[("endless-loop", "fuel = 100_000_000_000\ndeadline_ms = 60_000")]);
    let setup = setup.with(&["--registry", registry.to_str().unwrap()]);
    let host = setup.start();
    let address = host.address;
    let call = thread::spawn(move || client::execute(address, "endless-loop", &json!({"text": "marker"}), "n"));
    while setup.stats()["reserved"] != 1 {
        sleep(Duration::from_millis(5));
    }
    host.kill();
    assert!(call.join().unwrap().is_err(), "nobody was answered");
    assert_eq!(counts(&setup), json!({"reserved": 1})); // this also folds the write-ahead log into the file
    let whole = fs::read(setup.ledger()).unwrap();
    fs::write(setup.ledger(), with_damaged_page(&whole, "marker")).unwrap();
    assert_says(&refused(&setup), &["openexec.db", "a reservation", "could not be completed", "malformed"]);
    fs::write(setup.ledger(), whole).unwrap();
    // Without that component in the registry it is interrupted, which takes no time.
    write_registry(setup.folder(), &[("well-behaved", "")]);
    let host = setup.start();
    assert_eq!(counts(&setup), json!({"interrupted": 1}));
    assert!(host.stop().success());
}

#[test]
fn a_ledger_that_stays_locked_is_a_refusal_to_start() {
    let setup = Setup::new();
    let first = answer_and_stop(setup.start());
    let lock = Lock::take(&setup.ledger());
    assert_says(&refused(&setup), &["openexec.db", "stayed locked by another program", "close it and start again"]);
    drop(lock);
    assert_eq!(answer_and_stop(setup.start()).body, first.body);
}

/// As root, permission bits mean nothing, so the host gives up the privileges that make it so. For everybody else this
/// changes nothing.
const WITHOUT_PRIVILEGES: &[&str] = &[
    "sh",
    "-c",
    "if [ \"$(id -u)\" = 0 ]; then exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"; fi; exec \"$@\"",
    "sh",
];

/// A path that nobody may write, until this is dropped.
struct ReadOnly(PathBuf, Permissions);

impl ReadOnly {
    fn make(path: &Path) -> Self {
        let before = fs::metadata(path).unwrap().permissions();
        fs::set_permissions(path, Permissions::from_mode(before.mode() & !0o222)).unwrap();
        Self(path.to_owned(), before)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        fs::set_permissions(&self.0, self.1.clone()).unwrap();
    }
}

/// No file of the host may grow beyond this: to the host it is a full disk.
fn limit_file_size(host: &Host, bytes: Option<u64>) {
    let pid = Pid::from_raw(host.pid().try_into().unwrap()).unwrap();
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

fn answer_and_stop(host: Host) -> Answer {
    let answer = host.execute("add", &json!({"a": 1, "b": 2}), "n").expect(200);
    assert!(host.stop().success());
    answer
}

#[track_caller]
fn refused(setup: &Setup) -> Refused {
    let Err(refused) = setup.try_start() else { panic!("the host started") };
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
    refused
}

#[track_caller]
fn assert_says(refused: &Refused, parts: &[&str]) {
    for part in parts {
        assert!(refused.stderr.contains(part), "'{part}' is missing: {}", refused.stderr);
    }
    assert!(!refused.stderr.contains("panicked"), "{}", refused.stderr);
}

/// The database with the page that holds `marker` turned into noise.
fn with_damaged_page(database: &[u8], marker: &str) -> Vec<u8> {
    let at = database.windows(marker.len()).position(|window| window == marker.as_bytes()).unwrap();
    let page = at / 4_096 * 4_096;
    let mut damaged = database.to_vec();
    damaged[page..page + 4_096].iter_mut().for_each(|byte| *byte ^= 0xa5);
    damaged
}

/// The counts of `ledger stats` that are not zero.
fn counts(setup: &Setup) -> Value {
    let mut stats = setup.stats();
    stats.as_object_mut().unwrap().retain(|_, n| *n != 0);
    stats
}

fn becomes_ready(host: &Host) {
    assert_eq!(repeat_until(|| host.get("/ready"), 200).json(), json!({"ready": true}));
}

/// Asks until the answer has this status: the host asks its ledger once a second at most.
#[track_caller]
fn repeat_until(mut ask: impl FnMut() -> Answer, status: u16) -> Answer {
    for _ in 0..300 {
        let answer = ask();
        if answer.status == status {
            return answer;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("it never became {status}: {:?}", ask());
}

#[test]
fn a_ledger_has_one_host_whatever_it_is_called() {
    let setup = Setup::new();
    let first = setup.start();
    std::os::unix::fs::symlink(setup.ledger(), setup.folder().join("other.db")).unwrap();
    let second = setup.clone().with(&["--db-url", "sqlite:///other.db"]);
    assert_says(&refused(&second), &["another openexec is running"]);
    assert!(first.stop().success());
}

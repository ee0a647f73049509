//! The peer example, from outside: one peer of its own cluster, and everything that is asked of it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long anything may take that is about to happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn example() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| crate::example("peer"))
}

/// A cluster of one peer, which ends with the test.
struct Peer {
    place: tempfile::TempDir,
    process: Child,
    address: String,
}

impl Peer {
    fn start() -> Peer {
        Peer::start_in(tempfile::tempdir().unwrap(), &[])
    }

    fn start_in(place: tempfile::TempDir, more: &[&str]) -> Peer {
        let mut process = Command::new(example())
            .args(["serve", "--id", "1", "--peers", "1=127.0.0.1:0", "--data", "data"])
            .args(more)
            .current_dir(place.path())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(place.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let log = || fs::read_to_string(place.path().join("log")).unwrap();
        let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}{}", log()));
        Peer { address: address.trim_end().into(), process, place }
    }

    fn call(&self, args: &[&str]) -> Called {
        self.call_with(args, b"")
    }

    /// Calls it with something on standard input.
    fn call_with(&self, args: &[&str], input: &[u8]) -> Called {
        // In front: behind a `--` of the arguments it would be none.
        let (order, rest) = args.split_first().unwrap();
        let mut process = Command::new(example())
            .args([order, "--at", self.address.as_str()])
            .args(rest)
            .current_dir(self.place.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut pipe, input) = (process.stdin.take().unwrap(), input.to_vec());
        // Whoever wants no input may be gone already.
        let feeder = thread::spawn(move || drop(pipe.write_all(&input)));
        let output = process.wait_with_output().unwrap();
        feeder.join().unwrap();
        Called::of(&output)
    }

    /// Calls it, and reads what it prints as JSON.
    fn json(&self, args: &[&str]) -> Value {
        let called = self.call(&[args, &["--json"]].concat());
        serde_json::from_slice(&called.out).unwrap_or_else(|error| panic!("{error}: {called:?}"))
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.path().join("log")).unwrap()
    }

    fn wait(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            match self.process.try_wait().unwrap() {
                Some(status) => return status.code(),
                None => assert!(began.elapsed() < PATIENCE, "it does not end:\n{}", self.log()),
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Called {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

impl std::fmt::Debug for Called {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let out = String::from_utf8_lossy(self.out.get(..200).unwrap_or(&self.out));
        write!(f, "exit code {:?}, said {out:?} and {:?}", self.code, self.err)
    }
}

impl Called {
    fn of(output: &Output) -> Called {
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        Called { code: output.status.code(), out: output.stdout.clone(), err }
    }

    /// It went well, and printed this.
    #[track_caller]
    fn said(&self, out: impl AsRef<[u8]>) {
        assert!(self.code == Some(0) && self.out == out.as_ref(), "{self:?}");
    }

    /// It did not go well, and why is on standard error.
    #[track_caller]
    fn refused(&self, code: i32, err: &str) {
        assert!(self.code == Some(code) && self.err.contains(err), "{self:?}");
    }
}

fn alone(args: &[&str]) -> Called {
    Called::of(&Command::new(example()).args(args).output().unwrap())
}

#[test]
fn keys_have_values() {
    let peer = Peer::start();
    peer.call(&["set", "colour", "red"]).said("applied\n");
    peer.call(&["get", "colour"]).said("red\n");
    peer.call(&["get", "colour", "--consistency", "local"]).said("red\n");
    assert_eq!(peer.json(&["set", "colour", "blue"]), json!({ "outcome": "applied", "answer": "red" }));
    assert_eq!(peer.json(&["get", "colour"]), json!({ "outcome": "applied", "answer": "blue" }));
    peer.call(&["append", "colour", "-ish"]).refused(2, "as a value, use '-- -");
    peer.call(&["append", "--", "colour", "-ish"]).said("8\n");
    assert_eq!(peer.json(&["delete", "colour"])["answer"], "blue-ish");
    let gone = peer.call(&["delete", "colour"]);
    gone.said("applied\n");
    assert!(gone.err.contains("there was nothing"), "{gone:?}");
    let gone = peer.call(&["get", "colour"]);
    gone.said("");
    assert!(gone.err.contains("there is no such key"), "{gone:?}");
    assert_eq!(peer.json(&["get", "colour"]), json!({ "outcome": "applied", "answer": null }));
}

#[test]
fn values_are_any_bytes() {
    let peer = Peer::start();
    peer.call(&["keys"]).said("");
    for (key, value) in [("k", "-5"), ("-1", "-0.5"), ("", "empty"), ("nothing", ""), ("zero", "0")] {
        peer.call(&["set", key, value]).said("applied\n");
        peer.call(&["get", key]).said(format!("{value}\n"));
    }
    let odd = b"\xff\x00\n";
    peer.call_with(&["set", "odd", "--value-from", "-"], odd).said("applied\n");
    peer.call(&["get", "odd"]).said(b"\xff\x00\n\n");
    assert_eq!(peer.json(&["get", "odd"])["answer"], json!({ "hex": "ff000a" }));
    fs::write(peer.place.path().join("more"), "more").unwrap();
    peer.call(&["append", "odd", "--value-from", "more"]).said("7\n");
    peer.call(&["keys"]).said("\n-1\nk\nnothing\nodd\nzero\n");
    peer.call(&["keys", "no"]).said("nothing\n");
    assert_eq!(peer.json(&["keys", "z"])["answer"], json!(["zero"]));
}

#[test]
fn a_megabyte_is_a_value_and_more_is_refused_before_it_is_sent() {
    let peer = Peer::start();
    let value: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 251) as u8).collect();
    peer.call_with(&["set", "long", "--value-from", "-"], &value).said("applied\n");
    peer.call(&["get", "long"]).said([&value[..], b"\n"].concat());
    let called = peer.call_with(&["set", "long", "--value-from", "-"], &[&value[..], &value[..]].concat());
    called.refused(1, "2097152 bytes are more than the limit of 1114112");
    let called = peer.call_with(&["set", "long", "--json", "--value-from", "-"], &[0; 1_114_110]);
    called.refused(1, "the limit of 1114112");
    let told: Value = serde_json::from_slice(&called.out).unwrap();
    assert_eq!((&told["outcome"], &told["bytes_max"]), (&json!("too_large"), &json!(1_114_112)));
    // Longer than any answer: it comes in pieces.
    for _ in 0..4 {
        peer.call_with(&["append", "long", "--value-from", "-"], &value);
    }
    let called = peer.call(&["get", "long"]);
    assert!(called.code == Some(0) && called.out.len() == (5 << 20) + 1, "{called:?}");
}

#[test]
fn cas_sets_what_it_finds_as_expected() {
    let peer = Peer::start();
    peer.call(&["cas", "lock", "mine", "yours"]).refused(1, "nothing is there");
    peer.call(&["cas", "lock", "--absent", "mine"]).said("applied\n");
    let called = peer.call(&["cas", "lock", "--absent", "yours"]);
    called.refused(1, "this is there instead");
    assert_eq!(called.out, b"mine\n");
    let swapped = json!({ "outcome": "applied", "answer": { "swapped": true } });
    assert_eq!(peer.json(&["cas", "lock", "mine", "-7"]), swapped);
    let different = json!({ "swapped": false, "present": "-7" });
    assert_eq!(peer.json(&["cas", "lock", "mine", "--delete"])["answer"], different);
    peer.call(&["cas", "lock", "-7", "--delete"]).said("applied\n");
    peer.call(&["cas", "lock", "--absent", "--delete"]).said("applied\n");
    peer.call(&["get", "lock"]).said("");
}

#[test]
fn what_is_imported_is_exported() {
    let peer = Peer::start();
    peer.call(&["export"]).said("");
    peer.call_with(&["import", "-"], b"").said("");
    // 2,500 lines, some empty, one that is none, one long, and the last without its newline.
    let mut text: Vec<u8> =
        (0..2_499).flat_map(|line| format!("{}\n", "x".repeat(line % 7)).into_bytes()).collect();
    text.extend_from_slice(b"\xff\xfe\x00");
    text.extend(vec![b'y'; 600_000]);
    fs::write(peer.place.path().join("text"), &text).unwrap();
    let imported = peer.json(&["import", "text"]);
    assert_eq!((&imported["outcome"], &imported["answer"]["lines"]), (&json!("applied"), &json!(2_500)));
    assert_eq!(imported["answer"]["bytes"], text.len());
    peer.call(&["export"]).said(&text);
    peer.call(&["export", "--consistency", "local"]).said(&text);
    peer.call(&["keys"]).said("lines/00000000\nlines/00000001\nlines/00000002\n");
    assert_eq!(
        peer.call(&["get", "lines/00000001"]).out.iter().filter(|&&byte| byte == b'\n').count(),
        1_001
    );
    // The same session again: all of it is there already.
    let session = imported["answer"]["session"].as_str().unwrap();
    let again = peer.json(&["import", "text", "--session", session]);
    assert_eq!(again["answer"]["resumed_at"], 2_500);
    peer.call(&["export"]).said(&text);
    let shorter = peer.call_with(&["import", "-", "--session", session], b"another\n");
    shorter.refused(1, "give the input that it began with");
}

#[test]
fn a_line_that_is_too_long_is_named() {
    let peer = Peer::start();
    let text = [b"short\n".to_vec(), vec![b'x'; 2 << 20]].concat();
    let called = peer.call_with(&["import", "-"], &text);
    called.refused(1, "line 1 (counted from 0) is longer than");
    assert!(
        called.err.contains("1 lines were acknowledged: go on with `peer import - --session "),
        "{called:?}"
    );
    peer.call(&["export"]).said("short\n");
}

#[test]
fn an_operator_asks_and_is_told() {
    let peer = Peer::start();
    peer.call(&["set", "colour", "red"]).said("applied\n");
    let status = peer.json(&["status"])["answer"].take();
    assert_eq!((&status["id"], &status["role"]), (&json!(1), &json!("leader")), "{status}");
    assert_eq!(status["leader"]["id"], 1, "{status}");
    assert!(status["applied"].as_u64() >= Some(2) && status["peers"] == json!([]), "{status}");
    let all = peer.json(&["status", "--all"]);
    assert_eq!(all["answer"][0]["role"], "leader", "{all}");
    let text = String::from_utf8(peer.call(&["status"]).out).unwrap();
    assert!(text.contains("role       leader"), "{text}");
    let snapshot = peer.json(&["snapshot"]);
    assert!(snapshot["answer"]["snapshot"].as_u64() >= Some(2), "{snapshot}");
    let already = peer.call(&["transfer", "1"]);
    already.said("peer 1 leads\n");
    peer.call(&["transfer", "2"]).refused(1, "there is no peer 2");
    peer.call(&["isolate"]).refused(1, "--allow-faults");
    peer.call(&["fault", "nonsense"]).refused(2, "`nonsense` is no effect");
    peer.call(&["fault", "--list"]).said("");
}

#[test]
fn a_bench_measures() {
    let peer = Peer::start();
    let told = peer.json(&["bench", "--clients", "4", "--payload", "10", "--seconds", "1"])["answer"].take();
    assert!(told["done"].as_u64() > Some(0) && told["errors"] == json!({}), "{told}");
    assert!(told["latency_us"]["p99.9"].as_u64() <= told["latency_us"]["max"].as_u64(), "{told}");
    peer.call(&["keys", "bench/"]).said("bench/0\nbench/1\nbench/2\nbench/3\n");
}

#[test]
fn what_happens_is_watched_and_written_down() {
    let peer = Peer::start_in(tempfile::tempdir().unwrap(), &["--events", "events", "--json-logs"]);
    let mut watcher = Command::new(example())
        .args(["watch", "--at", &peer.address, "--json", "--only", "Committed"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watcher.stdout.take().unwrap());
    // It is not known when the watch is in force: so something happens until it is seen.
    let is_seen = std::sync::atomic::AtomicBool::new(false);
    let mut line = String::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_seen.load(std::sync::atomic::Ordering::Relaxed) {
                peer.call(&["set", "colour", "red"]).said("applied\n");
            }
        });
        lines.read_line(&mut line).unwrap();
        is_seen.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let _ = watcher.kill();
    let _ = watcher.wait();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&event["event"], &event["role"]), (&json!("Committed"), &json!("leader")), "{line}");
    assert!(event["index"].as_u64().is_some(), "{line}");

    let events = || fs::read_to_string(peer.place.path().join("events")).unwrap();
    let began = Instant::now();
    while !events().contains(r#""event":"Elected""#) {
        assert!(began.elapsed() < PATIENCE, "{}", events());
        thread::sleep(Duration::from_millis(20));
    }
    let log = peer.log();
    let records: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(records.iter().any(|record| record["msg"] == "Elected" && record["peer"] == 1), "{log}");
}

#[test]
fn nobody_there_is_said_in_a_sentence() {
    // A port on which nobody listens: it was somebody's a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let called = alone(&["get", "colour", "--json", "--deadline-ms", "500", "--at", &address]);
    called.refused(1, &address);
    let told: Value = serde_json::from_slice(&called.out).unwrap();
    assert_eq!(told["outcome"], "unreachable", "{told}");
}

#[test]
fn wrong_calls_are_told_apart() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let serve = |peers: &str, more: &[&str]| {
        let given = ["serve", "--id", "1", "--data", data.to_str().unwrap(), "--peers", peers];
        alone(&[&given[..], more].concat())
    };
    serve("2=127.0.0.1:0", &[]).refused(2, "there is no peer 1 in --peers");
    serve("1=127.0.0.1:0,2=127.0.0.1:0", &[]).refused(2, "the others could not know its port");
    serve("1=127.0.0.1", &[]).refused(2, "an address is HOST:PORT");
    let config = place.path().join("peer.toml");
    fs::write(&config, "[raft]\nheartbeat_ms = 50\nhartbeat_ms = 50\n").unwrap();
    let config = config.to_str().unwrap();
    serve("1=127.0.0.1:0", &["--config", config])
        .refused(2, "peer.toml: line 3: unknown field `hartbeat_ms`");
    fs::write(config, "[network]\nframe_bytes_max = 1\n").unwrap();
    serve("1=127.0.0.1:0", &["--config", config]).refused(2, "[network]: `frame_bytes_max` must be");
    alone(&["polish"]).refused(2, "unrecognized subcommand");
    alone(&["cas", "k", "old"]).refused(2, "`peer cas KEY OLD NEW`");
    alone(&["get", "k", "--at", "nowhere"]).refused(2, "an address is HOST:PORT");
    assert!(!data.exists());
    if cfg!(not(feature = "tls")) {
        alone(&["certs", data.to_str().unwrap()]).refused(2, "--features tls");
    }
}

#[test]
fn the_defaults_are_a_config() {
    let place = tempfile::tempdir().unwrap();
    let told = alone(&["config"]);
    fs::write(place.path().join("peer.toml"), &told.out).unwrap();
    let peer = Peer::start_in(place, &["--config", "peer.toml", "--cluster", "of one"]);
    assert_eq!(peer.json(&["status"])["answer"]["cluster"], "of one");
    peer.call(&["get", "k", "--cluster", "another"]).refused(1, "of one");
}

#[cfg(unix)]
#[test]
fn it_stops_when_it_is_told_to_and_goes_on_where_it_was() {
    let mut peer = Peer::start();
    for (signal, more) in [("-INT", "1"), ("-TERM", "2"), ("-KILL", "3")] {
        peer.call(&["append", "k", more]);
        let began = Instant::now();
        peer.signal(signal);
        let code = peer.wait();
        let expected = if signal == "-KILL" { None } else { Some(0) };
        assert_eq!(code, expected, "{}", peer.log());
        assert!(began.elapsed() < Duration::from_secs(5));
        let mut rest = String::new();
        peer.process.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "one line on standard output");
        let place = std::mem::replace(&mut peer.place, tempfile::tempdir().unwrap());
        peer = Peer::start_in(place, &[]);
    }
    peer.call(&["get", "k"]).said("123\n");
}

#[cfg(unix)]
#[test]
fn a_damaged_folder_ends_it_with_a_reason() {
    let mut peer = Peer::start();
    peer.call(&["set", "k", "a value that is about to be damaged"]);
    peer.signal("-TERM");
    peer.wait();
    let log = fs::read_dir(peer.place.path().join("data/log")).unwrap();
    let segments = log.map(|entry| entry.unwrap().path()).map(|path| (fs::read(&path).unwrap(), path));
    let place_of = |bytes: &[u8]| bytes.windows(5).position(|window| window == b"about");
    let found = segments.filter_map(|(bytes, path)| Some((place_of(&bytes)?, bytes, path))).next();
    let (at, mut bytes, segment) = found.unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let output = Command::new(example())
        .args(["serve", "--id", "1", "--peers", "1=127.0.0.1:0", "--data", "data"])
        .current_dir(peer.place.path())
        .output()
        .unwrap();
    Called::of(&output).refused(1, "checksum");
}

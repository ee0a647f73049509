//! A cluster on folders, from inside as `Builder::data`, and from outside as the cluster example: what
//! was acknowledged is there again, whatever ended the process.
//!
//! `KILLS=200 cargo test --release --test outside killed` kills it more often.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use raft_actors::{
    Cluster,
    error::ClusterError,
    machine::closure,
    observe::Report,
    raft::{Event, Membership, PeerId, Why},
    storage::{FolderDisk, FolderOptions},
};

/// A folder that is new, and gone in the end unless the test fails.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file of so many lines.
    fn lines(&self, count: u64) -> PathBuf {
        let path = self.path("lines");
        let line = |number| format!("line {number} {}\n", "x".repeat((number % 50) as usize));
        fs::write(&path, (1..=count).map(line).collect::<String>()).unwrap();
        path
    }

    /// The example, on this place's folder.
    fn example(&self) -> Command {
        let mut command = Command::new(example());
        command.arg("--data").arg(self.path("data")).arg("--acks").arg(self.path("acks"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn acknowledged(&self) -> u64 {
        match fs::read_to_string(self.path("acks")) {
            Ok(text) => text
                .strip_suffix('\n')
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(|| panic!("{text:?}")),
            Err(_) => 0,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn example() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| crate::example("cluster"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// It ended with this code, and said this.
#[track_caller]
fn ended(output: &Output, code: i32, said: &[&str]) {
    let all = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{all}");
    for said in said {
        assert!(all.contains(said), "it does not say {said:?}: {all}");
    }
}

/// `resumed at N`, its first line.
fn resumed(stdout: &mut impl BufRead) -> Option<u64> {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    line.trim().strip_prefix("resumed at ").map(|number| number.parse().unwrap())
}

fn assert_same(file: &Path, dumps: &Path, peers: &[u64]) {
    for peer in peers {
        let dump = fs::read(dumps.join(format!("peer-{peer}.log"))).unwrap();
        assert!(dump == fs::read(file).unwrap(), "peer {peer} holds something else");
    }
}

#[test]
fn killed_at_any_moment_it_goes_on_behind_the_last_acknowledgement() {
    let kills: u32 = std::env::var("KILLS").map_or(15, |kills| kills.parse().unwrap());
    let place = Place::new("killed");
    let mut count = 50_000;
    let mut lines = place.lines(count);
    let (mut last, mut during, mut span_ms) = (0, 0, 700);
    for _ in 0..kills {
        // The first moments are the making of the folders, then recovery and an election.
        let moment = Duration::from_millis(rand::random_range(0..span_ms));
        let mut child = place.example().arg("--input").arg(&lines).spawn().unwrap();
        thread::sleep(moment);
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            None => {}
            // It was faster than that: there is more where this came from.
            Some(0) => {
                count *= 2;
                lines = place.lines(count);
            }
            Some(_) => panic!("it ended by itself: {}", text(&output.stderr)),
        }
        if let Some(resumed) = resumed(&mut output.stdout.as_slice()) {
            assert!(resumed >= last, "resumed at {resumed}, and {last} had been acknowledged");
        }
        let acknowledged = place.acknowledged();
        assert!(acknowledged >= last, "{acknowledged} after {last}");
        match acknowledged > last {
            true => during += 1,
            // A busy machine takes longer to get there.
            false => span_ms += span_ms / 4,
        }
        last = acknowledged;
    }
    let output = place.example().arg("--input").arg(&lines).arg("--dump").arg(place.path("dumps")).output();
    let output = output.unwrap();
    ended(&output, 0, &[]);
    assert!(resumed(&mut output.stdout.as_slice()).unwrap() >= last);
    assert_same(&lines, &place.path("dumps"), &[1, 2, 3]);
    assert!(during * 5 >= kills, "only {during} of {kills} kills came after an acknowledgement");
}

/// The example, waiting for lines.
struct Waiting {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Waiting {
    /// Starts it, waits until its session is open, and feeds it some lines.
    fn start(place: &Place, first: u64, count: u64) -> Waiting {
        let mut command = place.example();
        let mut child = command.args(["--input", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.as_mut().unwrap();
        (first..first + count).for_each(|number| writeln!(stdin, "{number}").unwrap());
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        assert_eq!(resumed(&mut stdout), Some(first - 1));
        let deadline = Instant::now() + Duration::from_secs(20);
        while place.acknowledged() != first - 1 + count {
            assert!(Instant::now() < deadline, "{} acknowledged", place.acknowledged());
            thread::sleep(Duration::from_millis(2));
        }
        Waiting { child, stdout }
    }

    /// Ends its input, and waits for it.
    fn end(mut self) -> Output {
        drop(self.child.stdin.take());
        let mut stdout = Vec::new();
        self.stdout.read_to_end(&mut stdout).unwrap();
        Output { stdout, ..self.child.wait_with_output().unwrap() }
    }
}

#[test]
fn acknowledgements_are_written_while_the_input_waits_and_nobody_else_gets_the_folder() {
    let place = Place::new("shared");
    let waiting = Waiting::start(&place, 1, 3);
    let other = place.example().arg("--peers").arg("5").output().unwrap();
    ended(&other, 1, &["in use", "peer-1"]);
    assert_eq!(text(&other.stderr).lines().count(), 1, "{}", text(&other.stderr));
    assert_eq!(place.acknowledged(), 3, "the other one has not written there");
    ended(&waiting.end(), 0, &["All 3 living peers hold the same 3 lines"]);
}

#[test]
fn an_interrupt_ends_it_in_good_order() {
    let place = Place::new("interrupted");
    let mut waiting = Waiting::start(&place, 1, 10);
    let pid = waiting.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let status = waiting.child.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    let output = waiting.end();
    ended(&output, 1, &["interrupted", "goes on behind line 10"]);
    // It reads over what is there already.
    let lines = place.path("numbers");
    fs::write(&lines, (1..=20).map(|number| format!("{number}\n")).collect::<String>()).unwrap();
    let output = place.example().arg("--input").arg(&lines).arg("--dump").arg(place.path("dumps")).output();
    ended(&output.unwrap(), 0, &["resumed at 10\n"]);
    assert_same(&lines, &place.path("dumps"), &[1, 2, 3]);
    assert_eq!(place.acknowledged(), 20);
}

#[test]
fn another_input_is_told_from_the_one_it_was_fed_with() {
    let place = Place::new("another");
    let run = |text: &str, code, said: &[&str]| {
        let lines = place.path("input");
        fs::write(&lines, text).unwrap();
        let output = place.example().arg("--input").arg(lines).arg("--json").output().unwrap();
        ended(&output, code, said);
    };
    run("one\ntwo\n", 0, &["resumed at 0\n", r#""resumed_at":0"#]);
    run("one\ntwo\nthree\n", 0, &["resumed at 2\n", r#""resumed_at":2"#]);
    run("one\n", 1, &["resumed at 3\n", "ends after 1 lines, and the peers hold 3"]);
    run("one\ntoo\nthree\nfour\n", 1, &["the first 3 lines of the input are not those"]);
    run("one\ntwo\nthree\nfour", 0, &["resumed at 3\n"]);
    assert_eq!(place.acknowledged(), 4);
}

#[test]
fn commands_are_read_the_same_however_long_they_are_to_be() {
    let place = Place::new("lengths");
    let lines = place.path("lines");
    let mut written = Vec::new();
    for bytes in ["7", "256", "1", "5000"] {
        for number in 0..40u8 {
            written.extend(vec![number % 6; usize::from(number)]);
            written.push(b'\n');
        }
        // The end of the input has no newline, and looks like padding: it is a line all the same.
        let without_newline = [written.as_slice(), &[9, 0, 0, 0, 4, 0, 0, 0, 0]].concat();
        fs::write(&lines, if bytes == "5000" { &without_newline } else { &written }).unwrap();
        let mut command = place.example();
        command.args(["--value-bytes", bytes, "--input"]).arg(&lines).arg("--dump").arg(place.path("dumps"));
        ended(&command.output().unwrap(), 0, &[]);
        assert_same(&lines, &place.path("dumps"), &[1, 2, 3]);
    }
}

/// Flips a byte in the middle of what a peer has written.
fn damage(place: &Place, peer: u64) {
    let path = place.path(&format!("data/peer-{peer}/log/0000000000000001.wal"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096] ^= 1;
    fs::write(&path, bytes).unwrap();
}

#[test]
fn a_peer_whose_disk_is_damaged_stops_and_two_of_three_end_the_run() {
    let place = Place::new("damaged");
    let lines = place.lines(3_000);
    let run = || {
        let dumps = place.path("dumps");
        let began = Instant::now();
        let output = place.example().arg("--input").arg(&lines).arg("--dump").arg(dumps).output().unwrap();
        (output, began.elapsed())
    };
    ended(&run().0, 0, &[]);

    damage(&place, 2);
    let (output, _) = run();
    ended(&output, 0, &["resumed at 3000\n", "peer 2 stopped: the disk failed: ", "All 2 living peers"]);
    assert!(text(&output.stderr).contains("0000000000000001.wal"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("stopped: the disk failed"), "{}", text(&output.stdout));
    assert_same(&lines, &place.path("dumps"), &[1, 3]);
    assert!(!place.path("dumps/peer-2.log").exists(), "who has stopped has nothing to say");

    // In the place of its folder there must be no empty one.
    fs::remove_dir_all(place.path("data/peer-1")).unwrap();
    let (output, took) = run();
    ended(&output, 1, &["2 of 3 peers stopped by themselves", "data/peer-1: it is gone", "peer-2/log/"]);
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(!place.path("data/peer-1").exists());
}

#[test]
fn wrong_calls_are_told_before_anything_is_done() {
    let place = Place::new("wrong");
    for wrong in
        [&["--seed", "1"][..], &["--value-bytes", "0"], &["--trail", "x"], &["--snapshot-bytes", "0"]]
    {
        ended(&place.example().args(wrong).output().unwrap(), 2, &["error: "]);
    }
    assert!(!place.path("data").exists());
    // A folder of somebody else.
    fs::create_dir_all(place.path("data/peer-1")).unwrap();
    fs::write(place.path("data/peer-1/photo.jpg"), "a cat").unwrap();
    ended(&place.example().output().unwrap(), 1, &["it holds `photo.jpg`", "give a new or empty folder"]);
}

fn sum() -> raft_actors::Builder<
    impl raft_actors::machine::Interface<Command = u64, Answer = u64, Query = (), Response = u64>,
> {
    Cluster::of(|_| {
        closure(0u64, |sum: &mut u64, more: u64| {
            *sum += more;
            *sum
        })
    })
}

#[tokio::test]
async fn a_folder_wins_over_what_is_asked_for_and_is_free_after_a_shutdown() {
    let place = Place::new("wins");
    let cluster = sum().peers(1).data(place.path("data")).start().await.unwrap();
    let client = cluster.client();
    assert_eq!(client.propose(&40).await, Ok(40));
    assert!(cluster.disk(PeerId(1)).is_none(), "it is no disk in memory");
    let second = sum().data(place.path("data")).start().await;
    assert!(matches!(&second, Err(ClusterError::Storage(error)) if error.to_string().contains("in use")));
    cluster.kill(PeerId(1)).await;
    cluster.restart(PeerId(1)).await;
    assert_eq!(client.propose(&1).await, Ok(41));
    cluster.shutdown().await.unwrap();

    // The client of the first one is still there.
    let (warnings, told) = std::sync::mpsc::channel();
    let tell = move |report: &Report| {
        if let Event::Warned { what, why: Why::Recovery } = &report.event {
            warnings.send(what.clone()).unwrap();
        }
    };
    let cluster = sum().peers(3).data(place.path("data")).observe(tell).start().await.unwrap();
    assert_eq!(cluster.peers(), [PeerId(1)]);
    assert_eq!(cluster.client().propose(&1).await, Ok(42));
    cluster.shutdown().await.unwrap();
    let told: Vec<_> = told.try_iter().collect();
    assert!(
        matches!(&told[..], [what] if what.contains("1 peers") && what.contains("3 were asked for")),
        "{told:?}"
    );
    drop(client);
}

#[test]
fn a_simulation_has_no_folders() {
    let place = Place::new("simulated");
    let ran = sum().data(place.path("data")).simulate(1, async |_| ());
    assert!(matches!(ran, Err(ClusterError::DataInSimulation)));
    assert!(!place.path("data").exists());
}

/// The making of the folders was cut short: nobody has run, and it is done again.
#[tokio::test]
async fn a_flipped_bit_makes_no_other_cluster_of_it() {
    let place = Place::new("flipped");
    let start = || sum().data(place.path("data")).start();
    start().await.unwrap().shutdown().await.unwrap();
    let path = place.path("data/cluster.json");
    let whole = fs::read(&path).unwrap();
    for byte in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1 << (byte * 3 % 8);
        fs::write(&path, &flipped).unwrap();
        match start().await {
            Err(ClusterError::Storage(error)) => {
                let said = error.to_string();
                assert!(said.contains("cluster.json") && said.contains("not what was written"), "{said}");
            }
            Err(other) => panic!("byte {byte}: {other}"),
            Ok(cluster) => {
                assert!(whole[byte].is_ascii_whitespace(), "byte {byte} makes no difference");
                assert_eq!(cluster.peers(), [1, 2, 3].map(PeerId));
                cluster.shutdown().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_is_done_again() {
    let place = Place::new("cut-short");
    let membership = Membership::of([PeerId(1), PeerId(2)]);
    let options = FolderOptions::new("begun", PeerId(1), membership);
    drop(FolderDisk::open(&place.path("data/peer-1"), options).unwrap());
    let cluster = sum().peers(3).data(place.path("data")).start().await.unwrap();
    assert_eq!(cluster.peers(), [PeerId(1), PeerId(2)], "as it was begun");
    assert_eq!(cluster.client().propose(&1).await, Ok(1));
    cluster.shutdown().await.unwrap();
}

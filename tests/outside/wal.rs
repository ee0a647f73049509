//! The looking glass, from outside: what it shows, what it finds, and how it says so.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use raft_actors::{Cluster, machine::closure};
use serde_json::Value;

fn example() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| crate::example("wal"))
}

fn wal(args: &[&str], dir: &Path) -> Output {
    Command::new(example()).args(args).arg(dir).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The data of three peers that added up numbers, the first of them with a snapshot.
async fn data() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let sum = Cluster::of(|_| closure(0_u64, |sum: &mut u64, more: u64| *sum += more));
    let cluster = sum.data(place.path()).start().await.unwrap();
    for number in 0..20_u64 {
        cluster.client().propose(&number).await.unwrap();
    }
    cluster.take_snapshot(cluster.peers()[0]).await.unwrap();
    cluster.shutdown().await.unwrap();
    place
}

/// Where the first frame of a kind begins in a peer's segment.
fn offset_of(kind: &str, dir: &Path) -> usize {
    let shown: Value = serde_json::from_slice(&wal(&["inspect", "--json"], dir).stdout).unwrap();
    let frames = shown["folders"][0]["segments"][0]["frames"].as_array().unwrap();
    frames.iter().find(|frame| frame["kind"] == kind).unwrap()["offset"].as_u64().unwrap() as usize
}

#[tokio::test]
async fn it_shows_everything() {
    let data = data().await;
    let shown = text(&wal(&["inspect"], data.path()).stdout);
    for part in [
        "peer 1 of the cluster",
        "which began with {1 2 3}",
        "log/0000000000000001.wal (16777216 bytes)",
        "header       segment 1",
        "ballot       term 1, vote",
        "entries      1..=1@0",
        "synced-mark",
        "snapshots/",
    ] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    let summary = text(&wal(&["inspect", "--summary"], data.path()).stdout);
    assert!(!summary.contains("synced-mark") && summary.contains("peer 3 of the cluster"), "{summary}");

    let value: Value = serde_json::from_slice(&wal(&["inspect", "--json"], data.path()).stdout).unwrap();
    assert_eq!(value["whole"], true);
    assert_eq!(value["folders"].as_array().unwrap().len(), 3);
    let peer = &value["folders"][0];
    assert_eq!((&peer["peer"], &peer["first_membership"]), (&1.into(), &"{1 2 3}".into()));
    assert_eq!(peer["snapshots"][0]["whole"], true);
    assert!(peer["last"].as_u64() >= Some(22), "{peer}");
}

#[tokio::test]
async fn what_is_whole_is_verified() {
    let data = data().await;
    let output = wal(&["verify"], data.path());
    assert!(output.status.success(), "{}", text(&output.stdout));
    let said = text(&output.stdout);
    assert_eq!(said.matches(": whole: term ").count(), 3, "{said}");
    // Two votes elect a leader: the third may not have been asked for in time.
    assert!(said.matches(", vote for peer").count() >= 2, "{said}");
}

#[tokio::test]
async fn the_first_bad_offset_is_named() {
    let data = data().await;
    let (peer, at) = (data.path().join("peer-2"), offset_of("ballot", &data.path().join("peer-2")));
    let segment = peer.join("log/0000000000000001.wal");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[at + 9] ^= 1;
    fs::write(&segment, bytes).unwrap();

    let output = wal(&["verify"], data.path());
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains(&format!("offset {at}: a frame's checksum does not match")), "{said}");
    assert_eq!(said.matches(": whole").count(), 2, "{said}");
    let value: Value = serde_json::from_slice(&wal(&["verify", "--json"], &peer).stdout).unwrap();
    assert_eq!(value["whole"], false);
    assert!(value["folders"][0]["damage"].as_str().unwrap().contains(&format!("offset {at}")), "{value}");
    assert!(text(&wal(&["inspect"], &peer).stdout).contains("DAMAGED: a frame's checksum does not match"));
}

#[tokio::test]
async fn a_damaged_snapshot_is_found() {
    let data = data().await;
    let folder = data.path().join("peer-1/snapshots");
    let snapshot = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&snapshot).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&snapshot, bytes).unwrap();
    let output = wal(&["verify"], &data.path().join("peer-1"));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains(snapshot.file_name().unwrap().to_str().unwrap()));
}

#[test]
fn a_wrong_call_is_told_from_a_wrong_folder() {
    let place = tempfile::tempdir().unwrap();
    let output = wal(&["verify"], place.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("holds none: give the folder that a peer was started with"));
    let output = wal(&["inspect"], &place.path().join("nowhere"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(wal(&["polish"], place.path()).status.code(), Some(2));
}

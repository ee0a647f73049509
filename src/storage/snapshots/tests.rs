use std::{fs, io::Write, path::Path, sync::mpsc};

use tempfile::TempDir;

use super::*;
use crate::{
    raft::PeerId,
    storage::{
        Disk, MemoryDisk, Opened,
        conformance::{self, arrived},
        files::RealFiles,
    },
};

mod crashes;
mod full;

/// A log in memory, and snapshots in a folder that goes with it.
struct TestDisk {
    memory: MemoryDisk,
    snapshots: Arc<FileSnapshots>,
    folder: TempDir,
}

impl Disk for TestDisk {
    fn open(&mut self) -> Result<Opened, StorageError> {
        let opened = self.memory.open()?;
        self.snapshots.load()?;
        Ok(Opened { snapshots: self.snapshots.clone(), ..opened })
    }
}

/// The same, but each opening knows the folder alone, as after a restart of the process.
struct RestartedDisk(TestDisk);

impl Disk for RestartedDisk {
    fn open(&mut self) -> Result<Opened, StorageError> {
        self.0.snapshots = Arc::new(store(self.0.folder.path()));
        self.0.open()
    }
}

fn store(dir: &Path) -> FileSnapshots {
    FileSnapshots::open(Arc::new(RealFiles), dir.join("snapshots"))
}

fn loaded(dir: &Path) -> FileSnapshots {
    let store = store(dir);
    store.load().unwrap();
    store
}

fn disk() -> TestDisk {
    let folder = tempfile::tempdir().unwrap();
    TestDisk { memory: MemoryDisk::new(), snapshots: Arc::new(store(folder.path())), folder }
}

fn names(dir: &Path) -> Vec<String> {
    RealFiles.list(&dir.join("snapshots")).unwrap()
}

fn members() -> Arc<Membership> {
    Membership::of([1, 2, 3].map(PeerId)).into()
}

fn meta(index: u64, content: &[u8]) -> Arc<SnapshotMeta> {
    let (bytes, checksum) = (content.len() as u64, crc32c::crc32c(content));
    SnapshotMeta { at: Position::new(3, index), membership: members(), bytes, checksum }.into()
}

async fn save(store: &FileSnapshots, index: u64, content: &[u8]) -> Result<Arc<SnapshotMeta>, StorageError> {
    let content = content.to_vec();
    let write = Box::new(move |out: &mut dyn Write| out.write_all(&content));
    arrived(store.save(Position::new(3, index), members(), write)).await
}

async fn receive(store: &FileSnapshots, meta: &Arc<SnapshotMeta>, offset: u64, data: &[u8]) -> u64 {
    arrived(store.receive(meta.clone(), offset, Bytes::copy_from_slice(data))).await.unwrap()
}

fn read(store: &FileSnapshots, at: Position) -> std::io::Result<Vec<u8>> {
    let mut whole = Vec::new();
    store.open(at).unwrap().read_to_end(&mut whole).map(|_| whole)
}

#[tokio::test]
async fn a_folder_keeps_every_promise() {
    conformance::check_snapshots(|| Box::new(disk())).await;
}

#[tokio::test]
async fn a_folder_keeps_every_promise_over_restarts_of_the_process() {
    conformance::check_snapshots(|| Box::new(RestartedDisk(disk()))).await;
}

/// Whichever bit of the file flips: the start is refused, with the file's name and what to do.
#[tokio::test]
async fn one_flipped_bit_anywhere_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let saved = save(&loaded(folder.path()), 9, b"content").await.unwrap();
    let path = folder.path().join("snapshots").join(&names(folder.path())[0]);
    let good = fs::read(&path).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bad).unwrap();
        let error = store(folder.path()).load().expect_err("a flipped bit is found");
        assert!(matches!(error, StorageError::Damaged { .. }), "bit {bit}: {error}");
        let text = error.to_string();
        assert!(text.contains(".snapshot") && text.contains("do not start this peer"), "bit {bit}: {text}");
    }
    for cut in 0..good.len() {
        fs::write(&path, &good[..cut]).unwrap();
        assert!(store(folder.path()).load().is_err(), "cut to {cut} bytes");
    }
    fs::write(&path, [&good[..], b"more"].concat()).unwrap();
    assert!(store(folder.path()).load().is_err(), "longer than it was written");
    fs::write(&path, &good).unwrap();
    assert_eq!(loaded(folder.path()).latest(), Some(saved));
}

/// The disk damages a file after it was checked: whoever reads it whole hears of it.
#[tokio::test]
async fn what_goes_bad_later_is_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    let store = loaded(folder.path());
    let saved = save(&store, 9, &[7; 1_000]).await.unwrap();
    let path = folder.path().join("snapshots").join(&names(folder.path())[0]);
    let mut bad = fs::read(&path).unwrap();
    let place = bad.len() - 500;
    bad[place] ^= 4;
    let open = RealFiles.open(&path).unwrap();
    open.write_all_at(&bad, 0).unwrap();
    assert_eq!(read(&store, saved.at).unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    open.set_len(place as u64).unwrap();
    assert_eq!(read(&store, saved.at).unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

/// Only the latest is kept; what was never finished, and what is too old, goes at the next start.
#[tokio::test]
async fn leftovers_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = loaded(folder.path());
    for index in [4, 5, 7] {
        save(&store, index, b"state").await.unwrap();
    }
    let latest = "00000000000000000007-00000000000000000003.snapshot";
    assert_eq!(names(folder.path()), [latest]);
    let dir = folder.path().join("snapshots");
    fs::copy(dir.join(latest), dir.join("00000000000000000005-00000000000000000003.snapshot")).unwrap();
    for left in ["8-3.tmp", "6-3.incoming", "9-3.incoming"] {
        let (index, rest) = left.split_once("-3").unwrap();
        fs::write(dir.join(format!("{index:0>20}-{:020}{rest}", 3)), b"half").unwrap();
    }
    fs::write(dir.join("notes.txt"), b"mine").unwrap();
    let warnings = self::store(folder.path()).load().unwrap();
    assert_eq!(names(folder.path()), [latest, "notes.txt"]);
    assert!(warnings.len() == 1 && warnings[0].contains("notes.txt"), "{warnings:?}");
}

/// A transfer goes on over a restart of the process, at the byte where it was.
#[tokio::test]
async fn a_transfer_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..100_000_u32).map(|byte| (byte % 251) as u8).collect();
    let meta = meta(9, &content);
    assert_eq!(receive(&loaded(folder.path()), &meta, 0, &content[..60_000]).await, 60_000);
    assert_eq!(receive(&loaded(folder.path()), &meta, 0, &content[..10]).await, 60_000);
    let store = loaded(folder.path());
    // Another one at the same place is another one.
    let other = self::meta(9, &content[1..]);
    assert_eq!(receive(&store, &other, 60_000, &content[60_001..]).await, 0);
    assert_eq!(receive(&store, &meta, 60_000, &content[60_000..]).await, 100_000);
    assert_eq!(read(&store, meta.at).unwrap(), content);
    assert_eq!(names(folder.path()), ["00000000000000000009-00000000000000000003.snapshot"]);
}

/// A power cut kept the length of what came in, and not its bytes: the whole is refused, and begins anew.
#[tokio::test]
async fn a_transfer_that_the_disk_damaged_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let content = [5; 1_000];
    let meta = meta(9, &content);
    receive(&loaded(folder.path()), &meta, 0, &content[..600]).await;
    let path = folder.path().join("snapshots").join(&names(folder.path())[0]);
    let file = RealFiles.open(&path).unwrap();
    file.write_all_at(&[0; 100], file.len().unwrap() - 100).unwrap();
    let store = loaded(folder.path());
    assert_eq!(receive(&store, &meta, 600, &content[600..]).await, 0);
    assert_eq!((store.latest(), names(folder.path()).len()), (None, 0));
    assert_eq!(receive(&store, &meta, 0, &content).await, 1_000);
    assert_eq!(store.latest(), Some(meta));
}

/// A crash after the last piece and before the rename: the next piece, whichever, finishes it.
#[tokio::test]
async fn a_whole_transfer_that_was_not_renamed_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let meta = meta(9, b"content");
    save(&loaded(folder.path()), 9, b"content").await.unwrap();
    let dir = folder.path().join("snapshots");
    fs::rename(
        dir.join("00000000000000000009-00000000000000000003.snapshot"),
        dir.join("00000000000000000009-00000000000000000003.incoming"),
    )
    .unwrap();
    let store = loaded(folder.path());
    assert_eq!(store.latest(), None);
    assert_eq!(receive(&store, &meta, 0, b"con").await, 7);
    assert_eq!(store.latest(), Some(meta));
}

/// While a machine writes and writes, pieces come and go.
#[tokio::test]
async fn a_long_save_holds_up_no_piece() {
    let folder = tempfile::tempdir().unwrap();
    let store = loaded(folder.path());
    let first = save(&store, 4, b"state").await.unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let slow = store.save(
        Position::new(3, 5),
        members(),
        Box::new(move |out| {
            out.write_all(b"slow")?;
            let _ = wait.recv();
            Ok(())
        }),
    );
    assert_eq!(arrived(store.read(first.at, 1, 3)).await.unwrap(), "tat");
    let meta = meta(9, b"content");
    assert_eq!(receive(&store, &meta, 0, b"content").await, 7);
    drop(go);
    // Another one was faster: it is the answer.
    assert_eq!(arrived(slow).await.unwrap(), meta);
    assert_eq!(names(folder.path()), ["00000000000000000009-00000000000000000003.snapshot"]);
}

/// Nobody waits any more: the writer is told at its next piece, and nothing is left.
#[tokio::test]
async fn a_save_that_nobody_wants_ends() {
    let folder = tempfile::tempdir().unwrap();
    let store = loaded(folder.path());
    let (stopped, heard) = mpsc::channel();
    let long = store.save(
        Position::new(3, 5),
        members(),
        Box::new(move |out| {
            let written = (0..1_000).try_for_each(|_| out.write_all(&[0; 1 << 16]));
            let _ = stopped.send(written.is_err());
            written
        }),
    );
    drop(long);
    assert!(heard.recv().unwrap(), "it is told");
    save(&store, 6, b"state").await.unwrap();
    assert_eq!(names(folder.path()), ["00000000000000000006-00000000000000000003.snapshot"]);
}

#[cfg(unix)]
#[tokio::test]
async fn no_link_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    save(&loaded(folder.path()), 9, b"content").await.unwrap();
    let (dir, elsewhere) = (folder.path().join("snapshots"), folder.path().join("elsewhere"));
    let name = &names(folder.path())[0];
    fs::rename(dir.join(name), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, dir.join(name)).unwrap();
    assert!(store(folder.path()).load().unwrap_err().to_string().contains("symbolic link"));
    fs::remove_file(dir.join(name)).unwrap();
    // A half file that is a link: the link goes, what it leads to stays.
    std::os::unix::fs::symlink(&elsewhere, dir.join(name.replace("snapshot", "incoming"))).unwrap();
    store(folder.path()).load().unwrap();
    assert!(names(folder.path()).is_empty() && elsewhere.exists());
}

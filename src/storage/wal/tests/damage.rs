//! Every bit that flips, and every way in which the end of a file gets lost.

use std::fs;

use super::*;

/// A log on real files whose last segment can be spoiled.
struct Spoiled {
    rig: Rig,
    whole: String,
    /// What each number of turns comes to.
    prefixes: Vec<String>,
    _place: tempfile::TempDir,
}

impl Spoiled {
    fn new(seed: u64, segment_bytes: u64) -> Spoiled {
        let place = tempfile::tempdir().unwrap();
        let mut rig = Rig::new(Arc::new(RealFiles), place.path().join("log"), segment_bytes);
        rig.write(seed, 80);
        let upto = |turns: usize| folded(rig.turns.iter().take(turns).flatten().cloned());
        let prefixes: Vec<_> = (0..=rig.turns.len()).map(upto).collect();
        let whole = prefixes.last().unwrap().clone();
        assert_eq!(folded(rig.recover().unwrap().records), whole);
        Spoiled { rig, whole, prefixes, _place: place }
    }

    fn segments(&self) -> Vec<PathBuf> {
        let names = self.rig.files.list(&self.rig.dir).unwrap();
        names
            .iter()
            .filter(|name| segment_number(name).is_some())
            .map(|name| self.rig.dir.join(name))
            .collect()
    }

    fn recovered(&self) -> Result<String, String> {
        match self.rig.recover() {
            Ok(recovered) => Ok(folded(recovered.records)),
            Err(StorageError::Damaged { what }) => Err(what),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Where the marks of the last segment begin, in order.
fn marks(path: &Path, bytes: &[u8]) -> Vec<usize> {
    let number = segment_number(path.file_name().unwrap().to_str().unwrap()).unwrap();
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let seal = seal_of(number, &bytes);
    let mut marks = Vec::new();
    while let Some(mark) = frame::find_mark(seal, &bytes, marks.last().map_or(0, |mark| mark + 1)) {
        marks.push(mark);
    }
    marks
}

#[test]
fn a_flipped_bit_is_refused_or_harmless() {
    let log = Spoiled::new(13, 512);
    assert!(log.segments().len() > 3, "more than one kind of segment");
    let (mut refused, mut harmless) = (0, 0);
    for path in log.segments() {
        let whole = fs::read(&path).unwrap();
        for byte in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << (byte * 5 % 8);
            fs::write(&path, &flipped).unwrap();
            match log.recovered() {
                Ok(found) => {
                    assert_eq!(found, log.whole, "{} byte {byte}: another state", path.display());
                    harmless += 1;
                }
                Err(what) => {
                    assert!(what.starts_with(path.to_str().unwrap()) && what.contains("offset "), "{what}");
                    refused += 1;
                }
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(refused > 1_000 && harmless > 100, "{refused} {harmless}");
}

#[test]
fn what_no_mark_covers_is_cut_at_any_byte() {
    let log = Spoiled::new(14, 1_500);
    let path = log.segments().pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let marks = marks(&path, &whole);
    let earlier = log.rig.turns.len() - marks.len();
    assert!(marks.len() > 3, "the last segment holds some turns");
    for cut in Header::FRAME_BYTES..=whole.len() {
        let covered = earlier + marks.iter().filter(|&&mark| mark + frame::MARK_BYTES <= cut).count();
        let zeros = vec![0; whole.len() - cut];
        for tail in [&[][..], &zeros[..]] {
            fs::write(&path, [&whole[..cut], tail].concat()).unwrap();
            let found = match log.recovered() {
                Ok(found) => found,
                // What was synced is gone: a snapshot's marker was, and the segments that it covers are.
                Err(what) if covered < log.rig.turns.len() => {
                    assert!(what.contains("are missing"), "cut at {cut}: {what}");
                    continue;
                }
                Err(what) => panic!("cut at {cut}: {what}"),
            };
            let turns = log.prefixes.iter().skip(covered).position(|prefix| *prefix == found);
            // The turn behind the last mark may be whole, or its first records: the author writes few.
            let is_part = turns.is_none() && covered < log.rig.turns.len();
            assert!(turns.is_some_and(|turns| turns <= 1) || is_part, "cut at {cut}: {found}");
        }
    }
    fs::write(&path, &whole).unwrap();
}

#[test]
fn what_a_mark_covers_is_missed() {
    let log = Spoiled::new(15, 1_500);
    let path = log.segments().pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let last_mark = marks(&path, &whole).pop().unwrap();
    for from in (Header::FRAME_BYTES..last_mark).step_by(3) {
        let mut spoiled = whole.clone();
        spoiled[from..last_mark].fill(0);
        if spoiled == whole {
            continue; // It was padding.
        }
        fs::write(&path, &spoiled).unwrap();
        let what = log.recovered().unwrap_err();
        let says = format!("offset {last_mark} says that it was synced");
        assert!(what.contains(&says) && what.contains(path.to_str().unwrap()), "{what}");
    }
    fs::write(&path, &whole).unwrap();
}

#[test]
fn a_missing_segment_is_missed() {
    let log = Spoiled::new(16, 512);
    for path in log.segments() {
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        match log.recovered() {
            // A snapshot may cover everything up to there.
            Ok(found) => assert_eq!(found, log.whole, "{}", path.display()),
            Err(what) => assert!(what.contains("missing") || what.contains("continue"), "{what}"),
        }
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_segment_of_another_format_is_refused_by_name() {
    let log = Spoiled::new(18, 512);
    let path = log.segments().pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[16] = 1;
    fs::write(&path, &bytes).unwrap();
    let what = log.recovered().unwrap_err();
    assert!(what.contains("its format is 1") && what.contains(path.to_str().unwrap()), "{what}");
}

#[test]
fn a_segment_of_another_disk_or_place_is_refused() {
    let log = Spoiled::new(17, 512);
    let segments = log.segments();
    let (first, second) = (&segments[segments.len() - 2], &segments[segments.len() - 1]);
    let whole = fs::read(second).unwrap();
    fs::copy(first, second).unwrap();
    let what = log.recovered().unwrap_err();
    assert!(what.contains("offset 0: a frame's checksum does not match"), "{what}");
    fs::write(second, whole).unwrap();
    let what = recovery::recover(&RealFiles, &log.rig.dir, INCARNATION + 1).unwrap_err().to_string();
    assert!(what.contains("belongs to another disk"), "{what}");
}

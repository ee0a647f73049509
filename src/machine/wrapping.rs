//! What a snapshot begins with, before anything of a machine: so that whoever reads it knows how.
//!
//! Four bytes: `RM`, the format, and how what follows is compressed, if it is. Peers of one cluster may
//! be built differently; one that can't read what another wrote says so, and what it lacks.

use std::io::{self, Read, Write};

use crate::binary::{invalid, read_array};

const MAGIC: [u8; 2] = *b"RM";
const FORMAT: u8 = 1;

const PLAIN: u8 = 0;
const LZ4: u8 = 1;

/// Writes what `content` writes, compressed or not.
pub(crate) fn write(
    compress: bool,
    into: &mut dyn Write,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let [r, m] = MAGIC;
    into.write_all(&[r, m, FORMAT, if compress { LZ4 } else { PLAIN }])?;
    if compress { write_lz4(into, content) } else { content(into) }
}

/// Reads what was written, as it was before it was compressed.
pub(crate) fn read(mut from: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let [r, m, format, compression] = read_array(&mut from)?;
    if [r, m] != MAGIC {
        return Err(invalid("snapshot: it does not begin as one"));
    }
    match (format, compression) {
        (FORMAT, PLAIN) => Ok(from),
        (FORMAT, LZ4) => read_lz4(from),
        (FORMAT, _) => Err(invalid("snapshot: compressed in a way that this program does not know")),
        _ => Err(invalid("snapshot: of a format that this program does not know; a newer one wrote it")),
    }
}

#[cfg(feature = "lz4")]
fn write_lz4(into: &mut dyn Write, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(into);
    content(&mut encoder)?;
    encoder.finish()?;
    Ok(())
}

#[cfg(feature = "lz4")]
fn read_lz4(from: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    Ok(Box::new(lz4_flex::frame::FrameDecoder::new(from)))
}

#[cfg(not(feature = "lz4"))]
const WITHOUT: &str = "snapshot: compressed with lz4, and this program is built without the feature `lz4`";

#[cfg(not(feature = "lz4"))]
fn write_lz4(_: &mut dyn Write, _: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    Err(invalid(WITHOUT))
}

#[cfg(not(feature = "lz4"))]
fn read_lz4(_: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    Err(invalid(WITHOUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(compress: bool, content: &[u8]) -> io::Result<Vec<u8>> {
        let mut into = Vec::new();
        write(compress, &mut into, |out| out.write_all(content)).map(|()| into)
    }

    fn read_back(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        read(Box::new(io::Cursor::new(bytes)))?.read_to_end(&mut content).map(|_| content)
    }

    #[test]
    fn what_is_written_is_read() {
        for content in [&b""[..], b"state", &[7; 300_000]] {
            for compress in [false, cfg!(feature = "lz4")] {
                assert_eq!(read_back(written(compress, content).unwrap()).unwrap(), content);
            }
        }
    }

    #[cfg(feature = "lz4")]
    #[test]
    fn what_repeats_is_small() {
        assert!(written(true, &[7; 300_000]).unwrap().len() < 10_000);
        let mut cut = written(true, &[7; 300_000]).unwrap();
        cut.truncate(500);
        assert!(read_back(cut).is_err(), "a part of it is nothing");
    }

    #[cfg(not(feature = "lz4"))]
    #[test]
    fn who_can_not_decompress_says_so() {
        assert!(written(true, b"state").is_err());
        let error = read_back(b"RM\x01\x01whatever".to_vec()).unwrap_err().to_string();
        assert!(error.contains("built without the feature `lz4`"), "{error}");
    }

    #[test]
    fn anything_else_is_refused() {
        for (bytes, what) in [
            (&b""[..], "cut short"),
            (b"RM\x01", "cut short"),
            (b"MR\x01\x00", "does not begin"),
            (b"RM\x02\x00", "newer"),
            (b"RM\x01\x02", "does not know"),
        ] {
            let error = read_back(bytes.to_vec()).unwrap_err().to_string();
            assert!(error.contains(what), "{bytes:?}: {error}");
        }
    }
}

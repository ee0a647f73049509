//! Lines of a file or a pipe, read on a thread of their own: so that a slow pipe holds up nothing, and
//! no input is too long.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    thread, vec,
};

use bytes::Bytes;
use tokio::sync::mpsc;

/// How much is read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// How many buffers wait to be sent.
const BATCHES_MAX: usize = 4;

/// Lines, one after the other.
pub struct Lines {
    batches: mpsc::Receiver<io::Result<Vec<Bytes>>>,
    batch: vec::IntoIter<Bytes>,
    /// How long all of it is, in bytes; unknown of a pipe.
    pub total: Option<u64>,
}

impl Lines {
    /// Opens a file, or standard input if it is `-`. What is longer than `max` bytes comes in pieces: a
    /// piece of more than that tells that its line is too long.
    pub fn open(path: &Path, max: usize) -> io::Result<Lines> {
        let (source, total): (Box<dyn Read + Send>, _) = match path.as_os_str() == "-" {
            true => (Box::new(io::stdin()), None),
            false => {
                let file = File::open(path)?;
                let metadata = file.metadata()?;
                if metadata.is_dir() {
                    return Err(io::Error::other("it is a folder: name a file, or - for standard input"));
                }
                (Box::new(file), metadata.is_file().then_some(metadata.len()))
            }
        };
        let reader = BufReader::with_capacity(BUFFER_BYTES, source);
        Ok(Lines { batches: feed(reader, max), batch: Vec::new().into_iter(), total })
    }

    /// The next line with its newline; the last one may have none. `None`: that was the last one.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(line) = self.batch.next() {
                return Ok(Some(line));
            }
            match self.batches.recv().await {
                Some(more) => self.batch = more?.into_iter(),
                None => return Ok(None),
            }
        }
    }
}

type Source = BufReader<Box<dyn Read + Send>>;

/// Reads on a thread of its own, which ends with the input or with whoever reads from it.
fn feed(mut reader: Source, max: usize) -> mpsc::Receiver<io::Result<Vec<Bytes>>> {
    let (sender, batches) = mpsc::channel(BATCHES_MAX);
    thread::spawn(move || {
        loop {
            let batch = read_batch(&mut reader, max);
            let is_last = batch.as_ref().map_or(true, Vec::is_empty);
            if sender.blocking_send(batch).is_err() || is_last {
                return;
            }
        }
    });
    batches
}

/// A line, and those behind it that are there already.
fn read_batch(reader: &mut Source, max: usize) -> io::Result<Vec<Bytes>> {
    let mut batch = Vec::from_iter(read_line(reader, max)?);
    while reader.buffer().contains(&b'\n') {
        batch.extend(read_line(reader, max)?);
    }
    Ok(batch)
}

fn read_line(reader: &mut Source, max: usize) -> io::Result<Option<Bytes>> {
    let mut line = Vec::new();
    reader.by_ref().take(max as u64 + 1).read_until(b'\n', &mut line)?;
    Ok((!line.is_empty()).then(|| Bytes::from(line)))
}

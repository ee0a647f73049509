//! Where the lines come from: read as a stream, so that no input is too long to be replicated.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read, Seek},
    path::Path,
    thread, vec,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::story;

/// How much is read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// How many buffers of a pipe wait to be replicated.
const BATCHES_MAX: usize = 4;

/// What is known of an input before it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Measure {
    /// How many lines there are.
    pub lines: u64,
    /// The length of the longest, in bytes.
    pub longest: usize,
}

/// Lines, one after the other.
pub struct Input {
    source: Source,
    /// Unknown of a pipe.
    pub measure: Option<Measure>,
}

enum Source {
    /// What is there can be read at once.
    Ready(Box<dyn BufRead + Send>),
    /// What comes through a pipe may be long in coming: it is read on a thread of its own, and what
    /// came before is replicated meanwhile.
    Fed { batches: mpsc::Receiver<io::Result<Vec<Bytes>>>, batch: vec::IntoIter<Bytes> },
}

impl Input {
    /// Opens a file, or standard input if it is `-`, or makes lines up.
    ///
    /// `whole`: the number of lines has to be known before the first one is read. `waits`: whether
    /// reading may wait without holding up the cluster; in a simulation everything is on one thread.
    pub fn open(path: Option<&Path>, whole: bool, waits: bool) -> io::Result<Input> {
        let Some(path) = path else { return Input::of_text(story::text()) };
        let is_stdin = path.as_os_str() == "-";
        let mut pipe: Box<dyn Read + Send> = match is_stdin {
            true => Box::new(io::stdin()),
            false => {
                let file = File::open(path)?;
                let kind = file.metadata()?.file_type();
                if kind.is_dir() {
                    return Err(io::Error::other("it is a folder: name a file, or - for standard input"));
                }
                if kind.is_file() {
                    return Input::of_file(file);
                }
                Box::new(file)
            }
        };
        if whole {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text)?;
            return Input::of_text(text);
        }
        let reader = BufReader::with_capacity(BUFFER_BYTES, pipe);
        let source = match waits {
            true => Source::Fed { batches: feed(reader), batch: Vec::new().into_iter() },
            false => Source::Ready(Box::new(reader)),
        };
        Ok(Input { source, measure: None })
    }

    /// Reads it twice: first to measure it.
    fn of_file(mut file: File) -> io::Result<Input> {
        let measure = Some(measure(BufReader::with_capacity(BUFFER_BYTES, &file))?);
        file.rewind()?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, file);
        Ok(Input { source: Source::Ready(Box::new(reader)), measure })
    }

    fn of_text(text: Vec<u8>) -> io::Result<Input> {
        let measure = Some(measure(text.as_slice())?);
        Ok(Input { source: Source::Ready(Box::new(Cursor::new(text))), measure })
    }

    /// The next line with its newline; the last one may have none. `None`: that was the last one.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match &mut self.source {
            Source::Ready(reader) => read_line(&mut **reader),
            Source::Fed { batches, batch } => loop {
                if let Some(line) = batch.next() {
                    return Ok(Some(line));
                }
                match batches.recv().await {
                    Some(more) => *batch = more?.into_iter(),
                    None => return Ok(None),
                }
            },
        }
    }
}

fn measure(mut reader: impl BufRead) -> io::Result<Measure> {
    let (mut measure, mut length) = (Measure::default(), 0);
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        for piece in buffer.split_inclusive(|&byte| byte == b'\n') {
            length += piece.len();
            if piece.ends_with(b"\n") {
                measure.lines += 1;
                measure.longest = measure.longest.max(length);
                length = 0;
            }
        }
        let read = buffer.len();
        reader.consume(read);
    }
    measure.lines += u64::from(length > 0);
    measure.longest = measure.longest.max(length);
    Ok(measure)
}

fn read_line(reader: &mut dyn BufRead) -> io::Result<Option<Bytes>> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    Ok((!line.is_empty()).then(|| Bytes::from(line)))
}

/// Reads on a thread of its own, which ends with the input or with whoever reads from it.
fn feed(mut reader: BufReader<Box<dyn Read + Send>>) -> mpsc::Receiver<io::Result<Vec<Bytes>>> {
    let (sender, batches) = mpsc::channel(BATCHES_MAX);
    thread::spawn(move || {
        loop {
            let batch = read_batch(&mut reader);
            let is_last = batch.as_ref().map_or(true, Vec::is_empty);
            if sender.blocking_send(batch).is_err() || is_last {
                return;
            }
        }
    });
    batches
}

/// A line, and those behind it that are there already.
fn read_batch(reader: &mut BufReader<Box<dyn Read + Send>>) -> io::Result<Vec<Bytes>> {
    let mut batch = Vec::from_iter(read_line(reader)?);
    while reader.buffer().contains(&b'\n') {
        batch.extend(read_line(reader)?);
    }
    Ok(batch)
}

//! One frame off the wire: Cap'n Proto's stream framing, read so that nobody's word is taken for anything.
//!
//! A frame announces how long it is. What is announced is compared with the limit before anything else, and
//! memory is taken as the bytes arrive.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    time::Duration,
};

use bytes::BufMut;
use capnp::{
    message::{Reader, ReaderOptions},
    serialize::BufferSegments,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use super::{
    budget::{Budget, Share},
    turnstile::Passage,
};

/// The most segments a frame may have. Ours have a handful.
const SEGMENTS_MAX: u32 = 64;

/// How deep messages may be nested. Ours are six deep, RPC's own few deeper.
const NESTING_MAX: i32 = 32;

/// How much of a frame is asked for at once.
const PIECE_BYTES: usize = 64 << 10;

/// A frame, and what it holds of the purse.
pub(super) struct Frame {
    pub(super) message: Reader<BufferSegments<Vec<u8>>>,
    _share: Option<Share>,
}

/// What frames may cost.
pub(super) struct Allowance<'a> {
    /// The longest, in bytes: asked when a frame begins, and not when it is waited for. A handshake may end meanwhile.
    pub bytes_max: &'a dyn Fn() -> usize,
    /// What is free for everybody, in bytes; the rest comes out of the purse.
    pub free_bytes: usize,
    /// The purse; `None`: whoever is there is trusted with `bytes_max`.
    pub budget: Option<&'a Budget>,
    /// Where those queue who send much; `None`: whoever is there may take the thread for as long as it needs.
    pub passage: Option<&'a Passage>,
    /// How long it may take from the first byte to the last.
    pub time: Duration,
}

fn refused(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Reads a frame; `None` at a clean end. Waits for its first byte as long as it takes.
pub(super) async fn read(
    from: &mut (impl AsyncRead + Unpin),
    allowance: &Allowance<'_>,
) -> io::Result<Option<Frame>> {
    let mut first = [0; 1];
    if begin(&mut first, from, allowance.passage).await? == 0 {
        return Ok(None);
    }
    let whole = timeout(allowance.time, read_rest(first, from, allowance)).await;
    let late = || io::Error::new(io::ErrorKind::TimedOut, "a frame was left unfinished");
    whole.map_err(|_| late())?.map(Some)
}

async fn begin(
    first: &mut [u8; 1],
    from: &mut (impl AsyncRead + Unpin),
    passage: Option<&Passage>,
) -> io::Result<usize> {
    let (mut read, mut paused) = (pin!(from.read(first)), false);
    let begun = poll_fn(|cx| {
        let begun = read.as_mut().poll(cx);
        paused |= begun.is_pending();
        begun
    });
    let begun = begun.await?;
    if let Some(passage) = passage {
        passage.begin(paused);
    }
    Ok(begun)
}

async fn read_rest(
    first: [u8; 1],
    from: &mut (impl AsyncRead + Unpin),
    allowance: &Allowance<'_>,
) -> io::Result<Frame> {
    let mut table = [first[0], 0, 0, 0];
    if let Some(rest) = table.get_mut(1..) {
        from.read_exact(rest).await?;
    }
    let segments = u32::from_le_bytes(table).checked_add(1).filter(|&count| count <= SEGMENTS_MAX);
    let segments =
        segments.ok_or_else(|| refused(format!("a frame of more than {SEGMENTS_MAX} segments")))?;
    // The table is the count and a size for each, padded to whole words.
    let table_bytes = (4 + 4 * segments as usize).next_multiple_of(8);
    let mut frame = table.to_vec();
    frame.resize(table_bytes, 0);
    if let Some(sizes) = frame.get_mut(4..) {
        from.read_exact(sizes).await?;
    }
    let sizes = frame.get(4..).unwrap_or_default().chunks_exact(4).take(segments as usize);
    let words: u64 =
        sizes.filter_map(|size| size.try_into().ok()).map(u32::from_le_bytes).map(u64::from).sum();
    let bytes = words.saturating_mul(8).saturating_add(table_bytes as u64);
    let bytes_max = (allowance.bytes_max)();
    if bytes > bytes_max as u64 {
        return Err(refused(format!("a frame of {bytes} bytes, and {bytes_max} are the limit")));
    }
    let bytes = bytes as usize;
    let share = read_body(&mut frame, bytes, from, allowance).await?;
    let options =
        ReaderOptions { traversal_limit_in_words: Some(4 * (bytes / 8) + 1_024), nesting_limit: NESTING_MAX };
    let segments = BufferSegments::new(frame, options).map_err(|error| refused(error.to_string()))?;
    Ok(Frame { message: Reader::new(segments, options), _share: share })
}

async fn read_body(
    frame: &mut Vec<u8>,
    bytes: usize,
    from: &mut (impl AsyncRead + Unpin),
    allowance: &Allowance<'_>,
) -> io::Result<Option<Share>> {
    let share = allowance.budget.filter(|_| bytes > allowance.free_bytes).map(Budget::open);
    // Whoever is trusted gets room for all of it at once.
    let piece_max = if share.is_none() { bytes } else { PIECE_BYTES };
    while frame.len() < bytes {
        let begin = frame.len();
        let piece = (bytes - begin).min(piece_max);
        if let Some(share) = &share {
            if let Some(passage) = allowance.passage {
                passage.pass_at_length().await;
            }
            let beyond = (begin + piece).saturating_sub(allowance.free_bytes.max(begin));
            share.grow(beyond).await.map_err(|_| refused("there is no room for so long a frame now"))?;
        }
        frame.reserve(piece);
        match &share {
            None => fill(from, frame, begin + piece, |_| {}).await?,
            Some(share) => tokio::select! {
                biased;
                read = fill(from, frame, begin + piece, |count| share.moved(count)) => read?,
                () = share.evicted() => return Err(refused("a frame was left unfinished, and others needed the room")),
            },
        }
    }
    Ok(share)
}

/// Reads on until the frame is so long. What was reserved for it is not touched before its bytes are there.
async fn fill(
    from: &mut (impl AsyncRead + Unpin),
    frame: &mut Vec<u8>,
    upto: usize,
    moved: impl Fn(usize),
) -> io::Result<()> {
    while frame.len() < upto {
        let missing = upto - frame.len();
        match from.read_buf(&mut (&mut *frame).limit(missing)).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => moved(count),
        }
    }
    Ok(())
}

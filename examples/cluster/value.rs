//! Commands of a chosen size: a line, and behind it padding that is no part of the line.
//!
//! The last byte of a command says what it is, so that a command is read the same whatever the
//! command line says by then: the log outlives the process that wrote it.
//!
//! | last byte | the command is |
//! |---|---|
//! | 1 to 4 | a line, and this many bytes of padding |
//! | 0 | a line, padding, its length in four bytes (little-endian), and the 0; the length counts all of these |
//! | anything else, or none | a line as it is |
//!
//! A line ends in a newline. One that does not, the last of its file, may end in any byte: if it ends
//! in one of those five it gets a byte of padding always.

use bytes::Bytes;

/// How much a command may be longer than its line without having been asked to.
pub const OVERHEAD_BYTES_MAX: usize = 1;

/// The padding that says its length in its last byte alone.
const SHORT_BYTES_MAX: usize = 4;

/// The padding that says its length in the bytes before the last.
const LONG_BYTES_MIN: usize = SHORT_BYTES_MAX + 1;

/// The command of a line: padded to so many bytes in all, if it is not that long already.
pub fn pad(line: Bytes, bytes: Option<usize>) -> Bytes {
    let looks_padded = line.last().is_some_and(|&last| usize::from(last) <= SHORT_BYTES_MAX);
    let wanted = bytes.unwrap_or_default().saturating_sub(line.len());
    let padding = wanted.max(usize::from(looks_padded));
    if padding == 0 {
        return line;
    }
    let mut command = Vec::with_capacity(line.len() + padding);
    command.extend_from_slice(&line);
    match u32::try_from(padding) {
        Ok(length) if padding >= LONG_BYTES_MIN => {
            command.resize(line.len() + padding - LONG_BYTES_MIN, 0);
            command.extend_from_slice(&length.to_le_bytes());
            command.push(0);
        }
        // No command is longer than a u32 says: then the padding is short.
        _ => command.resize(line.len() + padding, padding as u8),
    }
    Bytes::from(command)
}

/// The line of a command.
pub fn strip(command: &Bytes) -> Bytes {
    let Some((&last, before)) = command.split_last() else { return command.clone() };
    let padding = match usize::from(last) {
        0 => before.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize),
        padding if padding <= SHORT_BYTES_MAX => padding,
        _ => 0,
    };
    // Nobody makes a command that is shorter than its padding: were there one, it would be a line.
    command.slice(..command.len().checked_sub(padding).unwrap_or(command.len()))
}

//! Appends what the leader sends, syncs, and says how much it has.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
};

use anyhow::{Context, Result, bail};

use super::{end_with_parent, file::Tape};

/// How much is taken from the socket at a time: all that it holds.
const TAKEN_BYTES: usize = 256 << 10;

/// Serves one leader until it is gone.
pub fn serve(path: &Path, grows: bool) -> Result<()> {
    end_with_parent();
    let tape = Tape::create(path, grows)?;
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    println!("{}", listener.local_addr()?);
    let (leader, _) = listener.accept()?;
    leader.set_nodelay(true)?;
    follow(leader, tape)
}

fn follow(mut leader: TcpStream, mut tape: Tape) -> Result<()> {
    let mut sent = BufReader::with_capacity(TAKEN_BYTES, leader.try_clone()?);
    let mut groups = 0_u64;
    while let Some(mut left) = length(&mut sent)? {
        while left > 0 {
            let bytes = sent.fill_buf()?;
            if bytes.is_empty() {
                bail!("the leader was lost within a group");
            }
            let piece = &bytes[..bytes.len().min(left)];
            tape.append(piece)?;
            left -= piece.len();
            let taken = piece.len();
            sent.consume(taken);
        }
        groups += 1;
        // Whoever is behind syncs once for all that has come.
        if sent.buffer().is_empty() {
            tape.sync()?;
            leader.write_all(&groups.to_le_bytes())?;
        }
    }
    Ok(())
}

/// How long the next group is; `None`: the leader is gone.
fn length(sent: &mut impl Read) -> Result<Option<usize>> {
    let mut length = [0; 8];
    match sent.read_exact(&mut length) {
        Ok(()) => Ok(Some(usize::try_from(u64::from_le_bytes(length))?)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error.into()),
    }
}

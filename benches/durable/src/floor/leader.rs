//! Groups what the client sends, has each group on its own disk and on a follower's, and answers.

use std::{
    io::{self, IoSlice, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread,
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{RecvFlags, recv},
};

use super::{ID_BYTES, end_with_parent, file::Tape};

/// A group up to this length is sent and then written: what could be won by doing both side by side is less than what
/// it takes to wake the threads for it.
const AT_ONCE_BYTES: usize = 1 << 20;

/// Serves one client after the other.
pub fn serve(path: &Path, grows: bool, followers: &[SocketAddr]) -> Result<()> {
    end_with_parent();
    let mut tape = Tape::create(path, grows)?;
    let mut followers = Followers::connect(followers)?;
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    println!("{}", listener.local_addr()?);
    loop {
        let (client, _) = listener.accept()?;
        client.set_nodelay(true)?;
        let mut client = Client::greet(client)?;
        while client.gather()? {
            let group = client.group();
            commit(group, &mut tape, &mut followers)?;
            client.answer()?;
        }
    }
}

/// Returns once a group is on two disks, this one and another.
fn commit(group: &[u8], tape: &mut Tape, followers: &mut Followers) -> Result<()> {
    let mut keep = || tape.append(group).and_then(|()| tape.sync());
    if group.len() <= AT_ONCE_BYTES {
        // First what others wait for: the followers work while this disk does.
        followers.send(group)?;
        keep()?;
    } else {
        thread::scope(|scope| {
            let kept = scope.spawn(keep);
            followers.send_side_by_side(group)?;
            kept.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
    }
    followers.await_first()
}

/// Those who append, too.
struct Followers {
    followers: Vec<Follower>,
    /// How many groups were sent.
    sent: u64,
}

struct Follower {
    stream: TcpStream,
    /// How many groups it has.
    has: u64,
    /// The beginning of what it says next.
    said: Vec<u8>,
}

impl Followers {
    fn connect(at: &[SocketAddr]) -> Result<Followers> {
        let connect = |at: &SocketAddr| -> Result<Follower> {
            let stream =
                TcpStream::connect(at).with_context(|| format!("cannot reach the follower at {at}"))?;
            stream.set_nodelay(true)?;
            Ok(Follower { stream, has: 0, said: Vec::new() })
        };
        Ok(Followers { followers: at.iter().map(connect).collect::<Result<_>>()?, sent: 0 })
    }

    fn send(&mut self, group: &[u8]) -> Result<()> {
        self.sent += 1;
        self.followers.iter().try_for_each(|follower| follower.send(group))
    }

    /// A follower that reads slowly does not keep the other one waiting.
    fn send_side_by_side(&mut self, group: &[u8]) -> Result<()> {
        self.sent += 1;
        thread::scope(|scope| {
            let send = |follower| scope.spawn(move || Follower::send(follower, group));
            let sending: Vec<_> = self.followers.iter().map(send).collect();
            let done = sending
                .into_iter()
                .map(|it| it.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            done.collect()
        })
    }

    /// Waits until one of them has everything that was sent; the other one may come behind.
    fn await_first(&mut self) -> Result<()> {
        while self.followers.iter().all(|follower| follower.has < self.sent) {
            let mut polled: Vec<_> =
                self.followers.iter().map(|it| PollFd::new(&it.stream, PollFlags::IN)).collect();
            poll(&mut polled, None)?;
            let spoke: Vec<_> = polled.iter().map(|it| !it.revents().is_empty()).collect();
            for (follower, _) in self.followers.iter_mut().zip(spoke).filter(|(_, spoke)| *spoke) {
                follower.listen()?;
            }
        }
        Ok(())
    }
}

impl Follower {
    fn send(&self, group: &[u8]) -> Result<()> {
        let length = (group.len() as u64).to_le_bytes();
        let written = (&self.stream).write_vectored(&[IoSlice::new(&length), IoSlice::new(group)])?;
        match written.checked_sub(length.len()) {
            Some(written) => Ok((&self.stream).write_all(&group[written..])?),
            None => bail!("a socket took not even eight bytes"),
        }
    }

    /// Takes what it said, of which only the last is of interest.
    fn listen(&mut self) -> Result<()> {
        let mut bytes = [0; 256];
        let count = self.stream.read(&mut bytes)?;
        if count == 0 {
            bail!("a follower was lost");
        }
        self.said.extend_from_slice(&bytes[..count]);
        let whole = self.said.len() / 8 * 8;
        if let Some(last) = self.said[..whole].last_chunk() {
            self.has = u64::from_le_bytes(*last);
        }
        self.said.drain(..whole);
        Ok(())
    }
}

/// Who sends records, and waits for their answers.
struct Client {
    stream: TcpStream,
    record_bytes: usize,
    /// Room for as many records as may be under way.
    buffer: Vec<u8>,
    filled: usize,
    answers: Vec<u8>,
}

impl Client {
    /// A client begins with how long its records are, and how many of them it has under way at most.
    fn greet(mut stream: TcpStream) -> Result<Client> {
        let mut numbers = [[0; 8]; 2];
        stream.read_exact(numbers.as_flattened_mut())?;
        let [record_bytes, in_flight] = numbers.map(|number| u64::from_le_bytes(number) as usize);
        let buffer = vec![0; record_bytes * in_flight];
        Ok(Client { stream, record_bytes, buffer, filled: 0, answers: Vec::new() })
    }

    /// Takes what has come, at least a record; false: the client is gone.
    fn gather(&mut self) -> Result<bool> {
        while self.group().is_empty() {
            match self.stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Ok(false),
                Ok(count) => self.filled += count,
                // It went while records were under way: its window was over.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        // What came meanwhile belongs to the group, too. The end of the stream is met again above.
        while self.filled < self.buffer.len() {
            match recv(&self.stream, &mut self.buffer[self.filled..], RecvFlags::DONTWAIT) {
                Ok((count, _)) if count > 0 => self.filled += count,
                _ => break,
            }
        }
        Ok(true)
    }

    /// The whole records that are there.
    fn group(&self) -> &[u8] {
        &self.buffer[..self.filled / self.record_bytes * self.record_bytes]
    }

    /// Answers each record of the group with its id, and goes on with what stands behind the group.
    fn answer(&mut self) -> Result<()> {
        let length = self.group().len();
        self.answers.clear();
        for record in self.buffer[..length].chunks_exact(self.record_bytes) {
            self.answers.extend_from_slice(&record[..ID_BYTES]);
        }
        self.buffer.copy_within(length..self.filled, 0);
        self.filled -= length;
        match self.stream.write_all(&self.answers) {
            Err(error) if is_gone(&error) => Ok(()),
            done => Ok(done?),
        }
    }
}

/// The next read says so, too.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

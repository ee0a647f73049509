//! Keeps so many records under way, and takes the time of each.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use super::ID_BYTES;
use crate::load::{Load, micros};

/// Writes until the window has ended; returns the latencies of what was answered within it, in microseconds.
pub fn write(leader: SocketAddr, load: &Load) -> Result<Vec<u32>> {
    let mut stream = TcpStream::connect(leader).context("cannot reach the floor's leader")?;
    stream.set_nodelay(true)?;
    let record_bytes = ID_BYTES + load.payload;
    let greeting = [record_bytes, load.in_flight].map(|number| (number as u64).to_le_bytes());
    stream.write_all(greeting.as_flattened())?;
    let begin = Instant::now() + load.warm_up;
    let end = begin + load.window;

    // The id of a record is the place in which the time of its sending is kept.
    let mut sent_at = vec![Instant::now(); load.in_flight];
    let mut records = vec![b'v'; load.in_flight * record_bytes];
    for (id, record) in records.chunks_exact_mut(record_bytes).enumerate() {
        record[..ID_BYTES].copy_from_slice(&(id as u64).to_le_bytes());
    }
    stream.write_all(&records)?;

    let mut latencies = Vec::new();
    let mut answers = vec![0; load.in_flight * ID_BYTES];
    let mut filled = 0;
    loop {
        match stream.read(&mut answers[filled..])? {
            0 => bail!("the floor's leader was lost"),
            count => filled += count,
        }
        let now = Instant::now();
        if now >= end {
            return Ok(latencies);
        }
        let whole = filled / ID_BYTES * ID_BYTES;
        for (answer, record) in
            answers[..whole].as_chunks().0.iter().zip(records.chunks_exact_mut(record_bytes))
        {
            let id = u64::from_le_bytes(*answer) as usize;
            if now >= begin {
                latencies.push(micros(now - sent_at[id]));
            }
            sent_at[id] = now;
            record[..ID_BYTES].copy_from_slice(answer);
        }
        stream.write_all(&records[..whole / ID_BYTES * record_bytes])?;
        answers.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

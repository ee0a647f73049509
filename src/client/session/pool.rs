//! Memory for the commands of sessions: many in one buffer.
//!
//! What it costs to keep a short command is not to copy it, but to allocate room for it and to give that back: by then,
//! when the logs let go of it, it is cold, and often another thread's. So the commands that a thread sends to a cluster
//! stand one behind the other, in buffers for which that is done once. Logs let go of commands in the order in which
//! they came, and so of all that stand in one buffer at about the same time; a machine that wants one of them for longer
//! [copies](crate::machine::Lent::share) it.
//!
//! No buffer is shared by two clusters: one of them may do little, and keep what it has for long. Who sends little gets
//! little buffers. And only commands of sessions have a place here: one that a peer is too busy for is sent again from
//! where it stands. Outside of sessions it would be given up there, so that in a flood few of those in a buffer would
//! be in the log, and keep all of it in memory.

use std::cell::RefCell;

use bytes::BytesMut;

use crate::raft::Data;

/// How large a buffer is at most: room for some sixty commands of 256 bytes.
const BUFFER_BYTES: usize = 16 << 10;

/// Longer ones have a buffer of their own; when one is full, less than this is left of it.
const PIECE_BYTES_MAX: usize = BUFFER_BYTES / 4;

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// One command for a cluster, from its pieces.
pub(super) fn put(cluster: usize, pieces: [&[u8]; 2]) -> Data {
    let [front, back] = pieces.map(<[u8]>::len);
    if front + back > PIECE_BYTES_MAX {
        return Data::from(pieces.concat());
    }
    POOL.with_borrow_mut(|pool| pool.put(cluster, pieces, front + back))
}

/// The buffer that is being filled.
#[derive(Default)]
struct Pool {
    /// For which cluster: the address of what leads there. Should another come to be at the same address, the two share
    /// one buffer at worst.
    cluster: usize,
    /// How large it was made.
    size: usize,
    /// What is left of it.
    left: BytesMut,
}

impl Pool {
    fn put(&mut self, cluster: usize, pieces: [&[u8]; 2], length: usize) -> Data {
        if self.cluster != cluster {
            *self = Pool { cluster, ..Pool::default() };
        }
        if self.left.capacity() < length {
            self.size = (2 * self.size).clamp(length, BUFFER_BYTES);
            self.left = BytesMut::with_capacity(self.size);
        }
        pieces.into_iter().for_each(|piece| self.left.extend_from_slice(piece));
        Data::pooled(self.left.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where the bytes are.
    fn place(data: &Data) -> std::ops::Range<usize> {
        let [_, bytes] = data.pieces();
        let start = bytes.as_ptr().addr();
        start..start + bytes.len()
    }

    proptest! {
        #[test]
        fn a_command_is_its_pieces_whatever_comes_before_and_after(
            commands in prop::collection::vec((0..3_usize, 0..40_usize, 0..5_000_usize), 1..200),
        ) {
            let bytes: Vec<u8> = (0..6_000_u32).map(|byte| byte as u8).collect();
            let pieces = |front, back| [&bytes[..front], &bytes[front..front + back]];
            let kept: Vec<Data> =
                commands.iter().map(|&(cluster, front, back)| put(cluster, pieces(front, back))).collect();
            for ((_, front, back), data) in commands.into_iter().zip(kept) {
                prop_assert_eq!(data.to_bytes(), pieces(front, back).concat());
                prop_assert_eq!(data.is_pooled(), front + back <= PIECE_BYTES_MAX);
            }
        }
    }

    #[test]
    fn commands_for_a_cluster_stand_one_behind_the_other() {
        let commands: Vec<Data> = (0..600).map(|_| put(1, [&[1; 56], &[2; 200]])).collect();
        let behind = commands.windows(2).filter(|pair| place(&pair[0]).end == place(&pair[1]).start);
        // In buffers for 1, 2, 4, 8, 16 and 32 at first, then for 64.
        assert!(behind.count() >= 600 - 7 - 600 / 64);
    }

    #[test]
    fn two_clusters_share_no_buffer() {
        let mut pool = Pool::default();
        for _ in 0..10 {
            for cluster in [1, 2] {
                pool.put(cluster, [&[1; 56], &[2; 200]], 256);
                assert_eq!((pool.cluster, pool.size, pool.left.capacity()), (cluster, 256, 0));
            }
        }
    }

    #[test]
    fn the_last_that_goes_takes_the_buffer_with_it() {
        let mut pool = Pool { size: BUFFER_BYTES, ..Pool::default() };
        let (first, second) = (pool.put(0, [&[1; 56], &[]], 56), pool.put(0, [&[], &[2; 200]], 200));
        let [first, second] = [first, second].map(|data| data.to_bytes());
        pool = Pool::default();
        assert_eq!((pool.left.capacity(), second.is_unique()), (0, false));
        drop(first);
        assert!(second.is_unique());
    }
}

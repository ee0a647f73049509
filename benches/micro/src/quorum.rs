//! The counts of peers: asked after each answer of a follower.

use divan::Bencher;
use raft_actors::raft::{Index, Membership, PeerId, quorum};

#[divan::bench(args = [3, 5, 9])]
fn reached(bencher: Bencher, voters: u64) {
    let membership = Membership::of((1..=voters).map(PeerId));
    bencher.bench(|| quorum::reached(divan::black_box(&membership), |peer| Some(Index(peer.0 * 7 % 5))));
}

#[divan::bench(args = [3, 9])]
fn reached_in_both_of_a_joint_membership(bencher: Bencher, voters: u64) {
    let membership = Membership::of((1..=voters).map(PeerId)).joint_to((2..=voters + 1).map(PeerId));
    bencher.bench(|| quorum::reached(divan::black_box(&membership), |peer| Some(Index(peer.0 * 7 % 5))));
}

#[divan::bench(args = [3, 5, 9])]
fn agrees(bencher: Bencher, voters: u64) {
    let membership = Membership::of((1..=voters).map(PeerId));
    bencher.bench(|| quorum::agrees(divan::black_box(&membership), |peer| peer.0 % 2 == 0));
}

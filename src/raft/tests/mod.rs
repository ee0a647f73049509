//! Tables (one module per rule file), scenarios on a dry cluster, and a storm over it.
//!
//! Each test names the sentence it guards: § is the paper, "thesis" is Ongaro's, "Figure 2" the box
//! of rules, a number in brackets the scenario of the project's list that the test plays.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::config::Config;

mod campaigns;
mod cluster;
mod drive;
mod elections;
mod figures;
mod followers;
mod full_disks;
mod leaders;
mod limits;
mod logs;
mod machine;
mod memberships;
mod negatives;
mod patience;
mod progresses;
mod quorums;
mod reading;
mod replicas;
mod replication;
mod reports;
mod rig;
mod safety;
mod settle;
mod states;
mod storm;
mod transfers;

/// A cluster of voters `1..=count`.
fn voters(count: u64) -> Arc<Membership> {
    Arc::new(Membership::of((1..=count).map(PeerId)))
}

/// Peer `id` of a cluster of `count`.
fn identity(id: u64, count: u64, config: &Config) -> Identity {
    Identity { id: PeerId(id), first_membership: voters(count), config: Arc::new(config.clone()) }
}

/// A command that no other entry carries.
fn data(text: impl ToString) -> Command {
    Command::Data(Data::from(text.to_string()))
}

/// Entries behind the first membership, of these terms, one batch per run; entry `i` of term `t`
/// says "t.i", as it does in every log that holds it.
fn entries(terms: &[u64]) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut index = 2;
    for run in terms.chunk_by(|a, b| a == b) {
        let commands = (index..).take(run.len()).map(|index| data(format!("{}.{index}", run[0]))).collect();
        batches.extend(Batch::new(Term(run[0]), Index(index), commands));
        index += run.len() as u64;
    }
    batches
}

/// What a disk gives back of a peer with this ballot and, behind the membership of `count` voters,
/// entries of these terms.
fn disk(count: u64, ballot: (u64, Option<u64>), terms: &[u64]) -> Vec<Record> {
    let first = Batch::new(Term(0), Index(1), vec![Command::Membership(voters(count))]).unwrap();
    let mut records = vec![Record::Entries(first)];
    if ballot != (0, None) {
        records.push(Record::Ballot { term: Term(ballot.0), vote: ballot.1.map(PeerId) });
    }
    records.extend(entries(terms).into_iter().map(Record::Entries));
    records
}

/// The terms of a log behind the first membership.
fn terms(log: &Log) -> Vec<u64> {
    let first = log.base().index.next().0.max(2);
    (first..=log.last().index.0).map(|index| log.term_at(Index(index)).unwrap().0).collect()
}

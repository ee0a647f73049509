//! What peers say to each other, as Cap'n Proto messages: `schema/messages.capnp`, part 4.
//!
//! Reading is total: whatever the bytes are, the answer is a message or an error, and nothing is taken over
//! that the types of [`raft`](crate::raft) can't hold. Whether a message makes *sense* is for the rules.
//!
//! The commands of a batch are copied out of their frame once, into one allocation that all of them share: they
//! live and die together, in the log.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use capnp::{Error, Result, struct_list};

use super::messages_capnp as wire;
use crate::raft::*;

fn bad(what: &str) -> Error {
    Error::failed(format!("malformed: {what}"))
}

// Nouns.

pub(super) fn write_position(position: Position, mut to: wire::position::Builder<'_>) {
    to.set_term(position.term.0);
    to.set_index(position.index.0);
}

pub(super) fn read_position(from: wire::position::Reader<'_>) -> Position {
    Position::new(from.get_term(), from.get_index())
}

pub(super) fn write_member(peer: PeerId, address: &str, mut to: wire::member::Builder<'_>) {
    to.set_id(peer.0);
    to.set_address(address);
}

pub(super) fn read_member(from: wire::member::Reader<'_>) -> Result<(PeerId, String)> {
    Ok((PeerId(from.get_id()), from.get_address()?.to_string()?))
}

/// All of them, in their order.
pub(super) fn read_members(
    from: struct_list::Reader<'_, wire::member::Owned>,
) -> Result<Vec<(PeerId, String)>> {
    from.iter().map(read_member).collect()
}

fn write_membership(membership: &Membership, mut to: wire::membership::Builder<'_>) {
    let ids = |peers: &mut dyn Iterator<Item = &PeerId>| peers.map(|peer| peer.0).collect::<Vec<_>>();
    let set = |mut list: capnp::primitive_list::Builder<'_, u64>, ids: &[u64]| {
        (0..).zip(ids).for_each(|(place, &id)| list.set(place, id));
    };
    let voters = ids(&mut membership.voters().iter());
    set(to.reborrow().init_voters(voters.len() as u32), &voters);
    let outgoing = ids(&mut membership.outgoing().iter());
    set(to.reborrow().init_outgoing(outgoing.len() as u32), &outgoing);
    let learners = ids(&mut membership.learners().iter());
    set(to.reborrow().init_learners(learners.len() as u32), &learners);
    let mut addresses = to.init_addresses(membership.addresses().count() as u32);
    for (place, (peer, address)) in (0..).zip(membership.addresses()) {
        write_member(peer, address, addresses.reborrow().get(place));
    }
}

fn read_membership(from: wire::membership::Reader<'_>) -> Result<Membership> {
    let voters = from.get_voters()?.iter().map(PeerId);
    let outgoing = from.get_outgoing()?;
    let mut membership = match outgoing.is_empty() {
        true => Membership::of(voters),
        false => Membership::of(outgoing.iter().map(PeerId)).joint_to(voters),
    };
    for learner in from.get_learners()?.iter() {
        membership = membership.with_learner(PeerId(learner));
    }
    for member in from.get_addresses()?.iter() {
        let (peer, address) = read_member(member)?;
        membership = membership.with_address(peer, address);
    }
    Ok(membership)
}

fn write_meta(meta: &SnapshotMeta, mut to: wire::snapshot_meta::Builder<'_>) {
    write_position(meta.at, to.reborrow().init_at());
    write_membership(&meta.membership, to.reborrow().init_membership());
    to.set_bytes(meta.bytes);
    to.set_checksum(meta.checksum);
}

fn read_meta(from: wire::snapshot_meta::Reader<'_>) -> Result<SnapshotMeta> {
    Ok(SnapshotMeta {
        at: read_position(from.get_at()?),
        membership: Arc::new(read_membership(from.get_membership()?)?),
        bytes: from.get_bytes(),
        checksum: from.get_checksum(),
    })
}

// Entries.

/// An entry that is still in its frame.
enum Entry<'a> {
    Whole(Command),
    Data(&'a [u8]),
}

fn write_batches(batches: &[Batch], mut to: struct_list::Builder<'_, wire::batch::Owned>) {
    for (place, batch) in (0..).zip(batches) {
        let mut to = to.reborrow().get(place);
        to.set_term(batch.term().0);
        let mut entries = to.init_entries(batch.commands().len() as u32);
        for (place, command) in (0..).zip(batch.commands()) {
            let mut to = entries.reborrow().get(place);
            match command {
                Command::Noop => to.set_noop(()),
                Command::Membership(membership) => write_membership(membership, to.init_membership()),
                Command::Data(data) => {
                    let [first, rest] = data.pieces();
                    let place = to.init_data(data.len() as u32);
                    let (apart, others) = place.split_at_mut(first.len());
                    apart.copy_from_slice(first);
                    others.copy_from_slice(rest);
                }
            }
        }
    }
}

fn read_entry<'a>(from: wire::entry::Reader<'a>) -> Result<Entry<'a>> {
    Ok(match from.which().map_err(|_| bad("an entry of no known kind"))? {
        wire::entry::Noop(()) => Entry::Whole(Command::Noop),
        wire::entry::Membership(membership) => {
            Entry::Whole(Command::Membership(Arc::new(read_membership(membership?)?)))
        }
        wire::entry::Data(data) => Entry::Data(data?),
    })
}

/// The batches behind `prev`, and all their commands' bytes in one piece.
fn read_batches(
    prev: Position,
    from: struct_list::Reader<'_, wire::batch::Owned>,
) -> Result<impl IntoIterator<Item = Batch> + use<>> {
    let mut entries = Vec::with_capacity(from.len() as usize);
    let mut bytes = 0;
    for batch in from.iter() {
        let batch_entries = batch.get_entries()?.iter().map(read_entry).collect::<Result<Vec<_>>>()?;
        let sizes = batch_entries.iter().map(|entry| match entry {
            Entry::Data(data) => data.len(),
            Entry::Whole(_) => 0,
        });
        bytes += sizes.sum::<usize>();
        entries.push((Term(batch.get_term()), batch_entries));
    }
    let mut all = BytesMut::with_capacity(bytes);
    for data in entries.iter().flat_map(|(_, entries)| entries) {
        if let Entry::Data(data) = data {
            all.extend_from_slice(data);
        }
    }
    let mut all = all.freeze();
    let mut first = prev.index.next();
    let mut batches = Vec::with_capacity(entries.len());
    for (term, entries) in entries {
        let commands = entries.into_iter().map(|entry| match entry {
            Entry::Whole(command) => command,
            Entry::Data(data) => Command::Data(all.split_to(data.len()).into()),
        });
        let batch = Batch::new(term, first, commands.collect());
        let batch = batch.ok_or_else(|| bad("a batch without entries, or beyond the last index"))?;
        first = batch.last().index.next();
        batches.push(batch);
    }
    Ok(batches)
}

// Requests.

pub(super) fn write_pre_vote(rpc: &PreVote, mut to: wire::pre_vote::Builder<'_>) {
    to.set_term(rpc.term.0);
    to.set_candidate(rpc.candidate.0);
    write_position(rpc.last, to.init_last());
}

pub(super) fn read_pre_vote(from: wire::pre_vote::Reader<'_>, reply: Reply<PreVoted>) -> Result<PreVote> {
    let (term, candidate) = (Term(from.get_term()), PeerId(from.get_candidate()));
    Ok(PreVote { term, candidate, last: read_position(from.get_last()?), reply })
}

pub(super) fn write_request_vote(rpc: &RequestVote, mut to: wire::request_vote::Builder<'_>) {
    to.set_term(rpc.term.0);
    to.set_candidate(rpc.candidate.0);
    to.set_transfer(rpc.transfer);
    write_position(rpc.last, to.init_last());
}

pub(super) fn read_request_vote(
    from: wire::request_vote::Reader<'_>,
    reply: Reply<Voted>,
) -> Result<RequestVote> {
    let (term, candidate) = (Term(from.get_term()), PeerId(from.get_candidate()));
    let (last, transfer) = (read_position(from.get_last()?), from.get_transfer());
    Ok(RequestVote { term, candidate, last, transfer, reply })
}

pub(super) fn write_append(rpc: &AppendEntries, mut to: wire::append_entries::Builder<'_>) {
    to.set_term(rpc.term.0);
    to.set_leader(rpc.leader.0);
    write_position(rpc.slice.prev, to.reborrow().init_prev());
    to.set_commit(rpc.slice.commit.0);
    to.set_round(rpc.slice.round);
    write_batches(&rpc.slice.batches, to.init_batches(rpc.slice.batches.len() as u32));
}

pub(super) fn read_append(
    from: wire::append_entries::Reader<'_>,
    reply: Reply<Appended>,
) -> Result<AppendEntries> {
    let prev = read_position(from.get_prev()?);
    let batches = read_batches(prev, from.get_batches()?)?.into_iter().collect();
    let slice = Slice { prev, batches, commit: Index(from.get_commit()), round: from.get_round() };
    let (term, leader) = (Term(from.get_term()), PeerId(from.get_leader()));
    Ok(AppendEntries { term, leader, slice: Arc::new(slice), reply })
}

pub(super) fn write_install(rpc: &InstallSnapshot, mut to: wire::install_snapshot::Builder<'_>) {
    to.set_term(rpc.term.0);
    to.set_leader(rpc.leader.0);
    write_meta(&rpc.meta, to.reborrow().init_meta());
    to.set_offset(rpc.offset);
    to.set_data(&rpc.data);
}

pub(super) fn read_install(
    from: wire::install_snapshot::Reader<'_>,
    reply: Reply<ChunkTaken>,
) -> Result<InstallSnapshot> {
    Ok(InstallSnapshot {
        term: Term(from.get_term()),
        leader: PeerId(from.get_leader()),
        meta: Arc::new(read_meta(from.get_meta()?)?),
        offset: from.get_offset(),
        data: Bytes::copy_from_slice(from.get_data()?),
        reply,
    })
}

pub(super) fn write_timeout_now(rpc: &TimeoutNow, mut to: wire::timeout_now::Builder<'_>) {
    to.set_term(rpc.term.0);
    to.set_leader(rpc.leader.0);
}

pub(super) fn read_timeout_now(from: wire::timeout_now::Reader<'_>) -> TimeoutNow {
    TimeoutNow { term: Term(from.get_term()), leader: PeerId(from.get_leader()) }
}

// Answers.

pub(super) fn write_vote(from: PeerId, term: Term, granted: bool, mut to: wire::vote::Builder<'_>) {
    to.set_from(from.0);
    to.set_term(term.0);
    to.set_granted(granted);
}

pub(super) fn read_pre_voted(from: wire::vote::Reader<'_>) -> PreVoted {
    let (peer, term) = (PeerId(from.get_from()), Term(from.get_term()));
    PreVoted { from: peer, term, granted: from.get_granted() }
}

pub(super) fn read_voted(from: wire::vote::Reader<'_>) -> Voted {
    let (peer, term) = (PeerId(from.get_from()), Term(from.get_term()));
    Voted { from: peer, term, granted: from.get_granted() }
}

pub(super) fn write_appended(answer: &Appended, mut to: wire::appended::Builder<'_>) {
    to.set_from(answer.from.0);
    to.set_term(answer.term.0);
    to.set_round(answer.round);
    to.set_healthy(answer.healthy);
    match answer.result {
        Ok(index) => to.set_match(index.0),
        Err(Refusal::Stale) => to.set_stale(()),
        Err(Refusal::Backlog) => to.set_backlog(()),
        Err(Refusal::NoRoom) => to.set_no_room(()),
        Err(Refusal::Conflict(conflict)) => {
            let mut to = to.init_conflict();
            write_position(conflict.prev, to.reborrow().init_prev());
            to.set_has_entry(conflict.term.is_some());
            to.set_term(conflict.term.unwrap_or_default().0);
            to.set_first(conflict.first.0);
        }
    }
}

pub(super) fn read_appended(from: wire::appended::Reader<'_>) -> Result<Appended> {
    use wire::appended::Which;
    let result = match from.which().map_err(|_| bad("an answer of no known kind"))? {
        Which::Match(index) => Ok(Index(index)),
        Which::Stale(()) => Err(Refusal::Stale),
        Which::Backlog(()) => Err(Refusal::Backlog),
        Which::NoRoom(()) => Err(Refusal::NoRoom),
        Which::Conflict(conflict) => {
            let conflict = conflict?;
            let term = conflict.get_has_entry().then(|| Term(conflict.get_term()));
            let (prev, first) = (read_position(conflict.get_prev()?), Index(conflict.get_first()));
            Err(Refusal::Conflict(Conflict { prev, term, first }))
        }
    };
    let (peer, term) = (PeerId(from.get_from()), Term(from.get_term()));
    Ok(Appended { from: peer, term, round: from.get_round(), result, healthy: from.get_healthy() })
}

pub(super) fn write_taken(answer: &ChunkTaken, mut to: wire::chunk_taken::Builder<'_>) {
    to.set_from(answer.from.0);
    to.set_term(answer.term.0);
    match answer.taken {
        Taken::Upto(bytes) => to.set_upto(bytes),
        Taken::Installed(index) => to.set_installed(index.0),
        Taken::Failed => to.set_failed(()),
    }
}

pub(super) fn read_taken(from: wire::chunk_taken::Reader<'_>) -> Result<ChunkTaken> {
    use wire::chunk_taken::Which;
    let taken = match from.which().map_err(|_| bad("an answer of no known kind"))? {
        Which::Upto(bytes) => Taken::Upto(bytes),
        Which::Installed(index) => Taken::Installed(Index(index)),
        Which::Failed(()) => Taken::Failed,
    };
    Ok(ChunkTaken { from: PeerId(from.get_from()), term: Term(from.get_term()), taken })
}

//! Messages are read as they were written, and whatever else comes is an error.

use std::sync::Arc;

use bytes::Bytes;
use capnp::{message::Builder, serialize};
use proptest::{collection::vec, option, prelude::*, sample::Index as Place};

use super::messages::{CLUSTER, Message, WANTED, guest, runtime, samples};
use crate::{
    raft::*,
    storage::Incarnation,
    transport::{
        Introduction, Objection, SessionLimits,
        capnp::{handshake::Refused, messages_capnp as wire},
    },
};

fn id() -> impl Strategy<Value = PeerId> {
    prop_oneof![1..10u64, any::<u64>()].prop_map(PeerId)
}

fn ids() -> impl Strategy<Value = Vec<PeerId>> {
    vec(id(), 0..6)
}

fn term() -> impl Strategy<Value = Term> {
    // Term 0 is that of the first membership, and not the same as none.
    prop_oneof![0..3u64, any::<u64>()].prop_map(Term)
}

fn index() -> impl Strategy<Value = Index> {
    any::<u64>().prop_map(Index)
}

fn position() -> impl Strategy<Value = Position> {
    (any::<u64>(), any::<u64>()).prop_map(|(term, index)| Position::new(term, index))
}

fn bytes() -> impl Strategy<Value = Bytes> {
    let short = vec(any::<u8>(), 0..64);
    // Longer than a segment, a frame's first piece, and what a word can be short of.
    let long = (60_000..200_000usize, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]);
    prop_oneof![8 => short, 1 => long].prop_map(Bytes::from)
}

/// Simple or joint, with learners and addresses, of any ids and any text.
fn membership() -> impl Strategy<Value = Membership> {
    let addresses = vec((id(), any::<String>()), 0..4);
    (ids(), option::of(ids()), ids(), addresses).prop_map(|(voters, next, learners, addresses)| {
        let simple = Membership::of(voters);
        // A membership on its way from nobody is a simple one: nobody has to agree.
        let membership = match next {
            Some(next) if !simple.voters().is_empty() => simple.joint_to(next),
            _ => simple,
        };
        let membership = learners.into_iter().fold(membership, Membership::with_learner);
        let put = |membership: Membership, (peer, address)| membership.with_address(peer, address);
        addresses.into_iter().fold(membership, put)
    })
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        1 => Just(Command::Noop),
        2 => membership().prop_map(|membership| Command::Membership(Arc::new(membership))),
        3 => bytes().prop_map(|bytes| Command::Data(bytes.into())),
        3 => (any::<u8>(), bytes()).prop_map(|(first, rest)| Command::Data(Data::behind(first, rest))),
    ]
}

fn slice() -> impl Strategy<Value = Slice> {
    let batches = vec((term(), vec(command(), 1..8)), 0..4);
    let prev = (any::<u64>(), 0..u64::MAX / 2).prop_map(|(term, index)| Position::new(term, index));
    (prev, batches, index(), any::<u64>()).prop_map(|(prev, batches, commit, round)| {
        let mut first = prev.index.next();
        let batches = batches.into_iter().map(|(term, commands)| {
            let batch = Batch::new(term, first, commands).unwrap();
            first = batch.last().index.next();
            batch
        });
        Slice { prev, batches: batches.collect(), commit, round }
    })
}

fn meta() -> impl Strategy<Value = SnapshotMeta> {
    (position(), membership(), any::<u64>(), any::<u32>()).prop_map(|(at, membership, bytes, checksum)| {
        SnapshotMeta { at, membership: Arc::new(membership), bytes, checksum }
    })
}

fn refusal() -> impl Strategy<Value = Refusal> {
    let conflict = (position(), option::of(term()), index());
    prop_oneof![
        conflict.prop_map(|(prev, term, first)| Refusal::Conflict(Conflict { prev, term, first })),
        Just(Refusal::Stale),
        Just(Refusal::Backlog),
        Just(Refusal::NoRoom),
    ]
}

fn taken() -> impl Strategy<Value = Taken> {
    prop_oneof![any::<u64>().prop_map(Taken::Upto), index().prop_map(Taken::Installed), Just(Taken::Failed),]
}

fn introduction() -> impl Strategy<Value = Introduction> {
    let sessions = (any::<u64>(), any::<u64>()).prop_map(|(max, window)| SessionLimits { max, window });
    (id(), any::<u32>(), any::<u128>(), sessions).prop_map(|(peer, first_membership, disk, sessions)| {
        let (cluster, incarnation) = (CLUSTER.into(), Incarnation(disk));
        Introduction { cluster, peer, first_membership, incarnation, sessions }
    })
}

fn refused() -> impl Strategy<Value = Refused> {
    let theirs = guest();
    let (cluster, disk, limits) = (theirs.cluster.clone(), theirs.incarnation, theirs.sessions);
    let objection = prop_oneof![
        any::<String>()
            .prop_map(move |ours| Objection::Cluster { ours: ours.into(), theirs: cluster.clone() }),
        any::<u32>().prop_map(move |ours| Objection::Membership { ours, theirs: theirs.first_membership }),
        any::<u128>().prop_map(move |_| Objection::Incarnation { known: Incarnation(0), theirs: disk }),
        (any::<u64>(), any::<u64>()).prop_map(move |(max, window)| Objection::Sessions {
            ours: SessionLimits { max, window },
            theirs: limits
        }),
        Just(Objection::SameId),
        Just(Objection::Stranger { peer: theirs.peer }),
    ];
    prop_oneof![
        4 => objection.prop_map(Refused::Objection),
        1 => any::<u32>().prop_map(Refused::Protocol),
        1 => id().prop_map(|met| Refused::NotMe { wanted: WANTED, met }),
        1 => Just(Refused::Certificate),
        1 => Just(Refused::NotReady),
        1 => Just(Refused::TooMany),
        1 => Just(Refused::Again),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let vote = (term(), id(), position(), any::<bool>());
    let voted = || (id(), term(), any::<bool>());
    let appended = (
        id(),
        term(),
        any::<u64>(),
        prop_oneof![
            1 => index().prop_map(Ok),
            3 => refusal().prop_map(Err)
        ],
        any::<bool>(),
    );
    prop_oneof![
        1 => (term(), id(), position()).prop_map(|(term, from, last)| Message::PreVote(term, from, last)),
        1 => vote.prop_map(|(term, from, last, transfer)| Message::RequestVote(term, from, last, transfer)),
        4 => (term(), id(), slice()).prop_map(|(term, from, slice)| Message::Append(term, from, slice)),
        2 => (term(), id(), meta(), any::<u64>(), bytes())
            .prop_map(|(term, from, meta, offset, data)| Message::Install(term, from, meta, offset, data)),
        1 => (term(), id()).prop_map(|(term, from)| Message::TimeoutNow(term, from)),
        1 => voted().prop_map(|(from, term, granted)| Message::PreVoted(PreVoted { from, term, granted })),
        1 => voted().prop_map(|(from, term, granted)| Message::Voted(Voted { from, term, granted })),
        2 => appended.prop_map(|(from, term, round, result, healthy)| {
            Message::Appended(Appended { from, term, round, result, healthy })
        }),
        1 => (id(), term(), taken()).prop_map(|(from, term, taken)| Message::Taken(ChunkTaken { from, term, taken })),
        1 => introduction().prop_map(Message::Introduction),
        1 => refused().prop_map(Message::Refused),
    ]
}

/// What happens to the bytes of a message on their way.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Place, u8),
    Cut(Place),
    /// A word is replaced: by a small number, which may be a length or a pointer, or by any.
    Word(Place, u64),
    Swap(Place, Place),
}

fn damage() -> impl Strategy<Value = Damage> {
    let word = prop_oneof![0..256u64, any::<u64>()];
    prop_oneof![
        4 => (any::<Place>(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        1 => any::<Place>().prop_map(Damage::Cut),
        4 => (any::<Place>(), word).prop_map(|(at, word)| Damage::Word(at, word)),
        2 => (any::<Place>(), any::<Place>()).prop_map(|(one, other)| Damage::Swap(one, other)),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let words = bytes.len() / 8;
        if words == 0 {
            return;
        }
        match self {
            Damage::Flip(at, bit) => bytes[at.index(words * 8)] ^= 1 << bit,
            Damage::Cut(at) => bytes.truncate(at.index(words * 8)),
            Damage::Word(at, word) => {
                let at = at.index(words) * 8;
                bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
            Damage::Swap(one, other) => {
                let (one, other) = (one.index(words) * 8, other.index(words) * 8);
                for place in 0..8 {
                    bytes.swap(one + place, other + place);
                }
            }
        }
    }
}

/// Roughly what a message takes in memory.
fn weight(message: &Message) -> usize {
    let membership = |membership: &Membership| {
        let addresses: usize = membership.addresses().map(|(_, address)| 40 + address.len()).sum();
        membership.members().len() * 40 + addresses
    };
    match message {
        Message::Append(_, _, slice) => {
            let commands = slice.batches.iter().flat_map(Batch::commands);
            let of = |command: &Command| match command {
                Command::Data(data) => 40 + data.len(),
                Command::Membership(it) => 40 + membership(it),
                _ => 40,
            };
            commands.map(of).sum()
        }
        Message::Install(_, _, meta, _, data) => membership(&meta.membership) + data.len(),
        Message::Refused(Refused::Objection(Objection::Cluster { ours, .. })) => ours.len(),
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_message_is_read_as_it_was_written(message in message()) {
        let bytes = message.write();
        prop_assert_eq!(message.read(&bytes, &runtime()).unwrap(), message);
    }

    /// A message or an error, and nothing that is many times as long as what came.
    #[test]
    fn a_damaged_message_harms_nobody(message in message(), damages in vec(damage(), 1..6)) {
        let mut bytes = message.write();
        damages.iter().for_each(|damage| damage.apply(&mut bytes));
        let runtime = runtime();
        // Also as a message of another kind than it is.
        for (_, kind) in samples() {
            if let Ok(read) = kind.read(&bytes, &runtime) {
                let (weight, length) = (weight(&read), bytes.len());
                prop_assert!(weight <= 40 * length + (64 << 10), "{} bytes came, and {} are kept", length, weight);
                let _ = format!("{read:?}").len();
            }
        }
    }
}

/// An AppendEntries with batches of so many entries each.
fn append(prev: Position, batches: &[u32]) -> Builder<capnp::message::HeapAllocator> {
    let mut message = Builder::new_default();
    let mut to = message.init_root::<wire::append_entries::Builder<'_>>();
    let mut at = to.reborrow().init_prev();
    at.set_term(prev.term.0);
    at.set_index(prev.index.0);
    let mut list = to.init_batches(batches.len() as u32);
    for (place, &entries) in (0..).zip(batches) {
        list.reborrow().get(place).init_entries(entries);
    }
    message
}

/// Why such a message is refused; or how many entries it has.
fn appended(prev: Position, batches: &[u32]) -> std::result::Result<u64, String> {
    let kind = Message::Append(
        Term(0),
        PeerId(0),
        Slice { prev: Position::ZERO, batches: Default::default(), commit: Index(0), round: 0 },
    );
    match kind.read(&serialize::write_message_to_words(&append(prev, batches)), &runtime()) {
        Ok(Message::Append(_, _, slice)) => Ok(slice.batches.iter().map(Batch::count).sum()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.extra),
    }
}

#[test]
fn a_batch_without_entries_is_malformed() {
    assert_eq!(appended(Position::ZERO, &[2, 3]), Ok(5));
    for batches in [&[0][..], &[0, 2], &[2, 0], &[2, 0, 2]] {
        let refused = appended(Position::ZERO, batches).unwrap_err();
        assert!(refused.contains("malformed: a batch without entries"), "{batches:?}: {refused}");
    }
}

#[test]
fn entries_beyond_the_last_index_are_malformed() {
    let from = |index| Position::new(1, index);
    assert_eq!(appended(from(u64::MAX - 3), &[1, 1]), Ok(2));
    for (prev, batches) in
        [(u64::MAX, &[1][..]), (u64::MAX - 1, &[1]), (u64::MAX - 3, &[2, 1]), (u64::MAX - 3, &[3])]
    {
        let refused = appended(from(prev), batches).unwrap_err();
        assert!(refused.contains("beyond the last index"), "{prev} {batches:?}: {refused}");
    }
}

/// A list says how many entries it has, and entries that take no bytes cost whoever sends them nothing.
#[test]
fn a_hundred_million_entries_in_a_hundred_bytes_are_refused() {
    let mut bytes = serialize::write_message_to_words(&append(Position::ZERO, &[1]));
    let words = bytes.len() / 8;
    // The tag of the list of entries is the last word but what its one entry takes.
    let entry = 2;
    let tag = words - 1 - entry;
    let list = (0..tag).rev().find(|word| bytes[word * 8] & 3 == 1 && bytes[word * 8 + 4] & 7 == 7).unwrap();
    // No words in the list; a hundred million elements of no size.
    bytes[list * 8 + 4..list * 8 + 8].copy_from_slice(&7u32.to_le_bytes());
    bytes[tag * 8..tag * 8 + 8].copy_from_slice(&(100_000_000u64 << 2).to_le_bytes());
    let (_, kind) = samples().into_iter().find(|(name, _)| *name == "append-entries noop").unwrap();
    let refused = kind.read(&bytes, &runtime()).unwrap_err();
    assert!(refused.to_string().contains("limit"), "{refused}");
}

/// What a later release may say, and this one does not know.
#[test]
fn an_answer_of_no_known_kind_is_an_error() {
    for name in ["append-entries answer stale", "install-snapshot answer failed", "refusal again"] {
        let (_, message) = samples().into_iter().find(|(it, _)| *it == name).unwrap();
        let bytes = message.write();
        let runtime = runtime();
        // Wherever the discriminant is: at some place a number that is none makes it an error, and nowhere a panic.
        let read = |place: usize| {
            let mut bytes = bytes.clone();
            bytes[place..place + 2].copy_from_slice(&[0x7f, 0x7f]);
            message.read(&bytes, &runtime)
        };
        let errors = (16..bytes.len() - 1).step_by(2).filter_map(|place| read(place).err());
        let told = errors.map(|error| error.to_string()).any(|error| error.contains("malformed"));
        assert!(told, "{name}");
    }
}

use proptest::prelude::*;

use super::*;
use crate::machine::codec::{Codec, to_bytes};

const AT: Position = Position::ZERO;

fn restored(kv: &Kv) -> Kv {
    let mut bytes = Vec::new();
    kv.snapshot()(&mut bytes).unwrap();
    let mut other = Kv::default();
    other.apply(AT, Command::set("to be", "replaced"));
    other.restore(&mut bytes.as_slice()).unwrap();
    other
}

fn value(kv: &Kv, key: &'static str) -> Option<Bytes> {
    kv.get(key.as_bytes()).cloned()
}

#[test]
fn answers_tell_what_was_there_before() {
    let mut kv = Kv::default();
    assert_eq!(kv.apply(AT, Command::delete("k")), Answer::Before(None));
    assert_eq!(kv.apply(AT, Command::set("k", "1")), Answer::Before(None));
    assert_eq!(kv.apply(AT, Command::set("k", "2")), Answer::Before(Some("1".into())));
    assert_eq!(kv.apply(AT, Command::delete("k")), Answer::Before(Some("2".into())));
    assert!(kv.is_empty());
}

#[test]
fn compare_and_set_happens_only_if_the_value_is_the_expected_one() {
    let mut kv = Kv::default();
    let none = None::<&str>;
    assert_eq!(kv.apply(AT, Command::compare_and_set("k", Some("1"), Some("2"))), Answer::Different(None));
    assert_eq!(kv.apply(AT, Command::compare_and_set("k", none, none)), Answer::Swapped);
    assert!(kv.is_empty());
    assert_eq!(kv.apply(AT, Command::compare_and_set("k", none, Some("1"))), Answer::Swapped);
    let present = Some("1".into());
    assert_eq!(kv.apply(AT, Command::compare_and_set("k", none, Some("9"))), Answer::Different(present));
    assert_eq!(value(&kv, "k"), Some("1".into()));
    assert_eq!(kv.apply(AT, Command::compare_and_set("k", Some("1"), none)), Answer::Swapped);
    assert!(kv.is_empty());
}

#[test]
fn an_empty_value_is_not_a_missing_one() {
    let mut kv = Kv::default();
    kv.apply(AT, Command::set("", ""));
    assert_eq!(kv.query(Query::get("")), Response::Value(Some(Bytes::new())));
    assert_eq!(
        kv.apply(AT, Command::compare_and_set("", None, Some("x"))),
        Answer::Different(Some("".into()))
    );
    assert_eq!(kv.query(Query::Count), Response::Count(1));
}

#[test]
fn append_grows_a_value_and_leaves_those_alone_who_look_at_the_old_one() {
    let mut kv = Kv::default();
    assert_eq!(kv.apply(AT, Command::append("k", "a")), Answer::Length(1));
    assert_eq!(kv.apply(AT, Command::append("k", "bc")), Answer::Length(3));
    let view = kv.snapshot();
    assert_eq!(kv.apply(AT, Command::append("k", "d")), Answer::Length(4));
    assert_eq!(value(&kv, "k"), Some("abcd".into()));

    let mut bytes = Vec::new();
    view(&mut bytes).unwrap();
    let mut old = Kv::default();
    old.restore(&mut bytes.as_slice()).unwrap();
    assert_eq!(value(&old, "k"), Some("abc".into()));
}

/// A small value must not keep the entry, or the message, alive that brought it.
#[test]
fn what_is_stored_is_its_own() {
    let mut kv = Kv::default();
    let entry = to_bytes(&Command::set("key", "value")).unwrap();
    let command = Command::decode(entry.clone()).unwrap();
    let Command::Set { value: decoded, .. } = &command else { panic!() };
    assert!(entry.as_ptr_range().contains(&decoded.as_ptr()), "decoding copies");
    kv.apply(AT, command);
    assert!(entry.is_unique(), "the store holds on to the entry");
}

#[test]
fn keys_come_in_pages() {
    let mut kv = Kv::default();
    for key in ["a", "b", "b1", "b2", "b3", "c"] {
        kv.apply(AT, Command::set(key, ""));
    }
    let keys = |prefix: &'static str, after: Option<&'static str>, limit| {
        let after = after.map(Bytes::from);
        match kv.query(Query::Keys { prefix: prefix.into(), after, limit }) {
            Response::Keys(keys) => keys,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(keys("b", None, 2), ["b", "b1"]);
    assert_eq!(keys("b", Some("b1"), 2), ["b2", "b3"]);
    assert_eq!(keys("b", Some("b3"), 2), [""; 0]);
    assert_eq!(keys("b", Some("a"), 1), ["b"]);
    assert_eq!(keys("b", Some(""), 1), ["b"]);
    assert_eq!(keys("b", Some("c"), u64::MAX), [""; 0]);
    assert_eq!(keys("", None, u64::MAX).len(), 6);
    assert_eq!(keys("", None, 0), [""; 0]);
    assert_eq!(kv.query(Query::keys("b", 1)), Response::Keys(vec!["b".into()]));
}

#[test]
fn values_come_in_parts() {
    let mut kv = Kv::default();
    kv.apply(AT, Command::set("k", "0123456789"));
    kv.apply(AT, Command::set("empty", ""));
    let part = |bytes: &'static str, total| Response::Part { bytes: Some(bytes.into()), total };
    for (offset, limit, bytes) in [
        (0, 4, "0123"),
        (4, 4, "4567"),
        (8, 4, "89"),
        (10, 4, ""),
        (11, 4, ""),
        (3, 0, ""),
        (0, u64::MAX, "0123456789"),
        (9, u64::MAX, "9"),
        (u64::MAX, u64::MAX, ""),
    ] {
        assert_eq!(kv.query(Query::read("k", offset, limit)), part(bytes, 10), "{offset} {limit}");
    }
    assert_eq!(kv.query(Query::read("empty", 0, 4)), part("", 0));
    assert_eq!(kv.query(Query::read("absent", 0, 4)), Response::Part { bytes: None, total: 0 });
}

#[test]
fn a_megabyte_is_a_value() {
    let mut kv = Kv::default();
    let megabyte = Bytes::from(vec![0xff; 1 << 20]);
    let command = Command::set(Bytes::from_static(&[0, 0xff]), megabyte.clone());
    kv.apply(AT, Command::decode(to_bytes(&command).unwrap()).unwrap());
    assert_eq!(restored(&kv).get(&[0, 0xff]), Some(&megabyte));
}

/// Digests are compared between builds and by programs in other languages.
#[test]
fn the_digest_is_fixed_and_knows_where_a_key_ends() {
    let digest = |key: &'static str, value: &'static str| {
        let mut kv = Kv::default();
        kv.apply(AT, Command::set(key, value));
        kv.digest()
    };
    assert_eq!(Kv::default().digest(), 0xcbf2_9ce4_8422_2325);
    assert_eq!(digest("k", "v"), DIGEST_OF_K_V);
    assert_ne!(digest("ab", "c"), digest("a", "bc"));
}

/// Computed by an independent program: FNV-1a over `01 00*7 6b 01 00*7 76`.
const DIGEST_OF_K_V: u64 = 0x383b_c7ca_4e2d_01be;

/// The log holds these bytes: they must not change.
#[test]
fn the_bytes_are_fixed() {
    let check = |command: Command, bytes: &[u8]| assert_eq!(to_bytes(&command).unwrap(), bytes);
    check(Command::set("k", "vw"), &[0, 1, b'k', 2, b'v', b'w']);
    check(Command::delete("k"), &[1, 1, b'k']);
    check(Command::compare_and_set("k", None, Some("v")), &[2, 1, b'k', 0, 1, 1, b'v']);
    check(Command::append("", "v"), &[3, 0, 1, b'v']);
    check(Command::put("k", "vw"), &[4, 1, b'k', 2, b'v', b'w']);
    assert_eq!(to_bytes(&Answer::Before(Some("v".into()))).unwrap(), [0, 1, 1, b'v'].as_slice());
    assert_eq!(to_bytes(&Answer::Swapped).unwrap(), [1].as_slice());
    assert_eq!(to_bytes(&Answer::Different(None)).unwrap(), [2, 0].as_slice());
    assert_eq!(to_bytes(&Answer::Length(300)).unwrap(), [3, 0xac, 2].as_slice());
    assert_eq!(to_bytes(&Answer::Done).unwrap(), [4].as_slice());
    assert_eq!(to_bytes(&Query::get("k")).unwrap(), [0, 1, b'k'].as_slice());
    assert_eq!(to_bytes(&Query::keys("p", 7)).unwrap(), [1, 1, b'p', 0, 7].as_slice());
    assert_eq!(to_bytes(&Query::Count).unwrap(), [2].as_slice());
    assert_eq!(to_bytes(&Query::Digest).unwrap(), [3].as_slice());
    assert_eq!(to_bytes(&Query::read("k", 300, 7)).unwrap(), [4, 1, b'k', 0xac, 2, 7].as_slice());
    assert_eq!(to_bytes(&Response::Value(None)).unwrap(), [0, 0].as_slice());
    assert_eq!(to_bytes(&Response::Keys(vec!["k".into()])).unwrap(), [1, 1, 1, b'k'].as_slice());
    assert_eq!(to_bytes(&Response::Count(2)).unwrap(), [2, 2].as_slice());
    assert_eq!(to_bytes(&Response::Digest(258)).unwrap(), [3, 2, 1, 0, 0, 0, 0, 0, 0].as_slice());
    let part = |bytes: Option<Bytes>, total| to_bytes(&Response::Part { bytes, total }).unwrap();
    assert_eq!(part(Some("v".into()), 300), [4, 1, 1, b'v', 0xac, 2].as_slice());
    assert_eq!(part(None, 0), [4, 0, 0].as_slice());
}

#[test]
fn what_may_be_missing_is_there_or_not_and_nothing_else() {
    assert_eq!(Answer::decode(Bytes::from_static(&[0, 1, 0])), Ok(Answer::Before(Some("".into()))));
    assert!(Answer::decode(Bytes::from_static(&[0, 2, 0])).is_err());
}

#[test]
fn a_lying_count_of_keys_ends_with_the_bytes() {
    let lie = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1, b'k'];
    assert!(Response::decode(Bytes::copy_from_slice(&lie)).is_err());
}

#[test]
fn a_bad_snapshot_is_refused_and_changes_nothing() {
    let mut kv = Kv::default();
    kv.apply(AT, Command::set("a", "1"));
    kv.apply(AT, Command::set("b", "2"));
    let mut good = Vec::new();
    kv.snapshot()(&mut good).unwrap();
    let before = kv.clone();

    let mut refuse = |bytes: &[u8]| {
        let error = kv.restore(&mut &*bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        assert_eq!(kv, before);
    };
    for end in 0..good.len() {
        refuse(&good[..end]);
    }
    refuse(&[&good[..], &[0]].concat());
    refuse(&[&[2], &good[1..]].concat());
    let mut twice = good.clone();
    let b = twice.iter().rposition(|&byte| byte == b'b').unwrap();
    twice[b] = b'a';
    refuse(&twice);
}

fn small() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(0..3_u8, 0..3).prop_map(Bytes::from)
}

fn command() -> impl Strategy<Value = Command> {
    let maybe = || prop::option::of(small());
    prop_oneof![
        (small(), small()).prop_map(|(key, value)| Command::Set { key, value }),
        small().prop_map(|key| Command::Delete { key }),
        (small(), maybe(), maybe()).prop_map(|(key, expected, new)| Command::CompareAndSet {
            key,
            expected,
            new
        }),
        (small(), small()).prop_map(|(key, value)| Command::Append { key, value }),
        (small(), small()).prop_map(|(key, value)| Command::Put { key, value }),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    prop_oneof![
        small().prop_map(|key| Query::Get { key }),
        (small(), prop::option::of(small()), 0..5_u64).prop_map(|(prefix, after, limit)| Query::Keys {
            prefix,
            after,
            limit
        }),
        Just(Query::Count),
        Just(Query::Digest),
        (small(), 0..4_u64, 0..4_u64).prop_map(|(key, offset, limit)| Query::Read { key, offset, limit }),
    ]
}

/// What a value of its type encodes to, it decodes from, and from nothing longer or shorter.
fn round_trip<T: Codec + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = to_bytes(value).unwrap();
    assert_eq!(&T::decode(bytes.clone()).unwrap(), value);
    assert!(T::decode([&bytes[..], &[0]].concat().into()).is_err());
    for end in 0..bytes.len() {
        assert!(T::decode(bytes.slice(..end)).is_err());
    }
}

/// The store again, as plain as can be: a list of pairs.
#[derive(Default)]
struct Model(Vec<(Vec<u8>, Vec<u8>)>);

impl Model {
    fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone().into())
    }

    fn put(&mut self, key: &[u8], value: Option<Vec<u8>>) -> Option<Bytes> {
        let before = self.get(key);
        self.0.retain(|(k, _)| k != key);
        self.0.extend(value.map(|value| (key.to_vec(), value)));
        before
    }

    fn apply(&mut self, command: &Command) -> Answer {
        match command {
            Command::Set { key, value } => Answer::Before(self.put(key, Some(value.to_vec()))),
            Command::Delete { key } => Answer::Before(self.put(key, None)),
            Command::CompareAndSet { key, expected, new } => {
                let present = self.get(key);
                if present != *expected {
                    return Answer::Different(present);
                }
                self.put(key, new.as_ref().map(|new| new.to_vec()));
                Answer::Swapped
            }
            Command::Put { key, value } => {
                self.put(key, Some(value.to_vec()));
                Answer::Done
            }
            Command::Append { key, value } => {
                let grown = [self.get(key).unwrap_or_default().as_ref(), value.as_ref()].concat();
                let length = grown.len() as u64;
                self.put(key, Some(grown));
                Answer::Length(length)
            }
        }
    }
}

proptest! {
    #[test]
    fn it_does_what_a_plain_list_does(commands in prop::collection::vec(command(), 0..40), asked in query()) {
        let (mut kv, mut model) = (Kv::default(), Model::default());
        for command in commands {
            round_trip(&command);
            let answer = kv.apply(AT, command.clone());
            round_trip(&answer);
            prop_assert_eq!(answer, model.apply(&command));
            let other = restored(&kv);
            prop_assert_eq!(other.digest(), kv.digest());
            prop_assert_eq!(&other, &kv);
        }
        model.0.sort();
        let entries: Vec<_> = kv.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(entries, model.0);
        round_trip(&asked);
        round_trip(&kv.query(asked));
    }

    #[test]
    fn garbage_is_never_a_panic(garbage: Vec<u8>, tag in 0..6_u8) {
        let bytes = Bytes::from([&[tag][..], &garbage].concat());
        let _ = Command::decode(bytes.clone());
        let _ = Answer::decode(bytes.clone());
        let _ = Query::decode(bytes.clone());
        let _ = Response::decode(bytes);
        let _ = Kv::default().restore(&mut [&[1][..], &garbage].concat().as_slice());
    }
}

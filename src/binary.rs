//! Small pieces of binary formats, of machines and of disks: varints, strings of bytes, careful reads.
//!
//! Everything that takes is total: it never panics, and never reserves memory on the word of a
//! length that it has not checked against bytes that are really there. A varint is the LEB128 of
//! postcard and protobuf: seven bits a byte, the lowest first; padded ones are taken too, because
//! postcard takes them, and builds with and without it must agree on every input.

use std::io::{self, Read};

use bytes::{Buf, Bytes};

/// The longest varint of a `u64`, in bytes.
pub(crate) const VARINT_BYTES_MAX: usize = 10;

/// How much memory a read reserves before it has seen any of its bytes.
const TRUST_BYTES_MAX: u64 = 64 << 10;

/// Appends a varint.
pub(crate) fn put_varint(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Appends a string of bytes behind its length.
pub(crate) fn put_bytes(bytes: &[u8], into: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, into);
    into.extend_from_slice(bytes);
}

/// Takes the first byte off.
pub(crate) fn take_byte(from: &mut Bytes) -> Option<u8> {
    let byte = *from.first()?;
    from.advance(1);
    Some(byte)
}

/// Takes a varint off. `None` if it is cut short or does not fit in 64 bits.
pub(crate) fn take_varint(from: &mut Bytes) -> Option<u64> {
    let (value, bytes) = varint_at(from)?;
    from.advance(bytes);
    Some(value)
}

/// The varint at the beginning, and how many bytes it takes. `None` if it is cut short or does not
/// fit in 64 bits.
#[inline]
pub(crate) fn varint_at(from: &[u8]) -> Option<(u64, usize)> {
    match *from {
        // Nearly all of them are small.
        [low @ ..0x80, ..] => Some((low.into(), 1)),
        [low, high @ ..0x80, ..] => Some((u64::from(low & 0x7f) | u64::from(high) << 7, 2)),
        _ => long_varint_at(from),
    }
}

fn long_varint_at(from: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (place, &byte) in from.iter().take(VARINT_BYTES_MAX).enumerate() {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for the last of 64 bits, and no more.
        if place == VARINT_BYTES_MAX - 1 && byte > 1 {
            return None;
        }
        value |= bits << (7 * place);
        if byte < 0x80 {
            return Some((value, place + 1));
        }
    }
    None
}

/// Takes an array off.
pub(crate) fn take_array<const N: usize>(from: &mut Bytes) -> Option<[u8; N]> {
    let array = *from.first_chunk::<N>()?;
    from.advance(N);
    Some(array)
}

/// Takes off a string of bytes behind its length, without a copy.
pub(crate) fn take_bytes(from: &mut Bytes) -> Option<Bytes> {
    let (count, header) = varint_at(from)?;
    let count = usize::try_from(count).ok()?;
    if count > from.len().saturating_sub(header) {
        return None;
    }
    from.advance(header);
    Some(from.split_to(count))
}

/// A snapshot that is not what it should be.
pub(crate) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads an array. A snapshot that ends too early is as bad as any other garbage.
pub(crate) fn read_array<const N: usize>(from: &mut dyn Read) -> io::Result<[u8; N]> {
    let mut array = [0; N];
    match from.read_exact(&mut array) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(invalid("snapshot: cut short")),
        read => read.map(|()| array),
    }
}

/// Reads one byte.
pub(crate) fn read_byte(from: &mut dyn Read) -> io::Result<u8> {
    read_array::<1>(from).map(|[byte]| byte)
}

/// Reads a number of eight bytes, the lowest first.
pub(crate) fn read_u64(from: &mut dyn Read) -> io::Result<u64> {
    read_array(from).map(u64::from_le_bytes)
}

/// Reads a string of bytes behind its length.
pub(crate) fn read_bytes(from: &mut dyn Read) -> io::Result<Bytes> {
    let count = read_u64(from)?;
    let mut bytes = Vec::with_capacity(count.min(TRUST_BYTES_MAX) as usize);
    let there = from.take(count).read_to_end(&mut bytes)?;
    if there as u64 != count {
        return Err(invalid("snapshot: cut short"));
    }
    Ok(Bytes::from(bytes))
}

/// Makes sure that nothing follows.
pub(crate) fn read_end(from: &mut dyn Read) -> io::Result<()> {
    match from.take(1).read_to_end(&mut Vec::new())? {
        0 => Ok(()),
        _ => Err(invalid("snapshot: something follows its end")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_varint_ends_where_64_bits_end() {
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(take_varint(&mut Bytes::copy_from_slice(&longest)), Some(u64::MAX));
        let beyond = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(take_varint(&mut Bytes::copy_from_slice(&beyond)), None);
        let endless = [0x80; 11];
        assert_eq!(take_varint(&mut Bytes::copy_from_slice(&endless)), None);
        assert_eq!(take_varint(&mut Bytes::new()), None);
    }

    #[test]
    fn a_length_beyond_the_end_takes_nothing() {
        let mut from = Bytes::from_static(&[3, 1, 2]);
        assert_eq!(take_bytes(&mut from), None);
        assert_eq!(from, [3, 1, 2].as_slice());
        let mut from = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert_eq!(take_bytes(&mut from), None);
    }

    #[test]
    fn a_lying_length_reserves_no_memory() {
        let mut lie = u64::MAX.to_le_bytes().to_vec();
        lie.extend_from_slice(b"short");
        let error = read_bytes(&mut lie.as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    proptest! {
        #[test]
        fn varints_come_back(value: u64, tail: Vec<u8>) {
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            prop_assert!(bytes.len() <= VARINT_BYTES_MAX);
            bytes.extend_from_slice(&tail);
            let mut from = Bytes::from(bytes);
            prop_assert_eq!(take_varint(&mut from), Some(value));
            prop_assert_eq!(from, tail);
        }

        #[test]
        fn bytes_come_back_without_a_copy(value: Vec<u8>, tail: Vec<u8>) {
            let mut bytes = Vec::new();
            put_bytes(&value, &mut bytes);
            bytes.extend_from_slice(&tail);
            let all = Bytes::from(bytes);
            let mut from = all.clone();
            let taken = take_bytes(&mut from).unwrap();
            prop_assert_eq!(&taken, &value);
            prop_assert_eq!(from, tail);
            if !taken.is_empty() {
                prop_assert!(all.as_ptr_range().contains(&taken.as_ptr()));
            }
        }
    }

    // Builds with and without postcard must agree, also on what they refuse.
    #[cfg(feature = "serde")]
    proptest! {
        #[test]
        fn varints_are_postcards(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x80), Just(0xff)], 0..12)) {
            let theirs = postcard::take_from_bytes::<u64>(&bytes).ok().map(|(value, rest)| (value, rest.to_vec()));
            let mut from = Bytes::from(bytes);
            let ours = take_varint(&mut from).map(|value| (value, from.to_vec()));
            prop_assert_eq!(ours, theirs);
        }
    }
}

//! How commands, answers, queries and responses become bytes.
//!
//! Everything below a typed client and above a typed machine moves bytes and looks at none of
//! them, so this trait is the only place where types and bytes meet. With the feature `serde` (on
//! by default) there is nothing to do: every serde type is a [`Codec`], in the postcard format.
//! Without it there are [`Raw`] bytes, `()` and `u64`, and a [`Codec`] of your own.
//!
//! Three things to know before a cluster with your types goes into operation:
//!
//! * **The log outlives the program.** Commands written by last year's build are decoded by this
//!   year's. Postcard knows fields and variants by their place: add variants at the end of an enum,
//!   never reorder or remove any, and give a changed command a new variant.
//! * **Postcard does not describe itself.** Serde's `flatten`, `untagged`, `skip_serializing_if`
//!   and internally tagged enums need a format that does; try your types in a test of your own.
//! * **Whoever may propose chooses the bytes.** A command that does not decode is answered
//!   `Rejected` on every peer and harms nobody, but a type that contains itself (`Box<Self>`) can
//!   be nested as deep as a command is long: prefer flat ones.

use bytes::Bytes;

use super::Lent;

/// A value that travels as bytes. With the feature `serde` (on by default) every serde type is one,
/// in the postcard format; [`Raw`] is always one.
///
/// A type that is no serde type can be one by hand, with the feature or without:
///
/// ```
/// use bytes::Bytes;
/// use raft_actors::machine::{Codec, CodecError, codec};
///
/// /// A colour; on the wire three bytes.
/// #[derive(Debug, PartialEq)]
/// struct Colour([u8; 3]);
///
/// impl Codec for Colour {
///     fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
///         into.extend_from_slice(&self.0);
///         Ok(())
///     }
///
///     fn decode(bytes: Bytes) -> Result<Colour, CodecError> {
///         let parts = bytes.as_ref().try_into();
///         parts.map(Colour).map_err(|_| CodecError::new::<Colour>("a colour has three bytes"))
///     }
/// }
///
/// let bytes = codec::to_bytes(&Colour([255, 0, 0]))?;
/// assert_eq!(Colour::decode(bytes)?, Colour([255, 0, 0]));
/// assert!(Colour::decode(Bytes::from_static(b"four")).is_err());
/// # Ok::<(), CodecError>(())
/// ```
pub trait Codec: Sized + Send + 'static {
    /// Appends the value's bytes. After an error what was there before is still there, and what
    /// follows it, if anything, means nothing.
    ///
    /// # Errors
    /// The value can't be expressed in this encoding.
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError>;

    /// The value's bytes, if it holds just those that [`encode`](Self::encode) appends: outside of sessions they are
    /// shared then and not encoded. What they are a part of stays in memory for as long as they do. Most values hold
    /// none.
    fn shared(&self) -> Option<Bytes> {
        None
    }

    /// Reads the value back from exactly these bytes: fewer or more are an error. Never panics,
    /// whatever the bytes are.
    ///
    /// # Errors
    /// They are not such a value.
    fn decode(bytes: Bytes) -> Result<Self, CodecError>;

    /// As [`decode`](Self::decode), from bytes that somebody else keeps. A value that copies what it needs of them
    /// need not share them for that: every serde type reads them where they are. Unless it is told otherwise a value
    /// shares them.
    ///
    /// # Errors
    /// They are not such a value.
    fn decode_lent(bytes: Lent<'_>) -> Result<Self, CodecError> {
        Self::decode(bytes.share())
    }
}

/// The bytes of a value.
///
/// # Errors
/// The value can't be expressed in its encoding.
pub fn to_bytes<T: Codec>(value: &T) -> Result<Bytes, CodecError> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes)?;
    Ok(Bytes::from(bytes))
}

/// Bytes that are not what they should be, or a value that can't become bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {expected}: {cause}")]
pub struct CodecError {
    /// What they should be.
    pub expected: &'static str,
    /// Why they are not. Never shows the bytes themselves: this may end in a log.
    pub cause: String,
}

impl CodecError {
    /// Bytes that are not a `T`.
    pub fn new<T>(cause: impl ToString) -> CodecError {
        CodecError { expected: std::any::type_name::<T>(), cause: cause.to_string() }
    }
}

/// Bytes as they are, without any encoding.
///
/// It is deliberately no serde type: that is what keeps it free of postcard's length in front, so
/// that it is the same bytes in every build, and decoding shares them instead of copying. Encoding does, too, outside
/// of sessions: in one process the client, the log and the machines of all peers share them. A few bytes cut out of a
/// large buffer keep all of it in memory for as long as the log keeps them; copy those. Short ones in sessions have
/// their place in a buffer among others, and whoever decodes one has a [copy](Lent::share).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Raw(pub Bytes);

impl<T: Into<Bytes>> From<T> for Raw {
    fn from(bytes: T) -> Raw {
        Raw(bytes.into())
    }
}

impl Codec for Raw {
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.extend_from_slice(&self.0);
        Ok(())
    }

    fn shared(&self) -> Option<Bytes> {
        Some(self.0.clone())
    }

    fn decode(bytes: Bytes) -> Result<Raw, CodecError> {
        Ok(Raw(bytes))
    }
}

#[cfg(feature = "serde")]
impl<T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static> Codec for T {
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        let before = into.len();
        postcard::serialize_with_flavor(self, Append(into)).map_err(|cause| {
            into.truncate(before);
            CodecError::new::<T>(cause)
        })
    }

    fn decode(bytes: Bytes) -> Result<T, CodecError> {
        T::decode_lent(Lent::from(&bytes))
    }

    fn decode_lent(bytes: Lent<'_>) -> Result<T, CodecError> {
        let (value, rest) = postcard::take_from_bytes(&bytes).map_err(CodecError::new::<T>)?;
        if !rest.is_empty() {
            return Err(CodecError::new::<T>(format!("{} bytes too many", rest.len())));
        }
        Ok(value)
    }
}

/// Lets postcard write behind what is already in a vector: a command goes right behind its
/// envelope, without a vector of its own and the copy out of it.
#[cfg(feature = "serde")]
struct Append<'a>(&'a mut Vec<u8>);

/// A number of 64 bits has at most so many bytes in postcard.
#[cfg(feature = "serde")]
const NUMBER_BYTES_MAX: usize = 10;

#[cfg(feature = "serde")]
impl postcard::ser_flavors::Flavor for Append<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        // A number is a few bytes long, and each costs less to push than all of them to copy by a call.
        if data.len() <= NUMBER_BYTES_MAX {
            data.iter().for_each(|byte| self.0.push(*byte));
        } else {
            self.0.extend_from_slice(data);
        }
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// What machines of this crate need in a build without serde, in the very bytes of postcard.
#[cfg(not(feature = "serde"))]
mod plain {
    use bytes::Bytes;

    use super::{Codec, CodecError};
    use crate::binary as wire;

    impl Codec for () {
        fn encode(&self, _: &mut Vec<u8>) -> Result<(), CodecError> {
            Ok(())
        }

        fn decode(bytes: Bytes) -> Result<(), CodecError> {
            if bytes.is_empty() {
                return Ok(());
            }
            Err(CodecError::new::<()>(format!("{} bytes too many", bytes.len())))
        }
    }

    impl Codec for u64 {
        fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
            wire::put_varint(*self, into);
            Ok(())
        }

        fn decode(mut bytes: Bytes) -> Result<u64, CodecError> {
            let value = wire::take_varint(&mut bytes).ok_or_else(|| CodecError::new::<u64>("no varint"))?;
            if !bytes.is_empty() {
                return Err(CodecError::new::<u64>(format!("{} bytes too many", bytes.len())));
            }
            Ok(value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same bytes in every build: what one wrote the other has to read.
    #[test]
    fn numbers_and_nothing_have_the_same_bytes_with_and_without_serde() {
        assert_eq!(to_bytes(&()).unwrap(), b"".as_slice());
        assert_eq!(to_bytes(&0_u64).unwrap(), [0].as_slice());
        assert_eq!(to_bytes(&300_u64).unwrap(), [0xac, 0x02].as_slice());
        assert_eq!(u64::decode(Bytes::from_static(&[0xac, 0x02])), Ok(300));
        assert_eq!(u64::decode(Bytes::from_static(&[0x80, 0x00])), Ok(0));
        assert!(<()>::decode(Bytes::from_static(&[0])).is_err());
        assert!(u64::decode(Bytes::from_static(&[1, 1])).is_err());
        assert!(u64::decode(Bytes::new()).is_err());
    }

    #[test]
    fn raw_shares_its_bytes() {
        let bytes = Bytes::from(vec![7; 100]);
        let raw = Raw::decode(bytes.clone()).unwrap();
        assert_eq!(raw.0.as_ptr(), bytes.as_ptr());
        assert_eq!(to_bytes(&raw).unwrap(), bytes);
    }

    #[test]
    fn raw_shares_what_is_lent_to_it() {
        let bytes = Bytes::from(vec![7; 100]);
        let raw = Raw::decode_lent(Lent::behind(40, &bytes)).unwrap();
        assert_eq!(raw.0.as_ptr(), bytes.slice(40..).as_ptr());
        assert_eq!(raw.0.len(), 60);
    }

    #[test]
    fn an_error_names_the_type_and_not_the_bytes() {
        let error = u64::decode(Bytes::from_static(b"\x01secret")).unwrap_err().to_string();
        assert_eq!(error, "not a u64: 6 bytes too many");
    }

    #[cfg(feature = "serde")]
    mod with_serde {
        use std::collections::BTreeMap;

        use proptest::prelude::*;
        use serde::{Deserialize, Serialize, Serializer, ser::SerializeSeq};

        use super::*;

        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        enum Sample {
            Nothing,
            Number(i64),
            Pair { name: String, bytes: Bytes },
            Many(Vec<Option<u32>>),
            Map(BTreeMap<u8, String>),
        }

        fn sample() -> impl Strategy<Value = Sample> {
            prop_oneof![
                Just(Sample::Nothing),
                any::<i64>().prop_map(Sample::Number),
                (any::<String>(), any::<Vec<u8>>())
                    .prop_map(|(name, bytes)| Sample::Pair { name, bytes: bytes.into() }),
                any::<Vec<Option<u32>>>().prop_map(Sample::Many),
                any::<BTreeMap<u8, String>>().prop_map(Sample::Map),
            ]
        }

        proptest! {
            #[test]
            fn values_come_back_and_go_behind_what_is_there(value in sample(), header: Vec<u8>) {
                let mut bytes = header.clone();
                value.encode(&mut bytes).unwrap();
                let mut bytes = Bytes::from(bytes);
                let lent = Sample::decode_lent(Lent::behind(header.len(), &bytes));
                prop_assert_eq!(lent.as_ref(), Ok(&value));
                prop_assert_eq!(bytes.split_to(header.len()), header);
                prop_assert_eq!(Sample::decode(bytes).unwrap(), value);
            }

            #[test]
            fn bytes_too_many_or_too_few_are_refused(value in sample(), tail in prop::collection::vec(any::<u8>(), 1..9)) {
                let bytes = to_bytes(&value).unwrap();
                prop_assert!(Sample::decode([&bytes[..], &tail].concat().into()).is_err());
                prop_assert!(Sample::decode(bytes.slice(..bytes.len() - 1)).is_err());
            }

            #[test]
            fn garbage_never_panics(garbage: Vec<u8>) {
                // Decoded or refused: what is decoded encodes again.
                if let Ok(value) = Sample::decode(garbage.into()) {
                    prop_assert_eq!(Sample::decode(to_bytes(&value).unwrap()).unwrap(), value);
                }
            }
        }

        /// A list that does not know its length: postcard can't express it.
        #[derive(Deserialize)]
        struct Endless;

        impl Serialize for Endless {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_seq(None)?.end()
            }
        }

        #[test]
        fn a_value_that_fails_halfway_leaves_what_was_there() {
            let mut bytes = b"header".to_vec();
            let error = (1_u8, String::from("two"), Endless).encode(&mut bytes).unwrap_err();
            assert!(error.expected.contains("Endless"), "{error}");
            assert_eq!(bytes, b"header");
        }
    }
}

//! How commands, answers, queries and responses become bytes.

use bytes::Bytes;

/// A value that travels as bytes. With the feature `serde` (on by default) every serde type is one,
/// in the postcard format; [`Raw`] is always one.
pub trait Codec: Sized + Send + 'static {
    /// Appends the value's bytes.
    ///
    /// # Errors
    /// The value can't be expressed in this encoding.
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Reads the value back from exactly these bytes.
    ///
    /// # Errors
    /// They are not such a value.
    fn decode(bytes: Bytes) -> Result<Self, CodecError>;
}

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {expected}: {cause}")]
pub struct CodecError {
    /// What they should be.
    pub expected: &'static str,
    /// Why they are not.
    pub cause: String,
}

/// Bytes as they are, without any encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Raw(pub Bytes);

impl Codec for Raw {
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.extend_from_slice(&self.0);
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<Raw, CodecError> {
        Ok(Raw(bytes))
    }
}

#[cfg(feature = "serde")]
impl<T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static> Codec for T {
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        let expected = std::any::type_name::<T>();
        let bytes =
            postcard::to_allocvec(self).map_err(|cause| CodecError { expected, cause: cause.to_string() })?;
        into.extend_from_slice(&bytes);
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<T, CodecError> {
        let expected = std::any::type_name::<T>();
        let (value, rest) = postcard::take_from_bytes(&bytes)
            .map_err(|cause| CodecError { expected, cause: cause.to_string() })?;
        if !rest.is_empty() {
            return Err(CodecError { expected, cause: format!("{} bytes too many", rest.len()) });
        }
        Ok(value)
    }
}

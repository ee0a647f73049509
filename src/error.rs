//! What can go wrong, by what the caller can do about it.

/// A [`Config`](crate::Config) that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("config: `{field}` {rule}")]
pub struct ConfigError {
    /// The field that is off.
    pub field: &'static str,
    /// What it has to be.
    pub rule: &'static str,
}

//! The one error type of the crate.

use std::borrow::Cow;
use std::fmt;

/// What went wrong, with a message that is safe to log and tells the caller what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustodyError {
    /// An argument is outside its documented range.
    Input(Cow<'static, str>),
    /// The seal cannot be made or opened, or the root key is not usable in this process.
    Seal(Cow<'static, str>),
    /// A sealed record does not authenticate under its identity.
    DamagedRecord(Cow<'static, str>),
    /// Bytes that are not an acceptable key of the algorithm.
    KeyMaterial(Cow<'static, str>),
    /// A ciphertext does not authenticate.
    Unwrap(Cow<'static, str>),
    /// The locked region has no room for another key.
    Full(Cow<'static, str>),
}

impl CustodyError {
    pub(crate) fn input(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Input(message.into())
    }

    pub(crate) fn seal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Seal(message.into())
    }

    pub(crate) fn damaged(message: impl Into<Cow<'static, str>>) -> Self {
        Self::DamagedRecord(message.into())
    }

    pub(crate) fn key_material(message: impl Into<Cow<'static, str>>) -> Self {
        Self::KeyMaterial(message.into())
    }

    pub(crate) fn unwrap_failed() -> Self {
        Self::Unwrap(Cow::Borrowed(
            "the ciphertext does not authenticate under this key, header and aad",
        ))
    }

    /// The message alone, without the kind.
    pub fn message(&self) -> &str {
        match self {
            Self::Input(message)
            | Self::Seal(message)
            | Self::DamagedRecord(message)
            | Self::KeyMaterial(message)
            | Self::Unwrap(message)
            | Self::Full(message) => message,
        }
    }
}

impl fmt::Display for CustodyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())
    }
}

impl std::error::Error for CustodyError {}

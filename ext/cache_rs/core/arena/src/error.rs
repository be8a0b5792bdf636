//! The one error type of the crate. Messages are safe to log: they hold no record body and no key.

use std::fmt;
use std::io;

/// What can go wrong in the arena.
#[derive(Debug)]
pub enum Error {
    /// An argument is outside its documented range.
    Input(String),
    /// The arena is of another layout, damaged, out of slots, or the operating system refused it.
    Arena(String),
    /// The audit log cannot be written or synced.
    AuditWrite(String),
    /// A required sink of the audit log does not take records, so none is written.
    AuditHeld(String),
    /// The audit log on disk is not what was written.
    AuditDamaged(String),
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::Input(message.into())
    }

    pub(crate) fn arena_os(what: &str, cause: io::Error) -> Self {
        Self::Arena(format!("{what}: {cause}"))
    }

    pub(crate) fn audit_os(what: impl fmt::Display, cause: &io::Error) -> Self {
        Self::AuditWrite(format!("{what}: {cause}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(message)
            | Self::Arena(message)
            | Self::AuditWrite(message)
            | Self::AuditHeld(message)
            | Self::AuditDamaged(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

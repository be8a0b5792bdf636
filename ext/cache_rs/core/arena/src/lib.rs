//! Shared-memory arena of ron-kms: verify cache, admission ledger, metrics and audit append that all
//! worker processes share. No PyO3 here. `docs/CONCURRENCY.md` specifies layout, orderings and crash
//! rules.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("the arena needs 64-bit Linux: memfd, futexes, robust mutexes");

pub mod admission;
mod arena;
pub mod audit;
pub mod cache;
mod clock;
mod config;
mod error;
mod futex;
mod layout;
pub mod metrics;
mod region;
mod robust_mutex;
pub mod slots;
mod tag;
#[cfg(test)]
mod test_arena;
mod word;

pub use arena::{Admission, Arena};
pub use audit::AuditLog;
pub use config::{BUCKET_BOUNDS_NS, Config, TENANT_LABELS};
pub use error::{Error, Result};
pub use tag::{TAG_BYTES, Tag, TagBuilder};
pub use word::Word;

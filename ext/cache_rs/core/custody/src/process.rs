//! Hardening of the whole process.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

use crate::{CustodyError, Result};

/// Makes the process undumpable and unreadable to others of its user (`PR_SET_DUMPABLE` 0), sets
/// `RLIMIT_CORE` to 0, and raises `RLIMIT_MEMLOCK` to its hard limit. Children inherit all three.
///
/// # Errors
/// `Seal`: the kernel refused.
pub fn harden_process() -> Result<()> {
    let refused = |error| CustodyError::seal(format!("cannot harden the process: {error}"));
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(refused)?;
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )
    .map_err(refused)?;
    let limit = getrlimit(Resource::Memlock);
    setrlimit(
        Resource::Memlock,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .map_err(refused)
}

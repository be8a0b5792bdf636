//! Locked, no-dump, zeroized memory for plain key bytes.
//!
//! Two pools per process, each one mapping between guard pages, locked page by page as it is first
//! touched, and left out of core dumps:
//!
//! - `KEYS` holds unsealed keys and what is in transit. A fork wipes it in the child
//!   (`MADV_WIPEONFORK`): a child never inherits an unsealed key, and a handle made before the fork says
//!   so instead of signing with zeros.
//! - `ROOTS` holds root keys and what is derived from them. The child keeps its copy and must call
//!   [`relock`], because memory locks are not inherited.
//!
//! A fork must happen while no other thread uses the custody (the server forks before it starts
//! threads): a child would inherit a lock that nobody gives back.

mod mapping;
mod pool;
mod secret;
mod units;

use crate::Result;
use pool::{OnFork, Pool};

pub(crate) use secret::Secret;

const KIB: usize = 1024;

/// Unsealed keys and secrets in transit: 250,000 Ed25519 keys, or 4,000 of ML-DSA-65. Under the usual limit of
/// 8 MiB it has 7, so that there is room for `ROOTS`.
pub(crate) static KEYS: Pool = Pool::new(16 * 1024 * KIB, 256 * KIB, OnFork::Wipe);

/// Root keys and keys derived from them.
pub(crate) static ROOTS: Pool = Pool::new(64 * KIB, 64 * KIB, OnFork::Keep);

/// Takes the memory locks again. To be called in each child, first thing after a fork.
///
/// # Errors
/// `Seal` if the limit on locked memory is too low.
pub fn relock() -> Result<()> {
    KEYS.relock()?;
    ROOTS.relock()
}

/// Address ranges [start, end) of locked memory in this process.
pub fn regions() -> Vec<(usize, usize)> {
    [KEYS.range(), ROOTS.range()].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::{KEYS, regions};

    #[test]
    fn a_secret_starts_zeroed_and_ends_zeroized() {
        let mut secret = KEYS.secret(100).unwrap();
        assert!(secret.bytes().unwrap().iter().all(|&byte| byte == 0));
        secret.bytes_mut().unwrap().fill(0x5A);
        let address = secret.bytes().unwrap().as_ptr();
        assert!(
            regions()
                .iter()
                .any(|&(start, end)| (start..end).contains(&(address as usize)))
        );
        secret.truncate(10).unwrap();
        // SAFETY: the run has 128 bytes and the secret is alive.
        assert_eq!(unsafe { std::ptr::read_volatile(address.add(10)) }, 0);
        assert_eq!(secret.bytes().unwrap(), [0x5A; 10]);
    }

    #[test]
    fn the_mapping_is_locked_and_not_dumped() {
        let secret = KEYS.secret(32).unwrap();
        let address = secret.bytes().unwrap().as_ptr() as usize;
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        let mut flags = None;
        for line in smaps.lines() {
            if let Some((range, _)) = line.split_once(' ')
                && let Some((start, end)) = range.split_once('-')
                && let (Ok(start), Ok(end)) =
                    (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
            {
                inside = (start..end).contains(&address);
            } else if inside && let Some(found) = line.strip_prefix("VmFlags:") {
                flags = Some(found.to_owned());
            }
        }
        let flags = flags.unwrap();
        for flag in [" lo", " dd", " wf"] {
            assert!(flags.contains(flag), "{flag} is missing in{flags}");
        }
    }
}

//! Single flight: a hint table that lets concurrent misses on one tag wait for the first.
//!
//! Nothing here is needed for a right answer: a collision, a dead claimant or a lost wake-up costs a
//! bounded wait or a second computation.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::futex;
use crate::region::Shared;
use crate::tag::Tag;

/// Longest wait for another's computation.
pub const WAIT: Duration = Duration::from_millis(2);
/// A flight older than this is ignored: its claimant died or is too slow to wait for.
const EXPIRY_MS: u64 = 50;
const TIME_BITS: u32 = 24;

/// One entry of the table.
#[repr(C, align(64))]
pub struct Flight {
    /// `tag bits << 24 | milliseconds`; 0: nobody computes.
    claim: AtomicU64,
    /// Counts landings; waiters sleep on it.
    landed: AtomicU32,
}

// SAFETY: atomics and padding only, 64-byte aligned.
unsafe impl Shared for Flight {}

/// Outcome of `Flight::claim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The caller computes and ends the flight.
    Mine,
    /// Another computes the same tag; wait with this number.
    Theirs(u32),
    /// The entry is in use for another tag: compute without a flight.
    Collision,
}

impl Flight {
    /// The entry for a tag.
    pub fn of<'a>(flights: &'a [Self], tag: &Tag) -> &'a Self {
        &flights[tag.0[2] as usize % flights.len()]
    }

    /// Registers the caller as the one who computes, unless somebody is.
    pub fn claim(&self, tag: &Tag, now_ms: u64) -> Claim {
        let landed = self.landed.load(Ordering::Acquire);
        let seen = self.claim.load(Ordering::Acquire);
        let age = now_ms.wrapping_sub(seen) & ((1 << TIME_BITS) - 1);
        if seen != 0 && age <= EXPIRY_MS {
            return if seen >> TIME_BITS == tag_bits(tag) {
                Claim::Theirs(landed)
            } else {
                Claim::Collision
            };
        }
        let word = tag_bits(tag) << TIME_BITS | now_ms & ((1 << TIME_BITS) - 1);
        match self
            .claim
            .compare_exchange(seen, word, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => Claim::Mine,
            Err(other) if other >> TIME_BITS == tag_bits(tag) => Claim::Theirs(landed),
            Err(_) => Claim::Collision,
        }
    }

    /// Waits until the flight seen with `landed` ends, at most `WAIT`.
    pub fn wait(&self, landed: u32) {
        futex::wait(&self.landed, landed, WAIT);
    }

    /// Ends the flight of this tag, if there is one.
    #[inline]
    pub fn land(&self, tag: &Tag) {
        let seen = self.claim.load(Ordering::Relaxed);
        if seen == 0 || seen >> TIME_BITS != tag_bits(tag) {
            return;
        }
        if self
            .claim
            .compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
        {
            self.landed.fetch_add(1, Ordering::Release);
            futex::wake_all(&self.landed);
        }
    }
}

/// 40 bits that tell flights in one entry apart; never 0.
fn tag_bits(tag: &Tag) -> u64 {
    tag.0[3] >> TIME_BITS | 1
}

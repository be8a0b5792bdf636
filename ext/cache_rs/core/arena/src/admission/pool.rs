//! Units in flight: one word per worker slot, summed to decide.
//!
//! Invariant: the sum of what was admitted and not released never exceeds the limit, whatever the
//! interleaving; a worker killed anywhere leaves its words too high, never too low.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::region::Shared;
use crate::word::Word;

/// What one slot has in flight in one class.
#[repr(C, align(64))]
pub struct PoolRow<W> {
    /// Cost units, guaranteed and surplus.
    pub units: W,
    /// The surplus part of them.
    pub surplus: W,
    /// Permits.
    pub permits: W,
}

// SAFETY: atomics and padding only, 64-byte aligned.
unsafe impl Shared for PoolRow<AtomicU64> {}

impl<W: Word> PoolRow<W> {
    /// A row over words that are zero.
    pub fn new(mut zero: impl FnMut() -> W) -> Self {
        Self {
            units: zero(),
            surplus: zero(),
            permits: zero(),
        }
    }

    /// Sets the row of a reaped worker to zero and returns how many permits it held.
    pub fn reclaim(&self) -> u64 {
        let held = self.permits.load(Ordering::Acquire);
        self.permits.store(0, Ordering::Release);
        self.surplus.store(0, Ordering::Release);
        self.units.store(0, Ordering::Release);
        held
    }
}

/// Adds `units` to the own word and keeps them if the sum of all words is at most `limit`.
///
/// `Ok` is the sum with them, `Err` the sum that was too high; then they are taken back.
#[inline]
pub fn take<'a, W: Word + 'a>(
    own: &W,
    all: impl Iterator<Item = &'a W>,
    units: u64,
    limit: u64,
) -> Result<u64, u64> {
    let sum = add(own, all, units);
    if sum > limit {
        give_back(own, units);
        return Err(sum);
    }
    Ok(sum)
}

/// Adds `units` to the own word and returns the sum of all words.
#[inline]
pub fn add<'a, W: Word + 'a>(own: &W, all: impl Iterator<Item = &'a W>, units: u64) -> u64 {
    own.fetch_add(units, Ordering::AcqRel);
    // Of two takers, the one whose fence is later sees the other's addition.
    W::fence(Ordering::SeqCst);
    sum(all)
}

/// The sum of all words.
#[inline]
pub fn sum<'a, W: Word + 'a>(all: impl Iterator<Item = &'a W>) -> u64 {
    all.fold(0_u64, |sum, word| {
        sum.saturating_add(word.load(Ordering::Acquire))
    })
}

/// Takes units back from the own word.
#[inline]
pub fn give_back<W: Word>(own: &W, units: u64) {
    own.fetch_sub(units, Ordering::AcqRel);
}

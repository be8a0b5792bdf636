//! The 64-bit atomic that every algorithm of the arena is generic over.
//!
//! Production uses `AtomicU64` in the mapping; the loom models bring their own type, because loom's
//! atomics have another size and cannot live there.

use std::sync::atomic::{AtomicU64, Ordering};

/// A 64-bit atomic word.
pub trait Word: Send + Sync {
    /// Atomic load.
    fn load(&self, order: Ordering) -> u64;
    /// Atomic store.
    fn store(&self, value: u64, order: Ordering);
    /// Adds, wrapping, and returns the previous value.
    fn fetch_add(&self, value: u64, order: Ordering) -> u64;
    /// Subtracts, wrapping, and returns the previous value.
    fn fetch_sub(&self, value: u64, order: Ordering) -> u64;
    /// Stores `new` if the word is `current`; a failure is relaxed.
    fn compare_exchange(&self, current: u64, new: u64, order: Ordering) -> Result<u64, u64>;
    /// A memory fence of the same world.
    fn fence(order: Ordering);
}

impl Word for AtomicU64 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        AtomicU64::load(self, order)
    }

    #[inline(always)]
    fn store(&self, value: u64, order: Ordering) {
        AtomicU64::store(self, value, order);
    }

    #[inline(always)]
    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        AtomicU64::fetch_add(self, value, order)
    }

    #[inline(always)]
    fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        AtomicU64::fetch_sub(self, value, order)
    }

    #[inline(always)]
    fn compare_exchange(&self, current: u64, new: u64, order: Ordering) -> Result<u64, u64> {
        AtomicU64::compare_exchange(self, current, new, order, Ordering::Relaxed)
    }

    #[inline(always)]
    fn fence(order: Ordering) {
        std::sync::atomic::fence(order);
    }
}

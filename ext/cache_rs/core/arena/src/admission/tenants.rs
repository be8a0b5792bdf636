//! The tenant table: from a keyed hash to the words that account for the tenant.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::admission::pool;
use crate::admission::share::TenantDemand;
use crate::layout::CLASSES;

const PROBES: usize = 16;

/// A view on the table. The last entry is the overflow entry.
pub struct Tenants<'a> {
    pub(crate) keys: &'a [AtomicU64],
    pub(crate) demand: &'a [TenantDemand],
    pub(crate) columns: &'a [AtomicU64],
    pub(crate) stride: usize,
    pub(crate) slots: usize,
}

impl<'a> Tenants<'a> {
    /// The entry of a tenant, made or taken over if it has none; the overflow entry if there is no room.
    #[inline]
    pub fn find(&self, hash: u64, window: u64) -> usize {
        let entries = self.keys.len() - 1;
        let start = hash as usize % entries;
        for probe in 0..PROBES {
            let index = (start + probe) % entries;
            let mut key = self.keys[index].load(Ordering::Acquire);
            if key == 0 {
                match self.keys[index].compare_exchange(0, hash, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return index,
                    Err(other) => key = other,
                }
            }
            if key == hash {
                return index;
            }
        }
        self.take_over(hash, start, window).unwrap_or(entries)
    }

    #[cold]
    fn take_over(&self, hash: u64, start: usize, window: u64) -> Option<usize> {
        let entries = self.keys.len() - 1;
        (0..PROBES).map(|probe| (start + probe) % entries).find(|&index| {
            let key = self.keys[index].load(Ordering::Acquire);
            self.demand[index].is_idle(window)
                && (0..CLASSES).all(|class| pool::sum(self.column(index, class)) == 0)
                && self.keys[index]
                    .compare_exchange(key, hash, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
        })
    }

    /// A tenant's words in one class, one per slot.
    #[inline]
    pub fn column(&self, index: usize, class: usize) -> impl Iterator<Item = &'a AtomicU64> + use<'a> {
        let start = (index * CLASSES + class) * self.stride;
        self.columns[start..start + self.slots].iter()
    }

    /// The word of one slot in it.
    #[inline]
    pub fn cell(&self, index: usize, class: usize, slot: usize) -> &'a AtomicU64 {
        &self.columns[(index * CLASSES + class) * self.stride + slot]
    }

    /// Sets a reaped worker's words to zero in all tenants.
    pub fn reclaim(&self, slot: usize) {
        for column in self.columns.chunks_exact(self.stride) {
            if column[slot].load(Ordering::Relaxed) != 0 {
                column[slot].store(0, Ordering::Release);
            }
        }
    }
}

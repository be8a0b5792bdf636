//! The verify cache: verdicts of deterministic verifications by keyed tag, shared by all workers.
//!
//! Two areas with the same rules, one for valid and one for invalid signatures, so that garbage can only
//! evict garbage. The rules stand in `docs/CONCURRENCY.md`.

mod flight;
mod line;
mod set;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicU64;

pub use flight::{Claim, Flight};
pub use line::{Entry, Line, Occupancy};
pub use set::{Lookup, Set, WAYS};

use crate::slots::{Owner, Slots};
use crate::tag::Tag;

/// A view on both areas.
pub struct VerifyCache<'a> {
    pub(crate) main: &'a [Line<AtomicU64>],
    pub(crate) negative: &'a [Line<AtomicU64>],
    pub(crate) flights: &'a [Flight],
    pub(crate) slots: Slots<'a, AtomicU64>,
    pub(crate) owner: Owner,
    pub(crate) ttl_ms: u64,
}

/// State of the cache at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheState {
    /// Entries that hold a place, expired ones included.
    pub size: u64,
    /// Mean age in milliseconds of those not expired.
    pub mean_age_ms: u64,
    /// Age in milliseconds of the oldest that holds a place.
    pub oldest_ms: u64,
}

impl VerifyCache<'_> {
    /// Looks a tag up in both areas.
    #[inline]
    pub fn get(&self, tag: &Tag, now_ms: u64) -> Lookup {
        match Set::of(self.main, self.main.len() / WAYS, tag).get(tag, now_ms, self.ttl_ms) {
            Lookup::Miss => {
                Set::of(self.negative, self.negative.len() / WAYS, tag).get(tag, now_ms, self.ttl_ms)
            }
            found => found,
        }
    }

    /// Stores a verdict; `negative` chooses the area. Ends the tag's flight.
    pub fn put(&self, tag: &Tag, verdict: u8, negative: bool, now_ms: u64) {
        let area = if negative { self.negative } else { self.main };
        let entry = Entry {
            verdict,
            inserted_ms: now_ms,
        };
        Set::of(area, area.len() / WAYS, tag).put(tag, entry, self.ttl_ms, self.owner, &self.slots);
        self.land(tag);
    }

    /// Ends the tag's flight without a verdict.
    #[inline]
    pub fn land(&self, tag: &Tag) {
        Flight::of(self.flights, tag).land(tag);
    }

    /// Looks a tag up; on a miss waits for a computation under way, at most 2 ms. After a miss or a
    /// stale entry the caller computes, and calls `put` or `land`.
    pub fn claim(&self, tag: &Tag, now_ms: u64) -> Lookup {
        let found = self.get(tag, now_ms);
        if let Lookup::Hit(_) = found {
            return found;
        }
        let flight = Flight::of(self.flights, tag);
        let claim = flight.claim(tag, now_ms);
        // Another flight may have landed between the look-up and the claim.
        if let hit @ Lookup::Hit(_) = self.get(tag, now_ms) {
            if claim == Claim::Mine {
                flight.land(tag);
            }
            return hit;
        }
        let Claim::Theirs(landed) = claim else {
            return found;
        };
        flight.wait(landed);
        match self.get(tag, now_ms) {
            hit @ Lookup::Hit(_) => hit,
            _ => found,
        }
    }

    /// Frees expired entries, or all, and those left by reaped writers. Returns how many entries.
    pub fn sweep(&self, all_entries: bool, now_ms: u64) -> u64 {
        let mut dropped = 0;
        for line in self.main.iter().chain(self.negative) {
            let (occupancy, seen) = line.occupancy(&self.slots);
            match occupancy {
                Occupancy::Taken { inserted_ms, .. }
                    if all_entries || now_ms.saturating_sub(inserted_ms) > self.ttl_ms =>
                {
                    dropped += u64::from(line.clear(seen, self.owner));
                }
                Occupancy::Free if line.is_locked() => {
                    line.clear(seen, self.owner);
                }
                _ => {}
            }
        }
        dropped
    }

    /// Size and ages, by a pass over all entries (some milliseconds for a full cache).
    pub fn state(&self, now_ms: u64) -> CacheState {
        let mut state = CacheState::default();
        let (mut live, mut ages) = (0_u64, 0_u64);
        for entry in self.main.iter().chain(self.negative).filter_map(Line::entry) {
            let age = now_ms.saturating_sub(entry.inserted_ms);
            state.size += 1;
            state.oldest_ms = state.oldest_ms.max(age);
            if age <= self.ttl_ms {
                live += 1;
                ages += age;
            }
        }
        state.mean_age_ms = ages.checked_div(live).unwrap_or(0);
        state
    }
}

//! One cache entry: a 64-byte line under a sequence lock whose word names its owner.
//!
//! Invariants: a reader never waits and never returns words of two writes; a line is written only by
//! the owner in its odd lock word; that owner is replaced only after it was reaped.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::region::Shared;
use crate::slots::{Owner, Slots};
use crate::tag::Tag;
use crate::word::Word;

const SEQUENCE_SHIFT: u32 = 28;
const SEQUENCE_ONE: u64 = 1 << SEQUENCE_SHIFT;
const USED: u64 = 1;

/// Most that the recency counter counts.
pub const RECENCY_MAX: u64 = 3;

/// A cache entry in the mapping.
#[repr(C, align(64))]
pub struct Line<W> {
    /// `sequence << 28 | slot << 20 | generation`; odd sequence: being written by that owner.
    lock: W,
    tag: [W; 4],
    /// `milliseconds << 16 | verdict << 8 | used`.
    stamp: W,
    /// Hits since the entry came, at most 3; not under the lock.
    recency: W,
}

// SAFETY: atomics and padding only, 64-byte aligned.
unsafe impl Shared for Line<AtomicU64> {}

/// What a valid entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Verdict bits as given to `put`.
    pub verdict: u8,
    /// Coarse monotonic milliseconds of the insertion.
    pub inserted_ms: u64,
}

/// How a line looks to somebody who searches a place for a new entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupancy {
    /// Holds nothing, or is left over from a reaped writer: take it first.
    Free,
    /// Being written by a living owner: leave it alone.
    Busy,
    /// Holds an entry.
    Taken {
        /// Milliseconds of the insertion.
        inserted_ms: u64,
        /// Recency counter.
        recency: u64,
    },
}

fn is_odd(lock: u64) -> bool {
    lock & SEQUENCE_ONE != 0
}

impl<W: Word> Line<W> {
    /// A line over words that are zero: an empty entry.
    pub fn new(mut zero: impl FnMut() -> W) -> Self {
        Self {
            lock: zero(),
            tag: [zero(), zero(), zero(), zero()],
            stamp: zero(),
            recency: zero(),
        }
    }

    /// The entry, if this line holds the tag. Never waits; a line in motion is a miss.
    #[inline]
    pub fn read(&self, tag: &Tag) -> Option<Entry> {
        // Most lines are told apart by one word, before the lock is looked at.
        if self.tag[0].load(Ordering::Relaxed) != tag.0[0] {
            return None;
        }
        let (found, stamp) = self.read_any()?;
        (found == *tag).then_some(stamp).flatten()
    }

    /// Tag and entry of a line that is not in motion; `None` inside for an empty one.
    #[inline]
    fn read_any(&self) -> Option<(Tag, Option<Entry>)> {
        let before = self.lock.load(Ordering::Acquire);
        if is_odd(before) {
            return None;
        }
        let tag = Tag([
            self.tag[0].load(Ordering::Relaxed),
            self.tag[1].load(Ordering::Relaxed),
            self.tag[2].load(Ordering::Relaxed),
            self.tag[3].load(Ordering::Relaxed),
        ]);
        let stamp = self.stamp.load(Ordering::Relaxed);
        // The data loads happen before the second look at the lock.
        W::fence(Ordering::Acquire);
        if self.lock.load(Ordering::Relaxed) != before {
            return None;
        }
        let entry = (stamp & USED != 0).then_some(Entry {
            verdict: (stamp >> 8) as u8,
            inserted_ms: stamp >> 16,
        });
        Some((tag, entry))
    }

    /// The entry of a line that is not in motion, whatever its tag.
    pub fn entry(&self) -> Option<Entry> {
        self.read_any()?.1
    }

    /// Counts a hit. Lost updates are harmless: the counter only orders victims.
    #[inline]
    pub fn touch(&self) {
        let recency = self.recency.load(Ordering::Relaxed);
        if recency < RECENCY_MAX {
            self.recency.store(recency + 1, Ordering::Relaxed);
        }
    }

    /// Takes one step of recency away.
    pub fn age(&self) {
        let recency = self.recency.load(Ordering::Relaxed).min(RECENCY_MAX);
        if recency > 0 {
            self.recency.store(recency - 1, Ordering::Relaxed);
        }
    }

    /// How the line looks to a writer, with the lock word to hand to `write` or `clear`.
    pub fn occupancy(&self, slots: &Slots<'_, W>) -> (Occupancy, u64) {
        let lock = self.lock.load(Ordering::Acquire);
        if is_odd(lock) {
            let reaped = slots.is_reaped(Owner::unpack(lock));
            return (if reaped { Occupancy::Free } else { Occupancy::Busy }, lock);
        }
        // Not validated: it only orders victims, and `write` fails if the lock word has moved since.
        let stamp = self.stamp.load(Ordering::Relaxed);
        let occupancy = if stamp & USED == 0 {
            Occupancy::Free
        } else {
            let recency = self.recency.load(Ordering::Relaxed).min(RECENCY_MAX);
            Occupancy::Taken {
                inserted_ms: stamp >> 16,
                recency,
            }
        };
        (occupancy, lock)
    }

    /// Writes an entry if the lock word is still the one seen by `occupancy`. `false`: not written.
    pub fn write(&self, seen: u64, owner: Owner, tag: &Tag, entry: Entry) -> bool {
        let stamp = entry.inserted_ms << 16 | u64::from(entry.verdict) << 8 | USED;
        self.replace(seen, owner, tag, stamp)
    }

    /// Empties the line under the same condition as `write`.
    pub fn clear(&self, seen: u64, owner: Owner) -> bool {
        self.replace(seen, owner, &Tag([0; 4]), 0)
    }

    fn replace(&self, seen: u64, owner: Owner, tag: &Tag, stamp: u64) -> bool {
        let sequence = seen >> SEQUENCE_SHIFT;
        // From even to the next odd, or from a reaped owner's odd to the odd after it.
        let odd = if is_odd(seen) {
            sequence.wrapping_add(2)
        } else {
            sequence.wrapping_add(1)
        };
        let locked = odd << SEQUENCE_SHIFT | owner.pack();
        // Acquire: the stores below stay behind the lock; only one taker of `seen` succeeds.
        if self
            .lock
            .compare_exchange(seen, locked, Ordering::Acquire)
            .is_err()
        {
            return false;
        }
        // A reader that sees one of the stores below sees the odd lock word too.
        W::fence(Ordering::Release);
        for (word, value) in self.tag.iter().zip(tag.0) {
            word.store(value, Ordering::Relaxed);
        }
        self.stamp.store(stamp, Ordering::Relaxed);
        self.recency.store(0, Ordering::Relaxed);
        self.lock.store(
            odd.wrapping_add(1) << SEQUENCE_SHIFT | owner.pack(),
            Ordering::Release,
        );
        true
    }

    /// Whether a writer, living or dead, left the lock word odd.
    pub fn is_locked(&self) -> bool {
        is_odd(self.lock.load(Ordering::Relaxed))
    }
}

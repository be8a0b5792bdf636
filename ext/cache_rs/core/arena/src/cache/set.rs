//! One set of eight entries: lookup, and the choice of the entry that makes room.

use crate::cache::line::{Entry, Line, Occupancy};
use crate::slots::{Owner, Slots};
use crate::tag::Tag;
use crate::word::Word;

/// Entries of a set.
pub const WAYS: usize = 8;

/// A view on one set.
pub struct Set<'a, W> {
    lines: &'a [Line<W>],
}

/// Outcome of `Set::get`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A live entry with this verdict.
    Hit(u8),
    /// No entry.
    Miss,
    /// An entry past its time to live.
    Stale,
}

impl<'a, W: Word> Set<'a, W> {
    /// The set that the tag belongs to, of `sets` in `lines`.
    #[inline]
    pub fn of(lines: &'a [Line<W>], sets: usize, tag: &Tag) -> Self {
        // Maps the first word to 0..sets without a division.
        let set = ((u128::from(tag.0[0]) * sets as u128) >> 64) as usize;
        Self {
            lines: &lines[set * WAYS..(set + 1) * WAYS],
        }
    }

    /// Looks the tag up, starting where `put` would have placed it in an empty set.
    #[inline]
    pub fn get(&self, tag: &Tag, now_ms: u64, ttl_ms: u64) -> Lookup {
        let first = preferred_way(tag);
        for step in 0..WAYS {
            let line = &self.lines[(first + step) % WAYS];
            let Some(entry) = line.read(tag) else { continue };
            if now_ms.saturating_sub(entry.inserted_ms) > ttl_ms {
                return Lookup::Stale;
            }
            line.touch();
            return Lookup::Hit(entry.verdict);
        }
        Lookup::Miss
    }

    /// Stores an entry. Gives up, without waiting, if all candidates are being written by others.
    pub fn put(&self, tag: &Tag, entry: Entry, ttl_ms: u64, owner: Owner, slots: &Slots<'_, W>) {
        let first = preferred_way(tag);
        if let Some(line) = self.lines.iter().find(|line| line.read(tag).is_some()) {
            let (occupancy, seen) = line.occupancy(slots);
            if occupancy != Occupancy::Busy {
                line.write(seen, owner, tag, entry);
            }
            return;
        }
        for attempt in 0..WAYS {
            let Some((way, seen)) = self.victim(first, entry.inserted_ms, ttl_ms, slots) else {
                return;
            };
            if attempt == 0 {
                self.age_one(tag, seen);
            }
            if self.lines[way].write(seen, owner, tag, entry) {
                return;
            }
        }
    }

    /// Slow ageing: on every fourth insertion one way loses a step, so that an entry which is never hit
    /// again leaves after about a hundred.
    fn age_one(&self, tag: &Tag, seen: u64) {
        // The lock word counts writes: the same tag does not always age the same way.
        let mixed = (tag.0[3] ^ seen).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59;
        if mixed & 3 == 0 {
            self.lines[(mixed >> 2) as usize % WAYS].age();
        }
    }

    /// The way to overwrite, with the lock word seen; `None` if every way is being written.
    fn victim(&self, first: usize, now_ms: u64, ttl_ms: u64, slots: &Slots<'_, W>) -> Option<(usize, u64)> {
        let mut weakest: Option<(u64, u64, usize, u64)> = None;
        for step in 0..WAYS {
            let way = (first + step) % WAYS;
            let (occupancy, seen) = self.lines[way].occupancy(slots);
            match occupancy {
                Occupancy::Free => return Some((way, seen)),
                Occupancy::Busy => {}
                Occupancy::Taken { inserted_ms, recency } => {
                    if now_ms.saturating_sub(inserted_ms) > ttl_ms {
                        return Some((way, seen));
                    }
                    let rank = (recency, inserted_ms, way, seen);
                    if weakest.is_none_or(|least| (rank.0, rank.1) < (least.0, least.1)) {
                        weakest = Some(rank);
                    }
                }
            }
        }
        let (recency, _, way, seen) = weakest?;
        if recency > 0 {
            // All are protected: each loses a step, so that the newcomer is not the only candidate for ever.
            self.lines.iter().for_each(Line::age);
        }
        Some((way, seen))
    }
}

fn preferred_way(tag: &Tag) -> usize {
    tag.0[1] as usize % WAYS
}

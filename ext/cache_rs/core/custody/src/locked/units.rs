//! Which 64-byte units of a region are taken.

/// Bytes per unit: a cache line, so that no two secrets share one.
pub(super) const UNIT: usize = 64;

/// Units per word of the map.
const BITS: usize = u64::BITS as usize;

/// First-fit allocation of runs of units, from where the last search ended. One bit a unit: a region of
/// 16 MiB that is nearly full is searched in a microsecond.
pub(super) struct Units {
    taken: Vec<u64>,
    count: usize,
    next: usize,
}

impl Units {
    /// `count` units, of which the first `reserved` are never given out.
    pub(super) fn new(count: usize, reserved: usize) -> Self {
        let mut units = Self {
            taken: vec![0; count.div_ceil(BITS)],
            count,
            next: reserved,
        };
        units.mark(0, reserved, true);
        units
    }

    /// Index of the first of `count` free units in a row, now taken.
    pub(super) fn take(&mut self, count: usize) -> Option<usize> {
        let first = self.search(self.next, self.count, count).or_else(|| {
            let end = (self.next + count).min(self.count);
            self.search(0, end, count)
        })?;
        self.mark(first, count, true);
        self.next = first + count;
        Some(first)
    }

    pub(super) fn give_back(&mut self, first: usize, count: usize) {
        debug_assert!((first..first + count).all(|unit| self.is_taken(unit)));
        self.mark(first, count, false);
    }

    fn is_taken(&self, unit: usize) -> bool {
        self.taken[unit / BITS] >> (unit % BITS) & 1 == 1
    }

    fn mark(&mut self, first: usize, count: usize, taken: bool) {
        for unit in first..first + count {
            let bit = 1 << (unit % BITS);
            if taken {
                self.taken[unit / BITS] |= bit;
            } else {
                self.taken[unit / BITS] &= !bit;
            }
        }
    }

    fn search(&self, from: usize, to: usize, count: usize) -> Option<usize> {
        let mut run = 0;
        let mut unit = from;
        while unit < to {
            if unit.is_multiple_of(BITS) && self.taken[unit / BITS] == u64::MAX {
                run = 0;
                unit += BITS;
                continue;
            }
            run = if self.is_taken(unit) { 0 } else { run + 1 };
            unit += 1;
            if run == count {
                return Some(unit - count);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Units;
    use proptest::prelude::*;

    /// Not a whole number of words.
    const COUNT: usize = 150;

    #[test]
    fn the_last_free_unit_is_found_wherever_it_is() {
        let mut units = Units::new(COUNT, 1);
        assert_eq!(units.take(COUNT - 1), Some(1));
        for free in 1..COUNT {
            units.give_back(free, 1);
            assert_eq!(units.take(2), None);
            assert_eq!(units.take(1), Some(free));
            assert_eq!(units.take(1), None);
        }
    }

    proptest! {
        #[test]
        fn runs_never_overlap_and_all_room_is_used(sizes in proptest::collection::vec(1_usize..70, 1..60)) {
            let mut units = Units::new(COUNT, 1);
            let mut live: Vec<(usize, usize)> = Vec::new();
            for (step, size) in sizes.into_iter().enumerate() {
                if step % 3 == 2 && !live.is_empty() {
                    let (first, count) = live.swap_remove(step % live.len());
                    units.give_back(first, count);
                }
                if let Some(first) = units.take(size) {
                    prop_assert!(first >= 1 && first + size <= COUNT);
                    for &(other, count) in &live {
                        prop_assert!(first + size <= other || other + count <= first);
                    }
                    live.push((first, size));
                }
            }
            for (first, count) in live {
                units.give_back(first, count);
            }
            prop_assert_eq!(units.take(COUNT - 1), Some(1));
        }
    }
}

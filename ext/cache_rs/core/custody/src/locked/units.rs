//! Which 64-byte units of a region are taken.

/// Bytes per unit: a cache line, so that no two secrets share one.
pub(super) const UNIT: usize = 64;

/// First-fit allocation of runs of units, from where the last search ended.
pub(super) struct Units {
    taken: Vec<bool>,
    next: usize,
}

impl Units {
    /// `count` units, of which the first `reserved` are never given out.
    pub(super) fn new(count: usize, reserved: usize) -> Self {
        let mut units = Self {
            taken: vec![false; count],
            next: reserved,
        };
        units.taken[..reserved].fill(true);
        units
    }

    /// Index of the first of `count` free units in a row, now taken.
    pub(super) fn take(&mut self, count: usize) -> Option<usize> {
        let first = self.search(self.next, self.taken.len(), count).or_else(|| {
            let end = (self.next + count).min(self.taken.len());
            self.search(0, end, count)
        })?;
        self.taken[first..first + count].fill(true);
        self.next = first + count;
        Some(first)
    }

    pub(super) fn give_back(&mut self, first: usize, count: usize) {
        debug_assert!(self.taken[first..first + count].iter().all(|&taken| taken));
        self.taken[first..first + count].fill(false);
    }

    fn search(&self, from: usize, to: usize, count: usize) -> Option<usize> {
        let mut run = 0;
        for (index, &taken) in self.taken.iter().enumerate().take(to).skip(from) {
            run = if taken { 0 } else { run + 1 };
            if run == count {
                return Some(index + 1 - count);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Units;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_never_overlap_and_all_room_is_used(sizes in proptest::collection::vec(1_usize..9, 1..60)) {
            let mut units = Units::new(64, 1);
            let mut live: Vec<(usize, usize)> = Vec::new();
            for (step, size) in sizes.into_iter().enumerate() {
                if step % 3 == 2 && !live.is_empty() {
                    let (first, count) = live.swap_remove(step % live.len());
                    units.give_back(first, count);
                }
                if let Some(first) = units.take(size) {
                    prop_assert!(first >= 1 && first + size <= 64);
                    for &(other, count) in &live {
                        prop_assert!(first + size <= other || other + count <= first);
                    }
                    live.push((first, size));
                }
            }
            for (first, count) in live {
                units.give_back(first, count);
            }
            prop_assert_eq!(units.take(63), Some(1));
        }
    }
}

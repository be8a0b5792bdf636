//! A process-wide pool of locked memory.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::mapping::Mapping;
use super::secret::Secret;
use super::units::{UNIT, Units};
use crate::{CustodyError, Result};

/// What happens to a pool's content in a child process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFork {
    /// The child has a copy (the root key).
    Keep,
    /// The child sees zeros and starts empty (keys).
    Wipe,
}

struct Region {
    mapping: Mapping,
    units: Units,
}

/// Memory that is mapped and locked when the first secret is asked for.
///
/// The first unit of the mapping holds the pool's generation. A wiped mapping reads as generation 0,
/// which is how a child notices that it is one: no generation in use is 0.
pub(crate) struct Pool {
    largest: usize,
    smallest: usize,
    on_fork: OnFork,
    region: Mutex<Option<Region>>,
    marker: AtomicPtr<u64>,
    generation: AtomicU64,
}

impl Pool {
    /// A pool of `largest` bytes or, where the limit on locked memory is lower, of as many as it allows, in
    /// steps of an eighth, but not under `smallest`.
    pub(super) const fn new(largest: usize, smallest: usize, on_fork: OnFork) -> Self {
        Self {
            largest,
            smallest,
            on_fork,
            region: Mutex::new(None),
            marker: AtomicPtr::new(std::ptr::null_mut()),
            generation: AtomicU64::new(1),
        }
    }

    fn region(&self) -> MutexGuard<'_, Option<Region>> {
        // A panic while the lock is held leaves at worst units that are taken and unused.
        self.region.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `len` zeroed bytes.
    ///
    /// # Errors
    /// `Full` if there is no room, `Seal` if no memory can be locked.
    pub(crate) fn secret(&'static self, len: usize) -> Result<Secret> {
        let mut guard = self.region();
        if guard.is_none() {
            *guard = Some(self.map()?);
        }
        let region = guard.as_mut().expect("mapped above");
        if self.marked_generation() == 0 {
            self.restart(region)?;
        }
        let count = len.div_ceil(UNIT).max(1);
        let first = region.units.take(count).ok_or_else(|| {
            CustodyError::Full(
                format!(
                    "the locked region of {} KiB is full: drop unused keys, or raise the limit on locked \
                     memory (LimitMEMLOCK=, ulimit -l)",
                    region.mapping.len() / 1024
                )
                .into(),
            )
        })?;
        // SAFETY: the unit index is inside the mapping.
        let start = unsafe { region.mapping.start().add(first * UNIT) };
        Ok(Secret::new(
            self,
            start,
            len,
            first,
            count,
            self.generation.load(Ordering::Relaxed),
        ))
    }

    /// A locked copy of `bytes`, which stay the caller's to zeroize.
    ///
    /// # Errors
    /// As `secret`.
    pub(crate) fn copy_of(&'static self, bytes: &[u8]) -> Result<Secret> {
        let mut secret = self.secret(bytes.len())?;
        secret.bytes_mut()?.copy_from_slice(bytes);
        Ok(secret)
    }

    /// True while secrets of that generation still have their content in this process.
    #[inline]
    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.marked_generation() == generation
    }

    pub(super) fn give_back(&self, first: usize, count: usize, generation: u64) {
        let mut guard = self.region();
        if self.is_current(generation)
            && let Some(region) = guard.as_mut()
        {
            region.units.give_back(first, count);
        }
    }

    /// Takes the locks again in a child process; empties a pool that is wiped by a fork.
    pub(super) fn relock(&self) -> Result<()> {
        let mut guard = self.region();
        match guard.as_mut() {
            None => Ok(()),
            Some(region) if self.marked_generation() == 0 => self.restart(region),
            Some(region) => region.mapping.lock().map_err(cannot_lock),
        }
    }

    /// Address range [start, end) of the mapping, if there is one.
    pub(super) fn range(&self) -> Option<(usize, usize)> {
        self.region().as_ref().map(|region| {
            let start = region.mapping.start().as_ptr() as usize;
            (start, start + region.mapping.len())
        })
    }

    fn map(&self) -> Result<Region> {
        let mut len = self.largest;
        let mapping = loop {
            match Mapping::new(len, self.on_fork == OnFork::Wipe) {
                Ok(mapping) => break mapping,
                Err(error) if shorter(len) < self.smallest => return Err(cannot_lock(error)),
                Err(_) => len = shorter(len),
            }
        };
        let units = Units::new(len / UNIT, 1);
        self.marker
            .store(mapping.start().as_ptr().cast(), Ordering::Release);
        self.mark(mapping.start());
        Ok(Region { mapping, units })
    }

    /// In a child whose copy was wiped: everything is free again, under a new generation.
    fn restart(&self, region: &mut Region) -> Result<()> {
        region.mapping.lock().map_err(cannot_lock)?;
        region.units = Units::new(region.mapping.len() / UNIT, 1);
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.mark(region.mapping.start());
        Ok(())
    }

    fn mark(&self, start: NonNull<u8>) {
        // SAFETY: the first unit is aligned to 64 bytes, inside the mapping, reserved for the marker, and
        // only ever accessed as this atomic.
        let marker = unsafe { AtomicU64::from_ptr(start.as_ptr().cast()) };
        marker.store(self.generation.load(Ordering::Relaxed), Ordering::Release);
    }

    #[inline]
    fn marked_generation(&self) -> u64 {
        let marker = self.marker.load(Ordering::Acquire);
        if marker.is_null() {
            return 0;
        }
        // SAFETY: a pool keeps its mapping for the life of the process, and the first unit is only ever
        // accessed as this atomic.
        unsafe { AtomicU64::from_ptr(marker) }.load(Ordering::Acquire)
    }
}

/// An eighth less, in steps that are whole pages of any size there is.
fn shorter(len: usize) -> usize {
    const STEP: usize = 64 * 1024;
    (len / 8 * 7 / STEP * STEP).min(len - STEP)
}

fn cannot_lock(error: rustix::io::Errno) -> CustodyError {
    CustodyError::seal(format!(
        "cannot lock memory for keys ({error}): raise the limit on locked memory (LimitMEMLOCK=8M, ulimit -l 8192)"
    ))
}

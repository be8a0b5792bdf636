//! loom's atomic as the arena's `Word`, with a kill switch.
//!
//! A killed thread's writes are dropped from a given one on, which is all that other processes can see
//! of a SIGKILL. Its loads go on and mean nothing.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use loom::sync::atomic::{AtomicU64, fence};
use ronkms_arena::Word;

loom::thread_local! {
    static WRITES_LEFT: Cell<u32> = Cell::new(u32::MAX);
}

/// Kills the calling thread after so many more writes.
#[allow(dead_code)] // each model file uses its part of this module
pub fn kill_after(writes: u32) {
    WRITES_LEFT.with(|left| left.set(writes));
}

fn may_write() -> bool {
    WRITES_LEFT.with(|left| match left.get() {
        0 => false,
        u32::MAX => true,
        some => {
            left.set(some - 1);
            true
        }
    })
}

/// `FENCED` false leaves the fences out: a model must then find the error that they prevent.
pub struct LoomWord<const FENCED: bool = true>(AtomicU64);

impl<const FENCED: bool> LoomWord<FENCED> {
    pub fn zero() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl<const FENCED: bool> Word for LoomWord<FENCED> {
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        if may_write() {
            self.0.store(value, order);
        }
    }

    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        if may_write() {
            self.0.fetch_add(value, order)
        } else {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        if may_write() {
            self.0.fetch_sub(value, order)
        } else {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn compare_exchange(&self, current: u64, new: u64, order: Ordering) -> Result<u64, u64> {
        if may_write() {
            return self.0.compare_exchange(current, new, order, Ordering::Relaxed);
        }
        Err(self.0.load(Ordering::Relaxed))
    }

    fn fence(order: Ordering) {
        if FENCED {
            fence(order);
        }
    }
}

/// Runs a model with a bound on preemptions that keeps it under some seconds.
pub fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

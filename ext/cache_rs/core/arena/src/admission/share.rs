//! Fair share: what each tenant asked for lately, and what of the class is kept free for it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::layout::CLASSES;
use crate::region::Shared;

/// Milliseconds of a demand window, a power of two.
pub const WINDOW_MS: u64 = 512;
/// Windows without a request after which a tenant's entry may be taken over (10 s).
pub const IDLE_WINDOWS: u64 = 20;

/// The window that a moment belongs to.
pub fn window(now_ms: u64) -> u64 {
    (now_ms / WINDOW_MS) & 0xffff_ffff
}

/// A tenant's demand per class: `window << 32 | highest in it << 16 | highest in the one before`.
#[repr(C)]
pub struct TenantDemand {
    class: [AtomicU64; CLASSES],
}

// SAFETY: atomics only, 8-byte aligned.
unsafe impl Shared for TenantDemand {}

impl TenantDemand {
    /// Units demanded lately; 0 if the tenant did not ask in this window or the one before.
    pub fn units(&self, class: usize, window: u64) -> u64 {
        let (current, previous) = rolled(self.class[class].load(Ordering::Relaxed), window);
        current.max(previous)
    }

    /// Records a demand. A lost race costs one observation.
    #[inline]
    pub fn note(&self, class: usize, window: u64, units: u64) {
        let word = self.class[class].load(Ordering::Relaxed);
        let (current, previous) = rolled(word, window);
        let new = window << 32 | current.max(units.min(0xffff)) << 16 | previous;
        if new != word {
            let _ = self.class[class].compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether the tenant has not asked in any class for `IDLE_WINDOWS`.
    pub fn is_idle(&self, window: u64) -> bool {
        self.class.iter().all(|word| {
            let last = word.load(Ordering::Relaxed) >> 32;
            window.saturating_sub(last) > IDLE_WINDOWS
        })
    }
}

fn rolled(word: u64, window: u64) -> (u64, u64) {
    let (current, previous) = (word >> 16 & 0xffff, word & 0xffff);
    match window.wrapping_sub(word >> 32) {
        0 => (current, previous),
        1 => (0, current),
        _ => (0, 0),
    }
}

/// Sums over all tenants of one class, computed now and then.
#[repr(C, align(64))]
pub struct ClassShare {
    computed_ms: AtomicU64,
    /// Sum of demands.
    demanded: AtomicU64,
    /// Tenants that asked lately.
    active: AtomicU64,
}

// SAFETY: atomics and padding only, 64-byte aligned.
unsafe impl Shared for ClassShare {}

impl ClassShare {
    /// Tenants that asked lately, at least 1.
    pub fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed).max(1)
    }

    /// Units to be kept free of surplus.
    pub fn demanded(&self) -> u64 {
        self.demanded.load(Ordering::Relaxed)
    }

    /// Computes the sums anew if they are older than `age_ms` and nobody else does.
    pub fn refresh(&self, class: usize, demands: &[TenantDemand], now_ms: u64, age_ms: u64) {
        let computed = self.computed_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(computed) < age_ms {
            return;
        }
        let claimed =
            self.computed_ms
                .compare_exchange(computed, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        if claimed.is_err() {
            return;
        }
        let window = window(now_ms);
        let (mut demanded, mut active) = (0, 0);
        for tenant in demands {
            let units = tenant.units(class, window);
            demanded += units;
            active += u64::from(units > 0);
        }
        self.demanded.store(demanded, Ordering::Relaxed);
        self.active.store(active, Ordering::Relaxed);
    }
}

/// A tenant's share: the configured minimum or an equal part, whichever is smaller; at least 1 unit.
pub fn share(limit: u64, share_min: f64, active: u64) -> u64 {
    let minimum = (limit as f64 * share_min) as u64;
    minimum.min(limit / active.max(1)).max(1)
}

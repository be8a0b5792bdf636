//! Fair share: what tenants used of their shares lately, and what of the class is kept free for that.

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

/// The highest value noted in this window and in the one before:
/// `window << 32 | highest in it << 16 | highest in the one before`.
#[repr(transparent)]
struct Peak(AtomicU64);

impl Peak {
    fn get(&self, window: u64) -> u64 {
        let (current, previous) = rolled(self.0.load(Ordering::Relaxed), window);
        current.max(previous)
    }

    /// A lost race costs one observation.
    #[inline]
    fn note(&self, window: u64, value: u64) {
        let word = self.0.load(Ordering::Relaxed);
        let (current, previous) = rolled(word, window);
        let new = window << 32 | current.max(value.min(0xffff)) << 16 | previous;
        if new != word {
            let _ = self
                .0
                .compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn window(&self) -> u64 {
        self.0.load(Ordering::Relaxed) >> 32
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

/// Per class, whether a tenant asked lately (at least 1) and what it claims (units + 1).
#[repr(C)]
pub struct TenantDemand {
    class: [Peak; CLASSES],
}

// SAFETY: atomics only, 8-byte aligned.
unsafe impl Shared for TenantDemand {}

impl TenantDemand {
    /// Records that the tenant asked.
    #[inline]
    pub fn asked(&self, class: usize, window: u64) {
        self.class[class].note(window, 1);
    }

    /// Records that the tenant was refused within its share: that share is kept free for it from now on.
    pub fn claim(&self, class: usize, window: u64, share: u64) {
        self.class[class].note(window, share + 1);
    }

    /// Whether the tenant has not asked in any class for `IDLE_WINDOWS`.
    pub fn is_idle(&self, window: u64) -> bool {
        self.class
            .iter()
            .all(|peak| window.saturating_sub(peak.window()) > IDLE_WINDOWS)
    }
}

/// What holds for all tenants of one class.
#[repr(C, align(64))]
pub struct ClassShare {
    computed_ms: AtomicU64,
    /// Units to be kept free of surplus.
    reserved: AtomicU64,
    /// Tenants that asked lately.
    active: AtomicU64,
    /// Most guaranteed units in flight lately, of all tenants together.
    guaranteed: Peak,
}

// SAFETY: atomics and padding only, 64-byte aligned.
unsafe impl Shared for ClassShare {}

impl ClassShare {
    /// Tenants that asked lately, at least 1.
    pub fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed).max(1)
    }

    /// Units to be kept free of surplus.
    pub fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Records how many guaranteed units are in flight.
    #[inline]
    pub fn note_guaranteed(&self, window: u64, units: u64) {
        self.guaranteed.note(window, units);
    }

    /// Computes reserve and activity anew if they are older than `age_ms` and nobody else does.
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
        let (mut claims, mut active) = (0, 0);
        for tenant in demands {
            let peak = tenant.class[class].get(window);
            claims += peak.saturating_sub(1);
            active += u64::from(peak > 0);
        }
        let peak = self.guaranteed.get(window);
        // A tenant alone has nobody to keep headroom for.
        let headroom = if active > 1 { peak / 8 + 1 } else { 0 };
        self.reserved.store(peak + headroom + claims, Ordering::Relaxed);
        self.active.store(active, Ordering::Relaxed);
    }
}

/// A tenant's share: the configured minimum or an equal part, whichever is smaller; at least 1 unit.
pub fn share(limit: u64, share_min: f64, active: u64) -> u64 {
    let minimum = (limit as f64 * share_min) as u64;
    minimum.min(limit / active.max(1)).max(1)
}

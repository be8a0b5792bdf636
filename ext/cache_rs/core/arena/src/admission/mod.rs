//! Admission: caps per operation class over all workers, with a fair share per tenant.
//!
//! The rules, and why they hold, stand in `docs/CONCURRENCY.md`.

mod permits;
mod pool;
mod share;
mod tenants;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

pub use permits::{Grant, Permits};
pub use pool::{PoolRow, give_back, sum, take};
pub use share::{ClassShare, TenantDemand, WINDOW_MS, share, window};
pub use tenants::Tenants;

use crate::layout::CLASSES;

/// Sums older than this are computed anew even for a guaranteed request.
const SHARE_AGE_MS: u64 = 64;

/// Why a request is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The class is full.
    Saturated,
    /// The tenant is over its share while others are active.
    OverShare,
}

/// A view on the ledger of one class, from one worker's slot.
pub struct Ledger<'a> {
    pub(crate) class: usize,
    pub(crate) rows: &'a [PoolRow<AtomicU64>],
    pub(crate) share: &'a ClassShare,
    pub(crate) tenants: Tenants<'a>,
    pub(crate) slot: usize,
    pub(crate) limit: u64,
    pub(crate) share_min: f64,
}

impl Ledger<'_> {
    /// Admits an operation of a tenant (keyed hash) with a cost in units.
    pub fn admit(&self, tenant_hash: u64, cost: u64, now_ms: u64) -> Result<Grant, Refusal> {
        let tenant = self.tenants.find(tenant_hash, window(now_ms));
        let empty = Grant {
            class: self.class,
            tenant,
            guaranteed: 0,
            surplus: 0,
        };
        let grant = self.enlarge(empty, cost.clamp(1, self.heaviest()), now_ms)?;
        self.rows[self.slot].permits.fetch_add(1, Ordering::AcqRel);
        Ok(grant)
    }

    /// Adds cost to a grant, which stays as it is when refused.
    pub fn top_up(&self, grant: Grant, cost: u64, now_ms: u64) -> Result<Grant, Refusal> {
        let weight = grant.guaranteed + grant.surplus;
        match cost.min(self.heaviest().saturating_sub(weight)) {
            0 => Ok(grant),
            cost => self.enlarge(grant, cost, now_ms),
        }
    }

    /// Gives a grant back.
    pub fn release(&self, grant: Grant) {
        let row = &self.rows[self.slot];
        give_back(
            self.tenants.cell(grant.tenant, self.class, self.slot),
            grant.guaranteed,
        );
        give_back(&row.surplus, grant.surplus);
        give_back(&row.units, grant.guaranteed + grant.surplus);
        give_back(&row.permits, 1);
    }

    /// Units in flight over all slots.
    pub fn inflight(&self) -> u64 {
        sum(self.units())
    }

    /// Sets the words of a reaped worker's slot to zero and returns how many permits it held.
    pub fn reclaim(&self, slot: usize) -> u64 {
        self.rows[slot].reclaim()
    }

    /// The most that one permit weighs: a quarter of the class, so that every batch can be admitted.
    fn heaviest(&self) -> u64 {
        (self.limit / 4).max(1)
    }

    fn units(&self) -> impl Iterator<Item = &AtomicU64> {
        self.rows.iter().map(|row| &row.units)
    }

    fn surplus(&self) -> impl Iterator<Item = &AtomicU64> {
        self.rows.iter().map(|row| &row.surplus)
    }

    fn enlarge(&self, grant: Grant, cost: u64, now_ms: u64) -> Result<Grant, Refusal> {
        self.share
            .refresh(self.class, self.tenants.demand, now_ms, SHARE_AGE_MS);
        let own_share = share(self.limit, self.share_min, self.share.active());
        let demand = &self.tenants.demand[grant.tenant];
        let cell = self.tenants.cell(grant.tenant, self.class, self.slot);
        let row = &self.rows[self.slot];

        demand.asked(self.class, window(now_ms));
        let used = pool::add(cell, self.tenants.column(grant.tenant, self.class), cost);
        // An operation dearer than the share would never be admitted but for the second condition.
        if used <= own_share || used == grant.guaranteed + cost {
            if let Ok(units) = take(&row.units, self.units(), cost, self.limit) {
                let guaranteed = units.saturating_sub(sum(self.surplus()));
                self.share.note_guaranteed(window(now_ms), guaranteed);
                return Ok(Grant {
                    guaranteed: grant.guaranteed + cost,
                    ..grant
                });
            }
            give_back(cell, cost);
            demand.claim(self.class, window(now_ms), own_share);
            return Err(Refusal::Saturated);
        }
        give_back(cell, cost);

        self.share.refresh(self.class, self.tenants.demand, now_ms, 1);
        let room = self.limit.saturating_sub(self.share.reserved());
        if take(&row.surplus, self.surplus(), cost, room).is_ok() {
            if take(&row.units, self.units(), cost, self.limit).is_ok() {
                return Ok(Grant {
                    surplus: grant.surplus + cost,
                    ..grant
                });
            }
            give_back(&row.surplus, cost);
        }
        Err(if self.share.active() > 1 {
            Refusal::OverShare
        } else {
            Refusal::Saturated
        })
    }
}

/// Both classes, in the order of their numbers.
pub const CLASS_NAMES: [&str; CLASSES] = ["sign", "verify"];

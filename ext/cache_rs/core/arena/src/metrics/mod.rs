//! Counters, gauges, latency histograms and operation counts in the arena.

mod label;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

pub use label::{NAME_BYTES, TenantLabel};
pub use snapshot::{Histogram, OpCount, Snapshot};

use crate::arena::{Arena, check_index};
use crate::config::{BUCKET_BOUNDS_NS, TENANT_LABELS};
use crate::error::Result;
use crate::layout::BUILT_IN_COUNTERS;
use crate::tag::name_hash;

impl Arena {
    /// Adds to a named counter.
    #[inline]
    pub fn count(&self, counter: usize, n: u64) -> Result<()> {
        check_index("counter", counter, self.config().counters.len())?;
        self.own_counter(BUILT_IN_COUNTERS + counter)
            .fetch_add(n, Ordering::Relaxed);
        Ok(())
    }

    /// Sets a named gauge.
    pub fn set_gauge(&self, gauge: usize, value: f64) -> Result<()> {
        check_index("gauge", gauge, self.config().gauges.len())?;
        self.gauges()[gauge].store(value.to_bits(), Ordering::Relaxed);
        Ok(())
    }

    /// Records one finished operation: its latency by operation and algorithm, its count by tenant,
    /// operation and outcome.
    pub fn observe(
        &self,
        op: usize,
        alg: usize,
        outcome: usize,
        tenant: &[u8],
        nanoseconds: u64,
    ) -> Result<()> {
        check_index("op", op, self.config().ops.len())?;
        check_index("alg", alg, self.config().algs.len())?;
        check_index("outcome", outcome, self.config().outcomes.len())?;
        let histogram = self.histogram(op, alg);
        histogram[bucket(nanoseconds)].fetch_add(1, Ordering::Relaxed);
        histogram[BUCKET_BOUNDS_NS.len() + 1].fetch_add(nanoseconds, Ordering::Relaxed);
        let (key, owner, slots) = self.identity();
        let label = label::index_of(self.labels(), name_hash(key, tenant), tenant, owner, &slots);
        self.op_count(label, op, outcome).fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn counter_rows(&self) -> impl Iterator<Item = &[AtomicU64]> {
        let (region, layout) = self.parts();
        let words = region.slice(layout.counters_at, layout.slots * layout.counter_stride);
        words.chunks_exact(layout.counter_stride)
    }

    fn gauges(&self) -> &[AtomicU64] {
        let (region, layout) = self.parts();
        region.slice(layout.gauges_at, self.config().gauges.len())
    }

    /// Buckets, then the sum in nanoseconds.
    fn histogram(&self, op: usize, alg: usize) -> &[AtomicU64] {
        let (region, layout) = self.parts();
        let count = layout.histogram_words;
        let start = op * self.config().algs.len() + alg;
        region.slice(
            layout.histograms_at + start * count * size_of::<AtomicU64>(),
            count,
        )
    }

    fn op_count(&self, label: usize, op: usize, outcome: usize) -> &AtomicU64 {
        let (region, layout) = self.parts();
        let (ops, outcomes) = (self.config().ops.len(), self.config().outcomes.len());
        let words = region.slice(layout.op_counts_at, (TENANT_LABELS + 1) * ops * outcomes);
        &words[(label * ops + op) * outcomes + outcome]
    }

    fn labels(&self) -> &[TenantLabel] {
        let (region, layout) = self.parts();
        region.slice(layout.labels_at, TENANT_LABELS)
    }
}

/// Index of the bucket that a latency belongs to; the last is 'slower than every bound'.
#[inline]
fn bucket(nanoseconds: u64) -> usize {
    BUCKET_BOUNDS_NS.partition_point(|&bound| bound < nanoseconds)
}

//! A copy of the metrics, taken word by word while everybody goes on.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use crate::arena::Arena;
use crate::cache::CacheState;
use crate::config::{BUCKET_BOUNDS_NS, TENANT_LABELS};
use crate::layout::{BUILT_IN_COUNTERS, CLASSES};

/// One latency histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Operation.
    pub op: String,
    /// Algorithm.
    pub alg: String,
    /// Counts per bucket, not cumulative; the last is above every bound.
    pub buckets: Vec<u64>,
    /// Sum of the latencies in seconds.
    pub sum_seconds: f64,
}

/// One operation count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpCount {
    /// Tenant, or `other`.
    pub tenant: String,
    /// Operation.
    pub op: String,
    /// Outcome.
    pub outcome: String,
    /// How many.
    pub count: u64,
}

/// Everything that a scrape shows.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Named counters, summed over slots.
    pub counters: BTreeMap<String, u64>,
    /// Named gauges.
    pub gauges: BTreeMap<String, f64>,
    /// Non-empty histograms.
    pub histograms: Vec<Histogram>,
    /// Non-zero operation counts.
    pub ops: Vec<OpCount>,
    /// Cache look-ups: hit, miss, stale.
    pub lookups: [u64; BUILT_IN_COUNTERS],
    /// Size and ages of the cache.
    pub cache: CacheState,
    /// Entries that the cache can hold, both areas.
    pub cache_capacity: u64,
    /// Time to live of entries in milliseconds.
    pub cache_ttl_ms: u64,
    /// Units in flight and limit per class.
    pub inflight: [(u64, u64); CLASSES],
}

impl Snapshot {
    /// Upper bounds of the buckets in seconds.
    pub fn bucket_bounds() -> Vec<f64> {
        BUCKET_BOUNDS_NS.iter().map(|&bound| bound as f64 / 1e9).collect()
    }

    /// Copies the metrics of an arena.
    pub fn take(arena: &Arena) -> Self {
        let config = arena.config();
        let sum = |index: usize| -> u64 {
            arena
                .counter_rows()
                .map(|row| row[index].load(Ordering::Relaxed))
                .fold(0, u64::wrapping_add)
        };
        let counters = config
            .counters
            .iter()
            .enumerate()
            .map(|(index, name)| (name.clone(), sum(BUILT_IN_COUNTERS + index)))
            .collect();
        let gauges = config
            .gauges
            .iter()
            .zip(arena.gauges())
            .map(|(name, word)| (name.clone(), f64::from_bits(word.load(Ordering::Relaxed))))
            .collect();
        Self {
            counters,
            gauges,
            histograms: histograms(arena),
            ops: op_counts(arena),
            lookups: [sum(0), sum(1), sum(2)],
            cache: arena.cache_state(),
            cache_capacity: arena.cache_capacity(),
            cache_ttl_ms: config.cache_ttl_ms,
            inflight: std::array::from_fn(|class| (arena.inflight(class), config.inflight[class])),
        }
    }
}

fn histograms(arena: &Arena) -> Vec<Histogram> {
    let config = arena.config();
    let mut all = Vec::new();
    for (op, op_name) in config.ops.iter().enumerate() {
        for (alg, alg_name) in config.algs.iter().enumerate() {
            let words = arena.histogram(op, alg);
            let (buckets, sum) = words.split_at(BUCKET_BOUNDS_NS.len() + 1);
            let buckets: Vec<u64> = buckets.iter().map(|word| word.load(Ordering::Relaxed)).collect();
            if buckets.iter().any(|&count| count > 0) {
                let sum_seconds = sum[0].load(Ordering::Relaxed) as f64 / 1e9;
                all.push(Histogram {
                    op: op_name.clone(),
                    alg: alg_name.clone(),
                    buckets,
                    sum_seconds,
                });
            }
        }
    }
    all
}

fn op_counts(arena: &Arena) -> Vec<OpCount> {
    let config = arena.config();
    let mut all = Vec::new();
    for label in 0..=TENANT_LABELS {
        // A label whose name is not written yet shows with the next scrape.
        let tenant = if label == TENANT_LABELS {
            "other".to_owned()
        } else if let Some(name) = arena.labels()[label].name() {
            name
        } else {
            continue;
        };
        for (op, op_name) in config.ops.iter().enumerate() {
            for (outcome, outcome_name) in config.outcomes.iter().enumerate() {
                let count = arena.op_count(label, op, outcome).load(Ordering::Relaxed);
                if count > 0 {
                    let (tenant, op, outcome) = (tenant.clone(), op_name.clone(), outcome_name.clone());
                    all.push(OpCount {
                        tenant,
                        op,
                        outcome,
                        count,
                    });
                }
            }
        }
    }
    all
}

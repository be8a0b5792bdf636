//! Dimensions of an arena and the names of its metrics.

use crate::error::{Error, Result};

/// Upper bounds of the latency buckets in nanoseconds; one more bucket counts what is slower.
///
/// 50 µs to 10 s; the steps are finer where the service objectives lie (1 to 20 ms).
pub const BUCKET_BOUNDS_NS: [u64; 24] = [
    50_000,
    75_000,
    100_000,
    150_000,
    200_000,
    300_000,
    500_000,
    750_000,
    1_000_000,
    1_500_000,
    2_000_000,
    3_000_000,
    5_000_000,
    7_500_000,
    10_000_000,
    15_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Tenants that get a label of their own in the operation counts.
pub const TENANT_LABELS: usize = 64;

/// What an arena is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Entries of the main verify cache (8 to 16,777,216), rounded up to a multiple of 8.
    pub cache_entries: usize,
    /// Age in milliseconds (1 to 2^40) past which an entry is not served.
    pub cache_ttl_ms: u64,
    /// Units in flight of class `sign`, `verify` (1 to 65,535 each).
    pub inflight: [u64; 2],
    /// Guaranteed share of a tenant, 0 to 1.
    pub tenant_share_min: f64,
    /// Worker slots (1 to 254) beside the parent's.
    pub slots: usize,
    /// Tenants in the admission table (16 to 65,536).
    pub tenants: usize,
    /// Names of operations, the first label of the latency histograms.
    pub ops: Vec<String>,
    /// Names of algorithms, the second label.
    pub algs: Vec<String>,
    /// Names of outcomes.
    pub outcomes: Vec<String>,
    /// Names of counters.
    pub counters: Vec<String>,
    /// Names of gauges.
    pub gauges: Vec<String>,
    /// Names of generations (change counters).
    pub generations: Vec<String>,
}

impl Config {
    /// Checks every range. The error names the field and says what is allowed.
    pub fn check(&self) -> Result<()> {
        range("cache_entries", self.cache_entries as u64, 8, 1 << 24)?;
        range("cache_ttl_ms", self.cache_ttl_ms, 1, 1 << 40)?;
        range("inflight_sign", self.inflight[0], 1, 65_535)?;
        range("inflight_verify", self.inflight[1], 1, 65_535)?;
        range("slots", self.slots as u64, 1, 254)?;
        range("tenants", self.tenants as u64, 16, 65_536)?;
        if !(0.0..=1.0).contains(&self.tenant_share_min) {
            return Err(Error::input("tenant_share_min must be 0 to 1"));
        }
        for (field, names) in [
            ("ops", &self.ops),
            ("algs", &self.algs),
            ("outcomes", &self.outcomes),
            ("counters", &self.counters),
            ("gauges", &self.gauges),
            ("generations", &self.generations),
        ] {
            range(field, names.len() as u64, 1, 256)?;
            let mut sorted: Vec<&String> = names.iter().collect();
            sorted.sort();
            if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(Error::input(format!("{field} holds a name twice")));
            }
        }
        Ok(())
    }
}

fn range(field: &str, value: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::input(format!(
        "{field} must be {least} to {most}, is {value}"
    )))
}

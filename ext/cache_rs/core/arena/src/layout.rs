//! Where each section of the arena begins, and the header that says so.
//!
//! Every offset follows from the configuration; nothing in the mapping is trusted to find anything.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::admission::{ClassShare, PoolRow, TenantDemand};
use crate::audit::AuditState;
use crate::cache::{Flight, Line, WAYS};
use crate::config::{BUCKET_BOUNDS_NS, Config, TENANT_LABELS};
use crate::error::{Error, Result};
use crate::metrics::TenantLabel;
use crate::region::{Region, Shared};
use crate::slots::Slot;

/// Changes whenever a section changes its place, size or meaning.
pub const LAYOUT_VERSION: u64 = 2;
const MAGIC: u64 = u64::from_le_bytes(*b"RONARENA");
/// Operation classes of the admission ledger: sign, verify.
pub const CLASSES: usize = 2;
/// Entries of the single-flight table.
pub const FLIGHTS: usize = 1_024;
/// The negative cache has one entry for so many of the main cache.
const NEGATIVE_FRACTION: usize = 8;

/// A word with a cache line to itself.
#[repr(C, align(64))]
pub struct Padded {
    /// The word.
    pub word: AtomicU64,
}

// SAFETY: one atomic word and padding, 64-byte aligned.
unsafe impl Shared for Padded {}

/// First two lines of the arena.
#[repr(C, align(64))]
pub struct Header {
    magic: AtomicU64,
    version: AtomicU64,
    length: AtomicU64,
    /// First eight bytes of BLAKE3 over dimensions and names.
    checksum: AtomicU64,
    /// Key of cache tags and tenant hashes.
    key: [AtomicU64; 4],
}

// SAFETY: atomics only, 64-byte aligned.
unsafe impl Shared for Header {}

/// Offsets in bytes and element counts of all sections.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Slots including the parent's.
    pub slots: usize,
    /// Entries of the tenant table including the overflow entry, which is the last.
    pub tenants: usize,
    /// Words from one slot to the next in a tenant's columns, and between rows of counters.
    pub column_stride: usize,
    /// Words in one slot's row of counters.
    pub counter_stride: usize,
    /// Sets of the main and of the negative cache.
    pub cache_sets: [usize; 2],
    /// Words of one histogram: buckets, the one above the last bound, the sum.
    pub histogram_words: usize,
    pub(crate) slots_at: usize,
    pub(crate) generations_at: usize,
    pub(crate) pools_at: usize,
    pub(crate) shares_at: usize,
    pub(crate) tenant_keys_at: usize,
    pub(crate) tenant_demand_at: usize,
    pub(crate) tenant_columns_at: usize,
    pub(crate) counters_at: usize,
    pub(crate) gauges_at: usize,
    pub(crate) histograms_at: usize,
    pub(crate) op_counts_at: usize,
    pub(crate) labels_at: usize,
    pub(crate) flights_at: usize,
    pub(crate) cache_at: [usize; 2],
    pub(crate) audit_at: usize,
    /// Bytes of the whole arena.
    pub length: usize,
    checksum: u64,
}

/// Counters that the arena itself keeps, in front of the named ones.
pub const BUILT_IN_COUNTERS: usize = 3;

struct Cursor(usize);

impl Cursor {
    fn section<T>(&mut self, count: usize) -> usize {
        let start = self.0;
        self.0 = (start + count * size_of::<T>()).next_multiple_of(64);
        start
    }
}

impl Layout {
    /// The layout that a checked configuration gives.
    pub fn new(config: &Config) -> Self {
        let slots = config.slots + 1;
        let tenants = config.tenants + 1;
        let column_stride = slots.next_multiple_of(8);
        let counter_stride = (config.counters.len() + BUILT_IN_COUNTERS).next_multiple_of(8);
        let main_sets = config.cache_entries.div_ceil(WAYS);
        let negative_sets = main_sets.div_ceil(NEGATIVE_FRACTION);
        let histogram_words = BUCKET_BOUNDS_NS.len() + 2;
        let labelled = TENANT_LABELS + 1;

        let mut at = Cursor(0);
        at.section::<Header>(1);
        let slots_at = at.section::<Slot<AtomicU64>>(slots);
        let generations_at = at.section::<Padded>(config.generations.len());
        let pools_at = at.section::<PoolRow<AtomicU64>>(CLASSES * slots);
        let shares_at = at.section::<ClassShare>(CLASSES);
        let tenant_keys_at = at.section::<AtomicU64>(tenants);
        let tenant_demand_at = at.section::<TenantDemand>(tenants);
        let tenant_columns_at = at.section::<AtomicU64>(tenants * CLASSES * column_stride);
        let counters_at = at.section::<AtomicU64>(slots * counter_stride);
        let gauges_at = at.section::<AtomicU64>(config.gauges.len());
        let histograms_at = at.section::<AtomicU64>(config.ops.len() * config.algs.len() * histogram_words);
        let op_counts_at = at.section::<AtomicU64>(labelled * config.ops.len() * config.outcomes.len());
        let labels_at = at.section::<TenantLabel>(TENANT_LABELS);
        let flights_at = at.section::<Flight>(FLIGHTS);
        let main_at = at.section::<Line<AtomicU64>>(main_sets * WAYS);
        let negative_at = at.section::<Line<AtomicU64>>(negative_sets * WAYS);
        let audit_at = at.section::<AuditState>(1);
        Self {
            slots,
            tenants,
            column_stride,
            counter_stride,
            cache_sets: [main_sets, negative_sets],
            histogram_words,
            slots_at,
            generations_at,
            pools_at,
            shares_at,
            tenant_keys_at,
            tenant_demand_at,
            tenant_columns_at,
            counters_at,
            gauges_at,
            histograms_at,
            op_counts_at,
            labels_at,
            flights_at,
            cache_at: [main_at, negative_at],
            audit_at,
            length: at.0.next_multiple_of(4_096),
            checksum: checksum(config),
        }
    }

    /// Writes the header of a new arena with a fresh key.
    pub(crate) fn write_header(&self, region: &Region) -> Result<()> {
        let mut key = [0_u8; 32];
        getrandom::fill(&mut key).map_err(|cause| {
            Error::Arena(format!(
                "the system gave no randomness for the arena's key: {cause}"
            ))
        })?;
        let header: &Header = region.one(0);
        for (word, bytes) in header.key.iter().zip(key.chunks_exact(8)) {
            word.store(
                u64::from_le_bytes(bytes.try_into().expect("chunk of eight")),
                Ordering::Relaxed,
            );
        }
        header.version.store(LAYOUT_VERSION, Ordering::Relaxed);
        header.length.store(self.length as u64, Ordering::Relaxed);
        header.checksum.store(self.checksum, Ordering::Relaxed);
        header.magic.store(MAGIC, Ordering::Release);
        Ok(())
    }

    /// Compares the header with what this layout would have written.
    pub(crate) fn check_header(&self, region: &Region) -> Result<()> {
        let header: &Header = region.one(0);
        if header.magic.load(Ordering::Acquire) != MAGIC {
            return Err(Error::Arena("the shared memory does not hold an arena".into()));
        }
        let version = header.version.load(Ordering::Relaxed);
        if version != LAYOUT_VERSION {
            return Err(Error::Arena(format!(
                "the arena has layout {version}, this build needs {LAYOUT_VERSION}; restart with a new arena"
            )));
        }
        if header.length.load(Ordering::Relaxed) != self.length as u64
            || header.checksum.load(Ordering::Relaxed) != self.checksum
        {
            return Err(Error::Arena(
                "the arena was made for another configuration; restart with a new arena".into(),
            ));
        }
        Ok(())
    }

    /// The key of cache tags and tenant hashes.
    pub(crate) fn key(region: &Region) -> [u8; 32] {
        let header: &Header = region.one(0);
        let mut key = [0_u8; 32];
        for (word, bytes) in header.key.iter().zip(key.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        key
    }
}

fn checksum(config: &Config) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for number in [
        LAYOUT_VERSION,
        config.cache_entries as u64,
        config.inflight[0],
        config.inflight[1],
        config.slots as u64,
        config.tenants as u64,
    ] {
        hasher.update(&number.to_le_bytes());
    }
    for names in [
        &config.ops,
        &config.algs,
        &config.outcomes,
        &config.counters,
        &config.gauges,
        &config.generations,
    ] {
        hasher.update(&(names.len() as u64).to_le_bytes());
        for name in names {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
        }
    }
    let digest = hasher.finalize();
    u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("eight bytes"))
}

//! `ArenaSnapshot`: metrics as Python values.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use ronkms_arena::admission::CLASS_NAMES;
use ronkms_arena::metrics::Snapshot;

/// See the stub.
#[pyclass(frozen, module = "ronkms_native")]
pub struct ArenaSnapshot {
    inner: Snapshot,
}

impl ArenaSnapshot {
    /// Copies the metrics of an arena.
    pub fn take(arena: &ronkms_arena::Arena) -> Self {
        Self {
            inner: Snapshot::take(arena),
        }
    }
}

#[pymethods]
impl ArenaSnapshot {
    #[getter]
    fn counters(&self) -> BTreeMap<String, u64> {
        self.inner.counters.clone()
    }

    #[getter]
    fn gauges(&self) -> BTreeMap<String, f64> {
        self.inner.gauges.clone()
    }

    #[getter]
    fn bucket_bounds(&self) -> Vec<f64> {
        Snapshot::bucket_bounds()
    }

    #[getter]
    fn histograms(&self) -> Vec<(String, String, Vec<u64>, f64)> {
        let histograms = self.inner.histograms.iter();
        histograms
            .map(|one| {
                (
                    one.op.clone(),
                    one.alg.clone(),
                    one.buckets.clone(),
                    one.sum_seconds,
                )
            })
            .collect()
    }

    #[getter]
    fn ops(&self) -> Vec<(String, String, String, u64)> {
        let ops = self.inner.ops.iter();
        ops.map(|one| (one.tenant.clone(), one.op.clone(), one.outcome.clone(), one.count))
            .collect()
    }

    #[getter]
    fn cache(&self) -> BTreeMap<&'static str, u64> {
        let [hit, miss, stale] = self.inner.lookups;
        BTreeMap::from([
            ("hit", hit),
            ("miss", miss),
            ("stale", stale),
            ("size", self.inner.cache.size),
            ("capacity", self.inner.cache_capacity),
            ("age_ms", self.inner.cache.mean_age_ms),
            ("oldest_ms", self.inner.cache.oldest_ms),
            ("ttl_ms", self.inner.cache_ttl_ms),
        ])
    }

    #[getter]
    fn inflight(&self) -> BTreeMap<&'static str, (u64, u64)> {
        CLASS_NAMES.into_iter().zip(self.inner.inflight).collect()
    }
}

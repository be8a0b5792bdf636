//! `Arena`: slots, generations, admission, verify cache, metrics.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use ronkms_arena::admission::Refusal;
use ronkms_arena::cache::Lookup;
use ronkms_arena::{Admission, Config, TAG_BYTES, Tag};

use super::snapshot::ArenaSnapshot;
use crate::error::{Failure, Result};

/// What `cache_get` and the like return for a miss.
pub const MISS: i32 = -1;
/// And for an expired entry.
pub const STALE: i32 = -2;
/// What `admit` and `top_up` return when the class is full.
pub const SATURATED: i64 = -1;
/// And when the tenant is over its share.
pub const OVER_SHARE: i64 = -2;

/// See the stub.
#[pyclass(frozen, module = "ronkms_native")]
pub struct Arena {
    /// Shared with the audit logs that were opened on it.
    pub inner: Arc<ronkms_arena::Arena>,
}

/// The number that stands for a look-up's outcome.
pub fn lookup_code(found: Lookup) -> i32 {
    match found {
        Lookup::Hit(verdict) => i32::from(verdict),
        Lookup::Miss => MISS,
        Lookup::Stale => STALE,
    }
}

/// The number that stands for a refusal.
pub fn refusal_code(refusal: Refusal) -> i64 {
    match refusal {
        Refusal::Saturated => SATURATED,
        Refusal::OverShare => OVER_SHARE,
    }
}

fn tag_of(bytes: &[u8]) -> Result<Tag> {
    let bytes: &[u8; TAG_BYTES] = bytes
        .try_into()
        .map_err(|_| Failure::input(format!("a tag has {TAG_BYTES} bytes")))?;
    Ok(Tag::from_bytes(bytes))
}

impl Arena {
    fn tag_of_parts(&self, parts: &Bound<'_, PyList>) -> PyResult<Tag> {
        let count = parts.len();
        let mut builder = self.inner.tag_builder(count);
        for index in 0..count {
            let part = parts.get_item(index)?;
            builder.part(part.cast::<PyBytes>()?.as_bytes());
        }
        Ok(builder.finish())
    }
}

#[pymethods]
impl Arena {
    #[new]
    #[pyo3(signature = (*, cache_entries, cache_ttl_ms, inflight_sign, inflight_verify, tenant_share_min,
                        slots, tenants, ops, algs, outcomes, counters, gauges, generations))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of the Python contract
    fn new(
        cache_entries: usize,
        cache_ttl_ms: u64,
        inflight_sign: u64,
        inflight_verify: u64,
        tenant_share_min: f64,
        slots: usize,
        tenants: usize,
        ops: Vec<String>,
        algs: Vec<String>,
        outcomes: Vec<String>,
        counters: Vec<String>,
        gauges: Vec<String>,
        generations: Vec<String>,
    ) -> Result<Self> {
        let inner = ronkms_arena::Arena::create(Config {
            cache_entries,
            cache_ttl_ms,
            inflight: [inflight_sign, inflight_verify],
            tenant_share_min,
            slots,
            tenants,
            ops,
            algs,
            outcomes,
            counters,
            gauges,
            generations,
        })?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    #[getter]
    fn size(&self) -> usize {
        self.inner.size()
    }

    /// Address of the core object, for the C interface.
    fn _pointer(&self) -> usize {
        Arc::as_ptr(&self.inner) as usize
    }

    fn claim_slot(&self) -> Result<usize> {
        Ok(self.inner.claim_slot()?)
    }

    fn enter_slot(&self, slot: usize) -> Result<()> {
        Ok(self.inner.enter_slot(slot)?)
    }

    fn reclaim_slot(&self, slot: usize) -> Result<u64> {
        Ok(self.inner.reclaim_slot(slot)?)
    }

    fn generation(&self, index: usize) -> Result<u64> {
        Ok(self.inner.generation(index)?)
    }

    fn bump(&self, index: usize) -> Result<u64> {
        Ok(self.inner.bump(index)?)
    }

    fn admit(&self, op_class: usize, tenant: &[u8], cost: u64) -> Result<i64> {
        Ok(match self.inner.admit(op_class, tenant, cost)? {
            Admission::Granted(permit) => permit as i64,
            Admission::Refused(refusal) => refusal_code(refusal),
        })
    }

    fn top_up(&self, permit: i64, cost: u64) -> Result<i64> {
        Ok(match self.inner.top_up(permit as u64, cost)? {
            Admission::Granted(_) => 0,
            Admission::Refused(refusal) => refusal_code(refusal),
        })
    }

    fn release(&self, permit: i64) -> Result<()> {
        Ok(self.inner.release(permit as u64)?)
    }

    fn cache_tag<'py>(&self, py: Python<'py>, parts: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.tag_of_parts(parts)?.to_bytes()))
    }

    fn cache_get(&self, tag: &[u8]) -> Result<i32> {
        Ok(lookup_code(self.inner.cache_get(&tag_of(tag)?)))
    }

    fn cache_lookup(&self, parts: &Bound<'_, PyList>) -> PyResult<i32> {
        Ok(lookup_code(self.inner.cache_get(&self.tag_of_parts(parts)?)))
    }

    fn cache_claim(&self, py: Python<'_>, tag: &[u8]) -> Result<i32> {
        let tag = tag_of(tag)?;
        // It may wait for another process's computation.
        Ok(lookup_code(py.detach(|| self.inner.cache_claim(&tag))))
    }

    fn cache_abandon(&self, tag: &[u8]) -> Result<()> {
        self.inner.cache_abandon(&tag_of(tag)?);
        Ok(())
    }

    fn cache_put(&self, tag: &[u8], verdict: u8, negative: bool) -> Result<()> {
        self.inner.cache_put(&tag_of(tag)?, verdict, negative);
        Ok(())
    }

    #[pyo3(signature = (all_entries = false))]
    fn cache_sweep(&self, py: Python<'_>, all_entries: bool) -> u64 {
        py.detach(|| self.inner.cache_sweep(all_entries))
    }

    fn observe(&self, op: usize, alg: usize, outcome: usize, tenant: &[u8], nanoseconds: u64) -> Result<()> {
        Ok(self.inner.observe(op, alg, outcome, tenant, nanoseconds)?)
    }

    #[pyo3(signature = (counter, n = 1))]
    fn count(&self, counter: usize, n: u64) -> Result<()> {
        Ok(self.inner.count(counter, n)?)
    }

    fn set_gauge(&self, gauge: usize, value: f64) -> Result<()> {
        Ok(self.inner.set_gauge(gauge, value)?)
    }

    fn snapshot(&self, py: Python<'_>) -> ArenaSnapshot {
        py.detach(|| ArenaSnapshot::take(&self.inner))
    }
}

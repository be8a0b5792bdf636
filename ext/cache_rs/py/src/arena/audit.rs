//! `AuditLog`: appending to the audit log that all workers share.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::shared::Arena;
use crate::error::{Failure, Result};

/// See the stub.
#[pyclass(frozen, module = "ronkms_native")]
pub struct AuditLog {
    inner: ronkms_arena::AuditLog,
}

#[pymethods]
impl AuditLog {
    #[staticmethod]
    fn open(py: Python<'_>, arena: &Arena, directory: PathBuf, segment_bytes: u64) -> Result<Self> {
        let arena = std::sync::Arc::clone(&arena.inner);
        let inner = py.detach(|| ronkms_arena::AuditLog::open(arena, &directory, segment_bytes))?;
        Ok(Self { inner })
    }

    /// Address of the core object, for the C interface.
    fn _pointer(&self) -> usize {
        &raw const self.inner as usize
    }

    #[getter]
    fn recovered_bytes(&self) -> u64 {
        self.inner.recovered_bytes()
    }

    #[getter]
    fn head(&self) -> (u64, String) {
        self.inner.head()
    }

    #[getter]
    fn durable(&self) -> u64 {
        self.inner.durable()
    }

    fn after_fork(&self) -> Result<()> {
        Ok(self.inner.after_fork()?)
    }

    fn require_lease(&self) {
        self.inner.require_lease();
    }

    fn grant_lease(&self, milliseconds: u64) {
        self.inner.grant_lease(milliseconds);
    }

    fn check_lease(&self) -> Result<()> {
        Ok(self.inner.check_lease()?)
    }

    #[pyo3(signature = (body, *, anyway = false))]
    fn append(&self, py: Python<'_>, body: &[u8], anyway: bool) -> Result<u64> {
        if !anyway {
            self.inner.check_lease()?;
        }
        // A record costs a few microseconds, giving the GIL away up to a switch interval: so keep it unless
        // this would wait.
        if let Some(seq) = self.inner.try_append_anyway(body)? {
            return Ok(seq);
        }
        Ok(py.detach(|| self.inner.append_anyway(body))?)
    }

    fn wait_durable(&self, py: Python<'_>, seq: u64) -> Result<()> {
        Ok(py.detach(|| self.inner.wait_durable(seq))?)
    }

    fn roll(&self, py: Python<'_>) -> Result<bool> {
        Ok(py.detach(|| self.inner.roll())?)
    }

    fn writable(&self, py: Python<'_>) -> bool {
        py.detach(|| self.inner.writable())
    }
}

/// See the stub.
#[pyfunction]
pub fn follow_log<'py>(
    py: Python<'py>,
    data: &[u8],
    record: u64,
    leaf: &[u8],
    limit: u64,
) -> Result<(Bound<'py, PyBytes>, usize)> {
    let leaf = leaf
        .try_into()
        .map_err(|_| Failure::input("a leaf hash has 32 bytes".to_owned()))?;
    let start = ronkms_arena::audit::ChainPoint { count: record, leaf };
    let taken = py.detach(|| ronkms_arena::audit::follow(data, start, limit));
    Ok((PyBytes::new(py, &taken.leaves), taken.length))
}

/// See the stub.
#[pyfunction]
pub fn alike_records<'py>(py: Python<'py>, lines: &[u8]) -> Vec<(Bound<'py, PyBytes>, u64)> {
    let groups = py.detach(|| ronkms_arena::audit::alike(lines));
    groups
        .iter()
        .map(|group| (PyBytes::new(py, group.line), group.times))
        .collect()
}

/// See the stub.
#[pyfunction]
pub fn parent_hashes<'py>(py: Python<'py>, hashes: &[u8]) -> Bound<'py, PyBytes> {
    let above = py.detach(|| ronkms_arena::audit::parents(hashes));
    PyBytes::new(py, &above)
}

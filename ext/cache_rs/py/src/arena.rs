//! Bindings of the arena crate: the shared block, its snapshot, the audit log, the C interface.

mod audit;
mod c_api;
mod shared;
mod snapshot;

use pyo3::prelude::*;

/// Adds this part's classes and the C interface to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<shared::Arena>()?;
    module.add_class::<snapshot::ArenaSnapshot>()?;
    module.add_class::<audit::AuditLog>()?;
    module.add_function(wrap_pyfunction!(audit::follow_log, module)?)?;
    module.add_function(wrap_pyfunction!(audit::alike_records, module)?)?;
    module.add_function(wrap_pyfunction!(audit::parent_hashes, module)?)?;
    module.add(c_api::ATTRIBUTE, c_api::capsule(module.py())?)
}

//! Bindings of the arena crate.

use pyo3::prelude::*;

/// Adds this part's classes to the module.
pub fn register(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}

//! PyO3 bindings of the ron-kms native core. Thin: every rule lives in the core crates.
#![warn(missing_docs)]

use pyo3::prelude::*;

mod arena;
mod custody;
mod error;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    error::register(module)?;
    custody::register(module)?;
    arena::register(module)?;
    Ok(())
}

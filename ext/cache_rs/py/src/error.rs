//! The one error enum of the bindings and its one conversion to Python.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(
    ronkms_native,
    NativeError,
    PyException,
    "Base of every error raised by the native core."
);
create_exception!(
    ronkms_native,
    InputError,
    NativeError,
    "An argument is outside its documented range."
);
create_exception!(
    ronkms_native,
    SealError,
    NativeError,
    "The seal cannot be opened: wrong secret or damaged seal."
);
create_exception!(
    ronkms_native,
    DamagedRecord,
    NativeError,
    "A sealed record does not authenticate under its identity."
);
create_exception!(
    ronkms_native,
    KeyMaterialError,
    NativeError,
    "Bytes that are not an acceptable key of the algorithm."
);
create_exception!(
    ronkms_native,
    UnwrapError,
    NativeError,
    "A ciphertext does not authenticate."
);
create_exception!(
    ronkms_native,
    CustodyFull,
    NativeError,
    "The locked region has no room for another key."
);
create_exception!(
    ronkms_native,
    ArenaError,
    NativeError,
    "The arena is damaged, of another layout, or out of slots."
);
create_exception!(
    ronkms_native,
    AuditWriteError,
    NativeError,
    "The audit log cannot be written or synced."
);
create_exception!(
    ronkms_native,
    AuditHeld,
    AuditWriteError,
    "A required sink of the audit log does not take records."
);
create_exception!(
    ronkms_native,
    AuditDamaged,
    NativeError,
    "The audit log on disk is not what was written."
);

/// Every failure of the core crates on its way to Python.
pub enum Failure {
    /// From the arena crate.
    Arena(ronkms_arena::Error),
    /// From the custody crate.
    Custody(ronkms_custody::CustodyError),
}

/// What binding methods return.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// An argument that the bindings themselves refuse.
    pub fn input(message: String) -> Self {
        Self::Arena(ronkms_arena::Error::Input(message))
    }
}

impl From<ronkms_arena::Error> for Failure {
    fn from(error: ronkms_arena::Error) -> Self {
        Self::Arena(error)
    }
}

impl From<ronkms_custody::CustodyError> for Failure {
    fn from(error: ronkms_custody::CustodyError) -> Self {
        Self::Custody(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Arena(error) => from_arena(&error),
            Failure::Custody(error) => from_custody(&error),
        }
    }
}

fn from_arena(error: &ronkms_arena::Error) -> PyErr {
    let message = error.to_string();
    match error {
        ronkms_arena::Error::Input(_) => InputError::new_err(message),
        ronkms_arena::Error::Arena(_) => ArenaError::new_err(message),
        ronkms_arena::Error::AuditWrite(_) => AuditWriteError::new_err(message),
        ronkms_arena::Error::AuditHeld(_) => AuditHeld::new_err(message),
        ronkms_arena::Error::AuditDamaged(_) => AuditDamaged::new_err(message),
    }
}

fn from_custody(error: &ronkms_custody::CustodyError) -> PyErr {
    let message = error.to_string();
    match error {
        ronkms_custody::CustodyError::Input(_) => InputError::new_err(message),
        ronkms_custody::CustodyError::Seal(_) => SealError::new_err(message),
        ronkms_custody::CustodyError::DamagedRecord(_) => DamagedRecord::new_err(message),
        ronkms_custody::CustodyError::KeyMaterial(_) => KeyMaterialError::new_err(message),
        ronkms_custody::CustodyError::Unwrap(_) => UnwrapError::new_err(message),
        ronkms_custody::CustodyError::Full(_) => CustodyFull::new_err(message),
    }
}

/// Adds the exception types to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("NativeError", py.get_type::<NativeError>())?;
    module.add("InputError", py.get_type::<InputError>())?;
    module.add("SealError", py.get_type::<SealError>())?;
    module.add("DamagedRecord", py.get_type::<DamagedRecord>())?;
    module.add("KeyMaterialError", py.get_type::<KeyMaterialError>())?;
    module.add("UnwrapError", py.get_type::<UnwrapError>())?;
    module.add("CustodyFull", py.get_type::<CustodyFull>())?;
    module.add("ArenaError", py.get_type::<ArenaError>())?;
    module.add("AuditWriteError", py.get_type::<AuditWriteError>())?;
    module.add("AuditHeld", py.get_type::<AuditHeld>())?;
    module.add("AuditDamaged", py.get_type::<AuditDamaged>())?;
    Ok(())
}

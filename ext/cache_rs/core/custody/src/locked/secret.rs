//! Bytes in locked memory.

use std::ptr::NonNull;

use zeroize::Zeroize;

use super::pool::Pool;
use crate::{CustodyError, Result};

/// An owned run of locked bytes, zeroized when dropped. It has no `Debug` and no `Clone`.
pub(crate) struct Secret {
    pool: &'static Pool,
    start: NonNull<u8>,
    len: usize,
    first_unit: usize,
    units: usize,
    generation: u64,
}

// SAFETY: a Secret owns its bytes alone, like a Box<[u8]>.
unsafe impl Send for Secret {}
// SAFETY: shared access only reads.
unsafe impl Sync for Secret {}

impl Secret {
    pub(super) fn new(
        pool: &'static Pool,
        start: NonNull<u8>,
        len: usize,
        first_unit: usize,
        units: usize,
        generation: u64,
    ) -> Self {
        Self {
            pool,
            start,
            len,
            first_unit,
            units,
            generation,
        }
    }

    /// The bytes.
    ///
    /// # Errors
    /// `Seal` in a child process of the one that made this secret, where it reads as zeros.
    #[inline]
    pub(crate) fn bytes(&self) -> Result<&[u8]> {
        self.check()?;
        // SAFETY: the run is inside a mapping that lives as long as the process, belongs to this value
        // alone, and every byte of it is initialised (zero pages, then plain writes).
        Ok(unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) })
    }

    /// The bytes, to be written.
    ///
    /// # Errors
    /// As `bytes`.
    pub(crate) fn bytes_mut(&mut self) -> Result<&mut [u8]> {
        self.check()?;
        // SAFETY: as in `bytes`; the exclusive borrow of self makes the access exclusive.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) })
    }

    /// The bytes as an array.
    ///
    /// # Errors
    /// As `bytes`.
    ///
    /// # Panics
    /// If the length is not `N`, which is a mistake of the caller.
    #[inline]
    pub(crate) fn array<const N: usize>(&self) -> Result<&[u8; N]> {
        Ok(self
            .bytes()?
            .try_into()
            .expect("the secret has the length of its type"))
    }

    /// Zeroizes and hides all but the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) -> Result<()> {
        self.bytes_mut()?[len..].zeroize();
        self.len = len;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.pool.is_current(self.generation) {
            return Ok(());
        }
        Err(CustodyError::seal(
            "this key was unsealed before the process forked: unseal it again in the child",
        ))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        if let Ok(bytes) = self.bytes_mut() {
            bytes.zeroize();
        }
        self.pool.give_back(self.first_unit, self.units, self.generation);
    }
}

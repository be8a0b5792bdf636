//! One anonymous mapping between two guard pages: locked, left out of core dumps.

use std::ffi::c_void;
use std::ptr::NonNull;

use rustix::io::Errno;
use rustix::mm::{
    Advice, MapFlags, MlockFlags, MprotectFlags, ProtFlags, madvise, mlock_with, mmap_anonymous, mprotect,
    munmap,
};

/// A private mapping that lives as long as the process keeps it.
pub(super) struct Mapping {
    outer: NonNull<c_void>,
    outer_len: usize,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is plain memory that belongs to no thread; who may touch which bytes is the
// pool's business.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `len` bytes, a multiple of the page size. With `wipe_on_fork` a child sees zeros.
    pub(super) fn new(len: usize, wipe_on_fork: bool) -> Result<Self, Errno> {
        let page = rustix::param::page_size();
        debug_assert_eq!(len % page, 0);
        let outer_len = len + 2 * page;
        // SAFETY: a new private mapping at an address of the kernel's choice touches nothing else.
        let outer = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                outer_len,
                ProtFlags::empty(),
                MapFlags::PRIVATE,
            )?
        };
        // SAFETY: the address is one page into a mapping of len + 2 pages.
        let start = unsafe { outer.cast::<u8>().add(page) };
        let mapping = Self {
            outer: NonNull::new(outer).expect("mmap does not return null"),
            outer_len,
            start: NonNull::new(start).expect("mmap does not return null"),
            len,
        };
        // SAFETY: the range is inside the new mapping and nobody holds a reference into it yet.
        unsafe {
            mprotect(start.cast(), len, MprotectFlags::READ | MprotectFlags::WRITE)?;
            madvise(start.cast(), len, Advice::LinuxDontDump)?;
            if wipe_on_fork {
                madvise(start.cast(), len, Advice::LinuxWipeOnFork)?;
            }
        }
        mapping.lock()?;
        Ok(mapping)
    }

    /// Locks the pages, each when it is first touched. Locks are not inherited by a child.
    pub(super) fn lock(&self) -> Result<(), Errno> {
        // SAFETY: the range is the accessible part of this mapping; locking changes no content.
        unsafe { mlock_with(self.start.as_ptr().cast(), self.len, MlockFlags::ONFAULT) }
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is the whole mapping made in `new`, and its owner is going away. Only a
        // mapping that could not be locked is dropped: pools keep theirs for the life of the process.
        let unmapped = unsafe { munmap(self.outer.as_ptr(), self.outer_len) };
        debug_assert!(unmapped.is_ok());
    }
}

//! The shared mapping, and the one place where an offset becomes a reference.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::error::{Error, Result};

/// Types that may live in the mapping.
///
/// # Safety
///
/// Every bit pattern is a valid value, the alignment is at most 64, and all mutation goes through
/// atomics or through a process-shared lock, so that other processes may write at any time.
pub unsafe trait Shared: Sync {}

// SAFETY: an atomic integer has no invalid bit pattern, is at most 8-byte aligned and only mutates atomically.
unsafe impl Shared for AtomicU64 {}
// SAFETY: as above.
unsafe impl Shared for AtomicU32 {}

/// A sealed memfd, mapped shared, readable and writable, kept out of core dumps.
pub struct Region {
    start: NonNull<u8>,
    length: usize,
    fd: OwnedFd,
}

// SAFETY: the region hands out shared references to `Shared` types only, which any thread may use.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Makes a zeroed region of `length` bytes. Close-on-exec, sealed against a change of size.
    pub fn create(length: usize) -> Result<Self> {
        // SAFETY: the name is a NUL-terminated literal; the call has no other pointer argument.
        let raw = unsafe {
            libc::memfd_create(
                c"ron-kms-arena".as_ptr(),
                libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
            )
        };
        if raw < 0 {
            return Err(Error::arena_os(
                "cannot make the shared memory file",
                io::Error::last_os_error(),
            ));
        }
        // SAFETY: `raw` was just opened and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: plain system call on an owned descriptor.
        if unsafe { libc::ftruncate(fd.as_raw_fd(), length as libc::off_t) } != 0 {
            return Err(Error::arena_os(
                "cannot size the shared memory file",
                io::Error::last_os_error(),
            ));
        }
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: plain system call on an owned descriptor.
        if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) } != 0 {
            return Err(Error::arena_os(
                "cannot seal the shared memory file",
                io::Error::last_os_error(),
            ));
        }
        Self::map(fd, length)
    }

    /// Maps a region that another process made. Refuses one whose length differs or may change.
    pub fn attach(fd: OwnedFd, length: usize) -> Result<Self> {
        // SAFETY: plain system call on an owned descriptor.
        let seals = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) };
        let needed = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
        if seals < 0 || seals & needed != needed {
            return Err(Error::Arena("the descriptor is not a sealed arena".into()));
        }
        // SAFETY: all-zero is a valid `stat`; the kernel fills it.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `stat` is valid and exclusive.
        if unsafe { libc::fstat(fd.as_raw_fd(), &mut stat) } != 0 {
            return Err(Error::arena_os(
                "cannot examine the arena",
                io::Error::last_os_error(),
            ));
        }
        if stat.st_size as usize != length {
            return Err(Error::Arena(format!(
                "the arena has {} bytes, this configuration needs {length}; restart with a new arena",
                stat.st_size
            )));
        }
        Self::map(fd, length)
    }

    fn map(fd: OwnedFd, length: usize) -> Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice; it aliases no Rust object. The
        // file is sealed, so it cannot shrink under the mapping.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(Error::arena_os(
                "cannot map the arena",
                io::Error::last_os_error(),
            ));
        }
        // SAFETY: the range is exactly the new mapping.
        if unsafe { libc::madvise(start, length, libc::MADV_DONTDUMP) } != 0 {
            let cause = io::Error::last_os_error();
            // SAFETY: the range is exactly the new mapping and nothing refers to it yet.
            unsafe { libc::munmap(start, length) };
            return Err(Error::arena_os("cannot keep the arena out of core dumps", cause));
        }
        let start = NonNull::new(start.cast()).expect("mmap does not return null without MAP_FIXED");
        Ok(Self { start, length, fd })
    }

    /// Bytes of the mapping.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The descriptor, for a hand-over to another process.
    pub fn fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.fd.as_fd()
    }

    /// `count` elements from byte `offset` on. Panics if they do not fit or are not aligned: offsets
    /// come from `Layout`, never from the mapping.
    #[inline]
    pub fn slice<T: Shared>(&self, offset: usize, count: usize) -> &[T] {
        let bytes = count.checked_mul(size_of::<T>()).expect("section overflows");
        let end = offset.checked_add(bytes).expect("section overflows");
        assert!(
            end <= self.length && offset.is_multiple_of(align_of::<T>()),
            "section outside the arena"
        );
        // SAFETY: the range lies in the mapping, which lives as long as `self`, and is aligned (the
        // mapping is page-aligned). `Shared` makes every bit pattern valid and every mutation, also of
        // other processes, an atomic one or one under a process-shared lock.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(offset).cast(), count) }
    }

    /// One element at byte `offset`; as `slice`.
    #[inline]
    pub fn one<T: Shared>(&self, offset: usize) -> &T {
        &self.slice(offset, 1)[0]
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length; references into it borrow `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

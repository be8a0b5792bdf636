//! A mutex in shared memory that survives the death of its holder.

use std::cell::UnsafeCell;
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::error::{Error, Result};

/// A robust, process-shared `pthread_mutex_t`. Lives in the mapping; initialized once, by the parent.
#[repr(C, align(64))]
pub struct RobustMutex {
    raw: UnsafeCell<libc::pthread_mutex_t>,
}

// SAFETY: the mutex is made for use by many threads and processes; all access goes through pthread calls.
unsafe impl Sync for RobustMutex {}

/// Holds the mutex; unlocks when dropped.
pub struct Guard<'a> {
    mutex: &'a RobustMutex,
    owner_died: bool,
    /// A pthread mutex is unlocked by the thread that locked it.
    not_send: PhantomData<*const ()>,
}

impl RobustMutex {
    /// Makes zeroed memory a mutex. Only before any other thread or process can reach it.
    pub fn initialize(&self) -> Result<()> {
        let check = |what: &str, code: libc::c_int| {
            if code == 0 {
                Ok(())
            } else {
                Err(Error::arena_os(what, io::Error::from_raw_os_error(code)))
            }
        };
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: `attributes` is initialized by the first call before the others use it, and destroyed once.
        // The mutex is memory of the right type and alignment that nobody else uses yet.
        unsafe {
            check(
                "cannot make mutex attributes",
                libc::pthread_mutexattr_init(attributes),
            )?;
            let made = check(
                "no process-shared mutexes",
                libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED),
            )
            .and_then(|()| {
                check(
                    "no robust mutexes",
                    libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST),
                )
            })
            .and_then(|()| {
                check(
                    "cannot make a mutex",
                    libc::pthread_mutex_init(self.raw.get(), attributes),
                )
            });
            libc::pthread_mutexattr_destroy(attributes);
            made
        }
    }

    /// Locks, waiting for as long as a living holder needs.
    pub fn lock(&self) -> Result<Guard<'_>> {
        // SAFETY: the mutex was initialized by the parent before any fork.
        match unsafe { libc::pthread_mutex_lock(self.raw.get()) } {
            0 => Ok(self.guard(false)),
            libc::EOWNERDEAD => Ok(self.guard(true)),
            code => Err(Error::arena_os(
                "a shared lock is unusable",
                io::Error::from_raw_os_error(code),
            )),
        }
    }

    /// Locks if nobody holds it.
    pub fn try_lock(&self) -> Result<Option<Guard<'_>>> {
        // SAFETY: as in `lock`.
        match unsafe { libc::pthread_mutex_trylock(self.raw.get()) } {
            0 => Ok(Some(self.guard(false))),
            libc::EOWNERDEAD => Ok(Some(self.guard(true))),
            libc::EBUSY => Ok(None),
            code => Err(Error::arena_os(
                "a shared lock is unusable",
                io::Error::from_raw_os_error(code),
            )),
        }
    }

    fn guard(&self, owner_died: bool) -> Guard<'_> {
        Guard {
            mutex: self,
            owner_died,
            not_send: PhantomData,
        }
    }
}

impl Guard<'_> {
    /// Whether the previous holder died with the lock. Until `repaired` is called, dropping the guard
    /// makes the mutex unusable for everybody, on purpose.
    pub fn owner_died(&self) -> bool {
        self.owner_died
    }

    /// Declares what the lock protects whole again.
    pub fn repaired(&mut self) -> Result<()> {
        if std::mem::take(&mut self.owner_died) {
            // SAFETY: this thread holds the mutex in the owner-died state.
            let code = unsafe { libc::pthread_mutex_consistent(self.mutex.raw.get()) };
            if code != 0 {
                return Err(Error::arena_os(
                    "cannot repair a shared lock",
                    io::Error::from_raw_os_error(code),
                ));
            }
        }
        Ok(())
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread holds the mutex (`Guard` is not `Send`).
        unsafe { libc::pthread_mutex_unlock(self.mutex.raw.get()) };
    }
}

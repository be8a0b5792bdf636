//! Group fsync: one `fdatasync` for all records written so far, by whichever process is free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::JoinHandle;
use std::time::Duration;

use super::state::Latch;
use super::{Writer, as_audit};
use crate::error::{Error, Result};
use crate::futex;

/// Records wait so long for company before they are synced; with the sync itself it stays under 20 ms.
const GATHER: Duration = Duration::from_millis(8);
/// Longest sleep without work, and so the longest wait for a stop.
const IDLE: Duration = Duration::from_millis(500);
/// Longest sleep while another process syncs; bounds the delay if it dies.
const RETRY: Duration = Duration::from_millis(5);

impl Writer {
    /// Returns when `count` records are on disk, syncing if nobody else does.
    pub(super) fn sync_to(&self, count: u64) -> Result<()> {
        let state = self.state();
        loop {
            let signal = state.durable_signal.load(Ordering::Acquire);
            if state.durable() >= count {
                return Ok(());
            }
            state.check_open()?;
            match state.sync.try_lock().map_err(as_audit)? {
                Some(mut guard) => {
                    // The lock protects no data: a dead holder leaves nothing to repair.
                    guard.repaired().map_err(as_audit)?;
                    if state.durable() < count {
                        self.sync_all_written()?;
                    }
                    drop(guard);
                    futex::wake_all(&state.durable_signal);
                }
                None => futex::wait(&state.durable_signal, signal, RETRY),
            }
        }
    }

    /// Only with the sync mutex held.
    fn sync_all_written(&self) -> Result<()> {
        let state = self.state();
        // Segments before the head's were synced before that head was published.
        let head = state.head();
        let segment = self.segment_of(&head)?;
        if let Err(cause) = segment.sync() {
            let error = state.close(Latch::Sync, cause.raw_os_error().unwrap_or(libc::EIO));
            futex::wake_all(&state.durable_signal);
            return Err(error);
        }
        state.raise_durable(head.chain.count);
        Ok(())
    }

    fn sync_until(&self, stop: &AtomicBool) {
        let state = self.state();
        loop {
            let stopping = stop.load(Ordering::Acquire);
            if state.head().chain.count > state.durable() {
                if !stopping {
                    std::thread::sleep(GATHER);
                }
                // An error closes the log for all; each append and each waiter then reports it.
                if self.sync_to(state.head().chain.count).is_err() && !stopping {
                    std::thread::sleep(IDLE);
                }
            }
            if stopping {
                return;
            }
            let signal = state.work_signal.load(Ordering::Acquire);
            state.idle.store(1, Ordering::Relaxed);
            // Pairs with the fence in `Writer::append`.
            fence(Ordering::SeqCst);
            if state.head().chain.count <= state.durable() && !stop.load(Ordering::Acquire) {
                futex::wait(&state.work_signal, signal, IDLE);
            }
        }
    }
}

/// The group-sync thread of one process.
pub(super) struct Syncer {
    stop: Arc<AtomicBool>,
    writer: Arc<Writer>,
    thread: Option<JoinHandle<()>>,
    process: u32,
}

impl Syncer {
    pub(super) fn start(writer: Arc<Writer>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (its_stop, its_writer) = (Arc::clone(&stop), Arc::clone(&writer));
        let thread = without_signals(|| {
            std::thread::Builder::new()
                .name("audit-sync".into())
                .spawn(move || its_writer.sync_until(&its_stop))
        })
        .map_err(|cause| Error::audit_os("cannot start the audit sync thread", &cause))?;
        let process = std::process::id();
        let thread = Some(thread);
        Ok(Self {
            stop,
            writer,
            thread,
            process,
        })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if self.process != std::process::id() {
            // Threads do not survive a fork: this one cannot be joined here.
            std::mem::forget(thread);
            return;
        }
        self.stop.store(true, Ordering::Release);
        let state = self.writer.state();
        state.wake_syncers();
        // A panic in the thread was printed there; nothing is left to do about it here.
        let _ = thread.join();
    }
}

/// Runs `spawn` with all signals blocked, so that a thread made by it never takes one away from the
/// process's main thread.
fn without_signals<T>(spawn: impl FnOnce() -> T) -> T {
    // SAFETY: both sets are valid memory; `sigfillset` initializes the first, `pthread_sigmask` the
    // second. Only this thread's mask changes, and it is restored.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let made = spawn();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        made
    }
}

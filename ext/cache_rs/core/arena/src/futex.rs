//! Process-shared futexes: sleep until a 32-bit word in the mapping changes.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Sleeps while the word is `expected`, at most `limit`. May return early; the caller looks again.
pub fn wait(word: &AtomicU32, expected: u32, limit: Duration) {
    let limit = libc::timespec {
        tv_sec: limit.as_secs() as libc::time_t,
        tv_nsec: limit.subsec_nanos() as libc::c_long,
    };
    // SAFETY: the word is a live, aligned 32-bit atomic and `limit` a valid timespec, which the kernel only
    // reads. Every error (word changed, signal, time-out) means 'look again'.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            &raw const limit,
            0,
            0,
        );
    }
}

/// Wakes everybody who sleeps on the word, in all processes.
pub fn wake_all(word: &AtomicU32) {
    // SAFETY: the word is a live, aligned 32-bit atomic; waking has no other argument that is a pointer.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE,
            i32::MAX,
            0,
            0,
            0,
        );
    }
}

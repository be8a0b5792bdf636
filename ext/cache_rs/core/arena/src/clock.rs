//! The clock of the arena: `CLOCK_MONOTONIC_COARSE`, which is the same for every process.

/// Milliseconds since an arbitrary start; moves in kernel ticks (1 to 10 ms), costs a few nanoseconds.
#[inline]
pub fn coarse_ms() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid, exclusive timespec. The clock id exists on every Linux since 2.6.32, so
    // the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut now) };
    now.tv_sec as u64 * 1_000 + now.tv_nsec as u64 / 1_000_000
}

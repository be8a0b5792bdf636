//! Clearing the stack below a call that handled secrets.
//!
//! The portable parts of this crate zeroize what they own. The AVX2 signer and some libraries leave
//! unpacked key material in dead stack frames; these are overwritten before the call returns.

use std::hint::black_box;
use std::mem::MaybeUninit;

/// Runs `operation` and then overwrites `DEPTH` bytes of the stack below the caller's frame.
#[inline(always)]
pub(crate) fn with_clean_stack<const DEPTH: usize, T>(operation: impl FnOnce() -> T) -> T {
    let result = operation();
    overwrite::<DEPTH>();
    result
}

#[inline(never)]
fn overwrite<const DEPTH: usize>() {
    let mut frame = [const { MaybeUninit::<u8>::uninit() }; DEPTH];
    // SAFETY: the pointer and length are those of a live local array; writing MaybeUninit is always
    // sound.
    unsafe { std::ptr::write_bytes(frame.as_mut_ptr(), 0, DEPTH) };
    // The array escapes here, so the writes are not dead.
    black_box(&mut frame);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::with_clean_stack;
    use std::hint::black_box;
    use std::mem::MaybeUninit;

    const PAINTED: usize = 512 * 1024;
    const PAINT: u8 = 0xA5;

    #[inline(never)]
    fn paint() -> usize {
        let mut frame = [const { MaybeUninit::<u8>::uninit() }; PAINTED];
        // SAFETY: the pointer and length are those of a live local array.
        unsafe { std::ptr::write_bytes(frame.as_mut_ptr(), PAINT, PAINTED) };
        black_box(&mut frame).as_ptr() as usize
    }

    /// Bytes of stack that `operation` uses, up to half a MiB.
    pub(crate) fn depth_of(operation: impl FnOnce()) -> usize {
        let bottom = paint();
        operation();
        let is_painted = |offset: &usize| {
            // SAFETY: the painted frame lies in this thread's stack mapping, below the live frames, and
            // is only read, volatile, as plain bytes.
            unsafe { std::ptr::read_volatile((bottom + offset) as *const u8) == PAINT }
        };
        PAINTED - (0..PAINTED).take_while(is_painted).count()
    }

    #[inline(never)]
    fn leave_pattern() -> usize {
        let mut frame = [0xA5_u8; 4096];
        black_box(&mut frame);
        frame.as_ptr() as usize
    }

    #[test]
    fn a_dead_frame_is_overwritten() {
        let address = with_clean_stack::<16384, _>(leave_pattern);
        let mut left = 0;
        for offset in 0..4096 {
            // SAFETY: the address lies in this thread's stack mapping, below the live frames, and is
            // only read, volatile, as plain bytes.
            let byte = unsafe { std::ptr::read_volatile((address + offset) as *const u8) };
            left += usize::from(byte == 0xA5);
        }
        assert!(left < 64, "{left} bytes of the dead frame are left");
    }
}

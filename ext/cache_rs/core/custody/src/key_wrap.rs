//! AES key wrap with padding (RFC 5649, NIST SP 800-38F KWP), 256-bit key encryption key.
//!
//! Called through aws-lc-sys because the safe wrapper keeps a heap copy of the key that it does not
//! zeroize.

use std::mem::MaybeUninit;

use aws_lc_sys::{
    AES_KEY, AES_set_decrypt_key, AES_set_encrypt_key, AES_unwrap_key_padded, AES_wrap_key_padded,
};
use zeroize::Zeroize;

/// Longest plaintext, in bytes.
pub(crate) const MAX_PLAINTEXT: usize = 65_536;

struct Schedule(MaybeUninit<AES_KEY>);

impl Schedule {
    fn encrypting(key: &[u8; 32]) -> Self {
        let mut schedule = MaybeUninit::zeroed();
        // SAFETY: key has the 32 bytes that 256 bits say, and the schedule is writable.
        let status = unsafe { AES_set_encrypt_key(key.as_ptr(), 256, schedule.as_mut_ptr()) };
        assert_eq!(status, 0, "AES takes 256-bit keys");
        Self(schedule)
    }

    fn decrypting(key: &[u8; 32]) -> Self {
        let mut schedule = MaybeUninit::zeroed();
        // SAFETY: as in `encrypting`.
        let status = unsafe { AES_set_decrypt_key(key.as_ptr(), 256, schedule.as_mut_ptr()) };
        assert_eq!(status, 0, "AES takes 256-bit keys");
        Self(schedule)
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Length of the wrapped form of `length` bytes.
pub(crate) const fn wrapped_len(length: usize) -> usize {
    length.div_ceil(8) * 8 + 8
}

/// Wraps 1 to 65,536 bytes.
pub(crate) fn wrap(key: &[u8; 32], plaintext: &[u8]) -> Vec<u8> {
    assert!((1..=MAX_PLAINTEXT).contains(&plaintext.len()));
    let schedule = Schedule::encrypting(key);
    let mut wrapped = vec![0; wrapped_len(plaintext.len())];
    let mut length = 0;
    // SAFETY: the schedule is initialised, both buffers are valid for the lengths given, and the output
    // has the length that RFC 5649 gives to a plaintext of that size.
    let status = unsafe {
        AES_wrap_key_padded(
            schedule.0.as_ptr(),
            wrapped.as_mut_ptr(),
            &mut length,
            wrapped.len(),
            plaintext.as_ptr(),
            plaintext.len(),
        )
    };
    assert!(
        status == 1 && length == wrapped.len(),
        "AES-KWP wraps any 1 to 65,536 bytes"
    );
    wrapped
}

/// Unwraps into `plaintext`, which must be as long as `wrapped` less 8 bytes. Returns the plaintext's
/// length, or `None` if the integrity check fails.
pub(crate) fn unwrap(key: &[u8; 32], wrapped: &[u8], plaintext: &mut [u8]) -> Option<usize> {
    if wrapped.len() < 16 || !wrapped.len().is_multiple_of(8) || plaintext.len() < wrapped.len() - 8 {
        return None;
    }
    let schedule = Schedule::decrypting(key);
    let mut length = 0;
    // SAFETY: the schedule is initialised and both buffers are valid for the lengths given; AWS-LC
    // refuses an output shorter than the wrapped length less 8.
    let status = unsafe {
        AES_unwrap_key_padded(
            schedule.0.as_ptr(),
            plaintext.as_mut_ptr(),
            &mut length,
            plaintext.len(),
            wrapped.as_ptr(),
            wrapped.len(),
        )
    };
    if status != 1 {
        plaintext.zeroize();
        return None;
    }
    Some(length)
}

//! Randomness from the operating system, at every use.

/// Fills `bytes` from the operating system's generator.
///
/// # Panics
/// If the generator fails, which Linux does not do once the system has booted: going on without
/// randomness is never right, and no caller could repair it.
pub(crate) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system's random generator failed");
}

/// `N` public random bytes (salts and nonces).
pub(crate) fn array<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

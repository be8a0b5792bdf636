//! Hedged signing with the AVX2 implementation of PQClean, where the processor has what it was built
//! for. It takes its 32 bytes of randomness from the operating system (`PQCRYPTO_RUST_randombytes`)
//! and reads the FIPS 204 private key where it is.

/// `(signature out, length out, message, its length, context, its length, private)`; 0 for success.
pub(super) type HedgedSignFn =
    unsafe extern "C" fn(*mut u8, *mut usize, *const u8, usize, *const u8, usize, *const u8) -> i32;

#[cfg(target_arch = "x86_64")]
mod signers {
    pub(in crate::ml_dsa) use pqcrypto_mldsa::ffi::{
        PQCLEAN_MLDSA44_AVX2_crypto_sign_signature_ctx as sign44,
        PQCLEAN_MLDSA65_AVX2_crypto_sign_signature_ctx as sign65,
        PQCLEAN_MLDSA87_AVX2_crypto_sign_signature_ctx as sign87,
    };
}

#[cfg(target_arch = "x86_64")]
pub(super) const SIGNERS: [Option<HedgedSignFn>; 3] = [
    Some(signers::sign44),
    Some(signers::sign65),
    Some(signers::sign87),
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const SIGNERS: [Option<HedgedSignFn>; 3] = [None; 3];

/// True if this processor has every extension that the AVX2 code was compiled for.
#[cfg(target_arch = "x86_64")]
pub(super) fn is_available() -> bool {
    // The macro caches its answers; each is one relaxed load.
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq")
}

/// True if this processor has every extension that the AVX2 code was compiled for.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn is_available() -> bool {
    false
}

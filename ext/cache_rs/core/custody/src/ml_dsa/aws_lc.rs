//! ML-DSA of AWS-LC (mldsa-native), called on key bytes that stay where they are.
//!
//! The functions are declared in AWS-LC's `crypto/fipsmodule/ml_dsa/ml_dsa.h`, exported, but outside its
//! stable interface; the stable one copies private keys to the heap. Their names carry the library's
//! version, which Cargo.toml pins: another version does not link. The known answers in
//! `tests/vectors.rs` check that they do what is said here. All return 1 for success.

/// `(public out, private out, seed)`: key generation from a 32-byte seed.
pub(super) type KeyPairFn = unsafe extern "C" fn(*mut u8, *mut u8, *const u8) -> i32;
/// `(private, signature out, length out, message or mu, its length, pre, its length, rnd)`: rnd has 32
/// bytes; pre is what FIPS 204 puts before the message, empty for mu.
pub(super) type SignFn = unsafe extern "C" fn(
    *const u8,
    *mut u8,
    *mut usize,
    *const u8,
    usize,
    *const u8,
    usize,
    *const u8,
) -> i32;
/// `(public, signature, its length, message, its length, context, its length)`.
pub(super) type VerifyFn =
    unsafe extern "C" fn(*const u8, *const u8, usize, *const u8, usize, *const u8, usize) -> i32;
/// `(public, signature, its length, mu, 64)`.
pub(super) type VerifyMuFn = unsafe extern "C" fn(*const u8, *const u8, usize, *const u8, usize) -> i32;

macro_rules! parameter_set {
    ($module:ident, $keypair:literal, $sign:literal, $sign_mu:literal, $verify:literal, $verify_mu:literal) => {
        pub(super) mod $module {
            unsafe extern "C" {
                #[link_name = $keypair]
                pub(in crate::ml_dsa) fn keypair(public: *mut u8, private: *mut u8, seed: *const u8) -> i32;
                #[link_name = $sign]
                pub(in crate::ml_dsa) fn sign(
                    private: *const u8,
                    signature: *mut u8,
                    signature_len: *mut usize,
                    message: *const u8,
                    message_len: usize,
                    pre: *const u8,
                    pre_len: usize,
                    rnd: *const u8,
                ) -> i32;
                #[link_name = $sign_mu]
                pub(in crate::ml_dsa) fn sign_mu(
                    private: *const u8,
                    signature: *mut u8,
                    signature_len: *mut usize,
                    mu: *const u8,
                    mu_len: usize,
                    pre: *const u8,
                    pre_len: usize,
                    rnd: *const u8,
                ) -> i32;
                #[link_name = $verify]
                pub(in crate::ml_dsa) fn verify(
                    public: *const u8,
                    signature: *const u8,
                    signature_len: usize,
                    message: *const u8,
                    message_len: usize,
                    context: *const u8,
                    context_len: usize,
                ) -> i32;
                #[link_name = $verify_mu]
                pub(in crate::ml_dsa) fn verify_mu(
                    public: *const u8,
                    signature: *const u8,
                    signature_len: usize,
                    mu: *const u8,
                    mu_len: usize,
                ) -> i32;
            }
        }
    };
}

parameter_set!(
    level44,
    "aws_lc_0_47_0_ml_dsa_44_keypair_internal",
    "aws_lc_0_47_0_ml_dsa_44_sign_internal",
    "aws_lc_0_47_0_ml_dsa_extmu_44_sign_internal",
    "aws_lc_0_47_0_ml_dsa_44_verify",
    "aws_lc_0_47_0_ml_dsa_extmu_44_verify"
);
parameter_set!(
    level65,
    "aws_lc_0_47_0_ml_dsa_65_keypair_internal",
    "aws_lc_0_47_0_ml_dsa_65_sign_internal",
    "aws_lc_0_47_0_ml_dsa_extmu_65_sign_internal",
    "aws_lc_0_47_0_ml_dsa_65_verify",
    "aws_lc_0_47_0_ml_dsa_extmu_65_verify"
);
parameter_set!(
    level87,
    "aws_lc_0_47_0_ml_dsa_87_keypair_internal",
    "aws_lc_0_47_0_ml_dsa_87_sign_internal",
    "aws_lc_0_47_0_ml_dsa_extmu_87_sign_internal",
    "aws_lc_0_47_0_ml_dsa_87_verify",
    "aws_lc_0_47_0_ml_dsa_extmu_87_verify"
);

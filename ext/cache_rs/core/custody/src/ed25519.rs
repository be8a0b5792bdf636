//! Ed25519 (RFC 8032, FIPS 186-5).
//!
//! One accept set, whoever asks: the cofactored equation, S < L, canonical encodings of A and R, and
//! no A of small order. AWS-LC verifies first: it recomputes R without the cofactor and compares
//! encodings, so what it accepts lies inside that set, and nearly every genuine signature ends there.
//! What it does not accept is decided by the cofactored equation of ed25519-zebra, whose wider set
//! (ZIP 215) is narrowed by the encoding checks made before.

use aws_lc_sys::{ED25519_keypair_from_seed, ED25519_sign, ED25519_verify};
use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes, batch};
use getrandom::SysRng;
use rand_core::UnwrapErr;

use crate::locked::{KEYS, Secret};
use crate::stack::with_clean_stack;
use crate::{CustodyError, Result};

pub(crate) const SEED: usize = 32;
pub(crate) const PUBLIC: usize = 32;
pub(crate) const SIGNATURE: usize = 64;

/// The order of the base point, little-endian.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

const STACK: usize = 16 * 1024;

/// A private key: seed || public key, in locked memory.
pub(crate) struct SigningKey(Secret);

impl SigningKey {
    /// `seed` has 32 bytes.
    pub(crate) fn from_seed(seed: &[u8; SEED]) -> Result<Self> {
        let mut key = KEYS.secret(SEED + PUBLIC)?;
        let mut public = [0; PUBLIC];
        let bytes = key.bytes_mut()?;
        // SAFETY: AWS-LC reads 32 bytes of seed and writes 32 and 64 bytes, the lengths of the buffers.
        with_clean_stack::<STACK, _>(|| unsafe {
            ED25519_keypair_from_seed(public.as_mut_ptr(), bytes.as_mut_ptr(), seed.as_ptr());
        });
        Ok(Self(key))
    }

    pub(crate) fn public(&self) -> Result<[u8; PUBLIC]> {
        Ok(self.0.bytes()?[SEED..]
            .try_into()
            .expect("the second half has 32 bytes"))
    }

    #[inline]
    pub(crate) fn sign(&self, message: &[u8], signature: &mut [u8; SIGNATURE]) -> Result<()> {
        let key = self.0.array::<{ SEED + PUBLIC }>()?;
        // SAFETY: AWS-LC writes 64 bytes, and reads the message and the 64 bytes of the key.
        let status = with_clean_stack::<STACK, _>(|| unsafe {
            ED25519_sign(
                signature.as_mut_ptr(),
                message.as_ptr(),
                message.len(),
                key.as_ptr(),
            )
        });
        assert_eq!(status, 1, "Ed25519 signs every message");
        Ok(())
    }
}

/// A validated public key.
pub(crate) struct VerifyingKey {
    encoded: [u8; PUBLIC],
    point: VerificationKey,
}

impl VerifyingKey {
    /// # Errors
    /// `KeyMaterial`: not 32 bytes, not canonical, not on the curve, or of small order.
    pub(crate) fn parse(encoded: &[u8]) -> Result<Self> {
        let encoded: [u8; PUBLIC] = encoded
            .try_into()
            .map_err(|_| CustodyError::key_material("an Ed25519 public key has 32 bytes"))?;
        if !is_canonical_point(&encoded) {
            return Err(CustodyError::key_material(
                "the Ed25519 public key is not canonically encoded",
            ));
        }
        let point = CompressedEdwardsY(encoded)
            .decompress()
            .ok_or_else(|| CustodyError::key_material("the Ed25519 public key is not on the curve"))?;
        if point.is_small_order() {
            return Err(CustodyError::key_material(
                "the Ed25519 public key has small order",
            ));
        }
        let point = VerificationKey::try_from(VerificationKeyBytes::from(encoded))
            .map_err(|_| CustodyError::key_material("the Ed25519 public key is not on the curve"))?;
        Ok(Self { encoded, point })
    }

    /// True if `signature` is in the accept set for `message`. A malformed signature is not.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some(signature) = well_formed(signature) else {
            return false;
        };
        // SAFETY: AWS-LC reads the message, 64 bytes of signature and 32 bytes of key.
        let strict = unsafe {
            ED25519_verify(
                message.as_ptr(),
                message.len(),
                signature.as_ptr(),
                self.encoded.as_ptr(),
            )
        };
        strict == 1 || self.point.verify(&Signature::from(*signature), message).is_ok()
    }
}

/// Verifies signatures of many keys in one equation with random coefficients. False says that at least
/// one is not in the accept set (or, with probability 2^-128, nothing): verify each by itself then.
pub(crate) fn verify_together<'a>(
    items: impl IntoIterator<Item = (&'a VerifyingKey, &'a [u8], &'a [u8])>,
) -> bool {
    let mut batch = batch::Verifier::new();
    for (key, message, signature) in items {
        let Some(signature) = well_formed(signature) else {
            return false;
        };
        batch.queue((
            VerificationKeyBytes::from(key.encoded),
            Signature::from(*signature),
            message,
        ));
    }
    batch.verify(UnwrapErr(SysRng)).is_ok()
}

/// The signature as an array if it has 64 bytes, a canonical R and S < L.
pub(crate) fn well_formed(signature: &[u8]) -> Option<&[u8; SIGNATURE]> {
    let signature: &[u8; SIGNATURE] = signature.try_into().ok()?;
    let (r, s) = signature.split_first_chunk::<32>().expect("64 bytes");
    let s_is_reduced = s.iter().rev().cmp(L.iter().rev()) == std::cmp::Ordering::Less;
    (s_is_reduced && is_canonical_point(r)).then_some(signature)
}

/// True if y < p, and the sign bit is clear where x is 0 (y = 1 or y = -1): RFC 8032, 5.1.3. Public
/// values only; says nothing about whether the point is on the curve.
fn is_canonical_point(encoded: &[u8; 32]) -> bool {
    let negative = encoded[31] & 0x80 != 0;
    let mut y = *encoded;
    y[31] &= 0x7f;
    let upper_ones = y[31] == 0x7f && y[1..31].iter().all(|&byte| byte == 0xff);
    if upper_ones && y[0] >= 0xed {
        return false;
    }
    let y_is_one = y[0] == 1 && y[1..].iter().all(|&byte| byte == 0);
    let y_is_minus_one = upper_ones && y[0] == 0xec;
    !(negative && (y_is_one || y_is_minus_one))
}

#[cfg(test)]
mod tests {
    use super::{L, SigningKey, VerifyingKey, is_canonical_point, verify_together, well_formed};
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use curve25519_dalek::scalar::Scalar;
    use sha2_512::digest;

    mod sha2_512 {
        pub fn digest(parts: &[&[u8]]) -> [u8; 64] {
            let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA512);
            parts.iter().for_each(|part| context.update(part));
            context.finish().as_ref().try_into().unwrap()
        }
    }

    fn hash(r: &[u8], a: &[u8], message: &[u8]) -> Scalar {
        Scalar::from_bytes_mod_order_wide(&digest(&[r, a, message]))
    }

    /// A signature by a key A = aB + torsion[i] with R = rB + torsion[j].
    fn mixed(i: usize, j: usize, message: &[u8]) -> ([u8; 32], [u8; 64]) {
        let a = Scalar::from(0x1234_5678_9abc_def1_u64);
        let r = Scalar::from(0x0fed_cba9_8765_4321_u64);
        let public = (ED25519_BASEPOINT_POINT * a + EIGHT_TORSION[i])
            .compress()
            .to_bytes();
        let nonce = (ED25519_BASEPOINT_POINT * r + EIGHT_TORSION[j])
            .compress()
            .to_bytes();
        let s = r + hash(&nonce, &public, message) * a;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&nonce);
        signature[32..].copy_from_slice(s.as_bytes());
        (public, signature)
    }

    fn single_and_batch(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
        let key = VerifyingKey::parse(public).unwrap();
        let single = key.verify(message, signature);
        for _ in 0..8 {
            assert_eq!(verify_together([(&key, message, signature)]), single);
        }
        single
    }

    #[test]
    fn torsion_in_key_or_nonce_is_accepted_alike_by_single_and_batch() {
        for i in 0..8 {
            for j in 0..8 {
                let (public, signature) = mixed(i, j, b"torsion");
                assert!(single_and_batch(&public, b"torsion", &signature), "A+{i} R+{j}");
                assert!(!single_and_batch(&public, b"Torsion", &signature), "A+{i} R+{j}");
            }
        }
    }

    #[test]
    fn small_order_keys_are_refused_in_every_encoding() {
        for point in EIGHT_TORSION {
            let mut encoded = point.compress().to_bytes();
            assert!(VerifyingKey::parse(&encoded).is_err());
            encoded[31] ^= 0x80;
            assert!(VerifyingKey::parse(&encoded).is_err());
        }
    }

    #[test]
    fn a_small_order_nonce_is_accepted_when_the_equation_holds() {
        // R = torsion, S = k * a: valid under the cofactored equation.
        let a = Scalar::from(77_u64);
        let public = (ED25519_BASEPOINT_POINT * a).compress().to_bytes();
        for point in EIGHT_TORSION {
            let nonce = point.compress().to_bytes();
            let s = hash(&nonce, &public, b"m") * a;
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&nonce);
            signature[32..].copy_from_slice(s.as_bytes());
            assert!(single_and_batch(&public, b"m", &signature));
        }
    }

    #[test]
    fn non_canonical_encodings_are_refused() {
        let p: [u8; 32] = {
            let mut p = [0xff; 32];
            p[0] = 0xed;
            p[31] = 0x7f;
            p
        };
        for low in 0xed..=0xff {
            let mut encoded = p;
            encoded[0] = low;
            assert!(!is_canonical_point(&encoded), "p + {}", low - 0xed);
            encoded[31] |= 0x80;
            assert!(!is_canonical_point(&encoded));
            assert!(VerifyingKey::parse(&encoded).is_err());
        }
        let mut minus_one = p;
        minus_one[0] = 0xec;
        assert!(is_canonical_point(&minus_one));
        minus_one[31] |= 0x80;
        assert!(!is_canonical_point(&minus_one));
        let mut one = [0; 32];
        one[0] = 1;
        assert!(is_canonical_point(&one));
        one[31] = 0x80;
        assert!(!is_canonical_point(&one));
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&p);
        assert!(well_formed(&signature).is_none());
    }

    #[test]
    fn s_must_be_below_the_group_order() {
        let key = SigningKey::from_seed(&[3; 32]).unwrap();
        let public = key.public().unwrap();
        let mut signature = [0; 64];
        key.sign(b"s", &mut signature).unwrap();
        assert!(single_and_batch(&public, b"s", &signature));
        let mut carry = 0;
        let mut raised = signature;
        for (byte, order) in raised[32..].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert!(!single_and_batch(&public, b"s", &raised));
        let mut at_order = signature;
        at_order[32..].copy_from_slice(&L);
        assert!(!single_and_batch(&public, b"s", &at_order));
        assert!(!single_and_batch(&public, b"s", &signature[..63]));
    }

    #[test]
    fn one_bad_signature_fails_the_batch() {
        let keys: Vec<_> = (0..64)
            .map(|n| SigningKey::from_seed(&[n; 32]).unwrap())
            .collect();
        let publics: Vec<_> = keys
            .iter()
            .map(|key| VerifyingKey::parse(&key.public().unwrap()).unwrap())
            .collect();
        let mut signatures = vec![[0; 64]; 64];
        for (key, signature) in keys.iter().zip(&mut signatures) {
            key.sign(b"batch", signature).unwrap();
        }
        let together = |signatures: &[[u8; 64]]| {
            verify_together(
                publics
                    .iter()
                    .zip(signatures)
                    .map(|(key, signature)| (key, &b"batch"[..], &signature[..])),
            )
        };
        assert!(together(&signatures));
        for index in [0, 31, 63] {
            let mut broken = signatures.clone();
            broken[index][40] ^= 1;
            assert!(!together(&broken));
        }
    }
}

//! HPKE (RFC 9180) base mode with X-Wing (X25519 + ML-KEM-768, KEM 0x647A), HKDF-SHA256 and
//! AES-256-GCM.

use getrandom::SysRng;
use hpke::aead::{AeadTag, AesGcm256};
use hpke::inout::InOutBuf;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open_inout_detached,
    single_shot_seal_inout_detached_with_rng,
};
use rand_core::UnwrapErr;

use crate::stack::with_clean_stack;
use crate::{CustodyError, Result};

pub(crate) const SEED: usize = 32;
/// Encapsulated key, in bytes.
pub(crate) const ENC: usize = 1120;
const TAG: usize = 16;
/// What sealing adds to a plaintext, in bytes.
pub(crate) const OVERHEAD: usize = ENC + TAG;

const STACK: usize = 64 * 1024;

type PrivateKey = <XWing as Kem>::PrivateKey;
type PublicKey = <XWing as Kem>::PublicKey;

fn private(seed: &[u8; SEED]) -> PrivateKey {
    PrivateKey::from_bytes(seed).expect("an X-Wing seed is any 32 bytes")
}

/// The public key (1,216 bytes) of a seed.
pub(crate) fn public(seed: &[u8; SEED]) -> Vec<u8> {
    with_clean_stack::<STACK, _>(|| XWing::sk_to_pk(&private(seed)).to_bytes().to_vec())
}

/// # Errors
/// `KeyMaterial`: not a valid public key of 1,216 bytes.
pub(crate) fn check_public(public: &[u8]) -> Result<()> {
    PublicKey::from_bytes(public)
        .map(|_| ())
        .map_err(|_| not_public())
}

fn not_public() -> CustodyError {
    CustodyError::key_material("not an X-Wing public key (1216 bytes)")
}

/// Encrypts to the public key of `seed`: enc || ciphertext || tag.
pub(crate) fn seal(seed: &[u8; SEED], info: &[u8], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
    seal_to(&public(seed), info, aad, plaintext)
}

/// Encrypts to a public key: enc || ciphertext || tag.
///
/// # Errors
/// `KeyMaterial`: not a valid public key of 1,216 bytes.
pub(crate) fn seal_to(recipient: &[u8], info: &[u8], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
    let recipient = PublicKey::from_bytes(recipient).map_err(|_| not_public())?;
    with_clean_stack::<STACK, _>(|| {
        let mut sealed = vec![0; ENC + plaintext.len()];
        sealed[ENC..].copy_from_slice(plaintext);
        let (enc, tag): (_, AeadTag<AesGcm256>) =
            single_shot_seal_inout_detached_with_rng::<AesGcm256, HkdfSha256, XWing>(
                &OpModeS::Base,
                &recipient,
                info,
                InOutBuf::from(&mut sealed[ENC..]),
                aad,
                &mut UnwrapErr(SysRng),
            )
            .map_err(|_| CustodyError::input("HPKE could not encrypt this input"))?;
        sealed[..ENC].copy_from_slice(&enc.to_bytes());
        sealed.extend_from_slice(&tag.to_bytes());
        Ok(sealed)
    })
}

/// Decrypts enc || ciphertext || tag into `plaintext`, which has the ciphertext's length less
/// [`OVERHEAD`].
///
/// # Errors
/// `Unwrap`.
pub(crate) fn open(
    seed: &[u8; SEED],
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
    plaintext: &mut [u8],
) -> Result<()> {
    let (enc, rest) = sealed
        .split_at_checked(ENC)
        .ok_or_else(CustodyError::unwrap_failed)?;
    let (ciphertext, tag) = rest
        .split_last_chunk::<TAG>()
        .ok_or_else(CustodyError::unwrap_failed)?;
    plaintext.copy_from_slice(ciphertext);
    with_clean_stack::<STACK, _>(|| {
        let enc = <XWing as Kem>::EncappedKey::from_bytes(enc).map_err(|_| CustodyError::unwrap_failed())?;
        let tag = AeadTag::from_bytes(tag).map_err(|_| CustodyError::unwrap_failed())?;
        single_shot_open_inout_detached::<AesGcm256, HkdfSha256, XWing>(
            &OpModeR::Base,
            &private(seed),
            &enc,
            info,
            InOutBuf::from(plaintext),
            aad,
            &tag,
        )
        .map_err(|_| CustodyError::unwrap_failed())
    })
}

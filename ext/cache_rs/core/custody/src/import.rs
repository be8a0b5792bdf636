//! One-time wrapping keys, and unwrapping what was wrapped to them.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};

use crate::locked::{KEYS, Secret};
use crate::{CustodyError, Result, key_wrap, random, xwing};

const HPKE_INFO: &[u8] = b"ron-kms import v1";
const RSA_BYTES: usize = 384;

/// How key material travels to the custody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RSA-OAEP(SHA-256, MGF1-SHA-256, empty label) of a 32-byte AES key with a 3072-bit modulus, then
    /// AES-KWP of the material under that key.
    RsaOaepAesKwp,
    /// HPKE base mode with X-Wing, HKDF-SHA256 and AES-256-GCM; info `ron-kms import v1`, empty aad.
    HpkeXWing,
}

impl Mechanism {
    const ALL: [Self; 2] = [Self::RsaOaepAesKwp, Self::HpkeXWing];

    /// The public name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaOaepAesKwp => "RSA-OAEP-3072-SHA256-AES-KWP",
            Self::HpkeXWing => "HPKE-X-Wing-HKDF-SHA256-AES-256-GCM",
        }
    }

    /// The mechanism of that name.
    ///
    /// # Errors
    /// `Input` if there is none.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
            .ok_or_else(|| {
                CustodyError::input(format!(
                    "unknown import mechanism; one of {}, {}",
                    Self::RsaOaepAesKwp.name(),
                    Self::HpkeXWing.name()
                ))
            })
    }

    pub(crate) const fn content_type(self) -> u8 {
        match self {
            Self::RsaOaepAesKwp => 0x40,
            Self::HpkeXWing => 0x41,
        }
    }

    pub(crate) fn from_content_type(content_type: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.content_type() == content_type)
    }
}

/// A fresh wrapping key: private content, and the public part to hand out.
pub(crate) fn generate(mechanism: Mechanism) -> Result<(Secret, Vec<u8>)> {
    match mechanism {
        Mechanism::RsaOaepAesKwp => {
            let failed = || CustodyError::key_material("key generation failed");
            let key = PrivateDecryptingKey::generate(KeySize::Rsa3072).map_err(|_| failed())?;
            let public: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| failed())?;
            let private: Pkcs8V1Der<'_> = key.as_der().map_err(|_| failed())?;
            Ok((KEYS.copy_of(private.as_ref())?, public.as_ref().to_vec()))
        }
        Mechanism::HpkeXWing => {
            let mut seed = KEYS.secret(xwing::SEED)?;
            random::fill(seed.bytes_mut()?);
            let public = xwing::public(seed.array()?);
            Ok((seed, public))
        }
    }
}

/// Unwraps key material into locked memory. `private` is the content made by `generate`.
///
/// # Errors
/// `Unwrap`: not wrapped to this key.
pub(crate) fn unwrap(mechanism: Mechanism, private: &Secret, wrapped: &[u8]) -> Result<Secret> {
    match mechanism {
        Mechanism::RsaOaepAesKwp => {
            let (encrypted_key, wrapped) = wrapped
                .split_at_checked(RSA_BYTES)
                .ok_or_else(CustodyError::unwrap_failed)?;
            let key = oaep_decrypt(private, encrypted_key)?;
            let room = wrapped
                .len()
                .checked_sub(8)
                .ok_or_else(CustodyError::unwrap_failed)?;
            if room > key_wrap::MAX_PLAINTEXT {
                return Err(CustodyError::unwrap_failed());
            }
            let mut material = KEYS.secret(room)?;
            let length = key_wrap::unwrap(key.array()?, wrapped, material.bytes_mut()?)
                .ok_or_else(CustodyError::unwrap_failed)?;
            material.truncate(length)?;
            Ok(material)
        }
        Mechanism::HpkeXWing => {
            let room = wrapped
                .len()
                .checked_sub(xwing::OVERHEAD)
                .ok_or_else(CustodyError::unwrap_failed)?;
            if room > key_wrap::MAX_PLAINTEXT {
                return Err(CustodyError::unwrap_failed());
            }
            let mut material = KEYS.secret(room)?;
            xwing::open(private.array()?, HPKE_INFO, &[], wrapped, material.bytes_mut()?)?;
            Ok(material)
        }
    }
}

fn oaep_decrypt(private: &Secret, encrypted_key: &[u8]) -> Result<Secret> {
    let decrypting = PrivateDecryptingKey::from_pkcs8(private.bytes()?)
        .ok()
        .and_then(|key| OaepPrivateDecryptingKey::new(key).ok())
        .ok_or_else(|| CustodyError::damaged("the import parameters hold no RSA key"))?;
    let mut key = KEYS.secret(RSA_BYTES)?;
    let length = decrypting
        .decrypt(&OAEP_SHA256_MGF1SHA256, encrypted_key, key.bytes_mut()?, None)
        .map_err(|_| CustodyError::unwrap_failed())?
        .len();
    if length != 32 {
        return Err(CustodyError::unwrap_failed());
    }
    key.truncate(length)?;
    Ok(key)
}

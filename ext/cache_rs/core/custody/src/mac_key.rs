//! Keys of keyed digests: random, sealed like other keys, and escrowed to a recipient's public key.

use crate::locked::{ROOTS, Secret};
use crate::{CustodyError, Result, kdf, random, xwing};

/// Bytes of a key.
pub(crate) const KEY: usize = 32;

/// An HMAC-SHA-256 key in locked memory that a fork keeps. Dropping it zeroizes the key; `Debug` shows
/// nothing of it.
pub struct MacKey(Secret);

impl std::fmt::Debug for MacKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MacKey")
    }
}

impl MacKey {
    pub(crate) fn generate() -> Result<Self> {
        let mut key = ROOTS.secret(KEY)?;
        random::fill(key.bytes_mut()?);
        Ok(Self(key))
    }

    /// `None` if `content` has another length than a key.
    pub(crate) fn from_content(content: Secret) -> Result<Option<Self>> {
        Ok((content.bytes()?.len() == KEY).then_some(Self(content)))
    }

    pub(crate) fn bytes(&self) -> Result<&[u8]> {
        self.0.bytes()
    }

    /// HMAC-SHA-256 of `data` (RFC 2104).
    ///
    /// # Errors
    /// `Seal` if the memory is not this process's.
    pub fn mac(&self, data: &[u8]) -> Result<[u8; 32]> {
        Ok(kdf::hmac(self.0.bytes()?, data))
    }

    /// The key encrypted to an X-Wing public key (1,216 bytes): HPKE base mode (RFC 9180), enc (1120) ||
    /// ciphertext (32) || tag (16).
    ///
    /// # Errors
    /// `KeyMaterial`: not an X-Wing public key.
    pub fn seal_to(&self, recipient: &[u8], info: &[u8], aad: &[u8]) -> Result<Vec<u8>> {
        xwing::seal_to(recipient, info, aad, self.0.bytes()?)
    }

    /// Inverse of `seal_to` with the recipient's seed.
    ///
    /// # Errors
    /// `Unwrap`.
    pub(crate) fn open(seed: &[u8; xwing::SEED], info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Self> {
        if sealed.len() != KEY + xwing::OVERHEAD {
            return Err(CustodyError::unwrap_failed());
        }
        let mut key = ROOTS.secret(KEY)?;
        xwing::open(seed, info, aad, sealed, key.bytes_mut()?)?;
        Ok(Self(key))
    }
}

#[cfg(test)]
mod tests {
    use super::MacKey;
    use crate::{CustodyError, xwing};

    const SEED: [u8; 32] = [7; 32];

    #[test]
    fn what_is_sealed_to_a_recipient_opens_as_the_same_key_for_it_alone() {
        let key = MacKey::generate().unwrap();
        let sealed = key.seal_to(&xwing::public(&SEED), b"info", b"aad").unwrap();
        assert_eq!(sealed.len(), 1120 + 32 + 16);
        let opened = MacKey::open(&SEED, b"info", b"aad", &sealed).unwrap();
        assert_eq!(opened.mac(b"data").unwrap(), key.mac(b"data").unwrap());
        let mut changed = sealed.clone();
        changed[1130] ^= 1;
        for (seed, info, aad, sealed) in [
            (&[8; 32], &b"info"[..], &b"aad"[..], &sealed),
            (&SEED, b"other", b"aad", &sealed),
            (&SEED, b"info", b"other", &sealed),
            (&SEED, b"info", b"aad", &changed),
            (&SEED, b"info", b"aad", &sealed[..1167].to_vec()),
        ] {
            assert!(matches!(
                MacKey::open(seed, info, aad, sealed),
                Err(CustodyError::Unwrap(_))
            ));
        }
    }

    #[test]
    fn keys_differ_and_show_nothing() {
        let (one, other) = (MacKey::generate().unwrap(), MacKey::generate().unwrap());
        assert_ne!(one.mac(b"data").unwrap(), other.mac(b"data").unwrap());
        assert_eq!(format!("{one:?}"), "MacKey");
        assert!(matches!(
            one.seal_to(&[0; 31], b"", b""),
            Err(CustodyError::KeyMaterial(_))
        ));
    }
}

//! Sealed records, version 1 (docs/formats/sealed-record.md).

use crate::import::Mechanism;
use crate::locked::{KEYS, ROOTS, Secret};
use crate::{Algorithm, CustodyError, Result, aead, kdf, random};
use zeroize::Zeroizing;

const VERSION: u8 = 0x01;
const SALT: usize = 32;
const HEADER: usize = 2 + SALT;
const INFO: &[u8] = b"ron-kms sealed record v1";

/// Longest content, in bytes.
pub(crate) const MAX_CONTENT: usize = 65_536;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// The private content of a key.
    Key(Algorithm),
    /// The private part of a one-time import key.
    ImportKey(Mechanism),
    /// Bytes that belong to the caller.
    Opaque,
    /// A key of keyed digests.
    MacKey,
}

impl Content {
    const OPAQUE: u8 = 0x50;
    const MAC_KEY: u8 = 0x51;

    const fn code(self) -> u8 {
        match self {
            Self::Key(algorithm) => algorithm.content_type(),
            Self::ImportKey(mechanism) => mechanism.content_type(),
            Self::Opaque => Self::OPAQUE,
            Self::MacKey => Self::MAC_KEY,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            Self::OPAQUE => return Some(Self::Opaque),
            Self::MAC_KEY => return Some(Self::MacKey),
            _ => {}
        }
        Algorithm::from_content_type(code)
            .map(Self::Key)
            .or_else(|| Mechanism::from_content_type(code).map(Self::ImportKey))
    }
}

fn key_and_nonce(root: &[u8], salt: &[u8]) -> Zeroizing<[u8; aead::KEY + aead::NONCE]> {
    let mut okm = Zeroizing::new([0; aead::KEY + aead::NONCE]);
    kdf::hkdf(salt, root, &[INFO], &mut *okm);
    okm
}

fn aad(code: u8, identity: &[u8]) -> Vec<u8> {
    [
        &[VERSION, code][..],
        &(identity.len() as u64).to_be_bytes(),
        identity,
    ]
    .concat()
}

/// Seals 1 to 65,536 bytes of content under `root`, bound to `identity`.
pub(crate) fn seal(root: &[u8], content: Content, identity: &[u8], plaintext: &[u8]) -> Vec<u8> {
    assert!((1..=MAX_CONTENT).contains(&plaintext.len()));
    let salt = random::array::<SALT>();
    let okm = key_and_nonce(root, &salt);
    let (key, nonce) = okm.split_first_chunk::<{ aead::KEY }>().expect("key and nonce");
    let mut record = Vec::with_capacity(HEADER + plaintext.len() + aead::TAG);
    record.extend_from_slice(&[VERSION, content.code()]);
    record.extend_from_slice(&salt);
    record.extend_from_slice(plaintext);
    let nonce = nonce.try_into().expect("the rest is the nonce");
    let tag = aead::seal_in_place(key, nonce, &aad(content.code(), identity), &mut record[HEADER..]);
    record.extend_from_slice(&tag);
    record
}

/// Opens a record into locked memory; a digest key into what a fork keeps.
///
/// # Errors
/// `DamagedRecord`; `Full` or `Seal` from the locked memory.
pub(crate) fn open(root: &[u8], identity: &[u8], record: &[u8]) -> Result<(Content, Secret)> {
    let damaged = || CustodyError::damaged("the sealed record does not authenticate under its identity");
    let (header, sealed) = record.split_first_chunk::<HEADER>().ok_or_else(damaged)?;
    if !(aead::TAG + 1..=aead::TAG + MAX_CONTENT).contains(&sealed.len()) {
        return Err(damaged());
    }
    if header[0] != VERSION {
        return Err(CustodyError::damaged("the sealed record has an unknown version"));
    }
    let content = Content::from_code(header[1]).ok_or_else(damaged)?;
    let okm = key_and_nonce(root, &header[2..]);
    let (key, nonce) = okm.split_first_chunk::<{ aead::KEY }>().expect("key and nonce");
    let pool = if content == Content::MacKey { &ROOTS } else { &KEYS };
    let mut secret = pool.copy_of(sealed)?;
    let nonce = nonce.try_into().expect("the rest is the nonce");
    let length = aead::open_in_place(key, nonce, &aad(header[1], identity), secret.bytes_mut()?);
    secret.truncate(length.ok_or_else(damaged)?)?;
    Ok((content, secret))
}

#[cfg(test)]
mod tests {
    use super::{Content, open, seal};
    use crate::{Algorithm, CustodyError};
    use proptest::prelude::*;

    const ROOT: [u8; 32] = [0x11; 32];

    fn is_damaged<T>(result: crate::Result<T>) -> bool {
        matches!(result, Err(CustodyError::DamagedRecord(_)))
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_refused() {
        let record = seal(&ROOT, Content::Key(Algorithm::Ed25519), b"tenant/key/1", &[7; 32]);
        for index in 0..record.len() {
            for bit in 0..8 {
                let mut changed = record.clone();
                changed[index] ^= 1 << bit;
                assert!(
                    is_damaged(open(&ROOT, b"tenant/key/1", &changed)),
                    "byte {index} bit {bit}"
                );
            }
            assert!(
                is_damaged(open(&ROOT, b"tenant/key/1", &record[..index])),
                "cut at {index}"
            );
        }
        let mut longer = record.clone();
        longer.push(0);
        assert!(is_damaged(open(&ROOT, b"tenant/key/1", &longer)));
    }

    #[test]
    fn another_identity_or_root_is_refused() {
        let record = seal(&ROOT, Content::Opaque, b"ab", b"secret");
        assert!(is_damaged(open(&ROOT, b"a", &record)));
        assert!(is_damaged(open(&ROOT, b"", &record)));
        assert!(is_damaged(open(&[0x12; 32], b"ab", &record)));
        let (content, secret) = open(&ROOT, b"ab", &record).unwrap();
        assert_eq!(content, Content::Opaque);
        assert_eq!(secret.bytes().unwrap(), b"secret");
    }

    #[test]
    fn two_records_of_one_content_differ() {
        let first = seal(&ROOT, Content::Opaque, b"i", b"secret");
        let second = seal(&ROOT, Content::Opaque, b"i", b"secret");
        assert_ne!(first[2..34], second[2..34]);
        assert_ne!(first[34..], second[34..]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_open(record in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(is_damaged(open(&ROOT, b"", &record)));
        }

        #[test]
        fn what_is_sealed_opens(
            identity in proptest::collection::vec(any::<u8>(), 0..64),
            plaintext in proptest::collection::vec(any::<u8>(), 1..300),
        ) {
            let record = seal(&ROOT, Content::Opaque, &identity, &plaintext);
            prop_assert_eq!(record.len(), 34 + plaintext.len() + 16);
            let (_, secret) = open(&ROOT, &identity, &record).unwrap();
            prop_assert_eq!(secret.bytes().unwrap(), &plaintext[..]);
        }
    }
}

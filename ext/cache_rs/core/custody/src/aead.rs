//! AES-256-GCM (NIST SP 800-38D), 96-bit nonce, 128-bit tag.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

pub(crate) const KEY: usize = 32;
pub(crate) const NONCE: usize = 12;
pub(crate) const TAG: usize = 16;

fn cipher(key: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has 32 bytes"))
}

/// Encrypts `buffer` in place and returns the tag. `key` has 32 bytes.
pub(crate) fn seal_in_place(key: &[u8], nonce: [u8; NONCE], aad: &[u8], buffer: &mut [u8]) -> [u8; TAG] {
    let tag = cipher(key)
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), buffer)
        .expect("the plaintext is shorter than 64 GiB");
    tag.as_ref().try_into().expect("a tag has 16 bytes")
}

/// Decrypts `buffer` (ciphertext || tag) in place; the plaintext is what it begins with. Returns the
/// plaintext's length, or `None` if the tag does not verify.
pub(crate) fn open_in_place(key: &[u8], nonce: [u8; NONCE], aad: &[u8], buffer: &mut [u8]) -> Option<usize> {
    cipher(key)
        .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), buffer)
        .ok()
        .map(|plaintext| plaintext.len())
}

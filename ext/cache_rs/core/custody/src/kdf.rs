//! HKDF-SHA-256 (RFC 5869) and HMAC-SHA-256 (RFC 2104).

use aws_lc_rs::{hkdf, hmac};

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Fills `okm`, at most 8,160 bytes, with HKDF-SHA-256(`salt`, `ikm`, `info`).
pub(crate) fn hkdf(salt: &[u8], ikm: &[u8], info: &[&[u8]], okm: &mut [u8]) {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(ikm);
    prk.expand(info, Length(okm.len()))
        .and_then(|expansion| expansion.fill(okm))
        .expect("the output is shorter than 255 hashes");
}

/// HMAC-SHA-256 of `data` under `key`.
pub(crate) fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
}

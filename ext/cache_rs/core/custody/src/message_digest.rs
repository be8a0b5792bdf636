//! SHA-256 (FIPS 180-4) for callers that identify a message by its digest.

use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256 of `data`.
pub fn sha256_digest(data: &[u8]) -> [u8; 32] {
    digest(&SHA256, data)
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

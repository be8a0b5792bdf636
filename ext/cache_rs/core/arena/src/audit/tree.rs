//! Hashes of a Merkle tree, a level at a time.

use sha2::{Digest, Sha256};

use crate::audit::line::LEAF_BYTES;

/// RFC 9162 section 2.1.1: the hashes of the nodes above those in `hashes`, which stand one behind the other as
/// their parents do. A last one without a neighbour has no parent yet.
pub fn parents(hashes: &[u8]) -> Vec<u8> {
    let pairs = hashes.chunks_exact(2 * LEAF_BYTES);
    let mut above = Vec::with_capacity(pairs.len() * LEAF_BYTES);
    for pair in pairs {
        above.extend_from_slice(&Sha256::new().chain_update([1]).chain_update(pair).finalize());
    }
    above
}

//! Reading whole lines of a log on: that each continues the chain, and its leaf hash.

use std::io::Write;

use crate::audit::line::{ChainPoint, LEAF_BYTES, RECORDS_MAX, hex, leaf_hash};

/// What [`follow`] took.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Leaf hashes, one behind the other.
    pub leaves: Vec<u8>,
    /// Bytes of the lines, newlines included.
    pub length: usize,
}

/// Takes lines from the beginning of `data`, at most `limit`, as long as each is whole and continues the chain
/// from `start` by its number and link. What follows the link is not looked at.
pub fn follow(data: &[u8], start: ChainPoint, limit: u64) -> Followed {
    let mut taken = Followed::default();
    let mut at = start;
    let mut prefix = Vec::with_capacity(112);
    for line in data.split_inclusive(|&byte| byte == b'\n') {
        if at.count - start.count == limit || at.count >= RECORDS_MAX {
            break;
        }
        let Some(whole) = line.strip_suffix(b"\n") else {
            break;
        };
        prefix.clear();
        write!(prefix, "{{\"seq\":{},\"prev\":\"", at.count).expect("a vector takes every write");
        prefix.extend_from_slice(&hex(&at.leaf));
        prefix.extend_from_slice(b"\",");
        if !whole.starts_with(&prefix) {
            break;
        }
        at = ChainPoint {
            count: at.count + 1,
            leaf: leaf_hash(whole),
        };
        taken.leaves.extend_from_slice(&at.leaf);
        taken.length += line.len();
    }
    debug_assert_eq!(taken.leaves.len() % LEAF_BYTES, 0);
    taken
}

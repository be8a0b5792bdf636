//! One record as one line: `{"seq":N,"prev":"<64 hex>","time":"<RFC 3339>",` + body + newline.

use std::io::Write;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Bytes of a leaf hash.
pub const LEAF_BYTES: usize = 32;
/// Longest body in bytes.
pub const BODY_MAX: usize = 1 << 20;
/// Longest line, newline included.
pub const LINE_MAX: usize = BODY_MAX + 256;

/// Most records of a log: `seq` is a signed 64-bit number to other languages.
pub const RECORDS_MAX: u64 = i64::MAX as u64;

/// RFC 9162 leaf hash.
pub type Leaf = [u8; LEAF_BYTES];

/// Where a chain stands: how many records, and the last one's leaf hash (zeros before the first).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainPoint {
    /// Number of records, which is the next record's `seq`.
    pub count: u64,
    /// Leaf hash of the last record.
    pub leaf: Leaf,
}

impl ChainPoint {
    /// The point after a line (without newline), if the line continues the chain here.
    pub fn after(&self, line: &[u8]) -> Option<Self> {
        // Only in a log that was made up: a record was never given such a number.
        if self.count >= RECORDS_MAX {
            return None;
        }
        let mut prefix = Vec::with_capacity(128);
        write_link(&mut prefix, self);
        line.strip_prefix(prefix.as_slice())?;
        if !is_one_object(line) {
            return None;
        }
        Some(Self {
            count: self.count + 1,
            leaf: leaf_hash(line),
        })
    }
}

/// Whether the line is one JSON object by its braces and quotes: two records that lost the newline between
/// them are not, and neither is a torn page, which shows as NUL bytes.
fn is_one_object(line: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (index, &byte) in line.iter().enumerate() {
        match byte {
            0..0x20 => return false,
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                let Some(outer) = depth.checked_sub(1) else {
                    return false;
                };
                depth = outer;
                if depth == 0 {
                    return index + 1 == line.len();
                }
            }
            _ => {}
        }
    }
    false
}

/// SHA-256(0x00 || line without its newline), RFC 9162 section 2.1.1.
pub fn leaf_hash(line: &[u8]) -> Leaf {
    Sha256::new()
        .chain_update([0])
        .chain_update(line)
        .finalize()
        .into()
}

/// Refuses a body that would break the format: one line, one JSON object's rest, at most 1 MiB.
pub fn check_body(body: &[u8]) -> Result<()> {
    if body.len() > BODY_MAX {
        return Err(Error::input(format!(
            "an audit record has at most {BODY_MAX} bytes"
        )));
    }
    if body.first() != Some(&b'"') || body.last() != Some(&b'}') || body.iter().any(|&byte| byte < 0x20) {
        return Err(Error::input(
            "an audit body is the rest of a JSON object on one line: it starts with a quote, ends with }, \
             and has no control characters",
        ));
    }
    Ok(())
}

/// Fills `line` with the record that continues the chain, newline included; returns the point after it.
pub fn write_line(line: &mut Vec<u8>, at: &ChainPoint, time: SystemTime, body: &[u8]) -> ChainPoint {
    line.clear();
    line.reserve(160 + body.len());
    write_link(line, at);
    write!(line, "{}\",", humantime::format_rfc3339_micros(time)).expect("a vector takes every write");
    line.extend_from_slice(body);
    let leaf = leaf_hash(line);
    line.push(b'\n');
    ChainPoint {
        count: at.count + 1,
        leaf,
    }
}

fn write_link(line: &mut Vec<u8>, at: &ChainPoint) {
    write!(line, "{{\"seq\":{},\"prev\":\"", at.count).expect("a vector takes every write");
    line.extend_from_slice(&hex(&at.leaf));
    line.extend_from_slice(b"\",\"time\":\"");
}

/// Lower-case hex.
pub fn hex(leaf: &Leaf) -> [u8; LEAF_BYTES * 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; LEAF_BYTES * 2];
    for (pair, byte) in text.chunks_exact_mut(2).zip(leaf) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

/// The point just before a record, read from the record's own link. For the first record of a file.
pub fn link_of(line: &[u8]) -> Option<ChainPoint> {
    let rest = line.strip_prefix(b"{\"seq\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let count = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let text = rest[digits..]
        .strip_prefix(b",\"prev\":\"")?
        .get(..LEAF_BYTES * 2)?;
    let mut leaf = [0; LEAF_BYTES];
    for (byte, pair) in leaf.iter_mut().zip(text.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(ChainPoint { count, leaf })
}

//! Cache tags: keyed BLAKE3 over `count || (length || bytes)*`, all integers 64-bit little endian.

use blake3::Hasher;

/// Bytes of a tag.
pub const TAG_BYTES: usize = 32;
/// One BLAKE3 chunk: what fits is hashed in one call without a hasher's state.
const CHUNK: usize = 1_024;

/// A tag as four words, the form in which cache entries hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub [u64; 4]);

impl Tag {
    /// From 32 bytes.
    pub fn from_bytes(bytes: &[u8; TAG_BYTES]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(chunk.try_into().expect("chunk of eight"));
        }
        Self(words)
    }

    /// As 32 bytes.
    pub fn to_bytes(self) -> [u8; TAG_BYTES] {
        let mut bytes = [0; TAG_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// Takes the parts of a tag one by one; makes no heap allocation.
pub struct TagBuilder<'k> {
    key: &'k [u8; 32],
    buffer: [std::mem::MaybeUninit<u8>; CHUNK],
    filled: usize,
    /// Takes over once the parts exceed one chunk.
    spilled: Option<Hasher>,
    missing: u64,
}

impl<'k> TagBuilder<'k> {
    /// Starts a tag of `count` parts.
    pub fn new(key: &'k [u8; 32], count: usize) -> Self {
        let mut builder = Self {
            key,
            buffer: [std::mem::MaybeUninit::uninit(); CHUNK],
            filled: 0,
            spilled: None,
            missing: count as u64,
        };
        builder.bytes(&(count as u64).to_le_bytes());
        builder
    }

    /// Adds the next part.
    #[inline]
    pub fn part(&mut self, part: &[u8]) {
        self.missing = self.missing.wrapping_sub(1);
        self.bytes(&(part.len() as u64).to_le_bytes());
        self.bytes(part);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        if self.spilled.is_none() {
            if let Some(room) = self.buffer.get_mut(self.filled..self.filled + bytes.len()) {
                // SAFETY: `room` has exactly `bytes.len()` bytes, is exclusive and so cannot overlap.
                unsafe {
                    std::ptr::copy_nonoverlapping(bytes.as_ptr(), room.as_mut_ptr().cast(), bytes.len());
                }
                self.filled += bytes.len();
                return;
            }
            self.spill();
        }
        if let Some(hasher) = &mut self.spilled {
            hasher.update(bytes);
        }
    }

    #[cold]
    fn spill(&mut self) {
        let mut hasher = Hasher::new_keyed(self.key);
        hasher.update(self.gathered());
        self.spilled = Some(hasher);
    }

    fn gathered(&self) -> &[u8] {
        let written = &self.buffer[..self.filled];
        // SAFETY: `bytes` has initialized the first `filled` bytes of the buffer, and `MaybeUninit<u8>`
        // has the layout of `u8`.
        unsafe { std::slice::from_raw_parts(written.as_ptr().cast(), written.len()) }
    }

    /// The tag. Panics unless exactly the announced number of parts was added: a caller's bug that
    /// could make two different inputs equal.
    #[inline]
    pub fn finish(self) -> Tag {
        assert_eq!(self.missing, 0, "parts announced and parts added differ");
        let digest = match &self.spilled {
            None => blake3::keyed_hash(self.key, self.gathered()),
            Some(hasher) => hasher.finalize(),
        };
        Tag::from_bytes(digest.as_bytes())
    }
}

/// A keyed 63-bit hash of a name, never 0 (which stands for 'free').
pub fn name_hash(key: &[u8; 32], name: &[u8]) -> u64 {
    let digest = blake3::keyed_hash(key, name);
    u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("eight bytes")) | 1 << 63
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; 32] = [7; 32];

    fn tag(parts: &[Vec<u8>]) -> Tag {
        let mut builder = TagBuilder::new(&KEY, parts.len());
        parts.iter().for_each(|part| builder.part(part));
        builder.finish()
    }

    /// The definition, without buffer and spilling.
    fn plain(parts: &[Vec<u8>]) -> Tag {
        let mut input = (parts.len() as u64).to_le_bytes().to_vec();
        for part in parts {
            input.extend_from_slice(&(part.len() as u64).to_le_bytes());
            input.extend_from_slice(part);
        }
        Tag::from_bytes(blake3::keyed_hash(&KEY, &input).as_bytes())
    }

    proptest! {
        #[test]
        fn equals_the_definition(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..6)) {
            prop_assert_eq!(tag(&parts), plain(&parts));
        }

        #[test]
        fn another_split_is_another_tag(bytes in prop::collection::vec(any::<u8>(), 1..100), cut in 0_usize..100) {
            let (left, right) = bytes.split_at(cut % bytes.len());
            prop_assert_ne!(tag(std::slice::from_ref(&bytes)), tag(&[left.to_vec(), right.to_vec()]));
        }
    }

    #[test]
    #[should_panic(expected = "parts announced")]
    fn a_missing_part_is_a_bug() {
        TagBuilder::new(&KEY, 2).finish();
    }

    #[test]
    fn bytes_round_trip() {
        let one = tag(&[b"x".to_vec()]);
        assert_eq!(Tag::from_bytes(&one.to_bytes()), one);
    }
}

//! Decisions out of bytes. Where they end, every further decision is 0.

/// What of the bytes is not used yet.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    /// One of `items`.
    pub(crate) fn choose<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[usize::from(self.byte()) % items.len()]
    }

    /// At most `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    /// `original` after at most eight changes; none if the next byte is 0.
    pub(crate) fn changed(&mut self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..8 {
            let change = self.byte() % 7;
            if change == 0 {
                break;
            }
            let at = self.number() % (bytes.len() + 1);
            match change {
                1 if at < bytes.len() => bytes[at] ^= self.byte(),
                1 | 2 => bytes.truncate(at),
                3 => {
                    let length = usize::from(self.byte());
                    let inserted = self.take(length);
                    bytes.splice(at..at, inserted.iter().copied());
                }
                4 => {
                    let end = (at + usize::from(self.byte())).min(bytes.len());
                    bytes.drain(at..end);
                }
                5 => bytes[at..].fill(self.byte()),
                _ => {
                    let from = self.number() % (bytes.len() + 1);
                    let copied = bytes[from..].to_vec();
                    bytes.truncate(at);
                    bytes.extend_from_slice(&copied);
                }
            }
            bytes.truncate(1 << 17);
        }
        bytes
    }
}

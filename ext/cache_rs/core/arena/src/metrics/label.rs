//! Names of the tenants that have a label of their own in the operation counts.
//!
//! An entry is claimed by its hash, counted under at once, and named by whoever gets its owner word;
//! if that worker dies before, the next request of the same tenant names it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::TENANT_LABELS;
use crate::region::Shared;
use crate::slots::{Owner, Slots};

const NAME_WORDS: usize = 14;
/// Longest name in bytes that gets a label.
pub const NAME_BYTES: usize = NAME_WORDS * 8 - 1;
const NAMED: u64 = u64::MAX;
const NAMING: u64 = 1 << 63;

/// One label.
#[repr(C, align(64))]
pub struct TenantLabel {
    hash: AtomicU64,
    /// 0: unnamed; `NAMED`; else the owner who writes the name.
    owner: AtomicU64,
    /// One length byte, then the name.
    name: [AtomicU64; NAME_WORDS],
}

// SAFETY: atomics only, 64-byte aligned.
unsafe impl Shared for TenantLabel {}

/// Index under which a tenant is counted; `TENANT_LABELS` stands for `other`.
#[inline]
pub fn index_of(
    labels: &[TenantLabel],
    hash: u64,
    name: &[u8],
    owner: Owner,
    slots: &Slots<'_, AtomicU64>,
) -> usize {
    if name.is_empty() || name.len() > NAME_BYTES || name == b"other" {
        return TENANT_LABELS;
    }
    let start = hash as usize % labels.len();
    for probe in 0..labels.len() {
        let index = (start + probe) % labels.len();
        let label = &labels[index];
        let mut found = label.hash.load(Ordering::Acquire);
        if found == 0 {
            // Text that is not UTF-8 cannot be a label.
            if std::str::from_utf8(name).is_err() {
                return TENANT_LABELS;
            }
            match label
                .hash
                .compare_exchange(0, hash, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => found = hash,
                Err(other) => found = other,
            }
        }
        if found == hash {
            if label.owner.load(Ordering::Acquire) != NAMED {
                label.write_name(name, owner, slots);
            }
            return index;
        }
    }
    TENANT_LABELS
}

impl TenantLabel {
    #[cold]
    fn write_name(&self, name: &[u8], owner: Owner, slots: &Slots<'_, AtomicU64>) {
        let seen = self.owner.load(Ordering::Acquire);
        let free = seen == 0 || seen != NAMED && slots.is_reaped(Owner::unpack(seen));
        let mine = NAMING | owner.pack();
        if !free
            || self
                .owner
                .compare_exchange(seen, mine, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        let mut bytes = [0_u8; NAME_WORDS * 8];
        bytes[0] = name.len() as u8;
        bytes[1..=name.len()].copy_from_slice(name);
        for (word, chunk) in self.name.iter().zip(bytes.chunks_exact(8)) {
            word.store(
                u64::from_le_bytes(chunk.try_into().expect("chunk of eight")),
                Ordering::Relaxed,
            );
        }
        self.owner.store(NAMED, Ordering::Release);
    }

    /// The name, once it is written.
    pub fn name(&self) -> Option<String> {
        if self.owner.load(Ordering::Acquire) != NAMED {
            return None;
        }
        let mut bytes = [0_u8; NAME_WORDS * 8];
        for (word, chunk) in self.name.iter().zip(bytes.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        let length = usize::from(bytes[0]).min(NAME_BYTES);
        String::from_utf8(bytes[1..=length].to_vec()).ok()
    }
}

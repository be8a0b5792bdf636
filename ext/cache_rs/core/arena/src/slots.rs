//! Worker slots: who is alive, in the only sense that the arena trusts.
//!
//! Invariant: an owner (slot, generation) is reaped exactly if the slot is free or of another
//! generation, and only the parent makes it so, after `waitpid`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::region::Shared;
use crate::word::Word;

const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const ENTERED: u64 = 2;
const STATE_MASK: u64 = 0xff;

/// Generations are compared by their low 20 bits, which is what a lock word has room for.
pub const GENERATION_MASK: u64 = (1 << 20) - 1;

/// A worker's identity: its slot and the generation in which it holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Index of the slot; 0 is the parent's.
    pub slot: usize,
    /// Low 20 bits of the slot's generation.
    pub generation: u64,
}

impl Owner {
    /// The parent, and any process that did not enter a slot.
    pub const PARENT: Self = Self {
        slot: 0,
        generation: 0,
    };

    /// 28 bits: slot (8) and generation (20).
    pub fn pack(self) -> u64 {
        (self.slot as u64) << 20 | self.generation
    }

    /// Inverse of `pack`; higher bits are ignored.
    pub fn unpack(packed: u64) -> Self {
        Self {
            slot: (packed >> 20 & 0xff) as usize,
            generation: packed & GENERATION_MASK,
        }
    }
}

/// One slot: `generation << 8 | state`, and a line to itself.
#[repr(C, align(64))]
pub struct Slot<W> {
    word: W,
}

// SAFETY: one atomic word and padding, 64-byte aligned.
unsafe impl Shared for Slot<AtomicU64> {}

impl<W> Slot<W> {
    /// A slot over a word that is zero.
    pub fn new(word: W) -> Self {
        Self { word }
    }
}

/// The table of slots.
pub struct Slots<'a, W> {
    slots: &'a [Slot<W>],
}

impl<'a, W: Word> Slots<'a, W> {
    /// A view on the table; slot 0 is the parent's.
    pub fn new(slots: &'a [Slot<W>]) -> Self {
        Self { slots }
    }

    /// Claims a free slot for a child about to be forked. `None` if all are taken.
    pub fn claim(&self) -> Option<Owner> {
        for (slot, entry) in self.slots.iter().enumerate().skip(1) {
            let word = entry.word.load(Ordering::Acquire);
            if word & STATE_MASK != FREE {
                continue;
            }
            let generation = (word >> 8) + 1;
            if entry
                .word
                .compare_exchange(word, generation << 8 | CLAIMED, Ordering::AcqRel)
                .is_ok()
            {
                return Some(Owner {
                    slot,
                    generation: generation & GENERATION_MASK,
                });
            }
        }
        None
    }

    /// Makes the calling process the owner of a claimed slot. `None` if the slot is not claimed.
    pub fn enter(&self, slot: usize) -> Option<Owner> {
        let entry = self.slots.get(slot)?;
        let word = entry.word.load(Ordering::Acquire);
        if slot == 0 || word & STATE_MASK != CLAIMED {
            return None;
        }
        let entered = word & !STATE_MASK | ENTERED;
        entry
            .word
            .compare_exchange(word, entered, Ordering::AcqRel)
            .ok()?;
        Some(Owner {
            slot,
            generation: word >> 8 & GENERATION_MASK,
        })
    }

    /// Frees a slot whose process was reaped. `false` if it was free already.
    pub fn free(&self, slot: usize) -> bool {
        let Some(entry) = self.slots.get(slot).filter(|_| slot != 0) else {
            return false;
        };
        let word = entry.word.load(Ordering::Acquire);
        // The generation moves at the next claim; a free slot has no living owner whatever it says.
        word & STATE_MASK != FREE
            && entry
                .word
                .compare_exchange(word, word & !STATE_MASK | FREE, Ordering::AcqRel)
                .is_ok()
    }

    /// Whether the owner's process is known to be gone.
    pub fn is_reaped(&self, owner: Owner) -> bool {
        if owner.slot == 0 {
            return false;
        }
        let Some(entry) = self.slots.get(owner.slot) else {
            return true;
        };
        // Acquire: who sees the slot freed sees all that the parent did before, after `waitpid`.
        let word = entry.word.load(Ordering::Acquire);
        word & STATE_MASK == FREE || word >> 8 & GENERATION_MASK != owner.generation
    }
}

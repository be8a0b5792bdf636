//! The permits of one process: numbers that stand for units in flight.
//!
//! A permit is `generation << 48 | serial << 24 | index`; a number that was released, or taken under
//! another slot generation, is not found again.

use std::sync::Mutex;

use crate::slots::Owner;

const PART: u64 = 0xff_ffff;
const GENERATION: u64 = 0x7fff;

/// What a permit stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Operation class.
    pub class: usize,
    /// Index in the tenant table.
    pub tenant: usize,
    /// Units within the tenant's share.
    pub guaranteed: u64,
    /// Units beyond it.
    pub surplus: u64,
}

#[derive(Default)]
struct Table {
    entries: Vec<(u64, Option<Grant>)>,
    free: Vec<usize>,
}

/// The table of one process.
#[derive(Default)]
pub struct Permits {
    table: Mutex<Table>,
}

impl Permits {
    /// Files a grant and returns its number (0 to 2^63 - 1).
    pub fn issue(&self, owner: Owner, grant: Grant) -> u64 {
        let mut table = self.lock();
        let index = match table.free.pop() {
            Some(index) => index,
            None => {
                table.entries.push((0, None));
                table.entries.len() - 1
            }
        };
        let entry = &mut table.entries[index];
        entry.0 = (entry.0 + 1) & PART;
        entry.1 = Some(grant);
        number(owner, entry.0, index)
    }

    /// The grant behind a permit.
    pub fn get(&self, owner: Owner, permit: u64) -> Option<Grant> {
        let table = self.lock();
        find(&table, owner, permit).and_then(|index| table.entries[index].1)
    }

    /// Replaces the grant behind a permit. `false` if it was released meanwhile.
    pub fn replace(&self, owner: Owner, permit: u64, grant: Grant) -> bool {
        let mut table = self.lock();
        let Some(index) = find(&table, owner, permit) else {
            return false;
        };
        table.entries[index].1 = Some(grant);
        true
    }

    /// Takes a permit out of the table.
    pub fn withdraw(&self, owner: Owner, permit: u64) -> Option<Grant> {
        let mut table = self.lock();
        let index = find(&table, owner, permit)?;
        table.free.push(index);
        table.entries[index].1.take()
    }

    /// Forgets everything: a child starts without its parent's permits.
    pub fn forget(&self) {
        *self.lock() = Table::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        // No code under the lock can panic half-way through a change.
        self.table
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn number(owner: Owner, serial: u64, index: usize) -> u64 {
    (owner.generation & GENERATION) << 48 | serial << 24 | index as u64
}

fn find(table: &Table, owner: Owner, permit: u64) -> Option<usize> {
    let index = (permit & PART) as usize;
    let (serial, grant) = table.entries.get(index)?;
    (grant.is_some() && number(owner, *serial, index) == permit).then_some(index)
}

//! The audit log's part of the arena: two locks, the head, and what is durable.
//!
//! Invariant: the selected copy of the head is whole at every instruction, because only the other
//! copy is ever written.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::audit::line::{ChainPoint, LEAF_BYTES};
use crate::clock::coarse_ms;
use crate::error::{Error, Result};
use crate::futex;
use crate::region::Shared;
use crate::robust_mutex::RobustMutex;

/// Where the next record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// State of the chain.
    pub chain: ChainPoint,
    /// Number of the segment that is written.
    pub segment: u64,
    /// Its inode, to notice a replaced file.
    pub inode: u64,
    /// Bytes of whole records in it.
    pub offset: u64,
}

#[repr(C, align(64))]
struct HeadCopy {
    count: AtomicU64,
    segment: AtomicU64,
    inode: AtomicU64,
    offset: AtomicU64,
    leaf: [AtomicU64; LEAF_BYTES / 8],
}

/// Why the log is closed until a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Latch {
    /// A write failed and its remains could not be cut off.
    Write = 1,
    /// A sync failed: what the disk holds is unknown.
    Sync = 2,
    /// The file was deleted or replaced.
    Replaced = 3,
    /// A dead worker's record could not be repaired.
    Repair = 4,
}

/// The section in the arena.
#[repr(C, align(64))]
pub struct AuditState {
    /// Protects the head and the end of the file.
    pub append: RobustMutex,
    /// Elects the process that syncs.
    pub sync: RobustMutex,
    /// Version of the head; its lowest bit selects the copy.
    version: AtomicU64,
    heads: [HeadCopy; 2],
    /// `error number << 8 | Latch`; 0: open.
    latch: AtomicU64,
    /// Error number while appends are refused because the disk is full; 0: not.
    full: AtomicU64,
    /// Records known to be on disk.
    durable: AtomicU64,
    /// Changes when `durable` or `latch` does; `wait_durable` sleeps on it.
    pub durable_signal: AtomicU32,
    /// 1 while a syncer thread sleeps for lack of work.
    pub idle: AtomicU32,
    /// Changes when an append wakes the syncer threads.
    pub work_signal: AtomicU32,
    /// Bytes of torn records moved aside since the arena was made.
    torn_bytes: AtomicU64,
    /// `coarse_ms` up to which the required sinks vouch that they take the records; 0: not yet.
    lease_ends_ms: AtomicU64,
}

// SAFETY: atomics and mutexes only, 64-byte aligned.
unsafe impl Shared for AuditState {}

impl AuditState {
    /// Makes the zeroed section usable. Only before any fork.
    pub fn initialize(&self) -> Result<()> {
        self.append.initialize()?;
        self.sync.initialize()
    }

    /// The head. Never waits for a lock; repeats while appends overtake the reading.
    pub fn head(&self) -> Head {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let copy = &self.heads[version as usize & 1];
            let mut leaf = [0; LEAF_BYTES];
            for (bytes, word) in leaf.chunks_exact_mut(8).zip(&copy.leaf) {
                bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
            }
            let head = Head {
                chain: ChainPoint {
                    count: copy.count.load(Ordering::Relaxed),
                    leaf,
                },
                segment: copy.segment.load(Ordering::Relaxed),
                inode: copy.inode.load(Ordering::Relaxed),
                offset: copy.offset.load(Ordering::Relaxed),
            };
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == version {
                return head;
            }
        }
    }

    /// Publishes a new head. Only with the append mutex held.
    pub fn publish(&self, head: &Head) {
        let next = self.version.load(Ordering::Relaxed).wrapping_add(1);
        // A reader that sees a store below sees the version that made this copy the other one.
        fence(Ordering::Release);
        let copy = &self.heads[next as usize & 1];
        copy.count.store(head.chain.count, Ordering::Relaxed);
        copy.segment.store(head.segment, Ordering::Relaxed);
        copy.inode.store(head.inode, Ordering::Relaxed);
        copy.offset.store(head.offset, Ordering::Relaxed);
        for (bytes, word) in head.chain.leaf.chunks_exact(8).zip(&copy.leaf) {
            word.store(
                u64::from_le_bytes(bytes.try_into().expect("chunk of eight")),
                Ordering::Relaxed,
            );
        }
        self.version.store(next, Ordering::Release);
    }

    /// Records known to be on disk.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Sets the number of durable records, at `open`.
    pub fn set_durable(&self, count: u64) {
        self.durable.store(count, Ordering::Release);
    }

    /// Raises the number of durable records.
    pub fn raise_durable(&self, count: u64) {
        self.durable.fetch_max(count, Ordering::AcqRel);
        self.durable_signal.fetch_add(1, Ordering::Release);
    }

    /// Closes the log for all processes. The first reason stays.
    pub fn close(&self, reason: Latch, errno: i32) -> Error {
        let word = u64::from(errno.unsigned_abs()) << 8 | reason as u64;
        let _ = self
            .latch
            .compare_exchange(0, word, Ordering::AcqRel, Ordering::Acquire);
        self.durable_signal.fetch_add(1, Ordering::Release);
        self.check_open().expect_err("the latch was just set")
    }

    /// Raises `AuditWrite` with reason and remedy if the log is closed.
    pub fn check_open(&self) -> Result<()> {
        let word = self.latch.load(Ordering::Acquire);
        if word == 0 {
            return Ok(());
        }
        let cause = std::io::Error::from_raw_os_error((word >> 8) as i32);
        let what = match word & 0xff {
            reason if reason == Latch::Write as u64 => format!("a write failed: {cause}"),
            reason if reason == Latch::Sync as u64 => format!("a sync failed: {cause}"),
            reason if reason == Latch::Replaced as u64 => {
                "its file was deleted, replaced or changed".to_owned()
            }
            _ => "a record of a killed worker could not be repaired".to_owned(),
        };
        Err(Error::AuditWrite(format!(
            "the audit log is closed, {what}; repair the storage and restart"
        )))
    }

    /// Lets `check_lease` pass for so many milliseconds from now on; 0 ends it at once.
    pub fn grant_lease(&self, milliseconds: u64) {
        let end = if milliseconds == 0 {
            0
        } else {
            coarse_ms().saturating_add(milliseconds)
        };
        self.lease_ends_ms.store(end, Ordering::Release);
    }

    /// Raises `AuditHeld` unless the lease lasts. A dead or stopped grantor lets it run out.
    pub fn check_lease(&self) -> Result<()> {
        if coarse_ms() < self.lease_ends_ms.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Error::AuditHeld(
            "a required audit sink does not take the records".to_owned(),
        ))
    }

    /// Wakes the syncer threads of all processes: a worker may have died between clearing `idle` and waking them.
    pub fn wake_syncers(&self) {
        self.work_signal.fetch_add(1, Ordering::Release);
        futex::wake_all(&self.work_signal);
    }

    /// Error number while the disk is full.
    pub fn full(&self) -> Option<i32> {
        match self.full.load(Ordering::Acquire) {
            0 => None,
            errno => Some(errno as i32),
        }
    }

    /// Sets or clears the state 'disk full'.
    pub fn set_full(&self, errno: Option<i32>) {
        self.full.store(
            errno.map_or(0, |errno| u64::from(errno.unsigned_abs())),
            Ordering::Release,
        );
    }

    /// Bytes of torn records moved aside since the arena was made.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes.load(Ordering::Relaxed)
    }

    /// Counts bytes moved aside.
    pub fn add_torn_bytes(&self, bytes: u64) {
        self.torn_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

//! The audit log: ordered, hash-chained lines that all workers append to.
//!
//! Invariants: a record's sequence number is given under the append mutex, together with its place in
//! the file; a record is published only after all its bytes were written; what a killed worker left is
//! adopted or moved aside before the next record. Format: `docs/formats/audit.md`.

mod alike;
mod follow;
mod line;
mod recovery;
mod segment;
mod state;
mod sync;
mod tree;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

pub use alike::{Alike, alike};
pub use follow::{Followed, follow};
pub use line::{BODY_MAX, ChainPoint, Leaf};
pub use state::AuditState;
pub use tree::parents;

use crate::arena::Arena;
use crate::clock::coarse_ms;
use crate::error::{Error, Result};
use crate::robust_mutex::Guard;
use line::{check_body, hex, write_line};
use segment::{Segment, ensure_directory, path_of};
use state::{Head, Latch};

/// Milliseconds between looks at whether the file is still in place.
const PLACE_CHECK_MS: u64 = 100;
/// Room that a full disk must have again before the log counts as writable.
const ROOM_BYTES: u64 = 64 * 1_024;
/// Smallest size of a segment in bytes.
const SEGMENT_MIN: u64 = 4_096;

/// A process's handle on the log.
pub struct AuditLog {
    shared: Arc<Writer>,
    syncer: Mutex<Option<sync::Syncer>>,
}

/// What the appending threads and the syncer thread of one process share.
struct Writer {
    arena: Arc<Arena>,
    directory: PathBuf,
    segment_bytes: u64,
    segment: Mutex<Option<Arc<Segment>>>,
    place_checked_ms: AtomicU64,
    needs_lease: AtomicBool,
}

impl AuditLog {
    /// Opens the log of a directory (made with mode 0700 if missing), at start, in the parent.
    ///
    /// Verifies the newest segment and moves a torn tail aside. Raises `AuditDamaged` if the log was
    /// changed, `AuditWrite` if it cannot be read or written, `Input` for segments under 4 KiB.
    pub fn open(arena: Arc<Arena>, directory: &Path, segment_bytes: u64) -> Result<Self> {
        if segment_bytes < SEGMENT_MIN {
            return Err(Error::input(format!(
                "segment_bytes must be at least {SEGMENT_MIN}"
            )));
        }
        ensure_directory(directory)?;
        let state = arena.audit_state();
        let mut guard = state.append.lock().map_err(as_audit)?;
        guard.repaired().map_err(as_audit)?;
        let (head, segment, torn) = recovery::find_head(directory)?;
        if torn {
            let moved = segment.quarantine(directory, head.offset).map_err(|cause| {
                Error::audit_os(
                    format!("cannot move the torn end of {} aside", segment.path().display()),
                    &cause,
                )
            })?;
            state.add_torn_bytes(moved);
        }
        // What is on disk before the first append counts as durable, so it is made so.
        segment
            .sync()
            .map_err(|cause| Error::audit_os(format!("cannot sync {}", segment.path().display()), &cause))?;
        state.publish(&head);
        state.set_durable(head.chain.count);
        drop(guard);
        let writer = Writer {
            directory: directory.to_owned(),
            segment_bytes,
            segment: Mutex::new(Some(Arc::new(segment))),
            place_checked_ms: AtomicU64::new(coarse_ms()),
            needs_lease: AtomicBool::new(false),
            arena,
        };
        Ok(Self {
            shared: Arc::new(writer),
            syncer: Mutex::new(None),
        })
    }

    /// Bytes of torn records moved aside, at `open` and after workers died.
    pub fn recovered_bytes(&self) -> u64 {
        self.shared.state().torn_bytes()
    }

    /// Number of records and hex of the last one's leaf hash.
    pub fn head(&self) -> (u64, String) {
        let chain = self.shared.state().head().chain;
        (
            chain.count,
            String::from_utf8_lossy(&hex(&chain.leaf)).into_owned(),
        )
    }

    /// Records known to be on disk.
    pub fn durable(&self) -> u64 {
        self.shared.state().durable()
    }

    /// In each child after the fork: drops the parent's descriptors and starts the group-sync thread. The
    /// parent forks while no other of its threads uses the log.
    pub fn after_fork(&self) -> Result<()> {
        *lock(&self.shared.segment) = None;
        let syncer = sync::Syncer::start(Arc::clone(&self.shared))?;
        *lock(&self.syncer) = Some(syncer);
        Ok(())
    }

    /// From now on this process appends only while the required sinks' lease lasts.
    pub fn require_lease(&self) {
        self.shared.needs_lease.store(true, Ordering::Relaxed);
    }

    /// The required sinks take the records: for so many milliseconds; 0 takes that back at once.
    pub fn grant_lease(&self, milliseconds: u64) {
        self.shared.state().grant_lease(milliseconds);
    }

    /// Raises `AuditHeld` if this process needs the lease and it has run out.
    pub fn check_lease(&self) -> Result<()> {
        if self.shared.needs_lease.load(Ordering::Relaxed) {
            self.shared.state().check_lease()?;
        }
        Ok(())
    }

    /// Appends a record and returns its sequence number. Waits for the append mutex. Raises `AuditHeld`.
    pub fn append(&self, body: &[u8]) -> Result<u64> {
        self.check_lease()?;
        self.append_anyway(body)
    }

    /// As `append`, whatever the sinks do: for the outcome of what was begun under the lease.
    pub fn append_anyway(&self, body: &[u8]) -> Result<u64> {
        check_body(body)?;
        let guard = self.shared.state().append.lock().map_err(as_audit)?;
        let appended = self.shared.append(guard, body, true)?;
        Ok(appended.expect("an append that may roll over does not give up"))
    }

    /// As `append`, but `None` instead of waiting for the mutex or rolling over to a new segment.
    pub fn try_append(&self, body: &[u8]) -> Result<Option<u64>> {
        self.check_lease()?;
        self.try_append_anyway(body)
    }

    /// As `append_anyway`, but `None` as in `try_append`.
    pub fn try_append_anyway(&self, body: &[u8]) -> Result<Option<u64>> {
        check_body(body)?;
        match self.shared.state().append.try_lock().map_err(as_audit)? {
            Some(guard) => self.shared.append(guard, body, false),
            None => Ok(None),
        }
    }

    /// Begins a new segment unless the newest one is empty. `false`: there was nothing to end.
    pub fn roll(&self) -> Result<bool> {
        let guard = self.shared.state().append.lock().map_err(as_audit)?;
        self.shared.roll(guard)
    }

    /// Returns when record `seq` is on disk. Raises `AuditWrite` if it never will be, `Input` if it does
    /// not exist.
    pub fn wait_durable(&self, seq: u64) -> Result<()> {
        if seq >= self.shared.state().head().chain.count {
            return Err(Error::input(format!("record {seq} was not appended")));
        }
        self.shared.sync_to(seq + 1)
    }

    /// Whether the next append may be expected to succeed.
    pub fn writable(&self) -> bool {
        let state = self.shared.state();
        if state.check_open().is_err() {
            return false;
        }
        let Ok(segment) = self.shared.segment_of(&state.head()) else {
            return false;
        };
        self.shared.check_place(&segment).is_ok() && (state.full().is_none() || segment.has_room(ROOM_BYTES))
    }
}

impl Writer {
    fn state(&self) -> &AuditState {
        self.arena.audit_state()
    }

    /// The head and its segment, after the repair of what a dead holder of the mutex left.
    fn place_of_next(&self, guard: &mut Guard<'_>) -> Result<(Head, Arc<Segment>)> {
        let state = self.state();
        if guard.owner_died() {
            // A log that could not be repaired is closed, so that the lock itself may go on.
            let repaired = self.repair().inspect_err(|_| {
                state.close(Latch::Repair, libc::EIO);
            });
            guard.repaired().map_err(as_audit)?;
            repaired?;
        }
        state.check_open()?;
        let head = state.head();
        let segment = self.segment_of(&head)?;
        self.check_place_now_and_then(&segment)?;
        Ok((head, segment))
    }

    fn roll(&self, mut guard: Guard<'_>) -> Result<bool> {
        let (head, segment) = self.place_of_next(&mut guard)?;
        if head.offset == 0 {
            return Ok(false);
        }
        self.roll_over(&head, &segment)?;
        Ok(true)
    }

    fn append(&self, mut guard: Guard<'_>, body: &[u8], may_roll: bool) -> Result<Option<u64>> {
        let state = self.state();
        let (mut head, mut segment) = self.place_of_next(&mut guard)?;
        let mut record = Vec::new();
        let after = write_line(&mut record, &head.chain, SystemTime::now(), body);
        if head.offset > 0 && head.offset + record.len() as u64 > self.segment_bytes {
            if !may_roll {
                return Ok(None);
            }
            (head, segment) = self.roll_over(&head, &segment)?;
        }
        if let Err(cause) = segment.write_at(&record, head.offset) {
            return Err(self.refuse(&segment, head.offset, &cause));
        }
        state.publish(&Head {
            chain: after,
            offset: head.offset + record.len() as u64,
            ..head
        });
        if state.full().is_some() {
            state.set_full(None);
        }
        drop(guard);
        // Either this append sees the syncer idle, or the syncer sees this append's head.
        fence(Ordering::SeqCst);
        if state.idle.load(Ordering::Relaxed) != 0 && state.idle.swap(0, Ordering::AcqRel) != 0 {
            state.wake_syncers();
        }
        Ok(Some(head.chain.count))
    }

    /// After a failed write: cuts its remains off. A full disk is waited out, anything else closes the log.
    fn refuse(&self, segment: &Segment, offset: u64, cause: &std::io::Error) -> Error {
        let errno = cause.raw_os_error().unwrap_or(libc::ENOSPC);
        let is_full = [libc::ENOSPC, libc::EDQUOT].contains(&errno);
        if segment.truncate(offset).is_err() || !is_full {
            return self.state().close(Latch::Write, errno);
        }
        self.state().set_full(Some(errno));
        Error::AuditWrite(format!(
            "no room for the audit log ({}): {cause}; free space, operations are refused until then",
            segment.path().display()
        ))
    }

    /// Ends a segment and starts the next. The old one is on disk before the new head is published.
    fn roll_over(&self, head: &Head, segment: &Segment) -> Result<(Head, Arc<Segment>)> {
        let state = self.state();
        let errno = |cause: &std::io::Error| cause.raw_os_error().unwrap_or(libc::EIO);
        segment
            .sync()
            .map_err(|cause| state.close(Latch::Sync, errno(&cause)))?;
        let number = head.segment + 1;
        let next = Segment::create(&self.directory, number).map_err(|cause| match cause.raw_os_error() {
            Some(full @ (libc::ENOSPC | libc::EDQUOT)) => {
                state.set_full(Some(full));
                let path = path_of(&self.directory, number);
                Error::AuditWrite(format!("no room to make {}: {cause}; free space", path.display()))
            }
            _ => state.close(Latch::Write, errno(&cause)),
        })?;
        let new_head = Head {
            chain: head.chain,
            segment: number,
            inode: next.inode,
            offset: 0,
        };
        state.publish(&new_head);
        state.raise_durable(head.chain.count);
        let next = Arc::new(next);
        *lock(&self.segment) = Some(Arc::clone(&next));
        Ok((new_head, next))
    }

    /// After a worker died with the append mutex: adopts whole records, moves a torn rest aside.
    fn repair(&self) -> Result<()> {
        let state = self.state();
        let head = state.head();
        let segment = self.segment_of(&head)?;
        let failed = |cause| Error::audit_os(format!("cannot repair {}", segment.path().display()), &cause);
        let bytes = segment.read_from(head.offset).map_err(failed)?;
        let found = recovery::scan(bytes.as_slice(), head.chain).map_err(failed)?;
        let offset = head.offset + found.length;
        if found.length < bytes.len() as u64 {
            if !found.rest_is_torn {
                return Err(state.close(Latch::Replaced, 0));
            }
            state.add_torn_bytes(segment.quarantine(&self.directory, offset).map_err(failed)?);
        }
        state.publish(&Head {
            chain: found.chain,
            offset,
            ..head
        });
        Ok(())
    }

    /// This process's descriptor of the segment that the head names.
    fn segment_of(&self, head: &Head) -> Result<Arc<Segment>> {
        let mut slot = lock(&self.segment);
        if let Some(segment) = slot.as_ref().filter(|segment| segment.number == head.segment) {
            return Ok(Arc::clone(segment));
        }
        let opened = Segment::open(&self.directory, head.segment);
        let segment = opened.map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => self.state().close(Latch::Replaced, 0),
            _ => Error::audit_os(
                format!("cannot open {}", path_of(&self.directory, head.segment).display()),
                &cause,
            ),
        })?;
        if segment.inode != head.inode {
            return Err(self.state().close(Latch::Replaced, 0));
        }
        let segment = Arc::new(segment);
        *slot = Some(Arc::clone(&segment));
        Ok(segment)
    }

    fn check_place_now_and_then(&self, segment: &Segment) -> Result<()> {
        let now = coarse_ms();
        if now.saturating_sub(self.place_checked_ms.load(Ordering::Relaxed)) < PLACE_CHECK_MS {
            return Ok(());
        }
        self.place_checked_ms.store(now, Ordering::Relaxed);
        self.check_place(segment)
    }

    fn check_place(&self, segment: &Segment) -> Result<()> {
        match segment.is_in_place() {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.state().close(Latch::Replaced, 0)),
            Err(cause) => Err(Error::audit_os(
                format!("cannot examine {}", segment.path().display()),
                &cause,
            )),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What these mutexes hold is replaced in one step, so a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn as_audit(cause: Error) -> Error {
    Error::AuditWrite(format!("{cause}; restart the service"))
}

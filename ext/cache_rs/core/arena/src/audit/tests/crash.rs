//! What a process that dies leaves behind.

use super::*;

#[test]
fn a_crash_between_two_segments_loses_nothing() {
    let scratch = scratch(4_096);
    scratch.fill(5);
    fs::write(scratch.segment(2), b"").unwrap();
    // The running service takes the empty file over when it gets there.
    scratch.fill(30);
    assert_eq!(follow(scratch.path()), scratch.log.head());
    // And so does the next start.
    fs::write(scratch.segment(3), b"").unwrap();
    let again = open(scratch.path(), 4_096).unwrap();
    assert_eq!(again.head(), scratch.log.head());
    again.append(BODY).unwrap();
    assert_eq!(follow(scratch.path()), again.head());
}

/// A child takes the append mutex, writes the given part of the next record, and dies with it.
fn die_while_appending(log: &AuditLog, part: impl FnOnce(&[u8]) -> &[u8]) -> u64 {
    let state = log.shared.state();
    let head = state.head();
    let segment = log.shared.segment_of(&head).unwrap();
    let mut record = Vec::new();
    write_line(&mut record, &head.chain, SystemTime::now(), BODY);
    let part = part(&record);
    // SAFETY: the child calls only the robust lock, pwrite and _exit, none of which needs a lock that
    // another thread of this process might have held at the fork.
    unsafe {
        match libc::fork() {
            0 => {
                let locked = state.append.lock();
                let written = segment.write_at(part, head.offset);
                libc::_exit(i32::from(locked.is_err() || written.is_err()));
            }
            child => {
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &mut status, 0), child);
                assert_eq!(status, 0);
            }
        }
    }
    part.len() as u64
}

#[test]
fn what_a_killed_worker_wrote_is_adopted_or_moved_aside() {
    let scratch = scratch(1 << 20);
    scratch.fill(2);
    die_while_appending(&scratch.log, |record| record);
    assert_eq!(scratch.log.append(BODY).unwrap(), 3, "the whole record counts");
    let torn = die_while_appending(&scratch.log, |record| &record[..record.len() - 1]);
    assert_eq!(scratch.log.append(BODY).unwrap(), 4, "the torn record does not");
    assert_eq!(scratch.log.recovered_bytes(), torn);
    assert_eq!(scratch.torn_files().concat().len() as u64, torn);
    die_while_appending(&scratch.log, |record| &record[..0]);
    assert_eq!(scratch.log.try_append(BODY).unwrap(), Some(5));
    assert_eq!(follow(scratch.path()), scratch.log.head());
}

/// Lines that no worker of ours wrote lie behind the head: nothing is appended after them.
#[test]
fn what_cannot_be_repaired_closes_the_log() {
    let scratch = scratch(1 << 20);
    scratch.fill(2);
    die_while_appending(&scratch.log, |_| b"{\"seq\":9}\n{\"seq\":10}\n");
    let before = fs::read(scratch.segment(1)).unwrap();
    for _ in 0..2 {
        assert!(matches!(scratch.log.append(BODY), Err(Error::AuditWrite(_))));
    }
    assert!(!scratch.log.writable());
    assert_eq!(fs::read(scratch.segment(1)).unwrap(), before);
}

#[test]
fn a_fork_without_after_fork_can_drop_the_log() {
    let scratch = scratch(1 << 20);
    scratch.log.after_fork().unwrap();
    // SAFETY: the child drops its copy of the log once and ends without running anything else that
    // could use it; the alarm ends it if the drop waits for a thread that it does not have.
    unsafe {
        match libc::fork() {
            0 => {
                libc::alarm(5);
                std::ptr::drop_in_place((&raw const scratch.log).cast_mut());
                libc::_exit(0);
            }
            child => {
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &mut status, 0), child);
                assert_eq!(status, 0, "the child hung");
            }
        }
    }
}

/// A worker that dies between saying that the syncers are awake and waking them leaves nobody else to do it.
#[test]
fn the_syncers_are_woken_for_a_dead_worker() {
    let scratch = scratch(1 << 20);
    let arena = &scratch.log.shared.arena;
    let slot = arena.claim_slot().unwrap();
    let before = arena.audit_state().work_signal.load(Ordering::Acquire);
    arena.reclaim_slot(slot).unwrap();
    assert_ne!(arena.audit_state().work_signal.load(Ordering::Acquire), before);
}

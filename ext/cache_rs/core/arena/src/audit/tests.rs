use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::test_arena::arena;

const BODY: &[u8] = br#""op":"sign","tenant":"acme"}"#;

struct Scratch {
    directory: TempDir,
    log: AuditLog,
}

fn open(directory: &Path, segment_bytes: u64) -> Result<AuditLog> {
    AuditLog::open(Arc::new(arena()), directory, segment_bytes)
}

fn scratch(segment_bytes: u64) -> Scratch {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), segment_bytes).unwrap();
    Scratch { directory, log }
}

impl Scratch {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn segment(&self, number: u64) -> std::path::PathBuf {
        path_of(self.path(), number)
    }

    fn fill(&self, records: u64) {
        (0..records).for_each(|_| {
            self.log.append(BODY).unwrap();
        });
    }

    fn torn_files(&self) -> Vec<Vec<u8>> {
        let entries = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.extension().is_some_and(|end| end == "torn"))
            .map(|path| fs::read(path).unwrap())
            .collect()
    }
}

/// Follows the chain with a JSON parser and its own hashing. Returns (records, last hash in hex).
fn follow(directory: &Path) -> (u64, String) {
    let (mut seq, mut prev) = (0_u64, "0".repeat(64));
    for number in segment::list(directory).unwrap() {
        for line in fs::read_to_string(path_of(directory, number)).unwrap().lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["seq"], seq);
            assert_eq!(record["prev"], prev);
            let time = record["time"].as_str().unwrap();
            assert!(
                time.len() == 27 && time.ends_with('Z') && humantime::parse_rfc3339(time).is_ok(),
                "{time}"
            );
            seq += 1;
            let leaf = Sha256::new().chain_update([0]).chain_update(line).finalize();
            prev = leaf.iter().map(|byte| format!("{byte:02x}")).collect();
        }
    }
    (seq, prev)
}

#[test]
fn records_form_one_chain_over_all_segments() {
    let scratch = scratch(4_096);
    assert_eq!(scratch.log.head(), (0, "0".repeat(64)));
    for seq in 0..100 {
        assert_eq!(scratch.log.append(BODY).unwrap(), seq);
    }
    assert!(segment::list(scratch.path()).unwrap().len() > 3);
    let segments = segment::list(scratch.path()).unwrap();
    assert!(
        segments
            .iter()
            .all(|&number| fs::metadata(scratch.segment(number)).unwrap().len() <= 4_096)
    );
    assert_eq!(follow(scratch.path()), scratch.log.head());
    let again = open(scratch.path(), 4_096).unwrap();
    assert_eq!(
        (again.head(), again.recovered_bytes(), again.durable()),
        (scratch.log.head(), 0, 100)
    );
    assert_eq!(again.append(BODY).unwrap(), 100);
    assert_eq!(follow(scratch.path()), again.head());
}

#[test]
fn threads_and_handles_share_one_order() {
    let scratch = scratch(16_384);
    let shared = Arc::clone(&scratch.log.shared.arena);
    let second = AuditLog::open(shared, scratch.path(), 16_384).unwrap();
    std::thread::scope(|scope| {
        for log in [&scratch.log, &second, &scratch.log, &second] {
            scope.spawn(move || {
                for _ in 0..300 {
                    let seq = log.append(BODY).unwrap();
                    if seq % 50 == 0 {
                        log.wait_durable(seq).unwrap();
                        assert!(log.durable() > seq);
                    }
                }
            });
        }
    });
    assert_eq!(scratch.log.head().0, 1_200);
    assert_eq!(follow(scratch.path()), second.head());
}

#[test]
fn a_body_that_would_break_the_format_is_refused() {
    let scratch = scratch(4_096);
    let long = [b"\"".as_slice(), &[b'a'; BODY_MAX], b"}"].concat();
    let wrong: [&[u8]; 6] = [b"", b"}", b"\"a\":1", b"\"a\":\n1}", b"\"a\":\0}", &long];
    for body in wrong {
        assert!(matches!(scratch.log.append(body), Err(Error::Input(_))));
    }
    assert_eq!(scratch.log.head().0, 0);
    assert!(matches!(open(scratch.path(), 4_095), Err(Error::Input(_))));
}

#[test]
fn a_record_longer_than_a_segment_gets_a_segment_of_its_own() {
    let scratch = scratch(4_096);
    let long = [b"\"a\":\"".as_slice(), &[b'a'; 10_000], b"\"}"].concat();
    for body in [BODY, &long, BODY] {
        scratch.log.append(body).unwrap();
    }
    assert_eq!(segment::list(scratch.path()).unwrap(), [1, 2, 3]);
    assert_eq!(follow(scratch.path()), scratch.log.head());
}

#[test]
fn the_sync_thread_makes_records_durable_and_waiting_does_at_once() {
    let scratch = scratch(1 << 20);
    scratch.log.after_fork().unwrap();
    for _ in 0..3 {
        let seq = scratch.log.append(BODY).unwrap();
        let start = Instant::now();
        while scratch.log.durable() <= seq {
            assert!(
                start.elapsed() < Duration::from_secs(2),
                "the record was not synced"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        let seq = scratch.log.append(BODY).unwrap();
        scratch.log.wait_durable(seq).unwrap();
        assert!(scratch.log.durable() > seq);
        std::thread::sleep(Duration::from_millis(30));
    }
    let missing = scratch.log.head().0;
    assert!(matches!(scratch.log.wait_durable(missing), Err(Error::Input(_))));
}

#[test]
fn dropping_the_log_syncs_what_was_written() {
    let scratch = scratch(1 << 20);
    let arena = Arc::clone(&scratch.log.shared.arena);
    scratch.log.after_fork().unwrap();
    scratch.fill(5);
    drop(scratch.log);
    assert_eq!(arena.audit_state().durable(), 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Power loss or a kill cuts the newest segment anywhere: whole records stay, the rest is moved aside.
    #[test]
    fn a_cut_tail_is_moved_aside(records in 1..6_u64, cut in any::<prop::sample::Index>(), zeros in 0..300_usize) {
        let scratch = scratch(1 << 20);
        scratch.fill(records);
        let whole = fs::read(scratch.segment(1)).unwrap();
        let mut cut_off = whole[..cut.index(whole.len() + 1)].to_vec();
        cut_off.resize(cut_off.len() + zeros, 0);
        fs::write(scratch.segment(1), &cut_off).unwrap();

        let kept = cut_off.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let again = open(scratch.path(), 1 << 20).unwrap();
        let lines = cut_off[..kept].iter().filter(|&&byte| byte == b'\n').count() as u64;
        prop_assert_eq!(again.head().0, lines);
        prop_assert_eq!(again.recovered_bytes(), (cut_off.len() - kept) as u64);
        let torn = scratch.torn_files();
        prop_assert_eq!(torn.concat(), &cut_off[kept..]);
        prop_assert_eq!(again.append(BODY).unwrap(), lines);
        prop_assert_eq!(follow(scratch.path()), again.head());
    }

    /// A changed byte in any record but the last is found, in the newest segment and in the one before.
    #[test]
    fn a_changed_record_is_found(place in any::<prop::sample::Index>(), flip in 1..128_u8, newest in any::<bool>()) {
        let scratch = scratch(4_096);
        scratch.fill(30);
        prop_assert_eq!(segment::list(scratch.path()).unwrap(), vec![1, 2]);
        let path = scratch.segment(if newest { 2 } else { 1 });
        let mut bytes = fs::read(&path).unwrap();
        let last_line = bytes[..bytes.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
        let place = place.index(last_line);
        bytes[place] ^= flip;
        fs::write(&path, &bytes).unwrap();
        let error = open(scratch.path(), 4_096).err();
        prop_assert!(matches!(error, Some(Error::AuditDamaged(_))), "{:?} at {}", error, place);
        prop_assert_eq!(fs::read(&path).unwrap(), bytes, "evidence was changed");
    }
}

#[test]
fn a_missing_or_foreign_segment_is_found() {
    let scratch = scratch(4_096);
    scratch.fill(60);
    let segments = segment::list(scratch.path()).unwrap();
    assert_eq!(segments, [1, 2, 3]);
    // Old segments may be archived; the one before the newest may not.
    fs::remove_file(scratch.segment(1)).unwrap();
    assert_eq!(open(scratch.path(), 4_096).unwrap().head(), scratch.log.head());
    let second = fs::read(scratch.segment(2)).unwrap();
    fs::remove_file(scratch.segment(2)).unwrap();
    assert!(matches!(open(scratch.path(), 4_096), Err(Error::AuditDamaged(_))));
    let last = second[..second.len() - 1]
        .iter()
        .rposition(|&byte| byte == b'\n')
        .unwrap()
        + 1;
    fs::write(scratch.segment(2), &second[..last]).unwrap();
    assert!(
        matches!(open(scratch.path(), 4_096), Err(Error::AuditDamaged(_))),
        "a record was cut off"
    );
}

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

#[test]
fn a_deleted_or_replaced_file_closes_the_log() {
    for replace in [false, true] {
        let scratch = scratch(1 << 20);
        scratch.fill(3);
        assert!(scratch.log.writable());
        let kept = fs::read(scratch.segment(1)).unwrap();
        fs::remove_file(scratch.segment(1)).unwrap();
        if replace {
            fs::write(scratch.segment(1), kept).unwrap();
        }
        std::thread::sleep(Duration::from_millis(120));
        let error = scratch
            .log
            .append(BODY)
            .expect_err("the file is gone")
            .to_string();
        assert!(error.contains("deleted, replaced"), "{error}");
        assert!(!scratch.log.writable());
        assert!(scratch.log.append(BODY).is_err(), "closed until a restart");
        assert!(matches!(
            scratch.log.wait_durable(2),
            Err(Error::AuditWrite(_)) | Ok(())
        ));
    }
}

#[test]
fn a_closed_log_refuses_waiters() {
    let scratch = scratch(1 << 20);
    let seq = scratch.log.append(BODY).unwrap();
    let error = scratch
        .log
        .shared
        .state()
        .close(Latch::Sync, libc::EIO)
        .to_string();
    assert!(
        error.contains("sync failed") && error.contains("restart"),
        "{error}"
    );
    assert!(matches!(scratch.log.wait_durable(seq), Err(Error::AuditWrite(_))));
    assert!(matches!(scratch.log.append(BODY), Err(Error::AuditWrite(_))));
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

#[test]
fn trying_does_not_wait() {
    let scratch = scratch(4_096);
    let state = scratch.log.shared.state();
    let guard = state.append.lock().unwrap();
    std::thread::scope(|scope| {
        assert_eq!(
            scope
                .spawn(|| scratch.log.try_append(BODY))
                .join()
                .unwrap()
                .unwrap(),
            None
        );
    });
    drop(guard);
    // Neither does it start a new segment, which syncs the old one.
    while scratch.log.try_append(BODY).unwrap().is_some() {}
    assert_eq!(segment::list(scratch.path()).unwrap(), [1]);
    scratch.fill(1);
    assert_eq!(segment::list(scratch.path()).unwrap(), [1, 2]);
}

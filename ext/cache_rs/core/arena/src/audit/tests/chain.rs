//! Order, format and durability of what is appended.

use std::time::{Duration, Instant};

use super::*;

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
fn a_segment_is_ended_on_demand_and_only_once() {
    let scratch = scratch(1 << 20);
    assert!(!scratch.log.roll().unwrap());
    scratch.fill(2);
    assert!(scratch.log.roll().unwrap());
    assert_eq!(scratch.log.durable(), 2);
    assert!(!scratch.log.roll().unwrap());
    scratch.fill(1);
    assert_eq!(segment::list(scratch.path()).unwrap(), [1, 2]);
    assert_eq!(follow(scratch.path()), scratch.log.head());
    let head = scratch.log.head();
    drop(scratch.log);
    assert_eq!(open(scratch.directory.path(), 1 << 20).unwrap().head(), head);
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

#[test]
fn who_needs_the_lease_appends_only_while_it_lasts() {
    let scratch = scratch(4_096);
    let shared = Arc::clone(&scratch.log.shared.arena);
    let own = AuditLog::open(shared, scratch.path(), 4_096).unwrap();
    scratch.log.require_lease();
    let held = |log: &AuditLog| matches!(log.append(BODY), Err(Error::AuditHeld(_)));
    assert!(held(&scratch.log), "none was granted yet");
    assert!(matches!(scratch.log.try_append(BODY), Err(Error::AuditHeld(_))));
    assert_eq!(own.append(BODY).unwrap(), 0, "the server's own records need none");
    assert_eq!(scratch.log.append_anyway(BODY).unwrap(), 1);
    own.grant_lease(60_000);
    assert_eq!(scratch.log.append(BODY).unwrap(), 2);
    own.grant_lease(0);
    assert!(held(&scratch.log));
    own.grant_lease(30);
    std::thread::sleep(Duration::from_millis(60));
    assert!(held(&scratch.log), "nobody renewed it");
    assert!(scratch.log.writable(), "the log itself is well");
    assert_eq!(follow(scratch.path()), own.head());
}

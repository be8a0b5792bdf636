//! Torn tails and changed, missing or replaced files.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 5, ..ProptestConfig::default() })]

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

#[test]
fn a_lost_newline_before_the_last_record_is_found() {
    let scratch = scratch(1 << 20);
    scratch.fill(3);
    let mut bytes = fs::read(scratch.segment(1)).unwrap();
    let newline = bytes[..bytes.len() - 1]
        .iter()
        .rposition(|&byte| byte == b'\n')
        .unwrap();
    bytes[newline] = b'*';
    fs::write(scratch.segment(1), &bytes).unwrap();
    assert!(matches!(
        open(scratch.path(), 1 << 20).err(),
        Some(Error::AuditDamaged(_))
    ));
}

/// Where the numbers end, none follows: it would be given again.
#[test]
fn a_log_that_has_used_up_its_numbers_is_damaged() {
    let scratch = tempfile::tempdir().unwrap();
    let at = line::ChainPoint {
        count: u64::MAX,
        leaf: [0; line::LEAF_BYTES],
    };
    let mut last = Vec::new();
    let after = line::ChainPoint {
        count: 0,
        leaf: {
            let before = line::ChainPoint { count: 0, ..at };
            line::write_line(&mut last, &before, SystemTime::now(), BODY);
            let text = String::from_utf8(last)
                .unwrap()
                .replacen(":0,", &format!(":{},", u64::MAX), 1);
            last = text.into_bytes();
            line::leaf_hash(last.strip_suffix(b"\n").unwrap())
        },
    };
    let mut next = Vec::new();
    line::write_line(&mut next, &after, SystemTime::now(), BODY);
    fs::write(path_of(scratch.path(), 2), &last).unwrap();
    fs::write(path_of(scratch.path(), 3), &next).unwrap();
    let error = open(scratch.path(), 4_096).err();
    assert!(matches!(error, Some(Error::AuditDamaged(_))), "{error:?}");
    assert_eq!(super::super::follow(&last, at, 1), Followed::default());
}

#[test]
fn a_file_numbered_outside_of_the_segments_is_none() {
    let scratch = tempfile::tempdir().unwrap();
    for number in [0, u64::MAX] {
        fs::write(path_of(scratch.path(), number), b"foreign").unwrap();
    }
    let log = open(scratch.path(), 4_096).unwrap();
    assert_eq!(log.append(BODY).unwrap(), 0);
    assert_eq!(segment::list(scratch.path()).unwrap(), [1]);
}

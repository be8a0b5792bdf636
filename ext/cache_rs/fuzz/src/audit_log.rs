//! The audit log after a change of its files. What opens is one unbroken chain that goes on; what does not is left
//! as it was found; and a log that was merely cut always opens, with every whole record.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ronkms_arena::audit::{ChainPoint, follow};
use ronkms_arena::{Arena, AuditLog, Config, Error};
use tempfile::TempDir;

use crate::input::Input;

const SEGMENT_BYTES: u64 = 4_096;

fn arena() -> Arc<Arena> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let config = Config {
        cache_entries: 8,
        cache_ttl_ms: 1_000,
        inflight: [1, 1],
        tenant_share_min: 0.1,
        slots: 1,
        tenants: 16,
        ops: names(&["sign"]),
        algs: names(&["none"]),
        outcomes: names(&["ok"]),
        counters: names(&["first"]),
        gauges: names(&["level"]),
        generations: names(&["keyring"]),
    };
    Arc::new(Arena::create(config).expect("a small arena"))
}

fn open(directory: &Path) -> Result<AuditLog, Error> {
    AuditLog::open(arena(), directory, SEGMENT_BYTES)
}

/// In memory where the system has such a place: the log is synced at every opening.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a directory")
}

/// The segments in order, with their content.
fn segments(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory).expect("listed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).expect("read")))
        .collect()
}

fn bytes_of(segments: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    segments
        .iter()
        .flat_map(|(_, bytes)| bytes.iter().copied())
        .collect()
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => follow_anything(&mut input),
        1 => open_anything(&mut input),
        _ => open_changed(&mut input),
    }
}

fn follow_anything(input: &mut Input<'_>) {
    let count = match input.byte() {
        255 => u64::MAX,
        254 => u64::MAX - 1,
        small => u64::from(small),
    };
    let limit = u64::from(input.byte());
    let start = ChainPoint { count, leaf: [0; 32] };
    let data = input.rest();
    let taken = follow(data, start, limit);
    assert!(taken.length <= data.len() && taken.leaves.len() as u64 / 32 <= limit);
    assert!(taken.length == 0 || data[taken.length - 1] == b'\n');
    let lines = data[..taken.length].iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(lines * 32, taken.leaves.len());
}

fn open_anything(input: &mut Input<'_>) {
    let directory = scratch();
    let length = input.number();
    let (first, second) = [(0, 2), (1, 2), (2, 3), (u64::MAX - 1, u64::MAX)][usize::from(input.byte() % 4)];
    let name = |number: u64| directory.path().join(format!("audit-{number:08}.jsonl"));
    fs::write(name(first), input.take(length)).expect("written");
    if !input.is_empty() {
        fs::write(name(second), input.rest()).expect("written");
    }
    goes_on_or_is_left_alone(directory.path());
}

fn goes_on_or_is_left_alone(directory: &Path) -> Option<u64> {
    let before = segments(directory);
    match open(directory) {
        Err(Error::AuditDamaged(_)) => {
            assert_eq!(segments(directory), before, "the evidence was changed");
            None
        }
        Err(error) => panic!("{error}"),
        Ok(log) => {
            let (count, _) = log.head();
            assert_eq!(log.durable(), count);
            let kept = bytes_of(&segments(directory)).len();
            assert_eq!(
                kept as u64 + log.recovered_bytes(),
                bytes_of(&before).len() as u64
            );
            assert_eq!(log.append(br#""op":"sign"}"#).expect("appended"), count);
            drop(log);
            let again = open(directory).expect("it opened before");
            assert_eq!(again.head().0, count + 1);
            assert_eq!(again.recovered_bytes(), 0);
            Some(count)
        }
    }
}

fn open_changed(input: &mut Input<'_>) {
    let directory = scratch();
    let log = open(directory.path()).expect("an empty log");
    let records = u64::from(input.byte() % 24);
    for record in 0..records {
        let body = format!(
            r#""op":"sign","tenant":"{}"}}"#,
            "a".repeat(usize::from(input.byte()))
        );
        assert_eq!(log.append(body.as_bytes()).expect("appended"), record);
    }
    drop(log);
    let written = segments(directory.path());
    let whole = bytes_of(&written);
    let (last, content) = written.last().expect("a segment");
    let changed = input.changed(content);
    fs::write(last, &changed).expect("written");

    let opened = goes_on_or_is_left_alone(directory.path());
    if changed.len() <= content.len() && content.starts_with(&changed) {
        let before = whole.len() - content.len();
        let lines = whole[..before + changed.len()]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        assert_eq!(
            opened,
            Some(lines as u64),
            "a cut log lost a record, or did not open"
        );
    }
    let Some(count) = opened else { return };
    let now = bytes_of(&segments(directory.path()));
    let taken = follow(&now, ChainPoint::default(), u64::MAX);
    assert_eq!(
        (taken.length, taken.leaves.len() as u64),
        (now.len(), (count + 1) * 32)
    );
    // The chain holds each record but the last to what was written.
    let held: usize = whole
        .split_inclusive(|&byte| byte == b'\n')
        .take((count as usize).saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    assert_eq!(now[..held], whole[..held], "a record before the last was changed");
}

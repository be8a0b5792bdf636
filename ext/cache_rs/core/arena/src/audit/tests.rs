mod chain;
mod crash;
mod damage;

use std::fs;
use std::path::Path;
use std::sync::Arc;

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

//! Looks for copies of plain key bytes in this process, outside the locked memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use crate::locked::{self, Secret};
use crate::private_key::PrivateKey;
use crate::{Algorithm, SignOptions, key_material};

/// Held by each test: the buffer of another scan would keep what it saw of a signature in the making.
static SCAN: Mutex<()> = Mutex::new(());

/// Long enough that no chance match occurs.
const PATTERN: usize = 24;

/// Ranges of the process's private writable mappings, the locked ones left out.
fn writable_ranges() -> Vec<(usize, usize)> {
    let locked = locked::regions();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter(|line| line.contains(" rw-p ") && !line.contains("[vvar"))
        .map(|line| {
            let (start, rest) = line.split_once('-').unwrap();
            let (end, _) = rest.split_once(' ').unwrap();
            (
                usize::from_str_radix(start, 16).unwrap(),
                usize::from_str_radix(end, 16).unwrap(),
            )
        })
        .filter(|(start, _)| locked.iter().all(|(first, end)| !(first..end).contains(&start)))
        .collect()
}

/// How often any of `patterns` occurs.
fn copies(patterns: &[&[u8]]) -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut chunk = vec![0; 1 << 20];
    // The scan's own buffer holds what was scanned before.
    let own = chunk.as_ptr() as usize..chunk.as_ptr() as usize + chunk.len();
    let mut found = 0;
    for (start, end) in writable_ranges() {
        let mut at = start;
        while at + PATTERN <= end {
            let length = chunk.len().min(end - at);
            // Another thread may have unmapped the range since it was listed.
            let Ok(read) = memory.read_at(&mut chunk[..length], at as u64) else {
                break;
            };
            if read < PATTERN {
                break;
            }
            for (offset, window) in chunk[..read].windows(PATTERN).enumerate() {
                if !own.contains(&(at + offset)) && patterns.contains(&window) {
                    found += 1;
                }
            }
            at += read - PATTERN + 1;
        }
    }
    found
}

fn pattern(secret: &[u8], at: usize) -> &[u8] {
    &secret[at..at + PATTERN]
}

#[test]
fn a_copy_is_found() {
    let _one = SCAN.lock().unwrap_or_else(PoisonError::into_inner);
    let secret: Secret = key_material::generate(Algorithm::AesKwp).unwrap();
    let bytes = secret.bytes().unwrap();
    assert_eq!(copies(&[pattern(bytes, 0)]), 0);
    let copy = std::hint::black_box(bytes.to_vec());
    assert!(copies(&[pattern(bytes, 0)]) >= 1);
    drop(copy);
}

#[test]
fn seeds_and_keys_stay_in_locked_memory() {
    let _one = SCAN.lock().unwrap_or_else(PoisonError::into_inner);
    for algorithm in [
        Algorithm::Ed25519,
        Algorithm::MlDsa44,
        Algorithm::MlDsa65,
        Algorithm::MlDsa87,
        Algorithm::MlDsa44Ed25519Sha512,
        Algorithm::MlDsa65Ed25519Sha512,
        Algorithm::MlDsa65EcdsaP256Sha512,
        Algorithm::MlDsa87EcdsaP384Sha512,
        Algorithm::Aes256Gcm,
        Algorithm::AesKwp,
        Algorithm::XWing,
    ] {
        let content = key_material::generate(algorithm).unwrap();
        let key = {
            let copy = locked::KEYS.copy_of(content.bytes().unwrap()).unwrap();
            PrivateKey::from_content(algorithm, copy).unwrap()
        };
        for _ in 0..100 {
            if algorithm.signs() {
                key.sign(b"message", SignOptions::default()).unwrap();
            } else {
                let wrapped = key.wrap(b"header", b"", b"plaintext").unwrap();
                key.unwrap(b"header", b"", &wrapped).unwrap();
            }
        }
        let bytes = content.bytes().unwrap();
        let mut patterns = vec![pattern(bytes, 0)];
        if bytes.len() == 64 {
            patterns.push(pattern(bytes, 32));
        }
        if let Some(expanded) = key.expanded_ml_dsa() {
            // K, the secret seed of signing, and the start of the packed s1 (FIPS 204, algorithm 24).
            patterns.push(pattern(expanded, 32));
            patterns.push(pattern(expanded, 128));
        }
        assert_eq!(copies(&patterns), 0, "{}", algorithm.name());
    }
}

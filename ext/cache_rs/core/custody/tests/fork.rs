//! What a child process has of its parent's custody. Alone in its binary, one test at a time: no other
//! thread may hold a lock of the custody when it forks.

use std::io::{Read, Write};
use std::sync::{Mutex, PoisonError};

use ronkms_custody::{Algorithm, Custody, CustodyError, SignOptions, locked};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

unsafe extern "C" {
    fn fork() -> i32;
    fn _exit(status: i32) -> !;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
}

/// Runs `check` in a forked child and returns what it said.
fn in_child(check: impl FnOnce() -> String) -> String {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // SAFETY: the child runs `check`, writes to a pipe and leaves with _exit; no other thread of this
    // process holds a lock that `check` takes.
    let pid = unsafe { fork() };
    if pid == 0 {
        let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
        let said = said.unwrap_or_else(|_| "the child panicked".into());
        let written = writer.write_all(said.as_bytes());
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { _exit(i32::from(written.is_err())) };
    }
    drop(writer);
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    // SAFETY: reaps the child made above.
    assert_eq!(unsafe { waitpid(pid, std::ptr::null_mut(), 0) }, pid);
    said
}

fn locked_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmLck:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_child_has_the_root_and_no_unsealed_key() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (custody, _) = Custody::create("dev", None).unwrap();
    let (record, public) = custody.generate(Algorithm::MlDsa65, b"k").unwrap();
    let (ed25519, _) = custody.generate(Algorithm::Ed25519, b"e").unwrap();
    let before = [
        custody.unseal(&record, b"k").unwrap(),
        custody.unseal(&ed25519, b"e").unwrap(),
    ];
    let mac = custody.mac("label", b"data").unwrap();
    let sealed = custody.generate_mac_key(b"d").unwrap();
    let mac_key = custody.unseal_mac_key(&sealed, b"d").unwrap();
    let keyed = mac_key.mac(b"data").unwrap();
    let said = in_child(|| {
        let unlocked = locked_kib();
        custody.relock().unwrap();
        assert!(locked_kib() > unlocked, "nothing was locked again");
        for key in &before {
            let error = key.sign(b"m", SignOptions::default()).unwrap_err();
            assert!(matches!(&error, CustodyError::Seal(message) if message.contains("unseal it again")));
        }
        drop(before);
        let again = custody.unseal(&record, b"k").unwrap();
        assert_eq!(again.public(), public);
        assert!(again.sign(b"m", SignOptions::default()).is_ok());
        assert_eq!(custody.mac("label", b"data").unwrap(), mac);
        assert_eq!(mac_key.mac(b"data").unwrap(), keyed);
        in_child(|| {
            custody.relock().unwrap();
            assert!(again.sign(b"m", SignOptions::default()).is_err());
            assert!(
                custody
                    .unseal(&record, b"k")
                    .unwrap()
                    .sign(b"m", SignOptions::default())
                    .is_ok()
            );
            "grandchild is fine".into()
        })
    });
    assert_eq!(said, "grandchild is fine");
    assert_eq!(locked::regions().len(), 2);
}

#[test]
fn hedged_signatures_of_two_children_differ() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (custody, _) = Custody::create("dev", None).unwrap();
    for algorithm in [Algorithm::MlDsa65, Algorithm::Es256] {
        let (record, _) = custody.generate(algorithm, b"k").unwrap();
        let sign = || {
            custody.relock().unwrap();
            format!(
                "{:?}",
                custody
                    .unseal(&record, b"k")
                    .unwrap()
                    .sign(b"m", SignOptions::default())
                    .unwrap()
            )
        };
        assert_ne!(in_child(sign), in_child(sign), "{}", algorithm.name());
    }
}

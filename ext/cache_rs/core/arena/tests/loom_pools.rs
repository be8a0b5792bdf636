//! Interleavings of the admission ledger and the slot table.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p ronkms-arena --test loom_pools -- --include-ignored`
#![cfg(loom)]

mod loom_word;

use std::sync::atomic::{AtomicU64 as Untracked, Ordering};

use loom::sync::Arc;
use loom::thread;
use loom_word::{LoomWord, check, kill_after};
use ronkms_arena::Word;
use ronkms_arena::admission::{PoolRow, give_back, sum, take};
use ronkms_arena::slots::{Slot, Slots};

type Rows<const FENCED: bool = true> = Arc<Vec<PoolRow<LoomWord<FENCED>>>>;

fn rows<const FENCED: bool>(count: usize) -> Rows<FENCED> {
    Arc::new((0..count).map(|_| PoolRow::new(LoomWord::zero)).collect())
}

fn units<const FENCED: bool>(rows: &Rows<FENCED>) -> impl Iterator<Item = &LoomWord<FENCED>> {
    rows.iter().map(|row| &row.units)
}

/// Takes, holds and releases in a row of its own; `held` is what is admitted at this moment of the
/// execution, seen from outside the model.
fn take_and_release(rows: &Rows, own: usize, cost: u64, limit: u64, held: &Untracked) {
    if take(&rows[own].units, units(rows), cost, limit).is_err() {
        return;
    }
    assert!(
        held.fetch_add(cost, Ordering::SeqCst) + cost <= limit,
        "more admitted than the limit"
    );
    thread::yield_now();
    held.fetch_sub(cost, Ordering::SeqCst);
    give_back(&rows[own].units, cost);
}

#[test]
fn never_more_than_the_limit_and_nothing_lost() {
    check(3, || {
        let rows: Rows = rows(3);
        let held = std::sync::Arc::new(Untracked::new(0));
        let threads: Vec<_> = [(0, 1), (1, 2)]
            .into_iter()
            .map(|(own, cost)| {
                let (rows, held) = (rows.clone(), held.clone());
                thread::spawn(move || take_and_release(&rows, own, cost, 2, &held))
            })
            .collect();
        take_and_release(&rows, 2, 1, 2, &held);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(sum(units(&rows)), 0, "a unit was lost or doubled");
    });
}

#[test]
fn threads_of_one_worker_share_a_row() {
    check(4, || {
        let rows: Rows = rows(2);
        let held = std::sync::Arc::new(Untracked::new(0));
        let other = {
            let (rows, held) = (rows.clone(), held.clone());
            thread::spawn(move || take_and_release(&rows, 0, 1, 1, &held))
        };
        take_and_release(&rows, 0, 1, 1, &held);
        other.join().unwrap();
        assert_eq!(sum(units(&rows)), 0, "a unit was lost or doubled");
    });
}

#[test]
fn a_permit_that_is_held_is_never_given_twice() {
    check(4, one_permit_for_two::<true>);
}

fn one_permit_for_two<const FENCED: bool>() {
    let rows = rows::<FENCED>(2);
    let other = {
        let rows = rows.clone();
        thread::spawn(move || take(&rows[1].units, units(&rows), 1, 1).is_ok())
    };
    let mine = take(&rows[0].units, units(&rows), 1, 1).is_ok();
    let theirs = other.join().unwrap();
    assert!(!(mine && theirs), "one permit given to two");
    assert_eq!(sum(units(&rows)), u64::from(mine) + u64::from(theirs));
}

/// The model must be able to fail: without the fence, both takers may miss each other.
#[test]
#[should_panic(expected = "one permit given to two")]
fn without_the_fence_the_model_fails() {
    check(4, one_permit_for_two::<false>);
}

/// A worker dies after its n-th write while another takes; the parent reaps it and reclaims.
#[test]
fn a_killed_worker_gives_everything_back_on_reclaim() {
    for writes in 0..4 {
        check(3, move || {
            let rows: Rows = rows(2);
            let held = std::sync::Arc::new(Untracked::new(0));
            let doomed = {
                let rows = rows.clone();
                thread::spawn(move || {
                    kill_after(writes);
                    if take(&rows[0].units, units(&rows), 1, 1).is_ok() {
                        rows[0].permits.fetch_add(1, Ordering::AcqRel);
                        give_back(&rows[0].units, 1);
                        rows[0].permits.fetch_sub(1, Ordering::AcqRel);
                    }
                })
            };
            take_and_release(&rows, 1, 1, 1, &held);
            // waitpid
            doomed.join().unwrap();
            let found = rows[0].units.load(Ordering::Acquire);
            assert!(
                found <= 1,
                "a dead worker's word may be too high, never wrapped below zero"
            );
            assert!(rows[0].reclaim() <= 1);
            assert_eq!(sum(units(&rows)), 0, "the dead worker's units did not come back");
            // The capacity is whole again.
            assert!(take(&rows[1].units, units(&rows), 1, 1).is_ok());
        });
    }
}

fn slots(count: usize) -> Arc<Vec<Slot<LoomWord>>> {
    Arc::new((0..count).map(|_| Slot::new(LoomWord::zero())).collect())
}

/// The parent frees and hands out a slot again while somebody asks whether its old owner lives.
#[test]
fn an_owner_of_an_older_generation_is_never_alive_again() {
    check(4, || {
        let table = slots(2);
        let first = Slots::new(&table).claim().unwrap();
        assert_eq!(Slots::new(&table).enter(1), Some(first));
        let observer = {
            let table = table.clone();
            thread::spawn(move || {
                let slots = Slots::new(&table);
                let early = slots.is_reaped(first);
                let late = slots.is_reaped(first);
                assert!(!early || late, "a reaped owner came back to life");
            })
        };
        let slots = Slots::new(&table);
        assert!(slots.free(1));
        let second = slots.claim().unwrap();
        assert_eq!(second.slot, first.slot);
        assert!(slots.is_reaped(first) && !slots.is_reaped(second));
        observer.join().unwrap();
    });
}

#[test]
fn a_slot_is_claimed_once() {
    check(4, || {
        let table = slots(2);
        let other = {
            let table = table.clone();
            thread::spawn(move || Slots::new(&table).claim().is_some())
        };
        let mine = Slots::new(&table).claim().is_some();
        assert!(mine != other.join().unwrap(), "one slot, one owner");
    });
}

//! Interleavings of one cache entry: readers, writers, killed writers, take-over.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p ronkms-arena --test loom_cache -- --include-ignored`
#![cfg(loom)]

mod loom_word;

use loom::sync::Arc;
use loom::thread;
use loom_word::{LoomWord, check, kill_after};
use ronkms_arena::cache::{Entry, Line, Occupancy};
use ronkms_arena::slots::{Owner, Slot, Slots};
use ronkms_arena::{Tag, Word};

// Two tags that differ in one word only, so that mixed words look like one of them.
const TAG_A: Tag = Tag([9, 9, 9, 1]);
const TAG_B: Tag = Tag([9, 9, 9, 2]);
const A: Entry = Entry {
    verdict: 1,
    inserted_ms: 1,
};
const B: Entry = Entry {
    verdict: 2,
    inserted_ms: 2,
};

struct World<W = LoomWord> {
    line: Line<W>,
    slots: Vec<Slot<W>>,
}

impl<const FENCED: bool> World<LoomWord<FENCED>> {
    fn new() -> Arc<Self> {
        let slots = (0..3).map(|_| Slot::new(LoomWord::zero())).collect();
        let line = Line::new(LoomWord::zero);
        Arc::new(Self { line, slots })
    }
}

impl<W: Word> World<W> {
    fn slots(&self) -> Slots<'_, W> {
        Slots::new(&self.slots)
    }

    fn write(&self, owner: Owner, tag: &Tag, entry: Entry) -> bool {
        let (occupancy, seen) = self.line.occupancy(&self.slots());
        occupancy != Occupancy::Busy && self.line.write(seen, owner, tag, entry)
    }

    /// Whatever is found under a tag is what was stored under it.
    fn read_both(&self) {
        if let Some(found) = self.line.read(&TAG_A) {
            assert_eq!(found, A, "torn read");
        }
        if let Some(found) = self.line.read(&TAG_B) {
            assert_eq!(found, B, "torn read");
        }
    }
}

#[test]
fn no_torn_read() {
    check(3, || overwrite_while_reading(&World::<LoomWord>::new()));
}

fn overwrite_while_reading<W: Word + 'static>(world: &Arc<World<W>>) {
    assert!(world.write(Owner::PARENT, &TAG_A, A));
    let writer = {
        let world = world.clone();
        thread::spawn(move || assert!(world.write(Owner::PARENT, &TAG_B, B)))
    };
    world.read_both();
    writer.join().unwrap();
    assert_eq!(world.line.read(&TAG_A), None);
    assert_eq!(world.line.read(&TAG_B), Some(B));
}

#[test]
fn of_two_writers_one_wins_whole() {
    check(3, || {
        let world = World::<LoomWord>::new();
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                world.write(
                    Owner {
                        slot: 1,
                        generation: 1,
                    },
                    &TAG_A,
                    A,
                )
            })
        };
        // Slot 1 is not claimed, so its owner would count as reaped: claim it first.
        let mine = world.write(Owner::PARENT, &TAG_B, B);
        let theirs = other.join().unwrap();
        assert!(mine || theirs, "both gave up");
        world.read_both();
        assert!(!world.line.is_locked(), "a finished write left the line locked");
    });
}

/// A writer dies after its n-th write. Before it is reaped its line is nobody's, after that anybody's.
#[test]
fn a_killed_writer_leaves_a_miss_and_then_a_free_line() {
    for writes in 0..9 {
        check(2, move || {
            let world = World::<LoomWord>::new();
            let doomed_owner = world.slots().claim().unwrap();
            assert!(world.write(Owner::PARENT, &TAG_A, A));
            let doomed = {
                let world = world.clone();
                thread::spawn(move || {
                    kill_after(writes);
                    world.write(doomed_owner, &TAG_B, B);
                })
            };
            world.read_both();
            // waitpid
            doomed.join().unwrap();
            let locked = world.line.is_locked();
            let (occupancy, _) = world.line.occupancy(&world.slots());
            assert_eq!(occupancy == Occupancy::Busy, locked, "only a locked line is busy");
            if locked {
                assert!(
                    !world.write(Owner::PARENT, &TAG_A, A),
                    "taken from an owner not yet reaped"
                );
                assert_eq!(world.line.entry(), None, "a line in motion is a miss");
            }
            assert!(world.slots().free(doomed_owner.slot));
            assert!(world.write(Owner::PARENT, &TAG_A, A), "the line stayed lost");
            assert_eq!(world.line.read(&TAG_A), Some(A));
        });
    }
}

/// A take-over of a dead writer's line while somebody reads it.
#[test]
fn no_torn_read_during_a_take_over() {
    for writes in 1..8 {
        check(2, move || {
            let world = World::<LoomWord>::new();
            let doomed_owner = world.slots().claim().unwrap();
            assert!(world.write(Owner::PARENT, &TAG_A, A));
            let doomed = {
                let world = world.clone();
                thread::spawn(move || {
                    kill_after(writes);
                    world.write(doomed_owner, &TAG_B, B);
                })
            };
            doomed.join().unwrap();
            assert!(world.slots().free(doomed_owner.slot));
            let reader = {
                let world = world.clone();
                thread::spawn(move || world.read_both())
            };
            assert!(world.write(Owner::PARENT, &TAG_A, A));
            reader.join().unwrap();
        });
    }
}

/// Two workers want the line of a reaped writer: one gets it, whole.
#[test]
fn a_reaped_line_is_taken_once() {
    check(2, || {
        let world = World::<LoomWord>::new();
        let dead = world.slots().claim().unwrap();
        let alive = world.slots().claim().unwrap();
        let doomed = {
            let world = world.clone();
            thread::spawn(move || {
                kill_after(3);
                world.write(dead, &TAG_B, B);
            })
        };
        doomed.join().unwrap();
        assert!(world.slots().free(dead.slot));
        let (occupancy, seen) = world.line.occupancy(&world.slots());
        assert_eq!(occupancy, Occupancy::Free);
        let other = {
            let world = world.clone();
            thread::spawn(move || world.line.write(seen, alive, &TAG_A, A))
        };
        let mine = world.line.write(seen, Owner::PARENT, &TAG_B, B);
        assert!(mine != other.join().unwrap(), "one lock word, one taker");
        world.read_both();
        assert!(!world.line.is_locked());
    });
}

/// The model must be able to fail: without the fences a reader sees new words under the old lock word.
#[test]
#[should_panic(expected = "torn read")]
fn without_the_fences_the_model_fails() {
    check(3, || overwrite_while_reading(&World::<LoomWord<false>>::new()));
}

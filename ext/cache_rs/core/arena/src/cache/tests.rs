use std::collections::HashMap;

use proptest::prelude::*;

use crate::arena::Arena;
use crate::cache::Lookup;
use crate::tag::Tag;
use crate::test_arena::{arena, config};

fn tag(number: u64) -> Tag {
    Tag::from_bytes(blake3::hash(&number.to_le_bytes()).as_bytes())
}

#[derive(Clone, Debug)]
enum Step {
    Put(u64, bool),
    Get(u64),
    Pass(u64),
    Sweep(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..200_u64, any::<bool>()).prop_map(|(tag, negative)| Step::Put(tag, negative)),
        6 => (0..200_u64).prop_map(Step::Get),
        1 => (1..700_u64).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::Sweep),
    ]
}

proptest! {
    /// Against a map: every hit is what was put last, and put no longer than the TTL ago.
    #[test]
    fn never_a_wrong_or_expired_verdict(steps in prop::collection::vec(step(), 1..400)) {
        let mut small = config();
        small.cache_entries = 64;
        let arena = Arena::create(small).unwrap();
        let cache = arena.cache();
        let mut model: HashMap<u64, (u8, u64)> = HashMap::new();
        let mut now = 10_000;
        for step in steps {
            match step {
                Step::Put(number, negative) => {
                    // One tag has one verdict, in one area: verification is deterministic.
                    let verdict = number as u8;
                    let negative = negative && number % 2 == 0;
                    cache.put(&tag(number), verdict, negative, now);
                    let entry = model.entry(number).or_insert((verdict, now));
                    entry.1 = now;
                }
                Step::Get(number) => match (cache.get(&tag(number), now), model.get(&number)) {
                    (Lookup::Hit(verdict), Some(&(put, at))) => {
                        prop_assert_eq!(verdict, put);
                        prop_assert!(now - at <= 1_000);
                    }
                    (Lookup::Hit(_), None) => prop_assert!(false, "a verdict that nobody put"),
                    (Lookup::Stale, Some(_)) | (Lookup::Miss, _) => {}
                    (Lookup::Stale, None) => prop_assert!(false, "an entry that nobody put"),
                },
                Step::Pass(ms) => now += ms,
                Step::Sweep(all) => {
                    cache.sweep(all, now);
                    let state = cache.state(now);
                    let swept = if all { state.size == 0 } else { state.oldest_ms <= 1_000 };
                    prop_assert!(swept);
                    if all {
                        model.clear();
                    }
                }
            }
        }
    }
}

#[test]
fn an_expired_entry_is_stale_until_it_is_put_again() {
    let arena = arena();
    let cache = arena.cache();
    cache.put(&tag(1), 5, false, 100);
    assert_eq!(cache.get(&tag(1), 1_100), Lookup::Hit(5));
    assert_eq!(cache.get(&tag(1), 1_101), Lookup::Stale);
    cache.put(&tag(1), 6, false, 1_101);
    assert_eq!(cache.get(&tag(1), 1_101), Lookup::Hit(6));
    assert_eq!(
        cache.state(1_201),
        super::CacheState {
            size: 1,
            mean_age_ms: 100,
            oldest_ms: 100
        }
    );
    assert_eq!(cache.sweep(false, 2_102), 1);
    assert_eq!(cache.get(&tag(1), 2_102), Lookup::Miss);
}

#[test]
fn garbage_evicts_only_garbage() {
    let arena = arena();
    let cache = arena.cache();
    // So few that no set of 8 overflows.
    for number in 0..100 {
        cache.put(&tag(number), 1, false, 0);
    }
    for number in 1_000..51_000 {
        cache.put(&tag(number), 0, true, 1);
    }
    let kept = (0..100)
        .filter(|&number| cache.get(&tag(number), 1) == Lookup::Hit(1))
        .count();
    assert_eq!(kept, 100);
    assert!(cache.state(1).size <= 100 + 128);
}

/// Hits on a working set of half the capacity, each followed by so many entries that never come again.
fn hit_ratio_under_scan(scan_per_hit: u64) -> f64 {
    let arena = arena();
    let cache = arena.cache();
    let (mut hits, mut asked, mut scan, mut random) = (0, 0, 1_000_000, 1_u64);
    for round in 0..40_000_u64 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let number = (random >> 33) % 512;
        let hit = cache.get(&tag(number), 0) == Lookup::Hit(1);
        if !hit {
            cache.put(&tag(number), 1, false, 0);
        }
        // The first rounds fill the cache.
        if round > 10_000 {
            asked += 1;
            hits += u64::from(hit);
        }
        for _ in 0..scan_per_hit {
            scan += 1;
            cache.put(&tag(scan), 1, false, 0);
        }
    }
    hits as f64 / asked as f64
}

#[test]
fn a_scan_does_not_push_the_working_set_out() {
    let (quiet, scanned) = (hit_ratio_under_scan(0), hit_ratio_under_scan(2));
    assert!(quiet > 0.99, "without a scan: {quiet}");
    assert!(scanned > 0.9, "under a scan: {scanned}");
}

#[test]
fn a_new_working_set_replaces_an_old_one() {
    let arena = arena();
    let cache = arena.cache();
    for round in 0..4 {
        for number in 0..1_024 {
            if cache.get(&tag(number), round) == Lookup::Miss {
                cache.put(&tag(number), 1, false, round);
            }
        }
    }
    let mut hits = 0;
    for round in 0..400 {
        for number in 5_000..5_256 {
            match cache.get(&tag(number), 4) {
                Lookup::Hit(_) => hits += u64::from(round >= 300),
                _ => cache.put(&tag(number), 1, false, 4),
            }
        }
    }
    assert!(hits > 256 * 100 * 95 / 100, "{hits} of 25600");
}

#[test]
fn threads_never_see_another_tags_verdict() {
    let mut small = config();
    small.cache_entries = 64;
    let arena = Arena::create(small).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let arena = &arena;
            scope.spawn(move || {
                let cache = arena.cache();
                for round in 0..100_000_u64 {
                    let number = (round.wrapping_mul(thread * 2 + 1) ^ round >> 7) % 256;
                    match cache.get(&tag(number), 0) {
                        Lookup::Hit(verdict) => assert_eq!(verdict, number as u8),
                        _ => cache.put(&tag(number), number as u8, false, 0),
                    }
                }
            });
        }
    });
    assert!(arena.cache().main.iter().all(|line| !line.is_locked()));
}

#[test]
fn a_second_miss_waits_for_the_first() {
    let arena = arena();
    let (cache, one) = (arena.cache(), tag(1));
    assert_eq!(cache.claim(&one, 7), Lookup::Miss, "the first computes");
    let start = std::time::Instant::now();
    assert_eq!(cache.claim(&one, 7), Lookup::Miss, "nobody delivered");
    let waited = start.elapsed();
    assert!(waited.as_micros() >= 1_900, "{waited:?}");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| arena.cache().claim(&one, 7));
        arena.cache().put(&one, 9, false, 7);
        // Either it waited and was woken, or it came after the verdict.
        assert_eq!(waiter.join().unwrap(), Lookup::Hit(9));
    });
    // The flight ended with the verdict: another miss is first again and does not wait.
    cache.sweep(true, 7);
    let start = std::time::Instant::now();
    assert_eq!(cache.claim(&one, 7), Lookup::Miss);
    assert!(start.elapsed().as_micros() < 1_900);
    cache.land(&one);
}

#[test]
fn a_flight_whose_claimant_died_is_ignored_after_a_while() {
    let arena = arena();
    let (cache, one) = (arena.cache(), tag(1));
    cache.claim(&one, 1_000);
    let start = std::time::Instant::now();
    assert_eq!(cache.claim(&one, 1_051), Lookup::Miss);
    assert!(start.elapsed().as_micros() < 1_900);
}

use super::*;
use crate::test_arena::arena;

#[test]
fn a_latency_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
    assert_eq!(bucket(0), 0);
    assert_eq!(bucket(50_000), 0);
    assert_eq!(bucket(50_001), 1);
    assert_eq!(bucket(10_000_000_000), 23);
    assert_eq!(bucket(10_000_000_001), 24);
    assert!(BUCKET_BOUNDS_NS.is_sorted());
}

#[test]
fn counts_are_exact_under_concurrency() {
    let arena = arena();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let arena = &arena;
            scope.spawn(move || {
                for round in 0..5_000_u64 {
                    arena.count(1, 2).unwrap();
                    let tenant = [b't', b'0' + ((round + thread) % 4) as u8];
                    arena.observe(1, 2, 0, &tenant, 60_000).unwrap();
                }
            });
        }
    });
    arena.set_gauge(0, -1.5).unwrap();
    let snapshot = Snapshot::take(&arena);
    assert_eq!(snapshot.counters["first"], 0);
    assert_eq!(snapshot.counters["second"], 40_000);
    assert_eq!(snapshot.gauges["level"], -1.5);
    let [histogram] = snapshot.histograms.as_slice() else {
        panic!("one histogram")
    };
    assert_eq!(
        (histogram.op.as_str(), histogram.alg.as_str()),
        ("verify", "none")
    );
    assert_eq!(histogram.buckets[1], 20_000);
    assert_eq!(histogram.buckets.iter().sum::<u64>(), 20_000);
    assert!((histogram.sum_seconds - 1.2).abs() < 1e-9);
    let mut tenants: Vec<(&str, u64)> = snapshot
        .ops
        .iter()
        .map(|op| (op.tenant.as_str(), op.count))
        .collect();
    tenants.sort_unstable();
    assert_eq!(
        tenants,
        [("t0", 5_000), ("t1", 5_000), ("t2", 5_000), ("t3", 5_000)]
    );
}

#[test]
fn tenants_beyond_the_table_are_other() {
    let arena = arena();
    for number in 0..100 {
        arena
            .observe(0, 0, 1, format!("tenant-{number}").as_bytes(), 1)
            .unwrap();
    }
    let unlabelled: [&[u8]; 4] = [b"other", b"", b"\xff\xfe", &[b'x'; NAME_BYTES + 1]];
    for name in unlabelled {
        arena.observe(0, 0, 1, name, 1).unwrap();
    }
    let snapshot = Snapshot::take(&arena);
    assert_eq!(snapshot.ops.len(), 65);
    let count_of = |name: &str| {
        snapshot
            .ops
            .iter()
            .find(|op| op.tenant == name)
            .map(|op| op.count)
    };
    assert_eq!(count_of("tenant-0"), Some(1));
    assert_eq!(count_of("other"), Some(36 + 4));
}

#[test]
fn the_longest_name_has_a_label() {
    let arena = arena();
    let name = "ä".repeat(NAME_BYTES / 2);
    arena.observe(0, 0, 0, name.as_bytes(), 1).unwrap();
    assert_eq!(Snapshot::take(&arena).ops[0].tenant, name);
}

#[test]
fn an_index_out_of_range_is_refused() {
    let arena = arena();
    assert!(arena.observe(2, 0, 0, b"t", 1).is_err());
    assert!(arena.observe(0, 3, 0, b"t", 1).is_err());
    assert!(arena.observe(0, 0, 2, b"t", 1).is_err());
    assert!(arena.count(2, 1).is_err() && arena.set_gauge(1, 0.0).is_err());
    assert!(arena.generation(2).is_err() && arena.bump(2).is_err());
    assert!(Snapshot::take(&arena).ops.is_empty());
}

#[test]
fn look_ups_are_counted() {
    let arena = arena();
    let tag = arena.tag_builder(0).finish();
    arena.cache_get(&tag);
    arena.cache_put(&tag, 1, false);
    arena.cache_get(&tag);
    let snapshot = Snapshot::take(&arena);
    assert_eq!(snapshot.lookups, [1, 1, 0]);
    assert_eq!((snapshot.cache.size, snapshot.cache_capacity), (1, 1_024 + 128));
}

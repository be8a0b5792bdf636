//! Small arenas for the unit tests.

use std::os::fd::AsFd;

use crate::arena::Arena;
use crate::config::Config;
use crate::error::Error;

/// A small configuration.
pub fn config() -> Config {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Config {
        cache_entries: 1_024,
        cache_ttl_ms: 1_000,
        inflight: [100, 200],
        tenant_share_min: 0.1,
        slots: 4,
        tenants: 64,
        ops: names(&["sign", "verify"]),
        algs: names(&["Ed25519", "ML-DSA-65", "none"]),
        outcomes: names(&["ok", "denied"]),
        counters: names(&["first", "second"]),
        gauges: names(&["level"]),
        generations: names(&["keyring", "policy"]),
    }
}

/// An arena of it.
pub fn arena() -> Arena {
    Arena::create(config()).expect("a small arena")
}

#[test]
fn a_full_size_cache_fits_into_24_mib() {
    let mut full = config();
    full.cache_entries = 262_144;
    let layout = crate::layout::Layout::new(&full);
    let [main, _] = layout.cache_at;
    assert!(layout.audit_at - main <= 24 << 20, "both cache areas");
    assert!(layout.cache_sets[0] * 8 == 262_144);
}

#[test]
fn attach_takes_its_own_kind_only() {
    let arena = arena();
    let copy = || arena.fd().try_clone_to_owned().expect("a duplicate");
    let other = Arena::attach(copy(), config()).expect("the same configuration");
    arena.bump(0).expect("in range");
    assert_eq!(other.generation(0).expect("in range"), 1, "one memory");
    let tag = |arena: &Arena| {
        let mut builder = arena.tag_builder(1);
        builder.part(b"x");
        builder.finish()
    };
    assert_eq!(tag(&arena), tag(&other), "one key");

    let mut renamed = config();
    renamed.ops[0] = "seal".into();
    assert!(matches!(Arena::attach(copy(), renamed), Err(Error::Arena(_))));
    let mut larger = config();
    larger.cache_entries *= 2;
    assert!(matches!(Arena::attach(copy(), larger), Err(Error::Arena(_))));
    let file = tempfile::tempfile().expect("a file");
    file.set_len(arena.size() as u64).expect("sized");
    let unsealed = file.as_fd().try_clone_to_owned().expect("a duplicate");
    assert!(matches!(Arena::attach(unsealed, config()), Err(Error::Arena(_))));
}

#[test]
fn a_dimension_out_of_range_is_named() {
    for (field, change) in [
        ("cache_entries", (|c| c.cache_entries = 7) as fn(&mut Config)),
        ("cache_ttl_ms", |c| c.cache_ttl_ms = 0),
        ("inflight_sign", |c| c.inflight[0] = 0),
        ("inflight_verify", |c| c.inflight[1] = 65_536),
        ("tenant_share_min", |c| c.tenant_share_min = f64::NAN),
        ("slots", |c| c.slots = 255),
        ("tenants", |c| c.tenants = 15),
        ("ops", |c| c.ops.clear()),
        ("gauges", |c| c.gauges.push("level".into())),
    ] {
        let mut wrong = config();
        change(&mut wrong);
        let error = Arena::create(wrong).err().expect("refused").to_string();
        assert!(error.contains(field), "{error}");
    }
}

#[test]
fn slots_are_claimed_entered_and_reclaimed() {
    let arena = arena();
    let slots: Vec<usize> = (0..4).map(|_| arena.claim_slot().expect("free")).collect();
    assert_eq!(slots, [1, 2, 3, 4]);
    assert!(matches!(arena.claim_slot(), Err(Error::Arena(_))));
    arena.enter_slot(2).expect("claimed");
    assert!(arena.enter_slot(2).is_err(), "entered twice");
    assert!(arena.enter_slot(0).is_err() && arena.enter_slot(99).is_err());
    assert_eq!(arena.reclaim_slot(3).expect("in use"), 0);
    assert!(arena.reclaim_slot(3).is_err(), "reclaimed twice");
    assert!(arena.reclaim_slot(0).is_err() && arena.reclaim_slot(5).is_err());
    assert_eq!(arena.claim_slot().expect("free again"), 3);
}

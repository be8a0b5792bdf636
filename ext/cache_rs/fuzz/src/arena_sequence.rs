//! Sequences of operations of several workers on one arena, some of them killed: the caps hold, every permit is
//! found again, and the cache gives the verdict that belongs to a tag or none.

use std::collections::HashSet;

use ronkms_arena::cache::Lookup;
use ronkms_arena::metrics::Snapshot;
use ronkms_arena::{Admission, Arena, Config, Tag};

use crate::input::Input;

const LIMITS: [u64; 2] = [40, 100];

struct Worker {
    view: Arena,
    slot: usize,
    permits: Vec<u64>,
}

fn config() -> Config {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Config {
        cache_entries: 16,
        cache_ttl_ms: 1 << 40,
        inflight: LIMITS,
        tenant_share_min: 0.1,
        slots: 3,
        tenants: 16,
        ops: names(&["sign", "verify"]),
        algs: names(&["Ed25519", "none"]),
        outcomes: names(&["ok", "denied"]),
        counters: names(&["first", "second"]),
        gauges: names(&["level"]),
        generations: names(&["keyring", "policy"]),
    }
}

pub(crate) fn run(data: &[u8]) {
    let parent = Arena::create(config()).expect("a small arena");
    let mut workers: Vec<Worker> = Vec::new();
    let mut stored: HashSet<u8> = HashSet::new();
    let mut input = Input::new(data);
    while !input.is_empty() {
        let what = input.byte() % 16;
        if what == 0 {
            start(&parent, &mut workers);
            continue;
        }
        let chosen = usize::from(input.byte());
        if workers.is_empty() {
            continue;
        }
        let index = chosen % workers.len();
        if what == 1 {
            let killed = workers.swap_remove(index);
            drop(killed.view);
            let held = parent.reclaim_slot(killed.slot).expect("the slot was in use");
            assert_eq!(held, killed.permits.len() as u64, "permits of the dead");
            assert!(parent.reclaim_slot(killed.slot).is_err(), "reclaimed twice");
            continue;
        }
        step(what, &mut workers[index], &mut input, &mut stored);
        for (class, limit) in LIMITS.into_iter().enumerate() {
            assert!(parent.inflight(class) <= limit, "class {class} is over its cap");
        }
    }
    for worker in &mut workers {
        for permit in worker.permits.drain(..) {
            worker.view.release(permit).expect("held");
        }
    }
    assert_eq!([parent.inflight(0), parent.inflight(1)], [0, 0]);
    Snapshot::take(&parent);
}

fn start(parent: &Arena, workers: &mut Vec<Worker>) {
    let Ok(slot) = parent.claim_slot() else {
        assert_eq!(workers.len(), 3, "a slot is free");
        return;
    };
    let fd = parent.fd().try_clone_to_owned().expect("a duplicate");
    let view = Arena::attach(fd, config()).expect("its own arena");
    view.enter_slot(slot).expect("claimed");
    assert!(view.enter_slot(slot).is_err(), "entered twice");
    workers.push(Worker {
        view,
        slot,
        permits: Vec::new(),
    });
}

fn step(what: u8, worker: &mut Worker, input: &mut Input<'_>, stored: &mut HashSet<u8>) {
    let (arena, permits) = (&worker.view, &mut worker.permits);
    let one = input.byte();
    let other = input.byte();
    match what {
        2..=4 => {
            let cost = u64::from(other);
            match arena.admit(usize::from(one % 3), &[one / 3 % 24], cost) {
                Ok(Admission::Granted(permit)) => {
                    assert!(!permits.contains(&permit), "a number of two permits");
                    permits.push(permit);
                }
                Ok(Admission::Refused(_)) => {}
                Err(_) => assert_eq!(one % 3, 2, "a class of its own"),
            }
        }
        5 | 6 if !permits.is_empty() => {
            let permit = permits[usize::from(one) % permits.len()];
            let cost = if other == 255 { u64::MAX } else { u64::from(other) };
            arena.top_up(permit, cost).expect("held");
        }
        7 | 8 if !permits.is_empty() => {
            let permit = permits.swap_remove(usize::from(one) % permits.len());
            arena.release(permit).expect("held");
            assert!(arena.release(permit).is_err(), "released twice");
            assert!(arena.top_up(permit, 1).is_err(), "topped up after the release");
        }
        9 => {
            let invented = u64::from(one) << 48 | u64::from(other) << 24 | u64::from(one % 4);
            assert_eq!(arena.top_up(invented, 0).is_ok(), permits.contains(&invented));
        }
        10 => {
            let indices = [one & 3, one >> 2 & 3, one >> 4 & 3].map(usize::from);
            let observed = arena.observe(
                indices[0],
                indices[1],
                indices[2],
                &[other],
                u64::MAX >> (other & 63),
            );
            assert_eq!(observed.is_ok(), indices.iter().all(|&index| index < 2));
            assert_eq!(arena.count(usize::from(other & 3), 1).is_ok(), other & 3 < 2);
        }
        11 => assert_eq!(arena.bump(usize::from(one & 3)).is_ok(), one & 3 < 2),
        12 => {
            arena.cache_put(&tag(arena, one), verdict(one), is_negative(one));
            stored.insert(one);
        }
        13 => {
            if one == 0 {
                arena.cache_sweep(true);
                stored.clear();
            }
            fits(arena.cache_get(&tag(arena, other)), other, stored);
        }
        14 => fits(arena.cache_probe(&tag(arena, one)), one, stored),
        _ => {
            // Claimed by one, looked for by none: a claim after it would wait.
            let claimed = tag(arena, one);
            let found = arena.cache_claim(&claimed);
            fits(found, one, stored);
            if found == Lookup::Miss && other & 1 == 0 {
                arena.cache_put(&claimed, verdict(one), is_negative(one));
                stored.insert(one);
            } else {
                arena.cache_abandon(&claimed);
            }
        }
    }
}

fn tag(arena: &Arena, name: u8) -> Tag {
    let mut builder = arena.tag_builder(1);
    builder.part(&[name]);
    builder.finish()
}

fn verdict(name: u8) -> u8 {
    name.wrapping_mul(37) ^ 0x5a
}

fn is_negative(name: u8) -> bool {
    name & 1 == 1
}

fn fits(found: Lookup, name: u8, stored: &HashSet<u8>) {
    match found {
        Lookup::Hit(bits) => assert!(
            bits == verdict(name) && stored.contains(&name),
            "a verdict that was not stored"
        ),
        Lookup::Miss => {}
        Lookup::Stale => panic!("stale before its time"),
    }
}

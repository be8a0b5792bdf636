use proptest::prelude::*;

use super::*;
use crate::arena::{Admission, Arena};
use crate::error::Error;
use crate::test_arena::{arena, config};

/// A start time away from zero, where no window is current yet.
const T0: u64 = 1_000_000;

/// Tenants by number instead of by hash.
fn hash(tenant: u64) -> u64 {
    tenant | 1 << 63
}

fn ledger(arena: &Arena, slot: usize) -> Ledger<'_> {
    let mut ledger = arena.ledger(0);
    ledger.slot = slot;
    ledger
}

#[test]
fn a_tenant_alone_gets_everything() {
    let arena = arena();
    let ledger = ledger(&arena, 0);
    let grants: Vec<Grant> = (0..100).map(|_| ledger.admit(hash(1), 1, T0).unwrap()).collect();
    assert_eq!(grants.iter().map(|grant| grant.guaranteed).sum::<u64>(), 10);
    assert_eq!(ledger.admit(hash(1), 1, T0), Err(Refusal::Saturated));
    assert_eq!(ledger.inflight(), 100);
    grants.into_iter().for_each(|grant| ledger.release(grant));
    assert_eq!(ledger.inflight(), 0);
}

#[test]
fn a_newcomer_gets_its_share_as_the_flood_drains() {
    let arena = arena();
    let ledger = ledger(&arena, 0);
    let mut flood: Vec<Grant> = (0..100).map(|_| ledger.admit(hash(1), 1, T0).unwrap()).collect();
    assert_eq!(ledger.admit(hash(2), 1, T0 + 1), Err(Refusal::Saturated));
    // From that refusal on, what the flood gives back goes to the newcomer, up to its share of 10.
    for _ in 0..10 {
        ledger.release(flood.pop().unwrap());
        assert_eq!(ledger.admit(hash(1), 1, T0 + 2), Err(Refusal::OverShare));
        ledger.admit(hash(2), 1, T0 + 2).unwrap();
    }
    assert_eq!(ledger.inflight(), 100);
    assert_eq!(ledger.admit(hash(2), 1, T0 + 2), Err(Refusal::OverShare));
}

#[test]
fn what_nobody_uses_is_lent_out_again() {
    let arena = arena();
    let ledger = ledger(&arena, 0);
    let count = |now| {
        // The flood asks before, too, so that what it counts with is up to date.
        ledger.release(ledger.admit(hash(1), 1, now - 5).unwrap());
        let grants: Vec<Grant> = std::iter::from_fn(|| ledger.admit(hash(1), 1, now).ok()).collect();
        let count = grants.len();
        grants.into_iter().for_each(|grant| ledger.release(grant));
        count
    };
    // Side by side for a moment: the flood with its share of 10, two others with 5 each.
    let together: Vec<Grant> = (0..20_u64)
        .map(|unit| {
            ledger
                .admit(hash(if unit < 10 { 1 } else { 2 + unit % 2 }), 1, T0)
                .unwrap()
        })
        .collect();
    together.into_iter().for_each(|grant| ledger.release(grant));
    let beside = count(T0 + 100);
    assert!(
        (75..=90).contains(&beside),
        "{beside}: what the others used a moment ago stays free"
    );
    assert_eq!(count(T0 + 1_600), 100, "they are gone");
}

#[test]
fn the_share_is_an_equal_part_when_many_push() {
    assert_eq!(share(100, 0.1, 1), 10);
    assert_eq!(share(100, 0.1, 20), 5);
    assert_eq!(share(100, 0.0, 1), 1);
    assert_eq!(share(3, 0.5, 1_000), 1);
}

#[test]
fn an_operation_dearer_than_the_share_passes_alone() {
    let arena = arena();
    let ledger = ledger(&arena, 0);
    let flood: Vec<Grant> = (0..75).map(|_| ledger.admit(hash(1), 1, T0).unwrap()).collect();
    let dear = ledger.admit(hash(2), 25, T0).unwrap();
    assert_eq!((dear.guaranteed, dear.surplus), (25, 0));
    assert!(ledger.admit(hash(2), 1, T0).is_err(), "full");
    drop(flood);
}

#[test]
fn a_permit_weighs_at_most_a_quarter() {
    let arena = arena();
    let ledger = ledger(&arena, 0);
    let grant = ledger.admit(hash(1), 1_000, T0).unwrap();
    assert_eq!(ledger.inflight(), 25);
    assert_eq!(ledger.top_up(grant, 1_000, T0), Ok(grant));
    ledger.release(grant);
    let grant = ledger.admit(hash(1), 0, T0).unwrap();
    assert_eq!(ledger.inflight(), 1, "no operation is free");
    let grant = ledger.top_up(grant, 1_000, T0).unwrap();
    assert_eq!(ledger.inflight(), 25);
    ledger.release(grant);
    assert_eq!(ledger.inflight(), 0);
}

#[test]
fn permits_are_given_back_once() {
    let arena = arena();
    let Ok(Admission::Granted(permit)) = arena.admit(1, b"acme", 3) else {
        panic!("refused")
    };
    assert_eq!(arena.top_up(permit, 2).unwrap(), Admission::Granted(permit));
    assert_eq!((arena.inflight(0), arena.inflight(1)), (0, 5));
    arena.release(permit).unwrap();
    assert_eq!(arena.inflight(1), 0);
    for _ in 0..2 {
        assert!(matches!(arena.release(permit), Err(Error::Arena(_))));
        assert!(matches!(arena.top_up(permit, 1), Err(Error::Arena(_))));
    }
    assert_eq!(arena.inflight(1), 0);
    assert!(matches!(arena.admit(2, b"acme", 1), Err(Error::Input(_))));
}

#[test]
fn reclaiming_gives_back_what_a_dead_worker_held() {
    let arena = arena();
    let slot = arena.claim_slot().unwrap();
    let (dead, alive) = (ledger(&arena, slot), ledger(&arena, 0));
    for _ in 0..30 {
        dead.admit(hash(7), 1, T0).unwrap();
    }
    let mine = alive.admit(hash(7), 1, T0).unwrap();
    assert_eq!(alive.inflight(), 31);
    assert_eq!(arena.reclaim_slot(slot).unwrap(), 30);
    assert_eq!(alive.inflight(), 1);
    alive.release(mine);
    assert!(
        arena
            .tenants()
            .columns
            .iter()
            .all(|word| word.load(Ordering::Relaxed) == 0)
    );
}

#[test]
fn a_child_does_not_inherit_permits() {
    let arena = arena();
    let Ok(Admission::Granted(permit)) = arena.admit(0, b"acme", 1) else {
        panic!("refused")
    };
    let slot = arena.claim_slot().unwrap();
    arena.enter_slot(slot).unwrap();
    assert!(arena.release(permit).is_err());
}

#[test]
fn idle_tenants_make_room_and_busy_ones_share() {
    let arena = arena();
    let tenants = arena.tenants();
    let (start, overflow) = (window(T0), tenants.keys.len() - 1);
    let entries: Vec<usize> = (0..500)
        .map(|tenant| {
            let index = tenants.find(hash(tenant), start);
            tenants.demand[index].asked(0, start);
            index
        })
        .collect();
    assert!(
        entries.contains(&overflow),
        "64 entries are not enough for 500 tenants"
    );
    assert!((0..500).all(|tenant| tenants.find(hash(tenant), start) == entries[tenant as usize]));
    let later = start + 21;
    assert_ne!(
        tenants.find(hash(9_999), later),
        overflow,
        "idle for more than 10 s"
    );
    // Not while the old tenant has something in flight.
    let busy = tenants.find(hash(9_999), later);
    tenants.cell(busy, 1, 0).fetch_add(1, Ordering::Relaxed);
    assert!((0..500).all(|tenant| tenants.find(hash(10_000 + tenant), later + 50) != busy));
}

/// One tenant floods, nine ask for half their shares at random: they are (almost) never refused.
#[test]
fn steady_tenants_keep_their_throughput_beside_a_flood() {
    let arena = arena();
    let ledger = ledger(&arena, 0);
    let mut random = 42_u64;
    let mut next = move || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let mut running: Vec<(u64, u64, Grant)> = Vec::new();
    let (mut asked, mut refused, mut flood_peak) = (0_u64, 0_u64, 0);
    for now in T0..T0 + 5_000 {
        let (done, rest): (Vec<_>, Vec<_>) = running.into_iter().partition(|one| one.0 <= now);
        running = rest;
        done.into_iter().for_each(|(_, _, grant)| ledger.release(grant));
        while let Ok(grant) = ledger.admit(hash(0), 1, now) {
            running.push((now + 5 + next() % 20, 0, grant));
        }
        for tenant in 1..=9 {
            // On average five in flight: one new every 4 ms that takes 20 ms.
            if next() % 4 == 0 {
                let admitted = ledger.admit(hash(tenant), 1, now);
                if now > T0 + 1_000 {
                    asked += 1;
                    refused += u64::from(admitted.is_err());
                }
                if let Ok(grant) = admitted {
                    running.push((now + 20, tenant, grant));
                }
            }
        }
        if now > T0 + 1_000 {
            flood_peak = flood_peak.max(running.iter().filter(|one| one.1 == 0).count());
        }
        assert!(ledger.inflight() <= 100);
    }
    assert!(asked > 8_000);
    assert!(refused * 100 <= asked, "{refused} of {asked} refused");
    assert!(
        flood_peak >= 20,
        "the flood got {flood_peak}: surplus is not lent out"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Admit { slot: usize, tenant: u64, cost: u64 },
    TopUp { pick: usize, cost: u64 },
    Release { pick: usize },
    Reclaim { slot: usize },
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4_usize, 0..6_u64, 1..40_u64).prop_map(|(slot, tenant, cost)| Step::Admit { slot, tenant, cost }),
        2 => (any::<usize>(), 0..30_u64).prop_map(|(pick, cost)| Step::TopUp { pick, cost }),
        4 => any::<usize>().prop_map(|pick| Step::Release { pick }),
        1 => (1..4_usize).prop_map(|slot| Step::Reclaim { slot }),
        1 => (1..2_000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Against a list of grants: sums are exact, the limit holds, a request within an empty class passes.
    #[test]
    fn the_ledger_adds_up(steps in prop::collection::vec(step(), 1..200)) {
        let arena = Arena::create(config()).unwrap();
        for _ in 1..4 {
            arena.claim_slot().unwrap();
        }
        let mut now = T0;
        let mut held: Vec<(usize, Grant)> = Vec::new();
        let weight = |held: &[(usize, Grant)]| -> u64 {
            held.iter().map(|(_, grant)| grant.guaranteed + grant.surplus).sum()
        };
        for step in steps {
            match step {
                Step::Admit { slot, tenant, cost } => match ledger(&arena, slot).admit(hash(tenant), cost, now) {
                    Ok(grant) => {
                        prop_assert_eq!(grant.guaranteed + grant.surplus, cost.min(25));
                        held.push((slot, grant));
                    }
                    Err(_) => prop_assert!(!held.is_empty(), "refused although nothing is in flight"),
                },
                Step::TopUp { pick, cost } if !held.is_empty() => {
                    let index = pick % held.len();
                    let (slot, grant) = held[index];
                    if let Ok(larger) = ledger(&arena, slot).top_up(grant, cost, now) {
                        held[index].1 = larger;
                    }
                }
                Step::Release { pick } if !held.is_empty() => {
                    let (slot, grant) = held.swap_remove(pick % held.len());
                    ledger(&arena, slot).release(grant);
                }
                Step::Reclaim { slot } => {
                    let of_slot = held.iter().filter(|(of, _)| *of == slot).count() as u64;
                    held.retain(|(of, _)| *of != slot);
                    prop_assert_eq!(arena.reclaim_slot(slot).unwrap(), of_slot);
                    prop_assert_eq!(arena.claim_slot().unwrap(), slot);
                }
                Step::Pass(ms) => now += ms,
                Step::TopUp { .. } | Step::Release { .. } => {}
            }
            let inflight = arena.inflight(0);
            prop_assert_eq!(inflight, weight(&held));
            prop_assert!(inflight <= 100);
        }
    }
}

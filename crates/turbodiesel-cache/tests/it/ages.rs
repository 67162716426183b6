//! Ceilings on age, and refreshing before they are reached.

use std::{sync::Arc, time::Duration};

use turbodiesel_cache::{Cache, Lookup, Read, Stamps, StampsOptions, TierOptions};
use turbodiesel_core::{Outcome, Tier};

use crate::{
    protocol::Coarse,
    support::{Answer, LIFETIME, TTL, World, answer, at_once, quiet, read},
};

const TICK: Duration = Duration::from_nanos(1);
const HIT: Outcome = Outcome::Hit(Tier::L1);
const STALE: Outcome = Outcome::Stale(Tier::L1);

#[test]
fn an_answer_is_served_up_to_its_ttl_and_not_at_it() {
    let world = World::new();
    for tier in Tier::ALL {
        let read = Read { tier, ..read("q", &[]) };
        assert!(world.fill(&read, 1));
        world.advance(tier.default_ttl() - TICK);
        assert_eq!(world.hit(&read), Some(1), "{tier}");
        world.advance(TICK);
        assert_eq!(world.hit(&read), None, "{tier}");
        assert_eq!(world.cache.stats().tier(tier).expired, 1);
        assert_eq!(world.cache.stats().tier(tier).entries, 0);
    }
}

#[test]
fn age_counts_from_the_start_of_the_read_and_not_from_access() {
    let world = World::new();
    let read = read("q", &[]);
    let lead = world.lead(&read);
    world.advance(Duration::from_secs(6));
    lead.complete(answer(1));
    for _ in 0..3 {
        assert_eq!(world.hit(&read), Some(1));
        world.advance(Duration::from_secs(1));
    }
    world.advance(Duration::from_secs(1));
    assert_eq!(world.hit(&read), None);
}

#[test]
fn an_answer_that_took_longer_than_its_ttl_is_not_kept() {
    let world = World::new();
    let read = read("q", &[]);
    let lead = world.lead(&read);
    world.advance(TTL);
    assert_eq!(at_once(lead.complete(answer(1))).number, 1);
    assert_eq!(world.hit(&read), None);
    assert_eq!(world.cache.stats().tiers[0].refused_fills.expired, 1);
}

/// Chance may end the newer of two answers first. The older one must not come after it.
#[test]
fn an_older_answer_does_not_outlive_a_newer_one() {
    for _ in 0..64 {
        let world = World::configured(|builder| builder.jitter(0.5));
        let read = read("q", &[]);
        let slow = world.stamps.snapshot([]);
        assert!(world.fill(&read, 2));
        while world.hit(&read).is_some() {
            world.advance(TTL / 100);
        }
        assert!(!world.cache.fill(&read, slow, answer(1)));
        assert_eq!(world.hit(&read), None);
    }
}

#[test]
fn jitter_only_shortens() {
    let world = World::configured(|builder| builder.jitter(0.5));
    let names: Vec<String> = (0..200).map(|number| format!("q{number}")).collect();
    for name in &names {
        assert!(world.fill(&read(name, &[]), 1));
    }
    let alive =
        |world: &World| names.iter().filter(|name| world.hit(&read(name, &[])).is_some()).count();
    world.advance(TTL / 2 - TICK);
    assert_eq!(alive(&world), 200, "at most half is taken off");
    world.advance(TTL / 4);
    let half_way = alive(&world);
    assert!((50..150).contains(&half_way), "{half_way}");
    world.advance(TTL / 4 + TICK);
    assert_eq!(alive(&world), 0, "and nothing is ever added");
}

#[test]
fn the_resolution_of_the_clock_is_taken_off() {
    let clock = Arc::new(Coarse::default());
    let stamps = Stamps::new(clock.clone(), StampsOptions { tables: 1, hashed: 1 });
    let cache: Cache<Answer, ()> = Cache::builder()
        .jitter(0.0)
        .tier(Tier::L1, quiet(Tier::L1))
        .stamps(stamps)
        .build()
        .unwrap();
    let read = read("q", &[]);
    let snapshot = cache.stamps().snapshot([]);
    assert!(cache.fill(&read, snapshot, answer(1)));
    let within = |seconds| Read { max_age: Some(Duration::from_secs(seconds)), ..read };
    assert!(matches!(cache.lookup(&within(2)), Lookup::Hit { .. }));
    assert!(matches!(cache.lookup(&within(1)), Lookup::Miss), "it may be a second old already");
    clock.0.advance(Duration::from_secs(9) - TICK);
    assert!(matches!(cache.lookup(&read), Lookup::Hit { .. }));
    clock.0.advance(TICK);
    assert!(matches!(cache.lookup(&read), Lookup::Miss));
}

#[test]
fn a_reader_may_ask_for_a_younger_answer_without_taking_it_from_others() {
    let world = World::new();
    let any = read("q", &[]);
    let young = Read { max_age: Some(Duration::from_secs(2)), ..any };
    assert!(world.fill(&any, 1));
    world.advance(Duration::from_secs(2) - TICK);
    assert_eq!(world.hit(&young), Some(1));
    world.advance(TICK);
    assert_eq!(world.hit(&young), None);
    assert_eq!(world.hit(&any), Some(1));
    // Its own read replaces the older answer for all.
    world.lead(&young).complete(answer(2));
    assert_eq!(world.hit(&any), Some(2));
    // A wider ceiling than the tier's does not extend it.
    let lenient = Read { max_age: Some(10 * TTL), ..any };
    world.advance(TTL);
    assert_eq!(world.hit(&lenient), None);
}

fn world_with_soft_limit() -> World {
    let options = TierOptions { stale_after: Some(Duration::from_secs(4)), ..quiet(Tier::L1) };
    World::configured(|builder| builder.tier(Tier::L1, options))
}

#[test]
fn past_the_soft_limit_one_refreshes_and_all_are_served() {
    let world = world_with_soft_limit();
    let read = read("q", &[]);
    assert!(world.fill(&read, 1));
    world.advance(Duration::from_secs(4) - TICK);
    assert!(matches!(world.full_hit(&read), (1, HIT, None)));
    world.advance(TICK);
    let (1, STALE, Some(refresh)) = world.full_hit(&read) else { panic!("no refresher") };
    for _ in 0..100 {
        assert!(matches!(world.full_hit(&read), (1, STALE, None)), "exactly one refresher");
    }
    world.advance(Duration::from_secs(5));
    assert!(matches!(world.full_hit(&read), (1, STALE, None)), "however long it takes");
    refresh.complete(answer(2));
    assert!(matches!(world.full_hit(&read), (2, STALE, Some(_))), "counted from its own start");
    let stats = world.cache.stats();
    assert_eq!((stats.tiers[0].hits, stats.tiers[0].stale, stats.tiers[0].misses), (1, 103, 0));
}

#[test]
fn a_refresh_does_not_move_the_ceiling() {
    let world = world_with_soft_limit();
    let read = read("q", &[]);
    assert!(world.fill(&read, 1));
    world.advance(Duration::from_secs(5));
    let (_, _, refresh) = world.full_hit(&read);
    world.advance(Duration::from_secs(5));
    assert_eq!(world.hit(&read), None, "a refresh that takes too long extends nothing");
    // Who misses now shares the refresh, which is young enough.
    let mut follower = crate::support::wait(world.follow(&read));
    refresh.unwrap().complete(answer(2));
    assert_eq!(follower.value(), 2);
    assert_eq!(world.hit(&read), Some(2));
}

#[test]
fn a_lost_refresher_is_replaced() {
    let world = world_with_soft_limit();
    let read = read("q", &[]);
    assert!(world.fill(&read, 1));
    world.advance(Duration::from_secs(4));
    let (_, _, refresh) = world.full_hit(&read);
    drop(refresh.expect("a refresher"));
    let (_, _, refresh) = world.full_hit(&read);
    refresh.expect("another refresher").complete(answer(2));
    assert!(matches!(world.full_hit(&read), (2, HIT, None)));
}

#[test]
fn a_failed_refresh_backs_off_and_the_answer_is_served_meanwhile() {
    let world = world_with_soft_limit();
    let read = read("q", &[]);
    assert!(world.fill(&read, 1));
    world.advance(Duration::from_secs(4));
    let (_, _, refresh) = world.full_hit(&read);
    refresh.expect("a refresher").fail("down");
    assert!(matches!(world.full_hit(&read), (1, STALE, None)), "not at once");
    world.advance(Duration::from_millis(500));
    assert!(matches!(world.full_hit(&read), (1, STALE, Some(_))));
}

/// Invalidation during a refresh: neither the old answer nor the new one survives.
#[test]
fn a_refresh_does_not_revive_what_was_invalidated() {
    let world = world_with_soft_limit();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    assert!(world.fill(&read, 1));
    world.advance(Duration::from_secs(4));
    let (_, _, refresh) = world.full_hit(&read);
    world.stamps.begin_write(slots, LIFETIME).committed();
    assert_eq!(world.hit(&read), None, "past its soft limit is one thing, invalid another");
    refresh.expect("a refresher").complete(answer(1));
    assert_eq!(world.hit(&read), None);
}

#[test]
fn a_refresh_after_a_change_is_a_fill_of_its_own() {
    let world = world_with_soft_limit();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    assert!(world.fill(&read, 1));
    world.advance(Duration::from_secs(4));
    let (_, _, refresh) = world.full_hit(&read);
    assert!(world.fill(&read, 2), "somebody else read meanwhile, having begun later");
    refresh.expect("a refresher").complete(answer(1));
    assert_eq!(world.hit(&read), Some(2));
    assert_eq!(world.cache.stats().tiers[0].refused_fills.superseded, 1);
}

#[test]
fn a_refresh_is_not_begun_beside_a_load_of_the_same_query() {
    let world = world_with_soft_limit();
    let any = read("q", &[]);
    let young = Read { max_age: Some(Duration::from_secs(1)), ..any };
    assert!(world.fill(&any, 1));
    world.advance(Duration::from_secs(4));
    let lead = world.lead(&young);
    assert!(matches!(world.full_hit(&any), (1, STALE, None)));
    drop(lead);
    assert!(matches!(world.full_hit(&any), (1, STALE, Some(_))));
}

fn world_with_early_refresh(beta: f64) -> World {
    let options = TierOptions { refresh_beta: beta, ..quiet(Tier::L1) };
    World::configured(|builder| builder.tier(Tier::L1, options))
}

/// How many of `lookups` at this age are told to refresh an answer that took 100 ms to load.
fn early_refreshes(world: &World, age: Duration, lookups: usize) -> usize {
    let read = read("q", &[]);
    let cost = Duration::from_millis(100);
    let lead = world.lead(&Read { max_age: Some(Duration::ZERO), ..read });
    world.advance(cost);
    lead.complete(answer(1));
    world.advance(age - cost);
    // A refresh that is dropped can be claimed again, so each lookup rolls the dice.
    (0..lookups)
        .filter(|_| {
            let (_, outcome, refresh) = world.full_hit(&read);
            assert_eq!(outcome, HIT, "early is not stale");
            refresh.is_some()
        })
        .count()
}

#[test]
fn the_closer_to_the_end_the_likelier_a_refresh() {
    let world = world_with_early_refresh(1.0);
    assert_eq!(early_refreshes(&world, Duration::from_secs(8), 1_000), 0);
    // 100 ms before the end: e^-1.
    let refreshes = early_refreshes(&world, TTL - Duration::from_millis(100), 1_000);
    assert!((300..440).contains(&refreshes), "{refreshes}");
    // 10 ms before the end: e^-0.1.
    let refreshes = early_refreshes(&world, TTL - Duration::from_millis(10), 1_000);
    assert!((860..950).contains(&refreshes), "{refreshes}");
}

#[test]
fn early_refresh_scales_with_beta_and_can_be_switched_off() {
    let world = world_with_early_refresh(10.0);
    let refreshes = early_refreshes(&world, TTL - Duration::from_secs(1), 1_000);
    assert!((300..440).contains(&refreshes), "{refreshes}");
    let world = world_with_early_refresh(0.0);
    assert_eq!(early_refreshes(&world, TTL - TICK, 1_000), 0);
}

#[test]
fn of_many_early_readers_one_refreshes() {
    let world = world_with_early_refresh(1.0);
    assert!(early_refreshes(&world, TTL - TICK, 1) == 1);
    let read = read("q", &[]);
    let held: Vec<_> = (0..1_000).filter_map(|_| world.full_hit(&read).2).collect();
    assert_eq!(held.len(), 1);
}

#[test]
fn a_refresh_that_cannot_be_kept_backs_off_too() {
    let world = world_with_soft_limit();
    let read = read("q", &[]);
    assert!(world.fill(&read, 1));
    world.advance(Duration::from_secs(4));
    let (_, _, refresh) = world.full_hit(&read);
    refresh.expect("a refresher").complete(Answer { number: 2, bytes: 2 << 20 });
    assert!(matches!(world.full_hit(&read), (1, STALE, None)));
    world.advance(Duration::from_millis(500));
    let (_, _, refresh) = world.full_hit(&read);
    refresh.expect("a refresher").unshared();
    assert!(matches!(world.full_hit(&read), (1, STALE, None)));
}

//! Bytes: what entries weigh, what fits, and what has to leave.

use turbodiesel_cache::{Read, TierOptions};
use turbodiesel_core::Tier;

use crate::support::{Answer, World, answer, at_once, quiet, read};

fn weighing(bytes: usize) -> Answer {
    Answer { number: bytes as u64, bytes }
}

fn fill(world: &World, read: &Read<'_>, answer: Answer) -> bool {
    let snapshot = world.stamps.snapshot(read.slots.iter().copied());
    world.cache.fill(read, snapshot, answer)
}

#[test]
fn an_entry_weighs_its_value_its_identity_and_a_fixed_part() {
    let world = World::new();
    let bytes = |world: &World| world.cache.stats().tiers[0].bytes;
    assert!(fill(&world, &read("q", &[]), weighing(1_000)));
    let fixed = bytes(&world) - 1_001;
    assert!((100..=250).contains(&fixed), "{fixed}");

    // Replaced by a heavier answer, and by a lighter one: the accounts follow.
    assert!(fill(&world, &read("q", &[]), weighing(5_000)));
    assert_eq!(bytes(&world), fixed + 5_001);
    assert!(fill(&world, &read("q", &[]), weighing(10)));
    assert_eq!(bytes(&world), fixed + 11);
    assert!(fill(&world, &read("longer", &[]), weighing(10)));
    assert_eq!(bytes(&world), 2 * fixed + 11 + 16);
    assert_eq!(world.cache.stats().tiers[0].evictions, 0, "to be replaced is not to be evicted");
    assert_eq!(world.cache.stats().tiers[0].entries, 2);

    world.stamps.change([turbodiesel_cache::Slot::ALL]);
    assert_eq!(world.hit(&read("q", &[])), None);
    assert_eq!(world.hit(&read("longer", &[])), None);
    assert_eq!((bytes(&world), world.cache.stats().tiers[0].entries), (0, 0));
}

#[test]
fn a_tier_stays_within_its_budget() {
    let capacity = 64 << 10;
    let options = TierOptions { capacity_bytes: capacity, ..quiet(Tier::L1) };
    let world =
        World::configured(|builder| builder.tier(Tier::L1, options).max_entry_bytes(8 << 10));
    for number in 0..2_000 {
        let name = format!("q{number}");
        assert!(fill(&world, &read(&name, &[]), weighing(50 + number * 7 % 3_000)));
        let stats = world.cache.stats();
        assert!(stats.tiers[0].bytes <= capacity, "{stats:?}");
        assert_eq!(stats.tiers[0].entries + stats.tiers[0].evictions, number as u64 + 1);
    }
    assert_eq!(world.cache.stats().tiers[0].capacity_bytes, capacity);
}

/// `quick_cache` silently refuses what its shard cannot hold, so shards must be large enough.
#[test]
fn the_largest_entry_allowed_fits_whatever_the_budget() {
    let largest = 100_000;
    for capacity in [104_000, 200_000, 412_500, 1_000_000, 3_333_333, 64 << 20] {
        let options = TierOptions { capacity_bytes: capacity, ..quiet(Tier::L1) };
        let world =
            World::configured(|builder| builder.tier(Tier::L1, options).max_entry_bytes(largest));
        assert!(fill(&world, &read("q", &[]), weighing(1_000)));
        let fixed = world.cache.stats().tiers[0].bytes - 1_001;
        for key in ["a", "b", "c", "d", "e", "f", "g"] {
            let exact = largest - fixed as usize - key.len();
            let read = read(key, &[]);
            assert!(fill(&world, &read, weighing(exact)), "{capacity}");
            assert_eq!(world.hit(&read), Some(exact as u64), "{capacity}");
            assert!(!fill(&world, &read, weighing(exact + 1)), "{capacity}");
        }
    }
}

#[test]
fn an_answer_that_is_too_large_is_passed_on_and_the_old_one_stays() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    assert!(fill(&world, &read, answer(1)));
    assert!(!fill(&world, &read, weighing(2 << 20)));
    assert_eq!(world.hit(&read), Some(1), "it is still current and young enough");
    assert_eq!(world.cache.stats().tiers[0].refused_fills.too_large, 1);

    world.stamps.change(slots);
    let lead = world.lead(&read);
    let passed_on = at_once(lead.complete(weighing(2 << 20)));
    assert_eq!(passed_on.bytes, 2 << 20);
    assert_eq!(world.hit(&read), None, "unless it is not");
}

#[test]
fn the_defaults_hold_an_entry_of_the_greatest_size_in_every_tier() {
    let world = World::new();
    for tier in Tier::ALL {
        let read = Read { tier, ..read("q", &[]) };
        assert!(fill(&world, &read, weighing((1 << 20) - 400)));
        assert_eq!(world.hit(&read), Some((1 << 20) - 400));
    }
}

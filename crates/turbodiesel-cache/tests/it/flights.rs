//! One load for many readers, whatever becomes of the one who does it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::Notify;
use turbodiesel_cache::{Followed, Key, Lookup, Read, Role};
use turbodiesel_core::{Bypass, Outcome, Tier};

use crate::support::{Answer, LIFETIME, TTL, World, answer, at_once, fingerprint, read, wait};

#[tokio::test]
async fn ten_thousand_identical_misses_are_one_load() {
    let world = World::new();
    let (loads, go) = (AtomicUsize::new(0), Notify::new());
    let load = async || {
        loads.fetch_add(1, SeqCst);
        go.notified().await;
        Ok(answer(1))
    };
    let readers = (0..10_000).map(|_| world.cache.get_or_try_load(read("q", &[]), load));
    // The gate opens once all have asked.
    let (outcomes, ()) = tokio::join!(join_all(readers), async { go.notify_one() });
    assert_eq!(loads.load(SeqCst), 1);
    let coalesced = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().unwrap())
        .inspect(|(value, _)| assert_eq!(value.number, 1))
        .filter(|(_, outcome)| *outcome == Outcome::Coalesced)
        .count();
    assert_eq!(coalesced, 9_999);
    assert_eq!(world.cache.stats().coalesced, 9_999);
    assert_eq!(world.cache.stats().flights, 0);
}

#[test]
fn everybody_who_waits_gets_the_value_even_if_it_is_not_kept() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    let write = world.stamps.begin_write(slots, LIFETIME);
    let lead = world.lead(&read);
    let mut followers: Vec<_> = (0..10).map(|_| wait(world.follow(&read))).collect();
    assert!(followers.iter_mut().all(|follower| follower.is_waiting()));
    assert_eq!(world.cache.stats().flights, 1);
    lead.complete(answer(1));
    write.committed();
    assert!(followers.iter_mut().all(|follower| follower.value() == 1));
    assert_eq!(world.hit(&read), None);
}

#[test]
fn a_lost_leader_is_followed_by_exactly_one() {
    let world = World::new();
    let read = read("q", &[]);
    let lead = world.lead(&read);
    let mut followers: Vec<_> = (0..50).map(|_| wait(world.follow(&read))).collect();
    assert!(followers.iter_mut().all(|follower| follower.is_waiting()));
    drop(lead);
    let mut leads: Vec<_> = followers
        .iter_mut()
        .filter_map(|follower| match follower.poll() {
            Some(Followed::Lead(lead)) => Some(lead),
            None => None,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(leads.len(), 1);
    let mut newcomer = wait(world.follow(&read));
    leads.pop().unwrap().complete(answer(1));
    assert_eq!(newcomer.value(), 1);
    let served = followers.iter_mut().skip(1).map(|follower| follower.value()).sum::<u64>();
    assert_eq!(served, 49);
    assert_eq!(world.cache.stats().lost_leaders, 1);
}

#[tokio::test]
async fn a_panicking_leader_is_replaced_and_all_are_served() {
    let world = World::new();
    let loads = Arc::new(AtomicUsize::new(0));
    let reader = || {
        let (cache, loads) = (world.cache.clone(), Arc::clone(&loads));
        tokio::spawn(async move {
            cache
                .get_or_try_load(read("q", &[]), async || {
                    let first = loads.fetch_add(1, SeqCst) == 0;
                    tokio::task::yield_now().await;
                    assert!(!first, "the first load panics");
                    Ok(answer(2))
                })
                .await
        })
    };
    let readers: Vec<_> = (0..50).map(|_| reader()).collect();
    let outcomes = join_all(readers).await;
    let panicked = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    assert_eq!((panicked, loads.load(SeqCst)), (1, 2));
    for outcome in outcomes.into_iter().flatten() {
        assert_eq!(outcome.unwrap().0.number, 2);
    }
}

#[test]
fn a_successor_who_is_cancelled_passes_the_lead_on() {
    let world = World::new();
    let read = read("q", &[]);
    let lead = world.lead(&read);
    let mut followers: Vec<_> = (0..3).map(|_| wait(world.follow(&read))).collect();
    assert!(followers.iter_mut().all(|follower| follower.is_waiting()));
    drop(lead);
    // Woken, but cancelled before it was polled.
    drop(followers.remove(0));
    // Took over, then cancelled.
    drop(followers[0].lead());
    let lead = followers[1].lead();
    lead.complete(answer(1));
    assert_eq!(world.hit(&read), Some(1));
    assert_eq!(world.cache.stats().lost_leaders, 2);
}

#[test]
fn a_follower_who_has_not_been_polled_yet_misses_nothing() {
    let world = World::new();
    let read = read("q", &[]);
    let lead = world.lead(&read);
    let (mut first, mut second) = (wait(world.follow(&read)), wait(world.follow(&read)));
    drop(lead);
    let lead = second.lead();
    assert!(first.is_waiting());
    lead.complete(answer(1));
    assert_eq!(first.value(), 1);
}

#[test]
fn a_newcomer_takes_over_a_flight_without_a_leader() {
    let world = World::new();
    let read = read("q", &[]);
    let lead = world.lead(&read);
    let mut follower = wait(world.follow(&read));
    assert!(follower.is_waiting());
    drop(lead);
    let lead = world.lead(&read);
    assert!(follower.is_waiting(), "there must not be two");
    lead.complete(answer(1));
    assert_eq!(follower.value(), 1);
}

#[test]
fn a_flight_that_everybody_left_is_forgotten() {
    let world = World::new();
    let read = read("q", &[]);
    let lead = world.lead(&read);
    let mut followers: Vec<_> = (0..3).map(|_| wait(world.follow(&read))).collect();
    assert!(followers.iter_mut().all(|follower| follower.is_waiting()));
    drop(lead);
    assert_eq!(world.cache.stats().flights, 1);
    drop(followers);
    assert_eq!(world.cache.stats().flights, 0);
    drop(world.lead(&read));
    assert_eq!(world.cache.stats().flights, 0);
}

/// What the successor reads is newer than its snapshot, not than that of the leader it replaces.
#[test]
fn a_successor_reads_under_a_snapshot_of_its_own() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    let lead = world.lead(&read);
    let mut follower = wait(world.follow(&read));
    assert!(follower.is_waiting());
    let write = world.stamps.begin_write(slots, LIFETIME);
    drop(lead);
    let lead = follower.lead();
    assert!(lead.snapshot().is_marked());
    write.committed();
    drop(lead);
    let lead = world.lead(&read);
    assert!(!lead.snapshot().is_marked());
    lead.complete(answer(2));
    assert_eq!(world.hit(&read), Some(2));
}

#[tokio::test]
async fn a_failing_load_is_shared_by_fifty_and_not_repeated() {
    let world = World::new();
    let loads = AtomicUsize::new(0);
    let load = async || {
        loads.fetch_add(1, SeqCst);
        tokio::task::yield_now().await;
        Err("down")
    };
    let readers = (0..50).map(|_| world.cache.get_or_try_load(read("q", &[]), load));
    assert!(join_all(readers).await.into_iter().all(|outcome| outcome == Err("down")));
    assert_eq!(loads.load(SeqCst), 1);
    // An error is not kept: who comes later tries again.
    assert_eq!(world.cache.get_or_try_load(read("q", &[]), load).await, Err("down"));
    assert_eq!(loads.load(SeqCst), 2);
}

#[test]
fn an_answer_that_cannot_be_shared_lets_everybody_go_at_once() {
    let world = World::new();
    let read = read("q", &[]);
    let lead = world.lead(&read);
    let mut followers: Vec<_> = (0..10).map(|_| wait(world.follow(&read))).collect();
    assert!(followers.iter_mut().all(|follower| follower.is_waiting()));
    lead.unshared();
    for follower in &mut followers {
        assert!(matches!(follower.poll(), Some(Followed::Unshared)));
    }
    assert_eq!(world.cache.stats().flights, 0);
}

/// A reader who comes after a write was acknowledged must not share a read from before it.
#[test]
fn a_flight_is_not_joined_across_a_change() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    let before = world.lead(&read);
    let mut early = wait(world.follow(&read));
    world.stamps.begin_write(slots, LIFETIME).committed();
    let after = world.lead(&read);
    let mut late = wait(world.follow(&read));
    after.complete(answer(2));
    before.complete(answer(1));
    assert_eq!((early.value(), late.value()), (1, 2));
    assert_eq!(world.hit(&read), Some(2));
}

/// Without a change at the commit, this flight would look as if nothing had happened since.
#[test]
fn a_flight_from_under_the_mark_is_not_joined_after_the_acknowledgement() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    let write = world.stamps.begin_write(slots, LIFETIME);
    let under = world.lead(&read);
    let mut beside = wait(world.follow(&read));
    write.committed();
    let after = world.lead(&read);
    under.complete(answer(1));
    assert!(beside.is_waiting(), "for what is newer");
    assert_eq!(world.hit(&read), None);
    after.complete(answer(2));
    assert_eq!(beside.value(), 2);
    assert_eq!(world.hit(&read), Some(2));
}

#[test]
fn the_answer_of_a_flight_under_a_mark_is_shared_until_the_write_ends() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    for end in [0, 1, 2] {
        world.advance(LIFETIME);
        let write = world.stamps.begin_write(slots, LIFETIME);
        world.lead(&read).complete(answer(1));
        assert_eq!(world.hit(&read), None, "it is not kept");
        assert_eq!(wait(world.follow(&read)).value(), 1, "but one may still come aboard");
        assert_eq!(world.cache.stats().flights, 0);
        match end {
            0 => write.committed(),
            1 => write.aborted(),
            _ => write.unknown(),
        }
        drop(world.lead(&read));
    }
}

#[test]
fn the_answer_of_a_flight_under_a_mark_ages_and_changes_like_any_other() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    let write = world.stamps.begin_write(slots, LIFETIME);
    world.lead(&read).complete(answer(1));
    world.advance(TTL - Duration::from_nanos(1));
    assert_eq!(wait(world.follow(&read)).value(), 1);
    world.advance(Duration::from_nanos(1));
    world.lead(&read).complete(answer(2));
    assert_eq!(wait(world.follow(&read)).value(), 2);
    let other = world.stamps.begin_write(slots, LIFETIME);
    world.lead(&read).complete(answer(3));
    world.cache.clear(None);
    drop(world.lead(&read));
    drop((write, other));
}

/// A writer who lost its outcome may commit without any further change, so nothing can be shared
/// after the landing that was read meanwhile.
#[test]
fn the_answer_of_a_flight_under_a_lost_write_is_not_shared_later() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    drop(world.stamps.begin_write(slots, LIFETIME));
    let write = world.stamps.begin_write(slots, LIFETIME);
    let lead = world.lead(&read);
    let mut beside = wait(world.follow(&read));
    lead.complete(answer(1));
    assert_eq!(beside.value(), 1);
    drop(world.lead(&read));
    write.committed();
}

#[test]
fn few_and_small_answers_linger() {
    let world = World::new();
    let slots = [world.table("orders")];
    let write = world.stamps.begin_write(slots, LIFETIME);
    let large = read("large", &slots);
    world.lead(&large).complete(Answer { number: 1, bytes: 100_000 });
    drop(world.lead(&large));

    let names: Vec<String> = (0..2_000).map(|number| format!("q{number}")).collect();
    for name in &names {
        world.lead(&read(name, &slots)).complete(answer(1));
    }
    let lingering = names
        .iter()
        .filter(|name| matches!(world.cache.join(&read(name, &slots)), Role::Follow(_)))
        .count();
    assert!((200..=256).contains(&lingering), "{lingering}");
    write.committed();
}

#[test]
fn a_flight_is_not_joined_by_who_needs_a_younger_answer() {
    let world = World::new();
    let any = read("q", &[]);
    let lead = world.lead(&any);
    let at_once = Read { max_age: Some(Duration::ZERO), ..any };
    drop(world.lead(&at_once));
    let lead = {
        drop(lead);
        world.lead(&any)
    };
    // The database may have answered long ago; only the start is known.
    world.advance(TTL - Duration::from_nanos(1));
    drop(world.follow(&any));
    world.advance(Duration::from_nanos(1));
    let younger = world.lead(&any);
    younger.complete(answer(2));
    lead.complete(answer(1));
    assert_eq!(world.hit(&any), Some(2));
}

/// Between a lookup that missed and the attempt to join, the load may land.
#[test]
fn a_reader_who_comes_just_too_late_to_join_finds_the_answer() {
    let world = World::new();
    let read = read("q", &[]);
    let lead = world.lead(&read);
    assert_eq!(world.hit(&read), None);
    lead.complete(answer(1));
    assert_eq!(wait(world.follow(&read)).value(), 1);
}

#[test]
fn of_two_overlapping_reads_the_later_stays() {
    let world = World::new();
    let read = read("q", &[]);
    for first_to_finish in [0, 1] {
        let mut snapshots = [(); 2].map(|()| world.stamps.snapshot([]));
        let newest = if first_to_finish == 0 {
            assert!(world.cache.fill(&read, snapshots[0], answer(1)));
            assert!(world.cache.fill(&read, snapshots[1], answer(2)));
            2
        } else {
            snapshots.reverse();
            assert!(world.cache.fill(&read, snapshots[0], answer(4)));
            assert!(!world.cache.fill(&read, snapshots[1], answer(3)));
            4
        };
        assert_eq!(world.hit(&read), Some(newest));
    }
}

/// An explicit fill while a load is in progress survives the load.
#[test]
fn a_fill_during_a_load_survives_it() {
    let world = World::new();
    let read = read("q", &[]);
    let lead = world.lead(&read);
    assert!(world.fill(&read, 99));
    assert_eq!(at_once(lead.complete(answer(1))).number, 1);
    assert_eq!(world.hit(&read), Some(99));
}

/// Its new leader reads later than whatever had closed it to newcomers.
#[test]
fn a_flight_that_goes_on_is_open_again() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    let lead = world.lead(&read);
    let mut follower = wait(world.follow(&read));
    assert!(follower.is_waiting());
    assert!(world.fill(&read, 1), "closed by who reads alone");
    world.stamps.change(slots);
    drop(lead);
    let lead = follower.lead();
    let mut newcomer = wait(world.follow(&read));
    assert!(newcomer.is_waiting());
    lead.complete(answer(2));
    assert_eq!(newcomer.value(), 2);
}

/// Fills the tier with others, until this answer has left.
fn evict(world: &World, read: &Read<'_>) {
    for number in 0..200 {
        let name = format!("filler{number}");
        let snapshot = world.stamps.snapshot([]);
        let large = Answer { number: 0, bytes: 1_000_000 };
        assert!(world.cache.fill(&crate::support::read(&name, &[]), snapshot, large));
    }
    assert_eq!(world.hit(read), None, "evicted");
}

/// The newest flight need not be the one that reads last: an older one may have been taken over. Once
/// its answer has been seen and has left, nobody boards the other.
#[test]
fn a_flight_is_not_boarded_that_may_read_less_than_an_answer_that_left() {
    let world = World::new();
    let any = read("q", &[]);
    let older = world.lead(&any);
    let mut beside_older = wait(world.follow(&any));
    assert!(beside_older.is_waiting());
    let newest = world.lead(&Read { max_age: Some(Duration::ZERO), ..any });
    drop(older);
    assert_eq!(at_once(beside_older.lead().complete(answer(2))).number, 2);
    assert_eq!(world.hit(&any), Some(2));
    evict(&world, &any);
    let last = world.lead(&any);
    newest.complete(answer(1));
    assert_eq!(world.hit(&any), None);
    last.complete(answer(3));
    assert_eq!(world.hit(&any), Some(3));
}

/// Evicted or expired, the newer answer has been seen, so an older one must not come after it.
#[test]
fn an_older_answer_does_not_return_after_a_newer_one_left() {
    let world = World::new();
    let read = read("q", &[]);
    let old = world.lead(&read);
    assert!(world.fill(&read, 2));
    evict(&world, &read);
    let newer = world.lead(&read);
    old.complete(answer(1));
    assert_eq!(world.hit(&read), None);
    newer.complete(answer(3));
    assert_eq!(world.hit(&read), Some(3));
}

#[test]
fn two_queries_with_one_fingerprint_never_share() {
    let world = World::new();
    let slots = [world.table("orders")];
    let key = |identity| Key { fingerprint: fingerprint("same"), identity };
    let a = Read { key: key(b"a"), ..read("", &slots) };
    let b = Read { key: key(b"b"), ..a };

    let lead_a = world.lead(&a);
    let lead_b = world.lead(&b);
    lead_a.complete(answer(1));
    assert!(matches!(world.cache.lookup(&b), Lookup::Collision));
    assert_eq!(world.hit(&a), Some(1));
    lead_b.complete(answer(2));
    assert_eq!(world.hit(&b), Some(2));
    assert!(matches!(world.cache.lookup(&a), Lookup::Collision));
    assert!(matches!(world.cache.join(&a), Role::Lead(_)));
    assert_eq!(world.cache.stats().tiers[0].collisions, 2);
}

#[tokio::test]
async fn a_collision_is_read_without_the_cache() {
    let world = World::new();
    let key = |identity| Key { fingerprint: fingerprint("same"), identity };
    let a = Read { key: key(b"a"), ..read("", &[]) };
    let b = Read { key: key(b"b"), ..a };
    world.fill(&a, 1);
    let (value, outcome) = world.cache.get_or_try_load(b, async || Ok(answer(2))).await.unwrap();
    assert_eq!((value.number, outcome), (2, Outcome::Bypass(Bypass::Collision)));
    assert_eq!(world.hit(&a), Some(1));
}

/// Identities that look alike when their parts are run together are different queries.
#[test]
fn keys_are_compared_as_bytes() {
    let world = World::new();
    for (number, identity) in ["a b", "ab", "a", ""].into_iter().enumerate() {
        world.fill(&read(identity, &[]), number as u64);
    }
    for (number, identity) in ["a b", "ab", "a", ""].into_iter().enumerate() {
        assert_eq!(world.hit(&read(identity, &[])), Some(number as u64));
    }
}

#[tokio::test]
async fn a_load_may_ask_for_other_keys_and_even_its_own() {
    let world = World::new();
    let cache = &world.cache;
    let (a, b) = (read("a", &[]), read("b", &[]));
    let load_a_within_b = async || {
        let (a, outcome) = cache.get_or_try_load(a, async || Ok(answer(1))).await?;
        assert_eq!(outcome, Outcome::Miss, "it does not wait for the load around it");
        Ok(answer(a.number + 10))
    };
    let load_b_within_a = async || {
        assert!(matches!(cache.lookup(&a), Lookup::Miss), "a lookup never waits");
        tokio::task::yield_now().await;
        let (b, _) = cache.get_or_try_load(b, load_a_within_b).await?;
        Ok(answer(b.number + 100))
    };
    let (value, outcome) = cache.get_or_try_load(a, load_b_within_a).await.unwrap();
    assert_eq!((value.number, outcome), (111, Outcome::Miss));
    // The inner read of `a` began later, so it is the one that stays.
    assert_eq!((world.hit(&a), world.hit(&b)), (Some(1), Some(11)));
}

#[tokio::test]
async fn a_reader_who_gives_up_leaves_the_load_to_others() {
    let world = World::new();
    let go = Notify::new();
    let load = async || {
        go.notified().await;
        Ok(answer(1))
    };
    let cache = &world.cache;
    {
        let mut impatient = std::pin::pin!(cache.get_or_try_load(read("q", &[]), load));
        let mut patient = std::pin::pin!(cache.get_or_try_load(read("q", &[]), load));
        assert!(futures_util::poll!(impatient.as_mut()).is_pending());
        assert!(futures_util::poll!(patient.as_mut()).is_pending());
    }
    assert_eq!(cache.stats().flights, 0);
    go.notify_one();
    let (value, _) = cache.get_or_try_load(read("q", &[]), load).await.unwrap();
    assert_eq!(value.number, 1);
}

#[tokio::test]
async fn a_stale_answer_is_refreshed_by_one_and_survives_a_failure() {
    let soft = turbodiesel_cache::TierOptions {
        stale_after: Some(Duration::from_secs(4)),
        ..crate::support::quiet(Tier::L1)
    };
    let world = World::configured(|builder| builder.tier(Tier::L1, soft));
    let q = read("q", &[]);
    world.fill(&q, 1);
    world.advance(Duration::from_secs(4));
    let failed = world.cache.get_or_try_load(q, async || Err("down")).await.unwrap();
    assert_eq!((failed.0.number, failed.1), (1, Outcome::Stale(Tier::L1)));
    world.advance(Duration::from_secs(1));
    let others = async || {
        let (value, outcome) = world.cache.get_or_try_load(q, async || Ok(answer(9))).await?;
        assert_eq!((value.number, outcome), (1, Outcome::Stale(Tier::L1)));
        Ok(answer(2))
    };
    let (value, outcome) = world.cache.get_or_try_load(q, others).await.unwrap();
    assert_eq!((value.number, outcome), (2, Outcome::Miss));
    assert_eq!(world.hit(&q), Some(2));
}

#[test]
fn leads_and_follows_can_move_between_tasks() {
    fn is_send<T: Send + 'static>(_: &T) {}
    let world = World::new();
    let read = read("q", &[]);
    let lead = world.lead(&read);
    let follow = world.follow(&read);
    is_send(&lead);
    is_send(&follow);
    is_send(&follow.wait());
}

/// Each change begins a new state of the table, and each state is read once: one under the mark, one
/// after the commit.
#[test]
fn a_popular_key_is_read_at_most_twice_per_write() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    let mut loads = 0;
    let mut read_many_times = |number: u64| {
        for _ in 0..1_000 {
            if world.hit(&read).is_some() {
                continue;
            }
            match world.cache.join(&read) {
                Role::Lead(lead) => {
                    loads += 1;
                    lead.complete(answer(number));
                }
                Role::Follow(follow) => assert_eq!(wait(follow).value(), number),
            }
        }
    };
    for number in 0..100 {
        let write = world.stamps.begin_write(slots, LIFETIME);
        read_many_times(2 * number);
        write.committed();
        read_many_times(2 * number + 1);
    }
    assert_eq!(loads, 200);
}

//! Reads and writes in every order: nothing older than an acknowledged write is served or kept.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use turbodiesel_cache::{Slot, Stamps, StampsOptions, WriteMark};
use turbodiesel_core::{Clock, ManualClock, Nanos, PinValue, TableName, Tag};

use crate::support::{LIFETIME, TTL, World, answer, at_once, read, table, wait};

#[test]
fn an_answer_is_served_until_something_it_depends_on_changes() {
    let world = World::new();
    let slots = [world.table("orders"), world.table("lines")];
    let read = read("q", &slots);
    assert!(world.fill(&read, 1));
    world.stamps.change([world.table("users")]);
    assert_eq!(world.hit(&read), Some(1));
    world.stamps.change([slots[1]]);
    assert_eq!(world.hit(&read), None);
    assert_eq!(world.cache.stats().tiers[0].invalidated, 1);
}

#[test]
fn an_answer_without_slots_depends_on_everything_alone() {
    let world = World::new();
    let read = read("q", &[]);
    assert!(world.fill(&read, 1));
    world.stamps.change([world.table("orders")]);
    assert_eq!(world.hit(&read), Some(1));
    world.stamps.change([Slot::ALL]);
    assert_eq!(world.hit(&read), None);
}

/// Bump before the commit only would let this fill: the read saw the old row.
#[test]
fn a_write_that_begins_during_a_read_prevents_the_fill() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    let lead = world.lead(&read);
    let write = world.stamps.begin_write(slots, LIFETIME);
    assert_eq!(at_once(lead.complete(answer(1))).number, 1, "the reader itself gets what it read");
    assert_eq!(world.hit(&read), None);
    write.committed();
    assert_eq!(world.hit(&read), None);
    assert_eq!(world.cache.stats().tiers[0].refused_fills.changed, 1);
}

/// Invalidation during a load, whoever waits for it.
#[test]
fn a_write_that_commits_during_a_read_prevents_the_fill() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    let lead = world.lead(&read);
    let mut earlier = wait(world.follow(&read));
    world.stamps.begin_write(slots, LIFETIME).committed();
    lead.complete(answer(1));
    assert_eq!(earlier.value(), 1, "a waiter who came before the write may have the old answer");
    assert_eq!(world.hit(&read), None, "and nobody else");
}

#[test]
fn a_manual_change_during_a_read_prevents_the_fill() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    let snapshot = world.stamps.snapshot(slots);
    world.stamps.change(slots);
    assert!(!world.stamps.is_current(&snapshot, &slots));
    assert!(!world.cache.fill(&read, snapshot, answer(1)));
    // Invalidated once, it never becomes fresh by being offered again.
    assert!(!world.cache.fill(&read, snapshot, answer(1)));
    assert_eq!(world.hit(&read), None);
}

#[test]
fn beginning_a_write_ends_what_was_kept_before() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    assert!(world.fill(&read, 1));
    let write = world.stamps.begin_write(slots, LIFETIME);
    assert_eq!(world.hit(&read), None);
    write.aborted();
    assert_eq!(world.hit(&read), None, "a miss too many, and no more");
    assert!(world.fill(&read, 2));
    assert_eq!(world.hit(&read), Some(2));
}

#[test]
fn what_was_read_under_a_mark_is_never_kept() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    for end in [0, 1, 2] {
        let write = world.stamps.begin_write(slots, LIFETIME);
        let snapshot = world.stamps.snapshot(slots);
        assert!(snapshot.is_marked());
        assert!(!world.cache.fill(&read, snapshot, answer(1)), "while the write is in flight");
        match end {
            0 => write.committed(),
            1 => write.aborted(),
            _ => write.unknown(),
        }
        assert!(!world.cache.fill(&read, snapshot, answer(1)), "nor later");
        assert_eq!(world.hit(&read), None);
    }
    assert_eq!(world.cache.stats().tiers[0].refused_fills.marked, 6);
}

#[test]
fn a_snapshot_after_the_outcome_is_free() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    world.stamps.begin_write(slots, LIFETIME).committed();
    assert!(world.fill(&read, 1));
    world.stamps.begin_write(slots, LIFETIME).aborted();
    assert!(world.fill(&read, 2));
    assert_eq!(world.hit(&read), Some(2));
}

/// The commit may land any time before the deadline, without another word from the writer.
#[test]
fn a_dropped_mark_holds_until_its_deadline() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    drop(world.stamps.begin_write(slots, LIFETIME));
    world.advance(LIFETIME - Duration::from_nanos(1));
    assert!(!world.fill(&read, 1));
    world.advance(Duration::from_nanos(1));
    assert!(world.fill(&read, 2));
    assert_eq!(world.hit(&read), Some(2));
}

#[test]
fn losing_the_outcome_ends_what_was_read_before() {
    let world = World::new();
    let slots = [world.table("orders")];
    let write = world.stamps.begin_write(slots, LIFETIME);
    let under_the_mark = world.stamps.snapshot(slots);
    write.unknown();
    assert!(!world.stamps.is_current(&under_the_mark, &slots));
}

#[test]
fn the_latest_deadline_counts() {
    let world = World::new();
    let slots = [world.table("orders")];
    drop(world.stamps.begin_write(slots, LIFETIME));
    drop(world.stamps.begin_write(slots, LIFETIME / 2));
    // Neither a shorter hold nor another writer's happy end shortens it.
    world.stamps.begin_write(slots, LIFETIME).committed();
    world.advance(LIFETIME - Duration::from_nanos(1));
    assert!(world.stamps.snapshot(slots).is_marked());
    world.advance(Duration::from_nanos(1));
    assert!(!world.stamps.snapshot(slots).is_marked());
}

#[test]
fn a_write_in_flight_marks_however_long_it_takes() {
    let world = World::new();
    let slots = [world.table("orders")];
    let write = world.stamps.begin_write(slots, LIFETIME);
    let other = world.stamps.begin_write(slots, LIFETIME);
    world.advance(100 * LIFETIME);
    assert!(world.stamps.snapshot(slots).is_marked());
    other.committed();
    assert!(world.stamps.snapshot(slots).is_marked(), "two writers, one has ended");
    write.committed();
    assert!(!world.stamps.snapshot(slots).is_marked());
}

#[test]
fn a_panicking_writer_leaves_its_mark() {
    let world = World::new();
    let slots = [world.table("orders")];
    let stamps = Arc::clone(&world.stamps);
    let panicked = std::thread::spawn(move || {
        let _write = stamps.begin_write(slots, LIFETIME);
        panic!("the task dies between COMMIT and its answer");
    });
    assert!(panicked.join().is_err());
    assert!(world.stamps.snapshot(slots).is_marked());
}

#[test]
fn a_write_marks_further_tables_as_it_goes() {
    let world = World::new();
    let [orders, lines] = [world.table("orders"), world.table("lines")];
    let before = world.stamps.snapshot([lines]);
    let mut write = world.stamps.begin_write([orders, orders], LIFETIME);
    assert!(world.stamps.is_current(&before, &[lines]));
    write.add([lines, orders, lines]);
    assert_eq!(write.slots(), [orders, lines]);
    assert!(!world.stamps.is_current(&before, &[lines]));
    assert!(world.stamps.snapshot([lines]).is_marked());
    write.committed();
    assert!(!world.stamps.snapshot([lines]).is_marked());
    assert!(!world.stamps.snapshot([orders]).is_marked());
}

#[test]
fn a_write_of_everything_concerns_every_answer() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    assert!(world.fill(&read, 1));
    let write = world.stamps.begin_write([Slot::ALL], LIFETIME);
    assert_eq!(world.hit(&read), None);
    assert!(!world.fill(&read, 2));
    write.committed();
    assert!(world.fill(&read, 3));
    assert_eq!(world.stamps.slot(&Tag::All), Slot::ALL);
}

#[test]
fn an_answer_kept_under_fewer_dependencies_does_not_survive_a_change_of_the_others() {
    let world = World::new();
    let [orders, lines] = [world.table("orders"), world.table("lines")];
    assert!(world.fill(&read("q", &[orders]), 1));
    world.stamps.change([lines]);
    // The catalog has learnt meanwhile that the query reads `lines`, too.
    assert_eq!(world.hit(&read("q", &[orders, lines])), None);
}

#[test]
fn tables_have_slots_of_their_own_and_then_share() {
    let options = StampsOptions { tables: 2, hashed: 1 };
    let stamps = Stamps::new(Arc::new(ManualClock::default()), options);
    let slot = |name: &str| stamps.slot(&table(name));
    let [a, b, c, d] = ["a", "b", "c", "d"].map(slot);
    assert!(a != b && a != c && b != c && a != Slot::ALL && c != Slot::ALL);
    assert_eq!(c, d, "both overflow to the only shared slot");
    assert_eq!(["a", "b", "c", "d"].map(slot), [a, b, c, d], "for ever");

    // Sharing invalidates too much, and never too little.
    let before = stamps.snapshot([a, c, d]);
    stamps.change([d]);
    assert!(!stamps.is_current(&before, &[c]));
    assert!(!stamps.is_current(&before, &[d]));
    assert!(stamps.is_current(&before, &[a]));
}

#[test]
fn schemas_columns_and_values_are_told_apart() {
    let world = World::new();
    let table = TableName::unqualified("orders");
    let column = |column: &str| Tag::Column { table: table.clone(), column: column.into() };
    let value = |column: &str, value: PinValue| Tag::Value {
        table: table.clone(),
        column: column.into(),
        value,
    };
    let tags = [
        Tag::Table(table.clone()),
        Tag::Table(TableName::qualified("archive", "orders")),
        column("id"),
        column("customer"),
        value("id", PinValue::Int(1)),
        value("customer", PinValue::Int(1)),
        value("id", PinValue::Text("1".into())),
    ];
    let slots: Vec<Slot> = tags.iter().map(|tag| world.stamps.slot(tag)).collect();
    let again: Vec<Slot> = tags.iter().map(|tag| world.stamps.slot(tag)).collect();
    assert_eq!(slots, again);
    // Hashed slots may collide by chance, but not all of them.
    let distinct: std::collections::HashSet<_> = slots.iter().collect();
    assert!(distinct.len() >= 4, "{slots:?}");
}

/// Ticking after looking for marks would let a write begin and lose its outcome in between: the
/// snapshot would then be unmarked and current, and a late commit would never end it.
#[test]
fn a_snapshot_ticks_before_it_looks_for_marks() {
    let world = World::new();
    let slots = [world.table("orders")];
    let while_looking = slots.into_iter().chain(std::iter::from_fn(|| {
        drop(world.stamps.begin_write(slots, LIFETIME));
        None
    }));
    let snapshot = world.stamps.snapshot(while_looking);
    assert!(snapshot.is_marked() || !world.stamps.is_current(&snapshot, &slots));
    assert!(!world.cache.fill(&read("q", &slots), snapshot, answer(1)));
}

/// Of two changes that overlap, the one that ticked later counts, even if the other arrives later.
#[test]
fn a_slow_change_does_not_undo_a_later_one() {
    let world = World::new();
    let slots = [world.table("orders")];
    let mut between = None;
    // The change has ticked when it asks for its first slot.
    world.stamps.change(std::iter::once_with(|| {
        between = Some(world.stamps.snapshot(slots));
        world.stamps.change(slots);
        slots[0]
    }));
    assert!(!world.stamps.is_current(&between.unwrap(), &slots));
}

/// Calls back whenever somebody asks for the time.
struct Hook {
    clock: ManualClock,
    on_now: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

impl Clock for Hook {
    fn now(&self) -> Nanos {
        let on_now = self.on_now.lock().unwrap().take();
        if let Some(on_now) = on_now {
            on_now();
        }
        self.clock.now()
    }
}

/// Lifting the mark before setting the deadline would leave a moment without either.
#[test]
fn a_lost_write_is_marked_at_every_moment() {
    let hook = Arc::new(Hook { clock: ManualClock::default(), on_now: Mutex::default() });
    let stamps = Stamps::new(hook.clone(), StampsOptions { tables: 8, hashed: 8 });
    let slots = [stamps.slot(&table("orders"))];
    let write = stamps.begin_write(slots, LIFETIME);
    let seen = Arc::new(Mutex::new(None));
    *hook.on_now.lock().unwrap() = Some(Box::new({
        let (stamps, seen) = (Arc::clone(&stamps), Arc::clone(&seen));
        move || *seen.lock().unwrap() = Some(stamps.snapshot(slots))
    }));
    // Reads the clock to compute the deadline, and so takes a snapshot half-way.
    drop(write);
    let half_way = seen.lock().unwrap().expect("the clock was read");
    assert!(half_way.is_marked());
    assert!(stamps.snapshot(slots).is_marked());
}

/// The age of a snapshot counts from before everything else, as if the read took no time at all.
#[test]
fn a_snapshot_starts_before_it_ticks() {
    let hook = Arc::new(Hook { clock: ManualClock::default(), on_now: Mutex::default() });
    let stamps = Stamps::new(hook.clone(), StampsOptions { tables: 8, hashed: 8 });
    let slots = [stamps.slot(&table("orders"))];
    *hook.on_now.lock().unwrap() = Some(Box::new({
        let stamps = Arc::clone(&stamps);
        move || stamps.change(slots)
    }));
    let snapshot = stamps.snapshot(slots);
    assert!(stamps.is_current(&snapshot, &slots), "the change came before the tick");
}

/// A clock that lags by up to a second.
#[derive(Debug, Default)]
pub(crate) struct Coarse(pub(crate) ManualClock);

impl Clock for Coarse {
    fn now(&self) -> Nanos {
        self.0.now()
    }

    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }
}

#[test]
fn a_lagging_clock_does_not_cut_a_deadline_short() {
    let clock = Arc::new(Coarse::default());
    let stamps = Stamps::new(clock.clone(), StampsOptions { tables: 8, hashed: 8 });
    let slots = [stamps.slot(&table("orders"))];
    drop(stamps.begin_write(slots, LIFETIME));
    // The clock lagged when the deadline was set and is exact now.
    clock.0.advance(LIFETIME + Duration::from_millis(999));
    assert!(stamps.snapshot(slots).is_marked());
    clock.0.advance(Duration::from_millis(1));
    assert!(!stamps.snapshot(slots).is_marked());
}

#[test]
fn clearing_ends_a_tier_and_loads_in_progress_are_not_kept() {
    let world = World::new();
    let slots = [world.table("orders")];
    let (kept, loading) = (read("kept", &slots), read("loading", &slots));
    let elsewhere =
        turbodiesel_cache::Read { tier: turbodiesel_core::Tier::L3, ..read("kept", &slots) };
    assert!(world.fill(&kept, 1) && world.fill(&elsewhere, 3));
    let lead = world.lead(&loading);
    let mut earlier = wait(world.follow(&loading));

    world.cache.clear(Some(turbodiesel_core::Tier::L1));
    assert_eq!(world.hit(&kept), None);
    assert_eq!(world.hit(&elsewhere), Some(3));
    let later = world.lead(&loading);
    lead.complete(answer(2));
    assert_eq!(earlier.value(), 2);
    assert_eq!(world.hit(&loading), None);
    assert_eq!(world.cache.stats().tiers[0].refused_fills.cleared, 1);
    later.complete(answer(4));
    assert_eq!(world.hit(&loading), Some(4));

    world.cache.clear(None);
    assert_eq!(world.hit(&elsewhere), None);
    assert_eq!(world.cache.stats().tiers.iter().map(|tier| tier.entries).sum::<u64>(), 0);
    assert!(world.fill(&kept, 5));
    world.advance(TTL / 2);
    assert_eq!(world.hit(&kept), Some(5));
}

#[test]
fn what_is_expected_changes_only_where_it_was_touched() {
    let world = World::new();
    let (any, one, two) = (world.table("any"), world.table("one"), world.table("two"));
    let stamps = &world.stamps;
    let before = stamps.snapshot([any, one, two]);
    let mut mark = stamps.begin_write([], LIFETIME);
    mark.expect([any]);
    assert!(stamps.is_current(&before, &[any, one, two]));
    assert!(!stamps.snapshot([any]).is_marked());
    mark.committed_exactly([one]);
    assert!(stamps.is_current(&before, &[any, two]));
    assert!(!stamps.is_current(&before, &[one]));
}

#[test]
fn what_is_expected_changes_where_nobody_knows() {
    let world = World::new();
    let any = world.table("any");
    let stamps = &world.stamps;
    for end in [WriteMark::committed, WriteMark::unknown] {
        let before = stamps.snapshot([any]);
        let mut mark = stamps.begin_write([], LIFETIME);
        mark.expect([any]);
        end(mark);
        assert!(!stamps.is_current(&before, &[any]));
    }
    assert!(stamps.snapshot([any]).is_marked(), "it may still commit");
    let mut mark = stamps.begin_write([], LIFETIME);
    mark.expect([any]);
    let before = stamps.snapshot([any]);
    mark.aborted();
    assert!(stamps.is_current(&before, &[any]));
}

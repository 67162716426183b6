//! Values of a key never go back, even while a write commits, and that costs no load more.
//!
//! In these tests 42 is what the database said before a commit and 43 what it said after.

use std::time::Duration;

use turbodiesel_cache::{Followed, Read, Role, Slot, WriteMark};

use crate::support::{
    Answer, LIFETIME, Polled, TestFollowed, TestLead, World, answer, at_once, read, wait,
};

/// An older flight with a follower, and a write in flight under which the newest reads.
struct Overlap {
    world: World,
    slots: [Slot; 1],
    older: TestLead,
    beside_older: Polled<TestFollowed>,
    write: WriteMark,
    newest: TestLead,
}

impl Overlap {
    fn new() -> Self {
        let world = World::new();
        let slots = [world.table("orders")];
        let read = read("q", &slots);
        let older = world.lead(&read);
        let mut beside_older = wait(world.follow(&read));
        assert!(beside_older.is_waiting());
        let write = world.stamps.begin_write(slots, LIFETIME);
        let newest = world.lead(&read);
        Self { world, slots, older, beside_older, write, newest }
    }
}

/// The older flight reads after the commit, the newest before it, and the newest is what readers
/// who come in between go on to board.
#[test]
fn values_do_not_go_back_when_an_older_flight_lands() {
    let Overlap { world, slots, older, mut beside_older, write, newest } = Overlap::new();
    let read = read("q", &slots);
    let mut older = Polled::new(older.complete(answer(43)).value());
    assert!(older.poll().is_none() && beside_older.is_waiting(), "nobody sees it yet");
    let mut newcomer = wait(world.follow(&read));
    assert!(newcomer.is_waiting(), "no third load");
    assert_eq!(at_once(newest.complete(answer(42))).number, 42);
    assert_eq!(older.poll().unwrap().number, 42);
    assert_eq!((beside_older.value(), newcomer.value()), (42, 42));
    assert_eq!(wait(world.follow(&read)).value(), 42, "it lingers");
    write.committed();
    world.lead(&read).complete(answer(43));
}

/// If the newest has landed, its value is the one that everybody sees.
#[test]
fn an_older_flight_shows_what_the_newest_has_landed_with() {
    let Overlap { world, slots, older, mut beside_older, write, newest } = Overlap::new();
    let read = read("q", &slots);
    newest.complete(answer(42));
    assert_eq!(at_once(older.complete(answer(43))).number, 42);
    assert_eq!(beside_older.value(), 42);
    assert_eq!(wait(world.follow(&read)).value(), 42, "it still lingers");
    write.committed();
    world.lead(&read).complete(answer(43));
}

/// The same with a value that no flight has read.
#[test]
fn values_do_not_go_back_when_a_lone_read_ends() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    let write = world.stamps.begin_write(slots, LIFETIME);
    world.lead(&read).complete(answer(42));
    assert_eq!(wait(world.follow(&read)).value(), 42, "it lingers");
    let snapshot = world.stamps.snapshot(slots);
    assert!(!world.cache.fill(&read, snapshot, answer(43)));
    world.lead(&read).complete(answer(43));
    write.committed();
}

/// Nobody waits for a third load, and nobody need begin one: the newest of the three reads after
/// the older ones, and stays open.
#[test]
fn a_reader_is_handed_over_once() {
    let Overlap { world, slots, older, mut beside_older, write, newest: second } = Overlap::new();
    let read = read("q", &slots);
    let mut beside_second = wait(world.follow(&read));
    let mut older = Polled::new(older.complete(answer(41)).value());
    assert!(older.poll().is_none() && beside_older.is_waiting());

    write.committed();
    let third = world.lead(&read);
    let mut second = Polled::new(second.complete(answer(42)).value());
    assert_eq!(older.poll().unwrap().number, 41, "they have waited once");
    assert_eq!(beside_older.value(), 41);
    assert!(second.poll().is_none() && beside_second.is_waiting(), "these have not");

    let mut newcomer = wait(world.follow(&read));
    assert!(newcomer.is_waiting(), "the third is open");
    third.complete(answer(43));
    assert_eq!(second.poll().unwrap().number, 43);
    assert_eq!((beside_second.value(), newcomer.value()), (43, 43));
    assert_eq!(world.hit(&read), Some(43));
}

/// Whatever comes after the newest reads later than the older flight did.
#[test]
fn a_reader_falls_back_to_the_value_it_came_for() {
    for end in ["fails", "cannot be shared", "is deserted"] {
        let Overlap { world, slots, older, mut beside_older, write, newest } = Overlap::new();
        let read = read("q", &slots);
        let mut older = Polled::new(older.complete(answer(43)).value());
        assert!(older.poll().is_none() && beside_older.is_waiting());
        match end {
            "fails" => newest.fail("down"),
            "cannot be shared" => newest.unshared(),
            _ => drop(newest),
        }
        assert_eq!(older.poll().expect(end).number, 43);
        assert_eq!(beside_older.value(), 43);
        world.lead(&read).complete(answer(43));
        assert_eq!(world.cache.stats().flights, 0);
        write.committed();
    }
}

/// The wake-up that tells of a lost leader may reach one who does not want the lead.
#[test]
fn a_reader_who_falls_back_passes_the_lead_on() {
    let Overlap { world, slots, older, mut beside_older, write, newest } = Overlap::new();
    let read = read("q", &slots);
    let mut older = Polled::new(older.complete(answer(43)).value());
    assert!(older.poll().is_none() && beside_older.is_waiting());
    let mut beside_newest = wait(world.follow(&read));
    assert!(beside_newest.is_waiting(), "last in the queue");
    drop(newest);
    assert_eq!(older.poll().unwrap().number, 43);
    assert_eq!(beside_older.value(), 43);
    beside_newest.lead().complete(answer(43));
    write.committed();
}

/// A reader who is slow to look must not be told less than others have been since.
#[test]
fn a_reader_who_looks_late_finds_what_the_newest_landed_with() {
    let Overlap { world, slots, older, mut beside_older, write, newest } = Overlap::new();
    let read = read("q", &slots);
    let mut older = Polled::new(older.complete(answer(43)).value());
    newest.complete(answer(42));
    assert_eq!(wait(world.follow(&read)).value(), 42);
    assert_eq!((older.poll().unwrap().number, beside_older.value()), (42, 42));
    write.committed();
}

/// A newest flight that nobody can board any more does not stop anybody.
#[test]
fn nobody_waits_for_a_flight_that_has_been_left_behind() {
    let Overlap { world, slots, older, mut beside_older, write, newest } = Overlap::new();
    let read = read("q", &slots);
    write.committed();
    assert_eq!(at_once(older.complete(answer(43))).number, 43);
    assert_eq!(beside_older.value(), 43);
    world.lead(&read).complete(answer(43));
    newest.complete(answer(42));
    assert_eq!(world.hit(&read), Some(43));
}

/// Without a write there is nothing to go back to, so an older flight delays nobody.
#[test]
fn nobody_waits_if_nothing_changed() {
    let world = World::new();
    let slots = [world.table("orders")];
    let any = read("q", &slots);
    let older = world.lead(&any);
    let mut beside_older = wait(world.follow(&any));
    let newest = world.lead(&Read { max_age: Some(Duration::ZERO), ..any });
    assert_eq!(at_once(older.complete(answer(1))).number, 1);
    assert_eq!((beside_older.value(), world.hit(&any)), (1, Some(1)));
    newest.complete(answer(1));
}

#[test]
fn a_reader_who_was_handed_over_may_leave() {
    let Overlap { world, slots, older, mut beside_older, write, newest } = Overlap::new();
    let read = read("q", &slots);
    let mut older = Polled::new(older.complete(answer(43)).value());
    assert!(older.poll().is_none() && beside_older.is_waiting());
    drop((older, beside_older));
    drop(newest);
    assert_eq!(world.cache.stats().flights, 0, "nobody is left to lead it");
    assert!(matches!(world.cache.join(&read), Role::Lead(_)));
    write.committed();
}

/// The value of the newest flight may be one that it was shown itself.
#[test]
fn followers_of_a_flight_that_lands_twice_over_see_one_value() {
    let Overlap { world, slots, older, mut beside_older, write, newest } = Overlap::new();
    let read = read("q", &slots);
    let mut older = Polled::new(older.complete(answer(41)).value());
    assert!(older.poll().is_none() && beside_older.is_waiting());
    let other = world.stamps.begin_write(slots, LIFETIME);
    world.lead(&read).complete(answer(43));
    assert_eq!(at_once(newest.complete(answer(42))).number, 43);
    assert_eq!((older.poll().unwrap().number, beside_older.value()), (43, 43));
    assert!(matches!(wait(world.follow(&read)).poll(), Some(Followed::Value(_))));
    other.committed();
    write.committed();
}

/// A read pinned to a value, and a write in flight that is to learn whether it touched it: it has
/// neither marked nor changed the read's slots, and may have committed.
struct Learning {
    world: World,
    /// Of the value, and of all values of its column.
    pins: [Slot; 2],
    write: WriteMark,
}

impl Learning {
    fn new() -> Self {
        let world = World::new();
        let pins = ["value", "any value"].map(|name| world.table(name));
        let mut write = world.stamps.begin_write([world.table("orders")], LIFETIME);
        write.expect([pins[1]]);
        Self { world, pins, write }
    }
}

/// Nobody knows which of them read the commit, and both were shown.
#[test]
fn of_lone_reads_that_overlap_neither_stays_while_a_write_learns() {
    let Learning { world, pins, write } = Learning::new();
    let read = read("q", &pins);
    let fill = |snapshot, number| world.cache.fill(&read, snapshot, answer(number));
    let [first, second] = [(); 2].map(|()| world.stamps.snapshot(pins));
    assert!(fill(second, 42));
    assert!(!fill(first, 43));
    assert_eq!(world.hit(&read), None, "42 must not follow 43");

    let [first, second] = [(); 2].map(|()| world.stamps.snapshot(pins));
    assert!(fill(first, 43));
    assert!(!fill(second, 42));
    assert_eq!(world.hit(&read), None, "the other way round it looks the same");
    let refused = world.cache.stats().tiers[0].refused_fills;
    assert_eq!((refused.superseded, refused.disputed), (1, 1));

    assert!(world.fill(&read, 43), "a read that overlaps no other is kept");
    assert_eq!(world.hit(&read), Some(43));
    assert!(world.fill(&read, 44), "nor does it overlap what is served from memory");
    write.committed_exactly([pins[0]]);
    assert_eq!(world.hit(&read), None);
}

/// What a write learns ends whatever was read before its commit. Where nobody learns, the later
/// stays, however many read beside one another.
#[test]
fn reads_that_overlapped_are_kept_again_once_the_write_has_learnt() {
    let endings: [fn(WriteMark, Slot); _] = [
        |write, _| write.committed(),
        |write, touched| write.committed_exactly([touched]),
        |write, _| write.aborted(),
        |write, _| write.unknown(),
        |write, _| drop(write),
        |write, _| write.doubt().aborted(),
        |write, _| write.doubt().ended(),
        |write, _| drop(write.doubt()),
    ];
    for end in endings {
        let Learning { world, pins, write } = Learning::new();
        let read = read("q", &pins);
        let early = world.stamps.snapshot(pins);
        assert!(world.fill(&read, 42));
        end(write, pins[0]);
        assert!(!world.cache.fill(&read, early, answer(42)));
        // Those that tell nothing leave a mark.
        world.clock.advance(LIFETIME + Duration::from_secs(1));
        let [first, second] = [(); 2].map(|()| world.stamps.snapshot(pins));
        assert!(world.cache.fill(&read, first, answer(43)));
        assert!(world.cache.fill(&read, second, answer(43)));
        assert_eq!(world.hit(&read), Some(43));
    }
}

/// An answer that is not kept, whatever the reason, may be newer than the one that is.
#[test]
fn an_answer_too_large_to_keep_ends_the_one_that_is_kept_while_a_write_learns() {
    let Learning { world, pins, write } = Learning::new();
    let read = read("q", &pins);
    let large = world.stamps.snapshot(pins);
    assert!(world.fill(&read, 42));
    assert!(!world.cache.fill(&read, large, Answer { number: 43, bytes: 2 << 20 }));
    assert_eq!(world.hit(&read), None);
    write.committed_exactly([pins[0]]);
}

/// They are all shown one value.
#[test]
fn readers_who_share_a_load_do_not_overlap() {
    let Learning { world, pins, write } = Learning::new();
    let read = read("q", &pins);
    let lead = world.lead(&read);
    let mut followers = [(); 10].map(|()| wait(world.follow(&read)));
    assert_eq!(at_once(lead.complete(answer(42))).number, 42);
    assert!(followers.iter_mut().all(|follower| follower.value() == 42));
    assert_eq!(world.hit(&read), Some(42));
    write.committed_exactly([]);
    assert_eq!(world.hit(&read), Some(42), "it was another value that the write touched");
}

/// No stamp has changed, and yet the older flight may have read the commit and the newest not.
#[test]
fn an_older_flight_is_handed_over_while_a_write_learns() {
    let Learning { world, pins, write } = Learning::new();
    let any = read("q", &pins);
    let older = world.lead(&any);
    let mut beside_older = wait(world.follow(&any));
    assert!(beside_older.is_waiting());
    let newest = world.lead(&Read { max_age: Some(Duration::ZERO), ..any });
    let mut older = Polled::new(older.complete(answer(43)).value());
    assert!(older.poll().is_none() && beside_older.is_waiting(), "nobody sees it yet");
    assert_eq!(world.hit(&any), None);
    let mut newcomer = wait(world.follow(&any));
    assert_eq!(at_once(newest.complete(answer(42))).number, 42);
    assert_eq!(older.poll().unwrap().number, 42);
    assert_eq!((beside_older.value(), newcomer.value()), (42, 42));
    assert_eq!(world.hit(&any), Some(42), "nothing else was shown");
    write.committed_exactly([pins[0]]);
}

/// It is shown later than it was read, and what was kept in between may be older.
#[test]
fn a_value_that_is_fallen_back_to_ends_what_is_kept_while_a_write_learns() {
    let Learning { world, pins, write } = Learning::new();
    let any = read("q", &pins);
    let older = world.lead(&any);
    let lone = world.stamps.snapshot(pins);
    let newest = world.lead(&Read { max_age: Some(Duration::ZERO), ..any });
    let mut older = Polled::new(older.complete(answer(43)).value());
    assert!(older.poll().is_none());
    assert!(world.cache.fill(&any, lone, answer(42)));
    newest.fail("down");
    assert_eq!(world.hit(&any), Some(42), "43 has not been seen yet");
    assert_eq!(older.poll().unwrap().number, 43);
    assert_eq!(world.hit(&any), None);
    write.committed_exactly([pins[0]]);
}

/// What left while a write was to learn was shown, though the write touches something else: a change
/// that nobody tells, of another process, may be in it and not in what began to be read before.
#[test]
fn an_older_answer_does_not_follow_one_that_was_withdrawn() {
    let Learning { world, pins, write } = Learning::new();
    let read = read("q", &pins);
    let [slow, first, second] = [(); 3].map(|()| world.stamps.snapshot(pins));
    assert!(world.cache.fill(&read, second, answer(43)));
    assert_eq!(world.hit(&read), Some(43));
    assert!(!world.cache.fill(&read, first, answer(43)));
    assert_eq!(world.hit(&read), None, "two that overlap");
    write.committed_exactly([]);
    assert!(!world.cache.fill(&read, slow, answer(42)));
    assert_eq!(world.hit(&read), None, "42 must not follow 43");
    assert!(world.fill(&read, 43));
}

/// Every reader would have to look for one who may touch everything, so it is marked instead.
#[test]
fn a_write_that_expects_everything_marks_it() {
    let world = World::new();
    let slots = [world.table("orders")];
    let read = read("q", &slots);
    let mut write = world.stamps.begin_write([], LIFETIME);
    assert!(world.fill(&read, 42));
    write.expect([Slot::ALL]);
    assert_eq!(write.slots(), [Slot::ALL]);
    assert!(!world.fill(&read, 42) && world.hit(&read).is_none());
    write.committed_exactly([]);
    assert!(world.fill(&read, 43));
}

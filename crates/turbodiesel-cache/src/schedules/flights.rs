//! Readers who share loads while writers write.
//!
//! Every reader checks what it is shown: not less than was acknowledged, and not less than others
//! had been shown, before it came. A reader who waits for ever is a deadlock, which shuttle reports.

use std::sync::Arc;

use turbodiesel_core::Clock;

use super::world::{
    Conduct::{Failing, Impatient, Picky, Steady, Unsharing, Vanishing},
    LIFETIME, World, check, join,
};

#[test]
fn readers_share_loads_across_a_write() {
    check(|| {
        let world = World::new();
        let writer = world.spawn(World::write);
        join([world.reads(Steady), world.reads(Steady), world.reads(Steady), writer]);
        world.settle();
    });
}

/// From where only those orders are left in which the readers come during the write, or after it.
#[test]
fn readers_meet_a_write_in_flight() {
    check(|| {
        let world = World::new();
        let mark = world.stamps.begin_write([world.table], LIFETIME);
        let readers = [Steady, Steady].map(|conduct| world.reads(conduct));
        world.commit(mark);
        join(readers);
        world.settle();
    });
}

/// From where only those orders are left in which one load is older than the write.
#[test]
fn an_older_load_meets_newer_ones() {
    check(|| {
        let world = World::new();
        let older = world.lead();
        let mark = world.stamps.begin_write([world.table], LIFETIME);
        let readers = [Steady, Steady, Steady].map(|conduct| world.reads(conduct));
        let older = world.spawn(|world| world.load(older));
        world.commit(mark);
        join(readers);
        join([older]);
        world.settle();
    });
}

#[test]
fn readers_come_again_while_two_write() {
    check(|| {
        let world = World::new();
        let reader = |world: &Arc<World>| {
            world.spawn(|world| {
                world.read(Steady);
                world.read(Steady);
            })
        };
        let readers = [reader(&world), reader(&world), reader(&world)];
        join([world.spawn(World::write), world.spawn(World::write)]);
        join(readers);
        world.settle();
    });
}

#[test]
fn lost_leaders_are_replaced() {
    check(|| {
        let world = World::new();
        let writer = world.spawn(World::write);
        let readers = [Vanishing, Vanishing, Impatient, Steady, Steady];
        join(readers.map(|conduct| world.reads(conduct)));
        join([writer]);
        world.settle();
    });
}

#[test]
fn loads_come_to_nothing() {
    check(|| {
        let world = World::new();
        let writer = world.spawn(World::write);
        let readers = [Failing, Unsharing, Impatient, Steady, Steady];
        join(readers.map(|conduct| world.reads(conduct)));
        join([writer]);
        world.settle();
    });
}

#[test]
fn lone_reads_go_beside_shared_ones() {
    check(|| {
        let world = World::new();
        let writer = world.spawn(World::write);
        let alone = [world.spawn(World::read_alone), world.spawn(World::read_alone)];
        join([world.reads(Steady), world.reads(Steady), writer]);
        join(alone);
        world.read(Steady);
        world.settle();
    });
}

/// From where only those orders are left in which the shared load began before the commit.
#[test]
fn a_lone_read_meets_a_load() {
    check(|| {
        let world = World::new();
        let mark = world.stamps.begin_write([world.table], LIFETIME);
        let shared = world.lead();
        let readers = [world.spawn(World::read_alone), world.reads(Steady)];
        let shared = world.spawn(|world| world.load(shared));
        world.commit(mark);
        join(readers);
        join([shared]);
        world.settle();
    });
}

/// Loads that go beside one another although nothing changed.
#[test]
fn some_readers_want_younger_answers() {
    check(|| {
        let world = World::new();
        let writer = world.spawn(World::write);
        join([Steady, Picky, Picky, Steady].map(|conduct| world.reads(conduct)));
        join([writer]);
        world.settle();
    });
}

#[test]
fn readers_share_loads_across_a_write_that_learns() {
    check(|| {
        let world = World::pinned();
        let writer = world.spawn(World::write_exactly);
        join([Steady, Vanishing, Steady, Steady].map(|conduct| world.reads(conduct)));
        join([writer]);
        world.settle();
    });
}

/// From where only those orders are left in which loads go beside one another before the
/// acknowledgement: some alone, some for younger answers, some that come to nothing.
#[test]
fn reads_overlap_while_a_write_learns() {
    check(|| {
        let world = World::pinned();
        let older = world.lead();
        let mark = world.learn();
        let alone = [(); 2].map(|()| world.spawn(World::read_alone));
        let readers = [Picky, Failing].map(|conduct| world.reads(conduct));
        let older = world.spawn(|world| world.load(older));
        world.commit_exactly(mark);
        join(alone);
        join(readers);
        join([older]);
        world.read(Steady);
        world.settle();
    });
}

/// Whatever was read before it lands is not kept, until its time is over.
#[test]
fn a_write_lands_late() {
    check(|| {
        let world = World::new();
        let writer = world.spawn(|world| {
            let mark = world.stamps.begin_write([world.table], LIFETIME);
            drop(mark);
            assert_eq!(world.kept(), None);
            world.land();
        });
        join([world.reads(Steady), world.reads(Steady), world.reads(Steady), writer]);
        assert_eq!(world.kept(), None, "it might land now");
        world.clock.advance(LIFETIME + world.clock.resolution());
        world.read(Steady);
        assert_eq!(world.kept(), Some(1));
        world.settle();
    });
}

#[test]
fn one_write_is_lost_and_another_goes_well() {
    check(|| {
        let world = World::new();
        let lost = world.spawn(|world| {
            let mark = world.stamps.begin_write([world.table], LIFETIME);
            world.land();
            drop(mark);
        });
        let written = world.spawn(World::write);
        join([world.reads(Steady), world.reads(Vanishing), world.reads(Steady), lost, written]);
        world.settle();
    });
}

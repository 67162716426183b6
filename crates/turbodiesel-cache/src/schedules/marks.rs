//! One writer and one reader, in every order: what the reader may keep is what the database holds
//! in the end, however the write went.

use shuttle::{sync::atomic::Ordering::SeqCst, thread};

use super::world::{LIFETIME, World};
use crate::Slot;

/// Runs all schedules. `write` begins a write and ends it; the reader depends on one slot, because
/// each that it looks at multiplies the orders.
fn every_order(slot: fn(&World) -> Slot, write: fn(&World)) {
    shuttle::check_dfs(
        move || {
            let world = World::new();
            let writer = world.spawn(write);
            let slots = [slot(&world)];
            let snapshot = world.stamps.snapshot(slots);
            let answer = world.database.load(SeqCst);
            // The reader might fill now, or at any time later.
            let marked = snapshot.is_marked();
            writer.join().expect("it does not panic");
            let kept = !marked && world.stamps.is_current(&snapshot, &slots);
            assert!(!kept || answer == world.database.load(SeqCst), "a stale answer stays");
        },
        None,
    );
}

fn table(world: &World) -> Slot {
    world.table
}

fn value(world: &World) -> Slot {
    world.value
}

fn any_value(world: &World) -> Slot {
    world.any_value
}

#[test]
fn a_write_commits() {
    every_order(table, World::write);
}

#[test]
fn a_write_loses_its_outcome_after_it_landed() {
    every_order(table, |world| {
        let mark = world.stamps.begin_write([world.table], LIFETIME);
        world.land();
        drop(mark);
    });
}

#[test]
fn a_write_lands_after_its_outcome_was_lost() {
    every_order(table, |world| {
        drop(world.stamps.begin_write([world.table], LIFETIME));
        world.land();
    });
}

#[test]
fn a_write_is_extended_before_it_lands() {
    every_order(table, |world| {
        let mut mark = world.stamps.begin_write([], LIFETIME);
        mark.add([world.table]);
        thread::yield_now();
        world.land();
        mark.committed();
    });
}

#[test]
fn a_write_learns_what_it_touched() {
    every_order(value, |world| {
        let mut mark = world.stamps.begin_write([], LIFETIME);
        mark.expect([world.any_value]);
        world.land();
        mark.committed_exactly([world.value]);
    });
}

#[test]
fn a_write_never_learns_what_it_touched() {
    every_order(any_value, |world| {
        let mut mark = world.stamps.begin_write([], LIFETIME);
        mark.expect([world.any_value]);
        world.land();
        mark.committed();
    });
}

#[test]
fn a_write_lands_after_it_could_learn_what_it_touched() {
    every_order(any_value, |world| {
        let mut mark = world.stamps.begin_write([], LIFETIME);
        mark.expect([world.any_value]);
        drop(mark);
        world.land();
    });
}

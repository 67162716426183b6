//! What the library does with writes that know what they touch, and what if it did otherwise.

use crate::{
    check::{
        Case,
        Claim::{NothingIsKept, P1, P2, P3},
    },
    program::{Grain, Load, Mode, Protocol, ReaderKind, WriterKind},
    protocol::{Ending, Part::Certain, Step::*},
    state::{Effect, Query, Slots},
    world::{Fills, World},
};

/// What the library does, with these writers and readers.
pub(crate) fn world(grain: Grain, writers: Vec<WriterKind>, readers: &[ReaderKind]) -> World {
    World {
        writers,
        readers: readers.to_vec(),
        load: grain.load(),
        shared: false,
        crashes: false,
        deadlines_are_short: false,
        fills: Fills::Undisputed,
        space_is_short: false,
        loads_fail: false,
        remembers_seen: true,
    }
}

pub(crate) const SHARES: ReaderKind =
    ReaderKind { mode: Mode::Shared, queries: &[Query::Table], reads: 1 };
const SHARES_TWICE: ReaderKind = ReaderKind { reads: 2, ..SHARES };
const ALONE: ReaderKind = ReaderKind { mode: Mode::Alone, ..SHARES };
const ALONE_TWICE: ReaderKind = ReaderKind { reads: 2, ..ALONE };
const IMPATIENT: ReaderKind = ReaderKind { mode: Mode::Impatient, ..SHARES };

fn writers(number: usize, grain: Grain, protocol: &Protocol) -> Vec<WriterKind> {
    let effects = &[Effect::TouchesOne];
    vec![protocol.writer(Slots::TABLE, Slots::NONE, effects, grain); number]
}

#[test]
fn every_order_of_atomic_steps() {
    let grain = Grain::Fine;
    let writers = writers(2, grain, &Protocol::library());
    let world = world(grain, writers, &[ALONE_TWICE, ALONE]);
    let name = "library, atomic steps: 2 writers, 2 readers";
    Case { name, world, holds: &[P1, P2], fails: &[NothingIsKept] }.check();
}

#[test]
fn every_order_of_shared_loads() {
    let grain = Grain::Coarse;
    let two = writers(2, grain, &Protocol::library());
    let one = writers(1, grain, &Protocol::library());
    let cases = [
        ("library: 2 writers, 2 who share", world(grain, two.clone(), &[SHARES_TWICE; 2])),
        ("library: 2 writers, 3 who share", world(grain, two, &[SHARES; 3])),
        ("library: 1 writer, alone, impatient", world(grain, one, &[SHARES, ALONE, IMPATIENT])),
    ];
    for (name, world) in cases {
        Case { name, world, holds: &[P1, P2, P3], fails: &[NothingIsKept] }.check();
    }
}

#[test]
fn every_order_of_shared_loads_in_atomic_steps() {
    let grain = Grain::Fine;
    let one = writers(1, grain, &Protocol::library());
    let cases = [
        ("library, atomic steps: 1 writer, alone", [SHARES, SHARES, ALONE]),
        ("library, atomic steps: 1 writer, impatient", [SHARES, SHARES, IMPATIENT]),
    ];
    for (name, readers) in cases {
        let world = world(grain, one.clone(), &readers);
        Case { name, world, holds: &[P1, P2, P3], fails: &[] }.check();
    }
}

#[test]
fn what_does_not_fit() {
    let grain = Grain::Coarse;
    let one = writers(1, grain, &Protocol::library());
    let world = World { space_is_short: true, ..world(grain, one, &[SHARES, SHARES, ALONE]) };
    let name = "library: evictions, and answers too large to keep";
    Case { name, world, holds: &[P1, P2, P3], fails: &[] }.check();
}

/// A commit lands later than anybody waited for it.
#[test]
fn a_deadline_must_outlast_the_commit() {
    let grain = Grain::Fine;
    let world = world(grain, writers(1, grain, &Protocol::library()), &[ALONE_TWICE; 2]);
    let world = World { deadlines_are_short: true, ..world };
    let name = "deadline before a late commit";
    Case { name, world, holds: &[P1], fails: &[P2, P3] }.check();
}

/// Steps that are left out, or done in another order.
#[test]
fn other_writers() {
    let library = Protocol::library;
    let cases: [(&str, Protocol, &[_], &[_]); _] = [
        ("no stamp before the commit", library().beginning(&[Mark(Certain)]), &[P1, P2], &[P3]),
        ("no mark", library().beginning(&[Stamp(Certain)]), &[P1, P2], &[P3]),
        (
            "stamp before mark",
            library().beginning(&[Stamp(Certain), Mark(Certain)]),
            &[P1, P2],
            &[P3],
        ),
        (
            "no stamp after the commit",
            library().ending(Ending::Committed, &[Lift(Certain)]),
            &[P2],
            &[P1],
        ),
        ("acknowledged first", library().acknowledging_first(), &[P2], &[P1]),
        (
            "no deadline on what is unknown",
            library().ending(Ending::Unknown, &[Stamp(Certain), Lift(Certain)]),
            &[P1],
            &[P2],
        ),
        (
            "a deadline too late",
            library().ending(Ending::Unknown, &[Stamp(Certain), Lift(Certain), Hold(Certain)]),
            &[P1],
            &[P2],
        ),
        // What follows would do as well, within one process.
        (
            "lift before stamp",
            library().ending(Ending::Committed, &[Lift(Certain), Stamp(Certain)]),
            &[P1, P2, P3],
            &[],
        ),
        (
            "no stamp on what is unknown",
            library().ending(Ending::Unknown, &[Hold(Certain), Lift(Certain)]),
            &[P1, P2, P3],
            &[],
        ),
        ("no last word", library().ending(Ending::Unknown, &[]), &[P1, P2, P3], &[]),
    ];
    let grain = Grain::Fine;
    for (name, protocol, holds, fails) in cases {
        let world = world(grain, writers(1, grain, &protocol), &[SHARES, SHARES, ALONE]);
        Case { name, world, holds, fails }.check();
    }
}

/// Steps of a reader in another order.
#[test]
fn other_readers() {
    use Load::{Deadlines, Land, Read, Tick, Writers};
    let cases: [(&str, &[Load], &[_], &[_]); _] = [
        ("version after the read", &[Writers, Deadlines, Read, Tick, Land], &[], &[P1, P2]),
        ("marks before the version", &[Writers, Deadlines, Tick, Read, Land], &[P1], &[P2]),
        ("marks after the read", &[Tick, Read, Writers, Deadlines, Land], &[P1], &[P2]),
        ("no look for writers", &[Tick, Deadlines, Read, Land], &[P1, P2], &[P3]),
        ("no look for deadlines", &[Tick, Writers, Read, Land], &[P1], &[P2]),
        // Would do as well.
        ("deadlines before writers", &[Tick, Deadlines, Writers, Read, Land], &[P1, P2, P3], &[]),
    ];
    let grain = Grain::Fine;
    for (name, load, holds, fails) in cases {
        let world = world(grain, writers(1, grain, &Protocol::library()), &[ALONE_TWICE; 2]);
        let world = World { load: load.iter().map(|load| vec![*load]).collect(), ..world };
        Case { name, world, holds, fails }.check();
    }
}

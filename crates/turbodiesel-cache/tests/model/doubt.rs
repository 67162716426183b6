//! Writes whose outcome somebody finds out.

use crate::{
    check::{
        Case,
        Claim::{P1, P2, P3},
    },
    library::{SHARES, world},
    program::{Grain, Load, Mode, Protocol, ReaderKind},
    protocol::{Ending, Part::Certain, Step::*},
    state::{Effect, Query, Slots},
    world::World,
};

const SHARES_TWICE: ReaderKind = ReaderKind { reads: 2, ..SHARES };
const ALONE: ReaderKind = ReaderKind { mode: Mode::Alone, ..SHARES };

/// Each look for marks is a step of its own.
fn marks(protocol: &Protocol, readers: &[ReaderKind]) -> World {
    use Load::{Deadlines, Doubts, Land, Read, Tick, Writers};
    let grain = Grain::Fine;
    let writer = protocol.writer(Slots::TABLE, Slots::NONE, &[Effect::TouchesOne], grain);
    let load = [Tick, Writers, Doubts, Deadlines, Read, Land].map(|load| vec![load]).into();
    World { load, ..world(grain, vec![writer], readers) }
}

#[test]
fn every_order() {
    let doubting = Protocol::doubting();
    let name = "doubt: 1 writer, alone";
    let world = marks(&doubting, &[SHARES_TWICE, ALONE]);
    Case { name, world, holds: &[P1, P2, P3], fails: &[] }.check();
    let name = "doubt: 1 writer, 2 who share";
    let world = marks(&doubting, &[SHARES_TWICE, SHARES_TWICE]);
    Case { name, world, holds: &[P1, P2, P3], fails: &[] }.check();
}

#[test]
fn every_order_with_learnt_values() {
    let grain = Grain::Coarse;
    let effects = &[Effect::TouchesOne, Effect::TouchesTwo, Effect::Moves];
    let writer = Protocol::doubting().writer(Slots::NONE, Slots::ANY, effects, grain);
    let pinned = ReaderKind { queries: &[Query::One, Query::Two], ..SHARES_TWICE };
    let name = "doubt, learnt: 1 writer, 2 who share";
    let world = world(grain, vec![writer], &[pinned; 2]);
    Case { name, world, holds: &[P1, P2, P3], fails: &[] }.check();
}

/// Steps that are left out, or done in another order.
#[test]
fn other_writers() {
    let cases: [(&str, Ending, &[_], &[_], &[_]); _] = [
        ("never doubted", Ending::Doubted, &[Stamp(Certain), Lift(Certain)], &[P1], &[P2]),
        (
            "doubted too late",
            Ending::Doubted,
            &[Stamp(Certain), Lift(Certain), Doubt(Certain)],
            &[P1],
            &[P2],
        ),
        ("settled without a stamp", Ending::Settled, &[Settle(Certain)], &[P2], &[P1]),
        ("unsettled without a deadline", Ending::Unsettled, &[Settle(Certain)], &[P1], &[P2]),
        (
            "held after it was settled",
            Ending::Unsettled,
            &[Settle(Certain), Hold(Certain)],
            &[P1],
            &[P2],
        ),
    ];
    for (name, ending, steps, holds, fails) in cases {
        let protocol = Protocol::doubting().ending(ending, steps);
        let world = marks(&protocol, &[SHARES_TWICE, SHARES_TWICE]);
        Case { name, world, holds, fails }.check();
    }
}

/// A doubt that nobody settles sets its deadline before it ends, so it must be looked for before
/// deadlines are.
#[test]
fn other_readers() {
    use Load::{Deadlines, Doubts, Land, Read, Tick, Writers};
    let load = [Tick, Writers, Deadlines, Doubts, Read, Land].map(|load| vec![load]).into();
    let world = World { load, ..marks(&Protocol::doubting(), &[SHARES_TWICE, SHARES_TWICE]) };
    let name = "deadlines before doubts";
    Case { name, world, holds: &[P1], fails: &[P2] }.check();
}

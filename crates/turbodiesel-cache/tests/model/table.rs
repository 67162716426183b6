//! The thirteen protocols for stamps in a shared store that the choice was made from.
//!
//! One query, one tag, two writers, two readers that ask twice and never share. Stamps and marks
//! change in one step where the store can do that. A crash includes cancelled futures; a commit whose
//! writer has crashed may land later.

use crate::{
    check::{Case, Claim},
    program::{Load, Mode, Op, Program, ReaderKind, WriterKind},
    protocol::{Ending, Part::Certain, Step},
    state::{Effect, Query, Slots},
    world::{Fills, World},
};

const MARK: Op = Op::Run(Step::Mark(Certain));
const STAMP: Op = Op::Run(Step::Stamp(Certain));
const LIFT: Op = Op::Run(Step::Lift(Certain));
const ACK: Op = Op::Acknowledge;

/// When a reader takes the version of its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    BeforeReading,
    AtFill,
}

const READER: ReaderKind = ReaderKind { mode: Mode::Alone, queries: &[Query::Table], reads: 2 };

fn world(begin: &[&[Op]], committed: &[&[Op]], version: Version) -> World {
    use Load::{Deadlines, Land, Read, Tick, Writers};
    let moves = |moves: &[&[Op]]| moves.iter().map(|ops| ops.to_vec()).collect();
    let load = match version {
        Version::BeforeReading => vec![vec![Tick, Writers, Deadlines], vec![Read], vec![Land]],
        Version::AtFill => vec![vec![Writers, Deadlines], vec![Read], vec![Tick, Land]],
    };
    let writer = WriterKind {
        certain: Slots::TABLE,
        expected: Slots::NONE,
        effects: &[Effect::TouchesOne],
        program: Program {
            begin: moves(begin),
            endings: vec![(Ending::Committed, moves(committed))],
        },
    };
    World {
        writers: vec![writer; 2],
        readers: vec![READER; 2],
        load,
        shared: true,
        crashes: false,
        deadlines_are_short: false,
        fills: Fills::Last,
        space_is_short: false,
        loads_fail: false,
        remembers_seen: false,
    }
}

#[test]
fn rows() {
    use Claim::{P1, P2};
    use Version::{AtFill, BeforeReading};
    let crashes = |world: World| World { crashes: true, ..world };
    let early = |world: World| World { deadlines_are_short: true, ..world };
    let row03 = world(&[&[STAMP]], &[&[ACK]], BeforeReading);
    let row05 = world(&[], &[&[STAMP], &[ACK]], BeforeReading);
    let row09 = world(&[&[MARK, STAMP]], &[&[LIFT], &[ACK]], BeforeReading);
    let row10 = world(&[&[MARK, STAMP]], &[&[LIFT, STAMP], &[ACK]], BeforeReading);
    let rows: [(&str, World, &[Claim], &[Claim]); 13] = [
        ("01", world(&[&[STAMP]], &[&[ACK]], AtFill), &[], &[P1, P2]),
        ("02", world(&[], &[&[STAMP], &[ACK]], AtFill), &[], &[P1, P2]),
        ("03", row03, &[], &[P1, P2]),
        ("04", world(&[], &[&[ACK], &[STAMP]], BeforeReading), &[P2], &[P1]),
        ("05", row05.clone(), &[P1, P2], &[]),
        ("06", crashes(row05), &[P1], &[P2]),
        ("07", crashes(world(&[&[STAMP]], &[&[STAMP], &[ACK]], BeforeReading)), &[P1], &[P2]),
        ("08", crashes(world(&[&[MARK]], &[&[LIFT, STAMP], &[ACK]], BeforeReading)), &[P1], &[P2]),
        ("09", crashes(row09.clone()), &[P1, P2], &[]),
        ("10", crashes(row10.clone()), &[P1, P2], &[]),
        ("11", early(row09), &[], &[P1, P2]),
        ("12", early(row10.clone()), &[P1, P2], &[]),
        ("13", early(crashes(row10)), &[P1], &[P2]),
    ];
    for (name, world, holds, fails) in rows {
        Case { name, world, holds, fails }.check();
    }
}

//! Writes that learn what they have touched.
//!
//! Such a write is sure to change its table, and *expects* to change values of the column `k`: it
//! neither marks nor stamps `t/k=*` before it commits, so what is pinned on other values stays. Once
//! it knows which values it touched it stamps those, and `t/k=*` if it never does.

use crate::{
    check::{
        Case,
        Claim::{self, NothingSurvives, P1, P2, P3},
    },
    library::world,
    program::{Grain, Mode, Protocol, ReaderKind, WriterKind},
    protocol::{
        Ending,
        Part::{Certain, Expected, Touched},
        Step::*,
    },
    state::{Effect, Query, Slots},
    world::{Fills, World},
};

const ONE: ReaderKind = ReaderKind { mode: Mode::Shared, queries: &[Query::One], reads: 1 };
const ONE_TWICE: ReaderKind = ReaderKind { reads: 2, ..ONE };
const ONE_ALONE: ReaderKind = ReaderKind { mode: Mode::Alone, ..ONE };
const ONE_IMPATIENT: ReaderKind = ReaderKind { mode: Mode::Impatient, ..ONE };
const ANYTHING: ReaderKind = ReaderKind { queries: &Query::ALL, ..ONE };
const PINNED: ReaderKind = ReaderKind { queries: &[Query::One, Query::Two], ..ONE };

const PINNED_TWICE: ReaderKind = ReaderKind { reads: 2, ..PINNED };
const WHOLE: ReaderKind = ReaderKind { queries: &[Query::Table], ..ONE };

const EFFECTS: &[Effect] = &[Effect::TouchesOne, Effect::TouchesTwo, Effect::Moves];

/// A writer that learns, where nobody reads the whole table.
fn learns(protocol: &Protocol, effects: &'static [Effect]) -> WriterKind {
    protocol.writer(Slots::NONE, Slots::ANY, effects, Grain::Coarse)
}

/// The same with the slot of the table, which it is sure to change.
fn learns_and_marks(protocol: &Protocol, effects: &'static [Effect]) -> WriterKind {
    protocol.writer(Slots::TABLE, Slots::ANY, effects, Grain::Coarse)
}

/// A writer that knows that it touches `k = 1`.
fn knows() -> WriterKind {
    let effects = &[Effect::TouchesOne];
    Protocol::library().writer(Slots::TABLE.and(Slots::ONE), Slots::NONE, effects, Grain::Coarse)
}

/// Two pinned queries and one that is not; writers that touch either value, or move a row.
#[test]
fn nothing_stale_is_served_or_kept() {
    let library = Protocol::library();
    let [all, pinned] = [learns_and_marks(&library, EFFECTS), learns(&library, EFFECTS)];
    let touches = learns_and_marks(&library, &[Effect::TouchesOne]);
    let moves = learns_and_marks(&library, &[Effect::Moves]);
    let one = learns(&library, &[Effect::TouchesOne]);
    let cases = [
        ("learnt: 1 writer, 3 who read anything", vec![all], vec![ANYTHING; 3]),
        (
            "learnt: 2 writers, 2 who read what is pinned",
            vec![pinned; 2],
            vec![PINNED_TWICE, PINNED],
        ),
        ("learnt: 2 writers, pinned and not", vec![touches, moves], vec![ONE, WHOLE]),
        ("learnt: beside a writer that knows, 2 readers", vec![one, knows()], vec![ONE_TWICE; 2]),
    ];
    for (name, writers, readers) in cases {
        let world = world(Grain::Coarse, writers, &readers);
        Case { name, world, holds: &[P1, P2], fails: &[] }.check();
    }
}

/// What the writer has not touched stays, before the commit and after it.
#[test]
fn other_values_survive() {
    let writer = learns_and_marks(&Protocol::library(), EFFECTS);
    let world = world(Grain::Coarse, vec![writer], &[ANYTHING; 2]);
    let name = "learnt: other values";
    Case { name, world, holds: &[], fails: &[NothingSurvives] }.check();
}

/// Until the writer has learnt what it touched, nothing tells those who have read its commit from
/// those who have not, and of two reads that overlap it the one that began last may have read less.
#[test]
fn values_do_not_go_back_between_commit_and_acknowledgement() {
    let library = Protocol::library();
    let one = learns(&library, &[Effect::TouchesOne]);
    let [single, double] = [vec![one.clone()], vec![one.clone(); 2]];
    let cases = [
        ("learnt: 1 writer, impatient", single.clone(), vec![ONE, ONE, ONE_IMPATIENT]),
        ("learnt: 1 writer, alone", single.clone(), vec![ONE, ONE, ONE_ALONE]),
        ("learnt: 2 writers, 3 who share", double, vec![ONE; 3]),
        ("learnt: beside a writer that knows", vec![one, knows()], vec![ONE; 3]),
    ];
    for (name, writers, readers) in cases {
        let world = world(Grain::Coarse, writers, &readers);
        Case { name, world: world.clone(), holds: &[P1, P2, P3], fails: &[] }.check();
        let world = World { fills: Fills::BegunLast, ..world };
        let name = format!("{name}; the later stays").leak();
        Case { name, world, holds: &[], fails: &[P3] }.check();
    }
    let all = learns_and_marks(&library, EFFECTS);
    let world = world(Grain::Coarse, vec![all], &[ANYTHING; 3]);
    let name = "learnt: 3 who read anything";
    Case { name, world, holds: &[P3], fails: &[] }.check();
}

/// The same in atomic steps, and whatever becomes of an answer.
#[test]
fn values_do_not_go_back_whatever_becomes_of_answers() {
    let effects = &[Effect::TouchesOne];
    let [coarse, fine] = [Grain::Coarse, Grain::Fine].map(|grain| {
        let writer = Protocol::library().writer(Slots::NONE, Slots::ANY, effects, grain);
        world(grain, vec![writer], &[ONE, ONE_ALONE, ONE_IMPATIENT])
    });
    let twice = World { readers: vec![ONE_TWICE, ONE_ALONE, ONE_IMPATIENT], ..coarse };
    let cases = [
        ("learnt, atomic steps: shared, alone, impatient", fine),
        ("learnt: loads that fail", World { loads_fail: true, ..twice.clone() }),
        ("learnt: evictions, and answers too large", World { space_is_short: true, ..twice }),
    ];
    for (name, world) in cases {
        Case { name, world, holds: &[P1, P2, P3], fails: &[] }.check();
    }
}

/// Writers that do not say in time that they are to learn what they touched.
#[test]
fn writers_that_are_not_announced() {
    let library = Protocol::library;
    let exactly = Ending::CommittedExactly;
    let cases = [
        ("learnt, never announced", library().beginning(&[])),
        (
            "learnt, withdrawn before stamped",
            library().ending(exactly, &[Withdraw(Expected), Stamp(Touched)]),
        ),
    ];
    for (name, protocol) in cases {
        let writer = learns(&protocol, &[Effect::TouchesOne]);
        let world = world(Grain::Coarse, vec![writer], &[ONE_TWICE, ONE_ALONE, ONE_ALONE]);
        Case { name, world, holds: &[P1, P2], fails: &[P3] }.check();
    }
}

/// Marking what is expected, so that nothing is kept meanwhile, does not do instead of announcing it:
/// what was read before the mark comes later.
#[test]
fn marking_what_is_expected() {
    let marks = Protocol::library()
        .beginning(&[Mark(Certain), Stamp(Certain), Mark(Expected)])
        .ending(
            Ending::Committed,
            &[Stamp(Certain), Stamp(Expected), Lift(Certain), Lift(Expected)],
        )
        .ending(
            Ending::CommittedExactly,
            &[Stamp(Certain), Stamp(Touched), Lift(Certain), Lift(Expected)],
        )
        .ending(Ending::Aborted, &[Lift(Certain), Lift(Expected)])
        .ending(
            Ending::Unknown,
            &[
                Hold(Certain),
                Hold(Expected),
                Stamp(Certain),
                Stamp(Expected),
                Lift(Certain),
                Lift(Expected),
            ],
        );
    let writer = learns(&marks, EFFECTS);
    let world = world(Grain::Coarse, vec![writer], &[PINNED, PINNED, ONE_ALONE]);
    let name = "learnt, expected values marked";
    Case { name, world, holds: &[P1, P2], fails: &[P3, NothingSurvives] }.check();

    let lifts_first = marks
        .clone()
        .ending(Ending::CommittedExactly, &[Lift(Certain), Lift(Expected), Stamp(Touched)]);
    check("lifted before stamped, and then acknowledged", &lifts_first, EFFECTS, &[P1, P2], &[]);
    let acknowledges = lifts_first.acknowledging_first();
    check("lifted and acknowledged before stamped", &acknowledges, EFFECTS, &[P2], &[P1]);
    let dies = marks.ending(Ending::Unknown, &[]);
    check("marked, and no last word", &dies, EFFECTS, &[P1], &[P2]);
}

fn check(
    name: &'static str,
    protocol: &Protocol,
    effects: &'static [Effect],
    holds: &'static [Claim],
    fails: &'static [Claim],
) {
    let world = world(Grain::Coarse, vec![learns(protocol, effects)], &[PINNED_TWICE, PINNED]);
    Case { name, world, holds, fails }.check();
}

/// Steps that are left out, or done in another order.
#[test]
fn other_writers() {
    let library = Protocol::library;
    let exactly = Ending::CommittedExactly;
    let cases: [(&str, Protocol, &[_], &[_]); _] = [
        ("learnt and not stamped", library().ending(exactly, &[Stamp(Certain)]), &[], &[P1, P2]),
        ("stamped after the acknowledgement", library().acknowledging_first(), &[P2], &[P1]),
        (
            "not learnt, and not everything stamped",
            library().ending(Ending::Committed, &[Stamp(Certain), Lift(Certain)]),
            &[],
            &[P1, P2],
        ),
        (
            "unknown, and not everything stamped",
            library().ending(Ending::Unknown, &[Hold(Expected)]),
            &[P1],
            &[P2],
        ),
        (
            "unknown, and not everything held",
            library().ending(Ending::Unknown, &[Stamp(Expected)]),
            &[P1],
            &[P2],
        ),
        (
            "unknown, and held too late",
            library().ending(Ending::Unknown, &[Stamp(Expected), Hold(Expected)]),
            &[P1],
            &[P2],
        ),
        ("no last word", library().ending(Ending::Unknown, &[]), &[P1], &[P2]),
    ];
    for (name, protocol, holds, fails) in cases {
        check(name, &protocol, EFFECTS, holds, fails);
    }
    let half_seen = &[Effect::MovesHalfSeen];
    check("only the new value is learnt", &library(), half_seen, &[], &[P1, P2]);
}

#[test]
fn a_deadline_must_outlast_the_commit() {
    let writer = learns(&Protocol::library(), EFFECTS);
    let world = world(Grain::Coarse, vec![writer], &[PINNED_TWICE, PINNED]);
    let world = World { deadlines_are_short: true, ..world };
    let name = "learnt, deadline before a late commit";
    Case { name, world, holds: &[P1], fails: &[P2] }.check();
}

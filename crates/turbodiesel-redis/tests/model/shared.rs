//! What is to run, with one record and with two.

use crate::{
    check::{
        Case,
        Claim::{NothingIsKept, NothingSurvives, P1, P2, P3},
    },
    program::{Load, Protocol, ReaderKind, WriterKind},
    protocol::{Ending, FOUND},
    state::{Effect, Query, Tags},
    world::{Loss, Positions, Replica, World},
};

/// How a reader looks at one record.
const LOOK: &[&[Load]] = &[&[Load::Stamps(0), Load::Marks(0)], &[Load::Entry, Load::Judge]];

/// What is to run, with these writers and readers. Whoever is in the model may crash.
pub(crate) fn world(writers: Vec<WriterKind>, readers: &[ReaderKind]) -> World {
    World {
        writers,
        readers: readers.to_vec(),
        load: looking(LOOK),
        bury: Ending::Buried.steps(),
        found: FOUND,
        crashes: true,
        stalls: false,
        lifetimes_are_short: false,
        losses: &[],
        replica: Replica::None,
        positions: Positions::All,
        remembers_seen: true,
    }
}

/// The moves of a reader who looks so.
pub(crate) fn looking(look: &[&[Load]]) -> Vec<Vec<Load>> {
    let rest: [&[Load]; 2] = [&[Load::Read], &[Load::Land]];
    look.iter().copied().chain(rest).map(<[Load]>::to_vec).collect()
}

pub(crate) const WHOLE: ReaderKind = ReaderKind { queries: &[Query::Whole], reads: 1 };
pub(crate) const WHOLE_TWICE: ReaderKind = ReaderKind { reads: 2, ..WHOLE };
pub(crate) const PINNED: ReaderKind = ReaderKind { queries: &[Query::One, Query::Two], ..WHOLE };
pub(crate) const PINNED_TWICE: ReaderKind = ReaderKind { reads: 2, ..PINNED };
pub(crate) const ONE: ReaderKind = ReaderKind { queries: &[Query::One], ..WHOLE };
pub(crate) const ONE_TWICE: ReaderKind = ReaderKind { reads: 2, ..ONE };
pub(crate) const BOTH: ReaderKind = ReaderKind { queries: &[Query::Both], ..WHOLE };
pub(crate) const BOTH_TWICE: ReaderKind = ReaderKind { reads: 2, ..BOTH };

/// A writer that is sure to change the table.
pub(crate) fn knows(protocol: &Protocol) -> WriterKind {
    protocol.writer(Tags::A, Tags::NONE, &[Effect::TouchesOne])
}

/// A writer that learns which values it touched, where nobody reads the whole table.
pub(crate) fn learns(protocol: &Protocol, effects: &'static [Effect]) -> WriterKind {
    protocol.writer(Tags::NONE, Tags::ANY, effects)
}

pub(crate) const EFFECTS: &[Effect] = &[Effect::TouchesOne, Effect::TouchesTwo, Effect::Moves];

#[test]
fn one_record() {
    let shared = Protocol::shared();
    let two = vec![knows(&shared); 2];
    let name = "shared: 2 writers, 2 readers";
    let world2 = world(two.clone(), &[WHOLE_TWICE; 2]);
    Case { name, world: world2, holds: &[P1, P2, P3], fails: &[NothingIsKept] }.check();

    let three = vec![knows(&shared); 3];
    let name = "shared: 3 writers, 2 readers";
    let world3 = world(three, &[WHOLE_TWICE; 2]);
    Case { name, world: world3, holds: &[P1, P2, P3], fails: &[] }.check_long();
    let name = "shared: 2 writers, 3 readers";
    let world3 = world(two, &[WHOLE_TWICE; 3]);
    Case { name, world: world3, holds: &[P1, P2, P3], fails: &[] }.check_long();
}

/// Writes that learn, beside one another, beside one that fails to learn or crashes, and beside one that
/// knows.
#[test]
fn learnt_values() {
    let shared = Protocol::shared();
    let one = learns(&shared, &[Effect::TouchesOne]);
    let any = learns(&shared, EFFECTS);
    let knows = shared.writer(Tags::ONE, Tags::NONE, &[Effect::TouchesOne]);
    let cases = [
        ("learnt: 1 writer, 2 readers", world(vec![any.clone()], &[PINNED_TWICE; 2])),
        ("learnt: 2 writers, 2 readers", world(vec![any.clone(), one.clone()], &[PINNED; 2])),
        ("learnt: beside one that knows", world(vec![one.clone(), knows], &[ONE_TWICE; 2])),
    ];
    for (name, world) in cases {
        Case { name, world, holds: &[P1, P2, P3], fails: &[] }.check();
    }
    let name = "learnt: other values";
    let survives = world(vec![one.clone(), one], &[PINNED; 2]);
    Case { name, world: survives, holds: &[], fails: &[NothingSurvives] }.check();
    let name = "learnt: 2 writers, 2 readers twice";
    let long = world(vec![any; 2], &[PINNED_TWICE; 2]);
    Case { name, world: long, holds: &[P1, P2, P3], fails: &[] }.check_long();
}

/// Two nodes, in whichever order a reader's looks and a writer's steps reach them.
#[test]
fn two_records() {
    use Load::{Entry, Judge, Marks, Stamps};
    let [first, second] = [[Stamps(0), Marks(0)], [Stamps(1), Marks(1)]];
    let looks: [(&str, [&[Load]; 3]); _] = [
        ("entry last", [&first, &second, &[Entry, Judge]]),
        ("entry between", [&first, &[Entry], &[second[0], second[1], Judge]]),
        ("entry first", [&[Entry], &second, &[first[0], first[1], Judge]]),
    ];
    for (name, look) in looks {
        let shared = Protocol::shared();
        let back = Protocol { order: [1, 0], ..Protocol::shared() };
        let knows = knows_both(&shared);
        let [learns, learns_back] = [&shared, &back].map(learns_both);
        let second = shared.writer(Tags::ONE_B, Tags::NONE, &[Effect::TouchesB]);
        let cases = [
            world(vec![knows.clone()], &[BOTH_TWICE; 2]),
            world(vec![knows_both(&back)], &[BOTH_TWICE; 2]),
            world(vec![learns.clone()], &[BOTH_TWICE, BOTH]),
            world(vec![learns_back.clone()], &[BOTH_TWICE, BOTH]),
            world(vec![knows, second], &[BOTH; 2]),
        ];
        let name = format!("two records, {name}").leak();
        let case = |world: World| Case {
            name,
            world: World { load: looking(&look), ..world },
            holds: &[P1, P2, P3],
            fails: &[],
        };
        for world in cases {
            case(world).check();
        }
        case(world(vec![learns, learns_back], &[BOTH; 2])).check_long();
    }
}

/// A writer that knows what it touches in both tables.
fn knows_both(protocol: &Protocol) -> WriterKind {
    let certain = Tags::ONE.and(Tags::ONE_B);
    protocol.writer(certain, Tags::NONE, &[Effect::TouchesBoth])
}

/// A writer that learns it.
fn learns_both(protocol: &Protocol) -> WriterKind {
    let effects = &[Effect::TouchesOne, Effect::TouchesB, Effect::TouchesBoth];
    protocol.writer(Tags::NONE, Tags::ANY.and(Tags::ANY_B), effects)
}

/// Stamps, marks or everything vanishes from the store, once.
#[test]
fn losses() {
    let shared = Protocol::shared();
    let cases: [(&str, &[Loss]); _] = [
        ("stamps evicted", &[Loss::Stamps(0)]),
        ("marks evicted", &[Loss::Marks(0)]),
        ("flushed, or failed over", &[Loss::Everything]),
    ];
    for (name, losses) in cases {
        let learns = learns(&shared, &[Effect::TouchesOne]);
        let one = world(vec![knows(&shared)], &[WHOLE_TWICE; 2]);
        let learnt = world(vec![learns.clone()], &[ONE_TWICE; 2]);
        let beside = world(vec![learns, knows(&shared)], &[ONE; 2]);
        let two = world(vec![knows(&shared); 2], &[WHOLE_TWICE, WHOLE]);
        let case = |world| Case {
            name,
            world: World { losses, ..world },
            holds: &[P1, P2, P3],
            fails: &[],
        };
        case(one).check();
        case(learnt).check();
        case(two).check_long();
        case(beside).check_long();
    }
}

/// A write that is acknowledged when it has committed, while its end is on its way: its mark is there.
#[test]
fn the_end_is_not_waited_for() {
    let hasty = Protocol { acknowledges_first: true, ..Protocol::shared() };
    let learns = learns(&hasty, &[Effect::TouchesOne]);
    let loses = |world| World { losses: &[Loss::Everything], ..world };
    let two_records = World {
        load: looking(&[
            &[Load::Stamps(0), Load::Marks(0), Load::Entry],
            &[Load::Stamps(1), Load::Marks(1), Load::Judge],
        ]),
        ..world(vec![learns_both(&hasty)], &[BOTH_TWICE, BOTH])
    };
    let cases = [
        ("not waited for: 2 writers", world(vec![knows(&hasty); 2], &[WHOLE_TWICE, WHOLE])),
        (
            "not waited for: learnt, and a loss",
            loses(world(vec![learns.clone()], &[ONE_TWICE, ONE])),
        ),
        ("not waited for: a loss", loses(world(vec![knows(&hasty)], &[WHOLE_TWICE, WHOLE]))),
        ("not waited for: two records", two_records),
    ];
    for (name, world) in cases {
        Case { name, world, holds: &[P1, P2, P3], fails: &[] }.check();
    }
}

/// A replica of the database lags behind.
#[test]
fn replicas() {
    let shared = Protocol::shared();
    let lagging = |world| World { replica: Replica::Gated, ..world };
    let two = lagging(world(vec![knows(&shared); 2], &[WHOLE_TWICE, WHOLE]));
    let name = "replica: 2 writers, 2 readers";
    Case { name, world: two, holds: &[P1, P2, P3], fails: &[] }.check();
    let one = lagging(world(vec![knows(&shared)], &[WHOLE_TWICE, WHOLE]));
    let lost = World { losses: &[Loss::Marks(0), Loss::Everything], ..one };
    let name = "replica: marks and positions lost";
    Case { name, world: lost, holds: &[P1, P2, P3], fails: &[] }.check();
}

//! What if it did otherwise: steps that are left out, or done in another order.
//!
//! `docs/plants.md` lists them with what they break.

use crate::{
    check::{
        Case,
        Claim::{self, P1, P2, P3},
    },
    program::{Load, Protocol},
    protocol::{
        Ending,
        Part::{Certain, Expected, Touched},
        Step::{Found, Lift, Mark, Position, Stamp},
    },
    shared::{
        EFFECTS, ONE_TWICE, PINNED, PINNED_TWICE, WHOLE, WHOLE_TWICE, knows, learns, looking, world,
    },
    state::Effect,
    world::{Loss, Positions, Replica, World},
};

type Claims = &'static [Claim];

/// Two writers that know what they change, and two who read it.
fn known(protocol: &Protocol) -> World {
    world(vec![knows(protocol); 2], &[WHOLE_TWICE, WHOLE])
}

/// One of them, where that is enough.
fn known_one(protocol: &Protocol) -> World {
    world(vec![knows(protocol)], &[WHOLE_TWICE, WHOLE])
}

/// A writer that learns what it touches, and two who read that.
fn learnt(protocol: &Protocol) -> World {
    world(vec![learns(protocol, EFFECTS)], &[PINNED_TWICE, PINNED])
}

/// The same with readers of one value, who ask more often.
fn learnt_one(protocol: &Protocol) -> World {
    world(vec![learns(protocol, &[Effect::TouchesOne])], &[ONE_TWICE; 2])
}

#[test]
fn writers() {
    let shared = Protocol::shared;
    let exactly = Ending::CommittedExactly;
    let singly = |protocol| Protocol { in_single_steps: true, ..protocol };
    let hasty = |protocol| Protocol { acknowledges_first: true, ..protocol };
    let unmarked = shared()
        .beginning(&[Stamp(Certain)])
        .ending(Ending::Committed, &[Stamp(Certain), Position]);
    let marked_alone = shared().beginning(&[Mark]);
    let cases: [(&str, World, Claims, Claims); _] = [
        ("known, never marked", known(&unmarked), &[P1], &[P2, P3]),
        ("known, never marked, acknowledged first", known(&hasty(unmarked)), &[], &[P1, P2, P3]),
        ("learnt, never marked", learnt(&shared().beginning(&[])), &[], &[P2, P3]),
        (
            "learnt and not stamped",
            learnt(&shared().ending(exactly, &[Stamp(Certain), Lift])),
            &[],
            &[P1, P2, P3],
        ),
        (
            "not learnt, and restored",
            learnt(&shared().ending(Ending::Committed, &[Stamp(Certain), Lift])),
            &[],
            &[P1, P2, P3],
        ),
        (
            "never told, and restored",
            learnt(&shared().ending(Ending::Untold, &[Stamp(Certain), Lift])),
            &[],
            &[P1, P2, P3],
        ),
        (
            "learnt, lifted and then stamped",
            learnt_one(&singly(shared().ending(exactly, &[Lift, Stamp(Touched)]))),
            &[P1],
            &[P2, P3],
        ),
        // What follows would do as well.
        (
            "known, stamped before marked, in single steps",
            known_one(&singly(shared().beginning(&[Stamp(Certain), Mark]))),
            &[P1, P2, P3],
            &[],
        ),
        ("known, marked and not stamped before", known(&marked_alone), &[P1, P2, P3], &[]),
        (
            "known, not stamped after",
            known(&shared().ending(Ending::Committed, &[Position, Lift])),
            &[P1, P2, P3],
            &[],
        ),
        (
            "learnt, stamped and then lifted",
            learnt_one(&singly(shared().ending(exactly, &[Stamp(Touched), Lift]))),
            &[P1, P2, P3],
            &[],
        ),
    ];
    for (name, world, holds, fails) in cases {
        Case { name, world, holds, fails }.check();
    }
}

/// Those who bury marks and found records.
#[test]
fn caretakers() {
    let shared = Protocol::shared();
    let loses = |world, losses| World { losses, ..world };
    let lagging = World { replica: Replica::Gated, ..known(&shared) };
    let cases: [(&str, World, Claims, Claims); _] = [
        ("learnt, marks that expire", World { bury: &[Lift], ..learnt(&shared) }, &[P1], &[P2, P3]),
        (
            "marked alone, marks that expire",
            World { bury: &[Lift], ..known(&Protocol::shared().beginning(&[Mark])) },
            &[P1],
            &[P2, P3],
        ),
        (
            "buried before the commit lands",
            World { lifetimes_are_short: true, ..known(&shared) },
            &[P1],
            &[P2, P3],
        ),
        (
            "buried while the writer stands still",
            World { stalls: true, crashes: false, ..known(&shared) },
            &[P1, P2],
            &[P3],
        ),
        (
            "the same, and not stamped after",
            World {
                stalls: true,
                crashes: false,
                ..known(&Protocol::shared().ending(Ending::Committed, &[Position, Lift]))
            },
            &[],
            &[P1, P2, P3],
        ),
        (
            "founded without a mark",
            World {
                found: &[Found, Stamp(Certain)],
                ..loses(known_one(&shared), &[Loss::Marks(0)])
            },
            &[P1],
            &[P2, P3],
        ),
        (
            "learnt, founded without a mark or a stamp",
            World { found: &[Found], ..loses(learnt_one(&shared), &[Loss::Marks(0)]) },
            &[P1],
            &[P2, P3],
        ),
        ("stamps that restart", loses(known_one(&shared), &[Loss::Stamp]), &[], &[P1, P2, P3]),
        (
            "a failover that nobody notices",
            loses(known_one(&shared), &[Loss::Latest]),
            &[],
            &[P1, P2],
        ),
        (
            "a replica that is not gated",
            World { replica: Replica::Ungated, ..known(&shared) },
            &[],
            &[P1, P2, P3],
        ),
        (
            "a replica, and the last position stays",
            World { positions: Positions::Last, ..lagging.clone() },
            &[],
            &[P1, P2, P3],
        ),
        (
            "a replica, and no position when buried",
            World { bury: &[Stamp(Certain), Stamp(Expected), Lift], ..lagging },
            &[P1],
            &[P2, P3],
        ),
        // What follows would do as well.
        (
            "learnt, founded with a mark and no stamp",
            World { found: &[Found, Mark], ..loses(learnt_one(&shared), &[Loss::Marks(0)]) },
            &[P1, P2, P3],
            &[],
        ),
    ];
    for (name, world, holds, fails) in cases {
        Case { name, world, holds, fails }.check();
    }
}

#[test]
fn readers() {
    use Load::{Entry, Judge, Land, Marks, Read, Stamps};
    let shared = Protocol::shared();
    let reads = |world, look| World { load: looking(look), ..world };
    let at_fill = [vec![Stamps(0), Marks(0), Entry, Judge], vec![Read], vec![Stamps(0), Land]];
    let stamps_first: &[&[Load]] = &[&[Stamps(0)], &[Marks(0)], &[Entry, Judge]];
    let marks_first: &[&[Load]] = &[&[Marks(0)], &[Stamps(0)], &[Entry, Judge]];
    let entry_first: &[&[Load]] = &[&[Entry], &[Stamps(0), Marks(0), Judge]];
    let no_marks: &[&[Load]] = &[&[Stamps(0)], &[Entry, Judge]];
    let cases: [(&str, World, Claims, Claims); _] = [
        (
            "stamps when the answer is kept",
            World { load: at_fill.into(), ..known(&shared) },
            &[],
            &[P1, P2, P3],
        ),
        ("known, no look at marks", reads(known(&shared), no_marks), &[P1, P2], &[P3]),
        ("learnt, no look at marks", reads(learnt(&shared), no_marks), &[P1, P2], &[P3]),
        ("learnt, stamps before marks", reads(learnt_one(&shared), stamps_first), &[P1, P2], &[P3]),
        (
            "a replica, and marks before stamps",
            World { replica: Replica::Gated, ..reads(known(&shared), marks_first) },
            &[],
            &[P1, P2],
        ),
        // What follows would do as well.
        (
            "learnt, marks before stamps",
            reads(learnt_one(&shared), marks_first),
            &[P1, P2, P3],
            &[],
        ),
        ("known, stamps before marks", reads(known(&shared), stamps_first), &[P1, P2, P3], &[]),
        ("learnt, entry first", reads(learnt_one(&shared), entry_first), &[P1, P2, P3], &[]),
    ];
    for (name, world, holds, fails) in cases {
        Case { name, world, holds, fails }.check();
    }
}

/// What one writer's end restores, another's may not.
#[test]
fn restoring_beside_others() {
    let shared = Protocol::shared();
    let exact = learns(&shared, &[Effect::TouchesOne]);
    let cannot = Protocol::plain(shared.begin, Ending::Committed.steps());
    let inexact = learns(&cannot, &[Effect::TouchesTwo]);
    let there = world(vec![exact, inexact], &[PINNED; 2]);
    let name = "learnt, beside one that cannot learn";
    Case { name, world: there.clone(), holds: &[P1, P2, P3], fails: &[] }.check();
    let world = World { bury: &[Stamp(Certain), Lift], ..there };
    let name = "the same, and a mark that is buried restores";
    Case { name, world, holds: &[P1], fails: &[P2] }.check();
}

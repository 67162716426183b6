//! The twenty-three protocols that the choice was made from.
//!
//! One query, one tag, two writers, two readers that ask twice. Their marks expire, where they have
//! any: nothing is stamped when a mark is gone whose writer is.

use crate::{
    check::{Case, Claim},
    program::{Load, Protocol, ReaderKind},
    protocol::{
        FOUND,
        Part::Certain,
        Step::{self, Found, Lift, Mark, Position, Stamp},
    },
    state::{Effect, Query, Tags},
    world::{Loss, Positions, Replica, World},
};

/// When a reader takes the stamps that are kept with its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stamps {
    BeforeReading,
    AtFill,
}

const READER: ReaderKind = ReaderKind { queries: &[Query::Whole], reads: 2 };

/// What changes nothing but the stamps, all at once: history lost, no mark left by whoever finds it so.
const FOUND_WITHOUT_MARK: &[Step] = &[Found, Stamp(Certain)];

fn rows_world(protocol: &Protocol, stamps: Stamps) -> World {
    let first = vec![Load::Stamps(0), Load::Marks(0), Load::Entry, Load::Judge];
    let last = match stamps {
        Stamps::BeforeReading => vec![Load::Land],
        Stamps::AtFill => vec![Load::Stamps(0), Load::Land],
    };
    World {
        writers: vec![protocol.writer(Tags::A, Tags::NONE, &[Effect::TouchesOne]); 2],
        readers: vec![READER; 2],
        load: vec![first, vec![Load::Read], last],
        bury: &[Lift],
        found: FOUND,
        crashes: false,
        stalls: false,
        lifetimes_are_short: false,
        losses: &[],
        replica: Replica::None,
        positions: Positions::All,
        remembers_seen: false,
    }
}

#[test]
fn rows() {
    use Claim::{P1, P2};
    use Stamps::{AtFill, BeforeReading};
    let plain = |begin, committed| rows_world(&Protocol::plain(begin, committed), BeforeReading);
    let at_fill = |begin, committed| rows_world(&Protocol::plain(begin, committed), AtFill);
    let crashes = |world: World| World { crashes: true, ..world };
    let early = |world: World| World { stalls: true, ..world };
    let loses = |world: World, losses, found| World { losses, found, ..world };
    let reads_at = |world: World, replica| World { replica, ..world };

    let acknowledges_first =
        Protocol { acknowledges_first: true, ..Protocol::plain(&[], &[Stamp(Certain)]) };
    let row05 = plain(&[], &[Stamp(Certain), Position]);
    let row09 = plain(&[Mark, Stamp(Certain)], &[Lift]);
    let row10 = plain(&[Mark, Stamp(Certain)], &[Stamp(Certain), Position, Lift]);
    // Where a mark has gone, nobody knows how far a replica must be, until somebody asks the primary.
    let row16 = reads_at(crashes(row10.clone()), Replica::Gated);
    // Stamps that are gone start again from where they once were, or as nonces.
    let [restarts, nonces]: [&[Loss]; 2] = [&[Loss::Stamp], &[Loss::Stamps(0)]];
    // After a failover the store has what it had some time ago, under the name that it had; or, under
    // another name, nothing.
    let [unnoticed, named]: [&[Loss]; 2] = [&[Loss::Latest], &[Loss::Everything]];
    let unmarked = FOUND_WITHOUT_MARK;

    let rows: [(&str, World, &[Claim], &[Claim]); 23] = [
        ("01", at_fill(&[Stamp(Certain)], &[]), &[], &[P1, P2]),
        ("02", at_fill(&[], &[Stamp(Certain)]), &[], &[P1, P2]),
        ("03", plain(&[Stamp(Certain)], &[]), &[], &[P1, P2]),
        ("04", rows_world(&acknowledges_first, BeforeReading), &[P2], &[P1]),
        ("05", row05.clone(), &[P1, P2], &[]),
        ("06", crashes(row05.clone()), &[P1], &[P2]),
        ("07", crashes(plain(&[Stamp(Certain)], &[Stamp(Certain)])), &[P1], &[P2]),
        ("08", crashes(plain(&[Mark], &[Stamp(Certain), Lift])), &[P1], &[P2]),
        ("09", crashes(row09.clone()), &[P1, P2], &[]),
        ("10", crashes(row10.clone()), &[P1, P2], &[]),
        ("11", early(row09), &[], &[P1, P2]),
        ("12", early(row10.clone()), &[P1, P2], &[]),
        ("13", World { lifetimes_are_short: true, ..early(crashes(row10.clone())) }, &[P1], &[P2]),
        ("14", reads_at(row05.clone(), Replica::Ungated), &[], &[P1, P2]),
        ("15", reads_at(row05.clone(), Replica::Gated), &[P1, P2], &[]),
        ("16", World { bury: &[Position, Lift], ..row16 }, &[P1, P2], &[]),
        ("17", loses(row05.clone(), restarts, FOUND), &[], &[P1, P2]),
        ("18", loses(row05.clone(), nonces, FOUND), &[P1, P2], &[]),
        ("19", loses(row05.clone(), unnoticed, FOUND), &[], &[P1, P2]),
        ("20", loses(row05, named, unmarked), &[P1, P2], &[]),
        ("21", loses(crashes(row10.clone()), named, unmarked), &[P1], &[P2]),
        ("22", loses(crashes(row10.clone()), named, FOUND), &[P1, P2], &[]),
        ("23", loses(crashes(row10), nonces, FOUND), &[P1, P2], &[]),
    ];
    for (name, world, holds, fails) in rows {
        Case { name, world, holds, fails }.check();
    }
}

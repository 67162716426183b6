//! The steps of a write that processes share, as data, and what a reader may conclude from what it
//! found.
//!
//! The model under `tests/model` includes this file and performs the steps one at a time, with those
//! of other writers and readers in every order between them. So what it has checked is what runs.
//! Keys, commands and everything around the steps are in `docs/decisions/0014-shared-stamps.md`.
//!
//! # A record
//!
//! What is shared about a table is its *record*: two hashes on one node of the store.
//!
//! - Its **stamps**: a random nonce per tag that was ever changed, and one for all the others, with
//!   which the hash was born. If the hash is lost another one is born, and no stamp ever comes back.
//! - Its **marks**: one for every write in flight, with the tags that it covers. A mark never expires.
//!   It is lifted by its writer, or *buried* by whoever has seen it for a lifetime. A hash of marks that
//!   was lost cannot tell who was in flight, so whoever founds it again leaves the mark of a writer that
//!   nobody is, over the whole table.
//!
//! # The protocol
//!
//! ```text
//! writer:  mark, stamp what is certain · commit · stamp what was touched, lift the mark · acknowledge
//! reader:  look at stamps and marks · read the database · fill
//! ```
//!
//! Each part happens at once on one node, and on several nodes in any order. A covered tag counts as changed: while the
//! mark is there, nothing that depends on the tag is believed or kept. Lifting a mark therefore restores
//! whatever it covered and no stamp has changed, unless another mark covers it too.
//!
//! - **Stamps before the database is read**, and kept with the answer: a write that is acknowledged
//!   later changes one of them.
//! - **Stamps and marks together.** Were the stamps looked at first, a writer that learns could lift its
//!   mark in between, after others have seen its commit: no mark, and stamps from before it. Were the
//!   marks first, a writer could come and go in between: stamps from after its commit, and the position
//!   of a replica from before it.
//! - **Marked before anything is sent that may commit**, and for as long as it may: nothing that is read
//!   meanwhile is kept, and nobody who has seen the commit finds older answers.
//! - **Stamped in the same step in which the mark is lifted**, and acknowledged afterwards. A reader
//!   that finds no mark finds the new stamps.
//! - **Buried like a commit of which nothing is known**: all that it might have touched is stamped. That
//!   a mark has gone is not enough, because a write that learns what it touches has not stamped it.

use std::time::Duration;

use Part::{Certain, Expected, Touched};
use Step::{Found, Lift, Mark, Position, Stamp};

/// Some of the tags of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Those that it is sure to change, or takes to be.
    Certain,
    /// Those that stand for more than it may touch, such as any value of a column.
    Expected,
    /// Those that it turned out to have touched, of all that was expected.
    Touched,
}

/// What is done to a record. The steps of one slice are one transaction of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Says that from now on no mark is lost unseen.
    Found,
    /// Adds a mark that covers the certain and the expected tags, under a name that nothing else has.
    Mark,
    /// Gives the tags of a part a new stamp; to a part that is the whole table, by giving birth to its
    /// stamps once more.
    Stamp(Part),
    /// Tells how far the database's log had come when the write was known to have ended. It is added to
    /// what others have told: of two writers the one that tells last may have committed first.
    Position,
    /// Removes the mark.
    Lift,
}

/// Before anything is sent that may commit, and again in time if that takes long (see [`Lifetimes`]).
pub(crate) const BEGIN: &[Step] = &[Mark, Stamp(Certain)];

/// When the marks of a record are lost, or were never there. The mark is nobody's and stands for all
/// that were lost; certain to it is the whole table.
pub(crate) const FOUND: &[Step] = &[Found, Mark, Stamp(Certain)];

/// How a write ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ending {
    /// It committed, and may have touched whatever was expected.
    Committed,
    /// It committed, and what it touched is known.
    CommittedExactly,
    /// It certainly changed nothing.
    Aborted,
    /// It has ended, and nobody can tell how. Until then it is in flight, whoever finds it out.
    Untold,
    /// Its mark was seen for a lifetime. Done by whoever saw it.
    Buried,
}

impl Ending {
    /// What is done before anybody is told.
    pub(crate) const fn steps(self) -> &'static [Step] {
        match self {
            Ending::CommittedExactly => &[Stamp(Certain), Stamp(Touched), Position, Lift],
            Ending::Aborted => &[Lift],
            Ending::Committed | Ending::Untold | Ending::Buried => {
                &[Stamp(Certain), Stamp(Expected), Position, Lift]
            }
        }
    }
}

/// The stamp of a tag: its own, or else the one that all stamps of the table were born with.
///
/// `None` if the stamps were lost and are not born again yet.
pub(crate) fn stamp<S>(own: Option<S>, born: Option<S>) -> Option<S> {
    own.or(born)
}

/// What a reader found in one record, as far as its tags go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a, S, P> {
    /// The [stamps](stamp) of its tags.
    pub(crate) stamps: &'a [Option<S>],
    /// Whether the record was founded, so that no mark is lost.
    pub(crate) founded: bool,
    /// Whether a mark covers one of its tags.
    pub(crate) marked: bool,
    /// The furthest position of the database's log that was told, where writers tell it.
    pub(crate) position: Option<P>,
}

/// What a reader concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<P> {
    /// The entry is what the database would have answered at some moment since the reader came.
    Hit,
    /// There is no entry, or it is not to be believed.
    Miss {
        /// Whether what is read now may be kept, with the stamps that were found.
        keep: bool,
        /// Where it may be read: at a replica that has replayed its log up to here, or if there is none
        /// only at the primary.
        replayed: Option<P>,
    },
}

/// What to make of the records of all tables that a reader's answer depends on, and of the stamps that
/// were kept with the entry, in the same order.
///
/// Nothing depends on whether the records were looked at together: an entry is valid if each of its
/// stamps was current at some moment since the reader came.
pub(crate) fn judge<S: PartialEq, P: Ord + Copy>(
    sights: &[Sight<'_, S, P>],
    entry: Option<&[S]>,
) -> Verdict<P> {
    let mut stamps = sights.iter().flat_map(|sight| sight.stamps);
    let settled = sights.iter().all(|sight| sight.founded && !sight.marked);
    let current = entry.is_some_and(|entry| {
        let mut kept = entry.iter();
        stamps.clone().all(|stamp| stamp.is_some() && stamp.as_ref() == kept.next())
            && kept.next().is_none()
    });
    if settled && current {
        return Verdict::Hit;
    }
    let known = stamps.all(Option::is_some);
    let told = sights.iter().map(|sight| sight.position);
    // One of which nothing is known makes all unknown: `None` is the least.
    let replayed = if told.clone().min().flatten().is_some() { told.max().flatten() } else { None };
    Verdict::Miss { keep: settled && known, replayed: replayed.filter(|_| settled) }
}

/// How long a mark stands for a writer of which nothing is heard, by clocks that only count: no two
/// processes need agree on the time.
///
/// A writer that sends its commit within the grace of having asked for its mark, and an observer that
/// buries a mark after having seen it for a lifetime, never meet: the commit has landed before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// How long after it was sent a commit may still land, if nobody is there to hear of it: more than
    /// the database's `statement_timeout`.
    pub(crate) late: Duration,
    /// How long after it asked for its mark a writer may send what commits. Later it asks for another.
    pub(crate) grace: Duration,
}

impl Lifetimes {
    /// Whether a writer may send its commit, so long after it *asked* for the mark that it has.
    pub(crate) fn may_commit(self, asked: Duration) -> bool {
        asked < self.grace
    }

    /// Whether a mark may be buried, so long after the *answer* in which it was first seen.
    pub(crate) fn may_bury(self, seen: Duration) -> bool {
        seen >= self.late + self.grace
    }
}

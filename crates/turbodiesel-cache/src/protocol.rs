//! The steps of a write, as data, and what a reader may conclude from what it found.
//!
//! `WriteMark` and `Doubt` perform these steps on atomics. The model under `tests/model` includes this
//! file and performs them one at a time, with those of other writers and readers in every order
//! between them. So what it has checked is what runs, and a step that is changed here is a step that
//! it checks. Why the order matters is argued in `stamps`.

use Part::{Certain, Expected, Touched};
use Step::{Announce, Doubt, Hold, Lift, Mark, Settle, Stamp, Withdraw};

/// Some of the slots of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Those that it is sure to change, or takes to be.
    Certain,
    /// Those that stand for more than it may touch.
    Expected,
    /// Those that it turned out to have touched, of all that was expected.
    Touched,
}

/// What a writer does to the slots of a part, all at once or one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Counts the writer among those that are to learn what they touched: of two reads that overlap
    /// from now on, nobody knows which is newer.
    Announce(Part),
    /// Counts the writer in: nothing that is read from now on is kept.
    Mark(Part),
    /// Ticks, and then ends every answer whose version is below that tick.
    Stamp(Part),
    /// Marks until a deadline, whether or not the writer is there.
    Hold(Part),
    /// Counts the writer out.
    Lift(Part),
    /// Marks while somebody finds the outcome out.
    Doubt(Part),
    /// Ends that.
    Settle(Part),
    /// Ends what was announced.
    Withdraw(Part),
}

/// Before anything is sent that may commit.
///
/// Marked before stamped: a snapshot between the two sees the mark, and one before them both is ended
/// by the stamp. The other way round, a snapshot between the two would be kept although the commit
/// may come before its read or after it.
pub(crate) const BEGIN: &[Step] = &[Announce(Expected), Mark(Certain), Stamp(Certain)];

/// How a write ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ending {
    /// It committed, and may have touched whatever was expected.
    Committed,
    /// It committed, and what it touched is known.
    CommittedExactly,
    /// It certainly changed nothing.
    Aborted,
    /// Nobody knows whether it committed, or still will.
    Unknown,
    /// The same, but somebody is finding out.
    Doubted,
    /// It was doubted, and has ended, whether or not it committed.
    Settled,
    /// It was doubted, and certainly changed nothing.
    SettledAborted,
    /// It was doubted, and nobody is finding out any more.
    Unsettled,
}

impl Ending {
    /// What is done before anybody is told.
    pub(crate) const fn steps(self) -> &'static [Step] {
        match self {
            // Stamped before lifted. A flight that began under the mark carries an answer from before
            // the commit; the stamp is what keeps later readers from joining it.
            // Stamped before withdrawn, or two answers that overlapped the commit would look as if one
            // could be kept.
            Ending::Committed => {
                &[Stamp(Certain), Stamp(Expected), Lift(Certain), Withdraw(Expected)]
            }
            Ending::CommittedExactly => {
                &[Stamp(Certain), Stamp(Touched), Lift(Certain), Withdraw(Expected)]
            }
            Ending::Aborted => &[Lift(Certain), Withdraw(Expected)],
            // Held before lifted, or a snapshot in between would find the slots free. Held before
            // stamped, or a snapshot in between would find those free that nobody marked.
            Ending::Unknown => &[
                Hold(Certain),
                Hold(Expected),
                Stamp(Certain),
                Stamp(Expected),
                Lift(Certain),
                Withdraw(Expected),
            ],
            // In the same order.
            Ending::Doubted => &[
                Doubt(Certain),
                Doubt(Expected),
                Stamp(Certain),
                Stamp(Expected),
                Lift(Certain),
                Withdraw(Expected),
            ],
            // Stamped before settled, like what has committed. What was read in the meantime, and is
            // still being shared, ends here.
            Ending::Settled => {
                &[Stamp(Certain), Stamp(Expected), Settle(Certain), Settle(Expected)]
            }
            Ending::SettledAborted => &[Settle(Certain), Settle(Expected)],
            // Held before settled, or a snapshot in between would find the slots free.
            Ending::Unsettled => {
                &[Hold(Certain), Hold(Expected), Settle(Certain), Settle(Expected)]
            }
        }
    }
}

/// What a reader found about writes in flight, after its tick and before its read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Marked {
    /// A writer is there to tell the outcome.
    pub(crate) written: bool,
    /// A writer that left without an outcome may still commit. Nobody knows, or not yet.
    pub(crate) held: bool,
}

impl Marked {
    /// Whether what is read may be kept.
    pub(crate) fn may_keep(self) -> bool {
        !self.written && !self.held
    }

    /// Whether what is read, though not kept, stays right until a stamp changes, because nothing can
    /// commit unseen.
    pub(crate) fn may_linger(self) -> bool {
        self.written && !self.held
    }
}

/// Whether nothing that bears this stamp changed since an answer of this version began to be read.
#[inline]
pub(crate) fn is_current(stamp: u64, version: u64) -> bool {
    stamp <= version
}

//! A write in flight.

use std::{fmt, mem, sync::Arc, time::Duration};

use crate::{
    Doubt, Slot, Stamps,
    protocol::{BEGIN, Ending, Part, Step},
};

/// A write that has begun and may commit: nothing that depends on its slots is kept meanwhile.
///
/// It must be told how the write ended. Dropped without, as when a future is cancelled or a task
/// panics, it ends as [`unknown`](Self::unknown), which never blocks. While it exists its marks have
/// no deadline, since whoever holds it has not given up on the write.
#[must_use = "dropping the mark means that the outcome of the write is unknown"]
pub struct WriteMark {
    stamps: Arc<Stamps>,
    /// Empty once the outcome is told.
    extent: Extent,
    lifetime: Duration,
}

/// What a write may change, as far as that is known before it commits.
#[derive(Debug, Default)]
pub(crate) struct Extent {
    /// Slots that it marks.
    certain: Vec<Slot>,
    /// Slots whose change depends on what it turns out to have touched.
    expected: Vec<Slot>,
}

impl Extent {
    pub(crate) fn is_empty(&self) -> bool {
        self.certain.is_empty() && self.expected.is_empty()
    }
}

impl Stamps {
    /// Does what the protocol says. `touched` is what a write turned out to have touched, `lifetime`
    /// how long to hold what it holds.
    pub(crate) fn perform(
        &self,
        steps: &[Step],
        extent: &Extent,
        touched: &[Slot],
        lifetime: Duration,
    ) {
        let slots = |part| match part {
            Part::Certain => &extent.certain,
            Part::Expected => &extent.expected,
            Part::Touched => touched,
        };
        for step in steps {
            match *step {
                Step::Announce(part) => self.announce(slots(part)),
                Step::Mark(part) => self.mark(slots(part)),
                // That would be a tick for nothing.
                Step::Stamp(part) if slots(part).is_empty() => {}
                Step::Stamp(part) => self.change(slots(part).iter().copied()),
                Step::Hold(part) => self.hold(slots(part), lifetime),
                Step::Lift(part) => self.unmark(slots(part)),
                Step::Doubt(part) => self.doubt(slots(part)),
                Step::Settle(part) => self.end_doubt(slots(part)),
                Step::Withdraw(part) => self.withdraw(slots(part)),
            }
        }
    }
}

impl WriteMark {
    pub(crate) fn new(stamps: Arc<Stamps>, slots: Vec<Slot>, lifetime: Duration) -> Self {
        let mut mark = Self { stamps, extent: Extent::default(), lifetime };
        mark.add(slots);
        mark
    }

    /// Marks further slots, before the statement that may write to them is sent.
    pub fn add(&mut self, slots: impl IntoIterator<Item = Slot>) {
        let mut certain: Vec<Slot> = slots.into_iter().collect();
        certain.retain(|slot| !self.extent.certain.contains(slot));
        certain.sort_unstable();
        certain.dedup();
        self.extend(Extent { certain, expected: Vec::new() });
    }

    /// Adds slots that stand for more than the write may touch, such as any value of a column, before
    /// the statement is sent that may. They change only if it is never told
    /// [exactly](Self::committed_exactly) what it touched. Answers that depend on them are kept
    /// meanwhile, but for those whose reads overlap. [`Slot::ALL`] is marked all the same: there would
    /// be no answer that does not depend on it.
    pub fn expect(&mut self, slots: impl IntoIterator<Item = Slot>) {
        let (everything, expected): (Vec<_>, Vec<_>) =
            slots.into_iter().partition(|slot| *slot == Slot::ALL);
        self.add(everything);
        self.extend(Extent { certain: Vec::new(), expected });
    }

    fn extend(&mut self, further: Extent) {
        self.stamps.perform(BEGIN, &further, &[], self.lifetime);
        self.extent.certain.extend(further.certain);
        self.extent.expected.extend(further.expected);
    }

    /// The slots that are marked.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.extent.certain
    }

    /// The write committed. Call it before acknowledging the write to anybody.
    pub fn committed(mut self) {
        self.end(Ending::Committed, &[]);
    }

    /// The write committed, and of all that was [expected](Self::expect) it touched `touched` and
    /// nothing else.
    pub fn committed_exactly(mut self, touched: impl IntoIterator<Item = Slot>) {
        let touched: Vec<Slot> = touched.into_iter().collect();
        self.end(Ending::CommittedExactly, &touched);
    }

    /// The write certainly changed nothing. Answers that ended when it began are read again.
    pub fn aborted(mut self) {
        self.end(Ending::Aborted, &[]);
    }

    /// Nobody knows whether the write committed, or still will.
    ///
    /// Everything read so far is ended, and for the mark's lifetime nothing new is kept.
    pub fn unknown(self) {
        // `drop` does it, so that both ways to lose an outcome are one.
    }

    /// Nobody knows whether the write committed, or still will, but somebody is finding out.
    ///
    /// Everything read so far is ended, and until the doubt ends nothing new is kept.
    pub fn doubt(mut self) -> Doubt {
        let extent = self.end(Ending::Doubted, &[]);
        Doubt::new(Arc::clone(&self.stamps), extent, self.lifetime)
    }

    /// Afterwards there is nothing left to be told.
    fn end(&mut self, ending: Ending, touched: &[Slot]) -> Extent {
        let extent = mem::take(&mut self.extent);
        self.stamps.perform(ending.steps(), &extent, touched, self.lifetime);
        extent
    }
}

impl Drop for WriteMark {
    fn drop(&mut self) {
        if !self.extent.is_empty() {
            self.end(Ending::Unknown, &[]);
        }
    }
}

impl fmt::Debug for WriteMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteMark")
            .field("extent", &self.extent)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

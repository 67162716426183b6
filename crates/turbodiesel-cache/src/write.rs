//! A write in flight.

use std::{fmt, sync::Arc, time::Duration};

use crate::{Slot, Stamps};

/// A write that has begun and may commit: nothing that depends on its slots is kept meanwhile.
///
/// It must be told how the write ended. Dropped without, as when a future is cancelled or a task
/// panics, it ends as [`unknown`](Self::unknown), which never blocks. While it exists its marks have
/// no deadline, since whoever holds it has not given up on the write.
#[must_use = "dropping the mark means that the outcome of the write is unknown"]
pub struct WriteMark {
    stamps: Arc<Stamps>,
    /// Slots this write still marks. Empty once the outcome is told.
    slots: Vec<Slot>,
    /// Slots whose change depends on what the write turns out to have touched.
    expected: Vec<Slot>,
    lifetime: Duration,
}

impl WriteMark {
    pub(crate) fn new(stamps: Arc<Stamps>, slots: Vec<Slot>, lifetime: Duration) -> Self {
        let mut mark = Self { stamps, slots: Vec::new(), expected: Vec::new(), lifetime };
        mark.add(slots);
        mark
    }

    /// Marks further slots, before the statement that may write to them is sent.
    pub fn add(&mut self, slots: impl IntoIterator<Item = Slot>) {
        let mut slots: Vec<Slot> = slots.into_iter().collect();
        slots.retain(|slot| !self.slots.contains(slot));
        slots.sort_unstable();
        slots.dedup();
        // Marked before changed: a snapshot between the two sees the mark, and one before them both
        // is ended by the change.
        self.stamps.mark(&slots);
        self.stamps.change(slots.iter().copied());
        self.slots.extend(slots);
    }

    /// Adds slots that stand for more than the write may touch, such as any value of a column. They
    /// change only if it is never told [exactly](Self::committed_exactly) what it touched.
    pub fn expect(&mut self, slots: impl IntoIterator<Item = Slot>) {
        self.expected.extend(slots);
    }

    /// The slots that are marked.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The write committed. Call it before acknowledging the write to anybody.
    pub fn committed(mut self) {
        let expected = std::mem::take(&mut self.expected);
        self.end(expected);
    }

    /// The write committed, and of all that was [expected](Self::expect) it touched `touched` and
    /// nothing else.
    pub fn committed_exactly(mut self, touched: impl IntoIterator<Item = Slot>) {
        self.end(touched);
    }

    fn end(&mut self, touched: impl IntoIterator<Item = Slot>) {
        // Changed before lifted. A flight that began under the mark carries an answer from before
        // the commit; this change is what keeps later readers from joining it.
        self.stamps.change(self.slots.iter().copied().chain(touched));
        self.lift();
    }

    /// The write certainly changed nothing. Answers that ended when it began are read again.
    pub fn aborted(mut self) {
        self.lift();
    }

    /// Nobody knows whether the write committed, or still will.
    ///
    /// Everything read so far is ended, and for the mark's lifetime nothing new is kept.
    pub fn unknown(self) {
        // `drop` does it, so that both ways to lose an outcome are one.
    }

    fn lift(&mut self) {
        self.stamps.unmark(&self.slots);
        self.slots.clear();
        self.expected.clear();
    }
}

impl Drop for WriteMark {
    fn drop(&mut self) {
        if self.slots.is_empty() && self.expected.is_empty() {
            return;
        }
        // Held before lifted, or a snapshot in between would find the slots free. Held before changed,
        // or a snapshot in between would find the expected slots free, which nobody marked.
        for slots in [&self.slots, &self.expected] {
            self.stamps.hold(slots, self.lifetime);
        }
        self.stamps.change(self.slots.iter().chain(&self.expected).copied());
        self.lift();
    }
}

impl fmt::Debug for WriteMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteMark")
            .field("slots", &self.slots)
            .field("expected", &self.expected)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

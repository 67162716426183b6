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
    lifetime: Duration,
}

impl WriteMark {
    pub(crate) fn new(stamps: Arc<Stamps>, slots: Vec<Slot>, lifetime: Duration) -> Self {
        let mut mark = Self { stamps, slots: Vec::new(), lifetime };
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

    /// The slots that are marked.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The write committed. Call it before acknowledging the write to anybody.
    pub fn committed(mut self) {
        // Changed before lifted. A flight that began under the mark carries an answer from before
        // the commit; this change is what keeps later readers from joining it.
        self.stamps.change(self.slots.iter().copied());
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
    }
}

impl Drop for WriteMark {
    fn drop(&mut self) {
        if self.slots.is_empty() {
            return;
        }
        // Held before lifted, or a snapshot in between would find the slots free.
        self.stamps.hold(&self.slots, self.lifetime);
        self.stamps.change(self.slots.iter().copied());
        self.lift();
    }
}

impl fmt::Debug for WriteMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteMark")
            .field("slots", &self.slots)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

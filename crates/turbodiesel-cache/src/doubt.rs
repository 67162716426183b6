//! A write whose outcome is being found out.

use std::{fmt, mem, sync::Arc, time::Duration};

use crate::{Stamps, protocol::Ending, write::Extent};

/// A write that was sent, whose answer was lost, and which may have committed or may do so yet; from
/// [`WriteMark::doubt`](crate::WriteMark::doubt).
///
/// While it exists, nothing that depends on its slots is kept, nor does what was read outlive those
/// who waited for it: the commit may land at any time, unseen. Dropped without being settled, it
/// stands for the lifetime of the mark, as an outcome that nobody tells.
#[must_use = "dropping the doubt means that nobody will find the outcome out"]
pub struct Doubt {
    stamps: Arc<Stamps>,
    /// Empty once it is settled.
    extent: Extent,
    lifetime: Duration,
}

impl Doubt {
    pub(crate) fn new(stamps: Arc<Stamps>, extent: Extent, lifetime: Duration) -> Self {
        Self { stamps, extent, lifetime }
    }

    /// The write has ended, and may have committed.
    pub fn ended(mut self) {
        self.end(Ending::Settled);
    }

    /// The write certainly changed nothing, and never will.
    pub fn aborted(mut self) {
        self.end(Ending::SettledAborted);
    }

    fn end(&mut self, ending: Ending) {
        let extent = mem::take(&mut self.extent);
        self.stamps.perform(ending.steps(), &extent, &[], self.lifetime);
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        if !self.extent.is_empty() {
            self.end(Ending::Unsettled);
        }
    }
}

impl fmt::Debug for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doubt")
            .field("extent", &self.extent)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

//! Which statement changed a slot last: for people who ask why an answer is gone.
//!
//! Nothing rests on it. A cause is noted beside the stamp and not with it, so of two writers at the
//! same instant the other may be named; and a statement that has not been seen for long is forgotten.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use quick_cache::sync::Cache as QuickCache;
use turbodiesel_cache::{Slot, Stamps};

/// How many statements are remembered as causes.
const REMEMBERED: usize = 1_000;

/// What changes slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cause(u32);

impl Cause {
    const UNKNOWN: Self = Self(0);
    /// The application said so.
    pub(crate) const HAND: Self = Self(1);
    /// The catalog changed.
    pub(crate) const CATALOG: Self = Self(2);

    /// A statement, by the number of its shape. After four billion shapes numbers come again, and the
    /// text that was noted last is the right one.
    pub(crate) fn statement(number: u64) -> Self {
        Self((number % u64::from(u32::MAX - 3)) as u32 + 3)
    }
}

/// The causes of all slots.
pub(crate) struct Causes {
    of_slot: Box<[AtomicU32]>,
    texts: QuickCache<Cause, Arc<str>>,
}

impl Causes {
    pub(crate) fn new(stamps: &Stamps) -> Self {
        let of_slot = (0..stamps.slots()).map(|_| AtomicU32::new(Cause::UNKNOWN.0)).collect();
        Self { of_slot, texts: QuickCache::new(REMEMBERED) }
    }

    /// Remembers the text of a statement that changes something.
    pub(crate) fn remember(&self, cause: Cause, sql: &Arc<str>) {
        if self.texts.get(&cause).is_none_or(|known| known != *sql) {
            self.texts.insert(cause, Arc::clone(sql));
        }
    }

    /// Notes who changes these slots.
    pub(crate) fn note(&self, cause: Cause, slots: impl IntoIterator<Item = Slot>) {
        for slot in slots {
            self.of_slot[slot.number() as usize].store(cause.0, Relaxed);
        }
    }

    /// Who changed any of these slots last; `None` if nobody has.
    pub(crate) fn last(&self, stamps: &Stamps, slots: &[Slot]) -> Option<Arc<str>> {
        let slot = stamps.last_changed(slots)?;
        let cause = Cause(self.of_slot[slot.number() as usize].load(Relaxed));
        Some(match cause {
            Cause::HAND => "an invalidation by hand".into(),
            Cause::CATALOG => "a change of the catalog".into(),
            cause => self.texts.get(&cause).unwrap_or_else(|| "a statement long ago".into()),
        })
    }
}

impl fmt::Debug for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Causes").field("statements", &self.texts.len()).finish_non_exhaustive()
    }
}

//! The reader who loads on behalf of others.

use std::{fmt, sync::Arc, time::Duration};

use turbodiesel_core::{Nanos, Tier, Weigh};

use crate::{
    Snapshot,
    entry::Entry,
    flight::{Flight, Landing, Shown},
    inner::Inner,
    load::LoadId,
    stats::bump,
    store::Left,
};

/// How long after a refresh that led to nothing the next one may begin.
const REFRESH_BACK_OFF: Duration = Duration::from_millis(500);

/// The greatest weight of an answer that lingers while a write is in flight, outside the budgets.
const LINGERING_BYTES: usize = 64 << 10;

/// The duty to read the database on behalf of all who wait for the answer.
///
/// It can be moved to another task, and should be if the caller's future may be dropped. Dropped
/// without an outcome, for that reason or in a panic, it passes to exactly one of the followers.
#[must_use = "dropping the lead makes a follower read the database"]
pub struct Lead<V, E> {
    inner: Arc<Inner<V, E>>,
    flight: Arc<Flight<V, E>>,
    tier: Tier,
    snapshot: Snapshot,
    /// The entry that this load refreshes.
    refreshes: Option<Arc<Entry<V>>>,
    landed: bool,
}

impl<V, E> Lead<V, E> {
    pub(crate) fn new(
        inner: Arc<Inner<V, E>>,
        flight: Arc<Flight<V, E>>,
        tier: Tier,
        snapshot: Snapshot,
    ) -> Self {
        Self { inner, flight, tier, snapshot, refreshes: None, landed: false }
    }

    pub(crate) fn refreshing(mut self, entry: Arc<Entry<V>>) -> Self {
        self.refreshes = Some(entry);
        self
    }

    /// Identifies the load among all that a thread may poll.
    pub(crate) fn load_id(&self) -> LoadId {
        self.inner.load_id(self.flight.fingerprint)
    }

    /// The state under which the answer must be read: it was noted when this lead was given out,
    /// so read after that.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot
    }

    /// The load failed. Everybody who waits gets the error; who comes later tries again.
    pub fn fail(mut self, error: E) {
        self.land(Landing::Failed(error));
    }

    /// The answer cannot be shared, being too large or a stream. Everybody who waits is told to read
    /// the database alone, all at once.
    pub fn unshared(mut self) {
        self.land(Landing::Unshared);
    }

    /// Whether nothing was written while the answer was read, and no write may have been that is yet
    /// to learn what it touched. Then whoever began later reads the same, or newer.
    fn is_undisputed(&self) -> bool {
        let (stamps, slots) = (&self.inner.stamps, &self.flight.slots);
        // Learners before stamps, so that one who ends in between is found by what it has stamped.
        !self.snapshot.is_marked()
            && !stamps.is_expected(slots)
            && stamps.is_current(&self.snapshot, slots)
    }

    fn land(&mut self, landing: Landing<V, E>) {
        let wake = self.inner.flights.lock(self.flight.fingerprint).land(&self.flight, landing);
        wake.wake(&self.flight);
        self.landed();
    }

    fn landed(&mut self) {
        self.landed = true;
        // If the entry is still there, this load did not replace it and the next may fare no better.
        if let Some(entry) = self.refreshes.take() {
            entry.release_refresh(self.inner.stamps.clock().now().plus(REFRESH_BACK_OFF));
        }
    }
}

impl<V: Weigh, E> Lead<V, E> {
    /// The load succeeded. It lands at once, and everybody who waits gets the value.
    ///
    /// It is kept only if nothing it depends on changed or was being written, no answer was shown
    /// that may be newer, and it is not too large: [`CacheStats`](crate::CacheStats) counts why
    /// others were not.
    ///
    /// The leader's own answer is what was [`Completed`]: usually the value, but not while readers
    /// who come now would be shown an older one.
    pub fn complete(mut self, value: impl Into<Arc<V>>) -> Completed<V, E> {
        let value = value.into();
        let flight = &self.flight;
        let read = flight.read(self.tier);
        let prepared = self.inner.prepare(&read, &self.snapshot, &value);
        let lingers =
            self.snapshot.is_marked_by_writers_alone() && value.weight() <= LINGERING_BYTES;
        // Filled and landed under one lock: whoever finds no flight any more finds the entry.
        let mut shard = self.inner.flights.lock(flight.fingerprint);
        let instead = match shard.newer(flight) {
            Some(newest) if !self.is_undisputed() => {
                newest.instead_of(&value, |snapshot| self.inner.may_share(snapshot, &read))
            }
            _ => None,
        };
        let (shown, left) = match instead {
            Some(shown) => {
                self.inner.withhold(&read, prepared);
                (shown, Left::default())
            }
            None => (Shown::Value(value), self.inner.admit(&shard, &read, prepared).left),
        };
        let landing = Landing::Loaded(shown.clone());
        let wake = if lingers {
            shard.land_and_linger(flight, landing)
        } else {
            shard.land(flight, landing)
        };
        drop(shard);
        wake.wake(flight);
        self.landed();
        drop(left);
        let (inner, flight) = (Arc::clone(&self.inner), Arc::clone(&self.flight));
        Completed { inner, flight, tier: self.tier, shown }
    }
}

/// What the leader itself is answered with, once its load has succeeded.
///
/// The load has landed whether or not anybody asks for this.
pub struct Completed<V, E> {
    inner: Arc<Inner<V, E>>,
    flight: Arc<Flight<V, E>>,
    tier: Tier,
    shown: Shown<V, E>,
}

impl<V, E> Completed<V, E> {
    /// The answer.
    ///
    /// It is there at once unless something the answer depends on changed while it was read, or may
    /// have, and a later load is under way. Then nobody sees what was read here, lest those who share
    /// the later load see an older value afterwards: this waits for that one load, and falls back to
    /// what was read here if it comes to nothing. Hold nothing meanwhile that the other needs in
    /// order to read, such as the only connection.
    ///
    /// The future may be dropped at any time.
    pub async fn value(self) -> Arc<V> {
        self.shown.wait(&self.inner, &self.flight, self.tier).await
    }
}

impl<V, E> fmt::Debug for Completed<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completed").finish_non_exhaustive()
    }
}

impl<V, E> Drop for Lead<V, E> {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        if let Some(entry) = self.refreshes.take() {
            entry.release_refresh(Nanos::default());
        }
        bump(&self.inner.counters.local().lost_leaders);
        let wake = self.inner.flights.lock(self.flight.fingerprint).lose_leader(&self.flight);
        wake.wake(&self.flight);
    }
}

impl<V, E> fmt::Debug for Lead<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lead")
            .field("fingerprint", &self.flight.fingerprint)
            .field("tier", &self.tier)
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}

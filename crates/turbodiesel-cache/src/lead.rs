//! The two roles of readers who share a load.

use std::{fmt, sync::Arc, time::Duration};

use turbodiesel_core::{Nanos, Tier, Weigh};

use crate::{
    Key, Read, Snapshot,
    entry::Entry,
    flight::{Flight, Landing, Waiting},
    inner::Inner,
    load::LoadId,
    stats::bump,
};

/// How long after a refresh that led to nothing the next one may begin.
const REFRESH_BACK_OFF: Duration = Duration::from_millis(500);

/// The greatest weight of an answer that lingers while a write is in flight, outside the budgets.
const LINGERING_BYTES: usize = 64 << 10;

/// What a reader is to do after a miss.
#[derive(Debug)]
#[must_use]
pub enum Role<V, E> {
    /// Read the database, for everybody who waits.
    Lead(Lead<V, E>),
    /// Wait for the one who does.
    Follow(Follow<V, E>),
}

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

    pub(crate) fn flight(&self) -> &Arc<Flight<V, E>> {
        &self.flight
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
    /// The load succeeded. Everybody who waits gets the value.
    ///
    /// It is kept only if nothing it depends on changed or was being written, and it is not too
    /// large: [`CacheStats`](crate::CacheStats) counts why others were not.
    pub fn complete(mut self, value: impl Into<Arc<V>>) -> Arc<V> {
        let value = value.into();
        let flight = &self.flight;
        let key = Key { fingerprint: flight.fingerprint, identity: &flight.identity };
        let read = Read { key, slots: &flight.slots, tier: self.tier, max_age: None };
        let prepared = self.inner.prepare(&read, &self.snapshot, &value);
        let lingers =
            self.snapshot.is_marked_by_writers_alone() && value.weight() <= LINGERING_BYTES;
        // Filled and landed under one lock: whoever finds no flight any more finds the entry.
        let mut shard = self.inner.flights.lock(flight.fingerprint);
        let newer = shard
            .newest(flight.fingerprint)
            .filter(|newest| !Arc::ptr_eq(newest, flight) && *newest.identity == *flight.identity)
            .and_then(|newest| newest.landed(|snapshot| self.inner.may_share(snapshot, &read)));
        if let Some(newer) = newer {
            // Nobody has seen what was read here, so nobody will miss it.
            let wake = shard.land(flight, Landing::Value(Arc::clone(&newer)));
            drop(shard);
            wake.wake(flight);
            self.landed();
            return newer;
        }
        shard.overtake(flight.fingerprint, Some(flight));
        let left = self.inner.admit(&shard, &read, prepared);
        let wake = if lingers {
            shard.land_and_linger(flight, Arc::clone(&value))
        } else {
            shard.land(flight, Landing::Value(Arc::clone(&value)))
        };
        drop(shard);
        wake.wake(flight);
        self.landed();
        drop(left);
        value
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

/// The right to share another reader's load.
#[must_use = "a follower has no answer before it has waited"]
pub struct Follow<V, E>(Followee<V, E>);

enum Followee<V, E> {
    /// The load landed in the cache between the lookup and the attempt to join it.
    Landed(Arc<V>, Arc<Inner<V, E>>),
    Flight(Follower<V, E>),
}

/// A reader whom the flight counts as a follower.
struct Follower<V, E> {
    inner: Arc<Inner<V, E>>,
    flight: Arc<Flight<V, E>>,
    tier: Tier,
}

/// What waiting for another reader's load came to.
#[derive(Debug)]
#[must_use]
pub enum Followed<V, E> {
    /// Its answer.
    Value(Arc<V>),
    /// Its error, shared by all who waited.
    Failed(E),
    /// The answer cannot be shared: read the database without the cache.
    Unshared,
    /// The leader vanished: read the database in its place.
    Lead(Lead<V, E>),
}

impl<V, E> Follow<V, E> {
    pub(crate) fn flight(inner: Arc<Inner<V, E>>, flight: Arc<Flight<V, E>>, tier: Tier) -> Self {
        Self(Followee::Flight(Follower { inner, flight, tier }))
    }

    pub(crate) fn landed(value: Arc<V>, inner: Arc<Inner<V, E>>) -> Self {
        Self(Followee::Landed(value, inner))
    }
}

impl<V, E: Clone> Follow<V, E> {
    /// Waits for the leader.
    ///
    /// The future may be dropped at any time: should the lead have been about to pass to it, it
    /// passes to another follower. A leader that waits for its own flight waits for ever, so a
    /// load must not [`join`](crate::Cache::join) the query it answers.
    pub async fn wait(self) -> Followed<V, E> {
        let follower = match self.0 {
            Followee::Landed(value, inner) => {
                bump(&inner.counters.local().coalesced);
                return Followed::Value(value);
            }
            Followee::Flight(follower) => follower,
        };
        follower.flight.wait_until(|| follower.look()).await
    }
}

impl<V, E: Clone> Follower<V, E> {
    fn look(&self) -> Option<Followed<V, E>> {
        let Self { inner, flight, tier } = self;
        // Newer than the one the follower came with, so nothing that was acknowledged before the
        // follower came is missed.
        let anew = || inner.stamps.snapshot(flight.slots.iter().copied());
        match flight.look(anew) {
            Waiting::Loading => None,
            Waiting::Lead(snapshot) => {
                inner.flights.lock(flight.fingerprint).announce_again(flight);
                let lead = Lead::new(Arc::clone(inner), Arc::clone(flight), *tier, snapshot);
                Some(Followed::Lead(lead))
            }
            Waiting::Landed(Landing::Value(value)) => {
                bump(&inner.counters.local().coalesced);
                Some(Followed::Value(value))
            }
            Waiting::Landed(Landing::Failed(error)) => Some(Followed::Failed(error)),
            Waiting::Landed(Landing::Unshared) => Some(Followed::Unshared),
        }
    }
}

impl<V, E> Drop for Follower<V, E> {
    fn drop(&mut self) {
        self.inner.flights.lock(self.flight.fingerprint).leave(&self.flight);
    }
}

impl<V, E> fmt::Debug for Follow<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Follow").finish_non_exhaustive()
    }
}

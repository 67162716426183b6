//! The readers who wait for another reader's load.

use std::{fmt, sync::Arc};

use turbodiesel_core::Tier;

use crate::{
    Lead,
    flight::{Flight, Landing, Shown, Waited},
    inner::Inner,
    stats::bump,
};

/// What a reader is to do after a miss.
#[derive(Debug)]
#[must_use]
pub enum Role<V, E> {
    /// Read the database, for everybody who waits.
    Lead(Lead<V, E>),
    /// Wait for the one who does.
    Follow(Follow<V, E>),
}

/// The right to share another reader's load.
#[must_use = "a follower has no answer before it has waited"]
pub struct Follow<V, E>(Followee<V, E>);

enum Followee<V, E> {
    /// The load landed in the cache between the lookup and the attempt to join it.
    Landed(Arc<V>, Arc<Inner<V, E>>),
    Flight(Follower<V, E>, Tier),
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
    /// Of a reader whom the flight has counted in.
    pub(crate) fn flight(inner: Arc<Inner<V, E>>, flight: Arc<Flight<V, E>>, tier: Tier) -> Self {
        Self(Followee::Flight(Follower { inner, flight }, tier))
    }

    pub(crate) fn landed(value: Arc<V>, inner: Arc<Inner<V, E>>) -> Self {
        Self(Followee::Landed(value, inner))
    }
}

impl<V, E: Clone> Follow<V, E> {
    /// Waits for the leader, and for at most one other load that a write made necessary meanwhile.
    ///
    /// The future may be dropped at any time: should the lead have been about to pass to it, it
    /// passes to another follower. A leader that waits for its own flight waits for ever, so a
    /// load must not [`join`](crate::Cache::join) the query it answers.
    pub async fn wait(self) -> Followed<V, E> {
        let (follower, tier) = match self.0 {
            Followee::Landed(value, inner) => {
                bump(&inner.counters.local().coalesced);
                return Followed::Value(value);
            }
            Followee::Flight(follower, tier) => (follower, tier),
        };
        let Follower { inner, flight } = &follower;
        // Newer than the one the follower came with, so nothing that was acknowledged before the
        // follower came is missed.
        let anew = || inner.stamps.snapshot(flight.slots.iter().copied());
        match flight.wait_until(|| flight.look(anew)).await {
            Waited::Lead(snapshot) => {
                inner.flights.lock(flight.fingerprint).reopen(flight);
                Followed::Lead(Lead::new(Arc::clone(inner), Arc::clone(flight), tier, snapshot))
            }
            Waited::Landed(Landing::Loaded(shown)) => {
                bump(&inner.counters.local().coalesced);
                Followed::Value(shown.wait(inner, flight, tier).await)
            }
            Waited::Landed(Landing::Failed(error)) => Followed::Failed(error),
            Waited::Landed(Landing::Unshared) => Followed::Unshared,
        }
    }
}

impl<V, E> Shown<V, E> {
    /// Waits until it is there, on behalf of a reader of `flight`.
    pub(crate) async fn wait(
        self,
        inner: &Arc<Inner<V, E>>,
        flight: &Flight<V, E>,
        tier: Tier,
    ) -> Arc<V> {
        let (newest, own) = match self {
            Shown::Value(value) => return value,
            Shown::HandedOver { newest, own } => (newest, own),
        };
        // What nobody knows any more has ended, and nobody can board it.
        if let Some(newest) = newest.upgrade() {
            newest.follow();
            let newest = Follower { inner: Arc::clone(inner), flight: newest };
            let value = newest.flight.wait_until(|| newest.flight.look_for_value()).await;
            if let Some(value) = value {
                return value;
            }
        }
        let left = inner.show(&inner.flights.lock(flight.fingerprint), &flight.read(tier));
        drop(left);
        own
    }
}

/// A reader whom the flight counts as a follower.
struct Follower<V, E> {
    inner: Arc<Inner<V, E>>,
    flight: Arc<Flight<V, E>>,
}

impl<V, E> Drop for Follower<V, E> {
    fn drop(&mut self) {
        let wake = self.inner.flights.lock(self.flight.fingerprint).leave(&self.flight);
        wake.wake(&self.flight);
    }
}

impl<V, E> fmt::Debug for Follow<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Follow").finish_non_exhaustive()
    }
}

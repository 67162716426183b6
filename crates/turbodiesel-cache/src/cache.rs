//! The cache as its users see it: looking up, joining a load, filling.

use std::{fmt, sync::Arc, time::Duration};

use serde::Serialize;
use turbodiesel_core::{Fingerprint, Nanos, Outcome, Tier, Weigh};

use crate::{
    CacheBuilder, CacheStats, Follow, Lead, Role, Slot, Snapshot, Stamps,
    entry::{Age, Entry},
    flight::{Boarding, Flight},
    flights::Shard,
    inner::{Admission, Inner, Verdict},
    stats::bump,
};

/// Which query an answer belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// A keyed hash of the identity.
    pub fingerprint: Fingerprint,
    /// All that distinguishes the query from others. It is kept with the answer and compared on
    /// every hit.
    pub identity: &'a [u8],
}

/// One read of a query.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// Which query.
    pub key: Key<'a>,
    /// What its answer depends on. [`Slot::ALL`] is always implied.
    pub slots: &'a [Slot],
    /// Where its answer is kept. All reads of one query should agree: each tier knows only its own
    /// answer, and they may differ in age.
    pub tier: Tier,
    /// A tighter ceiling on the answer's age than the tier's, for this read alone.
    pub max_age: Option<Duration>,
}

/// An answer that is kept and may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Kept {
    /// Since the database was asked for it.
    pub age: Duration,
    /// Until it is too old.
    pub expires_in: Duration,
    /// What it weighs, all in all.
    pub bytes: u64,
}

/// What a lookup found.
#[derive(Debug)]
#[must_use]
pub enum Lookup<V, E> {
    /// An answer.
    Hit {
        /// The answer.
        value: Arc<V>,
        /// [`Outcome::Hit`] or [`Outcome::Stale`].
        outcome: Outcome,
        /// The duty to read the query anew, in the background. Of all readers who find an ageing
        /// answer, one gets it.
        refresh: Option<Lead<V, E>>,
    },
    /// Nothing that may be served: [`Cache::join`] a load.
    Miss,
    /// Another query has the same fingerprint: read the database without the cache
    /// ([`Bypass::Collision`](turbodiesel_core::Bypass::Collision)).
    Collision,
}

/// Answers of queries, kept as long as they are current and young enough.
///
/// Clones share one cache. `V` is an answer; `E` is the error of a load, which all who wait for it
/// get a clone of.
pub struct Cache<V, E> {
    pub(crate) inner: Arc<Inner<V, E>>,
}

impl<V, E> Cache<V, E> {
    /// Starts to configure a cache.
    pub fn builder() -> CacheBuilder<V, E> {
        CacheBuilder::default()
    }

    /// The stamps that decide which answers are current.
    #[must_use]
    pub fn stamps(&self) -> &Arc<Stamps> {
        &self.inner.stamps
    }

    /// Looks for an answer that is current and young enough. Never waits for a load.
    pub fn lookup(&self, read: &Read<'_>) -> Lookup<V, E> {
        let inner = &*self.inner;
        let counters = inner.counters(read.tier);
        let Some(entry) = inner.store(read.tier).get(read.key.fingerprint) else {
            bump(&counters.misses);
            return Lookup::Miss;
        };
        let now = inner.stamps.clock().now();
        let aging = &inner.store(read.tier).aging;
        match inner.judge(&entry, read, now) {
            Verdict::Valid => match entry.age(now, aging) {
                Age::Fresh => {
                    bump(&counters.hits);
                    let outcome = Outcome::Hit(read.tier);
                    Lookup::Hit { value: Arc::clone(&entry.value), outcome, refresh: None }
                }
                age => self.aged_hit(read, entry, age, now),
            },
            Verdict::OtherQuery => {
                bump(&counters.collisions);
                Lookup::Collision
            }
            verdict => {
                inner.discard_if_dead(read, &entry, verdict);
                bump(&counters.misses);
                Lookup::Miss
            }
        }
    }

    #[cold]
    fn aged_hit(
        &self,
        read: &Read<'_>,
        entry: Arc<Entry<V>>,
        age: Age,
        now: Nanos,
    ) -> Lookup<V, E> {
        let counters = self.inner.counters(read.tier);
        let outcome = if age == Age::Stale {
            bump(&counters.stale);
            Outcome::Stale(read.tier)
        } else {
            bump(&counters.hits);
            Outcome::Hit(read.tier)
        };
        let value = Arc::clone(&entry.value);
        let refresh = if entry.claim_refresh(now) { self.refresh(read, entry) } else { None };
        Lookup::Hit { value, outcome, refresh }
    }

    /// Begins a load that refreshes `entry`, unless one of the same query is already under way.
    fn refresh(&self, read: &Read<'_>, entry: Arc<Entry<V>>) -> Option<Lead<V, E>> {
        let inner = &self.inner;
        let fingerprint = read.key.fingerprint;
        let mut shard = inner.flights.lock(fingerprint);
        let under_way = shard.newest(fingerprint).is_some_and(|flight| {
            *flight.identity == *read.key.identity
                && flight.is_led(|snapshot| inner.may_share(snapshot, read))
        });
        if under_way {
            entry.release_refresh(Nanos::default());
            return None;
        }
        Some(self.depart(&mut shard, read).refreshing(entry))
    }

    /// What is kept of a query, for people: it counts as no lookup, and does not keep the answer from
    /// being evicted.
    #[must_use]
    pub fn inspect(&self, read: &Read<'_>) -> Option<Kept> {
        let inner = &*self.inner;
        let entry = inner.store(read.tier).peek(read.key.fingerprint)?;
        let now = inner.stamps.clock().now();
        let valid = inner.judge(&entry, read, now) == Verdict::Valid;
        valid.then(|| Kept {
            age: now.since(entry.started),
            expires_in: entry.expires.since(now),
            bytes: entry.weight,
        })
    }

    /// Joins the load of a query, after a lookup that missed.
    ///
    /// Readers share a load if nothing the query depends on changed between their arrivals, and the
    /// load is not older than the answer they accept, whether or not a write is in flight.
    pub fn join(&self, read: &Read<'_>) -> Role<V, E> {
        let inner = &self.inner;
        let fingerprint = read.key.fingerprint;
        let mut shard = inner.flights.lock(fingerprint);
        if let Some(flight) = shard.newest(fingerprint)
            && *flight.identity == *read.key.identity
        {
            match flight.board(
                |snapshot| inner.may_share(snapshot, read),
                || inner.stamps.is_written(read.slots),
                || inner.stamps.snapshot(flight.slots.iter().copied()),
            ) {
                Boarding::Follow => {
                    let flight = Arc::clone(flight);
                    return Role::Follow(Follow::flight(Arc::clone(inner), flight, read.tier));
                }
                Boarding::Landed(value) => {
                    return Role::Follow(Follow::landed(value, Arc::clone(inner)));
                }
                Boarding::Lead(snapshot) => {
                    let flight = Arc::clone(flight);
                    return Role::Lead(Lead::new(Arc::clone(inner), flight, read.tier, snapshot));
                }
                Boarding::Refused => {}
            }
        }
        // A load may have landed since the caller's lookup. It put its answer in before it left the
        // table, so looking once more, under the same lock, makes sure that nobody reads twice.
        if let Some(value) = inner.landed(read) {
            return Role::Follow(Follow::landed(value, Arc::clone(inner)));
        }
        Role::Lead(self.depart(&mut shard, read))
    }

    /// Begins a load that later readers may join.
    fn depart(&self, shard: &mut Shard<V, E>, read: &Read<'_>) -> Lead<V, E> {
        let snapshot = self.inner.stamps.snapshot(read.slots.iter().copied());
        let Key { fingerprint, identity } = read.key;
        let flight = Flight::new(fingerprint, identity, read.slots, snapshot);
        shard.open(&flight);
        Lead::new(Arc::clone(&self.inner), flight, read.tier, snapshot)
    }

    /// Ends everything that was read before now, in one tier or in all of them. Loads in progress
    /// go on, and their answers are not kept.
    pub fn clear(&self, tier: Option<Tier>) {
        let tick = self.inner.stamps.tick();
        for cleared in Tier::ALL {
            if tier.is_none_or(|tier| tier == cleared) {
                self.inner.store(cleared).clear(tick);
            }
        }
    }

    /// What the cache did since it was built, and what it holds now.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let mut stats = self.inner.counters.sum();
        for (stats, store) in stats.tiers.iter_mut().zip(&self.inner.stores) {
            stats.entries = store.len();
            stats.bytes = store.bytes();
            stats.capacity_bytes = store.capacity();
        }
        stats.flights = self.inner.flights.loading();
        stats
    }
}

impl<V: Weigh, E> Cache<V, E> {
    /// Offers an answer that was read outside a shared load, for example on a connection that must
    /// not wait for others. Returns whether it was kept.
    ///
    /// `snapshot` was taken of the same slots before the read began. Offer the answer before it is shown
    /// to anybody, kept or not: what is kept may have to go on its account.
    pub fn fill(&self, read: &Read<'_>, snapshot: Snapshot, value: impl Into<Arc<V>>) -> bool {
        let inner = &*self.inner;
        let prepared = inner.prepare(read, &snapshot, &value.into());
        let mut shard = inner.flights.lock(read.key.fingerprint);
        shard.overtake(read.key.fingerprint);
        let Admission { is_kept, left } = inner.admit(&shard, read, prepared);
        drop(shard);
        drop(left);
        is_kept
    }
}

impl<V, E> Clone for Cache<V, E> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<V, E> fmt::Debug for Cache<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("stamps", &self.inner.stamps).finish_non_exhaustive()
    }
}

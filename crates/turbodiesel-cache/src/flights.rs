//! Which loads are in progress, so that readers of one answer share one.
//!
//! Each key has at most one flight that readers may board: its newest. An older one, which newer
//! readers may not share, goes on for those who are on it already, and ends with them.
//!
//! # Flights that linger
//!
//! What was read while a write was in flight must not be kept, so a write that takes a while would
//! send the readers of a popular key to the database flight after flight. But a mark forbids keeping
//! an answer, not sharing it: as long as the write is in flight and no stamp changed, one more
//! reader may board just as before the landing. So such a flight lingers in the table until the
//! write ends, and a key is read at most twice per write, however many read it. Few flights linger
//! at a time, and only with small answers, because they are outside every budget.
//!
//! # Values do not go back
//!
//! Whoever begins to read after a value was shown must not be shown an older one. Between a commit
//! and its acknowledgement, though, who reads first does not say who reads newer: an older flight may
//! land with more than the newest, which newcomers go on to board, has read or will. So unless it is
//! certain that nothing was written, the readers of an older flight, its leader among them, are given
//! what the newest has landed with, and if that is still loading, they are handed over to it: they
//! wait for its value too, and nobody sees their own.
//!
//! A reader is handed over once. Should the newest come to nothing (it fails, cannot be shared,
//! loses its leader, or hands its own readers over in turn), the reader is shown the value of the
//! flight it came with after all. That is right because of all the flights that readers could board
//! when that value was there, the newest alone was under way. It shows nothing now, and any that
//! came after it reads later. What was kept meanwhile by who read alone may be older, and leaves.
//!
//! A value that no flight has read cannot wait like that: there, the newest is closed to those who come
//! later. Where nobody may share the newest any more, no newcomer may either, so nobody need wait.
//!
//! Locks, in this order: a shard of the table, a flight's state, a shard of a tier's map. None of
//! them is held across an `await`.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry as Place},
    sync::Arc,
};

use foldhash::fast::RandomState;
use turbodiesel_core::Fingerprint;

use crate::{
    flight::{Flight, Landing, Wake},
    sync::{Mutex, MutexGuard},
};

/// Enough that two keys rarely wait for one another.
const SHARDS: usize = 64;
/// How many flights may linger in a shard. The one that came first makes room for the next.
const LINGERING: usize = 4;

/// The flights that readers may board, by fingerprint.
pub(crate) struct Flights<V, E> {
    shards: Box<[Mutex<Shard<V, E>>]>,
}

/// Part of the table. Its lock also orders the fills of the keys in it.
pub(crate) struct Shard<V, E> {
    /// By another hash of what is a keyed hash already.
    newest: HashMap<Fingerprint, Arc<Flight<V, E>>, RandomState>,
    /// The keys of flights that linger, in the order of their landing. Some may be gone already.
    lingering: VecDeque<Fingerprint>,
}

impl<V, E> Default for Shard<V, E> {
    fn default() -> Self {
        Self { newest: HashMap::default(), lingering: VecDeque::new() }
    }
}

impl<V, E> Flights<V, E> {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Locks the key's shard.
    pub(crate) fn lock(&self, fingerprint: Fingerprint) -> MutexGuard<'_, Shard<V, E>> {
        // OK because the remainder is below the length, whatever is cut off.
        self.shards[fingerprint.0 as usize % SHARDS].lock()
    }

    /// How many keys are being loaded now.
    pub(crate) fn loading(&self) -> u64 {
        let loading = |shard: &Mutex<Shard<V, E>>| {
            shard.lock().newest.values().filter(|flight| !flight.has_landed()).count()
        };
        self.shards.iter().map(|shard| loading(shard) as u64).sum()
    }
}

impl<V, E> Shard<V, E> {
    pub(crate) fn newest(&self, fingerprint: Fingerprint) -> Option<&Arc<Flight<V, E>>> {
        self.newest.get(&fingerprint)
    }

    /// Makes a flight the one that readers may board.
    pub(crate) fn open(&mut self, flight: &Arc<Flight<V, E>>) {
        self.newest.insert(flight.fingerprint, Arc::clone(flight));
    }

    /// Makes a flight that goes on under a new leader boardable again, if no newer one is.
    pub(crate) fn reopen(&mut self, flight: &Arc<Flight<V, E>>) {
        self.newest.entry(flight.fingerprint).or_insert_with(|| Arc::clone(flight));
    }

    /// Closes the newest flight to those who come later: a value is shown that it has not read and
    /// that may be newer than what it has read or will.
    pub(crate) fn overtake(&mut self, key: Fingerprint) {
        self.newest.remove(&key);
    }

    /// The flight that readers of the same query may board instead of this one.
    pub(crate) fn newer(&self, flight: &Arc<Flight<V, E>>) -> Option<&Arc<Flight<V, E>>> {
        self.newest(flight.fingerprint)
            .filter(|newest| !Arc::ptr_eq(newest, flight) && *newest.identity == *flight.identity)
    }

    /// Ends a flight. Returns whom to wake, once the lock is released.
    #[must_use = "followers sleep until they are woken"]
    pub(crate) fn land(&mut self, flight: &Arc<Flight<V, E>>, landing: Landing<V, E>) -> Wake {
        self.close(flight);
        flight.land(landing)
    }

    /// Ends a flight that readers may go on to board. Returns whom to wake.
    #[must_use = "followers sleep until they are woken"]
    pub(crate) fn land_and_linger(
        &mut self,
        flight: &Arc<Flight<V, E>>,
        landing: Landing<V, E>,
    ) -> Wake {
        let key = flight.fingerprint;
        // Nobody could board a flight that is not the newest. The newest may be lingering itself,
        // so its place in the queue is not touched either.
        if self.newest(key).is_some_and(|newest| Arc::ptr_eq(newest, flight)) {
            self.lingering.retain(|&other| other != key);
            self.lingering.push_back(key);
        }
        if self.lingering.len() > LINGERING
            && let Some(first) = self.lingering.pop_front()
            && let Place::Occupied(place) = self.newest.entry(first)
            && place.get().has_landed()
        {
            place.remove();
        }
        flight.land(landing)
    }

    /// Notes that the leader vanished.
    #[must_use = "followers sleep until they are woken"]
    pub(crate) fn lose_leader(&mut self, flight: &Arc<Flight<V, E>>) -> Wake {
        if flight.lose_leader() {
            return Wake::One;
        }
        self.close(flight);
        Wake::Nobody
    }

    /// Notes that a follower does not wait any more.
    #[must_use = "followers sleep until they are woken"]
    pub(crate) fn leave(&mut self, flight: &Arc<Flight<V, E>>) -> Wake {
        match flight.leave() {
            None => Wake::Nobody,
            Some(0) => {
                self.close(flight);
                Wake::Nobody
            }
            // The one who leaves may be the one who was woken to take over.
            Some(_) => Wake::One,
        }
    }

    /// Keeps those who come later from boarding a flight, if it is the one that they would.
    fn close(&mut self, flight: &Arc<Flight<V, E>>) {
        if let Place::Occupied(place) = self.newest.entry(flight.fingerprint)
            && Arc::ptr_eq(place.get(), flight)
        {
            place.remove();
        }
    }
}

//! Loads in progress, so that readers of one answer share one.
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
//! Between a commit and its acknowledgement, who reads first does not say who reads newer. So when a
//! flight lands that is not the newest any more, its readers are given what the newest has landed
//! with; if that is still loading, or a value arrives that no flight has read, the newest is closed to
//! those who come later.
//!
//! Locks, in this order: a shard of the table, a flight's state, a shard of a tier's map. None of
//! them is held across an `await`.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry as Place},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use turbodiesel_core::Fingerprint;

use crate::{Slot, Snapshot};

/// Enough that two keys rarely wait for one another.
const SHARDS: usize = 64;
/// How many flights may linger in a shard. The one that came first makes room for the next.
const LINGERING: usize = 4;

/// One load, its leader and those who wait for it.
pub(crate) struct Flight<V, E> {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) identity: Box<[u8]>,
    pub(crate) slots: Box<[Slot]>,
    state: Mutex<State<V, E>>,
    /// All followers are woken when the flight lands, one when it loses its leader.
    changed: Notify,
}

struct State<V, E> {
    /// What the present leader saw before it began to read.
    snapshot: Snapshot,
    followers: usize,
    phase: Phase<V, E>,
}

enum Phase<V, E> {
    Loading,
    /// The leader vanished. Whoever comes next, follower or newcomer, becomes the leader.
    Leaderless,
    Landed(Landing<V, E>),
}

/// How a load ended, for those who waited for it.
pub(crate) enum Landing<V, E> {
    Value(Arc<V>),
    Failed(E),
    Unshared,
}

impl<V, E: Clone> Clone for Landing<V, E> {
    fn clone(&self) -> Self {
        match self {
            Landing::Value(value) => Landing::Value(Arc::clone(value)),
            Landing::Failed(error) => Landing::Failed(error.clone()),
            Landing::Unshared => Landing::Unshared,
        }
    }
}

/// What a reader who asks to come aboard is told.
pub(crate) enum Boarding<V> {
    /// Wait: the reader is now counted as a follower.
    Follow,
    /// The flight has landed and lingers; this is its answer.
    Landed(Arc<V>),
    /// Lead: the former leader vanished, and the flight goes on with the given snapshot.
    Lead(Snapshot),
    /// This flight is not for this reader.
    Refused,
}

/// What a waiting follower finds.
pub(crate) enum Waiting<V, E> {
    Loading,
    Lead(Snapshot),
    Landed(Landing<V, E>),
}

impl<V, E> Flight<V, E> {
    pub(crate) fn new(
        fingerprint: Fingerprint,
        identity: &[u8],
        slots: &[Slot],
        snapshot: Snapshot,
    ) -> Arc<Self> {
        Arc::new(Self {
            fingerprint,
            identity: identity.into(),
            slots: slots.into(),
            state: Mutex::new(State { snapshot, followers: 0, phase: Phase::Loading }),
            changed: Notify::new(),
        })
    }

    /// Asks to come aboard. `may_share` judges the snapshot under which the leader reads,
    /// `may_linger` whether a flight that has landed goes on, and `anew` takes another snapshot if
    /// there is no leader.
    ///
    /// The caller holds the shard that the flight was found in.
    pub(crate) fn board(
        &self,
        may_share: impl Fn(&Snapshot) -> bool,
        may_linger: impl FnOnce() -> bool,
        anew: impl FnOnce() -> Snapshot,
    ) -> Boarding<V> {
        let mut state = self.state.lock();
        match &state.phase {
            Phase::Loading if may_share(&state.snapshot) => {
                state.followers += 1;
                Boarding::Follow
            }
            Phase::Landed(Landing::Value(value)) if may_share(&state.snapshot) && may_linger() => {
                Boarding::Landed(Arc::clone(value))
            }
            Phase::Leaderless => Boarding::Lead(state.take_lead(anew)),
            Phase::Loading | Phase::Landed(_) => Boarding::Refused,
        }
    }

    /// Whether somebody leads it under a snapshot that `may_share` approves of.
    pub(crate) fn is_led(&self, may_share: impl FnOnce(&Snapshot) -> bool) -> bool {
        let state = self.state.lock();
        matches!(state.phase, Phase::Loading) && may_share(&state.snapshot)
    }

    fn land(&self, landing: Landing<V, E>) -> Wake {
        let mut state = self.state.lock();
        state.phase = Phase::Landed(landing);
        if state.followers == 0 { Wake::Nobody } else { Wake::All }
    }

    /// The value with which it landed, if `may_share` approves of the snapshot that it was read under.
    pub(crate) fn landed(&self, may_share: impl FnOnce(&Snapshot) -> bool) -> Option<Arc<V>> {
        let state = self.state.lock();
        match &state.phase {
            Phase::Landed(Landing::Value(value)) if may_share(&state.snapshot) => {
                Some(Arc::clone(value))
            }
            _ => None,
        }
    }

    fn has_landed(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Landed(_))
    }

    /// Calls `look` now and after each change, until it answers.
    ///
    /// Dropping the future loses nothing: a wake-up that was meant for one follower passes to
    /// another.
    pub(crate) async fn wait_until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            // Created before looking: it learns of every change from now on, polled or not.
            let changed = self.changed.notified();
            if let Some(answer) = look() {
                return answer;
            }
            changed.await;
        }
    }
}

impl<V, E: Clone> Flight<V, E> {
    /// What a follower finds now. If the leader vanished, the follower takes its place with the
    /// snapshot that `anew` takes.
    pub(crate) fn look(&self, anew: impl FnOnce() -> Snapshot) -> Waiting<V, E> {
        let mut state = self.state.lock();
        match &state.phase {
            Phase::Loading => Waiting::Loading,
            Phase::Leaderless => Waiting::Lead(state.take_lead(anew)),
            Phase::Landed(landing) => Waiting::Landed(landing.clone()),
        }
    }
}

impl<V, E> State<V, E> {
    fn take_lead(&mut self, anew: impl FnOnce() -> Snapshot) -> Snapshot {
        self.snapshot = anew();
        self.phase = Phase::Loading;
        self.snapshot
    }
}

/// The flights that readers may board, by fingerprint.
pub(crate) struct Flights<V, E> {
    shards: Box<[Mutex<Shard<V, E>>]>,
}

/// Part of the table. Its lock also orders the fills of the keys in it.
pub(crate) struct Shard<V, E> {
    newest: HashMap<Fingerprint, Arc<Flight<V, E>>>,
    /// The keys of flights that linger, in the order of their landing. Some may be gone already.
    lingering: VecDeque<Fingerprint>,
}

impl<V, E> Default for Shard<V, E> {
    fn default() -> Self {
        Self { newest: HashMap::new(), lingering: VecDeque::new() }
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
    pub(crate) fn announce(&mut self, flight: &Arc<Flight<V, E>>) {
        self.newest.insert(flight.fingerprint, Arc::clone(flight));
    }

    /// Makes a flight that goes on under a new leader boardable again, if no newer one is.
    pub(crate) fn announce_again(&mut self, flight: &Arc<Flight<V, E>>) {
        self.newest.entry(flight.fingerprint).or_insert_with(|| Arc::clone(flight));
    }

    /// Somebody has seen a value that was not read by the newest flight, if that is not `by`, and may
    /// be newer than what that one has read or will: whoever comes now must not board it, or values
    /// would go back.
    pub(crate) fn overtake(&mut self, key: Fingerprint, by: Option<&Arc<Flight<V, E>>>) {
        if let Place::Occupied(place) = self.newest.entry(key)
            && by.is_none_or(|flight| !Arc::ptr_eq(place.get(), flight))
        {
            place.remove();
        }
    }

    /// Ends a flight. Returns whom to wake, once the lock is released.
    #[must_use = "followers sleep until they are woken"]
    pub(crate) fn land(&mut self, flight: &Arc<Flight<V, E>>, landing: Landing<V, E>) -> Wake {
        self.withdraw(flight);
        flight.land(landing)
    }

    /// Ends a flight that readers may go on to board. Returns whom to wake.
    #[must_use = "followers sleep until they are woken"]
    pub(crate) fn land_and_linger(&mut self, flight: &Arc<Flight<V, E>>, value: Arc<V>) -> Wake {
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
        flight.land(Landing::Value(value))
    }

    /// Notes that the leader vanished.
    #[must_use = "followers sleep until they are woken"]
    pub(crate) fn lose_leader(&mut self, flight: &Arc<Flight<V, E>>) -> Wake {
        let followers = {
            let mut state = flight.state.lock();
            state.phase = Phase::Leaderless;
            state.followers
        };
        if followers == 0 {
            self.withdraw(flight);
            return Wake::Nobody;
        }
        Wake::One
    }

    /// Notes that a follower does not wait any more.
    pub(crate) fn leave(&mut self, flight: &Arc<Flight<V, E>>) {
        let deserted = {
            let mut state = flight.state.lock();
            state.followers -= 1;
            state.followers == 0 && matches!(state.phase, Phase::Leaderless)
        };
        if deserted {
            self.withdraw(flight);
        }
    }

    fn withdraw(&mut self, flight: &Arc<Flight<V, E>>) {
        if let Place::Occupied(place) = self.newest.entry(flight.fingerprint)
            && Arc::ptr_eq(place.get(), flight)
        {
            place.remove();
        }
    }
}

/// Which followers a change concerns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wake {
    Nobody,
    One,
    All,
}

impl Wake {
    /// Wakes them. The table's lock is not held, so that they do not run into it.
    pub(crate) fn wake<V, E>(self, flight: &Flight<V, E>) {
        match self {
            Wake::Nobody => {}
            // A wake-up that nobody waits for yet is kept for the first who does.
            Wake::One => flight.changed.notify_one(),
            Wake::All => flight.changed.notify_waiters(),
        }
    }
}

//! A load in progress, its leader and those who wait for it.
//!
//! The [table](crate::flights) of flights says which of them readers may board, and when a flight
//! ends differently from what its leader read.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use turbodiesel_core::{Fingerprint, Tier};

use crate::{Key, Read, Slot, Snapshot, sync::Mutex};

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
    Loaded(Shown<V, E>),
    Failed(E),
    Unshared,
}

impl<V, E: Clone> Clone for Landing<V, E> {
    fn clone(&self) -> Self {
        match self {
            Landing::Loaded(shown) => Landing::Loaded(shown.clone()),
            Landing::Failed(error) => Landing::Failed(error.clone()),
            Landing::Unshared => Landing::Unshared,
        }
    }
}

/// What the readers of a flight are shown once its leader has read a value.
pub(crate) enum Shown<V, E> {
    /// That value, or the one that the newest flight has landed with.
    Value(Arc<V>),
    /// The value that the newest flight will land with.
    HandedOver {
        /// Weak, or a reader who is slow to look would keep all flights since.
        newest: Weak<Flight<V, E>>,
        /// What their own leader has read, in case that the newest comes to nothing.
        own: Arc<V>,
    },
}

impl<V, E> Clone for Shown<V, E> {
    fn clone(&self) -> Self {
        match self {
            Shown::Value(value) => Shown::Value(Arc::clone(value)),
            Shown::HandedOver { newest, own } => {
                Shown::HandedOver { newest: Weak::clone(newest), own: Arc::clone(own) }
            }
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

/// What waiting for a flight came to.
pub(crate) enum Waited<V, E> {
    /// The leader vanished. The follower takes its place with the given snapshot.
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

    /// The read that it is about, by a reader who takes whatever it comes to.
    pub(crate) fn read(&self, tier: Tier) -> Read<'_> {
        let key = Key { fingerprint: self.fingerprint, identity: &self.identity };
        Read { key, slots: &self.slots, tier, max_age: None }
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
            Phase::Landed(Landing::Loaded(Shown::Value(value)))
                if may_share(&state.snapshot) && may_linger() =>
            {
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

    /// What the readers of an older flight, whose leader has read `own`, are shown instead, because
    /// others may still board this one. `None` if `may_share` says that nobody may.
    pub(crate) fn instead_of(
        self: &Arc<Self>,
        own: &Arc<V>,
        may_share: impl Fn(&Snapshot) -> bool,
    ) -> Option<Shown<V, E>> {
        let state = self.state.lock();
        match &state.phase {
            Phase::Loading if may_share(&state.snapshot) => {
                Some(Shown::HandedOver { newest: Arc::downgrade(self), own: Arc::clone(own) })
            }
            Phase::Landed(Landing::Loaded(Shown::Value(value))) if may_share(&state.snapshot) => {
                Some(Shown::Value(Arc::clone(value)))
            }
            Phase::Loading | Phase::Leaderless | Phase::Landed(_) => None,
        }
    }

    pub(crate) fn has_landed(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Landed(_))
    }

    /// Ends the load.
    pub(crate) fn land(&self, landing: Landing<V, E>) -> Wake {
        let mut state = self.state.lock();
        state.phase = Phase::Landed(landing);
        if state.followers == 0 { Wake::Nobody } else { Wake::All }
    }

    /// Notes that the leader vanished. Returns whether anybody is left to take its place.
    pub(crate) fn lose_leader(&self) -> bool {
        let mut state = self.state.lock();
        state.phase = Phase::Leaderless;
        state.followers > 0
    }

    /// Counts a reader in who was handed over, whatever the flight has come to.
    pub(crate) fn follow(&self) {
        self.state.lock().followers += 1;
    }

    /// Counts a follower out. Returns how many remain if there is no leader.
    pub(crate) fn leave(&self) -> Option<usize> {
        let mut state = self.state.lock();
        state.followers -= 1;
        matches!(state.phase, Phase::Leaderless).then_some(state.followers)
    }

    /// What a reader who was handed over finds: nothing yet, or the value, if there is one.
    ///
    /// Such a reader has a value to fall back to, so it does not take the place of a lost leader.
    pub(crate) fn look_for_value(&self) -> Option<Option<Arc<V>>> {
        match &self.state.lock().phase {
            Phase::Loading => None,
            Phase::Landed(Landing::Loaded(Shown::Value(value))) => Some(Some(Arc::clone(value))),
            Phase::Leaderless | Phase::Landed(_) => Some(None),
        }
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
    /// What a follower finds, if it need not wait any longer. If the leader vanished, the follower
    /// takes its place with the snapshot that `anew` takes.
    pub(crate) fn look(&self, anew: impl FnOnce() -> Snapshot) -> Option<Waited<V, E>> {
        let mut state = self.state.lock();
        match &state.phase {
            Phase::Loading => None,
            Phase::Leaderless => Some(Waited::Lead(state.take_lead(anew))),
            Phase::Landed(landing) => Some(Waited::Landed(landing.clone())),
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

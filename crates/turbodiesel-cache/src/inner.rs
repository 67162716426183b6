//! What all clones of a cache share, and its rules: what may be served, shared and kept.

use std::{
    ptr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use turbodiesel_core::{Fingerprint, Nanos, Tier, Weigh};

use crate::{
    Read, Snapshot, Stamps,
    entry::Entry,
    flights::{Flights, Shard},
    load::LoadId,
    stats::{Counters, TierCounters, bump},
    store::{Left, Refusal, Store},
    sync::MutexGuard,
};

/// What all clones of a cache, and the leads it gave out, share.
pub(crate) struct Inner<V, E> {
    pub(crate) stamps: Arc<Stamps>,
    pub(crate) stores: [Store<V>; 3],
    pub(crate) flights: Flights<V, E>,
    pub(crate) counters: Counters,
    pub(crate) max_entry_bytes: usize,
}

/// What an entry is to a certain reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Valid,
    OtherQuery,
    Invalidated,
    Expired,
    /// Older than this reader accepts, though not too old for others.
    TooOld,
}

impl<V, E> Inner<V, E> {
    pub(crate) fn store(&self, tier: Tier) -> &Store<V> {
        &self.stores[tier.index()]
    }

    pub(crate) fn counters(&self, tier: Tier) -> &TierCounters {
        &self.counters.local().tiers[tier.index()]
    }

    /// Identifies a load of this cache among all that a thread may poll.
    pub(crate) fn load_id(&self, fingerprint: Fingerprint) -> LoadId {
        (ptr::from_ref(self).addr(), fingerprint)
    }

    #[inline]
    pub(crate) fn judge(&self, entry: &Entry<V>, read: &Read<'_>, now: Nanos) -> Verdict {
        let store = self.store(read.tier);
        if *entry.identity != *read.key.identity {
            return Verdict::OtherQuery;
        }
        if store.is_cleared(entry.version)
            || !self.stamps.is_version_current(entry.version, read.slots)
        {
            return Verdict::Invalidated;
        }
        if entry.is_expired(now) {
            return Verdict::Expired;
        }
        match read.max_age {
            Some(max) if !entry.is_younger_than(max, now, &store.aging) => Verdict::TooOld,
            _ => Verdict::Valid,
        }
    }

    /// Drops an entry that nobody may be served any more.
    pub(crate) fn discard_if_dead(&self, read: &Read<'_>, entry: &Arc<Entry<V>>, verdict: Verdict) {
        let counters = self.counters(read.tier);
        let counter = match verdict {
            Verdict::Invalidated => &counters.invalidated,
            Verdict::Expired => &counters.expired,
            Verdict::Valid | Verdict::OtherQuery | Verdict::TooOld => return,
        };
        if self.store(read.tier).discard(read.key.fingerprint, entry) {
            bump(counter);
        }
    }

    /// The answer of a load that landed a moment ago.
    pub(crate) fn landed(&self, read: &Read<'_>) -> Option<Arc<V>> {
        let entry = self.store(read.tier).peek(read.key.fingerprint)?;
        let now = self.stamps.clock().now();
        (self.judge(&entry, read, now) == Verdict::Valid).then(|| Arc::clone(&entry.value))
    }

    /// Whether a load that began with `snapshot` may answer a reader who comes now.
    pub(crate) fn may_share(&self, snapshot: &Snapshot, read: &Read<'_>) -> bool {
        let store = self.store(read.tier);
        let ceiling = read.max_age.map_or(store.aging.ttl, |max| max.min(store.aging.ttl));
        let age = self.stamps.clock().now().since(snapshot.started()) + store.aging.resolution;
        // Age is judged by when the load began, since the database may have answered any time since.
        age < ceiling
            && self.stamps.is_current(snapshot, read.slots)
            && !store.is_cleared(snapshot.version())
            && !store.is_departed(read.key.fingerprint, snapshot.version())
    }
}

/// An entry that may be put in, as far as can be told without the lock of its key.
pub(crate) struct Prepared<V>(Result<Arc<Entry<V>>, Refusal>);

impl<V: Weigh, E> Inner<V, E> {
    /// Makes an entry of an answer. Calls into the value, so no lock is held.
    pub(crate) fn prepare(
        &self,
        read: &Read<'_>,
        snapshot: &Snapshot,
        value: &Arc<V>,
    ) -> Prepared<V> {
        Prepared(self.try_prepare(read, snapshot, value))
    }

    fn try_prepare(
        &self,
        read: &Read<'_>,
        snapshot: &Snapshot,
        value: &Arc<V>,
    ) -> Result<Arc<Entry<V>>, Refusal> {
        if snapshot.is_marked() {
            return Err(Refusal::Marked);
        }
        let now = self.stamps.clock().now();
        let entry = Entry::new(
            read.key.identity.into(),
            Arc::clone(value),
            value.weight(),
            snapshot.version(),
            (snapshot.started(), now),
            &self.store(read.tier).aging,
        );
        if entry.weight > self.max_entry_bytes as u64 {
            return Err(Refusal::TooLarge);
        }
        if entry.is_expired(now) {
            return Err(Refusal::Expired);
        }
        Ok(Arc::new(entry))
    }
}

/// What became of an answer that was offered.
pub(crate) struct Admission<V> {
    pub(crate) is_kept: bool,
    /// What had to leave, to be dropped once the lock is released.
    pub(crate) left: Left<V>,
}

impl<V, E> Inner<V, E> {
    /// Puts an entry in, unless that would take the tier back in time. Its answer counts as shown: a
    /// refresh in the background may have found readers to share it meanwhile.
    pub(crate) fn admit(
        &self,
        order: &MutexGuard<'_, Shard<V, E>>,
        read: &Read<'_>,
        prepared: Prepared<V>,
    ) -> Admission<V> {
        let counters = self.counters(read.tier);
        match prepared.0.and_then(|entry| self.try_admit(read, entry)) {
            Ok(left) => {
                bump(&counters.fills);
                counters.evictions.fetch_add(left.evicted(), Relaxed);
                self.note_shown(read);
                Admission { is_kept: true, left }
            }
            Err(refusal) => {
                bump(&counters.refused[refusal as usize]);
                Admission { is_kept: false, left: self.show(order, read) }
            }
        }
    }

    /// Counts an answer that nobody is shown.
    pub(crate) fn withhold(&self, read: &Read<'_>, prepared: Prepared<V>) {
        let refusal = prepared.0.err().unwrap_or(Refusal::Superseded);
        bump(&self.counters(read.tier).refused[refusal as usize]);
    }

    /// Notes that an answer is shown which is not kept. If nobody knows whether it is newer than the
    /// one that is, that has to leave: it must not be shown any more.
    pub(crate) fn show(&self, _order: &MutexGuard<'_, Shard<V, E>>, read: &Read<'_>) -> Left<V> {
        if self.note_shown(read) {
            self.store(read.tier).take_out(read.key.fingerprint)
        } else {
            Left::default()
        }
    }

    /// Notes that an answer is shown, if reads that overlapped its own may be older unnoticed.
    ///
    /// They may while a write is to learn what it touched. Once it has, its stamps end whatever was
    /// read before its commit, and where nobody writes all read the same. What is served from the
    /// tier need not be noted: whoever began to read after it was kept reads no less.
    fn note_shown(&self, read: &Read<'_>) -> bool {
        let overlaps = self.stamps.is_expected(read.slots);
        if overlaps {
            self.store(read.tier).note_shown(read.key.fingerprint, self.stamps.tick());
        }
        overlaps
    }

    fn try_admit(&self, read: &Read<'_>, entry: Arc<Entry<V>>) -> Result<Left<V>, Refusal> {
        let store = self.store(read.tier);
        let fingerprint = read.key.fingerprint;
        // These two only spare the space: whoever looks the entry up judges it again.
        if store.is_cleared(entry.version) {
            return Err(Refusal::Cleared);
        }
        if !self.stamps.is_version_current(entry.version, read.slots) {
            return Err(Refusal::Changed);
        }
        // These two are decisive. Of two reads of a key that overlap, the one that began later stays,
        // even if it has left again: first look for it, then for the note of its departure.
        let newer = store.peek(fingerprint).filter(|there| there.version > entry.version);
        if newer.is_some() || store.is_departed(fingerprint, entry.version) {
            return Err(Refusal::Superseded);
        }
        // While a write is to learn what it touched that one may have read less, so neither stays.
        if self.stamps.is_expected(read.slots) && store.is_disputed(fingerprint, entry.version) {
            return Err(Refusal::Disputed);
        }
        Ok(store.put(fingerprint, entry))
    }
}

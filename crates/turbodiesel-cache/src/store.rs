//! One tier's entries, within a budget of bytes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter, sync::Cache as Map};
use turbodiesel_core::Fingerprint;

use crate::{
    entry::{Aging, Entry},
    sync::available_threads,
};

/// The part of a shard that `quick_cache` is willing to give to one entry, in percent.
const HOT_PERCENT: u64 = 97;
/// Shards are made large enough for this many entries of the greatest size, so that a large one does
/// not empty its shard.
const LARGEST_PER_SHARD: u64 = 4;
/// A guess at the usual weight. It bounds how many evicted keys are remembered, outside the budget.
const USUAL_WEIGHT: u64 = 2_048;
/// How many places remember what has left.
const DEPARTED: usize = 1_024;
/// How many places remember what was shown (512 KiB). While writes learn, every fill takes note of its
/// key there, and a slow read is refused if another key of its place was shown meanwhile.
const SHOWN: usize = 1 << 16;

/// Why an answer was not put into its tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Changed,
    Marked,
    TooLarge,
    Cleared,
    Superseded,
    Disputed,
    Expired,
}

impl Refusal {
    pub(crate) const COUNT: usize = Refusal::Expired as usize + 1;
}

/// The entries of one tier.
pub(crate) struct Store<V> {
    map: Map<Fingerprint, Arc<Entry<V>>, EntryWeight, DefaultHashBuilder, Latest>,
    /// The newest versions that left.
    ///
    /// Values of a key must not go back, even when the newer one is evicted before a slow read of the
    /// older one arrives.
    departures: Latest,
    /// When answers were last shown beside which a read may have been older, whether or not they were
    /// kept.
    shown: Latest,
    /// The tick of the last clearing. What was read before it is neither served nor put in.
    cleared: AtomicU64,
    pub(crate) aging: Aging,
}

impl<V> Store<V> {
    /// The smallest budget that can hold an entry of `largest` bytes.
    pub(crate) fn least_capacity(largest: usize) -> u64 {
        (largest as u64).saturating_mul(100).div_ceil(HOT_PERCENT).saturating_add(1)
    }

    pub(crate) fn new(aging: Aging, capacity: u64, largest: usize) -> Self {
        let threads = available_threads();
        let per_shard = Self::least_capacity(largest).saturating_mul(LARGEST_PER_SHARD);
        let fitting = capacity / per_shard;
        // `quick_cache` rounds up to a power of two, which might make shards too small again.
        let fitting = 1 << fitting.max(1).ilog2();
        let shards =
            usize::try_from(fitting).unwrap_or(usize::MAX).min((4 * threads).next_power_of_two());
        let items = usize::try_from(capacity / USUAL_WEIGHT).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(items)
            .weight_capacity(capacity)
            .hot_allocation(HOT_PERCENT as f64 / 100.0)
            .build()
            .expect("the capacities are set");
        let departures = Latest::of(DEPARTED);
        let hasher = DefaultHashBuilder::default();
        Self {
            map: Map::with_options(options, EntryWeight, hasher, departures.clone()),
            departures,
            shown: Latest::of(SHOWN),
            cleared: AtomicU64::new(0),
            aging,
        }
    }

    #[inline]
    pub(crate) fn get(&self, fingerprint: Fingerprint) -> Option<Arc<Entry<V>>> {
        self.map.get(&fingerprint)
    }

    /// Like [`get`](Self::get), without making the entry look more popular.
    pub(crate) fn peek(&self, fingerprint: Fingerprint) -> Option<Arc<Entry<V>>> {
        self.map.peek(&fingerprint)
    }

    /// Whether an answer of this version was read before the last clearing.
    #[inline]
    pub(crate) fn is_cleared(&self, version: u64) -> bool {
        version < self.cleared.load(SeqCst)
    }

    /// Whether an answer of this version might be older than one that was here and left.
    pub(crate) fn is_departed(&self, fingerprint: Fingerprint, version: u64) -> bool {
        self.departures.is_after(fingerprint, version)
    }

    /// Whether another answer was shown since the read began that has this version.
    pub(crate) fn is_disputed(&self, fingerprint: Fingerprint, version: u64) -> bool {
        self.shown.is_after(fingerprint, version)
    }

    /// Notes that an answer is shown at `tick`.
    pub(crate) fn note_shown(&self, fingerprint: Fingerprint, tick: u64) {
        self.shown.note(fingerprint, tick);
    }

    /// Puts an entry in, in place of the one that is there. Returns what had to leave.
    ///
    /// The caller holds the lock of the key, so that what it found there is still there.
    #[must_use = "what had to leave is dropped with it, which belongs outside any lock"]
    pub(crate) fn put(&self, fingerprint: Fingerprint, entry: Arc<Entry<V>>) -> Left<V> {
        let mut left = Left { replaced: Some(fingerprint), ..Left::default() };
        self.map.insert_with_lifecycle(fingerprint, entry, &mut left);
        left
    }

    /// Drops an entry that is not valid any more, unless it has been replaced.
    pub(crate) fn discard(&self, fingerprint: Fingerprint, entry: &Arc<Entry<V>>) -> bool {
        // Noted before it leaves, for the same reason as in `Latest::on_evict`.
        self.departures.note(fingerprint, entry.version);
        self.map.remove_if(&fingerprint, |there| Arc::ptr_eq(there, entry)).is_some()
    }

    /// Takes out whatever is there. Returns what had to leave.
    pub(crate) fn take_out(&self, fingerprint: Fingerprint) -> Left<V> {
        if let Some(there) = self.peek(fingerprint) {
            self.departures.note(fingerprint, there.version);
        }
        let entries = self.map.remove(&fingerprint).map(|(_, entry)| entry);
        Left { entries: entries.into_iter().collect(), ..Left::default() }
    }

    /// Ends everything read before `tick`.
    pub(crate) fn clear(&self, tick: u64) {
        // The tick alone makes the answers invalid, those that a slow fill puts in after the map
        // was emptied included; emptying it gives back the memory.
        self.cleared.fetch_max(tick, SeqCst);
        self.map.clear();
    }

    pub(crate) fn len(&self) -> u64 {
        self.map.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.map.weight()
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.map.capacity()
    }
}

#[derive(Clone)]
struct EntryWeight;

impl<V> Weighter<Fingerprint, Arc<Entry<V>>> for EntryWeight {
    fn weight(&self, _: &Fingerprint, entry: &Arc<Entry<V>>) -> u64 {
        entry.weight
    }
}

/// The latest ticks at which something happened to keys, by a few bits of their fingerprint.
///
/// Keys that share a place only refuse a fill too much, and only if it happened to the other key while
/// the answer was read.
#[derive(Clone)]
struct Latest(Arc<[AtomicU64]>);

impl Latest {
    fn of(places: usize) -> Self {
        Self((0..places).map(|_| AtomicU64::new(0)).collect())
    }

    fn place(&self, fingerprint: Fingerprint) -> &AtomicU64 {
        // OK because the remainder is below the length, whatever is cut off.
        &self.0[fingerprint.0 as usize % self.0.len()]
    }

    fn note(&self, fingerprint: Fingerprint, tick: u64) {
        self.place(fingerprint).fetch_max(tick, SeqCst);
    }

    fn is_after(&self, fingerprint: Fingerprint, version: u64) -> bool {
        version < self.place(fingerprint).load(SeqCst)
    }
}

/// What left the map at once, to be dropped without any lock.
pub(crate) struct Left<V> {
    /// The key that was inserted: its former entry was replaced, not evicted.
    replaced: Option<Fingerprint>,
    evicted: u64,
    entries: Vec<Arc<Entry<V>>>,
}

impl<V> Left<V> {
    /// How many entries left for lack of space.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }
}

impl<V> Default for Left<V> {
    fn default() -> Self {
        Self { replaced: None, evicted: 0, entries: Vec::new() }
    }
}

/// Those of departures.
impl<V> Lifecycle<Fingerprint, Arc<Entry<V>>> for Latest {
    type RequestState = Left<V>;

    /// Runs under the lock of the map's shard, so whoever does not find the entry there any more
    /// finds the note. Called for entries that are replaced, too.
    fn on_evict(&self, left: &mut Left<V>, fingerprint: Fingerprint, entry: Arc<Entry<V>>) {
        self.note(fingerprint, entry.version);
        left.evicted += u64::from(left.replaced != Some(fingerprint));
        left.entries.push(entry);
    }
}

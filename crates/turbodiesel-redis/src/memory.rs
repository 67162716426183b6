//! The store in this process, which serves while Redis does not.

use std::{cell::Cell, sync::Arc, time::Duration};

use bytes::Bytes;
use quick_cache::{OptionsBuilder, Weighter, sync::Cache as Map};
use turbodiesel_core::{Clock, Nanos, Tier};

/// What an entry takes beside its key and value: the two handles, the entry, and its place in the map.
const ENTRY_OVERHEAD: u64 = 160;
/// The part of a shard that `quick_cache` is willing to give to one entry, in percent.
const HOT_PERCENT: u64 = 97;
/// Shards hold this many values of the greatest size, so that a large one does not empty its shard.
const LARGEST_PER_SHARD: u64 = 4;
/// More shards than this do not help: the store is used while something is wrong.
const MOST_SHARDS: u64 = 16;
/// A guess at the usual weight of an entry, for the map's first size.
const USUAL_WEIGHT: u64 = 1_024;

/// Values within a budget of bytes, each until its time.
#[derive(Debug)]
pub(crate) struct Memory {
    map: Map<Bytes, Entry, EntryWeight>,
    clock: Arc<dyn Clock>,
    longest: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Bytes,
    pub(crate) tier: Tier,
    expires: Nanos,
    /// How far `expires` can be put off.
    latest: Nanos,
}

impl Memory {
    /// The smallest budget that can hold a value of the greatest size.
    pub(crate) fn least_capacity(max_value: usize) -> u64 {
        let entry = max_value as u64 + crate::frame::MAX_KEY as u64 + ENTRY_OVERHEAD;
        (entry * 100).div_ceil(HOT_PERCENT) + 1
    }

    pub(crate) fn new(
        capacity: u64,
        max_value: usize,
        longest: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let fitting = capacity / (Self::least_capacity(max_value) * LARGEST_PER_SHARD);
        let shards = 1 << fitting.clamp(1, MOST_SHARDS).ilog2();
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity((capacity / USUAL_WEIGHT) as usize)
            .weight_capacity(capacity)
            .hot_allocation(HOT_PERCENT as f64 / 100.0)
            .build()
            // OK because both capacities are given.
            .expect("the capacities are set");
        let map = Map::with_options(options, EntryWeight, Default::default(), Default::default());
        Self { map, clock, longest }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.live(key).map(|(entry, _)| entry.value)
    }

    /// An entry that has not expired, and how long it lives yet.
    pub(crate) fn live(&self, key: &[u8]) -> Option<(Entry, Duration)> {
        let entry = self.map.get(key)?;
        let now = self.clock.now();
        if now < entry.expires {
            let left = entry.expires.since(now);
            return Some((entry, left));
        }
        self.map.remove_if(key, |entry| entry.expires <= now);
        None
    }

    /// How far an entry's life can be put off at most.
    pub(crate) fn longest_left(&self, entry: &Entry) -> Duration {
        entry.latest.since(self.clock.now())
    }

    pub(crate) fn set(&self, key: Bytes, value: Bytes, tier: Tier, ttl: Duration) {
        // The clock may lag behind, so an entry would live longer by that.
        let now = self.clock.now();
        let ttl = ttl.saturating_sub(self.clock.resolution()).max(Duration::from_nanos(1));
        let entry = Entry { value, tier, expires: now.plus(ttl), latest: now.plus(self.longest) };
        self.map.insert(key, entry);
    }

    pub(crate) fn delete(&self, key: &[u8]) -> bool {
        let existed = self.live(key).is_some();
        self.map.remove(key);
        existed
    }

    pub(crate) fn touch(&self, key: &[u8], ttl: Duration) -> bool {
        let Some((mut entry, _)) = self.live(key) else { return false };
        entry.expires = self.clock.now().plus(ttl).min(entry.latest);
        // A value that is set at the same time wins over this, or is touched by it.
        self.map.replace(Bytes::copy_from_slice(key), entry, true).is_ok()
    }

    /// Removes what a condition holds for, and tells how many of them had not expired.
    pub(crate) fn remove_all(&self, condition: impl Fn(&[u8], Tier) -> bool) -> u64 {
        let now = self.clock.now();
        let removed = Cell::new(0);
        self.map.retain(|key, entry| {
            let goes = condition(key, entry.tier);
            removed.set(removed.get() + u64::from(goes && now < entry.expires));
            !goes
        });
        removed.get()
    }

    pub(crate) fn clear(&self) {
        self.map.clear();
    }

    pub(crate) fn len(&self) -> u64 {
        self.map.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.map.weight()
    }
}

#[derive(Clone, Debug)]
struct EntryWeight;

impl Weighter<Bytes, Entry> for EntryWeight {
    fn weight(&self, key: &Bytes, entry: &Entry) -> u64 {
        key.len() as u64 + entry.value.len() as u64 + ENTRY_OVERHEAD
    }
}

#[cfg(test)]
mod tests {
    use turbodiesel_core::ManualClock;

    use super::*;

    const MAX_VALUE: usize = 1_000;

    fn memory(capacity: u64) -> (Memory, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        let memory =
            Memory::new(capacity, MAX_VALUE, Duration::from_secs(100), Arc::clone(&clock) as _);
        (memory, clock)
    }

    fn set(memory: &Memory, key: &'static str, seconds: u64) {
        memory.set(key.into(), "v".into(), Tier::L1, Duration::from_secs(seconds));
    }

    #[test]
    fn a_value_lives_until_its_time_and_no_touch_makes_it_immortal() {
        let (memory, clock) = memory(1 << 20);
        set(&memory, "k", 10);
        clock.advance(Duration::from_secs(9));
        assert!(memory.get(b"k").is_some());
        assert!(memory.touch(b"k", Duration::from_secs(1_000)));
        clock.advance(Duration::from_secs(90));
        assert_eq!(memory.live(b"k").unwrap().1, Duration::from_secs(1));
        clock.advance(Duration::from_secs(1));
        assert!(memory.get(b"k").is_none());
        assert!(!memory.touch(b"k", Duration::from_secs(10)));
        assert_eq!(memory.len(), 0, "what has expired is dropped when it is found");
    }

    #[test]
    fn it_stays_within_its_budget_and_holds_the_greatest_value() {
        let capacity = Memory::least_capacity(MAX_VALUE);
        let (memory, _) = memory(capacity);
        let large = Bytes::from(vec![0; MAX_VALUE]);
        let key = Bytes::from(vec![b'k'; crate::frame::MAX_KEY]);
        memory.set(key.clone(), large.clone(), Tier::L1, Duration::from_secs(1));
        assert_eq!(memory.get(&key), Some(large.clone()));
        for number in 0..1_000_u32 {
            memory.set(number.to_string().into(), large.clone(), Tier::L1, Duration::from_secs(1));
            assert!(memory.bytes() <= capacity);
        }
    }
}

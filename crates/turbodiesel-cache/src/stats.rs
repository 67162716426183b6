//! What the cache did, counted.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use serde::Serialize;
use turbodiesel_core::Tier;

use crate::{store::Refusal, sync::available_threads};

/// What a cache did since it was built, and what it holds now.
///
/// The numbers are read one after the other while the cache goes on, so they need not add up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// By tier, in the order of [`Tier::ALL`].
    pub tiers: [TierStats; 3],
    /// Reads answered by another reader's load.
    pub coalesced: u64,
    /// Leaders that vanished without an outcome, so that another reader had to take over.
    pub lost_leaders: u64,
    /// Loads now in progress.
    pub flights: u64,
}

impl CacheStats {
    /// The numbers of one tier.
    #[must_use]
    pub fn tier(&self, tier: Tier) -> &TierStats {
        &self.tiers[tier.index()]
    }
}

/// What one tier did and holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TierStats {
    /// Lookups answered, without those that were stale.
    pub hits: u64,
    /// Lookups answered past the soft limit on age.
    pub stale: u64,
    /// Lookups not answered.
    pub misses: u64,
    /// Lookups that met another query under their fingerprint.
    pub collisions: u64,
    /// Answers put into the tier.
    pub fills: u64,
    /// Answers kept out of the tier, by reason.
    pub refused_fills: RefusedFills,
    /// Entries dropped because they were too old.
    pub expired: u64,
    /// Entries dropped because something they depend on changed.
    pub invalidated: u64,
    /// Entries dropped for lack of space.
    pub evictions: u64,
    /// Entries held, some of which may not be valid any more.
    pub entries: u64,
    /// Their weight in bytes.
    pub bytes: u64,
    /// The budget for that weight.
    pub capacity_bytes: u64,
}

/// Why answers were kept out of a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RefusedFills {
    /// Something the answer depends on changed while it was read.
    pub changed: u64,
    /// A write to something it depends on was in flight when it was read.
    pub marked: u64,
    /// It weighs more than one entry may.
    pub too_large: u64,
    /// The tier was cleared while it was read.
    pub cleared: u64,
    /// An answer whose read began later was there first.
    pub superseded: u64,
    /// Another answer was shown while it was read, and a write in flight was yet to learn whether it
    /// touched them.
    pub disputed: u64,
    /// Reading it took longer than it may be served.
    pub expired: u64,
}

impl RefusedFills {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { changed, marked, too_large, cleared, superseded, disputed, expired } = self;
        changed + marked + too_large + cleared + superseded + disputed + expired
    }
}

/// The counters of one tier, within one stripe.
#[derive(Debug, Default)]
pub(crate) struct TierCounters {
    pub(crate) hits: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) collisions: AtomicU64,
    pub(crate) fills: AtomicU64,
    pub(crate) refused: [AtomicU64; Refusal::COUNT],
    pub(crate) expired: AtomicU64,
    pub(crate) invalidated: AtomicU64,
    pub(crate) evictions: AtomicU64,
}

/// The counters that some of the threads share.
///
/// Aligned so that two stripes never share a cache line, nor a pair that is fetched together.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Stripe {
    pub(crate) tiers: [TierCounters; 3],
    pub(crate) coalesced: AtomicU64,
    pub(crate) lost_leaders: AtomicU64,
}

/// Counters that threads do not fight over: a hit increments one that few other threads touch.
#[derive(Debug)]
pub(crate) struct Counters {
    stripes: Box<[Stripe]>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let threads = available_threads();
        let stripes = (2 * threads).next_power_of_two().min(64);
        Self { stripes: (0..stripes).map(|_| Stripe::default()).collect() }
    }

    /// The stripe of the calling thread.
    #[inline]
    pub(crate) fn local(&self) -> &Stripe {
        &self.stripes[thread_number() & (self.stripes.len() - 1)]
    }

    /// All that the counters know; what is held now is for others to add.
    pub(crate) fn sum(&self) -> CacheStats {
        let mut sum = CacheStats::default();
        for stripe in &self.stripes {
            sum.coalesced += get(&stripe.coalesced);
            sum.lost_leaders += get(&stripe.lost_leaders);
            for (sum, counters) in sum.tiers.iter_mut().zip(&stripe.tiers) {
                sum.add(counters);
            }
        }
        sum
    }
}

impl TierStats {
    fn add(&mut self, counters: &TierCounters) {
        // By destructuring, so that a new counter cannot be forgotten.
        let TierCounters {
            hits,
            stale,
            misses,
            collisions,
            fills,
            refused,
            expired,
            invalidated,
            evictions,
        } = counters;
        self.hits += get(hits);
        self.stale += get(stale);
        self.misses += get(misses);
        self.collisions += get(collisions);
        self.fills += get(fills);
        self.expired += get(expired);
        self.invalidated += get(invalidated);
        self.evictions += get(evictions);
        let refused = |reason: Refusal| get(&refused[reason as usize]);
        self.refused_fills.changed += refused(Refusal::Changed);
        self.refused_fills.marked += refused(Refusal::Marked);
        self.refused_fills.too_large += refused(Refusal::TooLarge);
        self.refused_fills.cleared += refused(Refusal::Cleared);
        self.refused_fills.superseded += refused(Refusal::Superseded);
        self.refused_fills.disputed += refused(Refusal::Disputed);
        self.refused_fills.expired += refused(Refusal::Expired);
    }
}

/// Counts one.
#[inline]
pub(crate) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

/// A number that spreads threads over stripes.
#[inline]
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    const NONE: usize = usize::MAX;
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(NONE) };
    }
    NUMBER.with(|number| {
        if number.get() == NONE {
            number.set(NEXT.fetch_add(1, Relaxed));
        }
        number.get()
    })
}

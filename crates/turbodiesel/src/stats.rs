//! Figures: how reads were answered, and what the parts hold.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::Serialize;
use turbodiesel_cache::CacheStats;
use turbodiesel_core::{Bypass, Outcome};

/// Figures of a [`Db`](crate::Db) since it was built.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Whether the cache is switched on.
    pub enabled: bool,
    /// How reads were answered.
    pub lookups: Lookups,
    /// How many statements for rows went past the cache, by reason.
    pub bypasses: BTreeMap<&'static str, u64>,
    /// The tiers: hits, fills, entries, bytes.
    pub cache: CacheStats,
    /// Statements sent to the database, by readers and writers. Transaction control and the catalog's
    /// own queries are not counted.
    pub statements: u64,
    /// Writes, as marked and invalidated: one for each statement or committed transaction.
    pub writes: u64,
    /// Distinct statements that are remembered.
    pub shapes: usize,
    /// Tables and views in the catalog.
    pub relations: usize,
    /// The pool.
    pub pool: PoolStats,
}

/// Reads by the way they were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Lookups {
    /// Served from a tier, fresh or stale.
    pub hits: u64,
    /// Answered by another reader's load.
    pub coalesced: u64,
    /// Read from the database, and offered to the cache.
    pub misses: u64,
    /// Read from the database, past the cache. Writes that return rows are not among them.
    pub bypasses: u64,
}

/// The state of the connection pool.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct PoolStats {
    /// Open connections.
    pub size: u32,
    /// Those of them that nobody uses.
    pub idle: u32,
    /// The greatest number of open connections.
    pub max_size: u32,
    /// Checkouts that had to wait.
    pub waited: u64,
    /// Checkouts that waited in vain.
    pub timed_out: u64,
}

impl Stats {
    /// The part of all reads that the database was not asked for: 0 to 1, `None` before the first.
    #[must_use]
    pub fn hit_rate(&self) -> Option<f64> {
        let Lookups { hits, coalesced, misses, bypasses } = self.lookups;
        let served = hits + coalesced;
        let all = served + misses + bypasses;
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        (all > 0).then(|| served as f64 / all as f64)
    }
}

/// What is counted outside the cache, off the path of a hit.
#[derive(Debug)]
pub(crate) struct Counters {
    coalesced: AtomicU64,
    misses: AtomicU64,
    bypasses: [AtomicU64; Bypass::ALL.len()],
    statements: AtomicU64,
    writes: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            coalesced: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            bypasses: std::array::from_fn(|_| AtomicU64::new(0)),
            statements: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        }
    }
}

impl Counters {
    pub(crate) fn count_coalesced(&self) -> Outcome {
        self.coalesced.fetch_add(1, Relaxed);
        Outcome::Coalesced
    }

    pub(crate) fn count_miss(&self) -> Outcome {
        self.misses.fetch_add(1, Relaxed);
        Outcome::Miss
    }

    pub(crate) fn count_bypass(&self, reason: Bypass) -> Outcome {
        self.bypasses[reason as usize].fetch_add(1, Relaxed);
        Outcome::Bypass(reason)
    }

    pub(crate) fn count_statement(&self) {
        self.statements.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_write(&self) {
        self.writes.fetch_add(1, Relaxed);
    }

    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Relaxed)
    }

    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Relaxed)
    }

    pub(crate) fn bypasses(&self) -> BTreeMap<&'static str, u64> {
        Bypass::ALL
            .iter()
            .zip(&self.bypasses)
            .map(|(reason, count)| (reason.as_str(), count.load(Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// The lookups, with the hits that the cache itself has counted.
    pub(crate) fn lookups(&self, cache: &CacheStats) -> Lookups {
        Lookups {
            hits: cache.tiers.iter().map(|tier| tier.hits + tier.stale).sum(),
            coalesced: self.coalesced.load(Relaxed),
            misses: self.misses.load(Relaxed),
            bypasses: Bypass::ALL
                .iter()
                .zip(&self.bypasses)
                // Writes that return rows are no reads that the cache could have answered.
                .filter(|(reason, _)| !matches!(reason, Bypass::Write | Bypass::Executed))
                .map(|(_, count)| count.load(Relaxed))
                .sum(),
        }
    }
}

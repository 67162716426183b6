//! What a cache did, counted.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::Serialize;

use crate::{frame::Rejection, link::Failure};

/// What a [`RedisCache`](crate::RedisCache) did since it was built.
///
/// The numbers are read one after the other while the cache goes on, so they need not add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// What Redis did.
    pub redis: StoreStats,
    /// What the store in this process did while Redis was away, or because there is none.
    pub memory: StoreStats,
    /// Values in memory now.
    pub memory_entries: u64,
    /// Their size in bytes, keys and overhead included.
    pub memory_bytes: u64,
    /// Keys changed while Redis was away, which it is yet to be told.
    pub pending: u64,
    /// Keys told to Redis when it was back.
    pub replayed: u64,
    /// How often Redis was given up, for whatever reason.
    pub outages: u64,
    /// How often it was taken back, the first time included.
    pub recoveries: u64,
    /// New epochs of the namespace that this cache began.
    pub rotations: u64,
    /// Why Redis was not of use, by kind.
    pub failures: FailureStats,
    /// What was found in Redis and not believed, by kind. All of it was taken for a miss.
    pub rejected: RejectedStats,
    /// Bytes of values before compression, of those that were written to Redis.
    pub value_bytes: u64,
    /// Bytes of what was written to Redis for them.
    pub written_bytes: u64,
}

impl CacheStats {
    /// The part of all lookups that found a value, zero if there were none.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        let hits = self.redis.hits + self.memory.hits;
        let lookups = hits + self.redis.misses + self.memory.misses;
        if lookups == 0 { 0.0 } else { hits as f64 / lookups as f64 }
    }
}

/// What one of the two stores did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoreStats {
    /// Keys that were found.
    pub hits: u64,
    /// Keys that were not.
    pub misses: u64,
    /// Values set.
    pub sets: u64,
    /// Keys deleted, whether or not they were there, those that were cleared not included.
    pub deletes: u64,
}

/// How often Redis did not do what it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FailureStats {
    /// It did not answer within the deadline.
    pub timeouts: u64,
    /// The connection was lost, or could not be opened.
    pub lost: u64,
    /// It refused: out of memory, read only, loading its data, no permission.
    pub refused: u64,
    /// The namespace was found to have another epoch.
    pub rotated: u64,
}

/// How often what was found in Redis was not believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RejectedStats {
    /// No value of any version.
    pub malformed: u64,
    /// Of a version that this one does not know.
    pub unknown_version: u64,
    /// Larger than a value may be.
    pub too_large: u64,
    /// The value of another key.
    pub wrong_key: u64,
    /// Changed, or made under another secret, namespace or epoch.
    pub forged: u64,
    /// Beyond the longest time to live.
    pub expired: u64,
}

/// Why Redis is not used at present.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trouble {
    /// It was not connected to yet.
    Starting,
    /// It cannot be connected to, or the connection was lost.
    Unreachable,
    /// It does not answer within the deadline.
    Slow,
    /// It refuses what it is asked, with this code: `OOM`, `READONLY`, `MISCONF`, `LOADING` …
    Refusing(String),
    /// The namespace got another epoch, which this cache is about to take over.
    Rotated,
}

impl From<&Failure> for Trouble {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Timeout => Trouble::Slow,
            Failure::Lost(_) => Trouble::Unreachable,
            Failure::Refused(code) => Trouble::Refusing(code.clone()),
            Failure::Rotated => Trouble::Rotated,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Starting => f.write_str("not connected yet"),
            Trouble::Unreachable => f.write_str("unreachable"),
            Trouble::Slow => f.write_str("slow"),
            Trouble::Refusing(code) => write!(f, "refusing ({code})"),
            Trouble::Rotated => f.write_str("another epoch"),
        }
    }
}

/// The counters of one store.
#[derive(Debug, Default)]
pub(crate) struct StoreCounters {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) sets: AtomicU64,
    pub(crate) deletes: AtomicU64,
}

impl StoreCounters {
    pub(crate) fn count_lookups<T>(&self, values: &[Option<T>]) {
        let hits = values.iter().filter(|value| value.is_some()).count();
        add(&self.hits, hits);
        add(&self.misses, values.len() - hits);
    }

    fn read(&self) -> StoreStats {
        let Self { hits, misses, sets, deletes } = self;
        StoreStats { hits: get(hits), misses: get(misses), sets: get(sets), deletes: get(deletes) }
    }
}

/// All counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) redis: StoreCounters,
    pub(crate) memory: StoreCounters,
    pub(crate) replayed: AtomicU64,
    pub(crate) outages: AtomicU64,
    pub(crate) recoveries: AtomicU64,
    pub(crate) rotations: AtomicU64,
    pub(crate) value_bytes: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    timeouts: AtomicU64,
    lost: AtomicU64,
    refused: AtomicU64,
    rotated: AtomicU64,
    rejected: [AtomicU64; Rejection::COUNT],
}

impl Counters {
    pub(crate) fn count_failure(&self, failure: &Failure) {
        let counter = match failure {
            Failure::Timeout => &self.timeouts,
            Failure::Lost(_) => &self.lost,
            Failure::Refused(_) => &self.refused,
            Failure::Rotated => &self.rotated,
        };
        add(counter, 1);
    }

    pub(crate) fn count_rejection(&self, rejection: Rejection) {
        add(&self.rejected[rejection as usize], 1);
    }

    /// All that the counters know; what is held now is for others to add.
    pub(crate) fn read(&self) -> CacheStats {
        let rejected = |rejection: Rejection| get(&self.rejected[rejection as usize]);
        CacheStats {
            redis: self.redis.read(),
            memory: self.memory.read(),
            memory_entries: 0,
            memory_bytes: 0,
            pending: 0,
            replayed: get(&self.replayed),
            outages: get(&self.outages),
            recoveries: get(&self.recoveries),
            rotations: get(&self.rotations),
            failures: FailureStats {
                timeouts: get(&self.timeouts),
                lost: get(&self.lost),
                refused: get(&self.refused),
                rotated: get(&self.rotated),
            },
            rejected: RejectedStats {
                malformed: rejected(Rejection::Malformed),
                unknown_version: rejected(Rejection::UnknownVersion),
                too_large: rejected(Rejection::TooLarge),
                wrong_key: rejected(Rejection::WrongKey),
                forged: rejected(Rejection::Forged),
                expired: rejected(Rejection::Expired),
            },
            value_bytes: get(&self.value_bytes),
            written_bytes: get(&self.written_bytes),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(number as u64, Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

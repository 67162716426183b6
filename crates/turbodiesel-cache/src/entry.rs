//! An answer that is kept, and how old it may become.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use turbodiesel_core::Nanos;

/// Bytes that an entry costs beyond itself, its identity and its value: the counters of two `Arc`s,
/// and its place in the map (key, pointer, links, hash table, allocator rounding).
const OVERHEAD: usize = 2 * 16 + 96;

/// How many times the cost of a load, scaled by beta, an early refresh looks ahead. Further away the
/// odds are below e⁻¹⁶, about one in nine million, and not worth a logarithm.
const LOOK_AHEAD: f64 = 16.0;

/// When entries of a tier age.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aging {
    pub(crate) ttl: Duration,
    pub(crate) stale_after: Option<Duration>,
    pub(crate) refresh_beta: f64,
    /// The greatest part of the TTL that chance takes off.
    pub(crate) jitter: f64,
    /// How far the clock may lag behind. Taken off every ceiling, since the present that an entry is
    /// judged by may be that much too early.
    pub(crate) resolution: Duration,
}

impl Aging {
    /// How long an entry is served, where `chance`, between 0 and 1, decides how much jitter there
    /// is. Zero if it would have to expire at once.
    pub(crate) fn lifetime(&self, chance: f64) -> Duration {
        let jitter = scaled(self.ttl, self.jitter * chance);
        self.ttl.saturating_sub(jitter).saturating_sub(self.resolution)
    }
}

/// A value, the query it answers, and the limits of its validity.
pub(crate) struct Entry<V> {
    pub(crate) identity: Box<[u8]>,
    pub(crate) value: Arc<V>,
    /// The tick of the snapshot it was read under.
    pub(crate) version: u64,
    /// When that snapshot was taken.
    pub(crate) started: Nanos,
    /// The first instant at which it is not served any more.
    pub(crate) expires: Nanos,
    /// Before this instant nobody need think of refreshing it.
    refresh_from: Nanos,
    /// How long the read took, in nanoseconds.
    load_nanos: u64,
    /// No refresh is begun before this instant, in nanoseconds.
    no_refresh_before: AtomicU64,
    /// Fixed here, because the map's accounts break if a weight changes.
    pub(crate) weight: u64,
}

/// What an entry of a certain age calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Fresh,
    /// Fresh enough, but somebody should refresh it before it expires.
    Due,
    /// Past the soft limit: served while somebody refreshes it.
    Stale,
}

impl<V> Entry<V> {
    pub(crate) fn new(
        identity: Box<[u8]>,
        value: Arc<V>,
        value_weight: usize,
        version: u64,
        (started, now): (Nanos, Nanos),
        aging: &Aging,
    ) -> Self {
        let load = now.since(started);
        let expires = started.plus(aging.lifetime(fastrand::f64()));
        let look_ahead = scaled(load, LOOK_AHEAD * aging.refresh_beta);
        // Not in the first half of its life: a load that happened to wait for a lock would look
        // dear, and be repeated at once.
        let half = started.plus(expires.since(started) / 2);
        let early = Nanos(expires.0.saturating_sub(nanos(look_ahead))).max(half);
        let soft = aging.stale_after.map_or(expires, |soft| started.plus(soft));
        let weight = Self::fixed_weight() + identity.len() + value_weight;
        Self {
            identity,
            value,
            version,
            started,
            expires,
            refresh_from: early.min(soft),
            load_nanos: nanos(load),
            no_refresh_before: AtomicU64::new(0),
            weight: weight as u64,
        }
    }

    /// Bytes that every entry costs, whatever it holds.
    pub(crate) fn fixed_weight() -> usize {
        size_of::<Self>() + OVERHEAD
    }

    pub(crate) fn is_expired(&self, now: Nanos) -> bool {
        now >= self.expires
    }

    /// Whether it is younger than `max`, whatever the clock's resolution.
    pub(crate) fn is_younger_than(&self, max: Duration, now: Nanos, aging: &Aging) -> bool {
        now.since(self.started) + aging.resolution < max
    }

    #[inline]
    pub(crate) fn age(&self, now: Nanos, aging: &Aging) -> Age {
        if now < self.refresh_from { Age::Fresh } else { self.age_beyond_doubt(now, aging) }
    }

    #[cold]
    fn age_beyond_doubt(&self, now: Nanos, aging: &Aging) -> Age {
        if aging.stale_after.is_some_and(|soft| now.since(self.started) >= soft) {
            return Age::Stale;
        }
        // XFetch: the closer to the end and the dearer the load, the likelier a refresh, so that
        // of many readers one is expected to begin just early enough. The logarithm of zero is
        // minus infinity, which means a refresh.
        let ahead = -fastrand::f64().ln() * aging.refresh_beta * self.load_nanos as f64;
        let remaining = self.expires.0.saturating_sub(now.0) as f64;
        if aging.refresh_beta > 0.0 && ahead >= remaining { Age::Due } else { Age::Fresh }
    }

    /// Makes the caller the one who refreshes this entry, unless somebody else is.
    ///
    /// The claim ends when it is [released](Self::release_refresh), and at the latest with the
    /// entry.
    pub(crate) fn claim_refresh(&self, now: Nanos) -> bool {
        // Relaxed: the claim only saves work. Whatever two refreshers do, a fill is ordered by the
        // lock of its key.
        let current = self.no_refresh_before.load(Relaxed);
        now.0 >= current
            && self.no_refresh_before.compare_exchange(current, u64::MAX, Relaxed, Relaxed).is_ok()
    }

    /// Lets somebody else refresh this entry from `next` on.
    pub(crate) fn release_refresh(&self, next: Nanos) {
        self.no_refresh_before.store(next.0, Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `duration` times `factor`, at most centuries.
fn scaled(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

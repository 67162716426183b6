//! How a cache is configured.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use turbodiesel_core::{MonotonicClock, Tier, Weigh};

use crate::{
    Cache, Error, Stamps, StampsOptions,
    entry::{Aging, Entry},
    error::Kind,
    flights::Flights,
    inner::Inner,
    stats::Counters,
    store::Store,
};

/// The limits of one tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TierOptions {
    /// The ceiling on the age of a served answer, counted from the start of its read.
    ///
    /// Defaults to [`Tier::default_ttl`].
    pub ttl: Duration,
    /// The budget for all entries, in bytes.
    ///
    /// Defaults to 64 MiB for L1 and L2 and 32 MiB for L3.
    pub capacity_bytes: u64,
    /// From this age on an answer is served while one reader refreshes it; less than the TTL.
    ///
    /// Defaults to none: refreshes then depend on chance and [`refresh_beta`](Self::refresh_beta).
    pub stale_after: Option<Duration>,
    /// How eagerly a reader refreshes an answer before it expires, in multiples of what its load
    /// cost (XFetch). 0 switches this off.
    ///
    /// Defaults to 1.0.
    pub refresh_beta: f64,
}

impl TierOptions {
    /// The limits of a tier that is not configured.
    #[must_use]
    pub fn default_for(tier: Tier) -> Self {
        let mebibytes = match tier {
            Tier::L1 | Tier::L2 => 64,
            Tier::L3 => 32,
        };
        Self {
            ttl: tier.default_ttl(),
            capacity_bytes: mebibytes << 20,
            stale_after: None,
            refresh_beta: 1.0,
        }
    }
}

/// Configures a [`Cache`].
#[must_use = "a builder does nothing until it is built"]
pub struct CacheBuilder<V, E> {
    tiers: [TierOptions; 3],
    jitter: f64,
    max_entry_bytes: usize,
    stamps: Option<Arc<Stamps>>,
    builds: PhantomData<fn() -> Cache<V, E>>,
}

impl<V, E> Default for CacheBuilder<V, E> {
    fn default() -> Self {
        Self {
            tiers: Tier::ALL.map(TierOptions::default_for),
            jitter: 0.1,
            max_entry_bytes: 1 << 20,
            stamps: None,
            builds: PhantomData,
        }
    }
}

impl<V, E> CacheBuilder<V, E> {
    /// Sets the limits of a tier.
    pub fn tier(mut self, tier: Tier, options: TierOptions) -> Self {
        self.tiers[tier.index()] = options;
        self
    }

    /// Sets the greatest fraction of its TTL that chance takes off an entry's life, so that entries
    /// filled together do not expire together. Between 0 and 0.5.
    ///
    /// Defaults to 0.1.
    pub fn jitter(mut self, fraction: f64) -> Self {
        self.jitter = fraction;
        self
    }

    /// Sets the greatest weight of one entry, in bytes. What weighs more is passed on, but not kept.
    ///
    /// Defaults to 1 MiB.
    pub fn max_entry_bytes(mut self, bytes: usize) -> Self {
        self.max_entry_bytes = bytes;
        self
    }

    /// Sets the stamps, whose clock the cache shares.
    ///
    /// Defaults to new ones of default size on the operating system's clock.
    pub fn stamps(mut self, stamps: Arc<Stamps>) -> Self {
        self.stamps = Some(stamps);
        self
    }

    /// Builds the cache.
    ///
    /// # Errors
    ///
    /// If an option is out of its range, or a tier's budget cannot hold the largest entry allowed.
    pub fn build(self) -> Result<Cache<V, E>, Error>
    where
        V: Weigh,
    {
        let Self { tiers, jitter, max_entry_bytes, stamps, builds: _ } = self;
        let stamps = stamps
            .unwrap_or_else(|| Stamps::new(Arc::new(MonotonicClock), StampsOptions::default()));
        let resolution = stamps.clock().resolution();
        if !(0.0..=0.5).contains(&jitter) {
            return Err(Kind::Jitter(jitter).into());
        }
        let fixed = Entry::<V>::fixed_weight();
        if max_entry_bytes <= fixed {
            return Err(Kind::EntryTooSmall { entry: max_entry_bytes, fixed }.into());
        }
        let store = |tier: Tier| {
            let options = tiers[tier.index()];
            let TierOptions { ttl, capacity_bytes, stale_after, refresh_beta } = options;
            let aging = Aging { ttl, stale_after, refresh_beta, jitter, resolution };
            check(tier, &aging)?;
            let needed = Store::<V>::least_capacity(max_entry_bytes);
            if capacity_bytes < needed {
                let (capacity, entry) = (capacity_bytes, max_entry_bytes);
                return Err(Kind::TooSmall { tier, capacity, entry, needed });
            }
            Ok(Store::new(aging, capacity_bytes, max_entry_bytes))
        };
        let stores = [store(Tier::L1)?, store(Tier::L2)?, store(Tier::L3)?];
        let inner = Inner {
            stamps,
            stores,
            flights: Flights::new(),
            counters: Counters::new(),
            max_entry_bytes,
        };
        Ok(Cache { inner: Arc::new(inner) })
    }
}

fn check(tier: Tier, aging: &Aging) -> Result<(), Kind> {
    let Aging { ttl, stale_after, refresh_beta: beta, jitter: _, resolution } = *aging;
    // Even the entry that chance is hardest on must live.
    if aging.lifetime(1.0).is_zero() {
        return Err(Kind::Ttl { tier, ttl, resolution });
    }
    if let Some(stale_after) = stale_after.filter(|&stale_after| stale_after >= ttl) {
        return Err(Kind::StaleAfter { tier, stale_after, ttl });
    }
    if !(beta.is_finite() && beta >= 0.0) {
        return Err(Kind::Beta { tier, beta });
    }
    Ok(())
}

impl<V, E> fmt::Debug for CacheBuilder<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("tiers", &self.tiers)
            .field("jitter", &self.jitter)
            .field("max_entry_bytes", &self.max_entry_bytes)
            .finish_non_exhaustive()
    }
}

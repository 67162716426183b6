//! How Redis is doing.

use std::time::Duration;

use redis::{cmd, pipe};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    cache::RedisCache,
    link::{Failure, Info, Link},
    stats::Trouble,
};

/// Which store answers, and how Redis is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether Redis is asked.
    pub breaker: BreakerState,
    /// For how long that has been so, counted from when Redis was last given up or taken back.
    pub since: Duration,
    /// Why Redis is not asked, if it is not.
    pub trouble: Option<Trouble>,
    /// The server, if it is asked and has answered this time.
    pub server: Option<ServerHealth>,
}

impl Health {
    /// Whether all is as it was configured: Redis answers, or none is named.
    #[must_use]
    pub fn is_good(&self) -> bool {
        match self.breaker {
            BreakerState::Off => true,
            BreakerState::Closed => self.server.is_some(),
            BreakerState::Open | BreakerState::HalfOpen => false,
        }
    }
}

/// Whether Redis is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BreakerState {
    /// No Redis is named. Memory serves.
    Off,
    /// Redis serves.
    Closed,
    /// Memory serves; Redis is tried from time to time.
    Open,
    /// Memory serves; Redis is being tried, or told what it missed.
    HalfOpen,
}

/// What a server says of itself. On a Cluster: sums and extremes over its primaries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServerHealth {
    /// The time of one round trip.
    pub latency: Duration,
    /// `master` for a primary. No other is ever used.
    pub role: String,
    /// Redis's version, or that with which Valkey says it is compatible.
    pub version: String,
    /// Bytes that its data takes.
    pub used_memory_bytes: u64,
    /// Bytes that it may take, or none if it is not limited.
    pub max_memory_bytes: Option<u64>,
    /// What is evicted when those are used up, such as `allkeys-lru`. With `noeviction` writes are
    /// refused, and memory serves until there is room.
    pub eviction_policy: String,
    /// How many primaries there are.
    pub primaries: usize,
    /// For how long this cache has been connected.
    pub connected_for: Duration,
}

impl RedisCache {
    /// Asks Redis how it is. Takes no longer than some deadlines of a command.
    pub async fn health(&self) -> Health {
        let breaker = &self.inner.breaker;
        if !self.inner.has_redis() {
            let (_, since) = breaker.trouble();
            let (trouble, server) = (None, None);
            return Health { breaker: BreakerState::Off, since: since.elapsed(), trouble, server };
        }
        if let Some(link) = breaker.link() {
            let server = match ask(&link).await {
                Ok(server) => Some(server),
                Err(failure) => {
                    breaker.read_failed(&link, &failure);
                    None
                }
            };
            let since = link.since.elapsed();
            return Health { breaker: BreakerState::Closed, since, trouble: None, server };
        }
        let (trouble, since) = breaker.trouble();
        let state = if breaker.is_probing() { BreakerState::HalfOpen } else { BreakerState::Open };
        Health { breaker: state, since: since.elapsed(), trouble: Some(trouble), server: None }
    }
}

async fn ask(link: &Link) -> Result<ServerHealth, Failure> {
    let start = Instant::now();
    link.read(pipe()).await?;
    if link.wire.is_cluster() {
        link.wire.ask_primaries(&cmd("PING")).await?;
    }
    let latency = start.elapsed();

    let mut health = ServerHealth {
        latency,
        role: String::new(),
        version: String::new(),
        used_memory_bytes: 0,
        max_memory_bytes: Some(0),
        eviction_policy: String::new(),
        primaries: 0,
        connected_for: link.since.elapsed(),
    };
    for answer in link.wire.ask_primaries(&cmd("INFO")).await? {
        let info = Info::read(answer)?;
        let text = |field| info.get(field).unwrap_or("unknown").to_owned();
        let number = |field| info.get(field).and_then(|text| text.parse().ok()).unwrap_or(0_u64);
        health.primaries += 1;
        health.role = text("role");
        health.version = text("redis_version");
        health.eviction_policy = text("maxmemory_policy");
        health.used_memory_bytes += number("used_memory");
        // One that is not limited makes all of them unlimited.
        let most = Some(number("maxmemory")).filter(|most| *most > 0);
        health.max_memory_bytes = health.max_memory_bytes.zip(most).map(|(sum, most)| sum + most);
    }
    Ok(health)
}

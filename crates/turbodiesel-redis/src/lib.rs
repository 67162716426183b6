//! A cache in Redis that goes on in memory when Redis does not.
//!
//! Redis makes a cache that several processes share, and a new way to fail: a Redis that is slow makes
//! everything slow, one that is gone makes everything an error, and one that comes back brings values
//! with it that were replaced while it was away. This crate is a cache service that is asked the same
//! way whether there is a Redis or not, never waits for it longer than a deadline, and knows what to
//! tell it when it is back. It knows neither SQL nor Diesel.
//!
//! ```
//! use turbodiesel_redis::{RedisCache, Selection, Tier};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), turbodiesel_redis::Error> {
//! // With a URL, or `RedisCache::from_env()` and REDIS_URL, in Redis; without, in memory alone.
//! let cache = RedisCache::builder().namespace("shop").build()?;
//!
//! cache.set("user:7", "Ann", Tier::L1).await?;
//! cache.set_many([("user:8", "Bob"), ("user:9", "Eve")], Tier::L1).await?;
//! let users = cache.get_many(["user:7", "user:8", "user:10"]).await;
//! assert_eq!(users[1].as_deref(), Some(&b"Bob"[..]));
//! assert_eq!(users[2], None);
//!
//! assert!(cache.delete("user:7").await);
//! assert_eq!(cache.clear(Selection::Prefix("user:")).await, 2);
//! println!("hit rate {:.2}, {:?}", cache.stats().hit_rate(), cache.health().await.breaker);
//! # Ok(())
//! # }
//! ```
//!
//! # Modules, in reading order
//!
//! - `cache`: what is asked; `clear`, `health`: two of the questions; `lifetime`: an argument.
//! - `options`: what can be set.
//! - `breaker`: which of the two stores answers, and the moment in which that changes.
//! - `recovery`: bringing Redis back.
//! - `journal`: what it has to be told then.
//! - `memory`: the store in this process.
//! - `link`: one connection and what is asked over it; the epoch of a namespace.
//! - `target`: what a URL names, and opening connections to it.
//! - `frame`: the bytes of a value in Redis.
//! - `stats`, `error`.
//! - `protocol`: how processes will agree on which answers are current. So far it is checked, by the
//!   model under `tests/model`, and not yet used; `docs/decisions/0014-shared-stamps.md` has the rest.
//!
//! # Guarantees
//!
//! - **No operation fails because of Redis, or waits for it** longer than
//!   [`deadline`](Builder::deadline) (50 ms) per round trip. A write that is refused or late, a lost
//!   connection, and the third late read in a row open the breaker: from then on memory alone answers,
//!   and nobody waits, until a task in the background has brought Redis back.
//! - **What this process was told last is what it is answered.** A key that was set or deleted while
//!   Redis was away, or whose write nobody knows the outcome of, is told to Redis before it is asked
//!   again. Up to 65,536 keys are told one by one; beyond that the namespace gets a new *epoch*, and
//!   no value of a former one is ever found again. A write that was sent over a former connection is
//!   prevented from being done late: the connection is ended at the server, or, where that cannot be
//!   (a Cluster, a user without `CLIENT KILL`), the epoch is changed.
//! - **Acknowledged values that Redis loses do not come back as older ones.** A failover or a restart
//!   can lose the last writes; it also begins a new history (`master_replid`), which is a part of the
//!   epoch, so that all processes begin anew. On a single server and behind Sentinels this is checked
//!   before a new connection is used; on a Cluster, every [`probe_interval`](Builder::probe_interval).
//! - **Other processes** follow a new epoch with their next command; on a Cluster, within a probe
//!   interval. What this process set while Redis was away, they see when it is back. Two processes
//!   that write the same key at the same time are ordered by Redis, and not at all while one of them
//!   is cut off from it.
//! - **Whatever is found in Redis is checked** before it is believed: lengths, format version, key, and
//!   a MAC bound to key, namespace and epoch. What is not right is a miss, counted in
//!   [`CacheStats::rejected`].
//! - **Time**: a value lives as long as its [`Lifetime`], never longer than
//!   [`longest_ttl`](Builder::longest_ttl) after it was set.
//!
//! # Limits
//!
//! - When Redis goes away, memory is empty: a value that another process may have changed since is not
//!   served. So an outage begins with misses.
//! - It is a cache: values may vanish at any time. There is no single flight and no invalidation by
//!   what was written; `turbodiesel` has them.
//! - Keys have up to 1,024 bytes. Redis must be 6 or newer (RESP3).
//! - The same user and password are used for Sentinels and servers.
//!
//! # Features
//!
//! - `tls`: `rediss://`, by rustls.
//! - `json`: `RedisCache::get_json` and `set_json` over serde.

mod breaker;
mod cache;
mod clear;
mod error;
mod frame;
mod health;
mod journal;
mod lifetime;
mod link;
mod memory;
mod options;
#[expect(dead_code, reason = "what performs it comes next; the model under tests/model checks it")]
mod protocol;
mod recovery;
mod stats;
mod target;

/// The examples of the guide and of the README, compiled.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/guide/redis.md")]
    struct Guide;
}

pub use bytes::Bytes;
pub use cache::RedisCache;
pub use clear::Selection;
pub use error::Error;
pub use health::{BreakerState, Health, ServerHealth};
pub use lifetime::Lifetime;
pub use options::Builder;
pub use stats::{CacheStats, FailureStats, RejectedStats, StoreStats, Trouble};
pub use turbodiesel_core::Tier;

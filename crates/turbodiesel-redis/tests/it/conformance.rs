//! One suite for all stores: in memory, over one server, behind Sentinels, over a Cluster.

use std::{sync::Arc, time::Duration};

use turbodiesel_core::ManualClock;
use turbodiesel_redis::{Lifetime, RedisCache, Selection, Tier};
use turbodiesel_testkit::{Redis, RedisCluster, RedisSentinel};

use crate::support::{builder, eventually, get, ready};

const LONG: Duration = Duration::from_secs(300);

#[tokio::test]
async fn memory() {
    suite(&RedisCache::builder().build().unwrap()).await;
}

#[tokio::test]
async fn memory_by_the_clock() {
    let clock = Arc::new(ManualClock::default());
    let cache = RedisCache::builder().clock(Arc::clone(&clock) as _).build().unwrap();
    for (tier, seconds) in [(Tier::L1, 10), (Tier::L2, 60), (Tier::L3, 300)] {
        cache.set("k", "v", tier).await.unwrap();
        assert_eq!(cache.remaining_ttl("k").await, Some(Duration::from_secs(seconds)));
        clock.advance(Duration::from_secs(seconds - 1));
        assert_eq!(get(&cache, "k").await.as_deref(), Some("v"));
        clock.advance(Duration::from_secs(1));
        assert_eq!(get(&cache, "k").await, None);
        assert_eq!(cache.remaining_ttl("k").await, None);
    }
}

#[tokio::test]
async fn one_server() {
    let server = Redis::start().unwrap();
    let cache = ready(builder(server.url())).await;
    suite(&cache).await;
    served_by_redis(&cache);
}

#[tokio::test]
async fn a_primary_behind_sentinels() {
    let group = RedisSentinel::start().unwrap();
    let cache = ready(builder(group.url())).await;
    suite(&cache).await;
    served_by_redis(&cache);
}

#[tokio::test]
async fn a_cluster() {
    let cluster = RedisCluster::start().unwrap();
    let cache = ready(builder(cluster.url())).await;
    suite(&cache).await;
    served_by_redis(&cache);
    let health = cache.health().await;
    assert_eq!(health.server.unwrap().primaries, 3);
}

/// Or the suite would have tested memory.
fn served_by_redis(cache: &RedisCache) {
    let stats = cache.stats();
    assert!(stats.redis.hits > 0 && stats.redis.sets > 0, "{stats:?}");
    assert_eq!((stats.memory.sets, stats.outages), (0, 0), "{stats:?}");
}

async fn suite(cache: &RedisCache) {
    values_are_kept_and_deleted(cache).await;
    keys_and_values_are_bytes(cache).await;
    batches_keep_their_order(cache).await;
    lifetimes(cache).await;
    clearing(cache).await;
    limits(cache).await;
}

async fn values_are_kept_and_deleted(cache: &RedisCache) {
    assert_eq!(get(cache, "a").await, None);
    cache.set("a", "1", Tier::L1).await.unwrap();
    cache.set("a", "2", Tier::L1).await.unwrap();
    assert_eq!(get(cache, "a").await.as_deref(), Some("2"));
    assert!(cache.delete("a").await);
    assert!(!cache.delete("a").await);
    assert_eq!(get(cache, "a").await, None);
    cache.set("empty", "", Tier::L1).await.unwrap();
    assert_eq!(get(cache, "empty").await.as_deref(), Some(""));
}

/// Keys that a careless encoding would confuse.
async fn keys_and_values_are_bytes(cache: &RedisCache) {
    let keys: [&[u8]; 12] = [
        b"",
        b"a b",
        b"ab",
        b"a:b",
        b"a",
        b":",
        b"a\r\nGET b",
        b"\0",
        b"\xff\xfe",
        b"{a}",
        b"{a}b",
        b"*",
    ];
    for (number, key) in (0_u8..).zip(keys) {
        cache.set(key, vec![number, 0, 0xff, b'\r', b'\n'], Tier::L2).await.unwrap();
    }
    for (number, key) in (0_u8..).zip(keys) {
        let expected = [number, 0, 0xff, b'\r', b'\n'];
        assert_eq!(cache.get(key).await.as_deref(), Some(&expected[..]), "{key:?}");
    }
    assert_eq!(cache.delete_many(keys).await, keys.len() as u64);
    // Large ones are compressed in Redis, or not if that saves nothing.
    let large = "abcdefgh".repeat(10_000);
    cache.set("large", large.clone(), Tier::L1).await.unwrap();
    assert_eq!(get(cache, "large").await, Some(large));
}

async fn batches_keep_their_order(cache: &RedisCache) {
    // More than one batch.
    let keys: Vec<String> = (0..2_500).map(|number| format!("batch:{number}")).collect();
    let entries = keys.iter().map(|key| (key, format!("value of {key}")));
    cache.set_many(entries, Tier::L3).await.unwrap();
    let mut asked = keys.clone();
    asked.insert(1_000, "batch:none".to_owned());
    asked.push(keys[7].clone());
    let values = cache.get_many(&asked).await;
    assert_eq!(values.len(), asked.len());
    for (key, value) in asked.iter().zip(values) {
        let expected = (key != "batch:none").then(|| format!("value of {key}"));
        assert_eq!(crate::support::text(value), expected);
    }
    assert_eq!(cache.get_many([""; 0]).await.len(), 0);
    cache.set_many([("twice", "1"), ("twice", "2")], Tier::L1).await.unwrap();
    assert_eq!(get(cache, "twice").await.as_deref(), Some("2"));
    assert_eq!(cache.delete_many(&keys).await, 2_500);
}

async fn lifetimes(cache: &RedisCache) {
    cache.set("short", "v", Lifetime::within(Tier::L3, Duration::from_millis(60))).await.unwrap();
    cache.set("long", "v", Tier::L2).await.unwrap();
    let left = cache.remaining_ttl("long").await.unwrap();
    assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(50), "{left:?}");
    eventually("the short one has expired", || async { cache.get("short").await.is_none() }).await;
    assert_eq!(cache.remaining_ttl("short").await, None);
    assert!(!cache.touch("short", LONG).await);

    assert!(cache.touch("long", LONG).await);
    assert!(cache.remaining_ttl("long").await.unwrap() > Duration::from_secs(200));
    assert!(cache.touch("long", Duration::from_millis(20)).await);
    eventually("the touched one has expired", || async { cache.get("long").await.is_none() }).await;
    // A value that is set anew has a new life.
    cache.set("again", "1", Duration::from_millis(1)).await.unwrap();
    cache.set("again", "2", LONG).await.unwrap();
    assert!(cache.remaining_ttl("again").await.unwrap() > Duration::from_secs(200));
}

async fn clearing(cache: &RedisCache) {
    cache.clear(Selection::All).await;
    let many = (0..1_500).map(|number| (format!("users:{number}"), "v"));
    cache.set_many(many, Tier::L1).await.unwrap();
    for (key, tier) in
        [("user*:1", Tier::L1), ("userx:1", Tier::L2), ("roles", Tier::L3), ("[ab]", Tier::L3)]
    {
        cache.set(key, "v", tier).await.unwrap();
    }
    // Not a pattern, and not a part of a key.
    assert_eq!(cache.clear(Selection::Prefix("user*:")).await, 1);
    assert_eq!(get(cache, "userx:1").await.as_deref(), Some("v"));
    assert_eq!(cache.clear(Selection::Prefix("[ab]")).await, 1);
    assert_eq!(cache.clear(Selection::Prefix("sers")).await, 0);
    assert_eq!(cache.clear(Selection::Tier(Tier::L3)).await, 1);
    assert_eq!(get(cache, "roles").await, None);
    assert_eq!(cache.clear(Selection::Prefix("users:")).await, 1_500);
    assert_eq!(get(cache, "userx:1").await.as_deref(), Some("v"));
    assert_eq!(cache.clear(Selection::All).await, 1);
    assert_eq!(get(cache, "userx:1").await, None);
}

async fn limits(cache: &RedisCache) {
    cache.set("limit", "before", Tier::L1).await.unwrap();
    let oversize = vec![0; (1 << 20) + 1];
    let error = cache.set("limit", oversize.clone(), Tier::L1).await.unwrap_err();
    assert!(error.is_too_large(), "{error}");
    assert_eq!(get(cache, "limit").await.as_deref(), Some("before"), "the former value stays");
    let entries = [("first", vec![0]), ("second", oversize)];
    assert!(cache.set_many(entries, Tier::L1).await.unwrap_err().is_too_large());
    assert_eq!(cache.get("first").await, None, "all or nothing");

    let longest = "k".repeat(1_024);
    cache.set(&longest, vec![7; 1 << 20], Tier::L1).await.unwrap();
    assert_eq!(cache.get(&longest).await.unwrap(), vec![7; 1 << 20]);
    let longer = longest.clone() + "k";
    assert!(cache.set(&longer, "v", Tier::L1).await.unwrap_err().is_too_large());
    assert_eq!(cache.get(&longer).await, None);
    assert!(!cache.delete(&longer).await);
}

//! Bytes in Redis that are not what this cache put there: a miss, counted, and never a wrong value.

use turbodiesel_redis::{RedisCache, Tier};
use turbodiesel_testkit::Redis;

use crate::support::{builder, get, name_of, pair, ready};

const SECRET: &str = "a secret of enough bytes";

/// Two keys with values, whose bytes lie in Redis for everybody to play with.
async fn two_keys(cache: &RedisCache) {
    cache.set("one", "1", Tier::L1).await.unwrap();
    cache.set("two", "2".repeat(2_000), Tier::L1).await.unwrap();
}

fn copy(server: &Redis, from: &str, to: &str) {
    assert_eq!(server.command(&["COPY", from, to, "REPLACE"]).unwrap(), "1");
}

#[tokio::test]
async fn values_swapped_between_keys_are_misses() {
    let (server, cache) = pair().await;
    two_keys(&cache).await;
    copy(&server, &name_of(&server, "two"), &name_of(&server, "one"));
    assert_eq!(get(&cache, "one").await, None);
    assert!(get(&cache, "two").await.is_some());
    assert_eq!(cache.stats().rejected.wrong_key, 1);
}

#[tokio::test]
async fn changed_cut_and_foreign_bytes_are_misses() {
    let (server, cache) = pair().await;
    two_keys(&cache).await;
    let (one, two) = (name_of(&server, "one"), name_of(&server, "two"));
    // The last byte of each is a part of its value.
    server.command(&["SETRANGE", &one, "43", "7"]).unwrap();
    assert_eq!(get(&cache, "one").await, None);
    assert_eq!(cache.stats().rejected.forged, 1);
    server.command(&["APPEND", &two, "x"]).unwrap();
    assert_eq!(get(&cache, "two").await, None);
    assert_eq!(cache.stats().rejected.malformed, 1);
    // A format of the future.
    server.command(&[&b"SETRANGE"[..], one.as_bytes(), b"2", b"\x09"]).unwrap();
    assert_eq!(get(&cache, "one").await, None);
    assert_eq!(cache.stats().rejected.unknown_version, 1);
    // Another type, which no GET could read.
    server.command(&["DEL", &one]).unwrap();
    server.command(&["LPUSH", &one, "x"]).unwrap();
    assert_eq!(get(&cache, "one").await, None);
    // And a value that is set over it is served again.
    cache.set("one", "3", Tier::L1).await.unwrap();
    assert_eq!(get(&cache, "one").await.as_deref(), Some("3"));
    assert_eq!(cache.stats().outages, 0, "none of it is the server's fault");
}

#[tokio::test]
async fn values_replayed_under_another_epoch_or_namespace_are_misses() {
    let (server, cache) = pair().await;
    two_keys(&cache).await;
    let old = name_of(&server, "one");
    assert_eq!(server.command(&["COPY", &old, "kept"]).unwrap(), "1");
    // A new epoch: the old one's key is taken away, as FLUSHALL does.
    server.command(&["DEL", "td:test:epoch", &old]).unwrap();
    // Two reads: the first one finds the epoch gone.
    assert_eq!(get(&cache, "one").await, None);
    assert!(cache.ready(crate::support::PATIENCE).await);
    cache.set("one", "new", Tier::L1).await.unwrap();
    let new = name_of(&server, "one");
    assert_ne!(old, new);
    copy(&server, "kept", &new);
    assert_eq!(get(&cache, "one").await, None);
    assert_eq!(cache.stats().rejected.forged, 1);

    let other = ready(builder(server.url()).namespace("other")).await;
    other.set("one", "other's", Tier::L1).await.unwrap();
    let name = server.command(&["KEYS", "td:other:*:one"]).unwrap();
    copy(&server, &name, &new);
    assert_eq!(get(&cache, "one").await, None);
    assert_eq!(cache.stats().rejected.forged, 2);
}

#[tokio::test]
async fn who_does_not_know_the_secret_can_neither_read_nor_write() {
    let server = Redis::start().unwrap();
    let cache = ready(builder(server.url()).secret(SECRET)).await;
    let same = ready(builder(server.url()).secret(SECRET)).await;
    let stranger = ready(builder(server.url()).secret("another one, no shorter")).await;
    cache.set("one", "1", Tier::L1).await.unwrap();
    assert_eq!(get(&same, "one").await.as_deref(), Some("1"));
    assert_eq!(get(&stranger, "one").await, None);
    stranger.set("one", "forged", Tier::L1).await.unwrap();
    assert_eq!(get(&cache, "one").await, None);
    assert_eq!(cache.stats().rejected.forged, 1);
}

/// Random changes of what lies in Redis, a batch at a time.
#[tokio::test]
async fn random_changes_are_never_a_value() {
    const KEYS: usize = 200;
    let (server, cache) = pair().await;
    let keys: Vec<String> = (0..KEYS).map(|number| format!("key {number}")).collect();
    let value = |number: usize| "v".repeat(number * number % 3_000);
    for round in 0..10_u64 {
        let entries = keys.iter().enumerate().map(|(number, key)| (key, value(number)));
        cache.set_many(entries, Tier::L3).await.unwrap();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(round + 1);
        let names = server.command(&["KEYS", "td:test:*:key *"]).unwrap();
        assert_eq!(names.lines().count(), KEYS);
        for name in names.lines() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let length: u64 = server.command(&["STRLEN", name]).unwrap().parse().unwrap();
            let at = ((random >> 33) % length).to_string();
            let before = server.command(&["GETRANGE", name, &at, &at]).unwrap();
            let byte = if before == "Z" { "Y" } else { "Z" };
            server.command(&["SETRANGE", name, &at, byte]).unwrap();
        }
        let found = cache.get_many(&keys).await;
        assert!(found.iter().all(Option::is_none), "round {round}");
    }
    assert_eq!(cache.stats().outages, 0);
}

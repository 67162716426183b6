//! The ways to reach a server: TLS, users with few rights, Unix sockets; and what it says of itself.

use std::time::Duration;

use turbodiesel_redis::{BreakerState, RedisCache, Selection, Tier};
use turbodiesel_testkit::{Redis, RedisOptions, ServerTls};

use crate::support::{PATIENCE, builder, eventually, get, pair, ready, with_settings};

#[tokio::test]
async fn tls_with_a_root_of_ones_own() {
    let identity = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate = identity.cert.pem();
    let tls =
        ServerTls { certificate: certificate.clone(), key: identity.signing_key.serialize_pem() };
    let server = Redis::with(RedisOptions { tls: Some(tls), ..RedisOptions::default() }).unwrap();
    let cache = ready(builder(server.url()).root_certificates(certificate)).await;
    cache.set("k", "v", Tier::L1).await.unwrap();
    assert_eq!(get(&cache, "k").await.as_deref(), Some("v"));
    assert_eq!(cache.stats().redis.hits, 1);

    // Whom nobody vouches for is not believed.
    let other = builder(server.url()).build().unwrap();
    eventually("it was tried", || async { other.stats().failures.lost > 0 }).await;
    assert!(!other.ready(Duration::ZERO).await);
}

#[tokio::test]
async fn a_unix_socket() {
    let server = Redis::start().unwrap();
    let socket = server.folder().join("redis.sock");
    let url = format!("redis+unix://{}?pass={}", socket.display(), server.password());
    let cache = ready(builder(url)).await;
    cache.set("k", "v", Tier::L1).await.unwrap();
    assert_eq!(get(&cache, "k").await.as_deref(), Some("v"));
}

/// The rights that the guide names, without that to end a connection.
#[tokio::test]
async fn a_user_who_may_only_do_what_the_cache_needs() {
    let server = with_settings(&[(
        "user",
        "app on >hunter22 ~td:test:* resetchannels -@all +get +mget +set +unlink +pttl +pexpire \
         +getrange +scan +info +ping +hello +client|id",
    )]);
    let url = format!("redis://app:hunter22@127.0.0.1:{}", server.port());
    let cache = ready(builder(url.clone())).await;
    cache.set("k", "v", Tier::L1).await.unwrap();
    assert!(cache.touch("k", Duration::from_secs(5)).await);
    assert_eq!(cache.clear(Selection::Tier(Tier::L1)).await, 1);
    assert!(cache.health().await.server.is_some());
    let stats = cache.stats();
    assert_eq!((stats.outages, stats.memory.sets), (0, 0), "{stats:?}");

    // What it sent over a lost connection is left behind in a former epoch.
    let hasty = ready(builder(url).deadline(Duration::from_millis(100))).await;
    hasty.set("k", "v", Tier::L1).await.unwrap();
    server.pause();
    hasty.set("k", "w", Tier::L1).await.unwrap();
    server.resume();
    assert!(hasty.ready(PATIENCE).await);
    assert_eq!(get(&hasty, "k").await.as_deref(), Some("w"));
    assert!(hasty.stats().rotations > 0, "{:?}", hasty.stats());
}

#[tokio::test]
async fn a_user_without_any_rights_leaves_the_cache_in_memory() {
    let server = with_settings(&[("user", "app on >hunter22 ~td:test:* -@all +hello +ping")]);
    let url = format!("redis://app:hunter22@127.0.0.1:{}", server.port());
    let cache = builder(url).build().unwrap();
    eventually("it was tried", || async { cache.stats().failures.refused > 1 }).await;
    cache.set("k", "v", Tier::L1).await.unwrap();
    assert_eq!(get(&cache, "k").await.as_deref(), Some("v"));
    let health = cache.health().await;
    assert_eq!(health.trouble.unwrap().to_string(), "refusing (NOPERM)");
}

#[tokio::test]
async fn health_says_how_the_server_is() {
    let alone = RedisCache::builder().build().unwrap();
    let health = alone.health().await;
    assert_eq!((health.breaker, health.is_good()), (BreakerState::Off, true));

    let (server, cache) = pair().await;
    server.command(&["CONFIG", "SET", "maxmemory", "100mb"]).unwrap();
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"]).unwrap();
    let health = cache.health().await;
    assert!(health.is_good() && health.breaker == BreakerState::Closed);
    let answer = health.server.unwrap();
    assert_eq!(answer.role, "master");
    assert_eq!(answer.version, server.version());
    assert_eq!(answer.eviction_policy, "allkeys-lfu");
    assert_eq!(answer.max_memory_bytes, Some(100 << 20));
    assert!(answer.used_memory_bytes > 0 && answer.latency > Duration::ZERO);
    assert_eq!(answer.primaries, 1);
}

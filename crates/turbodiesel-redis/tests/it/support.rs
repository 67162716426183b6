//! What the tests share.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use turbodiesel_redis::{Builder, Bytes, RedisCache};
use turbodiesel_testkit::{Redis, RedisOptions};

/// How long something may take that usually takes milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A cache over a server of a test, which looks at it often. Its deadline is longer than the default:
/// the machine may be busy, and what is late is another test's matter.
pub(crate) fn builder(url: impl Into<String>) -> Builder {
    RedisCache::builder()
        .url(url)
        .namespace("test")
        .deadline(Duration::from_secs(2))
        .probe_interval(Duration::from_millis(50))
}

pub(crate) async fn ready(builder: Builder) -> RedisCache {
    let cache = builder.build().unwrap();
    assert!(cache.ready(PATIENCE).await, "Redis is used");
    cache
}

/// A server and a cache over it.
pub(crate) async fn pair() -> (Redis, RedisCache) {
    let server = Redis::start().unwrap();
    let cache = ready(builder(server.url())).await;
    (server, cache)
}

pub(crate) fn with_settings(settings: &[(&str, &str)]) -> Redis {
    let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Redis::with(RedisOptions { settings: settings.collect(), tls: None }).unwrap()
}

/// Waits until a condition holds that other processes, or tasks, bring about.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the cache has given Redis up.
pub(crate) async fn away(cache: &RedisCache) {
    eventually("Redis is given up", || async {
        cache.health().await.breaker != turbodiesel_redis::BreakerState::Closed
    })
    .await;
}

pub(crate) fn text(value: Option<Bytes>) -> Option<String> {
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

pub(crate) async fn get(cache: &RedisCache, key: &str) -> Option<String> {
    text(cache.get(key).await)
}

/// The name in Redis of the only key that ends with this.
pub(crate) fn name_of(server: &Redis, key: &str) -> String {
    let names = server.command(&["KEYS", &format!("td:*:{key}")]).unwrap();
    assert_eq!(names.lines().count(), 1, "{names}");
    names
}

//! Redis is not there, goes, is slow, refuses, comes back: no operation fails or waits, and no value
//! comes back that was replaced.

use std::time::{Duration, Instant};

use turbodiesel_redis::{BreakerState, RedisCache, Selection, Tier, Trouble};
use turbodiesel_testkit::{Redis, RedisCluster, RedisSentinel};

use crate::support::{
    PATIENCE, away, builder, eventually, get, name_of, pair, ready, with_settings,
};

/// A deadline that a paused server exceeds soon.
const SHORT: Duration = Duration::from_millis(100);

async fn set(cache: &RedisCache, key: &str, value: &str) {
    cache.set(key, value.to_owned(), Tier::L3).await.unwrap();
}

#[tokio::test]
async fn never_reachable() {
    // A port that was free a moment ago.
    let mut server = Redis::start().unwrap();
    server.kill();
    let cache = builder(server.url()).build().unwrap();
    set(&cache, "k", "v").await;
    assert_eq!(get(&cache, "k").await.as_deref(), Some("v"));
    assert!(cache.delete("k").await);
    eventually("it was tried", || async { cache.stats().failures.lost > 1 }).await;
    let health = cache.health().await;
    assert_ne!(health.breaker, BreakerState::Closed);
    assert_eq!(health.trouble, Some(Trouble::Unreachable));
    assert!(!health.is_good() && !cache.ready(Duration::ZERO).await);
    // It was never used, so it was never given up.
    assert_eq!(cache.stats().outages, 0);
}

#[tokio::test]
async fn killed_and_started_again() {
    let (mut server, cache) = pair().await;
    set(&cache, "before", "v").await;
    server.kill();
    away(&cache).await;
    set(&cache, "meanwhile", "v").await;
    assert_eq!(get(&cache, "meanwhile").await.as_deref(), Some("v"));
    assert_eq!(get(&cache, "before").await, None, "memory begins empty");
    assert_eq!(cache.stats().pending, 1);

    server.restart().unwrap();
    assert!(cache.ready(PATIENCE).await);
    assert_eq!(get(&cache, "meanwhile").await.as_deref(), Some("v"), "it was told");
    let stats = cache.stats();
    assert_eq!((stats.pending, stats.memory_entries, stats.replayed), (0, 0, 1), "{stats:?}");
    assert_eq!((stats.outages, stats.recoveries), (1, 2), "each transition once");
    assert!(name_of(&server, "meanwhile").starts_with("td:test:"));
    let left = cache.remaining_ttl("meanwhile").await.unwrap();
    assert!(left <= Duration::from_secs(300), "its life goes on, and does not begin anew");
}

/// A server that is started again from a snapshot brings old values with it.
#[tokio::test]
async fn a_snapshot_does_not_bring_old_values_back() {
    let (mut server, cache) = pair().await;
    set(&cache, "k", "old").await;
    server.command(&["SAVE"]).unwrap();
    set(&cache, "k", "new").await;
    server.kill();
    away(&cache).await;
    server.restart().unwrap();
    assert!(server.command(&["KEYS", "*:k"]).unwrap().ends_with(":k"), "the old one is there");
    assert!(cache.ready(PATIENCE).await);
    assert_eq!(get(&cache, "k").await, None);
}

/// A server that is stopped answers nobody and closes nothing; what it was sent, it does later.
#[tokio::test]
async fn stopped_and_continued() {
    let server = Redis::start().unwrap();
    let cache = ready(builder(server.url()).deadline(SHORT)).await;
    let other = ready(builder(server.url())).await;
    for key in ["set", "deleted", "cleared:1", "untouched"] {
        set(&cache, key, "old").await;
    }
    server.pause();
    // The first of them is sent and not answered, and opens the breaker; the others do not wait.
    set(&cache, "set", "sent").await;
    let start = Instant::now();
    set(&cache, "set", "new").await;
    cache.delete("deleted").await;
    for _ in 0..1_000 {
        assert_eq!(get(&cache, "set").await.as_deref(), Some("new"));
        assert_eq!(get(&cache, "deleted").await, None);
    }
    assert!(start.elapsed() < SHORT * 20, "two thousand reads wait less than twenty deadlines");
    assert_eq!(cache.health().await.trouble, Some(Trouble::Slow));
    assert_eq!(cache.stats().outages, 1);

    server.resume();
    assert!(cache.ready(PATIENCE).await);
    for _ in 0..100 {
        assert_eq!(get(&cache, "set").await.as_deref(), Some("new"));
        assert_eq!(get(&cache, "deleted").await, None);
    }
    assert_eq!(get(&cache, "untouched").await.as_deref(), Some("old"), "no new epoch was needed");
    // Others are told, too.
    assert!(other.ready(PATIENCE).await);
    assert_eq!(get(&other, "set").await.as_deref(), Some("new"));
    assert_eq!(get(&other, "deleted").await, None);
    assert_eq!(cache.stats().rotations, 0);
}

/// What was sent over a connection that was given up must not be done after what came later: it is
/// ended at the server before that is told anything.
#[tokio::test]
async fn a_former_connection_is_ended_at_the_server() {
    let server = Redis::start().unwrap();
    let cache = ready(builder(server.url()).deadline(SHORT)).await;
    let kills = || {
        let stats = server.command(&["INFO", "commandstats"]).unwrap();
        let line = stats.lines().find(|line| line.starts_with("cmdstat_client|kill:"));
        line.map(|line| line.contains("failed_calls=0")).unwrap_or(false)
    };
    assert!(!kills());
    server.pause();
    set(&cache, "k", "v").await;
    server.resume();
    assert!(cache.ready(PATIENCE).await);
    assert!(kills());
}

#[tokio::test]
async fn an_idle_cache_notices() {
    let server = Redis::start().unwrap();
    let cache = ready(builder(server.url()).deadline(SHORT)).await;
    server.pause();
    away(&cache).await;
    server.resume();
    assert!(cache.ready(PATIENCE).await);
}

#[tokio::test]
async fn reads_that_are_late_open_the_breaker() {
    let server = Redis::start().unwrap();
    let interval = Duration::from_secs(3_600);
    let cache = ready(builder(server.url()).deadline(SHORT).probe_interval(interval)).await;
    set(&cache, "k", "v").await;
    server.pause();
    for late in 1..=3 {
        assert_eq!(cache.stats().outages, 0);
        assert_eq!(get(&cache, "k").await, None);
        assert_eq!(cache.stats().failures.timeouts, late);
    }
    assert_eq!(cache.stats().outages, 1);
    server.resume();
    assert!(cache.ready(PATIENCE).await);
    assert_eq!(get(&cache, "k").await.as_deref(), Some("v"));
}

#[tokio::test]
async fn out_of_memory() {
    let (server, cache) = pair().await;
    set(&cache, "k", "old").await;
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    set(&cache, "k", "new").await;
    assert_eq!(get(&cache, "k").await.as_deref(), Some("new"), "not the one that is in Redis");
    assert_eq!(cache.health().await.trouble, Some(Trouble::Refusing("OOM".to_owned())));
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert!(cache.ready(PATIENCE).await);
    assert_eq!(get(&cache, "k").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_server_that_cannot_save() {
    let server = with_settings(&[("save", "3600 1"), ("stop-writes-on-bgsave-error", "yes")]);
    let cache = ready(builder(server.url())).await;
    // Where a folder is, no file can be made.
    std::fs::create_dir(server.folder().join("dump.rdb")).unwrap();
    set(&cache, "k", "old").await;
    server.command(&["BGSAVE"]).unwrap();
    eventually("it has failed", || async {
        server.command(&["INFO", "persistence"]).unwrap().contains("rdb_last_bgsave_status:err")
    })
    .await;
    set(&cache, "k", "new").await;
    assert_eq!(get(&cache, "k").await.as_deref(), Some("new"));
    assert_eq!(cache.health().await.trouble, Some(Trouble::Refusing("MISCONF".to_owned())));
    server.command(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]).unwrap();
    assert!(cache.ready(PATIENCE).await);
    assert_eq!(get(&cache, "k").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_primary_that_became_a_replica() {
    let (server, cache) = pair().await;
    let other = Redis::start().unwrap();
    set(&cache, "k", "old").await;
    server.command(&["CONFIG", "SET", "masterauth", other.password()]).unwrap();
    server.command(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]).unwrap();
    set(&cache, "k", "new").await;
    assert_eq!(get(&cache, "k").await.as_deref(), Some("new"));
    eventually("it says so", || async {
        cache.health().await.trouble == Some(Trouble::Refusing("READONLY".to_owned()))
    })
    .await;
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    assert!(cache.ready(PATIENCE).await);
    assert_eq!(get(&cache, "k").await.as_deref(), Some("new"));
}

/// While it loads its data, a server accepts connections and refuses everything else.
#[tokio::test]
async fn a_server_that_loads_its_data() {
    let mut server = with_settings(&[("save", "3600 1")]);
    let cache = ready(builder(server.url())).await;
    let entries = (0..2_000).map(|number| (format!("key {number}"), "v".repeat(100)));
    cache.set_many(entries, Tier::L3).await.unwrap();
    server.command(&["SAVE"]).unwrap();
    server.kill();
    away(&cache).await;
    // Half a millisecond for each key makes a second.
    let settings = "\nkey-load-delay 500\nloading-process-events-interval-bytes 1024\n";
    let file = server.folder().join("redis.conf");
    let configuration = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, configuration + settings).unwrap();

    // In another thread, since it waits until the server has loaded.
    let restarted = tokio::task::spawn_blocking(move || {
        server.restart().unwrap();
        server
    });
    eventually("it says so", || async {
        cache.health().await.trouble == Some(Trouble::Refusing("LOADING".to_owned()))
    })
    .await;
    set(&cache, "key 1", "new").await;
    let _server = restarted.await.unwrap();
    assert!(cache.ready(PATIENCE).await);
    assert_eq!(get(&cache, "key 1").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_connection_that_is_killed() {
    let (server, cache) = pair().await;
    set(&cache, "k", "v").await;
    for _ in 0..5 {
        let before = cache.stats().recoveries;
        server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
        eventually("it is back", || async { cache.stats().recoveries > before }).await;
        assert_eq!(get(&cache, "k").await.as_deref(), Some("v"));
    }
    let stats = cache.stats();
    assert_eq!((stats.outages, stats.recoveries), (5, 6), "each transition once: {stats:?}");
}

#[tokio::test]
async fn a_server_that_is_flushed() {
    let (server, cache) = pair().await;
    let other = ready(builder(server.url())).await;
    set(&cache, "k", "old").await;
    assert_eq!(get(&other, "k").await.as_deref(), Some("old"));
    server.command(&["FLUSHALL"]).unwrap();
    assert_eq!(get(&cache, "k").await, None);
    set(&cache, "k", "new").await;
    assert!(cache.ready(PATIENCE).await && other.ready(PATIENCE).await);
    assert_eq!(get(&cache, "k").await.as_deref(), Some("new"));
    eventually("both are in one epoch", || async {
        get(&other, "k").await.as_deref() == Some("new")
    })
    .await;
}

/// Whoever writes or reads next under a former epoch notices, and no value of it is found again.
#[tokio::test]
async fn another_process_begins_an_epoch() {
    let server = Redis::start().unwrap();
    let never = Duration::from_secs(3_600);
    let cache = ready(builder(server.url()).probe_interval(never)).await;
    set(&cache, "read", "old").await;
    set(&cache, "written", "old").await;
    server.command(&["SET", "td:test:epoch", "of another process"]).unwrap();
    set(&cache, "written", "new").await;
    assert_eq!(get(&cache, "written").await.as_deref(), Some("new"));
    assert!(cache.ready(PATIENCE).await);
    assert_eq!(get(&cache, "written").await.as_deref(), Some("new"));
    server.command(&["SET", "td:test:epoch", "and of a third"]).unwrap();
    assert_eq!(get(&cache, "read").await, None);
    assert_eq!(cache.stats().failures.rotated, 2);
    assert_eq!(cache.stats().rotations, 0, "it takes the epoch over, and begins none");
}

/// More changes than are remembered, or a clearing, make all former values unreachable.
#[tokio::test]
async fn more_changes_than_are_remembered() {
    let server = Redis::start().unwrap();
    let cache = ready(builder(server.url()).deadline(SHORT)).await;
    let other = ready(builder(server.url())).await;
    set(&cache, "k", "old").await;
    set(&cache, "deleted", "old").await;
    server.pause();
    cache.delete("deleted").await;
    let keys: Vec<String> = (0..70_000).map(|number| number.to_string()).collect();
    cache.set_many(keys.iter().map(|key| (key, "v")), Tier::L3).await.unwrap();
    server.resume();
    assert!(cache.ready(PATIENCE).await);
    assert_eq!(get(&cache, "deleted").await, None);
    assert_eq!(get(&cache, "k").await, None);
    assert_eq!(cache.stats().rotations, 1);
    eventually("the other one follows", || async { get(&other, "k").await.is_none() }).await;
}

#[tokio::test]
async fn cleared_while_away() {
    let server = Redis::start().unwrap();
    let cache = ready(builder(server.url()).deadline(SHORT)).await;
    set(&cache, "users:1", "old").await;
    server.pause();
    cache.clear(Selection::Prefix("users:")).await;
    set(&cache, "users:2", "new").await;
    server.resume();
    assert!(cache.ready(PATIENCE).await);
    assert_eq!(get(&cache, "users:1").await, None);
    assert_eq!(get(&cache, "users:2").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_sentinel_changes_the_primary() {
    let mut group = RedisSentinel::start().unwrap();
    let cache = ready(builder(group.url())).await;
    set(&cache, "k", "old").await;
    eventually("the replica has it", || async {
        !group.replica.command(&["KEYS", "*:k"]).unwrap().is_empty()
    })
    .await;
    // A write that the new primary will not have: the replica is cut off from the old one.
    group.replica.command(&["CONFIG", "SET", "masterauth", "wrong"]).unwrap();
    group.primary.command(&["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
    set(&cache, "k", "new").await;
    assert_eq!(cache.stats().outages, 0);
    group.primary.kill();
    away(&cache).await;
    set(&cache, "meanwhile", "v").await;
    assert!(cache.ready(PATIENCE).await);
    assert_eq!(get(&cache, "meanwhile").await.as_deref(), Some("v"));
    let old = group.replica.command(&["KEYS", "*:k"]).unwrap();
    assert_eq!(old.lines().count(), 1, "the new primary has the old value");
    assert_eq!(get(&cache, "k").await, None, "and nobody is answered with it");
    assert_eq!(cache.health().await.server.unwrap().role, "master");
}

#[tokio::test]
async fn a_node_of_a_cluster_is_stopped() {
    let cluster = RedisCluster::start().unwrap();
    let cache = ready(builder(cluster.url()).deadline(SHORT)).await;
    let keys: Vec<String> = (0..30).map(|number| format!("key {number}")).collect();
    cache.set_many(keys.iter().map(|key| (key, "old")), Tier::L3).await.unwrap();
    cluster.nodes[1].pause();
    cache.set_many(keys.iter().map(|key| (key, "new")), Tier::L3).await.unwrap();
    let is_new = |values: Vec<Option<turbodiesel_redis::Bytes>>| {
        values.iter().all(|value| value.as_deref() == Some(b"new"))
    };
    assert!(is_new(cache.get_many(&keys).await), "memory has them");
    cluster.nodes[1].resume();
    assert!(cache.ready(PATIENCE).await);
    assert!(is_new(cache.get_many(&keys).await), "Redis was told");
    assert!(cache.stats().rotations > 0, "what was sent cannot be ended on every node");
}

/// Many tasks write and read while the server is stopped, continued and its connections are killed
/// over and over. Each task has a key of its own, so it must always find what it wrote last, or
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_ever_finds_what_it_replaced() {
    const TASKS: usize = 16;
    let server = Redis::start().unwrap();
    let cache = ready(builder(server.url()).deadline(Duration::from_millis(30))).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (cache, stop) = (cache.clone(), std::sync::Arc::clone(&stop));
            tokio::spawn(async move {
                let (key, mut number, mut found) = (format!("key {task}"), 0_u64, 0_u64);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    number += 1;
                    if number % 7 == 0 {
                        cache.delete(&key).await;
                        assert_eq!(get(&cache, &key).await, None, "{key} was deleted");
                        continue;
                    }
                    set(&cache, &key, &number.to_string()).await;
                    for _ in 0..3 {
                        let value = get(&cache, &key).await;
                        found += u64::from(value.is_some());
                        let expected = value.is_none() || value == Some(number.to_string());
                        assert!(expected, "{key} is {number}, and was {value:?}");
                        tokio::task::yield_now().await;
                    }
                }
                found
            })
        })
        .collect();
    for round in 0..20 {
        let before = cache.stats();
        match round % 4 {
            0 | 1 => {
                server.pause();
                eventually("it is noticed", || async { cache.stats().outages > before.outages })
                    .await;
                server.resume();
            }
            2 => drop(server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap()),
            _ => drop(server.command(&["SET", "td:test:epoch", &round.to_string()]).unwrap()),
        }
        eventually("it is back", || async { cache.stats().recoveries > before.recoveries }).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for task in tasks {
        assert!(task.await.unwrap() > 0, "it found something");
    }
    let stats = cache.stats();
    assert!(stats.redis.hits > 0 && stats.memory.hits > 0, "both stores served: {stats:?}");
}

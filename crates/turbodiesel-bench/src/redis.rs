//! Suite `redis`: the cache over Redis against the raw client, and with Redis gone.
//!
//! Both sides ask the same private server for the same number of bytes, over one multiplexed
//! connection each, with the same protocol and socket options. What turbodiesel adds is the name of
//! the key, the epoch that comes with each answer, the deadline, and the frame: lengths, key and MAC
//! are checked on every value. Values are too short to be compressed.

use std::{hint::black_box, time::Duration};

use anyhow::{Result, ensure};
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
};
use turbodiesel_redis::{Bytes, RedisCache, Tier};
use turbodiesel_testkit::Redis;

use crate::{
    Context,
    report::{Report, Target},
    rounds::{Samples, mean_time},
};

const KEYS: i32 = 1_000;
const VALUE_BYTES: usize = 1_000;
const BATCH: i32 = 100;
const TASKS: i32 = 64;
/// Operations per round: of one task, batches, of each of many tasks, and in memory.
const GETS: i32 = 3_000;
const BATCHES: i32 = 300;
const GETS_PER_TASK: i32 = 1_000;
const GETS_IN_MEMORY: i32 = 200_000;

/// Longer than the default. What is measured is what a deadline costs, not how busy the machine is.
const DEADLINE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// The two sides, on one server.
struct Sides {
    server: Redis,
    cache: RedisCache,
    raw: MultiplexedConnection,
}

pub(crate) async fn run(context: &Context) -> Result<Report> {
    let mut report = Report::new("redis");
    let mut sides = Sides::start().await?;
    let time = ("time_per_op", "ns");

    let (mut ours, mut raws) = (Samples::default(), Samples::default());
    for round in 0..=context.rounds(15) {
        let our = mean_time!(GETS, |id| black_box(sides.cache.get(key(id)).await));
        let raw = mean_time!(GETS, |id| black_box(get(&mut sides.raw, id).await?));
        keep(round, (&mut ours, our), (&mut raws, raw));
    }
    report.add(("single-get", "redis"), time, raws.summary());
    report.add(("single-get", "turbodiesel"), time, ours.summary());
    judge_ratio(&mut report, &ours, &raws, 1.5);

    let (mut ours, mut raws) = (Samples::default(), Samples::default());
    let keys: Vec<String> = (0..BATCH).map(key).collect();
    for round in 0..=context.rounds(15) {
        let our = mean_time!(BATCHES, |_batch| black_box(sides.cache.get_many(&keys).await));
        let raw = mean_time!(BATCHES, |_batch| black_box(get_many(&mut sides.raw).await?));
        keep(round, (&mut ours, our), (&mut raws, raw));
    }
    report.add(("batch-100", "redis"), time, raws.summary());
    report.add(("batch-100", "turbodiesel"), time, ours.summary());
    judge_ratio(&mut report, &ours, &raws, 2.0);

    let (mut ours, mut raws) = (Samples::default(), Samples::default());
    for round in 0..=context.rounds(15) {
        let our = sides.throughput(true).await?;
        let raw = sides.throughput(false).await?;
        keep(round, (&mut ours, our), (&mut raws, raw));
    }
    let rate = ("throughput", "ops/s");
    report.add(("throughput-64", "redis"), rate, raws.summary());
    report.add(("throughput-64", "turbodiesel"), rate, ours.summary());
    let part = ours.zip(&raws, |our, raw| our / raw).median();
    report.judge(part, Target::AtLeast(0.9, "redis"));

    let stats = sides.cache.stats();
    ensure!(stats.outages == 0 && stats.redis.misses == 0, "not all were hits in Redis: {stats:?}");
    down(context, &mut report, sides).await?;
    Ok(report)
}

/// With Redis gone and the breaker open, against a cache that never had one.
async fn down(context: &Context, report: &mut Report, sides: Sides) -> Result<()> {
    let Sides { mut server, cache, .. } = sides;
    let alone = RedisCache::builder().build()?;
    server.kill();
    for cache in [&cache, &alone] {
        let entries = (0..KEYS).map(|id| (key(id), value()));
        cache.set_many(entries, Tier::L3).await?;
    }
    ensure!(!cache.ready(Duration::ZERO).await, "Redis is still used");
    let (mut aways, mut alones) = (Samples::default(), Samples::default());
    for round in 0..=context.rounds(15) {
        let away = mean_time!(GETS_IN_MEMORY, |id| black_box(cache.get(key(id)).await));
        let alone = mean_time!(GETS_IN_MEMORY, |id| black_box(alone.get(key(id)).await));
        keep(round, (&mut aways, away), (&mut alones, alone));
    }
    let time = ("time_per_op", "ns");
    report.add(("redis-down", "turbodiesel-memory"), time, alones.summary());
    report.add(("redis-down", "turbodiesel"), time, aways.summary());
    let ratio = aways.zip(&alones, |away, alone| away / alone).median();
    report.judge(ratio, Target::TimesAsMuch(1.1, "turbodiesel-memory"));
    ensure!(cache.stats().memory.misses == 0, "not all were hits in memory");
    Ok(())
}

impl Sides {
    async fn start() -> Result<Self> {
        let server = Redis::start()?;
        let cache = RedisCache::builder().url(server.url()).deadline(DEADLINE).build()?;
        ensure!(cache.ready(PATIENCE).await, "the server cannot be reached");
        cache.set_many((0..KEYS).map(|id| (key(id), value())), Tier::L3).await?;

        let info = server.url().into_connection_info()?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info
            .set_redis_settings(settings)
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let config =
            AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(512);
        let client = Client::open(info)?;
        let mut raw = client.get_multiplexed_async_connection_with_config(&config).await?;
        for id in 0..KEYS {
            let mut set = redis::cmd("SET");
            set.arg(key(id)).arg(value()).query_async::<()>(&mut raw).await?;
        }
        Ok(Self { server, cache, raw })
    }

    /// Operations per second of many tasks at the same time.
    async fn throughput(&self, is_ours: bool) -> Result<f64> {
        let start = std::time::Instant::now();
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (cache, mut raw) = (self.cache.clone(), self.raw.clone());
                tokio::spawn(async move {
                    for number in 0..GETS_PER_TASK {
                        let id = task * 31 + number;
                        let found = match is_ours {
                            true => cache.get(key(id)).await,
                            false => get(&mut raw, id).await?,
                        };
                        ensure!(found.is_some_and(|value| value.len() == VALUE_BYTES), "lost");
                    }
                    Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok(f64::from(TASKS * GETS_PER_TASK) / start.elapsed().as_secs_f64())
    }
}

async fn get(raw: &mut MultiplexedConnection, id: i32) -> Result<Option<Bytes>> {
    Ok(redis::cmd("GET").arg(key(id)).query_async(raw).await?)
}

async fn get_many(raw: &mut MultiplexedConnection) -> Result<Vec<Option<Bytes>>> {
    let mut command = redis::cmd("MGET");
    for id in 0..BATCH {
        command.arg(key(id));
    }
    Ok(command.query_async(raw).await?)
}

/// Keeps the figures of a round, unless it is the first, which warms up.
fn keep(round: usize, (ours, our): (&mut Samples, f64), (raws, raw): (&mut Samples, f64)) {
    if round > 0 {
        ours.push(our);
        raws.push(raw);
    }
}

fn judge_ratio(report: &mut Report, ours: &Samples, raws: &Samples, most: f64) {
    let ratio = ours.zip(raws, |our, raw| our / raw).median();
    report.judge(ratio, Target::TimesAsMuch(most, "redis"));
}

fn key(id: i32) -> String {
    format!("user:{}", id % KEYS)
}

fn value() -> Vec<u8> {
    vec![b'v'; VALUE_BYTES]
}

//! Real threads, for the orders that nobody thought of.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use turbodiesel_cache::{
    Cache, CacheBuilder, Followed, Lookup, Read, Role, Stamps, StampsOptions, TierOptions,
};
use turbodiesel_core::{MonotonicClock, Tier};

use crate::support::{Answer, TestCache, answer, read, table};

fn configured() -> CacheBuilder<Answer, &'static str> {
    let stamps = Stamps::new(Arc::new(MonotonicClock), StampsOptions { tables: 8, hashed: 1_024 });
    Cache::builder().stamps(stamps)
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Every key is read once, although threads look, miss and join at any moment relative to the
/// landing of somebody else's load.
#[test]
fn threads_that_miss_together_load_once() {
    const THREADS: usize = 8;
    const KEYS: usize = 500;
    let cache = configured().build().unwrap();
    let loads: Vec<AtomicUsize> = (0..KEYS).map(|_| AtomicUsize::new(0)).collect();
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                barrier.wait();
                for (key, loads) in loads.iter().enumerate() {
                    let name = key.to_string();
                    let load = async || {
                        loads.fetch_add(1, SeqCst);
                        Ok(answer(key as u64))
                    };
                    let (value, _) =
                        block_on(cache.get_or_try_load(read(&name, &[]), load)).unwrap();
                    assert_eq!(value.number, key as u64);
                }
            });
        }
    });
    assert!(loads.iter().all(|loads| loads.load(SeqCst) == 1));
    assert_eq!(cache.stats().flights, 0);
}

/// A database of one number per table. Writers add one and acknowledge; some vanish without landing.
/// No reader may see less than was acknowledged before it came.
#[test]
fn acknowledged_writes_are_seen_by_every_later_reader() {
    const TABLES: usize = 3;
    const READERS: usize = 4;
    const WRITERS: usize = 2;
    const READS: usize = 50_000;
    // So small that entries are evicted all the time, and so short-lived that some expire.
    let options = TierOptions {
        ttl: Duration::from_millis(40),
        stale_after: Some(Duration::from_millis(15)),
        capacity_bytes: 4_000,
        ..TierOptions::default_for(Tier::L1)
    };
    let cache = configured().tier(Tier::L1, options).max_entry_bytes(1_000).build().unwrap();
    let stamps = Arc::clone(cache.stamps());
    let slots: Vec<_> = (0..TABLES).map(|n| stamps.slot(&table(&format!("t{n}")))).collect();
    let database: Vec<AtomicU64> = (0..TABLES).map(|_| AtomicU64::new(0)).collect();
    let acknowledged: Vec<AtomicU64> = (0..TABLES).map(|_| AtomicU64::new(0)).collect();
    let readers_left = AtomicUsize::new(READERS);

    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (stamps, slots, database, acknowledged) =
                (&stamps, &slots, &database, &acknowledged);
            let readers_left = &readers_left;
            scope.spawn(move || {
                for number in writer.. {
                    if readers_left.load(SeqCst) == 0 {
                        break;
                    }
                    let table = number % TABLES;
                    let mark = stamps.begin_write([slots[table]], Duration::from_millis(1));
                    match number % 64 {
                        0 => drop(mark),
                        1 => mark.aborted(),
                        _ => {
                            let version = database[table].fetch_add(1, SeqCst) + 1;
                            mark.committed();
                            acknowledged[table].fetch_max(version, SeqCst);
                        }
                    }
                    // Long enough for answers to be kept now and then.
                    for _ in 0..20 {
                        thread::yield_now();
                    }
                }
            });
        }
        for reader in 0..READERS {
            let (cache, slots, database, acknowledged) = (&cache, &slots, &database, &acknowledged);
            let readers_left = &readers_left;
            scope.spawn(move || {
                let _leaving = Leaving(readers_left);
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for number in reader..reader + READS {
                    let table = number % TABLES;
                    let name = table.to_string();
                    let read = read(&name, &slots[table..=table]);
                    let before = acknowledged[table].load(SeqCst);
                    let value =
                        runtime.block_on(read_through(cache, &read, &database[table], number));
                    assert!(value >= before, "{value} after {before} was acknowledged");
                }
            });
        }
    });
    let stats = cache.stats();
    assert_eq!(stats.flights, 0, "{stats:?}");
    assert!(stats.tiers[0].hits > 0 && stats.tiers[0].fills > 0, "{stats:?}");
}

/// Counts a reader out, even one that panics, so that the writers end.
struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Reads through the cache. Some leaders vanish on the way.
async fn read_through(
    cache: &TestCache,
    read: &Read<'_>,
    database: &AtomicU64,
    number: usize,
) -> u64 {
    let ask = || answer(database.load(SeqCst));
    match cache.lookup(read) {
        Lookup::Hit { value, refresh, .. } => {
            if let Some(lead) = refresh {
                lead.complete(ask());
            }
            return value.number;
        }
        Lookup::Collision => panic!("a collision"),
        Lookup::Miss => {}
    }
    let mut role = cache.join(read);
    loop {
        let lead = match role {
            Role::Lead(lead) => lead,
            Role::Follow(follow) => match follow.wait().await {
                Followed::Value(value) => return value.number,
                Followed::Lead(lead) => lead,
                Followed::Failed(_) | Followed::Unshared => return ask().number,
            },
        };
        match number % 16 {
            0 => {
                lead.unshared();
                return ask().number;
            }
            1 => {
                drop(lead);
                role = cache.join(read);
            }
            _ => {
                let answer = ask();
                thread::yield_now();
                return lead.complete(answer).value().await.number;
            }
        }
        if let Role::Lead(lead) = role {
            return lead.complete(ask()).value().await.number;
        }
    }
}

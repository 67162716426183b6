//! Suite `herd`: how many queries reach the database when very many ask for the same.
//!
//! turbodiesel counts the statements that it sends; the server's own count of scans of the table,
//! taken when all its connections are closed, must agree.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::{Result, ensure};
use diesel_async::{
    AsyncConnection, AsyncPgConnection, SimpleAsyncConnection, pooled_connection::bb8::Pool,
};
use moka::future::Cache as Moka;
use tokio::task::JoinSet;
use turbodiesel::Db;
use turbodiesel_testkit::Database;

use crate::{
    Context,
    model::{self, User, scans, set_org, user},
    report::{Report, Target},
    rounds::Samples,
};

const HERD: u64 = 10_000;
const READERS: u64 = 1_000;
const WRITES: u64 = 100;
const KEY: i32 = 7;

pub(crate) async fn run(context: &Context) -> Result<Report> {
    let database = model::database(context, 10_000).await?;
    let url = database.url();
    let [mut served, mut by_hand, mut plain] = [(); 3].map(|()| Samples::default());
    let [mut reads, mut tight_reads, mut hits] = [(); 3].map(|()| Samples::default());
    for _ in 0..context.rounds(7) {
        served.push(identical(&database).await?);
        by_hand.push(identical_by_hand(url).await?);
        plain.push(identical_plain(url).await?);
        let (read, answered) = under_write(url, true).await?;
        reads.push(read);
        hits.push(answered);
        tight_reads.push(under_write(url, false).await?.0);
    }

    let mut report = Report::new("herd");
    let statements = ("statements", "statements");
    report.add(("identical", "turbodiesel"), statements, served.summary());
    // The worst round counts: a herd that gets through once is one too many.
    report.judge(served.summary().max, Target::Exactly(1.0));
    report.add(("identical", "moka"), statements, by_hand.summary());
    report.add(("identical", "diesel-async"), statements, plain.summary());

    #[expect(clippy::cast_precision_loss, reason = "a hundred writes")]
    let writes = WRITES as f64;
    let ratio = |reads: &Samples| reads.zip(reads, |reads, _| reads / writes);
    for (case, reads) in [("under-write", &reads), ("under-write-tight", &tight_reads)] {
        report.add((case, "turbodiesel"), statements, reads.summary());
        let per_write = ratio(reads);
        report.add((case, "turbodiesel"), ("reads_per_write", "reads"), per_write.summary());
        report.judge(per_write.summary().max, Target::AtMost(2.0));
    }
    report.add(("under-write", "turbodiesel"), ("answers", "reads"), hits.summary());
    Ok(report)
}

/// Ten thousand tasks ask for one row that nobody has read yet. The table is locked until all of
/// them have looked for it in vain, so that none comes late.
async fn identical(database: &Database) -> Result<f64> {
    let scans_before = scans(database.url()).await?;
    let db = Db::builder().url(database.url()).build().await?;
    let mut lock = AsyncPgConnection::establish(database.url()).await?;
    lock.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await?;

    let mut herd = JoinSet::new();
    for _ in 0..HERD {
        let db = db.clone();
        herd.spawn(async move { user(&mut &db, KEY).await });
    }
    let misses = || db.stats().cache.tiers.iter().map(|tier| tier.misses).sum::<u64>();
    while misses() < HERD {
        tokio::task::yield_now().await;
    }
    lock.batch_execute("COMMIT").await?;
    while let Some(answer) = herd.join_next().await {
        black_box(answer??);
    }

    let statements = db.stats().statements;
    drop((db, lock));
    let scanned = scans(database.url()).await? - scans_before;
    ensure!(statements == scanned, "{statements} statements, but the server saw {scanned} scans");
    Ok(as_figure(statements))
}

/// The same through `moka`'s `try_get_with`.
async fn identical_by_hand(url: &str) -> Result<f64> {
    let pool: Pool<AsyncPgConnection> = model::plain_pool(url, "").await?;
    let cache: Moka<i32, Arc<User>> = Moka::new(100);
    let loads = Arc::new(AtomicU64::new(0));
    let mut herd = JoinSet::new();
    for _ in 0..HERD {
        let (pool, cache, loads) = (pool.clone(), cache.clone(), Arc::clone(&loads));
        herd.spawn(async move {
            let load = async {
                loads.fetch_add(1, Relaxed);
                let mut connection = pool.get().await?;
                anyhow::Ok(Arc::new(user(&mut *connection, KEY).await?))
            };
            cache.try_get_with(KEY, load).await
        });
    }
    while let Some(answer) = herd.join_next().await {
        black_box(answer?.map_err(anyhow::Error::msg)?);
    }
    Ok(as_figure(loads.load(Relaxed)))
}

/// The same through a pool alone, counted by the server.
async fn identical_plain(url: &str) -> Result<f64> {
    let scans_before = scans(url).await?;
    let pool: Pool<AsyncPgConnection> = model::plain_pool(url, "").await?;
    let mut herd = JoinSet::new();
    for _ in 0..HERD {
        let pool = pool.clone();
        herd.spawn(async move {
            let mut connection = pool.get().await?;
            anyhow::Ok(user(&mut *connection, KEY).await?)
        });
    }
    while let Some(answer) = herd.join_next().await {
        black_box(answer??);
    }
    drop(pool);
    Ok(as_figure(scans(url).await? - scans_before))
}

/// A thousand tasks read one row again and again while it is written a hundred times, and each
/// checks that it never sees an older value after a newer one. Returns how many reads reached the
/// database, and how many were answered.
///
/// `paced` lets every task read once, on the average, between one write and the next.
async fn under_write(url: &str, paced: bool) -> Result<(f64, f64)> {
    let scans_before = scans(url).await?;
    let db = Db::builder().url(url).build().await?;
    set_org(&mut &db, KEY, 0).await?;
    black_box(user(&mut &db, KEY).await?);

    let done = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(AtomicU64::new(0));
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let (db, done, answers) = (db.clone(), Arc::clone(&done), Arc::clone(&answers));
        readers.spawn(async move {
            let mut newest = 0;
            while !done.load(Relaxed) {
                let org = user(&mut &db, KEY).await?.org;
                ensure!(org >= newest, "{org} was read after {newest}");
                newest = org;
                answers.fetch_add(1, Relaxed);
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }

    let reads_before = db.stats().statements;
    for write in 1..=WRITES {
        set_org(&mut &db, KEY, i32::try_from(write)?).await?;
        let seen = answers.load(Relaxed);
        while paced && answers.load(Relaxed) < seen + READERS {
            tokio::task::yield_now().await;
        }
    }
    done.store(true, Relaxed);
    while let Some(read) = readers.join_next().await {
        read??;
    }

    let statements = db.stats().statements;
    drop(db);
    let scanned = scans(url).await? - scans_before;
    ensure!(statements == scanned, "{statements} statements, but the server saw {scanned} scans");
    let reads = statements - reads_before - WRITES;
    Ok((as_figure(reads), as_figure(answers.load(Relaxed))))
}

#[expect(clippy::cast_precision_loss, reason = "a float holds counts up to 52 bits")]
fn as_figure(count: u64) -> f64 {
    count as f64
}

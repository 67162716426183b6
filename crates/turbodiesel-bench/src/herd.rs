//! Suite `herd`: how many queries reach the database when very many ask for the same.
//!
//! turbodiesel counts the statements that it sends; the server's own count of scans of the table,
//! taken when all its connections are closed, must agree. Sharing is only worth something if it is
//! right, so the readers of a row that is being written also count how often they saw it go back.

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
    let [mut paced, mut tight] = [(); 2].map(|()| UnderWrite::default());
    for _ in 0..context.rounds(7) {
        served.push(identical(&database).await?);
        by_hand.push(identical_by_hand(url).await?);
        plain.push(identical_plain(url).await?);
        paced.measure(url, true).await?;
        tight.measure(url, false).await?;
    }

    let mut report = Report::new("herd");
    let statements = ("statements", "statements");
    report.add(("identical", "turbodiesel"), statements, served.summary());
    // The worst round counts: a herd that gets through once is one too many.
    report.judge(served.summary().max, Target::Exactly(1.0));
    report.add(("identical", "moka"), statements, by_hand.summary());
    report.add(("identical", "diesel-async"), statements, plain.summary());

    for (case, figures) in [("under-write", &paced), ("under-write-tight", &tight)] {
        let UnderWrite { reads, went_back, answers } = figures;
        report.add((case, "turbodiesel"), statements, reads.summary());
        let per_write = reads.zip(reads, |reads, _| reads / as_figure(WRITES));
        report.add((case, "turbodiesel"), ("reads_per_write", "reads"), per_write.summary());
        report.judge(per_write.summary().max, Target::AtMost(2.0));
        report.add((case, "turbodiesel"), ("went_back", "reads"), went_back.summary());
        report.judge(went_back.summary().max, Target::Exactly(0.0));
        report.add((case, "turbodiesel"), ("answers", "reads"), answers.summary());
    }
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

/// One figure of each kind per round.
#[derive(Default)]
struct UnderWrite {
    /// Reads that reached the database.
    reads: Samples,
    /// Reads that saw an older value than the same task had seen before.
    went_back: Samples,
    /// Reads that were answered, by whomever.
    answers: Samples,
}

impl UnderWrite {
    /// A thousand tasks read one row again and again while it is written a hundred times.
    ///
    /// `paced` lets every task read once, on the average, between one write and the next.
    async fn measure(&mut self, url: &str, paced: bool) -> Result<()> {
        let scans_before = scans(url).await?;
        let db = Db::builder().url(url).build().await?;
        set_org(&mut &db, KEY, 0).await?;
        black_box(user(&mut &db, KEY).await?);

        let done = Arc::new(AtomicBool::new(false));
        let [answers, went_back] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        let mut readers = JoinSet::new();
        for _ in 0..READERS {
            let (db, done) = (db.clone(), Arc::clone(&done));
            let (answers, went_back) = (Arc::clone(&answers), Arc::clone(&went_back));
            readers.spawn(async move {
                let mut newest = 0;
                while !done.load(Relaxed) {
                    let org = user(&mut &db, KEY).await?.org;
                    went_back.fetch_add(u64::from(org < newest), Relaxed);
                    newest = org;
                    answers.fetch_add(1, Relaxed);
                    tokio::task::yield_now().await;
                }
                anyhow::Ok(())
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
        ensure!(
            statements == scanned,
            "{statements} statements, but the server saw {scanned} scans"
        );
        self.reads.push(as_figure(statements - reads_before - WRITES));
        self.went_back.push(as_figure(went_back.load(Relaxed)));
        self.answers.push(as_figure(answers.load(Relaxed)));
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a float holds counts up to 52 bits")]
fn as_figure(count: u64) -> f64 {
    count as f64
}

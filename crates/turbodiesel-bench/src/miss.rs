//! Suite `miss`: what the cache adds to a query that it cannot answer.
//!
//! Every query asks for another user, so each is looked up in vain, read and kept. The contenders
//! take turns with each query, and each round compares the medians of its queries: the difference is
//! much smaller than what the scheduler adds to some of them.
//!
//! The pools have the same settings. One of them is `statement_timeout`, which turbodiesel sets on
//! every connection and for which the server arms a timer with each statement; `diesel-async` sets
//! it too, and `diesel-async-untimed` shows what it costs.

use std::{hint::black_box, time::Instant};

use anyhow::{Result, ensure};
use diesel_async::{AsyncPgConnection, pooled_connection::bb8::Pool};
use turbodiesel::Db;

use crate::{
    Context,
    model::{self, TIMED, User, user},
    report::{Report, Target},
    rounds::Samples,
};

/// Queries of a round, for each contender.
const QUERIES: i32 = 2_000;
const ROUNDS: i32 = 25;

pub(crate) async fn run(context: &Context) -> Result<Report> {
    // One round more, for warming up.
    let database = model::database(context, (ROUNDS + 1) * QUERIES).await?;
    let timed: Pool<AsyncPgConnection> = model::plain_pool(database.url(), TIMED).await?;
    let untimed: Pool<AsyncPgConnection> = model::plain_pool(database.url(), "").await?;
    let db = Db::builder().url(database.url()).build().await?;

    let [mut served_times, mut timed_times, mut untimed_times] =
        [(); 3].map(|()| Samples::default());
    let rounds = context.rounds(ROUNDS as usize);
    let mut first = 1;
    for round in 0..=rounds {
        let [mut served, mut plain_timed, mut plain_untimed] = [(); 3].map(|()| Samples::default());
        for id in first..first + QUERIES {
            for turn in 0..3 {
                let start = Instant::now();
                let (times, user) = match (id + turn) % 3 {
                    0 => (&mut served, user(&mut &db, black_box(id)).await?),
                    1 => (&mut plain_timed, pooled(&timed, id).await?),
                    _ => (&mut plain_untimed, pooled(&untimed, id).await?),
                };
                black_box(user);
                times.push(start.elapsed().as_secs_f64() * 1e9);
            }
        }
        first += QUERIES;
        if round > 0 {
            served_times.push(served.median());
            timed_times.push(plain_timed.median());
            untimed_times.push(plain_untimed.median());
        }
    }

    let stats = db.stats();
    let asked = u64::from(first.unsigned_abs() - 1);
    let fills: u64 = stats.cache.tiers.iter().map(|tier| tier.fills).sum();
    ensure!(stats.lookups.misses == asked, "{} of {asked} queries missed", stats.lookups.misses);
    ensure!(fills == asked, "{fills} of {asked} answers were kept");

    let mut report = Report::new("miss");
    let time = ("time_per_op", "ns");
    report.add(("pk", "turbodiesel"), time, served_times.summary());
    report.add(("pk", "diesel-async"), time, timed_times.summary());
    report.add(("pk", "diesel-async-untimed"), time, untimed_times.summary());
    let added = served_times.zip(&timed_times, |served, plain| served - plain);
    report.add(("pk", "turbodiesel"), ("added_time", "ns"), added.summary());
    let ratio = served_times.zip(&timed_times, |served, plain| served / plain);
    report.add(("pk", "turbodiesel"), ("ratio", "times"), ratio.summary());
    report.judge(ratio.median(), Target::TimesAsMuch(1.05, "diesel-async"));
    let ratio = served_times.zip(&untimed_times, |served, plain| served / plain);
    report.add(("pk", "turbodiesel"), ("ratio_to_untimed", "times"), ratio.summary());
    Ok(report)
}

async fn pooled(pool: &Pool<AsyncPgConnection>, id: i32) -> Result<User> {
    let mut connection = pool.get().await?;
    Ok(user(&mut *connection, black_box(id)).await?)
}

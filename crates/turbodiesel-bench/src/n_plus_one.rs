//! Suite `n-plus-one`: what it costs to record queries and to find the loops among them.
//!
//! In `detection` a hit by primary key is measured without a scope and in one, in blocks that take
//! turns: the difference is what recording takes of the fastest query there is. Each block in a scope
//! opens a scope of its own and has it judged, as a request would, and that is part of the figure. In
//! `no-scope` both sides are without a scope: what is left is noise, and the size of what could be
//! seen.

use std::hint::black_box;

use anyhow::{Result, ensure};
use turbodiesel::Db;
use turbodiesel_optimizer::{Thresholds, scope};

use crate::{
    Context,
    model::{self, user},
    report::{Report, Target},
    rounds::{Samples, mean_time},
};

/// How many users are asked for, one after the other.
const USERS: i32 = 1_000;

/// Queries in a block, and so in a scope: many for a request, so that all that a scope keeps is there.
const BLOCK: i32 = 1_000;
const BLOCKS: u32 = 100;

pub(crate) async fn run(context: &Context) -> Result<Report> {
    let database = model::database(context, 10_000).await?;
    let db = Db::builder().url(database.url()).build().await?;

    let [mut plain, mut beside, mut scoped]: [Samples; 3] = Default::default();
    for _ in 0..context.rounds(25) {
        // Everything is read anew, so that nothing expires while it is measured.
        db.clear(None);
        for id in 1..=USERS {
            black_box(user(&mut &db, id).await?);
        }
        let before = db.stats().lookups.hits;
        let [mut plain_time, mut beside_time, mut scoped_time] = [0.0; 3];
        for _ in 0..BLOCKS {
            plain_time += block(&db).await?;
            scoped_time += scoped_block(&db).await?;
            beside_time += block(&db).await?;
        }
        let hits = db.stats().lookups.hits - before;
        let expected = u64::from(BLOCKS) * u64::try_from(3 * BLOCK)?;
        ensure!(hits == expected, "{hits} of {expected} reads were hits");
        plain.push(plain_time / f64::from(BLOCKS));
        beside.push(beside_time / f64::from(BLOCKS));
        scoped.push(scoped_time / f64::from(BLOCKS));
    }

    let mut report = Report::new("n-plus-one");
    let time = ("time_per_op", "ns");
    report.add(("detection", "no-scope"), time, plain.summary());
    report.add(("detection", "turbodiesel"), time, scoped.summary());
    let added = scoped.zip(&plain, |scoped, plain| scoped - plain);
    report.add(("detection", "turbodiesel"), ("added_time", "ns"), added.summary());
    report.judge(added.median(), Target::AtMost(100.0));
    let noise = beside.zip(&plain, |beside, plain| beside - plain);
    report.add(("no-scope", "turbodiesel"), ("added_time", "ns"), noise.summary());
    Ok(report)
}

/// Nanoseconds per hit.
async fn block(db: &Db) -> Result<f64> {
    Ok(mean_time!(BLOCK, |id| black_box(user(&mut &*db, black_box(id % USERS + 1)).await?)))
}

/// Nanoseconds per hit in a scope, with what it takes to open and to judge the scope.
async fn scoped_block(db: &Db) -> Result<f64> {
    let start = std::time::Instant::now();
    let (hits, recorded) = scope(block(db)).await;
    hits?;
    let findings = recorded.findings(&Thresholds::production());
    let time = start.elapsed().as_secs_f64() * 1e9 / f64::from(BLOCK);
    ensure!(findings.is_empty(), "hits that follow no answer are no finding: {findings}");
    ensure!(recorded.counts().hits == u64::try_from(BLOCK)?, "{:?}", recorded.counts());
    Ok(time)
}

//! Suite `off`: what the library adds to a query when everything is switched off.
//!
//! Both sides check a connection out of a pool like the other's and decode one row into a struct;
//! only the database is missing. In the case `pk` the connection does with a query what
//! diesel-async's connection to PostgreSQL does before it sends it; in `pk-bare` it does nothing,
//! which shows what turbodiesel does to the query, and none of what it saves the connection.

use std::hint::black_box;

use anyhow::Result;
use diesel::prelude::*;
use diesel_async::{AsyncConnectionCore, RunQueryDsl, pooled_connection::bb8::Pool};
use turbodiesel::Db;

use crate::{
    Context, allocations,
    model::{self, User, users},
    report::{Report, Target},
    rounds::{Samples, mean_time},
    stub::{BARE, RENDERING, Stub, StubConnection},
};

const QUERIES: i32 = 20_000;
const BLOCKS: u32 = 10;

pub(crate) async fn run(context: &Context) -> Result<Report> {
    let mut report = Report::new("off");
    for (case, url) in [("pk", RENDERING), ("pk-bare", BARE)] {
        run_case(context, &mut report, case, url).await?;
    }
    Ok(report)
}

async fn run_case(
    context: &Context,
    report: &mut Report,
    case: &'static str,
    url: &str,
) -> Result<()> {
    let pool: Pool<StubConnection> = model::plain_pool(url, "").await?;
    let db = turbodiesel::stub::builder::<Stub>().url(url).cache(false).build().await?;
    for id in 0..QUERIES {
        plain(&pool, id).await?;
        served(&db, id).await?;
    }

    let [mut plain_times, mut served_times] = [Samples::default(), Samples::default()];
    for _ in 0..context.rounds(15) {
        let [mut plain_time, mut served_time] = [0.0, 0.0];
        for _ in 0..BLOCKS {
            plain_time += mean_time!(QUERIES, |id| plain(&pool, id).await?);
            served_time += mean_time!(QUERIES, |id| served(&db, id).await?);
        }
        plain_times.push(plain_time / f64::from(BLOCKS));
        served_times.push(served_time / f64::from(BLOCKS));
    }
    let added = served_times.zip(&plain_times, |served, plain| served - plain);

    let time = ("time_per_op", "ns");
    report.add((case, "turbodiesel"), time, served_times.summary());
    report.add((case, "diesel-async"), time, plain_times.summary());
    report.add((case, "turbodiesel"), ("added_time", "ns"), added.summary());
    if case == "pk" {
        report.judge(added.median(), Target::AtMost(200.0));
    }

    let queries = 1_000;
    for contender in ["turbodiesel", "diesel-async"] {
        let mut made = Samples::default();
        for _ in 0..context.rounds(5) {
            let (done, tally) = allocations::count(async {
                for id in 0..queries {
                    match contender {
                        "turbodiesel" => served(&db, id).await?,
                        _ => plain(&pool, id).await?,
                    }
                }
                anyhow::Ok(())
            })
            .await;
            done?;
            made.push(tally.per(queries).made);
        }
        report.add((case, contender), ("allocations_per_op", "allocations"), made.summary());
    }
    Ok(())
}

async fn served(db: &Db<Stub>, id: i32) -> Result<()> {
    black_box(user(&mut &*db, black_box(id)).await?);
    Ok(())
}

async fn plain(pool: &Pool<StubConnection>, id: i32) -> Result<()> {
    let mut connection = pool.get().await?;
    black_box(user(&mut *connection, black_box(id)).await?);
    Ok(())
}

async fn user<C>(connection: &mut C, id: i32) -> QueryResult<User>
where
    C: AsyncConnectionCore<Backend = Stub>,
{
    users::table.find(id).select(User::as_select()).first(connection).await
}

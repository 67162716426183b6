//! Suite `hit`: an answer from the cache, against the query and against a hand-written cache.
//!
//! All of turbodiesel's configuration is the default, and its rows are decoded into structs each
//! time. The query runs on a connection that is held all the while, which is the best that a pool
//! can do. [`floor`] is what Diesel takes of each hit. The hand-written cache is what one writes with
//! `moka`: a typed value behind an `Arc`, loaded by `try_get_with`, with the same time to live.

mod floor;

use std::{hint::black_box, sync::Arc};

use anyhow::{Result, ensure};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use moka::future::Cache as Moka;
use turbodiesel::{Db, Tier};

use self::floor::Floor;
use crate::{
    Context, allocations,
    model::{self, User, user, user_boxed, user_sql, users, users_any, users_beside, users_of},
    report::{Report, Target},
    rounds::{Samples, mean_time},
};

/// How many users are asked for, one after the other, and from how many organisations.
const USERS: i32 = 1_000;
const ORGS: i32 = 100;

/// The figures of one case.
#[derive(Default)]
struct Case {
    turbodiesel: Samples,
    diesel: Samples,
    moka: Samples,
    floor: Samples,
    allocations: Samples,
}

/// Measures one round of a case, `$hits` times through turbodiesel and `$queries` times on the held
/// connection. `$keys` different keys are asked for.
macro_rules! round {
    ($case:ident, $db:ident, $held:ident, $keys:ident, $hits:expr, $queries:expr, $query:path) => {
        // Everything is read anew, so that nothing expires while it is measured.
        $db.clear(None);
        for key in 1..=$keys {
            black_box($query(&mut &$db, key).await?);
        }
        let before = $db.stats().lookups.hits;
        $case.turbodiesel.push(mean_time!($hits, |index| {
            black_box($query(&mut &$db, black_box(index % $keys + 1)).await?)
        }));
        let hits = $db.stats().lookups.hits - before;
        ensure!(hits == $hits, "{hits} of {} reads were hits", $hits);
        let (allocated, tally) = allocations::count(async {
            for key in 1..=$keys {
                black_box($query(&mut &$db, key).await?);
            }
            anyhow::Ok(())
        })
        .await;
        allocated?;
        $case.allocations.push(tally.per($keys).made);

        $case.diesel.push(mean_time!($queries, |index| {
            black_box($query(&mut $held, black_box(index % $keys + 1)).await?)
        }));
    };
}

pub(crate) async fn run(context: &Context) -> Result<Report> {
    let database = model::database(context, 100_000).await?;
    let db = Db::builder().url(database.url()).build().await?;
    let mut held = AsyncPgConnection::establish(database.url()).await?;
    let by_hand = ByHand::new(database.url()).await?;
    let users = || users::table.select(User::as_select());
    let mut floor_pk = Floor::new(&db, || users().filter(users::id.eq(1))).await?;
    let mut floor_rows = Floor::new(&db, || users().filter(users::org.eq(1))).await?;

    let [mut pk, mut rows, mut beside, mut boxed, mut any, mut sql]: [Case; 6] = Default::default();
    for _ in 0..context.rounds(11) {
        round!(pk, db, held, USERS, 200_000, 1_000, user);
        pk.moka.push(by_hand.time_user(400_000).await?);
        pk.floor
            .push(mean_time!(200_000, |id| black_box(user(&mut floor_pk, black_box(id)).await?)));
        round!(rows, db, held, ORGS, 5_000, 200, users_of);
        rows.moka.push(by_hand.time_users_of(400_000).await?);
        rows.floor.push(mean_time!(5_000, |org| {
            black_box(users_of(&mut floor_rows, black_box(org)).await?)
        }));
        round!(beside, db, held, ORGS, 5_000, 200, users_beside);
        round!(boxed, db, held, USERS, 50_000, 200, user_boxed);
        round!(any, db, held, USERS, 50_000, 200, users_any);
        round!(sql, db, held, USERS, 50_000, 200, user_sql);
    }

    let mut report = Report::new("hit");
    for (name, case) in [
        ("pk", &pk),
        ("rows-100", &rows),
        ("rows-100-adjacent", &beside),
        ("boxed", &boxed),
        ("eq-any", &any),
        ("sql-query", &sql),
    ] {
        let time = ("time_per_op", "ns");
        report.add((name, "turbodiesel"), time, case.turbodiesel.summary());
        let faster = case.diesel.zip(&case.turbodiesel, |query, hit| query / hit).median();
        match name {
            "pk" => {
                report.judge(faster, Target::TimesFaster(150.0, "diesel-async"));
                let slower = case.turbodiesel.zip(&case.moka, |hit, moka| hit / moka).median();
                report.judge(slower, Target::TimesAsMuch(3.0, "moka"));
            }
            "rows-100" => report.judge(faster, Target::TimesFaster(15.0, "diesel-async")),
            _ => {}
        }
        report.add((name, "diesel-async"), time, case.diesel.summary());
        if matches!(name, "pk" | "rows-100") {
            report.add((name, "moka"), time, case.moka.summary());
            report.add((name, "diesel-alone"), time, case.floor.summary());
        }
        let allocations = ("allocations_per_op", "allocations");
        report.add((name, "turbodiesel"), allocations, case.allocations.summary());
    }
    Ok(report)
}

/// What one would write without turbodiesel: a cache for each query, and no invalidation.
struct ByHand {
    pool: diesel_async::pooled_connection::bb8::Pool<AsyncPgConnection>,
    users: Moka<i32, Arc<User>>,
    orgs: Moka<i32, Arc<Vec<User>>>,
}

impl ByHand {
    async fn new(url: &str) -> Result<Self> {
        let ttl = Tier::L1.default_ttl();
        Ok(Self {
            pool: model::plain_pool(url, "").await?,
            users: Moka::builder().max_capacity(100_000).time_to_live(ttl).build(),
            orgs: Moka::builder().max_capacity(100_000).time_to_live(ttl).build(),
        })
    }

    async fn user(&self, id: i32) -> Result<Arc<User>> {
        let load = async {
            let mut connection = self.pool.get().await?;
            anyhow::Ok(Arc::new(user(&mut *connection, id).await?))
        };
        self.users.try_get_with(id, load).await.map_err(anyhow::Error::msg)
    }

    async fn users_of(&self, org: i32) -> Result<Arc<Vec<User>>> {
        let load = async {
            let mut connection = self.pool.get().await?;
            anyhow::Ok(Arc::new(users_of(&mut *connection, org).await?))
        };
        self.orgs.try_get_with(org, load).await.map_err(anyhow::Error::msg)
    }

    async fn time_user(&self, hits: i32) -> Result<f64> {
        self.users.invalidate_all();
        for id in 1..=USERS {
            black_box(self.user(id).await?);
        }
        Ok(mean_time!(hits, |index| black_box(self.user(black_box(index % USERS + 1)).await?)))
    }

    async fn time_users_of(&self, hits: i32) -> Result<f64> {
        self.orgs.invalidate_all();
        for org in 1..=ORGS {
            black_box(self.users_of(org).await?);
        }
        Ok(mean_time!(hits, |index| black_box(self.users_of(black_box(index % ORGS + 1)).await?)))
    }
}

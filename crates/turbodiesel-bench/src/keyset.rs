//! Suite `keyset`: a page a million rows deep, against the first page and against `OFFSET`.
//!
//! All three ask for the same number of rows on the same connection, and each round has the deep page
//! and `OFFSET` at the same place: the suite checks that they find the same rows. `same-direction`
//! orders by two keys that descend; `mixed-direction` by one that descends and one that ascends, the
//! first with two values only, where a bound on the first key helps nothing.
//!
//! The first page is loaded in two ways, by the same library and as Diesel's plain `order` and `limit`.

use std::{hint::black_box, time::Instant};

use anyhow::{Context as _, Result, ensure};
use diesel::prelude::*;
use diesel_async::{
    AsyncConnection as _, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _,
};
use turbodiesel::keyset::{Cursor, CursorKey, Page, PaginateDsl as _};
use turbodiesel_testkit::Database;

use crate::{
    Context,
    report::{Report, Target},
    rounds::Samples,
};

const DEPTH: i64 = 1_000_000;
const SIZE: usize = 20;
/// Pages of a round, which `OFFSET` has one of.
const PAGES: u32 = 200;
const ROUNDS: usize = 15;

diesel::table! {
    events { id -> Integer, kind -> Integer, at -> Timestamp, title -> Text }
}

/// The columns of a row; the timestamp is a key, and decoding it would need another dependency.
type Event = (i32, i32, String);

pub(crate) async fn run(context: &Context) -> Result<Report> {
    let database = Database::on(&context.server_url).context("cannot make a database")?;
    let mut connection = AsyncPgConnection::establish(database.url()).await?;
    connection
        .batch_execute(
            "CREATE TABLE events (id integer PRIMARY KEY, kind integer NOT NULL,
                                  at timestamp NOT NULL, title text NOT NULL)
                 WITH (autovacuum_enabled = false);
             INSERT INTO events
                 SELECT i, i % 2, timestamp '2024-01-01' + i / 3 * interval '1 ms', 'event ' || i
                 FROM generate_series(1, 1200000) i;
             CREATE INDEX ON events (at DESC, id DESC);
             CREATE INDEX ON events (kind DESC, id);",
        )
        .await?;
    connection.batch_execute("VACUUM (ANALYZE, FREEZE) events").await?;

    let mut report = Report::new("keyset");
    let key = CursorKey::random();
    macro_rules! case {
        ($case:literal, $order:expr) => {{
            // At a place like any other, found by what is measured here.
            let deepest = events::table.order_by($order).select(events::id);
            let id: i32 = deepest.offset(DEPTH - 1).first(&mut connection).await?;
            let select = || events::table.select((events::id, events::kind, events::title));
            hide(&mut connection, id).await?;
            let only: Page<Event> = select()
                .paginate_by($order)
                .signed_with(&key)
                .first(1)
                .load_page(&mut connection)
                .await?;
            connection.batch_execute("DROP TABLE pg_temp.events").await?;
            let cursor = only.end_cursor();

            let page = |cursor: Option<Cursor>| {
                select().paginate_by($order).signed_with(&key).after(cursor).first(SIZE)
            };
            let limit = i64::try_from(SIZE)? + 1;
            let plain = || select().order_by($order).limit(limit);
            let mut times = Times::default();
            for round in 0..=context.rounds(ROUNDS) {
                let mut one = [0.0; 4];
                for _ in 0..PAGES {
                    let start = Instant::now();
                    let first: Page<Event> = page(None).load_page(&mut connection).await?;
                    one[0] += start.elapsed().as_secs_f64();
                    let start = Instant::now();
                    let rows: Vec<Event> = black_box(plain()).load(&mut connection).await?;
                    one[1] += start.elapsed().as_secs_f64();
                    ensure!(first.rows() == &rows[..SIZE], "the first pages differ");
                    let cursor = cursor.clone();
                    let start = Instant::now();
                    let deep: Page<Event> = page(cursor).load_page(&mut connection).await?;
                    one[2] += start.elapsed().as_secs_f64();
                    ensure!(deep.has_next_page() && deep.has_previous_page());
                }
                let start = Instant::now();
                let rows: Vec<Event> = plain().offset(DEPTH).load(&mut connection).await?;
                one[3] += start.elapsed().as_secs_f64() * f64::from(PAGES);
                let deep: Page<Event> = page(cursor.clone()).load_page(&mut connection).await?;
                ensure!(deep.rows() == &rows[..SIZE], "the deep pages differ");
                // The first round warms up.
                if round > 0 {
                    times.push(one);
                }
            }
            times.report(&mut report, $case);
        }};
    }
    case!("same-direction", (events::at.desc(), events::id.desc()));
    case!("mixed-direction", (events::kind.desc(), events::id.asc()));
    Ok(report)
}

/// Hides the table behind a temporary one of its name that has one row, whose cursor is wanted.
async fn hide(connection: &mut AsyncPgConnection, id: i32) -> Result<()> {
    let row = format!("SELECT * FROM public.events WHERE id = {id}");
    Ok(connection.batch_execute(&format!("CREATE TEMPORARY TABLE events AS {row}")).await?)
}

/// Nanoseconds of each page, one figure per round.
#[derive(Default)]
struct Times {
    first: Samples,
    plain_first: Samples,
    deep: Samples,
    offset: Samples,
}

impl Times {
    fn push(&mut self, seconds: [f64; 4]) {
        let [first, plain_first, deep, offset] =
            seconds.map(|seconds| seconds * 1e9 / f64::from(PAGES));
        self.first.push(first);
        self.plain_first.push(plain_first);
        self.deep.push(deep);
        self.offset.push(offset);
    }

    fn report(&self, report: &mut Report, case: &'static str) {
        let time = ("time_per_op", "ns");
        report.add((case, "turbodiesel"), time, self.deep.summary());
        report.add((case, "offset"), time, self.offset.summary());
        report.add((case, "turbodiesel-first"), time, self.first.summary());
        report.add((case, "diesel-async-first"), time, self.plain_first.summary());
        let faster = self.offset.zip(&self.deep, |offset, deep| offset / deep);
        report.add((case, "turbodiesel"), ("speedup", "times"), faster.summary());
        report.judge(faster.median(), Target::TimesFaster(500.0, "offset"));
        let ratio = self.deep.zip(&self.first, |deep, first| deep / first);
        report.add((case, "turbodiesel"), ("ratio", "times"), ratio.summary());
        report.judge(ratio.median(), Target::TimesAsMuch(1.5, "turbodiesel-first"));
    }
}

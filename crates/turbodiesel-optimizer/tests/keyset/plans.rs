//! What the databases do with the statements: an index finds the page, at a depth of a million rows as
//! at none.

use diesel::{pg::Pg, prelude::*, sql_types::Text, sqlite::Sqlite};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};
use turbodiesel_optimizer::keyset::{Page, PaginateDsl as _, asc, desc};

use crate::support::{key, postgres, sqlite};

diesel::table! {
    events { id -> Integer, kind -> Integer, at -> Timestamp, score -> Nullable<Integer> }
}

/// `kind` has two values, which is where conditions go wrong that bound the first key only. A third of
/// the scores is NULL.
const SCHEMA: &str = "
    CREATE TABLE events (id integer PRIMARY KEY, kind integer NOT NULL, at timestamp NOT NULL,
                         score integer) WITH (autovacuum_enabled = false);
    INSERT INTO events SELECT i, i % 2, timestamp '2024-01-01' + i * interval '1 ms',
        CASE WHEN i % 3 > 0 THEN i / 7 END FROM generate_series(1, 1100000) i;
    CREATE INDEX ON events (at, id);
    CREATE INDEX ON events (kind DESC, id);
    CREATE INDEX ON events (score DESC NULLS LAST, id DESC);";

/// Pages that a page may touch, the look behind its cursor included: a descent of three levels for each
/// branch, twenty rows that lie anywhere, and some for luck.
const MOST_BUFFERS: u64 = 60;

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    line: String,
}

/// The plan of a statement with these binds, after it was run, and how many buffers it touched.
async fn run(
    connection: &mut AsyncPgConnection,
    mode: &str,
    sql: &str,
    types: &[&str],
    values: &[&str],
) -> (String, u64) {
    let (types, values) = (types.join(", "), values.join(", "));
    let parameters = if types.is_empty() { String::new() } else { format!(" ({types})") };
    let arguments = if values.is_empty() { String::new() } else { format!(" ({values})") };
    let prepare = format!("SET plan_cache_mode = {mode}; PREPARE page{parameters} AS {sql}");
    connection.batch_execute(&prepare).await.unwrap();
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) EXECUTE page{arguments}");
    // Twice: the first time fills the catalog's caches, which are counted.
    let mut lines: Vec<Line> = Vec::new();
    for _ in 0..2 {
        lines = diesel::sql_query(&explain).load(connection).await.unwrap();
    }
    connection.batch_execute("DEALLOCATE page").await.unwrap();
    let plan = lines.into_iter().map(|line| line.line).collect::<Vec<_>>().join("\n");
    let (_, counts) = plan.split_once("Buffers: shared").unwrap();
    let counts = counts.split_once('\n').unwrap().0;
    let buffers = counts
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("hit=").or_else(|| word.strip_prefix("read=")))
        .map(|count| count.parse::<u64>().unwrap())
        .sum();
    (plan, buffers)
}

/// Asserts that a page is found by an index, with the values known to the planner and without.
async fn assert_bounded(
    connection: &mut AsyncPgConnection,
    name: &str,
    sql: &str,
    types: &[&str],
    values: &[&str],
) {
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let (plan, buffers) = run(connection, mode, sql, types, values).await;
        assert!(!plan.contains("Seq Scan"), "{name}, {mode}: {sql}\n{plan}");
        assert!(plan.contains("Index"), "{name}, {mode}: {sql}\n{plan}");
        assert!(buffers <= MOST_BUFFERS, "{name}, {mode}: {buffers} buffers, {sql}\n{plan}");
    }
}

/// The cursor of the row with an id, without paging there: a temporary table, which hides the other one
/// of its name, has nothing but this row.
macro_rules! cursor_of {
    ($connection:expr, $order:expr, $id:expr) => {{
        let row = format!("SELECT * FROM public.events WHERE id = {}", $id);
        let hide = format!("CREATE TEMPORARY TABLE events AS {row}");
        $connection.batch_execute(&hide).await.unwrap();
        let pages = events::table.select(events::id).paginate_by($order).signed_with(&key());
        let page: Page<i32> = pages.first(1).load_page($connection).await.unwrap();
        assert_eq!(page.rows(), [$id]);
        $connection.batch_execute("DROP TABLE pg_temp.events").await.unwrap();
        page.end_cursor()
    }};
}

#[tokio::test]
async fn a_million_rows_deep() {
    let (mut connection, database) = postgres(SCHEMA).await;
    database.batch_execute("VACUUM (ANALYZE, FREEZE) events").unwrap();
    let connection = &mut connection;

    // One direction: the row is compared as one.
    let order = || (events::at.asc(), events::id.asc());
    let cursor = cursor_of!(connection, order(), 1_000_000);
    let pages = || events::table.paginate_by(order()).signed_with(&key());
    let place = ["timestamp '2024-01-01' + 1000000 * interval '1 ms'", "1000000"];
    let (types, values) = (["timestamp", "integer"].repeat(2), place.repeat(2));
    let first = pages().first(20).sql::<Pg>().unwrap();
    assert_bounded(connection, "first", &first, &[], &[]).await;
    let after = pages().after(cursor.clone()).first(20).sql::<Pg>().unwrap();
    assert_bounded(connection, "after", &after, &types, &values).await;
    let before = pages().before(cursor).last(20).sql::<Pg>().unwrap();
    assert_bounded(connection, "before", &before, &types, &values).await;

    // Mixed directions: row 500,000 is the middle of those of kind 0, which come last.
    let order = || (events::kind.desc(), events::id.asc());
    let cursor = cursor_of!(connection, order(), 900_000);
    let pages = || events::table.paginate_by(order()).signed_with(&key());
    // At the cursor, behind it twice, beyond it twice; each branch with its prefix.
    let types = ["integer"; 8];
    let values = ["0", "900000", "0", "900000", "0", "0", "900000", "0"];
    let after = pages().after(cursor.clone()).first(20).sql::<Pg>().unwrap();
    assert_bounded(connection, "mixed, after", &after, &types, &values).await;
    let before = pages().before(cursor).last(20).sql::<Pg>().unwrap();
    assert_bounded(connection, "mixed, before", &before, &types, &values).await;

    // NULLs, in front of which 733,334 scores lie; and a score in the middle.
    let order = || (events::score.desc().nulls_last(), events::id.desc());
    let pages = || events::table.paginate_by(order()).signed_with(&key());
    let cursor = cursor_of!(connection, order(), 300_000);
    let values = ["300000"; 3];
    let types = ["integer"; 3];
    let after = pages().after(cursor.clone()).first(20).sql::<Pg>().unwrap();
    assert_bounded(connection, "nulls, after", &after, &types, &values).await;
    let before = pages().before(cursor).last(20).sql::<Pg>().unwrap();
    assert_bounded(connection, "nulls, before", &before, &types, &values).await;

    let cursor = cursor_of!(connection, order(), 100_000);
    let score = "14285";
    let types = ["integer"; 8];
    let values = [score, "100000", score, "100000", score, score, "100000", score];
    let after = pages().after(cursor.clone()).first(20).sql::<Pg>().unwrap();
    assert_bounded(connection, "a score, after", &after, &types, &values).await;
    let before = pages().before(cursor).last(20).sql::<Pg>().unwrap();
    assert_bounded(connection, "a score, before", &before, &types, &values).await;
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// On SQLite as well: each `SELECT` of the table searches an index and sorts nothing. Only the union sorts
/// what its branches found, which is at most a page of each.
#[tokio::test]
async fn sqlite_searches_its_indices() {
    let mut connection = sqlite(
        "CREATE TABLE events (id integer PRIMARY KEY, kind integer NOT NULL, at timestamp NOT NULL,
                              score integer);
         CREATE INDEX by_at ON events (at, id);
         CREATE INDEX by_kind ON events (kind DESC, id);
         CREATE INDEX by_score ON events (score, id);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO events SELECT i, i % 2, datetime(i, 'unixepoch'),
             CASE WHEN i % 3 > 0 THEN i / 7 END FROM n;
         ANALYZE;",
    )
    .await;
    macro_rules! check {
        ($order:expr, $row:expr) => {
            for backward in [false, true] {
                let pages = || events::table.paginate_by($order).signed_with(&key());
                let ids = events::table.select(events::id).paginate_by($order).signed_with(&key());
                let page: Page<i32> = ids.first(900).load_page(&mut connection).await.unwrap();
                let place = page.cursor($row);
                let page = if backward {
                    pages().before(place).last(20)
                } else {
                    pages().after(place).first(20)
                };
                let sql = page.sql::<Sqlite>().unwrap();
                let explain = format!("EXPLAIN QUERY PLAN {sql}");
                let steps: Vec<Step> =
                    diesel::sql_query(explain).load(&mut connection).await.unwrap();
                let steps: Vec<String> = steps.into_iter().map(|step| step.detail).collect();
                let reads = steps.iter().filter(|step| step.contains(" events"));
                for step in reads {
                    assert!(step.contains("USING"), "{sql}\n{steps:#?}");
                }
                // What a branch found is scanned next; had it been sorted before, that would stand between.
                let is_branch = |step: &&String| step.starts_with("CO-ROUTINE");
                for (at, step) in steps.iter().enumerate().filter(|(_, step)| is_branch(step)) {
                    let read = steps[at + 1].contains("SEARCH events");
                    let scan = format!("SCAN {}", step.trim_start_matches("CO-ROUTINE "));
                    assert!(read && steps[at + 2] == scan, "{sql}\n{steps:#?}");
                }
                let sorts = steps.iter().filter(|step| step.contains("TEMP B-TREE")).count();
                assert_eq!(sorts, steps.iter().filter(is_branch).count(), "{sql}\n{steps:#?}");
            }
        };
    }
    check!((asc(events::at), asc(events::id)), 500);
    check!((desc(events::at), desc(events::id)), 500);
    check!((desc(events::kind), asc(events::id)), 700);
    check!((desc(events::score).nulls_last(), desc(events::id)), 500);
    check!((asc(events::score).nulls_first(), asc(events::id)), 500);
}

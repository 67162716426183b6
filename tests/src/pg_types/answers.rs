//! Answers of every size and shape: none, no columns, as large as the limit, and far beyond it.

use diesel::{
    prelude::*,
    sql_types::{Integer, Text},
};
use diesel_async::RunQueryDsl;
use futures_util::{StreamExt, TryStreamExt};
use turbodiesel::{Bypass, Outcome};

use super::{Bench, RawRow, raw_rows, typed_rows};

diesel::table! {
    notes { id -> Integer, note -> Nullable<Text> }
}

const SCHEMA: &str = "CREATE TABLE notes (id integer PRIMARY KEY, note text);
    INSERT INTO notes VALUES (1, 'one'), (2, NULL), (3, '');";

#[tokio::test]
async fn nothing_found_is_an_answer() {
    let mut bench = Bench::new(SCHEMA).await;
    let none = || notes::table.filter(notes::id.gt(100));
    let rows = typed_rows!(&mut bench, none(), (i32, Option<String>)).unwrap();
    assert!(rows.is_empty());
    let sql = "SELECT id, note FROM notes WHERE id > $1";
    let rows = raw_rows!(&mut bench, diesel::sql_query(sql).bind::<Integer, _>(100));
    assert!(rows.is_empty());

    let mut handle = bench.db.handle();
    for expected in [Outcome::Miss, Outcome::Hit(turbodiesel::Tier::L1)] {
        let found: Option<(i32, Option<String>)> =
            notes::table.find(7).first(&mut handle).await.optional().unwrap();
        assert_eq!(found, None);
        assert_eq!(handle.outcome(), Some(expected));
        let found: QueryResult<i32> =
            notes::table.find(8).select(notes::id).get_result(&mut handle).await;
        assert_eq!(found, Err(diesel::NotFound));
        assert_eq!(handle.outcome(), Some(expected));
    }
    // An answer that was empty ends like any other.
    diesel::insert_into(notes::table).values(notes::id.eq(7)).execute(&mut handle).await.unwrap();
    let found: Option<(i32, Option<String>)> =
        notes::table.find(7).first(&mut handle).await.optional().unwrap();
    assert_eq!(found, Some((7, None)));
}

#[tokio::test]
async fn rows_without_columns_are_counted() {
    let mut bench = Bench::new(SCHEMA).await;
    for (sql, count) in [
        ("SELECT FROM notes", 3),
        ("SELECT FROM notes WHERE id > 1", 2),
        ("SELECT FROM notes WHERE false", 0),
    ] {
        let rows = raw_rows!(&mut bench, diesel::sql_query(sql));
        assert_eq!(rows, (0..count).map(|_| RawRow(Vec::new())).collect::<Vec<_>>(), "{sql}");
    }
}

#[tokio::test]
async fn columns_of_one_name() {
    #[derive(Debug, PartialEq, QueryableByName)]
    struct Named {
        #[diesel(sql_type = Integer)]
        v: i32,
    }

    let mut bench = Bench::new(SCHEMA).await;
    let sql = "SELECT id AS v, id + 10 AS v, note AS \"V\", note AS \"\u{e4} \"\"b\" FROM notes \
               ORDER BY id";
    let rows = raw_rows!(&mut bench, diesel::sql_query(sql));
    let names: Vec<_> = rows[0].0.iter().map(|(name, _)| name.as_deref().unwrap()).collect();
    assert_eq!(names, ["v", "v", "V", "\u{e4} \"b"]);
    let by_name = typed_rows!(&mut bench, diesel::sql_query(sql), Named).unwrap();
    assert_eq!(by_name, [1, 2, 3].map(|v| Named { v }));
    let by_position = typed_rows!(
        &mut bench,
        diesel::dsl::sql::<(Integer, Integer)>(
            "SELECT id AS v, id + 10 AS v FROM notes ORDER BY id"
        ),
        (i32, i32)
    )
    .unwrap();
    assert_eq!(by_position, [(1, 11), (2, 12), (3, 13)]);
}

#[tokio::test]
async fn a_name_that_is_not_there_is_the_same_error() {
    #[derive(Debug, QueryableByName)]
    #[expect(dead_code, reason = "it is never built")]
    struct Missing {
        #[diesel(sql_type = Integer)]
        missing: i32,
    }

    let mut bench = Bench::new(SCHEMA).await;
    raw_rows!(&mut bench, diesel::sql_query("SELECT id FROM notes"));
    typed_rows!(&mut bench, diesel::sql_query("SELECT id FROM notes"), Missing).unwrap_err();
}

/// Texts of a length, told apart by what they are made of.
const OF_LENGTH: &str = "SELECT id, repeat('x', $1) AS v FROM notes WHERE id = 1";

async fn outcomes(bench: &Bench, length: usize) -> [Outcome; 2] {
    #[derive(QueryableByName)]
    struct Long {
        #[diesel(sql_type = Text)]
        v: String,
    }

    let mut handle = bench.db.handle();
    let mut outcomes = [Outcome::Miss; 2];
    for outcome in &mut outcomes {
        let query = diesel::sql_query(OF_LENGTH).bind::<Integer, _>(i32::try_from(length).unwrap());
        let Long { v } = query.get_result(&mut handle).await.unwrap();
        assert!(v.len() == length && v.bytes().all(|byte| byte == b'x'));
        *outcome = handle.outcome().unwrap();
    }
    outcomes
}

const HIT: Outcome = Outcome::Hit(turbodiesel::Tier::L1);
const TOO_LARGE: Outcome = Outcome::Bypass(Bypass::TooLarge);

#[tokio::test]
async fn texts_of_a_megabyte() {
    let bench = Bench::new(SCHEMA).await;
    let limit = 1 << 20;
    assert_eq!(outcomes(&bench, limit - 1000).await, [Outcome::Miss, HIT]);
    assert_eq!(outcomes(&bench, limit).await, [TOO_LARGE; 2]);
    assert_eq!(outcomes(&bench, limit + 1).await, [TOO_LARGE; 2]);
    assert_eq!(outcomes(&bench, 10 * limit).await, [TOO_LARGE; 2]);
}

/// Every length around the limit has one of three fates, in this order: kept, read but not kept
/// (cells and entry count towards the limit, the entry only when it is made), streamed.
#[tokio::test]
async fn answers_at_the_limit() {
    let limit = 16 << 10;
    let bench = Bench::configured(SCHEMA, |builder| builder.max_entry_bytes(limit)).await;
    let mut fates = Vec::new();
    for length in limit - 600..=limit + 8 {
        let fate = match outcomes(&bench, length).await {
            [Outcome::Miss, HIT] => 0,
            [Outcome::Miss, Outcome::Miss] => 1,
            [TOO_LARGE, TOO_LARGE] => 2,
            other => panic!("{length} bytes: {other:?}"),
        };
        fates.push(fate);
    }
    assert!(fates.is_sorted(), "{fates:?}");
    assert_eq!((fates[0], fates[fates.len() - 1]), (0, 2));
    // Two cells: the id with its 4 bytes, and 4 bytes of place for each.
    let kept_whole = fates.iter().filter(|fate| **fate < 2).count();
    assert_eq!(limit - 600 + kept_whole - 1, limit - 12);
}

#[tokio::test]
async fn ten_megabytes_arrive_in_order_past_the_cache() {
    const ROWS: i32 = 10_000;
    let bench = Bench::new(SCHEMA).await;
    let sql =
        "SELECT id, repeat(chr(65 + id % 26), 1000) AS note FROM generate_series(1, $1) AS id";
    let mut handle = bench.db.handle();
    for _ in 0..2 {
        let query = diesel::sql_query(sql).bind::<Integer, _>(ROWS);
        let rows = query.load_stream::<Note>(&mut handle).await.unwrap();
        let mut expected = 1;
        rows.try_for_each(|row| {
            let letter = char::from(b'A' + u8::try_from(expected % 26).unwrap());
            assert_eq!(row.id, expected);
            assert!(row.note.len() == 1000 && row.note.chars().all(|it| it == letter));
            expected += 1;
            std::future::ready(Ok(()))
        })
        .await
        .unwrap();
        assert_eq!(expected, ROWS + 1);
        assert_eq!(handle.outcome(), Some(TOO_LARGE));
    }
    assert_eq!(bench.db.stats().cache.tiers.iter().map(|tier| tier.entries).sum::<u64>(), 0);
    // Under the limit the same statement is kept, and streams from the cache.
    for outcome in [Outcome::Miss, HIT] {
        let query = diesel::sql_query(sql).bind::<Integer, _>(500);
        let rows = query.load_stream::<Note>(&mut handle).await.unwrap();
        let ids: Vec<i32> = rows.map_ok(|row| row.id).try_collect().await.unwrap();
        assert!(ids.into_iter().eq(1..=500));
        assert_eq!(handle.outcome(), Some(outcome));
    }
}

#[derive(QueryableByName)]
struct Note {
    #[diesel(sql_type = Integer)]
    id: i32,
    #[diesel(sql_type = Text)]
    note: String,
}

/// A hundred gigabytes, of which the first rows arrive at once: nobody waits for the rest, and the
/// server is held back from sending it.
#[tokio::test]
async fn a_stream_without_end_is_not_buffered() {
    let bench = Bench::configured(SCHEMA, |builder| {
        builder.statement_timeout(std::time::Duration::from_secs(600))
    })
    .await;
    let sql = "SELECT generate_series(1, 100000000) AS id, repeat('x', 1000) AS note";
    let mut handle = bench.db.handle();
    let rows = diesel::sql_query(sql).load_stream::<Note>(&mut handle).await.unwrap();
    let ids: Vec<i32> = rows.take(20_000).map_ok(|row| row.id).try_collect().await.unwrap();
    assert!(ids.into_iter().eq(1..=20_000));
    assert_eq!(handle.outcome(), Some(TOO_LARGE));
}

/// What is left of a stream does not stand in the way of the next statement.
///
/// Plain diesel-async reads the rest before it serves again, all of a hundred gigabytes. A pool whose
/// connections go from caller to caller must not: here the statement is cancelled instead.
#[tokio::test]
async fn a_stream_left_in_the_middle_frees_its_connection() {
    let bench = Bench::configured(SCHEMA, |builder| {
        builder.pool_size(1).statement_timeout(std::time::Duration::from_secs(600))
    })
    .await;
    let sql = "SELECT generate_series(1, 100000000) AS id, repeat('x', 1000) AS note";
    let mut handle = bench.db.handle();
    let rows = diesel::sql_query(sql).load_stream::<Note>(&mut handle).await.unwrap();
    let ids: Vec<i32> = rows.take(5_000).map_ok(|row| row.id).try_collect().await.unwrap();
    assert!(ids.into_iter().eq(1..=5_000));
    let next = notes::table.count().get_result::<i64>(&mut handle);
    let next = tokio::time::timeout(std::time::Duration::from_secs(10), next).await;
    assert_eq!(next.expect("the pool's one connection is free again").unwrap(), 3);
}

/// An error that the server finds after many rows, before and beyond the limit.
#[tokio::test]
async fn an_error_among_the_rows_is_the_same_error() {
    let mut bench = Bench::new(SCHEMA).await;
    let sql =
        "SELECT i AS id, repeat('x', 1000 / ($1 - i)) AS note FROM generate_series(1, $2) AS i";
    for (fails_at, length) in [(10, 10), (1, 1), (100_000, 100_000)] {
        let query =
            || diesel::sql_query(sql).bind::<Integer, _>(fails_at).bind::<Integer, _>(length);
        let plain = query().load::<Note>(&mut bench.plain).await;
        let plain = plain.map(|rows| rows.len()).unwrap_err().to_string();
        for _ in 0..2 {
            let mut handle = bench.db.handle();
            let ours = query().load::<Note>(&mut handle).await;
            assert_eq!(ours.map(|rows| rows.len()).unwrap_err().to_string(), plain);
        }
        let mut connection = bench.db.connection().await.unwrap();
        let ours = query().load::<Note>(&mut connection).await;
        assert_eq!(ours.map(|rows| rows.len()).unwrap_err().to_string(), plain);
        let count: i64 = notes::table.count().get_result(&mut connection).await.unwrap();
        assert_eq!(count, 3);
    }
}

/// Who waits for a read that turns out too large for the cache reads for himself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_of_an_answer_above_the_limit() {
    let bench = Bench::configured(SCHEMA, |builder| builder.pool_size(3)).await;
    let readers = (0..12).map(|_| {
        let db = bench.db.clone();
        tokio::spawn(async move {
            let sql =
                "SELECT i AS id, repeat('x', 1000) AS note FROM generate_series(1, 3000) AS i";
            let mut handle = db.handle();
            let rows = diesel::sql_query(sql).load::<Note>(&mut handle).await.unwrap();
            assert!(rows.iter().map(|row| row.id).eq(1..=3000));
            assert_eq!(handle.outcome(), Some(TOO_LARGE));
        })
    });
    futures_util::future::try_join_all(readers.collect::<Vec<_>>()).await.unwrap();
}

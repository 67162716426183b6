//! What an application does with SQLite: rows by name, in memory and in a file, past the limit.

use diesel::{
    SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Binary, Double, Integer, Nullable, Text},
    sqlite::Sqlite,
};
use diesel_async::{
    AsyncConnection, RunQueryDsl, SimpleAsyncConnection,
    sync_connection_wrapper::SyncConnectionWrapper,
};
use futures_util::future::try_join_all;
use turbodiesel::{Outcome, Tier};

use super::{Bench, RawCell, RawRow, assert_hit, builder, same};

diesel::table! {
    parts { id -> Integer, name -> Text, stock -> Nullable<BigInt>, photo -> Nullable<Binary> }
}

const PARTS: &str = "CREATE TABLE parts (id integer PRIMARY KEY, name text NOT NULL UNIQUE,
                                         stock integer, photo blob);
    INSERT INTO parts VALUES (1, 'bolt', 100, x'00ff'), (2, 'nut', NULL, NULL), (3, '', 0, x'');";

#[derive(Debug, PartialEq, Queryable, Selectable, QueryableByName)]
#[diesel(check_for_backend(Sqlite))]
struct Part {
    id: i32,
    name: String,
    photo: Option<Vec<u8>>,
}

#[tokio::test]
async fn rows_by_name_and_by_selection() {
    let mut bench = Bench::new(PARTS).await;
    let bench = &mut bench;
    let sql = "SELECT photo, stock, name, id FROM parts WHERE id >= ? ORDER BY id";
    for id in [0, 2, 9] {
        let query = || diesel::sql_query(sql).bind::<Integer, _>(id);
        let rows = same!(bench, query(), Part).unwrap();
        assert_eq!(rows.len(), if id == 0 { 3 } else { usize::from(id == 2) * 2 });
        same!(bench, query(), RawRow).unwrap();
    }
    let all = same!(bench, parts::table.select(Part::as_select()).order(parts::id), Part).unwrap();
    assert_eq!(all[2], Part { id: 3, name: String::new(), photo: Some(Vec::new()) });
    for ids in [vec![], vec![3], vec![3, 1]] {
        let query = || {
            parts::table
                .filter(parts::id.eq_any(ids.clone()))
                .select(Part::as_select())
                .order(parts::id)
                .into_boxed()
        };
        assert_eq!(same!(bench, query(), Part).unwrap().len(), ids.len());
    }
    let missing = || diesel::sql_query("SELECT id, name FROM parts");
    same!(bench, missing(), Part).unwrap_err();
}

#[tokio::test]
async fn binds_that_differ_never_share_an_answer() {
    let bench = Bench::new("").await;
    let mut handle = bench.db.handle();
    macro_rules! each_misses {
        ($sql:expr, [$($($st:ty => $value:expr),+ ;)+]) => {{
            let mut plain = SyncConnectionWrapper::<SqliteConnection>::establish(":memory:")
                .await
                .unwrap();
            for expected in [Outcome::Miss, Outcome::Hit(Tier::L1)] {$(
                let ours: Vec<RawRow> = diesel::sql_query($sql)$(.bind::<$st, _>($value))+
                    .load(&mut handle).await.unwrap();
                assert_eq!(handle.outcome(), Some(expected), "{}", stringify!($($value),+));
                let theirs: Vec<RawRow> = diesel::sql_query($sql)$(.bind::<$st, _>($value))+
                    .load(&mut plain).await.unwrap();
                assert_eq!(ours, theirs);
            )+}
        }};
    }
    each_misses!("SELECT ? AS v", [
        Text => "1";
        Integer => 1;
        Double => 1.0;
        Binary => &b"1"[..];
        Nullable<Text> => None::<String>;
        Nullable<Text> => Some("");
        Nullable<Text> => Some("NULL");
        Nullable<Text> => Some("Null");
        Nullable<Binary> => Some(Vec::new());
        Text => "\"";
        Text => "\\\"";
        Text => "\0";
        Text => "\\0";
        Text => "\u{301}";
        Text => "\\u{301}";
        Double => 0.0;
        Double => -0.0;
        Double => f64::INFINITY;
        Double => 5e-324;
        BigInt => i64::MAX;
    ]);
    each_misses!("SELECT ? AS v, ? AS w", [
        Text => "a", Text => "b, c";
        Text => "a\", \"b", Text => "c";
        Text => "", Text => "ab";
        Text => "ab", Text => "";
        Integer => 1, Text => "2";
        Text => "1", Integer => 2;
    ]);
}

#[tokio::test]
async fn a_database_in_memory_has_one_connection() {
    let db = builder().url(":memory:").pool_size(8).build().await.unwrap();
    assert_eq!(db.stats().pool.max_size, 1);
    (&db).batch_execute(PARTS).await.unwrap();
    let names = parts::table.select(parts::name).order(parts::id);
    // More readers and writers at once than connections.
    let readers = (0..16).map(|_| {
        let db = db.clone();
        tokio::spawn(async move { names.load::<String>(&mut &db).await.unwrap() })
    });
    for names in try_join_all(readers.collect::<Vec<_>>()).await.unwrap() {
        assert_eq!(names, ["bolt", "nut", ""]);
    }
    let writers = (10..20).map(|id| {
        let db = db.clone();
        tokio::spawn(async move {
            diesel::insert_into(parts::table)
                .values((parts::id.eq(id), parts::name.eq(format!("part {id}"))))
                .execute(&mut &db)
                .await
                .unwrap();
            let found: i64 =
                parts::table.filter(parts::id.eq(id)).count().get_result(&mut &db).await.unwrap();
            assert_eq!(found, 1, "one's own write is seen");
        })
    });
    try_join_all(writers.collect::<Vec<_>>()).await.unwrap();
    let mut handle = db.handle();
    for expected in [Outcome::Miss, Outcome::Hit(Tier::L1)] {
        assert_eq!(names.load::<String>(&mut handle).await.unwrap().len(), 13);
        assert_eq!(handle.outcome(), Some(expected));
    }
    // A transaction holds the one connection; a hit needs none.
    let mut connection = db.connection().await.unwrap();
    assert_eq!(names.load::<String>(&mut handle).await.unwrap().len(), 13);
    assert_hit(handle.outcome());
    connection
        .transaction::<_, diesel::result::Error, _>(async |connection| {
            diesel::delete(parts::table.filter(parts::id.ge(10))).execute(connection).await?;
            assert_eq!(names.load::<String>(connection).await?.len(), 3);
            Ok(())
        })
        .await
        .unwrap();
    drop(connection);
    assert_eq!(names.load::<String>(&mut handle).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_has_readers_beside_a_writer() {
    let mut bench = Bench::new(PARTS).await;
    let count = parts::table.count();
    let mut handle = bench.db.handle();
    assert_eq!(count.get_result::<i64>(&mut handle).await.unwrap(), 3);
    // A write that is not committed yet is seen by nobody else, in the cache or past it.
    let mut writer = bench.db.connection().await.unwrap();
    let reader = bench.db.clone();
    writer
        .transaction::<_, diesel::result::Error, _>(async |writer| {
            diesel::insert_into(parts::table)
                .values((parts::id.eq(4), parts::name.eq("gear")))
                .execute(writer)
                .await?;
            assert_eq!(count.get_result::<i64>(writer).await?, 4);
            let mut others = reader.handle();
            assert_eq!(count.get_result::<i64>(&mut others).await?, 3);
            assert_hit(others.outcome());
            assert_eq!(count.get_result::<i64>(&mut reader.handle().bypass()).await?, 3);
            assert_eq!(parts::table.select(parts::id).load::<i32>(&mut others).await?.len(), 3);
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(count.get_result::<i64>(&mut handle).await.unwrap(), 4);
    assert_eq!(parts::table.select(parts::id).load::<i32>(&mut handle).await.unwrap().len(), 4);

    // Many readers and writers at once: nobody sees the count go back.
    let writers = (0..4).map(|task| {
        let db = bench.db.clone();
        tokio::spawn(async move {
            let mut seen = 0;
            for round in 0..10 {
                let id = 100 + task * 10 + round;
                diesel::insert_into(parts::table)
                    .values((parts::id.eq(id), parts::name.eq(format!("part {id}"))))
                    .execute(&mut &db)
                    .await
                    .unwrap();
                let now: i64 = parts::table.count().get_result(&mut &db).await.unwrap();
                assert!(now > seen, "{now} after {seen}");
                seen = now;
            }
        })
    });
    try_join_all(writers.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(same!(&mut bench, count, i64).unwrap(), [44]);
}

#[tokio::test]
async fn an_answer_above_the_limit_is_passed_on() {
    let bench = Bench::new(PARTS).await;
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
               SELECT i, printf('%.1000c', 'x') AS v FROM n";
    let mut handle = bench.db.handle();
    for (rows, outcomes) in [
        (100, [Outcome::Miss, Outcome::Hit(Tier::L1)]),
        (2000, [Outcome::Bypass(turbodiesel::Bypass::TooLarge); 2]),
    ] {
        for expected in outcomes {
            let query = diesel::sql_query(sql).bind::<Integer, _>(rows);
            let all: Vec<RawRow> = query.load(&mut handle).await.unwrap();
            assert_eq!(handle.outcome(), Some(expected));
            assert!(
                all.iter()
                    .map(|row| &row.0[0].1)
                    .eq(&(1..=i64::from(rows)).map(RawCell::Integer).collect::<Vec<_>>())
            );
        }
    }
}

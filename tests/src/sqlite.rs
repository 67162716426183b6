//! The same promises over SQLite.

use std::time::Duration;

use diesel::{prelude::*, result::Error, sqlite::Sqlite};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::{FutureExt, future::join_all};
use turbodiesel::{Bypass, Db, Outcome, Tier};
use turbodiesel_testkit::SqliteFile;

use crate::support::{SCHEMA, teams, users};

async fn open_with(more: &str) -> (SqliteFile, Db<Sqlite>) {
    let file = SqliteFile::new().unwrap();
    let db = Db::sqlite().url(file.url()).build().await.unwrap();
    (&db).batch_execute(SCHEMA).await.unwrap();
    (&db).batch_execute(more).await.unwrap();
    (file, db)
}

async fn ann(db: &Db<Sqlite>) -> (String, Outcome) {
    let mut handle = db.handle();
    let name = users::table.find(1).select(users::name).first(&mut handle).await.unwrap();
    (name, handle.outcome().unwrap())
}

async fn count(db: &Db<Sqlite>, table: &str) -> (i64, Outcome) {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        n: i64,
    }
    let mut handle = db.handle();
    let sql = format!("SELECT count(*) AS n FROM {table}");
    let Count { n } = diesel::sql_query(sql).get_result(&mut handle).await.unwrap();
    (n, handle.outcome().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn read_write_read() {
    let (_file, db) = open_with("").await;
    assert_eq!(ann(&db).await, ("Ann".into(), Outcome::Miss));
    assert_eq!(ann(&db).await, ("Ann".into(), Outcome::Hit(Tier::L1)));
    count(&db, "teams").await;
    let update = diesel::update(users::table.find(1)).set(users::name.eq("Eve"));
    assert_eq!(update.execute(&mut &db).await.unwrap(), 1);
    assert_eq!(ann(&db).await, ("Eve".into(), Outcome::Miss));
    assert_eq!(count(&db, "teams").await, (2, Outcome::Hit(Tier::L2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn closures() {
    let (_file, db) = open_with(
        "CREATE VIEW named(title) AS SELECT name FROM users;
         CREATE TABLE log (id integer);
         CREATE TABLE quiet (id integer);",
    )
    .await;
    assert_eq!(count(&db, "named").await.0, 3);
    diesel::delete(teams::table.find(1)).execute(&mut &db).await.unwrap();
    assert_eq!(
        count(&db, "named").await.0,
        1,
        "deleted through a foreign key, read through a view"
    );

    (&db)
        .batch_execute(
            "CREATE TRIGGER note AFTER INSERT ON quiet BEGIN INSERT INTO log VALUES (new.id); END",
        )
        .await
        .unwrap();
    assert_eq!(count(&db, "log").await.0, 0);
    (&db).batch_execute("INSERT INTO quiet VALUES (1)").await.unwrap();
    assert_eq!(count(&db, "log").await.0, 1, "written by a trigger");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_in_disguise() {
    let (_file, db) = open_with("").await;
    for write in [
        "REPLACE INTO users VALUES (1, 'one', NULL)",
        "INSERT OR REPLACE INTO users VALUES (1, 'two', NULL)",
        "INSERT INTO users VALUES (1, 'x', 1) ON CONFLICT (id) DO UPDATE SET name = 'three'",
        "/* hm */ UPDATE OR IGNORE users SET name = 'four' WHERE id = 1",
        "UPDATE \"USERS\" SET name = 'five' WHERE id = 1",
        "WITH t AS (SELECT 1 AS id) DELETE FROM users WHERE id IN (SELECT id + 1 FROM t)",
    ] {
        ann(&db).await;
        assert!(ann(&db).await.1.is_served_from_cache());
        (&db).batch_execute(write).await.unwrap();
        assert_eq!(ann(&db).await.1, Outcome::Miss, "{write}");
    }
    assert_eq!(ann(&db).await.0, "five");
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions() {
    let (_file, db) = open_with("").await;
    ann(&db).await;
    let mut connection = db.connection().await.unwrap();
    connection
        .immediate_transaction::<_, Error, _>(async |connection| {
            diesel::update(users::table.find(1))
                .set(users::name.eq("Eve"))
                .execute(connection)
                .await?;
            assert_eq!(ann(&db).await, ("Ann".into(), Outcome::Hit(Tier::L1)));
            let name: String = users::table.find(1).select(users::name).first(connection).await?;
            assert_eq!(name, "Eve");
            assert_eq!(connection.outcome(), Some(Outcome::Bypass(Bypass::InTransaction)));
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(ann(&db).await.0, "Eve");
    let undone = connection
        .transaction::<(), Error, _>(async |connection| {
            diesel::delete(users::table).execute(connection).await?;
            Err(Error::RollbackTransaction)
        })
        .await;
    assert!(undone.is_err());
    assert_eq!(ann(&db).await, ("Eve".into(), Outcome::Hit(Tier::L1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_memory() {
    let db = Db::sqlite().url(":memory:").pool_size(8).build().await.unwrap();
    (&db).batch_execute(SCHEMA).await.unwrap();
    let answers = join_all((0..100).map(|_| ann(&db))).await;
    assert!(answers.iter().all(|(name, _)| name == "Ann"));
    assert_eq!(db.stats().pool.size, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_readers_ask_once() {
    let (_file, db) = open_with("").await;
    let before = db.stats().statements;
    let answers = join_all((0..1_000).map(|_| ann(&db))).await;
    assert!(answers.iter().all(|(name, _)| name == "Ann"));
    assert_eq!(db.stats().statements - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused() {
    let (_file, db) = open_with("").await;
    for (sql, reason) in [
        ("SELECT random() AS n FROM users", Bypass::VolatileFunction),
        ("SELECT count(*) AS n FROM sqlite_schema", Bypass::SystemCatalog),
        ("SELECT CAST(strftime('%s', 'now') AS integer) AS n", Bypass::StableFunction),
    ] {
        #[derive(QueryableByName)]
        #[expect(dead_code, reason = "only the outcome matters")]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let mut handle = db.handle();
        let _: Vec<Row> = diesel::sql_query(sql).load(&mut handle).await.unwrap();
        assert_eq!(handle.outcome(), Some(Outcome::Bypass(reason)), "{sql}");
    }
    let error = (&db).batch_execute("PRAGMA foreign_keys = OFF").await.unwrap_err();
    assert!(error.to_string().contains("db.connection()"), "{error}");
    db.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_memory_survives_a_read_that_is_dropped() {
    let db = Db::sqlite().url(":memory:").build().await.unwrap();
    (&db).batch_execute(SCHEMA).await.unwrap();
    let slow = diesel::sql_query(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 300000)
         SELECT count(*) FROM n",
    );
    assert!(slow.execute(&mut &db).now_or_never().is_none());
    assert_eq!(ann(&db).await.0, "Ann");
}

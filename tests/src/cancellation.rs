//! Futures that are dropped, connections that are cut, servers that end: what must still hold.

use std::time::Duration;

use diesel::{prelude::*, sql_types::Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use turbodiesel::{Db, Outcome, Tier};

use crate::support::{ann, ask, open, open_with, users};

/// Waits for a condition of the server, without which the test means nothing.
async fn until(db: &Db, condition: &str) {
    let deadline = Duration::from_secs(20);
    tokio::time::timeout(deadline, async {
        while ask(db, &format!("SELECT ({condition})::text AS answer")).await.0 != "true" {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("never: {condition}"));
}

const SLEEPING: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active'
    AND datname = current_database() AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid())";
const WAITING: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'
    AND datname = current_database())";

/// An update of Ann that takes a while on the server.
fn slow_update() -> diesel::query_builder::SqlQuery {
    diesel::sql_query("UPDATE users SET name = 'Eve' FROM pg_sleep(0.5) WHERE id = 1")
}

#[tokio::test]
async fn a_write_whose_future_is_dropped_is_still_seen() {
    let (database, db) = open().await;
    ann(&db).await;
    // Somebody holds a lock, so that the write takes as long as this test wants.
    let mut holder = AsyncPgConnection::establish(database.url()).await.unwrap();
    holder.batch_execute("BEGIN; LOCK TABLE users IN SHARE MODE").await.unwrap();
    let mut handle = db.handle();
    let update = diesel::update(users::table.find(1)).set(users::name.eq("Eve"));
    // One poll starts the task that owns the write.
    assert!(update.execute(&mut handle).now_or_never().is_none());
    until(&db, WAITING).await;
    // In flight: answers may be shared, but are not kept.
    for _ in 0..3 {
        let (name, outcome) = ann(&db).await;
        assert_eq!(name, "Ann");
        assert!(matches!(outcome, Outcome::Miss | Outcome::Coalesced), "{outcome}");
    }
    assert_eq!(db.stats().cache.tier(Tier::L1).entries, 0);
    holder.batch_execute("COMMIT").await.unwrap();
    db.close(Duration::from_secs(20)).await.unwrap();
    let again = Db::builder().url(database.url()).build().await.unwrap();
    assert_eq!(ann(&again).await.0, "Eve");
}

#[tokio::test]
async fn readers_see_a_dropped_write_as_soon_as_it_lands() {
    let (_database, db) = open().await;
    ann(&db).await;
    assert!(slow_update().execute(&mut &db).now_or_never().is_none());
    until(&db, &format!("NOT {SLEEPING} AND (SELECT name FROM users WHERE id = 1) = 'Eve'")).await;
    assert_eq!(ann(&db).await.0, "Eve");
}

#[tokio::test]
async fn a_reader_that_gives_up_hands_its_duty_on() {
    let (_database, db) = open().await;
    let slow = diesel::dsl::sql::<Text>(
        "SELECT name FROM users JOIN LATERAL (SELECT count(*) AS n FROM generate_series(1, 3000000)) s
         ON s.n > 0 WHERE id = 1",
    );
    let (mut one, mut two) = (db.handle(), db.handle());
    let mut leader = Box::pin(slow.clone().get_result::<String>(&mut one));
    let mut follower = Box::pin(slow.get_result::<String>(&mut two));
    assert!((&mut leader).now_or_never().is_none());
    assert!((&mut follower).now_or_never().is_none());
    let before = db.stats().statements;
    drop(leader);
    assert_eq!(follower.await.unwrap(), "Ann");
    assert_eq!(db.stats().cache.lost_leaders, 1);
    assert!(db.stats().statements > before, "the follower asked in its place");
}

#[tokio::test]
async fn a_dropped_read_is_cancelled_at_the_server() {
    let (_database, db) = open().await;
    let mut handle = db.handle().bypass();
    let query = diesel::sql_query("SELECT pg_sleep(600)");
    let mut reading = Box::pin(query.execute(&mut handle));
    assert!((&mut reading).now_or_never().is_none());
    let sleeping = "EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND datname = current_database()
        AND query = 'SELECT pg_sleep(600)')";
    tokio::select! {
        _ = &mut reading => panic!("it sleeps for minutes"),
        () = until(&db, sleeping) => {}
    }
    drop(reading);
    until(&db, &format!("NOT {sleeping}")).await;
}

#[tokio::test]
async fn a_write_of_unknown_outcome_keeps_its_table_uncached_until_its_process_is_gone() {
    let (database, db) = open_with("CREATE TABLE other (answer text)").await;
    ann(&db).await;
    let mut handle = db.handle();
    let mut writing = Box::pin(slow_update().execute(&mut handle));
    tokio::select! {
        _ = &mut writing => panic!("it sleeps"),
        () = until(&db, SLEEPING) => {}
    }
    database
        .batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE query LIKE 'UPDATE users%' AND datname = current_database() AND pid <> pg_backend_pid()",
        )
        .unwrap();
    let error = writing.await.unwrap_err();
    assert!(turbodiesel::is_outcome_unknown(&error), "{error:?}");
    let other = "SELECT count(*)::text AS answer FROM other";
    ask(&db, other).await;
    assert!(matches!(ask(&db, other).await.1, Outcome::Hit(_)), "other tables are");
    // Long before the statement's time is over.
    let kept_again = async { while !matches!(ann(&db).await.1, Outcome::Hit(_)) {} };
    tokio::time::timeout(Duration::from_secs(20), kept_again).await.unwrap();
    assert_eq!(ann(&db).await.0, "Ann");
}

#[tokio::test]
async fn statements_time_out() {
    let (database, _) = open().await;
    let db = Db::builder()
        .url(database.url())
        .statement_timeout(Duration::from_millis(50))
        .build()
        .await
        .unwrap();
    let error = diesel::sql_query("SELECT pg_sleep(60)").execute(&mut &db).await.unwrap_err();
    assert!(error.to_string().contains("statement timeout"), "{error}");
    let connection = &mut db.connection().await.unwrap();
    diesel::sql_query("RESET ALL").execute(connection).await.unwrap();
    let error = diesel::sql_query("SELECT pg_sleep(60)").execute(connection).await.unwrap_err();
    assert!(error.to_string().contains("statement timeout"), "{error}");
}

#[tokio::test]
async fn a_lost_connection_fails_one_query_at_most() {
    let (database, db) = open().await;
    ann(&db).await;
    database
        .batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .unwrap();
    db.invalidate_all();
    // The connection's own task may not have noticed yet.
    let _ = users::table.count().get_result::<i64>(&mut db.handle().bypass()).await;
    assert_eq!(ann(&db).await.0, "Ann");
}

#[tokio::test]
async fn closing_waits_for_writes_and_then_refuses() {
    let (database, db) = open().await;
    assert!(slow_update().execute(&mut &db).now_or_never().is_none());
    until(&db, SLEEPING).await;
    let error = db.close(Duration::ZERO).await.unwrap_err();
    assert!(error.is_unfinished(), "{error}");
    db.close(Duration::from_secs(20)).await.unwrap();
    database.batch_execute("SELECT 1 / count(*) FROM users WHERE name = 'Eve'").unwrap();

    let error = ann_fails(&db).await;
    assert!(error.contains("closed"), "{error}");
    assert!(db.connection().await.unwrap_err().is_closed());
    let error = slow_update().execute(&mut &db).await.unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
}

async fn ann_fails(db: &Db) -> String {
    let name: QueryResult<String> = users::table.find(1).select(users::name).first(&mut &*db).await;
    name.unwrap_err().to_string()
}

#[test]
fn a_runtime_that_shuts_down_in_the_middle_of_a_write() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = turbodiesel_testkit::database();
    database.batch_execute(crate::support::SCHEMA).unwrap();
    let first = runtime();
    let db = first.block_on(async {
        let db = Db::builder().url(database.url()).build().await.unwrap();
        ann(&db).await;
        assert!(slow_update().execute(&mut &db).now_or_never().is_none());
        until(&db, SLEEPING).await;
        db
    });
    drop(first);
    // The cache outlived the runtime; the write's task did not, and nobody knows what became of it.
    runtime().block_on(async {
        let (name, outcome) = match ann_again(&db).await {
            Some(answer) => answer,
            None => return,
        };
        assert_eq!(outcome, Outcome::Miss, "{name}");
    });
}

/// `None` where the pool, whose connections went with the runtime, has none to give.
async fn ann_again(db: &Db) -> Option<(String, Outcome)> {
    let mut handle = db.handle();
    let name = users::table.find(1).select(users::name).first(&mut handle).await.ok()?;
    Some((name, handle.outcome().unwrap()))
}

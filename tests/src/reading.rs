//! How a read is answered: tiers, options, ceilings, sharing, and the pool that a hit does not need.

use std::{sync::Arc, time::Duration};

use diesel::{prelude::*, sql_types::Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::future::join_all;
use turbodiesel::{Bypass, Db, ManualClock, Outcome, PinValue, TableName, Tag, Tier};

use crate::support::{ann, ann_through, ask, bypass, open, open_with, teams, users};

async fn open_with_clock() -> (turbodiesel_testkit::Database, Db, Arc<ManualClock>) {
    let (database, _) = open().await;
    let clock = Arc::new(ManualClock::default());
    let db = Db::builder()
        .url(database.url())
        .reference(["teams"])
        .hot(["public.users"])
        .jitter(0.0)
        .refresh_ahead(Tier::L1, 0.0)
        .refresh_ahead(Tier::L2, 0.0)
        .refresh_ahead(Tier::L3, 0.0)
        .clock(clock.clone())
        .build()
        .await
        .unwrap();
    (database, db, clock)
}

#[tokio::test]
async fn tiers_by_table_and_by_aggregate() {
    let (_database, db, clock) = open_with_clock().await;
    for (sql, tier, seconds) in [
        ("SELECT name AS answer FROM users WHERE id = 1", Tier::L1, 10),
        ("SELECT count(*)::text AS answer FROM users", Tier::L2, 60),
        ("SELECT max(name) AS answer FROM users GROUP BY team LIMIT 1", Tier::L2, 60),
        ("SELECT name AS answer FROM teams WHERE id = 1", Tier::L3, 300),
        (
            "SELECT t.name AS answer FROM teams t JOIN users u ON u.team = t.id LIMIT 1",
            Tier::L1,
            10,
        ),
    ] {
        assert_eq!(ask(&db, sql).await.1, Outcome::Miss, "{sql}");
        clock.advance(Duration::from_secs(seconds) - Duration::from_millis(1));
        assert_eq!(ask(&db, sql).await.1, Outcome::Hit(tier), "{sql}");
        // Hits do not prolong the life of an answer.
        clock.advance(Duration::from_millis(1));
        assert_eq!(ask(&db, sql).await.1, Outcome::Miss, "{sql}");
    }
}

#[tokio::test]
async fn options_of_a_handle() {
    let (_database, db, clock) = open_with_clock().await;
    ann(&db).await;
    assert_eq!(ann_through(&mut db.handle().bypass()).await.1, Outcome::Bypass(Bypass::Requested));
    // Another tier keeps an answer of its own.
    let mut in_l3 = db.handle().tier(Tier::L3);
    assert_eq!(ann_through(&mut in_l3).await.1, Outcome::Miss);
    assert_eq!(ann_through(&mut in_l3).await.1, Outcome::Hit(Tier::L3));
    clock.advance(Duration::from_secs(5));
    let mut young = db.handle().max_age(Duration::from_secs(4));
    assert_eq!(ann_through(&mut young).await.1, Outcome::Miss);
    assert_eq!(ann_through(&mut young).await.1, Outcome::Hit(Tier::L1));
    assert_eq!(ann_through(&mut db.handle().scope("a")).await.1, Outcome::Miss);
    assert_eq!(ann_through(&mut db.handle().scope("b")).await.1, Outcome::Miss);
    assert_eq!(ann_through(&mut db.handle().scope("a")).await.1, Outcome::Hit(Tier::L1));
    assert_eq!(db.handle().outcome(), None);
    // A statement executed for its count has none.
    diesel::update(users::table).set(users::name.eq("x")).execute(&mut young).await.unwrap();
    assert_eq!(young.outcome(), None);
}

#[tokio::test]
async fn tags_of_the_callers_own() {
    let (_database, db) = open().await;
    let tag = || Tag::Table(TableName::unqualified("exchange rates"));
    let mut tagged = db.handle().depends_on([tag()]);
    ann(&db).await;
    assert_eq!(ann_through(&mut tagged).await.1, Outcome::Miss, "the untagged answer will not do");
    assert_eq!(ann_through(&mut tagged).await.1, Outcome::Hit(Tier::L1));
    db.invalidate(&tag());
    assert_eq!(ann_through(&mut tagged).await.1, Outcome::Miss);
    assert_eq!(ann(&db).await.1, Outcome::Hit(Tier::L1), "the untagged one stays");
}

#[tokio::test]
async fn tags_of_tables_that_the_query_does_not_read() {
    let (_database, db) = open().await;
    let teams = || TableName::unqualified("teams");
    let value = PinValue::Int(1);
    for tag in [
        Tag::Table(teams()),
        Tag::Column { table: teams(), column: "id".into() },
        Tag::Value { table: teams(), column: "id".into(), value },
    ] {
        let mut tagged = db.handle().depends_on([tag.clone()]);
        ann_through(&mut tagged).await;
        assert_eq!(ann_through(&mut tagged).await.1, Outcome::Hit(Tier::L1));
        diesel::sql_query("UPDATE teams SET name = 'x' WHERE id = 1")
            .execute(&mut &db)
            .await
            .unwrap();
        assert_eq!(ann_through(&mut tagged).await.1, Outcome::Miss, "{tag:?}");
        db.invalidate(&tag);
        assert_eq!(ann_through(&mut tagged).await.1, Outcome::Miss, "{tag:?}");
    }
}

#[tokio::test]
async fn switched_off() {
    let (database, _) = open().await;
    let db = Db::builder().url(database.url()).cache(false).build().await.unwrap();
    for _ in 0..2 {
        assert_eq!(ann(&db).await, ("Ann".into(), Outcome::Bypass(Bypass::Disabled)));
    }
    assert_eq!(db.stats().bypasses, [("disabled", 2)].into());
    assert_eq!(db.stats().hit_rate(), Some(0.0));
}

#[tokio::test]
async fn a_thousand_readers_ask_once() {
    let (_database, db) = open().await;
    let answers = join_all((0..1_000).map(|_| ann(&db))).await;
    assert!(answers.iter().all(|(name, _)| name == "Ann"));
    let stats = db.stats();
    assert_eq!(stats.statements, 1);
    assert_eq!((stats.lookups.misses, stats.lookups.coalesced), (1, 999));
}

#[tokio::test]
async fn an_error_is_shared_by_those_who_waited() {
    let (_database, db) = open().await;
    let failing = "SELECT (1 / (id - 1))::text AS answer FROM users WHERE name = 'Ann'";
    let errors = join_all((0..50).map(async |_| {
        diesel::dsl::sql::<Text>(failing).get_result::<String>(&mut &db).await.unwrap_err()
    }))
    .await;
    for error in errors {
        assert!(error.to_string().contains("division by zero"), "{error}");
        let diesel::result::Error::DatabaseError(_, information) = error else {
            panic!("not a database error")
        };
        assert_eq!(information.message(), "division by zero");
    }
    assert_eq!(db.stats().statements, 1);
    // It is not kept: the next reader asks again.
    diesel::dsl::sql::<Text>(failing).get_result::<String>(&mut &db).await.unwrap_err();
    assert_eq!(db.stats().statements, 2);
}

#[tokio::test]
async fn a_hit_needs_no_connection() {
    let (database, _) = open().await;
    let db = Db::builder()
        .url(database.url())
        .pool_size(1)
        .checkout_timeout(Duration::from_millis(100))
        .build()
        .await
        .unwrap();
    ann(&db).await;
    let mut held = db.connection().await.unwrap();
    assert_eq!(ann(&db).await.1, Outcome::Hit(Tier::L1));
    // A miss does, and says what to do.
    let error = teams::table.count().get_result::<i64>(&mut &db).await.unwrap_err();
    assert!(error.to_string().contains("pool_size"), "{error}");
    assert!(db.connection().await.unwrap_err().is_checkout());
    // The connection itself can read on, and shares what it reads.
    let count: i64 = teams::table.count().get_result(&mut held).await.unwrap();
    assert_eq!((count, held.outcome()), (2, Some(Outcome::Miss)));
    let count: i64 = teams::table.count().get_result(&mut db.handle()).await.unwrap();
    assert_eq!(count, 2);
}

/// A reader whose load was overtaken waits for the newer one, which needs the connection.
#[tokio::test]
async fn an_overtaken_load_leaves_the_pools_only_connection_to_the_newer() {
    let (database, _) = open().await;
    let db = Db::builder().url(database.url()).pool_size(1).build().await.unwrap();
    let mut lock = AsyncPgConnection::establish(database.url()).await.unwrap();
    lock.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let reader = || {
        let db = db.clone();
        tokio::spawn(async move { ann(&db).await })
    };
    let older = reader();
    while db.stats().statements == 0 {
        tokio::task::yield_now().await;
    }
    db.invalidate_table("users").unwrap();
    let newer = reader();
    while db.stats().cache.tier(Tier::L1).misses < 2 {
        tokio::task::yield_now().await;
    }
    lock.batch_execute("UPDATE users SET name = 'Dot' WHERE id = 1; COMMIT").await.unwrap();
    assert_eq!(older.await.unwrap(), ("Dot".to_owned(), Outcome::Miss));
    assert_eq!(newer.await.unwrap(), ("Dot".to_owned(), Outcome::Miss));
    assert_eq!((ann(&db).await.1, db.stats().statements), (Outcome::Hit(Tier::L1), 2));
}

#[tokio::test]
async fn a_connection_never_waits_for_anothers_load() {
    let (database, _) = open().await;
    let db = Db::builder().url(database.url()).pool_size(1).build().await.unwrap();
    let mut held = db.connection().await.unwrap();
    // A reader leads the load and waits for the pool's only connection …
    let waiting = db.clone();
    let reader = tokio::spawn(async move { ann(&waiting).await });
    while db.stats().cache.flights == 0 {
        tokio::task::yield_now().await;
    }
    // … which is here, and reads the same.
    let name: String = users::table.find(1).select(users::name).first(&mut held).await.unwrap();
    assert_eq!(name, "Ann");
    drop(held);
    assert_eq!(reader.await.unwrap().0, "Ann");
}

#[tokio::test]
async fn refreshed_before_it_is_too_old() {
    let (database, _) = open().await;
    let clock = Arc::new(ManualClock::default());
    let db = Db::builder()
        .url(database.url())
        .jitter(0.0)
        .stale_after(Tier::L1, Duration::from_secs(6))
        .clock(clock.clone())
        .build()
        .await
        .unwrap();
    ann(&db).await;
    database.batch_execute("UPDATE users SET name = 'Eve' WHERE id = 1").unwrap();
    clock.advance(Duration::from_secs(7));
    // Served at once, while a task reads it anew.
    assert_eq!(ann(&db).await, ("Ann".into(), Outcome::Stale(Tier::L1)));
    while ann(&db).await.0 == "Ann" {
        tokio::task::yield_now().await;
    }
    assert_eq!(db.stats().statements, 2);
}

#[tokio::test]
async fn row_security_needs_a_scope() {
    let (_database, db) = open_with(
        "CREATE TABLE allowed (name text);
         CREATE POLICY own ON users USING (name IN (SELECT allowed.name FROM allowed));
         ALTER TABLE users ENABLE ROW LEVEL SECURITY;",
    )
    .await;
    let sql = "SELECT count(*)::text AS answer FROM users";
    assert_eq!(bypass(&db, sql).await, Bypass::RowSecurity);
    let mut scoped = db.handle().scope("owner");
    ann_through(&mut scoped).await;
    assert_eq!(ann_through(&mut scoped).await.1, Outcome::Hit(Tier::L1));
    // The policy's own reads count.
    diesel::sql_query("INSERT INTO allowed VALUES ('Ann')").execute(&mut &db).await.unwrap();
    assert_eq!(ann_through(&mut scoped).await.1, Outcome::Miss);
}

#[tokio::test]
async fn what_is_refused_and_why() {
    let (_database, db) = open_with(
        "CREATE FUNCTION plain(n text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT n';
         CREATE FUNCTION looks(n text) RETURNS text STABLE LANGUAGE sql AS 'SELECT n';
         CREATE VIEW clocked AS SELECT now()::text AS answer, id FROM users;
         CREATE SEQUENCE numbers;",
    )
    .await;
    for (sql, reason) in [
        ("SELECT looks(name) AS answer FROM users", Bypass::StableFunction),
        ("SELECT answer FROM clocked", Bypass::StableFunction),
        ("SELECT relname::text AS answer FROM pg_class", Bypass::SystemCatalog),
        ("SELECT ctid::text AS answer FROM users", Bypass::SystemColumn),
        ("SELECT name AS answer FROM users TABLESAMPLE system (100)", Bypass::Sampling),
        ("SELECT nextval('numbers')::text AS answer", Bypass::VolatileFunction),
        ("SELECT current_user::text AS answer FROM users", Bypass::StableFunction),
    ] {
        assert_eq!(bypass(&db, sql).await, reason, "{sql}");
    }
    crate::support::assert_cached(&db, "SELECT plain(name) AS answer FROM users").await;
}

#[tokio::test]
async fn statistics_can_be_serialised() {
    let (_database, db) = open().await;
    ann(&db).await;
    ann(&db).await;
    let stats = db.stats();
    assert_eq!(stats.hit_rate(), Some(0.5));
    assert_eq!(stats.cache.tier(Tier::L1).entries, 1);
    assert_eq!((stats.pool.size, stats.pool.idle), (1, 1));
    let json = serde_json::to_value(&stats).unwrap();
    assert_eq!(json["lookups"]["hits"], 1);
    assert_eq!(json["pool"]["max_size"], 10);
}

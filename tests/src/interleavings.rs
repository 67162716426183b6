//! Interleavings that are forced: a statement is held at a point, by a lock or by not being polled,
//! while others pass it. Each is a mistake that another cache has made; the names say whose.
//!
//! Those of the same list that are made elsewhere: connections that come back with a statement under
//! way, and cancelled transactions, in `cancellation` and `transactions`; sessions that leak, in
//! `sessions`.

use std::{pin::Pin, time::Duration};

use diesel::{prelude::*, result::Error, sql_types::Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use turbodiesel::{Db, Outcome, Tier};
use turbodiesel_testkit::Database;

use crate::support::{ann, ask, compare, open_with, users};

/// Advisory locks at which statements are held.
const READ: i64 = 1;
const WRITE: i64 = 2;
const COMMIT: i64 = 3;

/// What holds a read after it has seen its row.
const HELD: &str = "
    CREATE FUNCTION held(name text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN name; END';";

/// What holds a write of `users` before its end, and its commit.
const HELD_WRITES: &str = "
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(tg_argv[0]::bigint); RETURN NULL; END';
    CREATE TRIGGER hold_write AFTER UPDATE ON users
        FOR EACH STATEMENT EXECUTE FUNCTION hold(2);
    CREATE CONSTRAINT TRIGGER hold_commit AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION hold(3);";

/// Reads Ann's name, and waits for `READ` after it has seen it.
const HELD_READ: &str = "SELECT held(name) AS answer FROM users WHERE id = 1";

/// A database whose statements can be held.
struct Stage {
    db: Db,
    /// Holds locks for as long as it likes.
    holder: AsyncPgConnection,
    observer: AsyncPgConnection,
    // Dropped last: it disconnects everybody.
    _database: Database,
}

impl Stage {
    async fn new() -> Self {
        Self::with(HELD).await
    }

    async fn with(more: &str) -> Self {
        let (database, db) = open_with(more).await;
        let holder = AsyncPgConnection::establish(database.url()).await.unwrap();
        let observer = AsyncPgConnection::establish(database.url()).await.unwrap();
        Self { db, holder, observer, _database: database }
    }

    async fn hold(&mut self, point: i64) {
        let lock = format!("SELECT pg_advisory_lock({point})");
        diesel::sql_query(lock).execute(&mut self.holder).await.unwrap();
    }

    async fn release(&mut self, point: i64) {
        let unlock = format!("SELECT pg_advisory_unlock({point})");
        diesel::sql_query(unlock).execute(&mut self.holder).await.unwrap();
    }

    /// Polls a future until a statement waits at the point.
    async fn until_held<F: Future<Output: std::fmt::Debug>>(
        &mut self,
        point: i64,
        future: &mut Pin<Box<F>>,
    ) {
        self.until(
            &format!(
                "EXISTS (SELECT FROM pg_locks
                 WHERE locktype = 'advisory' AND objid = {point} AND NOT granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
            ),
            future,
        )
        .await;
    }

    /// Polls a future, which must not complete, until a condition of the server is met.
    async fn until<F: Future<Output: std::fmt::Debug>>(
        &mut self,
        condition: &str,
        future: &mut Pin<Box<F>>,
    ) {
        let held = diesel::dsl::sql::<diesel::sql_types::Bool>(&format!("SELECT {condition}"));
        let waiting = async {
            while !held.clone().get_result::<bool>(&mut self.observer).await.unwrap() {
                tokio::task::yield_now().await;
            }
        };
        let waiting = tokio::time::timeout(Duration::from_secs(20), waiting);
        tokio::select! {
            output = future => panic!("it was not held: {output:?}; {condition}"),
            waited = waiting => assert!(waited.is_ok(), "never: {condition}"),
        }
    }
}

/// Renames Ann, through `&Db` and so in a task of its own.
fn rename(db: &Db, name: &str) -> Pin<Box<impl Future<Output = QueryResult<usize>> + use<>>> {
    let (db, name) = (db.clone(), name.to_owned());
    Box::pin(async move {
        diesel::update(users::table.find(1)).set(users::name.eq(name)).execute(&mut &db).await
    })
}

/// Reads Ann's name, held after it was read.
fn held_read(db: &Db) -> Pin<Box<impl Future<Output = (String, Outcome)> + use<>>> {
    let db = db.clone();
    Box::pin(async move { ask(&db, HELD_READ).await })
}

/// drizzle-orm #5828: the invalidation is done beside the write, and ends before it. janus-datalog
/// #91: a gap between commit and invalidation.
#[tokio::test]
async fn readers_beside_a_write_that_is_held_at_its_commit() {
    let mut stage = Stage::with(HELD_WRITES).await;
    ann(&stage.db).await;
    stage.hold(COMMIT).await;
    let mut write = rename(&stage.db, "Eve");
    stage.until_held(COMMIT, &mut write).await;
    // They read what is true, and keep none of it.
    for _ in 0..3 {
        let (name, outcome) = ann(&stage.db).await;
        assert_eq!(name, "Ann");
        assert!(!matches!(outcome, Outcome::Hit(_)), "{outcome}");
    }
    stage.release(COMMIT).await;
    write.await.unwrap();
    assert_eq!(ann(&stage.db).await.0, "Eve");
    assert!(matches!(ann(&stage.db).await, (name, Outcome::Hit(_)) if name == "Eve"));
}

/// H2 #3894: a version taken before the commit passes for one taken after it.
#[tokio::test]
async fn a_read_that_begins_before_a_commit_and_ends_after_it() {
    let mut stage = Stage::new().await;
    stage.hold(READ).await;
    let mut read = held_read(&stage.db);
    stage.until_held(READ, &mut read).await;
    rename(&stage.db, "Eve").await.unwrap();
    stage.release(READ).await;
    // It saw Ann, which was true when it began; nobody is told so again.
    read.await;
    assert_eq!(ask(&stage.db, HELD_READ).await.0, "Eve");
    compare(&stage.db, HELD_READ).await;
}

/// Ebean #3515: a read overlaps an insert, and puts what it found after the clear. carlos #2141: the
/// put is deferred beyond the evict. ontopia #661: a gap between get and put.
#[tokio::test]
async fn a_reader_that_is_not_polled_while_others_write() {
    let stage = Stage::new().await;
    let count = users::table.count();
    // Each number of polls leaves the reader somewhere else: before its snapshot, with a connection
    // in hand, with the answer on its way, just before it fills.
    for polls in 0.. {
        stage.db.invalidate_all();
        let mut handle = stage.db.handle();
        let mut read = Box::pin(count.get_result::<i64>(&mut handle));
        let mut is_done = false;
        for _ in 0..polls {
            is_done = is_done || (&mut read).now_or_never().is_some();
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            // What was asked has had time to be answered.
            ask(&stage.db, "SELECT pg_backend_pid()::text AS answer").await;
        }
        let insert = format!("INSERT INTO users VALUES ({}, 'x', NULL)", 100 + polls);
        diesel::sql_query(insert).execute(&mut &stage.db).await.unwrap();
        if !is_done {
            read.await.unwrap();
        }
        compare(&stage.db, "SELECT count(*)::text AS answer FROM users").await;
        let fresh: i64 = count.get_result(&mut stage.db.handle().bypass()).await.unwrap();
        let served: i64 = count.get_result(&mut &stage.db).await.unwrap();
        assert_eq!(served, fresh, "held back after {polls} polls");
        if is_done {
            assert!(polls > 1);
            return;
        }
    }
}

/// zendesk/kasket #27: what is invalidated when a row is saved is read again before the commit.
#[tokio::test]
async fn readers_between_a_write_and_its_commit() {
    let stage = Stage::new().await;
    let db = &stage.db;
    let mut other = db.connection().await.unwrap();
    db.transaction::<_, Error, _>(async |connection| {
        diesel::update(users::table.find(1)).set(users::name.eq("Eve")).execute(connection).await?;
        // Read, kept and shared by others meanwhile.
        for _ in 0..2 {
            assert_eq!(ann(db).await.0, "Ann");
            let name: String = users::table.find(1).select(users::name).first(&mut other).await?;
            assert_eq!(name, "Ann");
        }
        Ok(())
    })
    .await
    .unwrap();
    let name: String = users::table.find(1).select(users::name).first(&mut other).await.unwrap();
    assert_eq!((name.as_str(), ann(db).await.0.as_str()), ("Eve", "Eve"));
}

/// nearcore #14987: what is filled must be of the generation that was looked at, whoever flushed in
/// between.
#[tokio::test]
async fn a_flush_during_a_read() {
    let mut stage = Stage::new().await;
    stage.hold(READ).await;
    let mut read = held_read(&stage.db);
    stage.until_held(READ, &mut read).await;
    stage.holder.batch_execute("UPDATE users SET name = 'Eve' WHERE id = 2").await.unwrap();
    stage.db.invalidate_all();
    stage.release(READ).await;
    read.await;
    assert_eq!(ask(&stage.db, HELD_READ).await.1, Outcome::Miss);
}

/// ArcadeDB #4925: a slow reader puts an older answer over a newer one.
#[tokio::test]
async fn a_slow_reader_does_not_put_back_what_it_read_first() {
    let mut stage = Stage::new().await;
    stage.hold(READ).await;
    let mut slow = held_read(&stage.db);
    stage.until_held(READ, &mut slow).await;
    rename(&stage.db, "Eve").await.unwrap();
    let mut quick = held_read(&stage.db);
    stage.until_held(READ, &mut quick).await;
    stage.release(READ).await;
    // Their order is the server's; whatever it is, the newer answer stays.
    let (quick, _) = futures_util::join!(quick, slow);
    assert_eq!(quick.0, "Eve");
    for _ in 0..3 {
        assert_eq!(ask(&stage.db, HELD_READ).await.0, "Eve");
    }
}

/// Asserts that a reader who comes after a write does not share a load which is still held, and sees
/// the write.
async fn assert_not_joined(stage: &mut Stage, held: impl Future<Output = (String, Outcome)>) {
    let mut after = held_read(&stage.db);
    assert!((&mut after).now_or_never().is_none());
    stage.release(READ).await;
    let (held, after) = futures_util::join!(held, after);
    assert_eq!(after.0, "Eve", "{} and {}", held.1, after.1);
}

/// A reader that comes after an acknowledged write never shares a load that began before it.
#[tokio::test]
async fn a_flight_from_before_a_write_is_not_joined_after_it() {
    let mut stage = Stage::new().await;
    stage.hold(READ).await;
    let mut before = held_read(&stage.db);
    stage.until_held(READ, &mut before).await;
    rename(&stage.db, "Eve").await.unwrap();
    assert_not_joined(&mut stage, before).await;
}

/// Nor one that began while the write was under way.
#[tokio::test]
async fn a_flight_from_beside_a_write_is_not_joined_after_it() {
    let mut stage = Stage::with(&format!("{HELD}{HELD_WRITES}")).await;
    stage.hold(COMMIT).await;
    stage.hold(READ).await;
    let mut write = rename(&stage.db, "Eve");
    stage.until_held(COMMIT, &mut write).await;
    let mut beside = held_read(&stage.db);
    stage.until_held(READ, &mut beside).await;
    stage.release(COMMIT).await;
    write.await.unwrap();
    assert_not_joined(&mut stage, beside).await;
}

/// Nor one that began beside a statement which failed, after it had committed a part of its work.
#[tokio::test]
async fn a_flight_from_beside_a_write_that_failed_half_way() {
    let half = "CREATE PROCEDURE half() LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(2); UPDATE users SET name = ''Eve'' WHERE id = 1;
         COMMIT; PERFORM 1 / 0; END';";
    let mut stage = Stage::with(&format!("{HELD}{half}")).await;
    stage.hold(WRITE).await;
    stage.hold(READ).await;
    let db = stage.db.clone();
    let mut call =
        Box::pin(async move { diesel::sql_query("CALL half()").execute(&mut &db).await });
    stage.until_held(WRITE, &mut call).await;
    let mut beside = held_read(&stage.db);
    stage.until_held(READ, &mut beside).await;
    stage.release(WRITE).await;
    call.await.unwrap_err();
    assert_not_joined(&mut stage, beside).await;
}

/// redis-py #2624: the answer of a cancelled command is taken for that of the next.
#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_not_anothers() {
    let (database, _) = open_with(HELD).await;
    let db = Db::builder().url(database.url()).pool_size(1).build().await.unwrap();
    for polls in 1..8 {
        let secret = diesel::dsl::sql::<Text>("SELECT 'secret of another'");
        let mut handle = db.handle().bypass();
        let mut read = Box::pin(secret.get_result::<String>(&mut handle));
        for _ in 0..polls {
            let _ = (&mut read).now_or_never();
            tokio::task::yield_now().await;
            if polls > 3 {
                break;
            }
        }
        drop(read);
        assert_eq!(ann(&db).await.0, "Ann");
        db.invalidate_all();
    }
    let mut connection = db.connection().await.unwrap();
    for _ in 0..4 {
        let secret = diesel::dsl::sql::<Text>("SELECT 'secret of another'");
        assert!(secret.get_result::<String>(&mut connection).now_or_never().is_none());
        let name: QueryResult<String> =
            users::table.find(1).select(users::name).first(&mut connection).await;
        assert_eq!(name.unwrap(), "Ann");
        db.invalidate_all();
    }
}

/// A write held before it has an outcome, by a caller who is gone, in a transaction that is gone.
#[tokio::test]
async fn a_commit_that_is_held_when_its_caller_gives_up() {
    let mut stage = Stage::with(HELD_WRITES).await;
    ann(&stage.db).await;
    stage.hold(COMMIT).await;
    let db = stage.db.clone();
    let mut transaction = Box::pin(async move {
        db.transaction::<_, Error, _>(async |connection| {
            diesel::update(users::table.find(1))
                .set(users::name.eq("Eve"))
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    });
    stage.until_held(COMMIT, &mut transaction).await;
    drop(transaction);
    for _ in 0..3 {
        let (name, outcome) = ann(&stage.db).await;
        assert_eq!(name, "Ann");
        assert!(!matches!(outcome, Outcome::Hit(_)), "{outcome}");
    }
    stage.release(COMMIT).await;
    stage.db.close(Duration::from_secs(20)).await.unwrap();
    let name: String =
        users::table.find(1).select(users::name).first(&mut stage.observer).await.unwrap();
    assert_eq!(name, "Eve", "the commit ran to its end");
}

/// The same, seen by a reader as soon as it lands.
#[tokio::test]
async fn a_write_that_is_held_is_seen_as_soon_as_it_lands() {
    let mut stage = Stage::with(HELD_WRITES).await;
    ann(&stage.db).await;
    stage.hold(WRITE).await;
    let mut write = rename(&stage.db, "Eve");
    stage.until_held(WRITE, &mut write).await;
    drop(write);
    stage.release(WRITE).await;
    let landed = async {
        let name = || users::table.find(1).select(users::name);
        while name().first::<String>(&mut stage.observer).await.unwrap() == "Ann" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), landed).await.unwrap();
    assert_eq!(ann(&stage.db).await.0, "Eve");
    assert_eq!(ann(&stage.db).await.0, "Eve");
}

/// Between its commit and its acknowledgement nobody can tell who has read more, but for a write that
/// has marked what it touches. One that is yet to learn it says so before it is sent; and of two reads
/// that overlap meanwhile, neither is kept.
#[tokio::test]
async fn reads_that_overlap_beside_a_write_that_is_to_learn() {
    let mut stage = Stage::new().await;
    let [mut one, mut other] =
        [stage.db.connection().await.unwrap(), stage.db.connection().await.unwrap()];
    // By a key that the write neither names nor sets.
    let team = || users::table.filter(users::team.eq(1)).count();
    stage.holder.batch_execute("BEGIN; SELECT FROM users WHERE id = 1 FOR UPDATE").await.unwrap();
    let mut write = rename(&stage.db, "Eve");
    let waits = "EXISTS (SELECT FROM pg_stat_activity
                         WHERE wait_event_type = 'Lock' AND datname = current_database())";
    stage.until(waits, &mut write).await;
    let mut first = Box::pin(team().get_result::<i64>(&mut one));
    assert!((&mut first).now_or_never().is_none(), "it has begun");
    assert_eq!(team().get_result::<i64>(&mut other).await, Ok(2));
    assert_eq!(first.await, Ok(2));
    for outcome in [Outcome::Miss, Outcome::Hit(Tier::L2)] {
        assert_eq!(team().get_result::<i64>(&mut one).await, Ok(2));
        assert_eq!(one.outcome(), Some(outcome), "the first of these overlaps no other");
    }
    stage.holder.batch_execute("COMMIT").await.unwrap();
    write.await.unwrap();
    assert_eq!(team().get_result::<i64>(&mut one).await, Ok(2));
    assert_eq!(one.outcome(), Some(Outcome::Miss), "the write has touched the team");
}

//! What becomes of a write whose answer is lost: what the cache does meanwhile, and what the
//! application learns.
//!
//! Faults are real: processes of the server are terminated, connections are cut by a [proxy], and
//! what has to wait waits for a lock that the test holds. The clock stands still unless the test moves
//! it, so nothing here happens because time has passed.

mod proxy;

use std::sync::Arc;

use diesel::{prelude::*, result::Error, sql_types::Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use turbodiesel::{CommitOutcome, Connection, Db, ManualClock, Outcome, is_outcome_unknown};
use turbodiesel_testkit::Database;

use self::proxy::{Fault, Proxy};
use crate::support::{self, ann, ask, users};

/// A database, a `Db` behind a proxy, and two sessions of the test's own, which are not.
struct Scene {
    db: Db,
    proxy: Proxy,
    clock: Arc<ManualClock>,
    /// Looks what the server does. Never in a transaction, in which it would see one moment only.
    server: AsyncPgConnection,
    /// Holds locks.
    holder: AsyncPgConnection,
    _database: Database,
}

async fn scene(more: &str) -> Scene {
    scene_as("", more).await
}

/// `Db` logs in as this role, unless it is none.
async fn scene_as(role: &str, more: &str) -> Scene {
    let database = turbodiesel_testkit::database();
    database.batch_execute(support::SCHEMA).unwrap();
    database.batch_execute(more).unwrap();
    let proxy = Proxy::before(database.url());
    let clock = Arc::new(ManualClock::default());
    let url = match role {
        "" => proxy.url().to_owned(),
        role => format!("postgres://{role}@{}", proxy.url().split_once('@').unwrap().1),
    };
    let db = Db::builder().url(url).clock(clock.clone()).build().await.unwrap();
    let server = AsyncPgConnection::establish(database.url()).await.unwrap();
    let holder = AsyncPgConnection::establish(database.url()).await.unwrap();
    let mut scene = Scene { db, proxy, clock, server, holder, _database: database };
    scene.assert_kept("Ann").await;
    scene
}

/// Updates of users wait for a lock, when their transaction commits.
const COMMITS_WAIT: &str = "
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER wait AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION wait();";

const WAITING: &str = "EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
                               WHERE NOT granted AND datname = current_database())";

impl Scene {
    async fn is(&mut self, condition: &str) -> bool {
        let condition = diesel::dsl::sql::<diesel::sql_types::Bool>(condition);
        diesel::select(condition).get_result(&mut self.server).await.unwrap()
    }

    /// Waits for a condition of the server.
    async fn until(&mut self, condition: &str) {
        let met = async {
            while !self.is(condition).await {
                tokio::task::yield_now().await;
            }
        };
        let met = tokio::time::timeout(std::time::Duration::from_secs(20), met).await;
        met.unwrap_or_else(|_| panic!("never: {condition}"));
    }

    /// Waits until it has been asked on a connection of its own what became of a write, twice from
    /// now on: once it may have been on the way.
    async fn until_asked(&mut self) {
        const ASKED: &str = "FROM pg_stat_activity WHERE query LIKE '%is_same_server%'
                             AND datname = current_database() AND pid <> pg_backend_pid()";
        for _ in 0..2 {
            let last = format!("SELECT coalesce(max(query_start), 'epoch')::text {ASKED}");
            let last: String =
                diesel::dsl::sql::<Text>(&last).get_result(&mut self.server).await.unwrap();
            self.until(&format!("EXISTS (SELECT {ASKED} AND query_start > '{last}')")).await;
        }
        assert!(self.is(&format!("(SELECT count(*) {ASKED}) = 1")).await, "on one connection");
    }

    /// Makes updates of Ann's row wait.
    async fn lock_row(&mut self) {
        let lock = "BEGIN; SELECT FROM users WHERE id = 1 FOR UPDATE";
        self.holder.batch_execute(lock).await.unwrap();
    }

    /// With `COMMITS_WAIT`, makes commits wait.
    async fn lock_commits(&mut self) {
        let lock = "BEGIN; SELECT pg_advisory_xact_lock(7)";
        self.holder.batch_execute(lock).await.unwrap();
    }

    async fn unlock(&mut self) {
        self.holder.batch_execute("COMMIT").await.unwrap();
    }

    /// Ends the server's processes of which this is true, and waits for their end.
    async fn terminate(&mut self, which: &str) {
        let processes = format!(
            "FROM pg_stat_activity WHERE {which} AND datname = current_database()
             AND pid <> pg_backend_pid()"
        );
        assert!(self.is(&format!("(SELECT count(*) {processes}) = 1")).await, "{which}");
        let sql = format!("SELECT pg_terminate_backend(pid) {processes}");
        self.server.batch_execute(&sql).await.unwrap();
        self.until(&format!("NOT EXISTS (SELECT {processes})")).await;
    }

    /// Asserts that this is what readers are told, and that it is served from memory.
    async fn assert_kept(&mut self, name: &str) {
        assert_eq!(ann(&self.db).await.0, name);
        let (again, outcome) = ann(&self.db).await;
        assert_eq!(again, name);
        assert!(matches!(outcome, Outcome::Hit(_)), "{outcome}");
    }

    /// Asserts that this is what readers are told, each by the database.
    async fn assert_not_kept(&mut self, name: &str) {
        for _ in 0..3 {
            assert_eq!(ann(&self.db).await, (name.to_owned(), Outcome::Miss));
        }
    }

    /// Waits until answers are kept again. Nothing but the server's word can bring it about, as the
    /// clock stands still.
    async fn until_kept(&mut self, name: &str) {
        let kept = async {
            while !matches!(ann(&self.db).await.1, Outcome::Hit(_)) {
                tokio::task::yield_now().await;
            }
        };
        let kept = tokio::time::timeout(std::time::Duration::from_secs(20), kept).await;
        kept.expect("kept again");
        self.assert_kept(name).await;
    }
}

async fn set_name(connection: &mut Connection, name: &str) -> QueryResult<usize> {
    diesel::update(users::table.find(1)).set(users::name.eq(name)).execute(connection).await
}

async fn rename(connection: &mut Connection, name: &str) -> QueryResult<()> {
    connection.transaction(async |connection| set_name(connection, name).await.map(drop)).await
}

fn assert_unknown<R: std::fmt::Debug>(result: QueryResult<R>) {
    let error = result.unwrap_err();
    assert!(is_outcome_unknown(&error), "{error:?}");
}

/// Defines each of these tests on a runtime of one thread and on one of several.
macro_rules! on_both_runtimes {
    ($($test:ident)*) => {
        mod on_one_thread {
            $(#[tokio::test] async fn $test() { super::$test().await; })*
        }
        mod on_several_threads {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
              async fn $test() { super::$test().await; })*
        }
    };
}

on_both_runtimes! {
    a_commit_whose_answer_is_lost_is_found_committed
    a_commit_that_never_arrives_is_found_aborted
    a_process_ends_before_its_commit
    a_process_ends_during_its_commit
    a_process_ends_after_its_commit
    a_write_that_lands_late_is_waited_for
    a_caller_who_is_gone_can_still_ask
    a_panic_rolls_back_and_publishes_nothing
    a_swallowed_error_aborts
}

async fn a_commit_whose_answer_is_lost_is_found_committed() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    assert_eq!(connection.commit_outcome(), None);
    scene.proxy.plan(Fault::LoseReply, "COMMIT");
    assert_unknown(rename(&mut connection, "Eve").await);
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Committed));
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Committed));
    scene.assert_kept("Eve").await;
    // The handle goes on, over another connection.
    rename(&mut connection, "Fay").await.unwrap();
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Committed));
    scene.assert_kept("Fay").await;
}

async fn a_commit_that_never_arrives_is_found_aborted() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.proxy.plan(Fault::LoseRequest, "COMMIT");
    assert_unknown(rename(&mut connection, "Eve").await);
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Aborted));
    scene.assert_kept("Ann").await;
    rename(&mut connection, "Fay").await.unwrap();
    scene.assert_kept("Fay").await;
}

async fn a_process_ends_before_its_commit() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    let result: QueryResult<()> = connection
        .transaction(async |connection| {
            set_name(connection, "Eve").await?;
            scene.terminate("state = 'idle in transaction'").await;
            Ok(())
        })
        .await;
    result.unwrap_err();
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Aborted));
    scene.assert_kept("Ann").await;
}

async fn a_process_ends_during_its_commit() {
    let mut scene = scene(COMMITS_WAIT).await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.lock_commits().await;
    let (result, ()) = tokio::join!(rename(&mut connection, "Eve"), async {
        scene.until(WAITING).await;
        scene.terminate("query LIKE '%COMMIT'").await;
    });
    assert_unknown(result);
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Aborted));
    scene.assert_kept("Ann").await;
    scene.unlock().await;
    rename(&mut connection, "Fay").await.unwrap();
    scene.assert_kept("Fay").await;
}

async fn a_process_ends_after_its_commit() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    rename(&mut connection, "Eve").await.unwrap();
    scene.terminate("query LIKE '%COMMIT'").await;
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Committed));
    drop(connection);
    // The pool's other connections are well.
    let mut connection = scene.db.connection().await.unwrap();
    scene.assert_kept("Eve").await;
    rename(&mut connection, "Fay").await.unwrap_or_else(|error| {
        assert!(
            !is_outcome_unknown(&error),
            "it could not begin, so nothing is left open: {error}"
        );
    });
}

async fn a_write_that_lands_late_is_waited_for() {
    let mut scene = scene("").await;
    scene.lock_row().await;
    // A value, because the statement's text is sent beforehand, to be prepared.
    scene.proxy.plan(Fault::Cut, "Eve");
    let update = diesel::update(users::table.find(1)).set(users::name.eq("Eve"));
    assert_unknown(update.execute(&mut &scene.db).await);
    scene.until(WAITING).await;
    scene.assert_not_kept("Ann").await;
    scene.until_asked().await;
    scene.assert_not_kept("Ann").await;
    scene.unlock().await;
    scene.until_kept("Eve").await;
}

async fn a_caller_who_is_gone_can_still_ask() {
    let mut scene = scene(COMMITS_WAIT).await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.lock_commits().await;
    tokio::select! {
        _ = rename(&mut connection, "Eve") => panic!("it waits for the lock"),
        () = scene.until(WAITING) => {}
    }
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Unknown));
    let (outcome, ()) = tokio::join!(connection.settled_outcome(), scene.unlock());
    assert_eq!(outcome, Some(CommitOutcome::Committed));
    scene.assert_kept("Eve").await;
}

async fn a_panic_rolls_back_and_publishes_nothing() {
    let mut scene = scene("").await;
    let db = scene.db.clone();
    let task = tokio::spawn(async move {
        db.transaction::<(), Error, _>(async |connection| {
            set_name(connection, "Eve").await?;
            panic!("a bug of the application")
        })
        .await
    });
    assert!(task.await.unwrap_err().is_panic());
    assert!(matches!(ann(&scene.db).await, (name, Outcome::Hit(_)) if name == "Ann"));
    // Caught, and the connection used further: the transaction is still there to be rolled back.
    let mut connection = scene.db.connection().await.unwrap();
    let caught =
        std::panic::AssertUnwindSafe(connection.transaction::<(), Error, _>(async |connection| {
            set_name(connection, "Eve").await?;
            panic!("a bug of the application")
        }));
    assert!(caught.catch_unwind().await.is_err());
    use diesel_async::TransactionManager;
    turbodiesel::Transactions::rollback_transaction(&mut connection).await.unwrap();
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Aborted));
    assert!(matches!(ann(&scene.db).await, (name, Outcome::Hit(_)) if name == "Ann"));
    rename(&mut connection, "Fay").await.unwrap();
    scene.assert_kept("Fay").await;
}

async fn a_swallowed_error_aborts() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    let result: QueryResult<i32> = connection
        .transaction(async |connection| {
            set_name(connection, "Eve").await?;
            let _ = connection.batch_execute("SELECT 1 / 0").await;
            Ok(42)
        })
        .await;
    assert_rolled_back(result);
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Aborted));
    scene.assert_kept("Ann").await;
    // An error that arrives among the rows, in a transaction with an isolation level.
    let result: QueryResult<i32> = connection
        .build_transaction()
        .serializable()
        .deferrable()
        .run(async |connection| {
            set_name(connection, "Eve").await?;
            let _ = ask_badly(connection).await;
            Ok(42)
        })
        .await;
    assert_rolled_back(result);
    scene.assert_kept("Ann").await;
    rename(&mut connection, "Fay").await.unwrap();
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Committed));
    scene.assert_kept("Fay").await;
}

fn assert_rolled_back<R: std::fmt::Debug>(result: QueryResult<R>) {
    let error = result.unwrap_err();
    assert!(!is_outcome_unknown(&error));
    let message = error.to_string();
    assert!(message.contains("rolled back instead of committed"), "{message}");
}

/// A query that fails on its second row.
async fn ask_badly(connection: &mut Connection) -> QueryResult<i32> {
    diesel::dsl::sql::<diesel::sql_types::Integer>(
        "SELECT 1 / (2 - n) FROM generate_series(1, 2) n",
    )
    .load(connection)
    .await
    .map(|all| all[0])
}

#[tokio::test]
async fn an_error_in_a_savepoint_aborts_no_more_than_that() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    let answer: QueryResult<i32> = connection
        .transaction(async |connection| {
            set_name(connection, "Eve").await?;
            let inner: QueryResult<i32> =
                connection.transaction(async |connection| ask_badly(connection).await).await;
            inner.unwrap_err();
            Ok(42)
        })
        .await;
    assert_eq!(answer, Ok(42));
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Committed));
    scene.assert_kept("Eve").await;
    // Passed over inside, it fails the savepoint; passed over outside as well, the whole.
    let answer: QueryResult<i32> = connection
        .transaction(async |connection| {
            set_name(connection, "Fay").await?;
            let inner: QueryResult<i32> = connection
                .transaction(async |connection| {
                    let _ = ask_badly(connection).await;
                    Ok(1)
                })
                .await;
            inner.unwrap_err();
            Ok(42)
        })
        .await;
    assert_rolled_back(answer);
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Aborted));
    scene.assert_kept("Eve").await;
}

#[tokio::test]
async fn what_the_server_refuses_is_aborted() {
    let mut scene =
        scene("ALTER TABLE users ALTER CONSTRAINT users_team_fkey DEFERRABLE INITIALLY DEFERRED")
            .await;
    let mut connection = scene.db.connection().await.unwrap();
    let error = connection
        .transaction::<_, Error, _>(async |connection| {
            diesel::update(users::table.find(1)).set(users::team.eq(99)).execute(connection).await
        })
        .await
        .unwrap_err();
    assert!(!is_outcome_unknown(&error));
    use diesel::result::DatabaseErrorKind::{ForeignKeyViolation, SerializationFailure};
    assert!(matches!(error, Error::DatabaseError(ForeignKeyViolation, _)), "{error:?}");
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Aborted));
    scene.assert_kept("Ann").await;

    // Two transactions that each read what the other writes.
    let mut other = scene.db.connection().await.unwrap();
    let count = |team: i32| users::table.filter(users::team.eq(team)).count();
    let insert = |id: i32, team: i32| {
        diesel::insert_into(users::table).values((
            users::id.eq(id),
            users::name.eq("Gil"),
            users::team.eq(team),
        ))
    };
    let outer = connection
        .build_transaction()
        .serializable()
        .run(async |connection| {
            count(1).get_result::<i64>(connection).await?;
            insert(10, 2).execute(connection).await?;
            other
                .build_transaction()
                .serializable()
                .run(async |other| {
                    count(2).get_result::<i64>(other).await?;
                    insert(11, 1).execute(other).await
                })
                .await
        })
        .await;
    let error = outer.unwrap_err();
    assert!(matches!(error, Error::DatabaseError(SerializationFailure, _)), "{error:?}");
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Aborted));
    assert_eq!(other.commit_outcome(), Some(CommitOutcome::Committed));
    assert_eq!(rename(&mut connection, "Eve").await, Ok(()), "the connection is as good as new");

    // What the function itself gives up.
    let given_up: QueryResult<()> =
        connection.transaction(async |_| Err(Error::RollbackTransaction)).await;
    given_up.unwrap_err();
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Aborted));
}

/// A transaction that has changed nothing has no number to ask for.
#[tokio::test]
async fn without_a_number_only_the_end_is_found_out() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.proxy.plan(Fault::LoseReply, "COMMIT");
    let result: QueryResult<usize> = connection
        .transaction(async |connection| {
            let nobody = users::table.find(99);
            diesel::update(nobody).set(users::name.eq("Eve")).execute(connection).await
        })
        .await;
    assert_unknown(result);
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Unknown));
    scene.assert_kept("Ann").await;
}

#[tokio::test]
async fn what_nobody_finds_out_is_forgotten_after_its_time() {
    let mut scene = scene("").await;
    scene.lock_row().await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.proxy.plan(Fault::Cut, "Eve");
    assert_unknown(set_name(&mut connection, "Eve").await);
    scene.until(WAITING).await;
    scene.clock.advance(std::time::Duration::from_secs(34));
    scene.until_asked().await;
    scene.assert_not_kept("Ann").await;
    // The statement timeout and five seconds: the server would have ended it.
    scene.clock.advance(std::time::Duration::from_secs(2));
    scene.until_kept("Ann").await;
    assert!(scene.is(WAITING).await);
}

#[tokio::test]
async fn a_pipelined_write_that_lands_late_is_waited_for() {
    let mut scene = scene("").await;
    scene.lock_row().await;
    let connection = scene.db.connection().await.unwrap();
    scene.proxy.plan(Fault::Cut, "Eve");
    let update = diesel::update(users::table.find(1)).set(users::name.eq("Eve"));
    assert_unknown(update.execute(&mut &connection).await);
    scene.until(WAITING).await;
    scene.until_asked().await;
    scene.assert_not_kept("Ann").await;
    scene.unlock().await;
    scene.until_kept("Eve").await;
}

#[tokio::test]
async fn a_migration_that_lands_late_is_noticed() {
    let mut scene = scene("CREATE VIEW people AS SELECT id, name AS answer FROM users").await;
    scene.holder.batch_execute("BEGIN; LOCK TABLE teams").await.unwrap();
    let team = "SELECT answer FROM people WHERE id = 1";
    support::assert_cached(&scene.db, team).await;
    scene.proxy.plan(Fault::Cut, "CREATE OR REPLACE");
    // It takes the view's lock, makes it read another table, and waits for that one.
    let migration = "CREATE OR REPLACE VIEW people AS SELECT id, name AS answer FROM teams";
    assert_unknown((&scene.db).batch_execute(migration).await);
    scene.until(WAITING).await;
    scene.until_asked().await;
    scene.unlock().await;
    scene.until("pg_get_viewdef('people'::regclass) LIKE '%teams%'").await;
    scene.until_kept("Ann").await;
    assert_eq!(ask(&scene.db, team).await.0, "red");
    support::assert_effect(&scene.db, team, "UPDATE teams SET name = 'green'", false).await;
}

//! What becomes of a write whose answer is lost: what the cache does meanwhile, and what the
//! application learns.
//!
//! Faults are real: processes of the server are terminated, connections are cut by a [proxy], and
//! what has to wait waits for a lock that the test holds. The clock stands still unless the test moves
//! it, so nothing here happens because time has passed.

mod commits;
mod proxy;
mod rollbacks;
mod runtimes;
mod servers;
mod writes;

use std::{sync::Arc, time::Duration};

use diesel::{prelude::*, sql_types::Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use turbodiesel::{CommitOutcome, Connection, Db, ManualClock, Outcome, is_outcome_unknown};
use turbodiesel_testkit::Database;

use self::proxy::{Fault, Proxy};
use crate::support::{self, ann, users};

/// The time after which a write must have ended, if the statement timeout could end it.
const LIFETIME: Duration = Duration::from_secs(35);

/// How long to wait for what is certain to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database, a `Db` behind a proxy, and two sessions of the test's own, which are not.
struct Scene {
    db: Db,
    proxy: Proxy,
    clock: Arc<ManualClock>,
    /// Looks what the server does. Never in a transaction, in which it would see one moment only.
    server: AsyncPgConnection,
    /// Holds locks.
    holder: AsyncPgConnection,
    database: Database,
}

async fn scene(more: &str) -> Scene {
    scene_in(turbodiesel_testkit::database(), None, more).await
}

/// In a database that is empty. `Db` logs in as a role with its password, or as the test itself does.
async fn scene_in(database: Database, role: Option<&str>, more: &str) -> Scene {
    database.batch_execute(support::SCHEMA).unwrap();
    database.batch_execute(more).unwrap();
    let proxy = Proxy::before(database.url());
    let clock = Arc::new(ManualClock::default());
    let url = match role {
        None => proxy.url().to_owned(),
        Some(role) => format!("postgres://{role}@{}", proxy.url().split_once('@').unwrap().1),
    };
    let db = Db::builder().url(url).clock(clock.clone()).build().await.unwrap();
    let server = AsyncPgConnection::establish(database.url()).await.unwrap();
    let holder = AsyncPgConnection::establish(database.url()).await.unwrap();
    let mut scene = Scene { db, proxy, clock, server, holder, database };
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
        let met = tokio::time::timeout(PATIENCE, met).await;
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

    /// With `COMMITS_WAIT`, renames Ann to Eve in a transaction whose `COMMIT` waits at the server, and
    /// whose connection is cut meanwhile.
    async fn lose_a_waiting_commit(&mut self, connection: &mut Connection) {
        self.lock_commits().await;
        self.proxy.plan(Fault::Cut, "COMMIT");
        assert_unknown(rename(connection, "Eve").await);
        self.until(WAITING).await;
    }

    /// Asserts that what is lost is not forgotten, however often the server says that it is at work;
    /// and lets it go on.
    async fn assert_waited_for(&mut self, name: &str) {
        self.until_asked().await;
        self.assert_not_kept(name).await;
        self.unlock().await;
    }

    /// Asserts that the transaction of a connection turns out to have been committed, and is served.
    async fn assert_committed(&mut self, connection: &Connection, name: &str) {
        assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Committed));
        self.assert_kept(name).await;
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

    /// Cancels what the server's process is at of which this is true.
    async fn cancel(&mut self, which: &str) {
        let process = format!(
            "FROM pg_stat_activity WHERE {which} AND datname = current_database()
             AND pid <> pg_backend_pid()"
        );
        assert!(self.is(&format!("(SELECT pg_cancel_backend(pid) {process})")).await, "{which}");
    }

    /// Waits until the pool has replaced its connections, which are lost.
    async fn until_answered(&mut self) {
        let answered =
            async { while users::table.count().get_result::<i64>(&mut &self.db).await.is_err() {} };
        tokio::time::timeout(PATIENCE, answered).await.expect("an answer");
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
        let kept = tokio::time::timeout(PATIENCE, kept).await;
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

use on_both_runtimes;

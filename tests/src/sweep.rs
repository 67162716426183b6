//! The cancellation sweep: every async function of the facade is dropped after k polls, for each k
//! until it completes. After each drop a pool of one connection must still serve, nothing stale may
//! be served, and no transaction may be left open.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use diesel::{prelude::*, result::Error, sqlite::Sqlite};
use diesel_async::{
    AsyncConnection, AsyncPgConnection, RunQueryDsl, SaveChangesDsl, SimpleAsyncConnection,
    TransactionManager,
};
use futures_util::TryStreamExt;
use turbodiesel::{Connection, Db, Touches, Transactions};
use turbodiesel_testkit::{Database, SqliteFile};

use crate::support::{SCHEMA, poll_times, teams, users};

/// Polls after which everything here has long completed.
const MOST_POLLS: usize = 400;

/// A database behind a pool of one, and a way around it.
struct Bench {
    db: Db,
    plain: AsyncPgConnection,
    /// Makes every name written a new one.
    writes: AtomicU32,
    // Dropped last: it disconnects everybody.
    database: Database,
}

impl Bench {
    async fn new() -> Self {
        let database = turbodiesel_testkit::database();
        database.batch_execute(SCHEMA).unwrap();
        let plain = AsyncPgConnection::establish(database.url()).await.unwrap();
        let db = Self::build(&database).await;
        Self { db, plain, writes: AtomicU32::new(0), database }
    }

    async fn build(database: &Database) -> Db {
        // An entry of one byte and more is streamed: `large` reads are.
        Db::builder().url(database.url()).pool_size(1).max_entry_bytes(4096).build().await.unwrap()
    }

    /// A name that nobody has had.
    fn name(&self) -> String {
        format!("name {}", self.writes.fetch_add(1, Relaxed))
    }

    /// What the cache serves and what the database has, of everything that the sweeps write.
    async fn compare(&mut self, after: &str) {
        for _ in 0..2 {
            let served = self.served().await;
            let names = users::table.order(users::id).select(users::name);
            let fresh: Vec<String> = names.load(&mut self.plain).await.unwrap();
            let team: String =
                teams::table.find(1).select(teams::name).first(&mut self.plain).await.unwrap();
            assert_eq!(served, (fresh[0].clone(), fresh, team), "{after}");
        }
    }

    async fn served(&self) -> (String, Vec<String>, String) {
        let mut db = &self.db;
        let one = users::table.find(1).select(users::name).first(&mut db).await.unwrap();
        let all = users::table.order(users::id).select(users::name).load(&mut db).await.unwrap();
        let team = teams::table.find(1).select(teams::name).first(&mut db).await.unwrap();
        (one, all, team)
    }

    /// Waits until the server does nothing for the pool, which it must not do in a transaction.
    async fn quiet(&mut self, after: &str) {
        // Who gets the only connection waits for nobody else.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        drop(self.db.connection().await.unwrap_or_else(|error| panic!("{after}: {error}")));
        let mut deadline = 0;
        loop {
            let busy = diesel::dsl::sql::<diesel::sql_types::BigInt>(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                 AND pid <> pg_backend_pid() AND backend_type = 'client backend'
                 AND state <> 'idle'",
            );
            if busy.get_result::<i64>(&mut self.plain).await.unwrap() == 0 {
                return;
            }
            deadline += 1;
            assert!(deadline < 20_000, "{after}: a transaction or statement is left open");
            tokio::task::yield_now().await;
        }
    }

    /// Drops what `function` does after each possible number of polls.
    async fn sweep(&mut self, what: &str, function: impl AsyncFn(&Self) -> QueryResult<()>) {
        for polls in 0..MOST_POLLS {
            let after = format!("{what}, dropped after {polls} polls");
            self.served().await;
            let completed = match tokio::time::timeout(
                Duration::from_secs(20),
                poll_times(async { function(self).await.unwrap() }, polls),
            )
            .await
            {
                Ok(completed) => completed,
                Err(_) => panic!("{after}: it hangs"),
            };
            self.quiet(&after).await;
            self.compare(&after).await;
            // And writes are seen as ever.
            let name = self.name();
            rename(&mut &self.db, &name).await.unwrap_or_else(|error| panic!("{after}: {error}"));
            assert_eq!(self.served().await.0, name, "{after}");
            if completed {
                assert!(polls > 0, "{what} takes no time");
                return;
            }
        }
        panic!("{what} never completed");
    }
}

async fn rename<C>(connection: &mut C, name: &str) -> QueryResult<()>
where
    C: diesel_async::AsyncConnectionCore<Backend = diesel::pg::Pg>,
{
    let update = diesel::update(users::table.find(1)).set(users::name.eq(name.to_owned()));
    connection.execute_returning_count(update).await.map(drop)
}

async fn connection(bench: &Bench) -> QueryResult<Connection> {
    bench.db.connection().await.map_err(Error::from)
}

#[tokio::test]
async fn reads() {
    let mut bench = Bench::new().await;
    bench
        .sweep("a read on &Db", async |bench| {
            bench.db.invalidate_all();
            users::table.count().get_result::<i64>(&mut &bench.db).await.map(drop)
        })
        .await;
    bench
        .sweep("a read on a handle, past the cache", async |bench| {
            let mut handle = bench.db.handle().bypass();
            users::table.count().get_result::<i64>(&mut handle).await.map(drop)
        })
        .await;
    bench
        .sweep("a read on a connection", async |bench| {
            let mut connection = connection(bench).await?;
            bench.db.invalidate_all();
            users::table.count().get_result::<i64>(&mut connection).await.map(drop)
        })
        .await;
    bench
        .sweep("a stream of rows that are too many to keep", async |bench| {
            let large = diesel::dsl::sql::<diesel::sql_types::Text>(
                "SELECT repeat(name, 50) FROM users, generate_series(1, 200)",
            );
            let rows = large.load_stream::<String>(&mut &bench.db).await?;
            rows.try_for_each(|_| async { Ok(()) }).await
        })
        .await;
}

#[tokio::test]
async fn writes() {
    let mut bench = Bench::new().await;
    bench.sweep("a write on &Db", async |bench| rename(&mut &bench.db, &bench.name()).await).await;
    bench
        .sweep("a write on a handle", async |bench| {
            rename(&mut bench.db.handle(), &bench.name()).await
        })
        .await;
    bench
        .sweep("a write with rows", async |bench| {
            let update = diesel::update(users::table.find(1)).set(users::name.eq(bench.name()));
            let name = update.returning(users::name);
            name.get_result::<String>(&mut &bench.db).await.map(drop)
        })
        .await;
    bench
        .sweep("a batch", async |bench| {
            let (one, two) = (bench.name(), bench.name());
            (&mut &bench.db)
                .batch_execute(&format!(
                    "UPDATE users SET name = '{one}'; UPDATE teams SET name = '{two}'"
                ))
                .await
        })
        .await;
    bench
        .sweep("saved changes", async |bench| {
            let name = bench.name();
            let _: Row = (&Change { id: 1, name: &name }).save_changes(&mut &bench.db).await?;
            let _: Row =
                (&Change { id: 1, name: &name }).save_changes(&mut bench.db.handle()).await?;
            Ok(())
        })
        .await;
}

#[derive(Queryable)]
#[expect(dead_code, reason = "the shape of a row of users")]
struct Row(i32, String, Option<i32>);

#[derive(AsChangeset, Identifiable)]
#[diesel(table_name = users)]
struct Change<'a> {
    id: i32,
    name: &'a str,
}

#[tokio::test]
async fn on_a_connection() {
    let mut bench = Bench::new().await;
    bench.sweep("a checkout", async |bench| connection(bench).await.map(drop)).await;
    bench
        .sweep("a write", async |bench| rename(&mut connection(bench).await?, &bench.name()).await)
        .await;
    bench
        .sweep("two writes", async |bench| {
            let mut connection = connection(bench).await?;
            rename(&mut connection, &bench.name()).await?;
            let update = diesel::update(users::table.find(1)).set(users::name.eq(bench.name()));
            update.returning(users::name).get_result::<String>(&mut connection).await.map(drop)
        })
        .await;
    bench
        .sweep("a batch", async |bench| {
            let update = format!("UPDATE users SET name = '{}'", bench.name());
            connection(bench).await?.batch_execute(&update).await
        })
        .await;
    bench
        .sweep("saved changes", async |bench| {
            let (mut connection, name) = (connection(bench).await?, bench.name());
            let _: Row = (&Change { id: 1, name: &name }).save_changes(&mut connection).await?;
            Ok(())
        })
        .await;
    bench
        .sweep("raw access", async |bench| {
            let update = format!("UPDATE users SET name = '{}'", bench.name());
            let mut connection = connection(bench).await?;
            connection
                .with_raw(Touches::tables(["users"]), async |raw| raw.batch_execute(&update).await)
                .await
        })
        .await;
    bench
        .sweep("a pipeline", async |bench| {
            let connection = connection(bench).await?;
            let (mut one, mut two) = (&connection, &connection);
            let name = bench.name();
            let renamed = rename(&mut one, &name);
            let counted = users::table.count().get_result::<i64>(&mut two);
            futures_util::try_join!(renamed, counted).map(drop)
        })
        .await;
}

#[tokio::test]
async fn transactions() {
    let mut bench = Bench::new().await;
    bench
        .sweep("a transaction on &Db", async |bench| {
            let name = bench.name();
            bench
                .db
                .transaction::<_, Error, _>(async |connection| rename(connection, &name).await)
                .await
        })
        .await;
    bench
        .sweep("a transaction with savepoints", async |bench| {
            let (one, two) = (bench.name(), bench.name());
            let mut connection = connection(bench).await?;
            connection
                .transaction::<_, Error, _>(async |connection| {
                    rename(connection, &one).await?;
                    let undone = connection
                        .transaction::<(), Error, _>(async |connection| {
                            rename(connection, &two).await?;
                            Err(Error::RollbackTransaction)
                        })
                        .await;
                    assert!(undone.is_err());
                    connection
                        .transaction::<_, Error, _>(async |connection| {
                            let update = diesel::update(teams::table).set(teams::name.eq(two));
                            update.execute(connection).await.map(drop)
                        })
                        .await
                })
                .await
        })
        .await;
    bench
        .sweep("a transaction that is rolled back", async |bench| {
            let name = bench.name();
            let mut connection = connection(bench).await?;
            let undone = connection
                .transaction::<(), Error, _>(async |connection| {
                    rename(connection, &name).await?;
                    Err(Error::RollbackTransaction)
                })
                .await;
            assert!(undone.is_err());
            Ok(())
        })
        .await;
    bench
        .sweep("a serializable transaction", async |bench| {
            let name = bench.name();
            let mut connection = connection(bench).await?;
            connection
                .build_transaction()
                .serializable()
                .run(async |connection| rename(connection, &name).await)
                .await
        })
        .await;
    bench
        .sweep("a transaction by hand", async |bench| {
            let mut connection = connection(bench).await?;
            Transactions::begin_transaction(&mut connection).await?;
            rename(&mut connection, &bench.name()).await?;
            Transactions::commit_transaction(&mut connection).await?;
            Transactions::begin_transaction(&mut connection).await?;
            rename(&mut connection, &bench.name()).await?;
            Transactions::rollback_transaction(&mut connection).await
        })
        .await;
}

#[tokio::test]
async fn a_connection_outlives_what_was_dropped_on_it() {
    let mut bench = Bench::new().await;
    for polls in 0..MOST_POLLS {
        let after = format!("a write dropped after {polls} polls");
        let mut connection = bench.db.connection().await.unwrap();
        let name = bench.name();
        let completed = poll_times(rename(&mut connection, &name), polls).await;
        // Whatever became of it, the next one is the last word.
        let name = bench.name();
        rename(&mut connection, &name).await.unwrap();
        drop(connection);
        assert_eq!(bench.served().await.0, name, "{after}");
        bench.quiet(&after).await;
        bench.compare(&after).await;
        if completed {
            return;
        }
    }
    panic!("the write never completed");
}

#[tokio::test]
async fn opening_and_closing() {
    let mut bench = Bench::new().await;
    for polls in 0..MOST_POLLS {
        let builder = Db::builder().url(bench.database.url()).pool_size(1);
        let opened = poll_times(async { drop(builder.build().await.unwrap()) }, polls).await;
        bench.compare(&format!("opened for {polls} polls")).await;
        if opened {
            break;
        }
    }
    for polls in 0..MOST_POLLS {
        let after = format!("closed for {polls} polls");
        // A write in flight, for which closing waits.
        let name = bench.name();
        poll_times(rename(&mut &bench.db, &name), 2).await;
        let closed =
            poll_times(async { drop(bench.db.close(Duration::from_secs(20)).await) }, polls).await;
        // It is closed or not, but nothing in between; and the write is done or will be.
        let read = users::table.count().get_result::<i64>(&mut &bench.db).await;
        assert_eq!(read.is_err(), polls > 0, "{after}: {read:?}");
        bench.db.close(Duration::from_secs(20)).await.unwrap();
        bench.db = Bench::build(&bench.database).await;
        bench.quiet(&after).await;
        bench.compare(&after).await;
        if closed {
            return;
        }
    }
    panic!("it never closed");
}

/// The same over SQLite, whose statements end before their futures are gone.
struct SqliteBench {
    db: Db<Sqlite>,
    plain: diesel::SqliteConnection,
    _file: SqliteFile,
}

impl SqliteBench {
    async fn compare(&mut self, after: &str) {
        for _ in 0..2 {
            let names = users::table.order(users::id).select(users::name);
            let served: Vec<String> = names.load(&mut &self.db).await.unwrap();
            let fresh: Vec<String> = diesel::RunQueryDsl::load(names, &mut self.plain).unwrap();
            assert_eq!(served, fresh, "{after}");
        }
    }

    async fn sweep(
        &mut self,
        what: &str,
        function: impl AsyncFn(&Db<Sqlite>, String) -> QueryResult<()>,
    ) {
        for polls in 0..MOST_POLLS {
            let after = format!("{what}, dropped after {polls} polls");
            let name = format!("{polls}");
            let completed =
                poll_times(async { function(&self.db, name).await.unwrap() }, polls).await;
            drop(self.db.connection().await.unwrap());
            self.compare(&after).await;
            sqlite_rename(&format!("after {polls}")).execute(&mut &self.db).await.unwrap();
            self.compare(&after).await;
            if completed {
                return;
            }
        }
        panic!("{what} never completed");
    }
}

fn sqlite_rename(name: &str) -> diesel::query_builder::SqlQuery {
    diesel::sql_query(format!("UPDATE users SET name = '{name}' WHERE id = 1"))
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    let file = SqliteFile::new().unwrap();
    let db = Db::sqlite().url(file.url()).pool_size(1).build().await.unwrap();
    (&db).batch_execute(SCHEMA).await.unwrap();
    let plain = diesel::Connection::establish(&file.url()).unwrap();
    let mut bench = SqliteBench { db, plain, _file: file };
    bench
        .sweep("a write", async |db, name| sqlite_rename(&name).execute(&mut &*db).await.map(drop))
        .await;
    bench
        .sweep("a write on a connection", async |db, name| {
            let mut connection = db.connection().await.map_err(Error::from)?;
            sqlite_rename(&name).execute(&mut connection).await.map(drop)
        })
        .await;
    bench
        .sweep("a transaction", async |db, name| {
            db.transaction::<_, Error, _>(async |connection| {
                sqlite_rename(&name).execute(connection).await.map(drop)
            })
            .await
        })
        .await;
    bench
        .sweep("a read", async |db, _| {
            db.invalidate_all();
            users::table.count().get_result::<i64>(&mut &*db).await.map(drop)
        })
        .await;
}

//! Transactions: nothing shared inside, everything published at the outermost commit.

use std::time::Duration;

use diesel::{
    migration::{Migration, MigrationSource},
    prelude::*,
    result::Error,
};
use diesel_async::{AsyncConnection, AsyncMigrationHarness, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::MigrationHarness;
use turbodiesel::{Bypass, Connection, Db, Outcome};

use crate::support::{ann, ask, assert_cached, bypass, open, open_with, poll_times, teams, users};

async fn rename(connection: &mut Connection, name: &str) -> QueryResult<usize> {
    diesel::update(users::table.find(1)).set(users::name.eq(name)).execute(connection).await
}

async fn name_inside(connection: &mut Connection) -> String {
    let name = users::table.find(1).select(users::name).first(connection).await.unwrap();
    assert_eq!(connection.outcome(), Some(Outcome::Bypass(Bypass::InTransaction)));
    name
}

#[tokio::test]
async fn published_at_commit_and_not_before() {
    let (_database, db) = open().await;
    ann(&db).await;
    let mut connection = db.connection().await.unwrap();
    connection
        .transaction::<_, Error, _>(async |connection| {
            rename(connection, "Eve").await?;
            assert_eq!(name_inside(connection).await, "Eve");
            // Others are still served what is true for them.
            assert!(matches!(ann(&db).await, (name, Outcome::Hit(_)) if name == "Ann"));
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(ann(&db).await.0, "Eve");
}

#[tokio::test]
async fn a_rollback_invalidates_nothing() {
    let (_database, db) = open().await;
    ann(&db).await;
    let mut connection = db.connection().await.unwrap();
    let result = connection
        .transaction::<(), Error, _>(async |connection| {
            rename(connection, "Eve").await?;
            Err(Error::RollbackTransaction)
        })
        .await;
    assert_eq!(result, Err(Error::RollbackTransaction));
    assert!(matches!(ann(&db).await, (name, Outcome::Hit(_)) if name == "Ann"));
    // The connection is as good as new.
    let name: String =
        users::table.find(1).select(users::name).first(&mut connection).await.unwrap();
    assert_eq!(
        (name.as_str(), connection.outcome().unwrap().is_served_from_cache()),
        ("Ann", true)
    );
}

#[tokio::test]
async fn savepoints_publish_with_the_outermost_commit() {
    let (_database, db) = open().await;
    ann(&db).await;
    let team = "SELECT name AS answer FROM teams WHERE id = 1";
    assert_cached(&db, team).await;
    db.transaction::<_, Error, _>(async |connection| {
        connection
            .transaction::<_, Error, _>(async |connection| {
                rename(connection, "Eve").await?;
                Ok(())
            })
            .await?;
        let undone = connection
            .transaction::<(), Error, _>(async |connection| {
                diesel::update(teams::table).set(teams::name.eq("x")).execute(connection).await?;
                Err(Error::RollbackTransaction)
            })
            .await;
        assert!(undone.is_err());
        assert!(matches!(ann(&db).await.1, Outcome::Hit(_)));
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(ann(&db).await.0, "Eve");
    // What the second savepoint wrote has never happened.
    assert!(matches!(ask(&db, team).await.1, Outcome::Hit(_)));
}

#[tokio::test]
async fn an_answer_read_before_the_commit_is_not_kept_after_it() {
    let (_database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    connection
        .transaction::<_, Error, _>(async |connection| {
            rename(connection, "Eve").await?;
            // Misses, and fills: nothing is committed yet.
            assert!(matches!(ann(&db).await, (name, Outcome::Miss) if name == "Ann"));
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(ann(&db).await.0, "Eve");
}

#[tokio::test]
async fn with_an_isolation_level() {
    let (_database, db) = open().await;
    ann(&db).await;
    let mut connection = db.connection().await.unwrap();
    connection
        .build_transaction()
        .serializable()
        .read_write()
        .run(async |connection| {
            let level: String = diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>(
                "current_setting('transaction_isolation')",
            ))
            .get_result(connection)
            .await?;
            assert_eq!(level, "serializable");
            rename(connection, "Eve").await?;
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
    assert_eq!(ann(&db).await.0, "Eve");
    let read_only = connection
        .build_transaction()
        .read_only()
        .run(async |connection| rename(connection, "Dot").await)
        .await;
    assert!(read_only.is_err());
    assert_eq!(ann(&db).await.0, "Eve");
    let nested = connection
        .transaction::<_, Error, _>(async |connection| {
            connection.build_transaction().run(async |_| Ok::<_, Error>(())).await
        })
        .await;
    assert_eq!(nested, Err(Error::AlreadyInTransaction));
}

#[tokio::test]
async fn a_failed_commit_leaves_the_cache_usable() {
    let (_database, db) = open_with(
        "ALTER TABLE users ALTER CONSTRAINT users_team_fkey DEFERRABLE INITIALLY DEFERRED",
    )
    .await;
    ann(&db).await;
    let result = db
        .transaction::<_, Error, _>(async |connection| {
            rename(connection, "Eve").await?;
            diesel::update(users::table.find(1))
                .set(users::team.eq(99))
                .execute(connection)
                .await?;
            Ok(())
        })
        .await;
    assert!(result.is_err(), "the foreign key is checked at the commit");
    assert_eq!(ann(&db).await.0, "Ann");
    assert!(matches!(ann(&db).await.1, Outcome::Hit(_)));
}

#[tokio::test]
async fn a_commit_whose_caller_is_gone() {
    let (_database, db) = open().await;
    ann(&db).await;
    let mut connection = db.connection().await.unwrap();
    let polls = {
        // How often the whole transaction is polled until it is done varies, so it is dropped after
        // each possible number of polls, and what is read after must be what is in the database.
        let mut polls = 0;
        loop {
            polls += 1;
            let name = format!("Eve {polls}");
            let transaction = connection.transaction::<_, Error, _>(async |connection| {
                rename(connection, &name).await?;
                Ok(())
            });
            let done = poll_times(transaction, polls).await;
            drop_open_transaction(&db, &mut connection).await;
            let fresh: String = users::table
                .find(1)
                .select(users::name)
                .first(&mut db.handle().bypass())
                .await
                .unwrap();
            assert_eq!(ann(&db).await.0, fresh, "after {polls} polls");
            assert_eq!(ann(&db).await.0, fresh, "after {polls} polls");
            if done {
                break polls;
            }
        }
    };
    assert!(polls > 3, "the transaction was dropped at several places");
}

/// Waits for whatever the dropped future left behind, and gives up a transaction left open.
async fn drop_open_transaction(db: &Db, connection: &mut Connection) {
    // The next statement on the connection waits for a commit in flight.
    let _: QueryResult<i64> = users::table.count().get_result(connection).await;
    *connection = db.connection().await.unwrap();
}

#[tokio::test]
async fn a_connection_goes_on_after_a_commit_that_nobody_waited_for() {
    let (_database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    for polls in 1..12 {
        let transaction = connection.transaction::<_, Error, _>(async |connection| {
            rename(connection, "Eve").await?;
            Ok(())
        });
        let done = poll_times(transaction, polls).await;
        if !done {
            // Whatever state it was left in, a rollback or nothing brings it back.
            use diesel_async::TransactionManager;
            let _ = turbodiesel::Transactions::rollback_transaction(&mut connection).await;
        }
        ann(&db).await;
        let name = format!("Dot {polls}");
        rename(&mut connection, &name).await.unwrap();
        assert_eq!(ann(&db).await.0, name, "a write by itself is published, after {polls} polls");
    }
}

#[tokio::test]
async fn a_test_transaction_on_a_pool_of_one() {
    let (database, _) = open().await;
    let db = Db::builder().url(database.url()).pool_size(1).build().await.unwrap();
    ann(&db).await;
    let mut connection = db.connection().await.unwrap();
    connection.begin_test_transaction().await.unwrap();
    rename(&mut connection, "Eve").await.unwrap();
    assert_eq!(name_inside(&mut connection).await, "Eve");
    drop(connection);
    // The pool's only connection still has the transaction open, and is not closed for it.
    let (name, outcome) = ann(&db).await;
    assert_eq!((name.as_str(), outcome), ("Eve", Outcome::Bypass(Bypass::InTransaction)));
    diesel::update(users::table.find(1))
        .set(users::name.eq("Dot"))
        .execute(&mut &db)
        .await
        .unwrap();
    assert_eq!(ann(&db).await.0, "Dot");
    let mut connection = db.connection().await.unwrap();
    assert_eq!(name_inside(&mut connection).await, "Dot");
    connection
        .transaction::<_, Error, _>(async |connection| rename(connection, "Fay").await)
        .await
        .unwrap();
    drop(connection);
    assert_eq!(ann(&db).await.0, "Fay");
}

#[tokio::test]
async fn control_statements_are_refused_on_a_handle() {
    let (_database, db) = open().await;
    for sql in [
        "BEGIN",
        "COMMIT",
        "SAVEPOINT a",
        "SET search_path = x",
        "LISTEN news",
        "CREATE TEMP TABLE t (id int)",
        "SELECT set_config('search_path', 'x', false)",
    ] {
        for result in [
            (&db).batch_execute(sql).await,
            diesel::sql_query(sql).execute(&mut db.handle()).await.map(drop),
            diesel::sql_query(sql).load::<Nothing>(&mut db.handle()).await.map(drop),
        ] {
            let message = result.unwrap_err().to_string();
            assert!(
                message.contains("db.connection()") && message.contains("db.transaction("),
                "{sql}: {message}"
            );
        }
    }
    assert_eq!(db.stats().statements, 0);
}

#[derive(QueryableByName)]
struct Nothing {}

#[tokio::test]
async fn a_changed_session_is_neither_cached_nor_shared() {
    let (database, _) =
        open_with("CREATE SCHEMA other; CREATE TABLE other.users (answer text)").await;
    let db = Db::builder().url(database.url()).pool_size(1).build().await.unwrap();
    let count = "SELECT count(*)::text AS answer FROM users";
    assert_cached(&db, count).await;
    let mut connection = db.connection().await.unwrap();
    connection.batch_execute("SET search_path = other").await.unwrap();
    let none: i64 = diesel::dsl::sql::<diesel::sql_types::BigInt>("SELECT count(*) FROM users")
        .get_result(&mut connection)
        .await
        .unwrap();
    assert_eq!(none, 0);
    assert_eq!(connection.outcome(), Some(Outcome::Bypass(Bypass::TaintedConnection)));
    drop(connection);
    // The pool closed it: the next one sees the schema that it should.
    let (count, outcome) = ask(&db, "SELECT (count(*) + 0)::text AS answer FROM users").await;
    assert_eq!((count.as_str(), outcome), ("3", Outcome::Miss));
}

#[tokio::test]
async fn a_local_setting_ends_with_its_transaction() {
    let (database, _) = open().await;
    let db = Db::builder().url(database.url()).pool_size(1).build().await.unwrap();
    ann(&db).await;
    let backend = "SELECT pg_backend_pid()::text AS answer";
    let (before, _) = ask(&db, backend).await;
    db.transaction::<_, Error, _>(async |connection| {
        connection.batch_execute("SET LOCAL app.tenant = '7'").await?;
        diesel::sql_query("SELECT set_config('app.user', '3', true)").execute(connection).await?;
        rename(connection, "Eve").await?;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(ann(&db).await.0, "Eve");
    assert_eq!(ask(&db, backend).await.0, before, "the connection was not closed for it");
}

#[tokio::test]
async fn transaction_control_behind_the_managers_back() {
    let (_database, db) = open().await;
    ann(&db).await;
    let mut connection = db.connection().await.unwrap();
    connection.batch_execute("BEGIN").await.unwrap();
    rename(&mut connection, "Eve").await.unwrap();
    ann(&db).await;
    connection.batch_execute("COMMIT").await.unwrap();
    assert_eq!(ann(&db).await.0, "Eve");
}

#[tokio::test]
async fn volatile_and_locking_reads_inside_and_out() {
    let (_database, db) = open().await;
    assert_eq!(
        bypass(&db, "SELECT name AS answer FROM users WHERE id = 1 FOR UPDATE").await,
        Bypass::Locking
    );
    assert_eq!(
        bypass(&db, "SELECT name || random()::text AS answer FROM users").await,
        Bypass::VolatileFunction
    );
    assert_eq!(
        bypass(&db, "SELECT now()::text AS answer FROM users").await,
        Bypass::StableFunction
    );
}

struct Migrations;

struct CreateNotes;

impl MigrationSource<diesel::pg::Pg> for Migrations {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<diesel::pg::Pg>>>> {
        Ok(vec![Box::new(CreateNotes)])
    }
}

impl Migration<diesel::pg::Pg> for CreateNotes {
    fn run(
        &self,
        connection: &mut dyn diesel::connection::BoxableConnection<diesel::pg::Pg>,
    ) -> diesel::migration::Result<()> {
        Ok(connection
            .batch_execute("CREATE TABLE notes (answer text); INSERT INTO notes VALUES ('a')")?)
    }

    fn revert(
        &self,
        connection: &mut dyn diesel::connection::BoxableConnection<diesel::pg::Pg>,
    ) -> diesel::migration::Result<()> {
        Ok(connection.batch_execute("DROP TABLE notes")?)
    }

    fn metadata(&self) -> &dyn diesel::migration::MigrationMetadata {
        &InTransaction
    }

    fn name(&self) -> &dyn diesel::migration::MigrationName {
        &Name
    }
}

struct InTransaction;

impl diesel::migration::MigrationMetadata for InTransaction {
    fn run_in_transaction(&self) -> bool {
        true
    }
}

struct Name;

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("2026-01-01-000000_notes")
    }
}

impl diesel::migration::MigrationName for Name {
    fn version(&self) -> diesel::migration::MigrationVersion<'_> {
        "20260101000000".into()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn diesels_migration_harness() {
    let (_database, db) = open().await;
    let mut harness = AsyncMigrationHarness::new(db.connection().await.unwrap());
    harness.run_pending_migrations(Migrations).unwrap();
    assert!(!harness.has_pending_migration(Migrations).unwrap());
    // The catalog was read again: the new table is known, and cached.
    assert_cached(&db, "SELECT answer FROM notes").await;
    harness.revert_last_migration(Migrations).unwrap();
    drop(harness);
    assert!(diesel::sql_query("SELECT answer FROM notes").execute(&mut &db).await.is_err());
}

#[tokio::test]
async fn an_open_transaction_is_not_returned_to_the_pool() {
    let (database, _) = open().await;
    let db = Db::builder().url(database.url()).pool_size(1).build().await.unwrap();
    let mut connection = db.connection().await.unwrap();
    // A transaction whose caller gave up in the middle.
    let hanging = connection.transaction::<(), Error, _>(async |connection| {
        rename(connection, "Eve").await?;
        std::future::pending().await
    });
    let timeout = tokio::time::timeout(Duration::from_millis(200), hanging).await;
    assert!(timeout.is_err());
    drop(connection);
    assert_eq!(ann(&db).await.0, "Ann", "rolled back with its connection");
}

/// Not only the rows change but what writes to them do.
#[tokio::test]
async fn a_schema_that_changes_in_a_transaction_counts_from_its_commit() {
    let (_database, db) = crate::support::open_with(
        "CREATE TABLE log (name text);
         CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO log VALUES (NEW.name); RETURN NEW; END $$;",
    )
    .await;
    db.transaction::<_, diesel::result::Error, _>(async |connection| {
        diesel::sql_query(
            "CREATE TRIGGER copy AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION copy()",
        )
        .execute(connection)
        .await?;
        Ok(())
    })
    .await
    .unwrap();
    let log = "SELECT count(*)::text AS answer FROM log";
    crate::support::assert_cached(&db, log).await;
    let renamed = diesel::update(users::table.find(1)).set(users::name.eq("Eve"));
    renamed.execute(&mut &db).await.unwrap();
    crate::support::compare(&db, log).await;
}

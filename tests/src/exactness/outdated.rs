//! Writes that learn under a catalog that is not true any more: what they ask for beside the caller's
//! wishes may be gone, and that must not be the caller's error.

use diesel::{
    prelude::*,
    result::{DatabaseErrorKind, Error},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use turbodiesel::{Connection, Db};
use turbodiesel_testkit::Database;

use super::{BY_CUSTOMER, open, open_with, orders};
use crate::support::{ask, ask_database, assert_cached, compare};

/// PostgreSQL refuses a prepared statement whose result would have other types than before. What the
/// caller does not see must not make it one.
#[tokio::test]
async fn a_key_that_changes_its_type_does_not_fail_the_next_write() {
    let (database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    let insert = |code: &'static str| {
        let new = (orders::customer.eq(2), orders::code.eq(code));
        diesel::insert_into(orders::table).values(new)
    };
    insert("e").execute(&mut connection).await.unwrap();
    database.batch_execute("ALTER TABLE orders ALTER customer TYPE bigint").unwrap();
    insert("f").execute(&mut connection).await.unwrap();
}

/// Has a write of this customer executed that learns, so that its shape is known; then the key changes.
async fn rename_key(database: &Database, db: &Db) {
    execute(db, "UPDATE orders SET note = 'y' WHERE id = 3").await.unwrap();
    database.batch_execute("ALTER TABLE orders RENAME customer TO client").unwrap();
}

const UPDATE: &str = "UPDATE orders SET note = note || 'z' WHERE id = 3";
const BY_CLIENT: &str =
    "SELECT coalesce(string_agg(note, ','), '') AS answer FROM orders WHERE client = 2";

async fn execute(db: &Db, sql: &str) -> QueryResult<usize> {
    diesel::sql_query(sql).execute(&mut &*db).await
}

async fn update(connection: &mut Connection) -> QueryResult<usize> {
    diesel::sql_query(UPDATE).execute(connection).await
}

/// Asserts that the update was executed so many times, and that it was invalidated.
async fn assert_updated(db: &Db, notes: &str) {
    assert_eq!(ask_database(db, BY_CLIENT).await, notes);
    assert_cached(db, BY_CLIENT).await;
    compare(db, BY_CLIENT).await;
}

#[tokio::test]
async fn a_key_that_is_renamed_fails_no_write() {
    let (database, db) = open().await;
    rename_key(&database, &db).await;
    assert_eq!(execute(&db, UPDATE).await, Ok(1));
    assert_updated(&db, "yz").await;
    // It learns again, under the new name.
    let other = "SELECT count(note)::text AS answer FROM orders WHERE client = 1";
    assert_cached(&db, other).await;
    assert_eq!(execute(&db, UPDATE).await, Ok(1));
    assert_cached(&db, other).await;
    assert_updated(&db, "yzz").await;
}

#[tokio::test]
async fn a_key_that_is_renamed_fails_no_write_through_a_connection_and_none_that_returns() {
    let (database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    rename_key(&database, &db).await;
    assert_eq!(update(&mut connection).await, Ok(1));
    assert_updated(&db, "yz").await;

    let (database, db) = open().await;
    rename_key(&database, &db).await;
    let update = diesel::update(orders::table.find(3)).set(orders::note.eq("w"));
    let code = update.returning(orders::code).get_result(&mut &db).await;
    assert_eq!(code, Ok("c".to_owned()));
    assert_updated(&db, "w").await;
}

#[tokio::test]
async fn a_key_that_is_dropped_fails_no_write() {
    let (database, db) = open().await;
    assert_eq!(execute(&db, UPDATE).await, Ok(1));
    database.batch_execute("ALTER TABLE orders DROP customer").unwrap();
    assert_eq!(execute(&db, UPDATE).await, Ok(1));
    let insert = diesel::insert_into(orders::table)
        .values((orders::code.eq("e"), orders::note.eq("new")))
        .returning(orders::id);
    assert_eq!(insert.get_result(&mut &db).await, Ok(5), "the sequence was asked once");
}

/// As a role that may only what it is granted.
async fn open_as_writer() -> (Database, Db) {
    let grants = "CREATE SEQUENCE steps;
                  DO 'BEGIN CREATE ROLE writer LOGIN; EXCEPTION WHEN duplicate_object THEN END';
                  GRANT SELECT, INSERT, UPDATE ON orders TO writer;
                  GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA public TO writer;";
    let (database, _) = open_with(grants).await;
    let url = database.url().replace("//postgres@", "//writer@");
    let db = Db::builder().url(&url).build().await.unwrap();
    execute(&db, UPDATE).await.unwrap();
    (database, db)
}

/// The writer may no longer read the key, which `RETURNING` takes and the caller does not ask for.
async fn open_and_hide_key() -> (Database, Db) {
    let (database, db) = open_as_writer().await;
    let revoke = "REVOKE SELECT ON orders FROM writer; GRANT SELECT (id, note) ON orders TO writer";
    database.batch_execute(revoke).unwrap();
    (database, db)
}

#[tokio::test]
async fn a_key_that_may_not_be_read_any_more_fails_no_write() {
    let (_database, db) = open_and_hide_key().await;
    assert_eq!(execute(&db, UPDATE).await, Ok(1));
    let insert = "INSERT INTO orders (customer, code) VALUES (1, 'e')";
    assert_eq!(execute(&db, insert).await, Ok(1));
}

/// What fails by itself is the caller's to know, and is not executed again.
#[tokio::test]
async fn an_error_of_the_callers_own_stays_one() {
    let (database, db) = open().await;
    let statements = || db.stats().statements;
    let before = statements();
    execute(&db, "UPDATE orders SET note = (1 / (id - 3))::text WHERE id = 3").await.unwrap_err();
    assert_eq!(statements(), before + 1);
    // The same while a key is renamed, which this statement names itself.
    rename_key(&database, &db).await;
    let error =
        execute(&db, "INSERT INTO orders (customer, code) VALUES (1, 'e')").await.unwrap_err();
    assert!(error.to_string().contains("customer"), "{error}");
    assert_eq!(ask_database(&db, "SELECT count(*)::text AS answer FROM orders").await, "4");
}

/// Fails after a step that no error undoes.
const FAILS: &str = "UPDATE orders SET note = (nextval('steps') / 0)::text WHERE id = 3";
const STEPS: &str = "SELECT last_value::text AS answer FROM steps";

/// It is asked for no less than the catalog has, so the error is not ours.
#[tokio::test]
async fn a_key_that_is_added_has_nothing_executed_again() {
    let (database, db) = open_with("CREATE SEQUENCE steps").await;
    execute(&db, UPDATE).await.unwrap();
    let add = "ALTER TABLE orders ADD k integer; CREATE INDEX ON orders (k)";
    database.batch_execute(add).unwrap();
    execute(&db, FAILS).await.unwrap_err();
    assert_eq!(ask_database(&db, STEPS).await, "1");
}

/// The empty catalog asks for nothing, and proves nothing.
#[tokio::test]
async fn a_catalog_that_cannot_be_had_has_nothing_executed_again() {
    let (database, db) = open_as_writer().await;
    database.batch_execute("REVOKE SELECT ON pg_policy FROM public").unwrap();
    execute(&db, FAILS).await.unwrap_err();
    assert_eq!(ask_database(&db, STEPS).await, "1");
}

/// Whoever cancels a write does not want it, whatever else changes meanwhile.
#[tokio::test]
async fn a_write_that_is_cancelled_is_not_executed_again() {
    let (database, db) = open().await;
    execute(&db, "UPDATE orders SET note = 'y' WHERE id = 3").await.unwrap();
    let mut migration = AsyncPgConnection::establish(database.url()).await.unwrap();
    let rename = "BEGIN; ALTER TABLE orders RENAME customer TO client";
    migration.batch_execute(rename).await.unwrap();
    let writer = db.clone();
    let write = tokio::spawn(async move { execute(&writer, UPDATE).await });
    let waits =
        "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let is_waiting = format!("SELECT count(*)::text AS answer {waits}");
    tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while ask(&db, &is_waiting).await.0 != "1" {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let cancel = format!("SELECT pg_cancel_backend(pid) {waits}; COMMIT");
    migration.batch_execute(&cancel).await.unwrap();
    let error = write.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("cancel"), "{error}");
    assert_eq!(ask_database(&db, BY_CLIENT).await, "y");
    // The next one is for itself.
    assert_eq!(execute(&db, UPDATE).await, Ok(1));
    assert_updated(&db, "yz").await;
}

async fn update_in_a_transaction(connection: &mut Connection) -> QueryResult<()> {
    connection.transaction(async |connection| update(connection).await.map(drop)).await
}

/// PostgreSQL fails the transaction with the statement, and the statements before are the caller's.
/// So it is told what a transaction is told that must be run again.
#[tokio::test]
async fn a_key_that_is_renamed_asks_for_the_transaction_once_more() {
    let (database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    rename_key(&database, &db).await;
    let error = update_in_a_transaction(&mut connection).await.unwrap_err();
    let again = DatabaseErrorKind::SerializationFailure;
    assert!(matches!(&error, Error::DatabaseError(kind, _) if *kind == again), "{error:?}");
    assert_eq!(update_in_a_transaction(&mut connection).await, Ok(()));
    assert_updated(&db, "yz").await;
}

/// What PostgreSQL has said besides is not lost.
#[tokio::test]
async fn that_error_says_what_the_database_has_said() {
    let (database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    update(&mut connection).await.unwrap();
    database.batch_execute("ALTER TABLE orders RENAME customer TO customers").unwrap();
    let error = update_in_a_transaction(&mut connection).await.unwrap_err();
    let Error::DatabaseError(DatabaseErrorKind::SerializationFailure, error) = error else {
        panic!("{error:?}");
    };
    assert!(error.message().contains("orders.customer"), "{}", error.message());
    assert!(error.hint().is_some_and(|hint| hint.contains("orders.customers")));
    assert_eq!(
        error.statement_position(),
        None,
        "it is one in a text that the caller does not know"
    );
}

/// Its error has a place too, but in its own text; and to run the transaction again is of no use.
#[tokio::test]
async fn an_error_of_a_trigger_is_not_taken_for_ours() {
    let (database, db) = open_with(
        "CREATE TABLE audit_log (kind_of_change integer, number_of_change integer, customer integer);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS '
            BEGIN
                INSERT INTO audit_log (kind_of_change, number_of_change, customer)
                    VALUES (1, 2, NEW.customer);
                RETURN NULL;
            END';
         CREATE TRIGGER note AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note();",
    )
    .await;
    let mut connection = db.connection().await.unwrap();
    update(&mut connection).await.unwrap();
    database.batch_execute("ALTER TABLE audit_log DROP customer").unwrap();
    for _ in 0..2 {
        let error = update_in_a_transaction(&mut connection).await.unwrap_err();
        let is_own = matches!(&error, Error::DatabaseError(DatabaseErrorKind::Unknown, _));
        assert!(is_own && error.to_string().contains("audit_log"), "{error:?}");
    }
}

/// In a transaction that tests leave open, the first error is the one to tell.
#[tokio::test]
async fn in_a_test_transaction_the_error_is_told() {
    let (database, db) = open().await;
    rename_key(&database, &db).await;
    let mut connection = db.connection().await.unwrap();
    connection.begin_test_transaction().await.unwrap();
    let error = update(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("customer"), "{error}");
}

/// Nobody can tell this one from an error of the caller's own; but it comes once, and in a savepoint
/// it costs no more than that.
#[tokio::test]
async fn a_key_that_may_not_be_read_any_more_fails_one_transaction() {
    let (database, db) = open_and_hide_key().await;
    let mut connection = db.connection().await.unwrap();
    update_in_a_transaction(&mut connection).await.unwrap_err();
    assert_eq!(update_in_a_transaction(&mut connection).await, Ok(()));

    database.batch_execute("GRANT SELECT ON orders TO writer").unwrap();
    let mut connection = open_another(&db).await;
    update(&mut connection).await.unwrap();
    let revoke = "REVOKE SELECT ON orders FROM writer; GRANT SELECT (id, note) ON orders TO writer";
    database.batch_execute(revoke).unwrap();
    let result: QueryResult<()> = connection
        .transaction(async |connection| {
            update_in_a_transaction(connection).await.unwrap_err();
            // Its savepoint has been rolled back, and nothing is learnt from here on.
            update_in_a_transaction(connection).await
        })
        .await;
    assert_eq!(result, Ok(()));
}

/// A connection of the pool that is opened now, which checks the catalog.
async fn open_another(db: &Db) -> Connection {
    let mut held = Vec::new();
    for _ in 0..db.stats().pool.size {
        held.push(db.connection().await.unwrap());
    }
    db.connection().await.unwrap()
}

/// Whatever was learnt before the key changed its name, nothing is served that is not true.
#[tokio::test]
async fn lists_by_a_key_that_is_renamed_are_read_again() {
    let (database, db) = open().await;
    for read in BY_CUSTOMER {
        assert_cached(&db, read).await;
    }
    rename_key(&database, &db).await;
    assert_eq!(execute(&db, UPDATE).await, Ok(1));
    assert_updated(&db, "yz").await;
    diesel::sql_query(BY_CUSTOMER[0]).execute(&mut &db).await.unwrap_err();
}

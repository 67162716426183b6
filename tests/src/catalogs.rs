//! Catalogs that change under way.

use diesel::prelude::*;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use turbodiesel::{Db, Outcome};

use crate::support::{ask, compare, open, open_with, teams, users};

const TEAMS: &str = "SELECT count(*)::text AS answer FROM teams";

#[tokio::test]
async fn a_catalog_that_comes_while_a_write_waits() {
    let (database, _) = open().await;
    let db = Db::builder().url(database.url()).pool_size(1).build().await.unwrap();
    let mut held = db.connection().await.unwrap();
    database
        .batch_execute(
            "CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO teams VALUES (100, ''x''); RETURN new; END';
         CREATE TRIGGER copy AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION copy();",
        )
        .unwrap();
    let mut h = db.handle();
    let mut w =
        Box::pin(diesel::update(users::table.find(1)).set(users::name.eq("Eve")).execute(&mut h));
    assert!((&mut w).now_or_never().is_none());
    held.batch_execute("COMMENT ON TABLE users IS 'people'").await.unwrap();
    let _n: i64 = teams::table.count().get_result(&mut held).await.unwrap();
    drop(held);
    w.await.unwrap();
    let n: i64 = teams::table.count().get_result(&mut db.handle()).await.unwrap();
    assert_eq!(n, 3);
}

#[tokio::test]
async fn schemas_that_change_places() {
    let (_database, db) = open_with("CREATE SCHEMA live; CREATE SCHEMA staging; CREATE TABLE live.t (id int); CREATE TABLE staging.t (id int);
       CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.teams VALUES (100, ''x''); RETURN new; END';
         CREATE TRIGGER copy AFTER INSERT ON staging.t FOR EACH ROW EXECUTE FUNCTION copy();").await;
    (&db)
        .batch_execute("ALTER SCHEMA live RENAME TO old; ALTER SCHEMA staging RENAME TO live")
        .await
        .unwrap();
    ask(&db, TEAMS).await;
    diesel::sql_query("INSERT INTO live.t VALUES (1)").execute(&mut &db).await.unwrap();
    compare(&db, TEAMS).await;
}

#[tokio::test]
async fn truncating_is_no_change_of_the_catalog() {
    let (_database, db) = open().await;
    (&db).batch_execute("TRUNCATE users").await.unwrap();
    ask(&db, TEAMS).await;
    let _a = db.connection().await.unwrap();
    let _b = db.connection().await.unwrap();
    assert!(matches!(ask(&db, TEAMS).await.1, Outcome::Hit(_)));
}

#[tokio::test]
async fn a_check_that_fails_after_ddl() {
    // the catalog cannot be read after the DDL: the statement's own connection is killed at once
    let (_database, db) = open_with("CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO teams VALUES (100, ''x''); RETURN new; END'").await;
    ask(&db, TEAMS).await;
    let (a, b) = (db.connection().await.unwrap(), db.connection().await.unwrap());
    drop((a, b));
    let _r = (&db).batch_execute("CREATE TRIGGER copy AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION copy(); SET statement_timeout = 1; SET search_path = ''; SET default_transaction_isolation='serializable'").await;
    ask(&db, TEAMS).await;
    diesel::sql_query("INSERT INTO users VALUES (9, 'x', NULL)").execute(&mut &db).await.unwrap();
    compare(&db, TEAMS).await;
}

#[tokio::test]
async fn a_write_with_a_trigger_keeps_its_connection() {
    let (_database, db) = open_with(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
         CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();",
    )
    .await;
    let pid = "SELECT pg_backend_pid()::text AS answer";
    let before = ask(&db, pid).await.0;
    for _ in 0..50 {
        diesel::update(users::table.find(1))
            .set(users::name.eq("Eve"))
            .execute(&mut &db)
            .await
            .unwrap();
    }
    for _ in 0..50 {
        diesel::update(teams::table.find(1))
            .set(teams::name.eq("Eve"))
            .execute(&mut &db)
            .await
            .unwrap();
    }
    assert_eq!(ask(&db, pid).await.0, before);
}

//! Sessions in which names mean other tables than the catalog's.

use diesel::{prelude::*, result::Error};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use turbodiesel::Db;

use crate::support::{ann, ask, compare, open, open_with, users};

const TEAMS: &str = "SELECT count(*)::text AS answer FROM teams";

#[tokio::test]
async fn a_local_search_path() {
    let (_database, db) = open_with("CREATE SCHEMA other; CREATE TABLE other.users (LIKE public.users); INSERT INTO other.users VALUES (1,'x',NULL)").await;
    let q = "SELECT name AS answer FROM other.users WHERE id = 1";
    ask(&db, q).await;
    db.transaction::<_, Error, _>(async |connection| {
        connection.batch_execute("SET LOCAL search_path = other").await?;
        diesel::update(users::table.find(1)).set(users::name.eq("Eve")).execute(connection).await?;
        Ok(())
    })
    .await
    .unwrap();
    compare(&db, q).await;
}

#[tokio::test]
async fn a_search_path() {
    let (_database, db) = open_with("CREATE SCHEMA other; CREATE TABLE other.users (LIKE public.users); INSERT INTO other.users VALUES (1,'x',NULL)").await;
    let q = "SELECT name AS answer FROM other.users WHERE id = 1";
    ask(&db, q).await;
    let mut connection = db.connection().await.unwrap();
    connection.batch_execute("SET search_path = other").await.unwrap();
    diesel::update(users::table.find(1))
        .set(users::name.eq("Eve"))
        .execute(&mut connection)
        .await
        .unwrap();
    compare(&db, q).await;
}

#[tokio::test]
async fn a_catalog_seen_from_a_changed_session() {
    let (_database, db) =
        open_with("CREATE SCHEMA other; CREATE TABLE other.users (LIKE public.users)").await;
    let (a, b) = (db.connection().await.unwrap(), db.connection().await.unwrap());
    let connection = db.connection().await.unwrap();
    drop((a, b, connection));
    (&db).batch_execute("SET search_path = other; CREATE TABLE fresh (id int)").await.unwrap();
    let q = "SELECT name AS answer FROM users WHERE id = 1";
    let _first = ask(&db, q).await;
    let _second = ask(&db, q).await;
    diesel::sql_query("UPDATE public.users SET name = 'Eve' WHERE id = 1")
        .execute(&mut &db)
        .await
        .unwrap();
    compare(&db, q).await;
}

#[tokio::test]
async fn a_default_search_path_that_changes() {
    let (database, db) =
        open_with("CREATE SCHEMA other; CREATE TABLE other.users (LIKE public.users)").await;
    database
        .batch_execute(&format!("ALTER DATABASE \"{}\" SET search_path = other", database.name()))
        .unwrap();
    let a = db.connection().await.unwrap();
    let b = db.connection().await.unwrap();
    drop(a);
    let q = "SELECT count(*)::text AS answer FROM users";
    drop(b);
    diesel::sql_query("DELETE FROM public.users WHERE id = 1").execute(&mut &db).await.unwrap();
    compare(&db, q).await;
}

#[tokio::test]
async fn a_temporary_table_with_a_trigger() {
    let (_database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    connection.batch_execute("CREATE TEMP TABLE staging (id int)").await.unwrap();
    connection.batch_execute("CREATE FUNCTION pg_temp.copy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO teams VALUES (100, ''x''); RETURN new; END'").await.unwrap();
    connection.batch_execute(
        "CREATE TRIGGER copy AFTER INSERT ON staging FOR EACH ROW EXECUTE FUNCTION pg_temp.copy()",
    )
    .await
    .unwrap();
    ask(&db, TEAMS).await;
    connection.batch_execute("INSERT INTO staging VALUES (1)").await.unwrap();
    compare(&db, TEAMS).await;
}

#[tokio::test]
async fn a_temporary_table_in_the_way_of_a_table() {
    let (_database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    connection.batch_execute("CREATE TEMP TABLE users (id int)").await.unwrap();
    connection.batch_execute("CREATE FUNCTION pg_temp.copy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO teams VALUES (100, ''x''); RETURN new; END'").await.unwrap();
    connection.batch_execute(
        "CREATE TRIGGER copy AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION pg_temp.copy()",
    )
    .await
    .unwrap();
    ask(&db, TEAMS).await;
    ask(&db, TEAMS).await;
    ask(&db, TEAMS).await;
    connection.batch_execute("INSERT INTO users VALUES (1)").await.unwrap();
    compare(&db, TEAMS).await;
}

#[tokio::test]
async fn a_temporary_table_made_by_a_function_on_a_connection() {
    let (database, _) = open_with("CREATE FUNCTION shadow() RETURNS text LANGUAGE plpgsql AS
       'BEGIN CREATE TEMP TABLE users AS SELECT 1 AS id, ''Mallory''::text AS name, NULL::int AS team; RETURN ''ok''; END'").await;
    let db = Db::builder().url(database.url()).pool_size(1).build().await.unwrap();
    let mut connection = db.connection().await.unwrap();
    diesel::sql_query("SELECT shadow()").execute(&mut connection).await.unwrap();
    drop(connection);
    let got = ann(&db).await;
    assert_eq!(got.0, "Ann");
}

#[tokio::test]
async fn a_temporary_table_made_by_a_function_on_a_handle() {
    let (database, _) = open_with("CREATE FUNCTION shadow() RETURNS text LANGUAGE plpgsql AS
       'BEGIN CREATE TEMP TABLE users AS SELECT 1 AS id, ''Mallory''::text AS name, NULL::int AS team; RETURN ''ok''; END'").await;
    let db = Db::builder().url(database.url()).pool_size(1).build().await.unwrap();
    ask(&db, "SELECT shadow() AS answer").await;
    assert_eq!(ann(&db).await.0, "Ann");
}

//! Functions that are called without being named: by views, defaults, constraints, operators, columns.

use diesel_async::RunQueryDsl;

use crate::support::{ask, compare, open, open_with};

const TEAMS: &str = "SELECT count(*)::text AS answer FROM teams";

#[tokio::test]
async fn a_default_that_writes() {
    let (_database, db) = open_with("CREATE TABLE counters (n int); INSERT INTO counters VALUES (0);
       CREATE FUNCTION next_no() RETURNS int LANGUAGE sql AS 'UPDATE counters SET n = n + 1 RETURNING n';
       CREATE TABLE invoices (no int DEFAULT next_no(), what text)").await;
    let q = "SELECT n::text AS answer FROM counters";
    ask(&db, q).await;
    diesel::sql_query("INSERT INTO invoices (what) VALUES ('x')").execute(&mut &db).await.unwrap();
    compare(&db, q).await;
}

#[tokio::test]
async fn a_view_that_writes() {
    let (_database, db) = open_with("CREATE FUNCTION bump() RETURNS int LANGUAGE sql AS 'INSERT INTO teams VALUES (77, ''x'') RETURNING id';
       CREATE VIEW v AS SELECT bump()::text AS answer").await;
    ask(&db, TEAMS).await;
    compare(&db, TEAMS).await;
}

#[tokio::test]
async fn a_constraint_that_writes() {
    let (_database, db) = open_with("CREATE FUNCTION bump() RETURNS int LANGUAGE sql AS 'INSERT INTO teams VALUES (77, ''x'') RETURNING id';
       CREATE TABLE checked (n int CHECK (n < bump()))").await;
    ask(&db, TEAMS).await;
    diesel::sql_query("INSERT INTO checked VALUES (1)").execute(&mut &db).await.unwrap();
    compare(&db, TEAMS).await;
}

#[tokio::test]
async fn an_operator_that_writes() {
    let (_database, db) = open_with("CREATE FUNCTION bump(int, text) RETURNS text LANGUAGE sql AS 'INSERT INTO teams VALUES (77, ''x'') RETURNING name';
       CREATE OPERATOR + (LEFTARG = int, RIGHTARG = text, FUNCTION = bump)").await;
    ask(&db, TEAMS).await;
    compare(&db, TEAMS).await;
}

#[tokio::test]
async fn an_operator_that_reads() {
    let (_database, db) = open_with("CREATE TABLE rates (n int); INSERT INTO rates VALUES (1);
       CREATE FUNCTION look(int, text) RETURNS text STABLE LANGUAGE sql AS 'SELECT n::text FROM rates';
       CREATE OPERATOR + (LEFTARG = int, RIGHTARG = text, FUNCTION = look)").await;
    let q = "SELECT id + name AS answer FROM users LIMIT 1";
    diesel::sql_query("UPDATE rates SET n = 2").execute(&mut &db).await.unwrap();
    compare(&db, q).await;
}

#[tokio::test]
async fn a_cast_that_reads() {
    let (_database, db) = open_with("CREATE TYPE label AS (x text);
       CREATE FUNCTION to_label(int) RETURNS label STABLE LANGUAGE sql AS 'SELECT ROW((SELECT name FROM teams WHERE id = $1))::label';
       CREATE CAST (int AS label) WITH FUNCTION to_label(int)").await;
    let q = "SELECT ((team::label).x) AS answer FROM users WHERE id = 1";
    diesel::sql_query("UPDATE teams SET name = 'zed' WHERE id = 1")
        .execute(&mut &db)
        .await
        .unwrap();
    compare(&db, q).await;
}

#[tokio::test]
async fn an_aggregate_over_a_stable_function() {
    let (_database, db) = open_with("CREATE TABLE rates (n int); INSERT INTO rates VALUES (1);
       CREATE FUNCTION look(text, text) RETURNS text STABLE LANGUAGE sql AS 'SELECT n::text FROM rates';
       CREATE AGGREGATE lastrate(text) (SFUNC = look, STYPE = text)").await;
    let q = "SELECT lastrate(name) AS answer FROM users";
    diesel::sql_query("UPDATE rates SET n = 2").execute(&mut &db).await.unwrap();
    compare(&db, q).await;
}

#[tokio::test]
async fn a_function_in_the_place_of_a_column() {
    let (_database, db) = open_with("CREATE TABLE rates (n int); INSERT INTO rates VALUES (1);
       CREATE FUNCTION full_name(users) RETURNS text STABLE LANGUAGE sql AS 'SELECT $1.name || n::text FROM rates'").await;
    let q = "SELECT users.full_name AS answer FROM users WHERE id = 1";
    diesel::sql_query("UPDATE rates SET n = 2").execute(&mut &db).await.unwrap();
    compare(&db, q).await;
}

#[tokio::test]
async fn a_function_in_the_place_of_a_column_of_a_view() {
    let (_database, db) = open_with(
        "CREATE TABLE rates (n int); INSERT INTO rates VALUES (1);
       CREATE FUNCTION total(users) RETURNS text STABLE LANGUAGE sql AS 'SELECT n::text FROM rates';
       CREATE VIEW w AS SELECT u.total AS answer FROM users u",
    )
    .await;
    let q = "SELECT answer FROM w LIMIT 1";
    diesel::sql_query("UPDATE rates SET n = 2").execute(&mut &db).await.unwrap();
    compare(&db, q).await;
}

#[tokio::test]
async fn a_function_that_the_catalog_does_not_know_yet() {
    let (database, db) = open().await;
    ask(&db, TEAMS).await;
    database.batch_execute("CREATE FUNCTION bump() RETURNS text LANGUAGE sql AS 'INSERT INTO teams VALUES (77, ''x'') RETURNING name'").unwrap();
    compare(&db, TEAMS).await;
}

#[tokio::test]
async fn a_function_with_capitals() {
    let (_database, db) = open_with("CREATE FUNCTION \"SignUp\"() RETURNS text LANGUAGE sql AS 'INSERT INTO teams VALUES (77, ''x'') RETURNING name'").await;
    ask(&db, TEAMS).await;
    compare(&db, TEAMS).await;
}

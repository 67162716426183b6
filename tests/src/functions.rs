//! Functions that are called without being named: by views, defaults, constraints, operators, columns.

use diesel_async::RunQueryDsl;
use turbodiesel::{Db, Outcome};
use turbodiesel_testkit::Database;

use crate::support::{ask, assert_cached, compare, open, open_with};

const TEAMS: &str = "SELECT count(*)::text AS answer FROM teams";

/// Asserts that a statement which writes teams by calling a function ends what was known of them.
async fn assert_writes_teams(schema: &str, statement: &str) {
    let (_database, db) = open_with(schema).await;
    assert_calls(&db, statement).await;
}

async fn assert_calls(db: &Db, statement: &str) {
    assert_cached(db, TEAMS).await;
    let before = ask(db, TEAMS).await.0;
    diesel::sql_query(statement).execute(&mut &*db).await.unwrap();
    compare(db, TEAMS).await;
    assert_ne!(ask(db, TEAMS).await.0, before, "{statement} writes");
}

/// A database with a table of one row, and functions and views that read it.
async fn with_rates(functions: &str) -> (Database, Db) {
    open_with(&format!(
        "CREATE TABLE rates (n int); INSERT INTO rates VALUES (1);
         CREATE SCHEMA shop; {functions}"
    ))
    .await
}

/// Asserts that an answer which depends on rates through a function follows them.
async fn assert_reads_rates(functions: &str, read: &str) {
    let (_database, db) = with_rates(functions).await;
    let before = ask(&db, read).await.0;
    diesel::sql_query("UPDATE rates SET n = 2").execute(&mut &db).await.unwrap();
    compare(&db, read).await;
    assert_ne!(ask(&db, read).await.0, before, "{read} reads");
}

/// Adds a row to teams, and yields a text.
const BUMP: &str = "CREATE FUNCTION bump() RETURNS text LANGUAGE sql AS
    'INSERT INTO teams SELECT max(id) + 1, ''x'' FROM teams RETURNING name';";

/// The operator `+` of a number and a text, which does the same.
const BUMP_OPERATOR: &str = "CREATE FUNCTION bump(int, text) RETURNS text LANGUAGE sql AS
        'INSERT INTO teams SELECT max(id) + 1, ''x'' FROM teams RETURNING name';
    CREATE OPERATOR + (LEFTARG = int, RIGHTARG = text, FUNCTION = bump);";

/// The same operator, which reads rates.
const LOOK_OPERATOR: &str = "CREATE FUNCTION look(int, text) RETURNS text STABLE LANGUAGE sql AS
        'SELECT n::text FROM rates';
    CREATE OPERATOR + (LEFTARG = int, RIGHTARG = text, FUNCTION = look);";

#[tokio::test]
async fn a_default_that_writes() {
    let schema = format!("{BUMP} CREATE TABLE invoices (no text DEFAULT bump(), what text)");
    assert_writes_teams(&schema, "INSERT INTO invoices (what) VALUES ('x')").await;
}

#[tokio::test]
async fn a_view_that_writes() {
    let schema = format!("{BUMP} CREATE VIEW v AS SELECT bump() AS answer");
    assert_writes_teams(&schema, "SELECT answer FROM v").await;
}

#[tokio::test]
async fn a_constraint_that_writes() {
    let schema = format!("{BUMP} CREATE TABLE checked (what text CHECK (what < bump()))");
    assert_writes_teams(&schema, "INSERT INTO checked VALUES ('a')").await;
}

#[tokio::test]
async fn an_operator_that_writes() {
    assert_writes_teams(BUMP_OPERATOR, "SELECT id + name FROM users WHERE id = 1").await;
}

#[tokio::test]
async fn an_operator_that_reads() {
    let read = "SELECT id + name AS answer FROM users WHERE id = 1";
    assert_reads_rates(LOOK_OPERATOR, read).await;
}

/// The statement does not show it.
#[tokio::test]
async fn an_operator_of_a_view() {
    let view = "CREATE VIEW v AS SELECT id + name AS answer FROM users WHERE id = 1;";
    let read = "SELECT answer FROM v";
    assert_writes_teams(&format!("{BUMP_OPERATOR} {view}"), read).await;
    assert_reads_rates(&format!("{LOOK_OPERATOR} {view}"), read).await;
}

/// Nor does it show these.
#[tokio::test]
async fn an_operator_beside_a_write() {
    let default = "CREATE TABLE invoices (id int, what text DEFAULT 1 + 'x'::text);";
    let insert = "INSERT INTO invoices VALUES (1)";
    assert_writes_teams(&format!("{BUMP_OPERATOR} {default}"), insert).await;
    let condition = "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN RETURN NULL; END';
        CREATE TRIGGER act AFTER UPDATE ON users FOR EACH ROW WHEN (NEW.id + NEW.name = 'y')
            EXECUTE FUNCTION act();";
    let update = "UPDATE users SET name = 'z' WHERE id = 1";
    assert_writes_teams(&format!("{BUMP_OPERATOR} {condition}"), update).await;
}

/// What is not along the search path is spelt so.
#[tokio::test]
async fn an_operator_of_another_schema() {
    let elsewhere = LOOK_OPERATOR.replace("OPERATOR +", "OPERATOR shop.+");
    let read = "SELECT id OPERATOR(shop.+) name AS answer FROM users WHERE id = 1";
    assert_reads_rates(&elsewhere, read).await;
    let view = format!("{elsewhere} CREATE VIEW v AS {read}");
    assert_reads_rates(&view, "SELECT answer FROM v").await;
}

#[tokio::test]
async fn a_cast_that_reads() {
    let functions = "CREATE TYPE label AS (x text);
        CREATE FUNCTION to_label(int) RETURNS label STABLE LANGUAGE sql AS
            'SELECT ROW((SELECT n::text FROM rates))::label';
        CREATE CAST (int AS label) WITH FUNCTION to_label(int);";
    let read = "SELECT ((team::label).x) AS answer FROM users WHERE id = 1";
    assert_reads_rates(functions, read).await;
}

#[tokio::test]
async fn an_aggregate_over_a_stable_function() {
    let functions = "CREATE FUNCTION look(text, text) RETURNS text STABLE LANGUAGE sql AS
            'SELECT n::text FROM rates';
        CREATE AGGREGATE lastrate(text) (SFUNC = look, STYPE = text);";
    assert_reads_rates(functions, "SELECT lastrate(name) AS answer FROM users").await;
}

/// A function of a row, called as if it were a column.
const TOTAL: &str = "CREATE FUNCTION total(users) RETURNS text STABLE LANGUAGE sql AS
    'SELECT $1.name || n::text FROM rates';";

#[tokio::test]
async fn a_function_in_the_place_of_a_column() {
    assert_reads_rates(TOTAL, "SELECT users.total AS answer FROM users WHERE id = 1").await;
}

#[tokio::test]
async fn a_function_in_the_place_of_a_column_of_a_view() {
    let view = format!("{TOTAL} CREATE VIEW w AS SELECT u.total AS answer FROM users u");
    assert_reads_rates(&view, "SELECT answer FROM w LIMIT 1").await;
}

#[tokio::test]
async fn a_function_that_the_catalog_does_not_know_yet() {
    let (database, db) = open().await;
    ask(&db, TEAMS).await;
    database.batch_execute(BUMP).unwrap();
    assert_calls(&db, "SELECT bump()").await;
}

#[tokio::test]
async fn an_operator_that_the_catalog_does_not_know_yet() {
    let (database, db) = open().await;
    ask(&db, TEAMS).await;
    database.batch_execute("CREATE SCHEMA shop").unwrap();
    database.batch_execute(&BUMP_OPERATOR.replace("OPERATOR +", "OPERATOR shop.+")).unwrap();
    assert_calls(&db, "SELECT id OPERATOR(shop.+) name FROM users WHERE id = 1").await;
}

#[tokio::test]
async fn a_function_with_capitals() {
    let schema = BUMP.replace("bump()", "\"SignUp\"()");
    assert_writes_teams(&schema, "SELECT \"SignUp\"()").await;
}

/// A query that the parser does not know may still call what writes, and is harmless otherwise.
#[tokio::test]
async fn queries_that_are_not_parsed() {
    let odd = "'x'::varchar(4) COLLATE \"C\" <> '' AND ('x'::varchar(4) COLLATE \"C\") <> ''";
    let view = format!("{BUMP} CREATE VIEW v AS SELECT bump() AS answer");
    assert_writes_teams(&view, &format!("SELECT answer FROM v WHERE {odd}")).await;
    assert_writes_teams(&view, &format!("SELECT answer FROM \"v\" WHERE {odd}")).await;
    let view = view
        .replace("VIEW v", "SCHEMA shop CREATE VIEW v")
        .replace("bump() AS", "public.bump() AS");
    assert_writes_teams(&view, &format!("SELECT answer FROM shop.v WHERE {odd}")).await;
    let column = BUMP.replace("bump()", "bump(users)");
    assert_writes_teams(&column, &format!("SELECT u.bump FROM users u WHERE id = 1 AND {odd}"))
        .await;
    // What the grammar reserves is a name behind a point.
    let reserved = BUMP.replace("bump()", "\"varchar\"(int)");
    assert_writes_teams(&reserved, &format!("SELECT public.varchar(4) WHERE {odd}")).await;
    assert_writes_teams(&reserved, &format!("SELECT \"varchar\"(4) WHERE {odd}")).await;
    let (_database, db) = open_with(BUMP).await;
    assert_cached(&db, TEAMS).await;
    ask(&db, &format!("SELECT name AS answer FROM users WHERE id = 1 AND {odd}")).await;
    assert!(matches!(ask(&db, TEAMS).await.1, Outcome::Hit(_)));
}

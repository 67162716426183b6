//! Functions that are called without being named: by views, defaults, constraints, operators, columns.

use diesel::{
    prelude::*,
    sql_types::{Bool, Integer},
};
use diesel_async::RunQueryDsl;
use turbodiesel::{Bypass, Db, Outcome};
use turbodiesel_testkit::Database;

use crate::support::{ask, assert_cached, assert_effect, compare, open, open_with, users};

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
    for (symbol, call) in
        [("shop.+", "OPERATOR(shop.+)"), ("<#>", "<#>"), ("<=>", "<=>"), ("<%", "<%")]
    {
        // Parsed and not.
        for more in ["", "AND ('x'::varchar(4) COLLATE \"C\") <> ''"] {
            let (database, db) = open().await;
            ask(&db, TEAMS).await;
            let operator = BUMP_OPERATOR.replace("OPERATOR +", &format!("OPERATOR {symbol}"));
            database.batch_execute(&format!("CREATE SCHEMA shop; {operator}")).unwrap();
            assert_calls(&db, &format!("SELECT id {call} name FROM users WHERE id = 1 {more}"))
                .await;
        }
    }
}

/// Asserts that a read writes nothing, as far as anybody can see: what was known stays known.
async fn assert_leaves_alone(db: &Db, read: &str) -> Outcome {
    assert_cached(db, TEAMS).await;
    ask(db, read).await;
    let (_, outcome) = ask(db, read).await;
    let (_, teams) = ask(db, TEAMS).await;
    assert!(matches!(teams, Outcome::Hit(_)), "{read} ({outcome}) → {TEAMS}: {teams}");
    outcome
}

/// Operators of extensions, by the names that they have there. The parser does not list them, takes
/// some for another dialect's, and misreads some.
#[tokio::test]
async fn operators_that_only_compute() {
    for symbol in ["<#>", "<=>", "<->", "<~>", "<%>", "<%", "%>>", "~~~", "&&&", "<->>>"] {
        let operator = |volatility: &str| {
            format!(
                "CREATE FUNCTION apart(int, int) RETURNS int {volatility} LANGUAGE sql
                    AS 'SELECT abs($1 - $2)';
                 CREATE OPERATOR {symbol} (LEFTARG = int, RIGHTARG = int, FUNCTION = apart);
                 CREATE SCHEMA shop;
                 CREATE OPERATOR shop.{symbol} (LEFTARG = int, RIGHTARG = int, FUNCTION = apart);"
            )
        };
        let by_symbol = format!("SELECT (id {symbol} 4)::text AS answer FROM users WHERE id = 1");
        let by_schema = format!(
            "SELECT (id OPERATOR(Shop.{symbol}) 4)::text AS answer FROM users WHERE id = 1"
        );
        let ordered = format!("SELECT name AS answer FROM users ORDER BY id {symbol} 3 LIMIT 1");
        let (_database, db) = open_with(&operator("IMMUTABLE")).await;
        for read in [&by_symbol, &by_schema, &ordered] {
            let outcome = assert_leaves_alone(&db, read).await;
            assert!(matches!(outcome, Outcome::Hit(_)), "{read}: {outcome}");
        }
        assert_effect(&db, &by_symbol, "UPDATE users SET id = 9 WHERE id = 2", false).await;
        let (_database, db) = open_with(&operator("STABLE")).await;
        for read in [&by_symbol, &by_schema, &ordered] {
            let outcome = assert_leaves_alone(&db, read).await;
            assert_eq!(outcome, Outcome::Bypass(Bypass::StableFunction), "{read}");
        }
    }
}

/// Symbols that the parser takes for two operators; so the statement is not understood, but the catalog
/// knows enough of its words.
#[tokio::test]
async fn operators_that_the_parser_splits() {
    for symbol in ["<+>", "@@@"] {
        let (_database, db) = open_with(&format!(
            "CREATE FUNCTION apart(int, int) RETURNS int IMMUTABLE LANGUAGE sql
                AS 'SELECT abs($1 - $2)';
             CREATE OPERATOR {symbol} (LEFTARG = int, RIGHTARG = int, FUNCTION = apart);"
        ))
        .await;
        let read = format!("SELECT (id {symbol} 4)::text AS answer FROM users WHERE id = 1");
        assert_leaves_alone(&db, &read).await;
        // One of the system's own.
        assert_leaves_alone(&db, "SELECT (u *= u)::text AS answer FROM users u WHERE id = 1").await;
    }
}

/// The same symbols, when they do more than that.
#[tokio::test]
async fn operators_that_nobody_lists_and_that_write() {
    for symbol in ["<#>", "<=>", "<%", "<+>"] {
        let operator = BUMP_OPERATOR.replace("OPERATOR +", &format!("OPERATOR {symbol}"));
        let read = format!("SELECT id {symbol} name FROM users WHERE id = 1");
        assert_writes_teams(&operator, &read).await;
        let view = format!("{operator} CREATE VIEW v AS {read}");
        assert_writes_teams(&view, "SELECT * FROM v").await;
    }
}

/// PostgreSQL's own that the parser does not list.
#[tokio::test]
async fn operators_of_the_system() {
    let (_database, db) = open().await;
    for read in [
        "SELECT (name ~<~ 'B')::text AS answer FROM users WHERE id = 1",
        "SELECT (int4range(id, 5) -|- int4range(5, 7))::text AS answer FROM users WHERE id = 1",
    ] {
        let outcome = assert_leaves_alone(&db, read).await;
        assert!(matches!(outcome, Outcome::Hit(_)), "{read}: {outcome}");
    }
    // That of times and intervals, of the same name, depends on the session's time zone.
    let read = "SELECT (id OPERATOR(pg_catalog.+) 1)::text AS answer FROM users WHERE id = 1";
    let outcome = assert_leaves_alone(&db, read).await;
    assert_eq!(outcome, Outcome::Bypass(Bypass::StableFunction));
}

/// Those of a real extension: similarity depends on a setting of the session, distance does not.
#[tokio::test]
async fn operators_of_an_extension() {
    let (_database, db) = open_with("CREATE EXTENSION pg_trgm").await;
    for similar in ["'Ann' <% name", "name % 'Ann'", "name %> 'Ann'", "'Ann' <<% name"] {
        let read = format!("SELECT count(*)::text AS answer FROM users WHERE {similar}");
        let outcome = assert_leaves_alone(&db, &read).await;
        assert_eq!(outcome, Outcome::Bypass(Bypass::StableFunction), "{read}");
    }
    for distance in ["name <-> 'Ann'", "name <->> 'Ann'", "'Ann' <<-> name"] {
        let read = format!("SELECT ({distance})::text AS answer FROM users WHERE id = 1");
        let outcome = assert_leaves_alone(&db, &read).await;
        assert!(matches!(outcome, Outcome::Hit(_)), "{read}: {outcome}");
    }
}

/// What PostgreSQL calls `==` is always a user's, and its function need not tell more than parity.
#[tokio::test]
async fn an_equality_of_another_name_confines_nothing() {
    let (_database, db) = open_with(
        "CREATE FUNCTION alike(int, int) RETURNS bool IMMUTABLE LANGUAGE sql
            AS 'SELECT $1 % 2 = $2 % 2';
         CREATE OPERATOR == (LEFTARG = int, RIGHTARG = int, FUNCTION = alike);",
    )
    .await;
    let read = "SELECT string_agg(name, ',' ORDER BY id) AS answer FROM users WHERE id == 1";
    ask(&db, read).await;
    diesel::sql_query("UPDATE users SET name = 'Cyd' WHERE id = 3")
        .execute(&mut &db)
        .await
        .unwrap();
    compare(&db, read).await;
    // The same of a write: more is updated than the row with that key.
    let read = "SELECT name AS answer FROM users WHERE id = 3";
    ask(&db, read).await;
    diesel::sql_query("UPDATE users SET name = 'x' WHERE id == 1").execute(&mut &db).await.unwrap();
    compare(&db, read).await;
}

/// PostgreSQL takes as many characters for one operator as it can.
#[tokio::test]
async fn an_operator_that_begins_as_an_equality() {
    for symbol in ["=@", "=~", "=!", "=|", "==="] {
        let look = LOOK_OPERATOR.replace("OPERATOR +", &format!("OPERATOR {symbol}"));
        let read = format!("SELECT id {symbol} name AS answer FROM users WHERE id = 1");
        assert_reads_rates(&look, &read).await;
        let bump = BUMP_OPERATOR.replace("OPERATOR +", &format!("OPERATOR {symbol}"));
        assert_writes_teams(&bump, &read).await;
    }
}

/// An equality of a key's type that equates more than the system's.
#[tokio::test]
async fn an_equality_of_the_users_own_confines_nothing() {
    let (_database, db) = open_with(
        "CREATE FUNCTION alike(varchar, varchar) RETURNS bool IMMUTABLE LANGUAGE sql
            AS 'SELECT lower($1) OPERATOR(pg_catalog.=) lower($2)';
         CREATE OPERATOR = (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = alike);
         CREATE TABLE codes (code varchar PRIMARY KEY, n int);
         INSERT INTO codes VALUES ('A', 1), ('a', 2);",
    )
    .await;
    let read = "SELECT sum(n)::text AS answer FROM codes WHERE code = 'A'";
    let other = "SELECT n::text AS answer FROM codes WHERE code LIKE 'a'";
    for write in
        ["UPDATE codes SET n = 7 WHERE code LIKE 'a'", "UPDATE codes SET n = 8 WHERE code = 'a'"]
    {
        ask(&db, read).await;
        ask(&db, other).await;
        diesel::sql_query(write).execute(&mut &db).await.unwrap();
        compare(&db, read).await;
        compare(&db, other).await;
    }
}

/// Syntax that calls an operator without its symbol, or by another.
const UNSPELT: [(&str, &str); 13] = [
    ("<>", "id != name"),
    ("=", "id IN (name)"),
    ("<>", "id NOT IN (name)"),
    ("=", "id IS NOT DISTINCT FROM name"),
    ("=", "nullif(id, name) IS NULL"),
    ("=", "CASE id WHEN name THEN true ELSE false END"),
    ("~~", "id LIKE name"),
    ("!~~", "id NOT LIKE name"),
    ("~~*", "id ILIKE name"),
    ("!~~*", "id NOT ILIKE name"),
    (">=", "id BETWEEN name AND 5"),
    ("<=", "id BETWEEN 0 AND name"),
    ("=", "id = ANY (ARRAY[name])"),
];

/// An operator of a number and a text that tells a truth.
fn truth(symbol: &str, function: &str) -> String {
    format!(
        "CREATE FUNCTION tell(int, text) RETURNS bool {function};
         CREATE OPERATOR {symbol} (LEFTARG = int, RIGHTARG = text, FUNCTION = tell);"
    )
}

#[tokio::test]
async fn operators_that_syntax_calls() {
    for (symbol, condition) in UNSPELT {
        let look = truth(symbol, "STABLE LANGUAGE sql AS 'SELECT n = 1 FROM rates'");
        let read = format!("SELECT ({condition})::text AS answer FROM users WHERE id = 1");
        assert_reads_rates(&look, &read).await;
        let view = format!("{look} CREATE VIEW v AS {read};");
        assert_reads_rates(&view, "SELECT answer FROM v").await;
        let write = "'INSERT INTO teams SELECT max(id) + 1, ''x'' FROM teams RETURNING true'";
        // Any statement may call it, so nothing is cached at all.
        let (_database, db) = open_with(&truth(symbol, &format!("LANGUAGE sql AS {write}"))).await;
        ask(&db, TEAMS).await;
        diesel::sql_query(&read).execute(&mut &db).await.unwrap();
        compare(&db, TEAMS).await;
    }
}

/// The planner calls the negator for `NOT`, whatever the operator's own function is.
#[tokio::test]
async fn an_operator_whose_negator_reads() {
    let functions = "CREATE FUNCTION tell(int, text) RETURNS bool STABLE LANGUAGE sql
            AS 'SELECT n = 1 FROM rates';
        CREATE FUNCTION never(int, text) RETURNS bool IMMUTABLE LANGUAGE plpgsql
            AS 'BEGIN RETURN false; END';
        CREATE OPERATOR <!> (LEFTARG = int, RIGHTARG = text, FUNCTION = tell);
        CREATE OPERATOR <#> (LEFTARG = int, RIGHTARG = text, FUNCTION = never, NEGATOR = <!>);";
    let read = "SELECT (NOT (id <#> name))::text AS answer FROM users WHERE id = 1";
    assert_reads_rates(functions, read).await;
}

/// Who made an operator is not told by its schema.
#[tokio::test]
async fn an_extension_among_the_systems_own() {
    let (_database, db) = open_with("CREATE EXTENSION pg_trgm WITH SCHEMA pg_catalog").await;
    for call in ["name % 'Ann'", "similarity_op(name, 'Ann')"] {
        let read = format!("SELECT count(*)::text AS answer FROM users WHERE {call}");
        let outcome = assert_leaves_alone(&db, &read).await;
        assert_eq!(outcome, Outcome::Bypass(Bypass::StableFunction), "{read}");
    }
}

/// What only looks like a call of an extension's operator is as it is without.
#[tokio::test]
async fn an_extension_leaves_ordinary_queries_alone() {
    let (_database, db) = open_with("CREATE EXTENSION pg_trgm").await;
    for condition in [
        "name LIKE 'A%'",
        "id % 2 = 1",
        "(id % 2) <> 0",
        "7 % id = 0",
        "u.id % team = 0",
        "-id % 2 < 1",
    ] {
        let read = format!("SELECT count(*)::text AS answer FROM users u WHERE {condition}");
        let outcome = assert_leaves_alone(&db, &read).await;
        assert!(matches!(outcome, Outcome::Hit(_)), "{read}: {outcome}");
    }
    // Written by diesel, with a bind.
    let odd = async |db: &Db| {
        let mut handle = db.handle();
        let odd =
            diesel::dsl::sql::<Bool>("(\"users\".\"id\" % ").bind::<Integer, _>(2).sql(") = 1");
        let count: i64 = users::table.filter(odd).count().get_result(&mut handle).await.unwrap();
        (count, handle.outcome().unwrap())
    };
    odd(&db).await;
    let (count, outcome) = odd(&db).await;
    assert_eq!(count, 2);
    assert!(matches!(outcome, Outcome::Hit(_)), "{outcome}");
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

//! What the catalog tells: keys, their types, what foreign keys do; and catalogs that change under
//! way.

use diesel::prelude::*;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use turbodiesel::{Bypass, Db, Outcome};
use turbodiesel_testkit::Database;

use crate::support::{ask, assert_cached, bypass, compare, open, open_with, teams, users};

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

/// Asserts whether an answer survives a write that is executed alone, so that it may learn what it
/// touched.
async fn assert_survives(db: &Db, read: &str, write: &str, survives: bool) {
    assert_cached(db, read).await;
    diesel::sql_query(write).execute(&mut &*db).await.unwrap();
    let (_, outcome) = ask(db, read).await;
    assert_eq!(matches!(outcome, Outcome::Hit(_)), survives, "{write} → {read}: {outcome}");
    compare(db, read).await;
}

/// A table of two rows with a column that is declared so, and its two values.
async fn with_column(declared: &str, values: [&str; 2], more: &str) -> (Database, Db) {
    open_with(&format!(
        "CREATE EXTENSION citext;
         CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN whole AS int;
         CREATE TABLE keyed (id int PRIMARY KEY, other int, note text, k {declared});
         INSERT INTO keyed (id, other, k) VALUES (1, 1, {}), (2, 2, {}); {more}",
        values[0], values[1]
    ))
    .await
}

#[tokio::test]
async fn which_columns_are_keys() {
    const NUMBERS: [&str; 2] = ["1", "2"];
    const WORDS: [&str; 2] = ["'a'", "'b'"];
    const UUIDS: [&str; 2] =
        ["'6f1c2d5e-0000-4000-8000-000000000001'", "'6f1c2d5e-0000-4000-8000-000000000002'"];
    for (declared, values, more, is_key) in [
        ("smallint UNIQUE", NUMBERS, "", true),
        ("bigint UNIQUE", NUMBERS, "", true),
        ("int REFERENCES teams", NUMBERS, "", true),
        ("uuid UNIQUE", UUIDS, "", true),
        ("boolean", ["true", "false"], "CREATE INDEX ON keyed (k)", true),
        ("text UNIQUE", WORDS, "", true),
        ("varchar UNIQUE", WORDS, "", true),
        // By an index of whatever sort.
        ("int", NUMBERS, "", false),
        ("int", NUMBERS, "CREATE INDEX ON keyed (k, other)", true),
        ("int", NUMBERS, "CREATE INDEX ON keyed (other, k)", false),
        ("int", NUMBERS, "CREATE UNIQUE INDEX ON keyed (other, k)", true),
        ("int", NUMBERS, "CREATE UNIQUE INDEX ON keyed (other) INCLUDE (k)", false),
        ("int", NUMBERS, "CREATE INDEX ON keyed (k) WHERE note IS NULL", true),
        ("int", NUMBERS, "CREATE INDEX ON keyed (abs(k))", false),
        ("text", WORDS, "CREATE INDEX ON keyed (lower(k))", false),
        // Types that have other spellings of the same value.
        ("varchar(9) UNIQUE", WORDS, "", false),
        ("char(3) UNIQUE", WORDS, "", false),
        ("citext UNIQUE", WORDS, "", false),
        ("text COLLATE ci UNIQUE", WORDS, "", false),
        ("numeric UNIQUE", NUMBERS, "", false),
        ("whole UNIQUE", NUMBERS, "", false),
        ("mood UNIQUE", ["'sad'", "'glad'"], "", false),
        ("timestamptz UNIQUE", ["'2020-01-01'", "'2020-01-02'"], "", false),
    ] {
        let (_database, db) = with_column(declared, values, more).await;
        let read = format!("SELECT count(note)::text AS answer FROM keyed WHERE k = {}", values[0]);
        let write = |id: i32| format!("UPDATE keyed SET note = 'x' WHERE id = {id}");
        println!("{declared} {more}");
        assert_survives(&db, &read, &write(2), is_key).await;
        assert_survives(&db, &read, &write(1), false).await;
    }
}

/// A write that is pinned on a key of one row learns what it touched; any other may be long.
#[tokio::test]
async fn which_keys_are_unique() {
    for (declared, more, is_unique) in [
        ("int UNIQUE", "", true),
        // Whether or not answers are told apart by it.
        ("numeric UNIQUE", "", true),
        ("int UNIQUE DEFERRABLE", "", false),
        ("int", "CREATE INDEX ON keyed (k)", false),
        ("int", "CREATE UNIQUE INDEX ON keyed (k)", true),
        ("int", "CREATE UNIQUE INDEX ON keyed (k) INCLUDE (note)", true),
        ("int", "CREATE UNIQUE INDEX ON keyed (k) WHERE note IS NULL", false),
        ("int", "CREATE UNIQUE INDEX ON keyed (k, other)", false),
        ("int", "CREATE UNIQUE INDEX ON keyed (k, (other + 1))", false),
        // A child has rows of its own with the same values.
        ("int UNIQUE", "CREATE TABLE child () INHERITS (keyed)", false),
    ] {
        let (_database, db) = with_column(declared, ["1", "2"], more).await;
        let read = "SELECT count(note)::text AS answer FROM keyed WHERE id = 1";
        println!("{declared} {more}");
        assert_survives(&db, read, "UPDATE keyed SET note = 'x' WHERE k = 2", is_unique).await;
        assert_survives(&db, read, "UPDATE keyed SET note = 'x' WHERE k = 1", false).await;
    }
}

/// So does one that is pinned on all columns of such a key.
#[tokio::test]
async fn which_keys_of_several_columns_are_unique() {
    for (declared, more, is_unique) in [
        ("int, UNIQUE (k, other)", "", true),
        ("int, UNIQUE (other, k)", "", true),
        ("numeric, UNIQUE (k, other)", "", true),
        ("int, UNIQUE (k, other) DEFERRABLE", "", false),
        ("int", "CREATE INDEX ON keyed (k, other)", false),
        ("int", "CREATE UNIQUE INDEX ON keyed (k, other) INCLUDE (note)", true),
        ("int", "CREATE UNIQUE INDEX ON keyed (k, other) WHERE note IS NULL", false),
        ("int", "CREATE UNIQUE INDEX ON keyed (k, other, note)", false),
        ("int", "CREATE UNIQUE INDEX ON keyed (k, other, (id + 1))", false),
        // Its operators are not the system's, and might be finer than `=`.
        ("citext, UNIQUE (other, k)", "", false),
        ("int, UNIQUE (k, other)", "CREATE TABLE child () INHERITS (keyed)", false),
    ] {
        let (_database, db) = with_column(declared, ["'1'", "'2'"], more).await;
        let read = "SELECT count(note)::text AS answer FROM keyed WHERE id = 1";
        let write = |n: i32| format!("UPDATE keyed SET note = 'x' WHERE other = {n} AND k = '{n}'");
        println!("{declared} {more}");
        assert_survives(&db, read, &write(2), is_unique).await;
        assert_survives(&db, read, &write(1), false).await;
    }
}

#[tokio::test]
async fn a_key_of_several_columns_that_comes_and_goes_elsewhere() {
    let (database, db) = with_column("int", ["1", "2"], "").await;
    let read = "SELECT count(note)::text AS answer FROM keyed WHERE id = 1";
    let write = "UPDATE keyed SET note = 'x' WHERE k = 2 AND other = 2";
    assert_survives(&db, read, write, false).await;
    for (change, survives) in [
        ("CREATE UNIQUE INDEX pair ON keyed (k, other)", true),
        ("DROP INDEX pair", false),
        ("ALTER TABLE keyed ADD CONSTRAINT pair UNIQUE (k, other)", true),
        ("ALTER TABLE keyed DROP CONSTRAINT pair", false),
    ] {
        database.batch_execute(change).unwrap();
        check_catalog(&db).await;
        println!("{change}");
        assert_survives(&db, read, write, survives).await;
    }
}

#[tokio::test]
async fn a_key_that_goes() {
    let (_database, db) = with_column("int", ["1", "2"], "CREATE INDEX k ON keyed (k)").await;
    let read = "SELECT count(note)::text AS answer FROM keyed WHERE k = 1";
    let write = "UPDATE keyed SET note = 'x' WHERE id = 2";
    assert_survives(&db, read, write, true).await;
    (&db).batch_execute("DROP INDEX k").await.unwrap();
    assert_survives(&db, read, write, false).await;
    (&db).batch_execute("CREATE INDEX k ON keyed (k)").await.unwrap();
    assert_survives(&db, read, write, true).await;
    (&db).batch_execute("ALTER TABLE keyed ALTER k TYPE numeric").await.unwrap();
    assert_survives(&db, read, write, false).await;
}

/// What hangs on a table is noticed when it changes elsewhere: the signature tells.
#[tokio::test]
async fn changes_elsewhere_are_noticed_by_the_next_connection() {
    let read = "SELECT count(note)::text AS answer FROM keyed WHERE k = 1";
    let write = "UPDATE keyed SET note = 'x' WHERE id = 2";
    for change in [
        "DROP INDEX k",
        "ALTER TABLE keyed ALTER k TYPE numeric",
        "ALTER TABLE keyed RENAME k TO j; ALTER TABLE keyed RENAME other TO k",
        "ALTER TABLE keyed ENABLE ROW LEVEL SECURITY",
        "CREATE TRIGGER act AFTER UPDATE ON keyed EXECUTE FUNCTION act()",
    ] {
        let act = "CREATE INDEX k ON keyed (k); CREATE FUNCTION act() RETURNS trigger
            LANGUAGE plpgsql AS 'BEGIN EXECUTE ''SELECT''; RETURN NULL; END'";
        let (database, db) = with_column("int", ["1", "2"], act).await;
        assert_survives(&db, read, write, true).await;
        database.batch_execute(change).unwrap();
        check_catalog(&db).await;
        println!("{change}");
        if change.contains("SECURITY") {
            assert_eq!(bypass(&db, read).await, Bypass::RowSecurity);
        } else {
            assert_survives(&db, read, write, false).await;
        }
    }
}

/// A name that means another column now, whose equality is another one as well.
#[tokio::test]
async fn columns_that_change_names_elsewhere() {
    let loose =
        "ALTER TABLE keyed ADD loose text COLLATE ci UNIQUE; UPDATE keyed SET loose = upper(k)";
    let (database, db) = with_column("text UNIQUE", ["'a'", "'b'"], loose).await;
    let read = "SELECT count(note)::text AS answer FROM keyed WHERE k = 'a'";
    assert_survives(&db, read, "UPDATE keyed SET note = 'x' WHERE id = 2", true).await;
    database
        .batch_execute("ALTER TABLE keyed RENAME k TO j; ALTER TABLE keyed RENAME loose TO k")
        .unwrap();
    check_catalog(&db).await;
    assert_survives(&db, read, "UPDATE keyed SET note = 'x' WHERE id = 1", false).await;
}

/// Makes the pool open a connection, which checks the catalog.
async fn check_catalog(db: &Db) {
    let held = db.stats().pool.size;
    let mut connections = Vec::new();
    for _ in 0..=held {
        connections.push(db.connection().await.unwrap());
    }
}

/// To return a column takes the right to read it, which a write does not need otherwise.
#[tokio::test]
async fn nothing_is_learnt_that_the_role_may_not_read() {
    let (database, _db) = open_with(
        "DO 'BEGIN CREATE ROLE writer LOGIN; EXCEPTION WHEN duplicate_object THEN END';
         CREATE TABLE secrets (id serial PRIMARY KEY, code int UNIQUE, note text);
         CREATE TABLE guarded (id serial PRIMARY KEY, note text);
         CREATE TABLE ruled (id serial PRIMARY KEY, note text);
         ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
         CREATE POLICY adding ON guarded FOR INSERT WITH CHECK (true);
         CREATE RULE quiet AS ON UPDATE TO ruled WHERE NEW.id < 0 DO INSTEAD NOTHING;
         INSERT INTO secrets (code) VALUES (1), (2);
         GRANT INSERT, UPDATE ON secrets, guarded, ruled TO writer;
         GRANT SELECT ON ruled, guarded TO writer;
         GRANT SELECT (id, note) ON secrets TO writer;
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO writer;",
    )
    .await;
    let url = database.url().replace("//postgres@", "//writer@");
    let db = Db::builder().url(&url).build().await.unwrap();
    let read = "SELECT count(note)::text AS answer FROM secrets WHERE id = 1";
    assert_survives(&db, read, "UPDATE secrets SET note = 'x' WHERE id = 2", true).await;
    assert_survives(&db, read, "INSERT INTO secrets (code) VALUES (3)", false).await;
    for write in
        ["INSERT INTO guarded (note) VALUES ('x')", "INSERT INTO ruled (note) VALUES ('x')"]
    {
        assert_eq!(diesel::sql_query(write).execute(&mut &db).await, Ok(1), "{write}");
    }
    // From now on it may, and then no more.
    for (grant, revoke) in [
        (
            "GRANT SELECT ON secrets TO writer",
            "REVOKE SELECT ON secrets FROM writer; GRANT SELECT (id, note) ON secrets TO writer",
        ),
        ("GRANT SELECT (code) ON secrets TO writer", "REVOKE SELECT (code) ON secrets FROM writer"),
        ("GRANT pg_read_all_data TO writer", "REVOKE pg_read_all_data FROM writer"),
    ] {
        database.batch_execute(grant).unwrap();
        check_catalog(&db).await;
        println!("{grant}");
        assert_survives(&db, read, "INSERT INTO secrets (code) VALUES (DEFAULT)", true).await;
        database.batch_execute(revoke).unwrap();
        check_catalog(&db).await;
        assert_survives(&db, read, "INSERT INTO secrets (code) VALUES (DEFAULT)", false).await;
    }
}

#[tokio::test]
async fn inherited_rows() {
    let (_database, db) = open_with(
        "CREATE TABLE animals (id int, name text, note text);
         CREATE TABLE dogs (breed int) INHERITS (animals);
         CREATE INDEX ON dogs (id); CREATE INDEX ON dogs (breed);
         INSERT INTO animals VALUES (1, 'a'), (2, 'b');
         INSERT INTO dogs VALUES (1, 'c', NULL, 1), (2, 'd', NULL, 2);",
    )
    .await;
    let animal = "SELECT count(note)::text AS answer FROM animals WHERE id = 1";
    let dog = "SELECT count(note)::text AS answer FROM dogs WHERE id = 1";
    // A key of one is a key of all, whichever has the index.
    for read in [animal, dog] {
        for table in ["animals", "dogs"] {
            let write = |id: i32| format!("UPDATE {table} SET note = 'x' WHERE id = {id}");
            assert_survives(&db, read, &write(2), true).await;
            assert_survives(&db, read, &write(1), false).await;
        }
    }
    // What only the child has is a key of none: a write of the parent does not tell it.
    let bred = "SELECT count(note)::text AS answer FROM dogs WHERE breed = 1";
    assert_survives(&db, bred, "UPDATE animals SET note = 'y' WHERE id = 1", false).await;
    assert_survives(&db, bred, "UPDATE dogs SET note = 'y' WHERE id = 2", false).await;
}

/// Of a child of teams, with children of its own, which survive a write of teams: it and those that
/// refer to its key. Those that refer to another column of it always do.
async fn family_survives(acts: &str, more: &str, write: &str, child: bool, grandchild: bool) {
    let (_database, db) = open_with(&format!(
        "ALTER TABLE teams ADD COLUMN code int UNIQUE, ADD COLUMN half int,
             ADD COLUMN twice int GENERATED ALWAYS AS (half * 2) STORED UNIQUE;
         UPDATE teams SET code = id * 2, half = id;
         CREATE TABLE child (id int PRIMARY KEY, key int UNIQUE, name int UNIQUE);
         CREATE TABLE grandchild (key int REFERENCES child (key) ON UPDATE CASCADE ON DELETE CASCADE);
         CREATE TABLE nephew (name int REFERENCES child (name) ON UPDATE CASCADE);
         INSERT INTO child VALUES (1, 2, 1), (2, 4, 2);
         INSERT INTO grandchild VALUES (2), (4);
         ALTER TABLE child ADD FOREIGN KEY (key) {acts}; {more}"
    ))
    .await;
    let tables = ["child", "grandchild", "nephew"];
    let read = |table: &str| {
        format!("SELECT coalesce(string_agg({table}::text, ','), '') AS answer FROM {table}")
    };
    for table in tables {
        assert_cached(&db, &read(table)).await;
    }
    println!("{acts}: {write}");
    diesel::sql_query(write).execute(&mut &db).await.unwrap();
    for (table, survives) in tables.into_iter().zip([child, grandchild, true]) {
        let (_, outcome) = ask(&db, &read(table)).await;
        assert_eq!(
            matches!(outcome, Outcome::Hit(_)),
            survives,
            "{table} after {write}: {outcome}"
        );
        compare(&db, &read(table)).await;
    }
}

#[tokio::test]
async fn foreign_keys_act_on_what_they_name() {
    const RENAME: &str = "UPDATE teams SET name = 'x' WHERE id = 2";
    const RECODE: &str = "UPDATE teams SET code = 7 WHERE id = 2";
    const REMOVE: &str = "DELETE FROM teams WHERE id = 2";
    let codes = |acts: &str| format!("REFERENCES teams (code) {acts}");
    for (acts, write, child, grandchild) in [
        ("ON DELETE CASCADE", RENAME, true, true),
        ("ON DELETE CASCADE", REMOVE, false, false),
        // What refers to a row that becomes NULL follows as well.
        ("ON DELETE SET NULL", REMOVE, false, false),
        ("ON DELETE SET DEFAULT", REMOVE, false, false),
        ("ON DELETE CASCADE", "INSERT INTO teams VALUES (9, 'x', 9)", true, true),
        ("ON DELETE CASCADE", "DELETE FROM users", true, true),
        (
            "ON DELETE CASCADE",
            "MERGE INTO teams USING users ON teams.id = users.id AND teams.id = 2
             WHEN MATCHED THEN DELETE",
            false,
            false,
        ),
        ("ON UPDATE CASCADE", RENAME, true, true),
        ("ON UPDATE CASCADE", RECODE, false, false),
        ("ON UPDATE SET NULL", RECODE, false, false),
        ("ON UPDATE CASCADE", "INSERT INTO teams VALUES (9, 'x', 9)", true, true),
        (
            "ON UPDATE CASCADE",
            "INSERT INTO teams VALUES (2, 'x') ON CONFLICT (id) DO UPDATE SET code = 8",
            false,
            false,
        ),
        (
            "ON UPDATE CASCADE",
            "INSERT INTO teams VALUES (2, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y'",
            true,
            true,
        ),
        (
            "ON UPDATE CASCADE",
            "WITH w AS (UPDATE teams SET code = 8 WHERE id = 2 RETURNING id) SELECT id FROM w",
            false,
            false,
        ),
    ] {
        family_survives(&codes(acts), "", write, child, grandchild).await;
    }
    // Neither refuses: there is nothing that refers to the row.
    let alone = "DELETE FROM grandchild WHERE key = 4; DELETE FROM child WHERE key = 4";
    for (acts, write) in
        [("", REMOVE), ("", RECODE), ("ON DELETE CASCADE", RECODE), ("ON UPDATE CASCADE", REMOVE)]
    {
        family_survives(&codes(acts), alone, write, true, true).await;
    }
}

#[tokio::test]
async fn foreign_keys_follow_what_is_assigned() {
    let update = "UPDATE teams SET name = 'x', half = 5 WHERE id = 2";
    let acts = "REFERENCES teams (twice) ON UPDATE CASCADE";
    family_survives(acts, "", update, false, false).await;
    let recode = "
        CREATE FUNCTION recode() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN NEW.code := 70; RETURN NEW; END';
        CREATE TRIGGER recode {when} ON teams FOR EACH ROW EXECUTE FUNCTION recode();";
    let acts = "REFERENCES teams (code) ON UPDATE CASCADE";
    let before = |event: &str| recode.replace("{when}", event);
    let rename = "UPDATE teams SET name = 'x' WHERE id = 2";
    family_survives(acts, &before("BEFORE UPDATE"), rename, false, false).await;
    // After the row is stored, or for another event, nothing is assigned.
    family_survives(acts, &before("AFTER UPDATE"), rename, true, true).await;
    family_survives(acts, &before("BEFORE INSERT"), rename, true, true).await;
}

#[tokio::test]
async fn a_table_that_refers_to_itself() {
    let (_database, db) = open_with(
        "CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree ON DELETE CASCADE, note text);
         INSERT INTO tree VALUES (1, NULL), (2, 1), (3, NULL), (4, NULL);",
    )
    .await;
    let read = |id: i32| format!("SELECT count(*)::text AS answer FROM tree WHERE id = {id}");
    assert_survives(&db, &read(2), "UPDATE tree SET note = 'x' WHERE id = 1", true).await;
    assert_survives(&db, &read(2), "DELETE FROM tree WHERE id = 1", false).await;
}

/// To write through a view takes its condition, and what that calls.
#[tokio::test]
async fn a_view_whose_condition_writes() {
    let (_database, db) = open_with(
        "CREATE FUNCTION bump() RETURNS bool LANGUAGE sql AS
            'INSERT INTO teams SELECT max(id) + 1, ''x'' FROM teams RETURNING true';
         CREATE VIEW bumping AS SELECT id, name FROM users WHERE bump();",
    )
    .await;
    assert_survives(&db, TEAMS, "UPDATE bumping SET name = 'x' WHERE id = 1", false).await;
}

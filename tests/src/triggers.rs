//! Triggers: a write invalidates what they write, and no more.

use diesel_async::SimpleAsyncConnection;
use turbodiesel::Db;
use turbodiesel_testkit::Database;

use crate::support::{assert_effect, open_with};

const TEAMS: &str = "SELECT count(*)::text AS answer FROM teams";
const TOTAL: &str = "SELECT coalesce(sum(n), 0)::text AS answer FROM totals";
const AUDIT: &str = "SELECT count(*)::text AS answer FROM audit";
const RENAME: &str = "UPDATE users SET name = name || 'x' WHERE id = 2";

const TABLES: &str = "
    CREATE TABLE audit (at timestamptz DEFAULT now(), what text, who bigint);
    CREATE TABLE totals (name text PRIMARY KEY, n bigint NOT NULL DEFAULT 0);
    ALTER TABLE users ADD COLUMN updated_at timestamptz;";

/// A database where `users` has a trigger with this body.
async fn with_trigger(when: &str, body: &str) -> (Database, Db) {
    open_with(&format!("{TABLES} {}", trigger(when, body))).await
}

fn trigger(when: &str, body: &str) -> String {
    format!(
        "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $body$ {body} $body$;
         CREATE TRIGGER act {when} EXECUTE FUNCTION act();"
    )
}

/// Asserts that a write on users invalidates these reads, and leaves those of teams alone.
async fn invalidates(when: &str, body: &str, write: &str, reads: &[&str]) {
    let (_database, db) = with_trigger(when, body).await;
    assert_effect(&db, TEAMS, write, true).await;
    for read in [AUDIT, TOTAL] {
        assert_effect(&db, read, write, !reads.contains(&read)).await;
    }
}

/// Asserts that a write on users with such a trigger invalidates everything.
async fn is_opaque(more: &str, write: &str) {
    let (_database, db) = open_with(&format!("{TABLES} {more}")).await;
    for read in [TEAMS, TOTAL, AUDIT] {
        assert_effect(&db, read, write, false).await;
    }
}

const BEFORE_UPDATE: &str = "BEFORE UPDATE ON users FOR EACH ROW";
const AFTER_ANY: &str = "AFTER INSERT OR UPDATE OR DELETE ON users FOR EACH ROW";

#[tokio::test]
async fn a_time_of_change() {
    let body = "BEGIN NEW.updated_at = now(); RETURN NEW; END;";
    invalidates(BEFORE_UPDATE, body, RENAME, &[]).await;
}

#[tokio::test]
async fn the_trigger_of_diesel() {
    let body = "
BEGIN
    IF (
        NEW IS DISTINCT FROM OLD AND
        NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at
    ) THEN
        NEW.updated_at := current_timestamp;
    END IF;
    RETURN NEW;
END;";
    invalidates(BEFORE_UPDATE, body, RENAME, &[]).await;
}

#[tokio::test]
async fn an_audit() {
    let body = "
        DECLARE
            who text := current_user;
        BEGIN
            IF TG_OP = 'DELETE' THEN
                INSERT INTO audit (what, who) VALUES (lower(TG_OP) || who, OLD.id);
                RETURN OLD;
            ELSIF TG_OP = 'UPDATE' THEN
                INSERT INTO audit (what, who)
                    VALUES (row_to_json(NEW)::text || to_jsonb(OLD)::text, NEW.id);
                RETURN NEW;
            END IF;
            INSERT INTO audit SELECT clock_timestamp(), TG_TABLE_NAME, NEW.id;
            RETURN NULL;
        END";
    for write in [
        RENAME,
        "INSERT INTO users VALUES ((SELECT max(id) + 1 FROM users), 'x')",
        "DELETE FROM users WHERE id = (SELECT max(id) FROM users)",
    ] {
        invalidates(AFTER_ANY, body, write, &[AUDIT]).await;
    }
}

#[tokio::test]
async fn a_whole_row_is_kept() {
    let (_database, db) = open_with(
        "CREATE TABLE history (LIKE users);
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO history SELECT OLD.*; INSERT INTO history VALUES (NEW.*); RETURN NULL; END';
         CREATE TRIGGER keep AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION keep();",
    )
    .await;
    let history = "SELECT count(*)::text AS answer FROM history";
    assert_effect(&db, history, RENAME, false).await;
    assert_effect(&db, TEAMS, RENAME, true).await;
}

#[tokio::test]
async fn totals_by_upsert() {
    let body = "
        DECLARE d integer;
        BEGIN
            d := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE 0 END;
            <<again>>
            LOOP
                UPDATE totals SET n = n + d WHERE name = NEW.name;
                EXIT again WHEN FOUND;
                BEGIN
                    INSERT INTO totals VALUES (NEW.name, d) ON CONFLICT (name)
                        DO UPDATE SET n = totals.n + excluded.n;
                    EXIT again;
                EXCEPTION WHEN unique_violation THEN
                    RAISE NOTICE 'again %', NEW.name USING HINT = 'race';
                END;
            END LOOP again;
            PERFORM pg_notify('totals', NEW.name);
            RETURN NULL;
        END";
    invalidates(AFTER_ANY.replace(" OR DELETE", "").as_str(), body, RENAME, &[TOTAL]).await;
}

#[tokio::test]
async fn what_a_trigger_sets_off() {
    // Its delete cascades, and the table it writes has a trigger of its own.
    let (_database, db) = open_with(&format!(
        "{TABLES}
         CREATE TABLE quiet (id int PRIMARY KEY);
         CREATE TABLE kin (of int REFERENCES quiet ON DELETE CASCADE);
         INSERT INTO quiet VALUES (1), (2); INSERT INTO kin VALUES (1), (2);
         CREATE FUNCTION first() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN DELETE FROM quiet WHERE id = OLD.id; RETURN NULL; END';
         CREATE TRIGGER first AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION first();
         CREATE FUNCTION second() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO audit VALUES (DEFAULT, ''gone''); RETURN NULL; END';
         CREATE TRIGGER second AFTER DELETE ON kin EXECUTE FUNCTION second();"
    ))
    .await;
    for (id, read) in [
        (1, "SELECT count(*)::text AS answer FROM quiet"),
        (2, "SELECT count(*)::text AS answer FROM kin"),
        (2, AUDIT),
    ] {
        let write = format!("UPDATE users SET name = 'x' WHERE id = {id}");
        assert_effect(&db, read, &write, false).await;
    }
    assert_effect(&db, TOTAL, RENAME, true).await;
    // A delete sets off none of this.
    assert_effect(&db, AUDIT, "DELETE FROM users WHERE id = 3", true).await;
    assert_effect(&db, "SELECT count(*)::text AS answer FROM kin", RENAME, false).await;
}

#[tokio::test]
async fn only_its_events_set_it_off() {
    let body = "BEGIN INSERT INTO audit VALUES (DEFAULT, 'x'); RETURN NULL; END";
    let insert = "INSERT INTO users VALUES ((SELECT max(id) + 1 FROM users), 'x')";
    let upsert = "INSERT INTO users VALUES (1, 'y') ON CONFLICT (id) DO UPDATE SET name = 'y'";
    let merge = "MERGE INTO users u USING teams t ON u.id = t.id WHEN MATCHED THEN DELETE";
    let delete = "DELETE FROM users WHERE id = (SELECT max(id) FROM users)";
    for (event, write, hits) in [
        ("INSERT", insert, true),
        ("INSERT", RENAME, false),
        ("INSERT", delete, false),
        ("INSERT", upsert, true),
        ("UPDATE", insert, false),
        ("UPDATE", upsert, true),
        ("UPDATE OF team", RENAME, true),
        ("DELETE", insert, false),
        ("DELETE", RENAME, false),
        ("DELETE", upsert, false),
        ("DELETE", delete, true),
        ("DELETE", merge, true),
        ("TRUNCATE", delete, false),
        ("TRUNCATE", "TRUNCATE users", true),
    ] {
        let each = if event == "TRUNCATE" { "STATEMENT" } else { "ROW" };
        let when = format!("AFTER {event} ON users FOR EACH {each}");
        let (_database, db) = with_trigger(&when, body).await;
        assert_effect(&db, AUDIT, write, !hits).await;
        assert_effect(&db, TEAMS, write, true).await;
    }
}

#[tokio::test]
async fn a_cascade_sets_triggers_off() {
    let body = "BEGIN INSERT INTO audit VALUES (DEFAULT, 'x'); RETURN NULL; END";
    let (_database, db) = with_trigger("AFTER DELETE ON users FOR EACH ROW", body).await;
    assert_effect(&db, AUDIT, "UPDATE teams SET id = 5 WHERE id = 2", true).await;
    assert_effect(&db, AUDIT, "DELETE FROM teams WHERE id = 1", false).await;
}

#[tokio::test]
async fn functions_that_come_with_the_server() {
    let (_database, db) = open_with(&format!(
        "{TABLES}
         ALTER TABLE users ADD COLUMN words tsvector;
         CREATE EXTENSION moddatetime;
         CREATE TRIGGER a BEFORE UPDATE ON users FOR EACH ROW
            EXECUTE FUNCTION suppress_redundant_updates_trigger();
         CREATE TRIGGER b BEFORE INSERT OR UPDATE ON users FOR EACH ROW
            EXECUTE FUNCTION tsvector_update_trigger(words, 'pg_catalog.english', name);
         CREATE TRIGGER c BEFORE UPDATE ON users FOR EACH ROW
            EXECUTE FUNCTION moddatetime(updated_at);"
    ))
    .await;
    assert_effect(&db, TEAMS, RENAME, true).await;
    assert_effect(&db, AUDIT, "INSERT INTO users VALUES (9, 'x')", true).await;
}

#[tokio::test]
async fn what_is_not_understood() {
    let insert = "INSERT INTO teams SELECT max(id) + 1, ''x'' FROM teams";
    for body in [
        format!("BEGIN EXECUTE '{insert}'; RETURN NULL; END"),
        "BEGIN PERFORM sneak(); RETURN NULL; END".to_owned(),
        "DECLARE n int := sneak(); BEGIN RETURN NULL; END".to_owned(),
        "BEGIN IF sneak() > 0 THEN NULL; END IF; RETURN NULL; END".to_owned(),
        "BEGIN RAISE NOTICE 'x %', sneak(); RETURN NULL; END".to_owned(),
        "BEGIN INSERT INTO audit VALUES (DEFAULT, 'x', sneak()); RETURN NULL; END".to_owned(),
        "BEGIN CALL sneaky(); RETURN NULL; END".to_owned(),
        "BEGIN PERFORM NEW.id + NEW.name; RETURN NULL; END".to_owned(),
        "BEGIN PERFORM n FROM sneaking; RETURN NULL; END".to_owned(),
        "DECLARE c CURSOR FOR SELECT sneak(); n int; BEGIN OPEN c; FETCH c INTO n; RETURN NULL; END"
            .to_owned(),
        "BEGIN CREATE TABLE fresh (id int); DROP TABLE fresh; PERFORM sneak(); RETURN NULL; END"
            .to_owned(),
    ] {
        is_opaque(
            &format!(
                "CREATE FUNCTION sneak() RETURNS int LANGUAGE sql AS '{insert} RETURNING id';
                 CREATE FUNCTION plus(int, text) RETURNS int LANGUAGE sql AS 'SELECT sneak()';
                 CREATE OPERATOR + (LEFTARG = int, RIGHTARG = text, FUNCTION = plus);
                 CREATE VIEW sneaking AS SELECT sneak() AS n;
                 CREATE PROCEDURE sneaky() LANGUAGE sql AS '{insert}';
                 {}",
                trigger("AFTER UPDATE ON users FOR EACH ROW", &body)
            ),
            RENAME,
        )
        .await;
    }
}

#[tokio::test]
async fn a_condition_that_writes() {
    is_opaque(
        "CREATE FUNCTION sneak() RETURNS bool LANGUAGE sql AS
            'INSERT INTO teams SELECT max(id) + 1, ''x'' FROM teams RETURNING true';
         CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER act AFTER UPDATE ON users FOR EACH ROW WHEN (sneak())
            EXECUTE FUNCTION act();",
        RENAME,
    )
    .await;
}

#[tokio::test]
async fn names_that_mean_other_tables() {
    // The same body, looked up along a path of its own.
    let elsewhere = "CREATE SCHEMA other; CREATE TABLE other.audit (LIKE audit);
         CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql SET search_path = {path} AS
            'BEGIN INSERT INTO audit VALUES (DEFAULT, ''x''); RETURN NULL; END';
         CREATE TRIGGER act AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION act();";
    let other = "SELECT count(*)::text AS answer FROM other.audit";
    let with_path = async |path: &str| {
        open_with(&format!("{TABLES} {}", elsewhere.replace("{path}", path))).await
    };
    let (_database, db) = with_path("other, public").await;
    assert_effect(&db, other, RENAME, false).await;
    // Its own path, but one that leads to the same tables.
    let (_database, db) = with_path("public, pg_temp").await;
    assert_effect(&db, AUDIT, RENAME, false).await;
    assert_effect(&db, other, RENAME, true).await;
    // Without a path, every name is qualified.
    let (_database, db) = open_with(&format!(
        "{TABLES} {}",
        elsewhere.replace("{path}", "''").replace("INTO audit", "INTO other.audit")
    ))
    .await;
    assert_effect(&db, other, RENAME, false).await;
    assert_effect(&db, AUDIT, RENAME, true).await;
}

#[tokio::test]
async fn a_function_that_runs_as_its_owner() {
    let definer = "
         CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            'BEGIN INSERT INTO audit VALUES (DEFAULT, ''x''); RETURN NULL; END';
         CREATE TRIGGER act AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION act();";
    let (_database, db) = open_with(&format!("{TABLES} {definer}")).await;
    assert_effect(&db, AUDIT, RENAME, false).await;
    assert_effect(&db, TEAMS, RENAME, true).await;

    // The path begins with the schema of the user, which is another one for the owner.
    (&db)
        .batch_execute(
            "DO 'BEGIN CREATE ROLE trigger_owner; EXCEPTION WHEN duplicate_object THEN END';
             CREATE SCHEMA trigger_owner CREATE TABLE audit (LIKE public.audit INCLUDING ALL);
             GRANT USAGE ON SCHEMA trigger_owner TO trigger_owner;
             GRANT INSERT ON trigger_owner.audit TO trigger_owner;
             ALTER FUNCTION act() OWNER TO trigger_owner",
        )
        .await
        .unwrap();
    let other = "SELECT count(*)::text AS answer FROM trigger_owner.audit";
    assert_effect(&db, other, RENAME, false).await;

    // The first schema of the path is closed to the owner.
    let (_database, db) = open_with(&format!(
        "{TABLES} {definer}
         CREATE SCHEMA postgres CREATE TABLE audit (LIKE public.audit INCLUDING ALL);
         GRANT INSERT ON public.audit TO trigger_owner;
         ALTER FUNCTION act() OWNER TO trigger_owner"
    ))
    .await;
    assert_effect(&db, "SELECT count(*)::text AS answer FROM public.audit", RENAME, false).await;
}

#[tokio::test]
async fn a_function_in_c() {
    is_opaque(
        "CREATE EXTENSION autoinc; CREATE SEQUENCE s;
         CREATE TRIGGER act BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION autoinc(team, s);
         UPDATE users SET team = 1",
        RENAME,
    )
    .await;
}

#[tokio::test]
async fn a_disabled_trigger_does_nothing() {
    let body = "BEGIN EXECUTE 'DELETE FROM audit'; RETURN NULL; END";
    let (_database, db) = open_with(&format!(
        "{TABLES} {} ALTER TABLE users DISABLE TRIGGER act",
        trigger("AFTER UPDATE ON users", body)
    ))
    .await;
    assert_effect(&db, AUDIT, RENAME, true).await;
    (&db).batch_execute("ALTER TABLE users ENABLE TRIGGER act").await.unwrap();
    assert_effect(&db, AUDIT, RENAME, false).await;
}

#[tokio::test]
async fn a_body_that_changes() {
    let body = "BEGIN RETURN NULL; END";
    let (_database, db) = with_trigger("AFTER UPDATE ON users FOR EACH ROW", body).await;
    assert_effect(&db, AUDIT, RENAME, true).await;
    (&db)
        .batch_execute(
            "CREATE OR REPLACE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN INSERT INTO audit VALUES (DEFAULT, ''x''); RETURN NULL; END'",
        )
        .await
        .unwrap();
    assert_effect(&db, AUDIT, RENAME, false).await;
}

#[tokio::test]
async fn a_view_with_a_trigger_in_its_place() {
    let (_database, db) = open_with(&format!(
        "{TABLES} CREATE VIEW named AS SELECT id, name FROM users;
         CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO audit VALUES (DEFAULT, ''x''); RETURN NEW; END';
         CREATE TRIGGER act INSTEAD OF UPDATE ON named FOR EACH ROW EXECUTE FUNCTION act();"
    ))
    .await;
    assert_effect(&db, AUDIT, "UPDATE named SET name = 'x' WHERE id = 1", false).await;
}

#[tokio::test]
async fn triggers_of_partitions() {
    let (_database, db) = open_with(&format!(
        "{TABLES}
         CREATE TABLE parts (id int, kind int) PARTITION BY LIST (kind);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
         CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
         INSERT INTO parts VALUES (1, 1);
         CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO audit VALUES (DEFAULT, ''x''); RETURN NULL; END';
         CREATE TRIGGER act AFTER DELETE ON parts_1 FOR EACH ROW EXECUTE FUNCTION act();"
    ))
    .await;
    assert_effect(&db, AUDIT, "UPDATE parts SET id = id + 1", true).await;
    // A row that moves is deleted where it was.
    assert_effect(&db, AUDIT, "UPDATE parts SET kind = 2", false).await;
}

//! What a write invalidates: what it names, and what the catalog says follows from it.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl, SaveChangesDsl, SimpleAsyncConnection};
use turbodiesel::{Bypass, Db, Outcome, PinValue, TableName, Tag, Touches};

use crate::support::{ann, ask, assert_cached, assert_effect, bypass, open, open_with, users};

const ANN: &str = "SELECT name AS answer FROM users WHERE id = 1";
const USERS: &str = "SELECT count(*)::text AS answer FROM users";
const TEAMS: &str = "SELECT count(*)::text AS answer FROM teams";

/// Ann is cached; after `write` she has her new name, whoever asks.
async fn renames(db: &Db, write: impl AsyncFnOnce(&Db)) {
    ann(db).await;
    assert!(matches!(ann(db).await.1, Outcome::Hit(_)));
    write(db).await;
    assert_eq!(ann(db).await.0, "Eve");
}

#[tokio::test]
async fn an_update_through_db() {
    let (_database, db) = open().await;
    renames(&db, async |db| {
        let update = diesel::update(users::table.find(1)).set(users::name.eq("Eve"));
        assert_eq!(update.execute(&mut &*db).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_update_with_returning() {
    let (_database, db) = open().await;
    renames(&db, async |db| {
        let name: String = diesel::update(users::table.find(1))
            .set(users::name.eq("Eve"))
            .returning(users::name)
            .get_result(&mut db.handle())
            .await
            .unwrap();
        assert_eq!(name, "Eve");
    })
    .await;
}

#[tokio::test]
async fn a_batch() {
    let (_database, db) = open().await;
    renames(&db, async |db| {
        (&mut &*db)
            .batch_execute("UPDATE users SET name = 'Eve' WHERE id = 1; SELECT 1")
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_update_on_a_connection() {
    let (_database, db) = open().await;
    renames(&db, async |db| {
        let mut connection = db.connection().await.unwrap();
        diesel::update(users::table.find(1))
            .set(users::name.eq("Eve"))
            .execute(&mut connection)
            .await
            .unwrap();
        assert_eq!(ann(db).await.0, "Eve");
    })
    .await;
}

#[tokio::test]
async fn saving_changes() {
    let (_database, db) = open().await;
    renames(&db, async |db| {
        #[derive(Queryable)]
        #[expect(dead_code, reason = "the shape of a row of users")]
        struct Row(i32, String, Option<i32>);
        let renamed = &Change { id: 1, name: "Eve" };
        let row: Row = renamed.save_changes(&mut db.handle()).await.unwrap();
        assert_eq!(row.1, "Eve");
        let mut connection = db.connection().await.unwrap();
        let _: Row = renamed.save_changes(&mut connection).await.unwrap();
    })
    .await;
}

#[derive(AsChangeset, Identifiable)]
#[diesel(table_name = users)]
struct Change<'a> {
    id: i32,
    name: &'a str,
}

#[tokio::test]
async fn raw_access_with_declared_tables() {
    let (_database, db) = open().await;
    assert_cached(&db, TEAMS).await;
    renames(&db, async |db| {
        let mut connection = db.connection().await.unwrap();
        connection
            .with_raw(Touches::tables(["users"]), async |raw| {
                raw.batch_execute("UPDATE users SET name = 'Eve' WHERE id = 1").await
            })
            .await
            .unwrap();
        // Nobody knows what happened to the session.
        let name: String =
            users::table.find(1).select(users::name).first(&mut connection).await.unwrap();
        assert_eq!(name, "Eve");
        assert_eq!(connection.outcome(), Some(Outcome::Bypass(Bypass::TaintedConnection)));
    })
    .await;
    assert!(matches!(ask(&db, TEAMS).await.1, Outcome::Hit(_)));
}

#[tokio::test]
async fn raw_access_to_anything() {
    let (_database, db) = open().await;
    assert_cached(&db, TEAMS).await;
    let mut connection = db.connection().await.unwrap();
    connection
        .with_raw(Touches::everything(), async |raw| {
            raw.batch_execute("INSERT INTO teams VALUES (9, 'x')").await
        })
        .await
        .unwrap();
    assert_eq!(ask(&db, TEAMS).await.0, "3");
    let error =
        connection.with_raw(Touches::tables(["nonsense"]), async |_| Ok(())).await.unwrap_err();
    assert!(error.to_string().contains("no table `nonsense`"), "{error}");
}

#[tokio::test]
async fn pipelined_writes_on_a_shared_connection() {
    let (_database, db) = open().await;
    renames(&db, async |db| {
        let connection = db.connection().await.unwrap();
        let (one, two) = (&mut &connection, &mut &connection);
        let update = diesel::update(users::table.find(1)).set(users::name.eq("Eve")).execute(one);
        let count = users::table.count().get_result::<i64>(two);
        let (updated, count) = futures_util::try_join!(update, count).unwrap();
        assert_eq!((updated, count), (1, 3));
        let error = (&connection).batch_execute("SET x.y = 1").await.unwrap_err();
        assert!(error.to_string().contains("&mut Connection"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn writes_leave_other_tables_alone() {
    let (_database, db) = open().await;
    assert_effect(&db, TEAMS, "UPDATE users SET name = 'x' WHERE id = 2", true).await;
    assert_effect(&db, TEAMS, "INSERT INTO teams VALUES (3, 'green')", false).await;
    assert_effect(&db, TEAMS, "TRUNCATE users", true).await;
}

#[tokio::test]
async fn deletes_cascade() {
    let (_database, db) = open().await;
    assert_effect(&db, USERS, "DELETE FROM teams WHERE id = 1", false).await;
    assert_eq!(ask(&db, USERS).await.0, "1");
}

#[tokio::test]
async fn a_trigger_writes_anywhere() {
    let (_database, db) = open_with(
        "CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO teams VALUES (new.id + 100, new.name); RETURN new; END';
         CREATE TRIGGER copy AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION copy();",
    )
    .await;
    assert_effect(&db, TEAMS, "INSERT INTO users VALUES (4, 'Dot', NULL)", false).await;
    assert_eq!(ask(&db, TEAMS).await.0, "3");
}

#[tokio::test]
async fn a_rule_writes_anywhere() {
    let (_database, db) = open_with(
        "CREATE RULE copy AS ON INSERT TO users DO ALSO
             INSERT INTO teams VALUES (new.id + 100, new.name);",
    )
    .await;
    assert_effect(&db, TEAMS, "INSERT INTO users VALUES (4, 'Dot', NULL)", false).await;
}

#[tokio::test]
async fn views_are_read_and_written_through() {
    let (_database, db) = open_with(
        "CREATE VIEW named AS SELECT id, name FROM users;
         CREATE VIEW twice AS SELECT n.name, t.name AS team FROM named n, teams t;",
    )
    .await;
    let twice = "SELECT count(*)::text AS answer FROM twice";
    assert_effect(&db, twice, "INSERT INTO users VALUES (4, 'Dot', NULL)", false).await;
    assert_effect(&db, twice, "INSERT INTO teams VALUES (4, 'x')", false).await;
    assert_effect(&db, ANN, "UPDATE named SET name = 'Eve' WHERE id = 1", false).await;
}

#[tokio::test]
async fn partitions_share_rows_with_their_parent() {
    let (_database, db) = open_with(
        "CREATE TABLE parts (id int, kind int) PARTITION BY LIST (kind);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
         CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);",
    )
    .await;
    let parent = "SELECT count(*)::text AS answer FROM parts";
    let child = "SELECT count(*)::text AS answer FROM parts_1";
    assert_effect(&db, parent, "INSERT INTO parts_1 VALUES (1, 1)", false).await;
    assert_effect(&db, child, "INSERT INTO parts VALUES (2, 1)", false).await;
    // A row that moves to the sibling.
    assert_effect(&db, child, "UPDATE parts SET kind = 2 WHERE id = 2", false).await;
}

#[tokio::test]
async fn a_function_that_may_write() {
    let (_database, db) = open_with(
        "CREATE FUNCTION sign_up(n text) RETURNS text LANGUAGE sql AS
            $$ INSERT INTO teams SELECT max(id) + 1, n FROM teams RETURNING name $$;",
    )
    .await;
    assert_cached(&db, TEAMS).await;
    assert_eq!(ask(&db, "SELECT sign_up('x') AS answer").await.0, "x");
    assert_eq!(ask(&db, TEAMS).await.0, "3");
}

#[tokio::test]
async fn what_is_not_understood_invalidates_everything() {
    let (_database, db) = open().await;
    for write in [
        "DO $$ BEGIN UPDATE users SET name = name; END $$",
        "CREATE TABLE fresh (id int)",
        "TRUNCATE teams CASCADE",
        "COMMENT ON TABLE users IS 'people'",
    ] {
        assert_effect(&db, USERS, write, false).await;
    }
}

#[tokio::test]
async fn statements_that_write_in_disguise() {
    let (_database, db) = open().await;
    for write in [
        "WITH gone AS (DELETE FROM users WHERE id = 9 RETURNING id) SELECT * FROM gone",
        "/* only looking */ UPDATE users SET name = name WHERE id = 2",
        "INSERT INTO users VALUES (1, 'Eva', 1) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
        "MERGE INTO users u USING teams t ON u.id = t.id + 1 WHEN MATCHED THEN UPDATE SET name = 'm'",
        "UPDATE users SET name = t.name FROM teams t WHERE t.id = users.team",
        "DELETE FROM users USING teams WHERE users.team = teams.id AND teams.name = 'blue'",
    ] {
        assert_effect(&db, ANN, write, false).await;
    }
}

#[tokio::test]
async fn ddl_through_the_cache_is_seen_at_once() {
    let (_database, db) = open().await;
    assert_eq!(ask(&db, ANN).await.0, "Ann");
    (&db).batch_execute("CREATE TABLE fresh (answer text)").await.unwrap();
    let fresh = "SELECT coalesce(max(answer), 'none') AS answer FROM fresh";
    assert_cached(&db, fresh).await;
    assert_effect(&db, fresh, "INSERT INTO fresh VALUES ('one')", false).await;
    // A trigger that comes later counts from then on.
    assert_effect(&db, fresh, "UPDATE users SET name = 'x' WHERE id = 1", true).await;
    (&db)
        .batch_execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN INSERT INTO fresh VALUES (''two''); RETURN new; END';
             CREATE TRIGGER note AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION note();",
        )
        .await
        .unwrap();
    assert_effect(&db, fresh, "UPDATE users SET name = 'y' WHERE id = 1", false).await;
    assert_eq!(ask(&db, fresh).await.0, "two");
}

#[tokio::test]
async fn ddl_elsewhere_is_noticed_by_the_next_connection() {
    let (database, db) = open().await;
    assert_cached(&db, ANN).await;
    database
        .batch_execute(
            "ALTER TABLE users ADD COLUMN extra int; CREATE TABLE elsewhere (answer text)",
        )
        .unwrap();
    let elsewhere = "SELECT coalesce(max(answer), 'none') AS answer FROM elsewhere";
    assert_eq!(bypass(&db, elsewhere).await, Bypass::UnknownTable);
    // Holding the only idle connection makes the pool open another, which checks the catalog.
    let _first = db.connection().await.unwrap();
    let _second = db.connection().await.unwrap();
    assert_cached(&db, elsewhere).await;
}

#[tokio::test]
async fn by_hand() {
    let (database, db) = open_with("CREATE VIEW named AS SELECT name FROM users").await;
    let rename = |name: &str| {
        database.batch_execute(&format!("UPDATE users SET name = '{name}' WHERE id = 1")).unwrap();
    };
    ann(&db).await;
    rename("one");
    assert_eq!(ann(&db).await.0, "Ann", "a foreign write is not seen before the ceiling");
    db.invalidate_table("users").unwrap();
    assert_eq!(ann(&db).await.0, "one");

    rename("two");
    db.invalidate_table("public.named").unwrap();
    assert_eq!(ann(&db).await.0, "two", "a view stands for its tables");

    rename("three");
    db.invalidate(&Tag::Table(TableName::qualified("public", "users")));
    assert_eq!(ann(&db).await.0, "three");

    rename("four");
    db.invalidate_all();
    assert_eq!(ann(&db).await.0, "four");

    rename("five");
    db.clear(None);
    assert_eq!(ann(&db).await.0, "five");

    let error = db.invalidate_table("userz").unwrap_err();
    assert!(error.is_configuration());
    assert!(error.to_string().contains("public.users"), "{error}");
}

#[tokio::test]
async fn a_failed_write_costs_at_most_a_miss() {
    let (_database, db) = open().await;
    ann(&db).await;
    let duplicate = diesel::insert_into(users::table)
        .values((users::id.eq(1), users::name.eq("Ann again")))
        .execute(&mut &db)
        .await;
    assert!(duplicate.is_err());
    assert_eq!(ann(&db).await.0, "Ann");
    // The mark was lifted: answers are kept again.
    assert!(matches!(ann(&db).await.1, Outcome::Hit(_)));
}

#[tokio::test]
async fn a_write_in_a_transaction_on_a_connection_of_the_same_pool() {
    let (_database, db) = open().await;
    renames(&db, async |db| {
        let mut connection = db.connection().await.unwrap();
        connection
            .transaction::<_, diesel::result::Error, _>(async |connection| {
                diesel::update(users::table.find(1))
                    .set(users::name.eq("Eve"))
                    .execute(connection)
                    .await?;
                Ok(())
            })
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn by_tag_however_it_is_spelt() {
    let (database, db) = open().await;
    let users = || TableName::unqualified("users");
    let column = || "id".into();
    for (name, tag) in [
        ("one", Tag::Table(users())),
        ("two", Tag::Column { table: users(), column: column() }),
        ("three", Tag::Value { table: users(), column: column(), value: PinValue::Int(1) }),
        ("four", Tag::All),
    ] {
        ann(&db).await;
        let rename = format!("UPDATE users SET name = '{name}' WHERE id = 1");
        database.batch_execute(&rename).unwrap();
        db.invalidate(&tag);
        assert_eq!(ann(&db).await.0, name);
    }
}

//! What SQLite's schema tells: keys, what foreign keys do, what triggers write.

use diesel::{prelude::*, sql_types::Text, sqlite::Sqlite};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use turbodiesel::{Bypass, Db, Outcome};
use turbodiesel_testkit::SqliteFile;

async fn open(schema: &str) -> (SqliteFile, Db<Sqlite>) {
    let file = SqliteFile::new().unwrap();
    let db = Db::sqlite().url(file.url()).build().await.unwrap();
    (&db).batch_execute(schema).await.unwrap();
    (file, db)
}

async fn ask(db: &Db<Sqlite>, sql: &str, bypass: bool) -> (String, Outcome) {
    #[derive(QueryableByName)]
    struct Answer {
        #[diesel(sql_type = Text)]
        answer: String,
    }
    let handle = db.handle();
    let mut handle = if bypass { handle.bypass() } else { handle };
    let Answer { answer } = diesel::sql_query(sql).get_result(&mut handle).await.unwrap();
    (answer, handle.outcome().unwrap())
}

/// Asserts which of these answers survive a write: those marked true.
async fn assert_survive<'a>(
    db: &Db<Sqlite>,
    write: &str,
    reads: impl IntoIterator<Item = (&'a str, bool)> + Clone,
) {
    for (read, _) in reads.clone() {
        ask(db, read, false).await;
        assert!(matches!(ask(db, read, false).await.1, Outcome::Hit(_)), "{read}");
    }
    diesel::sql_query(write).execute(&mut &*db).await.unwrap();
    for (read, survives) in reads {
        let (answer, outcome) = ask(db, read, false).await;
        assert_eq!(matches!(outcome, Outcome::Hit(_)), survives, "{write} → {read}: {outcome}");
        assert_eq!(answer, ask(db, read, true).await.0, "{write} → {read}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn which_columns_are_keys() {
    const NUMBERS: [&str; 2] = ["1", "2"];
    const WORDS: [&str; 2] = ["'a'", "'b'"];
    for (declared, values, more, is_key) in [
        ("INTEGER UNIQUE", NUMBERS, "", true),
        ("BIGINT UNIQUE", NUMBERS, "", true),
        ("INTEGER REFERENCES parent", NUMBERS, "", true),
        ("TEXT UNIQUE", WORDS, "", true),
        ("VARCHAR(9) UNIQUE", WORDS, "", true),
        ("INTEGER", NUMBERS, "", false),
        ("INTEGER", NUMBERS, "CREATE INDEX i ON keyed (k, other)", true),
        ("INTEGER", NUMBERS, "CREATE INDEX i ON keyed (other, k)", false),
        ("INTEGER", NUMBERS, "CREATE UNIQUE INDEX i ON keyed (other, k)", true),
        ("INTEGER", NUMBERS, "CREATE INDEX i ON keyed (k) WHERE note IS NULL", true),
        ("INTEGER", NUMBERS, "CREATE INDEX i ON keyed (abs(k))", false),
        ("TEXT COLLATE NOCASE UNIQUE", WORDS, "", false),
        ("NUMERIC UNIQUE", NUMBERS, "", false),
        ("REAL UNIQUE", NUMBERS, "", false),
        ("BOOLEAN UNIQUE", NUMBERS, "", false),
        ("UNIQUE", NUMBERS, "", false),
    ] {
        let (_file, db) = open(&format!(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY); INSERT INTO parent VALUES (1), (2);
             CREATE TABLE keyed (id INTEGER PRIMARY KEY, other INTEGER, note TEXT, k {declared});
             INSERT INTO keyed (id, other, k) VALUES (1, 1, {}), (2, 2, {}); {more}",
            values[0], values[1]
        ))
        .await;
        println!("{declared} {more}");
        let by_key =
            format!("SELECT count(note) || '' AS answer FROM keyed WHERE k = {}", values[0]);
        let by_id = "SELECT count(note) || '' AS answer FROM keyed WHERE id = 1";
        let write = |id: i32| format!("UPDATE keyed SET note = 'x' WHERE id = {id}");
        assert_survive(&db, &write(2), [(&*by_key, is_key), (by_id, true)]).await;
        assert_survive(&db, &write(1), [(&*by_key, false), (by_id, false)]).await;
        let insert = "INSERT INTO keyed (note) VALUES ('new')";
        assert_survive(&db, insert, [(&*by_key, is_key), (by_id, true)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_sort_of_table() {
    for definition in [
        "id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT",
        "id INT PRIMARY KEY, note TEXT",
        "id TEXT PRIMARY KEY, note TEXT",
        "id TEXT NOT NULL, at INTEGER, note TEXT, PRIMARY KEY (id, at)",
    ] {
        for kind in ["", "STRICT", "WITHOUT ROWID"] {
            if definition.contains("AUTO") && kind.contains("WITHOUT") {
                continue;
            }
            let (_file, db) = open(
                &format!(
                    "CREATE TABLE keyed ({definition}) {kind};
                 INSERT INTO keyed (id) VALUES (1), (2);"
                )
                .replace(
                    "(id) VALUES (1), (2)",
                    if definition.contains("at ") {
                        "(id, at) VALUES (1, 1), (2, 2)"
                    } else {
                        "(id) VALUES (1), (2)"
                    },
                ),
            )
            .await;
            println!("{definition} {kind}");
            let one = if definition.contains("id TEXT") { "'1'" } else { "1" };
            let read = format!("SELECT count(note) || '' AS answer FROM keyed WHERE id = {one}");
            let write = format!("UPDATE keyed SET note = 'x' WHERE id <> {one}");
            assert_survive(&db, &write, [(&*read, false)]).await;
            let write = format!("UPDATE keyed SET note = 'x' WHERE id = {}", one.replace('1', "2"));
            assert_survive(&db, &write, [(&*read, true)]).await;
            let write = format!("DELETE FROM keyed WHERE id = {one}");
            assert_survive(&db, &write, [(&*read, false)]).await;
        }
    }
}

/// A write that is pinned on all columns of a unique key learns what else it touched.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_several_columns() {
    for (key, kind, more, is_unique) in [
        (", PRIMARY KEY (a, b)", "", "", true),
        (", PRIMARY KEY (b, a)", "WITHOUT ROWID", "", true),
        (", UNIQUE (a, b)", "STRICT", "", true),
        ("", "", "CREATE UNIQUE INDEX i ON keyed (a, b)", true),
        ("", "", "CREATE INDEX i ON keyed (a, b)", false),
        ("", "", "CREATE UNIQUE INDEX i ON keyed (a, b, note)", false),
        ("", "", "CREATE UNIQUE INDEX i ON keyed (a, b, abs(c))", false),
        ("", "", "CREATE UNIQUE INDEX i ON keyed (a, b) WHERE note IS NULL", false),
    ] {
        let (_file, db) = open(&format!(
            "CREATE TABLE keyed (a INTEGER NOT NULL, b INTEGER NOT NULL, c INTEGER, note TEXT{key})
                 {kind};
             CREATE INDEX by_a ON keyed (a); CREATE INDEX by_b ON keyed (b);
             CREATE INDEX by_c ON keyed (c); {more};
             INSERT INTO keyed VALUES (1, 1, 1, NULL), (1, 2, 2, NULL), (2, 2, 3, NULL);"
        ))
        .await;
        println!("{key} {kind} {more}");
        let reads: Vec<String> = [("a", 2), ("b", 1), ("c", 1), ("c", 2), ("c", 3)]
            .map(|(column, value)| {
                format!("SELECT count(note) || '' AS answer FROM keyed WHERE {column} = {value}")
            })
            .into();
        let survive = [true, true, is_unique, false, is_unique];
        let expected = reads.iter().map(String::as_str).zip(survive);
        let update = "UPDATE keyed SET note = 'x' WHERE a = 1 AND b = 2";
        assert_survive(&db, update, expected.clone()).await;
        if is_unique && !more.contains("INDEX i") {
            let upsert = "INSERT INTO keyed VALUES (1, 2, 9, NULL)
                          ON CONFLICT (a, b) DO UPDATE SET note = 'y'";
            assert_survive(&db, upsert, expected.clone()).await;
        }
        assert_survive(&db, "DELETE FROM keyed WHERE b = 2 AND a = 1", expected).await;
    }
}

const READS: [&str; 3] = [
    "SELECT count(name) || '' AS answer FROM child",
    "SELECT count(*) || '' AS answer FROM log",
    "SELECT count(*) || '' AS answer FROM quiet",
];

/// Asserts whether the answers about `child` and `log` survive a write of `parent`; those about
/// `quiet` do.
async fn check(schema: &str, write: &str, child: bool, log: bool) {
    let (_file, db) = open(&format!(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE, note TEXT);
         CREATE TABLE log (what TEXT); CREATE TABLE quiet (id INTEGER);
         INSERT INTO parent VALUES (1, 'a', NULL), (2, 'b', NULL), (3, 'c', NULL); {schema}"
    ))
    .await;
    println!("{schema}");
    assert_survive(&db, write, [(READS[0], child), (READS[1], log), (READS[2], true)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_act_on_what_they_name() {
    const RENAME: &str = "UPDATE parent SET name = 'x' WHERE id = 1";
    const REMOVE: &str = "DELETE FROM parent WHERE id = 1";
    for (acts, write, survives) in [
        ("REFERENCES parent (name)", "DELETE FROM parent WHERE id = 3", true),
        ("REFERENCES parent (name) ON DELETE CASCADE", REMOVE, false),
        ("REFERENCES parent (name) ON DELETE SET NULL", REMOVE, false),
        (
            "REFERENCES parent (name) ON DELETE CASCADE",
            "UPDATE parent SET name = 'x' WHERE id = 3",
            true,
        ),
        (
            "REFERENCES parent (name) ON DELETE CASCADE",
            "INSERT INTO parent VALUES (9, 'z', NULL)",
            true,
        ),
        (
            "REFERENCES parent (name) ON DELETE CASCADE",
            "REPLACE INTO parent VALUES (1, 'q', NULL)",
            false,
        ),
        (
            "REFERENCES parent (name) ON DELETE CASCADE",
            "UPDATE OR REPLACE parent SET id = 1 WHERE id = 3",
            false,
        ),
        ("REFERENCES parent (name) ON UPDATE CASCADE", RENAME, false),
        ("REFERENCES parent (name) ON UPDATE SET NULL", RENAME, false),
        (
            "REFERENCES parent (name) ON UPDATE CASCADE",
            "UPDATE parent SET note = 'x' WHERE id = 1",
            true,
        ),
        ("REFERENCES parent (name) ON UPDATE CASCADE", "DELETE FROM parent WHERE id = 3", true),
        (
            "REFERENCES parent (name) ON UPDATE CASCADE",
            "INSERT INTO parent VALUES (1, 'z', NULL) ON CONFLICT (id) DO UPDATE SET name = 'z'",
            false,
        ),
    ] {
        let schema = format!(
            "CREATE TABLE child (name TEXT {acts}); INSERT INTO child VALUES ('a'), ('b');"
        );
        check(&schema, write, survives, true).await;
    }
    // The primary key where no column is named, by whichever name it is set.
    let schema = "CREATE TABLE child (name INTEGER REFERENCES parent ON UPDATE SET NULL);
                  INSERT INTO child VALUES (1), (2);";
    check(schema, "UPDATE parent SET id = 9 WHERE id = 1", false, true).await;
    check(schema, "UPDATE parent SET rowid = 9 WHERE id = 1", false, true).await;
    check(schema, RENAME, true, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_replaces_what_conflicts() {
    let (_file, db) = open(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE ON CONFLICT REPLACE);
         CREATE TABLE child (name TEXT REFERENCES parent (name) ON DELETE CASCADE);
         INSERT INTO parent VALUES (1, 'a'), (2, 'b'); INSERT INTO child VALUES ('a'), ('b');",
    )
    .await;
    let child = "SELECT count(*) || '' AS answer FROM child";
    let one = "SELECT count(name) || '' AS answer FROM parent WHERE id = 1";
    let two = "SELECT count(name) || '' AS answer FROM parent WHERE id = 2";
    let insert = "INSERT INTO parent VALUES (3, 'a')";
    assert_survive(&db, insert, [(child, false), (one, false), (two, false)]).await;
    let update = "UPDATE parent SET name = 'b' WHERE id = 3";
    assert_survive(&db, update, [(child, false), (one, false), (two, false)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_write_what_they_say() {
    const UPDATE: &str = "UPDATE parent SET note = 'x' WHERE id = 1";
    const CHILD: &str = "CREATE TABLE child (name TEXT UNIQUE); INSERT INTO child VALUES ('a');";
    for (trigger, write, child, log) in [
        ("AFTER UPDATE ON parent BEGIN INSERT INTO log VALUES (OLD.name || NEW.name); END", UPDATE, true, false),
        ("AFTER UPDATE OF note ON parent WHEN NEW.id > 0 BEGIN INSERT INTO log SELECT NEW.note; END", UPDATE, true, false),
        ("BEFORE INSERT ON parent BEGIN INSERT INTO log VALUES (NEW.id); END", UPDATE, true, true),
        ("AFTER INSERT ON parent BEGIN INSERT INTO log VALUES (NEW.id); END", "INSERT INTO parent VALUES (9, 'z', NULL)", true, false),
        ("AFTER DELETE ON parent BEGIN DELETE FROM child WHERE name = OLD.name; END", "DELETE FROM parent WHERE id = 1", false, true),
        (
            "AFTER UPDATE ON parent BEGIN
                SELECT CASE WHEN NEW.name IS NULL THEN RAISE(ABORT, 'no name') END;
                UPDATE log SET what = strftime('%s', 'now');
             END",
            UPDATE, true, false,
        ),
        ("BEFORE UPDATE ON parent WHEN NEW.note = 'y' BEGIN SELECT RAISE(IGNORE); END", UPDATE, true, true),
        // Of one statement, the way with conflicts is that of what set it off.
        (
            "AFTER INSERT ON parent BEGIN INSERT INTO child VALUES ('a'); END;
             CREATE TRIGGER second AFTER DELETE ON child BEGIN INSERT INTO log VALUES ('gone'); END",
            "REPLACE INTO parent VALUES (9, 'z', NULL)", false, false,
        ),
        (
            "AFTER UPDATE ON parent BEGIN UPDATE child SET name = 'q'; END;
             CREATE TRIGGER second AFTER UPDATE ON child BEGIN INSERT INTO log VALUES ('gone'); END",
            UPDATE, false, false,
        ),
    ] {
        check(&format!("{CHILD} CREATE TRIGGER first {trigger};"), write, child, log).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_its_trigger_writes_once_more() {
    let (_file, db) = open(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, code INTEGER UNIQUE, note TEXT);
         INSERT INTO parent VALUES (1, 1, NULL), (2, 2, NULL);
         CREATE TRIGGER first AFTER INSERT ON parent BEGIN
             UPDATE parent SET code = NEW.id * 10 WHERE id = NEW.id;
         END;",
    )
    .await;
    let ten = "SELECT count(*) || '' AS answer FROM parent WHERE code = 30";
    assert_survive(&db, "INSERT INTO parent VALUES (3, 3, NULL)", [(ten, false)]).await;
    let one = "SELECT count(note) || '' AS answer FROM parent WHERE code = 1";
    assert_survive(&db, "UPDATE parent SET note = 'x' WHERE id = 2", [(one, true)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_with_triggers_in_its_place() {
    let (_file, db) = open(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE log (what TEXT);
         CREATE VIEW named AS SELECT id FROM parent;
         CREATE TRIGGER first INSTEAD OF INSERT ON named BEGIN INSERT INTO log VALUES (NEW.id); END;",
    )
    .await;
    assert_survive(&db, "INSERT INTO named VALUES (1)", [(READS[1], false)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_module_keeps_is_its_own() {
    let (_file, db) = open("CREATE VIRTUAL TABLE words USING fts5 (word)").await;
    for table in ["words", "words_data"] {
        let read = format!("SELECT count(*) || '' AS answer FROM {table}");
        let outcome = ask(&db, &read, false).await.1;
        assert_eq!(outcome, Outcome::Bypass(Bypass::ForeignTable), "{table}");
    }
}

//! What a plan says of a write holds on a real database: what it returns when it is asked for more,
//! which rows it touches and which columns it sets.

use std::collections::BTreeMap;

use diesel::{Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_types};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use turbodiesel_core::PinValue;
use turbodiesel_sql::{Action, ConflictOn, Dialect, Rows, Target, ValueSource, Writes, plan};

use crate::soundness::{COLUMNS, Choices, Row, condition, excludes, literal};

/// Indexes of `t0`, and the columns that an upsert names.
const UNIQUE: [&str; 4] = ["", "", "(a)", "(a, b)"];

/// A write of `t0`, whose unique index is given.
fn write(choices: &mut Choices<'_>, unique: &str) -> String {
    let with = choices.pick(&["", "", "WITH s AS (SELECT a FROM t1) "]);
    let names = ["t0".to_owned()];
    let body = match choices.below(6) {
        0 | 1 => {
            let set = assignments(choices, &["a", "b", "c"]);
            format!("UPDATE t0 SET {set} WHERE {}", condition(choices, &names, 1))
        }
        2 => format!("DELETE FROM t0 WHERE {}", condition(choices, &names, 1)),
        3 => {
            let names = ["t1".to_owned()];
            format!("INSERT INTO t0 SELECT a, b, c FROM t1 WHERE {}", condition(choices, &names, 1))
        }
        kind => {
            let or = choices.pick(&["", "", "OR IGNORE "]);
            let rows: Vec<_> =
                (0..=choices.below(3)).map(|_| format!("({})", literal(&choices.row()))).collect();
            let insert = format!("INSERT {or}INTO t0 VALUES {}", rows.join(", "));
            match choices.below(3) {
                _ if kind == 4 => insert,
                0 => format!("{insert} ON CONFLICT {unique} DO NOTHING"),
                _ => {
                    let set = assignments(choices, &["a", "c", "excluded.b", "excluded.c"]);
                    format!("{insert} ON CONFLICT {unique} DO UPDATE SET {set}")
                }
            }
        }
    };
    let returning =
        choices.pick(&["", "", " RETURNING *", " RETURNING a + 1 AS q", " RETURNING b AS q, *"]);
    let end = choices.pick(&["", ";", "\n"]);
    format!("{with}{body}{returning}{end}")
}

/// An update whose rows another relation helps to choose, or an outer join of two.
fn joined_update(choices: &mut Choices<'_>) -> String {
    let mut names = vec!["t0".to_owned(), "x".to_owned()];
    let (column, value) = (choices.pick(&COLUMNS), choices.pick(&["1", "2", "x.a", "t0.b"]));
    let mut from = format!("{} AS x", choices.pick(&["t0", "t1"]));
    if choices.below(3) == 0 {
        let join = choices.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        names.push("y".to_owned());
        from += &format!(" {join} t2 AS y ON {}", condition(choices, &names, 0));
    }
    let mut chosen = condition(choices, &names, 1);
    if choices.below(2) == 0 {
        let column = choices.pick(&COLUMNS);
        chosen = format!("t0.{column} = {} AND ({chosen})", choices.below(3));
    }
    format!("UPDATE t0 SET {column} = {value} FROM {from} WHERE {chosen}")
}

fn assignments(choices: &mut Choices<'_>, values: &[&str]) -> String {
    let value = |choices: &mut Choices<'_>| match choices.below(3) {
        0 => choices.pick(values).to_owned(),
        1 => choices.pick(&["a + 1", "(SELECT max(b) FROM t1)", "NULL"]).to_owned(),
        _ => choices.below(3).to_string(),
    };
    match choices.below(4) {
        0 => format!("(b, c) = ({}, {})", value(choices), value(choices)),
        1 => format!("c = {}, b = {}", value(choices), value(choices)),
        _ => format!("{} = {}", choices.pick(&COLUMNS), value(choices)),
    }
}

#[derive(diesel::QueryableByName)]
struct Found {
    #[diesel(sql_type = sql_types::Nullable<sql_types::BigInt>)]
    a: Option<i64>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::BigInt>)]
    b: Option<i64>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::BigInt>)]
    c: Option<i64>,
}

impl Found {
    fn row(&self) -> Row {
        [self.a, self.b, self.c]
    }
}

#[derive(diesel::QueryableByName)]
struct Id {
    #[diesel(sql_type = sql_types::BigInt)]
    id: i64,
}

/// The rows of `t0` by their row ids, which no write here changes.
fn stored(connection: &mut SqliteConnection) -> BTreeMap<i64, Row> {
    let ids = diesel::sql_query("SELECT rowid AS id FROM t0 ORDER BY rowid").load::<Id>(connection);
    let rows = diesel::sql_query("SELECT a, b, c FROM t0 ORDER BY rowid").load::<Found>(connection);
    let rows = rows.unwrap();
    ids.unwrap().iter().map(|id| id.id).zip(rows.iter().map(Found::row)).collect()
}

/// One row that a write has inserted, changed or deleted.
struct Change {
    old: Option<Row>,
    new: Option<Row>,
}

fn changes(before: &BTreeMap<i64, Row>, after: &BTreeMap<i64, Row>) -> Vec<Change> {
    let ids = before.keys().chain(after.keys().filter(|id| !before.contains_key(id)));
    ids.map(|id| Change { old: before.get(id).copied(), new: after.get(id).copied() })
        .filter(|change| change.old != change.new)
        .collect()
}

/// Whether the target's pins, columns and conflict say the truth about the row.
fn is_foretold(target: &Target, change: &Change) -> bool {
    let set = |column: &str| target.set_columns.contains(column);
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            !excludes(&target.pins, old)
                && (0..COLUMNS.len()).all(|i| old[i] == new[i] || set(COLUMNS[i]))
                && (target.action == Action::Update || is_supplied(target, new))
        }
        (Some(old), None) => !excludes(&target.pins, old) && target.action == Action::Delete,
        (None, Some(_)) => matches!(target.action, Action::Insert | Action::Upsert),
        (None, None) => false,
    }
}

/// Whether the conflict columns of a row that an upsert has updated are among its values, where the
/// plan says that they stay.
fn is_supplied(target: &Target, row: &Row) -> bool {
    let conflict = target.conflict.as_ref().expect("an insert changes no row without a conflict");
    let Some(inserted) = &target.inserted else { return false };
    match (&conflict.on, &inserted.rows) {
        _ if conflict.sets_target => true,
        (ConflictOn::Columns(columns), Rows::Values(values)) => values.iter().any(|values| {
            columns.iter().all(|column| {
                let index = COLUMNS.iter().position(|known| **known == **column).unwrap();
                match &values[index] {
                    ValueSource::Literal(PinValue::Int(value)) => row[index] == Some(*value),
                    _ => false,
                }
            })
        }),
        _ => false,
    }
}

/// Plans and runs one write. Tells how many rows it changed, and none if it failed.
fn check(bytes: &[u8]) -> Option<usize> {
    let mut choices = Choices(bytes.iter());
    let unique = choices.pick(&UNIQUE);
    let is_joined = choices.below(4) == 0;
    let sql = match is_joined {
        true => joined_update(&mut choices),
        false => write(&mut choices, unique),
    };
    let plan = plan(Dialect::Sqlite, &sql);
    let Writes::Tables(targets) = plan.writes() else { panic!("{sql}\n{plan}") };
    let [target] = targets.as_slice() else { panic!("{sql}\n{plan}") };
    let mut connection = SqliteConnection::establish(":memory:").unwrap();
    for table in ["t0", "t1", "t2"] {
        connection.batch_execute(&format!("CREATE TABLE {table} (a int, b int, c int)")).unwrap();
        if table == "t0" && !unique.is_empty() {
            connection.batch_execute(&format!("CREATE UNIQUE INDEX u ON t0 {unique}")).unwrap();
        }
        for _ in 0..choices.below(5) {
            let row = literal(&choices.row());
            // Some are twice there.
            connection
                .batch_execute(&format!("INSERT OR IGNORE INTO {table} VALUES ({row})"))
                .unwrap();
        }
    }
    let before = stored(&mut connection);
    connection.batch_execute("SAVEPOINT plain").unwrap();
    let plain = connection.batch_execute(&sql);
    let after = stored(&mut connection);
    connection.batch_execute("ROLLBACK TO plain").unwrap();

    let changes = changes(&before, &after);
    for change in &changes {
        assert!(is_foretold(target, change), "{:?} {:?}\n{sql}\n{plan}", change.old, change.new);
    }
    assert_eq!(plan.returning().is_none(), is_joined, "{sql}\n{plan}");
    if let Some(returning) = plan.returning() {
        let extended = returning.extend(&sql, &COLUMNS);
        let returned = diesel::sql_query(&extended).load::<Found>(&mut connection);
        assert_eq!(stored(&mut connection), after, "{sql}\n{extended}");
        assert_eq!(plain.is_ok(), returned.is_ok(), "{sql}\n{extended}\n{:?}", returned.err());
        let returned: Vec<_> = returned.ok()?.iter().map(Found::row).collect();
        for change in &changes {
            let told = change.new.or(change.old).unwrap();
            assert!(returned.contains(&told), "{told:?}\n{extended}");
        }
        // Nothing is told that the write did not touch: rows are where it has put or deleted them.
        // (An upsert may have updated what it has just inserted.)
        let seen = if target.action == Action::Delete { &before } else { &after };
        for row in returned.iter().filter(|_| target.action != Action::Upsert) {
            assert!(seen.values().any(|seen| seen == row), "{row:?}\n{extended}");
        }
    }
    plain.ok()?;
    Some(changes.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn a_write_does_what_its_plan_says(
        bytes in prop::collection::vec(any::<u8>(), 40..120),
    ) {
        check(&bytes);
    }
}

// Else the test above would say little.
#[test]
fn many_random_writes_change_rows() {
    let mut runner = TestRunner::deterministic();
    let bytes = prop::collection::vec(any::<u8>(), 40..120);
    let changed = (0..400).filter(|_| {
        let bytes = bytes.new_tree(&mut runner).unwrap().current();
        check(&bytes).is_some_and(|changes| changes > 0)
    });
    let changed = changed.count();
    assert!(changed > 100, "{changed}");
}

//! Every SQLite type: what comes out of the cache is what the library gave, whoever has read it
//! before and in whatever way.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use diesel::{
    SqliteConnection,
    deserialize::{self, FromSqlRow},
    prelude::*,
    row::{Field, Row},
    sql_types::{
        self, BigInt, Binary, Bool, Date, Double, Float, Integer, Json, Jsonb, Nullable, SmallInt,
        Text, Time, Timestamp, Untyped,
    },
    sqlite::{Sqlite, SqliteType},
};
use diesel_async::{
    AsyncConnection, RunQueryDsl, SimpleAsyncConnection,
    sync_connection_wrapper::SyncConnectionWrapper,
};
use futures_util::{TryStreamExt, future::try_join_all};
use turbodiesel::{Builder, Db, Outcome, Tier};
use turbodiesel_testkit::SqliteFile;

/// One file, reached through turbodiesel and past it.
struct Bench {
    plain: SyncConnectionWrapper<SqliteConnection>,
    db: Db<Sqlite>,
    tables: u32,
    _file: SqliteFile,
}

fn builder() -> Builder<Sqlite> {
    // Answers must not expire, nor be read anew by chance, in the middle of a slow test.
    Tier::ALL.into_iter().fold(Db::sqlite(), |builder, tier| {
        builder.ttl(tier, std::time::Duration::from_secs(3600)).refresh_ahead(tier, 0.0)
    })
}

impl Bench {
    async fn new(schema: &str) -> Self {
        let file = SqliteFile::new().unwrap();
        let db = builder().url(file.url()).build().await.unwrap();
        (&db).batch_execute(schema).await.unwrap();
        let plain = SyncConnectionWrapper::establish(&file.url()).await.unwrap();
        Self { plain, db, tables: 0, _file: file }
    }

    /// A new table of one column, filled by SQL expressions and with NULLs around them.
    async fn table_of(&mut self, affinity: &str, values: &[&str]) -> String {
        self.tables += 1;
        let name = format!("values_{}", self.tables);
        let rows: Vec<String> = values.iter().map(|value| format!("({value})")).collect();
        let sql = format!(
            "CREATE TABLE {name} (id integer PRIMARY KEY, v {affinity});
             INSERT INTO {name} (v) VALUES (NULL), {}, (NULL)",
            rows.join(", ")
        );
        (&self.db).batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        name
    }
}

/// A cell as SQLite stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RawCell {
    Null,
    Integer(i64),
    /// The bits of a double.
    Double(u64),
    Text(String),
    Blob(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct RawRow(Vec<(Option<String>, RawCell)>);

impl FromSqlRow<Untyped, Sqlite> for RawRow {
    fn build_from_row<'a>(row: &impl Row<'a, Sqlite>) -> deserialize::Result<Self> {
        (0..row.field_count())
            .map(|index| {
                let field = row.get(index).ok_or("a column is missing")?;
                let name = field.field_name().map(ToOwned::to_owned);
                let Some(mut value) = field.value() else { return Ok((name, RawCell::Null)) };
                let cell = match value.value_type() {
                    None => RawCell::Null,
                    Some(SqliteType::Text) => RawCell::Text(value.read_text().to_owned()),
                    Some(SqliteType::Binary) => RawCell::Blob(value.read_blob().to_vec()),
                    Some(SqliteType::Double | SqliteType::Float) => {
                        RawCell::Double(value.read_double().to_bits())
                    }
                    Some(SqliteType::SmallInt | SqliteType::Integer | SqliteType::Long) => {
                        RawCell::Integer(value.read_long())
                    }
                };
                Ok((name, cell))
            })
            .collect::<deserialize::Result<_>>()
            .map(Self)
    }
}

#[track_caller]
fn assert_hit(outcome: Option<Outcome>) {
    assert!(matches!(outcome, Some(Outcome::Hit(_))), "not a hit but {outcome:?}");
}

/// Loads a query plainly, past the cache, as a miss and as hits, through `&Db`, handle and
/// connection. All must agree, errors included; the plain result is the value.
macro_rules! same {
    ($bench:expr, $query:expr, $row:ty) => {{
        let bench = &mut *$bench;
        let plain: QueryResult<Vec<$row>> = $query.load(&mut bench.plain).await;
        let expected = format!("{plain:?}");
        let live: QueryResult<Vec<$row>> = $query.load(&mut bench.db.handle().bypass()).await;
        assert_eq!(format!("{live:?}"), expected, "past the cache");
        let first: QueryResult<Vec<$row>> = $query.load(&mut &bench.db).await;
        assert_eq!(format!("{first:?}"), expected, "a first read");
        let mut handle = bench.db.handle();
        let hit: QueryResult<Vec<$row>> = $query.load(&mut handle).await;
        assert_hit(handle.outcome());
        assert_eq!(format!("{hit:?}"), expected, "a hit");
        let mut connection = bench.db.connection().await.unwrap();
        let hit: QueryResult<Vec<$row>> = $query.load(&mut connection).await;
        assert_hit(connection.outcome());
        assert_eq!(format!("{hit:?}"), expected, "a hit on a connection");
        plain
    }};
}

/// Checks values of one type in a table and as literals.
macro_rules! check_values {
    ($bench:expr, $affinity:expr, $st:ty => $rust:ty, $values:expr) => {{
        let bench = &mut *$bench;
        let table = bench.table_of($affinity, &$values).await;
        let sql = format!("SELECT id, v FROM {table} ORDER BY id");
        let raw = same!(bench, diesel::sql_query(&sql), RawRow).unwrap();
        assert_eq!(raw.len(), $values.len() + 2);
        let typed = || diesel::dsl::sql::<(Integer, Nullable<$st>)>(&sql);
        let rows = same!(bench, typed(), (i32, Option<$rust>))
            .unwrap_or_else(|error| panic!("{}: {error}", stringify!($st)));
        assert!(rows[0].1.is_none() && rows[rows.len() - 1].1.is_none());
        // Decoding has changed nothing.
        assert_eq!(same!(bench, diesel::sql_query(&sql), RawRow).unwrap(), raw);

        let literals: Vec<String> =
            $values.iter().enumerate().map(|(i, value)| format!("{value} AS v{i}")).collect();
        let sql = format!("SELECT NULL AS n, {}", literals.join(", "));
        same!(bench, diesel::sql_query(&sql), RawRow).unwrap();
        rows
    }};
}

#[tokio::test]
async fn numbers() {
    let mut bench = Bench::new("").await;
    let bench = &mut bench;
    check_values!(bench, "", SmallInt => i16, ["0", "1", "-1", "32767", "-32768"]);
    check_values!(bench, "", Integer => i32, ["0", "127", "2147483647", "-2147483648"]);
    check_values!(bench, "integer", BigInt => i64,
        ["0", "140737488355327", "9223372036854775807", "-9223372036854775807 - 1"]);
    check_values!(bench, "", Bool => bool, ["0", "1", "true", "false", "2"]);
    check_values!(bench, "", Float => f32, ["0.0", "1.5", "-3.4028234663852886e38", "9e999"]);
    let doubles = check_values!(bench, "real", Double => f64,
        ["0.0", "0.1", "1e308", "-9e999", "5e-324", "3", "1.7976931348623157e308"]);
    assert_eq!(doubles[4].1, Some(f64::NEG_INFINITY));
}

#[tokio::test]
async fn texts_and_blobs() {
    let mut bench = Bench::new("").await;
    let bench = &mut bench;
    let long = format!("'{}'", "ä€𝄞".repeat(5000));
    let texts = check_values!(bench, "text", Text => String,
        ["''", "' '", "'NULL'", "'a''b'", "'\\'", "'Grüße, 世界'", "'👩‍👩‍👧‍👦'", "'e\u{301}'",
            "'12'", &long]);
    assert_eq!(texts[3].1.as_deref(), Some("NULL"));
    let blobs = check_values!(bench, "blob", Binary => Vec<u8>,
        ["x''", "x'00'", "x'ff00ff'", "x'3132'", "zeroblob(3000)"]);
    assert_eq!(blobs[1].1.as_deref(), Some(&[][..]));
}

#[tokio::test]
async fn a_nul_ends_no_text() {
    let mut bench = Bench::new("CREATE TABLE t (id integer PRIMARY KEY, v text)").await;
    diesel::table! { t { id -> Integer, v -> Nullable<Text> } }
    for (id, text) in [(1, "a\0b"), (2, "\0"), (3, "🦀\0🦀"), (4, "a")] {
        diesel::insert_into(t::table)
            .values((t::id.eq(id), t::v.eq(text)))
            .execute(&mut &bench.db)
            .await
            .unwrap();
        // As a bind, too.
        let query = || t::table.filter(t::v.eq(text)).select(t::v);
        let found = same!(&mut bench, query(), Option<String>).unwrap();
        assert_eq!(found, [Some(text.to_owned())]);
    }
    same!(&mut bench, diesel::sql_query("SELECT v FROM t ORDER BY id"), RawRow).unwrap();
}

#[tokio::test]
async fn dates_and_times() {
    let mut bench = Bench::new("").await;
    let bench = &mut bench;
    check_values!(bench, "date", Date => NaiveDate,
        ["'2024-02-29'", "'0001-01-01'", "'9999-12-31'"]);
    check_values!(bench, "time", Time => NaiveTime,
        ["'00:00'", "'23:59:59'", "'12:34:56.789'"]);
    check_values!(bench, "timestamp", Timestamp => NaiveDateTime,
        ["'2024-02-29 12:34:56'", "'2024-02-29T12:34:56.123456'", "'2024-02-29 12:34'",
            "2460370.5"]);
    check_values!(bench, "", sql_types::TimestamptzSqlite => chrono::DateTime<chrono::Utc>,
        ["'2024-02-29 12:34:56+00:00'", "'2024-02-29 12:34:56.5+02:00'"]);
}

#[tokio::test]
async fn documents() {
    let mut bench = Bench::new("").await;
    let bench = &mut bench;
    check_values!(bench, "", Json => serde_json::Value,
        ["'null'", "'{}'", "'[1, {\"a\": [true, \"ä\"]}]'", "'1.5e3'"]);
    // SQLite's own function writes the binary form, which is not on the list of literals.
    let table = bench.table_of("", &["jsonb('{\"a\": [1, null, \"ä\"]}')", "jsonb('0')"]).await;
    let sql = format!("SELECT v FROM {table} WHERE v IS NOT NULL ORDER BY id");
    same!(bench, diesel::dsl::sql::<Jsonb>(&sql), serde_json::Value).unwrap();
    same!(bench, diesel::sql_query(&sql), RawRow).unwrap();
}

/// SQLite converts values in place while they are read. A reader must not see what another's reading
/// has made of them.
#[tokio::test]
async fn a_value_read_as_text_and_as_number_stays_what_it_was() {
    let mut bench = Bench::new("").await;
    let bench = &mut bench;
    let table = bench
        .table_of("", &["12345", "1.5", "'77'", "x'3738'", "'7x'", "x'ff'", "'2024-02-29'"])
        .await;
    let sql = format!("SELECT v FROM {table} WHERE v IS NOT NULL AND v <> x'ff' ORDER BY id");
    let raw = same!(bench, diesel::sql_query(&sql), RawRow).unwrap();
    assert_eq!(raw[3].0[0].1, RawCell::Blob(b"78".to_vec()));
    for _ in 0..2 {
        let texts = same!(bench, diesel::dsl::sql::<Text>(&sql), String).unwrap();
        assert_eq!(texts[..3], ["12345", "1.5", "77"]);
        assert_eq!(same!(bench, diesel::sql_query(&sql), RawRow).unwrap(), raw, "after texts");
        let numbers = same!(bench, diesel::dsl::sql::<BigInt>(&sql), i64).unwrap();
        assert_eq!(numbers[..3], [12345, 1, 77]);
        assert_eq!(same!(bench, diesel::sql_query(&sql), RawRow).unwrap(), raw, "after numbers");
        same!(bench, diesel::dsl::sql::<Double>(&sql), f64).unwrap();
        same!(bench, diesel::dsl::sql::<Binary>(&sql), Vec<u8>).unwrap();
        same!(bench, diesel::dsl::sql::<Timestamp>(&sql), NaiveDateTime).unwrap_err();
        assert_eq!(same!(bench, diesel::sql_query(&sql), RawRow).unwrap(), raw, "after the rest");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rows_are_decoded_by_many_at_once() {
    const ROWS: i64 = 200;
    let values: Vec<String> =
        (0..ROWS).map(|i| if i % 2 == 0 { i.to_string() } else { format!("{i}.25") }).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let mut bench = Bench::new("").await;
    let table = bench.table_of("", &values).await;
    let sql = format!("SELECT id, v FROM {table} WHERE v IS NOT NULL ORDER BY id");
    let raw: Vec<RawRow> = diesel::sql_query(&sql).load(&mut bench.plain).await.unwrap();
    // Fill once; from here on all share one answer.
    let _: Vec<RawRow> = diesel::sql_query(&sql).load(&mut &bench.db).await.unwrap();
    let statements = bench.db.stats().statements;

    let tasks = (0..8).map(|task| {
        let (db, sql, raw) = (bench.db.clone(), sql.clone(), raw.clone());
        tokio::spawn(async move {
            for round in 0..50 {
                match (task + round) % 3 {
                    0 => {
                        let query = diesel::dsl::sql::<(Integer, Text)>(&sql);
                        let rows: Vec<(i32, String)> = query.load(&mut &db).await.unwrap();
                        for (i, (_, text)) in (0..ROWS).zip(&rows) {
                            let exact = if i % 2 == 0 { "" } else { ".25" };
                            assert_eq!(*text, format!("{i}{exact}"));
                        }
                    }
                    1 => {
                        let query = diesel::dsl::sql::<(Integer, BigInt)>(&sql);
                        let rows = query.load_stream::<(i32, i64)>(&mut &db).await.unwrap();
                        let rows: Vec<_> = rows.try_collect().await.unwrap();
                        assert!(rows.into_iter().map(|(_, number)| number).eq(0..ROWS));
                    }
                    _ => {
                        let rows: Vec<RawRow> =
                            diesel::sql_query(&sql).load(&mut &db).await.unwrap();
                        assert_eq!(rows, raw);
                    }
                }
                tokio::task::yield_now().await;
            }
        })
    });
    try_join_all(tasks.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(bench.db.stats().statements, statements, "all of it came from the cache");
}

diesel::table! {
    parts { id -> Integer, name -> Text, stock -> Nullable<BigInt>, photo -> Nullable<Binary> }
}

const PARTS: &str = "CREATE TABLE parts (id integer PRIMARY KEY, name text NOT NULL UNIQUE,
                                         stock integer, photo blob);
    INSERT INTO parts VALUES (1, 'bolt', 100, x'00ff'), (2, 'nut', NULL, NULL), (3, '', 0, x'');";

#[derive(Debug, PartialEq, Queryable, Selectable, QueryableByName)]
#[diesel(check_for_backend(Sqlite))]
struct Part {
    id: i32,
    name: String,
    photo: Option<Vec<u8>>,
}

#[tokio::test]
async fn rows_by_name_and_by_selection() {
    let mut bench = Bench::new(PARTS).await;
    let bench = &mut bench;
    let sql = "SELECT photo, stock, name, id FROM parts WHERE id >= ? ORDER BY id";
    for id in [0, 2, 9] {
        let query = || diesel::sql_query(sql).bind::<Integer, _>(id);
        let rows = same!(bench, query(), Part).unwrap();
        assert_eq!(rows.len(), if id == 0 { 3 } else { usize::from(id == 2) * 2 });
        same!(bench, query(), RawRow).unwrap();
    }
    let all = same!(bench, parts::table.select(Part::as_select()).order(parts::id), Part).unwrap();
    assert_eq!(all[2], Part { id: 3, name: String::new(), photo: Some(Vec::new()) });
    for ids in [vec![], vec![3], vec![3, 1]] {
        let query = || {
            parts::table
                .filter(parts::id.eq_any(ids.clone()))
                .select(Part::as_select())
                .order(parts::id)
                .into_boxed()
        };
        assert_eq!(same!(bench, query(), Part).unwrap().len(), ids.len());
    }
    let missing = || diesel::sql_query("SELECT id, name FROM parts");
    same!(bench, missing(), Part).unwrap_err();
}

#[tokio::test]
async fn binds_that_differ_never_share_an_answer() {
    let bench = Bench::new("").await;
    let mut handle = bench.db.handle();
    macro_rules! each_misses {
        ($sql:expr, [$($($st:ty => $value:expr),+ ;)+]) => {{
            let mut plain = SyncConnectionWrapper::<SqliteConnection>::establish(":memory:")
                .await
                .unwrap();
            for expected in [Outcome::Miss, Outcome::Hit(Tier::L1)] {$(
                let ours: Vec<RawRow> = diesel::sql_query($sql)$(.bind::<$st, _>($value))+
                    .load(&mut handle).await.unwrap();
                assert_eq!(handle.outcome(), Some(expected), "{}", stringify!($($value),+));
                let theirs: Vec<RawRow> = diesel::sql_query($sql)$(.bind::<$st, _>($value))+
                    .load(&mut plain).await.unwrap();
                assert_eq!(ours, theirs);
            )+}
        }};
    }
    each_misses!("SELECT ? AS v", [
        Text => "1";
        Integer => 1;
        Double => 1.0;
        Binary => &b"1"[..];
        Nullable<Text> => None::<String>;
        Nullable<Text> => Some("");
        Nullable<Text> => Some("NULL");
        Nullable<Text> => Some("Null");
        Nullable<Binary> => Some(Vec::new());
        Text => "\"";
        Text => "\\\"";
        Text => "\0";
        Text => "\\0";
        Text => "\u{301}";
        Text => "\\u{301}";
        Double => 0.0;
        Double => -0.0;
        Double => f64::INFINITY;
        Double => 5e-324;
        BigInt => i64::MAX;
    ]);
    each_misses!("SELECT ? AS v, ? AS w", [
        Text => "a", Text => "b, c";
        Text => "a\", \"b", Text => "c";
        Text => "", Text => "ab";
        Text => "ab", Text => "";
        Integer => 1, Text => "2";
        Text => "1", Integer => 2;
    ]);
}

#[tokio::test]
async fn a_database_in_memory_has_one_connection() {
    let db = builder().url(":memory:").pool_size(8).build().await.unwrap();
    assert_eq!(db.stats().pool.max_size, 1);
    (&db).batch_execute(PARTS).await.unwrap();
    let names = parts::table.select(parts::name).order(parts::id);
    // More readers and writers at once than connections.
    let readers = (0..16).map(|_| {
        let db = db.clone();
        tokio::spawn(async move { names.load::<String>(&mut &db).await.unwrap() })
    });
    for names in try_join_all(readers.collect::<Vec<_>>()).await.unwrap() {
        assert_eq!(names, ["bolt", "nut", ""]);
    }
    let writers = (10..20).map(|id| {
        let db = db.clone();
        tokio::spawn(async move {
            diesel::insert_into(parts::table)
                .values((parts::id.eq(id), parts::name.eq(format!("part {id}"))))
                .execute(&mut &db)
                .await
                .unwrap();
            let found: i64 =
                parts::table.filter(parts::id.eq(id)).count().get_result(&mut &db).await.unwrap();
            assert_eq!(found, 1, "one's own write is seen");
        })
    });
    try_join_all(writers.collect::<Vec<_>>()).await.unwrap();
    let mut handle = db.handle();
    for expected in [Outcome::Miss, Outcome::Hit(Tier::L1)] {
        assert_eq!(names.load::<String>(&mut handle).await.unwrap().len(), 13);
        assert_eq!(handle.outcome(), Some(expected));
    }
    // A transaction holds the one connection; a hit needs none.
    let mut connection = db.connection().await.unwrap();
    assert_eq!(names.load::<String>(&mut handle).await.unwrap().len(), 13);
    assert_hit(handle.outcome());
    connection
        .transaction::<_, diesel::result::Error, _>(async |connection| {
            diesel::delete(parts::table.filter(parts::id.ge(10))).execute(connection).await?;
            assert_eq!(names.load::<String>(connection).await?.len(), 3);
            Ok(())
        })
        .await
        .unwrap();
    drop(connection);
    assert_eq!(names.load::<String>(&mut handle).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_has_readers_beside_a_writer() {
    let mut bench = Bench::new(PARTS).await;
    let count = parts::table.count();
    let mut handle = bench.db.handle();
    assert_eq!(count.get_result::<i64>(&mut handle).await.unwrap(), 3);
    // A write that is not committed yet is seen by nobody else, in the cache or past it.
    let mut writer = bench.db.connection().await.unwrap();
    let reader = bench.db.clone();
    writer
        .transaction::<_, diesel::result::Error, _>(async |writer| {
            diesel::insert_into(parts::table)
                .values((parts::id.eq(4), parts::name.eq("gear")))
                .execute(writer)
                .await?;
            assert_eq!(count.get_result::<i64>(writer).await?, 4);
            let mut others = reader.handle();
            assert_eq!(count.get_result::<i64>(&mut others).await?, 3);
            assert_hit(others.outcome());
            assert_eq!(count.get_result::<i64>(&mut reader.handle().bypass()).await?, 3);
            assert_eq!(parts::table.select(parts::id).load::<i32>(&mut others).await?.len(), 3);
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(count.get_result::<i64>(&mut handle).await.unwrap(), 4);
    assert_eq!(parts::table.select(parts::id).load::<i32>(&mut handle).await.unwrap().len(), 4);

    // Many readers and writers at once: nobody sees the count go back.
    let writers = (0..4).map(|task| {
        let db = bench.db.clone();
        tokio::spawn(async move {
            let mut seen = 0;
            for round in 0..10 {
                let id = 100 + task * 10 + round;
                diesel::insert_into(parts::table)
                    .values((parts::id.eq(id), parts::name.eq(format!("part {id}"))))
                    .execute(&mut &db)
                    .await
                    .unwrap();
                let now: i64 = parts::table.count().get_result(&mut &db).await.unwrap();
                assert!(now > seen, "{now} after {seen}");
                seen = now;
            }
        })
    });
    try_join_all(writers.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(same!(&mut bench, count, i64).unwrap(), [44]);
}

#[tokio::test]
async fn an_answer_above_the_limit_is_passed_on() {
    let bench = Bench::new(PARTS).await;
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
               SELECT i, printf('%.1000c', 'x') AS v FROM n";
    let mut handle = bench.db.handle();
    for (rows, outcomes) in [
        (100, [Outcome::Miss, Outcome::Hit(Tier::L1)]),
        (2000, [Outcome::Bypass(turbodiesel::Bypass::TooLarge); 2]),
    ] {
        for expected in outcomes {
            let query = diesel::sql_query(sql).bind::<Integer, _>(rows);
            let all: Vec<RawRow> = query.load(&mut handle).await.unwrap();
            assert_eq!(handle.outcome(), Some(expected));
            assert!(
                all.iter()
                    .map(|row| &row.0[0].1)
                    .eq(&(1..=i64::from(rows)).map(RawCell::Integer).collect::<Vec<_>>())
            );
        }
    }
}

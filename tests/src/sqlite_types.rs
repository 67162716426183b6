//! Every SQLite type: what comes out of the cache is what the library gave, whoever has read it
//! before and in whatever way.

mod application;

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

use same;

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

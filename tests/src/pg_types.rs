//! Every PostgreSQL type and every shape of answer: what comes out of the cache is what the server
//! sent, byte for byte.

mod answers;
mod application;
mod binds;
mod containers;
mod identity;
mod scalars;
mod schemas;

use diesel::{
    QueryResult,
    deserialize::{self, FromSqlRow},
    pg::{Pg, PgValue},
    row::{Field, Row},
    sql_types::Untyped,
};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use turbodiesel::{Builder, Db};
use turbodiesel_testkit::{Database, database};

/// One database, reached through turbodiesel and past it.
struct Bench {
    plain: AsyncPgConnection,
    db: Db,
    tables: u32,
    // Dropped last: it disconnects everybody.
    database: Database,
}

impl Bench {
    async fn new(schema: &str) -> Self {
        Self::configured(schema, |builder| builder).await
    }

    async fn configured(schema: &str, configure: impl FnOnce(Builder<Pg>) -> Builder<Pg>) -> Self {
        let database = database();
        database.batch_execute(schema).unwrap();
        // Answers must not expire, nor be read anew by chance, in the middle of a slow test.
        let builder = turbodiesel::Tier::ALL.into_iter().fold(Db::builder(), |builder, tier| {
            builder.ttl(tier, std::time::Duration::from_secs(3600)).refresh_ahead(tier, 0.0)
        });
        let db = configure(builder.url(database.url())).build().await.unwrap();
        let plain = AsyncPgConnection::establish(database.url()).await.unwrap();
        Self { plain, db, tables: 0, database }
    }

    /// A new table of one column, filled by SQL expressions and with NULLs around them.
    async fn table_of(&mut self, sql_type: &str, values: &[String]) -> String {
        self.tables += 1;
        let name = format!("values_{}", self.tables);
        let rows: Vec<String> = values.iter().map(|value| format!("({value})")).collect();
        let sql = format!(
            "CREATE TABLE {name} (id serial PRIMARY KEY, v {sql_type});
             INSERT INTO {name} (v) VALUES (NULL);
             INSERT INTO {name} (v) VALUES {};
             INSERT INTO {name} (v) VALUES (NULL)",
            rows.join(", ")
        );
        (&self.db).batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        name
    }

    fn misses(&self) -> u64 {
        self.db.stats().lookups.misses
    }
}

/// A row as it is on the wire: for each column its name, and unless NULL the OID and the bytes.
#[derive(Debug, PartialEq, Eq)]
struct RawRow(Vec<(Option<String>, Option<RawCell>)>);

/// The OID of a value's type, and its bytes.
type RawCell = (u32, Vec<u8>);

impl FromSqlRow<Untyped, Pg> for RawRow {
    fn build_from_row<'a>(row: &impl Row<'a, Pg>) -> deserialize::Result<Self> {
        let cell = |value: PgValue<'_>| (value.get_oid().get(), value.as_bytes().to_vec());
        (0..row.field_count())
            .map(|index| {
                let field = row.get(index).ok_or("a column is missing")?;
                Ok((field.field_name().map(ToOwned::to_owned), field.value().map(cell)))
            })
            .collect::<deserialize::Result<_>>()
            .map(Self)
    }
}

/// What a decoding came to, in a form that can be compared: floats print all that tells them apart.
fn shown<T: std::fmt::Debug>(result: &QueryResult<T>) -> String {
    format!("{result:?}")
}

/// Loads a query as raw rows: plainly, past the cache, as a miss through `&Db`, as a hit through a
/// handle and as a hit through a connection. All must agree; the rows are the value.
///
/// The query is an expression, evaluated for each load.
macro_rules! raw_rows {
    ($bench:expr, $query:expr) => {{
        use diesel_async::RunQueryDsl as _;

        let bench = &mut *$bench;
        let plain: Vec<$crate::pg_types::RawRow> = $query.load(&mut bench.plain).await.unwrap();
        let live: Vec<$crate::pg_types::RawRow> =
            $query.load(&mut bench.db.handle().bypass()).await.unwrap();
        assert_eq!(live, plain, "past the cache");
        let misses = bench.misses();
        let missed: Vec<$crate::pg_types::RawRow> = $query.load(&mut &bench.db).await.unwrap();
        assert_eq!(bench.misses(), misses + 1, "a first read misses");
        assert_eq!(missed, plain, "a miss");
        let mut handle = bench.db.handle();
        let hit: Vec<$crate::pg_types::RawRow> = $query.load(&mut handle).await.unwrap();
        $crate::pg_types::assert_hit(handle.outcome());
        assert_eq!(hit, plain, "a hit");
        let mut connection = bench.db.connection().await.unwrap();
        let hit: Vec<$crate::pg_types::RawRow> = $query.load(&mut connection).await.unwrap();
        $crate::pg_types::assert_hit(connection.outcome());
        assert_eq!(hit, plain, "a hit on a connection");
        plain
    }};
}

/// Loads a query as typed rows, plainly, past the cache and as a hit. The three results must agree,
/// errors of decoding included; the plain one is the value.
macro_rules! typed_rows {
    ($bench:expr, $query:expr, $row:ty) => {{
        use diesel_async::RunQueryDsl as _;

        let bench = &mut *$bench;
        let plain: diesel::QueryResult<Vec<$row>> = $query.load(&mut bench.plain).await;
        let live: diesel::QueryResult<Vec<$row>> =
            $query.load(&mut bench.db.handle().bypass()).await;
        assert_eq!($crate::pg_types::shown(&live), $crate::pg_types::shown(&plain));
        let first: diesel::QueryResult<Vec<$row>> = $query.load(&mut &bench.db).await;
        assert_eq!($crate::pg_types::shown(&first), $crate::pg_types::shown(&plain));
        let mut handle = bench.db.handle();
        let hit: diesel::QueryResult<Vec<$row>> = $query.load(&mut handle).await;
        $crate::pg_types::assert_hit(handle.outcome());
        assert_eq!($crate::pg_types::shown(&hit), $crate::pg_types::shown(&plain));
        plain
    }};
}

/// Checks values of one type in a table and as literals: NULLs before, between and after, alone, and
/// not at all. `decoded` says whether Diesel itself can decode all of them.
macro_rules! check_values {
    ($bench:expr, $sql_type:expr, $st:ty => $rust:ty, $values:expr, $literals:expr) => {{
        let bench = &mut *$bench;
        let (sql_type, values): (&str, Vec<String>) = ($sql_type, $values);
        let table = bench.table_of(sql_type, &values).await;

        let all = format!("SELECT id, v FROM {table} ORDER BY id");
        let rows = raw_rows!(bench, diesel::sql_query(&all));
        assert_eq!(rows.len(), values.len() + 2, "{sql_type}");
        for (index, row) in rows.iter().enumerate() {
            let is_null = index == 0 || index == values.len() + 1;
            assert_eq!(row.0[1].1.is_none(), is_null, "{sql_type}, row {index}");
        }
        let typed = || {
            diesel::dsl::sql::<(diesel::sql_types::Integer, diesel::sql_types::Nullable<$st>)>(&all)
        };
        let decoded = typed_rows!(bench, typed(), (i32, Option<$rust>));
        let decoded = decoded.unwrap_or_else(|error| panic!("{sql_type}: {error}"));
        assert_eq!(decoded.len(), values.len() + 2);

        // The first answer of a statement knows no type where all its cells are NULL.
        let some = format!(
            "SELECT v, id FROM {table} WHERE (v IS NOT DISTINCT FROM NULL) = $1 ORDER BY id"
        );
        for null in [true, false] {
            let query = || diesel::sql_query(&some).bind::<diesel::sql_types::Bool, _>(null);
            let rows = raw_rows!(bench, query());
            assert_eq!(rows.len(), if null { 2 } else { values.len() });
        }

        let literals: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(index, value)| format!("({value})::{sql_type} AS v{index}"))
            .collect();
        let literals = format!("SELECT NULL::{sql_type} AS n, {}", literals.join(", "));
        $crate::pg_types::check_literals(bench, &literals, $literals).await;
    }};
}

use {check_values, raw_rows, typed_rows};

/// Whether a cast of a literal to a type can be cached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literals {
    Cached,
    /// The conversion may depend on more than the text: `'now'::date`, or on a type of the user's.
    /// Only what starts with a digit is surely not a word for the present.
    Refused,
}

async fn check_literals(bench: &mut Bench, sql: &str, literals: Literals) {
    use diesel_async::RunQueryDsl as _;

    if literals == Literals::Cached {
        raw_rows!(bench, diesel::sql_query(sql));
        return;
    }
    let plain: Vec<RawRow> = diesel::sql_query(sql).load(&mut bench.plain).await.unwrap();
    for _ in 0..2 {
        let mut handle = bench.db.handle();
        let rows: Vec<RawRow> = diesel::sql_query(sql).load(&mut handle).await.unwrap();
        assert!(matches!(handle.outcome(), Some(turbodiesel::Outcome::Bypass(_))), "{sql}");
        assert_eq!(rows, plain);
    }
}

#[track_caller]
fn assert_hit(outcome: Option<turbodiesel::Outcome>) {
    assert!(matches!(outcome, Some(turbodiesel::Outcome::Hit(_))), "not a hit but {outcome:?}");
}

/// Texts as SQL literals of unknown type, for PostgreSQL to parse.
fn quoted<const N: usize>(values: [&str; N]) -> Vec<String> {
    values.map(|value| format!("'{}'", value.replace('\'', "''"))).to_vec()
}

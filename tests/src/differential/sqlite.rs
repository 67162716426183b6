//! SQLite as a side of the test.

use diesel::{
    Connection as _, QueryResult, SqliteConnection,
    connection::{LoadConnection, SimpleConnection},
    query_builder::AstPass,
    row::{Field, Row},
    sql_types::{BigInt, Bool, Double, Integer, Nullable, SmallInt, Text},
    sqlite::{Sqlite, SqliteType},
};
use turbodiesel::{Connection, Db};
use turbodiesel_testkit::SqliteFile;

use super::{
    Dialect,
    answer::Answer,
    side::{Oracle, Side, configure},
    statement::Statement,
    values::Value,
};

/// A plain connection, and the file itself.
pub(super) struct SqliteOracle {
    plain: SqliteConnection,
    _file: SqliteFile,
}

impl Side for Sqlite {
    type Oracle = SqliteOracle;

    const SIDE: Dialect = Dialect::Sqlite;

    async fn open(schema: &[String]) -> (Db<Sqlite>, SqliteOracle) {
        let file = SqliteFile::new().unwrap();
        let mut plain = SqliteConnection::establish(&file.url()).unwrap();
        let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; \
                        PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON";
        plain.batch_execute(settings).unwrap();
        for statement in schema {
            let made = plain.batch_execute(statement);
            if let Err(error) = made
                && super::is_verbose()
            {
                println!("left out: {statement}: {error}");
            }
        }
        let db = configure(Db::sqlite().url(file.url())).build().await.unwrap();
        (db, SqliteOracle { plain, _file: file })
    }

    fn bind<'b>(value: &'b Value, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        match value {
            Value::NullInt => pass.push_bind_param::<Nullable<Integer>, Option<i32>>(&None),
            Value::NullText => pass.push_bind_param::<Nullable<Text>, Option<String>>(&None),
            Value::Small(value) => pass.push_bind_param::<SmallInt, _>(value),
            Value::Int(value) => pass.push_bind_param::<Integer, _>(value),
            Value::Big(value) => pass.push_bind_param::<BigInt, _>(value),
            Value::Text(value) => pass.push_bind_param::<Text, _>(value),
            Value::Bool(value) => pass.push_bind_param::<Bool, _>(value),
            Value::Double(value) => pass.push_bind_param::<Double, _>(value),
            other => unreachable!("{other:?} is for PostgreSQL"),
        }
    }

    async fn pipelined(
        _connection: &Connection<Sqlite>,
        _statements: &[Statement],
    ) -> Vec<QueryResult<()>> {
        unreachable!("only PostgreSQL's protocol has pipelines")
    }

    fn number(row: &[u8]) -> i64 {
        let text = std::str::from_utf8(row).expect("a number as text");
        text.trim_matches(['I', ',']).parse().expect("a number")
    }

    fn encode<'a>(row: &impl Row<'a, Sqlite>, bytes: &mut Vec<u8>) {
        for index in 0..row.field_count() {
            let field = row.get(index).expect("a column that was counted");
            let Some(mut value) = field.value() else {
                bytes.push(b'N');
                continue;
            };
            match value.value_type() {
                None => bytes.push(b'N'),
                Some(SqliteType::Text) => {
                    let text = value.read_text();
                    bytes.extend(format!("T{}:{text}", text.len()).into_bytes());
                }
                Some(SqliteType::Binary) => {
                    let blob = value.read_blob();
                    bytes.extend(format!("B{}:", blob.len()).into_bytes());
                    bytes.extend_from_slice(blob);
                }
                Some(SqliteType::Double | SqliteType::Float) => {
                    bytes.extend(format!("D{:?}", value.read_double()).into_bytes());
                }
                Some(SqliteType::SmallInt | SqliteType::Integer | SqliteType::Long) => {
                    bytes.extend(format!("I{}", value.read_long()).into_bytes());
                }
            }
            bytes.push(b',');
        }
    }
}

impl SqliteOracle {
    fn load(&mut self, query: &Statement) -> QueryResult<Answer> {
        let mut rows = Vec::new();
        for row in LoadConnection::load(&mut self.plain, query)? {
            let mut bytes = Vec::with_capacity(64);
            Sqlite::encode(&row?, &mut bytes);
            rows.push(bytes.into_boxed_slice());
        }
        Ok(Answer(rows))
    }
}

impl Oracle for SqliteOracle {
    async fn ask(&mut self, queries: &[&Statement]) -> Vec<Option<Answer>> {
        queries.iter().map(|query| self.load(query).ok()).collect()
    }

    async fn quiet(&mut self) {
        // Whoever holds a connection of the pool is at work, and all of them have been waited for.
    }
}

//! PostgreSQL as a side of the test.

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::AstPass,
    row::{Field, Row},
    sql_types::{
        Array, BigInt, Bool, Integer, Nullable, Numeric, SmallInt, Text, Timestamptz, Uuid,
    },
};
use diesel_async::{
    AsyncConnection, AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection,
};
use futures_util::future::join_all;
use turbodiesel::{Connection, Db};
use turbodiesel_testkit::Database;

use super::{
    Dialect,
    answer::Answer,
    side::{Oracle, Side, configure},
    statement::Statement,
    values::Value,
};

/// A plain connection, and the database itself.
pub(super) struct PgOracle {
    plain: AsyncPgConnection,
    // Dropped last: it disconnects everybody.
    _database: Database,
}

impl Side for Pg {
    type Oracle = PgOracle;

    const SIDE: Dialect = Dialect::Postgres;

    async fn open(schema: &[String]) -> (Db<Pg>, PgOracle) {
        let database = turbodiesel_testkit::database();
        let mut plain = AsyncPgConnection::establish(database.url()).await.unwrap();
        // It asks the same questions thousands of times.
        plain.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
        for statement in schema {
            let made = plain.batch_execute(statement).await;
            if let Err(error) = made
                && super::is_verbose()
            {
                println!("left out: {statement}: {error}");
            }
        }
        let builder = configure(Db::builder().url(database.url()));
        let db = builder.statement_timeout(std::time::Duration::from_secs(20)).build().await;
        (db.unwrap(), PgOracle { plain, _database: database })
    }

    fn bind<'b>(value: &'b Value, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match value {
            Value::NullInt => pass.push_bind_param::<Nullable<Integer>, Option<i32>>(&None),
            Value::NullText => pass.push_bind_param::<Nullable<Text>, Option<String>>(&None),
            Value::Small(value) => pass.push_bind_param::<SmallInt, _>(value),
            Value::Int(value) => pass.push_bind_param::<Integer, _>(value),
            Value::Big(value) => pass.push_bind_param::<BigInt, _>(value),
            Value::Text(value) => pass.push_bind_param::<Text, _>(value),
            Value::Bool(value) => pass.push_bind_param::<Bool, _>(value),
            Value::Uuid(value) => pass.push_bind_param::<Uuid, _>(value),
            Value::Numeric(value) => pass.push_bind_param::<Numeric, _>(value),
            Value::Double(value) => pass.push_bind_param::<diesel::sql_types::Double, _>(value),
            Value::Time(value) => pass.push_bind_param::<Timestamptz, _>(value),
            Value::Ints(values) => pass.push_bind_param::<Array<Integer>, _>(values),
            Value::Bigs(values) => pass.push_bind_param::<Array<BigInt>, _>(values),
            Value::Texts(values) => pass.push_bind_param::<Array<Text>, _>(values),
            Value::Uuids(values) => pass.push_bind_param::<Array<Uuid>, _>(values),
        }
    }

    async fn pipelined(connection: &Connection, statements: &[Statement]) -> Vec<QueryResult<()>> {
        let all = statements.iter().map(async |statement| {
            let mut connection = connection;
            match statement.returns {
                true => Answer::load(&mut connection, statement).await.map(drop),
                false => connection.execute_returning_count(statement).await.map(drop),
            }
        });
        join_all(all).await
    }

    fn number(row: &[u8]) -> i64 {
        let bytes = row.last_chunk().expect("eight bytes, after their number");
        i64::from_be_bytes(*bytes)
    }

    fn encode<'a>(row: &impl Row<'a, Pg>, bytes: &mut Vec<u8>) {
        for index in 0..row.field_count() {
            let field = row.get(index).expect("a column that was counted");
            match field.value() {
                None => bytes.push(b'N'),
                Some(value) => {
                    let cell = value.as_bytes();
                    bytes.push(b'=');
                    bytes.extend(u32::try_from(cell.len()).expect("a small cell").to_be_bytes());
                    bytes.extend_from_slice(cell);
                }
            }
        }
    }
}

/// Whether another session of this database is at work or in a transaction.
const BUSY: &str = "SELECT FROM pg_stat_activity WHERE datname = current_database()
    AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'";

impl Oracle for PgOracle {
    async fn ask(&mut self, queries: &[&Statement]) -> Vec<Option<Answer>> {
        let plain = &self.plain;
        let answers =
            queries.iter().map(async |query| Answer::load(&mut &*plain, query).await.ok());
        join_all(answers).await
    }

    async fn quiet(&mut self) {
        let busy = Statement::new(BUSY, Vec::new());
        while !Answer::load(&mut self.plain, &busy).await.unwrap().0.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

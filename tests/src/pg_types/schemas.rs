//! Types of one name in several schemas are several types, for the server and for the cache.

use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    prelude::*,
    query_builder::QueryId,
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{Array, SqlType},
};
use diesel_async::RunQueryDsl;

use super::{Bench, RawRow, raw_rows, typed_rows};

/// Two types of one name.
const TWO_SCHEMAS: &str = "
    CREATE SCHEMA a; CREATE SCHEMA b;
    CREATE TYPE b.level AS ENUM ('low', 'high');
    CREATE TYPE a.level AS ENUM ('high', 'low');
    CREATE TYPE a.pair AS (left_level a.level, right_level b.level);
    CREATE TABLE a.events (id integer PRIMARY KEY, level a.level NOT NULL);
    CREATE TABLE b.events (id integer PRIMARY KEY, level b.level NOT NULL);
    INSERT INTO a.events VALUES (1, 'low'), (2, 'high');
    INSERT INTO b.events VALUES (3, 'low'), (4, 'high');";

#[derive(Debug, SqlType, QueryId)]
#[diesel(postgres_type(name = "level", schema = "a"))]
pub struct LevelA;

#[derive(Debug, SqlType, QueryId)]
#[diesel(postgres_type(name = "level", schema = "b"))]
pub struct LevelB;

/// The type without a schema: found along the search path.
#[derive(SqlType, QueryId)]
#[diesel(postgres_type(name = "level"))]
struct LevelOnPath;

#[derive(Clone, Copy, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = LevelA)]
#[diesel(sql_type = LevelB)]
#[diesel(sql_type = LevelOnPath)]
enum Level {
    Low,
    High,
}

macro_rules! level_in {
    ($st:ty) => {
        impl FromSql<$st, Pg> for Level {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                match value.as_bytes() {
                    b"low" => Ok(Level::Low),
                    b"high" => Ok(Level::High),
                    _ => Err("no such level".into()),
                }
            }
        }

        impl ToSql<$st, Pg> for Level {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                let label = if *self == Level::Low { "low" } else { "high" };
                std::io::Write::write_all(out, label.as_bytes())?;
                Ok(IsNull::No)
            }
        }
    };
}

level_in!(LevelA);
level_in!(LevelB);
level_in!(LevelOnPath);

mod events_a {
    diesel::table! {
        use diesel::sql_types::*;
        use crate::pg_types::schemas::LevelA;

        a.events (id) { id -> Integer, level -> LevelA }
    }
}

mod events_b {
    diesel::table! {
        use diesel::sql_types::*;
        use crate::pg_types::schemas::LevelB;

        b.events (id) { id -> Integer, level -> LevelB }
    }
}

/// The type of the first value.
pub(super) fn oid_of(rows: &[RawRow]) -> u32 {
    rows[0].0[0].1.as_ref().unwrap().0
}

#[tokio::test]
async fn types_of_one_name_in_two_schemas_are_two_types() {
    let mut bench = Bench::new(TWO_SCHEMAS).await;
    // One text, one value: only the type of the bind tells the two apart. `raw_rows!` insists that
    // each is a miss at first.
    let sql = "SELECT $1 AS v";
    let in_a = raw_rows!(&mut bench, diesel::sql_query(sql).bind::<LevelA, _>(Level::Low));
    let in_b = raw_rows!(&mut bench, diesel::sql_query(sql).bind::<LevelB, _>(Level::Low));
    assert_ne!(oid_of(&in_a), oid_of(&in_b));
    let levels = || vec![Level::Low, Level::High];
    let in_a = raw_rows!(&mut bench, diesel::sql_query(sql).bind::<Array<LevelA>, _>(levels()));
    let in_b = raw_rows!(&mut bench, diesel::sql_query(sql).bind::<Array<LevelB>, _>(levels()));
    assert_ne!(oid_of(&in_a), oid_of(&in_b));
    assert_ne!(in_a[0].0[0].1.as_ref().unwrap().1, in_b[0].0[0].1.as_ref().unwrap().1);

    // The order of an enum is its own: in `a` high comes before low.
    for level in [Level::Low, Level::High] {
        let query = || {
            events_a::events::table
                .filter(events_a::events::level.ge(level))
                .select(events_a::events::id)
                .order(events_a::events::id)
        };
        let ids = typed_rows!(&mut bench, query(), i32).unwrap();
        assert_eq!(ids, if level == Level::Low { vec![1] } else { vec![1, 2] });
        let query = || {
            events_b::events::table
                .filter(events_b::events::level.ge(level))
                .select(events_b::events::id)
                .order(events_b::events::id)
        };
        let ids = typed_rows!(&mut bench, query(), i32).unwrap();
        assert_eq!(ids, if level == Level::Low { vec![3, 4] } else { vec![4] });
    }

    // Two unlike types in one statement, whichever comes first.
    let sql = "SELECT $1 AS v, $2 AS w, $3 AS x";
    let query = || {
        diesel::sql_query(sql)
            .bind::<LevelA, _>(Level::Low)
            .bind::<Array<LevelB>, _>(levels())
            .bind::<LevelB, _>(Level::Low)
    };
    let a_first = raw_rows!(&mut bench, query());
    let query = || {
        diesel::sql_query(sql)
            .bind::<LevelB, _>(Level::Low)
            .bind::<Array<LevelA>, _>(levels())
            .bind::<LevelA, _>(Level::Low)
    };
    let b_first = raw_rows!(&mut bench, query());
    assert_eq!(oid_of(&a_first), b_first[0].0[2].1.as_ref().unwrap().0);
}

#[tokio::test]
async fn a_type_that_is_not_there_is_the_same_error() {
    let mut bench = Bench::new(TWO_SCHEMAS).await;
    // `level` is in no schema of the search path.
    let query = || diesel::sql_query("SELECT $1 AS v").bind::<LevelOnPath, _>(Level::Low);
    let plain: QueryResult<Vec<RawRow>> = query().load(&mut bench.plain).await;
    let message = plain.unwrap_err().to_string();
    for _ in 0..2 {
        let ours: QueryResult<Vec<RawRow>> = query().load(&mut &bench.db).await;
        assert_eq!(ours.unwrap_err().to_string(), message);
    }
    // And the connection that said so still serves.
    raw_rows!(&mut bench, diesel::sql_query("SELECT $1 AS v").bind::<LevelA, _>(Level::Low));
}

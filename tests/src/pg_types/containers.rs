//! Types made of others: arrays, ranges, composites, enums and domains.

use std::ops::Bound;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use diesel::{
    data_types::PgNumeric,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    query_builder::QueryId,
    serialize::{self, IsNull, Output, ToSql, WriteTuple},
    sql_types::{
        Array, BigInt, Bool, Date, Integer, Jsonb, Multirange, Nullable, Numeric, Range, Record,
        SqlType, Text, Timestamp, Timestamptz,
    },
};

use super::{
    Bench,
    Literals::{Cached, Refused},
    check_values, quoted, raw_rows, typed_rows,
};

/// What the tests with types of their own create.
pub(super) const TYPES: &str = "
    CREATE TYPE mood AS ENUM ('', 'sad', 'happy', 'it''s \"ok\", {really}');
    CREATE TYPE reading AS (at integer, mood mood, note text);
    CREATE DOMAIN percent AS integer CHECK (VALUE BETWEEN 0 AND 100);
    CREATE DOMAIN moods AS mood[] CHECK (cardinality(VALUE) < 10);";

/// The enum `mood`.
#[derive(Debug, SqlType, QueryId)]
#[diesel(postgres_type(name = "mood"))]
pub struct MoodType;

#[derive(Clone, Copy, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = MoodType)]
pub(super) enum Mood {
    Empty,
    Sad,
    Happy,
    Odd,
}

impl Mood {
    const ALL: [(Mood, &'static str); 4] = [
        (Mood::Empty, ""),
        (Mood::Sad, "sad"),
        (Mood::Happy, "happy"),
        (Mood::Odd, "it's \"ok\", {really}"),
    ];

    pub(super) fn label(self) -> &'static str {
        Self::ALL.iter().find(|(mood, _)| *mood == self).unwrap().1
    }

    pub(super) fn parse(bytes: &[u8]) -> deserialize::Result<Self> {
        let known = Self::ALL.iter().find(|(_, label)| label.as_bytes() == bytes);
        known.map(|(mood, _)| *mood).ok_or_else(|| "no such mood".into())
    }
}

impl FromSql<MoodType, Pg> for Mood {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Mood::parse(value.as_bytes())
    }
}

impl ToSql<MoodType, Pg> for Mood {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        std::io::Write::write_all(out, self.label().as_bytes())?;
        Ok(IsNull::No)
    }
}

/// The composite `reading`, which contains an enum.
#[derive(Debug, SqlType, QueryId)]
#[diesel(postgres_type(name = "reading"))]
pub struct ReadingType;

#[derive(Clone, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = ReadingType)]
pub(super) struct Reading {
    pub(super) at: Option<i32>,
    pub(super) mood: Option<Mood>,
    pub(super) note: Option<String>,
}

type ReadingParts = (Nullable<Integer>, Nullable<MoodType>, Nullable<Text>);

impl FromSql<ReadingType, Pg> for Reading {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let (at, mood, note) = FromSql::<Record<ReadingParts>, Pg>::from_sql(value)?;
        Ok(Reading { at, mood, note })
    }
}

impl ToSql<ReadingType, Pg> for Reading {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let parts = (self.at, self.mood, self.note.as_deref());
        WriteTuple::<ReadingParts>::write_tuple(&parts, &mut out.reborrow())
    }
}

#[tokio::test]
async fn arrays() {
    let mut bench = Bench::new("").await;
    check_values!(&mut bench, "integer[]", Array<Nullable<Integer>> => Vec<Option<i32>>,
        quoted(["{}", "{1}", "{NULL}", "{1,NULL,-2147483648}", "[5:6]={1,2}"]), Cached);
    check_values!(&mut bench, "text[]", Array<Nullable<Text>> => Vec<Option<String>>,
        quoted(["{}", "{\"\"}", "{NULL,\"NULL\",\"a,b\",\"\\\"\"}"]), Cached);
    check_values!(&mut bench, "bigint[]", Array<BigInt> => Vec<i64>,
        vec!["ARRAY(SELECT generate_series(1::bigint, 1000))".to_owned()], Cached);
    check_values!(&mut bench, "boolean[]", Array<Bool> => Vec<bool>, quoted(["{t,f}"]), Cached);
    check_values!(&mut bench, "numeric[]", Array<Numeric> => Vec<PgNumeric>,
        quoted(["{1.50,NaN,-0.001}"]), Cached);
    check_values!(&mut bench, "jsonb[]", Array<Jsonb> => Vec<serde_json::Value>,
        quoted(["{\"{\\\"a\\\": null}\",\"[]\"}"]), Cached);
    check_values!(&mut bench, "timestamptz[]", Array<Timestamptz> => Vec<DateTime<Utc>>,
        quoted(["{2024-01-01 00:00:00+00}"]), Refused);
}

#[tokio::test]
async fn arrays_of_two_dimensions_pass_as_bytes() {
    let mut bench = Bench::new("").await;
    let table = bench.table_of("integer[]", &quoted(["{{1,2},{3,4}}"])).await;
    let sql = format!("SELECT v FROM {table} WHERE v IS NOT NULL");
    raw_rows!(&mut bench, diesel::sql_query(&sql));
    // Diesel refuses them; from the cache with the same words.
    typed_rows!(&mut bench, diesel::dsl::sql::<Array<Integer>>(&sql), Vec<i32>).unwrap_err();
}

type Bounds<T> = (Bound<T>, Bound<T>);

#[tokio::test]
async fn ranges() {
    let mut bench = Bench::new("").await;
    check_values!(&mut bench, "int4range", Range<Integer> => Bounds<i32>,
        quoted(["empty", "(,)", "[1,5)", "(1,5]", "[,0)", "[2147483646,)"]), Cached);
    check_values!(&mut bench, "int8range", Range<BigInt> => Bounds<i64>,
        quoted(["empty", "[-9223372036854775808,9223372036854775807)"]), Cached);
    check_values!(&mut bench, "numrange", Range<Numeric> => Bounds<PgNumeric>,
        quoted(["(,)", "[0.1,0.10]", "(-1.5,NaN]"]), Cached);
    check_values!(&mut bench, "daterange", Range<Date> => Bounds<NaiveDate>,
        quoted(["[2024-01-01,2024-12-31]", "(,2024-01-01)"]), Refused);
    check_values!(&mut bench, "tsrange", Range<Timestamp> => Bounds<NaiveDateTime>,
        quoted(["[2024-01-01 00:00:00,2024-01-01 00:00:00.000001]"]), Refused);
    check_values!(&mut bench, "tstzrange", Range<Timestamptz> => Bounds<DateTime<Utc>>,
        quoted(["(2024-01-01 00:00:00+00,)", "(,)"]), Refused);
    check_values!(&mut bench, "int4range[]", Array<Range<Integer>> => Vec<Bounds<i32>>,
        quoted(["{\"[1,2)\",\"(,)\"}"]), Cached);
}

#[tokio::test]
async fn multiranges() {
    let mut bench = Bench::new("").await;
    check_values!(&mut bench, "int4multirange", Multirange<Integer> => Vec<Bounds<i32>>,
        quoted(["{}", "{[1,2),[5,9)}", "{(,)}"]), Cached);
    check_values!(&mut bench, "int8multirange", Multirange<BigInt> => Vec<Bounds<i64>>,
        quoted(["{[1,2),[9223372036854775806,)}"]), Cached);
    check_values!(&mut bench, "nummultirange", Multirange<Numeric> => Vec<Bounds<PgNumeric>>,
        quoted(["{}", "{[0.5,0.7],(1,NaN)}"]), Cached);
    check_values!(&mut bench, "datemultirange", Multirange<Date> => Vec<Bounds<NaiveDate>>,
        quoted(["{[2024-01-01,2024-02-01)}"]), Refused);
    check_values!(&mut bench, "tsmultirange", Multirange<Timestamp> => Vec<Bounds<NaiveDateTime>>,
        quoted(["{[2024-01-01 00:00:00,2024-02-01 00:00:00)}"]), Refused);
    check_values!(&mut bench, "tstzmultirange",
        Multirange<Timestamptz> => Vec<Bounds<DateTime<Utc>>>,
        quoted(["{}", "{(,2024-01-01 00:00:00+00)}"]), Refused);
}

#[tokio::test]
async fn enums_composites_and_domains() {
    let mut bench = Bench::new(TYPES).await;
    check_values!(&mut bench, "mood", MoodType => Mood,
        quoted(["", "sad", "happy", "it's \"ok\", {really}"]), Refused);
    check_values!(&mut bench, "mood[]", Array<Nullable<MoodType>> => Vec<Option<Mood>>,
        quoted(["{}", "{happy,NULL,\"\"}"]), Refused);
    check_values!(&mut bench, "reading", ReadingType => Reading,
        quoted(["(1,happy,\"a, \"\"b\"\"\")", "(,,)", "(0,\"\",\"\")"]), Refused);
    check_values!(&mut bench, "reading[]", Array<Nullable<ReadingType>> => Vec<Option<Reading>>,
        quoted(["{}", "{\"(1,sad,x)\",NULL,\"(,,)\"}"]), Refused);
    check_values!(&mut bench, "percent", Integer => i32, quoted(["0", "100"]), Refused);
    check_values!(&mut bench, "moods", Array<MoodType> => Vec<Mood>,
        quoted(["{}", "{sad,happy}"]), Refused);
}

#[tokio::test]
async fn records_without_a_type() {
    let mut bench = Bench::new(TYPES).await;
    let table = bench.table_of("mood", &quoted(["sad"])).await;
    let sql = format!("SELECT ROW(id, v, 'x'::text) FROM {table} ORDER BY id");
    raw_rows!(&mut bench, diesel::sql_query(&sql));
    typed_rows!(
        &mut bench,
        diesel::dsl::sql::<Record<(Integer, Nullable<MoodType>, Text)>>(&sql),
        (i32, Option<Mood>, String)
    )
    .unwrap();
}

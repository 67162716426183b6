//! What makes two queries the same: the text, the types of the binds, and their bytes.

use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Double, Float, Integer, Json, Jsonb, Nullable, Numeric, Oid,
    SmallInt, Text, Uuid,
};
use diesel::{data_types::PgNumeric, prelude::*};
use diesel_async::RunQueryDsl;

use super::{Bench, RawRow, raw_rows};

/// One text with binds that differ in type or value only. Each is a miss at first and has its own
/// answer (both are what `raw_rows!` asserts), then all are hits with the answers they had.
macro_rules! all_different {
    ($sql:expr, [$($($st:ty => $value:expr),+ ;)+]) => {{
        let mut bench = Bench::new("").await;
        let mut answers = Vec::new();
        $(answers.push(raw_rows!(
            &mut bench,
            diesel::sql_query($sql)$(.bind::<$st, _>($value))+
        ));)+
        let mut again = Vec::new();
        $({
            let mut handle = bench.db.handle();
            let rows: Vec<RawRow> =
                diesel::sql_query($sql)$(.bind::<$st, _>($value))+.load(&mut handle).await.unwrap();
            super::assert_hit(handle.outcome());
            again.push(rows);
        })+
        assert_eq!(answers, again);
        answers
    }};
}

#[tokio::test]
async fn binds_of_other_types_are_other_queries() {
    let answers = all_different!("SELECT $1 AS v", [
        SmallInt => 0x3132;
        Text => "12";
        Binary => &b"12"[..];
        Json => serde_json::json!(12);
        Jsonb => serde_json::json!(12);
        Integer => 0x3132_3334;
        Oid => 0x3132_3334;
        Text => "1234";
        Binary => &b"1234"[..];
        Float => f32::from_bits(0x3132_3334);
        BigInt => 0x3132_3334_3536_3738;
        Double => f64::from_bits(0x3132_3334_3536_3738);
        Text => "12345678";
        Uuid => uuid::Uuid::from_bytes(*b"1234567812345678");
        Text => "1234567812345678";
        Bool => true;
        Numeric => PgNumeric::Positive { weight: 0, scale: 0, digits: vec![12] };
    ]);
    let oids: std::collections::HashSet<_> =
        answers.iter().map(|rows| rows[0].0[0].1.as_ref().unwrap().0).collect();
    assert_eq!(oids.len(), 13);
}

#[tokio::test]
async fn null_and_empty_and_the_word_null() {
    let answers = all_different!("SELECT $1 AS v", [
        Nullable<Text> => None::<String>;
        Nullable<Text> => Some("");
        Nullable<Text> => Some("NULL");
        Nullable<Text> => Some("null");
        Nullable<Text> => Some(" ");
        Nullable<Integer> => None::<i32>;
        Nullable<Integer> => Some(0);
        Nullable<Binary> => None::<Vec<u8>>;
        Nullable<Binary> => Some(Vec::new());
        Array<Nullable<Text>> => Vec::<Option<String>>::new();
        Array<Nullable<Text>> => vec![None::<String>];
        Array<Nullable<Text>> => vec![Some("")];
        Array<Nullable<Text>> => vec![Some("NULL")];
    ]);
    assert_eq!(answers[0][0].0[0].1, None);
    assert_eq!(answers[1][0].0[0].1.as_ref().unwrap().1, b"");
}

#[tokio::test]
async fn the_border_between_binds_counts() {
    all_different!("SELECT $1 AS v, $2 AS w", [
        Text => "ab", Text => "c";
        Text => "a", Text => "bc";
        Text => "", Text => "abc";
        Text => "abc", Text => "";
        Nullable<Text> => None::<String>, Text => "abc";
        Nullable<Text> => Some("abc"), Nullable<Text> => None::<String>;
        Nullable<Text> => None::<String>, Nullable<Text> => None::<String>;
        Integer => 1, BigInt => 2;
        BigInt => 1, Integer => 2;
        Integer => 1, Integer => 2;
        Integer => 2, Integer => 1;
    ]);
}

#[tokio::test]
async fn floats_are_told_apart_by_their_bits() {
    all_different!("SELECT $1 AS v", [
        Double => 0.0;
        Double => -0.0;
        Double => f64::NAN;
        Double => f64::INFINITY;
        Double => f64::NEG_INFINITY;
        Double => f64::MIN_POSITIVE;
        Double => 5e-324;
    ]);
}

/// Two types of the application with one meaning at the server are one query.
#[tokio::test]
async fn the_way_a_query_was_written_does_not_count() {
    diesel::table! { things { id -> Integer, name -> Nullable<Text> } }

    let bench = Bench::new(
        "CREATE TABLE things (id integer PRIMARY KEY, name text);
         INSERT INTO things VALUES (1, NULL), (2, ''), (3, 'NULL')",
    )
    .await;
    let mut handle = bench.db.handle();
    let by_name = |name: Option<&'static str>| {
        things::table.select(things::id).filter(things::name.is_not_distinct_from(name))
    };
    for (name, id) in [(None, 1), (Some(""), 2), (Some("NULL"), 3)] {
        let ids: Vec<i32> = by_name(name).load(&mut handle).await.unwrap();
        assert_eq!(ids, [id]);
        assert_eq!(handle.outcome(), Some(turbodiesel::Outcome::Miss));
        // A boxed query has no type of its own to be known by, but the same text and binds.
        let ids: Vec<i32> = by_name(name).into_boxed().load(&mut handle).await.unwrap();
        assert_eq!(ids, [id]);
        super::assert_hit(handle.outcome());
    }
}

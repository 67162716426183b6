//! Binds of types that only a connection can name: enums, composites and arrays of them, also when
//! their OIDs differ or change.

use diesel::{
    prelude::*,
    sql_types::{Array, Binary, Integer, Nullable, Oid, Text},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use super::{
    Bench, RawRow,
    containers::{Mood, MoodType, Reading, ReadingType, TYPES},
    raw_rows,
    schemas::oid_of,
    shown, typed_rows,
};

diesel::table! {
    use diesel::sql_types::*;
    use crate::pg_types::containers::{MoodType, ReadingType};

    diary (id) {
        id -> Integer,
        mood -> Nullable<MoodType>,
        moods -> Array<Nullable<MoodType>>,
        reading -> Nullable<ReadingType>,
        readings -> Array<Nullable<ReadingType>>,
    }
}

const DIARY: &str = "CREATE TABLE diary (id integer PRIMARY KEY, mood mood,
    moods mood[] NOT NULL, reading reading, readings reading[] NOT NULL);";

type Entry = (i32, Option<Mood>, Vec<Option<Mood>>, Option<Reading>, Vec<Option<Reading>>);

fn reading(at: i32, mood: Option<Mood>, note: &str) -> Reading {
    Reading { at: Some(at), mood, note: Some(note.to_owned()) }
}

/// Rows whose numbers look like the numbers that stand for OIDs while a query is captured.
fn entries() -> Vec<Entry> {
    let looks_like_an_oid = [0xF1E2_0000_u32, 0xF1E2_0001, 0xD3C4_0000, 0xD3C4_0003]
        .map(|oid| Some(reading(oid.cast_signed(), Some(Mood::Sad), "\u{1}")));
    vec![
        (1, None, vec![], None, vec![]),
        (2, Some(Mood::Empty), vec![None], Some(reading(7, None, "")), vec![None]),
        (
            3,
            Some(Mood::Odd),
            vec![Some(Mood::Happy), None, Some(Mood::Empty), Some(Mood::Odd)],
            Some(Reading { at: None, mood: Some(Mood::Happy), note: None }),
            looks_like_an_oid.to_vec(),
        ),
    ]
}

async fn diary_bench() -> Bench {
    let bench = Bench::new(&format!("{TYPES}{DIARY}")).await;
    for (id, mood, moods, reading, readings) in entries() {
        let written = diesel::insert_into(diary::table)
            .values((
                diary::id.eq(id),
                diary::mood.eq(mood),
                diary::moods.eq(moods),
                diary::reading.eq(reading),
                diary::readings.eq(readings),
            ))
            .execute(&mut &bench.db)
            .await
            .unwrap();
        assert_eq!(written, 1);
    }
    bench
}

#[tokio::test]
async fn custom_types_are_written_and_found() {
    let mut bench = diary_bench().await;
    let all = typed_rows!(&mut bench, diary::table.order(diary::id), Entry).unwrap();
    assert_eq!(all, entries());

    let ids = || diary::table.select(diary::id).order(diary::id);
    for (mood, expected) in [(Mood::Empty, vec![2]), (Mood::Odd, vec![3]), (Mood::Sad, vec![])] {
        let found = typed_rows!(&mut bench, ids().filter(diary::mood.eq(mood)), i32).unwrap();
        assert_eq!(found, expected, "{mood:?}");
        let found = typed_rows!(&mut bench, ids().filter(diary::mood.eq(Some(mood))), i32).unwrap();
        assert_eq!(found, expected, "{mood:?}");
    }
    for (moods, expected) in [
        (vec![], vec![]),
        (vec![Mood::Empty], vec![2]),
        (vec![Mood::Empty, Mood::Odd], vec![2, 3]),
        (vec![Mood::Odd, Mood::Sad], vec![3]),
    ] {
        let query = || ids().filter(diary::mood.eq_any(moods.clone()));
        let found = typed_rows!(&mut bench, query(), i32).unwrap();
        assert_eq!(found, expected, "{moods:?}");
    }
    for (_, _, moods, reading, readings) in entries() {
        let query = || ids().filter(diary::moods.eq(moods.clone()));
        assert_eq!(typed_rows!(&mut bench, query(), i32).unwrap().len(), 1, "{moods:?}");
        let query = || ids().filter(diary::readings.eq(readings.clone()));
        assert_eq!(typed_rows!(&mut bench, query(), i32).unwrap().len(), 1, "{readings:?}");
        let query = || ids().filter(diary::reading.is_not_distinct_from(reading.clone()));
        assert_eq!(typed_rows!(&mut bench, query(), i32).unwrap().len(), 1, "{reading:?}");
    }
}

/// Beside a bind that contains OIDs, one that only looks like it must arrive as it was sent.
#[tokio::test]
async fn bytes_that_look_like_stand_ins_are_left_alone() {
    let mut bench = diary_bench().await;
    let runs = [0xF1E2_0000_u32, 0xF1E2_0001, 0xF1E2_0002, 0xD3C4_0000, 0xD3C4_0001];
    for oid in runs {
        let bytes = [oid.to_be_bytes(), oid.to_be_bytes()].concat();
        let number = oid.cast_signed();
        let query = || {
            diesel::sql_query("SELECT id, $2 AS b, $3 AS i, $4 AS o FROM diary WHERE moods = $1")
                .bind::<Array<Nullable<MoodType>>, _>(vec![None::<Mood>])
                .bind::<Binary, _>(bytes.clone())
                .bind::<Integer, _>(number)
                .bind::<Oid, _>(oid)
        };
        let rows = raw_rows!(&mut bench, query());
        let [RawRow(row)] = &rows[..] else { panic!("one row has these moods: {rows:?}") };
        assert_eq!(row[1].1.as_ref().unwrap().1, bytes);
        assert_eq!(row[2].1.as_ref().unwrap().1, number.to_be_bytes());
        assert_eq!(row[3].1.as_ref().unwrap().1, oid.to_be_bytes());
    }
}

/// One process, two databases with one schema: OIDs differ, because the types were created in
/// another order.
#[tokio::test]
async fn the_same_types_have_other_numbers_in_another_database() {
    let mut first = diary_bench().await;
    let mut second = Bench::new(&format!(
        "CREATE TYPE filler_1 AS ENUM ('x'); CREATE TYPE filler_2 AS (y filler_1);
         {TYPES}{DIARY}
         INSERT INTO diary VALUES (9, 'happy', '{{happy,NULL}}', '(1,happy,x)',
                                   '{{\"(1,happy,x)\"}}')"
    ))
    .await;
    let query = || {
        diesel::sql_query("SELECT $1 AS v, $2 AS w")
            .bind::<Array<ReadingType>, _>(vec![reading(1, Some(Mood::Happy), "x")])
            .bind::<MoodType, _>(Mood::Happy)
    };
    let in_first = raw_rows!(&mut first, query());
    let in_second = raw_rows!(&mut second, query());
    assert_ne!(oid_of(&in_first), oid_of(&in_second));
    assert_ne!(in_first, in_second, "the bytes carry the OIDs of their own database");

    let query = || {
        diary::table
            .filter(diary::readings.eq(vec![Some(reading(1, Some(Mood::Happy), "x"))]))
            .filter(diary::mood.eq_any([Mood::Happy, Mood::Sad]))
            .select(diary::id)
    };
    assert!(typed_rows!(&mut first, query(), i32).unwrap().is_empty());
    assert_eq!(typed_rows!(&mut second, query(), i32).unwrap(), [9]);
}

/// A new connection knows no OIDs yet, an old one knows them all; both execute what was captured.
#[tokio::test]
async fn every_connection_of_the_pool_resolves_for_itself() {
    let bench = diary_bench().await;
    let mut connections = Vec::new();
    for _ in 0..5 {
        connections.push(bench.db.connection().await.unwrap().bypass());
    }
    for _ in 0..2 {
        for connection in &mut connections {
            let ids: Vec<i32> = diary::table
                .filter(diary::readings.eq(entries()[2].4.clone()))
                .select(diary::id)
                .load(connection)
                .await
                .unwrap();
            assert_eq!(ids, [3]);
        }
    }
}

const MOODS_BY_LABEL: &str = "SELECT id FROM diary WHERE mood = $1 ORDER BY id";

#[derive(Debug, PartialEq, QueryableByName)]
struct Id {
    #[diesel(sql_type = Integer)]
    id: i32,
}

/// Makes `mood` another type of the same name, and moves the sad row to another id.
const RECREATE: &str = "
    ALTER TABLE diary DROP COLUMN mood;
    DROP TYPE reading CASCADE;
    DROP TYPE mood CASCADE;
    CREATE TYPE mood AS ENUM ('happy', 'sad');
    ALTER TABLE diary ADD COLUMN mood mood;
    UPDATE diary SET mood = CASE id WHEN 1 THEN 'sad'::mood ELSE 'happy' END;";

/// A type that is dropped and created again has another OID. A connection that has looked it up
/// before goes on using the old one: plain diesel-async fails on it until it reconnects. Ours may
/// fail too on such a connection, but neither shows the old rows nor fails on a new one.
#[tokio::test]
async fn a_type_created_anew_is_never_mistaken_for_the_old_one() {
    let mut bench = diary_bench().await;
    let sad = || diesel::sql_query(MOODS_BY_LABEL).bind::<MoodType, _>(Mood::Odd);
    let happy = || diesel::sql_query(MOODS_BY_LABEL).bind::<MoodType, _>(Mood::Happy);
    // Primed: a plain connection, a held one, and the cache.
    assert_eq!(sad().load::<Id>(&mut bench.plain).await.unwrap(), [Id { id: 3 }]);
    let mut held = bench.db.connection().await.unwrap();
    assert_eq!(sad().load::<Id>(&mut held).await.unwrap(), [Id { id: 3 }]);
    assert_eq!(happy().load::<Id>(&mut held).await.unwrap(), []);
    let hit = sad().load::<Id>(&mut held).await.unwrap();
    assert_eq!(hit, [Id { id: 3 }]);
    super::assert_hit(held.outcome());

    (&bench.db).batch_execute(RECREATE).await.unwrap();

    let plain = happy().load::<Id>(&mut bench.plain).await;
    assert!(plain.is_err(), "{}", shown(&plain));
    let right = vec![Id { id: 2 }, Id { id: 3 }];
    let on_the_old = happy().load::<Id>(&mut held).await;
    assert!(on_the_old.is_err(), "{}", shown(&on_the_old));
    // The handle takes another connection, since the old one is held and that of the change closed.
    for _ in 0..2 {
        let mut handle = bench.db.handle();
        assert_eq!(happy().load::<Id>(&mut handle).await.unwrap(), right);
    }
    // From the cache the held connection serves what others have read.
    assert_eq!(happy().load::<Id>(&mut held).await.unwrap(), right);
    super::assert_hit(held.outcome());
    let mut fresh = AsyncPgConnection::establish(bench.database.url()).await.unwrap();
    assert_eq!(happy().load::<Id>(&mut fresh).await.unwrap(), right);
}

/// The same, by somebody else: the old rows may be served until they are too old, and nothing else
/// than these or the right ones.
#[tokio::test]
async fn a_type_created_anew_by_others_gives_old_rows_or_right_ones_or_an_error() {
    let bench = diary_bench().await;
    let happy = || diesel::sql_query(MOODS_BY_LABEL).bind::<MoodType, _>(Mood::Happy);
    assert_eq!(happy().load::<Id>(&mut &bench.db).await.unwrap(), []);
    bench.database.batch_execute(RECREATE).unwrap();
    let right = vec![Id { id: 2 }, Id { id: 3 }];
    assert_eq!(happy().load::<Id>(&mut &bench.db).await.unwrap(), [], "a hit, as with any write");
    bench.db.invalidate_all();
    let after = happy().load::<Id>(&mut &bench.db).await;
    assert!(after.is_err() || after.as_ref().is_ok_and(|ids| *ids == right), "{}", shown(&after));

    let again = turbodiesel::Db::builder().url(bench.database.url()).build().await.unwrap();
    assert_eq!(happy().load::<Id>(&mut &again).await.unwrap(), right);
}

/// `Text` beside custom types, so that a literal cast is on the server's side.
#[tokio::test]
async fn a_text_cast_by_the_server_is_no_bind_of_the_type() {
    let mut bench = diary_bench().await;
    let sql = "SELECT id FROM diary WHERE mood::text = $1 ORDER BY id";
    for (label, expected) in [("", 1), ("sad", 0), ("NULL", 0), ("it's \"ok\", {really}", 1)] {
        let rows = raw_rows!(&mut bench, diesel::sql_query(sql).bind::<Text, _>(label));
        assert_eq!(rows.len(), expected, "{label}");
    }
}

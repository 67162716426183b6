//! What other libraries got wrong, and ours must not. Each test names where it happened.

use diesel::{pg::Pg, prelude::*};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use turbodiesel_optimizer::keyset::{Cursor, Page, PaginateDsl as _};
use turbodiesel_testkit::Database;

use crate::support::postgres;

diesel::table! {
    posts { id -> Integer, published -> Nullable<Timestamp>, rank -> Integer }
}

const SCHEMA: &str =
    "CREATE TABLE posts (id integer PRIMARY KEY, published timestamp, rank integer NOT NULL);";

async fn open(rows: &str) -> (AsyncPgConnection, Database) {
    postgres(&format!("{SCHEMA} INSERT INTO posts {rows};")).await
}

/// Ids of all pages, by a function that loads the page after a cursor.
macro_rules! all {
    ($connection:expr, $size:expr, $pages:expr) => {{
        let (mut found, mut cursor): (Vec<i32>, Option<Cursor>) = (Vec::new(), None);
        loop {
            let page: Page<i32> =
                $pages.after(cursor).first($size).load_page($connection).await.unwrap();
            cursor = page.end_cursor();
            let more = page.has_next_page();
            found.extend(page);
            if !more {
                break found;
            }
        }
    }};
}

/// twenty #24333: most rows had no value in the key, and 205 of 2,679 were shown. sqlakeyset and
/// mikro-orm #7095 lose them as well.
#[tokio::test]
async fn rows_without_a_value_are_shown() {
    let rows =
        "SELECT i, CASE WHEN i % 13 = 0 THEN timestamp '2024-01-01' + i * interval '1 s' END, 0
                FROM generate_series(1, 2679) i";
    let (mut connection, _database) = open(rows).await;
    let pages = || posts::table.select(posts::id);
    let last = || pages().paginate_by((posts::published.desc().nulls_last(), posts::id.desc()));
    let found = all!(&mut connection, 100, last());
    assert_eq!(found.len(), 2_679);
    assert_eq!(found[..2], [2_678, 2_665]);
    assert_eq!(found[206..208], [2_679, 2_677]);
    let first = || pages().paginate_by((posts::published.asc().nulls_first(), posts::id.asc()));
    let mut found = all!(&mut connection, 100, first());
    assert_eq!(found.len(), 2_679);
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 2_679, "each once");
}

/// graphile-engine #502, nestjs-query #1498, HotChocolate PR 8230, pagy 923: the row of the cursor has
/// NULL, which compares with nothing, so the next page is empty.
#[tokio::test]
async fn a_cursor_at_a_null_goes_on() {
    let (mut connection, _database) = open("SELECT i, NULL, 0 FROM generate_series(1, 5) i").await;
    let order = || (posts::published.asc().nulls_last(), posts::id.asc());
    let found = all!(&mut connection, 2, posts::table.select(posts::id).paginate_by(order()));
    assert_eq!(found, [1, 2, 3, 4, 5]);
}

/// Prisma #4490, #15710: the row of the cursor was deleted, and the next page is empty or an error.
#[tokio::test]
async fn the_cursors_row_is_deleted() {
    let (mut connection, _database) =
        open("SELECT i, NULL, i / 3 FROM generate_series(1, 9) i").await;
    let pages = || {
        let order = (posts::rank.desc(), posts::id.asc());
        posts::table.select(posts::id).paginate_by(order)
    };
    let page: Page<i32> = pages().first(4).load_page(&mut connection).await.unwrap();
    assert_eq!(page.rows(), [9, 6, 7, 8]);
    diesel::delete(posts::table.find(8)).execute(&mut connection).await.unwrap();
    let page: Page<i32> =
        pages().after(page.end_cursor()).first(4).load_page(&mut connection).await.unwrap();
    assert_eq!(page.rows(), [3, 4, 5, 1]);
    assert!(page.has_previous_page());
}

/// YosemiteCrew PR 2720: the row between two pages is in neither.
#[tokio::test]
async fn no_row_falls_between_two_pages() {
    let (mut connection, _database) = open("SELECT i, NULL, 0 FROM generate_series(1, 30) i").await;
    for size in 1..=31 {
        let pages =
            || posts::table.select(posts::id).paginate_by((posts::rank.asc(), posts::id.asc()));
        assert_eq!(all!(&mut connection, size, pages()), (1..=30).collect::<Vec<i32>>());
    }
}

/// forma #381: `before` takes the rows from the start instead of those next to the cursor.
#[tokio::test]
async fn before_a_cursor_are_the_rows_next_to_it() {
    let (mut connection, _database) = open("SELECT i, NULL, 0 FROM generate_series(1, 9) i").await;
    let pages = || posts::table.select(posts::id).paginate_by(posts::id.asc());
    let page: Page<i32> = pages().first(8).load_page(&mut connection).await.unwrap();
    let page: Page<i32> =
        pages().before(page.end_cursor()).last(3).load_page(&mut connection).await.unwrap();
    assert_eq!(page.rows(), [5, 6, 7]);
}

/// metabase 77961: the first page lacks the last key, so ties on its end are cut at random.
#[test]
fn the_first_page_has_all_keys() {
    let pages = posts::table.select(posts::id).paginate_by((posts::rank.desc(), posts::id.desc()));
    let sql = pages.first(5).sql::<Pg>().unwrap();
    assert!(sql.contains(r#"ORDER BY "posts"."rank" DESC, "posts"."id" DESC LIMIT 6"#), "{sql}");
}

/// WaveHouse #401: every page adds its condition to those before.
#[tokio::test]
async fn conditions_do_not_pile_up() {
    let (mut connection, _database) = open("SELECT i, NULL, 0 FROM generate_series(1, 9) i").await;
    let pages =
        || posts::table.select(posts::id).paginate_by((posts::rank.desc(), posts::id.asc()));
    let (mut texts, mut cursor) = (Vec::new(), None);
    for _ in 0..4 {
        let page: Page<i32> =
            pages().after(cursor).first(2).load_page(&mut connection).await.unwrap();
        cursor = page.end_cursor();
        texts.push(pages().after(cursor.clone()).first(2).sql::<Pg>().unwrap());
    }
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
}

/// ensnode 1595: the values of a row comparison have no types of their own, and the server guesses text.
/// A type of one's own is the hardest case: its OID has to be looked up.
#[tokio::test]
async fn values_have_the_types_of_their_keys() {
    #[derive(diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "mood"))]
    struct Mood;

    let schema = "
        CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
        CREATE TABLE days (id bigint PRIMARY KEY, mood mood NOT NULL, at timestamptz NOT NULL);
        INSERT INTO days SELECT i, (ARRAY['sad', 'ok', 'happy'])[i % 3 + 1]::mood, now()
            FROM generate_series(1, 9) i;";
    diesel::table! {
        days { id -> BigInt, at -> Timestamptz }
    }
    let (mut connection, _database) = postgres(schema).await;
    let mut cursor = None;
    let mut found = Vec::new();
    for _ in 0..5 {
        let mood = turbodiesel_optimizer::keyset::asc(diesel::dsl::sql::<Mood>("mood"));
        let page: Page<i64> = days::table
            .select(days::id)
            .paginate_by((mood, days::at.asc(), days::id.asc()))
            .after(cursor)
            .first(2)
            .load_page(&mut connection)
            .await
            .unwrap();
        cursor = page.end_cursor();
        found.extend(page);
    }
    // By the order in which the type declares them.
    assert_eq!(found, [3, 6, 9, 1, 4, 7, 2, 5, 8]);
}

//! Cursors and the values in them, through real databases.

use bigdecimal::BigDecimal;
use chrono::NaiveDateTime;
use diesel::{
    prelude::*,
    sql_types::{Double, Nullable, Numeric, Text, Timestamp},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use turbodiesel_optimizer::keyset::{
    Cursor, CursorKey, Error, Page, PaginateDsl as _, asc, desc, unique,
};
use turbodiesel_testkit::Database;

use crate::support::{key, postgres, sqlite};

diesel::table! {
    posts { id -> Integer, author -> Integer, title -> Text }
}

const POSTS: &str = "
    CREATE TABLE posts (id integer PRIMARY KEY, author integer NOT NULL, title text NOT NULL);
    INSERT INTO posts VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'c'), (4, 2, 'd'), (5, 1, 'e');";

type Row = (i32, i32, String);

async fn posts() -> (AsyncPgConnection, Database) {
    postgres(POSTS).await
}

async fn after(connection: &mut AsyncPgConnection, cursor: Cursor) -> Result<Page<Row>, Error> {
    let pages = posts::table.paginate_by((posts::author.asc(), posts::id.asc()));
    pages.signed_with(&key()).after(cursor).first(2).load_page(connection).await
}

async fn first_cursor(connection: &mut AsyncPgConnection) -> Cursor {
    let pages = posts::table.paginate_by((posts::author.asc(), posts::id.asc()));
    let page: Page<Row> = pages.signed_with(&key()).first(1).load_page(connection).await.unwrap();
    page.end_cursor().unwrap()
}

#[tokio::test]
async fn every_flipped_bit_is_refused_before_the_database_is_asked() {
    let (mut connection, _database) = posts().await;
    let cursor = first_cursor(&mut connection).await;
    after(&mut connection, cursor.clone()).await.unwrap();
    // From here on, any statement fails, with an error of the database.
    diesel::sql_query("ALTER TABLE posts RENAME TO gone").execute(&mut connection).await.unwrap();
    let text = cursor.as_str().as_bytes();
    for bit in 0..text.len() * 8 {
        let mut flipped = text.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let flipped = Cursor::from(String::from_utf8_lossy(&flipped).into_owned());
        let error = after(&mut connection, flipped).await.unwrap_err();
        assert!(error.is_cursor(), "bit {bit}: {error}");
    }
    assert!(after(&mut connection, cursor).await.unwrap_err().is_database());
}

#[tokio::test]
async fn a_cursor_of_another_query_is_foreign() {
    let (mut connection, _database) = posts().await;
    let cursor = first_cursor(&mut connection).await;
    macro_rules! assert_foreign {
        ($pages:expr) => {
            let error: Error = $pages
                .signed_with(&key())
                .after(cursor.clone())
                .first(2)
                .load_page::<Row, _>(&mut connection)
                .await
                .unwrap_err();
            assert!(error.is_foreign_cursor(), "{error}");
            assert!(error.to_string().contains("another query"), "{error}");
        };
    }
    // Other keys, another number of keys, other directions, another filter.
    assert_foreign!(posts::table.paginate_by((posts::title.asc(), posts::id.asc())));
    assert_foreign!(posts::table.paginate_by(posts::id.asc()));
    assert_foreign!(posts::table.paginate_by((posts::author.desc(), posts::id.desc())));
    assert_foreign!(posts::table.paginate_by((posts::author.asc(), posts::id.desc())));
    let filtered = posts::table.filter(posts::author.eq(1));
    assert_foreign!(filtered.paginate_by((posts::author.asc(), posts::id.asc())));
    // Another selection is the same query.
    let titles: Page<String> = posts::table
        .select(posts::title)
        .paginate_by((posts::author.asc(), posts::id.asc()))
        .signed_with(&key())
        .after(cursor)
        .first(2)
        .load_page(&mut connection)
        .await
        .unwrap();
    assert_eq!(titles.rows(), ["b", "e"]);
}

/// The value of a filter is not part of a cursor: it says where in the order, not of which rows.
#[tokio::test]
async fn a_cursor_is_good_for_another_value_of_the_filter() {
    let (mut connection, _database) = posts().await;
    let pages = |author: i32| {
        posts::table
            .filter(posts::author.eq(author))
            .paginate_by(posts::id.asc())
            .signed_with(&key())
    };
    let page: Page<Row> = pages(1).first(2).load_page(&mut connection).await.unwrap();
    let cursor = page.end_cursor();
    let page: Page<Row> = pages(2).after(cursor).first(9).load_page(&mut connection).await.unwrap();
    assert_eq!(page.into_rows().iter().map(|row| row.0).collect::<Vec<_>>(), [3, 4]);
}

#[tokio::test]
async fn a_cursor_of_another_database_is_foreign() {
    let mut connection = sqlite(POSTS).await;
    let (mut postgres, _database) = posts().await;
    let page: Page<Row> = posts::table
        .paginate_by((posts::author.asc(), posts::id.asc()))
        .signed_with(&key())
        .first(1)
        .load_page(&mut connection)
        .await
        .unwrap();
    let error = after(&mut postgres, page.end_cursor().unwrap()).await.unwrap_err();
    assert!(error.is_foreign_cursor(), "{error}");
}

#[tokio::test]
async fn the_random_key_is_one_for_the_process_and_of_no_other() {
    let (mut connection, _database) = posts().await;
    let pages = || posts::table.paginate_by(posts::id.asc());
    let page: Page<Row> = pages().first(2).load_page(&mut connection).await.unwrap();
    let cursor = page.end_cursor();
    let page: Page<Row> =
        pages().after(cursor.clone()).first(2).load_page(&mut connection).await.unwrap();
    assert_eq!(page.rows()[0].0, 3);
    let elsewhere = pages().signed_with(&CursorKey::random()).after(cursor).first(2);
    let error = elsewhere.load_page::<Row, _>(&mut connection).await.unwrap_err();
    assert!(error.is_tampered_cursor() && error.to_string().contains("CursorKey"), "{error}");
    // The first page has taken the random key into use.
    assert!(key().install().unwrap_err().is_key());
}

#[tokio::test]
async fn the_row_of_a_cursor_may_be_gone() {
    let (mut connection, _database) = posts().await;
    let cursor = first_cursor(&mut connection).await;
    diesel::delete(posts::table.find(1)).execute(&mut connection).await.unwrap();
    let page = after(&mut connection, cursor).await.unwrap();
    assert_eq!(page.rows()[0].0, 2);
    assert!(!page.has_previous_page(), "what preceded is gone as well");
}

diesel::table! {
    use diesel::sql_types::*;

    samples (id) { id -> Integer, v -> Nullable<Double> }
}

/// Pages of one row through a column of some type, both ways: every row once, and in the order in which
/// the database sorts.
///
/// A macro, because the type of a key is known to Diesel by traits that no bound can name briefly.
macro_rules! walk {
    ($type:ty, $sql_type:expr, $values:expr) => {{
        let rows: Vec<String> =
            $values.iter().enumerate().map(|(id, value)| format!("({id}, {value})")).collect();
        // Each value twice, so that ties are crossed as well.
        let again: Vec<String> = $values
            .iter()
            .enumerate()
            .map(|(id, value)| format!("({}, {value})", id + 100))
            .collect();
        let schema = format!(
            "CREATE TABLE samples (id integer PRIMARY KEY, v {});
             INSERT INTO samples VALUES {}, {};",
            $sql_type,
            rows.join(", "),
            again.join(", ")
        );
        let (mut connection, _database) = postgres(&schema).await;
        let ids = samples::table.select(samples::id);
        let sorted: Vec<i32> = ids
            .order(diesel::dsl::sql::<Text>("v DESC NULLS LAST, id"))
            .load(&mut connection)
            .await
            .unwrap();
        assert_eq!(sorted.len(), 2 * $values.len());

        let v = || diesel::dsl::sql::<Nullable<$type>>("v");
        let pages = || {
            let order = (desc(v()).nulls_last(), samples::id.asc());
            samples::table.select(samples::id).paginate_by(order).signed_with(&key())
        };
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page: Page<i32> =
                pages().after(cursor).first(1).load_page(&mut connection).await.unwrap();
            found.extend_from_slice(page.rows());
            cursor = page.end_cursor();
            if !page.has_next_page() {
                break;
            }
        }
        assert_eq!(found, sorted, "{} forward", $sql_type);

        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page: Page<i32> =
                pages().before(cursor).last(1).load_page(&mut connection).await.unwrap();
            found.extend_from_slice(page.rows());
            cursor = page.start_cursor();
            if !page.has_previous_page() {
                break;
            }
        }
        found.reverse();
        assert_eq!(found, sorted, "{} backward", $sql_type);
    }};
}

#[tokio::test]
async fn floats_with_nan_infinities_and_both_zeros() {
    let values = ["'NaN'", "'Infinity'", "'-Infinity'", "0", "'-0'", "5e-324", "0.1", "NULL"];
    walk!(Double, "double precision", &values);
    walk!(diesel::sql_types::Float, "real", &["'NaN'", "0", "'-0'", "1e-45", "0.1", "NULL"]);
}

#[tokio::test]
async fn timestamps_to_the_microsecond() {
    let values = [
        "'2024-01-01 00:00:00.000001'",
        "'2024-01-01 00:00:00.000002'",
        "'2024-01-01 00:00:00.0000025'",
        "'2024-01-01 00:00:00'",
        "'-infinity'",
        "'infinity'",
        "'4713-01-01 00:00:00 BC'",
        "NULL",
    ];
    walk!(Timestamp, "timestamp", &values);
    walk!(diesel::sql_types::Timestamptz, "timestamptz", &values);
    walk!(diesel::sql_types::Interval, "interval", &["'1 month'", "'30 days'", "'1 us'", "NULL"]);
}

#[tokio::test]
async fn numbers_without_end_and_with_the_same_value_in_two_forms() {
    let values =
        ["1.0", "1.00", "1", "0.1", "123456789012345678901234567890.000000001", "'NaN'", "NULL"];
    walk!(Numeric, "numeric", &values);
}

#[tokio::test]
async fn uuids_and_bytes() {
    let values = [
        "'00000000-0000-0000-0000-000000000000'",
        "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
        "'80000000-0000-0000-0000-000000000000'",
        "NULL",
    ];
    walk!(diesel::sql_types::Uuid, "uuid", &values);
    walk!(diesel::sql_types::Binary, "bytea", &[r"'\x00'", r"'\x'", r"'\xff'", "NULL"]);
    walk!(diesel::sql_types::Bool, "boolean", &["true", "false", "NULL"]);
}

#[tokio::test]
async fn text_in_the_collation_of_its_column() {
    let values = ["'a'", "'B'", "'ä'", "'Z'", "'z'", "''", "' '", "'a b'", "'a-b'", "'😀'", "NULL"];
    for collation in ["\"C\"", "\"und-x-icu\"", "\"en-x-icu\"", "\"sv-x-icu\""] {
        walk!(Text, &format!("text COLLATE {collation}"), &values);
    }
}

/// Two texts that the database holds for equal are two values in a cursor, and one place in the order.
#[tokio::test]
async fn text_without_regard_to_case() {
    let schema = "
        CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE posts (id integer PRIMARY KEY, author integer NOT NULL,
                            title text COLLATE loose NOT NULL);
        INSERT INTO posts VALUES (1, 1, 'a'), (2, 1, 'A'), (3, 1, 'b'), (4, 1, 'B'), (5, 1, 'a');";
    let (mut connection, _database) = postgres(schema).await;
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let pages = posts::table.paginate_by((posts::title.asc(), posts::id.asc()));
        let page: Page<Row> = pages
            .signed_with(&key())
            .after(cursor)
            .first(1)
            .load_page(&mut connection)
            .await
            .unwrap();
        found.extend(page.rows().iter().map(|row| row.0));
        cursor = page.end_cursor();
        if !page.has_next_page() {
            break;
        }
    }
    assert_eq!(found, [1, 2, 5, 3, 4]);
}

/// On SQLite a column holds values of any sort, and text in a collation of its column.
#[tokio::test]
async fn sqlites_values_of_every_sort() {
    let mut connection = sqlite(
        "CREATE TABLE samples (id integer PRIMARY KEY, v);
         INSERT INTO samples VALUES (1, NULL), (2, 9007199254740993), (3, 9007199254740992.0),
             (4, 0.1), (5, -0.0), (6, 0), (7, 'a'), (8, ''), (9, x'00'), (10, x''), (11, 1e999),
             (12, -1e999), (13, '10'), (14, 10), (15, NULL), (16, 'ä');",
    )
    .await;
    check_sqlite(&mut connection).await;
    let mut connection = sqlite(
        "CREATE TABLE samples (id integer PRIMARY KEY, v text COLLATE NOCASE);
         INSERT INTO samples VALUES (1, 'a'), (2, 'B'), (3, 'A'), (4, 'b'), (5, NULL), (6, 'C'),
             (7, 'a'), (8, '_'), (9, '');",
    )
    .await;
    check_sqlite(&mut connection).await;
}

async fn check_sqlite(connection: &mut crate::support::Sqlite) {
    let sorted: Vec<i32> = diesel::dsl::sql::<diesel::sql_types::Integer>(
        "SELECT id FROM samples ORDER BY v ASC NULLS LAST, id DESC",
    )
    .load(connection)
    .await
    .unwrap();
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let order = (asc(samples::v).nulls_last(), desc(samples::id));
        let pages = samples::table.select(samples::id).paginate_by(order).signed_with(&key());
        let page: Page<i32> = pages.after(cursor).first(1).load_page(connection).await.unwrap();
        found.extend_from_slice(page.rows());
        cursor = page.end_cursor();
        if !page.has_next_page() {
            break;
        }
    }
    assert_eq!(found, sorted);
}

/// The values of rows and those of cursors go different ways, and neither harms the other.
#[tokio::test]
async fn rows_are_decoded_beside_their_cursors() {
    diesel::table! {
        prices (id) { id -> Uuid, at -> Timestamp, price -> Numeric }
    }
    let (mut connection, _database) = postgres(
        "CREATE TABLE prices (id uuid PRIMARY KEY, at timestamp NOT NULL, price numeric NOT NULL);
         INSERT INTO prices SELECT gen_random_uuid(), '2024-01-01'::timestamp + i * interval '1 us',
             i / 3.0 FROM generate_series(1, 10) i;",
    )
    .await;
    let mut cursor = None;
    let mut last: Option<NaiveDateTime> = None;
    for _ in 0..5 {
        let page: Page<(uuid::Uuid, NaiveDateTime, BigDecimal)> = prices::table
            .paginate_by((prices::at.desc(), prices::price.desc(), prices::id.desc()))
            .signed_with(&key())
            .after(cursor)
            .first(2)
            .load_page(&mut connection)
            .await
            .unwrap();
        assert_eq!(page.rows().len(), 2);
        for (_, at, _) in page.rows() {
            assert!(last.is_none_or(|last| (last - *at).num_microseconds() == Some(1)));
            last = Some(*at);
        }
        cursor = page.end_cursor();
    }
}

/// What is said to be unique and is not.
#[tokio::test]
async fn a_false_promise_is_noticed_and_no_row_lost() {
    let (mut connection, _database) = posts().await;
    let pages = || posts::table.paginate_by(unique(posts::author.asc())).signed_with(&key());
    // Rows 1, 2 and 5 have the same author: on one page, and on the border between two.
    for size in [1, 2, 4] {
        let page = pages().first(size).load_page::<Row, _>(&mut connection).await;
        let error = page.unwrap_err();
        assert!(error.is_not_total(), "{size}: {error}");
    }
}

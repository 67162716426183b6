//! Pages through a `Db`: they are cached and invalidated as any other answer.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use turbodiesel::{
    Bypass, Db, Handle, Outcome, Tier,
    keyset::{Count, Cursor, Page, PaginateDsl, asc, desc},
};
use turbodiesel_testkit::{Database, SqliteFile};

use crate::support::{open_with, users};

const MORE: &str =
    "INSERT INTO users SELECT i, 'user ' || i, i % 2 + 1 FROM generate_series(4, 50) i;";

async fn open_more() -> (Database, Db) {
    open_with(MORE).await
}

/// The ids of a page in one direction, of the members of a team.
async fn members(handle: &mut Handle, team: i32, after: Option<Cursor>) -> Page<i32> {
    let members = users::table.filter(users::team.eq(team)).select(users::id);
    members.paginate_by(users::id.asc()).after(after).first(5).load_page(handle).await.unwrap()
}

/// The ids of a page in mixed directions, with NULLs.
async fn by_team(handle: &mut Handle, after: Option<Cursor>) -> Page<i32> {
    users::table
        .select(users::id)
        .paginate_by((users::team.desc().nulls_last(), users::id.asc()))
        .after(after)
        .first(5)
        .load_page(handle)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_second_asking_is_a_hit() {
    let (_database, db) = open_more().await;
    let mut cursor = None;
    for number in 0..3 {
        let mut handle = db.handle();
        let page = by_team(&mut handle, cursor.clone()).await;
        assert_eq!(handle.outcome(), Some(Outcome::Miss), "page {number}");
        let again = by_team(&mut handle, cursor.clone()).await;
        assert_eq!(handle.outcome(), Some(Outcome::Hit(Tier::L1)), "page {number}");
        assert_eq!(page.info(), again.info());
        assert_eq!(page.rows(), again.rows());
        cursor = page.end_cursor();
    }
}

#[tokio::test]
async fn a_write_ends_the_pages_it_may_change() {
    let (_database, db) = open_more().await;
    let mut handle = db.handle();
    let first = members(&mut handle, 1, None).await;
    let after = first.end_cursor();
    assert_eq!(first.rows(), [1, 2, 4, 6, 8]);
    members(&mut handle, 1, after.clone()).await;
    diesel::delete(users::table.find(10)).execute(&mut &db).await.unwrap();
    let second = members(&mut handle, 1, after.clone()).await;
    assert_eq!(handle.outcome(), Some(Outcome::Miss));
    assert_eq!(second.rows(), [12, 14, 16, 18, 20]);
    assert!(second.has_previous_page());
    // The row of the cursor, and all before it.
    diesel::delete(users::table.filter(users::id.le(8))).execute(&mut &db).await.unwrap();
    let second = members(&mut handle, 1, after).await;
    assert_eq!(second.rows(), [12, 14, 16, 18, 20]);
    assert!(!second.has_previous_page());
}

/// Pages of one team are tagged with it, the look behind the cursor included.
#[tokio::test]
async fn a_write_to_other_rows_leaves_the_pages() {
    let (_database, db) = open_more().await;
    let mut handle = db.handle();
    let after = members(&mut handle, 1, None).await.end_cursor();
    members(&mut handle, 1, after.clone()).await;
    let other = (users::id.eq(99), users::name.eq("Zoe"), users::team.eq(2));
    diesel::insert_into(users::table).values(other).execute(&mut &db).await.unwrap();
    members(&mut handle, 1, after.clone()).await;
    assert_eq!(handle.outcome(), Some(Outcome::Hit(Tier::L1)));
    let own = (users::id.eq(98), users::name.eq("Yan"), users::team.eq(1));
    diesel::insert_into(users::table).values(own).execute(&mut &db).await.unwrap();
    members(&mut handle, 1, after).await;
    assert_eq!(handle.outcome(), Some(Outcome::Miss));
}

#[tokio::test]
async fn through_a_connection_and_in_a_transaction() {
    let (_database, db) = open_more().await;
    let mut connection = db.connection().await.unwrap();
    let pages = || users::table.select(users::id).paginate_by(users::id.desc());
    for outcome in [Outcome::Miss, Outcome::Hit(Tier::L1)] {
        let page: Page<i32> = pages().first(3).load_page(&mut connection).await.unwrap();
        assert_eq!(page.rows(), [50, 49, 48]);
        assert_eq!(connection.outcome(), Some(outcome));
    }
    let rows: Vec<i32> = db
        .transaction::<_, diesel::result::Error, _>(async |connection| {
            diesel::delete(users::table.find(50)).execute(connection).await?;
            let page = pages().first(3).load_page::<i32, _>(connection).await?;
            assert_eq!(connection.outcome(), Some(Outcome::Bypass(Bypass::InTransaction)));
            Ok(page.into_rows())
        })
        .await
        .unwrap();
    assert_eq!(rows, [49, 48, 47]);
    let page: Page<i32> = pages().first(3).load_page(&mut &db).await.unwrap();
    assert_eq!(page.rows(), rows);
}

#[tokio::test]
async fn counts_leave_the_cache_alone() {
    let (database, db) = open_more().await;
    database.batch_execute("ANALYZE users").unwrap();
    let page =
        |count| users::table.select(users::id).paginate_by(users::id.asc()).count(count).first(3);
    let exact: Page<i32> = page(Count::Exact).load_page(&mut &db).await.unwrap();
    assert_eq!(exact.total().map(|total| (total.rows, total.exact)), Some((50, true)));
    let estimated: Page<i32> = page(Count::Estimated).load_page(&mut &db).await.unwrap();
    assert_eq!(estimated.total().map(|total| (total.rows, total.exact)), Some((50, false)));
    let mut handle = db.handle();
    page(Count::None).load_page::<i32, _>(&mut handle).await.unwrap();
    assert_eq!(handle.outcome(), Some(Outcome::Hit(Tier::L1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    let file = SqliteFile::new().unwrap();
    let db = Db::sqlite().url(file.url()).build().await.unwrap();
    diesel_async::SimpleAsyncConnection::batch_execute(
        &mut &db,
        "CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL, team integer);
         INSERT INTO users VALUES (1, 'Ann', 1), (2, 'Bob', 1), (3, 'Cid', NULL), (4, 'Dot', 2);",
    )
    .await
    .unwrap();
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let mut handle = db.handle();
        let mut page: Option<Page<i32>> = None;
        for outcome in [Outcome::Miss, Outcome::Hit(Tier::L1)] {
            let order = (desc(users::team).nulls_first(), asc(users::id));
            let pages = users::table.select(users::id).paginate_by(order).after(cursor.clone());
            page = Some(pages.first(2).load_page(&mut handle).await.unwrap());
            assert_eq!(handle.outcome(), Some(outcome));
        }
        let page = page.unwrap();
        cursor = page.end_cursor();
        let more = page.has_next_page();
        found.extend(page);
        if !more {
            break;
        }
    }
    assert_eq!(found, [3, 4, 1, 2]);
}

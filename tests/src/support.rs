//! What the tests share: a database with two tables, and questions about how a read was answered.

use diesel::{prelude::*, sql_types::Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use turbodiesel::{Bypass, Db, Handle, Outcome};
use turbodiesel_testkit::Database;

diesel::table! {
    users { id -> Integer, name -> Text, team -> Nullable<Integer> }
}

diesel::table! {
    teams { id -> Integer, name -> Text }
}

diesel::allow_tables_to_appear_in_same_query!(users, teams);

/// Two teams, three users.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE teams (id integer PRIMARY KEY, name text NOT NULL);
    CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL,
                        team integer REFERENCES teams ON DELETE CASCADE);
    INSERT INTO teams VALUES (1, 'red'), (2, 'blue');
    INSERT INTO users VALUES (1, 'Ann', 1), (2, 'Bob', 1), (3, 'Cid', NULL);";

/// A fresh database with the schema and more, and a `Db` on it.
pub(crate) async fn open_with(more: &str) -> (Database, Db) {
    let database = turbodiesel_testkit::database();
    database.batch_execute(SCHEMA).unwrap();
    database.batch_execute(more).unwrap();
    let db = Db::builder().url(database.url()).build().await.unwrap();
    (database, db)
}

pub(crate) async fn open() -> (Database, Db) {
    open_with("").await
}

/// The name of user 1 and how it was found.
pub(crate) async fn ann(db: &Db) -> (String, Outcome) {
    ann_through(&mut db.handle()).await
}

pub(crate) async fn ann_through(handle: &mut Handle) -> (String, Outcome) {
    let name = users::table.find(1).select(users::name).first(handle).await.unwrap();
    (name, handle.outcome().unwrap())
}

/// Reads a text with SQL of its own and says how it was found.
pub(crate) async fn ask(db: &Db, sql: &str) -> (String, Outcome) {
    ask_through(&mut db.handle(), sql).await
}

/// Why a query is not cached.
pub(crate) async fn bypass(db: &Db, sql: &str) -> Bypass {
    match ask(db, sql).await.1 {
        Outcome::Bypass(reason) => reason,
        other => panic!("{sql} was not refused but {other}"),
    }
}

/// Asserts that answers are kept: the second of two reads is a hit.
pub(crate) async fn assert_cached(db: &Db, sql: &str) {
    ask(db, sql).await;
    let (_, outcome) = ask(db, sql).await;
    assert!(matches!(outcome, Outcome::Hit(_)), "{sql}: {outcome}");
}

/// Asserts what a write does to a cached answer: whether it survives.
pub(crate) async fn assert_effect(db: &Db, read: &str, write: &str, survives: bool) {
    assert_cached(db, read).await;
    (&mut &*db).batch_execute(write).await.unwrap();
    let (answer, outcome) = ask(db, read).await;
    assert_eq!(matches!(outcome, Outcome::Hit(_)), survives, "{write} → {read}: {outcome}");
    let fresh = ask_database(db, read).await;
    assert_eq!(answer, fresh, "{write} → {read}");
}

/// Asserts that what is served is what the database says.
pub(crate) async fn compare(db: &Db, read: &str) {
    let (served, outcome) = ask(db, read).await;
    let fresh = ask_database(db, read).await;
    assert_eq!(served, fresh, "{read}: {outcome}");
}

/// What the database says, whatever is cached.
pub(crate) async fn ask_database(db: &Db, sql: &str) -> String {
    ask_through(&mut db.handle().bypass(), sql).await.0
}

async fn ask_through(handle: &mut Handle, sql: &str) -> (String, Outcome) {
    #[derive(QueryableByName)]
    struct Answer {
        #[diesel(sql_type = Text)]
        answer: String,
    }
    let Answer { answer } = diesel::sql_query(sql).get_result(handle).await.unwrap();
    (answer, handle.outcome().unwrap())
}

/// Polls a future so many times, waiting in between, and says whether it completed.
pub(crate) async fn poll_times<F: Future>(future: F, polls: usize) -> bool {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

//! The thin path: a read, a hit, a write, a fresh read.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use turbodiesel::{Db, Outcome, Tier};
use turbodiesel_testkit::database;

diesel::table! {
    users { id -> Integer, name -> Text }
}

const SCHEMA: &str = "CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL);
    INSERT INTO users VALUES (1, 'Ann'), (2, 'Bob');";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    let database = database();
    let db = Db::builder().url(database.url()).build().await.unwrap();
    (&db).batch_execute(SCHEMA).await.unwrap();
    let mut handle = db.handle();

    let name = async |handle: &mut turbodiesel::Handle| {
        users::table.find(1).select(users::name).first::<String>(handle).await.unwrap()
    };
    assert_eq!(name(&mut handle).await, "Ann");
    assert_eq!(handle.outcome(), Some(Outcome::Miss));
    assert_eq!(name(&mut handle).await, "Ann");
    assert_eq!(handle.outcome(), Some(Outcome::Hit(Tier::L1)));
    let changed = diesel::update(users::table.find(1))
        .set(users::name.eq("Eve"))
        .execute(&mut handle)
        .await
        .unwrap();
    assert_eq!(changed, 1);
    assert_eq!(name(&mut handle).await, "Eve");
    assert_eq!(handle.outcome(), Some(Outcome::Miss));

    let mut connection = db.connection().await.unwrap();
    connection
        .transaction::<_, diesel::result::Error, _>(async |connection| {
            diesel::insert_into(users::table)
                .values((users::id.eq(3), users::name.eq("Cid")))
                .execute(connection)
                .await?;
            let count: i64 = users::table.count().get_result(connection).await?;
            assert_eq!(count, 3);
            Ok(())
        })
        .await
        .unwrap();
    let count: i64 = users::table.count().get_result(&mut &db).await.unwrap();
    assert_eq!(count, 3);
}

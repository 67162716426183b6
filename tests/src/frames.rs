//! Transactions that end or begin in unusual ways: what they wrote is published all the same.

use std::time::Duration;

use diesel::{prelude::*, result::Error};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection, TransactionManager};
use futures_util::FutureExt;
use turbodiesel::{Connection, Db, Touches, Transactions};

use crate::support::{ann, ask, compare, open, poll_times, users};

const ANN: &str = "SELECT name AS answer FROM users WHERE id = 1";

#[tokio::test]
async fn a_release_that_fails_ends_its_savepoint() {
    let (_database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    let result = connection
        .transaction::<_, Error, _>(async |connection| {
            connection
                .transaction::<_, Error, _>(async |connection| {
                    let _ = diesel::sql_query("SELECT 1/0").execute(connection).await;
                    Ok(())
                })
                .await?;
            Ok(())
        })
        .await;
    assert!(result.is_err());
    ann(&db).await;
    diesel::update(users::table.find(1))
        .set(users::name.eq("Eve"))
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(ann(&db).await.0, "Eve");
}

#[tokio::test]
async fn a_commit_as_text_before_a_rollback() {
    let (_database, db) = open().await;
    ann(&db).await;
    let _result = db
        .transaction::<(), Error, _>(async |connection| {
            diesel::update(users::table.find(1))
                .set(users::name.eq("Eve"))
                .execute(connection)
                .await?;
            connection.batch_execute("COMMIT").await?;
            Err(Error::RollbackTransaction)
        })
        .await;
    compare(&db, ANN).await;
    assert_eq!(ann(&db).await.0, "Eve");
}

#[tokio::test]
async fn a_status_asked_for_after_a_commit_that_nobody_waited_for() {
    let (_database, db) = open().await;
    for polls in 1..40 {
        let mut connection = db.connection().await.unwrap();
        let transaction = connection.transaction::<_, Error, _>(async |connection| {
            diesel::update(users::table.find(1))
                .set(users::name.eq("Eve"))
                .execute(connection)
                .await?;
            Ok(())
        });
        let done = poll_times(transaction, polls).await;
        // Gives a commit in flight the time to end, so that asking finds the connection back.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let _ = connection.transaction_state();
        ann(&db).await;
        let update = diesel::update(users::table.find(1)).set(users::name.eq(format!("{polls}")));
        let _ = update.execute(&mut connection).await;
        compare(&db, ANN).await;
        if done {
            return;
        }
    }
    panic!("the transaction never ended");
}

/// Asserts that the open transaction of a connection publishes a write when it commits.
async fn assert_publishes(db: &Db, mut connection: Connection) {
    diesel::update(users::table.find(1))
        .set(users::name.eq("Eve"))
        .execute(&mut connection)
        .await
        .unwrap();
    ann(db).await;
    Transactions::commit_transaction(&mut connection).await.unwrap();
    assert_eq!(ann(db).await.0, "Eve");
}

#[tokio::test]
async fn a_test_transaction_that_is_committed() {
    let (_database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    connection.begin_test_transaction().await.unwrap();
    assert_publishes(&db, connection).await;
}

#[tokio::test]
async fn a_transaction_begun_through_raw_access() {
    let (_database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    connection
        .with_raw(Touches::nothing(), async |raw| {
            diesel_async::AnsiTransactionManager::begin_transaction(raw).await
        })
        .await
        .unwrap();
    assert_publishes(&db, connection).await;
}

#[tokio::test]
async fn a_transaction_ended_through_raw_access() {
    let (_database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    Transactions::begin_transaction(&mut connection).await.unwrap();
    connection
        .with_raw(Touches::nothing(), async |raw| {
            diesel_async::AnsiTransactionManager::commit_transaction(raw).await
        })
        .await
        .unwrap();
    ann(&db).await;
    diesel::update(users::table.find(1))
        .set(users::name.eq("Eve"))
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(ann(&db).await.0, "Eve");
}

#[tokio::test]
async fn a_transaction_begun_through_raw_access_and_dropped() {
    // with_raw whose transaction is cut: later writes are acknowledged, then rolled back
    let (_database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    let cut = connection.with_raw(Touches::nothing(), async |raw| {
        use diesel_async::AsyncConnection;
        raw.transaction::<(), Error, _>(async |_| std::future::pending().await).await
    });
    assert!(tokio::time::timeout(Duration::from_millis(100), cut).await.is_err());
    let n = diesel::update(users::table.find(1))
        .set(users::name.eq("Eve"))
        .execute(&mut connection)
        .await;
    drop(connection);
    assert!(
        n.is_err()
            || ask(&db, "SELECT (SELECT name FROM users WHERE id = 1) AS answer").await.0 == "Eve"
    );
}

#[tokio::test]
async fn a_transaction_whose_connection_is_lost_commits_nothing() {
    let (_database, db) = open().await;
    let result = db
        .transaction::<_, Error, _>(async |connection| {
            diesel::update(users::table.find(1))
                .set(users::name.eq("A"))
                .execute(connection)
                .await?;
            {
                // A nested transaction that somebody put a timeout around.
                let mut nested = Box::pin(Transactions::begin_transaction(connection));
                assert!((&mut nested).now_or_never().is_none());
            }
            diesel::update(users::table.find(2))
                .set(users::name.eq("B"))
                .execute(connection)
                .await?;
            Ok(())
        })
        .await;
    assert!(matches!(result, Err(Error::BrokenTransactionManager)));
    let names = ask(&db, "SELECT string_agg(name, ',' ORDER BY id) AS answer FROM users").await.0;
    assert_eq!(names, "Ann,Bob,Cid");
}

#[tokio::test]
async fn pipelining_after_a_dropped_begin_is_refused() {
    let (_database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    assert!(Transactions::begin_transaction(&mut connection).now_or_never().is_none());
    let shared = &connection;
    let name: QueryResult<String> =
        users::table.find(1).select(users::name).first(&mut &*shared).await;
    assert!(name.unwrap_err().to_string().contains("&mut Connection"));
    let name: String =
        users::table.find(1).select(users::name).first(&mut connection).await.unwrap();
    assert_eq!(name, "Ann");
}

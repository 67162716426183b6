//! Transactions that end without a commit, whoever wanted one, while the connection lives on.

use std::panic::AssertUnwindSafe;

use diesel::{prelude::*, result::Error};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection, TransactionManager};
use futures_util::FutureExt;
use turbodiesel::{CommitOutcome, Connection, Outcome, Transactions, is_outcome_unknown};

use super::{on_both_runtimes, rename, scene, set_name};
use crate::support::{ann, users};

on_both_runtimes! {
    a_panic_rolls_back_and_publishes_nothing
    a_swallowed_error_aborts
}

async fn a_panic_rolls_back_and_publishes_nothing() {
    let mut scene = scene("").await;
    let db = scene.db.clone();
    let task = tokio::spawn(async move {
        db.transaction::<(), Error, _>(async |connection| {
            set_name(connection, "Eve").await?;
            panic!("a bug of the application")
        })
        .await
    });
    assert!(task.await.unwrap_err().is_panic());
    assert!(matches!(ann(&scene.db).await, (name, Outcome::Hit(_)) if name == "Ann"));
    // Caught, and the connection used further: the transaction is still there to be rolled back.
    let mut connection = scene.db.connection().await.unwrap();
    let caught = AssertUnwindSafe(connection.transaction::<(), Error, _>(async |connection| {
        set_name(connection, "Eve").await?;
        panic!("a bug of the application")
    }));
    assert!(caught.catch_unwind().await.is_err());
    Transactions::rollback_transaction(&mut connection).await.unwrap();
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Aborted));
    assert!(matches!(ann(&scene.db).await, (name, Outcome::Hit(_)) if name == "Ann"));
    rename(&mut connection, "Fay").await.unwrap();
    scene.assert_kept("Fay").await;
}

async fn a_swallowed_error_aborts() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    let result: QueryResult<i32> = connection
        .transaction(async |connection| {
            set_name(connection, "Eve").await?;
            let _ = connection.batch_execute("SELECT 1 / 0").await;
            Ok(42)
        })
        .await;
    assert_rolled_back(result);
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Aborted));
    scene.assert_kept("Ann").await;
    // An error that arrives among the rows, in a transaction with an isolation level.
    let result: QueryResult<i32> = connection
        .build_transaction()
        .serializable()
        .deferrable()
        .run(async |connection| {
            set_name(connection, "Eve").await?;
            let _ = ask_badly(connection).await;
            Ok(42)
        })
        .await;
    assert_rolled_back(result);
    scene.assert_kept("Ann").await;
    rename(&mut connection, "Fay").await.unwrap();
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Committed));
    scene.assert_kept("Fay").await;
}

#[tokio::test]
async fn an_error_in_a_savepoint_aborts_no_more_than_that() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    let answer: QueryResult<i32> = connection
        .transaction(async |connection| {
            set_name(connection, "Eve").await?;
            let inner: QueryResult<i32> =
                connection.transaction(async |connection| ask_badly(connection).await).await;
            inner.unwrap_err();
            Ok(42)
        })
        .await;
    assert_eq!(answer, Ok(42));
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Committed));
    scene.assert_kept("Eve").await;
    // Passed over inside, it fails the savepoint; passed over outside as well, the whole.
    let answer: QueryResult<i32> = connection
        .transaction(async |connection| {
            set_name(connection, "Fay").await?;
            let inner: QueryResult<i32> = connection
                .transaction(async |connection| {
                    let _ = ask_badly(connection).await;
                    Ok(1)
                })
                .await;
            inner.unwrap_err();
            Ok(42)
        })
        .await;
    assert_rolled_back(answer);
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Aborted));
    scene.assert_kept("Eve").await;
}

#[tokio::test]
async fn what_the_server_refuses_is_aborted() {
    let mut scene =
        scene("ALTER TABLE users ALTER CONSTRAINT users_team_fkey DEFERRABLE INITIALLY DEFERRED")
            .await;
    let mut connection = scene.db.connection().await.unwrap();
    let error = connection
        .transaction::<_, Error, _>(async |connection| {
            diesel::update(users::table.find(1)).set(users::team.eq(99)).execute(connection).await
        })
        .await
        .unwrap_err();
    assert!(!is_outcome_unknown(&error));
    use diesel::result::DatabaseErrorKind::{ForeignKeyViolation, SerializationFailure};
    assert!(matches!(error, Error::DatabaseError(ForeignKeyViolation, _)), "{error:?}");
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Aborted));
    scene.assert_kept("Ann").await;

    // Two transactions that each read what the other writes.
    let mut other = scene.db.connection().await.unwrap();
    let count = |team: i32| users::table.filter(users::team.eq(team)).count();
    let insert = |id: i32, team: i32| {
        diesel::insert_into(users::table).values((
            users::id.eq(id),
            users::name.eq("Gil"),
            users::team.eq(team),
        ))
    };
    let outer = connection
        .build_transaction()
        .serializable()
        .run(async |connection| {
            count(1).get_result::<i64>(connection).await?;
            insert(10, 2).execute(connection).await?;
            other
                .build_transaction()
                .serializable()
                .run(async |other| {
                    count(2).get_result::<i64>(other).await?;
                    insert(11, 1).execute(other).await
                })
                .await
        })
        .await;
    let error = outer.unwrap_err();
    assert!(matches!(error, Error::DatabaseError(SerializationFailure, _)), "{error:?}");
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Aborted));
    assert_eq!(other.commit_outcome(), Some(CommitOutcome::Committed));
    assert_eq!(rename(&mut connection, "Eve").await, Ok(()), "the connection is as good as new");

    // What the function itself gives up.
    let given_up: QueryResult<()> =
        connection.transaction(async |_| Err(Error::RollbackTransaction)).await;
    given_up.unwrap_err();
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Aborted));
}

/// What a `COMMIT` that is not the transaction manager's has committed is not taken back.
#[tokio::test]
async fn what_was_committed_by_hand_is_not_told_aborted() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    let result: QueryResult<i32> = connection
        .transaction(async |connection| {
            set_name(connection, "Eve").await?;
            connection.batch_execute("COMMIT; BEGIN").await?;
            let _ = ask_badly(connection).await;
            Ok(42)
        })
        .await;
    result.unwrap_err();
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Unknown));
    scene.assert_kept("Eve").await;
}

fn assert_rolled_back<R: std::fmt::Debug>(result: QueryResult<R>) {
    let error = result.unwrap_err();
    assert!(!is_outcome_unknown(&error));
    let message = error.to_string();
    assert!(message.contains("rolled back instead of committed"), "{message}");
}

/// A query that fails on its second row.
async fn ask_badly(connection: &mut Connection) -> QueryResult<i32> {
    diesel::dsl::sql::<diesel::sql_types::Integer>(
        "SELECT 1 / (2 - n) FROM generate_series(1, 2) n",
    )
    .load(connection)
    .await
    .map(|all| all[0])
}

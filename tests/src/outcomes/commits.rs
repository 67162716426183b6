//! Transactions whose `COMMIT` goes wrong on its way, at the server, or on the way back.

use std::sync::mpsc;

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};
use turbodiesel::{CommitOutcome, Db, is_outcome_unknown};

use super::{
    COMMITS_WAIT, LIFETIME, WAITING, assert_unknown, on_both_runtimes, proxy::Fault, rename, scene,
    set_name,
};
use crate::support::users;

on_both_runtimes! {
    a_commit_whose_answer_is_lost_is_found_committed
    a_commit_that_never_arrives_is_found_aborted
    a_commit_that_arrives_late_is_waited_for
    a_commit_that_lands_late_is_waited_for
    a_commit_that_somebody_cancels_is_found_aborted
    a_process_ends_before_its_commit
    a_process_ends_during_its_commit
    a_process_ends_after_its_commit
    a_caller_who_is_gone_can_still_ask
}

async fn a_commit_whose_answer_is_lost_is_found_committed() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    assert_eq!(connection.commit_outcome(), None);
    scene.proxy.plan(Fault::LoseReply, "COMMIT");
    assert_unknown(rename(&mut connection, "Eve").await);
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Committed));
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Committed));
    scene.assert_kept("Eve").await;
    // The handle goes on, over another connection.
    rename(&mut connection, "Fay").await.unwrap();
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Committed));
    scene.assert_kept("Fay").await;
}

async fn a_commit_that_never_arrives_is_found_aborted() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.proxy.plan(Fault::LoseRequest, "COMMIT");
    assert_unknown(rename(&mut connection, "Eve").await);
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Aborted));
    scene.assert_kept("Ann").await;
    rename(&mut connection, "Fay").await.unwrap();
    scene.assert_kept("Fay").await;
}

/// The server's process is idle all the while, which proves nothing.
async fn a_commit_that_arrives_late_is_waited_for() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    let (release, released) = mpsc::channel();
    scene.proxy.plan(Fault::Delay(released), "COMMIT");
    assert_unknown(rename(&mut connection, "Eve").await);
    scene.assert_not_kept("Ann").await;
    scene.until_asked().await;
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Unknown));
    scene.assert_not_kept("Ann").await;
    release.send(()).unwrap();
    scene.assert_committed(&connection, "Eve").await;
}

/// Nor is it cancelled: nobody waits for its answer, but whoever sent it wants it to happen.
async fn a_commit_that_lands_late_is_waited_for() {
    let mut scene = scene(COMMITS_WAIT).await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.lose_a_waiting_commit(&mut connection).await;
    scene.assert_not_kept("Ann").await;
    scene.assert_waited_for("Ann").await;
    scene.assert_committed(&connection, "Eve").await;
}

async fn a_commit_that_somebody_cancels_is_found_aborted() {
    let mut scene = scene(COMMITS_WAIT).await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.lose_a_waiting_commit(&mut connection).await;
    scene.cancel("query LIKE '%COMMIT'").await;
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Aborted));
    scene.assert_kept("Ann").await;
}

async fn a_process_ends_before_its_commit() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    let result: QueryResult<()> = connection
        .transaction(async |connection| {
            set_name(connection, "Eve").await?;
            scene.terminate("state = 'idle in transaction'").await;
            Ok(())
        })
        .await;
    result.unwrap_err();
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Aborted));
    scene.assert_kept("Ann").await;
}

async fn a_process_ends_during_its_commit() {
    let mut scene = scene(COMMITS_WAIT).await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.lock_commits().await;
    let (result, ()) = tokio::join!(rename(&mut connection, "Eve"), async {
        scene.until(WAITING).await;
        scene.terminate("query LIKE '%COMMIT'").await;
    });
    assert_unknown(result);
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Aborted));
    scene.assert_kept("Ann").await;
    scene.unlock().await;
    rename(&mut connection, "Fay").await.unwrap();
    scene.assert_kept("Fay").await;
}

async fn a_process_ends_after_its_commit() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    rename(&mut connection, "Eve").await.unwrap();
    scene.terminate("query LIKE '%COMMIT'").await;
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Committed));
    drop(connection);
    // The pool's other connections are well.
    let mut connection = scene.db.connection().await.unwrap();
    scene.assert_kept("Eve").await;
    rename(&mut connection, "Fay").await.unwrap_or_else(|error| {
        assert!(
            !is_outcome_unknown(&error),
            "it could not begin, so nothing is left open: {error}"
        );
    });
}

async fn a_caller_who_is_gone_can_still_ask() {
    let mut scene = scene(COMMITS_WAIT).await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.lock_commits().await;
    tokio::select! {
        _ = rename(&mut connection, "Eve") => panic!("it waits for the lock"),
        () = scene.until(WAITING) => {}
    }
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Unknown));
    let (outcome, ()) = tokio::join!(connection.settled_outcome(), scene.unlock());
    assert_eq!(outcome, Some(CommitOutcome::Committed));
    scene.assert_kept("Eve").await;
}

/// The server is asked on a connection besides those of the pool.
#[tokio::test]
async fn a_pool_that_is_used_up_does_not_keep_the_outcome_from_being_found() {
    let scene = scene("").await;
    let db = Db::builder().url(scene.proxy.url()).pool_size(1).build().await.unwrap();
    let mut connection = db.connection().await.unwrap();
    scene.proxy.plan(Fault::LoseReply, "COMMIT");
    assert_unknown(rename(&mut connection, "Eve").await);
    let _held = db.connection().await.unwrap();
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Committed));
}

/// The statement timeout does not apply to what a `COMMIT` does.
#[tokio::test]
async fn a_commit_that_outlives_its_time_is_waited_for() {
    let mut scene = scene(COMMITS_WAIT).await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.lose_a_waiting_commit(&mut connection).await;
    scene.clock.advance(LIFETIME * 2);
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Unknown));
    scene.assert_waited_for("Ann").await;
    scene.assert_committed(&connection, "Eve").await;
}

/// The server's process is idle in the transaction, as it would be if the `COMMIT` were lost and the
/// server had not noticed.
#[tokio::test]
async fn a_commit_that_does_not_arrive_in_its_time_is_given_up() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    let (_release, released) = mpsc::channel();
    scene.proxy.plan(Fault::Delay(released), "COMMIT");
    assert_unknown(rename(&mut connection, "Eve").await);
    scene.clock.advance(LIFETIME - std::time::Duration::from_secs(1));
    scene.until_asked().await;
    scene.assert_not_kept("Ann").await;
    scene.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Unknown));
    scene.assert_kept("Ann").await;
}

/// A transaction that has changed nothing has no number to ask for.
#[tokio::test]
async fn without_a_number_only_the_end_is_found_out() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.proxy.plan(Fault::LoseReply, "COMMIT");
    let result: QueryResult<usize> = connection
        .transaction(async |connection| {
            let nobody = users::table.find(99);
            diesel::update(nobody).set(users::name.eq("Eve")).execute(connection).await
        })
        .await;
    assert_unknown(result);
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Unknown));
    scene.assert_kept("Ann").await;
}

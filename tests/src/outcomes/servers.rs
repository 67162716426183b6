//! Servers that tell less than usual, lose what they have told, or wait for others.

use std::{process::Command, sync::mpsc};

use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use turbodiesel::CommitOutcome;
use turbodiesel_testkit::{Postgres, PostgresOptions};

use super::{
    COMMITS_WAIT, LIFETIME, PATIENCE, WAITING, assert_unknown, proxy::Fault, rename, scene_in,
    set_name,
};
use crate::support;

/// A server with settings that would disturb other tests.
fn server(settings: &[(&str, &str)]) -> Postgres {
    let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let options = PostgresOptions { settings: settings.collect(), ..PostgresOptions::default() };
    Postgres::with(options).unwrap()
}

/// The start of a process is shown to those of the same role only.
#[tokio::test]
async fn a_role_without_privileges_learns_its_own_outcomes() {
    let server = server(&[]);
    let clerk = "CREATE ROLE clerk LOGIN NOINHERIT; GRANT SELECT, UPDATE ON users TO clerk;";
    let database = server.create_database().unwrap();
    let mut scene = scene_in(database, Some("clerk"), &format!("{clerk}{COMMITS_WAIT}")).await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.lose_a_waiting_commit(&mut connection).await;
    scene.assert_waited_for("Ann").await;
    scene.assert_committed(&connection, "Eve").await;

    // By its process alone, as there is no number.
    scene.lock_row().await;
    scene.proxy.plan(Fault::Cut, "Fay");
    assert_unknown(set_name(&mut connection, "Fay").await);
    scene.until(WAITING).await;
    scene.assert_waited_for("Eve").await;
    scene.until_kept("Fay").await;
}

/// It does not know the write, or knows another by its number.
#[tokio::test]
async fn another_server_is_not_believed() {
    let (old, new) = (server(&[]), server(&[]));
    let mut scene = scene_in(old.create_database().unwrap(), None, "").await;
    let admin = new.create_database().unwrap();
    let name = scene.database.name();
    admin.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
    let url = format!("{}/{name}", new.url().rsplit_once('/').unwrap().0);
    let mut connection = scene.db.connection().await.unwrap();
    let (_release, released) = mpsc::channel();
    scene.proxy.plan(Fault::Delay(released), "COMMIT");
    scene.proxy.redirect(&url);
    scene.server = AsyncPgConnection::establish(&url).await.unwrap();
    scene.server.batch_execute(support::SCHEMA).await.unwrap();
    assert_unknown(rename(&mut connection, "Eve").await);
    scene.until_asked().await;
    scene.assert_not_kept("Ann").await;
    assert_eq!(connection.commit_outcome(), Some(CommitOutcome::Unknown));
    scene.clock.advance(LIFETIME);
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Unknown));
    scene.assert_kept("Ann").await;
}

/// Cancelled while it waits for a replica, a commit would be one without the replica.
#[tokio::test]
async fn a_commit_that_waits_for_a_replica_is_not_cancelled() {
    let server = server(&[
        ("wal_level", "replica"),
        ("max_wal_senders", "1"),
        ("synchronous_standby_names", "nobody"),
        ("synchronous_commit", "local"),
    ]);
    let clerk = "CREATE ROLE clerk LOGIN; GRANT SELECT, UPDATE ON users TO clerk;
                 ALTER ROLE clerk SET synchronous_commit = on;";
    let database = server.create_database().unwrap();
    let mut scene = scene_in(database, Some("clerk"), clerk).await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.proxy.plan(Fault::Cut, "COMMIT");
    assert_unknown(rename(&mut connection, "Eve").await);
    const WAITS: &str = "wait_event = 'SyncRep'";
    let waits = format!("EXISTS (SELECT FROM pg_stat_activity WHERE {WAITS})");
    scene.until(&waits).await;
    scene.until_asked().await;
    scene.assert_not_kept("Ann").await;
    assert!(scene.is(&waits).await);
    // Whoever cancels it knowingly gets what they want.
    scene.cancel(WAITS).await;
    scene.assert_committed(&connection, "Eve").await;
}

/// What was not flushed is lost in a crash, and the number of the transaction is given out again.
#[tokio::test]
async fn after_a_crash_a_number_may_be_another_transactions() {
    let server = server(&[("wal_writer_delay", "10s"), ("autovacuum", "off")]);
    let database = server.create_database().unwrap();
    let mut scene = scene_in(database, None, COMMITS_WAIT).await;
    scene.server.batch_execute("CHECKPOINT").await.unwrap();
    let mut connection = scene.db.connection().await.unwrap();
    scene.lock_commits().await;
    let mut lost = 0;
    let (result, ()) = tokio::join!(rename(&mut connection, "Eve"), async {
        scene.until(WAITING).await;
        let process =
            "FROM pg_stat_activity WHERE query LIKE '%COMMIT' AND backend_xid IS NOT NULL";
        lost = ask(&mut scene.server, &format!("SELECT backend_xid::text::bigint {process}")).await;
        let process = ask(&mut scene.server, &format!("SELECT pid::bigint {process}")).await;
        let killed = Command::new("kill").arg("-KILL").arg(process.to_string()).status();
        assert!(killed.unwrap().success());
    });
    assert_unknown(result);
    let back = async {
        loop {
            // It refuses connections while it recovers.
            if let Ok(server) = AsyncPgConnection::establish(scene.database.url()).await {
                break server;
            }
        }
    };
    scene.server = tokio::time::timeout(PATIENCE, back).await.expect("recovered");
    while ask(&mut scene.server, "SELECT txid_current()").await < lost {}
    assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Unknown));
    scene.until_answered().await;
    scene.assert_kept("Ann").await;
}

async fn ask(server: &mut AsyncPgConnection, question: &str) -> i64 {
    diesel::dsl::sql::<BigInt>(question).get_result(server).await.unwrap()
}

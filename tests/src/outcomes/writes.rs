//! Single writes, outside of transactions, whose answer is lost.

use std::sync::mpsc;

use diesel::prelude::*;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use turbodiesel::Outcome;

use super::{LIFETIME, WAITING, assert_unknown, on_both_runtimes, proxy::Fault, scene, set_name};
use crate::support::{self, ask, users};

on_both_runtimes! {
    a_write_that_lands_late_is_waited_for
    a_process_ends_during_its_write
}

async fn a_write_that_lands_late_is_waited_for() {
    let mut scene = scene("").await;
    scene.lock_row().await;
    // A value, because the statement's text is sent beforehand, to be prepared.
    scene.proxy.plan(Fault::Cut, "Eve");
    let update = diesel::update(users::table.find(1)).set(users::name.eq("Eve"));
    assert_unknown(update.execute(&mut &scene.db).await);
    scene.until(WAITING).await;
    scene.assert_not_kept("Ann").await;
    scene.assert_waited_for("Ann").await;
    scene.until_kept("Eve").await;
}

async fn a_process_ends_during_its_write() {
    let mut scene = scene("CREATE TABLE other (answer text)").await;
    let other = "SELECT count(*)::text AS answer FROM other";
    support::assert_cached(&scene.db, other).await;
    scene.lock_row().await;
    let db = scene.db.clone();
    let update = async {
        let update = diesel::update(users::table.find(1)).set(users::name.eq("Eve"));
        update.execute(&mut &db).await
    };
    let (result, ()) = tokio::join!(update, async {
        scene.until(WAITING).await;
        scene.terminate("query LIKE 'UPDATE%'").await;
    });
    assert_unknown(result);
    let (_, outcome) = ask(&scene.db, other).await;
    assert!(matches!(outcome, Outcome::Hit(_)), "only what it may have written: {outcome}");
    scene.until_kept("Ann").await;
}

/// The statement timeout does not apply to what a commit does, and this might be one.
#[tokio::test]
async fn a_write_that_outlives_its_time_is_waited_for() {
    let mut scene = scene("").await;
    scene.lock_row().await;
    let mut connection = scene.db.connection().await.unwrap();
    scene.proxy.plan(Fault::Cut, "Eve");
    assert_unknown(set_name(&mut connection, "Eve").await);
    scene.until(WAITING).await;
    scene.clock.advance(LIFETIME * 2);
    scene.assert_waited_for("Ann").await;
    scene.until_kept("Eve").await;
}

#[tokio::test]
async fn a_write_that_does_not_arrive_in_its_time_is_given_up() {
    let mut scene = scene("").await;
    let mut connection = scene.db.connection().await.unwrap();
    let (_release, released) = mpsc::channel();
    scene.proxy.plan(Fault::Delay(released), "Eve");
    assert_unknown(set_name(&mut connection, "Eve").await);
    scene.clock.advance(LIFETIME - std::time::Duration::from_secs(1));
    scene.until_asked().await;
    scene.assert_not_kept("Ann").await;
    scene.clock.advance(std::time::Duration::from_secs(1));
    scene.until_kept("Ann").await;
}

#[tokio::test]
async fn a_pipelined_write_that_lands_late_is_waited_for() {
    let mut scene = scene("").await;
    scene.lock_row().await;
    let connection = scene.db.connection().await.unwrap();
    scene.proxy.plan(Fault::Cut, "Eve");
    let update = diesel::update(users::table.find(1)).set(users::name.eq("Eve"));
    assert_unknown(update.execute(&mut &connection).await);
    scene.until(WAITING).await;
    scene.assert_waited_for("Ann").await;
    scene.until_kept("Eve").await;
}

#[tokio::test]
async fn a_migration_that_lands_late_is_noticed() {
    let mut scene = scene("CREATE VIEW people AS SELECT id, name AS answer FROM users").await;
    scene.holder.batch_execute("BEGIN; LOCK TABLE teams").await.unwrap();
    let team = "SELECT answer FROM people WHERE id = 1";
    support::assert_cached(&scene.db, team).await;
    scene.proxy.plan(Fault::Cut, "CREATE OR REPLACE");
    // It takes the view's lock, makes it read another table, and waits for that one.
    let migration = "CREATE OR REPLACE VIEW people AS SELECT id, name AS answer FROM teams";
    assert_unknown((&scene.db).batch_execute(migration).await);
    scene.until(WAITING).await;
    scene.until_asked().await;
    scene.unlock().await;
    scene.until("pg_get_viewdef('people'::regclass) LIKE '%teams%'").await;
    scene.until_kept("Ann").await;
    assert_eq!(ask(&scene.db, team).await.0, "red");
    support::assert_effect(&scene.db, team, "UPDATE teams SET name = 'green'", false).await;
}

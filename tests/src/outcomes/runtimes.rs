//! A runtime that ends while a write is open: nobody is left to ask, and the marks stand for their time.

use diesel_async::{AsyncConnection, AsyncPgConnection};
use tokio::runtime::{Builder, Runtime};
use turbodiesel::CommitOutcome;

use super::{COMMITS_WAIT, LIFETIME, WAITING, rename, scene};
use crate::support::ann;

#[test]
fn one_thread_ends_during_a_commit() {
    assert_marked_after(one_thread(), When::Committing);
}

#[test]
fn several_threads_end_during_a_commit() {
    assert_marked_after(several_threads(), When::Committing);
}

#[test]
fn one_thread_ends_while_the_server_is_asked() {
    assert_marked_after(one_thread(), When::Asking);
}

#[test]
fn several_threads_end_while_the_server_is_asked() {
    assert_marked_after(several_threads(), When::Asking);
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn several_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

enum When {
    Committing,
    Asking,
}

fn assert_marked_after(runtime: Runtime, when: When) {
    // Who holds the lock must outlive the runtime.
    let elsewhere = several_threads();
    let (mut scene, connection) = runtime.block_on(async {
        let mut scene = scene(COMMITS_WAIT).await;
        let url = scene.database.url().to_owned();
        let holder = elsewhere.spawn(async move { AsyncPgConnection::establish(&url).await });
        scene.holder = holder.await.unwrap().unwrap();
        let mut connection = scene.db.connection().await.unwrap();
        match when {
            When::Committing => {
                scene.lock_commits().await;
                tokio::select! {
                    _ = rename(&mut connection, "Eve") => panic!("it waits for the lock"),
                    () = scene.until(WAITING) => {}
                }
            }
            When::Asking => {
                scene.lose_a_waiting_commit(&mut connection).await;
                scene.until_asked().await;
            }
        }
        (scene, connection)
    });
    drop(runtime);
    one_thread().block_on(async {
        assert_eq!(connection.settled_outcome().await, Some(CommitOutcome::Unknown));
        scene.until_answered().await;
        scene.assert_not_kept("Ann").await;
        scene.unlock().await;
        // On the way to it, as nobody knows when it lands.
        while ann(&scene.db).await.0 != "Eve" {}
        scene.assert_not_kept("Eve").await;
        scene.clock.advance(LIFETIME);
        scene.assert_kept("Eve").await;
    });
}

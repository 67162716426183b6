//! Wrong settings and hopeless situations: a clear error each, which names the fix.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use turbodiesel::{Builder, Db, Error, Tier};

use crate::support::open;

async fn fails<B: turbodiesel::Backend>(builder: Builder<B>) -> Error {
    builder.build().await.expect_err("this cannot work")
}

fn says(error: &Error, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[tokio::test]
async fn no_database_named() {
    let error = fails(Db::builder()).await;
    assert!(error.is_configuration());
    says(&error, &["url", "DATABASE_URL"]);
}

#[tokio::test]
async fn an_unreachable_database() {
    for url in [
        "postgres://nobody:secret@127.0.0.1:1/shop",
        "postgres://nobody:secret@%2Fno%2Fsuch%2Ffolder/shop",
    ] {
        let error = fails(Db::builder().url(url)).await;
        assert!(error.is_connect(), "{error}");
        says(&error, &["could not connect", "shop"]);
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[tokio::test]
async fn a_wrong_url() {
    for url in ["mysql://localhost/shop", "postgres://localhost:port/shop", "shop", ""] {
        let error = fails(Db::builder().url(url)).await;
        assert!(error.is_configuration(), "{url}: {error}");
        says(&error, &["postgres://user:password@host:port/database"]);
    }
    let error = fails(Db::sqlite().url("postgres://localhost/shop")).await;
    assert!(error.is_configuration());
    says(&error, &["path"]);
    let error = fails(Db::sqlite().url("/no/such/folder/shop.db")).await;
    assert!(error.is_connect(), "{error}");
    says(&error, &["shop.db"]);
}

#[tokio::test]
async fn a_wrong_password_or_database() {
    let (database, _) = open().await;
    let url = database.url().replace(database.name(), "no_such_database");
    let error = fails(Db::builder().url(url)).await;
    assert!(error.is_connect());
    says(&error, &["no_such_database"]);
}

#[tokio::test]
async fn unknown_tables_in_the_configuration() {
    let (database, _) = open().await;
    let builder = || Db::builder().url(database.url());
    let error = fails(builder().reference(["userz"])).await;
    assert!(error.is_configuration());
    says(&error, &["userz", "public.users"]);
    let error = fails(builder().hot(["users"]).reference(["public.users"])).await;
    says(&error, &["both `reference` and `hot`"]);
    database.batch_execute("CREATE VIEW named AS SELECT 1").unwrap();
    let error = fails(builder().reference(["named"])).await;
    says(&error, &["is a view"]);
}

#[tokio::test]
async fn times_and_sizes_that_cannot_be() {
    let (database, _) = open().await;
    let builder = || Db::builder().url(database.url());
    for (builder, parts) in [
        (builder().ttl(Tier::L2, Duration::ZERO), &["L2"][..]),
        (builder().stale_after(Tier::L1, Duration::from_secs(10)), &["L1"]),
        (builder().jitter(0.9), &["jitter"]),
        (builder().refresh_ahead(Tier::L1, -1.0), &["L1"]),
        (builder().capacity(Tier::L1, 1_000).max_entry_bytes(100_000), &["L1", "1000"]),
        (builder().max_entry_bytes(10), &["10"]),
        (builder().statement_timeout(Duration::ZERO), &["statement_timeout"]),
        (builder().statement_timeout(Duration::MAX), &["statement_timeout"]),
        (builder().checkout_timeout(Duration::ZERO), &["checkout_timeout"]),
        (builder().pool_size(0), &["pool_size"]),
        (builder().pool_size(2).min_idle(3), &["min_idle"]),
    ] {
        let error = fails(builder).await;
        assert!(error.is_configuration(), "{error}");
        says(&error, parts);
    }
}

#[tokio::test]
async fn an_environment_that_lacks_a_database() {
    // The variables themselves are tested beside the builder; the process's are left alone.
    if std::env::var_os("DATABASE_URL").is_none() {
        let error = Db::from_env().await.unwrap_err();
        says(&error, &["DATABASE_URL"]);
    }
}

#[tokio::test]
async fn a_pool_that_is_always_full() {
    let (database, _) = open().await;
    let db = Db::builder().url(database.url()).pool_size(2).min_idle(2).build().await.unwrap();
    assert_eq!(crate::support::ann(&db).await.0, "Ann");
}

#[tokio::test]
async fn a_database_that_goes_away_and_comes_back() {
    let (database, db) = open().await;
    let (other, _) = open().await;
    let allow = |allow: bool| {
        let name = database.name();
        other
            .batch_execute(&format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS {allow}"))
            .unwrap();
    };
    let _held = db.connection().await.unwrap();
    allow(false);
    let error = db.connection().await.unwrap_err();
    assert!(error.is_connect(), "{error}");
    says(&error, &["not currently accepting connections"]);
    let waiting = tokio::spawn({
        let db = db.clone();
        async move { db.connection().await.map(drop) }
    });
    tokio::task::yield_now().await;
    allow(true);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn errors_do_not_repeat_values() {
    let (_database, db) = open().await;
    let statement = "SELECT set_config('app.token','hunter2',false)";
    let error = (&db).batch_execute(statement).await.unwrap_err().to_string();
    assert!(!error.contains("hunter2") && error.contains("SELECT"), "{error}");
}

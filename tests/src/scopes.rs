//! What a `Db` tells the scope of the task that asks it.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::future::join_all;
use turbodiesel::{Db, Outcome};
use turbodiesel_optimizer::{
    Class, Findings, QueryScope, Severity, Thresholds, assert_queries, scope, unobserved,
};

use crate::support::{ann, open, teams, users};

async fn user_ids(db: &Db) -> QueryResult<Vec<i32>> {
    users::table.order(users::id).select(users::id).load(&mut &*db).await
}

async fn name_of(db: &Db, id: i32) -> QueryResult<String> {
    users::table.find(id).select(users::name).first(&mut &*db).await
}

/// A loop over all three users.
async fn a_loop(db: &Db) -> QueryResult<()> {
    for id in user_ids(db).await? {
        name_of(db, id).await?;
    }
    Ok(())
}

fn counts(scope: &QueryScope) -> (u64, u64) {
    let counts = scope.counts();
    (counts.statements, counts.hits)
}

fn found(scope: &QueryScope) -> Findings {
    scope.findings(&Thresholds::tests())
}

#[tokio::test]
async fn misses_are_statements_and_hits_are_hits() {
    let (_database, db) = open().await;
    let (result, cold) = scope(a_loop(&db)).await;
    result.unwrap();
    assert_eq!(counts(&cold), (4, 0));
    let finding = found(&cold).into_iter().next().unwrap();
    assert_eq!((finding.class, finding.executions, finding.hits), (Class::NPlusOne, 3, 0));
    assert_eq!(finding.severity, Severity::Warning);

    let (result, warm) = scope(a_loop(&db)).await;
    result.unwrap();
    assert_eq!(counts(&warm), (0, 4));
    let finding = found(&warm).into_iter().next().unwrap();
    assert_eq!((finding.class, finding.executions, finding.hits), (Class::NPlusOne, 3, 3));
    assert_eq!(finding.severity, Severity::Note);
    assert_eq!(finding.parent.unwrap().column, "id");
}

#[tokio::test]
async fn a_repetition_that_the_cache_answers_is_no_finding() {
    let (_database, db) = open().await;
    let ((), recorded) = scope(async {
        for _ in 0..5 {
            ann(&db).await;
        }
    })
    .await;
    assert_eq!(counts(&recorded), (1, 4));
    assert_eq!(found(&recorded).len(), 0);
    let ((), bypassed) = scope(async {
        for _ in 0..5 {
            let user = users::table.find(1).select(users::name);
            user.first::<String>(&mut db.handle().bypass()).await.unwrap();
        }
    })
    .await;
    assert_eq!(counts(&bypassed), (5, 0));
    assert_eq!(found(&bypassed).iter().next().unwrap().class, Class::Duplicate);
}

#[tokio::test]
async fn a_handle_knows_where_it_was_made() {
    let (_database, db) = open().await;
    let mut line = 0;
    let ((), recorded) = scope(async {
        for id in user_ids(&db).await.unwrap() {
            let user = users::table.find(id).select(users::name);
            line = line!() + 1;
            user.first::<String>(&mut db.handle()).await.unwrap();
        }
    })
    .await;
    let site = found(&recorded).iter().next().unwrap().site().cloned().unwrap();
    assert!(site.file.ends_with("scopes.rs"));
    assert_eq!(site.line, line);
}

#[tokio::test]
async fn a_connection_tells_of_reads_writes_and_transactions() {
    let (_database, db) = open().await;
    let mut connection = db.connection().await.unwrap();
    let (result, recorded) = scope(async {
        connection
            .transaction(async |connection| {
                let ids: Vec<i32> = users::table.select(users::id).load(connection).await?;
                for id in ids {
                    diesel::update(users::table.find(id))
                        .set(users::name.eq(format!("user {id}")))
                        .execute(connection)
                        .await?;
                }
                QueryResult::Ok(())
            })
            .await
    })
    .await;
    result.unwrap();
    assert_eq!(counts(&recorded), (4, 0));
    let finding = found(&recorded).into_iter().next().unwrap();
    assert_eq!((finding.class, finding.executions, finding.rows), (Class::WriteLoop, 3, 3));
    assert_eq!(finding.parent.unwrap().statement.tables, ["users"]);
}

#[tokio::test]
async fn independent_reads_on_a_connection_are_told_from_those_in_a_transaction() {
    let (_database, db) = open().await;
    let thresholds = Thresholds::tests().serialised(2, std::time::Duration::ZERO);
    let mut connection = db.connection().await.unwrap();
    let ((), recorded) = scope(async {
        users::table.count().get_result::<i64>(&mut connection).await.unwrap();
        teams::table.count().get_result::<i64>(&mut connection).await.unwrap();
    })
    .await;
    let findings = recorded.findings(&thresholds);
    assert_eq!(findings.iter().next().unwrap().class, Class::SerialisedIndependent);
    let (result, recorded) = scope(connection.transaction(async |connection| {
        users::table.count().get_result::<i64>(connection).await?;
        teams::table.count().get_result::<i64>(connection).await
    }))
    .await;
    result.unwrap();
    assert_eq!(recorded.findings(&thresholds).len(), 0);
}

#[tokio::test]
async fn pipelined_statements_are_concurrent() {
    let (_database, db) = open().await;
    let connection = db.connection().await.unwrap();
    let ((), recorded) = scope(async {
        let ids = user_ids(&db).await.unwrap();
        let names = ids.into_iter().map(|id| {
            let mut connection = &connection;
            let user = users::table.find(id).select(users::name);
            async move { user.first::<String>(&mut connection).await.unwrap() }
        });
        assert_eq!(join_all(names).await.len(), 3);
    })
    .await;
    let finding = found(&recorded).into_iter().next().unwrap();
    assert_eq!((finding.class, finding.executions), (Class::Concurrent, 3));
}

#[tokio::test]
async fn rows_that_stream_are_looked_at_and_counted() {
    let (database, _) = open().await;
    // Nothing fits into the cache, so every answer streams through.
    let db = Db::builder().url(database.url()).max_entry_bytes(1_000).build().await.unwrap();
    let many = "SELECT i AS id, repeat('x', 300) AS name, NULL::integer AS team \
                FROM users u, generate_series(1, 30) i WHERE u.id = 1 ORDER BY i";
    let ((), recorded) = scope(async {
        let rows = diesel::sql_query(many).load::<User>(&mut &db).await.unwrap();
        for User { id } in rows.iter().take(3) {
            name_of(&db, *id).await.unwrap();
        }
    })
    .await;
    let finding = found(&recorded).into_iter().next().unwrap();
    assert_eq!((finding.class, finding.executions), (Class::NPlusOne, 3));
    assert_eq!(finding.parent.unwrap().rows, 30);
}

#[derive(QueryableByName)]
#[diesel(table_name = users)]
struct User {
    id: i32,
}

#[tokio::test]
async fn a_reader_who_shares_anothers_answer_has_sent_nothing() {
    let (_database, db) = open().await;
    let ((), recorded) = scope(async {
        let outcomes = join_all((0..10).map(|_| ann(&db))).await;
        let shared = outcomes.iter().filter(|(_, outcome)| *outcome != Outcome::Miss).count();
        assert_eq!(shared, 9);
    })
    .await;
    assert_eq!(counts(&recorded), (1, 9));
}

#[tokio::test]
async fn what_a_write_returns_explains_what_follows() {
    let (_database, db) = open().await;
    let ((), recorded) = scope(async {
        let changed = diesel::update(users::table).set(users::team.eq(2)).returning(users::id);
        for id in changed.get_results::<i32>(&mut &db).await.unwrap() {
            name_of(&db, id).await.unwrap();
        }
    })
    .await;
    let finding = found(&recorded).into_iter().next().unwrap();
    assert_eq!((finding.class, finding.executions), (Class::NPlusOne, 3));
}

#[tokio::test]
async fn errors_batches_and_dropped_futures() {
    let (_database, db) = open().await;
    let ((), recorded) = scope(async {
        diesel::sql_query("SELECT nothing").execute(&mut &db).await.unwrap_err();
        (&mut &db)
            .batch_execute("UPDATE users SET team = 1; UPDATE users SET team = 2")
            .await
            .unwrap();
        drop(users::table.select(users::id).load::<i32>(&mut &db));
        unobserved(user_ids(&db)).await.unwrap();
        // Made within, polled outside, and the other way round.
        unobserved(users::table.select(users::id).load::<i32>(&mut &db)).await.unwrap();
    })
    .await;
    assert_eq!(counts(&recorded), (2, 0));
    let query = users::table.select(users::name);
    let (names, recorded) = scope(query.load::<String>(&mut &db)).await;
    assert_eq!(names.unwrap().len(), 3);
    assert_eq!((counts(&recorded), recorded.counts().unremembered), ((1, 0), 0));
}

#[tokio::test]
async fn a_warm_cache_passes_an_assertion() {
    let (_database, db) = open().await;
    a_loop(&db).await.unwrap();
    assert_queries!(== 0, a_loop(&db)).unwrap();
}

#[tokio::test]
async fn the_same_on_sqlite() {
    let file = turbodiesel_testkit::SqliteFile::new().unwrap();
    let db = Db::sqlite().url(file.url()).build().await.unwrap();
    (&mut &db).batch_execute(crate::support::SCHEMA).await.unwrap();
    for hits in [0, 3] {
        let ((), recorded) = scope(async {
            let ids = users::table.order(users::id).select(users::id);
            for id in ids.load::<i32>(&mut &db).await.unwrap() {
                let user = users::table.find(id).select(users::name);
                user.first::<String>(&mut &db).await.unwrap();
            }
        })
        .await;
        let finding = found(&recorded).into_iter().next().unwrap();
        assert_eq!((finding.class, finding.executions, finding.hits), (Class::NPlusOne, 3, hits));
    }
}

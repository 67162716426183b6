//! What single findings tell, and what scopes record.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::Duration,
};

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::{FutureExt, future::join_all};
use turbodiesel_optimizer::{
    Allow, Class, Detector, Findings, InCurrentScope, Located, Severity, Thresholds,
    assert_no_findings, assert_queries, scope, unobserved,
};

use crate::shop::{
    PgConn, Shop,
    schema::{customers, items, orders, products},
};

async fn shop() -> (Shop<turbodiesel_testkit::Database>, PgConn) {
    let shop = Shop::postgres();
    shop.reset().await;
    let connection = shop.connection().await;
    (shop, connection)
}

async fn customer_ids(connection: &mut PgConn) -> QueryResult<Vec<i32>> {
    customers::table.order(customers::id).select(customers::id).load(connection).await
}

async fn order_ids_of(connection: &mut PgConn, customer: i32) -> QueryResult<Vec<i32>> {
    orders::table.filter(orders::customer_id.eq(customer)).select(orders::id).load(connection).await
}

/// A loop over all customers.
async fn a_loop(connection: &mut PgConn) -> QueryResult<()> {
    for id in customer_ids(connection).await? {
        order_ids_of(connection, id).await?;
    }
    Ok(())
}

async fn found(future: impl Future<Output = QueryResult<()>>) -> Findings {
    let (result, recorded) = scope(future).await;
    result.unwrap();
    recorded.findings(&Thresholds::tests())
}

#[tokio::test]
async fn a_finding_names_its_parent_and_the_code_that_mends_it() {
    let (_shop, mut c) = shop().await;
    let findings = found(a_loop(&mut c)).await;
    let finding = findings.iter().next().unwrap();
    assert_eq!(finding.class, Class::NPlusOne);
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!((finding.executions, finding.distinct, finding.hits, finding.rows), (6, 6, 0, 8));
    assert!(finding.time > Duration::ZERO && finding.saving < finding.time);
    let parent = finding.parent.as_ref().unwrap();
    assert_eq!(parent.statement.tables, ["customers"]);
    assert_eq!((parent.column.as_str(), parent.rows), ("id", 6));
    assert_eq!(finding.key.as_deref(), Some("customer_id"));
    assert!(finding.fix.contains("orders::table.filter(orders::customer_id.eq_any(&keys))"));
}

#[tokio::test]
async fn reports_have_no_values() {
    let (_shop, mut c) = shop().await;
    let secret = "hunter2";
    let findings = found(async {
        for id in customer_ids(&mut c).await? {
            let sql =
                format!("SELECT id FROM orders WHERE customer_id = {id} AND status <> '{secret}'");
            diesel::sql_query(sql).execute(&mut c).await?;
            let query =
                orders::table.filter(orders::customer_id.eq(id).and(orders::status.ne(secret)));
            query.select(orders::id).load::<i32>(&mut c).await?;
        }
        Ok(())
    })
    .await;
    assert!(!findings.is_empty());
    for report in [
        findings.to_string(),
        format!("{findings:?}"),
        findings.to_json().to_string(),
        findings.to_sarif().to_string(),
    ] {
        assert!(!report.contains(secret), "{report}");
    }
}

#[tokio::test]
async fn sarif_has_what_code_hosts_read() {
    let (_shop, mut c) = shop().await;
    let findings = found(async {
        for id in customer_ids(&mut c).located().await? {
            order_ids_of(&mut c, id).located().await?;
        }
        Ok(())
    })
    .await;
    let sarif = findings.to_sarif();
    assert_eq!(sarif["version"], "2.1.0");
    let driver = &sarif["runs"][0]["tool"]["driver"];
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "n-plus-one");
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(driver["rules"][index]["id"], "n-plus-one");
    assert_eq!(result["level"], "warning");
    let place = &result["locations"][0]["physicalLocation"];
    assert!(place["artifactLocation"]["uri"].as_str().unwrap().ends_with("tests/it/behaviour.rs"));
    assert!(place["region"]["startLine"].as_u64().unwrap() > 0);
    let finding = findings.iter().next().unwrap();
    assert_eq!(result["partialFingerprints"]["turbodieselSignature/v1"], finding.signature);
    assert_eq!(findings.to_json()[0]["signature"], finding.signature);
}

#[tokio::test]
async fn many_executions_are_an_error() {
    let (_shop, mut c) = shop().await;
    let findings = found(async {
        a_loop(&mut c).await?;
        a_loop(&mut c).await
    })
    .await;
    let finding = findings.iter().find(|it| it.class == Class::NPlusOne).unwrap();
    assert_eq!((finding.executions, finding.severity), (12, Severity::Error));
}

#[tokio::test]
async fn a_place_is_that_of_the_innermost_await() {
    let (_shop, mut c) = shop().await;
    async fn helper(c: &mut PgConn) -> QueryResult<()> {
        a_loop(c).await
    }
    let line = line!() + 1;
    let findings = found(helper(&mut c).located()).await;
    let site = findings.iter().next().unwrap().site().cloned().unwrap();
    assert_eq!(site.line, line);
    assert!(site.file.ends_with("behaviour.rs"));
}

#[tokio::test]
async fn a_connection_is_told_where_it_is() {
    let (_shop, mut c) = shop().await;
    let mut line = 0;
    let findings = found(async {
        for id in customer_ids(c.here()).await? {
            line = line!() + 1;
            order_ids_of(c.here(), id).await?;
        }
        Ok(())
    })
    .await;
    assert_eq!(findings.iter().next().unwrap().site().unwrap().line, line);
}

/// Only `backtrace` knows more than it was told.
#[cfg(feature = "backtrace")]
#[tokio::test]
async fn a_backtrace_finds_the_place_by_itself() {
    use turbodiesel_optimizer::ScopeOptions;

    let (_shop, mut c) = shop().await;
    let recorded = ScopeOptions::default().backtraces(3).open();
    let mut line = 0;
    recorded
        .run(async {
            for id in customer_ids(&mut c).await? {
                line = line!() + 2;
                let query = orders::table.filter(orders::customer_id.eq(id)).select(orders::id);
                query.load::<i32>(&mut c).await?;
            }
            QueryResult::Ok(())
        })
        .await
        .unwrap();
    let findings = recorded.findings(&Thresholds::tests());
    let site = findings.iter().next().unwrap().site().cloned().unwrap();
    assert!(site.file.ends_with("behaviour.rs"), "{site}");
    assert_eq!(site.line, line);
}

#[tokio::test]
async fn futures_that_are_cancelled_are_not_counted() {
    let (_shop, mut c) = shop().await;
    let (_, recorded) = scope(async {
        for id in 1..=3 {
            let sleep = diesel::sql_query(format!("SELECT pg_sleep(60), {id} AS id"));
            let mut running = pin!(sleep.execute(&mut c));
            let mut context = Context::from_waker(Waker::noop());
            assert!(running.as_mut().poll(&mut context).is_pending());
        }
        // Never polled at all.
        drop(orders::table.select(orders::id).load::<i32>(&mut c));
    })
    .await;
    assert_eq!(recorded.counts().statements, 0);
}

#[tokio::test]
async fn a_stream_that_is_cancelled_while_it_waits_is_not_counted() {
    let (_shop, mut c) = shop().await;
    let (_, recorded) = scope(async {
        let query = "SELECT i AS id FROM generate_series(1, 3) i, LATERAL pg_sleep(60 * (i / 2)) s";
        let _ = diesel::sql_query(query).execute(&mut c).now_or_never();
    })
    .await;
    assert_eq!(recorded.counts().statements, 0);
}

#[tokio::test]
async fn statements_of_inner_scopes_belong_to_the_outer_one_too() {
    let (_shop, mut c) = shop().await;
    let ((), outer) = scope(async {
        let ids = customer_ids(&mut c).await.unwrap();
        let ((), inner) = scope(async {
            order_ids_of(&mut c, ids[0]).await.unwrap();
            unobserved(order_ids_of(&mut c, ids[1])).await.unwrap();
        })
        .await;
        assert_eq!(inner.counts().statements, 1);
        unobserved(async {
            let ((), apart) = scope(async {
                order_ids_of(&mut c, ids[2]).await.unwrap();
            })
            .await;
            assert_eq!(apart.counts().statements, 1);
        })
        .await;
    })
    .await;
    assert_eq!(outer.counts().statements, 2);
}

#[tokio::test]
async fn a_panic_in_a_pause_ends_the_pause() {
    let (_shop, mut c) = shop().await;
    let ((), recorded) = scope(async {
        let paused = unobserved(async { panic!("in a pause") });
        assert!(std::panic::AssertUnwindSafe(paused).catch_unwind().await.is_err());
        order_ids_of(&mut c, 1).await.unwrap();
    })
    .await;
    assert_eq!(recorded.counts().statements, 1);
}

#[tokio::test]
async fn a_future_made_outside_is_counted_but_not_accused() {
    let (_shop, mut c) = shop().await;
    let query = orders::table.select(orders::id);
    let (ids, recorded) = scope(query.load::<i32>(&mut c)).await;
    assert_eq!(ids.unwrap().len(), 8);
    let counts = recorded.counts();
    assert_eq!((counts.statements, counts.unremembered), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spawned_tasks_record_where_they_ask_for_it() {
    let (shop, mut c) = shop().await;
    let shop = Arc::new(shop);
    let findings = found(async {
        let tasks = customer_ids(&mut c).await?.into_iter().map(|id| {
            let shop = Arc::clone(&shop);
            let task = async move { order_ids_of(&mut shop.connection().await, id).await };
            tokio::spawn(task.in_current_scope())
        });
        for ids in join_all(tasks).await {
            ids.unwrap()?;
        }
        Ok(())
    })
    .await;
    let finding = findings.iter().next().unwrap();
    assert!(matches!(finding.class, Class::Concurrent | Class::NPlusOne), "as they were scheduled");
    assert_eq!(finding.executions, 6);
}

#[tokio::test]
async fn transactions_and_savepoints_are_no_statements() {
    let (_shop, mut c) = shop().await;
    let ((), recorded) = scope(async {
        c.transaction(async |c| c.transaction(async |c| order_ids_of(c, 1).await.map(drop)).await)
            .await
            .unwrap();
    })
    .await;
    assert_eq!(recorded.counts().statements, 1);
}

#[tokio::test]
async fn assertions_count_what_is_sent() {
    let (_shop, mut c) = shop().await;
    let ids = assert_queries!(== 1, customers::table.select(customers::id).load::<i32>(&mut c));
    assert_eq!(ids.unwrap().len(), 6);
    assert_queries!(<= 7, a_loop(&mut c)).unwrap();
    assert_queries!(< 8, a_loop(&mut c)).unwrap();
    assert_no_findings!(order_ids_of(&mut c, 1)).unwrap();
}

#[tokio::test]
async fn a_failed_assertion_lists_the_statements() {
    let (_shop, mut c) = shop().await;
    let failed = async {
        assert_queries!(<= 3, a_loop(&mut c)).unwrap();
    };
    let message = message(failed).await;
    assert!(message.contains("expected at most 3 statements, but there were 7"), "{message}");
    assert!(message.contains("6 × SELECT \"orders\".\"id\" FROM \"orders\""), "{message}");
}

#[tokio::test]
async fn a_test_fails_with_the_report() {
    let (_shop, mut c) = shop().await;
    let message = message(Detector::tests().watch(a_loop(&mut c)).map(drop)).await;
    assert!(message.contains("1 finding"), "{message}");
    assert!(message.contains("warning[n-plus-one]"), "{message}");
    let allowed = Detector::tests().allow(Allow::table("orders", "shown in this test"));
    allowed.watch(a_loop(&mut c)).await.unwrap();
}

/// The message that a future panics with.
async fn message(future: impl Future<Output = ()>) -> String {
    let panic = std::panic::AssertUnwindSafe(future).catch_unwind().await.unwrap_err();
    *panic.downcast::<String>().unwrap()
}

#[tokio::test]
async fn production_needs_five_executions_of_twenty_milliseconds() {
    let (_shop, mut c) = shop().await;
    let (_, recorded) = scope(a_loop(&mut c)).await;
    assert_eq!(recorded.findings(&Thresholds::production()).len(), 0);
    assert_eq!(recorded.findings(&Thresholds::production().time(Duration::ZERO)).len(), 1);
    assert_eq!(
        recorded.findings(&Thresholds::production().time(Duration::ZERO).repeats(7)).len(),
        0
    );
}

#[tokio::test]
async fn reports_go_to_the_callback_and_nothing_is_done_when_it_is_off() {
    let (_shop, mut c) = shop().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let detector = {
        let seen = Arc::clone(&seen);
        Detector::report(move |findings, counts| {
            seen.lock().unwrap().push((findings.len(), counts.statements));
        })
        .thresholds(Thresholds::tests())
    };
    detector.watch(a_loop(&mut c)).await.unwrap();
    detector.watch(order_ids_of(&mut c, 1)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [(1, 7), (0, 1)]);
    Detector::off().watch(a_loop(&mut c)).await.unwrap();
    Detector::log().watch(a_loop(&mut c)).await.unwrap();
}

#[tokio::test]
async fn the_better_name_wins_among_columns_with_the_same_values() {
    let (_shop, mut c) = shop().await;
    let findings = found(async {
        // Both columns have the values 1, 2 and 3.
        let rows = items::table.select((items::quantity, items::product_id));
        for (_, product) in rows.load::<(i32, i32)>(&mut c).await? {
            products::table.find(product).select(products::code).first::<String>(&mut c).await?;
        }
        Ok(())
    })
    .await;
    assert_eq!(findings.iter().next().unwrap().parent.as_ref().unwrap().column, "product_id");
}

#[tokio::test]
async fn what_the_connection_returns_is_untouched() {
    let (_shop, mut c) = shop().await;
    let all = orders::table.order(orders::id);
    let plain = all.load::<(i32, i32, String, i32)>(c.get_mut()).await.unwrap();
    let (observed, _) =
        scope(async { all.load::<(i32, i32, String, i32)>(&mut c).await.unwrap() }).await;
    assert_eq!(plain, observed);
    let error = c.batch_execute("SELECT nothing").await.unwrap_err();
    assert!(error.to_string().contains("nothing"));
}

/// A service in front of a handler, as a server has it.
#[cfg(feature = "tower")]
#[tokio::test]
async fn each_request_has_a_scope_of_its_own() {
    use std::{convert::Infallible, future::Ready};

    use tower_layer::Layer;
    use tower_service::Service;
    use turbodiesel_optimizer::{QueryScope, WatchLayer};

    struct Handler;

    impl Service<()> for Handler {
        type Response = bool;
        type Error = Infallible;
        type Future = Ready<Result<bool, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            std::future::ready(Ok(QueryScope::current().is_some()))
        }
    }

    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    let detector = Detector::report(move |_, _| *count.lock().unwrap() += 1);
    let mut service = WatchLayer::new(detector).layer(Handler);
    assert!(service.call(()).await.unwrap());
    assert!(service.call(()).await.unwrap());
    assert_eq!(*seen.lock().unwrap(), 2);
    assert!(!WatchLayer::new(Detector::off()).layer(Handler).call(()).await.unwrap());
}

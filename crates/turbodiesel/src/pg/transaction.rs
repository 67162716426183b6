//! Transactions as the server sees them: their numbers, their ends, and what became of the lost.

use std::future::Future;

use diesel::{
    QueryResult, QueryableByName,
    connection::{InstrumentationEvent, TransactionDepthChange, TransactionManagerStatus},
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types::{BigInt, Bool, Integer, Nullable, Text},
};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    TransactionManager,
};
use futures_util::future;

use crate::{
    backend::NotCommitted,
    error::Information,
    settle::{Fate, Trace},
};

#[diesel::declare_sql_function]
extern "SQL" {
    #[sql_name = "pg_catalog.txid_current_if_assigned"]
    fn txid_current_if_assigned() -> Nullable<BigInt>;
}

/// Runs a statement, and sends behind it the question which number its transaction has. Both are
/// under way at the same time, so it costs no round trip.
///
/// `None` if the transaction has written nothing yet, or if the question failed with the statement.
pub(super) async fn with_number<R>(
    mut raw: &AsyncPgConnection,
    statement: impl Future<Output = R>,
) -> (R, Option<i64>) {
    let number = async {
        let number = diesel::select(txid_current_if_assigned());
        number.get_result::<Option<i64>>(&mut raw).await.ok().flatten()
    };
    // In this order: what comes first is sent first, and before the statement there is no number.
    future::join(statement, number).await
}

/// Refused in a transaction that has failed, so that the `COMMIT` behind it is not even tried: there
/// it would roll back and say so only in a tag that is not handed on. Unlike a query it takes no
/// snapshot, for which a deferrable transaction might wait.
const COMMIT: &str = "SHOW transaction_read_only; COMMIT";

/// Rolls back what is open, and fails if nothing is.
const ROLLBACK_IF_OPEN: &str = "ROLLBACK AND CHAIN; ROLLBACK";

pub(super) async fn commit(raw: &mut AsyncPgConnection) -> Result<(), NotCommitted> {
    let depth = AnsiTransactionManager::transaction_manager_status_mut(raw).transaction_depth();
    let depth = depth.and_then(|depth| depth.ok_or(DieselError::NotInTransaction));
    let depth = depth.map_err(NotCommitted::Aborted)?;
    raw.instrumentation().on_connection_event(InstrumentationEvent::commit_transaction(depth));
    let Err(error) = raw.batch_execute(COMMIT).await else {
        close(raw);
        return Ok(());
    };
    // The server answers a session only while it lives, and it lives on after an error only if that
    // has ended the transaction.
    if raw.batch_execute(ROLLBACK_IF_OPEN).await.is_ok() {
        close(raw);
        return Err(NotCommitted::Aborted(failed_before(&error)));
    }
    if raw.batch_execute("ROLLBACK").await.is_ok() {
        close(raw);
        return Err(NotCommitted::Aborted(error));
    }
    AnsiTransactionManager::transaction_manager_status_mut(raw).set_in_error();
    Err(NotCommitted::Unknown(error))
}

/// Tells the transaction manager that nothing is open any more.
fn close(raw: &mut AsyncPgConnection) {
    let status = AnsiTransactionManager::transaction_manager_status_mut(raw);
    if let TransactionManagerStatus::Valid(status) = status {
        // OK because it fails only where nothing was open.
        let _ = status.change_transaction_depth(TransactionDepthChange::DecreaseDepth);
    }
}

/// The error of a transaction whose function passed over the failure of a statement.
fn failed_before(refusal: &DieselError) -> DieselError {
    let information = Information::message(
        "the transaction was rolled back instead of committed: a statement in it had failed",
    )
    .with_details(
        refusal.to_string(),
        "return the error of a statement that fails, or run the statement in a transaction of its own \
         inside this one, which is a savepoint",
    );
    DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(information))
}

/// A transaction that the snapshot still counts among those in progress may be in the commit log
/// already, and is not visible yet. One from before a crash may have lost its number to another.
///
/// The start of a process of another role is not shown. The processes in question are our own, but
/// where it is not known to be another, it is taken for the same.
const FATE: &str = "
    WITH asked AS (
        SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint = $1
               AS is_same_server,
               coalesce((extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()) * 1000000)::bigint,
                        0) <> $5 AS may_have_crashed,
               count(*) > 0 AS is_running,
               coalesce(bool_or(state = 'active'), false) AS is_active
        FROM pg_stat_get_activity($2)
        WHERE coalesce((extract(epoch FROM backend_start) * 1000000)::bigint = $3, true)
    )
    SELECT is_same_server, is_running, is_active,
           CASE WHEN NOT is_same_server OR may_have_crashed OR $4 IS NULL THEN NULL
                WHEN txid_visible_in_snapshot($4, txid_current_snapshot()) THEN txid_status($4)
                ELSE 'in progress' END AS status
    FROM asked";

#[derive(QueryableByName)]
struct FateRow {
    #[diesel(sql_type = Bool)]
    is_same_server: bool,
    #[diesel(sql_type = Bool)]
    is_running: bool,
    #[diesel(sql_type = Bool)]
    is_active: bool,
    #[diesel(sql_type = Nullable<Text>)]
    status: Option<String>,
}

pub(super) async fn fate(raw: &mut AsyncPgConnection, trace: &Trace) -> QueryResult<Fate> {
    let row: FateRow = diesel::sql_query(FATE)
        .bind::<BigInt, _>(trace.process.server_started)
        .bind::<Integer, _>(trace.process.id)
        .bind::<BigInt, _>(trace.process.started)
        .bind::<Nullable<BigInt>, _>(trace.transaction)
        .bind::<BigInt, _>(trace.process.statistics_since)
        .get_result(raw)
        .await?;
    Ok(match (row.is_same_server, row.status.as_deref()) {
        (false, _) => Fate::Unknown,
        (true, Some("committed")) => Fate::Committed,
        (true, Some("aborted")) => Fate::Aborted,
        (true, _) if row.is_active => Fate::InProgress,
        (true, None) if !row.is_running => Fate::Ended,
        (true, _) => Fate::Unknown,
    })
}

//! The path of a write outside a transaction: mark, execute, lift the mark, in a task of its own.

use std::sync::Arc;

use diesel::{QueryResult, result::Error as DieselError};
use diesel_async::{AsyncConnectionCore, SimpleAsyncConnection};
use futures_core::future::BoxFuture;
use turbodiesel_cache::WriteMark;
use turbodiesel_core::Bypass;
use turbodiesel_sql::Kind;

use crate::{
    backend::Backend,
    db::{Db, Inner},
    error::unable_to_send,
    pool::Pooled,
    rows::Rows,
    session::{self, Change},
    shape::{Captured, Effect, Shape},
    statement::{Batch, Collect, Count, Statement},
};

/// Executes a statement for its count of rows.
pub(crate) fn execute<B: Backend>(
    db: &Db<B>,
    captured: QueryResult<Captured<B>>,
) -> BoxFuture<'_, QueryResult<usize>> {
    Box::pin(async move {
        let captured = captured?;
        if needs_a_session(&captured.shape) {
            return Err(refuse_control(&captured.shape.sql));
        }
        let shape = Arc::clone(&captured.shape);
        let effect = effect(db, &shape);
        let query = captured.into_query();
        if effect == Effect::Nothing {
            let mut connection = db.0.checkout().await?;
            db.0.counters.count_bypass(Bypass::Requested);
            db.0.counters.count_statement();
            let raw = connection.start();
            let count = AsyncConnectionCore::execute_returning_count(raw, query).await;
            return connection.finish(count);
        }
        in_a_task(db, &shape, effect, Count(query)).await
    })
}

/// Executes a statement that writes, for its rows.
pub(crate) async fn load<B: Backend>(
    db: &Db<B>,
    captured: Captured<B>,
    effect: Effect,
) -> QueryResult<Rows<B>> {
    let shape = Arc::clone(&captured.shape);
    in_a_task(db, &shape, effect, Collect(captured.into_query())).await.map(Rows::collected)
}

/// Executes a batch of statements as one write.
pub(crate) async fn batch<B: Backend>(db: &Db<B>, sql: &str) -> QueryResult<()> {
    let shape = db.0.shapes.by_text(sql, false);
    if needs_a_session(&shape) {
        return Err(refuse_control(sql));
    }
    in_a_task(db, &shape, effect(db, &shape), Batch(sql.to_owned())).await
}

async fn in_a_task<B: Backend, S: Statement<B>>(
    db: &Db<B>,
    shape: &Shape<B>,
    effect: Effect,
    statement: S,
) -> QueryResult<S::Answer> {
    // What is not understood may change the session as well.
    let may_taint = shape.plan.kind() == Kind::Unknown;
    let task_db = db.clone();
    db.0.owned(async move {
        let mut connection = task_db.0.checkout().await?;
        connection.tainted |= may_taint;
        write(&task_db.0, &mut connection, &effect, statement).await
    })
    .await
}

/// What a statement may write, under the current catalog.
pub(crate) fn effect<B: Backend>(db: &Db<B>, shape: &Shape<B>) -> Effect {
    let resolution = db.0.resolution(shape);
    resolution.as_ref().expect("resolving leaves a resolution").effect.clone()
}

/// Marks, runs, and lifts the mark when the outcome is known.
///
/// The mark is set with the connection in hand, so it stands for as long as the statement runs and
/// not while it waits for the pool.
pub(crate) async fn write<B: Backend, S: Statement<B>>(
    db: &Inner<B>,
    connection: &mut Pooled<B>,
    effect: &Effect,
    statement: S,
) -> QueryResult<S::Answer> {
    let mark = db.mark(effect);
    db.counters.count_statement();
    let result = statement.run(connection.start()).await;
    let result = connection.finish(result);
    settle(db, connection, mark, effect, result.as_ref().err()).await;
    result
}

/// Lifts the mark of a statement that has ended, or leaves it standing where nobody knows whether it
/// has.
pub(crate) async fn settle<B: Backend>(
    db: &Inner<B>,
    connection: &mut Pooled<B>,
    mark: WriteMark,
    effect: &Effect,
    error: Option<&DieselError>,
) {
    if error.is_some() {
        let settled = B::is_settled(connection.start()).await;
        let settled = connection.finish(Ok(settled)) == Ok(true);
        if !settled {
            tracing::warn!(
                "the outcome of a write is unknown: its tables stay uncached for a while"
            );
            connection.tainted = true;
            mark.unknown();
            return;
        }
    }
    if matches!(effect, Effect::Everything { schema: true }) {
        // Before the mark is lifted, so that nothing is kept under what the catalog was before.
        let checked = db.keeper.check::<B>(connection.start()).await;
        let checked = connection.finish(checked);
        if let Err(error) = checked {
            tracing::warn!(%error, "the catalog could not be checked after a change of schema");
        }
    }
    // A statement that failed may still have changed something (`INSERT OR FAIL`, batches). To
    // invalidate in vain costs a miss.
    mark.committed();
}

/// Whether a statement is refused on a handle, because another statement would run in another
/// session.
pub(crate) fn needs_a_session<B: Backend>(shape: &Shape<B>) -> bool {
    // What is not understood runs, on a connection that is closed after.
    shape.plan.kind() != Kind::Unknown && session::change(&shape.plan, &shape.sql) != Change::None
}

/// The error of a statement that needs a session, on a handle that has none.
pub(crate) fn refuse_control(sql: &str) -> DieselError {
    let statement = sql.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    unable_to_send(format!(
        "`{statement}` controls a transaction or a session, and this handle uses another connection \
         for every statement: use `db.transaction(…)`, or `db.connection()` and run it there"
    ))
}

/// The error of a statement that must not run beside others on one connection.
pub(crate) fn refuse_pipelined(sql: &str) -> DieselError {
    let statement = sql.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    unable_to_send(format!(
        "`{statement}` may change the session or anything else, so it cannot run beside other \
         statements through `&Connection`: run it through `&mut Connection`"
    ))
}

impl<B: Backend> SimpleAsyncConnection for &Db<B> {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        batch(self, query).await
    }
}

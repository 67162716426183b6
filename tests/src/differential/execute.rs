//! Executes steps.

use std::{
    ops::AddAssign,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use diesel::{QueryResult, result::Error};
use diesel_async::{AsyncConnection, AsyncConnectionCore, SimpleAsyncConnection};
use futures_util::future::{BoxFuture, join_all};
use turbodiesel::{Connection, Db, Outcome, Touches};

use super::{
    answer::Answer,
    reads::Query,
    side::{POOL, Side},
    statement::Statement,
    steps::{Action, End, Step},
};
use crate::support::poll_times;

/// How statements ended: those that fail are part of the test, but should not be the most of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    pub(super) well: usize,
    pub(super) with_errors: usize,
}

impl Ended {
    fn of<T>(results: impl IntoIterator<Item = QueryResult<T>>) -> Self {
        let mut all = Self::default();
        for result in results {
            match result {
                Ok(_) => all.well += 1,
                Err(_) => all.with_errors += 1,
            }
        }
        all
    }
}

impl AddAssign for Ended {
    fn add_assign(&mut self, other: Self) {
        self.well += other.well;
        self.with_errors += other.with_errors;
    }
}

/// Executes a step to its end, or to where it is given up; then it may go on in the background.
pub(super) fn execute<'a, B: Side>(
    db: &'a Db<B>,
    queries: &'a [Query],
    step: &'a Step,
) -> BoxFuture<'a, Ended> {
    Box::pin(async move {
        match step {
            Step::Db(statement) => Ended::of([run(&mut &*db, statement).await]),
            Step::Handle(statement) => Ended::of([run(&mut db.handle(), statement).await]),
            Step::Batch(statements) => {
                let texts: Vec<&str> = statements.iter().map(|it| &*it.sql).collect();
                Ended::of([(&mut &*db).batch_execute(&texts.join("; ")).await])
            }
            Step::Connection(statements) => {
                let mut connection = db.connection().await.unwrap();
                let mut ended = Ended::default();
                for statement in statements {
                    ended += Ended::of([run(&mut connection, statement).await]);
                }
                ended
            }
            Step::Pipelined(statements) => {
                let connection = db.connection().await.unwrap();
                Ended::of(B::pipelined(&connection, statements).await)
            }
            Step::Transaction(actions, end) => transaction(db, queries, actions, *end).await,
            Step::Raw(statement, table) => {
                let touches = match table {
                    Some(table) => Touches::tables([table.clone()]),
                    None => Touches::everything(),
                };
                let mut connection = db.connection().await.unwrap();
                let raw = connection.with_raw(touches, async |raw| run(raw, statement).await);
                Ended::of([raw.await])
            }
            Step::Dropped(polls, step) => {
                poll_times(execute(db, queries, step), *polls).await;
                Ended::default()
            }
        }
    })
}

async fn run<B: Side, C>(connection: &mut C, statement: &Statement) -> QueryResult<()>
where
    C: AsyncConnectionCore<Backend = B>,
{
    let result = match statement.returns {
        true => Answer::load(connection, statement).await.map(drop),
        false => connection.execute_returning_count(statement).await.map(drop),
    };
    // No statement is made with these faults, so what was executed was another one.
    let message = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let was_changed = ["ambiguous", "syntax error"].iter().any(|fault| message.contains(fault));
    assert!(!was_changed, "{statement}: {message}");
    result
}

/// Waits for what outlives the futures that began it: who holds all connections of the pool waits
/// for nobody else.
pub(super) async fn quiesce<B: Side>(db: &Db<B>) {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    join_all((0..POOL).map(|_| db.connection())).await;
}

async fn transaction<B: Side>(
    db: &Db<B>,
    queries: &[Query],
    actions: &[Action],
    end: End,
) -> Ended {
    let mut connection = db.connection().await.unwrap();
    let act = Act { db, queries, well: AtomicUsize::new(0), with_errors: AtomicUsize::new(0) };
    let _ = act.scope(&mut connection, actions, end).await;
    Ended { well: act.well.into_inner(), with_errors: act.with_errors.into_inner() }
}

struct Act<'a, B: Side> {
    db: &'a Db<B>,
    queries: &'a [Query],
    well: AtomicUsize,
    with_errors: AtomicUsize,
}

impl<B: Side> Act<'_, B> {
    /// A transaction, or a savepoint in one.
    fn scope<'s>(
        &'s self,
        connection: &'s mut Connection<B>,
        actions: &'s [Action],
        end: End,
    ) -> BoxFuture<'s, QueryResult<()>> {
        Box::pin(async move {
            connection
                .transaction::<(), Error, _>(async |connection| {
                    for action in actions {
                        let result = self.act(connection, action).await;
                        if end != End::CommitRegardless {
                            result?;
                        }
                    }
                    if end == End::Rollback { Err(Error::RollbackTransaction) } else { Ok(()) }
                })
                .await
        })
    }

    async fn act(&self, connection: &mut Connection<B>, action: &Action) -> QueryResult<()> {
        match action {
            Action::Write(statement) => {
                let result = run(connection, statement).await;
                let count = if result.is_ok() { &self.well } else { &self.with_errors };
                count.fetch_add(1, Relaxed);
                result
            }
            Action::Read(query) => {
                // Queries may be fewer when a history is shrunk.
                let Some(query) = self.queries.get(*query) else { return Ok(()) };
                let _ = Answer::load(&mut &*self.db, &query.statement).await;
                let inside = Answer::load(connection, &query.statement).await;
                let outcome = connection.outcome();
                let bypassed = matches!(outcome, Some(Outcome::Bypass(_)));
                assert!(bypassed || inside.is_err(), "{outcome:?} in a transaction");
                inside.map(drop)
            }
            // It ends by itself; its error is not that of the transaction.
            Action::Savepoint(actions, end) => {
                let _ = self.scope(connection, actions, *end).await;
                Ok(())
            }
        }
    }
}

//! Transactions on a [`Connection`]: publish at the outermost commit, whoever waits.

use std::future::Future;

use diesel::{QueryResult, connection::TransactionManagerStatus, result::Error as DieselError};
use diesel_async::{AsyncConnection, TransactionManager};
use tokio::{sync::watch, time::timeout};

use crate::{
    backend::{Backend, NotCommitted},
    connection::Connection,
    error::{outcome_unknown, unable_to_send},
    settle::Lost,
    shape::Effect,
    write::{self, Ended},
};

const OUT_OF_TIME: &str = "the server has not answered the commit in time";

/// An async function whose future is `Send`.
///
/// The language cannot say so of `AsyncFnOnce` itself yet. Every closure `async |x| …` whose future
/// is `Send` implements it; nobody needs to name it.
#[diagnostic::on_unimplemented(
    message = "the future of this function is not `Send`, or it takes another argument",
    note = "do not hold `Rc`, `RefCell` guards or other thread-bound values across an `.await`"
)]
pub trait SendAsyncFnOnce<A, R>: AsyncFnOnce(A) -> R + FnOnce(A) -> Self::Future {
    /// The function's future.
    type Future: Future<Output = R> + Send;
}

impl<F, A, R, Fut> SendAsyncFnOnce<A, R> for F
where
    F: AsyncFnOnce(A) -> R + FnOnce(A) -> Fut,
    Fut: Future<Output = R> + Send,
{
    type Future = Fut;
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommitOutcome {
    /// It was committed.
    Committed,
    /// It was rolled back: nothing of it has happened, nor ever will.
    Aborted,
    /// The answer to its `COMMIT` has not arrived, or was lost, and nobody has found out.
    Unknown,
}

/// The transaction manager of [`Connection`]: the inner connection's own, with invalidation around
/// the commit.
#[derive(Debug)]
pub struct Transactions;

/// The transaction manager underneath.
type Raw<B> = <<B as crate::backend::Internals>::Raw as AsyncConnection>::TransactionManager;

impl<B: Backend> TransactionManager<Connection<B>> for Transactions {
    type TransactionStateData = TransactionManagerStatus;

    async fn begin_transaction(connection: &mut Connection<B>) -> QueryResult<()> {
        connection.reclaim().await?;
        let checkout = connection.checked_out()?;
        let begun = Raw::<B>::begin_transaction(checkout.start_control()).await;
        checkout.finish(begun)?;
        connection.begin_frame();
        Ok(())
    }

    async fn rollback_transaction(connection: &mut Connection<B>) -> QueryResult<()> {
        connection.reclaim().await.inspect_err(|_| connection.give_up_frame())?;
        let checkout = connection.checked_out()?;
        let rolled_back = Raw::<B>::rollback_transaction(checkout.start_control()).await;
        let rolled_back = checkout.finish(rolled_back);
        match rolled_back {
            Ok(()) => connection.roll_back_frame(),
            Err(_) => connection.sync_frames(),
        }
        connection.tell_rollback();
        // While a transaction is open its session sees what is not committed.
        if rolled_back.is_ok() && connection.suspects_catalog && !connection.in_transaction() {
            connection.suspects_catalog = false;
            let db = connection.db.clone();
            connection.checked_out()?.check_catalog(&db.0.keeper).await;
        }
        rolled_back
    }

    async fn commit_transaction(connection: &mut Connection<B>) -> QueryResult<()> {
        connection.reclaim().await.inspect_err(|_| connection.give_up_frame())?;
        if connection.depth()? > 1 {
            let checkout = connection.checked_out()?;
            let released = Raw::<B>::commit_transaction(checkout.start_control()).await;
            let released = checkout.finish(released);
            connection.sync_frames();
            return released;
        }
        let effect = connection.frames().take();
        let (edition, number) = (connection.begun_under, connection.number());
        let rolled_back = connection.outcome_of_rollback();
        let causes = connection.frames().causes(effect.slots());
        let suspects_catalog = std::mem::take(&mut connection.suspects_catalog);
        let (tell, told) = watch::channel(CommitOutcome::Unknown);
        connection.told = Some(told);
        connection
            .lend(|db, mut checkout| async move {
                for (slot, cause) in causes {
                    db.0.causes.note(cause, [slot]);
                }
                let mark =
                    (effect != Effect::Nothing).then(|| db.0.mark(effect.slots().iter().copied()));
                let changes_schema = effect.changes_schema();
                let deadline = db.0.settings.mark_lifetime;
                let commit = timeout(deadline, B::commit(checkout.start_control())).await;
                let committed = commit.unwrap_or_else(|_| {
                    Err(NotCommitted::Unknown(unable_to_send(OUT_OF_TIME.to_owned())))
                });
                match committed {
                    Ok(()) => {
                        let committed = checkout.finish(Ok(()));
                        if let Some(mark) = mark {
                            let (db, ended) = (&db.0, Ended::Done);
                            write::settle(db, &mut checkout, edition, mark, changes_schema, ended)
                                .await;
                        }
                        tell.send_replace(CommitOutcome::Committed);
                        (Some(checkout), committed)
                    }
                    Err(NotCommitted::Aborted(error)) => {
                        let aborted = checkout.finish(Err(error));
                        if let Some(mark) = mark {
                            mark.aborted();
                        }
                        tell.send_replace(rolled_back);
                        if suspects_catalog {
                            checkout.check_catalog(&db.0.keeper).await;
                        }
                        (Some(checkout), aborted)
                    }
                    // Cancelled while it waits for a replica, it would commit without it; and
                    // whoever sent it wants it to happen.
                    Err(NotCommitted::Unknown(error)) => {
                        checkout.abandon();
                        let trace = checkout.trace(number);
                        db.0.lose(Lost { mark, trace, edition, changes_schema, tell: Some(tell) });
                        (None, Err(outcome_unknown(&error)))
                    }
                }
            })
            .await
    }

    fn transaction_manager_status_mut(
        connection: &mut Connection<B>,
    ) -> &mut TransactionManagerStatus {
        connection.status()
    }
}

impl<B: Backend> Connection<B> {
    /// What became of the last transaction that was committed or rolled back here, as far as it is
    /// known by now; `None` before the first, and while one is open that has not come so far.
    ///
    /// A transaction whose function returned an error was rolled back. So was one whose `COMMIT` was
    /// refused, with an error, because it had failed before: a function that passes over the error of
    /// a statement does not make it succeed.
    #[must_use]
    pub fn commit_outcome(&self) -> Option<CommitOutcome> {
        self.told.as_ref().map(|told| *told.borrow())
    }

    /// Like [`commit_outcome`](Self::commit_outcome), once nobody will find out more: where the answer
    /// to `COMMIT` was lost, PostgreSQL is asked on another connection what became of the transaction,
    /// until the server has told. That may take as long as the `COMMIT` itself, to which PostgreSQL
    /// does not apply its `statement_timeout`: a deferred trigger may wait for a lock, and any
    /// transaction for a replica.
    ///
    /// [`Unknown`](CommitOutcome::Unknown) means that the server could not tell in the
    /// `statement_timeout` and five seconds, or that the transaction had not been told its number
    /// before the connection was lost.
    ///
    /// ```no_run
    /// # use turbodiesel::{CommitOutcome, Connection};
    /// # async fn example(connection: &mut Connection) -> diesel::QueryResult<()> {
    /// # async fn transfer(_: &mut Connection) -> diesel::QueryResult<()> { Ok(()) }
    /// use diesel_async::AsyncConnection;
    ///
    /// while let Err(error) = connection.transaction(transfer).await {
    ///     if !turbodiesel::is_outcome_unknown(&error) {
    ///         return Err(error);
    ///     }
    ///     match connection.settled_outcome().await {
    ///         Some(CommitOutcome::Committed) => break,
    ///         Some(CommitOutcome::Aborted) => {} // Nothing has happened: try again.
    ///         _ => return Err(error),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn settled_outcome(&self) -> Option<CommitOutcome> {
        let mut told = self.told.clone()?;
        // An error means that nobody is left to tell.
        let settled = told.wait_for(|outcome| *outcome != CommitOutcome::Unknown).await;
        let outcome = settled.map(|outcome| *outcome);
        Some(outcome.unwrap_or(CommitOutcome::Unknown))
    }

    fn depth(&mut self) -> QueryResult<u32> {
        self.status()
            .transaction_depth()?
            .map(std::num::NonZeroU32::get)
            .ok_or(DieselError::NotInTransaction)
    }

    /// Runs a function in the transaction that has just begun, and ends it accordingly.
    pub(crate) async fn run_begun<R, E, F>(&mut self, function: F) -> Result<R, E>
    where
        F: for<'r> AsyncFnOnce(&'r mut Self) -> Result<R, E>
            + for<'r> SendAsyncFnOnce<&'r mut Self, Result<R, E>>,
        E: From<DieselError>,
    {
        match function(self).await {
            Ok(value) => {
                Transactions::commit_transaction(self).await?;
                Ok(value)
            }
            Err(error) => match Transactions::rollback_transaction(self).await {
                // The function's own error says more than that the transaction is broken.
                Ok(()) | Err(DieselError::BrokenTransactionManager) => Err(error),
                Err(rollback) => Err(rollback.into()),
            },
        }
    }
}

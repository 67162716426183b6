//! Transactions on a [`Connection`]: publish at the outermost commit, in a task of its own.

use std::future::Future;

use diesel::{QueryResult, connection::TransactionManagerStatus, result::Error as DieselError};
use diesel_async::{AsyncConnection, TransactionManager};

use crate::{
    backend::Backend, connection::Connection, error::unable_to_send, shape::Effect,
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
        let effect = connection.frames().effect();
        let edition = connection.begun_under;
        let committed = connection
            .lend(|db, mut checkout| async move {
                let mark = (effect != Effect::Nothing).then(|| db.0.mark(effect.slots().iter().copied()));
                let deadline = db.0.settings.mark_lifetime;
                let commit = Raw::<B>::commit_transaction(checkout.start_control());
                // Out of time, the connection is left busy and closed, and the mark unsettled.
                let committed = match tokio::time::timeout(deadline, commit).await {
                    Ok(committed) => checkout.finish(committed),
                    Err(_) => return (checkout, Err(unable_to_send(OUT_OF_TIME.to_owned()))),
                };
                if let Some(mark) = mark {
                    let schema = effect.changes_schema();
                    let ended = if committed.is_ok() { Ended::Done } else { Ended::Failed };
                    write::settle(&db.0, &mut checkout, edition, mark, schema, ended).await;
                }
                (checkout, committed)
            })
            .await;
        connection.sync_frames();
        committed
    }

    fn transaction_manager_status_mut(
        connection: &mut Connection<B>,
    ) -> &mut TransactionManagerStatus {
        connection.status()
    }
}

impl<B: Backend> Connection<B> {
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

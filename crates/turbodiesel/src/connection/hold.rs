//! Who has the pool connection: the caller, or a task that will give it back.

use std::{
    future::Future,
    sync::{MutexGuard, PoisonError},
};

use diesel::{QueryResult, connection::TransactionManagerStatus};
use diesel_async::{AsyncConnection, TransactionManager};
use tokio::sync::oneshot;

use super::Connection;
use crate::{backend::Backend, db::Db, error::unable_to_send, pool::Checkout, touched::Frames};

impl<B: Backend> Connection<B> {
    /// Whether a transaction is open, so that only the database knows what is visible.
    pub(crate) fn in_transaction(&self) -> bool {
        self.found_open || self.frames().is_open()
    }

    pub(crate) fn frames(&self) -> MutexGuard<'_, Frames> {
        // OK because nothing can panic while the lock is held.
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, which must be there.
    pub(crate) fn checked_out(&mut self) -> QueryResult<&mut Checkout<B>> {
        self.slot.as_mut().ok_or_else(lost)
    }

    /// The connection through a shared reference.
    pub(crate) fn shared(&self) -> QueryResult<&Checkout<B>> {
        self.slot.as_ref().ok_or_else(lost)
    }

    /// Whether a write is invalidated when it is done, instead of with a commit to come.
    pub(crate) fn publishes_at_once(&self) -> bool {
        self.in_test_transaction || !self.frames().is_open()
    }

    /// Waits for a task that has the connection, and replaces one that cannot be used any more.
    pub(crate) async fn reclaim(&mut self) -> QueryResult<()> {
        if let Some(returning) = &mut self.returning {
            // If the task died, so did the connection; whatever was open on it is rolled back.
            self.slot = returning.await.ok();
            self.returning = None;
            // The task may have ended the transaction for a caller that stopped waiting.
            let depth = self.status().transaction_depth().ok().flatten();
            self.frames().truncate(depth.map_or(0, |depth| depth.get() as usize));
        }
        // A `BEGIN` or `ROLLBACK` was sent and nobody saw what became of it: the server and the
        // transaction manager may disagree, so nothing must be built on it.
        if self.slot.as_ref().is_some_and(|checkout| checkout.in_control) {
            self.slot = None;
        }
        if self.slot.is_none() {
            let mut checkout = self.db.0.checkout().await?;
            self.found_open = checkout.in_transaction();
            self.in_test_transaction = false;
            self.frames().truncate(0);
            self.slot = Some(checkout);
        }
        Ok(())
    }

    /// Lends the connection to a task that runs to its end even if this future is dropped.
    pub(crate) async fn lend<R, F, Task>(&mut self, task: Task) -> QueryResult<R>
    where
        R: Send + 'static,
        Task: FnOnce(Db<B>, Checkout<B>) -> F,
        F: Future<Output = (Checkout<B>, QueryResult<R>)> + Send + 'static,
    {
        self.reclaim().await?;
        let checkout = self.slot.take().ok_or_else(lost)?;
        let (give_back, returning) = oneshot::channel();
        self.returning = Some(returning);
        let task = task(self.db.clone(), checkout);
        let result = self
            .db
            .0
            .owned(async move {
                let (checkout, result) = task.await;
                // If nobody waits any more, the pool gets it.
                let _ = give_back.send(checkout);
                result
            })
            .await;
        self.reclaim().await?;
        result
    }

    /// A transaction or savepoint has begun.
    pub(crate) fn begin_frame(&mut self) {
        self.frames().begin();
    }

    /// A transaction or savepoint has been rolled back.
    pub(crate) fn roll_back_frame(&mut self) {
        let mut frames = self.frames();
        frames.roll_back();
        let still_open = frames.is_open();
        drop(frames);
        self.in_test_transaction &= still_open;
    }

    /// A savepoint has been released.
    pub(crate) fn release_frame(&mut self) {
        let outermost = self.frames().release();
        // A savepoint in a transaction that was open before this connection was checked out: there
        // is no commit to wait for.
        if let Some(effect) = outermost {
            self.db.0.stamps.change(effect.slots().iter().copied());
        }
    }

    /// The outermost transaction has ended.
    pub(crate) fn end_frames(&mut self) {
        self.frames().truncate(0);
        self.in_test_transaction = false;
    }

    /// The status of the connection, if a task has it that of a broken one.
    pub(crate) fn status(&mut self) -> &mut TransactionManagerStatus {
        if let Some(returning) = &mut self.returning
            && let Ok(checkout) = returning.try_recv()
        {
            self.slot = Some(checkout);
            self.returning = None;
        }
        match &mut self.slot {
            Some(checkout) => {
                <B::Raw as AsyncConnection>::TransactionManager::transaction_manager_status_mut(
                    checkout,
                )
            }
            None => &mut self.absent,
        }
    }
}

pub(super) fn lost() -> diesel::result::Error {
    unable_to_send("the connection is with a task that has not returned it yet".to_owned())
}

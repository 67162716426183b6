//! Who has the pool connection, the caller or a task that will give it back; and what is open on it.

use std::{
    future::Future,
    sync::{MutexGuard, PoisonError},
};

use diesel::{
    QueryResult, connection::TransactionManagerStatus, result::Error::BrokenTransactionManager,
};
use diesel_async::{AsyncConnection, TransactionManager};
use tokio::sync::{oneshot, watch};
use turbodiesel_cache::Slot;

use super::Connection;
use crate::{
    backend::Backend, db::Db, detached::Detached, error::unable_to_send, pool::Checkout,
    shape::Effect, touched::Frames, transaction::CommitOutcome,
};

impl<B: Backend> Connection<B> {
    /// Whether a transaction is open, so that only the database knows what is visible.
    pub(crate) fn in_transaction(&self) -> bool {
        self.found_open || self.in_frame()
    }

    /// Whether a transaction was begun here.
    pub(crate) fn in_frame(&self) -> bool {
        self.frames().is_open()
    }

    /// Whether a write is invalidated when it is done, instead of with a commit to come alone.
    pub(crate) fn publishes_at_once(&self) -> bool {
        self.in_test_transaction || self.out_of_hand || !self.in_frame()
    }

    pub(crate) fn frames(&self) -> MutexGuard<'_, Frames> {
        // OK because nothing can panic while the lock is held.
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, which must be there.
    pub(crate) fn checked_out(&mut self) -> QueryResult<&mut Checkout<B>> {
        self.slot.as_mut().ok_or_else(lost)
    }

    /// The connection through a shared reference, in a state that is known.
    pub(crate) fn shared(&self) -> QueryResult<&Checkout<B>> {
        if self.lost_in_transaction {
            return Err(BrokenTransactionManager);
        }
        self.slot.as_ref().filter(|checkout| !checkout.in_control).ok_or_else(lost)
    }

    /// Waits for a task that has the connection, and replaces one that cannot be used any more.
    pub(crate) async fn reclaim(&mut self) -> QueryResult<()> {
        self.take_back().await;
        // A `BEGIN` or `ROLLBACK` was sent and nobody saw what became of it: the server and the
        // transaction manager may disagree, so nothing must be built on it.
        if self.slot.as_ref().is_some_and(|checkout| checkout.in_control) {
            self.slot = None;
            // In an open transaction another connection cannot take its place: what comes next would
            // be committed without what came before.
            self.lost_in_transaction = self.in_frame();
        }
        if self.lost_in_transaction {
            return Err(BrokenTransactionManager);
        }
        if self.slot.is_none() {
            let mut checkout = self.db.0.checkout().await?;
            self.found_open = checkout.in_transaction();
            (self.in_test_transaction, self.out_of_hand) = (false, false);
            self.slot = Some(checkout);
            self.sync_frames();
        }
        Ok(())
    }

    /// Waits for a task that has the connection.
    async fn take_back(&mut self) {
        if let Some(returning) = &mut self.returning {
            // If the task died or gave it up, whatever was open on it is rolled back.
            self.slot = returning.await.ok();
            self.returning = None;
            self.sync_frames();
        }
    }

    /// Lends the connection to a task that runs to its end even if this future is dropped, and gives
    /// the connection back unless it is lost.
    pub(crate) async fn lend<R, F, Task>(&mut self, task: Task) -> QueryResult<R>
    where
        R: Send + 'static,
        Task: FnOnce(Db<B>, Checkout<B>) -> F,
        F: Future<Output = (Option<Checkout<B>>, QueryResult<R>)> + Send + 'static,
    {
        self.reclaim().await?;
        let checkout = self.slot.take().ok_or_else(lost)?;
        let (give_back, returning) = oneshot::channel();
        self.returning = Some(returning);
        let db = self.db.clone();
        let task = task(db.clone(), checkout);
        let owned = async move {
            let (checkout, result) = task.await;
            if let Some(checkout) = checkout {
                // If nobody waits any more, the pool gets it.
                let _ = give_back.send(checkout);
            }
            if db.0.keeper.is_forgotten() {
                // Not waited for: it may need the very connection that was at work here.
                let task_db = db.clone();
                db.0.tasks.spawn(async move { task_db.0.check_catalog().await });
            }
            result
        };
        let result = Detached::new(owned, &self.db.0.tasks).await;
        self.take_back().await;
        result
    }

    /// The number of the open transaction, if it is known to be still the same.
    pub(crate) fn number(&self) -> Option<i64> {
        self.number.filter(|_| !self.out_of_hand)
    }

    /// A transaction or savepoint has begun.
    pub(crate) fn begin_frame(&mut self) {
        if !self.in_frame() {
            self.begun_under = self.db.0.keeper.edition();
            (self.number, self.told) = (None, None);
            self.suspects_catalog = false;
        }
        self.frames().begin();
        self.sync_frames();
    }

    /// The innermost transaction or savepoint is known to have been rolled back, so what it wrote
    /// has never happened.
    pub(crate) fn roll_back_frame(&mut self) {
        if !self.out_of_hand {
            self.frames().roll_back();
        }
        self.sync_frames();
    }

    /// Gives up one level of a transaction whose connection was lost.
    pub(crate) fn give_up_frame(&mut self) {
        self.frames().roll_back();
        self.lost_in_transaction = self.in_frame();
        self.tell_rollback();
    }

    /// Tells what became of a transaction that was rolled back, or lost before its `COMMIT`, if it was
    /// not only a savepoint.
    pub(crate) fn tell_rollback(&mut self) {
        if !self.in_frame() {
            self.told = Some(watch::channel(self.outcome_of_rollback()).1);
        }
    }

    /// What has become of a transaction if what is open of it now is rolled back.
    pub(crate) fn outcome_of_rollback(&self) -> CommitOutcome {
        match self.out_of_hand {
            // Parts of it may have been committed.
            true => CommitOutcome::Unknown,
            false => CommitOutcome::Aborted,
        }
    }

    /// Brings the frames in line with what the transaction manager says is open, and publishes what
    /// ended without having been published. Called whenever a transaction may have begun or ended.
    pub(crate) fn sync_frames(&mut self) {
        // A broken manager's connection is closed, which rolls back: nothing is open.
        let depth = self.status_at_hand().transaction_depth().ok().flatten();
        let depth = depth.map_or(0, |depth| depth.get() as usize);
        self.found_open &= depth > 0;
        let ours = depth.saturating_sub(usize::from(self.found_open));
        let ended = self.frames().settle(ours);
        if ended != Effect::Nothing {
            let same_catalog = self.db.0.keeper.edition() == self.begun_under;
            let slots = if same_catalog { ended.slots() } else { &[Slot::ALL] };
            self.db.0.stamps.change(slots.iter().copied());
        }
        if ended.changes_schema() {
            self.db.0.keeper.forget();
        }
        if ours == 0 {
            (self.in_test_transaction, self.names_changed) = (false, false);
        }
    }

    /// The status of the connection; if a task has it, that of a broken one.
    pub(crate) fn status(&mut self) -> &mut TransactionManagerStatus {
        if let Some(returning) = &mut self.returning
            && let Ok(checkout) = returning.try_recv()
        {
            self.slot = Some(checkout);
            self.returning = None;
            self.sync_frames();
        }
        self.status_at_hand()
    }

    fn status_at_hand(&mut self) -> &mut TransactionManagerStatus {
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
    unable_to_send(
        "the connection is with a task that has not returned it, or a statement on it was dropped: \
         use it through `&mut Connection` next"
            .to_owned(),
    )
}

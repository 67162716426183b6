//! Futures that go on when nobody waits for them any more.
//!
//! A write that was sent must be seen to its end, whoever waits: only then is its mark lifted and its
//! connection given back. So while its caller polls it runs there, which costs no more than running it,
//! and if the caller's future is dropped the rest of it runs in a task of its own.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

type Boxed<R> = Pin<Box<dyn Future<Output = R> + Send>>;

/// A future that is moved to a task when it is dropped before its end.
pub(crate) struct Detached<R: Send + 'static> {
    /// `None` once it has ended, or has panicked.
    rest: Option<Boxed<R>>,
    /// Counts among the tasks that are waited for at the end, whoever polls.
    token: Option<TaskTrackerToken>,
    /// `None` outside of a runtime, where there are no tasks.
    runtime: Option<Handle>,
}

impl<R: Send + 'static> Detached<R> {
    pub(crate) fn new(
        future: impl Future<Output = R> + Send + 'static,
        tasks: &TaskTracker,
    ) -> Self {
        let runtime = Handle::try_current().ok();
        Self { rest: Some(Box::pin(future)), token: Some(tasks.token()), runtime }
    }
}

impl<R: Send + 'static> Future for Detached<R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        // Taken out, so that what panics is dropped and not polled again by a task.
        let mut rest = self.rest.take().expect("it is not polled after its end");
        let polled = rest.as_mut().poll(context);
        if polled.is_pending() {
            self.rest = Some(rest);
        }
        polled
    }
}

impl<R: Send + 'static> Drop for Detached<R> {
    fn drop(&mut self) {
        let (Some(rest), Some(runtime)) = (self.rest.take(), &self.runtime) else { return };
        let token = self.token.take();
        // A runtime that is shutting down drops it at once.
        runtime.spawn(async move {
            let _token = token;
            rest.await;
        });
    }
}

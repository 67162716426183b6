//! Statements that write, as values that a task can own.

use std::future::Future;

use diesel::QueryResult;
use diesel_async::{AsyncConnectionCore, SimpleAsyncConnection};
use futures_util::TryStreamExt;

use crate::backend::Backend;

/// A statement and what its answer is.
pub(crate) trait Statement<B: Backend>: Send + 'static {
    type Answer: Send + 'static;

    fn run(self, raw: &mut B::Raw) -> impl Future<Output = QueryResult<Self::Answer>> + Send;
}

/// Executed for the number of rows it touched.
pub(crate) struct Count<B: Backend>(pub(crate) B::OwnedQuery);

impl<B: Backend> Statement<B> for Count<B> {
    type Answer = usize;

    async fn run(self, raw: &mut B::Raw) -> QueryResult<usize> {
        AsyncConnectionCore::execute_returning_count(raw, self.0).await
    }
}

/// Executed for its rows. They are collected: the write is only done when the last has arrived.
pub(crate) struct Collect<B: Backend>(pub(crate) B::OwnedQuery);

impl<B: Backend> Statement<B> for Collect<B> {
    type Answer = Vec<B::Row>;

    async fn run(self, raw: &mut B::Raw) -> QueryResult<Vec<B::Row>> {
        B::load_live(raw, self.0).await?.try_collect().await
    }
}

/// Several statements in one text, without binds.
pub(crate) struct Batch(pub(crate) String);

impl<B: Backend> Statement<B> for Batch {
    type Answer = ();

    async fn run(self, raw: &mut B::Raw) -> QueryResult<()> {
        raw.batch_execute(&self.0).await
    }
}

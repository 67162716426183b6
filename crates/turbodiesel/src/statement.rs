//! Statements that write, as values that a task can own.

use std::future::Future;

use diesel::QueryResult;
use diesel_async::{AsyncConnectionCore, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use turbodiesel_cache::Stamps;

use crate::{
    backend::Backend,
    shape::Captured,
    tags::{Learning, Slots},
};

/// A statement and what its answer is.
pub(crate) trait Statement<B: Backend>: Send + Sized + 'static {
    type Answer: Send + 'static;

    /// The binds that tell what it writes, if it has any.
    fn binds(&self) -> Option<&B::Binds>;

    /// The same statement, to be executed once more, where it can be had.
    fn again(&self) -> Option<Self>;

    /// Runs it, and learns on the way what it touched.
    fn run(
        self,
        raw: &mut B::Raw,
        learn: Learn<'_>,
    ) -> impl Future<Output = QueryResult<Ran<Self::Answer>>> + Send;
}

/// What is to be learnt from a statement, if anything, and where the slots are.
#[derive(Clone, Copy)]
pub(crate) struct Learn<'l> {
    pub(crate) learning: Option<&'l Learning>,
    pub(crate) stamps: &'l Stamps,
    /// Whether to ask for the number of the open transaction.
    pub(crate) number: bool,
}

/// A statement that has run.
pub(crate) struct Ran<A> {
    pub(crate) answer: A,
    /// What it touched, as far as that was to be learnt. `None` if it was not.
    pub(crate) learnt: Option<Slots>,
    /// The number of its transaction, if it was asked for and is known.
    pub(crate) number: Option<i64>,
}

/// Executed for the number of rows it touched.
pub(crate) struct Count<B: Backend>(pub(crate) Captured<B>);

impl<B: Backend> Statement<B> for Count<B> {
    type Answer = usize;

    fn binds(&self) -> Option<&B::Binds> {
        Some(self.0.binds())
    }

    fn again(&self) -> Option<Self> {
        self.0.again().map(Self)
    }

    async fn run(self, raw: &mut B::Raw, learn: Learn<'_>) -> QueryResult<Ran<usize>> {
        if learn.learning.is_some() {
            let Ran { answer, learnt, number } = Collect(self.0).run(raw, learn).await?;
            return Ok(Ran { answer: answer.len(), learnt, number });
        }
        let query = self.0.into_query();
        let (answer, number) = match learn.number {
            true => B::execute_in_transaction(raw, query).await,
            false => (AsyncConnectionCore::execute_returning_count(raw, query).await, None),
        };
        Ok(Ran { answer: answer?, learnt: None, number })
    }
}

/// Executed for its rows. They are collected: the write is only done when the last has arrived.
pub(crate) struct Collect<B: Backend>(pub(crate) Captured<B>);

impl<B: Backend> Statement<B> for Collect<B> {
    type Answer = Vec<B::Row>;

    fn binds(&self) -> Option<&B::Binds> {
        Some(self.0.binds())
    }

    fn again(&self) -> Option<Self> {
        self.0.again().map(Self)
    }

    async fn run(self, raw: &mut B::Raw, learn: Learn<'_>) -> QueryResult<Ran<Vec<B::Row>>> {
        let Learn { learning, stamps, number } = learn;
        let query = match learning {
            Some(learning) => self.0.into_telling_query(learning),
            None => self.0.into_query(),
        };
        let (mut rows, number): (Vec<B::Row>, _) = match number {
            true => {
                let (rows, number) = B::load_in_transaction(raw, query).await;
                (rows?, number)
            }
            false => (B::load_live(raw, query).await?.try_collect().await?, None),
        };
        let learnt = learning.and_then(|learning| {
            let learnt = learning.learn::<B>(&rows, stamps);
            rows.iter_mut().for_each(|row| B::hide_columns(row, learning.appended()));
            learnt
        });
        Ok(Ran { answer: rows, learnt, number })
    }
}

/// Several statements in one text, without binds.
pub(crate) struct Batch(pub(crate) String);

impl<B: Backend> Statement<B> for Batch {
    type Answer = ();

    fn binds(&self) -> Option<&B::Binds> {
        None
    }

    fn again(&self) -> Option<Self> {
        Some(Self(self.0.clone()))
    }

    async fn run(self, raw: &mut B::Raw, _learn: Learn<'_>) -> QueryResult<Ran<()>> {
        raw.batch_execute(&self.0).await?;
        Ok(Ran { answer: (), learnt: None, number: None })
    }
}

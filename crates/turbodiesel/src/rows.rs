//! The stream of rows that a query returns, wherever they come from.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use diesel::QueryResult;
use futures_core::Stream;
use futures_util::{StreamExt, stream::BoxStream};

use crate::{backend::Backend, pool::Checkout};

/// Rows of an answer: from the cache, from a finished write, or as they arrive.
pub struct Rows<B: Backend>(Source<B>);

enum Source<B: Backend> {
    Answer { answer: Arc<B::Answer>, next: usize },
    Collected(vec::IntoIter<B::Row>),
    // The stream is declared first, so that it is dropped before its connection returns to the pool.
    Live { rows: BoxStream<'static, QueryResult<B::Row>>, _connection: Option<Checkout<B>> },
}

impl<B: Backend> Rows<B> {
    pub(crate) fn answer(answer: Arc<B::Answer>) -> Self {
        Self(Source::Answer { answer, next: 0 })
    }

    pub(crate) fn collected(rows: Vec<B::Row>) -> Self {
        Self(Source::Collected(rows.into_iter()))
    }

    pub(crate) fn live(
        rows: BoxStream<'static, QueryResult<B::Row>>,
        connection: Option<Checkout<B>>,
    ) -> Self {
        Self(Source::Live { rows, _connection: connection })
    }
}

impl<B: Backend> Unpin for Rows<B> {}

impl<B: Backend> Stream for Rows<B> {
    type Item = QueryResult<B::Row>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            Source::Answer { answer, next } => {
                let row = B::row(answer, *next);
                *next += 1;
                Poll::Ready(row.map(Ok))
            }
            Source::Collected(rows) => Poll::Ready(rows.next().map(Ok)),
            Source::Live { rows, .. } => rows.poll_next_unpin(context),
        }
    }
}

impl<B: Backend> fmt::Debug for Rows<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.0 {
            Source::Answer { .. } => "Answer",
            Source::Collected(_) => "Collected",
            Source::Live { .. } => "Live",
        };
        f.debug_tuple("Rows").field(&source).finish()
    }
}

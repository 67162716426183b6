//! The stream of rows that a query returns, wherever they come from.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
    vec,
};

use diesel::QueryResult;
use futures_core::Stream;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};

use turbodiesel_core::Outcome;
use turbodiesel_optimizer::Ended;

use crate::{backend::Backend, observe, pool::Checkout};

/// Rows of an answer: from the cache, from a finished write, or as they arrive.
pub struct Rows<B: Backend>(Source<B>);

enum Source<B: Backend> {
    /// The answer is there until its last row is handed out.
    Answer {
        answer: Option<Arc<B::Answer>>,
        next: usize,
    },
    Collected(vec::IntoIter<B::Row>),
    Live(Live<B>),
}

/// Rows as they arrive, and the connection that they come over unless the caller holds it.
struct Live<B: Backend> {
    rows: BoxStream<'static, QueryResult<B::Row>>,
    observation: observe::Begun,
    /// Whether a row was asked for and has not come.
    is_awaited: bool,
    /// Boxed, because a hit, which has none, moves the whole several times.
    connection: Option<Box<Checkout<B>>>,
}

impl<B: Backend> Rows<B> {
    pub(crate) fn answer(answer: Arc<B::Answer>) -> Self {
        Self(Source::Answer { answer: Some(answer), next: 0 })
    }

    pub(crate) fn collected(rows: Vec<B::Row>) -> Self {
        Self(Source::Collected(rows.into_iter()))
    }

    pub(crate) fn live(
        rows: BoxStream<'static, QueryResult<B::Row>>,
        mut connection: Option<Checkout<B>>,
    ) -> Self {
        if let Some(connection) = &mut connection {
            // Until the last row has arrived.
            connection.start();
        }
        let connection = connection.map(Box::new);
        Self(Source::Live(Live { rows, observation: None, is_awaited: false, connection }))
    }

    /// Records the statement that these are the rows of: at once if they are all there, and otherwise
    /// when they have been read.
    pub(crate) fn observed(mut self, observation: observe::Begun, outcome: Outcome) -> Self {
        let Some(mut observation) = observation else { return self };
        match &mut self.0 {
            Source::Answer { answer, .. } => {
                let rows = answer.as_deref().map_or(0, B::row_count);
                let row = |index| answer.clone().map(|answer| B::row(answer, index));
                observation.answer::<B, _>(rows, row);
            }
            Source::Collected(rows) => observation.rows::<B, _>(rows.as_slice()),
            Source::Live(live) => {
                live.observation = Some(observation);
                return self;
            }
        }
        match outcome.is_served_from_cache() {
            true => observation.end_as_hit(),
            false => observation.end(Ended::Done),
        }
        self
    }
}

impl<B: Backend> Live<B> {
    fn observe(&mut self, row: &Option<QueryResult<B::Row>>) {
        let Some(observation) = &mut self.observation else { return };
        if let Some(Ok(row)) = row {
            observation.row::<B, _>(row);
            return;
        }
        let ended = if row.is_none() { Ended::Done } else { Ended::Failed };
        self.observation.take().into_iter().for_each(|observation| observation.end(ended));
    }

    /// The last row has arrived: the connection may be used again.
    fn end(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            let _ = connection.finish(Ok(()));
        }
    }
}

/// How long a stream that was left in the middle is given to end by itself. `first()` leaves every
/// stream, mostly when nothing but its end is to come.
const GRACE: Duration = Duration::from_millis(100);

/// How many rows of such a stream are read where it is dropped.
const READ_AT_ONCE: usize = 16;

impl<B: Backend> Drop for Live<B> {
    /// Leaves the connection busy, to be closed and the statement cancelled, unless the stream ends
    /// soon: nobody else should wait for what is still to come.
    fn drop(&mut self) {
        // Who waits for a row and is dropped was cancelled. Who does not has seen enough.
        let observation = self.observation.take().filter(|_| !self.is_awaited);
        if let Some(observation) = observation {
            let next = self.rows.poll_next_unpin(&mut Context::from_waker(Waker::noop()));
            let is_unread = matches!(next, Poll::Ready(Some(Ok(_))));
            observation.end(if is_unread { Ended::Unread } else { Ended::Done });
            if next.is_ready() && !is_unread {
                self.end();
            }
        }
        // What has arrived already costs nothing to read, and mostly includes the end.
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..READ_AT_ONCE {
            if self.connection.is_none() {
                return;
            }
            match self.rows.poll_next_unpin(&mut context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => self.end(),
                Poll::Pending => break,
            }
        }
        let Some(mut connection) = self.connection.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut rows = std::mem::replace(&mut self.rows, stream::empty().boxed());
        runtime.spawn(async move {
            let drained = async { while let Some(Ok(_)) = rows.next().await {} };
            if tokio::time::timeout(GRACE, drained).await.is_ok() {
                let _ = connection.finish(Ok(()));
            }
        });
    }
}

impl<B: Backend> Unpin for Rows<B> {}

impl<B: Backend> Stream for Rows<B> {
    type Item = QueryResult<B::Row>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            Source::Answer { answer, next } => {
                let rows = answer.as_deref().map_or(0, B::row_count);
                if *next == rows {
                    return Poll::Ready(None);
                }
                let index = *next;
                *next += 1;
                // The last row takes the answer with it, since most answers have no other.
                let answer = if *next < rows { answer.clone() } else { answer.take() };
                Poll::Ready(answer.map(|answer| Ok(B::row(answer, index))))
            }
            Source::Collected(rows) => Poll::Ready(rows.next().map(Ok)),
            Source::Live(live) => {
                live.is_awaited = true;
                let row = ready!(live.rows.poll_next_unpin(context));
                live.is_awaited = false;
                live.observe(&row);
                if !matches!(row, Some(Ok(_))) {
                    live.end();
                }
                Poll::Ready(row)
            }
        }
    }
}

impl<B: Backend> fmt::Debug for Rows<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.0 {
            Source::Answer { .. } => "Answer",
            Source::Collected(_) => "Collected",
            Source::Live(_) => "Live",
        };
        f.debug_tuple("Rows").field(&source).finish()
    }
}

//! `Handle`: a `Db` with options of its own.

use std::{fmt, panic::Location};

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AsQuery, QueryFragment, QueryId},
};
use diesel_async::{AsyncConnectionCore, SimpleAsyncConnection};
use futures_core::future::BoxFuture;
use turbodiesel_core::Outcome;

use crate::{
    backend::Backend,
    db::Db,
    explain::Explanation,
    options::{ReadOptions, read_options},
    read::Load,
    rows::Rows,
    write,
};

/// A diesel-async connection that is served by the cache, with options for its queries.
///
/// A handle is lazy: it takes a pool connection only for a statement that the cache cannot answer,
/// and gives it back after. So statements that need one session — transaction control, `SET`,
/// `LISTEN` — are refused with an error that names [`Db::transaction`] and [`Db::connection`].
///
/// ```no_run
/// use std::time::Duration;
/// use diesel::prelude::*;
/// use diesel_async::RunQueryDsl;
/// use turbodiesel::{Db, Tier};
/// # diesel::table! { users { id -> Integer, name -> Text } }
///
/// # async fn example(db: Db) -> QueryResult<()> {
/// let mut handle = db.handle().tier(Tier::L3).max_age(Duration::from_secs(30));
/// let count: i64 = users::table.count().get_result(&mut handle).await?;
/// println!("{count} users ({})", handle.outcome().unwrap());
///
/// // Past the cache, for once:
/// let count: i64 = users::table.count().get_result(&mut db.handle().bypass()).await?;
/// # Ok(())
/// # }
/// ```
pub struct Handle<B: Backend = Pg> {
    db: Db<B>,
    options: ReadOptions,
    outcome: Option<Outcome>,
    /// Where it was made, which is mostly where its queries are asked.
    site: &'static Location<'static>,
}

impl<B: Backend> Handle<B> {
    #[track_caller]
    pub(crate) fn new(db: Db<B>) -> Self {
        Self { db, options: ReadOptions::default(), outcome: None, site: Location::caller() }
    }

    /// How the last query for rows was answered; `None` if there was none, if it failed, or if the
    /// last statement was executed for its count.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Explains how a query would be answered with these options, without running it: see
    /// [`Explanation`].
    ///
    /// # Errors
    ///
    /// If the query cannot be rendered or its binds cannot be serialised.
    pub fn explain<Q>(&self, query: &Q) -> QueryResult<Explanation>
    where
        Q: QueryFragment<B> + QueryId,
    {
        Explanation::of(&self.db, &self.options, query)
    }

    /// The `Db` behind it.
    #[must_use]
    pub fn db(&self) -> &Db<B> {
        &self.db
    }
}

read_options!(Handle);

impl<B: Backend> SimpleAsyncConnection for Handle<B> {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        write::batch(&self.db, query).await
    }
}

impl<B: Backend> AsyncConnectionCore for Handle<B> {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = Load<'conn, B>;
    type Stream<'conn, 'query> = Rows<B>;
    type Row<'conn, 'query> = B::Row;
    type Backend = B;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<B> + QueryId + 'query,
    {
        self.outcome = None;
        let outcome = Some(&mut self.outcome);
        Load::new(&self.db, &self.options, outcome, Some(self.site), &source.as_query())
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<B> + QueryId + 'query,
    {
        self.outcome = None;
        let captured = self.db.0.shapes.capture(&source, &self.options);
        write::execute(&self.db, captured, Some(self.site))
    }
}

impl<B: Backend> fmt::Debug for Handle<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("options", &self.options)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

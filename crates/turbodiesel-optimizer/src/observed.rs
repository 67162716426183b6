//! `Observed`: any diesel-async connection, whose statements are recorded in the current scope.
//!
//! Diesel's `Instrumentation` cannot do this: it sees neither rows nor ends of streams, on SQLite it
//! runs on another thread, and of a dropped future it sees a beginning without an end. So the futures
//! and streams themselves are wrapped.

use std::{
    any::TypeId,
    fmt,
    future::Future,
    marker::PhantomData,
    panic::Location,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker, ready},
};

use diesel::{
    ConnectionResult, QueryResult,
    connection::{CacheSize, Instrumentation, TransactionManagerStatus},
    query_builder::{AsQuery, QueryBuilder, QueryFragment, QueryId},
    row::Row,
};
use diesel_async::{
    AsyncConnection, AsyncConnectionCore, SimpleAsyncConnection, TransactionManager,
};
use futures_core::Stream;
use pin_project_lite::pin_project;
use quick_cache::sync::Cache;

use crate::{
    Asked, ObservedBackend, Statement,
    scope::{Ended, Observation, is_observed, record_unknown},
};

/// A diesel-async connection whose statements are recorded in the scope of the task that executes
/// them.
///
/// It is a connection like the one within: transactions and prepared statements are that one's. Outside
/// of a scope it adds a look at a task local to each statement. What is pipelined through a shared
/// reference to the connection within, or runs on it directly, is not recorded.
///
/// ```no_run
/// use diesel::prelude::*;
/// use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
/// use turbodiesel_optimizer::{Observed, Thresholds, scope};
/// # diesel::table! { users { id -> Integer, name -> Text } }
/// # diesel::table! { posts { id -> Integer, user_id -> Integer } }
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let connection = AsyncPgConnection::establish("postgres://localhost/blog").await?;
/// let mut connection = Observed::new(connection);
/// let (result, recorded) = scope(async {
///     for id in users::table.select(users::id).load::<i32>(&mut connection).await? {
///         let posts = posts::table.filter(posts::user_id.eq(id)).count();
///         let count: i64 = posts.get_result(&mut connection).await?;
///     }
///     QueryResult::Ok(())
/// })
/// .await;
/// // A count loop, with the query that gave it its ids, and the one query that replaces it.
/// println!("{}", recorded.findings(&Thresholds::tests()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Observed<C> {
    inner: C,
    site: Option<&'static Location<'static>>,
    /// How many transactions and savepoints are open through this.
    depth: u32,
}

impl<C> Observed<C> {
    /// Observes a connection.
    #[must_use]
    pub fn new(inner: C) -> Self {
        Self { inner, site: None, depth: 0 }
    }

    /// Says where the next queries are asked: at the place of this call.
    ///
    /// ```no_run
    /// # use diesel::prelude::*;
    /// # use diesel_async::{AsyncPgConnection, RunQueryDsl};
    /// # use turbodiesel_optimizer::Observed;
    /// # diesel::table! { users { id -> Integer, name -> Text } }
    /// # async fn f(connection: &mut Observed<AsyncPgConnection>) -> QueryResult<()> {
    /// let name: String = users::table.select(users::name).first(connection.here()).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn here(&mut self) -> &mut Self {
        self.site = Some(Location::caller());
        self
    }

    /// The connection, unobserved.
    pub fn get_mut(&mut self) -> &mut C {
        &mut self.inner
    }

    /// The connection, unobserved.
    #[must_use]
    pub fn into_inner(self) -> C {
        self.inner
    }

    fn observe<B, Q>(&self, query: &Q) -> Option<Observation>
    where
        B: ObservedBackend,
        Q: QueryFragment<B> + QueryId,
    {
        if !is_observed() {
            return None;
        }
        // What cannot be rendered fails by itself in a moment.
        let statement = statement(query).ok()?;
        let binds = B::binds(query).ok()?;
        let in_transaction = self.depth > 0;
        let site = self.site;
        Observation::begin(Asked { statement: &statement, binds: &binds, site, in_transaction })
    }
}

impl<C> fmt::Debug for Observed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("depth", &self.depth).finish_non_exhaustive()
    }
}

/// How many types of queries are remembered.
const REMEMBERED: usize = 4_096;

/// The statement of a query: by its type, where Diesel's types tell statements apart, and by its text
/// otherwise.
fn statement<B, Q>(query: &Q) -> QueryResult<Arc<Statement>>
where
    B: ObservedBackend,
    Q: QueryFragment<B> + QueryId,
{
    static KNOWN: LazyLock<Cache<(TypeId, TypeId), Arc<Statement>>> =
        LazyLock::new(|| Cache::new(REMEMBERED));
    let backend = B::default();
    let id = match query.is_safe_to_cache_prepared(&backend)? {
        true => Q::query_id().map(|query| (TypeId::of::<B>(), query)),
        false => None,
    };
    if let Some(statement) = id.and_then(|id| KNOWN.get(&id)) {
        return Ok(statement);
    }
    let mut sql = B::QueryBuilder::default();
    query.to_sql(&mut sql, &backend)?;
    let statement = Statement::of(&sql.finish());
    if let Some(id) = id {
        KNOWN.insert(id, Arc::clone(&statement));
    }
    Ok(statement)
}

impl<C> SimpleAsyncConnection for Observed<C>
where
    C: SimpleAsyncConnection + Send,
{
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        let asked = |statement: &Arc<Statement>| {
            let in_transaction = self.depth > 0;
            Observation::begin(Asked { statement, binds: &[], site: self.site, in_transaction })
        };
        let observation = is_observed().then(|| asked(&Statement::of(query))).flatten();
        let result = self.inner.batch_execute(query).await;
        end(observation, &result);
        result
    }
}

fn end<T>(observation: Option<Observation>, result: &QueryResult<T>) {
    if let Some(observation) = observation {
        observation.end(if result.is_ok() { Ended::Done } else { Ended::Failed });
    }
}

impl<C> AsyncConnectionCore for Observed<C>
where
    C: AsyncConnectionCore,
    C::Backend: ObservedBackend,
{
    type ExecuteFuture<'conn, 'query> = ObservedExecute<C::ExecuteFuture<'conn, 'query>>;
    type LoadFuture<'conn, 'query> = ObservedLoad<'conn, C::LoadFuture<'conn, 'query>, C::Backend>;
    type Stream<'conn, 'query> = ObservedRows<'conn, C::Stream<'conn, 'query>, C::Backend>;
    type Row<'conn, 'query> = C::Row<'conn, 'query>;
    type Backend = C::Backend;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<C::Backend> + QueryId + 'query,
    {
        let query = source.as_query();
        let observation = self.observe(&query);
        let future = self.inner.load(query);
        ObservedLoad { future, observation, is_started: false, marker: PhantomData }
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<C::Backend> + QueryId + 'query,
    {
        let observation = self.observe(&source);
        let future = self.inner.execute_returning_count(source);
        ObservedExecute { future, observation, is_started: false }
    }
}

pin_project! {
    /// The future of a statement that is executed for its count.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct ObservedExecute<F> {
        #[pin]
        future: F,
        observation: Option<Observation>,
        is_started: bool,
    }
}

impl<F> Future for ObservedExecute<F>
where
    F: Future<Output = QueryResult<usize>>,
{
    type Output = QueryResult<usize>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        start(this.observation, this.is_started);
        let result = ready!(this.future.poll(context));
        let mut observation = this.observation.take();
        if let (Some(observation), Ok(count)) = (&mut observation, &result) {
            observation.touched(*count);
        }
        end(observation, &result);
        Poll::Ready(result)
    }
}

/// A statement is under way from the first poll on, and belongs to the scope that is current then.
fn start(observation: &mut Option<Observation>, is_started: &mut bool) {
    if std::mem::replace(is_started, true) {
        return;
    }
    match observation.take() {
        Some(described) => *observation = described.start(),
        None => record_unknown(),
    }
}

pin_project! {
    /// The future of a query.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct ObservedLoad<'conn, F, B> {
        #[pin]
        future: F,
        observation: Option<Observation>,
        is_started: bool,
        marker: PhantomData<fn() -> (&'conn (), B)>,
    }
}

impl<'conn, F, S, B> Future for ObservedLoad<'conn, F, B>
where
    F: Future<Output = QueryResult<S>>,
    S: Stream,
{
    type Output = QueryResult<ObservedRows<'conn, S, B>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        start(this.observation, this.is_started);
        let result = ready!(this.future.poll(context));
        let observation = this.observation.take();
        Poll::Ready(match result {
            Ok(rows) => {
                Ok(ObservedRows { rows, observation, is_awaited: false, marker: PhantomData })
            }
            Err(error) => {
                let error = Err(error);
                end(observation, &error);
                error
            }
        })
    }
}

pin_project! {
    /// The rows of a query, which are looked at in passing.
    pub struct ObservedRows<'conn, S, B>
    where
        S: Stream,
    {
        #[pin]
        rows: S,
        observation: Option<Observation>,
        // Whether a row was asked for and has not come.
        is_awaited: bool,
        marker: PhantomData<fn() -> (&'conn (), B)>,
    }

    impl<'conn, S, B> PinnedDrop for ObservedRows<'conn, S, B>
    where
        S: Stream,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // Who waits for a row and is dropped was cancelled. Who does not has seen enough.
            let Some(observation) = this.observation.take().filter(|_| !*this.is_awaited) else {
                return;
            };
            let mut context = Context::from_waker(Waker::noop());
            let is_unread = matches!(this.rows.poll_next(&mut context), Poll::Ready(Some(_)));
            observation.end(if is_unread { Ended::Unread } else { Ended::Done });
        }
    }
}

impl<'conn, S, R, B> Stream for ObservedRows<'conn, S, B>
where
    S: Stream<Item = QueryResult<R>>,
    R: Row<'conn, B>,
    B: ObservedBackend,
{
    type Item = QueryResult<R>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        *this.is_awaited = true;
        let row = ready!(this.rows.poll_next(context));
        *this.is_awaited = false;
        match &row {
            Some(Ok(row)) => {
                if let Some(observation) = this.observation {
                    observation.row(row);
                }
            }
            Some(Err(_)) => {
                this.observation.take().into_iter().for_each(|it| it.end(Ended::Failed))
            }
            None => this.observation.take().into_iter().for_each(|it| it.end(Ended::Done)),
        }
        Poll::Ready(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

macro_rules! debug {
    ($($name:ident<$($parameter:tt),+> $(where $bound:ident: $trait:ident)?;)+) => {
        $(impl<$($parameter),+> fmt::Debug for $name<$($parameter),+> $(where $bound: $trait)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        })+
    };
}

debug! {
    ObservedExecute<F>;
    ObservedLoad<'c, F, B>;
    ObservedRows<'c, S, B> where S: Stream;
}

impl<C> AsyncConnection for Observed<C>
where
    C: AsyncConnection,
    C::Backend: ObservedBackend,
{
    type TransactionManager = ObservedTransactions<C::TransactionManager>;

    async fn establish(database_url: &str) -> ConnectionResult<Self> {
        C::establish(database_url).await.map(Self::new)
    }

    async fn begin_test_transaction(&mut self) -> QueryResult<()> {
        self.inner.begin_test_transaction().await?;
        self.depth += 1;
        Ok(())
    }

    fn transaction_state(
        &mut self,
    ) -> &mut <Self::TransactionManager as TransactionManager<Self>>::TransactionStateData {
        self.inner.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.inner.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.inner.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.inner.set_prepared_statement_cache_size(size);
    }
}

/// The transactions of the connection within, which are not statements of the application's.
pub struct ObservedTransactions<M>(PhantomData<M>);

impl<M> fmt::Debug for ObservedTransactions<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObservedTransactions")
    }
}

impl<C, M> TransactionManager<Observed<C>> for ObservedTransactions<M>
where
    C: AsyncConnection<TransactionManager = M>,
    C::Backend: ObservedBackend,
    M: TransactionManager<C>,
{
    type TransactionStateData = M::TransactionStateData;

    async fn begin_transaction(connection: &mut Observed<C>) -> QueryResult<()> {
        M::begin_transaction(&mut connection.inner).await?;
        connection.depth += 1;
        Ok(())
    }

    async fn rollback_transaction(connection: &mut Observed<C>) -> QueryResult<()> {
        connection.depth = connection.depth.saturating_sub(1);
        M::rollback_transaction(&mut connection.inner).await
    }

    async fn commit_transaction(connection: &mut Observed<C>) -> QueryResult<()> {
        M::commit_transaction(&mut connection.inner).await?;
        connection.depth = connection.depth.saturating_sub(1);
        Ok(())
    }

    fn transaction_manager_status_mut(
        connection: &mut Observed<C>,
    ) -> &mut TransactionManagerStatus {
        M::transaction_manager_status_mut(&mut connection.inner)
    }

    fn is_broken_transaction_manager(connection: &mut Observed<C>) -> bool {
        M::is_broken_transaction_manager(&mut connection.inner)
    }
}

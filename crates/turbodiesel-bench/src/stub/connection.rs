//! The stub's diesel-async connection.

use std::future::{Ready, ready};

use diesel::{
    ConnectionResult, QueryResult,
    connection::{CacheSize, Instrumentation, InstrumentationEvent},
    query_builder::{
        AsQuery, QueryBuilder, QueryFragment, QueryId, bind_collector::RawBytesBindCollector,
    },
};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, SimpleAsyncConnection,
    pooled_connection::PoolableConnection,
};
use futures_util::stream;

use super::{
    backend::{Stub, StubQueryBuilder},
    row::StubRow,
};

/// The URL of a connection that renders the SQL of each query and collects its binds, as
/// diesel-async's connection to PostgreSQL does.
pub(crate) const RENDERING: &str = "stub:rendering";

/// The URL of a connection that does not even look at the query.
pub(crate) const BARE: &str = "stub:bare";

/// A connection that answers everything with one row.
pub(crate) struct StubConnection {
    renders: bool,
    row: StubRow,
    transactions: AnsiTransactionManager,
    instrumentation: NoInstrumentation,
}

struct NoInstrumentation;

impl Instrumentation for NoInstrumentation {
    fn on_connection_event(&mut self, _event: InstrumentationEvent<'_>) {}
}

impl StubConnection {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            renders: url == RENDERING,
            row: StubRow::prepared(),
            transactions: AnsiTransactionManager::default(),
            instrumentation: NoInstrumentation,
        }
    }

    /// What a connection must do before it can send a query.
    fn send(&self, query: &impl QueryFragment<Stub>) -> QueryResult<()> {
        if self.renders {
            let mut sql = StubQueryBuilder::default();
            query.to_sql(&mut sql, &Stub)?;
            let mut binds = RawBytesBindCollector::<Stub>::new();
            query.collect_binds(&mut binds, &mut (), &Stub)?;
            let safe = query.is_safe_to_cache_prepared(&Stub)?;
            std::hint::black_box((sql.finish(), binds, safe));
        }
        Ok(())
    }
}

impl SimpleAsyncConnection for StubConnection {
    async fn batch_execute(&mut self, _query: &str) -> QueryResult<()> {
        Ok(())
    }
}

impl AsyncConnectionCore for StubConnection {
    type ExecuteFuture<'conn, 'query> = Ready<QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = Ready<QueryResult<Self::Stream<'conn, 'query>>>;
    type Stream<'conn, 'query> = stream::Once<Ready<QueryResult<StubRow>>>;
    type Row<'conn, 'query> = StubRow;
    type Backend = Stub;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Stub> + QueryId + 'query,
    {
        let sent = self.send(&source.as_query());
        ready(sent.map(|()| stream::once(ready(Ok(self.row.clone())))))
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Stub> + QueryId + 'query,
    {
        ready(self.send(&source).map(|()| 1))
    }
}

impl AsyncConnection for StubConnection {
    type TransactionManager = AnsiTransactionManager;

    async fn establish(url: &str) -> ConnectionResult<Self> {
        Ok(Self::new(url))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transactions
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        &mut self.instrumentation
    }

    fn set_instrumentation(&mut self, _instrumentation: impl Instrumentation) {}

    fn set_prepared_statement_cache_size(&mut self, _size: CacheSize) {}
}

impl PoolableConnection for StubConnection {}

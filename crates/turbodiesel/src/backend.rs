//! What a database must bring to be served: one sealed trait, implemented by Diesel's own backends.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use diesel::{
    QueryResult,
    query_builder::{Query, QueryFragment, QueryId},
    result::Error as DieselError,
    row::Row,
    sql_types::Untyped,
};
use diesel_async::{
    AsyncConnection, AsyncConnectionCore, SimpleAsyncConnection, TransactionManager,
    pooled_connection::PoolableConnection,
};
use futures_util::{TryStreamExt, stream::BoxStream};
use turbodiesel_core::{IdentityBuilder, PinRef, PinValue, Weigh};
use turbodiesel_optimizer::{Binds, ObservedBackend};
use turbodiesel_sql::Dialect;

use crate::{
    catalog::{Catalog, PinType, Signature},
    error::Error,
    settle::{Fate, Trace},
};

/// A database that turbodiesel can serve: [`Pg`](diesel::pg::Pg), and with the feature `sqlite`
/// [`Sqlite`](diesel::sqlite::Sqlite).
///
/// The trait is sealed: name it in bounds to write code over either.
///
/// ```
/// use turbodiesel::{Backend, Db};
///
/// fn hit_rate<B: Backend>(db: &Db<B>) -> Option<f64> {
///     db.stats().hit_rate()
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "turbodiesel does not serve the backend `{Self}`",
    note = "use `diesel::pg::Pg`, or `diesel::sqlite::Sqlite` with the feature `sqlite`"
)]
pub trait Backend: diesel::backend::Backend<QueryBuilder: Default> + Default + Internals {}

/// Under what a connection keeps a statement prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepare {
    /// It does not.
    Never,
    /// Its text and the types of its binds.
    ByText,
    /// The type of the query whose binds it has. The text must be that query's.
    ByType,
}

/// The sealed half of [`Backend`]: reachable in bounds, not by name.
pub trait Internals: ObservedBackend + Sized {
    /// The diesel-async connection underneath.
    type Raw: AsyncConnection<Backend = Self> + PoolableConnection + Send + 'static;
    /// How to reach the database.
    type Target: fmt::Debug + Send + Sync + 'static;
    /// Bind values, collected from a query and independent of it.
    type Binds: Send + 'static;
    /// A statement that owns its SQL and binds, and can be executed on any connection.
    type OwnedQuery: Query<SqlType = Untyped> + QueryFragment<Self> + QueryId + Send + 'static;
    /// A row handed to the application, cached or live.
    type Row: for<'a> Row<'a, Self> + Send + 'static;
    /// The rows of one answer as they are kept in the cache.
    type Answer: Weigh + Send + Sync + 'static;
    /// What the answers of one statement have in common and share.
    type Shared: fmt::Debug + Default + Send + Sync + 'static;

    /// The dialect in which statements are planned.
    const DIALECT: Dialect;

    /// Whether dropping the future of a statement waits for its end.
    const DROPPING_WAITS: bool;

    /// Whether a statement that fails has changed nothing. In SQLite, `INSERT OR FAIL` keeps what came
    /// before.
    const FAILED_IS_UNDONE: bool;

    /// Opens a connection and prepares its session.
    fn connect(target: &Self::Target) -> impl Future<Output = Result<Self::Raw, Error>> + Send;

    /// Parses a URL. PostgreSQL's sessions get the statement timeout.
    fn target(url: &str, statement_timeout: Duration) -> Result<Self::Target, Error>;

    /// Whether every connection would open a database of its own.
    fn is_private_to_a_connection(target: &Self::Target) -> bool;

    /// Asks the server to give up a statement that nobody waits for. Never blocks.
    fn cancel(raw: &Self::Raw, target: &Arc<Self::Target>);

    /// Describes the target without its secrets, for error messages.
    fn describe(target: &Self::Target) -> String;

    /// Collects the binds of a query and appends them to its identity.
    fn collect_binds<Q>(query: &Q, identity: &mut IdentityBuilder) -> QueryResult<Self::Binds>
    where
        Q: QueryFragment<Self> + QueryId + ?Sized;

    /// The same binds once more, where they can be had.
    fn binds_again(binds: &Self::Binds) -> Option<Self::Binds>;

    /// The hashes by which binds are compared with the cells of other answers.
    fn hash_binds(binds: &Self::Binds) -> Binds;

    /// A bind as a value of a key of this type. `None` if it is NULL, or if the database would compare
    /// it otherwise.
    fn bind_value(binds: &Self::Binds, index: usize, kind: PinType) -> Option<PinRef<'_>>;

    /// Hands out the elements of an array bind as values of a key of this type. False if there are
    /// more than `most`, or if one has no such value.
    fn bind_elements(
        binds: &Self::Binds,
        index: usize,
        kind: PinType,
        most: usize,
        each: &mut dyn FnMut(PinRef<'_>),
    ) -> bool;

    /// A cell as a value of a key of this type: within, `None` for NULL; `None` if it has no such
    /// value.
    fn cell_value(row: &Self::Row, column: usize, kind: PinType) -> Option<Option<PinValue>>;

    /// Hides the last columns of a row that came straight from the database.
    fn hide_columns(row: &mut Self::Row, hidden: usize);

    /// Joins SQL and binds to a statement; `prepare` keeps it prepared on its connection.
    fn owned_query(sql: Arc<str>, prepare: Prepare, binds: Self::Binds) -> Self::OwnedQuery;

    /// Loads rows as they come.
    fn load_live(
        raw: &mut Self::Raw,
        query: Self::OwnedQuery,
    ) -> impl Future<Output = QueryResult<BoxStream<'static, QueryResult<Self::Row>>>> + Send;

    /// Loads a whole answer of at most `limit` bytes, or hands back the rows read so far and the
    /// stream of those to come.
    fn load_answer(
        raw: &mut Self::Raw,
        query: Self::OwnedQuery,
        limit: usize,
        shared: &Self::Shared,
    ) -> impl Future<Output = QueryResult<Loaded<Self>>> + Send;

    /// How many rows an answer has.
    fn row_count(answer: &Self::Answer) -> usize;

    /// One of the rows of an answer.
    fn row(answer: Arc<Self::Answer>, index: usize) -> Self::Row;

    /// Executes a write of an open transaction for its count, and asks beside it for the number that
    /// the server gave to the transaction. Without a server there is none.
    fn execute_in_transaction(
        raw: &mut Self::Raw,
        query: Self::OwnedQuery,
    ) -> impl Future<Output = (QueryResult<usize>, Option<i64>)> + Send {
        async { (AsyncConnectionCore::execute_returning_count(raw, query).await, None) }
    }

    /// Like [`execute_in_transaction`](Self::execute_in_transaction), for the rows.
    fn load_in_transaction(
        raw: &mut Self::Raw,
        query: Self::OwnedQuery,
    ) -> impl Future<Output = (QueryResult<Vec<Self::Row>>, Option<i64>)> + Send {
        async {
            let rows = async { Self::load_live(raw, query).await?.try_collect().await };
            (rows.await, None)
        }
    }

    /// Commits the outermost transaction, or says what became of it instead. Afterwards none is open
    /// on a connection that still answers.
    ///
    /// A database in this process always says how it went.
    fn commit(raw: &mut Self::Raw) -> impl Future<Output = Result<(), NotCommitted>> + Send {
        async {
            let committed =
                <Self::Raw as AsyncConnection>::TransactionManager::commit_transaction(raw).await;
            let Err(error) = committed else { return Ok(()) };
            // What cannot be committed now may still be open, and would be with the next `COMMIT`. If
            // nothing is open, this fails.
            let _ = raw.batch_execute("ROLLBACK").await;
            Err(NotCommitted::Aborted(error))
        }
    }

    /// What became of a write whose answer was lost, asked on another connection.
    fn fate(
        _raw: &mut Self::Raw,
        _trace: &Trace,
    ) -> impl Future<Output = QueryResult<Fate>> + Send {
        std::future::ready(Ok(Fate::Unknown))
    }

    /// Whether a statement that ended in an error has certainly ended at the server too.
    fn is_settled(raw: &mut Self::Raw) -> impl Future<Output = bool> + Send;

    /// What the catalog is compared by.
    fn catalog_signature(
        raw: &mut Self::Raw,
    ) -> impl Future<Output = QueryResult<Signature>> + Send;

    /// Reads the catalog.
    fn load_catalog(raw: &mut Self::Raw) -> impl Future<Output = QueryResult<Catalog>> + Send;
}

/// Why a transaction was not acknowledged.
#[derive(Debug)]
pub enum NotCommitted {
    /// It was rolled back.
    Aborted(DieselError),
    /// The answer was lost: it may have committed, or may do so yet.
    Unknown(DieselError),
}

/// What became of loading an answer.
pub enum Loaded<B: Internals> {
    /// All of it, within the limit.
    Whole(B::Answer),
    /// More than the limit: a stream that starts with its first row.
    Streaming(BoxStream<'static, QueryResult<B::Row>>),
}

impl<B: Internals> fmt::Debug for Loaded<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loaded::Whole(_) => "Whole(..)",
            Loaded::Streaming(_) => "Streaming(..)",
        })
    }
}

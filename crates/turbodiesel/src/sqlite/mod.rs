//! SQLite: rows shared under a lock, statements as Diesel's own collected queries.

mod catalog;
mod rows;
mod transaction;
mod values;

use std::{fmt, fmt::Write as _, sync::Arc, time::Duration};

use diesel::{
    QueryResult, SqliteConnection,
    query_builder::{
        AstPass, CollectedQuery, MoveableBindCollector, Query, QueryFragment, QueryId,
    },
    sql_types::Untyped,
    sqlite::Sqlite,
};
use diesel_async::{
    AsyncConnection, AsyncConnectionCore, SimpleAsyncConnection,
    sync_connection_wrapper::SyncConnectionWrapper,
};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use turbodiesel_core::{IdentityBuilder, PinRef, PinValue};
use turbodiesel_sql::Dialect;

use self::rows::SqliteRows;
pub use self::rows::{SqliteField, SqliteRow};
use crate::{
    backend::{Backend, Internals, Loaded, Prepare},
    catalog::{Catalog, PinType, Signature},
    error::Error,
};

/// The diesel-async connection to SQLite.
pub(crate) type RawSqlite = SyncConnectionWrapper<SqliteConnection>;

type BindCollector<'a> = <Sqlite as diesel::backend::Backend>::BindCollector<'a>;
type BindData = <BindCollector<'static> as MoveableBindCollector<Sqlite>>::BindData;

/// The path of a database file.
#[derive(Debug)]
pub struct SqliteTarget {
    url: String,
}

/// Bind values, and their debug form, which is all that Diesel shows of them.
pub struct SqliteBinds {
    data: BindData,
    debug: Box<str>,
}

impl fmt::Debug for SqliteBinds {
    /// Leaves out the values: they may be personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteBinds(..)")
    }
}

/// A statement that owns its SQL and binds.
pub struct SqliteQuery(CollectedQuery<BindData>);

impl fmt::Debug for SqliteQuery {
    /// Leaves out the binds: they may be personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteQuery(..)")
    }
}

impl QueryId for SqliteQuery {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for SqliteQuery {
    type SqlType = Untyped;
}

impl QueryFragment<Sqlite> for SqliteQuery {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }
}

/// Settings of every connection: readers beside a writer, waiting instead of failing, and foreign
/// keys that hold.
const SESSION: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
                       PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;";

impl Backend for Sqlite {}

impl Internals for Sqlite {
    type Raw = RawSqlite;
    type Target = SqliteTarget;
    type Binds = SqliteBinds;
    type OwnedQuery = SqliteQuery;
    type Row = SqliteRow;
    type Answer = SqliteRows;
    type Shared = ();

    const DIALECT: Dialect = Dialect::Sqlite;
    const DROPPING_WAITS: bool = true;
    const FAILED_IS_UNDONE: bool = false;

    async fn connect(target: &SqliteTarget) -> Result<RawSqlite, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::connect(Self::describe(target), error);
        let mut raw = RawSqlite::establish(&target.url).await.map_err(|error| failed(&error))?;
        raw.batch_execute(SESSION).await.map_err(|error| failed(&error))?;
        Ok(raw)
    }

    fn target(url: &str, _statement_timeout: Duration) -> Result<SqliteTarget, Error> {
        let url = url.strip_prefix("sqlite://").unwrap_or(url);
        if url.contains("://") {
            return Err(Error::configuration(
                "the database URL is not valid: SQLite takes a path, or `:memory:`",
            ));
        }
        Ok(SqliteTarget { url: url.to_owned() })
    }

    fn is_private_to_a_connection(target: &SqliteTarget) -> bool {
        let path = target.url.split('?').next().unwrap_or_default();
        matches!(path, "" | ":memory:" | "file::memory:")
    }

    fn cancel(_raw: &RawSqlite, _target: &Arc<SqliteTarget>) {
        // Dropping the future has waited for the statement.
    }

    fn describe(target: &SqliteTarget) -> String {
        format!("SQLite `{}`", target.url)
    }

    fn collect_binds<Q>(query: &Q, identity: &mut IdentityBuilder) -> QueryResult<Self::Binds>
    where
        Q: QueryFragment<Sqlite> + QueryId + ?Sized,
    {
        let mut collector = BindCollector::default();
        query.collect_binds(&mut collector, &mut (), &Sqlite)?;
        // Binds are private to Diesel. Their debug form names the variant and escapes the value, so
        // it tells apart all that differ.
        let mut debug = String::new();
        write!(debug, "{collector:?}").expect("writing to a string cannot fail");
        identity.push_bytes(debug.as_bytes());
        Ok(SqliteBinds { data: collector.moveable(), debug: debug.into() })
    }

    fn binds_again(_binds: &SqliteBinds) -> Option<SqliteBinds> {
        // Diesel keeps them to itself.
        None
    }

    fn hash_binds(binds: &SqliteBinds) -> turbodiesel_optimizer::Binds {
        turbodiesel_optimizer::backend::sqlite::hashes(&binds.debug)
    }

    fn bind_value(binds: &SqliteBinds, index: usize, kind: PinType) -> Option<PinRef<'_>> {
        values::bind(&binds.debug, index, kind)
    }

    fn bind_elements(
        _binds: &SqliteBinds,
        _index: usize,
        _kind: PinType,
        _most: usize,
        _each: &mut dyn FnMut(PinRef<'_>),
    ) -> bool {
        // SQLite has no arrays.
        false
    }

    fn cell_value(row: &SqliteRow, column: usize, kind: PinType) -> Option<Option<PinValue>> {
        values::cell(row, column, kind)
    }

    fn hide_columns(row: &mut SqliteRow, hidden: usize) {
        row.hide(hidden);
    }

    fn owned_query(sql: Arc<str>, prepare: Prepare, binds: SqliteBinds) -> SqliteQuery {
        SqliteQuery(CollectedQuery::new(sql.to_string(), prepare != Prepare::Never, binds.data))
    }

    async fn load_live(
        raw: &mut RawSqlite,
        query: SqliteQuery,
    ) -> QueryResult<BoxStream<'static, QueryResult<SqliteRow>>> {
        let rows = AsyncConnectionCore::load(raw, query).await?;
        Ok(rows.map_ok(SqliteRow::live).boxed())
    }

    async fn load_answer(
        raw: &mut RawSqlite,
        query: SqliteQuery,
        limit: usize,
        _shared: &(),
    ) -> QueryResult<Loaded<Sqlite>> {
        let rows: Vec<_> = AsyncConnectionCore::load(raw, query).await?.try_collect().await?;
        let rows = SqliteRows::new(rows);
        if turbodiesel_core::Weigh::weight(&rows) <= limit {
            return Ok(Loaded::Whole(rows));
        }
        let rows = Arc::new(rows);
        let all = (0..rows.len()).map(move |index| Ok(SqliteRow::of(Arc::clone(&rows), index)));
        Ok(Loaded::Streaming(stream::iter(all).boxed()))
    }

    fn row_count(answer: &SqliteRows) -> usize {
        answer.len()
    }

    fn row(answer: Arc<SqliteRows>, index: usize) -> SqliteRow {
        SqliteRow::of(answer, index)
    }

    async fn is_settled(_raw: &mut RawSqlite) -> bool {
        // The library runs in this process: when it answers, it is done.
        true
    }

    async fn catalog_signature(raw: &mut RawSqlite) -> QueryResult<Signature> {
        catalog::signature(raw).await
    }

    async fn load_catalog(raw: &mut RawSqlite) -> QueryResult<Catalog> {
        catalog::load(raw).await
    }
}

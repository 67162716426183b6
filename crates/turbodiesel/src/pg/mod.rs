//! PostgreSQL: answers as the bytes the server sent, statements replayed from SQL and binds.

mod catalog;
mod pipeline;
mod query;
mod rows;
mod target;
mod tls;
mod transaction;
mod transaction_builder;
mod values;

use std::{sync::Arc, time::Duration};

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{QueryFragment, QueryId},
    result::{DatabaseErrorKind, Error as DieselError},
    row::{Field, Row},
};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection};
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use turbodiesel_core::{CachedRow, IdentityBuilder, PinRef, PinValue, RowSet};
use turbodiesel_sql::Dialect;

pub(crate) use self::target::PgTarget;
pub use self::{
    rows::{PgField, PgRow},
    transaction_builder::TransactionBuilder,
};
use crate::{
    backend::{Backend, Internals, Loaded, NotCommitted, Prepare},
    catalog::{Catalog, PinType, Signature},
    error::Error,
    settle::{Fate, Trace},
};

impl Backend for Pg {}

impl Internals for Pg {
    type Raw = AsyncPgConnection;
    type Target = PgTarget;
    type Binds = query::PgBinds;
    type OwnedQuery = query::PgQuery;
    type Row = PgRow;
    type Answer = RowSet;
    type Shared = rows::LastAnswer;

    const DIALECT: Dialect = Dialect::Postgres;
    const DROPPING_WAITS: bool = false;
    const FAILED_IS_UNDONE: bool = true;

    async fn connect(target: &PgTarget) -> Result<AsyncPgConnection, Error> {
        target.connect().await
    }

    fn target(url: &str, statement_timeout: Duration) -> Result<PgTarget, Error> {
        PgTarget::parse(url, statement_timeout)
    }

    fn is_private_to_a_connection(_target: &PgTarget) -> bool {
        false
    }

    fn cancel(raw: &AsyncPgConnection, target: &Arc<PgTarget>) {
        // Without a runtime there is nothing to send with; the server ends the statement by its
        // timeout then.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (token, target) = (raw.cancel_token(), Arc::clone(target));
            runtime.spawn(async move { target.cancel(token).await });
        }
    }

    fn describe(target: &PgTarget) -> String {
        target.describe()
    }

    #[inline]
    fn collect_binds<Q>(query: &Q, identity: &mut IdentityBuilder) -> QueryResult<Self::Binds>
    where
        Q: QueryFragment<Pg> + QueryId + ?Sized,
    {
        query::PgBinds::collect(query, identity)
    }

    fn binds_again(binds: &Self::Binds) -> Option<Self::Binds> {
        Some(binds.clone())
    }

    #[inline]
    fn hash_binds(binds: &Self::Binds) -> turbodiesel_optimizer::Binds {
        binds.hashes()
    }

    #[inline]
    fn bind_value(binds: &Self::Binds, index: usize, kind: PinType) -> Option<PinRef<'_>> {
        let (oid, bytes) = binds.value(index)?;
        values::scalar(oid, bytes, kind)
    }

    fn bind_elements(
        binds: &Self::Binds,
        index: usize,
        kind: PinType,
        most: usize,
        each: &mut dyn FnMut(PinRef<'_>),
    ) -> bool {
        let Some((oid, bytes)) = binds.value(index) else { return false };
        values::elements(oid, bytes, kind, most, each)
    }

    fn cell_value(row: &PgRow, column: usize, kind: PinType) -> Option<Option<PinValue>> {
        let field = row.get(column)?;
        match field.value() {
            None => Some(None),
            Some(value) => values::scalar(value.get_oid().get(), value.as_bytes(), kind)
                .map(|value| Some(value.into_owned())),
        }
    }

    fn hide_columns(row: &mut PgRow, hidden: usize) {
        row.hide(hidden);
    }

    fn owned_query(sql: Arc<str>, prepare: Prepare, binds: Self::Binds) -> Self::OwnedQuery {
        query::PgQuery::new(sql, prepare, binds)
    }

    async fn load_live(
        raw: &mut AsyncPgConnection,
        query: Self::OwnedQuery,
    ) -> QueryResult<BoxStream<'static, QueryResult<PgRow>>> {
        let rows = query.load(raw).await?;
        Ok(rows.map_ok(PgRow::live).boxed())
    }

    async fn load_answer(
        raw: &mut AsyncPgConnection,
        query: Self::OwnedQuery,
        limit: usize,
        shared: &Self::Shared,
    ) -> QueryResult<Loaded<Pg>> {
        let rows = query.load(raw).await?;
        rows::collect(rows, limit, shared).await
    }

    #[inline]
    fn row_count(answer: &RowSet) -> usize {
        answer.len()
    }

    #[inline]
    fn row(answer: Arc<RowSet>, index: usize) -> PgRow {
        PgRow::Cached(CachedRow::new(answer, index).expect("an answer has as many rows as it says"))
    }

    async fn execute_in_transaction(
        raw: &mut AsyncPgConnection,
        query: Self::OwnedQuery,
    ) -> (QueryResult<usize>, Option<i64>) {
        let raw: &AsyncPgConnection = raw;
        let count = async { AsyncConnectionCore::execute_returning_count(&mut &*raw, query).await };
        transaction::with_number(raw, count).await
    }

    async fn load_in_transaction(
        raw: &mut AsyncPgConnection,
        query: Self::OwnedQuery,
    ) -> (QueryResult<Vec<PgRow>>, Option<i64>) {
        let raw: &AsyncPgConnection = raw;
        let rows = async {
            let rows = query.load(raw).await?;
            rows.map_ok(PgRow::live).try_collect().await
        };
        transaction::with_number(raw, rows).await
    }

    async fn commit(raw: &mut AsyncPgConnection) -> Result<(), NotCommitted> {
        transaction::commit(raw).await
    }

    async fn fate(raw: &mut AsyncPgConnection, trace: &Trace) -> QueryResult<Fate> {
        transaction::fate(raw, trace).await
    }

    async fn is_settled(raw: &mut AsyncPgConnection) -> bool {
        // An empty query makes a round trip. In a failed transaction it is refused, which is an
        // answer as well: what was sent before it has ended.
        match raw.batch_execute("").await {
            Ok(()) => true,
            Err(DieselError::DatabaseError(kind, _)) => !matches!(
                kind,
                DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection
            ),
            Err(_) => false,
        }
    }

    async fn catalog_signature(raw: &mut AsyncPgConnection) -> QueryResult<Signature> {
        catalog::signature(raw).await
    }

    async fn load_catalog(raw: &mut AsyncPgConnection) -> QueryResult<Catalog> {
        catalog::load(raw).await
    }
}

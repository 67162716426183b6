//! What turbodiesel asks of a backend, answered as its PostgreSQL backend does.

use std::{collections::HashMap, sync::Arc, time::Duration};

use diesel::{
    QueryResult,
    query_builder::{
        AstPass, Query, QueryBuilder, QueryFragment, QueryId, bind_collector::RawBytesBindCollector,
    },
    sql_types::Untyped,
};
use diesel_async::AsyncConnectionCore;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use turbodiesel::{
    Backend, Error, TableName,
    stub::{Catalog, Internals, Loaded, PinType, Prepare, Relation, Signature},
};
use turbodiesel_core::{IdentityBuilder, PinRef, PinValue, Weigh};
use turbodiesel_optimizer::{Binds, ObservedBackend, ValueHash};
use turbodiesel_sql::Dialect;

use super::{
    backend::{Oid, Stub, StubQueryBuilder},
    connection::StubConnection,
    row::ServedRow,
};

/// Bind values as bytes.
#[derive(Debug)]
pub(crate) struct StubBinds {
    values: Vec<Option<Vec<u8>>>,
    metadata: Vec<Oid>,
}

impl StubBinds {
    fn of(query: &(impl QueryFragment<Stub> + ?Sized)) -> QueryResult<Self> {
        let mut collector = RawBytesBindCollector::<Stub>::new();
        query.collect_binds(&mut collector, &mut (), &Stub)?;
        Ok(Self { values: collector.binds, metadata: collector.metadata })
    }
}

/// A statement that owns its SQL and binds.
#[derive(Debug)]
pub(crate) struct StubQuery {
    sql: Arc<str>,
    prepare: bool,
    binds: StubBinds,
}

impl QueryId for StubQuery {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for StubQuery {
    type SqlType = Untyped;
}

impl QueryFragment<Stub> for StubQuery {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Stub>) -> QueryResult<()> {
        pass.push_sql(&self.sql);
        Ok(())
    }

    fn to_sql(&self, out: &mut StubQueryBuilder, _backend: &Stub) -> QueryResult<()> {
        out.push_sql(&self.sql);
        Ok(())
    }

    fn collect_binds<'b>(
        &'b self,
        out: &mut RawBytesBindCollector<Stub>,
        _lookup: &mut (),
        _backend: &'b Stub,
    ) -> QueryResult<()> {
        out.binds.extend(self.binds.values.iter().cloned());
        out.metadata.extend(self.binds.metadata.iter().copied());
        Ok(())
    }

    fn is_safe_to_cache_prepared(&self, _backend: &Stub) -> QueryResult<bool> {
        Ok(self.prepare)
    }
}

/// Answers of the stub are never cached.
#[derive(Debug)]
pub(crate) enum Uncached {}

impl Weigh for Uncached {
    fn weight(&self) -> usize {
        match *self {}
    }
}

impl ObservedBackend for Stub {
    fn binds<Q>(query: &Q) -> QueryResult<Binds>
    where
        Q: QueryFragment<Stub> + ?Sized,
    {
        StubBinds::of(query).map(|binds| Self::hash_binds(&binds))
    }

    fn cell(value: &[u8]) -> ValueHash {
        ValueHash::bytes(value)
    }
}

impl Backend for Stub {}

impl Internals for Stub {
    type Raw = StubConnection;
    type Target = String;
    type Binds = StubBinds;
    type OwnedQuery = StubQuery;
    type Row = ServedRow;
    type Answer = Uncached;
    type Shared = ();

    const DIALECT: Dialect = Dialect::Postgres;
    const DROPPING_WAITS: bool = false;
    const FAILED_IS_UNDONE: bool = true;

    async fn connect(target: &String) -> Result<StubConnection, Error> {
        Ok(StubConnection::new(target))
    }

    fn target(url: &str, _statement_timeout: Duration) -> Result<String, Error> {
        Ok(url.to_owned())
    }

    fn is_private_to_a_connection(_target: &String) -> bool {
        false
    }

    fn cancel(_raw: &StubConnection, _target: &Arc<String>) {}

    fn describe(target: &String) -> String {
        target.clone()
    }

    fn collect_binds<Q>(query: &Q, identity: &mut IdentityBuilder) -> QueryResult<StubBinds>
    where
        Q: QueryFragment<Stub> + QueryId + ?Sized,
    {
        let binds = StubBinds::of(query)?;
        for (value, oid) in binds.values.iter().zip(&binds.metadata) {
            identity.push_u32(oid.0);
            match value {
                Some(value) => identity.push_bytes(value),
                None => identity.push_null(),
            }
        }
        Ok(binds)
    }

    fn binds_again(_binds: &StubBinds) -> Option<StubBinds> {
        None
    }

    fn hash_binds(binds: &StubBinds) -> Binds {
        let hash = |value: &Option<Vec<u8>>| match value {
            Some(value) => ValueHash::bytes(value),
            None => ValueHash::NULL,
        };
        binds.values.iter().map(hash).collect()
    }

    fn bind_value(_binds: &StubBinds, _index: usize, _kind: PinType) -> Option<PinRef<'_>> {
        None
    }

    fn bind_elements(
        _binds: &StubBinds,
        _index: usize,
        _kind: PinType,
        _most: usize,
        _each: &mut dyn FnMut(PinRef<'_>),
    ) -> bool {
        false
    }

    fn cell_value(_row: &ServedRow, _column: usize, _kind: PinType) -> Option<Option<PinValue>> {
        None
    }

    fn hide_columns(_row: &mut ServedRow, _hidden: usize) {}

    fn owned_query(sql: Arc<str>, prepare: Prepare, binds: StubBinds) -> StubQuery {
        StubQuery { sql, prepare: prepare != Prepare::Never, binds }
    }

    async fn load_live(
        raw: &mut StubConnection,
        query: StubQuery,
    ) -> QueryResult<BoxStream<'static, QueryResult<ServedRow>>> {
        let rows = AsyncConnectionCore::load(raw, query).await?;
        Ok(rows.map_ok(|row| ServedRow(Box::new(row))).boxed())
    }

    async fn load_answer(
        raw: &mut StubConnection,
        query: StubQuery,
        _limit: usize,
        _shared: &(),
    ) -> QueryResult<Loaded<Stub>> {
        Self::load_live(raw, query).await.map(Loaded::Streaming)
    }

    fn row_count(answer: &Uncached) -> usize {
        match *answer {}
    }

    fn row(answer: Arc<Uncached>, _index: usize) -> ServedRow {
        match *answer {}
    }

    async fn is_settled(_raw: &mut StubConnection) -> bool {
        true
    }

    async fn catalog_signature(_raw: &mut StubConnection) -> QueryResult<Signature> {
        Ok(Signature {
            objects: "one table".to_owned(),
            search_path: vec!["public".into()],
            uncommitted: false,
            process: None,
        })
    }

    async fn load_catalog(_raw: &mut StubConnection) -> QueryResult<Catalog> {
        Ok(Catalog {
            objects: "one table".to_owned(),
            search_path: vec!["public".into()],
            system_schemas: &[],
            relations: HashMap::from([(
                TableName::qualified("public", "users"),
                Relation::table(),
            )]),
            ..Catalog::default()
        })
    }
}

//! A captured PostgreSQL statement: its SQL and its binds, ready to be replayed on any connection.

use std::{cell::Cell, fmt, marker::PhantomData, mem, sync::Arc};

use diesel::{
    QueryResult,
    pg::{Pg, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata},
    query_builder::{
        AstPass, Query, QueryBuilder, QueryFragment, QueryId, bind_collector::RawBytesBindCollector,
    },
    result::Error::SerializationError,
    sql_types::Untyped,
};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures_core::future::BoxFuture;
use futures_util::stream::BoxStream;
use turbodiesel_core::IdentityBuilder;
use turbodiesel_optimizer::{Binds, ValueHash, backend::postgres};

use super::rows::LiveRow;
use crate::backend::Prepare;

/// Bind values as the bytes that go to the server.
#[derive(Clone)]
pub struct PgBinds {
    values: Vec<Option<Vec<u8>>>,
    metadata: Vec<PgTypeMetadata>,
    custom: Option<Box<CustomTypes>>,
    /// Loads a statement as a query of the type that these are the binds of.
    load: Load,
}

type Load = for<'c> fn(&'c AsyncPgConnection, PgQuery) -> LiveRows<'c>;

/// What loading comes to.
type LiveRows<'c> = BoxFuture<'c, QueryResult<BoxStream<'static, QueryResult<LiveRow>>>>;

/// The vectors of binds that are not needed any more.
type Spare = (Vec<Option<Vec<u8>>>, Vec<PgTypeMetadata>);

thread_local! {
    /// For the next binds that this thread collects: those of a hit are dropped at once, so that
    /// every hit after the first finds the vectors of the one before.
    static SPARE: Cell<Spare> = const { Cell::new((Vec::new(), Vec::new())) };
}

/// The longest vectors that are kept for the next.
const LONGEST_SPARE: usize = 64;

/// Types whose OIDs only a connection knows, and every place where such an OID stands.
///
/// Diesel asks for these OIDs while it serialises, because arrays and composites carry the OIDs of
/// their elements. No connection is at hand then, so binds are collected with stand-ins, twice and
/// with different ones: where both runs differ, an OID stands. The executing connection's lookup
/// fills in the real ones.
#[derive(Clone)]
struct CustomTypes {
    types: Vec<CustomType>,
    /// Stand-ins inside the bytes of a bind.
    embedded: Vec<Embedded>,
}

#[derive(Clone, PartialEq)]
struct CustomType {
    schema: Option<String>,
    name: String,
}

#[derive(Clone, Copy)]
struct Embedded {
    bind: usize,
    offset: usize,
    stand_in: StandIn,
}

/// Which OID of which custom type.
#[derive(Clone, Copy, PartialEq, Debug)]
struct StandIn {
    custom_type: usize,
    array: bool,
}

/// Two ranges of numbers that PostgreSQL assigns only after two billion objects, and whose bytes do
/// not overlap with themselves when shifted.
const FIRST_RUN: u32 = 0xF1E2_0000;
const SECOND_RUN: u32 = 0xD3C4_0000;

impl StandIn {
    #[inline]
    fn oid(self, run: u32) -> u32 {
        let index = u32::try_from(self.custom_type).expect("a query names fewer types");
        run + index * 2 + u32::from(self.array)
    }

    fn of(oid: u32, run: u32, types: usize) -> Option<Self> {
        let index = oid.checked_sub(run)? as usize;
        (index < types * 2)
            .then_some(Self { custom_type: index / 2, array: !index.is_multiple_of(2) })
    }
}

/// Answers every lookup with a stand-in and remembers the question.
struct StandInLookup {
    run: u32,
    types: Vec<CustomType>,
}

impl PgMetadataLookup for StandInLookup {
    fn lookup_type(&mut self, name: &str, schema: Option<&str>) -> PgTypeMetadata {
        let wanted = CustomType { schema: schema.map(ToOwned::to_owned), name: name.to_owned() };
        let custom_type = match self.types.iter().position(|known| *known == wanted) {
            Some(index) => index,
            None => {
                self.types.push(wanted);
                self.types.len() - 1
            }
        };
        let oid = |array| StandIn { custom_type, array }.oid(self.run);
        PgTypeMetadata::new(oid(false), oid(true))
    }
}

impl fmt::Debug for PgBinds {
    /// Leaves out the values: they may be personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PgBinds({})", self.values.len())
    }
}

impl Drop for PgBinds {
    fn drop(&mut self) {
        if self.values.capacity().max(self.metadata.capacity()) <= LONGEST_SPARE {
            self.values.clear();
            self.metadata.clear();
            let spare = (mem::take(&mut self.values), mem::take(&mut self.metadata));
            // On a thread that is ending there is no next.
            let _ = SPARE.try_with(|place| place.set(spare));
        }
    }
}

impl PgBinds {
    /// Collects the binds of a query and appends them to its identity: types by OID, or where only
    /// a connection knows the OID by schema and name; then the bytes.
    pub(super) fn collect<Q>(query: &Q, identity: &mut IdentityBuilder) -> QueryResult<Self>
    where
        Q: QueryFragment<Pg> + QueryId + ?Sized,
    {
        let (collected, types) = run(query, FIRST_RUN)?;
        let RawBytesBindCollector { binds: values, metadata, .. } = collected;
        let load: Load = load_as::<Q::QueryId>;
        let mut binds = PgBinds { values, metadata, custom: None, load };
        if !types.is_empty() {
            let (second, _) = run(query, SECOND_RUN)?;
            binds.find_stand_ins(types, &second.binds);
        }
        binds.identify(identity)?;
        Ok(binds)
    }

    /// The type and the bytes of a bind; `None` if it is NULL, or of a type that only a connection
    /// knows.
    #[inline]
    pub(super) fn value(&self, index: usize) -> Option<(u32, &[u8])> {
        let bytes = self.values.get(index)?.as_deref()?;
        let oid = oid(self.metadata.get(index)?).ok()?;
        self.stand_in(oid).is_none().then_some((oid, bytes))
    }

    /// The hashes by which binds are compared with cells. What a type is that only a connection knows
    /// makes no difference to them.
    #[inline]
    pub(super) fn hashes(&self) -> Binds {
        let binds = self.values.iter().zip(&self.metadata);
        let hash = |(value, metadata): (&Option<Vec<u8>>, &PgTypeMetadata)| match value {
            Some(value) => postgres::hash(oid(metadata).unwrap_or(0), value),
            None => ValueHash::NULL,
        };
        binds.map(hash).collect()
    }

    fn find_stand_ins(&mut self, types: Vec<CustomType>, second: &[Option<Vec<u8>>]) {
        let mut embedded = Vec::new();
        for (bind, (first, second)) in self.values.iter_mut().zip(second).enumerate() {
            let (Some(first), Some(second)) = (first, second) else { continue };
            let mut offset = 0;
            while let (Some(a), Some(b)) = (word(first, offset), word(second, offset)) {
                let stand_in = StandIn::of(a, FIRST_RUN, types.len())
                    .filter(|it| StandIn::of(b, SECOND_RUN, types.len()) == Some(*it));
                match stand_in {
                    Some(stand_in) => {
                        embedded.push(Embedded { bind, offset, stand_in });
                        // The identity must not depend on the order in which types were met.
                        first[offset..offset + 4].fill(0);
                        offset += 4;
                    }
                    None => offset += 1,
                }
            }
        }
        self.custom = Some(Box::new(CustomTypes { types, embedded }));
    }

    #[inline]
    fn identify(&self, identity: &mut IdentityBuilder) -> QueryResult<()> {
        for (value, metadata) in self.values.iter().zip(&self.metadata) {
            let oid = oid(metadata)?;
            match self.stand_in(oid) {
                Some((custom, stand_in)) => {
                    // No type has OID zero, so this cannot be mistaken for a built-in one.
                    identity.push_u32(0);
                    custom.identify(stand_in, identity);
                }
                None => identity.push_u32(oid),
            }
            match value {
                Some(value) => identity.push_bytes(value),
                None => identity.push_null(),
            }
        }
        if let Some(custom) = &self.custom {
            for place in &custom.embedded {
                identity.push_u64(place.bind as u64);
                identity.push_u64(place.offset as u64);
                custom.identify(place.stand_in, identity);
            }
        }
        Ok(())
    }

    #[inline]
    fn stand_in(&self, oid: u32) -> Option<(&CustomTypes, StandIn)> {
        let custom = self.custom.as_deref()?;
        Some((custom, StandIn::of(oid, FIRST_RUN, custom.types.len())?))
    }
}

impl CustomTypes {
    #[inline]
    fn identify(&self, stand_in: StandIn, identity: &mut IdentityBuilder) {
        let CustomType { schema, name } = &self.types[stand_in.custom_type];
        match schema {
            Some(schema) => identity.push_bytes(schema.as_bytes()),
            None => identity.push_null(),
        }
        identity.push_bytes(name.as_bytes());
        identity.push_u32(u32::from(stand_in.array));
    }
}

fn run<Q>(query: &Q, run: u32) -> QueryResult<(RawBytesBindCollector<Pg>, Vec<CustomType>)>
where
    Q: QueryFragment<Pg> + ?Sized,
{
    let mut collector = RawBytesBindCollector::<Pg>::new();
    (collector.binds, collector.metadata) = SPARE.try_with(Cell::take).unwrap_or_default();
    let mut lookup = StandInLookup { run, types: Vec::new() };
    query.collect_binds(&mut collector, &mut lookup, &Pg)?;
    Ok((collector, lookup.types))
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

#[inline]
fn oid(metadata: &PgTypeMetadata) -> QueryResult<u32> {
    metadata.oid().map_err(|error| SerializationError(Box::new(error)))
}

/// A statement that owns its SQL and binds.
///
/// It has no static query id, so connections keep it prepared by its text and the types of its binds,
/// unless it is [loaded](PgQuery::load) as the query that it was captured from.
#[derive(Debug)]
pub struct PgQuery {
    sql: Arc<str>,
    prepare: Prepare,
    binds: PgBinds,
}

impl PgQuery {
    pub(super) fn new(sql: Arc<str>, prepare: Prepare, binds: PgBinds) -> Self {
        Self { sql, prepare, binds }
    }

    /// Sends the statement, for its rows.
    pub(super) fn load(self, mut raw: &AsyncPgConnection) -> LiveRows<'_> {
        match self.prepare {
            Prepare::ByType => (self.binds.load)(raw, self),
            Prepare::ByText | Prepare::Never => AsyncConnectionCore::load(&mut raw, self),
        }
    }
}

/// A statement under the id of the typed query that it was captured from. A connection finds it
/// prepared without hashing its text, which takes longer than all else that a miss adds.
struct Typed<Id>(PgQuery, PhantomData<fn() -> Id>);

fn load_as<Id: 'static>(mut raw: &AsyncPgConnection, query: PgQuery) -> LiveRows<'_> {
    AsyncConnectionCore::load(&mut raw, Typed::<Id>(query, PhantomData))
}

impl<Id: 'static> QueryId for Typed<Id> {
    type QueryId = Id;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Id> Query for Typed<Id> {
    type SqlType = Untyped;
}

impl<Id> QueryFragment<Pg> for Typed<Id> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn to_sql(&self, out: &mut PgQueryBuilder, backend: &Pg) -> QueryResult<()> {
        self.0.to_sql(out, backend)
    }

    fn collect_binds<'b>(
        &'b self,
        out: &mut RawBytesBindCollector<Pg>,
        lookup: &mut (dyn PgMetadataLookup + 'static),
        backend: &'b Pg,
    ) -> QueryResult<()> {
        self.0.collect_binds(out, lookup, backend)
    }

    fn is_safe_to_cache_prepared(&self, backend: &Pg) -> QueryResult<bool> {
        self.0.is_safe_to_cache_prepared(backend)
    }
}

impl QueryId for PgQuery {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for PgQuery {
    type SqlType = Untyped;
}

impl QueryFragment<Pg> for PgQuery {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Reached by debug output only: what executes is overridden below, because raw bytes have
        // no way through a pass.
        pass.push_sql(&self.sql);
        Ok(())
    }

    fn to_sql(&self, out: &mut PgQueryBuilder, _backend: &Pg) -> QueryResult<()> {
        out.push_sql(&self.sql);
        Ok(())
    }

    fn collect_binds<'b>(
        &'b self,
        out: &mut RawBytesBindCollector<Pg>,
        lookup: &mut (dyn PgMetadataLookup + 'static),
        _backend: &'b Pg,
    ) -> QueryResult<()> {
        let Some(custom) = &self.binds.custom else {
            out.binds.extend(self.binds.values.iter().cloned());
            out.metadata.extend(self.binds.metadata.iter().cloned());
            return Ok(());
        };
        let mut real = Vec::with_capacity(custom.types.len());
        for CustomType { schema, name } in &custom.types {
            let metadata = lookup.lookup_type(name, schema.as_deref());
            let array =
                metadata.array_oid().map_err(|error| SerializationError(Box::new(error)))?;
            real.push((oid(&metadata)?, array));
        }
        let resolve = |stand_in: StandIn| {
            let (element, array) = real[stand_in.custom_type];
            if stand_in.array { array } else { element }
        };
        let resolve_oid = |oid| match StandIn::of(oid, FIRST_RUN, custom.types.len()) {
            Some(stand_in) => resolve(stand_in),
            None => oid,
        };
        let first_bind = out.binds.len();
        out.binds.extend(self.binds.values.iter().cloned());
        for place in &custom.embedded {
            let value = out.binds[first_bind + place.bind]
                .as_mut()
                .expect("an OID was found inside a value");
            value[place.offset..place.offset + 4]
                .copy_from_slice(&resolve(place.stand_in).to_be_bytes());
        }
        for metadata in &self.binds.metadata {
            let array = metadata.array_oid().unwrap_or(0);
            out.metadata.push(PgTypeMetadata::new(resolve_oid(oid(metadata)?), resolve_oid(array)));
        }
        Ok(())
    }

    fn is_safe_to_cache_prepared(&self, _backend: &Pg) -> QueryResult<bool> {
        Ok(self.prepare != Prepare::Never)
    }
}

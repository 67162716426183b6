//! Statement shapes: what is the same for every execution of one statement, computed once.

use std::{
    any::TypeId,
    convert::Infallible,
    ops::Deref,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwapOption, Guard};
use diesel::{
    QueryResult,
    query_builder::{QueryBuilder, QueryFragment, QueryId},
};
use quick_cache::{Weighter, sync::Cache as QuickCache};
use turbodiesel_cache::{Key, Slot, Stamps};
use turbodiesel_core::{Bypass, Fingerprint, FingerprintKey, IdentityBuilder, IdentityBytes, Tier};
use turbodiesel_optimizer::Statement;
use turbodiesel_sql::{Kind, Plan, plan};

use crate::{
    backend::{Backend, Prepare},
    catalog::{Catalog, Volatility, WriteClosure},
    causes::Cause,
    config::Settings,
    keeper::{CatalogKeeper, Edition},
    options::ReadOptions,
    tags::{self, Learning, ReadTags, WriteTags},
};

/// How many shapes are remembered by the types of their queries.
const REMEMBERED: usize = 10_000;

/// How many bytes of SQL are remembered, with [`OVERHEAD`] for each statement. A forgotten shape is
/// planned again, under a new number.
const REMEMBERED_BYTES: u64 = 16 << 20;

/// A guess at what a shape weighs beside its text.
const OVERHEAD: u64 = 1 << 10;

/// How many statements are kept prepared on each connection; later ones are prepared per execution.
/// Diesel's statement cache has no bound of its own.
const PREPARED: u32 = 1_000;

/// A statement without its binds.
pub(crate) struct Shape<B: Backend> {
    /// Never used twice, so it stands for the SQL in an identity.
    number: u64,
    pub(crate) sql: Arc<str>,
    pub(crate) plan: Plan,
    pub(crate) shared: B::Shared,
    prepared: Option<Prepared>,
    /// What a scope shows of it, once one has seen it.
    statement: OnceLock<Arc<Statement>>,
    resolution: ArcSwapOption<Resolution>,
}

/// What a catalog says of a shape.
#[derive(Debug)]
pub(crate) struct Resolution {
    pub(crate) edition: u64,
    pub(crate) read: Result<Readable, (Bypass, String)>,
    /// All that the statement may change, whatever its binds.
    pub(crate) effect: Effect,
    /// What an execution changes, where more can be said.
    pub(crate) writes: Option<WriteTags>,
}

/// How the answers of a statement are cached.
#[derive(Debug)]
pub(crate) struct Readable {
    pub(crate) tags: ReadTags,
    pub(crate) tier: Tier,
    pub(crate) row_security: bool,
}

/// What a statement may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    Slots(Arc<[Slot]>),
    /// Anything; `schema` where the catalog may have changed as well.
    Everything {
        schema: bool,
    },
}

impl Effect {
    pub(crate) fn of(
        closure: &WriteClosure,
        catalog: &Catalog,
        stamps: &Stamps,
        schema: bool,
    ) -> Self {
        let WriteClosure::Tables { targets, beyond } = closure else {
            return Effect::Everything { schema };
        };
        let targets = targets.iter().flatten().flat_map(|target| &target.family);
        let whole = targets.chain(beyond).flat_map(|table| tags::whole(table, catalog));
        let slots: Arc<[Slot]> = whole.map(|tag| stamps.slot(&tag)).collect();
        if slots.is_empty() { Effect::Nothing } else { Effect::Slots(slots) }
    }

    pub(crate) fn changes_schema(&self) -> bool {
        matches!(self, Effect::Everything { schema: true })
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        match self {
            Effect::Nothing => &[],
            Effect::Slots(slots) => slots,
            Effect::Everything { .. } => &[Slot::ALL],
        }
    }
}

impl<B: Backend> Shape<B> {
    /// The statement as scopes know it.
    #[inline]
    pub(crate) fn statement(&self) -> &Arc<Statement> {
        self.statement.get_or_init(|| Statement::of(&self.sql))
    }

    /// Stands for the statement where it changes something.
    pub(crate) fn cause(&self) -> Cause {
        Cause::statement(self.number)
    }

    /// The resolution under the current catalog.
    pub(crate) fn resolve(
        &self,
        keeper: &CatalogKeeper,
        stamps: &Stamps,
        settings: &Settings,
    ) -> Resolved {
        let known = self.resolution.load();
        if known.as_ref().is_some_and(|known| known.edition == keeper.edition()) {
            return Resolved(known);
        }
        let edition = keeper.current();
        let resolution = resolve(&self.plan, &self.sql, &edition, stamps, settings);
        let resolution = Some(Arc::new(resolution));
        self.resolution.store(resolution.clone());
        // Not what is stored now: a slower thread may have put back an older one.
        Resolved(Guard::from_inner(resolution))
    }
}

/// A resolution, as cheaply as it can be had.
pub(crate) struct Resolved(Guard<Option<Arc<Resolution>>>);

impl Deref for Resolved {
    type Target = Resolution;

    fn deref(&self) -> &Resolution {
        self.0.as_ref().expect("it was made of one")
    }
}

fn resolve(
    plan: &Plan,
    sql: &str,
    edition: &Edition,
    stamps: &Stamps,
    settings: &Settings,
) -> Resolution {
    let Edition { number, catalog } = edition;
    let by_value = settings.value_tags;
    // Whatever is not a plain write may have changed the schema.
    let may_change_schema = plan.kind() != Kind::Write;
    let operator = catalog.worst_operator(plan);
    let closure = match operator {
        Some(Volatility::Writing) => WriteClosure::Everything,
        _ => catalog.write_closure(plan),
    };
    let effect = Effect::of(&closure, catalog, stamps, may_change_schema);
    let writes = match &closure {
        WriteClosure::Tables { targets, beyond } if by_value => {
            Some(WriteTags::of(plan, sql, (targets, beyond), catalog, stamps))
        }
        _ => None,
    };
    let read = match plan.kind() {
        Kind::Read if operator.is_some() => {
            Err((Bypass::StableFunction, "an operator that is not the system's".to_owned()))
        }
        Kind::Read if effect == Effect::Nothing => catalog.read_closure(plan).map(|closure| {
            let class = closure.tables.iter().map(|table| settings.classes.tier(table)).min();
            let tier = match plan.is_aggregate() {
                true => Tier::L2,
                false => class.unwrap_or(Tier::L1),
            };
            let tags = ReadTags::of(plan, &closure, catalog, stamps, by_value);
            Readable { tags, tier, row_security: closure.row_security }
        }),
        Kind::Read => Err((Bypass::VolatileFunction, "a function may write".to_owned())),
        Kind::Transaction | Kind::Session => Err((Bypass::Control, String::new())),
        Kind::Write | Kind::Schema => Err((Bypass::Write, String::new())),
        _ => Err((Bypass::NotUnderstood, String::new())),
    };
    Resolution { edition: *number, read, effect, writes }
}

/// A query taken apart: what to look up, and what to execute if nothing is found.
pub(crate) struct Captured<B: Backend> {
    pub(crate) shape: Arc<Shape<B>>,
    pub(crate) identity: Identity,
    prepare: Prepare,
    binds: B::Binds,
}

/// All that tells one query from every other, and its hash.
#[derive(Clone)]
pub(crate) struct Identity {
    fingerprint: Fingerprint,
    bytes: IdentityBytes,
}

impl Identity {
    pub(crate) fn key(&self) -> Key<'_> {
        Key { fingerprint: self.fingerprint, identity: &self.bytes }
    }
}

impl<B: Backend> Captured<B> {
    pub(crate) fn binds(&self) -> &B::Binds {
        &self.binds
    }

    /// The same once more, where its binds can be had twice.
    pub(crate) fn again(&self) -> Option<Self> {
        let (shape, identity) = (Arc::clone(&self.shape), self.identity.clone());
        let binds = B::binds_again(&self.binds)?;
        Some(Self { shape, identity, prepare: self.prepare, binds })
    }

    /// The statement, ready for any connection.
    pub(crate) fn into_query(self) -> B::OwnedQuery {
        B::owned_query(Arc::clone(&self.shape.sql), self.prepare, self.binds)
    }

    /// The statement, which also returns what is to be learnt from it.
    pub(crate) fn into_telling_query(self, learning: &Learning) -> B::OwnedQuery {
        let prepare = match self.prepare {
            Prepare::Never => Prepare::Never,
            // The text is not that of the type any more.
            Prepare::ByText | Prepare::ByType => Prepare::ByText,
        };
        B::owned_query(Arc::clone(learning.sql()), prepare, self.binds)
    }
}

/// The memo of shapes, bounded.
pub(crate) struct Shapes<B: Backend> {
    /// Queries that Diesel can tell apart by type alone, so that their SQL is rendered once.
    by_type: QuickCache<TypeId, Arc<Shape<B>>>,
    by_text: QuickCache<Arc<str>, Arc<Shape<B>>, TextWeight>,
    key: FingerprintKey,
    next: AtomicU64,
    /// How many shapes are to be kept prepared.
    prepared: Arc<AtomicU32>,
}

/// The right of a shape to be kept prepared, returned when it is forgotten.
struct Prepared(Arc<AtomicU32>);

impl Prepared {
    fn claim(count: &Arc<AtomicU32>) -> Option<Self> {
        let claimed = Self(Arc::clone(count));
        // Where there were enough already it is given back at once, by dropping it.
        (count.fetch_add(1, Ordering::Relaxed) < PREPARED).then_some(claimed)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct TextWeight;

impl<B: Backend> Weighter<Arc<str>, Arc<Shape<B>>> for TextWeight {
    fn weight(&self, sql: &Arc<str>, _: &Arc<Shape<B>>) -> u64 {
        sql.len() as u64 + OVERHEAD
    }
}

impl<B: Backend> Shapes<B> {
    pub(crate) fn new() -> Self {
        Self {
            by_type: QuickCache::new(REMEMBERED),
            by_text: QuickCache::with_weighter(REMEMBERED, REMEMBERED_BYTES, TextWeight),
            key: FingerprintKey::random(),
            next: AtomicU64::new(0),
            prepared: Arc::default(),
        }
    }

    /// Takes a query apart. It is not needed afterwards.
    pub(crate) fn capture<Q>(&self, query: &Q, options: &ReadOptions) -> QueryResult<Captured<B>>
    where
        Q: QueryFragment<B> + QueryId,
    {
        let backend = B::default();
        let safe = query.is_safe_to_cache_prepared(&backend)?;
        let id = Q::query_id().filter(|_| safe);
        let shape = match id {
            Some(id) => match self.by_type.get(&id) {
                Some(shape) => shape,
                None => {
                    let shape = self.by_text(&render(query, &backend)?, safe);
                    self.by_type.insert(id, Arc::clone(&shape));
                    shape
                }
            },
            None => self.by_text(&render(query, &backend)?, safe),
        };
        let mut identity = IdentityBuilder::default();
        identity.push_u64(shape.number);
        options.identify(&mut identity);
        let binds = B::collect_binds(query, &mut identity)?;
        let fingerprint = self.key.fingerprint(identity.as_bytes());
        Ok(Captured {
            identity: Identity { fingerprint, bytes: identity.into_bytes() },
            prepare: match id {
                _ if !safe || shape.prepared.is_none() => Prepare::Never,
                Some(_) => Prepare::ByType,
                None => Prepare::ByText,
            },
            shape,
            binds,
        })
    }

    /// The shape of a text.
    pub(crate) fn by_text(&self, sql: &str, safe: bool) -> Arc<Shape<B>> {
        if let Some(shape) = self.by_text.get(sql) {
            return shape;
        }
        let sql: Arc<str> = sql.into();
        let made = || {
            Ok::<_, Infallible>(Arc::new(Shape {
                number: self.next.fetch_add(1, Ordering::Relaxed),
                plan: plan(B::DIALECT, &sql),
                sql: Arc::clone(&sql),
                shared: B::Shared::default(),
                statement: OnceLock::new(),
                prepared: if safe { Prepared::claim(&self.prepared) } else { None },
                resolution: ArcSwapOption::empty(),
            }))
        };
        // By one of all who ask for the first time: two shapes of one text would have two numbers, and
        // a herd of readers would ask the database twice.
        let Ok(shape) = self.by_text.get_or_insert_with(&sql, made);
        shape
    }

    /// How many shapes are remembered.
    pub(crate) fn len(&self) -> usize {
        self.by_text.len()
    }
}

fn render<B: Backend>(query: &impl QueryFragment<B>, backend: &B) -> QueryResult<String> {
    let mut builder = B::QueryBuilder::default();
    query.to_sql(&mut builder, backend)?;
    Ok(builder.finish())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use diesel::pg::Pg;

    use super::*;

    #[test]
    fn all_who_ask_at_once_get_one_shape() {
        const THREADS: usize = 8;
        let shapes = Shapes::<Pg>::new();
        for round in 0..100 {
            let sql = format!("SELECT a FROM t WHERE b = {round}");
            let start = Barrier::new(THREADS);
            let numbers: Vec<u64> = std::thread::scope(|scope| {
                let ask = || {
                    start.wait();
                    shapes.by_text(&sql, true).number
                };
                let asking: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
                asking.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
        }
    }
}

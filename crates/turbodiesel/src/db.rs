//! `Db`: the pool, the cache and everything between them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::TransactionManager;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use turbodiesel_cache::{Cache, Slot, Stamps, WriteMark};
use turbodiesel_core::{TableName, Tag, Tier};

use crate::{
    backend::Backend,
    causes::{Cause, Causes},
    config::{Builder, Classes, Settings, parse_table, unknown_table},
    connection::Connection,
    error::{Error, SharedError},
    explain::Explanation,
    handle::Handle,
    keeper::CatalogKeeper,
    pool::{self, Checkout, Failures, Manager},
    settle,
    shape::{Effect, Resolved, Shape, Shapes},
    stats::{Counters, PoolStats, Stats},
    transaction::{SendAsyncFnOnce, Transactions},
};

/// A database behind a cache.
///
/// Cheap to clone; all clones share one pool and one cache. A `&Db` is a diesel-async connection:
///
/// ```no_run
/// use diesel::prelude::*;
/// use diesel_async::RunQueryDsl;
/// use turbodiesel::Db;
/// # diesel::table! { users { id -> Integer, name -> Text } }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let db = Db::builder().url("postgres://localhost/shop").build().await?;
/// // The second read never reaches the database, until somebody writes `users` through `db`.
/// for _ in 0..2 {
///     let name: String = users::table.find(7).select(users::name).first(&mut &db).await?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Db<B: Backend = Pg>(pub(crate) Arc<Inner<B>>);

pub(crate) struct Inner<B: Backend> {
    pub(crate) pool: bb8::Pool<Manager<B>>,
    pub(crate) cache: Cache<B::Answer, SharedError>,
    pub(crate) stamps: Arc<Stamps>,
    pub(crate) causes: Arc<Causes>,
    pub(crate) shapes: Shapes<B>,
    pub(crate) keeper: Arc<CatalogKeeper>,
    pub(crate) counters: Counters,
    pub(crate) settings: Settings,
    /// Writes in flight, which outlive the futures that started them.
    pub(crate) tasks: TaskTracker,
    /// Writes whose outcome has to be found out.
    pub(crate) lost: mpsc::UnboundedSender<settle::Open>,
    failures: Failures,
    closed: Arc<AtomicBool>,
}

impl Db<Pg> {
    /// Configures a handle to PostgreSQL.
    pub fn builder() -> Builder<Pg> {
        Builder::new()
    }

    /// Connects to PostgreSQL as the environment says: `DATABASE_URL`, `ENABLE_QUERY_CACHE`,
    /// `CACHE_TTL_L1`, `CACHE_TTL_L2` and `CACHE_TTL_L3` (seconds).
    ///
    /// # Errors
    ///
    /// If a variable is missing or has a value that it cannot have, or the database cannot be
    /// reached.
    pub async fn from_env() -> Result<Self, Error> {
        Builder::new().env()?.build().await
    }
}

#[cfg(feature = "sqlite")]
impl Db<diesel::sqlite::Sqlite> {
    /// Configures a handle to SQLite. Its URL is a path.
    pub fn sqlite() -> Builder<diesel::sqlite::Sqlite> {
        Builder::new()
    }
}

impl<B: Backend> Db<B> {
    pub(crate) async fn open(
        target: B::Target,
        mut settings: Settings,
        cache: Cache<B::Answer, SharedError>,
        stamps: Arc<Stamps>,
        classes: &[(TableName, Tier)],
    ) -> Result<Self, Error> {
        let causes = Arc::new(Causes::new(&stamps));
        let keeper = CatalogKeeper::new(Arc::clone(&stamps), Arc::clone(&causes));
        let keeper = Arc::new(keeper);
        let closed = Arc::new(AtomicBool::new(false));
        let manager = Manager::<B> {
            target: Arc::new(target),
            keeper: Arc::clone(&keeper),
            closed: Arc::clone(&closed),
            keep_for_ever: settings.pool.keep_for_ever,
        };
        let failures = Failures::new(Arc::clone(stamps.clock()));
        let pool = pool::build(manager, &settings.pool, &failures).await?;
        settings.classes = Classes::resolve(classes, &keeper.current().catalog)?;
        let (lost, lost_writes) = mpsc::unbounded_channel();
        let db = Self(Arc::new(Inner {
            pool,
            cache,
            stamps,
            causes,
            shapes: Shapes::new(),
            keeper,
            counters: Counters::default(),
            settings,
            tasks: TaskTracker::new(),
            lost,
            failures,
            closed,
        }));
        tokio::spawn(settle::settle_lost_writes(Arc::downgrade(&db.0), lost_writes));
        tokio::spawn(crate::keeper::check_at_intervals(Arc::downgrade(&db.0)));
        Ok(db)
    }

    /// A connection with options of its own, and with the outcome of its last lookup.
    ///
    /// It borrows nothing and holds no pool connection: one is checked out for each statement that
    /// needs the database.
    ///
    /// To an open [`QueryScope`](turbodiesel_optimizer::QueryScope), the queries of a handle are asked
    /// where the handle was made.
    #[must_use]
    #[track_caller]
    pub fn handle(&self) -> Handle<B> {
        Handle::new(self.clone())
    }

    /// Checks out a pool connection, for transactions and everything else that needs one session.
    ///
    /// # Errors
    ///
    /// If none becomes free in time, or the database cannot be reached.
    pub async fn connection(&self) -> Result<Connection<B>, Error> {
        Ok(Connection::new(self.clone(), self.0.checkout().await?))
    }

    /// Explains how a query would be answered, or what a write would end, without running it: see
    /// [`Explanation`].
    ///
    /// # Errors
    ///
    /// If the query cannot be rendered or its binds cannot be serialised.
    pub fn explain<Q>(&self, query: &Q) -> QueryResult<Explanation>
    where
        Q: QueryFragment<B> + QueryId,
    {
        self.handle().explain(query)
    }

    /// Forgets every answer that depends on a table or on some of its rows.
    ///
    /// For writes that turbodiesel cannot see: by other programs, by hand. A view stands for the
    /// tables behind it.
    ///
    /// # Errors
    ///
    /// If there is no such table.
    pub fn invalidate_table(&self, table: &str) -> Result<(), Error> {
        let effect = self.0.effect_of([parse_table(table)])?;
        self.0.change_by_hand(effect.slots());
        Ok(())
    }

    /// Forgets every answer that depends on a tag: one that handles were given with
    /// [`Handle::depends_on`], or a table's, with what follows from writing it. A column or value of a
    /// table stands for the table: whoever wrote it unseen may have changed the rows' other keys.
    pub fn invalidate(&self, tag: &Tag) {
        let of_table = match tag {
            Tag::All => Some(Effect::Everything { schema: false }),
            Tag::Table(table) | Tag::Column { table, .. } | Tag::Value { table, .. } => {
                self.0.effect_of([table.clone()]).ok()
            }
        };
        let slots = of_table.as_ref().map_or(&[][..], Effect::slots);
        self.0.change_by_hand(&[slots, &[self.0.stamps.slot(tag)]].concat());
    }

    /// Forgets every answer.
    pub fn invalidate_all(&self) {
        self.0.change_by_hand(&[Slot::ALL]);
    }

    /// Empties a tier, or all of them, and gives back its memory.
    pub fn clear(&self, tier: Option<Tier>) {
        self.0.cache.clear(tier);
    }

    /// Runs a function in a transaction on a connection from the pool. Equivalent to
    /// [`connection`](Self::connection) and then `transaction` on it.
    ///
    /// # Errors
    ///
    /// What the function returns, or what beginning or committing fails with.
    pub async fn transaction<R, E, F>(&self, function: F) -> Result<R, E>
    where
        F: for<'c> AsyncFnOnce(&'c mut Connection<B>) -> Result<R, E>
            + for<'c> SendAsyncFnOnce<&'c mut Connection<B>, Result<R, E>>,
        E: From<diesel::result::Error>,
    {
        let mut connection = self.connection().await.map_err(diesel::result::Error::from)?;
        Transactions::begin_transaction(&mut connection).await?;
        connection.run_begun(function).await
    }

    /// Figures since the start: hits, misses, reasons, entries, pool.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.0.pool.state();
        let edition = self.0.keeper.current();
        let cache = self.0.cache.stats();
        Stats {
            enabled: self.0.settings.enabled,
            lookups: self.0.counters.lookups(&cache),
            cache,
            bypasses: self.0.counters.bypasses(),
            statements: self.0.counters.statements(),
            writes: self.0.counters.writes(),
            shapes: self.0.shapes.len(),
            relations: edition.catalog.relations.len(),
            pool: PoolStats {
                size: state.connections,
                idle: state.idle_connections,
                max_size: self.0.settings.pool.size,
                waited: state.statistics.get_waited,
                timed_out: state.statistics.get_timed_out,
            },
        }
    }

    /// Ends the handle: refuses every further query, and waits until the writes and refreshes in
    /// flight have ended.
    ///
    /// # Errors
    ///
    /// If some are still running at the deadline. They go on, but nobody learns their outcome.
    pub async fn close(&self, deadline: Duration) -> Result<(), Error> {
        self.0.closed.store(true, Ordering::Release);
        self.0.tasks.close();
        match tokio::time::timeout(deadline, self.0.tasks.wait()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Error::unfinished(self.0.tasks.len())),
        }
    }
}

impl<B: Backend> Inner<B> {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) async fn checkout(&self) -> Result<Checkout<B>, Error> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        let start = self.stamps.clock().now();
        self.pool.get_owned().await.map_err(|error| match error {
            bb8::RunError::User(error) => error,
            bb8::RunError::TimedOut => {
                Error::checkout(self.settings.pool.checkout_timeout, self.failures.since(start))
            }
        })
    }

    /// The slot of a tag from the application. A table is the same however its name is spelt, and its
    /// columns and values stand for it: which of them writes tell depends on the catalog of the day.
    pub(crate) fn slot_of(&self, tag: &Tag) -> Slot {
        let full = match tag {
            Tag::All => None,
            Tag::Table(table) | Tag::Column { table, .. } | Tag::Value { table, .. } => {
                self.keeper.current().catalog.resolve(table).map(|(full, _)| full)
            }
        };
        full.map_or_else(|| self.stamps.slot(tag), |full| self.stamps.slot(&Tag::Table(full)))
    }

    /// What a write to these relations may write, under the current catalog.
    pub(crate) fn effect_of(
        &self,
        names: impl IntoIterator<Item = TableName>,
    ) -> Result<Effect, Error> {
        let edition = self.keeper.current();
        let catalog = &edition.catalog;
        let names: Vec<TableName> = names.into_iter().collect();
        if let Some(unknown) = names.iter().find(|name| catalog.resolve(name).is_none()) {
            return Err(unknown_table(unknown, catalog));
        }
        Ok(Effect::of(&catalog.write_closure_of(names), catalog, &self.stamps, false))
    }

    /// What the current catalog says of a shape, and which edition of the catalog that is.
    pub(crate) fn resolution(&self, shape: &Shape<B>) -> Resolved {
        shape.resolve(&self.keeper, &self.stamps, &self.settings)
    }

    /// Marks what a write may change. Readers neither fill from now until the mark is lifted, nor
    /// are they served what was read before.
    pub(crate) fn mark(&self, slots: impl IntoIterator<Item = Slot>) -> WriteMark {
        self.counters.count_write();
        self.stamps.begin_write(slots, self.settings.mark_lifetime)
    }

    fn change_by_hand(&self, slots: &[Slot]) {
        self.causes.note(Cause::HAND, slots.iter().copied());
        self.stamps.change(slots.iter().copied());
    }
}

impl<B: Backend> Clone for Db<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: Backend> fmt::Debug for Db<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("pool", &self.0.pool).finish_non_exhaustive()
    }
}

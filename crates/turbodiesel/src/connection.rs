//! `Connection`: a pool connection held by the caller, for everything that needs one session.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use diesel::{
    ConnectionResult, QueryResult,
    connection::{CacheSize, Instrumentation, InstrumentationEvent, TransactionManagerStatus},
    pg::Pg,
    query_builder::{AsQuery, QueryFragment, QueryId},
    result::ConnectionError,
};
use diesel_async::{
    AsyncConnection, AsyncConnectionCore, SimpleAsyncConnection, TransactionManager,
};
use futures_core::future::BoxFuture;
use tokio::sync::oneshot;
use turbodiesel_core::{Bypass, Outcome};

use crate::{
    backend::{Backend, Loaded},
    config::parse_table,
    db::Db,
    error::{Error, unable_to_send},
    options::ReadOptions,
    pool::Checkout,
    read::{self, Found, LoneRead},
    rows::Rows,
    session::{self, Change},
    shape::{Captured, Effect, Shape},
    statement::{Batch, Collect, Count, Statement},
    touched::Frames,
    transaction::{SendAsyncFnOnce, Transactions},
    write,
};

/// A pinned pool connection: a full `AsyncConnection`, with transactions, sessions and pipelining.
///
/// Outside a transaction its reads are served by the cache like those of a [`Handle`]; they never
/// wait for another reader's load, so a pool of one cannot deadlock. Inside a transaction every
/// statement reaches the database, and what it wrote is invalidated when the outermost transaction
/// commits. The commit and single writes run in tasks of their own: a caller that stops waiting
/// changes nothing about them.
///
/// [`Handle`]: crate::Handle
///
/// ```no_run
/// use diesel::prelude::*;
/// use diesel_async::{AsyncConnection, RunQueryDsl};
/// use turbodiesel::Db;
/// # diesel::table! { stock { id -> Integer, on_hand -> Integer } }
///
/// # async fn example(db: Db) -> Result<(), Box<dyn std::error::Error>> {
/// let mut connection = db.connection().await?;
/// connection
///     .transaction::<_, diesel::result::Error, _>(async |connection| {
///         let on_hand: i32 =
///             stock::table.find(1).select(stock::on_hand).for_update().first(connection).await?;
///         diesel::update(stock::table.find(1))
///             .set(stock::on_hand.eq(on_hand - 1))
///             .execute(connection)
///             .await?;
///         Ok(())
///     })
///     .await?;
/// # Ok(())
/// # }
/// ```
pub struct Connection<B: Backend = Pg> {
    pub(crate) db: Db<B>,
    /// The connection, unless a task has it.
    slot: Option<Checkout<B>>,
    /// Where that task puts it back. Kept when the caller stops waiting, so that the next statement
    /// finds it.
    returning: Option<oneshot::Receiver<Checkout<B>>>,
    frames: Mutex<Frames>,
    /// A transaction was open when the connection came out of the pool.
    found_open: bool,
    /// The open transaction will never commit, so its writes are published as they happen.
    in_test_transaction: bool,
    options: ReadOptions,
    outcome: Option<Outcome>,
    /// The status while no connection is there.
    absent: TransactionManagerStatus,
    no_instrumentation: NoInstrumentation,
}

/// What a function given to [`Connection::with_raw`] may write.
#[derive(Clone, Debug)]
pub struct Touches(Kinds);

#[derive(Clone, Debug)]
enum Kinds {
    Nothing,
    Tables(Vec<String>),
    Everything,
}

impl Touches {
    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self(Kinds::Nothing)
    }

    /// These tables, named as in configuration, and what follows from writing them.
    #[must_use]
    pub fn tables<T: Into<String>>(tables: impl IntoIterator<Item = T>) -> Self {
        Self(Kinds::Tables(tables.into_iter().map(Into::into).collect()))
    }

    /// Anything, the schema included.
    #[must_use]
    pub fn everything() -> Self {
        Self(Kinds::Everything)
    }
}

struct NoInstrumentation;

impl Instrumentation for NoInstrumentation {
    fn on_connection_event(&mut self, _event: InstrumentationEvent<'_>) {}
}

impl<B: Backend> Connection<B> {
    pub(crate) fn new(db: Db<B>, mut checkout: Checkout<B>) -> Self {
        let found_open = checkout.in_transaction();
        let mut absent = TransactionManagerStatus::default();
        absent.set_in_error();
        Self {
            db,
            slot: Some(checkout),
            returning: None,
            frames: Mutex::default(),
            found_open,
            in_test_transaction: false,
            options: ReadOptions::default(),
            outcome: None,
            absent,
            no_instrumentation: NoInstrumentation,
        }
    }

    /// Reads past the cache from now on, and leaves it as it is.
    #[must_use]
    pub fn bypass(mut self) -> Self {
        self.options.bypass = true;
        self
    }

    /// Keeps this connection's answers apart by scope; see [`Handle::scope`](crate::Handle::scope).
    #[must_use]
    pub fn scope(mut self, scope: impl Into<Arc<str>>) -> Self {
        self.options.scope = Some(scope.into());
        self
    }

    /// Accepts no answer older than this.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.options.max_age = Some(max_age);
        self
    }

    /// How the last query was answered, `None` before the first or if it failed.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Gives direct access to the diesel-async connection underneath, for what only its own type
    /// can do (`COPY`, notifications, extensions).
    ///
    /// Nothing is known of what happens there: what the caller declares is invalidated after, the
    /// connection's reads bypass the cache from now on, and it is closed instead of returned to the
    /// pool. A connection that is lost meanwhile leaves the declared tables uncached until its
    /// writes must have ended.
    ///
    /// # Errors
    ///
    /// What the function returns, or if a declared table does not exist.
    pub async fn with_raw<R, F>(&mut self, touches: Touches, function: F) -> QueryResult<R>
    where
        F: for<'r> AsyncFnOnce(&'r mut B::Raw) -> QueryResult<R>
            + for<'r> SendAsyncFnOnce<&'r mut B::Raw, QueryResult<R>>
            + Send,
        R: Send,
    {
        self.reclaim().await?;
        let effect = self.declared(touches)?;
        let publishes = self.publishes_at_once();
        self.frames().add(&effect);
        let Self { db, slot, .. } = self;
        let checkout = slot.as_mut().ok_or_else(lost)?;
        checkout.tainted = true;
        let mark = publishes.then(|| db.0.mark(&effect));
        let result = function(checkout.start()).await;
        let result = checkout.finish(result);
        if let Some(mark) = mark {
            let error = result.as_ref().err();
            write::settle(&db.0, checkout, mark, &effect, error).await;
        }
        result
    }

    fn declared(&self, touches: Touches) -> QueryResult<Effect> {
        let names = match touches.0 {
            Kinds::Nothing => return Ok(Effect::Nothing),
            Kinds::Everything => return Ok(Effect::Everything { schema: true }),
            Kinds::Tables(names) => names,
        };
        let names = names.iter().map(|name| parse_table(name));
        self.db.0.effect_of(names).map_err(Error::into)
    }

    /// Whether a transaction is open, so that only the database knows what is visible.
    pub(crate) fn in_transaction(&self) -> bool {
        self.found_open || self.frames().is_open()
    }

    pub(crate) fn frames(&self) -> MutexGuard<'_, Frames> {
        // OK because nothing can panic while the lock is held.
        self.frames.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The connection, which must be there.
    pub(crate) fn checked_out(&mut self) -> QueryResult<&mut Checkout<B>> {
        self.slot.as_mut().ok_or_else(lost)
    }

    /// The connection through a shared reference.
    pub(crate) fn shared(&self) -> QueryResult<&Checkout<B>> {
        self.slot.as_ref().ok_or_else(lost)
    }

    pub(crate) fn options(&self) -> &ReadOptions {
        &self.options
    }

    /// Whether a write is invalidated when it is done, instead of with a commit to come.
    pub(crate) fn publishes_at_once(&self) -> bool {
        self.in_test_transaction || !self.frames().is_open()
    }

    /// Waits for a task that has the connection, and replaces one that cannot be used any more.
    pub(crate) async fn reclaim(&mut self) -> QueryResult<()> {
        if let Some(returning) = &mut self.returning {
            // If the task died, so did the connection; whatever was open on it is rolled back.
            self.slot = returning.await.ok();
            self.returning = None;
            // The task may have ended the transaction for a caller that stopped waiting.
            let depth = self.status().transaction_depth().ok().flatten();
            self.frames().truncate(depth.map_or(0, |depth| depth.get() as usize));
        }
        // A `BEGIN` or `ROLLBACK` was sent and nobody saw what became of it: the server and the
        // transaction manager may disagree, so nothing must be built on it.
        if self.slot.as_ref().is_some_and(|checkout| checkout.in_control) {
            self.slot = None;
        }
        if self.slot.is_none() {
            let mut checkout = self.db.0.checkout().await?;
            self.found_open = checkout.in_transaction();
            self.in_test_transaction = false;
            self.frames().truncate(0);
            self.slot = Some(checkout);
        }
        Ok(())
    }

    /// Lends the connection to a task that runs to its end even if this future is dropped.
    pub(crate) async fn lend<R, F, Task>(&mut self, task: Task) -> QueryResult<R>
    where
        R: Send + 'static,
        Task: FnOnce(Db<B>, Checkout<B>) -> F,
        F: Future<Output = (Checkout<B>, QueryResult<R>)> + Send + 'static,
    {
        self.reclaim().await?;
        let checkout = self.slot.take().ok_or_else(lost)?;
        let (give_back, returning) = oneshot::channel();
        self.returning = Some(returning);
        let task = task(self.db.clone(), checkout);
        let result = self
            .db
            .0
            .owned(async move {
                let (checkout, result) = task.await;
                // If nobody waits any more, the pool gets it.
                let _ = give_back.send(checkout);
                result
            })
            .await;
        self.reclaim().await?;
        result
    }

    /// A transaction or savepoint has begun.
    pub(crate) fn begin_frame(&mut self) {
        self.frames().begin();
    }

    /// A transaction or savepoint has been rolled back.
    pub(crate) fn roll_back_frame(&mut self) {
        let mut frames = self.frames();
        frames.roll_back();
        let still_open = frames.is_open();
        drop(frames);
        self.in_test_transaction &= still_open;
    }

    /// A savepoint has been released.
    pub(crate) fn release_frame(&mut self) {
        let outermost = self.frames().release();
        // A savepoint in a transaction that was open before this connection was checked out: there
        // is no commit to wait for.
        if let Some(effect) = outermost {
            self.db.0.stamps.change(effect.slots().iter().copied());
        }
    }

    /// The outermost transaction has ended.
    pub(crate) fn end_frames(&mut self) {
        self.frames().truncate(0);
        self.in_test_transaction = false;
    }

    async fn load_captured(&mut self, captured: Captured<B>) -> QueryResult<Rows<B>> {
        self.outcome = None;
        let effect = self.prepare(&captured.shape).await?;
        let (rows, outcome) = match effect {
            Effect::Nothing => self.read(captured).await?,
            effect => {
                let rows = self.write(effect, Collect(captured.into_query())).await?;
                (Rows::collected(rows), self.db.0.counters.count_bypass(Bypass::Write))
            }
        };
        self.outcome = Some(outcome);
        Ok(rows)
    }

    async fn execute_captured(&mut self, captured: Captured<B>) -> QueryResult<usize> {
        let effect = self.prepare(&captured.shape).await?;
        self.write(effect, Count(captured.into_query())).await
    }

    /// Has the connection at hand, and says what a statement will do to the database and to it.
    async fn prepare(&mut self, shape: &Shape<B>) -> QueryResult<Effect> {
        self.reclaim().await?;
        match session::change(&shape.plan, &shape.sql) {
            Change::None => return Ok(write::effect(&self.db, shape)),
            Change::UntilTransactionEnds if self.frames().is_open() => {
                return Ok(write::effect(&self.db, shape));
            }
            Change::UntilTransactionEnds | Change::Session => {}
            // Behind the transaction manager's back: what it commits is not known.
            Change::Transaction => {
                self.checked_out()?.tainted = true;
                return Ok(Effect::Everything { schema: true });
            }
        }
        self.checked_out()?.tainted = true;
        Ok(write::effect(&self.db, shape))
    }

    /// Executes a statement in the open transaction, or by itself in a task that owns it.
    async fn write<S: Statement<B>>(
        &mut self,
        effect: Effect,
        statement: S,
    ) -> QueryResult<S::Answer> {
        if !self.publishes_at_once() {
            // Noted before it is sent: a dropped future leaves the statement running.
            self.frames().add(&effect);
            self.db.0.counters.count_statement();
            let checkout = self.checked_out()?;
            let answer = statement.run(checkout.start()).await;
            return checkout.finish(answer);
        }
        self.lend(|db, mut checkout| async move {
            let answer = match effect {
                Effect::Nothing => {
                    db.0.counters.count_statement();
                    let answer = statement.run(checkout.start()).await;
                    checkout.finish(answer)
                }
                effect => write::write(&db.0, &mut checkout, &effect, statement).await,
            };
            (checkout, answer)
        })
        .await
    }

    async fn read(&mut self, captured: Captured<B>) -> QueryResult<(Rows<B>, Outcome)> {
        let tainted = self.checked_out()?.tainted;
        let reason = match () {
            () if tainted => Err(Bypass::TaintedConnection),
            () if self.in_transaction() => Err(Bypass::InTransaction),
            () => match read::look_up(&self.db, &self.options, &captured) {
                Found::Hit { answer, outcome, refresh } => {
                    read::refresh_if_due(&self.db, refresh, captured);
                    return Ok((Rows::answer(answer), outcome));
                }
                Found::Miss => LoneRead::begin(&self.db, &self.options, &captured),
                Found::Bypass(reason) => Err(reason),
            },
        };
        let Self { db, slot, .. } = self;
        let checkout = slot.as_mut().ok_or_else(lost)?;
        let lone = match reason {
            Ok(lone) => lone,
            Err(reason) => {
                let (rows, outcome) = read::live_on(db, checkout, captured, reason).await?;
                return Ok((Rows::live(rows, None), outcome));
            }
        };
        let identity = captured.identity.clone();
        Ok(match read::load_answer(db, checkout, captured).await? {
            Loaded::Whole(answer) => {
                let answer = Arc::new(answer);
                lone.fill(db, identity.key(), &answer);
                (Rows::answer(answer), db.0.counters.count_miss())
            }
            Loaded::Streaming(rows) => {
                (Rows::live(rows, None), db.0.counters.count_bypass(Bypass::TooLarge))
            }
        })
    }
}

fn lost() -> diesel::result::Error {
    unable_to_send("the connection is with a task that has not returned it yet".to_owned())
}

impl<B: Backend> SimpleAsyncConnection for Connection<B> {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        let shape = self.db.0.shapes.by_text(query, false);
        let effect = self.prepare(&shape).await?;
        self.write(effect, Batch(query.to_owned())).await
    }
}

impl<B: Backend> AsyncConnectionCore for Connection<B> {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<Rows<B>>>;
    type Stream<'conn, 'query> = Rows<B>;
    type Row<'conn, 'query> = B::Row;
    type Backend = B;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<B> + QueryId + 'query,
    {
        let captured = self.db.0.shapes.capture(&source.as_query(), &self.options);
        Box::pin(async move { self.load_captured(captured?).await })
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<B> + QueryId + 'query,
    {
        let captured = self.db.0.shapes.capture(&source, &self.options);
        Box::pin(async move { self.execute_captured(captured?).await })
    }
}

impl<B: Backend> AsyncConnection for Connection<B> {
    type TransactionManager = Transactions;

    /// Always fails: a connection belongs to a [`Db`], which opens it.
    async fn establish(_database_url: &str) -> ConnectionResult<Self> {
        Err(ConnectionError::BadConnection(
            "a turbodiesel connection comes from `Db::connection()`".to_owned(),
        ))
    }

    /// Begins a transaction that is never committed. Its writes invalidate at once, so that readers
    /// on the same pool of one see them.
    async fn begin_test_transaction(&mut self) -> QueryResult<()> {
        self.reclaim().await?;
        let checkout = self.checked_out()?;
        let begun = checkout.start_control().begin_test_transaction().await;
        checkout.finish(begun)?;
        self.begin_frame();
        self.in_test_transaction = true;
        Ok(())
    }

    fn transaction_state(&mut self) -> &mut TransactionManagerStatus {
        Transactions::transaction_manager_status_mut(self)
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        match &mut self.slot {
            Some(checkout) => checkout.instrumentation(),
            None => &mut self.no_instrumentation,
        }
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        if let Some(checkout) = &mut self.slot {
            checkout.set_instrumentation(instrumentation);
        }
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        if let Some(checkout) = &mut self.slot {
            checkout.set_prepared_statement_cache_size(size);
        }
    }
}

impl<B: Backend> Connection<B> {
    /// The status of the connection, if a task has it that of a broken one.
    pub(crate) fn status(&mut self) -> &mut TransactionManagerStatus {
        if let Some(returning) = &mut self.returning
            && let Ok(checkout) = returning.try_recv()
        {
            self.slot = Some(checkout);
            self.returning = None;
        }
        match &mut self.slot {
            Some(checkout) => {
                <B::Raw as AsyncConnection>::TransactionManager::transaction_manager_status_mut(
                    checkout,
                )
            }
            None => &mut self.absent,
        }
    }
}

impl<B: Backend> fmt::Debug for Connection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("options", &self.options)
            .field("outcome", &self.outcome)
            .field("in_transaction", &self.in_transaction())
            .finish_non_exhaustive()
    }
}

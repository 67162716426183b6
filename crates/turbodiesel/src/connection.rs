//! `Connection`: a pool connection held by the caller, for everything that needs one session.

mod hold;
mod raw_access;

use std::{
    fmt,
    sync::{Arc, Mutex},
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
use tokio::sync::{oneshot, watch};
use turbodiesel_core::{Bypass, Outcome};
use turbodiesel_sql::Kind;

use self::hold::lost;
pub use self::raw_access::Touches;
use crate::{
    backend::{Backend, Loaded},
    db::Db,
    error::run_again,
    observe,
    options::{ReadOptions, read_options},
    pool::Checkout,
    read::{self, Found, LoneRead},
    rows::Rows,
    session::{self, Change},
    shape::{Captured, Effect, Shape},
    statement::{Batch, Collect, Count, Learn, Ran, Statement},
    tags::{Expectation, Refusal},
    touched::Frames,
    transaction::{CommitOutcome, Transactions},
    write,
};

/// A pinned pool connection: a full `AsyncConnection`, with transactions, sessions and pipelining.
///
/// Outside a transaction its reads are served by the cache like those of a [`Handle`]; they never
/// wait for another reader's load, so a pool of one cannot deadlock. Inside a transaction every
/// statement reaches the database, and what it wrote is invalidated when the outermost transaction
/// commits. The commit and single writes go on in tasks of their own if their futures are dropped: a
/// caller that stops waiting changes nothing about them.
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
    /// The edition of the catalog when the outermost frame began.
    pub(crate) begun_under: u64,
    /// The number that the server gave to the open transaction, once it has written and if it told.
    number: Option<i64>,
    /// Where it is told what became of the last transaction.
    pub(crate) told: Option<watch::Receiver<CommitOutcome>>,
    /// A transaction was open when the connection came out of the pool.
    found_open: bool,
    /// The open transaction will never commit, so its writes are published as they happen.
    in_test_transaction: bool,
    /// Names mean other tables than the catalog's until the open transaction ends.
    names_changed: bool,
    /// Statements may have begun or ended transactions behind the transaction manager's back, so
    /// nothing can be concluded from what it says: writes are published as they happen, and once
    /// more with whatever the manager commits or rolls back.
    out_of_hand: bool,
    /// The connection was lost in an open transaction, which is broken until it is given up.
    lost_in_transaction: bool,
    /// A write of the open transaction may have been refused for what it was asked besides.
    pub(crate) suspects_catalog: bool,
    options: ReadOptions,
    outcome: Option<Outcome>,
    /// The status while no connection is there.
    absent: TransactionManagerStatus,
    no_instrumentation: NoInstrumentation,
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
            begun_under: 0,
            number: None,
            told: None,
            found_open,
            in_test_transaction: false,
            names_changed: false,
            out_of_hand: false,
            lost_in_transaction: false,
            suspects_catalog: false,
            options: ReadOptions::default(),
            outcome: None,
            absent,
            no_instrumentation: NoInstrumentation,
        }
    }

    /// How the last query for rows was answered; `None` if there was none, if it failed, or if the
    /// last statement was executed for its count. Pipelined queries leave it as it is.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Whether names mean other tables than the catalog's until the transaction ends.
    pub(crate) fn names_changed(&self) -> bool {
        self.names_changed
    }

    pub(crate) fn options(&self) -> &ReadOptions {
        &self.options
    }

    async fn load_captured(&mut self, captured: Captured<B>) -> QueryResult<Rows<B>> {
        let observation = observe::begin(&captured, None, || self.in_transaction());
        match self.load_unobserved(captured).await {
            Ok((rows, outcome)) => Ok(rows.observed(observation, outcome)),
            Err(error) => {
                observe::end(observation, Err(&error));
                Err(error)
            }
        }
    }

    async fn load_unobserved(&mut self, captured: Captured<B>) -> QueryResult<(Rows<B>, Outcome)> {
        self.outcome = None;
        let effect = self.prepare(&captured.shape).await?;
        let (rows, outcome) = match effect {
            Effect::Nothing => self.read(captured).await?,
            effect => {
                let shape = Arc::clone(&captured.shape);
                let rows = self.write(shape, effect, Collect(captured)).await?;
                (Rows::collected(rows), self.db.0.counters.count_bypass(Bypass::Write))
            }
        };
        self.outcome = Some(outcome);
        Ok((rows, outcome))
    }

    async fn execute_captured(&mut self, captured: Captured<B>) -> QueryResult<usize> {
        let observation = observe::begin(&captured, None, || self.in_transaction());
        self.outcome = None;
        let shape = Arc::clone(&captured.shape);
        let count = match self.prepare(&shape).await {
            Ok(effect) => self.write(shape, effect, Count(captured)).await,
            Err(error) => Err(error),
        };
        observe::end(observation, count.as_ref().copied());
        count
    }

    /// Has the connection at hand, and says what a statement will do to the database and to it.
    async fn prepare(&mut self, shape: &Shape<B>) -> QueryResult<Effect> {
        self.reclaim().await?;
        let in_frame = self.in_frame();
        match session::change(&shape.plan, &shape.sql) {
            Change::None => {}
            Change::Harmless if in_frame => {}
            Change::Names if in_frame => self.names_changed = true,
            Change::Harmless | Change::Names | Change::Session => {
                self.checked_out()?.tainted = true;
                // What is not understood may also begin or end a transaction.
                self.out_of_hand |= shape.plan.kind() == Kind::Unknown;
            }
            Change::Transaction => {
                self.checked_out()?.tainted = true;
                self.out_of_hand = true;
                return Ok(Effect::Everything { schema: true });
            }
        }
        Ok(match self.names_changed || self.checked_out()?.tainted {
            true => write::effect_elsewhere(&self.db, shape),
            false => write::effect(&self.db, shape),
        })
    }

    /// Executes a statement in the open transaction, or by itself to its end.
    async fn write<S: Statement<B>>(
        &mut self,
        shape: Arc<Shape<B>>,
        effect: Effect,
        statement: S,
    ) -> QueryResult<S::Answer> {
        if self.publishes_at_once() && effect != Effect::Nothing {
            return self.write_and_publish(shape, effect, statement).await;
        }
        // Noted before it is sent: a dropped future leaves the statement running.
        let cause = shape.cause();
        if effect != Effect::Nothing {
            self.db.0.causes.remember(cause, &shape.sql);
        }
        // Not once a statement may have failed for it, and its savepoint has been rolled back.
        let may_learn = matches!(effect, Effect::Slots(_)) && !self.suspects_catalog;
        let learning = if may_learn && effect == write::effect(&self.db, &shape) {
            let binds = statement.binds();
            let expectation = write::expectation(&self.db, &shape, binds, false);
            let Expectation { slots, unlearnt, learning } = expectation;
            let mut frames = self.frames();
            frames.attribute(cause, &slots);
            frames.attribute(cause, &unlearnt);
            frames.expect(slots, unlearnt);
            learning
        } else {
            let mut frames = self.frames();
            frames.attribute(cause, effect.slots());
            frames.add(&effect);
            None
        };
        self.db.0.counters.count_statement();
        let stamps = Arc::clone(&self.db.0.stamps);
        let number = self.number.is_none() && effect != Effect::Nothing;
        let learn = Learn { learning: learning.as_deref(), stamps: &stamps, number };
        let checkout = self.checked_out()?;
        let ran = statement.run(checkout.start(), learn).await;
        let ran = checkout.finish(ran);
        if let (Some(learning), Err(error)) = (&learning, &ran)
            && let Some(refusal) = learning.refusal(error)
        {
            self.suspects_catalog = true;
            // Where the right to read it is missing, that is the error's to say.
            if let Refusal::Missing(_) = refusal {
                return Err(run_again(error));
            }
        }
        let Ran { answer, learnt, number } = ran?;
        self.number = self.number.or(number);
        if let Some(learnt) = learnt {
            let mut frames = self.frames();
            frames.attribute(cause, &learnt);
            frames.learn(learnt);
        }
        Ok(answer)
    }

    /// Executes a statement to its end, and invalidates what it wrote when it is done.
    async fn write_and_publish<S: Statement<B>>(
        &mut self,
        shape: Arc<Shape<B>>,
        effect: Effect,
        statement: S,
    ) -> QueryResult<S::Answer> {
        self.frames().add(&effect);
        self.lend(|db, mut checkout| async move {
            // What the catalog says by itself, the task finds out, and more exactly.
            let more = if effect == write::effect(&db, &shape) { Effect::Nothing } else { effect };
            let answer = write::write(&db, &mut checkout, &shape, more, statement).await;
            (Some(checkout), answer)
        })
        .await
    }

    /// Asks the cache, if the connection may, and says how to read the database otherwise.
    pub(crate) fn begin_read(&self, captured: Captured<B>) -> QueryResult<Begun<B>> {
        let Self { db, options, .. } = self;
        let lone = if self.names_changed || self.shared()?.tainted {
            Err(Bypass::TaintedConnection)
        } else if self.in_transaction() {
            Err(Bypass::InTransaction)
        } else {
            match read::look_up(db, options, &captured) {
                Found::Hit { answer, outcome, refresh } => {
                    read::refresh_if_due(db, refresh, captured);
                    return Ok(Begun::Served(answer, outcome));
                }
                Found::Miss => LoneRead::begin(db, options, &captured),
                Found::Bypass(reason) => Err(reason),
            }
        };
        Ok(Begun::Read(captured, lone))
    }

    async fn read(&mut self, captured: Captured<B>) -> QueryResult<(Rows<B>, Outcome)> {
        let (captured, lone) = match self.begin_read(captured)? {
            Begun::Served(answer, outcome) => return Ok((Rows::answer(answer), outcome)),
            Begun::Read(captured, lone) => (captured, lone),
        };
        let Self { db, slot, .. } = self;
        let checkout = slot.as_mut().ok_or_else(lost)?;
        let lone = match lone {
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

read_options!(Connection);

impl<B: Backend> SimpleAsyncConnection for Connection<B> {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        let shape = self.db.0.shapes.by_text(query, false);
        let observation = observe::begin_batch(&shape, || self.in_transaction());
        let result = match self.prepare(&shape).await {
            Ok(effect) => self.write(shape, effect, Batch(query.to_owned())).await,
            Err(error) => Err(error),
        };
        observe::end(observation, result.as_ref().map(|()| 0));
        result
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

/// What the beginning of a read on a connection came to.
pub(crate) enum Begun<B: Backend> {
    Served(Arc<B::Answer>, Outcome),
    /// Read the database, and keep the answer or not, for the reason given.
    Read(Captured<B>, Result<LoneRead, Bypass>),
}

struct NoInstrumentation;

impl Instrumentation for NoInstrumentation {
    fn on_connection_event(&mut self, _event: InstrumentationEvent<'_>) {}
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

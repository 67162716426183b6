//! `QueryScope`: the statements of one request, test or task.

use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context as TaskContext, Poll},
};

use diesel::row::Row;
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use smallvec::SmallVec;
use tokio::task::futures::TaskLocalFuture;
use turbodiesel_core::{Clock, Nanos, PreciseClock};

use crate::{
    Counts, Findings, ObservedBackend, Statement, Thresholds, ValueHash, backend, detect,
    recording::{Entry, Flags, Recording, SAMPLED_ROWS},
    site::Stack,
};

tokio::task_local! {
    static CONTEXT: Context;
}

/// What a task knows of where it is.
#[derive(Clone)]
struct Context {
    scope: Option<QueryScope>,
    site: Option<&'static Location<'static>>,
}

impl Context {
    fn current() -> Self {
        CONTEXT.try_with(Clone::clone).unwrap_or(Self { scope: None, site: None })
    }
}

/// The statements that are executed while a future runs.
///
/// A scope is local to its task: [`in_current_scope`](InCurrentScope::in_current_scope) takes it along
/// to a spawned one. Statements of a scope within a scope belong to both. Cheap to clone.
///
/// Recording a statement costs about a hundred nanoseconds, and not having a scope one look at a task
/// local.
/// At most 1 MiB is kept: hashes of the values, never the values themselves.
///
/// ```
/// use turbodiesel_optimizer::{QueryScope, scope};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (answer, recorded) = scope(async {
///     assert!(QueryScope::current().is_some());
///     // … queries through an `Observed` connection …
///     42
/// })
/// .await;
/// assert_eq!((answer, recorded.counts().statements), (42, 0));
/// assert!(QueryScope::current().is_none());
/// # }
/// ```
#[derive(Clone)]
pub struct QueryScope(Arc<Inner>);

struct Inner {
    parent: Option<QueryScope>,
    /// Shared with the scopes within, so that their executions are in one order.
    ticks: Arc<AtomicU32>,
    clock: Arc<dyn Clock>,
    backtraces: Option<u32>,
    recording: Mutex<Recording>,
}

/// How a scope records.
#[derive(Clone, Debug)]
#[must_use]
pub struct ScopeOptions {
    clock: Arc<dyn Clock>,
    backtraces: Option<u32>,
}

impl Default for ScopeOptions {
    fn default() -> Self {
        Self { clock: Arc::new(PreciseClock), backtraces: None }
    }
}

impl ScopeOptions {
    /// Sets the clock by which statements are timed.
    ///
    /// Defaults to the operating system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes a backtrace of each statement when it is executed for this many times, so that a finding
    /// can say where it comes from. For development: one costs some microseconds, and resolving it
    /// for a finding milliseconds. Without the feature `backtrace` this has no effect.
    ///
    /// Defaults to none.
    pub fn backtraces(mut self, after: u32) -> Self {
        self.backtraces = Some(after);
        self
    }

    /// Opens a scope within the current one, if there is one.
    #[must_use]
    pub fn open(self) -> QueryScope {
        let Self { clock, backtraces } = self;
        let parent = QueryScope::current();
        let ticks = parent.as_ref().map(|parent| Arc::clone(&parent.0.ticks)).unwrap_or_default();
        QueryScope(Arc::new(Inner {
            parent,
            ticks,
            clock,
            backtraces,
            recording: Mutex::default(),
        }))
    }
}

/// Runs a future in a scope of its own, and returns the scope with the future's output.
///
/// Give it an `async` block or the future of an `async fn`. The future of a single query on an
/// [`Observed`](crate::Observed) connection was described before the scope was there, so it is counted
/// but in no finding.
pub async fn scope<F: Future>(future: F) -> (F::Output, QueryScope) {
    let scope = ScopeOptions::default().open();
    (scope.run(future).await, scope)
}

/// Runs a future whose statements are recorded in no scope, however it ends. Scopes that are opened
/// within it record again.
pub fn unobserved<F: Future>(future: F) -> InScope<F> {
    InScope { future: CONTEXT.scope(Context { scope: None, site: None }, future) }
}

impl QueryScope {
    /// The scope of the running task.
    #[must_use]
    pub fn current() -> Option<Self> {
        Context::current().scope
    }

    /// Runs a future in this scope.
    pub fn run<F: Future>(&self, future: F) -> InScope<F> {
        let context = Context { scope: Some(self.clone()), site: None };
        InScope { future: CONTEXT.scope(context, future) }
    }

    /// Calls a function in this scope.
    pub fn enter<R>(&self, function: impl FnOnce() -> R) -> R {
        CONTEXT.sync_scope(Context { scope: Some(self.clone()), site: None }, function)
    }

    /// How many statements were executed, so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.recording.lock().counts()
    }

    /// What is wrong with the statements, so far.
    #[must_use]
    pub fn findings(&self, thresholds: &Thresholds) -> Findings {
        detect::detect(&self.0.recording.lock(), thresholds)
    }

    /// Each statement with the number of its executions that went to the database and of those that
    /// were answered by a cache, in the order in which they first ended.
    #[must_use]
    pub fn statements(&self) -> Vec<(Arc<Statement>, Counts)> {
        let recording = self.0.recording.lock();
        let mut statements: Vec<_> = (recording.keys().iter())
            .map(|key| (Arc::clone(&key.statement), Counts::default()))
            .collect();
        for execution in recording.executions() {
            let counts = &mut statements[execution.key as usize].1;
            *if execution.flags.hit { &mut counts.hits } else { &mut counts.statements } += 1;
        }
        statements
    }

    fn tick(&self) -> u32 {
        self.0.ticks.fetch_add(1, Ordering::Relaxed)
    }

    /// This scope and those around it.
    fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |scope| scope.0.parent.as_ref())
    }

    /// Records in this scope and those around it. The names of columns are wanted once for each
    /// statement.
    #[inline]
    fn record(
        &self,
        entry: &Entry<'_>,
        look: impl Fn(&mut Vec<ValueHash>) -> usize,
        names: impl Fn() -> Vec<Box<str>>,
    ) {
        self.all().for_each(|scope| scope.0.recording.lock().push(entry, &look, &names));
    }

    fn sample_stack(&self, statement: &Statement, site: Option<&'static Location<'static>>) {
        for scope in self.all() {
            let Some(after) = scope.0.backtraces else { continue };
            if scope.0.recording.lock().wants_a_stack(statement, site, after) {
                let stack = Stack::take();
                scope.0.recording.lock().keep_stack(statement, site, stack);
            }
        }
    }
}

impl fmt::Debug for QueryScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QueryScope").field(&self.counts()).finish()
    }
}

/// A statement as a connection describes it to the current scope.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The statement.
    pub statement: &'a Arc<Statement>,
    /// Its binds, in their order.
    pub binds: &'a [ValueHash],
    /// Where it was asked, as far as the connection knows. A [`located`](Located::located) future
    /// knows better.
    pub site: Option<&'static Location<'static>>,
    /// Whether it runs in a transaction.
    pub in_transaction: bool,
}

/// Whether there is a scope to record in. Costs about as much as a look at a thread local.
#[must_use]
#[inline]
pub fn is_observed() -> bool {
    CONTEXT.try_with(|context| context.scope.is_some()).unwrap_or(false)
}

/// Counts a statement of which nothing is known, because it was described where there was no scope.
pub(crate) fn record_unknown() {
    if let Some(scope) = QueryScope::current() {
        scope.all().for_each(|scope| scope.0.recording.lock().push_unknown());
    }
}

/// Records a statement that a cache has answered, in the current scope if there is one. The first of
/// the answer's rows are looked at.
#[inline]
pub fn record_hit<B, R>(asked: Asked<'_>, rows: usize, row: impl Fn(usize) -> Option<R>)
where
    B: ObservedBackend,
    R: for<'r> Row<'r, B>,
{
    let _ = CONTEXT.try_with(|context| {
        let Some(scope) = &context.scope else { return };
        let Asked { statement, binds, site, in_transaction } = asked;
        let tick = scope.tick();
        let entry = Entry {
            statement,
            site: context.site.or(site),
            binds,
            start: tick,
            first_row: tick,
            end: tick,
            rows: u32::try_from(rows).unwrap_or(u32::MAX),
            nanos: 0,
            flags: Flags { hit: true, in_transaction, ..Flags::default() },
        };
        let look = |values: &mut Vec<ValueHash>| {
            let mut width = 0;
            for row in (0..rows.min(SAMPLED_ROWS)).filter_map(&row) {
                width = backend::width(&row);
                values.extend(backend::cells(&row, width));
            }
            width
        };
        let names = || {
            let first = row(0);
            first.map(|row| backend::names(&row, backend::width(&row))).unwrap_or_default()
        };
        scope.record(&entry, look, names);
    });
}

/// A statement under way, on its way into a scope.
///
/// It is recorded when it is told its [`end`](Self::end); dropped before, it is not: nobody knows then
/// whether the database ever saw it.
#[derive(Debug)]
#[must_use]
pub struct Observation {
    scope: QueryScope,
    statement: Arc<Statement>,
    site: Option<&'static Location<'static>>,
    binds: SmallVec<[ValueHash; 4]>,
    in_transaction: bool,
    start: u32,
    begun: Nanos,
    first_row: Option<u32>,
    rows: u32,
    columns: Vec<Box<str>>,
    cells: Vec<ValueHash>,
}

/// How a statement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// Well, and all of its rows were read.
    Done,
    /// Well, but there were more rows than were read.
    Unread,
    /// In an error.
    Failed,
}

impl Observation {
    /// Begins to observe a statement that is about to be executed; `None` without a scope.
    #[must_use]
    pub fn begin(asked: Asked<'_>) -> Option<Self> {
        let begin = |context: &Context| {
            let scope = context.scope.clone()?;
            let Asked { statement, binds, site, in_transaction } = asked;
            let site = context.site.or(site);
            scope.sample_stack(statement, site);
            Some(Self {
                start: scope.tick(),
                begun: scope.0.clock.now(),
                scope,
                statement: Arc::clone(statement),
                site,
                binds: binds.into(),
                in_transaction,
                first_row: None,
                rows: 0,
                columns: Vec::new(),
                cells: Vec::new(),
            })
        };
        CONTEXT.try_with(begin).ok().flatten()
    }

    /// The statement is executed now, and not when it was described: it belongs to the scope and the
    /// place that are current by now, if there is a scope.
    #[must_use]
    pub fn start(mut self) -> Option<Self> {
        let Context { scope, site } = Context::current();
        self.scope = scope?;
        self.site = site.or(self.site);
        self.start = self.scope.tick();
        self.begun = self.scope.0.clock.now();
        Some(self)
    }

    /// A row has arrived.
    pub fn row<'r, B, R>(&mut self, row: &R)
    where
        B: ObservedBackend,
        R: Row<'r, B>,
    {
        if self.first_row.is_none() {
            self.first_row = Some(self.scope.tick());
            self.columns = backend::names(row, backend::width(row));
        }
        if (self.rows as usize) < SAMPLED_ROWS {
            self.cells.extend(backend::cells(row, self.columns.len()));
        }
        self.rows = self.rows.saturating_add(1);
    }

    /// All rows have arrived. The first of them are looked at.
    pub fn rows<'r, B, R>(&mut self, rows: &[R])
    where
        B: ObservedBackend,
        R: Row<'r, B>,
    {
        rows.iter().take(SAMPLED_ROWS).for_each(|row| self.row(row));
        self.touched(rows.len());
    }

    /// So many rows have arrived, and a function hands them out. The first of them are looked at.
    pub fn answer<B, R>(&mut self, rows: usize, row: impl Fn(usize) -> Option<R>)
    where
        B: ObservedBackend,
        R: for<'r> Row<'r, B>,
    {
        (0..rows.min(SAMPLED_ROWS)).filter_map(row).for_each(|row| self.row(&row));
        self.touched(rows);
    }

    /// So many rows were touched, or returned, altogether.
    pub fn touched(&mut self, rows: usize) {
        self.rows = u32::try_from(rows).unwrap_or(u32::MAX);
    }

    /// The statement has ended: it is recorded.
    pub fn end(self, ended: Ended) {
        self.record(ended, false);
    }

    /// The statement was answered without the database after all, for instance together with another
    /// that was on its way there.
    pub fn end_as_hit(self) {
        self.record(Ended::Done, true);
    }

    fn record(self, ended: Ended, hit: bool) {
        let Self { scope, columns, .. } = &self;
        let end = scope.tick();
        let now = scope.0.clock.now();
        let nanos = u64::try_from(now.since(self.begun).as_nanos()).unwrap_or(u64::MAX);
        let nanos = if hit { 0 } else { nanos };
        let entry = Entry {
            statement: &self.statement,
            site: self.site,
            binds: &self.binds,
            start: self.start,
            first_row: self.first_row.unwrap_or(end),
            end,
            rows: self.rows,
            nanos,
            flags: Flags {
                hit,
                failed: ended == Ended::Failed,
                in_transaction: self.in_transaction,
                unread: ended == Ended::Unread,
            },
        };
        let look = |values: &mut Vec<ValueHash>| {
            values.extend_from_slice(&self.cells);
            columns.len()
        };
        scope.record(&entry, look, || columns.clone());
    }
}

pin_project! {
    /// A future that runs in a scope, or in none.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct InScope<F> {
        #[pin]
        future: TaskLocalFuture<Context, F>,
    }
}

impl<F: Future> Future for InScope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<F::Output> {
        self.project().future.poll(context)
    }
}

impl<F> fmt::Debug for InScope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InScope(..)")
    }
}

/// Takes the current scope along to another task.
pub trait InCurrentScope: Future + Sized {
    /// Runs this future in the scope that is current now, wherever it is polled.
    ///
    /// ```
    /// use turbodiesel_optimizer::{InCurrentScope, QueryScope, scope};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// scope(async {
    ///     let plain = tokio::spawn(async { QueryScope::current().is_some() });
    ///     let taken = tokio::spawn(async { QueryScope::current().is_some() }.in_current_scope());
    ///     assert_eq!((plain.await.unwrap(), taken.await.unwrap()), (false, true));
    /// })
    /// .await;
    /// # }
    /// ```
    fn in_current_scope(self) -> InScope<Self> {
        InScope { future: CONTEXT.scope(Context::current(), self) }
    }
}

impl<F: Future> InCurrentScope for F {}

pin_project! {
    /// A future whose queries are those of the place that has awaited it.
    #[must_use = "futures do nothing unless they are polled"]
    #[derive(Debug)]
    pub struct AtSite<F> {
        #[pin]
        future: F,
        site: &'static Location<'static>,
    }
}

impl<F: Future> Future for AtSite<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.project();
        if !is_observed() {
            return this.future.poll(context);
        }
        let here = Context { site: Some(*this.site), ..Context::current() };
        CONTEXT.sync_scope(here, || this.future.poll(context))
    }
}

/// Says where a query is asked.
pub trait Located: Future + Sized {
    /// Takes the place of this call for the place of the queries within. Of several around each other
    /// the innermost holds.
    ///
    /// ```no_run
    /// use diesel::prelude::*;
    /// use diesel_async::RunQueryDsl;
    /// use turbodiesel_optimizer::Located;
    /// # use turbodiesel_optimizer::Observed;
    /// # diesel::table! { users { id -> Integer, name -> Text } }
    ///
    /// # async fn f(connection: &mut Observed<diesel_async::AsyncPgConnection>) -> QueryResult<()> {
    /// let name: String =
    ///     users::table.find(7).select(users::name).first(connection).located().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    fn located(self) -> AtSite<Self> {
        AtSite { future: self, site: Location::caller() }
    }
}

impl<F: Future> Located for F {}

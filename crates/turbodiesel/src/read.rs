//! The path of a read: cache, then another reader's load, then the database.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use diesel::{
    QueryResult,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::AsyncConnectionCore;
use futures_core::future::BoxFuture;
use futures_util::stream::BoxStream;
use turbodiesel_cache::{Followed, Kept, Key, Lead, Lookup, Read, Role, Slot, Snapshot};
use turbodiesel_core::{Bypass, Outcome, Tier};

use crate::{
    backend::{Backend, Loaded},
    db::Db,
    error::SharedError,
    observe::{self, Site},
    options::ReadOptions,
    pool::Pooled,
    rows::Rows,
    shape::{Captured, Effect, Readable, Resolution},
    tags::Slots,
    write,
};

/// The future of a query on a [`Db`] or [`Handle`](crate::Handle).
///
/// The cache is asked when it is first polled, not when it is made: a write acknowledged in between
/// is seen.
pub struct Load<'a, B: Backend> {
    state: State<'a, B>,
    outcome: Option<&'a mut Option<Outcome>>,
    /// Where it is asked, as far as its handle knows.
    site: Site,
    observation: observe::Begun,
}

enum State<'a, B: Backend> {
    Start { db: &'a Db<B>, options: &'a ReadOptions, captured: Captured<B> },
    Running(BoxFuture<'a, QueryResult<(Rows<B>, Outcome)>>),
    Failed(diesel::result::Error),
    Done,
}

impl<'a, B: Backend> Load<'a, B> {
    pub(crate) fn new<Q>(
        db: &'a Db<B>,
        options: &'a ReadOptions,
        outcome: Option<&'a mut Option<Outcome>>,
        site: Site,
        query: &Q,
    ) -> Self
    where
        Q: QueryFragment<B> + QueryId,
    {
        let state = match db.0.shapes.capture(query, options) {
            Ok(captured) => State::Start { db, options, captured },
            Err(error) => State::Failed(error),
        };
        Self { state, outcome, site, observation: None }
    }

    fn note(&mut self, outcome: Outcome) {
        if let Some(place) = &mut self.outcome {
            **place = Some(outcome);
        }
    }

    fn take_state(&mut self) -> State<'a, B> {
        std::mem::replace(&mut self.state, State::Done)
    }
}

impl<B: Backend> Unpin for Load<'_, B> {}

impl<B: Backend> Future for Load<'_, B> {
    type Output = QueryResult<Rows<B>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Start { db, options, captured } = &self.state {
            // Looked up where it lies: a hit needs nothing of it moved.
            match look_up(db, options, captured) {
                Found::Hit { answer, outcome, refresh } => {
                    observe::hit(captured, self.site, &answer);
                    if refresh.is_some()
                        && let State::Start { db, captured, .. } = self.take_state()
                    {
                        refresh_if_due(db, refresh, captured);
                    }
                    self.state = State::Done;
                    self.note(outcome);
                    return Poll::Ready(Ok(Rows::answer(answer)));
                }
                Found::Miss => {
                    self.observation = observe::begin(captured, self.site, || false);
                    if let State::Start { db, options, captured } = self.take_state() {
                        self.state = State::Running(Box::pin(miss(db, options, captured)));
                    }
                }
                Found::Bypass(_) if write::needs_a_session(&captured.shape) => {
                    self.state = State::Failed(write::refuse_control(&captured.shape.sql));
                }
                Found::Bypass(reason) => {
                    self.observation = observe::begin(captured, self.site, || false);
                    if let State::Start { db, captured, .. } = self.take_state() {
                        self.state = State::Running(Box::pin(bypass(db, captured, reason)));
                    }
                }
            }
        }
        let result = match &mut self.state {
            State::Running(future) => ready!(future.as_mut().poll(context)),
            State::Start { .. } | State::Failed(_) | State::Done => match self.take_state() {
                State::Failed(error) => Err(error),
                _ => panic!("`Load` was polled after it had completed"),
            },
        };
        self.state = State::Done;
        let observation = self.observation.take();
        Poll::Ready(match result {
            Ok((rows, outcome)) => {
                self.note(outcome);
                Ok(rows.observed(observation, outcome))
            }
            Err(error) => {
                observe::end(observation, Err(&error));
                Err(error)
            }
        })
    }
}

impl<B: Backend> fmt::Debug for Load<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Load(..)")
    }
}

/// A query that the cache has no part in.
async fn bypass<B: Backend>(
    db: &Db<B>,
    captured: Captured<B>,
    reason: Bypass,
) -> QueryResult<(Rows<B>, Outcome)> {
    if write::effect(db, &captured.shape) == Effect::Nothing {
        return live(db, captured, reason).await;
    }
    let rows = write::load(db, captured).await?;
    Ok((rows, db.0.counters.count_bypass(Bypass::Write)))
}

/// What the cache has for a query.
pub(crate) enum Found<B: Backend> {
    Hit { answer: Arc<B::Answer>, outcome: Outcome, refresh: Option<Lead<B::Answer, SharedError>> },
    Miss,
    Bypass(Bypass),
}

pub(crate) fn look_up<B: Backend>(
    db: &Db<B>,
    options: &ReadOptions,
    captured: &Captured<B>,
) -> Found<B> {
    let resolution = db.0.resolution(&captured.shape);
    let readable = match access(db, options, &resolution) {
        Ok(readable) => readable,
        Err(reason) => return Found::Bypass(reason),
    };
    let slots = slots(db, readable, options, captured);
    match db.0.cache.lookup(&request(captured.identity.key(), readable, options, &slots)) {
        Lookup::Hit { value, outcome, refresh } => {
            // As in `miss`: a refresh must go by the slots of the current catalog's tags.
            let is_current = |_: &_| db.0.keeper.edition() == resolution.edition;
            Found::Hit { answer: value, outcome, refresh: refresh.filter(is_current) }
        }
        Lookup::Miss => Found::Miss,
        Lookup::Collision => Found::Bypass(Bypass::Collision),
    }
}

/// What is kept of a query, and which slots it depends on.
pub(crate) fn inspect<B: Backend>(
    db: &Db<B>,
    options: &ReadOptions,
    readable: &Readable,
    captured: &Captured<B>,
) -> (Option<Kept>, Slots) {
    let slots = slots(db, readable, options, captured);
    let kept = db.0.cache.inspect(&request(captured.identity.key(), readable, options, &slots));
    (kept, slots)
}

/// Whether and how this reader may use the cache.
pub(crate) fn access<'r, B: Backend>(
    db: &Db<B>,
    options: &ReadOptions,
    resolution: &'r Resolution,
) -> Result<&'r Readable, Bypass> {
    let readable = resolution.read.as_ref().map_err(|(reason, _)| *reason)?;
    // A closed `Db` goes on to the checkout, which says so.
    if !db.0.settings.enabled || db.0.is_closed() {
        return Err(Bypass::Disabled);
    }
    if options.bypass {
        return Err(Bypass::Requested);
    }
    if readable.row_security && options.scope.is_none() {
        return Err(Bypass::RowSecurity);
    }
    Ok(readable)
}

/// The slots of a read: those of what it reads, and of the tags that the caller added.
#[inline]
fn slots<B: Backend>(
    db: &Db<B>,
    readable: &Readable,
    options: &ReadOptions,
    captured: &Captured<B>,
) -> Slots {
    let mut slots = readable.tags.slots::<B>(captured.binds(), &db.0.stamps);
    for (own, tag) in options.tags.as_deref().unwrap_or_default() {
        slots.extend([*own, db.0.slot_of(tag)]);
    }
    slots
}

fn request<'r>(
    key: Key<'r>,
    readable: &Readable,
    options: &ReadOptions,
    slots: &'r [Slot],
) -> Read<'r> {
    let tier = options.tier.unwrap_or(readable.tier);
    Read { key, slots, tier, max_age: options.max_age }
}

/// Reads the database without the cache.
async fn live<B: Backend>(
    db: &Db<B>,
    captured: Captured<B>,
    reason: Bypass,
) -> QueryResult<(Rows<B>, Outcome)> {
    let mut connection = db.0.checkout().await?;
    live_on(db, &mut connection, captured, reason)
        .await
        .map(|(rows, outcome)| (Rows::live(rows, Some(connection)), outcome))
}

/// Reads the database without the cache, on a connection at hand.
pub(crate) async fn live_on<B: Backend>(
    db: &Db<B>,
    connection: &mut Pooled<B>,
    captured: Captured<B>,
    reason: Bypass,
) -> QueryResult<(BoxStream<'static, QueryResult<B::Row>>, Outcome)> {
    let outcome = db.0.counters.count_bypass(reason);
    db.0.counters.count_statement();
    let rows = B::load_live(connection.start(), captured.into_query()).await;
    Ok((connection.finish(rows)?, outcome))
}

/// Joins the load of a query, and says under which edition of the catalog.
fn join<B: Backend>(
    db: &Db<B>,
    options: &ReadOptions,
    captured: &Captured<B>,
) -> Result<(u64, Role<B::Answer, SharedError>), Bypass> {
    let resolution = db.0.resolution(&captured.shape);
    let readable = access(db, options, &resolution)?;
    let slots = slots(db, readable, options, captured);
    let request = request(captured.identity.key(), readable, options, &slots);
    Ok((resolution.edition, db.0.cache.join(&request)))
}

async fn miss<B: Backend>(
    db: &Db<B>,
    options: &ReadOptions,
    captured: Captured<B>,
) -> QueryResult<(Rows<B>, Outcome)> {
    loop {
        let (edition, role) = match join(db, options, &captured) {
            Ok(joined) => joined,
            Err(reason) => return live(db, captured, reason).await,
        };
        let lead = match role {
            Role::Lead(lead) => lead,
            Role::Follow(follow) => match follow.wait().await {
                Followed::Value(answer) => {
                    return Ok((Rows::answer(answer), db.0.counters.count_coalesced()));
                }
                Followed::Failed(error) => return Err(error.to_diesel()),
                Followed::Unshared => return live(db, captured, Bypass::TooLarge).await,
                Followed::Lead(lead) => lead,
            },
        };
        // The stamps are taken by now. If the catalog changed before they were, the tables that the
        // answer is kept under may be the wrong ones, and nothing would tell later.
        if db.0.keeper.edition() == edition {
            return lead_read(db, lead, captured).await;
        }
    }
}

/// Reads the database on behalf of all who wait. Dropped on the way, it leaves the lead to another.
async fn lead_read<B: Backend>(
    db: &Db<B>,
    lead: Lead<B::Answer, SharedError>,
    captured: Captured<B>,
) -> QueryResult<(Rows<B>, Outcome)> {
    let mut connection = match db.0.checkout().await {
        Ok(connection) => connection,
        Err(error) => {
            let error = error.into();
            lead.fail(SharedError::of(&error));
            return Err(error);
        }
    };
    if connection.in_transaction() {
        // Somebody left a transaction open on purpose (`begin_test_transaction`): what it sees is
        // not for others.
        lead.unshared();
        let (rows, outcome) = live_on(db, &mut connection, captured, Bypass::InTransaction).await?;
        return Ok((Rows::live(rows, Some(connection)), outcome));
    }
    match load_answer(db, &mut connection, captured).await {
        Ok(Loaded::Whole(answer)) => {
            // The connection goes back before the others wake up, and before one of them is waited
            // for.
            drop(connection);
            let answer = lead.complete(answer).value().await;
            Ok((Rows::answer(answer), db.0.counters.count_miss()))
        }
        Ok(Loaded::Streaming(rows)) => {
            lead.unshared();
            let outcome = db.0.counters.count_bypass(Bypass::TooLarge);
            Ok((Rows::live(rows, Some(connection)), outcome))
        }
        Err(error) => {
            lead.fail(SharedError::of(&error));
            Err(error)
        }
    }
}

pub(crate) async fn load_answer<B: Backend>(
    db: &Db<B>,
    connection: &mut Pooled<B>,
    captured: Captured<B>,
) -> QueryResult<Loaded<B>> {
    let shape = Arc::clone(&captured.shape);
    let limit = db.0.settings.max_entry_bytes;
    db.0.counters.count_statement();
    let query = captured.into_query();
    let loaded = B::load_answer(connection.start(), query, limit, &shape.shared).await;
    connection.finish(loaded)
}

/// Reads again, in the background, what is about to become too old. If that fails, the entry lives
/// to its ceiling all the same.
pub(crate) fn refresh_if_due<B: Backend>(
    db: &Db<B>,
    refresh: Option<Lead<B::Answer, SharedError>>,
    captured: Captured<B>,
) {
    let Some(lead) = refresh else { return };
    let task_db = db.clone();
    db.0.tasks.spawn(async move {
        if lead_read(&task_db, lead, captured).await.is_err() {
            tracing::debug!("a refresh failed");
        }
    });
}

/// A read on a connection of the caller's, which neither waits for another's load nor lets others
/// wait for it: in a pool of one, they would wait for each other.
pub(crate) struct LoneRead {
    slots: Slots,
    tier: Tier,
    max_age: Option<Duration>,
    snapshot: Snapshot,
}

impl LoneRead {
    /// Takes the stamps, before the database is read.
    pub(crate) fn begin<B: Backend>(
        db: &Db<B>,
        options: &ReadOptions,
        captured: &Captured<B>,
    ) -> Result<Self, Bypass> {
        loop {
            let resolution = db.0.resolution(&captured.shape);
            let readable = access(db, options, &resolution)?;
            let slots = slots(db, readable, options, captured);
            let snapshot = db.0.stamps.snapshot(slots.iter().copied());
            // As in `miss`: the stamps must be those of the current catalog's tables.
            if db.0.keeper.edition() == resolution.edition {
                let tier = options.tier.unwrap_or(readable.tier);
                return Ok(Self { slots, tier, max_age: options.max_age, snapshot });
            }
        }
    }

    pub(crate) fn fill<B: Backend>(self, db: &Db<B>, key: Key<'_>, answer: &Arc<B::Answer>) {
        let Self { slots, tier, max_age, snapshot } = self;
        let read = Read { key, slots: &slots, tier, max_age };
        db.0.cache.fill(&read, snapshot, Arc::clone(answer));
    }
}

impl<'a, B: Backend> AsyncConnectionCore for &'a Db<B> {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'a, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = Load<'a, B>;
    type Stream<'conn, 'query> = Rows<B>;
    type Row<'conn, 'query> = B::Row;
    type Backend = B;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: diesel::query_builder::AsQuery + 'query,
        T::Query: QueryFragment<B> + QueryId + 'query,
    {
        Load::new(*self, ReadOptions::DEFAULT, None, None, &source.as_query())
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<B> + QueryId + 'query,
    {
        write::execute(*self, self.0.shapes.capture(&source, ReadOptions::DEFAULT), None)
    }
}

//! The path of a write outside a transaction: mark, execute, lift the mark, whoever waits.

use std::sync::Arc;

use diesel::{QueryResult, result::Error as DieselError};
use diesel_async::{AsyncConnectionCore, SimpleAsyncConnection};
use futures_core::future::BoxFuture;
use turbodiesel_cache::{Slot, WriteMark};
use turbodiesel_core::Bypass;
use turbodiesel_sql::Kind;

use crate::{
    backend::Backend,
    db::{Db, Inner},
    detached::Detached,
    error::{outcome_unknown, unable_to_send},
    observe::{self, Site},
    pool::Pooled,
    rows::Rows,
    session::{self, Change},
    settle::Lost,
    shape::{Captured, Effect, Shape},
    statement::{Batch, Collect, Count, Learn, Ran, Statement},
    tags::{Expectation, Slots},
};

/// Executes a statement for its count of rows.
pub(crate) fn execute<B: Backend>(
    db: &Db<B>,
    captured: QueryResult<Captured<B>>,
    site: Site,
) -> BoxFuture<'_, QueryResult<usize>> {
    Box::pin(async move {
        let captured = captured?;
        if needs_a_session(&captured.shape) {
            return Err(refuse_control(&captured.shape.sql));
        }
        let observation = observe::begin(&captured, site, || false);
        let count = count(db, captured).await;
        observe::end(observation, count.as_ref().copied());
        count
    })
}

async fn count<B: Backend>(db: &Db<B>, captured: Captured<B>) -> QueryResult<usize> {
    if effect(db, &captured.shape) == Effect::Nothing {
        let mut connection = db.0.checkout().await?;
        db.0.counters.count_bypass(Bypass::Executed);
        db.0.counters.count_statement();
        let (raw, query) = (connection.start(), captured.into_query());
        let count = AsyncConnectionCore::execute_returning_count(raw, query).await;
        return connection.finish(count);
    }
    let shape = Arc::clone(&captured.shape);
    to_its_end(db, shape, Count(captured)).await
}

/// Executes a statement that writes, for its rows.
pub(crate) async fn load<B: Backend>(db: &Db<B>, captured: Captured<B>) -> QueryResult<Rows<B>> {
    let shape = Arc::clone(&captured.shape);
    to_its_end(db, shape, Collect(captured)).await.map(Rows::collected)
}

/// Executes a batch of statements as one write.
pub(crate) async fn batch<B: Backend>(db: &Db<B>, sql: &str) -> QueryResult<()> {
    let shape = db.0.shapes.by_text(sql, false);
    if needs_a_session(&shape) {
        return Err(refuse_control(sql));
    }
    let observation = observe::begin_batch(&shape, || false);
    let result = to_its_end(db, shape, Batch(sql.to_owned())).await;
    observe::end(observation, result.as_ref().map(|()| 0));
    result
}

async fn to_its_end<B: Backend, S: Statement<B>>(
    db: &Db<B>,
    shape: Arc<Shape<B>>,
    statement: S,
) -> QueryResult<S::Answer> {
    let task_db = db.clone();
    let task = async move {
        let mut connection = task_db.0.checkout().await?;
        // What is not understood may change the session as well.
        connection.tainted |= shape.plan.kind() == Kind::Unknown;
        let answer = write(&task_db, &mut connection, &shape, Effect::Nothing, statement).await;
        drop(connection);
        // If the session's own word could not be taken for what the catalog is now, ask another.
        if task_db.0.keeper.is_forgotten() {
            task_db.0.check_catalog().await;
        }
        answer
    };
    Detached::new(task, &db.0.tasks).await
}

/// What a statement may write, under the current catalog.
pub(crate) fn effect<B: Backend>(db: &Db<B>, shape: &Shape<B>) -> Effect {
    db.0.resolution(shape).effect.clone()
}

/// What a statement may write on a session whose names may mean other tables than the catalog's.
pub(crate) fn effect_elsewhere<B: Backend>(db: &Db<B>, shape: &Shape<B>) -> Effect {
    match effect(db, shape) {
        Effect::Nothing => Effect::Nothing,
        Effect::Slots(_) => Effect::Everything { schema: false },
        everything => everything,
    }
}

/// What one execution changes, as far as it is known before: under the current catalog, or on a
/// session whose names may mean other tables than the catalog's.
pub(crate) fn expectation<B: Backend>(
    db: &Db<B>,
    shape: &Shape<B>,
    binds: Option<&B::Binds>,
    elsewhere: bool,
) -> Expectation {
    if elsewhere {
        return Expectation::of(&effect_elsewhere(db, shape));
    }
    let resolution = db.0.resolution(shape);
    match (&resolution.writes, binds) {
        (Some(tags), Some(binds)) => tags.expect::<B>(binds, &db.0.stamps),
        _ => Expectation::of(&resolution.effect),
    }
}

/// Marks, runs, and lifts the mark when the outcome is known. `more` is written besides.
///
/// A write that learns asks for more than its caller did, and may be refused for that: somebody has
/// renamed a key meanwhile, or taken the right to read it away. Where it is certain that it was, it has
/// changed nothing, and is executed once more as its caller has said it.
pub(crate) async fn write<B: Backend, S: Statement<B>>(
    db: &Db<B>,
    connection: &mut Pooled<B>,
    shape: &Shape<B>,
    more: Effect,
    statement: S,
) -> QueryResult<S::Answer> {
    match attempt(db, connection, shape, &more, statement, true).await {
        Attempt::Ended(answer) => answer,
        Attempt::AskedForTooMuch(refused, again) => {
            match attempt(db, connection, shape, &more, again, false).await {
                Attempt::Ended(answer) => answer,
                // What asks for nothing besides is not refused for it.
                Attempt::AskedForTooMuch(..) => Err(refused),
            }
        }
    }
}

/// What became of an attempt at a write.
enum Attempt<S, A> {
    Ended(QueryResult<A>),
    /// It was refused with this error, before it began, for what it was asked besides. The statement
    /// is still to be executed.
    AskedForTooMuch(DieselError, S),
}

/// Everything is decided with the connection in hand: the mark stands for as long as the statement
/// runs and not while it waits for the pool, and what hangs on the tables is what the catalog says
/// then.
async fn attempt<B: Backend, S: Statement<B>>(
    db: &Db<B>,
    connection: &mut Pooled<B>,
    shape: &Shape<B>,
    more: &Effect,
    statement: S,
    may_learn: bool,
) -> Attempt<S, S::Answer> {
    let edition = db.0.keeper.edition();
    let elsewhere = connection.tainted || matches!(more, Effect::Everything { .. });
    let expectation = expectation(db, shape, statement.binds(), elsewhere);
    let Expectation { slots, unlearnt, learning } =
        if may_learn { expectation } else { expectation.without_learning() };
    let changed = slots.iter().chain(more.slots()).copied();
    db.0.causes.remember(shape.cause(), &shape.sql);
    db.0.causes.note(shape.cause(), changed.clone());
    let mut mark = db.0.mark(changed);
    mark.expect(unlearnt.iter().copied());
    // A batch may have ended transactions on the way, and what is not understood anything.
    let own = effect(db, shape);
    let is_undone = B::FAILED_IS_UNDONE
        && statement.binds().is_some()
        && *more == Effect::Nothing
        && matches!(own, Effect::Slots(_));
    let changes_schema = own.changes_schema() || more.changes_schema();
    // In a transaction, which tests leave open, an error undoes more than the statement.
    let again = match &learning {
        Some(_) if is_undone && !connection.in_transaction() => statement.again(),
        _ => None,
    };
    db.0.counters.count_statement();
    let learn = Learn { learning: learning.as_deref(), stamps: &db.0.stamps, number: false };
    let run = statement.run(connection.start(), learn);
    let ran = match tokio::time::timeout(db.0.settings.mark_lifetime, run).await {
        Ok(ran) => connection.finish(ran),
        Err(_) => {
            // Left busy, the connection is closed and the statement cancelled.
            let trace = connection.trace(None);
            db.0.lose(Lost { mark: Some(mark), trace, edition, changes_schema, tell: None });
            let error = unable_to_send("the server has not answered in time".to_owned());
            return Attempt::Ended(Err(outcome_unknown(&error)));
        }
    };
    let (answer, learnt) = match ran {
        Ok(Ran { answer, learnt, .. }) => (Ok(answer), learnt),
        Err(error) => (Err(error), None),
    };
    let touched = learnt.as_ref().unwrap_or(&unlearnt);
    db.0.causes.note(shape.cause(), touched.iter().copied());
    let ended = match (&answer, learnt) {
        (Err(_), _) if is_undone => Ended::Undone,
        (Err(_), _) => Ended::Failed,
        (Ok(_), Some(learnt)) => Ended::Learnt(learnt),
        (Ok(_), None) => Ended::Done,
    };
    let is_settled = settle(&db.0, connection, edition, mark, changes_schema, ended).await;
    let error = match answer {
        Err(error) if is_settled => error,
        answer if is_settled => return Attempt::Ended(answer),
        answer => return Attempt::Ended(answer.map_err(|error| outcome_unknown(&error))),
    };
    let refusal =
        learning.as_deref().and_then(|learning| Some((learning, learning.refusal(&error)?)));
    if let Some((learning, refusal)) = refusal
        && !connection.in_transaction()
    {
        connection.check_catalog(&db.0.keeper).await;
        let current = db.0.keeper.current();
        let is_ours = !connection.tainted && learning.is_to_blame(refusal, &current.catalog);
        if let Some(again) = again.filter(|_| is_ours) {
            tracing::debug!("a write was refused for what it was asked besides; once more");
            return Attempt::AskedForTooMuch(error, again);
        }
    }
    Attempt::Ended(Err(error))
}

/// How a write ended, as far as its answer tells.
pub(crate) enum Ended {
    /// In an error, which says that nothing was changed once the server has ended it.
    Undone,
    /// In an error, of which nobody knows how far it came.
    Failed,
    /// Well.
    Done,
    /// Well, and this is what it touched of what was to be learnt.
    Learnt(Slots),
}

/// Lifts the mark of a statement that has ended. Where nobody knows whether it has, has it found out,
/// and returns false. What it may write was judged under the catalog of `edition`.
pub(crate) async fn settle<B: Backend>(
    db: &Inner<B>,
    connection: &mut Pooled<B>,
    edition: u64,
    mut mark: WriteMark,
    changes_schema: bool,
    ended: Ended,
) -> bool {
    if let Ended::Undone | Ended::Failed = ended {
        let settled = B::is_settled(connection.start()).await;
        if connection.finish(Ok(settled)) != Ok(true) {
            connection.tainted = true;
            let trace = connection.trace(None);
            db.lose(Lost { mark: Some(mark), trace, edition, changes_schema, tell: None });
            return false;
        }
    }
    if changes_schema {
        // Before the mark is lifted, so that nothing is kept under what the catalog was before.
        connection.check_catalog(&db.keeper).await;
    }
    if db.keeper.edition() != edition {
        // Under a catalog that came meanwhile it may have written more, and readers go by other keys.
        mark.add([Slot::ALL]);
    }
    match ended {
        Ended::Undone => mark.aborted(),
        Ended::Learnt(touched) => mark.committed_exactly(touched),
        // To invalidate in vain costs a miss.
        Ended::Done | Ended::Failed => mark.committed(),
    }
    true
}

/// Whether a statement is refused on a handle, because another statement would run in another
/// session.
pub(crate) fn needs_a_session<B: Backend>(shape: &Shape<B>) -> bool {
    // What is not understood runs, on a connection that is closed after.
    shape.plan.kind() != Kind::Unknown && session::change(&shape.plan, &shape.sql) != Change::None
}

/// The error of a statement that needs a session, on a handle that has none.
pub(crate) fn refuse_control(sql: &str) -> DieselError {
    refuse(
        sql,
        "controls a transaction or a session, and this handle uses another connection for every \
         statement: use `db.transaction(…)`, or `db.connection()` and run it there",
    )
}

/// The error of a statement that must not run beside others on one connection.
pub(crate) fn refuse_pipelined(sql: &str) -> DieselError {
    refuse(
        sql,
        "may change the session or anything else, so it cannot run beside other statements through \
         `&Connection`: run it through `&mut Connection`",
    )
}

/// Names the statement by its first word: the rest may hold values.
fn refuse(sql: &str, reason: &str) -> DieselError {
    let first = sql.split_whitespace().next().unwrap_or_default();
    let keyword: String = first.chars().take_while(char::is_ascii_alphabetic).collect();
    unable_to_send(format!("this `{}` statement {reason}", keyword.to_uppercase()))
}

impl<B: Backend> SimpleAsyncConnection for &Db<B> {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        batch(self, query).await
    }
}

//! Pipelining: several statements under way on one connection, through `&Connection`.

use std::sync::Arc;

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AsQuery, QueryFragment, QueryId},
};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection};
use futures_core::future::BoxFuture;
use futures_util::TryStreamExt;
use turbodiesel_cache::Slot;
use turbodiesel_core::{Bypass, Outcome};

use super::{PgRow, rows};
use crate::{
    backend::Loaded,
    connection::{Begun, Connection},
    error::outcome_unknown,
    observe,
    rows::Rows,
    settle::Lost,
    shape::{Captured, Effect, Shape},
    write,
};

impl Connection<Pg> {
    /// The effect of a statement, which a shared connection may only have on tables: what changes
    /// the session or is not understood needs the connection for itself.
    fn pipelined_effect(&self, captured: &Captured<Pg>) -> QueryResult<Effect> {
        let tainted = self.names_changed() || self.shared()?.tainted;
        let effect = match tainted {
            true => write::effect_elsewhere(&self.db, &captured.shape),
            false => write::effect(&self.db, &captured.shape),
        };
        let exclusive =
            write::needs_a_session(&captured.shape) || matches!(effect, Effect::Everything { .. });
        if exclusive {
            return Err(write::refuse_pipelined(&captured.shape.sql));
        }
        Ok(effect)
    }

    async fn load_pipelined(&self, captured: Captured<Pg>) -> QueryResult<Rows<Pg>> {
        let observation = observe::begin(&captured, None, || self.in_transaction());
        match self.answer_pipelined(captured).await {
            Ok((rows, outcome)) => Ok(rows.observed(observation, outcome)),
            Err(error) => {
                observe::end(observation, Err(&error));
                Err(error)
            }
        }
    }

    async fn answer_pipelined(&self, captured: Captured<Pg>) -> QueryResult<(Rows<Pg>, Outcome)> {
        let edition = self.db.0.keeper.edition();
        let effect = self.pipelined_effect(&captured)?;
        if effect == Effect::Nothing {
            return self.read_pipelined(captured).await;
        }
        let shape = Arc::clone(&captured.shape);
        let query = captured.into_query();
        let rows: Vec<PgRow> = self
            .write_pipelined(&shape, (edition, &effect), async |raw: &AsyncPgConnection| {
                let rows = query.load(raw).await?;
                rows.map_ok(PgRow::live).try_collect().await
            })
            .await?;
        Ok((Rows::collected(rows), self.db.0.counters.count_bypass(Bypass::Write)))
    }

    async fn read_pipelined(&self, captured: Captured<Pg>) -> QueryResult<(Rows<Pg>, Outcome)> {
        let db = &self.db;
        let (captured, lone) = match self.begin_read(captured)? {
            Begun::Served(answer, outcome) => return Ok((Rows::answer(answer), outcome)),
            Begun::Read(captured, lone) => (captured, lone),
        };
        db.0.counters.count_statement();
        let shape = Arc::clone(&captured.shape);
        let identity = captured.identity.clone();
        let raw: &AsyncPgConnection = self.shared()?;
        let live = captured.into_query().load(raw).await?;
        let lone = match lone {
            Ok(lone) => lone,
            Err(reason) => {
                let live = live.map_ok(PgRow::live);
                let outcome = db.0.counters.count_bypass(reason);
                return Ok((Rows::live(Box::pin(live), None), outcome));
            }
        };
        match rows::collect(live, db.0.settings.max_entry_bytes, &shape.shared).await? {
            Loaded::Whole(answer) => {
                let answer = Arc::new(answer);
                lone.fill(db, identity.key(), &answer);
                Ok((Rows::answer(answer), db.0.counters.count_miss()))
            }
            Loaded::Streaming(rows) => {
                Ok((Rows::live(rows, None), db.0.counters.count_bypass(Bypass::TooLarge)))
            }
        }
    }

    async fn execute_pipelined(&self, captured: Captured<Pg>) -> QueryResult<usize> {
        let observation = observe::begin(&captured, None, || self.in_transaction());
        let count = self.count_pipelined(captured).await;
        observe::end(observation, count.as_ref().copied());
        count
    }

    async fn count_pipelined(&self, captured: Captured<Pg>) -> QueryResult<usize> {
        let edition = self.db.0.keeper.edition();
        let effect = self.pipelined_effect(&captured)?;
        let shape = Arc::clone(&captured.shape);
        let query = captured.into_query();
        self.write_pipelined(&shape, (edition, &effect), async |mut raw: &AsyncPgConnection| {
            AsyncConnectionCore::execute_returning_count(&mut raw, query).await
        })
        .await
    }

    /// A connection that others use at the same time cannot be lent to a task. Dropped on the way,
    /// the statement's outcome is unknown, and its tables stay uncached until it must have ended.
    async fn write_pipelined<R>(
        &self,
        shape: &Shape<Pg>,
        (edition, effect): (u64, &Effect),
        statement: impl AsyncFnOnce(&AsyncPgConnection) -> QueryResult<R>,
    ) -> QueryResult<R> {
        let db = &self.db;
        let publishes = self.publishes_at_once();
        if *effect != Effect::Nothing {
            db.0.causes.remember(shape.cause(), &shape.sql);
            self.frames().attribute(shape.cause(), effect.slots());
        }
        self.frames().add(effect);
        let mark = (publishes && *effect != Effect::Nothing).then(|| {
            db.0.causes.note(shape.cause(), effect.slots().iter().copied());
            db.0.mark(effect.slots().iter().copied())
        });
        db.0.counters.count_statement();
        let checkout = self.shared()?;
        let raw: &AsyncPgConnection = checkout;
        let result = statement(raw).await;
        if let Some(mut mark) = mark {
            if db.0.keeper.edition() != edition {
                mark.add([Slot::ALL]);
            }
            // After an error, only an answer from the server shows that it has ended too.
            if let Err(error) = &result
                && (&mut &*raw).batch_execute("").await.is_err()
            {
                let trace = checkout.trace(None);
                db.0.lose(Lost {
                    mark: Some(mark),
                    trace,
                    edition,
                    changes_schema: false,
                    tell: None,
                });
                return Err(outcome_unknown(error));
            }
            mark.committed();
        }
        result
    }
}

impl SimpleAsyncConnection for &Connection<Pg> {
    /// Always refused: a batch may change the session under the statements beside it.
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        Err(write::refuse_pipelined(query))
    }
}

impl<'a> AsyncConnectionCore for &'a Connection<Pg> {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'a, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'a, QueryResult<Rows<Pg>>>;
    type Stream<'conn, 'query> = Rows<Pg>;
    type Row<'conn, 'query> = PgRow;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        let connection: &'a Connection<Pg> = self;
        let captured = connection.db.0.shapes.capture(&source.as_query(), connection.options());
        Box::pin(async move { connection.load_pipelined(captured?).await })
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        let connection: &'a Connection<Pg> = self;
        let captured = connection.db.0.shapes.capture(&source, connection.options());
        Box::pin(async move { connection.execute_pipelined(captured?).await })
    }
}

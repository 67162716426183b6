//! Runs a history: after each step, what is still served from the cache must be what the database
//! says.

use std::fmt;

use futures_util::future::join_all;
use turbodiesel::{Db, Outcome};

use super::{
    answer::Answer,
    execute::{Ended, execute, quiesce},
    precision::Precision,
    reads::Query,
    side::{Oracle, Side},
    statement::Statement,
    steps::Step,
};

/// A schema, queries that are asked again and again, and what happens in between. Plain data.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) schema: Vec<String>,
    pub(super) queries: Vec<Query>,
    pub(super) steps: Vec<Step>,
}

/// What was done, and how it was answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) writes: usize,
    pub(super) ended: Ended,
    pub(super) lookups: usize,
    /// Answers from the cache that were compared with the database's.
    pub(super) compared: usize,
    pub(super) precision: Precision,
}

/// An answer that the database would not give.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The step after which it was given.
    pub(super) step: usize,
    pub(super) query: usize,
    outcome: Outcome,
    served: Answer,
    fresh: Answer,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, query, outcome, served, fresh } = self;
        write!(
            f,
            "after step {step}, query {query} ({outcome}):\n    served: {served}\n    fresh: {fresh}"
        )
    }
}

/// Runs a history on a fresh database.
pub(super) async fn run<B: Side>(history: &History, tally: &mut Tally) -> Result<(), Failure> {
    let (db, mut oracle) = B::open(&history.schema).await;
    let mut bench = Bench { db: &db, oracle: &mut oracle, queries: &history.queries, tally };
    let mut before = bench.versions().await;
    bench.check(None, 0).await?;
    for (index, step) in history.steps.iter().enumerate() {
        let ended = execute(&db, &history.queries, step).await;
        if matches!(step, Step::Dropped(..)) {
            quiesce(&db).await;
            bench.oracle.quiet().await;
        }
        bench.tally.writes += step.writes();
        bench.tally.ended += ended;
        let after = bench.versions().await;
        let untouched = step.single().filter(|_| ended.well == 1).map(|write| {
            let same = before
                .iter()
                .zip(&after)
                .map(|(before, after)| before.is_some() && before == after);
            (write, same.collect::<Vec<bool>>())
        });
        before = after;
        bench.check(untouched, index).await?;
    }
    db.close(std::time::Duration::from_secs(20)).await.unwrap();
    Ok(())
}

struct Bench<'a, B: Side> {
    db: &'a Db<B>,
    oracle: &'a mut B::Oracle,
    queries: &'a [Query],
    tally: &'a mut Tally,
}

impl<B: Side> Bench<'_, B> {
    /// The versions of the rows that each read by value is about.
    async fn versions(&mut self) -> Vec<Option<Answer>> {
        let asked: Vec<&Statement> =
            self.queries.iter().filter_map(|query| query.versions.as_ref()).collect();
        let mut answers = self.oracle.ask(&asked).await.into_iter();
        self.queries
            .iter()
            .map(|query| query.versions.as_ref().and_then(|_| answers.next().flatten()))
            .collect()
    }

    /// Asks every query, and compares what came from the cache with what the database says.
    async fn check(
        &mut self,
        write: Option<(&Statement, Vec<bool>)>,
        step: usize,
    ) -> Result<(), Failure> {
        let db = self.db;
        let asked = self.queries.iter().map(async |query| {
            let mut handle = db.handle();
            let answer = Answer::load(&mut handle, &query.statement).await.ok()?;
            Some((answer, handle.outcome()?))
        });
        let served = join_all(asked).await;
        self.tally.lookups += served.len();
        let asked: Vec<&Statement> = self.queries.iter().map(|query| &query.statement).collect();
        let fresh = self.oracle.ask(&asked).await;
        for (index, (served, fresh)) in served.into_iter().zip(fresh).enumerate() {
            let (Some((served, outcome)), Some(fresh)) = (served, fresh) else { continue };
            let hit = matches!(outcome, Outcome::Hit(_) | Outcome::Stale(_));
            self.tally.compared += usize::from(hit);
            if !served.same(&fresh, self.queries[index].ordered) {
                return Err(Failure { step, query: index, outcome, served, fresh });
            }
            if let Some((write, untouched)) = &write
                && untouched[index]
            {
                self.tally.precision.count(write.class, hit);
            }
        }
        Ok(())
    }
}

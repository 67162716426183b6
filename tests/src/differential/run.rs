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
    statement::{Class, Statement},
    steps::Step,
    storm::storm,
};

/// A schema, queries that are asked again and again, and what happens in between. Plain data.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) schema: Vec<String>,
    pub(super) queries: Vec<Query>,
    pub(super) steps: Vec<Step>,
    /// What several writers do at once after all of that, each with a list of steps.
    pub(super) storm: Vec<Vec<Step>>,
    pub(super) seed: u64,
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
    explanation: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, query, outcome, served, fresh, explanation } = self;
        write!(
            f,
            "after step {step}, query {query} ({outcome}):\n    served: {served}\n    \
             fresh: {fresh}\n{explanation}"
        )
    }
}

/// Runs a history on a fresh database.
pub(super) async fn run<B: Side>(history: &History, tally: &mut Tally) -> Result<(), Failure> {
    let (db, mut oracle) = B::open(&history.schema).await;
    let mut bench = Bench { db: &db, oracle: &mut oracle, queries: &history.queries, tally };
    let mut kept = bench.check(0).await?.kept;
    for (index, step) in history.steps.iter().enumerate() {
        let write = counted(step);
        let before = bench.versions(write).await;
        let ended = execute(&db, &history.queries, step).await;
        if matches!(step, Step::Dropped(..)) {
            quiesce(&db).await;
            bench.oracle.quiet().await;
        } else if history.steps.get(index + 1).and_then(counted).is_some() {
            // What still goes on in the background must not be taken for the next write's effect.
            quiesce(&db).await;
        }
        bench.tally.writes += step.writes();
        bench.tally.ended += ended;
        let after = bench.versions(write.filter(|_| ended.well == 1)).await;
        let checked = bench.check(index).await?;
        for query in 0..history.queries.len() {
            let untouched = before[query].is_some() && before[query] == after[query];
            if let Some(write) = write.filter(|_| untouched && kept[query]) {
                let survived = checked.hits[query];
                bench.tally.precision.count(write.class, survived);
                if !survived && super::is_verbose() {
                    let query = &history.queries[query].statement;
                    let ended_by = db.explain(query).unwrap().last_ended_by;
                    println!("in vain: {index}. {step} → {query}, by {ended_by:?}");
                }
            }
        }
        kept = checked.kept;
    }
    if !history.storm.is_empty() {
        let (queries, seed) = (&history.queries, history.seed);
        let ended = storm(&db, bench.oracle, queries, &history.storm, seed).await;
        bench.tally.writes += history.storm.iter().flatten().map(Step::writes).sum::<usize>();
        bench.tally.ended += ended;
        bench.check(history.steps.len()).await?;
    }
    db.close(std::time::Duration::from_secs(20)).await.unwrap();
    Ok(())
}

/// The write of a step, if what survives it is counted.
fn counted(step: &Step) -> Option<&Statement> {
    step.single().filter(|write| write.class != Class::Other)
}

struct Bench<'a, B: Side> {
    db: &'a Db<B>,
    oracle: &'a mut B::Oracle,
    queries: &'a [Query],
    tally: &'a mut Tally,
}

/// What became of the queries when they were asked.
struct Checked {
    /// Those that were answered from the cache.
    hits: Vec<bool>,
    /// Those that are in the cache now.
    kept: Vec<bool>,
}

impl<B: Side> Bench<'_, B> {
    /// The versions of the rows that each read by value is about, as far as a write is concerned.
    async fn versions(&mut self, write: Option<&Statement>) -> Vec<Option<Answer>> {
        if write.is_none() {
            return vec![None; self.queries.len()];
        }
        let asked: Vec<&Statement> =
            self.queries.iter().filter_map(|query| query.versions.as_ref()).collect();
        let mut answers = self.oracle.ask(&asked).await.into_iter();
        self.queries
            .iter()
            .map(|query| query.versions.as_ref().and_then(|_| answers.next().flatten()))
            .collect()
    }

    /// Asks every query, and those that miss once more.
    async fn check(&mut self, step: usize) -> Result<Checked, Failure> {
        let all: Vec<usize> = (0..self.queries.len()).collect();
        let outcomes = self.ask(step, &all).await?;
        let is_hit = |outcome: &Option<Outcome>| {
            matches!(outcome, Some(Outcome::Hit(_) | Outcome::Stale(_)))
        };
        if step == 0 && super::is_verbose() {
            for (query, outcome) in self.queries.iter().zip(&outcomes) {
                if let Some(Outcome::Bypass(reason)) = outcome {
                    println!("not cached, {reason}: {}", query.statement);
                }
            }
        }
        let hits: Vec<bool> = outcomes.iter().map(is_hit).collect();
        let missed: Vec<usize> =
            all.into_iter().filter(|index| outcomes[*index] == Some(Outcome::Miss)).collect();
        let again = self.ask(step, &missed).await?;
        let mut kept = hits.clone();
        for (query, outcome) in missed.into_iter().zip(again) {
            kept[query] = is_hit(&outcome);
        }
        Ok(Checked { hits, kept })
    }

    /// Asks queries, and compares what came from the cache with what the database says.
    async fn ask(
        &mut self,
        step: usize,
        queries: &[usize],
    ) -> Result<Vec<Option<Outcome>>, Failure> {
        let db = self.db;
        let asked = queries.iter().map(async |query| {
            let mut handle = db.handle();
            let answer = Answer::load(&mut handle, &self.queries[*query].statement).await.ok()?;
            Some((answer, handle.outcome()?))
        });
        let served = join_all(asked).await;
        let outcomes = served.iter().map(|it| it.as_ref().map(|(_, outcome)| *outcome)).collect();
        let served = queries.iter().zip(served).filter_map(|(query, served)| {
            let (answer, outcome) = served?;
            matches!(outcome, Outcome::Hit(_) | Outcome::Stale(_))
                .then_some((*query, answer, outcome))
        });
        let served: Vec<(usize, Answer, Outcome)> = served.collect();
        self.tally.lookups += queries.len();
        self.tally.compared += served.len();
        let asked: Vec<&Statement> =
            served.iter().map(|(query, ..)| &self.queries[*query].statement).collect();
        let fresh = self.oracle.ask(&asked).await;
        for ((query, served, outcome), fresh) in served.into_iter().zip(fresh) {
            // An error may come from a row that the answer does not depend on, so it is none.
            let Some(fresh) = fresh else { continue };
            if !served.same(&fresh, self.queries[query].ordered) {
                let explanation = db.explain(&self.queries[query].statement).unwrap().to_string();
                return Err(Failure { step, query, outcome, served, fresh, explanation });
            }
        }
        Ok(outcomes)
    }
}

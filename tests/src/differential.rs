//! The differential test: random schemas, random reads and random writes, through turbodiesel and
//! past it. Once a write has ended, whatever the cache still serves must be what the database says.
//!
//! A run is made of *histories*, each on a fresh database: a schema, some eighty queries, and steps
//! that write. Histories are plain data, made from a seed; one that fails is shrunk and printed.
//!
//! - `TURBODIESEL_SEED` repeats a run; each run prints its seed, and a failure that of its history.
//! - `TURBODIESEL_WRITES` is how many writes a run consists of, for long ones.
//! - `TURBODIESEL_VERBOSE` prints histories, what of a schema the database refused, and
//!   which answers were invalidated in vain.

mod answer;
mod attached;
mod conditions;
mod execute;
mod postgres;
mod precision;
mod reads;
mod run;
mod schema;
mod shrink;
mod side;
mod sqlite;
mod statement;
mod steps;
mod storm;
mod values;
mod writes;

use diesel::{pg::Pg, sqlite::Sqlite};
use fastrand::Rng;

use self::{
    run::{History, Tally, run},
    side::Side,
};

/// The dialect of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Postgres,
    Sqlite,
}

/// Steps of one history.
const STEPS: usize = 90;

/// Writers at the end of a history, all at once, and the steps of each.
const WRITERS: usize = 3;
const STORM: usize = 8;

/// Queries of one history.
const QUERIES: usize = 80;

fn is_verbose() -> bool {
    std::env::var_os("TURBODIESEL_VERBOSE").is_some()
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    let parsed = value.parse();
    Some(parsed.unwrap_or_else(|_| panic!("{name} is `{value}`: use a whole number")))
}

/// The history of a seed.
fn history<B: Side>(seed: u64) -> History {
    let mut rng = Rng::with_seed(seed);
    let schema = schema::random(&mut rng, B::SIDE);
    let queries: Vec<_> = (0..QUERIES).map(|_| reads::random(&mut rng, &schema)).collect();
    let steps = (0..STEPS).map(|_| steps::random(&mut rng, &schema, QUERIES)).collect();
    let storm = (0..WRITERS)
        .map(|_| (0..STORM).map(|_| steps::concurrent(&mut rng, &schema)).collect())
        .collect();
    History { schema: schema.statements, queries, steps, storm, seed }
}

/// Runs histories until so many writes have been made.
async fn differential<B: Side>(name: &str, writes: usize) -> Tally {
    let seed = variable("TURBODIESEL_SEED").unwrap_or_else(|| Rng::new().u64(..));
    println!("{name}: TURBODIESEL_SEED={seed}");
    let mut tally = Tally::default();
    let mut next = seed;
    while tally.writes < writes {
        let history = history::<B>(next);
        if is_verbose() {
            println!("{name}: TURBODIESEL_SEED={next}\n{history}");
        }
        if let Err(failure) = run::<B>(&history, &mut tally).await {
            println!("{name}: TURBODIESEL_SEED={next} fails: {failure}\nshrinking");
            let (history, failure) = shrink::shrink::<B>(history, failure).await;
            panic!("{name}, TURBODIESEL_SEED={next}\n{history}\n{failure}");
        }
        // Each history has a seed of its own, so that one alone can be repeated.
        next = Rng::with_seed(next).u64(..);
    }
    println!("{name}: {tally}");
    tally
}

impl std::fmt::Display for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "schema:")?;
        self.schema.iter().try_for_each(|statement| writeln!(f, "    {statement};"))?;
        writeln!(f, "queries:")?;
        for (index, query) in self.queries.iter().enumerate() {
            writeln!(f, "    {index}. {}", query.statement)?;
        }
        writeln!(f, "steps:")?;
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "    {index}. {step}")?;
        }
        for (writer, steps) in self.storm.iter().enumerate() {
            writeln!(f, "then at once, writer {writer}:")?;
            steps.iter().try_for_each(|step| writeln!(f, "    {step}"))?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { writes, ended, lookups, compared, precision } = self;
        write!(
            f,
            "{writes} writes, of which {} failed; {lookups} lookups, {compared} hits compared; \
             {precision}",
            ended.with_errors
        )
    }
}

/// A run that hardly hits, or whose writes mostly fail, proves nothing.
fn assert_meaningful(tally: &Tally) {
    assert!(tally.ended.well > tally.ended.with_errors, "{tally}");
    assert!(tally.compared * 4 > tally.lookups, "{tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    let tally =
        differential::<Pg>("PostgreSQL", variable("TURBODIESEL_WRITES").unwrap_or(4_200)).await;
    assert_meaningful(&tally);
    assert!(tally.precision.is_enough(), "{tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    let tally =
        differential::<Sqlite>("SQLite", variable("TURBODIESEL_WRITES").unwrap_or(1_000)).await;
    assert_meaningful(&tally);
}

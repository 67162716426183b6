//! The concurrent part of a history: writers and readers at once, futures given up wherever they
//! are, and counters whose values must never go back.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use fastrand::Rng;
use futures_util::future::{join, join_all, join3};
use turbodiesel::Db;

use super::{
    answer::Answer,
    execute::{Ended, execute, quiesce},
    reads::Query,
    side::{Oracle, Side},
    statement::Statement,
    steps::Step,
    values::Value,
};
use crate::support::poll_times;

/// Counters in the table of that name, with keys from 1.
const COUNTERS: usize = 4;

/// How often each writer of counters writes.
const COUNTS: usize = 12;

/// Readers of the random queries, and as many of the counters.
const READERS: usize = 3;

/// What is known of a counter.
#[derive(Debug, Default)]
struct Counter {
    /// The highest value whose write has been acknowledged.
    acknowledged: AtomicI64,
    /// The highest value that a reader has seen.
    seen: AtomicI64,
}

/// Lets writers, each with steps of its own, and readers loose, and waits until all is quiet.
///
/// # Panics
///
/// If a counter is read below a value that was acknowledged, or seen by anybody, before the read.
pub(super) async fn storm<B: Side>(
    db: &Db<B>,
    oracle: &mut B::Oracle,
    queries: &[Query],
    writers: &[Vec<Step>],
    seed: u64,
) -> Ended {
    let counters: [Counter; COUNTERS] = Default::default();
    let is_over = AtomicBool::new(false);
    let rounds = AtomicUsize::new(0);
    let writing = async {
        let steps = join_all(writers.iter().map(async |steps| {
            let mut ended = Ended::default();
            for step in steps {
                ended += execute(db, queries, step).await;
            }
            ended
        }));
        let counts = join_all((0..2).map(|writer| count(db, &counters, seed ^ writer)));
        let (ended, _) = join(steps, counts).await;
        is_over.store(true, SeqCst);
        let mut all = Ended::default();
        ended.into_iter().for_each(|ended| all += ended);
        all
    };
    let random = join_all((0..READERS).map(async |reader| {
        let mut rng = Rng::with_seed(seed.wrapping_add(reader as u64));
        while !is_over.load(SeqCst) {
            let query = &rng.choice(queries).expect("there are some").statement;
            let mut handle = db.handle();
            let read = Answer::load(&mut handle, query);
            match rng.u8(0..4) {
                0 => drop(poll_times(read, rng.usize(0..8)).await),
                _ => drop(read.await),
            }
            rounds.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
        }
    }));
    let watching = join_all((0..READERS).map(async |reader| {
        let mut rng = Rng::with_seed(seed.wrapping_add(100 + reader as u64));
        while !is_over.load(SeqCst) {
            watch(db, &counters, rng.usize(0..COUNTERS)).await;
            tokio::task::yield_now().await;
        }
    }));
    let deadline = Duration::from_secs(120);
    let (ended, ..) = tokio::time::timeout(deadline, join3(writing, random, watching))
        .await
        .unwrap_or_else(|_| panic!("a storm did not end; {rounds:?} reads"));
    quiesce(db).await;
    oracle.quiet().await;
    ended
}

fn counter(sql: &str, index: usize) -> Statement {
    let id = i32::try_from(index + 1).expect("they are few");
    Statement::new(sql, vec![Value::Int(id)])
}

/// The number in an answer of one row with one `bigint`.
fn number<B: Side>(answer: &Answer) -> i64 {
    let [row] = &answer.0[..] else { panic!("a counter has {} rows", answer.0.len()) };
    B::number(row)
}

/// Adds to counters, and gives some of the writes up.
async fn count<B: Side>(db: &Db<B>, counters: &[Counter; COUNTERS], seed: u64) {
    let mut rng = Rng::with_seed(seed);
    for _ in 0..COUNTS {
        let index = rng.usize(0..COUNTERS);
        let add = counter("UPDATE counters SET n = n + 1 WHERE id = $1 RETURNING n", index);
        let mut handle = db.handle();
        let write = Answer::load(&mut handle, &add);
        if rng.u8(0..5) == 0 {
            poll_times(write, rng.usize(0..8)).await;
            continue;
        }
        // SQLite may be too busy.
        if let Ok(answer) = write.await {
            counters[index].acknowledged.fetch_max(number::<B>(&answer), SeqCst);
        }
    }
}

/// Reads a counter, which must not be behind what was known before.
async fn watch<B: Side>(db: &Db<B>, counters: &[Counter; COUNTERS], index: usize) {
    let Counter { acknowledged, seen } = &counters[index];
    let (before, seen_before) = (acknowledged.load(SeqCst), seen.load(SeqCst));
    let read = counter("SELECT n FROM counters WHERE id = $1", index);
    let mut handle = db.handle();
    let Ok(answer) = Answer::load(&mut handle, &read).await else { return };
    let (value, outcome) = (number::<B>(&answer), handle.outcome());
    assert!(
        value >= before,
        "counter {index}: {value} after {before} was acknowledged ({outcome:?})"
    );
    assert!(
        value >= seen_before,
        "counter {index}: {value} after {seen_before} was seen ({outcome:?})"
    );
    seen.fetch_max(value, SeqCst);
}

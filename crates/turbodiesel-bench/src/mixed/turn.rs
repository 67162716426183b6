//! One contender's turn: a number of tasks that ask one operation after the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use turbodiesel_testkit::Database;

use crate::mixed::{
    checker::Checker,
    contender::Contender,
    ideal::IdealCache,
    load::{Load, Mix, Operation, Write},
    shop::Truth,
};

/// How many tasks ask at the same time; fewer than the pools have connections.
pub(crate) const TASKS: usize = 8;

/// How long the turns are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What a turn found.
#[derive(Debug)]
pub(crate) struct Turn {
    elapsed: Duration,
    tally: Tally,
    database_reads: u64,
    /// Answers that were older than what had been acknowledged, or than the database's at the end.
    pub(crate) wrong_answers: u64,
}

/// What tasks have counted and timed.
#[derive(Debug)]
struct Tally {
    /// Reads whose answer an ideal cache would have held.
    held: Times,
    /// All others.
    not_held: Times,
    /// Nanoseconds.
    writes: Histogram<u64>,
    wrong_answers: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    count: u64,
    total: Duration,
}

impl Turn {
    /// Operations per second.
    pub(crate) fn throughput(&self) -> f64 {
        as_figure(self.tally.reads() + self.tally.writes.len()) / self.elapsed.as_secs_f64()
    }

    /// The part of the reads that the database was not asked for: 0 to 1.
    pub(crate) fn hit_rate(&self) -> f64 {
        1.0 - as_figure(self.database_reads) / as_figure(self.tally.reads())
    }

    /// The part of the reads whose answers an ideal cache would have held: 0 to 1.
    pub(crate) fn ideal_hit_rate(&self) -> f64 {
        as_figure(self.tally.held.count) / as_figure(self.tally.reads())
    }

    /// Nanoseconds of a read whose answer an ideal cache would have held.
    pub(crate) fn held_time(&self) -> f64 {
        self.tally.held.mean()
    }

    /// Nanoseconds of any other read.
    pub(crate) fn not_held_time(&self) -> f64 {
        self.tally.not_held.mean()
    }

    /// Nanoseconds of a write.
    pub(crate) fn write_time(&self) -> f64 {
        self.tally.writes.mean()
    }

    /// Nanoseconds in which 99 of 100 writes were done.
    pub(crate) fn write_time_p99(&self) -> f64 {
        as_figure(self.tally.writes.value_at_quantile(0.99))
    }
}

/// What the tasks of a turn share.
struct Scene<C> {
    contender: C,
    ideal: IdealCache,
    checker: Checker,
}

/// Lets the tasks run for a while on the shop's first day, and counts after a while of warming up.
pub(crate) async fn run<C: Contender>(
    contender: C,
    database: &Database,
    mix: Mix,
    pace: Pace,
) -> Result<Turn> {
    let scene = Arc::new(Scene { contender, ideal: IdealCache::new(), checker: Checker::new() });
    let loads = (0..TASKS).map(|task| Load::new(mix, task as u64)).collect();
    let (_, _, loads) = spell(&scene, loads, pace.warm_up).await?;
    let database_reads = scene.contender.database_reads();
    let (elapsed, tally, _) = spell(&scene, loads, pace.measured).await?;
    let database_reads = scene.contender.database_reads() - database_reads;
    let wrong_answers = tally.wrong_answers + wrong_when_quiet(&scene, database).await?;
    Ok(Turn { elapsed, tally, database_reads, wrong_answers })
}

/// Lets the tasks run for a while.
async fn spell<C: Contender>(
    scene: &Arc<Scene<C>>,
    loads: Vec<Load>,
    duration: Duration,
) -> Result<(Duration, Tally, Vec<Load>)> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for load in loads {
        let scene = Arc::clone(scene);
        tasks.spawn(async move { scene.ask(load, start + duration).await });
    }
    let mut tally = Tally::new();
    let mut loads = Vec::new();
    while let Some(task) = tasks.join_next().await {
        let (more, load) = task??;
        tally.add(&more);
        loads.push(load);
    }
    Ok((start.elapsed(), tally, loads))
}

impl<C: Contender> Scene<C> {
    /// A task: one operation after the other, until it is time to stop.
    async fn ask(&self, mut load: Load, until: Instant) -> Result<(Tally, Load)> {
        let mut tally = Tally::new();
        loop {
            let operation = load.next();
            let start = Instant::now();
            if start >= until {
                return Ok((tally, load));
            }
            match operation {
                Operation::Read(read) => {
                    let known = self.checker.known(read);
                    let is_held = self.ideal.read(read, start);
                    let seen = self.contender.read(read, is_held).await?;
                    let times = if is_held { &mut tally.held } else { &mut tally.not_held };
                    times.record(start.elapsed());
                    let is_right = !C::ANSWERS || self.checker.is_right(read, known, seen);
                    tally.wrong_answers += u64::from(!is_right);
                }
                Operation::Write(write) => {
                    self.checker.begin(write);
                    let inserted = self.contender.write(write).await?;
                    let nanoseconds = u64::try_from(start.elapsed().as_nanos())?;
                    tally.writes.saturating_record(nanoseconds);
                    self.checker.acknowledge(write);
                    self.ideal.forget(write);
                    if let (Some(id), Write::InsertOrder { customer }) = (inserted, write) {
                        load.inserted(id, customer);
                    }
                }
            }
        }
    }
}

/// Compares everything that was ever asked for with what the database holds, now that nobody
/// writes. Returns how many answers differ.
async fn wrong_when_quiet<C: Contender>(scene: &Arc<Scene<C>>, database: &Database) -> Result<u64> {
    if !C::ANSWERS {
        return Ok(0);
    }
    let truth = Arc::new(Truth::read(database).await?);
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (scene, truth) = (Arc::clone(scene), Arc::clone(&truth));
        tasks.spawn(async move {
            let mut wrong = 0;
            for read in scene.ideal.ever_read().into_iter().skip(task).step_by(TASKS) {
                let answer = scene.contender.read(read, false).await?;
                wrong += u64::from(answer != truth.answer(read));
            }
            anyhow::Ok(wrong)
        });
    }
    let mut wrong = 0;
    while let Some(task) = tasks.join_next().await {
        wrong += task??;
    }
    Ok(wrong)
}

impl Tally {
    fn new() -> Self {
        Self {
            held: Times::default(),
            not_held: Times::default(),
            // To three digits, from a nanosecond to a minute.
            // OK because the bounds are constants that every run uses.
            writes: Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds"),
            wrong_answers: 0,
        }
    }

    fn reads(&self) -> u64 {
        self.held.count + self.not_held.count
    }

    fn add(&mut self, other: &Self) {
        let Self { held, not_held, writes, wrong_answers } = other;
        self.held.add(*held);
        self.not_held.add(*not_held);
        self.writes += writes;
        self.wrong_answers += wrong_answers;
    }
}

impl Times {
    fn record(&mut self, time: Duration) {
        self.add(Self { count: 1, total: time });
    }

    fn add(&mut self, Self { count, total }: Self) {
        self.count += count;
        self.total += total;
    }

    /// Nanoseconds.
    fn mean(self) -> f64 {
        self.total.as_secs_f64() * 1e9 / as_figure(self.count)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a float holds counts up to 52 bits")]
fn as_figure(count: u64) -> f64 {
    count as f64
}

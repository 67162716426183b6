//! Drives the service: clients that ask one request after the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    audit::{Audit, Findings},
    contender::{Contender, Counts},
    data::Sizes,
    place,
    progress::Progress,
    requests::{Group, Request, Requests, Task},
};

/// The load of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) seed: u64,
    pub(crate) sizes: Sizes,
    pub(crate) clients: u32,
    pub(crate) duration: Duration,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) elapsed: Duration,
    pub(crate) counts: Counts,
    pub(crate) latencies: Latencies,
    pub(crate) failures: Failures,
    pub(crate) findings: Findings,
}

/// How long requests took, in nanoseconds, by [`Group`].
#[derive(Debug)]
pub(crate) struct Latencies([Histogram<u64>; Group::ALL.len()]);

/// Requests that failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failures {
    pub(crate) count: u64,
    pub(crate) first: Option<String>,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        // To three digits, from a nanosecond to ten minutes.
        Self(std::array::from_fn(|_| {
            // OK because the bounds are constants that every run uses.
            Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("the bounds are valid")
        }))
    }

    pub(crate) fn record(&mut self, group: Group, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0[group as usize].saturating_record(nanoseconds);
    }

    pub(crate) fn of(&self, group: Group) -> &Histogram<u64> {
        &self.0[group as usize]
    }

    /// Of all groups together.
    pub(crate) fn all(&self) -> Histogram<u64> {
        let mut all = self.0[0].clone();
        for histogram in &self.0[1..] {
            all += histogram;
        }
        all
    }

    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs;
        }
    }
}

/// While a contender is measured, the checks must not become the load.
const RARE_CHECKS: Duration = Duration::from_millis(500);
/// After that they may.
const FREQUENT_CHECKS: Duration = Duration::from_millis(4);

/// Warms a contender up and measures it. If its answers are to be checked, that happens now and then
/// while it is measured, and then as often as possible under the same load.
pub(crate) async fn run<C: Contender>(
    name: &str,
    contender: &C,
    load: Load,
    audited: bool,
    interrupt: &CancellationToken,
) -> Result<Run> {
    let clients: Vec<Requests> =
        (0..load.clients).map(|client| Requests::new(load.seed, client, load.sizes)).collect();
    let drive = Drive { contender, interrupt };
    let (_, clients) =
        drive.spell(&format!("{name}: warming up"), clients, load.duration / 5, None).await?;
    let checks = audited.then_some(RARE_CHECKS);
    let (mut run, clients) =
        drive.spell(&format!("{name}: measuring"), clients, load.duration, checks).await?;
    if audited {
        let checks = Some(FREQUENT_CHECKS);
        let (checked, _) = drive
            .spell(&format!("{name}: checking answers"), clients, load.duration / 5, checks)
            .await?;
        run.findings.add(checked.findings);
        run.failures.add(checked.failures);
    }
    Ok(run)
}

struct Drive<'a, C> {
    contender: &'a C,
    interrupt: &'a CancellationToken,
}

/// One client at work.
struct Client<C> {
    contender: C,
    requests: Requests,
    audit: Option<Arc<Audit>>,
    latencies: Latencies,
    failures: Failures,
}

impl<C: Contender> Drive<'_, C> {
    /// Lets the clients ask for a while, with checks that far apart.
    async fn spell(
        &self,
        message: &str,
        clients: Vec<Requests>,
        duration: Duration,
        checks: Option<Duration>,
    ) -> Result<(Run, Vec<Requests>)> {
        let progress = Progress::new(message, duration.as_millis() as u64);
        let audit = checks.map(|interval| Arc::new(Audit::every(interval)));
        let before = self.contender.counts();
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for (number, requests) in clients.into_iter().enumerate() {
            let client = Client {
                contender: self.contender.clone(),
                requests,
                audit: audit.clone(),
                latencies: Latencies::new(),
                failures: Failures::default(),
            };
            let interrupt = self.interrupt.clone();
            let progress = (number == 0).then(|| progress.clone());
            tasks.spawn(async move {
                let mut client = client;
                while start.elapsed() < duration && !interrupt.is_cancelled() {
                    client.step().await;
                    if let Some(progress) = &progress {
                        progress.reach(start.elapsed().as_millis() as u64);
                    }
                }
                (number, client)
            });
        }
        let mut done = tasks.join_all().await;
        let elapsed = start.elapsed();
        place::check(self.interrupt)?;
        done.sort_by_key(|(number, _)| *number);
        let mut run = Run {
            elapsed,
            counts: self.contender.counts() - before,
            latencies: Latencies::new(),
            failures: Failures::default(),
            findings: audit.map(|audit| audit.findings()).unwrap_or_default(),
        };
        let mut clients = Vec::new();
        for (_, client) in done {
            run.latencies.add(&client.latencies);
            run.failures.add(client.failures);
            clients.push(client.requests);
        }
        Ok((run, clients))
    }
}

impl<C: Contender> Client<C> {
    async fn step(&mut self) {
        // OK because the requests never end.
        let Request { user, task } = self.requests.next().expect("requests never end");
        match self.serve(user, &task).await {
            Ok(latency) => self.latencies.record(task.group(), latency),
            Err(error) => self.failures.note(&task, &error),
        }
    }

    /// Has a request served and says how long that took, without waiting for checks.
    async fn serve(&self, user: i32, task: &Task) -> diesel::QueryResult<Duration> {
        match task {
            Task::Read(read) => {
                if let Some(audit) = &self.audit
                    && audit.is_due()
                {
                    return audit.check(&self.contender, user, read).await;
                }
                let start = Instant::now();
                self.contender.read(user, read).await?;
                Ok(start.elapsed())
            }
            Task::Write(write) => {
                let _no_check = match &self.audit {
                    Some(audit) => Some(audit.writing().await),
                    None => None,
                };
                let start = Instant::now();
                self.contender.write(user, write).await?;
                Ok(start.elapsed())
            }
        }
    }
}

impl Failures {
    fn note(&mut self, task: &Task, error: &diesel::result::Error) {
        self.count += 1;
        self.first.get_or_insert_with(|| format!("{task:?}: {error}"));
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.take().or(other.first);
    }
}

impl Run {
    /// Requests served.
    pub(crate) fn requests(&self) -> u64 {
        self.latencies.all().len()
    }
}

//! The check: is what the service answers what the database says?
//!
//! An answer from memory is compared with a fresh read of the same. In between nobody may write, or
//! both could be right: writers hold a lock shared, and a check takes it for itself. Before it gets
//! the lock, every write that was begun has returned, and turbodiesel promises that whatever is read
//! after that sees it. So the two must be equal.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use diesel::QueryResult;
use serde::Serialize;
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::{
    contender::{Contender, Served},
    requests::Read,
};

/// Checks answers and counts the wrong ones.
#[derive(Debug)]
pub(crate) struct Audit {
    /// The least time from one check to the next.
    interval: Duration,
    /// Shared by writers. Held for itself by a check.
    gate: RwLock<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    findings: Findings,
}

/// What the checks found.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Findings {
    /// Answers compared with a fresh read.
    pub(crate) checks: u64,
    /// Those of them that came from memory, wholly or in part.
    pub(crate) checks_of_memory: u64,
    /// Answers that differed.
    pub(crate) wrong_answers: u64,
    /// The first of them.
    pub(crate) first_wrong_answer: Option<WrongAnswer>,
}

/// An answer and what it should have been.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WrongAnswer {
    pub(crate) request: String,
    pub(crate) answered: String,
    pub(crate) fresh: String,
}

impl Audit {
    pub(crate) fn every(interval: Duration) -> Self {
        Self { interval, gate: RwLock::default(), state: Mutex::default() }
    }

    /// Keeps checks away while a write is under way.
    pub(crate) async fn writing(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().await
    }

    /// Whether it is time for a check. Says so to one caller only.
    pub(crate) fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let due = state.last.is_none_or(|last| now - last >= self.interval);
        if due {
            state.last = Some(now);
        }
        due
    }

    /// Serves a read and compares its answer with a fresh one. Also returns how long the serving
    /// took, without the check.
    pub(crate) async fn check<C: Contender>(
        &self,
        contender: &C,
        user: i32,
        read: &Read,
    ) -> QueryResult<Duration> {
        let _nobody_writes = self.gate.write().await;
        let start = Instant::now();
        let Served { response, from_memory } = contender.read(user, read).await?;
        let latency = start.elapsed();
        let fresh = contender.read_afresh(user, read).await?;
        let mut state = self.state();
        let findings = &mut state.findings;
        findings.checks += 1;
        findings.checks_of_memory += u64::from(from_memory);
        if response != fresh {
            findings.wrong_answers += 1;
            findings.first_wrong_answer.get_or_insert_with(|| WrongAnswer {
                request: format!("{read:?} by user {user}"),
                answered: format!("{response:?}"),
                fresh: format!("{fresh:?}"),
            });
        }
        Ok(latency)
    }

    /// What was found so far.
    pub(crate) fn findings(&self) -> Findings {
        self.state().findings.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // OK because every step leaves the counts usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Findings {
    pub(crate) fn add(&mut self, other: Self) {
        let Self { checks, checks_of_memory, wrong_answers, first_wrong_answer } = other;
        self.checks += checks;
        self.checks_of_memory += checks_of_memory;
        self.wrong_answers += wrong_answers;
        self.first_wrong_answer = self.first_wrong_answer.take().or(first_wrong_answer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI32, Ordering::Relaxed},
    };

    use anyhow::Result;

    use super::*;
    use crate::{
        contender::Counts,
        model::{Answer, Response},
        requests::Write,
    };

    const STOCK: Read = Read::StockByWarehouse;

    /// A stock of one number, with a cache that notices writes or does not.
    #[derive(Clone, Debug, Default)]
    struct Stock {
        truth: Arc<AtomicI32>,
        cached: Arc<AtomicI32>,
        is_blind: bool,
    }

    fn response(number: i32) -> Response {
        Response { permissions: Vec::new(), answer: Answer::Stock(vec![(number, 0, None)]) }
    }

    impl Contender for Stock {
        async fn read(&self, _user: i32, _read: &Read) -> QueryResult<Served> {
            Ok(Served { response: response(self.cached.load(Relaxed)), from_memory: true })
        }

        async fn read_afresh(&self, _user: i32, _read: &Read) -> QueryResult<Response> {
            Ok(response(self.truth.load(Relaxed)))
        }

        async fn write(&self, _user: i32, _write: &Write) -> QueryResult<()> {
            let number = self.truth.fetch_add(1, Relaxed) + 1;
            if !self.is_blind {
                // Others run in between: only the gate keeps a check from seeing this.
                tokio::task::yield_now().await;
                self.cached.store(number, Relaxed);
            }
            Ok(())
        }

        fn counts(&self) -> Counts {
            Counts::default()
        }

        async fn close(self) -> Result<()> {
            Ok(())
        }
    }

    /// Writes and checks at the same time.
    async fn findings(stock: Stock) -> Findings {
        let audit = Audit::every(Duration::ZERO);
        let write = Write::ShipOrder { order: 1 };
        let writing = async {
            for _ in 0..100 {
                let _no_check = audit.writing().await;
                stock.write(1, &write).await.unwrap();
            }
        };
        let checking = async {
            for _ in 0..100 {
                audit.check(&stock, 1, &STOCK).await.unwrap();
            }
        };
        tokio::join!(writing, checking);
        audit.findings()
    }

    #[tokio::test]
    async fn a_cache_that_notices_writes_is_never_wrong() {
        let findings = findings(Stock::default()).await;
        assert_eq!((findings.checks, findings.checks_of_memory), (100, 100));
        assert_eq!(findings.wrong_answers, 0, "{:?}", findings.first_wrong_answer);
    }

    #[tokio::test]
    async fn a_cache_that_is_blind_to_writes_is_found_out() {
        let findings = findings(Stock { is_blind: true, ..Stock::default() }).await;
        assert!(findings.wrong_answers > 90, "{findings:?}");
        let first = findings.first_wrong_answer.unwrap();
        assert_eq!(first.request, "StockByWarehouse by user 1");
        assert_ne!(first.answered, first.fresh);
    }

    #[test]
    fn one_caller_at_a_time_is_told_to_check() {
        let audit = Audit::every(Duration::from_secs(3600));
        assert!(audit.is_due());
        assert!(!audit.is_due());
    }
}

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
    /// Those of them that came from memory.
    pub(crate) checks_of_memory: u64,
    /// Answers that differed.
    pub(crate) wrong_answers: u64,
    /// The first of them.
    pub(crate) first_wrong_answer: Option<String>,
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
            findings.first_wrong_answer.get_or_insert_with(|| {
                format!("{read:?} by user {user}: answered {response:?}, but it is {fresh:?}")
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

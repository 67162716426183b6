//! From what a scope has recorded to what is wrong with it.
//!
//! Everything is decided from values that were really bound and really returned. A statement that is
//! executed often is no finding by itself: pages, polls and chunks are. It becomes one when an earlier
//! answer had several rows and their values are what it is bound to, one after the other.
//!
//! - `groups`: the executions of each statement.
//! - `explain`: which answer's rows the binds came from.
//! - `loops`: what those loops are called.
//! - `others`: what needs no such explanation.

mod explain;
mod groups;
mod loops;
mod others;
#[cfg(test)]
mod properties;

use std::time::Duration;

use self::groups::Groups;
use crate::{Findings, recording::Recording};

/// From where on something is a finding. All of them include their values.
///
/// ```
/// use std::time::Duration;
/// use turbodiesel_optimizer::Thresholds;
///
/// let thresholds = Thresholds::production().repeats(10).time(Duration::from_millis(50));
/// # let _ = thresholds;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Thresholds {
    pub(crate) repeats: usize,
    pub(crate) time: Duration,
    pub(crate) rows: u32,
    pub(crate) serialised: usize,
    pub(crate) saving: Duration,
}

impl Thresholds {
    /// For tests, whose data is small: three executions are a loop, however fast they were.
    pub fn tests() -> Self {
        Self {
            repeats: 3,
            time: Duration::ZERO,
            rows: 1_000,
            serialised: 3,
            saving: Duration::from_millis(20),
        }
    }

    /// For production: five executions that took 20 ms together.
    pub fn production() -> Self {
        Self { repeats: 5, time: Duration::from_millis(20), rows: 5_000, ..Self::tests() }
    }

    /// Sets how many executions with different values make a loop, and with the same a repetition. At
    /// least two.
    pub fn repeats(mut self, executions: usize) -> Self {
        self.repeats = executions.max(2);
        self
    }

    /// Sets how much time in the database the executions of a loop must have taken together.
    pub fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Sets how many rows of an unlimited query are too many.
    pub fn rows(mut self, rows: u32) -> Self {
        self.rows = rows;
        self
    }

    /// Sets how many independent queries one after the other are worth running at the same time, and
    /// how much time that must save. At least two.
    pub fn serialised(mut self, queries: usize, saving: Duration) -> Self {
        (self.serialised, self.saving) = (queries.max(2), saving);
        self
    }
}

pub(crate) fn detect(recording: &Recording, thresholds: &Thresholds) -> Findings {
    let groups = Groups::of(recording);
    let loops = explain::loops(&groups, thresholds);
    let mut findings = loops::findings(&groups, &loops, thresholds);
    findings.extend(others::write_loops(&groups, &loops, thresholds));
    findings.extend(others::duplicates(&groups, &loops, thresholds));
    findings.extend(others::over_fetches(&groups, thresholds));
    findings.extend(others::serialised(&groups, thresholds));
    Findings::ranked(findings)
}

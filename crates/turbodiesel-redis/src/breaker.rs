//! Whether Redis is used at present, and what happens when that changes.
//!
//! There is a link, or there is none: with one, Redis alone answers, and memory is empty; without,
//! memory alone answers, and what is changed is noted for Redis. The link is given up by whoever meets
//! a failure, and brought back by `recovery`, which runs in the background.
//!
//! One lock guards the change. Under it a write goes to memory and to the journal at once, and a link
//! is only brought back while the journal is empty. So there is no moment in which a value is in
//! memory, its former value in Redis, and Redis is asked.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    journal::Journal,
    link::{Failure, Link, Server},
    memory::Memory,
    stats::{Counters, Trouble, add},
};

/// How many answers in a row may be late. A single one says little: a task that was not scheduled, a
/// snapshot that the server forked for.
const TOLERATED_SLOW: u32 = 2;

/// The former connections that are remembered. More than one only come about while attempts to bring
/// a link back fail halfway.
const MOST_FORMER: usize = 16;

/// The switch between the two stores.
pub(crate) struct Breaker {
    link: ArcSwapOption<Link>,
    away: Mutex<Away>,
    pub(crate) memory: Memory,
    pub(crate) counters: Counters,
    /// Told when the link is given up.
    pub(crate) tripped: Notify,
    /// Whether there is a link, for those who wait for one.
    pub(crate) up: watch::Sender<bool>,
    /// Whether an attempt to bring a link back has got as far as a connection.
    pub(crate) probing: AtomicBool,
}

/// What is known while there is no link.
struct Away {
    trouble: Trouble,
    since: Instant,
    journal: Journal,
    /// Connections through which something may yet be done.
    former: Vec<Former>,
    /// Whether the log knows that Redis is away.
    is_announced: bool,
}

/// A connection that was given up.
#[derive(Clone, Debug)]
pub(crate) struct Former {
    pub(crate) server: Server,
    /// Whether a write was on its way.
    pub(crate) has_unheard_writes: bool,
}

impl Breaker {
    pub(crate) fn new(memory: Memory) -> Self {
        Self {
            link: ArcSwapOption::empty(),
            away: Mutex::new(Away {
                trouble: Trouble::Starting,
                since: Instant::now(),
                journal: Journal::default(),
                former: Vec::new(),
                is_announced: false,
            }),
            memory,
            counters: Counters::default(),
            tripped: Notify::new(),
            up: watch::Sender::new(false),
            probing: AtomicBool::new(false),
        }
    }

    /// The link, if Redis is used.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.link.load_full()
    }

    /// Changes memory and takes note of it, unless Redis is used by now.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&Memory, &mut Journal) -> T) -> Option<T> {
        let mut away = self.away.lock();
        if self.link.load().is_some() {
            return None;
        }
        Some(change(&self.memory, &mut away.journal))
    }

    /// A read failed. Some failures are tolerated for a while.
    pub(crate) fn read_failed(&self, link: &Link, failure: &Failure) {
        self.counters.count_failure(failure);
        if *failure != Failure::Timeout || link.count_slow() > TOLERATED_SLOW {
            self.trip(link.number, Trouble::from(failure));
        }
    }

    /// A write failed, so Redis may hold, or come to hold, something else than what was written.
    /// Memory is changed instead, and whatever link there is now is given up until Redis was told.
    pub(crate) fn write_failed<T>(
        &self,
        failure: &Failure,
        change: impl FnOnce(&Memory, &mut Journal) -> T,
    ) -> T {
        self.counters.count_failure(failure);
        let mut away = self.away.lock();
        let changed = change(&self.memory, &mut away.journal);
        self.give_up(&mut away, Trouble::from(failure));
        changed
    }

    /// Gives the link up, if it is still this one.
    pub(crate) fn trip(&self, number: u64, trouble: Trouble) {
        let mut away = self.away.lock();
        if self.link.load().as_ref().is_some_and(|link| link.number == number) {
            self.give_up(&mut away, trouble);
        }
    }

    fn give_up(&self, away: &mut Away, trouble: Trouble) {
        let Some(link) = self.link.swap(None) else { return };
        add(&self.counters.outages, 1);
        if trouble == Trouble::Rotated {
            tracing::info!("the namespace has another epoch, which is taken over");
        } else {
            tracing::warn!(%trouble, "Redis is away, values are kept in memory");
            away.is_announced = true;
        }
        away.trouble = trouble;
        away.since = Instant::now();
        remember(
            &mut away.former,
            Former { server: link.server.clone(), has_unheard_writes: link.has_unheard_writes() },
            &mut away.journal,
        );
        self.up.send_replace(false);
        self.tripped.notify_one();
    }

    /// An attempt to bring a link back failed. What it may have sent has to be ended, too.
    pub(crate) fn attempt_failed(&self, failure: &Failure, former: Option<Former>) {
        self.counters.count_failure(failure);
        let mut away = self.away.lock();
        away.trouble = Trouble::from(failure);
        if let Some(former) = former {
            let Away { former: known, journal, .. } = &mut *away;
            remember(known, former, journal);
        }
        if !away.is_announced {
            tracing::warn!(trouble = %away.trouble, "Redis is away, values are kept in memory");
            away.is_announced = true;
        }
    }

    /// The former connections that a new one has to see the end of.
    pub(crate) fn former(&self) -> Vec<Former> {
        self.away.lock().former.clone()
    }

    /// The first so many former connections were dealt with.
    pub(crate) fn forget_former(&self, count: usize) {
        self.away.lock().former.drain(..count);
    }

    /// Looks at, or changes, what is noted for Redis.
    pub(crate) fn with_journal<T>(&self, with: impl FnOnce(&Memory, &mut Journal) -> T) -> T {
        with(&self.memory, &mut self.away.lock().journal)
    }

    /// Brings a link back if Redis was told everything. From then on it alone answers.
    pub(crate) fn restore(&self, link: Arc<Link>) -> bool {
        let mut away = self.away.lock();
        if !away.journal.is_empty() {
            return false;
        }
        // What is in memory was told. Others change it from now on, unseen.
        self.memory.clear();
        let was_announced = std::mem::take(&mut away.is_announced);
        let (trouble, lasted) = (away.trouble.clone(), away.since.elapsed());
        self.link.store(Some(link));
        add(&self.counters.recoveries, 1);
        if was_announced {
            tracing::info!(%trouble, ?lasted, "Redis is back");
        }
        self.up.send_replace(true);
        true
    }

    /// Why there is no link, and since when.
    pub(crate) fn trouble(&self) -> (Trouble, Instant) {
        let away = self.away.lock();
        (away.trouble.clone(), away.since)
    }

    pub(crate) fn pending(&self) -> u64 {
        self.away.lock().journal.len() as u64
    }

    pub(crate) fn is_probing(&self) -> bool {
        self.probing.load(Relaxed)
    }
}

fn remember(known: &mut Vec<Former>, former: Former, journal: &mut Journal) {
    if known.len() < MOST_FORMER {
        known.push(former);
    } else if former.has_unheard_writes {
        // It cannot be ended if it is not remembered. What it does is lost in a former epoch.
        journal.rotate();
    }
}

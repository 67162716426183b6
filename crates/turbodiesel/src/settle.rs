//! What became of writes whose answer was lost: asked of the server, on a connection of its own.
//!
//! A connection that is cut says nothing of the statement that it carried. It may never have arrived,
//! may be done, or may still be at work and commit a second later. So its tables stay marked (a
//! [`Doubt`]) until the server has told: the transaction has committed or not, or the process that
//! served the connection is gone, and with it whatever it had not committed.
//!
//! That a process is idle says nothing: what was sent may still be on its way to it. Nor does another
//! server, which an address may lead to after a failover: there the time of the mark has to pass. It is
//! no answer while the server says that the write is at work, because the statement timeout, from which
//! it is derived, does not end a commit.

use std::{sync::Weak, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use turbodiesel_cache::{Doubt, Slot, WriteMark};
use turbodiesel_core::Nanos;

use crate::{backend::Backend, db::Inner, pool::Pooled, transaction::CommitOutcome};

/// How long after the first question the second comes; each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause. What has ended stays uncached for so long in vain.
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

/// How long connecting, or an answer, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The server's process behind a session. Times are in microseconds since 1970, as the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number, which comes again.
    pub id: i32,
    /// When it started.
    pub started: i64,
    /// When the server started.
    pub server_started: i64,
    /// Since when the server's statistics count. After a crash, which the server survives as such,
    /// they begin anew.
    pub statistics_since: i64,
}

/// How the server knows a write.
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    /// Who runs it.
    pub process: Process,
    /// The number of the transaction, where it was told.
    pub transaction: Option<i64>,
}

/// What the server says of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server cannot tell.
    Unknown,
    /// It is at work, however long ago it was sent.
    InProgress,
    /// It has ended, well or not.
    Ended,
    /// It has committed.
    Committed,
    /// It has not committed and never will.
    Aborted,
}

/// A write whose outcome is unknown.
pub(crate) struct Lost {
    pub(crate) mark: Option<WriteMark>,
    /// `None` if nothing is known by which the server could tell.
    pub(crate) trace: Option<Trace>,
    /// The catalog under which it was judged what it writes.
    pub(crate) edition: u64,
    pub(crate) changes_schema: bool,
    /// Who waits for the outcome.
    pub(crate) tell: Option<watch::Sender<CommitOutcome>>,
}

/// A lost write that the server is asked about.
pub(crate) struct Open {
    doubt: Option<Doubt>,
    trace: Trace,
    edition: u64,
    changes_schema: bool,
    tell: Option<watch::Sender<CommitOutcome>>,
    /// When it is given up, unless the server says that it is at work.
    deadline: Nanos,
}

impl<B: Backend> Inner<B> {
    /// Has the outcome of a write found out. Where nobody can, its mark stands for its lifetime.
    pub(crate) fn lose(&self, lost: Lost) {
        let Lost { mark, trace, edition, changes_schema, tell } = lost;
        tracing::warn!("the outcome of a write is unknown: its tables stay uncached for a while");
        if changes_schema {
            self.keeper.forget();
        }
        let Some(trace) = trace else {
            if let Some(mark) = mark {
                mark.unknown();
            }
            return;
        };
        let doubt = mark.map(WriteMark::doubt);
        let deadline = self.stamps.clock().now().plus(self.settings.mark_lifetime);
        let open = Open { doubt, trace, edition, changes_schema, tell, deadline };
        // Refused when the runtime is gone, and the task with it; then dropping the doubt is enough.
        let _ = self.lost.send(open);
    }

    /// Asks once about each of these writes, and ends those that are settled.
    async fn settle_some(&self, connection: &mut Option<Box<Pooled<B>>>, open: &mut Vec<Open>) {
        let mut answers = true;
        for write in std::mem::take(open) {
            // A server that does not answer one question is not made to time out on each.
            let fate = if answers { self.ask(connection, &write.trace).await } else { None };
            answers = fate.is_some();
            match fate.unwrap_or(Fate::Unknown) {
                Fate::InProgress => open.push(write),
                Fate::Unknown if self.stamps.clock().now() < write.deadline => open.push(write),
                fate => self.end(connection, write, fate).await,
            }
        }
    }

    /// What the server says; `None` if it cannot be asked.
    async fn ask(&self, connection: &mut Option<Box<Pooled<B>>>, trace: &Trace) -> Option<Fate> {
        if connection.is_none() {
            let opened = timeout(PATIENCE, self.pool.dedicated_connection()).await;
            *connection = opened.ok().and_then(Result::ok);
        }
        let asked = connection.as_mut()?;
        let fate = timeout(PATIENCE, B::fate(asked.start(), trace)).await;
        if let Ok(Ok(fate)) = fate.map(|fate| asked.finish(fate)) {
            return Some(fate);
        }
        *connection = None;
        None
    }

    /// First the cache, then who asked: whoever knows the outcome may act on it.
    async fn end(&self, connection: &mut Option<Box<Pooled<B>>>, write: Open, fate: Fate) {
        let Open { doubt, edition, changes_schema, tell, .. } = write;
        if fate != Fate::Aborted {
            if changes_schema && let Some(connection) = connection {
                connection.check_catalog(&self.keeper).await;
            }
            if self.keeper.edition() != edition {
                // Under a catalog that came meanwhile it may have written more.
                self.stamps.change([Slot::ALL]);
            }
        }
        match (doubt, fate) {
            (Some(doubt), Fate::Aborted) => doubt.aborted(),
            (Some(doubt), _) => doubt.ended(),
            (None, _) => {}
        }
        let outcome = match fate {
            Fate::Committed => CommitOutcome::Committed,
            Fate::Aborted => CommitOutcome::Aborted,
            // Out of time, or ended without a trace.
            Fate::Unknown | Fate::InProgress | Fate::Ended => CommitOutcome::Unknown,
        };
        if let Some(tell) = tell {
            // Nobody may be left to hear it.
            let _ = tell.send(outcome);
        }
    }
}

/// Settles what is lost for as long as the `Db` lives. Ending with the runtime, it drops the doubts
/// that it has, and they stand for their lifetime.
pub(crate) async fn settle_lost_writes<B: Backend>(
    db: Weak<Inner<B>>,
    mut lost: mpsc::UnboundedReceiver<Open>,
) {
    let mut open = Vec::new();
    let mut connection = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let more = match open.is_empty() {
            true => lost.recv().await,
            false => match timeout(pause, lost.recv()).await {
                Ok(more) => more,
                Err(_) => {
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    settle(&db, &mut connection, &mut open).await;
                    continue;
                }
            },
        };
        let Some(more) = more else { return };
        open.push(more);
        pause = FIRST_PAUSE;
        settle(&db, &mut connection, &mut open).await;
    }
}

async fn settle<B: Backend>(
    db: &Weak<Inner<B>>,
    connection: &mut Option<Box<Pooled<B>>>,
    open: &mut Vec<Open>,
) {
    match db.upgrade() {
        Some(db) if !db.is_closed() => db.settle_some(connection, open).await,
        // Nobody reads any more.
        _ => open.clear(),
    }
    if open.is_empty() {
        *connection = None;
    }
}

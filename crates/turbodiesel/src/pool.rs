//! The pool: connections that know whether they may be used again.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bb8::ManageConnection;
use diesel::{QueryResult, connection::TransactionManagerStatus};
use diesel_async::{AsyncConnection, TransactionManager, pooled_connection::PoolableConnection};
use turbodiesel_core::{Clock, Nanos};

use crate::{
    backend::Backend,
    catalog::SearchPath,
    config::PoolSettings,
    error::Error,
    keeper::CatalogKeeper,
    settle::{Process, Trace},
};

/// A connection checked out of the pool, for as long as it lives.
pub(crate) type Checkout<B> = bb8::PooledConnection<'static, Manager<B>>;

/// Opens connections and decides which may return.
pub(crate) struct Manager<B: Backend> {
    pub(crate) target: Arc<B::Target>,
    pub(crate) keeper: Arc<CatalogKeeper>,
    pub(crate) closed: Arc<AtomicBool>,
    /// A connection that is closed takes its database with it.
    pub(crate) keep_for_ever: bool,
}

/// A pooled connection.
pub(crate) struct Pooled<B: Backend> {
    raw: B::Raw,
    target: Arc<B::Target>,
    /// Where this session looks names up, as it was opened.
    search_path: SearchPath,
    process: Option<Process>,
    /// The session was changed: its answers may differ from those of its siblings.
    pub(crate) tainted: bool,
    /// A statement was sent and its answer has not been seen. Still set when the connection comes
    /// back, it means that the statement's future was dropped.
    busy: bool,
    /// That statement begins or ends a transaction.
    pub(crate) in_control: bool,
    /// The last statement failed, and the reason may be that the connection is going.
    suspect: bool,
}

impl<B: Backend> Deref for Pooled<B> {
    type Target = B::Raw;

    fn deref(&self) -> &B::Raw {
        &self.raw
    }
}

impl<B: Backend> DerefMut for Pooled<B> {
    fn deref_mut(&mut self) -> &mut B::Raw {
        &mut self.raw
    }
}

impl<B: Backend> Pooled<B> {
    /// The connection, for sending a statement. Between here and [`finish`](Self::finish) it is
    /// busy: dropped in between, it is closed and the statement cancelled.
    pub(crate) fn start(&mut self) -> &mut B::Raw {
        self.busy = !B::DROPPING_WAITS;
        &mut self.raw
    }

    /// Like [`start`](Self::start), for a statement that begins or ends a transaction.
    pub(crate) fn start_control(&mut self) -> &mut B::Raw {
        self.in_control = !B::DROPPING_WAITS;
        self.start()
    }

    /// The statement has been answered. Hands its answer on.
    pub(crate) fn finish<R>(&mut self, answer: QueryResult<R>) -> QueryResult<R> {
        self.busy = false;
        self.in_control = false;
        self.suspect = answer.is_err();
        answer
    }

    /// Leaves what was sent to the server: the connection is closed, but nothing is cancelled.
    pub(crate) fn abandon(&mut self) {
        self.busy = false;
        self.tainted = true;
    }

    /// Checks the catalog on this session, and whether the session is as it was opened: a function
    /// may have changed it, if only by a temporary table.
    pub(crate) async fn check_catalog(&mut self, keeper: &CatalogKeeper) {
        let opened = self.search_path.clone();
        let checked = keeper.check::<B>(self.start(), Some(&opened)).await;
        // The keeper has reported a failure.
        if let Ok(signature) = self.finish(checked) {
            self.tainted |= signature.search_path != opened;
        }
    }

    /// How the server knows what this session does, in the transaction of this number.
    pub(crate) fn trace(&self, transaction: Option<i64>) -> Option<Trace> {
        Some(Trace { process: self.process?, transaction })
    }

    /// Whether a transaction is open, which on a fresh checkout is one that somebody left behind.
    pub(crate) fn in_transaction(&mut self) -> bool {
        let status =
            <B::Raw as AsyncConnection>::TransactionManager::transaction_manager_status_mut(
                &mut self.raw,
            );
        match status {
            TransactionManagerStatus::Valid(status) => status.transaction_depth().is_some(),
            TransactionManagerStatus::InError => true,
        }
    }
}

impl<B: Backend> Drop for Pooled<B> {
    fn drop(&mut self) {
        if self.busy {
            // Nobody waits for the answer any more, so the server need not go on computing it.
            B::cancel(&self.raw, &self.target);
        }
    }
}

impl<B: Backend> ManageConnection for Manager<B> {
    /// Boxed, because the pool and every future around a checkout move it several times, and a
    /// connection is more than a thousand bytes.
    type Connection = Box<Pooled<B>>;
    type Error = Error;

    async fn connect(&self) -> Result<Box<Pooled<B>>, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        let mut raw = B::connect(&self.target).await?;
        // A check that fails leaves the empty catalog, with which everything works uncached.
        let (search_path, process) = match self.keeper.check::<B>(&mut raw, None).await {
            Ok(signature) => (signature.search_path, signature.process),
            Err(_) => (SearchPath::default(), None),
        };
        Ok(Box::new(Pooled {
            raw,
            target: Arc::clone(&self.target),
            search_path,
            process,
            tainted: false,
            busy: false,
            in_control: false,
            suspect: false,
        }))
    }

    /// Costs a round trip only after a statement that failed. Otherwise what the connection's own
    /// task has noticed is enough: a statement on a connection that died since fails as it would
    /// have a moment later.
    async fn is_valid(&self, connection: &mut Box<Pooled<B>>) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        // The default path of new sessions has changed since this one was opened.
        let path = &self.keeper.current().catalog.search_path;
        if !path.is_empty() && *path != connection.search_path {
            return Err(Error::connect(B::describe(&self.target), "its search path is outdated"));
        }
        let lost = connection.raw.is_broken()
            || (connection.suspect && !B::is_settled(&mut connection.raw).await);
        connection.suspect = false;
        if lost {
            return Err(Error::connect(B::describe(&self.target), "the connection was lost"));
        }
        Ok(())
    }

    fn has_broken(&self, connection: &mut Box<Pooled<B>>) -> bool {
        // A database in memory is better kept with a session that was changed than lost with it.
        connection.tainted &= !self.keep_for_ever;
        connection.tainted || connection.busy || connection.raw.is_broken()
    }
}

impl<B: Backend> fmt::Debug for Manager<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manager({:?})", self.target)
    }
}

/// Builds the pool around a first connection, which proves that the database can be reached.
pub(crate) async fn build<B: Backend>(
    manager: Manager<B>,
    settings: &PoolSettings,
    failures: &Failures,
) -> Result<bb8::Pool<Manager<B>>, Error> {
    let PoolSettings { size, min_idle, checkout_timeout, keep_for_ever } = *settings;
    let first = manager.connect().await?;
    let mut builder = bb8::Pool::builder()
        .max_size(size)
        .min_idle(min_idle)
        .connection_timeout(checkout_timeout)
        .error_sink(Box::new(failures.clone()));
    if keep_for_ever {
        builder = builder.idle_timeout(None).max_lifetime(None);
    }
    let pool = builder.build_unchecked(manager);
    // It has proved its point even if the pool, which fills itself meanwhile, has no room for it.
    let _ = pool.add(first);
    Ok(pool)
}

/// Why the pool could not open a connection the last time, for the error of a checkout that waited
/// for one in vain. bb8 tries until the timeout, and does not say why itself.
#[derive(Clone, Debug)]
pub(crate) struct Failures {
    clock: Arc<dyn Clock>,
    last: Arc<Mutex<Option<(Nanos, String)>>>,
}

impl Failures {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, last: Arc::default() }
    }

    /// The last failure since an instant.
    pub(crate) fn since(&self, start: Nanos) -> Option<String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| *at >= start).map(|(_, message)| message.clone())
    }
}

impl bb8::ErrorSink<Error> for Failures {
    fn sink(&self, error: Error) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((self.clock.now(), error.to_string()));
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<Error>> {
        Box::new(self.clone())
    }
}

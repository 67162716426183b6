//! The two ways to run the service, behind one interface.

use std::{
    future::Future,
    ops::Sub,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use bb8::ManageConnection;
use diesel::{
    QueryResult, SqliteConnection,
    connection::{Instrumentation, InstrumentationEvent},
    pg::Pg,
    result::{DatabaseErrorKind, Error},
    sqlite::Sqlite,
};
use diesel_async::{
    AsyncPgConnection, pooled_connection::AsyncDieselConnectionManager,
    sync_connection_wrapper::SyncConnectionWrapper,
};
use serde::Serialize;
use turbodiesel::{Backend, Bypass, Db, Handle, Outcome, Stats, Tier};

use crate::{
    model::Response,
    postgres,
    requests::{Read, Write},
    sqlite,
};

/// One way to run the service.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// Serves a read, perhaps from memory.
    fn read(&self, user: i32, read: &Read) -> impl Future<Output = QueryResult<Served>> + Send;

    /// Serves a read from the database itself.
    fn read_afresh(
        &self,
        user: i32,
        read: &Read,
    ) -> impl Future<Output = QueryResult<Response>> + Send;

    /// Serves a write.
    fn write(&self, user: i32, write: &Write) -> impl Future<Output = QueryResult<()>> + Send;

    /// What was counted since the start.
    fn counts(&self) -> Counts;

    /// Ends what is still running.
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}

/// A read that was served.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) response: Response,
    /// At least one of its queries was answered from memory.
    pub(crate) from_memory: bool,
}

/// What a contender counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Statements sent to the database, without transaction control.
    pub(crate) statements: u64,
    /// How queries were answered; all zero without a cache.
    pub(crate) lookups: Lookups,
}

/// Queries by the way they were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Lookups {
    /// By tier.
    pub(crate) tiers: [TierLookups; 3],
    /// Answered by another task's read of the database.
    pub(crate) joined: u64,
    /// Answered by the database.
    pub(crate) read: u64,
}

/// Queries that looked into one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct TierLookups {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

impl Counts {
    fn of(stats: &Stats) -> Self {
        // The service itself never asks for a fresh read; the checks do.
        let checks = stats.bypasses.get(Bypass::Requested.as_str()).copied().unwrap_or_default();
        let lookups = &stats.lookups;
        Self {
            statements: stats.statements - checks,
            lookups: Lookups {
                tiers: Tier::ALL.map(|tier| {
                    let tier = stats.cache.tier(tier);
                    TierLookups { hits: tier.hits + tier.stale, misses: tier.misses }
                }),
                joined: lookups.coalesced,
                read: lookups.misses + lookups.bypasses - checks,
            },
        }
    }
}

impl Lookups {
    pub(crate) fn tier(&self, tier: Tier) -> TierLookups {
        self.tiers[tier.index()]
    }

    /// The part of the queries for which the database was not asked: 0 to 1.
    pub(crate) fn served_from_memory(&self) -> Option<f64> {
        let hits: u64 = self.tiers.iter().map(|tier| tier.hits).sum();
        share(hits + self.joined, self.read)
    }

    /// The part of the queries that waited for another task's read: 0 to 1.
    pub(crate) fn joined(&self) -> Option<f64> {
        let hits: u64 = self.tiers.iter().map(|tier| tier.hits).sum();
        share(self.joined, hits + self.read)
    }
}

impl TierLookups {
    /// 0 to 1, `None` if nothing was looked up.
    pub(crate) fn hit_rate(self) -> Option<f64> {
        share(self.hits, self.misses)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
fn share(these: u64, others: u64) -> Option<f64> {
    let all = these + others;
    (all > 0).then(|| these as f64 / all as f64)
}

impl Sub for Counts {
    type Output = Self;

    /// What was counted between two moments.
    fn sub(self, earlier: Self) -> Self {
        let tier = |tier: usize| TierLookups {
            hits: self.lookups.tiers[tier].hits - earlier.lookups.tiers[tier].hits,
            misses: self.lookups.tiers[tier].misses - earlier.lookups.tiers[tier].misses,
        };
        Self {
            statements: self.statements - earlier.statements,
            lookups: Lookups {
                tiers: [tier(0), tier(1), tier(2)],
                joined: self.lookups.joined - earlier.lookups.joined,
                read: self.lookups.read - earlier.lookups.read,
            },
        }
    }
}

/// Plain diesel-async with its pool.
pub(crate) struct Plain<M: ManageConnection> {
    pub(crate) pool: bb8::Pool<M>,
    pub(crate) statements: StatementCounter,
}

/// The same service over turbodiesel.
pub(crate) struct Turbodiesel<B: Backend>(pub(crate) Db<B>);

/// turbodiesel with a fault: writes take a way around it, so that it cannot know of them.
#[derive(Clone)]
pub(crate) struct Faulty<T, P> {
    pub(crate) turbodiesel: T,
    pub(crate) around: P,
}

/// Counts the statements of the connections that it is given to.
#[derive(Clone, Debug, Default)]
pub(crate) struct StatementCounter(Arc<StatementCounts>);

#[derive(Debug, Default)]
struct StatementCounts {
    all: AtomicU64,
    control: AtomicU64,
}

impl StatementCounter {
    fn count(&self) -> u64 {
        self.0.all.load(Relaxed).saturating_sub(self.0.control.load(Relaxed))
    }
}

impl Instrumentation for StatementCounter {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { .. } => {
                self.0.all.fetch_add(1, Relaxed);
            }
            // Each is followed by a statement of its own, which turbodiesel does not count either.
            InstrumentationEvent::BeginTransaction { .. }
            | InstrumentationEvent::CommitTransaction { .. }
            | InstrumentationEvent::RollbackTransaction { .. } => {
                self.0.control.fetch_add(1, Relaxed);
            }
            _ => {}
        }
    }
}

impl<M: ManageConnection> Clone for Plain<M> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), statements: self.statements.clone() }
    }
}

impl<B: Backend> Clone for Turbodiesel<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Runs the service over a backend's connections.
macro_rules! serve {
    ($service:path, $backend:ty, $raw:ty) => {
        const _: () = {
            use $service as service;

            impl Contender for Plain<AsyncDieselConnectionManager<$raw>> {
                async fn read(&self, user: i32, read: &Read) -> QueryResult<Served> {
                    let response = self.read_afresh(user, read).await?;
                    Ok(Served { response, from_memory: false })
                }

                async fn read_afresh(&self, user: i32, read: &Read) -> QueryResult<Response> {
                    let mut connection = self.pool.get().await.map_err(unavailable)?;
                    let permissions = service::permissions_of(&mut connection, user).await?;
                    let answer = service::read(&mut connection, read).await?;
                    Ok(Response { permissions, answer })
                }

                async fn write(&self, user: i32, write: &Write) -> QueryResult<()> {
                    let mut connection = self.pool.get().await.map_err(unavailable)?;
                    service::permissions_of(&mut connection, user).await?;
                    service::write(&mut *connection, write).await
                }

                fn counts(&self) -> Counts {
                    Counts { statements: self.statements.count(), lookups: Lookups::default() }
                }

                async fn close(self) -> Result<()> {
                    Ok(())
                }
            }

            impl Contender for Turbodiesel<$backend> {
                async fn read(&self, user: i32, read: &Read) -> QueryResult<Served> {
                    let mut connection = self.0.handle();
                    let permissions = service::permissions_of(&mut connection, user).await?;
                    let mut from_memory = is_from_memory(&connection);
                    let answer = service::read(&mut connection, read).await?;
                    from_memory |= is_from_memory(&connection);
                    let response = Response { permissions, answer };
                    Ok(Served { response, from_memory })
                }

                async fn read_afresh(&self, user: i32, read: &Read) -> QueryResult<Response> {
                    let mut connection = self.0.handle().bypass();
                    let permissions = service::permissions_of(&mut connection, user).await?;
                    let answer = service::read(&mut connection, read).await?;
                    Ok(Response { permissions, answer })
                }

                async fn write(&self, user: i32, write: &Write) -> QueryResult<()> {
                    let mut connection = self.0.connection().await?;
                    service::permissions_of(&mut connection, user).await?;
                    service::write(&mut connection, write).await
                }

                fn counts(&self) -> Counts {
                    Counts::of(&self.0.stats())
                }

                async fn close(self) -> Result<()> {
                    Ok(self.0.close(CLOSE_DEADLINE).await?)
                }
            }
        };
    };
}

/// Whether the last query was answered from memory.
fn is_from_memory<B: Backend>(handle: &Handle<B>) -> bool {
    handle.outcome().is_some_and(Outcome::is_served_from_cache)
}

/// How long writes in flight may take at the end.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

serve!(postgres::service, Pg, AsyncPgConnection);
serve!(sqlite::service, Sqlite, SyncConnectionWrapper<SqliteConnection>);

impl<T: Contender, P: Contender> Contender for Faulty<T, P> {
    async fn read(&self, user: i32, read: &Read) -> QueryResult<Served> {
        self.turbodiesel.read(user, read).await
    }

    async fn read_afresh(&self, user: i32, read: &Read) -> QueryResult<Response> {
        self.turbodiesel.read_afresh(user, read).await
    }

    async fn write(&self, user: i32, write: &Write) -> QueryResult<()> {
        self.around.write(user, write).await
    }

    fn counts(&self) -> Counts {
        self.turbodiesel.counts()
    }

    async fn close(self) -> Result<()> {
        self.around.close().await?;
        self.turbodiesel.close().await
    }
}

fn unavailable(error: impl ToString) -> Error {
    Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, Box::new(error.to_string()))
}

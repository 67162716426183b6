//! The ways to serve the shop that need no cache of their own making.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use diesel::{
    QueryResult,
    result::{DatabaseErrorKind, Error},
};
use diesel_async::{AsyncPgConnection, pooled_connection::bb8::Pool};
use turbodiesel::{Db, Tier};
use turbodiesel_testkit::Database;

use crate::{
    mixed::{
        load::{Read, Write},
        shop::{self, CUSTOMERS, ORDERS, Seen},
    },
    model,
};

/// A way to serve the shop.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// Whether its answers are those of the shop, so that they can be checked.
    const ANSWERS: bool = true;

    /// Serves a read. `is_held` says whether an ideal cache would have the answer, which is not for
    /// real contenders to know.
    fn read(&self, read: Read, is_held: bool) -> impl Future<Output = QueryResult<Seen>> + Send;

    /// Serves a write. Returns the key of a new order.
    fn write(&self, write: Write) -> impl Future<Output = QueryResult<Option<i32>>> + Send;

    /// How many reads the database was asked for so far.
    fn database_reads(&self) -> u64;
}

/// Plain diesel-async with its pool, and with the statement timeout that turbodiesel sets too.
#[derive(Clone)]
pub(crate) struct Plain {
    pool: Pool<AsyncPgConnection>,
    database_reads: Arc<AtomicU64>,
}

impl Plain {
    pub(crate) async fn new(database: &Database) -> Result<Self> {
        let pool = model::plain_pool(database.url(), model::TIMED).await?;
        Ok(Self { pool, database_reads: Arc::default() })
    }

    /// A connection for a read.
    pub(crate) async fn reader(
        &self,
    ) -> QueryResult<impl std::ops::DerefMut<Target = AsyncPgConnection> + '_> {
        self.database_reads.fetch_add(1, Relaxed);
        self.pool.get().await.map_err(checkout_failed)
    }
}

impl Contender for Plain {
    async fn read(&self, read: Read, _is_held: bool) -> QueryResult<Seen> {
        shop::read(&mut *self.reader().await?, read).await
    }

    async fn write(&self, write: Write) -> QueryResult<Option<i32>> {
        let mut connection = self.pool.get().await.map_err(checkout_failed)?;
        shop::write(&mut *connection, write).await
    }

    fn database_reads(&self) -> u64 {
        self.database_reads.load(Relaxed)
    }
}

fn checkout_failed(error: impl std::fmt::Display) -> Error {
    Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, Box::new(error.to_string()))
}

/// turbodiesel, with all its defaults or with table-level invalidation.
#[derive(Clone)]
pub(crate) struct Turbodiesel(pub(crate) Db);

impl Contender for Turbodiesel {
    async fn read(&self, read: Read, _is_held: bool) -> QueryResult<Seen> {
        shop::read(&mut &self.0, read).await
    }

    async fn write(&self, write: Write) -> QueryResult<Option<i32>> {
        shop::write(&mut &self.0, write).await
    }

    fn database_reads(&self) -> u64 {
        let lookups = self.0.stats().lookups;
        lookups.misses + lookups.bypasses
    }
}

/// What nothing real can do: it knows which answers an ideal cache would hold. Those it takes, as
/// hits of turbodiesel, from another shop that nobody writes to; everything else is plain.
#[derive(Clone)]
pub(crate) struct Ideal {
    plain: Plain,
    held: Db,
}

impl Ideal {
    /// `held` is [`everything_held`].
    pub(crate) async fn new(database: &Database, held: Db) -> Result<Self> {
        Ok(Self { plain: Plain::new(database).await?, held })
    }
}

/// A handle to a shop of which every answer is in the cache, for an hour.
pub(crate) async fn everything_held(unwritten: &Database) -> Result<Db> {
    let hour = Duration::from_secs(3_600);
    let db =
        Db::builder().url(unwritten.url()).ttl(Tier::L1, hour).ttl(Tier::L2, hour).build().await?;
    for id in 1..=ORDERS {
        shop::read(&mut &db, Read::Order(id)).await?;
    }
    for id in 1..=CUSTOMERS {
        for read in [Read::Customer(id), Read::OrdersOf(id), Read::SummaryOf(id)] {
            shop::read(&mut &db, read).await?;
        }
    }
    Ok(db)
}

impl Contender for Ideal {
    const ANSWERS: bool = false;

    async fn read(&self, read: Read, is_held: bool) -> QueryResult<Seen> {
        if is_held {
            shop::read(&mut &self.held, read).await
        } else {
            self.plain.read(read, is_held).await
        }
    }

    async fn write(&self, write: Write) -> QueryResult<Option<i32>> {
        self.plain.write(write).await
    }

    fn database_reads(&self) -> u64 {
        self.plain.database_reads()
    }
}

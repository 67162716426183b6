//! turbodiesel makes a Diesel application fast without rewriting its queries.
//!
//! A [`Db`] *is* a diesel-async connection. Reads through it are answered from memory while they are
//! fresh; writes through it invalidate what they touched, derived from the statement and the
//! database's own catalog. There is no derive, no key and no tag to write.
//!
//! ```no_run
#![doc = include_str!("../examples/before_and_after.rs")]
//! ```
//!
//! # Where to find things
//!
//! - Connect and configure: [`Db::builder`], [`Db::from_env`], [`Builder`].
//! - Run queries: [`&Db`](Db) or [`Db::handle`], which takes options; [`Db::connection`] and
//!   [`Db::transaction`] for what needs one session.
//! - See what happened: [`Handle::outcome`], [`Db::stats`].
//! - Invalidate by hand: [`Db::invalidate_table`], [`Db::invalidate`], [`Db::clear`].
//! - Page through an answer: `keyset`.
//!
//! # Guarantees
//!
//! - *Age.* No answer is older than its tier's ceiling, counted from the start of its read: 10 s in
//!   L1, 60 s in L2 (aggregates), 300 s in L3 (tables named as reference data).
//! - *Own writes.* Once a write through this `Db` has returned, every later read in this process
//!   sees it, in whatever task, and no reader sees a value go back.
//! - *Transactions.* Inside one, every read asks the database; what it wrote is published when the
//!   outermost commit succeeds.
//! - *Cancellation.* A write whose future is dropped goes on in a task of its own; a read
//!   that is dropped hands its duty to another.
//! - *Stampedes.* However many readers miss at once, one asks the database, and its error is shared.
//! - *Doubt.* What is not understood is not cached; a write that is not understood invalidates
//!   everything.
//!
//! # Limits
//!
//! - Writes by other programs are seen when the answers they concern grow too old, or by
//!   [`Db::invalidate_table`].
//! - Two cached answers may be of different moments; read in a transaction where that matters.
//! - SQLite's wrapper collects all rows of an answer before the first is seen, so only PostgreSQL
//!   streams what is too large to cache.
//!
//! # Features
//!
//! - `sqlite` (default): SQLite as a second backend, compiled in.

mod backend;
mod catalog;
mod causes;
mod config;
mod connection;
mod db;
mod detached;
mod error;
mod explain;
mod handle;
mod keeper;
mod observe;
mod options;
mod pg;
mod pool;
mod read;
mod rows;
mod save_changes;
mod session;
mod settle;
mod shape;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statement;
mod stats;
mod tags;
mod touched;
mod transaction;
mod write;

pub use turbodiesel_cache::{CacheStats, Kept, TierStats};
pub use turbodiesel_core::{
    Bypass, Clock, ManualClock, MonotonicClock, Outcome, PinValue, TableName, Tag, Tier,
};

pub use turbodiesel_optimizer::keyset;

#[cfg(feature = "sqlite")]
pub use self::sqlite::{SqliteField, SqliteRow};
#[cfg(feature = "_stub")]
#[doc(hidden)]
pub mod stub {
    //! What a backend of the benchmarks must implement.
    pub use crate::{
        backend::{Internals, Loaded, Prepare},
        catalog::{Catalog, PinType, Relation, RelationKind, Signature, Volatility},
    };

    /// Configures a handle to any backend.
    pub fn builder<B: crate::Backend>() -> crate::Builder<B> {
        crate::Builder::new()
    }
}

pub use self::{
    backend::Backend,
    config::Builder,
    connection::{Connection, Touches},
    db::Db,
    error::{Error, is_outcome_unknown},
    explain::{Explanation, Verdict},
    handle::Handle,
    pg::{PgField, PgRow, TransactionBuilder},
    read::Load,
    rows::Rows,
    stats::{Lookups, PoolStats, Stats},
    transaction::{CommitOutcome, SendAsyncFnOnce, Transactions},
};

/// The README and the guides compile as documentation tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/guide/caching.md")]
    struct Caching;
    #[doc = include_str!("../../../docs/guide/invalidation.md")]
    struct Invalidation;
    #[doc = include_str!("../../../docs/guide/consistency.md")]
    struct Consistency;
    #[doc = include_str!("../../../docs/guide/connections.md")]
    struct Connections;
    #[doc = include_str!("../../../docs/guide/pagination.md")]
    struct Pagination;
    #[cfg(feature = "sqlite")]
    #[doc = include_str!("../../../docs/guide/sqlite.md")]
    struct Sqlite;
}

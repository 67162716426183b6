//! Private servers and throw-away databases for tests, demos and benchmarks.
//!
//! A test that needs PostgreSQL or Redis should need nothing else: no container, no configuration, no server
//! that somebody started by hand and no database that another test has written to. This kit starts
//! a server from whatever programs the machine has, in a folder of its own, and takes all of it
//! away again.
//!
//! ```no_run
//! # #[cfg(feature = "databases")] {
//! // In a test: a fresh database, dropped at the end of the scope.
//! let database = turbodiesel_testkit::database();
//! println!("{}", database.url());
//! # }
//! ```
//!
//! ```no_run
//! // A server of one's own, for instance to change its settings or to stop it half-way.
//! use turbodiesel_testkit::{Postgres, PostgresOptions};
//!
//! let options = PostgresOptions {
//!     settings: vec![("max_connections".into(), "5".into())],
//!     ..PostgresOptions::default()
//! };
//! let server = Postgres::with(options)?;
//! println!("PostgreSQL {} at {}", server.version(), server.url());
//! # Ok::<(), turbodiesel_testkit::Error>(())
//! ```
//!
//! # Modules, in reading order
//!
//! - `postgres`: a private server, its options and its URL.
//! - `watchdog.sh`: the few lines of shell that own the server and its folder.
//! - `redis`: the same for Redis, with a server that can be killed, stopped and started again.
//! - `redis.sh`: its watchdog.
//! - `redis_groups`: a primary with a replica under a Sentinel; a Cluster.
//! - `place`: where a server lives and as whom it runs.
//! - `programs`: finding the server's programs, and installing them when that is allowed.
//! - `database`: a fresh database on a private server or on `DATABASE_URL`.
//! - `sqlite`: a private SQLite file.
//! - `error`: the one error type.
//!
//! # Guarantees
//!
//! - Private: nothing listens on the network unless [`PostgresOptions::tcp`] asks for it, and then
//!   only on 127.0.0.1 with a random password. The Unix socket lies in a folder that only its owner
//!   can enter. A [`Redis`] always listens on 127.0.0.1, with a random password.
//! - Nothing stays: a server ends and its folder disappears when the [`Postgres`] is dropped, when
//!   the process panics, exits, is interrupted, and when it is killed with SIGKILL. The server
//!   belongs to a watchdog process that waits for its lifeline (a pipe) to close, so no code of the
//!   dying process has to run.
//! - As root, everything runs as an unprivileged user, since PostgreSQL refuses to run as root.
//!
//! # Limits
//!
//! - Unix only.
//! - Data is not safe: `fsync` is off, and the data in memory if there is enough, unless
//!   [`PostgresOptions::durable`] is set.
//! - A [`SqliteFile`], and a [`Database`] on a server that is not ours, are removed by `Drop`: a
//!   process that is killed leaves them.
//! - Functions block the calling thread. They may be called inside an async test, at the price of
//!   pausing that test's runtime.
//!
//! # Features
//!
//! - `databases` (default): [`Database`] and [`database()`]; brings in a PostgreSQL client.

#[cfg(feature = "databases")]
mod database;
mod error;
mod place;
mod postgres;
mod programs;
mod redis;
mod redis_groups;
mod sqlite;

#[cfg(feature = "databases")]
pub use database::{Database, TEST_POSTGRES_VARIABLE, database};
pub use error::Error;
pub use postgres::{Postgres, PostgresOptions, ServerTls};
pub use programs::{install_postgres, install_redis};
pub use redis::{Redis, RedisOptions};
pub use redis_groups::{RedisCluster, RedisSentinel};
pub use sqlite::SqliteFile;

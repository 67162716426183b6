//! Finds and mends what an application asks its database too often or too slowly.
//!
//! Over plain diesel-async, or over turbodiesel's `Db`, whose cache goes on working. It has two halves:
//! [`keyset`] loads pages that cost the same at any depth, and the rest finds N+1 queries and their
//! relatives.
//!
//! # Queries in loops
//!
//! A page lists twenty orders and asks for the customer of each. In review it is one line in a loop, in
//! the log it is twenty-one fast queries, and in production it is the page that is slow. Counting
//! queries finds it, and also every page that is fine. This crate looks at what was really bound and
//! really returned: a loop is what is bound, one by one, to the rows of an earlier answer. So it can
//! name that answer, its column, and the one query that replaces the loop.
//!
//! ```
//! use diesel::prelude::*;
//! use diesel_async::{
//!     AsyncConnection, RunQueryDsl, SimpleAsyncConnection, sync_connection_wrapper::SyncConnectionWrapper,
//! };
//! use turbodiesel_optimizer::{Class, Observed, Thresholds, scope};
//!
//! diesel::table! { users { id -> Integer, name -> Text } }
//! diesel::table! { posts { id -> Integer, user_id -> Integer } }
//!
//! # #[cfg(feature = "sqlite")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let inner = SyncConnectionWrapper::<SqliteConnection>::establish(":memory:").await?;
//! let mut connection = Observed::new(inner);
//! # connection.batch_execute("
//! #     CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL);
//! #     CREATE TABLE posts (id integer PRIMARY KEY, user_id integer NOT NULL);
//! #     INSERT INTO users VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Eve');
//! # ").await?;
//! let (result, recorded) = scope(async {
//!     for id in users::table.select(users::id).load::<i32>(&mut connection).await? {
//!         posts::table.filter(posts::user_id.eq(id)).load::<(i32, i32)>(&mut connection).await?;
//!     }
//!     QueryResult::Ok(())
//! })
//! .await;
//! result?;
//!
//! let findings = recorded.findings(&Thresholds::tests());
//! let finding = findings.iter().next().unwrap();
//! assert_eq!((finding.class, finding.executions), (Class::NPlusOne, 3));
//! assert_eq!(finding.parent.as_ref().unwrap().column, "id");
//! assert!(finding.fix.contains("posts::table.filter(posts::user_id.eq_any(&keys))"));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! ```
//!
//! # Where to find things
//!
//! - Record: [`Observed`] wraps a connection; [`scope`], [`QueryScope`] and [`ScopeOptions`] open
//!   scopes, [`InCurrentScope`] takes them to other tasks, [`unobserved`] pauses.
//! - Say where a query is: [`Located`], [`Observed::here`], [`ScopeOptions::backtraces`].
//! - Judge: [`Detector`] logs, reports or fails the test; [`assert_queries!`], [`assert_no_findings!`];
//!   with the feature `tower`, `WatchLayer` for servers. [`Thresholds`] and [`Allow`] configure.
//! - Load pages: [`keyset`].
//! - Read: [`Findings`] as text, JSON or SARIF; [`Finding`], [`Class`].
//! - Describe statements to a scope from a connection of one's own: [`Asked`], [`Observation`],
//!   [`record_hit`], [`ObservedBackend`]. `turbodiesel` does.
//!
//! # Modules, in reading order
//!
//! - `value`: values as hashes.
//! - `statement`: what a statement's text says.
//! - `site`: where a query is asked.
//! - `recording`: what a scope remembers.
//! - `scope`: scopes, and statements on their way into them.
//! - `backend`, `observed`: connections that are observed.
//! - `detect`: what is wrong, from what was recorded.
//! - `report`: findings, and how they are shown.
//! - `allow`, `detector`, `expect`, `layer`: what is done with them.
//! - `error`: what can be wrong with a configuration.
//! - [`keyset`]: pages, by themselves.
//!
//! # Guarantees
//!
//! - **No value leaves the process.** Binds and cells are kept as keyed hashes; statements are shown
//!   without literals.
//! - **Memory is bounded**: at most 1 MiB for each scope, statements and their names apart. What is
//!   beyond is counted, and [`Counts::unremembered`] says so.
//! - **What was dropped is not counted.** A future that is not polled to its end is in no finding.
//! - **The same recording gives the same findings**, in the same order and with the same signatures.
//! - Nothing here makes a query fail, or changes it.
//!
//! # Limits
//!
//! - Small integers are equal by chance: a loop is only believed if the names of the two columns go
//!   together, as `id` and `user_id` do. Two different tables' `id` do not, unless they share a table.
//! - Of an answer 128 rows and 16 columns are looked at, and texts beyond 64 bytes are not. Of answers
//!   that a cache gives to one statement, 64 with a single row are.
//! - A loop over values that no query returned, such as those of a request, is no finding.
//! - Without one of the ways to say where a query is, all executions of a statement in a scope are
//!   taken for one place.
//! - MySQL: its backend does not implement [`ObservedBackend`] yet.
//!
//! # Features
//!
//! - `postgres` (default), `sqlite`: the backends.
//! - `tower`: `WatchLayer`.
//! - `backtrace`: call sites from backtraces, in development.

mod allow;
pub mod backend;
mod detect;
mod detector;
mod error;
mod expect;
pub mod keyset;
#[cfg(feature = "tower")]
mod layer;
mod observed;
mod recording;
mod report;
mod scope;
mod site;
mod statement;
mod value;

#[cfg(feature = "tower")]
pub use layer::{WatchLayer, WatchService};

#[doc(hidden)]
pub use self::expect::{
    expect_no_findings as __expect_no_findings, expect_queries as __expect_queries,
};
pub use self::{
    allow::Allow,
    backend::{Binds, ObservedBackend},
    detect::Thresholds,
    detector::{Detector, Watch},
    error::Error,
    observed::{Observed, ObservedExecute, ObservedLoad, ObservedRows, ObservedTransactions},
    recording::Counts,
    report::{Class, Finding, Findings, Parent, Severity, Shown},
    scope::{
        Asked, AtSite, Ended, InCurrentScope, InScope, Located, Observation, QueryScope,
        ScopeOptions, is_observed, record_hit, scope, unobserved,
    },
    site::Site,
    statement::Statement,
    value::ValueHash,
};

/// The guide compiles as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/n-plus-one.md")]
struct Guide;

//! Keeps the answers of queries as long as they are current and young enough, in this process.
//!
//! A cache in front of a database goes wrong in well-known ways: it serves an answer that a write has
//! overtaken, it keeps what was read while that write was committing, it sends a thousand identical
//! queries when a popular entry expires, and it waits for a leader that was cancelled. This crate is
//! about those. It knows neither SQL nor Diesel: whoever uses it says what an answer depends on, as
//! [`Slot`]s, and when something is written, as [`WriteMark`]s.
//!
//! ```
//! use std::{convert::Infallible, sync::Arc, time::Duration};
//!
//! use turbodiesel_cache::{Cache, Key, Read, Stamps, StampsOptions};
//! use turbodiesel_core::{FingerprintKey, MonotonicClock, Outcome, TableName, Tag, Tier, Weigh};
//!
//! struct Names(Vec<String>);
//!
//! impl Weigh for Names {
//!     fn weight(&self) -> usize {
//!         self.0.iter().map(|name| size_of::<String>() + name.len()).sum()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let stamps = Stamps::new(Arc::new(MonotonicClock), StampsOptions::default());
//! let cache: Cache<Names, Infallible> = Cache::builder().stamps(Arc::clone(&stamps)).build()?;
//!
//! // A query, and the table that its answer depends on.
//! let identity = b"SELECT name FROM suppliers";
//! let fingerprint = FingerprintKey::random().fingerprint(identity);
//! let suppliers = stamps.slot(&Tag::Table(TableName::qualified("public", "suppliers")));
//! let read = Read {
//!     key: Key { fingerprint, identity },
//!     slots: &[suppliers],
//!     tier: Tier::L1,
//!     max_age: None,
//! };
//! let from_database = || async { Ok(Names(vec!["Acme".to_owned()])) };
//!
//! let (_, outcome) = cache.get_or_try_load(read, from_database).await?;
//! assert_eq!(outcome, Outcome::Miss);
//! let (names, outcome) = cache.get_or_try_load(read, from_database).await?;
//! assert_eq!(outcome, Outcome::Hit(Tier::L1));
//! assert_eq!(names.0, ["Acme"]);
//!
//! // A write marks what it may change before it is sent, and says how it ended.
//! let write = stamps.begin_write([suppliers], Duration::from_secs(30));
//! // … INSERT INTO suppliers …
//! write.committed();
//! let (_, outcome) = cache.get_or_try_load(read, from_database).await?;
//! assert_eq!(outcome, Outcome::Miss);
//! # Ok(())
//! # }
//! ```
//!
//! # Modules, in reading order
//!
//! - `stamps`: when anything last changed, and the protocol of readers and writers.
//! - `protocol`: the steps of a write, as data.
//! - `write`: a write in flight.
//! - `entry`: an answer that is kept, and how old it may become.
//! - `store`: one tier's entries, within a budget of bytes.
//! - `flight`: a load in progress, its leader and those who wait for it.
//! - `flights`: which loads are in progress, so that readers of one answer share one.
//! - `inner`: what may be served, shared and kept.
//! - `cache`: looking up, joining a load, filling.
//! - `lead`, `follow`: the two roles of readers who share a load.
//! - `load`: looking up and loading in one step.
//! - `options`, `stats`, `error`: configuration, counters, and what can be wrong with the former.
//! - `sync`: the locks and atomics of the above, which tests can put in any order.
//!
//! # Guarantees
//!
//! - **After a write is acknowledged, no later lookup returns an older answer**, however the read,
//!   the commit and the fill were interleaved, provided that the write was marked before it was sent
//!   and its outcome was told before it was acknowledged.
//! - **An outcome that is never told is safe.** A [`WriteMark`] that is dropped ends what was read
//!   before, and for its lifetime nothing that depends on its slots is kept; a [`Doubt`] lets whoever
//!   finds the outcome out end that time early.
//! - **No answer is older than its ceiling**, counted from before its read began; neither chance,
//!   nor a refresh, nor access, nor sharing a load extends it, and it does not depend on the wall
//!   clock.
//! - **Values of a key never go back**: whoever asks after an answer was shown is not shown an older
//!   one, acknowledged or not. Of two reads that overlap, the one that began later stays; while a write
//!   is yet to tell what it touched, neither does. Where other processes write, two overlapping reads
//!   may still see the database in either order.
//! - **One load per key and state.** A thousand readers who miss the same answer read it once.
//!   Should the reader who does it be cancelled or panic, exactly one other takes over. An error goes
//!   to all who waited and is not retried by each; a result that cannot be shared lets all go alone,
//!   at once.
//! - **Two queries with one fingerprint never get each other's answer.**
//! - **Budgets hold.** A tier holds no more than its bytes; an answer that is too large is passed on
//!   and not kept.
//!
//! # Limits
//!
//! - Answers that are never offered to the cache, because they are too large to be collected or are read
//!   within a transaction, are not taken account of: what is kept may be older.
//! - Writes that are not marked, such as those of other processes, are seen when the TTL ends.
//! - Answers are shared and must not be mutated: `V` is handed out as an `Arc`.
//! - A load that waits for another load which waits for it hangs, as two locks would. A load that
//!   asks for its own key through [`Cache::get_or_try_load`], in the same task, does not.
//! - The budget counts entries. The keys of recently evicted entries are remembered beside it, about
//!   1 MiB for a tier of 64 MiB, and the default stamps take 1.6 MB.

mod cache;
mod doubt;
mod entry;
mod error;
mod flight;
mod flights;
mod follow;
mod inner;
mod lead;
mod load;
mod options;
mod protocol;
#[cfg(test)]
mod schedules;
mod stamps;
mod stats;
mod store;
mod sync;
mod write;

pub use cache::{Cache, Kept, Key, Lookup, Read};
pub use doubt::Doubt;
pub use error::Error;
pub use follow::{Follow, Followed, Role};
pub use lead::{Completed, Lead};
pub use options::{CacheBuilder, TierOptions};
pub use stamps::{ColumnSlots, Slot, Snapshot, Stamps, StampsOptions};
pub use stats::{CacheStats, RefusedFills, TierStats};
pub use write::WriteMark;

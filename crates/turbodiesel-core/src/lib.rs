//! The vocabulary of turbodiesel: the few types that every other crate of the workspace speaks.
//!
//! This crate has no cache, no pool and no SQL parser. It defines what they exchange, so that each
//! of them can be used without the others:
//!
//! ```
//! use turbodiesel_core::{FingerprintKey, TableName, Tag, Tier};
//!
//! // What a read depends on is a tag, how fresh it must be is a tier …
//! let tag = Tag::Table(TableName::qualified("public", "orders"));
//! assert_eq!(tag.to_string(), "public.orders");
//! assert_eq!(Tier::L1.default_ttl().as_secs(), 10);
//!
//! // … and which query it was, a keyed fingerprint of its identity.
//! let key = FingerprintKey::random();
//! assert_ne!(key.fingerprint(b"orders 1"), key.fingerprint(b"orders 2"));
//! ```
//!
//! # Modules, in reading order
//!
//! - `tier`: how long an answer may be served.
//! - `tag`: what an answer depends on and what a write changes.
//! - `identity`: which query an answer belongs to.
//! - `outcome`: how a lookup ended, and why a query was not cached.
//! - `rows`: an answer as the bytes the database sent.
//! - `clock`: the only source of time.
//!
//! # Features
//!
//! - `postgres`: rows of a [`RowSet`] implement `diesel::row::Row<Pg>`.

mod clock;
mod identity;
mod outcome;
mod rows;
mod tag;
mod tier;

pub use clock::{Clock, ManualClock, MonotonicClock, Nanos, PreciseClock};
pub use identity::{Fingerprint, FingerprintKey, IdentityBuilder, IdentityBytes};
pub use outcome::{Bypass, Outcome};
#[cfg(feature = "postgres")]
pub use rows::{CachedField, CachedRow};
pub use rows::{Column, Outline, RowSet, RowSetBuilder, RowSetFull};
pub use tag::{PinRef, PinValue, TableName, Tag};
pub use tier::{ParseTierError, Tier};

/// The number of bytes a value occupies in a cache, its own heap allocations included.
///
/// Budgets are kept in these bytes, so an estimate that is too low makes a cache larger than it was
/// configured to be.
pub trait Weigh {
    /// Bytes occupied by `self`, header and heap.
    fn weight(&self) -> usize;
}

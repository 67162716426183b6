//! Finds and mends what an application asks its database too often or too slowly.
//!
//! Over plain diesel-async, or over turbodiesel's `Db`, whose cache goes on working.
//!
//! # Modules
//!
//! - [`keyset`]: pages that cost the same at any depth.
//!
//! # Features
//!
//! - `postgres` (default), `sqlite`: the databases it is used with.

pub mod keyset;

//! A database that answers at once, so that what a library adds to a query can be seen.
//!
//! It is a third-party backend of Diesel with PostgreSQL's dialect, as far as one query needs it.
//!
//! Modules, in reading order:
//!
//! - `backend`: the dialect and the types.
//! - `row`: the one answer that it has.
//! - `connection`: the diesel-async connection.
//! - `internals`: what turbodiesel asks of a backend.

mod backend;
mod connection;
mod internals;
mod row;

pub(crate) use self::{
    backend::Stub,
    connection::{BARE, RENDERING, StubConnection},
};
